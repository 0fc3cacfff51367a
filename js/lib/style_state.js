/**
 * The mix of one Mix Styles node: read from its text as the node does, changed by writing the text.
 *
 * Text and widgets are the only state that counts. What is only about editing (the view, the styles at the corners,
 * the locks) is in the node's properties, and steps to undo are forgotten with the page.
 */
import { inputOf, valueOf, widgetOf } from "./nodes.js";
import { apportion, dirichlet, gap } from "./style_shapes.js";
import { readWeights, troubleOf, writeWeights } from "./style_text.js";
import { word } from "./words.js";

/** @typedef {import("./style_shapes.js").Shape} Shape */
/** @typedef {import("./style_shapes.js").Point} Point */
/** @typedef {"normalise" | "extrapolate"} Switch */
/** @typedef {{weights: string, normalise: unknown, extrapolate: unknown, corners: unknown}} Snapshot */
/** @typedef {{point: Point, off: string}} Place `off`: why the weights are not just this point, "" where they are */

const MOST_UNDO = 200;
const TOGETHER = 1000; // milliseconds between steps of the keyboard that are undone as one
const CORNERS = 4;
const SWITCHES = /** @type {const} */ (["normalise", "extrapolate"]);
const FEW = 3; // styles in a sparse mix, at most

export class StyleState {
  /**
   * @param {any} node
   * @param {() => void} changed
   * @param {(text: string) => void} say for a while; "" ends it
   */
  constructor(node, changed, say) {
    this.node = node;
    this.changed = changed;
    this.say = say;
    /** @type {string[]} the styles, in order */
    this.names = [];
    /** @type {Map<string, number>} */
    this.weights = new Map();
    /** @type {Snapshot[]} */
    this.past = [];
    /** @type {Snapshot[]} */
    this.future = [];
    this.stroke = { name: "", time: 0 };
    this.strokes = 0;
    this.writing = false;
  }

  // -- what is there -----------------------------------------------------------------------------

  get text() {
    return String(widgetOf(this.node, "weights")?.value ?? "");
  }

  /** @param {Switch} name @returns {boolean | undefined} undefined where it comes through a link */
  isOn(name) {
    const value = valueOf(this.node, name);
    return value === undefined ? undefined : value === true;
  }

  /** Whether a widget may be written: nothing is sent to it through a link. @param {Switch} name */
  isFree(name) {
    return widgetOf(this.node, name) !== undefined && inputOf(this.node, name)?.link == null;
  }

  /** @returns {[number, number]} */
  get range() {
    return this.isOn("extrapolate") ? [-1, 2] : [0, 1];
  }

  get sum() {
    return this.names.reduce((sum, name) => sum + this.of(name), 0);
  }

  /** Whether the weights are scaled when they are used, and so are not what they seem. */
  get scaled() {
    return this.isOn("normalise") && Math.abs(this.sum) > 1e-9 && Math.abs(this.sum - 1) > 1e-6;
  }

  /** The share of the mix that a weight becomes; "" where it is just the weight. @param {string} name */
  percent(name) {
    return this.scaled && this.of(name) ? `${Math.round((100 * this.of(name)) / this.sum)}%` : "";
  }

  get trouble() {
    return troubleOf(this.text, this.names, {
      normalise: this.isOn("normalise"), extrapolate: this.isOn("extrapolate"),
    });
  }

  /** @param {string} name */
  of(name) {
    return this.weights.get(name) ?? 0;
  }

  /** The styles that only their own sliders change. @returns {string[]} */
  get locked() {
    const { locked } = this.node.properties ?? {};
    return Array.isArray(locked) ? this.names.filter((name) => locked.includes(name)) : [];
  }

  /** The styles at the corners, the first two at the ends of the fader too: those chosen, else the heaviest. */
  get corners() {
    const { corners } = this.node.properties ?? {};
    const chosen = (Array.isArray(corners) ? corners : []).filter((name, at, all) =>
      this.names.includes(name) && all.indexOf(name) === at);
    const heavy = (/** @type {string} */ name) => Math.abs(this.of(name));
    const others = this.names.filter((name) => !chosen.includes(name)).sort((a, b) => heavy(b) - heavy(a));
    return [...chosen, ...others].slice(0, CORNERS);
  }

