/** The pure parts of the table of ingredients: shares, and the chain of nodes. */
import assert from "node:assert/strict";
import test from "node:test";
import {
  append, chainOf, isActive, isLocked, isSolo, move, remove, sharedWith, toggleLock, toggleMute, toggleSolo,
} from "../../js/lib/ingredient_chain.js";
import { sizeText } from "../../js/lib/ingredient_facts.js";
import { factsText, namesOf } from "../../js/lib/ingredient_row.js";
import {
  besides, equalise, percentText, read, readNumber, setPercent, shareText, transfer,
} from "../../js/lib/ingredient_shares.js";

// -- shares --------------------------------------------------------------------------------------

const part = (share, { active = true, locked = false } = {}) => ({ share, active, locked });
const sum = (values) => values.reduce((total, value) => total + value, 0);
const after = (parts, { shares }) => read(parts.map((each, at) => ({ ...each, share: shares[at] })), true).values;
const near = (one, other, tolerance = 1e-3) => one.forEach((value, at) =>
  assert.ok(Math.abs(value - other[at]) < tolerance, `${one} is not ${other}`));

test("shares are read as percentages", () => {
  assert.deepEqual(read([part(1), part(1), part(2)], true), { mode: "percent", values: [25, 25, 50], total: 4, trouble: "" });
  assert.deepEqual(read([part(1), part(3, { active: false })], true).values, [100, 0]);
  assert.equal(read([part(1), part(2)], false).mode, "raw");
  assert.deepEqual(read([part(1), part(-0.5)], true).values, [1, -0.5]);
  assert.match(read([part(1), part(-0.5)], true).trouble, /negative/);
  assert.match(read([part(0), part(0)], true).trouble, /add up to 0/);
  assert.match(read([part(1), part(-2)], true).trouble, /add up to −1/);
  assert.equal(read([part(1), part(undefined)], true).mode, "unknown");
  assert.equal(read([part(1), part(undefined, { active: false })], true).mode, "percent");
  assert.equal(read([], true).mode, "raw");
});

test("another percentage rescales the unlocked others in proportion", () => {
  const parts = [part(1), part(1), part(2)];
  const change = setPercent(parts, 0, 40);
  near(after(parts, change), [40, 20, 40]);
  assert.ok(Math.abs(sum(change.shares) - 4) < 1e-9, "the total stays");
});

test("locked rows keep their percentage, and their share to the bit", () => {
  const parts = [part(1), part(1, { locked: true }), part(2)];
  const change = setPercent(parts, 0, 70);
  near(after(parts, change), [70, 25, 5]);
  assert.equal(change.shares[1], 1);
});

test("what cannot be is said", () => {
  const parts = [part(1), part(3, { locked: true }), part(0)];
  const change = setPercent(parts, 0, 60);
  near(after(parts, change), [25, 75, 0]);
  assert.match(change.trouble, /Locked rows hold 75%, so this one can have 25% at most/);
  assert.deepEqual(setPercent([part(1)], 0, 50), { shares: null, trouble:
    "It is the only ingredient, so its share is always 100%." });
  assert.match(setPercent([part(1), part(1, { locked: true })], 0, 50).trouble, /All other rows are locked/);
  assert.match(setPercent([part(1, { locked: true }), part(1)], 0, 50).trouble, /This row is locked/);
});

test("rows that had nothing share equally", () => {
  const parts = [part(1), part(0), part(0)];
  near(after(parts, setPercent(parts, 0, 50)), [50, 25, 25]);
});

test("bypassed rows are left alone", () => {
  const parts = [part(1), part(5, { active: false }), part(1)];
  const { shares } = setPercent(parts, 0, 75);
  assert.deepEqual(shares, [1.5, 5, 0.5]);
});

test("no share is larger than a node takes", () => {
  const parts = [part(8), part(8), part(0.5, { active: false })];
  const { shares } = setPercent(parts, 0, 100);
  assert.deepEqual(shares, [10, 0, 0.5]);
  const locked = [part(8), part(4, { locked: true }), part(8)];
  const change = setPercent(locked, 0, 80);
  near(after(locked, change), [80, 20, 0]);
  assert.ok(Math.max(...change.shares) <= 10);
});

