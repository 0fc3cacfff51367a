/** The chain of ingredient nodes before a Cook Soup: followed upstream, relinked, lengthened and shortened. */
import { inputOf, kindOf, originOf, widgetOf } from "./nodes.js";
import { word } from "./words.js";

/** @typedef {{origin: any, slot: number}} End where a link begins */
/**
 * @typedef {object} Chain
 * @property {any[]} nodes the ingredient nodes, the first one of the chain first
 * @property {string} beyond what is known only when the graph runs: "", "recipe", "outside",
 * "a circle of links", "a longer chain" or the title of a node
 * @property {any} source the node that `beyond` is about
 */

export const INPUT = "ingredients";
export const KINDS = /** @type {Record<string, string>} */ ({
  DSoupIngredient: "checkpoint", DSoupLoRAIngredient: "lora",
});
export const BYPASSED = 4;
const NEVER = 2;
const GAP = 60; // between nodes, with room for a title
const MOST = 4096;

/** @param {any} node */
export const isIngredient = (node) => kindOf(node) in KINDS;

/** @param {any} node whether it is in the soup */
export const isActive = (node) => node.mode !== BYPASSED && node.mode !== NEVER;

/** @param {any} input whether a link ends here, wherever it begins */
const isLinked = (input) => input?.link != null;

/**
 * What feeds an input, through everything that only passes on.
 * @param {any} node
 * @param {any} input
 * @returns {{found: End | null, beyond: string}}
 */
function feed(node, input) {
  if (!isLinked(input)) return { found: null, beyond: "" };
  let from = originOf(node, input);
  for (const seen = new Set(); from; ) {
    const { origin, slot } = from;
    if (isIngredient(origin)) return { found: from, beyond: "" };
    if (seen.has(origin)) return { found: null, beyond: "a circle of links" };
    seen.add(origin);
    const passed = kindOf(origin) === "Reroute" ? origin.inputs?.[0]
      : origin.mode === BYPASSED ? origin.inputs?.find((/** @type {any} */ each) =>
        each.type === origin.outputs?.[slot]?.type) : null;
    if (!passed) return { found: from, beyond: kindOf(origin) === "DSoupRecipe" ? "recipe" : titleOf(origin) };
    if (!isLinked(passed)) return { found: null, beyond: "" };
    from = originOf(origin, passed);
  }
  return { found: null, beyond: "outside" };
}

/** @param {any} node */
export const titleOf = (node) => String(node?.title || kindOf(node) || word("another node"));

/**
 * Everything that comes before an input.
 * @param {any} node
 * @returns {Chain}
 */
export function chainOf(node) {
  /** @type {any[]} */
  const nodes = [];
  for (let at = node; nodes.length < MOST; ) {
    const { found, beyond } = feed(at, inputOf(at, INPUT));
    if (!found || beyond) return { nodes: nodes.reverse(), beyond, source: found?.origin ?? null };
    if (nodes.includes(found.origin)) return { nodes: nodes.reverse(), beyond: "a circle of links", source: null };
    nodes.push(found.origin);
    at = found.origin;
  }
  return { nodes: nodes.reverse(), beyond: "a longer chain", source: null };
}

/** @param {any} graph @param {any} id */
const linkOf = (graph, id) => graph.getLink?.(id) ?? graph.links?.[id];

/**
 * Where the links from an output end.
 * @param {any} node
 * @returns {{target: any, slot: number}[]}
 */
function endsOf(node) {
  const links = (node.outputs?.[0]?.links ?? []).map((/** @type {any} */ id) => linkOf(node.graph, id));
  return links.filter(Boolean).map((/** @type {any} */ link) =>
    ({ target: node.graph.getNodeById(link.target_id), slot: link.target_slot }))
    .filter((/** @type {any} */ { target }) => target);
}

/**
 * Everything that uses the ingredients up to a node, through Reroutes.
 * @param {any} node
 * @param {Set<any>} [seen]
 * @returns {any[]}
 */
function usersOf(node, seen = new Set()) {
  return endsOf(node).flatMap(({ target }) => {
    if (seen.has(target)) return [];
    seen.add(target);
    return kindOf(target) === "Reroute" ? usersOf(target, seen) : [target];
  });
}

/**
 * Who else than `cook` uses an ingredient, wherever along its way: other Cook Soups, Add to Soup.
 * @param {any} node
 * @param {any} cook
 * @returns {any[]}
 */
export function sharedWith(node, cook) {
  /** @type {Set<any>} */
  const found = new Set();
  const seen = new Set();
  const look = (/** @type {any} */ from) => {
    if (seen.has(from)) return;
    seen.add(from);
    for (const user of usersOf(from)) {
      if (isIngredient(user)) look(user);
      else if (user !== cook) found.add(user);
    }
  };
  look(node);
  return [...found];
}

/**
 * The ends of a node's links that are on the way to the next node of the chain, or to the Cook Soup, and the others.
 * @param {any} node
 * @param {any} next
 */
function ways(node, next) {
  const leads = (/** @type {any} */ target) => target === next
    || (kindOf(target) === "Reroute" && usersOf(target).includes(next));
  const ends = endsOf(node);
  return { on: ends.filter(({ target }) => leads(target)), aside: ends.filter(({ target }) => !leads(target)) };
}

/**
 * Put an ingredient in another place of the chain. Reroutes stay between the places, and all other links are kept.
 * @param {any} cook
 * @param {number} from
 * @param {number} to
 * @returns {string} why it cannot be done, or ""
 */