  read() {
    if (this.writing) return;
    this.weights = readWeights(this.text, this.names);
    this.changed();
  }

  /**
   * Where the weights lie on a shape.
   * @param {Shape} shape
   * @returns {Place}
   */
  place(shape) {
    const corners = this.corners.slice(0, shape.corners.length);
    const weights = corners.map((name) => this.of(name));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    if (!weights.some(Boolean)) {
      const used = this.names.some((name) => this.of(name) && !this.locked.includes(name));
      return { point: shape.middle, off: used ? word("The weights are of styles that are not shown here.")
        : word("No weights yet: drag the point.") };
    }
    if (sum < 1e-9) return { point: shape.middle, off: word("The weights shown here sum to {0}.", sum.toFixed(2)) };
    const shares = weights.map((weight) => weight / sum);
    const point = shape.point(shares);
    const away = gap(shape.weights(point), shares) > 0.0101 / Math.min(sum, 1);
    const beside = this.names.find((name) => this.of(name) && !corners.includes(name) && !this.locked.includes(name));
    if (beside) return { point, off: word("{0} {1} is not shown here.", beside, this.of(beside).toFixed(2)) };
    if (away) return { point, off: word("No point has just these weights: this is the nearest point.") };
    const unscaled = this.isOn("normalise") === false && Math.abs(this.sum - 1) > 0.001;
    const off = unscaled ? word("The weights sum to {0}; those of a point sum to 1.", this.sum.toFixed(2)) : "";
    return { point, off };
  }

  // -- edits -------------------------------------------------------------------------------------

  /** A name for changes that are undone together. */
  newStroke() {
    this.strokes += 1;
    return `stroke ${this.strokes}`;
  }

  /** @param {Map<string, number>} weights @param {string} [stroke] */
  set(weights, stroke = "") {
    this.#write({ weights: writeWeights(this.text, this.names, weights) }, stroke);
  }

  /**
   * Share what the locked styles leave of 1 among some styles; all others get nothing.
   * @param {string[]} names
   * @param {number[]} shares that sum to 1
   * @param {string} [stroke]
   * @returns {boolean} whether it could be done
   */
  spread(names, shares, stroke = "") {
    const { locked } = this;
    const stuck = names.find((name) => locked.includes(name));
    const rest = 1 - locked.reduce((sum, name) => sum + this.of(name), 0);
    if (stuck) this.say(word("{0} is locked: unlock it among the sliders.", stuck));
    else if (!names.length) this.say(word("All styles are locked."));
    else if (rest < 0.005) this.say(word("The locked styles leave nothing to share: they sum to 1 or more."));
    if (stuck || !names.length || rest < 0.005) return false;
    const free = this.names.filter((name) => !locked.includes(name));
    const outside = shares.some((share) => share < 0);
    const given = outside ? shares.map((share) => Number((share * rest).toFixed(2))) : apportion(shares, rest);
    this.set(new Map(free.map((name) => [name, given[names.indexOf(name)] ?? 0])), stroke);
    return true;
  }

