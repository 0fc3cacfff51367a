/** What fader and pad have in common: styles at their corners, and a point that pointer and keys move between them. */
import { make } from "./elements.js";
import { dirichlet, square, triangle } from "./style_shapes.js";
import { word } from "./words.js";

/** @typedef {import("./style_shapes.js").Shape} Shape */
/** @typedef {import("./style_shapes.js").Point} Point */
/** @typedef {import("./style_state.js").StyleState} StyleState */

const LETTERS = "ABCD";
const STEP = 0.05;
const FINE = 0.01;
const SLOW = 0.1; // of the way of the pointer, while Shift is down
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Colours that the colour-blind can tell apart (Okabe and Ito 2008); letters say the same. */
export const CORNERS_CSS = `
.dsoup-console { --dsoup-a: #e69f00; --dsoup-b: #56b4e9; --dsoup-c: #1fb58a; --dsoup-d: #d68ab5; }
.dsoup-mix-ends { display: flex; flex: none; gap: 8px; justify-content: space-between; height: 22px; }
.dsoup-mix-ends.one { justify-content: center; }
.dsoup-mix-corner { display: flex; flex: 0 1 auto; align-items: center; gap: 4px; min-width: 0;
  max-width: calc(50% - 4px); }
.dsoup-mix-corner b {
  flex: none; width: 15px; height: 15px; border-radius: 50%; font-size: 10px; line-height: 15px; text-align: center;
  color: #111; background: var(--dsoup-colour);
}
.dsoup-mix-corner select { flex: 0 1 auto; min-width: 36px; text-overflow: ellipsis; }
.dsoup-mix-corner output { flex: none; min-width: 22px; font-variant-numeric: tabular-nums; }
.dsoup-mix-ends > .dsoup-mix-corner:not(:first-child) { flex-direction: row-reverse; }
.dsoup-mix-ends > .dsoup-mix-corner:not(:first-child) output { text-align: right; }
.dsoup-mix-corner small { margin-left: 5px; font-size: 10px; opacity: 0.7; }
@container (max-width: 325px) { .dsoup-mix-corner small { display: none; } }
.dsoup-mix-field { position: relative; cursor: crosshair; touch-action: none; user-select: none; border-radius: 4px; }
.dsoup-mix-field input {
  position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; pointer-events: none;
}
.dsoup-mix-field:has(input:focus-visible) { outline: 2px solid var(--p-primary-color, #5b8dd6);
  outline-offset: -1px; }
.dsoup-mix-knob {
  position: absolute; box-sizing: border-box; cursor: grab; border: 2px solid #111; background: #fff;
  box-shadow: 0 0 0 1.5px #fff, 0 1px 4px rgb(0 0 0 / 0.6); transform: translate(-50%, -50%);
}
.dsoup-mix-knob:active { cursor: grabbing; }
.dsoup-mix-knob.hollow { background: transparent; border: 2px dashed #fff; box-shadow: 0 0 0 1.5px #111;
  opacity: 0.85; }
`;

/** The colour of a corner. @param {number} at */
export const colourOf = (at) => `var(--dsoup-${LETTERS[at].toLowerCase()})`;

/** One corner: its letter, a list of the styles, the weight. */
export class Corner {
  /** @param {number} at @param {(name: string) => void} choose */
  constructor(at, choose) {
    this.select = make("select");
    this.select.setAttribute("aria-label", word("Style at {0}", LETTERS[at]));
    this.select.addEventListener("change", () => choose(this.select.value));
    this.output = make("output");
    const letter = make("b", {}, LETTERS[at]);
    letter.setAttribute("aria-hidden", "true");
    this.element = make("div", { className: "dsoup-mix-corner" }, letter, this.select, this.output);
    this.element.style.setProperty("--dsoup-colour", colourOf(at));
    this.offered = "";
  }

  /** @param {StyleState} state @param {string} name */
  show(state, name) {
    const { names } = state;
    if (this.offered !== names.join("\n")) {
      this.offered = names.join("\n");
      this.select.replaceChildren(...names.map((each) => make("option", { value: each }, each)));
    }
    this.select.value = name;
    this.select.title = name;
    const percent = state.percent(name);
    this.output.replaceChildren(state.of(name).toFixed(2), ...(percent ? [make("small", {}, percent)] : []));
  }
}

