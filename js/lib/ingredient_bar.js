/** The stacked bar over the table of ingredients: one part for each row, and dividers to drag between them. */
import { make } from "./elements.js";
import { word } from "./words.js";

/**
 * @typedef {object} Segment
 * @property {number} at of its row
 * @property {string} name
 * @property {string} colour
 * @property {number} value percentage, or share
 * @property {string} text the value as people read it
 * @property {boolean} locked
 */
/**
 * @typedef {object} Told
 * @property {(at: number) => boolean} begin a divider, which is after that row; false where it cannot be moved
 * @property {(amount: number) => void} moved by so much of the whole bar since it began
 * @property {(at: number | null) => void} point to a row
 */

const WIDE = 26; // pixels that a number needs
const WIDER = 64; // pixels that a number and a percentage need

export const BAR_CSS = `
.dsoup-ing-stack {
  position: relative; display: flex; flex: none; height: 24px; border-radius: 5px; overflow: hidden; touch-action: none;
  background: repeating-linear-gradient(135deg, transparent 0 4px, rgb(128 128 128 / 18%) 4px 5px),
    var(--component-node-widget-background, var(--comfy-input-bg, #222));
}
.dsoup-ing-segment {
  position: relative; flex: 0 0 auto; min-width: 0; box-sizing: border-box; overflow: hidden; display: flex; gap: 5px;
  align-items: center; justify-content: center; white-space: nowrap; font-variant-numeric: tabular-nums;
  color: #111; background: var(--dsoup-colour); box-shadow: inset -1px 0 rgb(0 0 0 / 45%);
}
.dsoup-ing-segment b { font-weight: 700; }
.dsoup-ing-segment.negative {
  background: repeating-linear-gradient(135deg, var(--dsoup-colour) 0 5px, rgb(0 0 0 / 60%) 5px 8px);
}
.dsoup-ing-segment.negative > * { padding: 0 3px; border-radius: 3px; background: var(--dsoup-colour); }
.dsoup-ing-segment.pointed { filter: brightness(1.18); }
.dsoup-ing-divider {
  position: absolute; top: 0; bottom: 0; width: 11px; margin-left: -6px; cursor: ew-resize; z-index: 1;
}
.dsoup-ing-divider::after {
  content: ""; position: absolute; left: 4px; top: 5px; bottom: 5px; width: 3px; border-radius: 2px;
  background: rgb(255 255 255 / 75%); box-shadow: 0 0 2px rgb(0 0 0 / 80%); opacity: 0;
}
.dsoup-ing-divider:hover::after, .dsoup-ing-divider.held::after { opacity: 1; }
.dsoup-ing-divider.fixed { cursor: not-allowed; }
.dsoup-ing-divider.fixed::after { display: none; }
.dsoup-ing-one { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px; background: var(--input-text, #ddd); }
.dsoup-ing-stack > p { margin: auto; opacity: 0.7; }
`;

/** The bar; it only shows, and tells what the pointer does. */
export class StackedBar {
  /** @param {Told} told */
  constructor(told) {
    this.told = told;
    this.element = make("div", { className: "dsoup-ing-stack" });
    this.element.setAttribute("role", "img");
    this.held = -1;
    this.width = 300;
    this.shown = "";
    /** @type {() => void} */
    this.again = () => {};
    new ResizeObserver(() => this.#resized()).observe(this.element);
    this.element.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => this.#press(event));
    this.element.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (!event.buttons) told.point(this.#rowAt(event));
    });
    this.element.addEventListener("pointerleave", () => told.point(null));
  }

  /**
   * @param {Segment[]} segments those in the soup
   * @param {number} whole what the width of the bar stands for
   * @param {string} note shown where there are no segments
   * @param {number | null} one where the sum of raw shares is 1
   * @param {(at: number) => boolean} movable whether the divider after a row can be dragged
   */
  show(segments, whole, note, one, movable) {
    this.again = () => this.show(segments, whole, note, one, movable);
    const { width } = this;
    const shown = JSON.stringify([segments, whole, note, one, width, this.held, segments.map(({ at }) => movable(at))]);
    if (shown === this.shown) return;
    this.shown = shown;
    let reached = 0;
    /** @type {HTMLElement[]} */
    const dividers = [];
    const parts = segments.map(({ at, name, colour, value, text }, place) => {
      const size = whole > 0 ? Math.abs(value) / whole : 0;
      reached += size;
      const inside = size * width >= WIDER ? [make("b", {}, String(at + 1)), make("span", {}, text)]
        : size * width >= WIDE ? [make("b", {}, String(at + 1))] : [];
      const part = make("div", { className: "dsoup-ing-segment", title: `${at + 1} ${name}: ${text}` }, ...inside);
      part.classList.toggle("negative", value < 0);
      part.dataset.row = String(at);
      part.style.cssText = `width: ${100 * size}%; --dsoup-colour: ${colour}`;
      if (place < segments.length - 1) dividers.push(this.#divider(at, reached, movable(at)));
      return part;
    });
    this.element.replaceChildren(...parts, ...dividers, ...(segments.length ? [] : [make("p", {}, note)]));
    if (one !== null) {
      const mark = make("div", { className: "dsoup-ing-one", title: word("Here the shares add up to 1") });
      mark.style.left = `${100 * one}%`;
      this.element.append(mark);
    }
    this.element.setAttribute("aria-label", segments.length
      ? segments.map(({ name, text }) => `${name} ${text}`).join(", ") : note);
  }

  /** Other texts may fit. The width is kept, because asking for it while the page changes lays it out. */
  #resized() {
    const width = this.element.clientWidth;
    if (!width || width === this.width) return;
    this.width = width;
    this.again();
  }

  /** @param {number | null} at the row that is pointed to */
  point(at) {
    for (const part of this.element.querySelectorAll(".dsoup-ing-segment")) {
      part.classList.toggle("pointed", part instanceof HTMLElement && at !== null && part.dataset.row === String(at));
    }
  }

  /** @param {number} at @param {number} reached @param {boolean} movable */
  #divider(at, reached, movable) {
    const divider = make("div", { className: "dsoup-ing-divider" });
    divider.dataset.after = String(at);
    divider.style.left = `${100 * reached}%`;
    divider.title = movable ? word("Drag: more of the one, less of the other") : word("Locked");
    divider.classList.toggle("fixed", !movable);
    divider.classList.toggle("held", at === this.held);
    return divider;
  }

  /** @param {PointerEvent} event */
  #rowAt({ target }) {
    const row = target instanceof Element ? target.closest(".dsoup-ing-segment") : null;
    return row instanceof HTMLElement ? Number(row.dataset.row) : null;
  }

  /** @param {PointerEvent} event */
  #press(event) {
    const divider = event.target instanceof Element ? event.target.closest(".dsoup-ing-divider") : null;
    if (event.button !== 0 || !(divider instanceof HTMLElement)) return;
    event.preventDefault();
    const at = Number(divider.dataset.after);
    if (!this.told.begin(at)) return;
    this.held = at;
    const { clientX, pointerId } = event;
    const stop = new AbortController();
    this.element.setPointerCapture(pointerId);
    this.element.addEventListener("pointermove", (/** @type {PointerEvent} */ moved) => {
      const { width } = this.element.getBoundingClientRect();
      this.told.moved((moved.clientX - clientX) / width);
    }, stop);
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      this.element.addEventListener(end, () => {
        this.held = -1;
        stop.abort();
      }, stop);
    }
  }
}