  get #free() {
    return this.names.filter((name) => !this.locked.includes(name));
  }

  /** All mixes are as likely as each other. @param {boolean} [sparse] of few styles @param {() => number} [random] */
  random(sparse = false, random = Math.random) {
    let names = this.#free;
    if (sparse) {
      const drawn = names.map((name) => ({ name, place: random() })).sort((a, b) => a.place - b.place);
      names = drawn.slice(0, 2 + Math.floor(random() * (FEW - 1))).map(({ name }) => name);
    }
    this.spread(names, dirichlet(names.length, random));
  }

  even() {
    const names = this.#free;
    this.spread(names, names.map(() => 1 / names.length));
  }

  clear() {
    this.set(new Map(this.#free.map((name) => [name, 0])));
  }

  /** All weights of a mix at once; a style it does not name has none. @param {Map<string, number>} mix */
  apply(mix) {
    this.set(new Map(this.names.map((name) => [name, mix.get(name) ?? 0])));
  }

  /** @param {Switch} name */
  toggle(name) {
    if (this.isFree(name)) this.#write({ [name]: !widgetOf(this.node, name).value });
  }

  /**
   * Put another style at a corner; the one that was there takes its place. Weights that lie on the shape go along.
   * @param {Shape} shape
   * @param {number} at
   * @param {string} name
   */
  choose(shape, at, name) {
    const before = this.corners;
    const count = shape.corners.length;
    const { off } = this.place(shape);
    const weights = before.slice(0, count).map((each) => this.of(each));
    const from = before.indexOf(name);
    const after = before.map((each, place) => (place === at ? name : place === from ? before[at] : each));
    if (name === before[at] || !this.names.includes(name)) return;
    const involved = [before[at], name].some((each) => this.locked.includes(each));
    /** @type {Partial<Snapshot>} */
    const change = { corners: after };
    if (!off && !involved) {
      const carried = new Map(before.slice(0, count).map((each) => [each, 0]));
      after.slice(0, count).forEach((each, place) => carried.set(each, weights[place]));
      change.weights = writeWeights(this.text, this.names, carried);
    }
    this.#write(change);
  }

  /** Remember which styles are at the corners, so that they stay there when weights change. */
  settle() {
    const { corners } = this;
    if (JSON.stringify(this.node.properties?.corners) !== JSON.stringify(corners)) this.property("corners", corners);
  }

  /** @param {string} name */
  toggleLock(name) {
    const { locked } = this;
    this.property("locked", locked.includes(name) ? locked.filter((each) => each !== name) : [...locked, name]);
  }

  /** @param {string} name @param {unknown} value */
  property(name, value) {
    this.node.properties ??= {};
    this.node.properties[name] = value;
    this.changed();
  }

  // -- undo --------------------------------------------------------------------------------------

  /** @param {Partial<Snapshot>} values @param {string} [stroke] changes of one stroke are undone together */
  #write(values, stroke = "") {
    const before = this.#snapshot();
    this.#put(values);
    if (JSON.stringify(before) === JSON.stringify(this.#snapshot())) return;
    const now = performance.now();
    const soon = !stroke.startsWith("key") || now - this.stroke.time < TOGETHER;
    const goesOn = stroke !== "" && stroke === this.stroke.name && soon;
    this.stroke = { name: stroke, time: now };
    this.future = [];
    if (!goesOn) this.past = [...this.past, before].slice(-MOST_UNDO);
    this.say(""); // what was said was about something else
    this.changed();
  }

  /** @returns {Snapshot} */
  #snapshot() {
    const [normalise, extrapolate] = SWITCHES.map((name) => widgetOf(this.node, name)?.value);
    return { weights: this.text, normalise, extrapolate, corners: this.node.properties?.corners };
  }

  /** @param {Partial<Snapshot>} values */
  #put(values) {
    this.writing = true;
    if (values.corners !== undefined) (this.node.properties ??= {}).corners = values.corners;
    for (const name of /** @type {const} */ (["weights", ...SWITCHES])) {
      const widget = widgetOf(this.node, name);
      if (!widget || values[name] === undefined || widget.value === values[name]) continue;
      if (name !== "weights" && !this.isFree(name)) continue;
      widget.value = values[name];
      widget.callback?.(widget.value); // Nodes 2.0 shows what comes through here
    }
    this.writing = false;
    this.read();
    this.node.setDirtyCanvas?.(true, true);
  }

  undo() {
    this.#step(this.past, this.future);
  }

  redo() {
    this.#step(this.future, this.past);
  }

  /** @param {Snapshot[]} from @param {Snapshot[]} to */
  #step(from, to) {
    const snapshot = from.pop();
    if (!snapshot) return;
    to.push(this.#snapshot());
    this.stroke = { name: "", time: 0 };
    this.#put(snapshot);
  }
}
