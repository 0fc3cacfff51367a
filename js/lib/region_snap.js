/**
 * Rectangles in pixels that are moved, resized and drawn: kept on the grid of 8 and inside the canvas, and drawn to the
 * edges and middles of others.
 */
import { GRID, SMALLEST, modulo } from "./region_geometry.js";

/** @typedef {import("./region_geometry.js").Box} Box */
/** @typedef {{width: number, height: number, wrap: boolean}} Frame */
/** @typedef {{axis: "x" | "y", at: number}} Guide a line to which an edge or a middle was drawn */
/** @typedef {{box: Box, guides: Guide[]}} Snapped */
/**
 * @typedef {object} Surroundings
 * @property {Frame} frame
 * @property {Box[]} others
 * @property {number} reach how near a line must be, in pixels; 0: only the grid
 */

/** @param {number} value @param {number} least @param {number} most */
const clamped = (value, least, most) => Math.max(Math.min(value, most), least);
/** @param {number} value */
const onGrid = (value) => Math.round(value / GRID) * GRID;
/** @param {number} value the largest on the grid that is not larger */
const within = (value) => Math.floor(value / GRID) * GRID;

/** The nearest rectangle that the canvas can hold. @param {Box} box @param {Frame} frame @returns {Box} */
export function fitted({ x, y, width, height }, frame) {
  const wide = clamped(onGrid(width), SMALLEST, within(frame.width));
  const high = clamped(onGrid(height), SMALLEST, within(frame.height));
  return {
    x: frame.wrap ? modulo(onGrid(x), frame.width) : clamped(onGrid(x), 0, within(frame.width - wide)),
    y: clamped(onGrid(y), 0, within(frame.height - high)), width: wide, height: high,
  };
}

/** @param {Box} box @param {number} dx @param {number} dy @param {Surroundings} around @returns {Snapped} */
export function moved(box, dx, dy, around) {
  const { frame } = around;
  const free = { ...box, x: box.x + dx, y: box.y + dy };
  const goal = fitted(free, frame);
  const [x, y] = [along("x", around), along("y", around)];
  const kept = /** @type {Box} */ (frame.wrap ? { ...goal, x: onGrid(free.x) } : goal);
  const across = x.nearest([kept.x, kept.x + kept.width / 2, kept.x + kept.width]);
  const down = y.nearest([kept.y, kept.y + kept.height / 2, kept.y + kept.height]);
  const snapped = fitted({ ...kept, x: kept.x + across, y: kept.y + down }, frame);
  return { box: snapped, guides: guides(snapped, around) };
}

/**
 * @param {Box} box
 * @param {string} edges those that are moved: "n", "se", ...
 * @param {number} dx
 * @param {number} dy
 * @param {Surroundings} around
 * @returns {Snapped}
 */
export function resized(box, edges, dx, dy, around) {
  const { frame } = around;
  const [x, y] = [along("x", around), along("y", around)];
  let [left, top, right, bottom] = [box.x, box.y, box.x + box.width, box.y + box.height];
  const lowest = frame.wrap ? right - frame.width : 0;
  const highest = frame.wrap ? left + frame.width : frame.width;
  if (edges.includes("w")) left = clamped(x.drawn(left + dx), within(lowest), right - SMALLEST);
  if (edges.includes("e")) right = clamped(x.drawn(right + dx), left + SMALLEST, within(highest));
  if (edges.includes("n")) top = clamped(y.drawn(top + dy), 0, bottom - SMALLEST);
  if (edges.includes("s")) bottom = clamped(y.drawn(bottom + dy), top + SMALLEST, within(frame.height));
  const snapped = fitted({ x: left, y: top, width: right - left, height: bottom - top }, frame);
  return { box: snapped, guides: guides(snapped, around, edges) };
}

/**
 * A new rectangle between two corners.
 * @param {{x: number, y: number}} from
 * @param {{x: number, y: number}} to
 * @param {Surroundings} around
 * @returns {Snapped}
 */
export function drawn(from, to, around) {
  const { frame } = around;
  const [x, y] = [along("x", around), along("y", around)];
  const inside = (/** @type {number} */ value, /** @type {number} */ most) => clamped(value, 0, within(most));
  const xs = [from.x, to.x].map((value) => frame.wrap ? x.drawn(value) : inside(x.drawn(value), frame.width));
  const ys = [from.y, to.y].map((value) => inside(y.drawn(value), frame.height));
  const snapped = fitted({
    x: Math.min(...xs), y: Math.min(...ys), width: Math.abs(xs[1] - xs[0]), height: Math.abs(ys[1] - ys[0]),
  }, frame);
  return { box: snapped, guides: guides(snapped, around) };
}

// -- lines -----------------------------------------------------------------------------------------

/** Edges and middles of the canvas and of other rectangles. @param {"x" | "y"} axis @param {Surroundings} around */
function lines(axis, { frame, others }) {
  const size = axis === "x" ? "width" : "height";
  const all = [{ x: 0, y: 0, width: frame.width, height: frame.height }, ...others];
  return [...new Set(all.flatMap((box) => [box[axis], box[axis] + box[size] / 2, box[axis] + box[size]]))];
}

/** @param {"x" | "y"} axis @param {Surroundings} around */
function along(axis, around) {
  const targets = around.reach > 0 ? lines(axis, around) : [];
  const period = axis === "x" && around.frame.wrap ? around.frame.width : 0;
  /**
   * How far to go so that one of these places lies on a line; 0 where none is near, or the grid would be left.
   * @param {number[]} places
   */
  const nearest = (places) => {
    let best = Infinity;
    for (const place of places) {
      for (const target of targets) {
        const far = apart(target - place, period);
        if (far % GRID === 0 && Math.abs(far) <= around.reach && Math.abs(far) < Math.abs(best)) best = far;
      }
    }
    return best === Infinity ? 0 : best;
  };
  /** @param {number} value @returns {number} on the grid, or on a line that is near */
  const drawn = (value) => onGrid(value) + nearest([onGrid(value)]);
  return { nearest, drawn };
}

/** The shorter way around. @param {number} far @param {number} period */
const apart = (far, period) => (period ? modulo(far + period / 2, period) - period / 2 : far);

/**
 * The lines on which edges and middles now lie.
 * @param {Box} box
 * @param {Surroundings} around
 * @param {string} [edges] only these
 * @returns {Guide[]}
 */
function guides(box, around, edges) {
  if (!(around.reach > 0)) return [];
  /** @type {Guide[]} */
  const found = [];
  for (const [axis, size, first, last] of /** @type {const} */ ([["x", "width", "w", "e"], ["y", "height", "n", "s"]])) {
    const period = axis === "x" && around.frame.wrap ? around.frame.width : 0;
    const places = [[box[axis], first], [box[axis] + box[size] / 2, ""], [box[axis] + box[size], last]]
      .filter(([, edge]) => edges === undefined || (edge && edges.includes(String(edge))));
    for (const at of lines(axis, around)) {
      if (places.some(([place]) => Math.abs(apart(at - Number(place), period)) < 0.5)) {
        found.push({ axis, at: period && at > period ? at - period : at });
      }
    }
  }
  return found;
}
