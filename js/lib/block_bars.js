/**
 * Bars to drag, paint across and step through with the keyboard: a UNet drawn as a U, or rows of names.
 *
 * They show what they are told and tell what was done; weights and text are the editor's business.
 */
import { word } from "./words.js";

export const STEP = 0.05;
const FINE = 0.01;
const LEAP = 5; // steps of PageUp and PageDown
const TWICE = 400; // milliseconds in which a second press is a double click

/** How the bars look. The colours differ in lightness too, and the height says the same. */
export const BARS_CSS = `
.dsoup-bars { position: relative; display: flex; box-sizing: border-box; touch-action: none; user-select: none; }
.dsoup-bar { position: relative; flex: 1 1 0; min-width: 0; display: flex; box-sizing: border-box; cursor: ns-resize; }
.dsoup-track {
  position: relative; flex: 1 1 0; min-width: 0; min-height: 0; border-radius: 3px; overflow: hidden;
  background: color-mix(in srgb, var(--input-text, #ddd) 9%, transparent);
}
.dsoup-track::before, .dsoup-track::after { content: ""; position: absolute; left: 0; right: 0; }
.dsoup-track::before { bottom: var(--from); height: calc(var(--to) - var(--from)); min-height: 2px;
  background: var(--dsoup-colour); }
.dsoup-track::after { bottom: calc(var(--one) - 0.5px); height: 1px; background: var(--input-text, #ddd);
  opacity: 0.45; }
.dsoup-bar.unset .dsoup-track::before { opacity: 0.35; }
.dsoup-bar.unknown .dsoup-track { outline: 1px dashed color-mix(in srgb, var(--input-text, #ddd) 30%, transparent);
  outline-offset: -1px; }
.dsoup-bar.unknown .dsoup-track::before { display: none; }
.dsoup-bar.negative .dsoup-track::before { background-image: repeating-linear-gradient(45deg, transparent 0 2px,
  rgb(0 0 0 / 0.5) 2px 4px); }
.dsoup-bar > span {
  flex: none; overflow: hidden; white-space: nowrap; text-align: center; font-size: 8.5px; line-height: 11px;
  font-variant-numeric: tabular-nums; color: var(--input-text, #ddd); opacity: 0.7; cursor: ew-resize;
}
.dsoup-bar.selected > span {
  opacity: 1; background: color-mix(in srgb, var(--p-primary-color, #5b8dd6) 55%, transparent);
}
.dsoup-bar:hover > span, .dsoup-bar:focus-within > span { opacity: 1; }
.dsoup-bar:focus-within .dsoup-track {
  background-color: color-mix(in srgb, var(--input-text, #ddd) 20%, transparent);
}
.dsoup-bar:has(input:focus-visible) .dsoup-track { outline: 2px solid var(--p-primary-color, #5b8dd6); }
.dsoup-bar input[type=range] {
  position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; pointer-events: none;
}
.dsoup-bars.locked .dsoup-bar, .dsoup-bars.locked .dsoup-bar > span { cursor: not-allowed; }
.dsoup-bars.locked .dsoup-track::before { opacity: 0.35; }

.dsoup-bars.u { flex: 1 1 0; min-width: 0; min-height: 0; }
.dsoup-bars.u .dsoup-bar:not([data-caption=""])::after {
  content: attr(data-caption); position: absolute; top: 100%; left: 50%; width: 40px; margin: 5px -20px;
  text-align: center; font-size: 10px; letter-spacing: 1px; opacity: 0.55; pointer-events: none;
}
@container (max-width: 350px) {
  .dsoup-bars.u .dsoup-bar:not(.beside) > span { overflow: visible; }
  .dsoup-bars.u .dsoup-bar:not(.third, .beside) > span { color: transparent; }
}
.dsoup-bars.u .dsoup-bar {
  flex-direction: column; padding: 0 1px;
  margin: calc(var(--depth) * var(--dsoup-drop)) 0 calc((var(--deepest) - var(--depth)) * var(--dsoup-drop));
}
.dsoup-bars.u .dsoup-bar.beside { margin-bottom: 0; }
.dsoup-bars.u .dsoup-bar.beside > span {
  height: calc(var(--deepest) * var(--dsoup-drop) + 11px); writing-mode: vertical-rl; line-height: 1;
  align-self: center; padding-top: 3px; box-sizing: border-box; text-align: left; cursor: ns-resize;
}
.dsoup-bars.u .dsoup-bar.apart { margin-left: 7px; }

.dsoup-bars.rows { flex-direction: column; gap: 2px; }
.dsoup-bars.rows .dsoup-bar { flex: none; height: 18px; cursor: ew-resize; }
.dsoup-bars.rows .dsoup-track::before { bottom: 0; top: 0; height: auto; min-height: 0; left: var(--from);
  right: auto; width: calc(var(--to) - var(--from)); min-width: 2px; opacity: 0.55; }
.dsoup-bars.rows .dsoup-track::after { bottom: 0; top: 0; height: auto; left: calc(var(--one) - 0.5px); width: 1px; }
.dsoup-bars.rows .dsoup-bar > span {
  position: absolute; left: 8px; right: 44px; font-size: 11px; line-height: 18px; text-align: left; opacity: 1;
  text-overflow: ellipsis; pointer-events: none; background: none;
}
.dsoup-bars.rows .dsoup-bar > output {
  position: absolute; right: 8px; font-size: 11px; line-height: 18px; font-variant-numeric: tabular-nums;
  pointer-events: none;
}
.dsoup-bars.u .dsoup-bar > output { display: none; }
.dsoup-number {
  position: absolute; z-index: 2; width: 52px; height: 22px; box-sizing: border-box; padding: 0 4px; font-size: 12px;
  text-align: center; border-radius: 4px; border: 1px solid var(--p-primary-color, #5b8dd6); outline: none;
  color: var(--input-text, #ddd); background: var(--comfy-menu-bg, #353535);
}
`;

