import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { deflateSync } from "node:zlib";
import { executionIds, nodeOfExecution } from "../../js/lib/recipe_copy.js";
import { mayHoldRecipe, readRecipes, recipeInText } from "../../js/lib/recipe_files.js";
import { essence, layOut, plainNodes, planNodes, promptOf, textNodes, tooMuch } from "../../js/lib/recipe_nodes.js";
import { facts, sayShare, titleOf, whereabouts } from "../../js/lib/recipe_view.js";
import { cookedLine, failureSentence, refusals } from "../../js/lib/run_messages.js";

const SOUP = { diffusion_soup: 1, ingredients: [{ file: "ember.safetensors" }] };
const GRAPH = { 1: { class_type: "DSoupCook", inputs: {} } };

const bytes32 = (number) => Buffer.from([number >>> 24, number >>> 16, number >>> 8, number].map((byte) => byte & 255));
const chunk = (kind, data) => Buffer.concat([bytes32(data.length), Buffer.from(kind), data, bytes32(0)]);
const png = (...chunks) => new File([Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]), ...chunks,
  chunk("IEND", Buffer.alloc(0))], "picture.png");
const said = (keyword, value) => chunk("tEXt", Buffer.from(`${keyword}\0${JSON.stringify(value)}`, "latin1"));

