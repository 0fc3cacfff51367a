/** Geometry, weights and snapping of regions, worked by hand; the browser's tests compare them with the engine's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Trouble, boxOf, cells, checkCanvas, general, pieces, place, quoted, tilesOf } from "../../js/lib/region_geometry.js";
import { uncovered } from "../../js/lib/region_holes.js";
import { labelPlaces } from "../../js/lib/region_labels.js";
import { drawn, fitted, moved, resized } from "../../js/lib/region_snap.js";
import { axesOf, sharesOf } from "../../js/lib/region_weights.js";

const CANVAS = { width: 512, height: 128, wrap: false, tileWidth: 0, tileHeight: 0, overlapX: 0, overlapY: 0 };
const RING = { ...CANVAS, wrap: true };
const around = (frame, others = [], reach = 0) => ({ frame, others, reach });
const box = (x, y, width, height) => ({ x, y, width, height });
const region = (name, x, y, width, height, more = {}) => ({ name, ...box(x, y, width, height), kind: "constant",
  weight: 1, feather: 64, start: 0, end: 1, hold: 0, prompted: true, box: boxOf(CANVAS, box(x, y, width, height)), ...more });

test("a region is snapped to the grid of 8", () => {
  assert.deepEqual(place(CANVAS, { name: "a", ...box(3, 5, 130, 100) }), box(0, 1, 17, 12));
});

test("around a wrapped canvas x counts modulo its width", () => {
  assert.deepEqual(place(RING, { name: "a", ...box(-64, 0, 128, 128) }), box(56, 0, 16, 16));
  assert.deepEqual(pieces(box(56, 0, 16, 16), 64), [box(56, 0, 8, 16), box(0, 0, 8, 16)]);
});

test("what does not fit is refused in a sentence with its numbers", () => {
  assert.throws(() => place(CANVAS, { name: "it's", ...box(448, 0, 128, 128) }), (error) => error instanceof Trouble &&
    error.message.startsWith(`Region "it's" reaches from x = 448 to 576, but the canvas is 512 px wide`));
  assert.throws(() => checkCanvas({ ...CANVAS, width: 500 }), /grid of 8 px a latent; make it 504 px/);
});

test("names and numbers are written as Python does", () => {
  assert.deepEqual(["a", "it's", `"`, `'"`].map(quoted), ["'a'", `"it's"`, `'"'`, `'\\'"'`]);
  assert.deepEqual([1, 0.5, 1e-7, 1234567, 0.0001].map(general), ["1", "0.5", "1e-07", "1.23457e+06", "0.0001"]);
});

test("cells overlap and fill the canvas", () => {
  assert.deepEqual(cells(CANVAS, 1, 2, 64, 0), [box(0, 0, 288, 128), box(224, 0, 288, 128)]);
  assert.deepEqual(cells(RING, 1, 2, 64, 0), [box(0, 0, 320, 128), box(256, 0, 320, 128)]);
  assert.throws(() => cells(CANVAS, 1, 2, 512, 0), /do not fit into 512 px/);
});

test("a region larger than a tile is cut", () => {
  const canvas = { ...CANVAS, tileWidth: 256, overlapX: 64 };
  assert.deepEqual(tilesOf(canvas, box(0, 0, 64, 16)).map(({ x }) => x), [0, 16, 32]);
  assert.deepEqual(tilesOf(canvas, box(0, 0, 16, 16)), [box(0, 0, 16, 16)]);
});

test("weights are symmetric, and a feathered box has no ramps at the canvas's ends", () => {
  for (const kind of ["gaussian", "quartic", "constant", "feathered box"]) {
    const { across } = axesOf(CANVAS, region("a", 128, 0, 128, 128, { kind }));
    assert.deepEqual([...across].map((value) => value.toFixed(12)), [...across].reverse().map((value) => value.toFixed(12)));
  }
  const { across, down } = axesOf(CANVAS, region("a", 0, 0, 128, 128, { kind: "feathered box", feather: 24 }));
  assert.deepEqual([...across.slice(-4)], [1, 0.75, 0.5, 0.25]);
  assert.ok([...across.slice(0, 4), ...down].every((value) => value === 1));
});

test("shares add up to one, by mask weights", () => {
  const { shares } = sharesOf(CANVAS, [region("a", 0, 0, 320, 128), region("b", 192, 0, 320, 128, { weight: 3 })]);
  assert.deepEqual([0, 30, 39].map((at) => shares[0].values[at]), [1, 0.25, 0.25]);
});

test("a hole is found, at the time when there is one", () => {
  assert.equal(uncovered(CANVAS, [region("a", 0, 0, 512, 128)]), null);
  const hole = uncovered(CANVAS, [region("a", 0, 0, 256, 128), region("b", 256, 64, 256, 64)]);
  assert.deepEqual(hole?.rectangles, [box(32, 0, 32, 8)]);
  assert.match(hole?.text ?? "", /^25.0% of the canvas .* within 256 x 64 px at x = 256, y = 0, beside Region 'a'/);
  assert.match(uncovered(CANVAS, [region("a", 0, 0, 512, 128, { end: 0.5 })])?.text ?? "", /from 50% to 100%/);
});

test("rectangles are kept on the grid and in the canvas", () => {
  assert.deepEqual(fitted(box(501, -9, 700, 3), CANVAS), box(0, 0, 512, 64));
  assert.deepEqual(moved(box(0, 0, 64, 64), 1000, 13, around(CANVAS)).box, box(448, 16, 64, 64));
  assert.deepEqual(moved(box(0, 0, 64, 64), -104, 0, around(RING)).box, box(408, 0, 64, 64));
  assert.deepEqual(resized(box(64, 0, 128, 128), "w", 500, 0, around(CANVAS)).box, box(128, 0, 64, 128));
  assert.deepEqual(resized(box(64, 0, 128, 128), "e", 2000, 0, around(RING)).box, box(64, 0, 512, 128));
  assert.deepEqual(drawn({ x: 300, y: 100 }, { x: 201, y: -50 }, around(CANVAS)).box, box(200, 0, 104, 104));
});

test("edges and middles are drawn to others, with a line to show it", () => {
  const near = moved(box(0, 0, 64, 64), 109, 0, around(CANVAS, [box(176, 0, 64, 128)], 12));
  assert.deepEqual(near.box, box(112, 0, 64, 64));
  assert.ok(near.guides.some(({ axis, at }) => axis === "x" && at === 176));
  assert.equal(moved(box(0, 0, 64, 64), 98, 0, around(CANVAS, [box(176, 0, 64, 128)], 0)).box.x, 96);
  const seam = moved(box(64, 0, 64, 64), 375, 0, around(RING, [], 12));
  assert.equal(seam.box.x, 448, "its right edge to the seam");
});

test("names do not hide each other", () => {
  const entries = [region("back", 0, 0, 512, 128), region("front", 0, 0, 256, 128)].map((each, at) =>
    ({ ...each, number: at + 1, trouble: "" }));
  const [back, front] = labelPlaces(entries, CANVAS, 500);
  assert.ok(back.left !== front.left || back.top !== front.top);
});
