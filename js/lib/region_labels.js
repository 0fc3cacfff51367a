/** Where the names of regions stand, so that they do not hide each other. */
import { modulo, pieces } from "./region_geometry.js";
import { percent } from "./region_holes.js";
import { word } from "./words.js";

/** @typedef {import("./region_geometry.js").Box} Box */
/** @typedef {import("./region_scene.js").Entry} Entry */
/** @typedef {{left: number, top: number, width: number, text: string}} Place in pixels of the screen */

const [HIGH, SIGN, AROUND] = [15, 6, 12]; // a line; about a letter; the space around a text

/** @param {Entry} entry */
function textOf({ number, name, start, end, hold, trouble }) {
  const text = `${trouble ? "⚠ " : ""}${number} ${name}${
    start === 0 && end === 1 ? "" : ` ${percent(start)}–${percent(end)}`}`;
  return hold ? word("{0} (picture until {1})", text, percent(hold)) : text;
}

/**
 * A place for each region's name: small regions first, in a corner or along an edge of their own that is free.
 * @param {Entry[]} entries
 * @param {import("./region_geometry.js").Canvas} canvas
 * @param {number} wide the canvas's width on the screen
 * @returns {Place[]}
 */
export function labelPlaces(entries, canvas, wide) {
  const scale = wide / canvas.width;
  /** @type {Box[]} */
  const taken = [];
  const order = [...entries.keys()].sort((one, other) =>
    entries[one].width * entries[one].height - entries[other].width * entries[other].height);
  /** @type {Place[]} */
  const places = [];
  for (const index of order) {
    const entry = entries[index];
    const part = largest(entry, canvas, scale);
    const long = textOf(entry);
    const text = (part.width < 46 ? long.slice(0, String(entry.number).length + (entry.trouble ? 2 : 0)) : long);
    const width = Math.min([...text].length * SIGN + AROUND, Math.max(part.width - 4, 16));
    const spots = corners(part, width);
    const hit = (/** @type {Box} */ spot) => taken.filter((each) => overlap(each, spot)).length;
    const spot = spots.find((each) => !hit(each)) ?? spots[0];
    taken.push(spot);
    places[index] = { left: spot.x, top: spot.y, width: Math.max(part.width - 4, 16), text };
  }
  return places;
}

/**
 * The larger part of a region on the screen.
 * @param {Box} region
 * @param {import("./region_geometry.js").Canvas} canvas
 * @param {number} scale
 */
function largest({ x, y, width, height }, canvas, scale) {
  const start = canvas.wrap ? modulo(x, canvas.width) : x;
  const parts = pieces({ x: start, y, width, height }, canvas.wrap ? canvas.width : Infinity);
  const part = parts.reduce((best, each) => (each.width > best.width ? each : best));
  return { x: part.x * scale, y: part.y * scale, width: part.width * scale, height: part.height * scale };
}

/** @param {Box} part @param {number} width @returns {Box[]} */
function corners(part, width) {
  const [left, top] = [part.x + 2, part.y + 2];
  const [right, bottom] = [part.x + part.width - width - 2, part.y + part.height - HIGH - 2];
  const middle = { x: part.x + (part.width - width) / 2, y: part.y + (part.height - HIGH) / 2 };
  const steps = Array.from({ length: 6 }, (_, at) => left + ((right - left) * at) / 5);
  return [[left, top], [middle.x, top], [right, top], [left, bottom], [middle.x, bottom], [right, bottom],
    ...steps.flatMap((x) => [[x, top], [x, bottom]]), [middle.x, middle.y]].map(([x, y]) => ({ x, y, width, height: HIGH }));
}

/** @param {Box} one @param {Box} other */
const overlap = (one, other) => one.x < other.x + other.width && other.x < one.x + one.width &&
  one.y < other.y + other.height && other.y < one.y + one.height;
