/**
 * Where regions, cells and tiles lie on the canvas of a panorama, as the engine counts it.
 *
 * Users speak of pixels; boxes are in latents of 8 pixels. On a wrapped canvas x counts modulo its width, so a box may
 * reach past the right edge and go on at the left one. Sentences about what is wrong are the engine's own.
 */

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
  for (const [name, size] of /** @type {const} */ ([["width", width], ["height", height]])) {
    if (!(size >= SMALLEST && size <= LARGEST)) {
      throw new Trouble(`The canvas's ${name} is ${size} px; give it ${SMALLEST} to ${LARGEST} px.`);
    }
    onGrid(`The canvas's ${name}`, size);
  }
  for (const [axis, size, overlap] of /** @type {const} */ ([
    ["width", tileWidth, overlapX], ["height", tileHeight, overlapY]])) {
    onGrid(`The tile's ${axis}`, size);
    onGrid(`The overlap of tiles in ${axis}`, overlap);
    if (size && size < SMALLEST) {
      throw new Trouble(`The tile's ${axis} is ${size} px; give it at least ${SMALLEST} px, or 0 for regions in one ` +
        "piece.");
    }
    if (overlap < 0 || (size && overlap >= size)) {
      throw new Trouble(`Tiles of ${axis} ${size} px cannot overlap by ${overlap} px; the overlap must be 0 or more, ` +
        "and smaller than the tile.");
    }
  }
}

/** @param {Region} region */
export function checkRegion({ name, kind, weight, start, end, hold, feather }) {
  const who = `Region ${quoted(name)}`;
  if (!KINDS.includes(kind)) {
    throw new Trouble(`${who} has weights of kind ${quoted(kind)}; choose one of ${KINDS.join(", ")}.`);
  }
  if (!(weight >= LIGHTEST && weight <= HEAVIEST)) {
    throw new Trouble(`${who} has a mask weight of ${general(weight)}; give it a number from ${general(LIGHTEST)} to ` +
      `${general(HEAVIEST)}. To leave the region out, bypass its node.`);
  }
  if (!(start >= 0 && start < end && end <= 1)) {
    throw new Trouble(`${who} is to start at ${general(start)} and to end at ${general(end)}; both are shares of the ` +
      "sampling from 0 to 1, and the start must be before the end.");
  }
  if (!(hold >= 0 && hold <= 1)) {
    throw new Trouble(`${who} is to hold its picture until ${general(hold)}; give a share of the sampling, from 0 to ` +
      "1.");
  }
  if (feather < 0) throw new Trouble(`${who} has a feather of ${feather} px; give it 0 or more.`);
}

/**
 * A region's rectangle in latents: its edges snapped to the nearest multiple of 8 pixels.
 * @param {Canvas} canvas
 * @param {Pick<Region, "name" | "x" | "y" | "width" | "height">} region
 * @returns {Box}
 */
export function place(canvas, { name, x, y, width, height }) {
  const who = `Region ${quoted(name)}`;
  if (canvas.wrap && width > canvas.width) {
    throw new Trouble(`${who} is ${width} px wide, wider than the canvas all around (${canvas.width} px); make it at ` +
      `most ${canvas.width} px wide.`);
  }
  for (const [axis, start, size, whole, measure] of /** @type {const} */ ([
    ["y", y, height, canvas.height, "high"], ["x", x, width, canvas.width, "wide"]])) {
    if ((axis === "x" && canvas.wrap) || (start >= 0 && start + size <= whole)) continue;
    throw new Trouble(`${who} reaches from ${axis} = ${start} to ${start + size}, but the canvas is ${whole} px ` +
      `${measure}; move it or make it smaller${axis === "x" ? ", or let the canvas wrap." : "."}`);
  }
  const box = boxOf(canvas, { x, y, width, height });
  if (Math.min(box.width, box.height) * GRID < SMALLEST) {
    throw new Trouble(`${who} is ${width} x ${height} px (${box.width * GRID} x ${box.height * GRID} on the grid of ` +
      `${GRID} px); make it at least ${SMALLEST} px wide and high.`);
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
 * @param {string} what
 * @param {number} length
 * @param {number} count
 * @param {number} overlap in pixels
 * @param {boolean} wrap
 * @returns {[number, number][]}
 */
function cellsAlong(what, length, count, overlap, wrap) {
  onGrid(`The overlap of ${what}`, overlap);
  if (count < 1 || overlap < 0) {
    throw new Trouble(`A grid cannot have ${count} ${what} that overlap by ${overlap} px; give at least one, and an ` +
      "overlap of 0 or more.");
  }
  const shared = count > 1 ? Math.floor(overlap / GRID) : 0;
  const ring = wrap && count > 1;
  const size = Math.ceil(ring ? length / count + shared : (length + (count - 1) * shared) / count);
  const room = ring ? length : length - size;
  if (size > length || size * GRID < SMALLEST || (count > 1 && room < (ring ? count : count - 1))) {
    throw new Trouble(`${count} ${what} that overlap by ${overlap} px do not fit into ${length * GRID} px; take fewer ` +
      `${what} or a smaller overlap.`);
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
    throw new Trouble(`${what} is ${pixels} px, which does not fit the grid of ${GRID} px a latent; make it ` +
      `${Math.max(snapped(pixels), 0) * GRID} px.`);
  }
}
