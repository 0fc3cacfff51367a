/** Changes of the graph by the region editor: values, new regions with their prompts, links. Each is one step to undo. */
import { REGION, REGIONS, consumersOf, exitOf } from "./region_chain.js";
import { inputOf, kindOf, originOf, widgetOf } from "./nodes.js";
import { linesOf } from "./region_scene.js";
import { word } from "./words.js";

/** @typedef {import("./region_geometry.js").Box} Box */
/** @typedef {import("./region_chain.js").Chain} Chain */
/** @typedef {import("./region_scene.js").Entry} Entry */
/** @typedef {{node: any, slot: number, label: string, value: string}} Source an output to connect to */

const PROMPT = "CLIPTextEncode";
const [GAP, TITLE] = [60, 36]; // between nodes; above them
const SHOWN = 32; // signs of a prompt in a list

/** @param {any} node @param {Record<string, any>} values */
export function write(node, values) {
  for (const [name, value] of Object.entries(values)) {
    const widget = widgetOf(node, name);
    if (!widget || widget.value === value) continue;
    widget.value = value;
    widget.callback?.(value); // Nodes 2.0 shows what comes through here
  }
  node.setDirtyCanvas?.(true, true);
}

// -- regions ---------------------------------------------------------------------------------------

/**
 * A region after all others, with a prompt of its own.
 * @param {Chain} chain
 * @param {Box} box in pixels
 * @param {(type: string) => any} create
 * @returns {any} its node; null where there can be none
 */
export function addRegion(chain, box, create) {
  const region = create(REGION);
  const tail = chain.nodes.at(-1) ?? chain.canvas;
  if (!region || !tail) return null;
  const prompt = create(PROMPT);
  const like = chain.nodes.filter((node) => kindOf(node) === REGION).at(-1);
  settle(tail.graph, tail, region, prompt, like);
  write(region, box);
  if (like) for (const name of ["weights", "feather"]) write(region, { [name]: widgetOf(like, name)?.value });
  const clip = clipOf(chain);
  if (prompt && clip) clip.origin.connect(clip.slot, prompt, slotOf(prompt, "clip"));
  if (prompt) prompt.connect(0, region, slotOf(region, "positive"));
  insert(tail, region);
  return region;
}

/**
 * A copy after all others, with a copy of its prompt.
 * @param {Chain} chain
 * @param {Entry} entry
 * @param {Box} box
 */
export function copyRegion(chain, entry, box) {
  const { node } = entry;
  const tail = chain.nodes.at(-1);
  const text = originOf(node, inputOf(node, "positive"))?.origin;
  const [region, prompt] = [node.clone(), kindOf(text) === PROMPT ? text.clone() : null];
  settle(node.graph, tail, region, prompt, node);
  for (const input of node.inputs) {
    const from = originOf(node, input);
    if (!from || input.type === REGIONS || (prompt && input.name === "positive")) continue;
    from.origin.connect(from.slot, region, slotOf(region, input.name));
  }
  if (prompt) {
    const clip = originOf(text, inputOf(text, "clip"));
    if (clip) clip.origin.connect(clip.slot, prompt, slotOf(prompt, "clip"));
    prompt.connect(0, region, slotOf(region, "positive"));
  }
  write(region, { ...box, name: entry.name === word("region {0}", entry.number) ? "" : word("{0} copy", entry.name) });
  insert(tail, region);
  return region;
}

/** Take a region out of its chain, and a prompt with it that nothing else uses. @param {any} node */
export function removeRegion(node) {
  const { graph } = node;
  const before = originOf(node, inputOf(node, "regions"));
  const prompt = originOf(node, inputOf(node, "positive"))?.origin;
  const links = linksOf(node, exitOf(node));
  for (const { target_id: id, target_slot: slot } of links) {
    if (before) before.origin.connect(before.slot, graph.getNodeById(id), slot);
  }
  const alone = kindOf(prompt) === PROMPT && linksOf(prompt, 0).length === 1;
  graph.remove(node);
  if (alone) graph.remove(prompt);
}

/** Put a region after a node: what hung there hangs on the region. @param {any} tail @param {any} region */
function insert(tail, region) {
  const links = new Map(consumersOf(tail).map(({ link }) => [link.id, link]));
  const goals = [...links.values()].map((link) => [link.target_id, link.target_slot]);
  for (const [id, slot] of goals) region.connect(exitOf(region), tail.graph.getNodeById(id), slot);
  tail.connect(exitOf(tail), region, slotOf(region, "regions"));
}

