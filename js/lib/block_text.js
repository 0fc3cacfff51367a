/**
 * Block weights as text, read and written as Soup Block Weights does. No elements, no nodes.
 *
 * Names, the layouts of each dialect and our presets come from the server (see `nodes/routes.py`).
 */

/** @typedef {Map<string, number>} Weights weight of each block; one that is missing takes the ingredient's share */
/** @typedef {string[][]} Columns for each number of a string, the blocks it sets */
/** @typedef {Record<string, Record<string, number>>} Presets */
/** @typedef {{names: string[], layouts: Record<string, Columns[]>, presets: Presets}} Family */
/**
 * @typedef {object} Tables
 * @property {Record<string, Family>} families
 * @property {Record<string, string>} dialects titles
 * @property {{file: string, presets: Record<string, Presets>, problems: string[]}[]} files the user's preset files
 */
/** @typedef {"names" | "numbers" | "preset" | "sliders" | "engine"} Source */
/** @typedef {{weights: Weights, source: Source, numbers?: number[]}} Reading */

export const TIMES = "times the share";
export const NONE = "none";

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const SPACE = /[ \t\n\r\f\v]+/g;
const ODD_SPACE = /[^\S \t\n\r\f\v]|[\x1c-\x1f\x85]/; // the two languages do not agree on these
const LONGEST = 40; // characters of one number that the engine reads

// -- reading -------------------------------------------------------------------------------------

/** @param {string} text @returns {number | null} */
export function parseNumber(text) {
  const value = text.length <= LONGEST && NUMBER.test(text) ? Number(text) : NaN;
  return Number.isFinite(value) ? value : null;
}

/** @param {string} text */
const stripped = (text) => text.replace(/^[ \t\n\r\f\v]+|[ \t\n\r\f\v]+$/g, "");

/**
 * `OUT03=0.2, double_blocks.7=0.5`: exact names, any family; the last one where a name is listed twice.
 * @param {string} text
 * @returns {Weights | null} null where it takes the engine to say what it means or what is wrong
 */
export function readNames(text) {
  if (ODD_SPACE.test(text)) return null;
  /** @type {Weights} */
  const weights = new Map();
  for (const item of text.split(/[\n,]/).map(stripped).filter(Boolean)) {
    const at = item.indexOf("=");
    const value = at < 0 ? null : parseNumber(stripped(item.slice(at + 1)));
    if (value === null) return null;
    weights.set(stripped(item.slice(0, at)), value);
  }
  return weights;
}

