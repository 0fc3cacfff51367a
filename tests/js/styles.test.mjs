/** What the console of Mix Styles computes: text, shapes, saved mixes. Run by `node --test tests/js/`. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { MixStore, mixesOf, parseFile, sameStyles, tidyName, withMix } from "../../js/lib/style_mixes.js";
import { apportion, dirichlet, gap, line, nearestShares, square, triangle } from "../../js/lib/style_shapes.js";
import { readWeights, troubleOf, writeWeight, writeWeights } from "../../js/lib/style_text.js";

const NAMES = ["ink", "anime", "photo", "oil"];
const SHAPES = { line: line(), triangle, square };

/** Numbers in [0, 1) that are the same each time. @param {number} seed */
function drawing(seed) {
  return () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
}

/** @param {number[]} weights */
const hundredths = (weights) => weights.reduce((sum, weight) => sum + Math.round(weight * 100), 0);

/** @param {number[]} one @param {number[]} other @param {number} [most] */
const near = (one, other, most = 1e-9) => assert.ok(gap(one, other) <= most, `${one} is not ${other}`);

describe("the text", () => {
  test("only what changes is written, and other lines stay", () => {
    const text = "another = 2\nanime=.5, oil = 1";
    assert.equal(writeWeights(text, NAMES, new Map([["anime", 0.5], ["oil", 1], ["ink", 0]])), text);
    assert.equal(writeWeights(text, NAMES, new Map([["anime", 0], ["oil", 0.25], ["ink", 1]])),
      "another = 2\nink = 1\noil = 0.25");
  });

  test("numbers alone become names", () => {
    assert.equal(writeWeight("0.5 0 0.25", NAMES, "anime", 1), "ink = 0.5\nanime = 1\nphoto = 0.25");
    assert.deepEqual([...readWeights("0.5, 0 0.25", NAMES)], [["photo", 0.25], ["ink", 0.5]]);
  });

  test("names that are like parts of objects", () => {
    const names = ["__proto__", "constructor"];
    const text = writeWeights("", names, new Map([["__proto__", 0.5], ["constructor", 0.5]]));
    assert.equal(text, "__proto__ = 0.5\nconstructor = 0.5");
    assert.equal(readWeights(text, names).get("__proto__"), 0.5);
  });

  for (const [text, told] of [
    ["", ""], ["ink = 1", ""], ["0.5 0.5", ""], ["ink = 0.5, oil = 0.25", ""], ["1 2 3 4 5", "5 weights for 4 styles"],
    ["ghost = 1", "no style called \"ghost\""], ["ink = 1\nink = 2", "listed twice"],
    ["ink = -1, oil = 2", "extrapolate"],
    ["ink", "not a style and its weight"], ["ink = half", "not a style and its weight"], ["= 1", "not a style"],
    ["ink = 1\n0.5", "not a style and its weight"],
  ]) {
    test(`what the node would say of ${JSON.stringify(text)}`, () => {
      const found = troubleOf(text, NAMES, { normalise: true, extrapolate: false });
      assert.ok(told ? found.includes(told) : found === "", found);
    });
  }

  test("weights that cannot be scaled", () => {
    const text = "ink = 1, oil = -1";
    assert.match(troubleOf(text, NAMES, { normalise: true, extrapolate: true }), /sum to 0/);
    assert.equal(troubleOf(text, NAMES, { normalise: false, extrapolate: true }), "");
    assert.equal(troubleOf(text, NAMES, { normalise: undefined, extrapolate: undefined }), "", "both through links");
  });
});

describe("hundredths", () => {
  test("thirds", () => assert.deepEqual(apportion([1 / 3, 1 / 3, 1 / 3]), [0.34, 0.33, 0.33]));
  test("one alone is exactly 1", () => assert.deepEqual(apportion([0, 1, 0]), [0, 1, 0]));
  test("of less than 1", () => assert.deepEqual(apportion([0.5, 0.5], 0.7), [0.35, 0.35]));
  test("of a total that is not in hundredths", () => {
    const [one, other] = apportion([0.5, 0.5], 0.877);
    near([one + other], [0.877], 1e-12);
  });
  test("of nothing", () => assert.deepEqual(apportion([0.5, 0.5], 0), [0, 0]));

  test("any shares sum to exactly 1, and are off by less than a hundredth", () => {
    const random = drawing(1);
    for (let count = 1; count <= 64; count += 1) {
      const shares = dirichlet(count, random);
      const given = apportion(shares);
      assert.equal(hundredths(given), 100);
      near(given, shares, 0.01);
      assert.ok(given.every((weight) => weight >= 0 && weight === Math.round(weight * 100) / 100));
    }
  });
});

describe("random mixes", () => {
  test("are uniform: each share alone is Beta(1, n - 1)", () => {
    const random = drawing(2);
    const drawn = Array.from({ length: 20000 }, () => dirichlet(4, random)[2]);
    const below = drawn.filter((share) => share < 0.2).length / drawn.length;
    near([below], [1 - 0.8 ** 3], 0.02);
  });
  test("sum to 1", () => near([dirichlet(5, drawing(3)).reduce((sum, share) => sum + share, 0)], [1]));
  test("of a source that gives only 0", () => assert.deepEqual(dirichlet(2, () => 0), [0.5, 0.5]));
});