/** @param {any} node @param {number} slot */
function linksOf(node, slot) {
  const ids = [...(node.outputs?.[slot]?.links ?? [])];
  return ids.map((id) => node.graph.getLink?.(id) ?? node.graph.links[id]).filter(Boolean);
}

/** @param {any} node @param {string} name */
const slotOf = (node, name) => node.inputs.findIndex((/** @type {any} */ input) => input.name === name);

/** Where the prompts of a chain have their CLIP from. @param {Chain} chain */
function clipOf({ canvas, nodes }) {
  for (const node of [...nodes].reverse()) {
    const text = kindOf(node) === REGION ? originOf(node, inputOf(node, "positive"))?.origin : node;
    const clip = text && originOf(text, inputOf(text, "clip"));
    if (clip) return clip;
  }
  const all = canvas.graph.nodes;
  const used = all.map((/** @type {any} */ node) => (kindOf(node) === PROMPT ? originOf(node, inputOf(node, "clip")) : null))
    .find(Boolean);
  if (used) return used;
  const [only, more] = sourcesOf(canvas, "CLIP");
  return only && !more ? { origin: only.node, slot: only.slot } : null;
}

// -- places ----------------------------------------------------------------------------------------

/**
 * Add a region and its prompt beside the last one, in the same order, where nothing else is.
 * @param {any} graph
 * @param {any} tail
 * @param {any} region
 * @param {any} prompt
 * @param {any} like a region whose prompt shows where prompts lie
 */
function settle(graph, tail, region, prompt, like) {
  const text = like && originOf(like, inputOf(like, "positive"))?.origin;
  const near = text && Math.abs(text.pos[0] - like.pos[0]) < 400 && Math.abs(text.pos[1] - like.pos[1]) < 700;
  if (like) region.setSize?.([...like.size]);
  const high = prompt?.size[1] ?? 0;
  if (prompt) prompt.setSize?.([region.size[0], near ? text.size[1] : high]);
  const apart = near ? [text.pos[0] - like.pos[0], text.pos[1] - like.pos[1]]
    : [0, -(prompt?.size[1] ?? 0) - TITLE - 18];
  const nodes = prompt ? [[region, [0, 0]], [prompt, apart]] : [[region, [0, 0]]];
  const wide = tail.size[0] + GAP;
  const start = like ? [tail.pos[0], like.pos[1]] : [tail.pos[0], tail.pos[1] - Math.min(apart[1], 0)];
  const low = region.size[1] + Math.abs(apart[1]) + TITLE + GAP;
  const goals = [[1, 0], [0, 1], [1, 1], [0, 2], [1, 2], [2, 0], [2, 1], [3, 0], [3, 1], [0, 3], [1, 3]]
    .map(([across, down]) => [start[0] + across * wide, start[1] + down * low]);
  const free = goals.find((goal) => nodes.every(([node, by]) => isFree(graph, goal, by, node.size))) ?? goals[0];
  for (const [node, by] of nodes) {
    node.pos = [free[0] + by[0], free[1] + by[1]];
    graph.add(node);
  }
}

/** @param {any} graph @param {number[]} goal @param {number[]} by @param {number[]} size */
function isFree(graph, [x, y], [right, down], [width, height]) {
  const [left, top] = [x + right - 10, y + down - TITLE];
  return graph.nodes.every((/** @type {any} */ { pos, size }) => pos[0] >= left + width + 20 ||
    pos[0] + size[0] <= left || pos[1] - TITLE >= top + height + TITLE || pos[1] + size[1] <= top);
}

// -- prompts and styles ----------------------------------------------------------------------------

/**
 * The widget with a region's prompt; null where there is none to be found.
 * @param {Entry} entry
 * @returns {{node: any, name: string, locked: boolean} | null}
 */
