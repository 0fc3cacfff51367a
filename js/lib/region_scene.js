/** What the nodes of a chain say: a canvas with its regions, and what the engine would refuse, in its words. */
import { GRIDS, REGION, panoramasOf, sayingOf, titleOf } from "./region_chain.js";
import { Trouble, cells, checkCanvas, checkRegion, place, quoted } from "./region_geometry.js";
import { uncovered } from "./region_holes.js";
import { inputOf, kindOf, originOf, widgetOf } from "./nodes.js";
import { word } from "./words.js";

/** @typedef {import("./region_geometry.js").Box} Box */
/** @typedef {import("./region_geometry.js").Canvas} Canvas */
/** @typedef {import("./region_geometry.js").Region} Region */
/** @typedef {import("./region_chain.js").Chain} Chain */
/**
 * @typedef {Region & {
 *   key: string, node: any, cell: number, number: number, locked: Set<string>, box: Box | null, trouble: string,
 * }} Entry a region as it is shown; cell: of a Region Grid, else -1; box: null where it does not fit
 */
/**
 * @typedef {object} Scene
 * @property {Chain} chain
 * @property {Canvas | null} canvas
 * @property {Entry[]} entries
 * @property {string[]} notes what is not known before the graph runs
 * @property {string} trouble the first thing that is wrong
 * @property {Entry | null} culprit whose trouble it is
 * @property {Box[]} holes in latents
 */

const RECTANGLE = ["x", "y", "width", "height"];
const COUNTING = ["weights", "mask_weight", "feather", "start", "end"];
const SIZES = ["width", "height", "wrap", "tile_width", "tile_height", "overlap_x", "overlap_y"];

/** @param {Chain} chain @returns {Scene} */
export function readScene(chain) {
  /** @type {Scene} */
  const scene = { chain, canvas: null, entries: [], notes: [], trouble: chain.trouble, culprit: null, holes: [] };
  if (!chain.canvas) return scene;
  scene.canvas = readCanvas(chain.canvas, scene);
  if (!scene.canvas) return scene;
  for (const node of chain.nodes) {
    if (kindOf(node) === REGION) readRegion(node, scene);
    else if (kindOf(node) === GRIDS) readGrid(node, scene);
    else scene.notes.push(word("{0}: its regions are known when the graph runs.", titleOf(node)));
  }
  judge(scene);
  return scene;
}

/** @param {any} node @param {Scene} scene @returns {Canvas | null} */
function readCanvas(node, scene) {
  const { values, unknown } = read(node, SIZES);
  if (unknown) {
    scene.trouble ||= word("The canvas's {0} comes through a link and is known when the graph runs.",
      labelOf(node, unknown));
    return null;
  }
  const canvas = {
    width: Number(values.width), height: Number(values.height), wrap: values.wrap === true,
    tileWidth: Number(values.tile_width), tileHeight: Number(values.tile_height),
    overlapX: Number(values.overlap_x), overlapY: Number(values.overlap_y),
  };
  return attempt(scene, null, () => checkCanvas(canvas)) ? canvas : null;
}

/** @param {any} node @param {Scene} scene */
function readRegion(node, scene) {
  const { values, unknown, locked } = read(node, ["name", ...RECTANGLE, ...COUNTING, "hold"]);
  const name = String(values.name ?? "").trim() || word("region {0}", scene.entries.length + 1);
  if (unknown) {
    scene.notes.push(word("{0}: its {1} comes through a link and is known when the graph runs.", quoted(name),
      labelOf(node, unknown)));
    return;
  }
  const [prompted, pictured] = ["positive", "picture"].map((input) => inputOf(node, input)?.link != null);
  const [x, y, width, height] = RECTANGLE.map((each) => Number(values[each]));
  const entry = entered(scene, node, -1, {
    name, x, y, width, height, ...counting(values), hold: pictured ? Number(values.hold ?? 0) : 0, prompted,
  }, locked);
  attempt(scene, entry, () => {
    checkRegion(entry);
    if (!prompted && !pictured) {
      throw new Trouble(word("Region {0} has neither a prompt nor a picture; connect positive, or picture and vae.",
        quoted(name)));
    }
    if (pictured && inputOf(node, "vae")?.link == null) {
      throw new Trouble(word("Region {0} has a picture but no VAE to encode it; connect vae.", quoted(name)));
    }
  });
  attempt(scene, entry, () => { entry.box = place(/** @type {Canvas} */ (scene.canvas), entry); });
  if (inputOf(node, "mask")?.link == null) return;
  scene.notes.push(word("{0}: its mask counts when the graph runs.", quoted(name)));
}