const [LESS, EQUAL, MORE] = ["#4a90e2", "#a9adb5", "#f2a33a"];
const [LOW, MIDDLE, HIGH] = ["#4d68ad", "#8f8d7f", "#f5df4d"];

/** @param {string} one @param {string} other @param {number} share of the other */
const mixed = (one, other, share) => `color-mix(in oklab, ${other} ${Math.round(100 * Math.min(share, 1))}%, ${one})`;

/**
 * Blue over grey to orange around 1; or blue over grey to yellow, from 0 to 1.
 * @param {number} value
 * @param {boolean} around1
 */
export function colourOf(value, around1) {
  if (around1) return mixed(EQUAL, value < 1 ? LESS : MORE, Math.abs(value - 1));
  return value < 0.5 ? mixed(MIDDLE, LOW, 1 - 2 * Math.max(value, 0)) : mixed(MIDDLE, HIGH, 2 * value - 1);
}

/** @param {number} value @param {number} step @returns {number} */
const snapped = (value, step) => Number((Math.round(value / step) * step).toFixed(2));

/** @param {number} value @param {number} least @param {number} most */
const clamped = (value, least, most) => Math.min(Math.max(value, least), most);

/** @param {number} value */
export const short = (value) => (Number.isInteger(value * 100) ? value.toFixed(2) : String(Number(value.toFixed(4))));

/**
 * @typedef {object} Column
 * @property {string} name
 * @property {string} label
 * @property {number} [depth] in the U
 * @property {boolean} [beside] not part of the U
 * @property {boolean} [apart] the first after a gap
 * @property {boolean} [third] has its label even where there is little room
 * @property {string} [caption] of the arm of the U, below its bar
 */
/**
 * @typedef {object} Told
 * @property {(values: Map<string, number | null>, stroke: string) => void} change null: no weight of its own. All
 *   changes of one stroke are one step to undo.
 * @property {() => void} revert undo the last stroke, because it was the beginning of a double click
 * @property {(from: string | null, to: string | null) => void} select no `from`: from where the selection began;
 *   neither: nothing
 * @property {(name: string | null) => void} point what the pointer or the focus is on
 */
/**
 * @typedef {object} Shown
 * @property {Map<string, number>} weights
 * @property {number | undefined} neutral the weight of bars that have none
 * @property {[number, number]} scale
 * @property {Set<string>} selected
 * @property {boolean} locked
 * @property {string} unit said after the number
 */

/** @typedef {{element: HTMLElement, input: HTMLInputElement, output: HTMLOutputElement, track: HTMLElement}} Bar */

