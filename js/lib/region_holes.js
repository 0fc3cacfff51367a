/** What belongs to no region of a panorama, and the engine's sentence about it. */
import { GRID, pieces, quoted } from "./region_geometry.js";
import { held, momentsOf, prompts } from "./region_weights.js";
import { word } from "./words.js";

/** @typedef {import("./region_geometry.js").Box} Box */
/** @typedef {import("./region_geometry.js").Canvas} Canvas */
/** @typedef {import("./region_weights.js").Placed} Placed */

/**
 * What belongs to no region at the first moment that lacks something, and the engine's sentence about it.
 * @param {Canvas} canvas
 * @param {Placed[]} regions
 * @returns {{text: string, rectangles: Box[]} | null} rectangles in latents
 */
export function uncovered(canvas, regions) {
  const moments = momentsOf(regions);
  for (const [at, moment] of moments.entries()) {
    const counting = regions.filter((region) => prompts(region, moment) || held(region, moment));
    const rectangles = besides(canvas, counting.map(({ box }) => box));
    if (rectangles.length) {
      return { rectangles, text: sentence(canvas, regions, rectangles, moment, moments[at + 1] ?? 1) };
    }
  }
  return null;
}

/**
 * The rectangles that no box covers.
 * @param {Canvas} canvas
 * @param {Box[]} boxes
 * @returns {Box[]}
 */
function besides(canvas, boxes) {
  const [columns, rows] = [canvas.width / GRID, canvas.height / GRID];
  const parts = boxes.flatMap((box) => pieces(box, columns));
  const cuts = (/** @type {number[]} */ values, /** @type {number} */ end) =>
    [...new Set([0, end, ...values])].filter((value) => value >= 0 && value <= end).sort((one, two) => one - two);
  const xs = cuts(parts.flatMap(({ x, width }) => [x, x + width]), columns);
  const ys = cuts(parts.flatMap(({ y, height }) => [y, y + height]), rows);
  /** @type {Box[]} */
  const found = [];
  for (let row = 0; row + 1 < ys.length; row += 1) {
    const [top, bottom] = [ys[row], ys[row + 1]];
    const band = parts.filter(({ y, height }) => y <= top && y + height >= bottom);
    for (let column = 0; column + 1 < xs.length; column += 1) {
      const [left, right] = [xs[column], xs[column + 1]];
      if (band.some(({ x, width }) => x <= left && x + width >= right)) continue;
      const before = found.at(-1);
      if (before && before.y === top && before.x + before.width === left) before.width += right - left;
      else found.push({ x: left, y: top, width: right - left, height: bottom - top });
    }
  }
  return stacked(found);
}

/** Rectangles of one width that lie one below the other become one. @param {Box[]} boxes @returns {Box[]} */
function stacked(boxes) {
  /** @type {Box[]} */
  const found = [];
  for (const box of boxes) {
    const above = found.find(({ x, y, width, height }) => x === box.x && width === box.width && y + height === box.y);
    if (above) above.height += box.height;
    else found.push(box);
  }
  return found;
}

/**
 * @param {Canvas} canvas
 * @param {Placed[]} regions
 * @param {Box[]} hole
 * @param {number} moment
 * @param {number} until
 */
function sentence(canvas, regions, hole, moment, until) {
  const [columns, rows] = [canvas.width / GRID, canvas.height / GRID];
  const [left, top] = [Math.min(...hole.map(({ x }) => x)), Math.min(...hole.map(({ y }) => y))];
  const width = Math.max(...hole.map((each) => each.x + each.width)) - left;
  const height = Math.max(...hole.map((each) => each.y + each.height)) - top;
  const missing = hole.reduce((sum, each) => sum + each.width * each.height, 0) / (columns * rows);
  const place = [missing >= 0.001 ? `${(missing * 100).toFixed(1)}%` : word("Less than 0.1%"),
    width * GRID, height * GRID, left * GRID, top * GRID];
  const where = moment === 0 && until === 1
    ? word("{0} of the canvas belongs to no region: the hole lies within {1} x {2} px at x = {3}, y = {4}", ...place)
    : word("{0} of the canvas belongs to no region from {5} to {6} of the sampling: the hole lies within {1} x {2} " +
      "px at x = {3}, y = {4}", ...place, percent(moment), percent(until));
  const asleep = regions.find((region) => region.prompted &&
    pieces(region.box, columns).some((piece) => hole.some((each) => meet(piece, each))));
  if (asleep) {
    return word("{0}, where Region {1} counts only from {2} to {3}. Let it count all the time, or put a region as " +
      "large as the canvas behind all others.", where, quoted(asleep.name), percent(asleep.start), percent(asleep.end));
  }
  const gap = (/** @type {Placed} */ { box }) => Math.max(left - box.x - box.width, box.x - left - width, 0) +
    Math.max(top - box.y - box.height, box.y - top - height, 0);
  const near = regions.reduce((best, each) => (gap(each) < gap(best) ? each : best));
  return word("{0}, beside Region {1}. Make that region larger, or put a region as large as the canvas behind all " +
    "others.", where, quoted(near.name));
}

/** @param {number} share */
export const percent = (share) => `${(share * 100).toFixed(0)}%`;

/** @param {Box} one @param {Box} other */
export const meet = (one, other) => one.x < other.x + other.width && other.x < one.x + one.width &&
  one.y < other.y + other.height && other.y < one.y + one.height;

