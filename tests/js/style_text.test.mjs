import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { StyleNames, studentOf } from "../../js/lib/style_names.js";
import { readWeights, writeWeight } from "../../js/lib/style_text.js";

const NAMES = ["ink", "anime", "photo = real", "3D"];
/** @param {string} text */
const read = (text) => Object.fromEntries(readWeights(text, NAMES));

describe("reading weights of styles", () => {
  test("by name, separated by lines or commas", () => {
    assert.deepEqual(read("ink=0.7, anime = .25\nphoto = real = -1"), { ink: 0.7, anime: 0.25, "photo = real": -1 });
  });
  test("numbers alone count in the order of the styles", () => {
    assert.deepEqual(read("0.5 0, 0.25"), { ink: 0.5, "photo = real": 0.25 });
    assert.deepEqual(read("1 2 3 4 5"), {}, "more numbers than styles");
  });
  test("the first one where a name is listed twice", () => assert.deepEqual(read("ink=1\nink=2"), { ink: 1 }));
  test("anything else is read over", () => assert.deepEqual(read("hello, ink=half\nanime=1"), { anime: 1 }));
});

describe("writing the weight of one style", () => {
  for (const [why, before, name, weight, after] of /** @type {[string, string, string, number, string][]} */ ([
    ["the first one", "", "anime", 0.5, "anime = 0.5"],
    ["where it was", "ink = 1, anime = 2\nother = 3", "anime", 0.5, "ink = 1, anime = 0.5\nother = 3"],
    ["before the styles that come later", "ink = 1\n3D = 1", "anime", 0.5, "ink = 1\nanime = 0.5\n3D = 1"],
    ["once where it was listed twice", "ink = 1\nink = 2", "ink", 0.5, "ink = 0.5"],
    ["0 is left out, with its line", "ink = 1\nanime = 2", "ink", 0, "anime = 2"],
    ["numbers alone get names", "0.5 0 1", "anime", 0.25, "ink = 0.5\nanime = 0.25\nphoto = real = 1"],
    ["what it cannot read stays", "hello\nink = half, 3D = 1", "anime", 1, "hello\nanime = 1\nink = half, 3D = 1"],
    ["empty lines at the end go", "ink = 1\n\n", "3D", 1, "ink = 1\n3D = 1"],
  ])) {
    test(`${why}: ${JSON.stringify(before)}`, () => assert.equal(writeWeight(before, NAMES, name, weight), after));
  }
  test("what was written is read back", () => {
    for (const name of NAMES) assert.equal(readWeights(writeWeight("anime = 2", NAMES, name, 0.5), NAMES).get(name), 0.5);
  });
});

describe("the student of a mix", () => {
  const mode = (/** @type {number} */ mode) => ({ mode });
  const node = (/** @type {string} */ comfyClass, /** @type {object[]} */ inputs = [], /** @type {object} */ more = {}) =>
    ({ comfyClass, inputs, widgets: [{ name: "file", value: "a.safetensors" }, { name: "names", value: "" }], ...more });
  /** Nodes in a row, each feeding the first input of the next. */
  function row(/** @type {any[]} */ ...nodes) {
    const graph = { getNodeById: (/** @type {number} */ id) => nodes[id],
      getLink: (/** @type {number} */ id) => ({ origin_id: id, origin_slot: 0 }) };
    for (const [at, each] of nodes.entries()) {
      each.graph = graph;
      if (at) each.inputs = [{ name: "styles", link: at - 1 }];
    }
    return nodes[nodes.length - 1];
  }
  const found = { file: "a.safetensors", names: "" };

  test("is found behind reroutes and bypassed nodes", () => {
    assert.deepEqual(studentOf(row(node("DSoupStudent"), node("DSoupStyleMix")), "styles"), found);
    assert.deepEqual(studentOf(row(node("DSoupStudent"), node("Reroute"), node("DSoupStyleSwap", [], mode(4)),
      node("DSoupStyleMix")), "styles"), found);
  });
  test("is not known behind a node that makes other styles", () => {
    assert.equal(studentOf(row(node("DSoupStudent"), node("DSoupStyleSwap"), node("DSoupStyleMix")), "styles"), null);
    assert.equal(studentOf(row(node("DSoupStyleMix")), "styles"), null);
  });
  test("reroutes in a circle end", () => {
    const last = row(node("Reroute"), node("Reroute"), node("DSoupStyleMix"));
    last.graph.getNodeById(0).inputs = [{ name: "", link: 1 }];
    assert.equal(studentOf(last, "styles"), null);
  });
});

describe("names of styles", () => {
  const student = { file: "a.safetensors", names: "" };
  const answer = (/** @type {any} */ body, ok = true) => /** @type {any} */ ({ ok, json: async () => body });

  test("are asked for once, until they are forgotten", async () => {
    let asked = 0;
    const names = new StyleNames(async (route) => {
      assert.equal(route, "/diffusion_soup/styles?file=a.safetensors&names=");
      asked += 1;
      return answer({ styles: ["ink", 3] });
    });
    assert.deepEqual(await Promise.all([names.of(student), names.of(student)]), [["ink"], ["ink"]]);
    assert.equal(asked, 1);
    names.forget();
    await names.of(student);
    assert.equal(asked, 2);
  });
  test("are none without a server, an answer or a student", async () => {
    assert.deepEqual(await new StyleNames(() => Promise.reject(new Error("gone"))).of(student), []);
    assert.deepEqual(await new StyleNames(async () => answer({}, false)).of(student), []);
    assert.deepEqual(await new StyleNames(async () => answer({})).of(null), []);
  });
});