export class BlockBars {
  /** @param {"u" | "rows"} shape @param {Told} told */
  constructor(shape, told) {
    this.shape = shape;
    this.told = told;
    /** @type {Column[]} */
    this.columns = [];
    /** @type {Map<string, Bar>} */
    this.bars = new Map();
    /** @type {Shown} */
    this.shown = { weights: new Map(), neutral: 1, scale: [0, 1], selected: new Set(), locked: false, unit: "" };
    this.strokes = 0;
    /** @type {{at: number, time: number, changed: boolean} | null} */
    this.pressed = null;
    this.element = document.createElement("div");
    this.element.className = `dsoup-bars ${shape}`;
    this.element.addEventListener("pointerdown", (event) => this.#press(event));
    this.element.addEventListener("pointermove", (event) => this.#hover(event));
    this.element.addEventListener("pointerleave", () => told.point(this.focused));
    this.element.addEventListener("dblclick", () => this.pressed && this.type(this.columns[this.pressed.at].name));
    this.element.addEventListener("focusin", () => told.point(this.focused));
    this.element.addEventListener("focusout", () => told.point(null));
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @returns {string | null} the name of the bar with the focus */
  get focused() {
    const bar = document.activeElement?.closest(".dsoup-bar");
    return bar && this.element.contains(bar) ? /** @type {HTMLElement} */ (bar).dataset.block ?? null : null;
  }

  /** @param {Column[]} columns */
  lay(columns) {
    if (JSON.stringify(columns) === JSON.stringify(this.columns)) return;
    const { focused } = this;
    this.columns = columns;
    this.bars = new Map(columns.map((column, at) => [column.name, this.#bar(column, at)]));
    this.element.style.setProperty("--deepest", String(Math.max(0, ...columns.map(({ depth }) => depth ?? 0))));
    this.element.replaceChildren(...[...this.bars.values()].map(({ element }) => element));
    if (focused !== null) this.focus(this.bars.has(focused) ? focused : columns[0]?.name);
  }

  /** @param {Shown} shown */
  show(shown) {
    this.shown = shown;
    const { weights, neutral, scale: [least, most], selected, locked, unit } = shown;
    const place = (/** @type {number} */ value) => `${(100 * (clamped(value, least, most) - least)) / (most - least)}%`;
    this.element.classList.toggle("locked", locked);
    for (const [name, { element, input, output }] of this.bars) {
      const weight = weights.get(name) ?? neutral;
      const value = weight ?? 1;
      const said = weight === undefined ? word("the ingredient's share") : `${short(weight)} ${unit}`;
      input.min = String(least);
      input.max = String(most);
      input.value = String(value);
      input.disabled = locked;
      for (const [key, now] of [["now", short(value)], ["min", least], ["max", most], ["text", said]]) {
        input.setAttribute(`aria-value${key}`, String(now));
      }
      output.textContent = weight === undefined ? word("share") : short(weight);
      element.title = this.shape === "rows" ? name : "";
      element.classList.toggle("unset", !weights.has(name));
      element.classList.toggle("unknown", weight === undefined);
      element.classList.toggle("negative", value < 0);
      element.classList.toggle("selected", selected.has(name));
      element.style.setProperty("--dsoup-colour", colourOf(value, neutral === 1));
      element.style.setProperty("--from", place(Math.min(value, 0)));
      element.style.setProperty("--to", place(Math.max(value, 0)));
      element.style.setProperty("--one", place(1));
    }
  }

  /** @param {string | undefined} name */
  focus(name) {
    const bar = this.bars.get(name ?? "");
    if (!bar) return;
    for (const each of this.bars.values()) each.input.tabIndex = each === bar ? 0 : -1;
    bar.input.focus({ preventScroll: true }); // else the page itself may scroll
    const [list, { offsetTop, offsetHeight }] = [this.element.parentElement, bar.element];
    if (this.shape !== "rows" || !list) return;
    list.scrollTop = clamped(list.scrollTop, offsetTop + offsetHeight - list.clientHeight, offsetTop);
  }

  /**
   * A field for a number, over a bar.
   * @param {string} name
   * @param {string} [start] what was typed already
   */
  type(name, start) {
    const bar = this.bars.get(name);
    if (!bar || this.shown.locked) return;
    const field = document.createElement("input");
    const weight = this.shown.weights.get(name) ?? this.shown.neutral ?? 1;
    Object.assign(field, { className: "dsoup-number", inputMode: "decimal", value: start ?? String(weight) });
    field.setAttribute("aria-label", word("Weight of {0}", name));
    const middle = bar.element.offsetLeft + bar.element.offsetWidth / 2 - 26;
    field.style.left = `${clamped(this.shape === "rows" ? Infinity : middle, 0, this.element.clientWidth - 52)}px`;
    field.style.top = `${this.shape === "rows" ? bar.element.offsetTop - 2 : bar.element.offsetTop + 4}px`;
    let open = true;
    const done = (/** @type {boolean} */ kept) => {
      if (!open) return;
      open = false; // before it goes, because going it loses the focus
      const value = Number(field.value.trim().replace(",", ".") || NaN);
      const again = document.activeElement === field;
      field.remove();
      if (kept && Number.isFinite(value)) this.#change([[name, value]], this.#stroke());
      if (again) this.focus(name);
    };
    field.addEventListener("blur", () => done(true));
    field.addEventListener("dblclick", (event) => event.stopPropagation());
    field.addEventListener("pointerdown", (event) => event.stopPropagation());
    field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" || event.key === "Escape") done(event.key === "Enter");
    });
    this.element.append(field);
    field.focus({ preventScroll: true });
    if (start === undefined) field.select();
  }

  /** @param {Column} column @param {number} at */
  #bar({ name, label, depth = 0, caption = "", ...column }, at) {
    const [element, track, span, output, input] = ["div", "div", "span", "output", "input"].map((tag) =>
      document.createElement(tag));
    element.className = "dsoup-bar";
    for (const each of /** @type {const} */ (["beside", "apart", "third"])) {
      element.classList.toggle(each, Boolean(column[each]));
    }
    Object.assign(element.dataset, { block: name, caption });
    element.style.setProperty("--depth", String(depth));
    track.className = "dsoup-track";
    span.textContent = label;
    span.setAttribute("aria-hidden", "true");
    Object.assign(input, { type: "range", step: "any", tabIndex: at ? -1 : 0 });
    input.setAttribute("role", "slider");
    input.setAttribute("aria-label", name);
    input.setAttribute("aria-orientation", this.shape === "u" ? "vertical" : "horizontal");
    input.addEventListener("input", () => // as assistive technology does it
      this.#change([[name, snapped(Number(/** @type {HTMLInputElement} */ (input).value), FINE)]], this.#stroke()));
    element.append(track, span, output, input);
    return /** @type {Bar} */ ({ element, track, output, input });
  }

  /** @param {[string, number | null][]} values @param {string} stroke */
  #change(values, stroke) {
    this.told.change(new Map(values), stroke);
  }

  #stroke() {
    this.strokes += 1;
    return `${this.shape}${this.strokes}`;
  }

  // -- pointer -----------------------------------------------------------------------------------

  /** @param {MouseEvent} event @returns {number} the column under the pointer; the nearest one outside */
  #columnAt({ clientX, clientY }) {
    const along = this.shape === "rows" ? clientY : clientX;
    const ends = [...this.bars.values()].map(({ element }) => {
      const box = element.getBoundingClientRect();
      return this.shape === "rows" ? box.bottom : box.right;
    });
    const found = ends.findIndex((end) => along < end);
    return found < 0 ? ends.length - 1 : found;
  }

  /** @param {MouseEvent} event */
  #hover(event) {
    if (!event.buttons) this.told.point(this.columns[this.#columnAt(event)]?.name ?? null);
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (event.button !== 0 || this.shown.locked || !this.columns.length) return;
    event.preventDefault(); // else the browser begins a selection, and moves the focus
    const at = this.#columnAt(event);
    const { name, beside } = this.columns[at];
    const bar = /** @type {Bar} */ (this.bars.get(name));
    this.focus(name);
    const again = this.pressed?.at === at && event.timeStamp - this.pressed.time < TWICE;
    if (again && this.pressed?.changed) this.told.revert();
    this.pressed = { at, time: event.timeStamp, changed: false };
    if (again) return;
    const box = bar.track.getBoundingClientRect();
    if (event.shiftKey || (this.shape === "u" && !beside && event.clientY > box.bottom)) this.#select(event, at);
    else this.#paint(event, at, box);
  }

  /** @param {PointerEvent} event @param {number} start @param {DOMRect} box where the first bar's track is */
  #paint(event, start, box) {
    const stroke = this.#stroke();
    const [least, most] = this.shown.scale;
    // Values count as in the first bar, so that a level stroke gives all bars one value although they stand on steps.
    // A stroke within the U leaves alone what is beside it.
    const { beside } = this.columns[start];
    const reachable = (/** @type {number} */ at) => (beside ? at === start : !this.columns[at].beside);
    let [last, before] = [start, NaN];
    const paint = (/** @type {PointerEvent} */ { clientX, clientY, shiftKey }) => {
      const share = this.shape === "rows" ? (clientX - box.left) / box.width : (box.bottom - clientY) / box.height;
      const value = snapped(least + clamped(share, 0, 1) * (most - least), shiftKey ? FINE : STEP);
      const at = this.#columnAt(/** @type {PointerEvent} */ ({ clientX, clientY }));
      const step = at < last ? -1 : 1;
      /** @type {[string, number][]} */
      const values = [];
      for (let each = last; each !== at + step; each += step) { // a fast pointer leaves out no bar
        const t = at === last ? 1 : (each - last) / (at - last);
        const between = Number.isNaN(before) ? value : before + (value - before) * t;
        if (reachable(each)) values.push([this.columns[each].name, each === at ? value : snapped(between, FINE)]);
      }
      [last, before] = [at, value];
      if (this.pressed) this.pressed.changed = true;
      if (values.length) this.#change(values, stroke);
      this.told.point(this.columns[reachable(at) ? at : start].name);
    };
    paint(event);
    this.#follow(event, paint);
  }

  /** @param {PointerEvent} event @param {number} start */
  #select(event, start) {
    const { selected } = this.shown;
    const first = event.shiftKey && selected.size ? null : this.columns[start].name;
    const select = (/** @type {PointerEvent} */ moved) =>
      this.told.select(first, this.columns[this.#columnAt(moved)].name);
    if (first !== null && selected.size === 1 && selected.has(first)) this.told.select(null, null);
    else select(event);
    this.#follow(event, select);
  }

  /** @param {PointerEvent} event @param {(event: PointerEvent) => void} moved until the pointer goes up */
  #follow({ pointerId }, moved) {
    const stop = new AbortController();
    this.element.setPointerCapture(pointerId);
    this.element.addEventListener("pointermove", moved, stop);
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      this.element.addEventListener(end, () => stop.abort(), stop);
    }
  }

