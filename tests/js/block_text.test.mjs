import assert from "node:assert/strict";
import { describe, test } from "node:test";

import {
  CURVES, assignNumbers, curveValues, depthOf, fitNumbers, mirrored, parseNumber, readNames, readWidgets, splitNumbers,
  unet, writeNames, writeNumbers, writeText,
} from "../../js/lib/block_text.js";
import { SD1, SDXL, tables } from "./tables.mjs";

const sd1 = tables.families[SD1];
const widgets = { family: SD1, preset: "none", mbw: "", dialect: "supermerger", sliders: new Map() };
/** @param {number} count @param {number} value */
const flat = (count, value = 0.5) => Array.from({ length: count }, () => value);
/** @param {Map<string, number> | null | undefined} weights */
const plain = (weights) => weights && Object.fromEntries(weights);

describe("numbers", () => {
  for (const [text, value] of Object.entries({ "0.5": 0.5, ".25": 0.25, "2.": 2, "-1": -1, "+1e-1": 0.1, "00.5": 0.5 })) {
    test(`${text} is ${value}`, () => assert.equal(parseNumber(text), value));
  }
  for (const text of ["", ".", "1_0", "nan", "inf", "1e999", "0x10", "1 2", "½", "0".repeat(41)]) {
    test(`${JSON.stringify(text)} is none`, () => assert.equal(parseNumber(text), null));
  }
  test("commas, spaces, brackets and line ends are between numbers", () => {
    for (const text of ["1,2,3", "1 2 3", "[1, 2, 3]", "(1 ,2\n3)", "1,2,3, ", '"1,2,3"']) {
      assert.deepEqual(splitNumbers(text), [1, 2, 3], text);
    }
  });
  test("one that is no number makes all of them none", () => assert.equal(splitNumbers("1,R,3"), null));
});

describe("names", () => {
  test("are read in any order, the last where one is listed twice", () => {
    assert.deepEqual(plain(readNames("OUT03=0.2, IN00 = 1.5\nM00=-.5,, IN00=0.75,")),
      { OUT03: 0.2, IN00: 0.75, M00: -0.5 });
  });
  test("of any family are taken as they are", () => {
    assert.deepEqual(plain(readNames("double_blocks.7=0.5")), { "double_blocks.7": 0.5 });
  });
  for (const text of ["IN03", "IN03=half", "IN03=0.5, 0.5", "IN03=nan", "IN03=0.5\u00a0"]) {
    test(`${JSON.stringify(text)} is left to the engine`, () => assert.equal(readNames(text), null));
  }
});

describe("dialects", () => {
  test("26 numbers of SuperMerger: one number for TIME and IN00, one for FINAL and OUT11", () => {
    const weights = assignNumbers(Array.from({ length: 26 }, (_, at) => at), sd1.layouts.supermerger);
    assert.equal(weights?.size, 28);
    assert.deepEqual(["BASE", "IN00", "TIME", "M00", "OUT11", "FINAL"].map((name) => weights?.get(name)),
      [0, 1, 1, 13, 25, 25]);
  });
  test("25 leave BASE alone", () => {
    assert.equal(assignNumbers(flat(25), sd1.layouts.supermerger)?.has("BASE"), false);
  });
  test("a number for no block is read over", () => {
    assert.equal(assignNumbers([1, 9, 9, ...flat(26)], sd1.layouts.padded)?.get("IN00"), 0.5);
  });
  test("a block with two different numbers is left to the engine", () => {
    const twice = [["TIME"], ["TIME"]];
    assert.equal(assignNumbers([1, 2], [twice]), null);
    assert.deepEqual(plain(assignNumbers([2, 2], [twice])), { TIME: 2 });
  });
  test("no other count fits", () => assert.equal(assignNumbers(flat(24), sd1.layouts.supermerger), null));
  test("the count tells the dialect and the family", () => {
    const fit = (/** @type {number} */ count) => fitNumbers(flat(count), tables, SD1, "supermerger");
    assert.deepEqual(fit(26), { family: SD1, dialect: "supermerger" });
    assert.deepEqual(fit(28), { family: SD1, dialect: "soup" });
    assert.deepEqual(fit(20), { family: SDXL, dialect: "supermerger" });
    assert.deepEqual(fit(3), { family: SD1, dialect: "comfyui-blocks" });
    assert.equal(fit(7), null);
  });
  test("what is set now comes first", () => {
    assert.deepEqual(fitNumbers(flat(3), tables, SDXL, "comfyui-blocks"), { family: SDXL, dialect: "comfyui-blocks" });
  });
});

