/** How much each region counts at each place, as the engine counts it: weights, and shares of the whole. */
import { GRID } from "./region_geometry.js";

/** @typedef {import("./region_geometry.js").Box} Box */
/** @typedef {import("./region_geometry.js").Canvas} Canvas */
/** @typedef {import("./region_geometry.js").Region & {box: Box}} Placed a region with its box in latents */

const VARIANCE = 0.01; // of an axis of length 1
const REACH = 0.995; // of the quartic kernel, which is 0 at 1

// -- weights ---------------------------------------------------------------------------------------

/** @type {Record<string, (size: number) => Float64Array>} */
const AXES = {
  gaussian: (size) => Float64Array.from({ length: size }, (_, at) => {
    const x = at - (size - 1) / 2;
    return Math.exp(-(x ** 2) / (2 * VARIANCE * size ** 2)) / Math.sqrt(2 * Math.PI * VARIANCE);
  }),
  quartic: (size) => Float64Array.from({ length: size }, (_, at) => {
    const u = size > 1 ? -REACH + (2 * REACH * at) / (size - 1) : 0;
    return (15 / 16) * (1 - u ** 2) ** 2;
  }),
  constant: (size) => new Float64Array(size).fill(1),
};

/** @param {number} size @param {number} feather in latents @param {boolean} first @param {boolean} last ramps */
function feathered(size, feather, first, last) {
  const ramp = Math.min(feather, Math.floor((size + 1) / 2)) + 1;
  return Float64Array.from({ length: size }, (_, at) =>
    Math.min(1, first ? (at + 1) / ramp : 1, last ? (size - at) / ramp : 1));
}

/** The largest number a region's weights can have. @param {Placed} region */
const peak = ({ kind, weight }) =>
  ({ gaussian: 1 / (2 * Math.PI * VARIANCE), quartic: (15 / 16) ** 2 }[kind] ?? 1) * weight;

/**
 * A region's weights along both axes of its box; the weight of a place is their product times the mask weight.
 * @param {Canvas} canvas
 * @param {Placed} region
 */
export function axesOf(canvas, { box, kind, feather }) {
  const [columns, rows] = [canvas.width / GRID, canvas.height / GRID];
  const around = canvas.wrap && box.width === columns;
  const ramp = Math.floor(feather / GRID);
  const soft = kind === "feathered box";
  const axis = AXES[kind] ?? AXES.constant;
  const right = box.x + box.width;
  const across = soft ? feathered(box.width, ramp, canvas.wrap || box.x > 0, canvas.wrap || right < columns)
    : axis(box.width);
  const down = soft ? feathered(box.height, ramp, box.y > 0, box.y + box.height < rows) : axis(box.height);
  return { across: around ? AXES.constant(box.width) : across, down };
}

// -- shares ----------------------------------------------------------------------------------------

/**
 * Numbers at some places of a picture, for each place its index in reading order.
 * @typedef {{places: Int32Array, values: Float32Array}} Spread
 */

/**
 * How much each region counts, averaged over the sampling, at every `step`th latent: a picture for each.
 * @param {Canvas} canvas
 * @param {Placed[]} regions
 * @param {number} [step]
 * @returns {{width: number, height: number, shares: Spread[]}}
 */
export function sharesOf(canvas, regions, step = 1) {
  const size = { width: Math.ceil(canvas.width / GRID / step), height: Math.ceil(canvas.height / GRID / step) };
  const weights = regions.map((region) => spread(canvas, region, size, step));
  const shares = weights.map(({ places }) => ({ places, values: new Float32Array(places.length) }));
  const moments = momentsOf(regions);
  for (const [at, start] of moments.entries()) {
    const length = (moments[at + 1] ?? 1) - start;
    for (const [index, share] of blend(regions, weights, start, size.width * size.height).entries()) {
      const { values } = shares[index];
      for (let place = 0; place < share.length; place += 1) values[place] += share[place] * length;
    }
  }
  return { ...size, shares };
}

/**
 * A region's weights over its box.
 * @param {Canvas} canvas
 * @param {Placed} region
 * @param {{width: number, height: number}} size
 * @param {number} step
 * @returns {Spread}
 */