  // -- keyboard ----------------------------------------------------------------------------------

  /** @param {KeyboardEvent} event */
  #key(event) {
    const name = this.focused;
    if (name === null || event.altKey || event.metaKey) return;
    const at = this.columns.findIndex((column) => column.name === name);
    const [back, on, less, more] = this.shape === "rows"
      ? ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"] : ["ArrowLeft", "ArrowRight", "ArrowDown", "ArrowUp"];
    /** @type {Record<string, number>} */
    const ends = event.ctrlKey ? { Home: 0, End: this.columns.length - 1 } : {};
    const goal = { [back]: at - 1, [on]: at + 1, ...ends }[event.key];
    const step = event.shiftKey ? FINE : STEP;
    const steps = { [less]: -1, [more]: 1, PageDown: -LEAP, PageUp: LEAP }[event.key];
    const [least, most] = this.shown.scale;
    const weight = this.shown.weights.get(name) ?? this.shown.neutral ?? 1;
    const value = steps ? clamped(snapped(weight + steps * step, FINE), least, most)
      : event.ctrlKey ? undefined : { Home: least, End: most, Delete: null, Backspace: null }[event.key];
    if (goal !== undefined) {
      const to = this.columns[clamped(goal, 0, this.columns.length - 1)].name;
      if (event.ctrlKey && !(event.key in ends)) this.told.select(this.shown.selected.size ? null : name, to);
      this.focus(to);
    } else if (value !== undefined) {
      if (!this.shown.locked) this.#change([[name, value]], `key ${name}`);
    } else if (event.key === "Escape" && this.shown.selected.size) {
      this.told.select(null, null);
    } else if (!event.ctrlKey && (event.key === "Enter" || /^[-+.\d]$/.test(event.key))) {
      this.type(name, event.key === "Enter" ? undefined : event.key);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}