describe("shapes", () => {
  for (const [name, shape] of Object.entries(SHAPES)) {
    test(`${name}: a corner is exactly its style`, () => {
      shape.corners.forEach((corner, at) => {
        const weights = apportion(shape.weights(corner).map((weight) => Math.max(weight, 0)));
        assert.deepEqual(weights, shape.corners.map((_, other) => (other === at ? 1 : 0)));
      });
    });

    test(`${name}: on an edge the corners across have nothing`, () => {
      const [a, b] = shape.corners;
      const weights = shape.weights([a[0] * 0.25 + b[0] * 0.75, a[1] * 0.25 + b[1] * 0.75]);
      near(weights, [0.25, 0.75, 0, 0].slice(0, weights.length));
    });

    test(`${name}: from points to weights and back`, () => {
      const random = drawing(4);
      for (let n = 0; n < 200; n += 1) {
        const point = shape.inside([random() * 1.4 - 0.2, random() * 1.4 - 0.2]);
        const weights = shape.weights(point);
        near([weights.reduce((sum, weight) => sum + weight, 0), Math.min(0, ...weights)], [1, 0]);
        near(shape.point(weights), point, 1e-6);
        near(shape.inside(point), point, 1e-9);
        near(shape.weights(shape.point(apportion(weights.map((weight) => Math.max(weight, 0))))), weights, 0.011);
      }
    });

    test(`${name}: the middle is even`, () => {
      near(shape.weights(shape.middle), shape.corners.map(() => 1 / shape.corners.length));
    });
  }

  test("what is outside of the triangle goes to the nearest point of it", () => {
    near(triangle.inside([0.5, -3]), [0.5, 0]);
    near(triangle.inside([-9, 3]), [0, 1]);
    near(triangle.inside([0.5, 7]), [0.5, 1]);
    const [x, y] = triangle.inside([0, 0.5]); // straight away from the left side, as it is seen
    near([(0 - x) * -0.5 + (0.5 - y) * triangle.aspect * triangle.aspect], [0]);
    near([triangle.weights([x, y])[2]], [0]);
  });

  test("the fader goes past its ends where it may", () => {
    assert.deepEqual(line(-1, 2).weights(line(-1, 2).inside([7, 0])), [-1, 2]);
    near(line(-1, 2).point([1.5, -0.5]), [-0.5, 0]);
    near(line().point([1.5, -0.5]), [0, 0]);
  });

  test("no point of the square is nearer to a mix than the one that is found", () => {
    const random = drawing(5);
    const steps = Array.from({ length: 41 }, (_, at) => at / 40);
    for (let n = 0; n < 100; n += 1) {
      const mix = dirichlet(4, random);
      const away = (/** @type {[number, number]} */ point) =>
        square.weights(point).reduce((sum, weight, at) => sum + (weight - mix[at]) ** 2, 0);
      const best = Math.min(...steps.flatMap((x) => steps.map((y) => away([x, y]))));
      assert.ok(away(square.point(mix)) <= best + 1e-9);
    }
  });

  test("two corners across are not on the square", () => {
    const mix = [0.5, 0, 0, 0.5];
    assert.ok(gap(square.weights(square.point(mix)), mix) > 0.2);
  });

  test("the nearest shares", () => {
    near(nearestShares([0.2, 0.3, 0.5]), [0.2, 0.3, 0.5]);
    near(nearestShares([1.2, -0.1, -0.1]), [1, 0, 0]);
    near(nearestShares([0.6, 0.6, -0.2]), [0.5, 0.5, 0]);
  });
});

// -- saved mixes -------------------------------------------------------------------------------------

/** A server with one folder of files. */
class Files {
  /** @param {string} [text] of the file of mixes */
  constructor(text) {
    /** @type {Map<string, string>} */
    this.files = new Map(text === undefined ? [] : [["diffusion_soup/mixes.json", text]]);
    this.fails = "";
  }

  /** @param {string} file */
  async getUserData(file) {
    if (this.fails === "get") throw new TypeError("Failed to fetch");
    const text = this.files.get(file);
    return text === undefined ? new Response("", { status: 404 }) : new Response(text);
  }

  /** @param {string} file @param {string} text */
  async storeUserData(file, text) {
    if (this.fails === "store") {
      this.files.set(file, text.slice(0, 9)); // a full disk
      throw new Error("Error storing user data file: 400 No space");
    }
    this.files.set(file, text);
  }

  /** @param {string} from @param {string} to */
  async moveUserData(from, to) {
    this.files.set(to, /** @type {string} */ (this.files.get(from)));
    this.files.delete(from);
    return new Response("");
  }

  get text() {
    return this.files.get("diffusion_soup/mixes.json");
  }
}

/** @param {string} name @param {Record<string, number>} weights */
const mix = (name, weights, styles = NAMES) => ({ name, styles, weights: new Map(Object.entries(weights)) });

