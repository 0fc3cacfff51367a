/** One slider for each style of a student; where there are many, a filter over them, and they are scrolled. */
import { icon, make } from "./elements.js";
import { word } from "./words.js";

/** @typedef {import("./style_state.js").StyleState} StyleState */

const STEP = 0.01;
const ROW = 26;
const ROWS_SEEN = 10; // the rest by scrolling
const FILTER = 26;
const TWICE = 400; // milliseconds in which a second press is a double click
const LOCK = "M5 7.5 V5.5 a3 3 0 0 1 6 0 V7.5 M3.5 7.5 H12.5 V13.5 H3.5 Z";

/** How the sliders look; both renderings of nodes have these colours. */
export const SLIDERS_CSS = `
.dsoup-sliders { display: flex; flex-direction: column; flex: 1 1 0; min-height: 0; }
.dsoup-styles { position: relative; display: flex; flex-direction: column; gap: 4px; min-height: 0;
  overflow: hidden auto; scrollbar-width: thin; }
.dsoup-style {
  position: relative; flex: none; display: flex; align-items: center; gap: 6px; height: ${ROW - 4}px;
  padding: 0 8px 0 4px; box-sizing: border-box; border-radius: 4px; overflow: hidden; font-size: 12px; line-height: 1;
  color: var(--input-text, #ddd);
  --dsoup-fill: color-mix(in srgb, var(--p-primary-color, #5b8dd6) 45%, transparent);
  background: linear-gradient(to right, transparent var(--from), var(--dsoup-fill) var(--from) var(--to),
    transparent var(--to)), var(--comfy-input-bg, #222);
}
.lg-node .dsoup-style {
  border-radius: 8px; background-color: var(--component-node-widget-background, var(--comfy-input-bg, #222));
}
.dsoup-style:focus-within:has(input:focus-visible) {
  outline: 1px solid var(--p-primary-color, #5b8dd6); outline-offset: -1px;
}
.dsoup-style > span { flex: 1; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; line-height: 1.4; }
.dsoup-style output { font-variant-numeric: tabular-nums; }
.dsoup-style small { font-size: 10px; opacity: 0.7; font-variant-numeric: tabular-nums; }
.dsoup-style.zero > span, .dsoup-style.zero output { opacity: 0.65; }
.dsoup-style input[type=range] {
  position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize;
  appearance: none; -webkit-appearance: none;
}
.dsoup-style input::-webkit-slider-thumb { -webkit-appearance: none; width: 2px; height: 100%; }
.dsoup-style input::-moz-range-thumb { width: 2px; height: 100%; border: 0; }
.dsoup-style input[aria-disabled=true] { cursor: not-allowed; }
.dsoup-style .dsoup-lock { z-index: 1; flex: none; width: 16px; height: 18px; padding: 0; background: none;
  opacity: 0; }
.dsoup-style:hover .dsoup-lock, .dsoup-style:focus-within .dsoup-lock { opacity: 0.45; }
.dsoup-style .dsoup-lock:hover, .dsoup-style .dsoup-lock:focus-visible { opacity: 1; }
.dsoup-style .dsoup-lock[aria-pressed=true] { opacity: 0.9; background: none; }
.dsoup-lock svg { display: block; width: 12px; height: 12px; margin: auto; fill: none; stroke: currentColor;
  stroke-width: 1.4; }
.dsoup-lock[aria-pressed=true] svg { fill: currentColor; }
.dsoup-style .dsoup-number {
  position: absolute; z-index: 2; right: 2px; width: 56px; height: 18px; padding: 0 4px; font-size: 12px;
  text-align: center; border: 1px solid var(--p-primary-color, #5b8dd6); background: var(--comfy-menu-bg, #353535);
}
.dsoup-filter { display: flex; flex: none; gap: 4px; height: 22px; margin-bottom: 4px; }
.dsoup-filter input { flex: 1; min-width: 0; }
`;

/** @typedef {{element: HTMLElement, input: HTMLInputElement, output: HTMLElement, percent: HTMLElement,
 *   lock: HTMLButtonElement}} Row */

