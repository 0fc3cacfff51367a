/**
 * Where regions, cells and tiles lie on the canvas of a panorama, as the engine counts it.
 *
 * Users speak of pixels; boxes are in latents of 8 pixels. On a wrapped canvas x counts modulo its width, so a box may
 * reach past the right edge and go on at the left one. Sentences about what is wrong are the engine's own.
 */
import { word } from "./words.js";

export const GRID = 8; // pixels a latent
export const SMALLEST = 64; // pixels
export const LARGEST = 16384; // pixels
export const KINDS = ["gaussian", "quartic", "constant", "feathered box"];
const [LIGHTEST, HEAVIEST] = [1e-6, 1e6]; // mask weights

/** @typedef {{x: number, y: number, width: number, height: number}} Box */
/**
 * @typedef {object} Canvas
 * @property {number} width in pixels
 * @property {number} height
 * @property {boolean} wrap
 * @property {number} tileWidth
 * @property {number} tileHeight
 * @property {number} overlapX
 * @property {number} overlapY
 */
/**
 * @typedef {object} Region
 * @property {string} name
 * @property {number} x in pixels
 * @property {number} y
 * @property {number} width
 * @property {number} height
 * @property {string} kind how much it counts from its middle to its edges
 * @property {number} weight its mask weight
 * @property {number} feather in pixels
 * @property {number} start the share of the sampling from which its prompt counts
 * @property {number} end
 * @property {number} hold until which share of the sampling its picture holds its place
 * @property {boolean} prompted whether it has a prompt, or a picture alone
 */

/** What the engine refuses, in its words. */
export class Trouble extends Error {}

// -- numbers and names as Python writes them -------------------------------------------------------

/** @param {number} value @param {number} by */
export const modulo = (value, by) => ((value % by) + by) % by;

/** Halves go to the even neighbour. @param {number} value */
function rounded(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 ? below + 1 : below;
}

/** @param {number} pixels @returns {number} latents */
export const snapped = (pixels) => Math.floor(pixels / GRID + 0.5);

/** A name in quotes. @param {string} text */
export function quoted(text) {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const inside = text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\t", "\\t");
  return mark + (mark === "'" ? inside.replaceAll("'", "\\'") : inside) + mark;
}

/** With six digits at most. @param {number} value */
export function general(value) {
  const [digits, power] = value.toExponential(5).split("e");
  if (Number(power) >= -4 && Number(power) < 6) return String(Number(value.toPrecision(6)));
  return `${Number(digits)}e${power[0]}${power.slice(1).padStart(2, "0")}`;
}

// -- the canvas and its regions --------------------------------------------------------------------

/** @param {Canvas} canvas */
export function checkCanvas({ width, height, tileWidth, tileHeight, overlapX, overlapY }) {
  for (const [what, size] of /** @type {[string, number][]} */ ([
    [word("The canvas's width"), width], [word("The canvas's height"), height]])) {
    if (!(size >= SMALLEST && size <= LARGEST)) {
      throw new Trouble(word("{0} is {1} px; give it {2} to {3} px.", what, size, SMALLEST, LARGEST));
    }
    onGrid(what, size);
  }
  checkTiles(tileWidth, overlapX, word("width"), word("The tile's width"), word("The overlap of tiles in width"));
  checkTiles(tileHeight, overlapY, word("height"), word("The tile's height"), word("The overlap of tiles in height"));
}

/**
 * @param {number} size of a tile along an axis
 * @param {number} overlap
 * @param {string} axis
 * @param {string} tile what the size is called
 * @param {string} overlapping what the overlap is called
 */
function checkTiles(size, overlap, axis, tile, overlapping) {
  onGrid(tile, size);
  onGrid(overlapping, overlap);
  if (size && size < SMALLEST) {
    throw new Trouble(word("{0} is {1} px; give it at least {2} px, or 0 for regions in one piece.", tile, size,
      SMALLEST));
  }
  if (overlap < 0 || (size && overlap >= size)) {
    throw new Trouble(word("Tiles of {0} {1} px cannot overlap by {2} px; the overlap must be 0 or more, and smaller " +
      "than the tile.", axis, size, overlap));
  }
}