describe("widgets", () => {
  const sliders = new Map([["IN00", 0.25], ["IN99", 1]]);
  test("the text counts, then the preset, then the sliders of the family's blocks", () => {
    const of = (/** @type {object} */ changed) => {
      const reading = readWidgets({ ...widgets, sliders, ...changed }, tables);
      return reading && [reading.source, plain(reading.weights)];
    };
    assert.deepEqual(of({ mbw: "M00=2", preset: "Hill" }), ["names", { M00: 2 }]);
    assert.deepEqual(of({ mbw: " \n", preset: "Hill" }), ["preset", sd1.presets.Hill]);
    assert.deepEqual(of({}), ["sliders", { IN00: 0.25 }]);
    assert.deepEqual(of({ mbw: "1,2,3", dialect: "comfyui-blocks" })?.[0], "numbers");
  });
  test("what only the engine can tell is not guessed", () => {
    for (const changed of [{ mbw: "1,2" }, { mbw: flat(26).join().replace("0.5", "R") }, { preset: "gone" },
      { family: "Flux" }]) {
      assert.equal(readWidgets({ ...widgets, ...changed }, tables), null, JSON.stringify(changed));
    }
  });
});

describe("writing", () => {
  test("names: what is neutral is left out, but something is always said", () => {
    assert.equal(writeNames(new Map([["M00", 0.5], ["IN00", 1]]), sd1.names, 1), "M00=0.5");
    assert.equal(writeNames(new Map(), sd1.names, 1), "BASE=1");
  });
  test("names: minus zero is zero, and numbers are read back to the bit", () => {
    const weights = new Map([["IN00", -0], ["M00", 0.1 + 0.2]]);
    const text = writeNames(weights, sd1.names, 1);
    assert.equal(text, "IN00=0, M00=0.30000000000000004");
    assert.equal(readNames(text)?.get("M00"), 0.1 + 0.2);
  });
  test("numbers: null where they would mean something else", () => {
    const even = new Map(sd1.names.map((name) => [name, 0.5]));
    assert.equal(writeNumbers(even, sd1.layouts.supermerger, sd1.names, 1), flat(26).join());
    assert.equal(writeNumbers(even.set("TIME", 0.55), sd1.layouts.supermerger, sd1.names, 1), null);
  });
  test("numbers: those for no block are kept", () => {
    const before = [0.5, 7, 8, ...flat(26)];
    const weights = /** @type {Map<string, number>} */ (assignNumbers(before, sd1.layouts.padded));
    weights.set("BASE", 1);
    assert.equal(writeNumbers(weights, sd1.layouts.padded, sd1.names, 1, before), before.join());
  });
  test("a text of numbers stays one where it can, a text of names stays one", () => {
    const numbers = readWidgets({ ...widgets, mbw: flat(26).join() }, tables);
    const names = readWidgets({ ...widgets, mbw: sd1.names.map((name) => `${name}=0.5`).join() }, tables);
    const weights = new Map(sd1.names.map((name) => [name, name === "M00" ? 0.25 : 0.5]));
    assert.match(writeText(weights, numbers, sd1, "supermerger", 1), /^0\.5,.*0\.25.*0\.5$/);
    assert.match(writeText(weights, names, sd1, "supermerger", 1), /M00=0\.25/);
    assert.match(writeText(weights.set("FINAL", 2), numbers, sd1, "supermerger", 1), /FINAL=2/);
  });
  test("everything written is read as the same weights", () => {
    for (const [at, dialect] of Object.keys(tables.dialects).entries()) {
      const weights = new Map(sd1.names.map((name, n) => [name, (n * (at + 3)) % 7 / 8]));
      const text = writeText(weights, null, sd1, dialect, 1);
      const read = readWidgets({ ...widgets, mbw: text, dialect }, tables)?.weights;
      for (const name of sd1.names) assert.equal(read?.get(name) ?? 1, weights.get(name), `${dialect}: ${name}`);
    }
  });
});

describe("the shape of a model", () => {
  test("the U has no BASE, TIME or FINAL", () => assert.equal(unet(sd1.names).length, 25));
  test("the other end of the skip connection", () => {
    assert.deepEqual(["IN00", "IN05", "OUT06", "M00", "BASE"].map((name) => mirrored(name, sd1.names)),
      ["OUT11", "OUT06", "IN05", "M00", "BASE"]);
  });
  test("three blocks on each step down", () => {
    assert.deepEqual(["IN00", "IN02", "IN03", "M00", "OUT00", "OUT11", "TIME"].map((name) => depthOf(name, sd1.names)),
      [0, 0, 1, 4, 3, 0, 0]);
  });
});

describe("curves", () => {
  test("go from the first value to the last", () => {
    assert.deepEqual(curveValues("linear", 0, 1, 5), [0, 0.25, 0.5, 0.75, 1]);
    assert.deepEqual(curveValues("cosine", 1, 0, 3), [1, 0.5, 0]);
    assert.deepEqual(curveValues("peak", 0.5, 1.5, 5), [0.5, 1, 1.5, 1, 0.5]);
    assert.deepEqual(curveValues("flat", 0, 0.3, 2), [0.3, 0.3]);
  });
  test("give one bar a number", () => {
    for (const curve of Object.keys(CURVES)) assert.ok(Number.isFinite(curveValues(curve, 0, 1, 1)[0]), curve);
  });
});