/** A point to drag in a field, and to move with the keyboard. */
export class ShapePoint {
  /**
   * @param {StyleState} state
   * @param {string} what it is called, in the code
   */
  constructor(state, what) {
    this.state = state;
    this.what = what;
    /** @type {Shape} */
    this.shape = triangle;
    /** @type {Point} */
    this.point = triangle.middle;
    this.written = ""; // the text that the point stands for: weights are rounded, the point is not
    this.stroke = "";
    /** What the point's box is: the client rectangle of this element. @type {HTMLElement} */
    this.box = make("div");
    this.handle = make("div", { className: "dsoup-mix-knob" });
    this.input = make("input", { type: "range", min: "0", max: "1", step: "any" });
    this.input.setAttribute("role", "slider");
    this.field = make("div", { className: "dsoup-mix-field" }, this.input);
    this.field.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => this.#press(event));
    this.field.addEventListener("dblclick", () => this.move(this.shape.middle, this.stroke));
    this.field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event));
  }

  /** The styles at the corners. */
  get names() {
    return this.state.corners.slice(0, this.shape.corners.length);
  }

  /** @param {Shape} shape @returns {string} why the weights are not just the point */
  read(shape) {
    const place = this.state.place(shape);
    const moved = shape !== this.shape && JSON.stringify(shape.corners) !== JSON.stringify(this.shape.corners);
    if (moved || place.off || this.written !== this.state.text) {
      this.point = place.point;
      this.written = "";
    }
    this.shape = shape;
    this.handle.classList.toggle("hollow", place.off !== "");
    this.handle.title = place.off
      || word("Drag, or move with the arrow keys; Shift: finer; double click: the middle");
    const said = this.names.map((name) => `${name} ${this.state.of(name).toFixed(2)}`).join(", ");
    this.input.setAttribute("aria-valuetext", place.off ? `${said}. ${place.off}` : said);
    return place.off;
  }

  /** @param {Point} point @param {string} stroke */
  move(point, stroke) {
    this.state.settle();
    const inside = this.shape.inside(point);
    if (this.state.spread(this.names, this.shape.weights(inside), stroke)) {
      this.point = inside;
      this.written = this.state.text;
    }
    this.state.changed();
  }

  random() {
    const { length } = this.shape.corners;
    this.move(length === 4 ? [Math.random(), Math.random()] : this.shape.point(dirichlet(length)), "");
  }

  focus() {
    this.input.focus({ preventScroll: true });
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (event.button !== 0) return;
    event.preventDefault(); // else the browser begins a selection, and moves the focus
    this.focus();
    const box = this.box.getBoundingClientRect(); // as on the screen, whatever the zoom
    const held = event.target === this.handle;
    const [width, height] = [box.width, box.height || 1];
    let [x, y] = held ? this.point
      : this.pointAt((event.clientX - box.left) / width, (event.clientY - box.top) / height);
    let [lastX, lastY] = [event.clientX, event.clientY];
    if (!held || this.stroke === "") this.stroke = this.state.newStroke();
    const stroke = held ? this.state.newStroke() : this.stroke;
    if (!held) this.move([x, y], stroke);
    this.#follow(event, ({ clientX, clientY, shiftKey }) => {
      if (clientX === lastX && clientY === lastY) return;
      const pace = shiftKey ? SLOW : 1;
      x += ((clientX - lastX) / width) * pace * this.span;
      y += ((clientY - lastY) / height) * pace;
      [lastX, lastY] = [clientX, clientY];
      this.move([x, y], stroke);
    });
  }

  /** How much of the shape its box is wide; more than 1 beyond the ends. */
  get span() {
    return 1;
  }

  /** @param {number} x @param {number} y shares of the box @returns {Point} */
  pointAt(x, y) {
    return [x, y];
  }

  /** @param {PointerEvent} event @param {(event: PointerEvent) => void} moved until the pointer goes up */
  #follow({ pointerId }, moved) {
    const stop = new AbortController();
    this.field.setPointerCapture(pointerId);
    this.field.addEventListener("pointermove", moved, stop);
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      this.field.addEventListener(end, () => stop.abort(), stop);
    }
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const { corners, inside, middle } = this.shape;
    const [right, down] = ARROWS[event.key] ?? [0, 0];
    const step = event.shiftKey ? FINE : STEP;
    const letter = event.key.length === 1 ? LETTERS.indexOf(event.key.toUpperCase()) : -1;
    const ends = { Home: corners[0], End: corners[corners.length - 1], m: middle, M: middle };
    const [x, y] = this.point;
    const goal = right || down ? inside(this.stepped(x, y, right * step, down * step))
      : corners[letter] ?? ends[/** @type {keyof typeof ends} */ (event.key)];
    if (!goal) return;
    event.preventDefault();
    event.stopPropagation();
    this.move(goal, `key ${this.what}`);
  }

  /** @param {number} x @param {number} y @param {number} right @param {number} down @returns {Point} */
  stepped(x, y, right, down) {
    const tidy = (/** @type {number} */ value) => Number(value.toFixed(4)); // steps back give the same point again
    return this.shape === square ? [tidy(x + right), tidy(y + down)] : [x + right, y + down / this.shape.aspect];
  }
}