describe("saved mixes", () => {
  test("save, replace, rename, delete", async () => {
    const files = new Files();
    const store = new MixStore(files);
    const [night, day] = [mix("night", { ink: 1 }), mix("day", { oil: 0.5, ink: 0.5 })];
    assert.equal(await store.change(night, night), "");
    assert.equal(await store.change(day, day), "");
    assert.equal(await store.change(night, mix("night", { oil: 1 })), "");
    assert.equal(await store.change(day, mix("noon", { oil: 0.5, ink: 0.5 })), "");
    const read = await store.read();
    assert.deepEqual(read.mixes.map(({ name }) => name), ["night", "noon"]);
    assert.deepEqual([...read.mixes[0].weights], [["oil", 1]]);
    assert.equal(await store.change(night, null), "");
    assert.deepEqual((await store.read()).mixes.map(({ name }) => name), ["noon"]);
    assert.equal(files.files.size, 1, "nothing is left over");
  });

  test("one name for students with other styles is another mix", async () => {
    const store = new MixStore(new Files());
    for (const styles of [NAMES, ["ink", "clay"], [...NAMES].reverse()]) {
      await store.change({ name: "night", styles }, mix("night", { ink: 1 }, styles));
    }
    assert.equal((await store.read()).mixes.length, 2, "the order of the styles does not count");
    for (const [some, others] of [["ab", "ac"], ["aa", "ab"], ["a", "ab"]]) {
      assert.ok(!sameStyles([...some], [...others]));
    }
  });

  test("changes at once do not lose each other", async () => {
    const store = new MixStore(new Files());
    await Promise.all(["a", "b", "c"].map((name) => store.change(mix(name, { ink: 1 }), mix(name, { ink: 1 }))));
    assert.deepEqual((await store.read()).mixes.map(({ name }) => name), ["a", "b", "c"]);
  });

  for (const text of ["{", "[]", "null", "{\"version\": 1}", "{\"version\": 2, \"mixes\": []}", "\"mixes\""]) {
    test(`a file of ${text} is told about and not written over`, async () => {
      const files = new Files(text);
      const store = new MixStore(files);
      assert.match((await store.read()).error, /mixes\.json in your user folder .* Nothing is saved over it/);
      assert.match(await store.change(mix("a", {}), mix("a", { ink: 1 })), /Nothing is saved over it/);
      assert.equal(files.text, text);
    });
  }

  test("an empty file has nothing to lose", async () => {
    const files = new Files(" \n");
    assert.equal(await new MixStore(files).change(mix("a", {}), mix("a", { ink: 1 })), "");
    assert.equal(mixesOf(JSON.parse(files.text ?? "")).mixes.length, 1);
  });

  test("entries that are not understood are kept as they are", () => {
    const strange = [7, null, { name: "" }, { name: "x", styles: "ink", weights: {} }, [1],
      { name: "x", styles: [], weights: { ink: "1" } }, { name: "x", styles: [3], weights: {} }];
    const ours = { name: "a", styles: NAMES, weights: { ink: 1 }, note: "mine" };
    const file = { version: 1, mixes: [...strange, ours], more: true };
    assert.deepEqual(mixesOf(file).mixes.length, 1);
    assert.equal(mixesOf(file).strange, strange.length);
    assert.deepEqual(withMix(file, mix("a", {}), mix("b", { oil: 1 })), {
      version: 1, more: true, mixes: [...strange, { ...ours, name: "b", weights: { oil: 1 } }],
    });
    assert.deepEqual(withMix(file, mix("a", {}), null).mixes, strange);
    assert.deepEqual(withMix(file, mix("gone", {}), null).mixes, file.mixes);
  });

  test("names that are like parts of objects are only names", () => {
    const entry = '{"name": "__proto__", "styles": ["__proto__"], "weights": {"__proto__": 1}}';
    const text = `{"version": 1, "mixes": [${entry}]}`;
    const { file } = /** @type {{file: any}} */ (parseFile(text));
    const [read] = mixesOf(file).mixes;
    assert.deepEqual([...read.weights], [["__proto__", 1]]);
    assert.equal(JSON.stringify(withMix(file, read, read)), JSON.stringify(JSON.parse(text)));
  });

  test("a server that fails loses nothing", async () => {
    const text = JSON.stringify({ version: 1, mixes: [{ name: "a", styles: NAMES, weights: { ink: 1 } }] });
    const files = new Files(text);
    const store = new MixStore(files);
    files.fails = "store";
    assert.match(await store.change(mix("b", {}), mix("b", { ink: 1 })), /could not be saved: .*No space/);
    assert.equal(files.text, text);
    files.fails = "get";
    assert.match(await store.change(mix("b", {}), mix("b", { ink: 1 })), /cannot be read/);
    assert.match((await store.read()).error, /does not answer/);
    files.fails = "";
    assert.equal(await store.change(mix("b", {}), mix("b", { ink: 1 })), "", "the next one is not held up");
    assert.equal((await store.read()).mixes.length, 2);
  });

  test("tidy names", () => {
    assert.equal(tidyName("  a \n\t b\u0000 "), "a b");
    assert.equal(tidyName("x".repeat(200)).length, 80);
    assert.equal(tidyName(" \u200b "), "");
  });
});