/** @param {string} text @returns {number[] | null} */
export function splitNumbers(text) {
  const bare = text.replace(SPACE, " ").replace(/^[[\]()"' ]+|[[\]()"' ]+$/g, "").replace(/[, ]+$/, "");
  const values = bare.replaceAll(" ,", ",").replaceAll(", ", ",").split(/[, ]/).map(parseNumber);
  return values.some((value) => value === null) ? null : /** @type {number[]} */ (values);
}

/**
 * @param {number[]} numbers
 * @param {Columns[]} layouts of the dialect
 * @returns {Weights | null} null where the count fits none, or parts of one block differ
 */
export function assignNumbers(numbers, layouts) {
  const fitting = layouts.filter((columns) => columns.length === numbers.length);
  if (fitting.length !== 1) return null;
  /** @type {Weights} */
  const weights = new Map();
  for (const [at, names] of fitting[0].entries()) {
    for (const name of names) {
      if ((weights.get(name) ?? numbers[at]) !== numbers[at]) return null;
      weights.set(name, numbers[at]);
    }
  }
  return weights;
}

/**
 * The weights the node would make of its widgets: the text if there is any, else the preset, else the sliders.
 * @param {{family: string, preset: string, mbw: string, dialect: string, sliders: Weights}} widgets
 * @param {Tables} tables
 * @returns {Reading | null} null where it takes the engine to say what it means or what is wrong
 */
export function readWidgets({ family, preset, mbw, dialect, sliders }, tables) {
  const known = tables.families[family];
  if (!known) return null;
  if (stripped(mbw)) {
    if (mbw.includes("=")) {
      const weights = readNames(mbw);
      return weights && { weights, source: "names" };
    }
    const numbers = splitNumbers(mbw);
    const weights = numbers && assignNumbers(numbers, known.layouts[dialect] ?? []);
    return weights && { weights, source: "numbers", numbers };
  }
  if (preset !== NONE) {
    const found = known.presets[preset];
    return found ? { weights: new Map(Object.entries(found)), source: "preset" } : null;
  }
  return { weights: new Map([...sliders].filter(([name]) => known.names.includes(name))), source: "sliders" };
}

/**
 * The family and dialect that a pasted text of numbers fits: what is set now, else another dialect, else another
 * family.
 * @param {number[]} numbers
 * @param {Tables} tables
 * @param {string} family
 * @param {string} dialect
 * @returns {{family: string, dialect: string} | null}
 */
export function fitNumbers(numbers, tables, family, dialect) {
  for (const name of new Set([family, ...Object.keys(tables.families)])) {
    for (const each of new Set([dialect, ...Object.keys(tables.dialects)])) {
      if (assignNumbers(numbers, tables.families[name].layouts[each])) return { family: name, dialect: each };
    }
  }
  return null;
}

// -- writing -------------------------------------------------------------------------------------

/** @param {Weights} one @param {Weights} other @param {Iterable<string>} names @param {number | undefined} neutral */
const equal = (one, other, names, neutral) =>
  [...names].every((name) => (one.get(name) ?? neutral) === (other.get(name) ?? neutral));

/** @param {number} value as both sides read it back to the bit */
const written = (value) => String(value || 0);

/**
 * @param {Weights} weights
 * @param {string[]} names the family's blocks, in order
 * @param {number | undefined} neutral the weight that need not be written
 */
export function writeNames(weights, names, neutral) {
  const others = [...weights.keys()].filter((name) => !names.includes(name));
  const needed = (/** @type {string} */ name) =>
    others.length ? weights.has(name) : (weights.get(name) ?? neutral) !== neutral; // rows do not go away
  const told = [...names.filter(needed), ...others];
  const kept = told.length ? told : names.slice(0, 1); // a text that says nothing would leave it to preset and sliders
  return kept.map((name) => `${name}=${written(weights.get(name) ?? neutral ?? 1)}`).join(", ");
}

/**
 * @param {Weights} weights
 * @param {Columns[]} layouts of the dialect
 * @param {string[]} names the family's blocks
 * @param {number | undefined} neutral the weight of a block that is not told
 * @param {number[]} [before] numbers whose count, and whose values for no block, are kept
 * @returns {string | null} null where these numbers would mean other weights
 */
export function writeNumbers(weights, layouts, names, neutral, before = []) {
  const same = (/** @type {Columns} */ columns) => Number(columns.length === before.length);
  for (const columns of [...layouts].sort((one, other) => same(other) - same(one))) {
    const kept = same(columns) ? before : [];
    const numbers = columns.map(([name], at) => (name ? weights.get(name) ?? neutral : kept[at] ?? 0));
    if (numbers.some((value) => value === undefined)) continue;
    const back = assignNumbers(/** @type {number[]} */ (numbers), layouts);
    if (back && equal(back, weights, new Set([...names, ...weights.keys()]), neutral)) {
      return numbers.map((value) => written(/** @type {number} */ (value))).join(",");
    }
  }
  return null;
}

/**
 * The text of weights: numbers stay numbers where they can say it, names stay names; else what is shorter.
 * @param {Weights} weights
 * @param {Reading | null} before what was there
 * @param {Family} family
 * @param {string} dialect
 * @param {number | undefined} neutral
 */
export function writeText(weights, before, family, dialect, neutral) {
  const named = writeNames(weights, family.names, neutral);
  if (before?.source === "names" || before?.source === "engine") return named;
  const numbers = writeNumbers(weights, family.layouts[dialect] ?? [], family.names, neutral, before?.numbers);
  if (numbers === null) return named;
  return before?.source === "numbers" || numbers.length < named.length ? numbers : named;
}

// -- the shape of a model ------------------------------------------------------------------------

/** @param {string} name */
export const isSide = (name) => /^(IN|OUT)\d\d$/.test(name);

/** @param {string[]} names the blocks of the U, in order: IN, M00, OUT */
export const unet = (names) => names.filter((name) => isSide(name) || name === "M00");

/**
 * The block at the other end of the skip connection: IN05 of OUT06. Itself where there is none.
 * @param {string} name
 * @param {string[]} names the family's blocks
 */
export function mirrored(name, names) {
  const row = unet(names);
  const at = row.indexOf(name);
  return at < 0 ? name : row[row.length - 1 - at];
}

/** How deep a block lies: 0 at the top of the U. @param {string} name @param {string[]} names */
export function depthOf(name, names) {
  const row = unet(names);
  const at = row.indexOf(name);
  return at < 0 ? 0 : Math.floor(Math.min(at, row.length - 1 - at) / 3);
}

// -- curves --------------------------------------------------------------------------------------

/** @type {Record<string, (t: number) => number>} how far between both values, from the first bar (0) to the last (1) */
export const CURVES = {
  linear: (t) => t,
  cosine: (t) => (1 - Math.cos(Math.PI * t)) / 2,
  peak: (t) => 1 - Math.abs(2 * t - 1),
  flat: () => 1,
};

/**
 * @param {string} curve
 * @param {number} from
 * @param {number} to
 * @param {number} count
 * @returns {number[]}
 */
export function curveValues(curve, from, to, count) {
  return Array.from({ length: count }, (_, at) =>
    Number((from + (to - from) * CURVES[curve](count > 1 ? at / (count - 1) : 1)).toFixed(4)));
}