function safetensors(metadata, size) {
  const header = Buffer.from(JSON.stringify({ __metadata__: metadata }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(size ?? header.length));
  return new File([length, header, Buffer.alloc(64)], "soup.safetensors");
}

// -- files ---------------------------------------------------------------------------------------

test("names of files that may hold a recipe", () => {
  for (const name of ["a.json", "b.PNG", "c.safetensors", "d.webp", "e.txt"]) assert.ok(mayHoldRecipe(name), name);
  for (const name of ["a.mp4", "b.latent", "json", "c.ckpt"]) assert.ok(!mayHoldRecipe(name), name);
});

test("a recipe as JSON", async () => {
  const file = new File([JSON.stringify(SOUP)], "soup.json");
  assert.deepEqual(await readRecipes(file), { recipes: [SOUP], prompt: null, workflow: false });
});

test("other JSON is none", async () => {
  const others = [GRAPH, { nodes: [], extra: { diffusion_soup: 1 } }, [SOUP], 3, null, "diffusion_soup"];
  for (const value of others) assert.equal(recipeInText(JSON.stringify(value)), null, JSON.stringify(value));
  for (const text of ["", "{", '{"diffusion_soup": 1', "x".repeat(1 << 20)]) assert.equal(recipeInText(text), null);
});

test("a picture with recipes and a workflow", async () => {
  const found = await readRecipes(png(said("prompt", GRAPH), said("workflow", {}), said("diffusion_soup", { 1: SOUP })));
  assert.deepEqual(found, { recipes: [SOUP], prompt: null, workflow: true });
});

test("packed and international texts of a picture", async () => {
  const packed = deflateSync(Buffer.from(JSON.stringify({ 7: SOUP })));
  const zipped = chunk("zTXt", Buffer.concat([Buffer.from("diffusion_soup\0\0"), packed]));
  const wide = { ...SOUP, ingredients: [{ file: "墨.safetensors" }] };
  const plain = chunk("iTXt", Buffer.from(`diffusion_soup\0\0\0de\0Suppe\0${JSON.stringify(wide)}`));
  assert.deepEqual((await readRecipes(png(zipped))).recipes, [SOUP]);
  assert.deepEqual((await readRecipes(png(plain))).recipes, [wide]);
});

test("a picture that tells its recipe only by its graph", async () => {
  assert.deepEqual(await readRecipes(png(said("prompt", GRAPH))), { recipes: [], prompt: GRAPH, workflow: true });
});

test("pictures without a soup, and damaged ones", async () => {
  assert.equal(await readRecipes(png(said("prompt", { 1: { class_type: "KSampler" } }), said("workflow", {}))), null);
  assert.equal(await readRecipes(png(chunk("tEXt", Buffer.from("diffusion_soup\0{")))), null);
  assert.equal(await readRecipes(new File([Buffer.alloc(40)], "no.png")), null);
  assert.equal(await readRecipes(new File([], "empty.png")), null);
  const cut = await png(said("diffusion_soup", { 1: SOUP })).slice(0, 60).arrayBuffer();
  assert.equal(await readRecipes(new File([cut], "cut.png")), null);
});

test("a large picture is not read whole", async () => {
  const soup = png(chunk("IDAT", Buffer.alloc(1 << 20)), said("diffusion_soup", { 1: SOUP }));
  let read = 0;
  const slice = soup.slice.bind(soup);
  soup.slice = (from, to) => { read += to - from; return slice(from, to); };
  assert.deepEqual((await readRecipes(soup)).recipes, [SOUP]);
  assert.ok(read < 2000, `${read} bytes`);
});

test("a saved soup by its header", async () => {
  const found = await readRecipes(safetensors({ diffusion_soup: JSON.stringify(SOUP), workflow: "{}" }));
  assert.deepEqual(found, { recipes: [SOUP], prompt: null, workflow: true });
  assert.equal(await readRecipes(safetensors({ format: "pt" })), null);
  assert.equal(await readRecipes(safetensors({ diffusion_soup: JSON.stringify(SOUP) }, 2 ** 40)), null);
  assert.equal(await readRecipes(new File([Buffer.alloc(3)], "short.safetensors")), null);
});

test("the EXIF of a WebP", async () => {
  const value = Buffer.from(`diffusion_soup:${JSON.stringify({ 1: SOUP })}\0`);
  const tiff = Buffer.alloc(26);
  tiff.write("II*\0", 0, "latin1");
  tiff.writeUInt32LE(8, 4);
  tiff.writeUInt16LE(1, 8);
  tiff.writeUInt16LE(0x010f, 10);
  tiff.writeUInt16LE(2, 12);
  tiff.writeUInt32LE(value.length, 14);
  tiff.writeUInt32LE(26, 18);
  const exif = Buffer.concat([tiff, value]);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(exif.length);
  const file = new File([Buffer.from("RIFF\0\0\0\0WEBP"), Buffer.from("EXIF"), size, exif], "moving.webp");
  assert.deepEqual((await readRecipes(file)).recipes, [SOUP]);
});

// -- nodes ---------------------------------------------------------------------------------------

const ingredient = (file, more = {}) =>
  ({ kind: "checkpoint", file, sha256: "a".repeat(64), weight: 1, blocks: {}, elements: [], ...more });
const recipe = (ingredients, more = {}) => ({ diffusion_soup: 1, method: "soup", parameters: {}, normalise: true, seed: 0,
  base: null, ingredients, text_encoder: "soup", vae: null, dtype: null, ...more });
const told = (of, files = [], family = "SDXL") => ({ recipe: of, hash: "f".repeat(64), shares: null, files, family });

test("a chain of ingredients with all that they can have", () => {
  const soup = recipe([ingredient("a", { blocks: { OUT03: 0.2, "x.7": 1e-7 } }),
    ingredient("b", { kind: "lora", strength: 0.5, weight: -0.5, elements: ["IN01:attn1:0.5", "::1"] })],
  { base: { kind: "checkpoint", file: "base", sha256: null }, vae: "a", method: "task_arithmetic",
    parameters: { scale: 0.8 }, seed: 7, normalise: false, dtype: "float32" });
  assert.deepEqual(promptOf(plainNodes(told(soup))), {
    1: { class_type: "DSoupBlockWeights",
      inputs: { family: "SDXL", meaning: "instead of the share", mbw: "OUT03=0.2, x.7=1e-7" } },
    2: { class_type: "DSoupIngredient", inputs: { file: "a", share: 1, elements: "", block_weights: ["1", 0] } },
    3: { class_type: "DSoupLoRAIngredient", inputs: { file: "b", share: -0.5, strength: 0.5,
      elements: "IN01:attn1:0.5\n::1", ingredients: ["2", 0] } },
    4: { class_type: "DSoupCook", inputs: { method: "task_arithmetic", normalise: false, base: "base",
      text_encoder: "soup", vae: "a", dtype: "float32", scale: 0.8, rounding_seed: 7, ingredients: ["3", 0] } },
  });
});

test("files by their names here", () => {
  const soup = recipe([ingredient("old/a")], { vae: "old/a" });
  const [first, cook] = plainNodes(told(soup, [{ kind: "checkpoint", file: "old/a", name: "new\\b", state: "moved" }]));
  assert.deepEqual([first.widgets.file, cook.widgets.vae], ["new\\b", "new\\b"]);
  const here = recipe([ingredient("new/b", { sha256: null })], { vae: "new/b" });
  assert.equal(essence(soup, () => "new\\b"), essence(here));
});

test("what nodes cannot say becomes text", async () => {
  assert.equal(tooMuch(told(recipe([ingredient("a")]))), "");
  for (const soup of [recipe([ingredient("a", { weight: 11 })]), recipe([ingredient("a")], { seed: 2 ** 40 }),
    recipe([ingredient("a")], { parameters: { scale: -20 } }), recipe(Array(200).fill(ingredient("a")))]) {
    assert.notEqual(tooMuch(told(soup)), "");
    const { nodes, why } = await planNodes(told(soup), () => assert.fail("the server need not be asked"));
    assert.deepEqual([nodes, Boolean(why)], [textNodes(told(soup)), true]);
  }
});

test("the server has the last word", async () => {
  const soup = recipe([ingredient("a")]);
  const same = await planNodes(told(soup), async () => ({ recipe: recipe([ingredient("a", { sha256: null })]) }));
  assert.deepEqual([same.nodes.length, same.why], [2, ""]);
  assert.equal(same.nodes[0].type, "DSoupIngredient");
  for (const answer of [async () => ({ recipe: recipe([ingredient("b")]) }), async () => { throw new Error("no"); }]) {
    const other = await planNodes(told(soup), answer);
    assert.equal(other.nodes[0].type, "DSoupRecipe");
    assert.deepEqual(JSON.parse(other.nodes[0].widgets.json), soup);
  }
});

test("nodes stand side by side, none over another", () => {
  const many = Array.from({ length: 12 }, (_, at) => ingredient(`m${at}`, at % 3 ? {} : { blocks: { IN00: 0 } }));
  const planned = plainNodes(told(recipe(many)));
  const made = planned.map(({ type }) => ({ size: type === "DSoupBlockWeights" ? [300, 500] : [270, 150], pos: [0, 0] }));
  layOut(planned, made, [50, 70]);
  for (const [at, one] of made.entries()) {
    for (const other of made.slice(at + 1)) {
      const apart = [0, 1].some((axis) => one.pos[axis] >= other.pos[axis] + other.size[axis] ||
        other.pos[axis] >= one.pos[axis] + one.size[axis]);
      assert.ok(apart, JSON.stringify([one, other]));
    }
  }
  assert.deepEqual(made[1].pos, [410, 70], "the first ingredient, to the right of its block weights");
});

// -- ids -----------------------------------------------------------------------------------------

test("nodes in subgraphs have the ids under which they run", () => {
  const cook = { id: 3 };
  const inner = { nodes: [cook] };
  const outer = { nodes: [{ id: 8, subgraph: inner }] };
  const root = { nodes: [{ id: 1 }, { id: 5, subgraph: outer }, { id: 6, subgraph: inner }] };
  assert.deepEqual(executionIds(root, cook), ["5:8:3", "6:3"]);
  assert.deepEqual(executionIds(root, root.nodes[0]), ["1"]);
  assert.equal(nodeOfExecution(root, "5:8:3"), cook);
  assert.equal(nodeOfExecution(root, "1"), root.nodes[0]);
  for (const id of ["9", "5:9", "1:3", ""]) assert.equal(nodeOfExecution(root, id), null);
});

// -- words ---------------------------------------------------------------------------------------

test("titles and shares", () => {
  const of = (...names) => titleOf(recipe(names.map((name) => ingredient(`f/${name}.safetensors`))));
  assert.deepEqual([of("a"), of("a", "a"), of("a", "b"), of("a", "b", "c"), of("a", "b", "c", "d")],
    ["a", "a", "a and b", "a, b and c", "a, b and 2 more"]);
  const [scaled, plain] = [recipe([]), recipe([], { normalise: false })];
  assert.deepEqual([sayShare(0.5, scaled), sayShare(1 / 30, scaled), sayShare(-0.25, plain)], ["50%", "3.3%", "−0.25"]);
  assert.deepEqual(facts(recipe([], { method: "task_arithmetic", parameters: { scale: 0.5 }, normalise: false }))[0],
    ["method", "task arithmetic, scale 0.5"]);
  const files = [{ kind: "checkpoint", file: "a", name: null, state: "missing" },
    { kind: "lora", file: "a", name: "b", state: "moved" }];
  assert.equal(whereabouts(told(recipe([]), files), { file: "a" }), "not found here");
  assert.equal(whereabouts(told(recipe([]), files), { kind: "lora", file: "a" }), "here it is called b");
});

test("our failures, and nobody else's", () => {
  const ours = { node_type: "KSampler", exception_type: "custom_nodes.diffusion_soup.diffusion_soup.errors.FileError",
    exception_message: "x is missing.\n" };
  assert.equal(failureSentence(ours), "x is missing.");
  assert.equal(failureSentence({ ...ours, exception_type: "RuntimeError" }), null);
  assert.equal(failureSentence({ node_type: "DSoupCook", exception_type: "builtins.KeyError",
    exception_message: "'a'\nmore" }), "KeyError: 'a'");
  assert.ok(failureSentence({ ...ours, exception_message: "y".repeat(5000) }).length < 700);
});

test("refused prompts", () => {
  const error = (type, more) => ({ class_type: "DSoupIngredient", errors: [{ type, message: "m", details: "d", ...more }] });
  assert.deepEqual(refusals({
    1: error("value_not_in_list", { extra_info: { input_name: "file", received_value: "x.safetensors" } }),
    2: error("required_input_missing", { extra_info: { input_name: "recipe" } }),
    3: { class_type: "KSampler", errors: [] },
    4: error("strange", {}),
  }), [["1", 'file: "x.safetensors" is not here. Put the file there and press R, or choose another one.'],
    ["2", "Connect recipe."], ["4", "m: d"]]);
  assert.deepEqual(refusals(null), []);
});

test("what a cook says", () => {
  const line = (hash, notes) => cookedLine({ diffusion_soup: [{ hash, notes }] });
  assert.deepEqual(line("abcdef0123456789", []), { sentence: "cooked abcdef0123", notes: 0 });
  assert.equal(line("abcdef0123456789", ["1", "2", "3", "4", "5"]).sentence.split("\n").length, 5);
  for (const output of [null, {}, { images: [] }, { diffusion_soup: [{}] }]) assert.equal(cookedLine(output), null);
});
