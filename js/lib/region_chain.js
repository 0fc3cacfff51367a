/**
 * The nodes that say what is on a panorama: a Canvas, and the regions that hang on it one after the other.
 *
 * They are followed through reroutes and bypassed nodes, from a Panorama up or from a Canvas down.
 */
import { inputOf, kindOf, originOf, widgetOf } from "./nodes.js";
import { word } from "./words.js";

export const REGIONS = "DSOUP_REGIONS";
export const CANVAS = "DSoupCanvas";
export const PANORAMA = "DSoupPanorama";
export const REGION = "DSoupRegion";
export const GRIDS = "DSoupRegionGrid";
export const MASKS = "DSoupRegionsFromMask";
const KINDS = [REGION, GRIDS, MASKS];
const [MUTED, BYPASSED] = [2, 4]; // modes of a node
const PRIMITIVES = /^Primitive(Int|Float|String|StringMultiline|Boolean)$/;

/**
 * @typedef {object} Chain
 * @property {any} canvas the Canvas; null where there is none to be found
 * @property {any[]} nodes those with regions, in order; bypassed ones are left out
 * @property {string} trouble why it cannot be followed to its Canvas
 */

/** @param {any} node */
export const titleOf = (node) => String(node.title ?? node.type);

/** Whether what comes in goes out unchanged. @param {any} node */
const passes = (node) => kindOf(node) === "Reroute" || node.mode === BYPASSED;

/** @param {any} node */
const entry = (node) => (kindOf(node) === "Reroute" ? node.inputs?.[0]
  : node.inputs?.find((/** @type {any} */ { type }) => type === REGIONS));

/** The output with the regions. @param {any} node */
export const exitOf = (node) => (kindOf(node) === "Reroute" ? 0
  : node.outputs?.findIndex((/** @type {any} */ { type }) => type === REGIONS) ?? -1);

/**
 * The chain that ends with a node: a Panorama, a node with regions, or a Canvas.
 * @param {any} end
 * @returns {Chain}
 */
export function chainTo(end) {
  /** @type {any[]} */
  const nodes = [];
  const seen = new Set();
  let node = end;
  while (node && !seen.has(node)) {
    seen.add(node);
    if (node !== end && node.mode === MUTED) {
      return { canvas: null, nodes, trouble: word("{0} is muted, so nothing comes through it.", titleOf(node)) };
    }
    if (!passes(node) || node === end) {
      if (kindOf(node) === CANVAS) return { canvas: node, nodes, trouble: "" };
      if (KINDS.includes(kindOf(node))) nodes.unshift(node);
      else if (kindOf(node) !== PANORAMA || node !== end) {
        const trouble = word("What comes from {0} is known when the graph runs.", titleOf(node));
        return { canvas: null, nodes, trouble };
      }
    }
    const input = entry(node);
    const origin = originOf(node, input)?.origin ?? null;
    if (!origin && input?.link != null) {
      return { canvas: null, nodes, trouble: word("The Canvas lies outside of this subgraph; open it there.") };
    }
    node = origin;
  }
  return { canvas: null, nodes, trouble: "" };
}

/**
 * The nodes that a node's regions go to, and the links that lead there.
 * @param {any} node
 * @param {Set<any>} [seen]
 * @returns {{target: any, link: any}[]} link: the first one, at the node itself
 */
export function consumersOf(node, seen = new Set()) {
  const links = node.outputs?.[exitOf(node)]?.links ?? [];
  return links.flatMap((/** @type {any} */ id) => {
    const link = node.graph?.getLink?.(id) ?? node.graph?.links?.[id];
    const target = link && node.graph.getNodeById(link.target_id);
    if (!target || seen.has(target)) return [];
    seen.add(target);
    if (passes(target)) return consumersOf(target, seen).map((further) => ({ ...further, link }));
    return target.mode === MUTED ? [] : [{ target, link }];
  });
}

/** @param {any} node @returns {any[]} those with regions that come right after it */
const followers = (node) => consumersOf(node).map(({ target }) => target)
  .filter((target) => KINDS.includes(kindOf(target)));

/** @param {any} node @returns {any[]} the Panoramas that it goes to */
export const panoramasOf = (node) => consumersOf(node).map(({ target }) => target)
  .filter((target) => kindOf(target) === PANORAMA);

/**
 * The last nodes of the chains that begin at a Canvas: those that go to a Panorama, or nowhere.
 * @param {any} canvas
 * @returns {any[]}
 */
export function endsOf(canvas) {
  /** @type {any[]} */
  const found = [];
  const seen = new Set();
  const visit = (/** @type {any} */ node) => {
    if (seen.has(node)) return;
    seen.add(node);
    const next = followers(node);
    if (!next.length || panoramasOf(node).length) found.push(node);
    next.forEach(visit);
  };
  visit(canvas);
  return found;
}

/**
 * A widget's value, and whether it comes through a link; undefined where it is known only when the graph runs.
 * @param {any} node
 * @param {string} name
 * @returns {{value: any, linked: boolean}}
 */
export function sayingOf(node, name) {
  let from = originOf(node, inputOf(node, name));
  const own = widgetOf(node, name)?.value;
  if (!from) return { value: inputOf(node, name)?.link == null ? own : undefined, linked: inputOf(node, name)?.link != null };
  for (let turns = 0; from && passes(from.origin) && kindOf(from.origin) === "Reroute" && turns < 99; turns += 1) {
    from = originOf(from.origin, from.origin.inputs?.[0]);
  }
  if (!from) return { value: undefined, linked: true };
  if (kindOf(from.origin) === "PrimitiveNode") return { value: own, linked: true };
  if (!PRIMITIVES.test(kindOf(from.origin)) || from.origin.mode === MUTED) return { value: undefined, linked: true };
  const { value, linked } = sayingOf(from.origin, "value");
  return { value: linked ? undefined : value, linked: true };
}