test("whatever is set, it sums to 100 and locked rows stay", () => {
  let seed = 1;
  const random = () => { seed = (seed * 16807) % 2147483647; return seed / 2147483647; };
  for (let round = 0; round < 2000; round += 1) {
    const parts = Array.from({ length: 2 + Math.floor(random() * 11) }, () =>
      part(Number((random() * 3).toFixed(2)), { locked: random() < 0.3, active: random() < 0.9 }));
    const before = read(parts, true);
    const at = Math.floor(random() * parts.length);
    if (before.mode !== "percent" || !parts[at].active) continue;
    const wanted = Math.round(random() * 100);
    const change = setPercent(parts, at, wanted);
    if (!change.shares) continue;
    const now = after(parts, change);
    assert.ok(Math.abs(sum(now) - 100) < 1e-6);
    parts.forEach((each, other) => {
      if (each.active && each.locked) assert.ok(Math.abs(now[other] - before.values[other]) < 2e-3, `${now[other]}`);
      if (!each.active) assert.equal(change.shares[other], each.share);
    });
    if (!change.trouble) assert.ok(Math.abs(now[at] - wanted) < 0.01, `${now[at]} is not ${wanted}`);
    assert.ok(change.shares.every((share) => share >= 0 && share <= 10));
  }
});

test("a divider moves between the nearest rows that are not locked", () => {
  const parts = [part(1), part(1, { locked: true }), part(1, { active: false }), part(2)];
  assert.deepEqual(besides(parts, 0), [0, 3]);
  assert.deepEqual(besides(parts, 1), [0, 3]);
  assert.equal(besides([part(1, { locked: true }), part(1)], 0), null);
  near(after(parts, transfer(parts, 0, 3, 10, true)), [35, 25, 0, 40]);
  near(after(parts, transfer(parts, 0, 3, 90, true)), [75, 25, 0, 0]);
  near(after(parts, transfer(parts, 0, 3, -90, true)), [0, 25, 0, 75]);
  const raw = [part(0.3), part(0.5)];
  assert.deepEqual(transfer(raw, 0, 1, 0.1, false).shares.map((share) => Number(share.toFixed(6))), [0.4, 0.4]);
});

test("equal percentages", () => {
  const parts = [part(1), part(2, { locked: true }), part(5), part(9, { active: false })];
  near(after(parts, equalise(parts)), [37.5, 25, 37.5, 0]);
  assert.equal(equalise([part(1)]).shares, null);
  assert.deepEqual(equalise([part(0), part(-1)]).shares, [1, 1]);
});

test("numbers as people type and read them", () => {
  assert.deepEqual(["25", "25%", " 12,5 %", "−3", ".5"].map(readNumber), [25, 25, 12.5, -3, 0.5]);
  assert.ok(["", "a", "1e3", "1.2.3", "%"].every((text) => Number.isNaN(readNumber(text))));
  assert.deepEqual([25, 33.3333, 0.004, 0, 0.04, 100].map(percentText), ["25%", "33.3%", "0%", "0%", "0.04%", "100%"]);
  assert.equal(shareText(-0.1234567), "−0.123");
  assert.deepEqual(["sub/dir/a.b.safetensors", "x\\y.ckpt", "plain"].map(namesOf), [
    { folder: "sub/dir/", name: "a.b" }, { folder: "x/", name: "y" }, { folder: "", name: "plain" }]);
  assert.deepEqual([2.132e9, 57e6, 12e9, 900].map(sizeText), ["2.1 GB", "57 MB", "12 GB", "0.9 kB"]);
  assert.equal(factsText({ title: "SDXL", dtype: "F16", bytes: 6.9e9, sha256: "0123456789abcdef" }),
    "SDXL · F16 · 6.9 GB · 0123456789");
  assert.equal(factsText({ title: "SD 1.x", ranks: [4, 16], hashing: 0.5 }), "SD 1.x · rank 4–16 · hashing 50%");
});

// -- chains --------------------------------------------------------------------------------------

/** As much of LiteGraph's graph as chains need. */
class Graph {
  constructor() {
    this.nodes = [];
    this.links = new Map();
    this.count = 0;
  }

  getNodeById(id) { return this.nodes.find((node) => node.id === id) ?? null; }
  getLink(id) { return this.links.get(id); }

  add(node) {
    this.count += 1;
    Object.assign(node, { id: this.count, graph: this });
    this.nodes.push(node);
    return node;
  }