/** @param {any} node @param {Scene} scene */
function readGrid(node, scene) {
  const { values, unknown, locked } = read(node,
    ["prompts", "rows", "columns", "grid_overlap_x", "grid_overlap_y", ...COUNTING]);
  if (unknown && unknown !== "prompts") {
    scene.notes.push(word("{0}: its {1} comes through a link and is known when the graph runs.", titleOf(node),
      labelOf(node, unknown)));
    return;
  }
  const [rows, columns, x, y] = ["rows", "columns", "grid_overlap_x", "grid_overlap_y"].map((each) =>
    Number(values[each]));
  const lines = linesOf(values.prompts, rows * columns);
  if (lines.length !== rows * columns && unknown !== "prompts") {
    scene.trouble ||= word("Region Grid has {0} x {1} = {2} cells, but {3} lines of prompts; write one line for each " +
      "cell, or a single one for all.", rows, columns, rows * columns, lines.length);
  }
  /** @type {Box[]} */
  let boxes = [];
  attempt(scene, null, () => { boxes = cells(/** @type {Canvas} */ (scene.canvas), rows, columns, x, y); });
  for (const [cell, box] of boxes.entries()) {
    const entry = entered(scene, node, cell, {
      name: short(lines[cell] ?? "") || word("cell {0}", cell + 1), ...box, ...counting(values), hold: 0,
      prompted: true,
    }, new Set([...locked, ...RECTANGLE, "name"]));
    attempt(scene, entry, () => checkRegion(entry));
    attempt(scene, entry, () => { entry.box = place(/** @type {Canvas} */ (scene.canvas), entry); });
  }
}

/**
 * The prompts of a grid's cells: a single line counts for all.
 * @param {unknown} text
 * @param {number} count
 * @returns {string[]}
 */
export function linesOf(text, count) {
  const whole = String(text ?? "").trim();
  const lines = whole ? whole.split(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/).map((line) => line.trim()) : [];
  return lines.length === 1 ? Array.from({ length: count }, () => lines[0]) : lines;
}

/** A prompt's beginning, as a name. @param {string} prompt */
function short(prompt) {
  const signs = [...prompt];
  return signs.length <= 24 ? prompt : `${signs.slice(0, 23).join("").replace(/[ ,]+$/, "")}…`;
}

/** What must be looked at all together. @param {Scene} scene */
function judge(scene) {
  const { chain, canvas, entries, notes } = scene;
  const last = chain.nodes.at(-1) ?? chain.canvas;
  if (scene.trouble || !canvas) return;
  const [panorama] = panoramasOf(last);
  if (!entries.length) {
    if (!notes.length && panorama) scene.trouble = word("The canvas has no region; add at least one.");
    return;
  }
  const linked = (/** @type {any} */ node, /** @type {string} */ name) => inputOf(node, name)?.link != null;
  const bare = entries.find(({ node, prompted }) => prompted && !linked(node, "negative"));
  if (bare && panorama && !linked(panorama, "negative")) {
    scene.trouble = word("Region {0} has no negative prompt; connect one to it, or one for all regions to Panorama.",
      quoted(bare.name));
    return;
  }
  const known = !notes.length && entries.every(({ box }) => box);
  const hole = known ? uncovered(canvas, /** @type {any} */ (entries)) : null;
  scene.holes = hole?.rectangles ?? [];
  scene.trouble = hole?.text ?? "";
}

// -- reading ---------------------------------------------------------------------------------------

/** What a widget is called on its node. @param {any} node @param {string} name */
const labelOf = (node, name) => String(widgetOf(node, name)?.label || name);

/**
 * @param {any} node
 * @param {string[]} names
 * @returns {{values: Record<string, any>, unknown: string, locked: Set<string>}} unknown: the first that is not known
 */
function read(node, names) {
  const locked = new Set();
  let unknown = "";
  const values = Object.fromEntries(names.map((name) => {
    const { value, linked } = sayingOf(node, name);
    if (linked) locked.add(name);
    if (linked && value === undefined) unknown ||= name;
    return [name, value];
  }));
  return { values, unknown, locked };
}

/** @param {Record<string, any>} values */
const counting = (values) => ({
  kind: String(values.weights), weight: Number(values.mask_weight), feather: Number(values.feather ?? 0),
  start: Number(values.start ?? 0), end: Number(values.end ?? 1),
});

/** @param {Scene} scene @param {any} node @param {number} cell @param {Region} region @param {Set<string>} locked */
function entered(scene, node, cell, region, locked) {
  /** @type {Entry} */
  const entry = {
    ...region, key: cell < 0 ? String(node.id) : `${node.id}:${cell}`, node, cell, number: scene.entries.length + 1,
    locked, box: null, trouble: "",
  };
  scene.entries.push(entry);
  return entry;
}

/** @param {Scene} scene @param {Entry | null} entry @param {() => void} check whether it went well */
function attempt(scene, entry, check) {
  try {
    check();
    return true;
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    if (!scene.trouble) Object.assign(scene, { trouble: error.message, culprit: entry });
    if (entry) entry.trouble ||= error.message;
    return false;
  }
}
