/**
 * A recipe as nodes: which ones, with which values and links, and where they stand. Whether they say exactly the
 * recipe is for the server to judge; here is only how they would.
 */
import { widgetOf } from "./nodes.js";
import { word } from "./words.js";

const MOST_NODES = 100;
const GAP = { x: 60, y: 50 };
const TITLE = 30; // of a node, in LiteGraph
const BAND = 5; // nodes side by side

/**
 * @typedef {{file: string, kind: string, name: string | null, state: string}} KnownFile what the server says of a file
 * @typedef {{recipe: any, hash: string, shares: number[] | null, files: KnownFile[], family: string | null}} Told
 * @typedef {{type: string, widgets: Record<string, any>, inputs: Record<string, [number, number]>}} PlannedNode
 *   inputs: the node's place in the plan, and its output
 */

/**
 * What a widget calls a file: by its name here, if the server found it.
 * @param {Told} told
 * @param {{kind?: string, file: string}} wanted
 */
export function nameOf(told, { kind = "checkpoint", file }) {
  const known = told.files.find((each) => each.file === file && each.kind === kind);
  return known?.name ?? file;
}

/**
 * The nodes that say a recipe one by one, the Cook Soup last.
 * @param {Told} told
 * @returns {PlannedNode[]}
 */
export function plainNodes(told) {
  const { recipe } = told;
  /** @type {PlannedNode[]} */
  const nodes = [];
  /** @type {Record<string, [number, number]>} */
  let chain = {};
  for (const each of recipe.ingredients) {
    /** @type {Record<string, [number, number]>} */
    const inputs = { ...chain };
    if (Object.keys(each.blocks).length) inputs.block_weights = [nodes.push(blockNode(told, each)) - 1, 0];
    const lora = each.kind === "lora";
    const widgets = { file: nameOf(told, each), share: each.weight, ...(lora ? { strength: each.strength } : {}),
      elements: each.elements.join("\n") };
    const type = lora ? "DSoupLoRAIngredient" : "DSoupIngredient";
    chain = { ingredients: [nodes.push({ type, widgets, inputs }) - 1, 0] };
  }
  return [...nodes, { type: "DSoupCook", widgets: settings(told), inputs: chain }];
}

/** @param {Told} told @param {any} each @returns {PlannedNode} */
function blockNode(told, each) {
  const mbw = Object.entries(each.blocks).map(([name, weight]) => `${name}=${weight}`).join(", ");
  const widgets = { ...(told.family ? { family: told.family } : {}), meaning: "instead of the share", mbw };
  return { type: "DSoupBlockWeights", widgets, inputs: {} };
}

/** The widgets of Cook Soup. @param {Told} told */
function settings(told) {
  const { recipe } = told;
  const part = (/** @type {string | null} */ owner) =>
    owner === null ? "auto" : ["soup", "base", "none"].includes(owner) ? owner : nameOf(told, { file: owner });
  return {
    method: recipe.method, normalise: recipe.normalise, base: recipe.base ? nameOf(told, recipe.base) : "none",
    text_encoder: part(recipe.text_encoder), vae: part(recipe.vae), dtype: recipe.dtype ?? "auto",
    scale: recipe.parameters.scale ?? 1, rounding_seed: recipe.seed,
  };
}

/** The nodes that say any recipe: its text, and a Cook Soup. @param {Told} told @returns {PlannedNode[]} */
export function textNodes(told) {
  return [{ type: "DSoupRecipe", widgets: { json: JSON.stringify(told.recipe, null, 1) }, inputs: {} },
    { type: "DSoupCook", widgets: {}, inputs: { recipe: [0, 0] } }];
}

/**
 * The planned nodes as a prompt in ComfyUI's API format; `defaults` are the widgets of nodes that were not planned.
 * @param {PlannedNode[]} nodes
 */
export function promptOf(nodes) {
  return Object.fromEntries(nodes.map(({ type, widgets, inputs }, at) => {
    const links = Object.entries(inputs).map(([name, [from, slot]]) => [name, [String(from + 1), slot]]);
    const family = type === "DSoupBlockWeights" ? { family: "SD 1 / SD 2" } : {};
    return [String(at + 1), { class_type: type, inputs: { ...family, ...widgets, ...Object.fromEntries(links) } }];
  }));
}

/**
 * What must be equal for two recipes to be one here: everything but hashes, with files by their names here.
 * @param {any} recipe
 * @param {(file: {kind?: string, file: string}) => string} name
 */
export function essence(recipe, name = ({ file }) => file) {
  const slashes = (/** @type {any} */ file) => name(file).replaceAll("\\", "/");
  const owner = (/** @type {string | null} */ part) =>
    part === null || ["soup", "base", "none"].includes(part) ? part : slashes({ file: part });
  const plain = (/** @type {any} */ file) => ({ ...file, file: slashes(file), sha256: null });
  return JSON.stringify({ ...recipe, base: recipe.base && plain(recipe.base), text_encoder: owner(recipe.text_encoder),
    vae: owner(recipe.vae), ingredients: recipe.ingredients.map(plain) });
}

