/** The ingredients table of the WebUI as values. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  counted, even, moved, newRow, percents, percentsOf, withBorder, withPart, withShare,
} from "../../javascript/dsoup/draft.js";
import { matches } from "../../javascript/dsoup/picker.js";

const rows = (...shares) => shares.map((share, at) => newRow("checkpoint", `${at}.safetensors`, share));
const shares = (all) => all.map(({ share }) => Number(share.toFixed(3)));

test("percents add up to exactly a hundred", () => {
  assert.deepEqual(percents([1, 1, 1]), [33.4, 33.3, 33.3]);
  for (let at = 0; at < 200; at += 1) {
    const found = percents(Array.from({ length: 1 + (at % 12) }, () => Math.random()));
    assert.equal(Math.round(10 * found.reduce((sum, each) => sum + each, 0)), 1000);
  }
  assert.deepEqual(percents([0, 0]), [0, 0]);
});

test("muted rows are out, and solo rows are alone", () => {
  const all = rows(1, 1, 2);
  all[0].muted = true;
  assert.deepEqual(counted(all), [1, 2]);
  all[0].solo = true;
  assert.deepEqual(counted(all), [0]);
  assert.deepEqual(percentsOf(all), [100, null, null]);
});

test("a part grows at the cost of those that are not locked", () => {
  const all = rows(1, 1, 2);
  all[1].locked = true;
  assert.deepEqual(shares(withPart(all, 0, 0.5)), [2, 1, 1]);
  assert.deepEqual(shares(withPart(all, 0, 0.9)), [3, 1, 0]);
  assert.deepEqual(shares(withPart(withPart(all, 0, 0.9), 0, 0.25)), [1, 1, 2]);
  all[2].locked = true;
  assert.equal(withPart(all, 0, 0.9), all, "nobody can make room");
});

test("a typed share changes nobody else's, unless a row is locked", () => {
  const all = rows(1, 1, 2);
  assert.deepEqual(shares(withShare({ rows: all, normalise: true }, 0, 3)), [3, 1, 2]);
  all[1].locked = true;
  assert.deepEqual(shares(withShare({ rows: all, normalise: true }, 0, 2)), [2, 1, 1]);
  assert.deepEqual(shares(withShare({ rows: all, normalise: false }, 0, 2)), [2, 1, 2]);
});

test("a border moves between two neighbours", () => {
  assert.deepEqual(shares(withBorder(rows(1, 1, 2), 1, 2, 0.5)), [1, 1.5, 1.5]);
});

test("even shares leave locked ones alone", () => {
  const all = rows(0.2, 0.6, 0.4);
  assert.deepEqual(shares(even(all)), [1, 1, 1]);
  all[0].locked = true;
  assert.deepEqual(shares(even(all)), [0.2, 0.5, 0.5]);
});

test("rows change places", () => {
  assert.deepEqual(moved(["a", "b", "c"], 0, 2), ["b", "c", "a"]);
  assert.deepEqual(moved(["a", "b", "c"], 2, -5), ["c", "a", "b"]);
});

test("all words of a search are found in any order", () => {
  assert.ok(matches("people/Portrait_v3.safetensors", "v3 port"));
  assert.ok(!matches("people/Portrait_v3.safetensors", "v3 land"));
});
