/** A pad for three styles, a triangle, or four, a square. */
import { icon, make } from "./elements.js";
import { Corner, ShapePoint, colourOf } from "./style_corners.js";
import { square, triangle } from "./style_shapes.js";
import { word } from "./words.js";

/** @typedef {import("./style_state.js").StyleState} StyleState */

export const PAD_HEIGHT = 240;

// Lines at quarters of each weight.
const TRIANGLE_GRID = [1, 2, 3].map((k) => `M${2 - k / 2} ${k} H${2 + k / 2} M${2 - k / 2} ${k} L${4 - k} 4 `
  + `M${2 + k / 2} ${k} L${k} 4`).join(" ");
const SQUARE_GRID = [1, 2, 3].map((k) => `M0 ${k} H4 M${k} 0 V4`).join(" ");

// A weight falls along a straight line from its corner to the side across: in the triangle after 2/3 of the gradient's
// length, which goes by the box around it.
export const PAD_CSS = `
.dsoup-mix-pad { display: flex; flex-direction: column; gap: 4px; flex: 1 1 0; min-height: 0; }
.dsoup-mix-pad .dsoup-mix-field { flex: 1 1 0; min-height: 0; padding: 9px; }
.dsoup-mix-room { display: grid; place-items: center; width: 100%; height: 100%; container-type: size; }
.dsoup-mix-surface { position: relative; height: auto; }
.dsoup-mix-pad.triangle .dsoup-mix-surface { width: min(100cqw, 115.47cqh); aspect-ratio: 2 / 1.7320508; }
.dsoup-mix-pad.square .dsoup-mix-surface { width: min(100cqw, 160cqh); height: 100cqh; }
.dsoup-mix-colours { position: absolute; inset: 0; background-color: color-mix(in srgb, var(--input-text, #ddd) 10%,
  transparent); }
.dsoup-mix-pad.triangle .dsoup-mix-colours {
  clip-path: polygon(50% 0, 100% 100%, 0 100%);
  background-image: linear-gradient(180deg, ${colourOf(0)}, transparent),
    linear-gradient(60deg, ${colourOf(1)}, transparent 66.67%),
    linear-gradient(-60deg, ${colourOf(2)}, transparent 66.67%);
}
.dsoup-mix-pad.square .dsoup-mix-colours {
  border-radius: 3px;
  background-image: radial-gradient(farthest-side at 0 0, ${colourOf(0)}, transparent),
    radial-gradient(farthest-side at 100% 0, ${colourOf(1)}, transparent),
    radial-gradient(farthest-side at 0 100%, ${colourOf(2)}, transparent),
    radial-gradient(farthest-side at 100% 100%, ${colourOf(3)}, transparent);
}
.dsoup-mix-surface > b { position: absolute; width: 20px; margin: 3px 5px; font-size: 9px; line-height: 10px;
  color: #000;
  opacity: 0.75; pointer-events: none; }
.dsoup-mix-surface > .a { left: 0; top: 0; }
.dsoup-mix-surface > .b { right: 0; top: 0; text-align: right; }
.dsoup-mix-surface > .c { left: 0; bottom: 0; }
.dsoup-mix-surface > .d { right: 0; bottom: 0; text-align: right; }
.dsoup-mix-pad.triangle .dsoup-mix-surface > .a { left: calc(50% - 15px); top: 9px; text-align: center; }
.dsoup-mix-pad.triangle .dsoup-mix-surface > .b { left: 5px; top: auto; bottom: -1px; text-align: left; }
.dsoup-mix-pad.triangle .dsoup-mix-surface > .c { left: auto; right: 5px; bottom: -1px; text-align: right; }
.dsoup-mix-pad.triangle .dsoup-mix-surface > .d { display: none; }
.dsoup-mix-surface svg { position: absolute; inset: 0; width: 100%; height: 100%; fill: none; stroke: #000;
  stroke-opacity: 0.28; pointer-events: none; }
.dsoup-mix-surface svg path { vector-effect: non-scaling-stroke; stroke-width: 1px; }
.dsoup-mix-pad .dsoup-mix-knob { width: 16px; height: 16px; border-radius: 50%; }
`;

export class StylePad extends ShapePoint {
  /** @param {StyleState} state */
  constructor(state) {
    super(state, "pad");
    this.corners = [0, 1, 2, 3].map((at) => new Corner(at, (name) => this.state.choose(this.shape, at, name)));
    const colours = make("div", { className: "dsoup-mix-colours" });
    const letters = [..."ABCD"].map((letter) =>
      make("b", { className: letter.toLowerCase(), ariaHidden: "true" }, letter));
    this.box = make("div", { className: "dsoup-mix-surface" }, colours, ...letters, this.handle);
    this.field.append(make("div", { className: "dsoup-mix-room" }, this.box));
    this.input.setAttribute("aria-label", word("Pad of styles"));
    this.input.setAttribute("aria-roledescription", word("two-dimensional slider"));
    this.above = make("div", { className: "dsoup-mix-ends" });
    this.below = make("div", { className: "dsoup-mix-ends" });
    this.element = make("div", { className: "dsoup-mix-pad" }, this.above, this.field, this.below);
    /** @type {SVGElement | null} */
    this.grid = null;
    this.laid = 0;
  }

  /** @param {boolean} ofFour @returns {string} why the weights are not just the point */
  show(ofFour) {
    const off = this.read(ofFour ? square : triangle);
    this.#lay();
    this.names.forEach((name, at) => this.corners[at].show(this.state, name));
    this.handle.style.left = `${100 * this.point[0]}%`;
    this.handle.style.top = `${100 * this.point[1]}%`;
    this.input.value = String(this.point[0]);
    return off;
  }

  #lay() {
    const count = this.shape.corners.length;
    if (count === this.laid) return;
    this.laid = count;
    const elements = this.corners.slice(0, count).map(({ element }) => element);
    this.above.replaceChildren(...elements.slice(0, count - 2));
    this.above.classList.toggle("one", count === 3);
    this.below.replaceChildren(...elements.slice(-2));
    this.element.className = `dsoup-mix-pad ${count === 3 ? "triangle" : "square"}`;
    this.grid?.remove();
    this.grid = icon(count === 3 ? TRIANGLE_GRID : SQUARE_GRID);
    this.grid.setAttribute("viewBox", "0 0 4 4");
    this.grid.setAttribute("preserveAspectRatio", "none");
    this.box.insertBefore(this.grid, this.handle);
  }
}
