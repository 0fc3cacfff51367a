/** A fader from one style to another. */
import { make } from "./elements.js";
import { Corner, ShapePoint } from "./style_corners.js";
import { line } from "./style_shapes.js";
import { word } from "./words.js";

/** @typedef {import("./style_shapes.js").Point} Point */
/** @typedef {import("./style_state.js").StyleState} StyleState */

export const FADER_HEIGHT = 62;

export const FADER_CSS = `
.dsoup-mix-fader { display: flex; flex-direction: column; gap: 4px; height: ${FADER_HEIGHT}px; flex: none; }
.dsoup-mix-fader .dsoup-mix-field { flex: 1; padding: 0 9px; cursor: ew-resize; }
.dsoup-mix-rail { position: relative; height: 100%; }
.dsoup-mix-rail::before {
  content: ""; position: absolute; left: var(--zero); right: calc(100% - var(--one)); top: 50%; height: 8px;
  margin-top: -7px; border-radius: 4px; background: linear-gradient(to right, var(--dsoup-a), var(--dsoup-b));
}
.dsoup-mix-rail.beyond::after {
  content: ""; position: absolute; z-index: -1; left: 0; right: 0; top: 50%; height: 8px; margin-top: -7px;
  border-radius: 4px; background: repeating-linear-gradient(45deg,
    color-mix(in srgb, var(--input-text, #ddd) 30%, transparent) 0 2px, transparent 2px 5px);
}
.dsoup-mix-rail { isolation: isolate; }
.dsoup-mix-rail i {
  position: absolute; top: calc(50% + 4px); width: 1px; height: 5px; opacity: 0.4;
  background: var(--input-text, #ddd);
}
.dsoup-mix-rail i.half { height: 8px; opacity: 0.7; }
.dsoup-mix-fader .dsoup-mix-knob { top: calc(50% - 3px); width: 13px; height: 24px; border-radius: 5px;
  cursor: ew-resize; }
`;

const TICKS = 8;

export class StyleFader extends ShapePoint {
  /** @param {StyleState} state */
  constructor(state) {
    super(state, "fader");
    /** @type {[number, number]} */
    this.range = [0, 1];
    this.shape = line();
    this.ends = [0, 1].map((at) => new Corner(at, (name) => this.state.choose(this.shape, at, name)));
    this.ticks = Array.from({ length: TICKS + 1 }, (_, at) => make("i", { className: at % 4 ? "" : "half" }));
    this.box = make("div", { className: "dsoup-mix-rail" }, ...this.ticks, this.handle);
    this.field.append(this.box);
    this.input.setAttribute("aria-label", word("Crossfader"));
    this.input.addEventListener("input", () => // as assistive technology does it
      this.move([Number(Number(this.input.value).toFixed(2)), 0], `key ${this.what}`));
    this.element = make("div", { className: "dsoup-mix-fader" },
      make("div", { className: "dsoup-mix-ends" }, ...this.ends.map(({ element }) => element)), this.field);
  }

  /** @returns {string} why the weights are not just the point */
  show() {
    const { state } = this;
    this.range = state.range;
    const off = this.read(line(...this.range));
    const [least, most] = this.range;
    const left = (/** @type {number} */ t) => `${(100 * (t - least)) / (most - least)}%`;
    this.ends.forEach((end, at) => end.show(state, this.names[at]));
    Object.assign(this.input, { min: least, max: most, value: this.point[0] });
    this.handle.style.left = left(this.point[0]);
    this.box.style.setProperty("--zero", left(0));
    this.box.style.setProperty("--one", left(1));
    this.box.classList.toggle("beyond", least < 0);
    this.ticks.forEach((tick, at) => { tick.style.left = left(at / TICKS); });
    return off;
  }

  get span() {
    return this.range[1] - this.range[0];
  }

  /** @param {number} x @returns {Point} */
  pointAt(x) {
    return [this.range[0] + x * this.span, 0];
  }

  /** @param {number} x @param {number} _y @param {number} right @param {number} down @returns {Point} */
  stepped(x, _y, right, down) {
    return [Number((x + right - down).toFixed(2)), 0];
  }
}