export class StyleSliders {
  /** @param {StyleState} state */
  constructor(state) {
    this.state = state;
    /** @type {string[]} */
    this.names = [];
    /** @type {Map<string, Row>} */
    this.rows = new Map();
    this.last = ""; // the style whose slider had the focus last
    this.used = false;
    this.search = make("input", { type: "search", placeholder: word("Filter the styles") });
    this.search.setAttribute("aria-label", word("Filter the styles"));
    this.search.addEventListener("input", () => this.#filter());
    this.usedOnly = make("button", { type: "button", title: word("Only styles that have a weight") }, word("in use"));
    this.usedOnly.addEventListener("click", () => {
      this.used = !this.used;
      this.#filter();
    });
    this.filter = make("div", { className: "dsoup-filter" }, this.search, this.usedOnly);
    this.list = make("div", { className: "dsoup-styles" });
    this.list.dataset.captureWheel = "true"; // it scrolls, and the canvas does not zoom: in Nodes 2.0, and in LiteGraph
    this.list.addEventListener("wheel", (/** @type {Event} */ event) => {
      if (this.list.scrollHeight > this.list.clientHeight) event.stopPropagation();
    }, { passive: true });
    this.element = make("div", { className: "dsoup-sliders" }, this.filter, this.list);
  }

  get many() {
    return this.names.length > ROWS_SEEN;
  }

  /** In pixels. */
  get height() {
    return Math.min(this.names.length, ROWS_SEEN) * ROW - 4 + (this.many ? FILTER : 0);
  }

  /** Put the sliders where the text says. */
  show() {
    const { state } = this;
    if (state.names.join("\n") !== this.names.join("\n")) this.#lay(state.names);
    const [min, max] = state.range;
    const { locked } = state;
    const share = (/** @type {number} */ value) =>
      `${(100 * (Math.min(Math.max(value, min), max) - min)) / (max - min)}%`;
    for (const [name, { element, input, output, percent, lock }] of this.rows) {
      const weight = state.of(name);
      const held = locked.includes(name);
      Object.assign(input, { min, max, value: weight });
      input.setAttribute("aria-disabled", String(held)); // not `disabled`: it keeps the focus
      output.textContent = weight.toFixed(2);
      percent.textContent = state.percent(name);
      input.setAttribute("aria-valuetext", [output.textContent, percent.textContent].filter(Boolean).join(", "));
      element.classList.toggle("zero", weight === 0);
      element.style.setProperty("--from", share(Math.min(weight, 0)));
      element.style.setProperty("--to", share(Math.max(weight, 0)));
      lock.setAttribute("aria-pressed", String(held));
      lock.title = held
        ? word("Locked: random, even, clear, fader and pad leave it alone. Click to unlock") : word("Lock");
    }
  }

  focus() {
    const rows = [...this.rows.values()].filter(({ element }) => !element.hidden);
    (rows.find(({ element }) => element.title === this.last) ?? rows[0])?.input.focus({ preventScroll: true });
  }

  /** @param {string[]} names */
  #lay(names) {
    this.names = names;
    this.rows = new Map(names.map((name) => [name, this.#row(name)]));
    this.list.replaceChildren(...[...this.rows.values()].map(({ element }) => element));
    this.filter.hidden = !this.many;
    this.search.value = "";
    this.used = false;
    this.#filter();
  }

  /** Those whose weight goes to 0 stay until the next look, so that rows do not jump away below the pointer. */
  #filter() {
    const wanted = this.search.value.trim().toLowerCase();
    this.usedOnly.setAttribute("aria-pressed", String(this.used));
    for (const [name, { element }] of this.rows) {
      element.hidden = !name.toLowerCase().includes(wanted) || (this.used && !this.state.of(name));
    }
  }

  /** @param {string} name @param {number} weight @param {string} [stroke] */
  #write(name, weight, stroke) {
    if (this.state.locked.includes(name)) this.show();
    else this.state.set(new Map([[name, weight]]), stroke);
  }

  /** @param {string} name @returns {Row} */
  #row(name) {
    const input = make("input", { type: "range", min: 0, max: 1, step: STEP, value: 0 });
    const [output, percent] = [make("output"), make("small")];
    const lock = make("button", { type: "button", className: "dsoup-lock", tabIndex: -1 }, icon(LOCK));
    const element = make("div", { className: "dsoup-style", title: name },
      lock, make("span", { textContent: name }), percent, output, input);
    input.setAttribute("aria-label", name);
    input.setAttribute("aria-keyshortcuts", "L");
    lock.setAttribute("aria-label", word("Lock {0}", name));
    lock.addEventListener("click", () => this.state.toggleLock(name));
    let [stroke, pressed, before] = ["", -Infinity, 0];
    input.addEventListener("pointerdown", (/** @type {PointerEvent} */ { timeStamp }) => {
      if (timeStamp - pressed > TWICE) before = this.state.of(name);
      pressed = timeStamp;
      stroke = this.state.newStroke();
    });
    input.addEventListener("pointerup", () => { stroke = ""; });
    input.addEventListener("focus", () => { this.last = name; });
    input.addEventListener("input", () =>
      this.#write(name, Number(Number(input.value).toFixed(2)), stroke || `key ${name}`));
    input.addEventListener("dblclick", () => {
      for (let press = 0; press < 2 && this.state.of(name) !== before; press += 1) this.state.undo();
      this.#type(name);
    });
    element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event, name));
    return { element, input, output, percent, lock };
  }

  /** @param {KeyboardEvent} event @param {string} name */
  #key(event, name) {
    if (event.altKey || event.ctrlKey || event.metaKey || /** @type {any} */ (event.target).type !== "range") return;
    const key = event.key.toLowerCase();
    if (key === "l") this.state.toggleLock(name);
    else if (key === "delete" || key === "backspace") this.#write(name, 0);
    else if (key === "enter" || /^[-+.\d]$/.test(key)) this.#type(name, key === "enter" ? undefined : key);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /**
   * A field for a number, over a slider.
   * @param {string} name
   * @param {string} [start] what was typed already
   */
  #type(name, start) {
    const row = /** @type {Row} */ (this.rows.get(name));
    if (this.state.locked.includes(name)) return;
    const field = make("input", { className: "dsoup-number", inputMode: "decimal",
      value: start ?? String(this.state.of(name)) });
    field.setAttribute("aria-label", word("Weight of {0}", name));
    let open = true;
    const done = (/** @type {boolean} */ kept) => {
      if (!open) return;
      open = false; // before it goes, because going it loses the focus
      const value = Number(field.value.trim().replace(",", ".") || NaN);
      const again = document.activeElement === field;
      field.remove();
      if (kept && Number.isFinite(value)) this.#write(name, value);
      if (again) row.input.focus({ preventScroll: true });
    };
    field.addEventListener("blur", () => done(true));
    field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      event.stopPropagation();
      if (event.key === "Enter" || event.key === "Escape") done(event.key === "Enter");
    });
    row.element.append(field);
    field.focus({ preventScroll: true });
    if (start === undefined) field.select();
  }
}