export function move(cook, from, to) {
  const { nodes } = chainOf(cook);
  if (from === to || !nodes[from] || !nodes[to]) return "";
  const [first, last] = [Math.min(from, to), Math.max(from, to)];
  const places = nodes.map((node, at) => {
    const input = inputOf(node, INPUT);
    return { node, from: originOf(node, input), ...ways(node, nodes[at + 1] ?? cook) };
  });
  for (let at = first; at < last; at += 1) {
    const other = usersOf(nodes[at]).find((user) => user !== nodes[at + 1]);
    if (other) {
      return word("{0} uses this chain only in part: moving this row would change what it gets.",
        `${titleOf(other)} (#${other.id})`);
    }
  }
  const order = [...nodes];
  order.splice(to, 0, ...order.splice(from, 1));
  changing(cook, () => {
    for (let at = first; at <= last; at += 1) unlink(nodes[at]);
    for (let at = first; at <= last; at += 1) {
      const { from: feeding } = places[at];
      const node = order[at];
      if (feeding) {
        const before = feeding.origin === nodes[at - 1] ? order[at - 1] : feeding.origin;
        before.connect(feeding.slot, node, node.inputs.indexOf(inputOf(node, INPUT)));
      }
      const ends = at === last ? [...places[at].on, ...places[at].aside] : places[at].on;
      for (const { target, slot } of ends) {
        if (!nodes.includes(target)) node.connect(0, target, slot);
        else if (target === nodes[at + 1]) link(node, order[at + 1]);
      }
    }
  });
  return "";
}

/** @param {any} node take off what feeds it and what it feeds */
function unlink(node) {
  node.disconnectInput(node.inputs.indexOf(inputOf(node, INPUT)));
  for (const { target, slot } of endsOf(node)) target.disconnectInput(slot);
}

/** @param {any} node @param {any} next */
function link(node, next) {
  node.connect(0, next, next.inputs.indexOf(inputOf(next, INPUT)));
}

/**
 * Take an ingredient out of the graph; what it fed gets what fed it.
 * @param {any} cook
 * @param {any} node
 */
export function remove(cook, node) {
  changing(cook, () => {
    const from = originOf(node, inputOf(node, INPUT));
    const ends = endsOf(node);
    node.graph.remove(node);
    if (from) for (const { target, slot } of ends) from.origin.connect(from.slot, target, slot);
  });
}

/**
 * Another ingredient at the end of the chain, near it and over no other node.
 * @param {any} cook
 * @param {any} node made, and not in the graph yet
 * @param {string} file
 */
export function append(cook, node, file) {
  const { graph } = cook;
  const last = chainOf(cook).nodes.at(-1);
  const size = [Math.max(node.size[0], node.computeSize()[0]), Math.max(node.size[1], node.computeSize()[1])];
  let [x, y] = last ? [last.pos[0], last.pos[1] + last.size[1] + GAP] : [cook.pos[0] - size[0] - GAP, cook.pos[1]];
  const others = graph.nodes ?? graph._nodes;
  for (let moved = true; moved; ) {
    const over = others.find((/** @type {any} */ other) => x < other.pos[0] + other.size[0] + 10
      && other.pos[0] < x + size[0] + 10 && y < other.pos[1] + other.size[1] + GAP
      && other.pos[1] < y + size[1] + GAP && other.pos[1] + other.size[1] + GAP > y);
    moved = Boolean(over);
    if (over) y = over.pos[1] + over.size[1] + GAP;
  }
  changing(cook, () => {
    node.pos = [x, y];
    graph.add(node);
    const widget = widgetOf(node, "file");
    if (widget && file) {
      widget.value = file;
      widget.callback?.(file);
    }
    const from = originOf(cook, inputOf(cook, INPUT));
    if (from) from.origin.connect(from.slot, node, node.inputs.indexOf(inputOf(node, INPUT)));
    link(node, cook);
  });
}

/**
 * Change the graph in one step of undo.
 * @param {any} cook
 * @param {() => void} change
 */
export function changing(cook, change) {
  const { graph } = cook;
  graph.beforeChange?.();
  try {
    change();
  } finally {
    graph.updateExecutionOrder?.(); // is saved with the nodes; done later it would be a step of its own
    graph.afterChange?.();
    graph.setDirtyCanvas?.(true, true);
  }
}

// -- mute and solo -------------------------------------------------------------------------------

const SOLO = "soup_solo"; // in a node's properties: what solo did to it, so that it can be taken back

/** @param {any} node whether it is heard alone */
export const isSolo = (node) => String(node.properties?.[SOLO] ?? "").startsWith("solo") && isActive(node);

/** @param {any[]} nodes @param {any} node */
export function toggleMute(nodes, node) {
  delete node.properties?.[SOLO];
  node.mode = isActive(node) ? BYPASSED : 0;
  if (!nodes.some(isSolo)) for (const each of nodes) delete each.properties?.[SOLO];
}

/**
 * Bypass all but one; the second time, bring back what there was.
 * @param {any[]} nodes
 * @param {any} node
 */
export function toggleSolo(nodes, node) {
  const again = isSolo(node);
  for (const each of nodes) { // first back to what there was, also if another one was alone
    const mark = each.properties?.[SOLO];
    if (mark === "away" && !isActive(each)) each.mode = 0;
    if (mark === "solo, was off") each.mode = BYPASSED;
    delete each.properties?.[SOLO];
  }
  if (again) return;
  for (const each of nodes) {
    each.properties ??= {};
    if (each === node) each.properties[SOLO] = isActive(each) ? "solo" : "solo, was off";
    else if (isActive(each)) each.properties[SOLO] = "away";
    each.mode = each === node ? 0 : BYPASSED;
  }
}

const LOCK = "soup_lock";

/** @param {any} node */
export const isLocked = (node) => node.properties?.[LOCK] === true;

/** @param {any} node */
export function toggleLock(node) {
  node.properties ??= {};
  if (isLocked(node)) delete node.properties[LOCK];
  else node.properties[LOCK] = true;
}