/** Why widgets cannot hold this recipe, as part of a sentence; "" if they can. @param {Told} told */
export function tooMuch({ recipe }) {
  const numbers = recipe.ingredients.flatMap((/** @type {any} */ each) => [each.weight, each.strength ?? 1]);
  if (plainNodes({ recipe, hash: "", shares: null, files: [], family: null }).length > MOST_NODES) {
    return word("It has {0} ingredients", recipe.ingredients.length);
  }
  if (numbers.some((/** @type {number} */ number) => Math.abs(number) > 10)) return word("It has shares beyond ±10");
  if (Math.abs(recipe.parameters.scale ?? 1) > 10) return word("Its scale is beyond ±10");
  if (recipe.seed >= 2 ** 32) return word("Its rounding seed is larger than 32 bits");
  return "";
}

/**
 * The nodes to build, plain ones where the server finds that they say the same recipe.
 * @param {Told} told
 * @param {(body: any) => Promise<any>} ask the server's answer about a prompt
 * @returns {Promise<{nodes: PlannedNode[], why: string}>} why: what hindered plain nodes
 */
export async function planNodes(told, ask) {
  let why = tooMuch(told);
  if (!why) {
    const nodes = plainNodes(told);
    const wanted = essence(told.recipe, (file) => nameOf(told, file));
    try {
      const answer = await ask({ prompt: promptOf(nodes), node: String(nodes.length) });
      if (essence(answer.recipe) === wanted) return { nodes, why: "" };
    } catch { /* they make no recipe at all */ }
    why = word("Single nodes cannot say it exactly");
  }
  return { nodes: textNodes(told), why };
}

/**
 * Put planned nodes into a graph, in one step of undoing, and select them.
 * @param {PlannedNode[]} planned
 * @param {any} canvas
 * @param {any} LiteGraph
 * @param {[number, number]} place
 * @returns {any[]}
 */
export function buildNodes(planned, canvas, LiteGraph, place) {
  const { graph } = canvas;
  graph.beforeChange();
  try {
    const made = planned.map(({ type }) => {
      const node = LiteGraph.createNode(type);
      if (!node) throw new Error(`The node ${type} is not known here; restart ComfyUI.`);
      return node;
    });
    layOut(planned, made, place); // Nodes 2.0 puts them where they are when they are added
    for (const [at, node] of made.entries()) {
      graph.add(node);
      for (const [name, value] of Object.entries(planned[at].widgets)) setWidget(node, name, value);
    }
    for (const [at, { inputs }] of planned.entries()) {
      for (const [name, [from, slot]] of Object.entries(inputs)) {
        made[from].connect(slot, made[at], made[at].findInputSlot(name));
      }
    }
    layOut(planned, made, place);
    canvas.deselectAll?.();
    canvas.selectItems?.(made);
    return made;
  } finally {
    graph.afterChange();
    canvas.setDirty(true, true);
  }
}

/** @param {any} node @param {string} name @param {any} value */
function setWidget(node, name, value) {
  const widget = widgetOf(node, name);
  if (!widget) return;
  widget.value = value;
  if (typeof value !== "number") widget.callback?.(value, undefined, node); // that of a number would round it
}

/**
 * The chain from left to right, in bands of some nodes; block weights below it, each to the left of its ingredient, so
 * that links run from left to right and behind no node.
 * @param {PlannedNode[]} planned
 * @param {any[]} made
 * @param {[number, number]} place
 */
export function layOut(planned, made, [left, top]) {
  const beside = planned.map(({ type }) => type === "DSoupBlockWeights");
  const width = Math.max(...made.map((node) => node.size[0])) + GAP.x;
  const margin = beside.some(Boolean) ? 1 : 0;
  let [column, y] = [0, top];
  /** @type {any[]} */
  let band = [];
  /** @type {[any, number][]} */
  let below = []; // with their columns
  const close = () => {
    const height = (/** @type {any[]} */ nodes) => Math.max(0, ...nodes.map((node) => node.size[1] + TITLE + GAP.y));
    const lower = y + height(band);
    for (const [node, at] of below) node.pos = [left + at * width, lower];
    y = lower + height(below.map(([node]) => node));
    [column, band, below] = [0, [], []];
  };
  for (const [at, node] of made.entries()) {
    if (beside[at]) {
      if (column === BAND) close();
      below.push([node, column]);
      continue;
    }
    if (column === BAND) close();
    node.pos = [left + (column + margin) * width, y];
    band.push(node);
    column++;
  }
  close();
}