  remove(node) {
    node.inputs.forEach((_, slot) => node.disconnectInput(slot));
    for (const id of [...node.outputs[0].links]) {
      const link = this.links.get(id);
      this.getNodeById(link.target_id).disconnectInput(link.target_slot);
    }
    this.nodes.splice(this.nodes.indexOf(node), 1);
  }
}

class Node {
  constructor(type, inputs = ["block_weights", "ingredients"]) {
    Object.assign(this, { type, title: type, mode: 0, pos: [0, 0], size: [200, 100], properties: {} });
    this.inputs = inputs.map((name) => ({ name, type: name, link: null }));
    this.outputs = [{ links: [], type: "ingredients" }];
    this.widgets = [{ name: "file", value: "" }, { name: "share", value: 1 }];
  }

  computeSize() { return this.size; }

  connect(slot, target, at) {
    target.disconnectInput(at);
    this.graph.count += 1;
    const id = this.graph.count;
    this.graph.links.set(id, { id, origin_id: this.id, origin_slot: slot, target_id: target.id, target_slot: at });
    this.outputs[slot].links.push(id);
    target.inputs[at].link = id;
  }

  disconnectInput(at) {
    const { link } = this.inputs[at];
    if (link == null) return;
    const { outputs } = this.graph.getNodeById(this.graph.links.get(link).origin_id);
    outputs[0].links = outputs[0].links.filter((each) => each !== link);
    this.graph.links.delete(link);
    this.inputs[at].link = null;
  }
}

/** A Cook Soup after these nodes, each linked to the next. */
function chained(...nodes) {
  const graph = new Graph();
  const cook = new Node("DSoupCook", ["ingredients"]);
  for (const node of [...nodes, cook]) graph.add(node);
  [...nodes, cook].forEach((node, at, all) => {
    if (at) all[at - 1].connect(0, node, node.inputs.findIndex(({ type }) => type === "ingredients"));
  });
  return { graph, cook };
}

const ingredient = (title, type = "DSoupIngredient") => Object.assign(new Node(type), { title });
const reroute = () => new Node("Reroute", ["ingredients"]);
const titles = (cook) => chainOf(cook).nodes.map(({ title }) => title).join("");

test("a chain is followed through reroutes and bypassed nodes", () => {
  const [a, b, c] = [ingredient("a"), ingredient("b", "DSoupLoRAIngredient"), ingredient("c")];
  const other = Object.assign(ingredient("x", "SomethingElse"), { mode: 4 });
  const { cook } = chained(a, reroute(), b, other, c, reroute(), reroute());
  b.mode = 4;
  assert.equal(titles(cook), "abc");
  assert.deepEqual(chainOf(cook).nodes.map(isActive), [true, false, true]);
  other.mode = 0;
  assert.equal(chainOf(cook).beyond, "x");
  assert.equal(titles(cook), "c");
});

test("what is before a chain is said", () => {
  assert.equal(chainOf(chained(ingredient("r", "DSoupRecipe"), ingredient("a")).cook).beyond, "recipe");
  assert.equal(chainOf(chained().cook).beyond, "");
  const { cook, graph } = chained(ingredient("a"));
  graph.links.set(99, { id: 99, origin_id: -10, origin_slot: 0 });
  chainOf(cook).nodes[0].inputs[1].link = 99;
  assert.equal(chainOf(cook).beyond, "outside");
  const [one, two] = [ingredient("a"), ingredient("b")];
  const circle = chained(one, two);
  two.connect(0, one, 1);
  assert.equal(chainOf(circle.cook).beyond, "a circle of links");
});

for (const [from, to, expected] of [[0, 1, "bacd"], [0, 3, "bcda"], [3, 0, "dabc"], [2, 1, "acbd"], [1, 1, "abcd"],
  [0, 9, "abcd"]]) {
  test(`a row moved from ${from} to ${to}`, () => {
    const { cook, graph } = chained(...[..."abcd"].map((title) => ingredient(title)));
    assert.equal(move(cook, from, to), "");
    assert.equal(titles(cook), expected);
    assert.equal(graph.links.size, 4);
    assert.equal(chainOf(cook).nodes[0].inputs[1].link, null);
  });
}