/** @param {Region} region */
export function checkRegion({ name, kind, weight, start, end, hold, feather }) {
  const who = quoted(name);
  if (!KINDS.includes(kind)) {
    throw new Trouble(word("Region {0} has weights of kind {1}; choose one of {2}.", who, quoted(kind),
      KINDS.join(", ")));
  }
  if (!(weight >= LIGHTEST && weight <= HEAVIEST)) {
    throw new Trouble(word("Region {0} has a mask weight of {1}; give it a number from {2} to {3}. To leave the " +
      "region out, bypass its node.", who, general(weight), general(LIGHTEST), general(HEAVIEST)));
  }
  if (!(start >= 0 && start < end && end <= 1)) {
    throw new Trouble(word("Region {0} is to start at {1} and to end at {2}; both are shares of the sampling from 0 " +
      "to 1, and the start must be before the end.", who, general(start), general(end)));
  }
  if (!(hold >= 0 && hold <= 1)) {
    throw new Trouble(word("Region {0} is to hold its picture until {1}; give a share of the sampling, from 0 to 1.",
      who, general(hold)));
  }
  if (feather < 0) throw new Trouble(word("Region {0} has a feather of {1} px; give it 0 or more.", who, feather));
}

/**
 * A region's rectangle in latents: its edges snapped to the nearest multiple of 8 pixels.
 * @param {Canvas} canvas
 * @param {Pick<Region, "name" | "x" | "y" | "width" | "height">} region
 * @returns {Box}
 */
export function place(canvas, { name, x, y, width, height }) {
  const who = quoted(name);
  if (canvas.wrap && width > canvas.width) {
    throw new Trouble(word("Region {0} is {1} px wide, wider than the canvas all around ({2} px); make it at most " +
      "{3} px wide.", who, width, canvas.width, canvas.width));
  }
  if (!(y >= 0 && y + height <= canvas.height)) {
    throw new Trouble(word("Region {0} reaches from y = {1} to {2}, but the canvas is {3} px high; move it or make " +
      "it smaller.", who, y, y + height, canvas.height));
  }
  if (!canvas.wrap && !(x >= 0 && x + width <= canvas.width)) {
    throw new Trouble(word("Region {0} reaches from x = {1} to {2}, but the canvas is {3} px wide; move it or make " +
      "it smaller, or let the canvas wrap.", who, x, x + width, canvas.width));
  }
  const box = boxOf(canvas, { x, y, width, height });
  if (Math.min(box.width, box.height) * GRID < SMALLEST) {
    throw new Trouble(word("Region {0} is {1} x {2} px ({3} x {4} on the grid of {5} px); make it at least {6} px " +
      "wide and high.", who, width, height, box.width * GRID, box.height * GRID, GRID, SMALLEST));
  }
  return box;
}

/** The rectangle in latents, whether it fits or not. @param {Canvas} canvas @param {Box} pixels @returns {Box} */
export function boxOf(canvas, { x, y, width, height }) {
  const columns = canvas.width / GRID;
  const [left, top, bottom] = [snapped(x), snapped(y), snapped(y + height)];
  const right = Math.min(snapped(x + width), canvas.wrap ? left + columns : Infinity);
  return { x: canvas.wrap ? modulo(left, columns) : left, y: top, width: right - left, height: bottom - top };
}

/**
 * The one or two parts of a box along x, which may go on at the left edge.
 * @param {Box} box
 * @param {number} columns
 * @returns {Box[]}
 */
export function pieces({ x, y, width, height }, columns) {
  if (x + width <= columns) return [{ x, y, width, height }];
  return [{ x, y, width: columns - x, height }, { x: 0, y, width: x + width - columns, height }];
}

// -- cells and tiles -------------------------------------------------------------------------------

/**
 * Rectangles in pixels of rows x columns cells of one size, in reading order.
 * @param {Canvas} canvas
 * @param {number} rows
 * @param {number} columns
 * @param {number} overlapX
 * @param {number} overlapY
 * @returns {Box[]}
 */
