/** A panorama's text in the WebUI's editor: read, put on paper, and written again as the engine reads it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Paper } from "../../javascript/dsoup/panorama_graph.js";
import { fromText, styleOf, styleText, toText } from "../../javascript/dsoup/panorama_text.js";

const SIZE = { width: 1024, height: 512 };

function through(text) {
  const paper = new Paper(() => {});
  paper.resize(SIZE);
  paper.write(fromText(text, SIZE));
  return JSON.parse(toText(paper.read()));
}

test("what was written comes back", () => {
  const values = { panorama: 1, wrap: true, tile_width: 512, overlap_x: 64, tiles_at_once: 3, regions: [
    { name: "hills", prompt: "a", x: 8, y: 16, width: 256, height: 128, weights: "constant", cfg: 9, negative: "fog",
      style: { ink: 0.5 } },
    { grid: { rows: 1, columns: 2, overlap_x: 64, overlap_y: 0, prompts: "left\nright" }, mask_weight: 2 }] };
  assert.deepEqual(through(JSON.stringify(values)), values);
});

test("a tile's usual overlap is a quarter and is not written", () => {
  assert.deepEqual(through('{"tile_width": 512}'), { panorama: 1, tile_width: 512, regions: [] });
});

test("lines of cells are a grid, as the engine lays them", () => {
  const { regions } = fromText("a | [b|c]\nd | e", SIZE);
  assert.deepEqual(regions, [{ grid: { rows: 2, columns: 2, overlap_x: 128, overlap_y: 128, prompts: "a\n[b|c]\nd\ne" } }]);
  assert.equal(fromText("a | b\nc", SIZE), null);
  assert.equal(fromText("[{]", SIZE), null);
  assert.deepEqual(fromText("", SIZE), { regions: [] });
});

test("styles are named with their shares", () => {
  assert.deepEqual(styleOf("ink 0.5, deep oil"), { ink: 0.5, "deep oil": 1 });
  assert.equal(styleText({ ink: 0.5, "deep oil": 1 }), "ink 0.5, deep oil");
});