export function promptOf({ node, cell }) {
  if (cell >= 0) return { node, name: "prompts", locked: inputOf(node, "prompts")?.link != null };
  let from = originOf(node, inputOf(node, "positive"));
  for (const seen = new Set(); from && !seen.has(from.origin);) {
    const { origin, slot } = from;
    seen.add(origin);
    if (widgetOf(origin, "text")) {
      return { node: origin, name: "text", locked: inputOf(origin, "text")?.link != null };
    }
    const inputs = (origin.inputs ?? []).filter((/** @type {any} */ { type }) => type === "CONDITIONING");
    from = originOf(origin, kindOf(origin) === "Reroute" ? origin.inputs?.[0] : inputs[inputs.length > 1 ? slot : 0]);
  }
  return null;
}

/** @param {Entry} entry @returns {string} */
export function textOf(entry) {
  const prompt = promptOf(entry);
  const text = String((prompt && widgetOf(prompt.node, prompt.name)?.value) ?? "");
  return entry.cell < 0 ? text : linesOf(text, cellsOf(entry.node))[entry.cell] ?? "";
}

/** @param {Entry} entry @param {string} text */
export function writeText(entry, text) {
  const prompt = promptOf(entry);
  if (!prompt || prompt.locked) return;
  if (entry.cell < 0) return write(prompt.node, { [prompt.name]: text });
  const lines = linesOf(widgetOf(prompt.node, "prompts")?.value, cellsOf(entry.node));
  lines[entry.cell] = text.replace(/\s*\n\s*/g, " ");
  write(prompt.node, { prompts: lines.every((line) => line === lines[0]) ? lines[0] : lines.join("\n") });
}

/** Whether a region's prompt can be typed here. @param {Entry} entry */
export function isTyped(entry) {
  const prompt = promptOf(entry);
  if (!prompt || prompt.locked) return false;
  return entry.cell < 0 || linesOf(widgetOf(prompt.node, "prompts")?.value, cellsOf(entry.node)).length ===
    cellsOf(entry.node);
}

/** @param {any} node */
const cellsOf = (node) => Number(widgetOf(node, "rows")?.value) * Number(widgetOf(node, "columns")?.value);

/**
 * Outputs of a type that a node may be connected to: all but those that depend on it.
 * @param {any} node
 * @param {string} type
 * @returns {Source[]}
 */
function sourcesOf(node, type) {
  const after = new Set([node]);
  for (const each of after) {
    for (let slot = 0; slot < (each.outputs?.length ?? 0); slot += 1) {
      for (const { target_id: id } of linksOf(each, slot)) {
        const target = node.graph.getNodeById(id);
        if (target) after.add(target);
      }
    }
  }
  return node.graph.nodes.filter((/** @type {any} */ each) => !after.has(each) && kindOf(each) !== "Reroute")
    .flatMap((/** @type {any} */ each) => (each.outputs ?? []).flatMap((/** @type {any} */ output, /** @type {number} */ slot) =>
      (output.type === type ? [{ node: each, slot, value: `${each.id} ${slot}`, label: labelOf(each, slot) }] : [])));
}

/** What a region's prompt and style can come from. @param {Entry | null} entry */
export const sourcesFor = (entry) => entry && {
  key: entry.key, prompts: sourcesOf(entry.node, "CONDITIONING"), styles: sourcesOf(entry.node, "DSOUP_STYLE"),
};

/** @param {any} node @param {number} slot */
function labelOf(node, slot) {
  const text = String(widgetOf(node, "text")?.value ?? "").trim();
  const several = node.outputs.length > 1 ? ` ${node.outputs[slot].name}` : "";
  const title = `${node.title ?? node.type}${several} #${node.id}`;
  return text ? `${text.length > SHOWN ? `${text.slice(0, SHOWN - 1)}…` : text} (${title})` : title;
}

/** @param {any} node @param {string} name @returns {string} as in the value of a source; "" for none */
export function connectedTo(node, name) {
  let from = originOf(node, inputOf(node, name));
  for (let turns = 0; from && kindOf(from.origin) === "Reroute" && turns < 99; turns += 1) {
    from = originOf(from.origin, from.origin.inputs?.[0]);
  }
  return from ? `${from.origin.id} ${from.slot}` : "";
}

/** @param {any} node @param {string} name of the input @param {string} value of a source; "" for none */
export function connect(node, name, value) {
  const [id, slot] = value.split(" ");
  if (!value) return node.disconnectInput(slotOf(node, name));
  const { graph } = node;
  const source = graph.nodes.find((/** @type {any} */ each) => String(each.id) === id);
  source?.connect(Number(slot), node, slotOf(node, name));
}