function spread(canvas, region, { width, height }, step) {
  const { box } = region;
  const { across, down } = axesOf(canvas, region);
  const [columns, rows] = [canvas.width / GRID, canvas.height / GRID];
  const inside = (/** @type {number} */ count, /** @type {number} */ whole, /** @type {(at: number) => number} */ of,
    /** @type {number} */ long) => Array.from({ length: count }, (_, at) => [at, of(Math.min(
    at * step + Math.floor(step / 2), whole - 1))]).filter(([, place]) => place >= 0 && place < long);
  const ys = inside(height, rows, (y) => y - box.y, box.height);
  const xs = inside(width, columns, (x) => (x < box.x ? x - box.x + columns : x - box.x), box.width);
  const places = new Int32Array(xs.length * ys.length);
  const values = new Float32Array(places.length);
  let next = 0;
  for (const [row, y] of ys) {
    for (const [column, x] of xs) {
      places[next] = row * width + column;
      values[next] = down[y] * across[x] * region.weight;
      next += 1;
    }
  }
  return { places, values };
}

/** Shares of the sampling from which on other regions take part. @param {Placed[]} regions */
export function momentsOf(regions) {
  const changes = new Set([0, ...regions.flatMap(({ start, end, hold }) => [start, end, hold])]);
  changes.delete(1);
  return [...changes].sort((one, other) => one - other);
}

/** Whether a region's picture holds its place. @param {Placed} region @param {number} moment */
export const held = ({ hold }, moment) => hold > 0 && (moment < hold || hold === 1);

/** Whether a region's prompt takes part. @param {Placed} region @param {number} moment */
export const prompts = (region, moment) => region.prompted && region.start <= moment &&
  (moment < region.end || region.end === 1) && !held(region, moment);

/**
 * The share of each region at a moment, at its places; empty where it takes no part.
 * @param {Placed[]} regions
 * @param {Spread[]} weights
 * @param {number} moment
 * @param {number} size places of the canvas
 * @returns {Float32Array[]}
 */
function blend(regions, weights, moment, size) {
  const total = new Float32Array(size);
  const counting = regions.map((region) => prompts(region, moment));
  for (const [index, { places, values }] of weights.entries()) {
    if (counting[index]) for (let at = 0; at < places.length; at += 1) total[places[at]] += values[at];
  }
  const { pictures, free } = holding(regions, weights, moment, total);
  return weights.map(({ places, values }, index) => {
    const share = pictures.get(index) ?? new Float32Array(counting[index] ? values.length : 0);
    if (!counting[index]) return share;
    for (let at = 0; at < share.length; at += 1) {
      share[at] = (values[at] / total[places[at]]) * (free ? free[places[at]] : 1);
    }
    return share;
  });
}

/**
 * Shares of the pictures, later ones above earlier ones, and what they leave free; null: everything. Where a picture's
 * edge fades and nothing is beneath, the picture counts whole.
 * @param {Placed[]} regions
 * @param {Spread[]} weights
 * @param {number} moment
 * @param {Float32Array} total
 * @returns {{pictures: Map<number, Float32Array>, free: Float32Array | null}}
 */
function holding(regions, weights, moment, total) {
  /** @type {Map<number, Float32Array>} */
  const pictures = new Map();
  const holders = regions.map((region, index) => (held(region, moment) ? index : -1)).filter((index) => index >= 0);
  if (!holders.length) return { pictures, free: null };
  const free = new Float32Array(total.length).fill(1);
  const taken = new Float32Array(total.length);
  for (const index of holders.reverse()) {
    const { places, values } = weights[index];
    const top = peak(regions[index]);
    const share = values.map((weight, at) => Math.min(weight / top, 1) * free[places[at]]);
    pictures.set(index, share);
    for (let at = 0; at < share.length; at += 1) {
      free[places[at]] -= share[at];
      taken[places[at]] += share[at];
    }
  }
  const alone = (/** @type {number} */ place) => total[place] === 0 && taken[place] > 0;
  for (const [index, share] of pictures) {
    for (const [at, place] of weights[index].places.entries()) {
      if (alone(place)) share[at] /= Math.max(taken[place], 1e-30);
    }
  }
  for (let place = 0; place < free.length; place += 1) if (alone(place)) free[place] = 0;
  return { pictures, free };
}