export function cells(canvas, rows, columns, overlapX, overlapY) {
  const across = cellsAlong("columns", canvas.width / GRID, columns, overlapX, canvas.wrap);
  const down = cellsAlong("rows", canvas.height / GRID, rows, overlapY, false);
  return down.flatMap(([y, height]) => across.map(([x, width]) =>
    ({ x: x * GRID, y: y * GRID, width: width * GRID, height: height * GRID })));
}

/**
 * Start and size in latents of cells of one size.
 * @param {"columns" | "rows"} what
 * @param {number} length
 * @param {number} count
 * @param {number} overlap in pixels
 * @param {boolean} wrap
 * @returns {[number, number][]}
 */
function cellsAlong(what, length, count, overlap, wrap) {
  const columns = what === "columns";
  onGrid(columns ? word("The overlap of columns") : word("The overlap of rows"), overlap);
  if (count < 1 || overlap < 0) {
    throw new Trouble(word("A grid cannot have {0} {1} that overlap by {2} px; give at least one, and an overlap of " +
      "0 or more.", count, columns ? word("columns") : word("rows"), overlap));
  }
  const shared = count > 1 ? Math.floor(overlap / GRID) : 0;
  const ring = wrap && count > 1;
  const size = Math.ceil(ring ? length / count + shared : (length + (count - 1) * shared) / count);
  const room = ring ? length : length - size;
  if (size > length || size * GRID < SMALLEST || (count > 1 && room < (ring ? count : count - 1))) {
    throw new Trouble(columns
      ? word("{0} columns that overlap by {1} px do not fit into {2} px; take fewer columns or a smaller overlap.",
        count, overlap, length * GRID)
      : word("{0} rows that overlap by {1} px do not fit into {2} px; take fewer rows or a smaller overlap.",
        count, overlap, length * GRID));
  }
  const starts = Array.from({ length: count }, (_, at) =>
    rounded(ring ? (at * length) / count : (at * (length - size)) / Math.max(count - 1, 1)));
  return starts.map((start) => [start, size]);
}

/**
 * The tiles of a region's box, in reading order; a region no larger than a tile is one tile.
 * @param {Canvas} canvas
 * @param {Box} box
 * @returns {Box[]}
 */
export function tilesOf(canvas, box) {
  const columns = canvas.width / GRID;
  const [wide, high] = [Math.floor(canvas.tileWidth / GRID), Math.floor(canvas.tileHeight / GRID)];
  const across = starts(box.width, wide, Math.floor(canvas.overlapX / GRID), canvas.wrap && box.width === columns);
  const down = starts(box.height, high, Math.floor(canvas.overlapY / GRID), false);
  const [width, height] = [Math.min(wide || box.width, box.width), Math.min(high || box.height, box.height)];
  return down.flatMap((y) => across.map((x) => {
    const left = box.x + x;
    return { x: canvas.wrap ? modulo(left, columns) : left, y: box.y + y, width, height };
  }));
}

/**
 * Where tiles begin along an axis: as few as overlap by at least `overlap`, evenly spaced. All around, at least two.
 * @param {number} length
 * @param {number} tile
 * @param {number} overlap
 * @param {boolean} ring
 * @returns {number[]}
 */
function starts(length, tile, overlap, ring) {
  if (!tile || (tile >= length && !ring)) return [0];
  if (ring) {
    const step = tile < length ? tile - overlap : length - Math.min(overlap, Math.floor(length / 2));
    const count = Math.max(2, Math.ceil(length / step));
    return Array.from({ length: count }, (_, at) => rounded((at * length) / count));
  }
  const count = Math.ceil((length - overlap) / (tile - overlap));
  return Array.from({ length: count }, (_, at) => rounded((at * (length - tile)) / (count - 1)));
}

/** @param {string} what @param {number} pixels */
function onGrid(what, pixels) {
  if (pixels % GRID) {
    throw new Trouble(word("{0} is {1} px, which does not fit the grid of {2} px a latent; make it {3} px.", what,
      pixels, GRID, Math.max(snapped(pixels), 0) * GRID));
  }
}
