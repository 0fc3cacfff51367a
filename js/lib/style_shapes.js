/**
 * Weights of two, three or four styles as points: of a line, a triangle, a square. Pure maths.
 *
 * A point is a share of the width and height of the shape's box, from its upper left. Weights are in the order of the
 * corners, and sum to 1.
 */

/** @typedef {[number, number]} Point */
/**
 * @typedef {object} Shape
 * @property {Point[]} corners
 * @property {number} aspect height by width
 * @property {(point: Point) => number[]} weights of a point
 * @property {(weights: number[]) => Point} point whose weights are nearest
 * @property {(point: Point) => Point} inside the nearest point of the shape
 * @property {Point} middle
 */

/** @param {number} value @param {number} least @param {number} most */
export const clamped = (value, least, most) => Math.min(Math.max(value, least), most);

/** @param {number[]} values */
const sumOf = (values) => values.reduce((sum, value) => sum + value, 0);

/** @param {number[]} one @param {number[]} other the largest difference */
export const gap = (one, other) => Math.max(...one.map((value, at) => Math.abs(value - other[at])));

// -- hundredths ----------------------------------------------------------------------------------

/**
 * Shares of a total in hundredths that sum to it exactly: rounded down, then up where the most was lost.
 * @param {number[]} shares none negative; they sum to 1
 * @param {number} [total]
 * @returns {number[]}
 */
export function apportion(shares, total = 1) {
  const [all, most] = [Math.floor(total * 100 + 1e-6), shares.indexOf(Math.max(...shares))];
  const exact = shares.map((share) => share * all);
  const units = exact.map((share) => Math.floor(share + 1e-9));
  const lost = exact.map((share, at) => ({ at, lost: share - units[at] })).sort((a, b) => b.lost - a.lost);
  for (const { at } of lost.slice(0, all - sumOf(units))) units[at] += 1;
  const rest = total - all / 100; // where the total is not in hundredths
  return units.map((unit, at) => (at === most && rest > 1e-9 ? Number((unit / 100 + rest).toFixed(6)) : unit / 100));
}

/**
 * Shares that are uniform among all that sum to 1: Dirichlet(1, ..., 1).
 * @param {number} count
 * @param {() => number} [random] uniform in [0, 1)
 */
export function dirichlet(count, random = Math.random) {
  const drawn = Array.from({ length: count }, () => -Math.log(1 - random()));
  const sum = sumOf(drawn);
  return sum > 0 ? drawn.map((value) => value / sum) : drawn.map(() => 1 / count);
}

/**
 * The shares nearest to these weights: none negative, sum 1 (Duchi et al. 2008).
 * @param {number[]} weights
 */
export function nearestShares(weights) {
  const sorted = [...weights].sort((a, b) => b - a);
  let [sum, less] = [0, 0];
  sorted.forEach((weight, at) => {
    sum += weight;
    if (weight > (sum - 1) / (at + 1)) less = (sum - 1) / (at + 1);
  });
  return weights.map((weight) => Math.max(weight - less, 0));
}

// -- the shapes ----------------------------------------------------------------------------------

/**
 * From the first corner at 0 to the second at 1; between other ends the weights go below 0 and above 1.
 * @param {number} least
 * @param {number} most
 * @returns {Shape}
 */
export function line(least = 0, most = 1) {
  return {
    corners: [[0, 0], [1, 0]], aspect: 0, middle: [0.5, 0],
    weights: ([t]) => [1 - t, t],
    point: ([a, b]) => [clamped((b - a + 1) / 2, least, most), 0],
    inside: ([t]) => [clamped(t, least, most), 0],
  };
}

/** Barycentric: equilateral, the first corner above. @type {Shape} */
export const triangle = {
  corners: [[0.5, 0], [0, 1], [1, 1]], aspect: Math.sqrt(3) / 2, middle: [0.5, 2 / 3],
  weights: ([x, y]) => [1 - y, y / 2 + 0.5 - x, x - 0.5 + y / 2],
  point: (weights) => flat(nearestShares(weights)),
  // distances between weights are those of the plane, so that the nearest weights are the nearest point too
  inside: (point) => flat(nearestShares(triangle.weights(point))),
};

/** @param {number[]} weights @returns {Point} */
function flat([a, b, c]) {
  return [a / 2 + c, b + c];
}

/** Bilinear: the first two corners above, the others below. @type {Shape} */
export const square = {
  corners: [[0, 0], [1, 0], [0, 1], [1, 1]], aspect: 1, middle: [0.5, 0.5],
  weights: ([x, y]) => [(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y],
  point: nearestOfSquare,
  inside: ([x, y]) => [clamped(x, 0, 1), clamped(y, 0, 1)],
};

/**
 * Mixes of four have three dimensions, the square two: the nearest of its points, by turns in x and y.
 * @param {number[]} weights
 * @returns {Point}
 */
function nearestOfSquare(weights) {
  const [, b, c, d] = weights;
  const own = square.inside([b + d, c + d]);
  if (gap(square.weights(own), weights) < 1e-9) return own;
  const found = [own, square.middle, ...square.corners].map((start) => descend(start, weights));
  return found.reduce((best, point) => (distance(point, weights) < distance(best, weights) - 1e-12 ? point : best));
}

/** @param {Point} start @param {number[]} weights @returns {Point} */
function descend([x, y], [a, b, c, d]) {
  for (let turn = 0; turn < 100; turn += 1) {
    const [wasX, wasY] = [x, y];
    x = clamped(along(a, b, c, d, y), 0, 1);
    y = clamped(along(a, c, b, d, x), 0, 1);
    if (Math.abs(x - wasX) + Math.abs(y - wasY) < 1e-9) break;
  }
  return [x, y];
}

/**
 * How far along a level line the nearest point is: at height y the line goes from (1-y, 0, y, 0) to (0, 1-y, 0, y).
 * @param {number} a @param {number} b @param {number} c @param {number} d @param {number} y
 */
function along(a, b, c, d, y) {
  const up = 1 - y;
  return (up * (b - a + up) + y * (d - c + y)) / (2 * (up * up + y * y));
}

/** @param {Point} point @param {number[]} weights */
const distance = (point, weights) =>
  square.weights(point).reduce((sum, weight, at) => sum + (weight - weights[at]) ** 2, 0);