test("moving keeps reroutes in their places, and all other links", () => {
  const nodes = [..."abc"].map((title) => ingredient(title));
  const middle = reroute();
  const { cook, graph } = chained(nodes[0], middle, nodes[1], nodes[2], reroute());
  const blocks = graph.add(new Node("DSoupBlockWeights", []));
  blocks.connect(0, nodes[2], 0);
  assert.equal(move(cook, 2, 0), "");
  assert.equal(titles(cook), "cab");
  assert.equal(graph.getLink(nodes[2].inputs[0].link).origin_id, blocks.id);
  assert.equal(graph.getLink(middle.inputs[0].link).origin_id, nodes[2].id);
  assert.equal(graph.links.size, 6);
});

test("a chain that others use in part is moved only where that changes nothing for them", () => {
  const nodes = [..."abcd"].map((title) => ingredient(title));
  const { cook, graph } = chained(...nodes);
  const second = graph.add(Object.assign(new Node("DSoupCook", ["ingredients"]), { title: "Cook 2" }));
  nodes[1].connect(0, second, 0);
  assert.match(move(cook, 1, 2), /^Cook 2 \(#10\) uses this chain only in part/);
  assert.equal(titles(cook), "abcd");
  assert.equal(move(cook, 0, 1), "");
  assert.deepEqual([titles(cook), titles(second)], ["bacd", "ba"]);
  assert.equal(move(cook, 2, 3), "");
  assert.deepEqual([titles(cook), titles(second)], ["badc", "ba"]);
  assert.deepEqual(sharedWith(nodes[0], cook), [second]);
  assert.deepEqual(sharedWith(nodes[2], cook), []);
});

test("a whole chain that two use moves for both", () => {
  const nodes = [..."abc"].map((title) => ingredient(title));
  const { cook, graph } = chained(...nodes);
  const second = graph.add(new Node("DSoupCook", ["ingredients"]));
  nodes[2].connect(0, second, 0);
  assert.equal(move(cook, 2, 0), "");
  assert.deepEqual([titles(cook), titles(second)], ["cab", "cab"]);
});

test("a removed node is bridged", () => {
  const nodes = [..."abc"].map((title) => ingredient(title));
  const { cook, graph } = chained(...nodes);
  remove(cook, nodes[1]);
  assert.equal(titles(cook), "ac");
  remove(cook, nodes[0]);
  remove(cook, nodes[2]);
  assert.equal(titles(cook), "");
  assert.equal(graph.links.size, 0);
});

test("a new node goes to the end, over no other", () => {
  const { cook, graph } = chained(ingredient("a"));
  const [blocking, made] = [ingredient("x"), ingredient("b")];
  graph.add(Object.assign(blocking, { pos: [50, 150] }));
  append(cook, made, "b.safetensors");
  assert.equal(titles(cook), "ab");
  assert.equal(made.widgets[0].value, "b.safetensors");
  assert.deepEqual(made.pos, [0, 310]);
  const empty = chained();
  append(empty.cook, ingredient("a"), "");
  assert.equal(titles(empty.cook), "a");
});

test("solo bypasses all others, and brings back what there was", () => {
  const nodes = [..."abcd"].map((title) => ingredient(title));
  nodes[3].mode = 4;
  const modes = () => nodes.map(({ mode }) => mode);
  toggleSolo(nodes, nodes[0]);
  assert.deepEqual([modes(), nodes.map(isSolo)], [[0, 4, 4, 4], [true, false, false, false]]);
  toggleSolo(nodes, nodes[3]);
  assert.deepEqual(modes(), [4, 4, 4, 0]);
  toggleSolo(nodes, nodes[3]);
  assert.deepEqual(modes(), [0, 0, 0, 4]);
  assert.ok(nodes.every(({ properties }) => !Object.keys(properties).length));
});

test("mute by hand ends what solo remembers", () => {
  const nodes = [..."abc"].map((title) => ingredient(title));
  toggleSolo(nodes, nodes[0]);
  toggleMute(nodes, nodes[1]);
  assert.deepEqual(nodes.map(({ mode }) => mode), [0, 0, 4]);
  toggleSolo(nodes, nodes[0]);
  assert.deepEqual(nodes.map(({ mode }) => mode), [0, 0, 0]);
});

test("locks are kept with the node", () => {
  const node = ingredient("a");
  toggleLock(node);
  assert.deepEqual([isLocked(node), Object.keys(node.properties).length], [true, 1]);
  toggleLock(node);
  assert.deepEqual([isLocked(node), Object.keys(node.properties).length], [false, 0]);
});
