/** The selected region in numbers and words, below the picture: name, place, weights, prompt and style. */
import { button, make } from "./elements.js";
import { KINDS, SMALLEST } from "./region_geometry.js";
import { colourOf } from "./region_heat.js";
import { word } from "./words.js";

/** @typedef {import("./region_scene.js").Entry} Entry */
/** @typedef {{value: string, label: string}} Choice */
/**
 * @typedef {object} Told
 * @property {(key: string) => void} select
 * @property {(name: string, value: any) => void} set a widget of the selected region's node
 * @property {(name: "x" | "y" | "width" | "height", value: number) => void} place
 * @property {(text: string) => void} prompt
 * @property {() => void} typed the prompt is done
 * @property {(input: "positive" | "style", value: string) => void} connect
 * @property {() => void} go to the node
 * @property {() => void} copy
 * @property {() => void} remove
 */
/**
 * @typedef {object} Words
 * @property {string} text of the prompt
 * @property {boolean} typed whether it can be typed here
 * @property {Choice[]} prompts
 * @property {string} prompt
 * @property {Choice[]} styles
 * @property {string} style
 */

const ICONS = {
  go: "M8 2 V5 M8 11 V14 M2 8 H5 M11 8 H14 M8 5 a3 3 0 1 0 0.01 0",
  copy: "M5.5 5.5 V2.5 H13.5 V10.5 H10.5 M2.5 5.5 H10.5 V13.5 H2.5 Z",
  remove: "M3 4.5 H13 M6.5 4.5 V2.5 H9.5 V4.5 M4.5 4.5 L5 13.5 H11 L11.5 4.5 M7 7 V11 M9 7 V11",
};
const GRID_FIELDS = ["rows", "columns", "grid_overlap_x", "grid_overlap_y"];

export const PANEL_CSS = `
.dsoup-panel { display: flex; flex-direction: column; gap: 3px; flex: none; }
.dsoup-row { display: flex; gap: 3px; align-items: center; flex: none; height: 22px; }
.dsoup-row > button.dsoup-icon { flex: none; width: 24px; padding: 0; }
.dsoup-row svg { display: block; width: 14px; height: 14px; margin: 4px auto; fill: none; stroke: currentColor;
  stroke-width: 1.3; stroke-linejoin: round; stroke-linecap: round; }
.dsoup-swatch { flex: none; width: 10px; height: 22px; border-radius: 4px; background: rgb(var(--colour)); }
.dsoup-row > select, .dsoup-row > .dsoup-name { flex: 1 1 0; min-width: 0; text-overflow: ellipsis; }
.dsoup-field { flex: 1 1 0; min-width: 0; display: flex; align-items: center; height: 22px; border-radius: 4px;
  overflow: hidden; background: var(--component-node-widget-background, var(--comfy-input-bg, #222)); }
.dsoup-field:focus-within { outline: 2px solid var(--p-primary-color, #5b8dd6); outline-offset: -1px; }
.dsoup-field > span { flex: none; padding-left: 6px; opacity: 0.65; white-space: nowrap; }
.dsoup-field > input { flex: 1 1 0; min-width: 0; width: 0; height: 100%; padding: 0 2px 0 4px; margin: 0; border: 0;
  outline: none; font: inherit; color: inherit; background: none; font-variant-numeric: tabular-nums; }
.dsoup-field:has(input:disabled) { opacity: 0.55; }
.dsoup-regions textarea { display: block; flex: none; box-sizing: border-box; width: 100%; height: 44px; margin: 0;
  padding: 4px 6px; border: 0; border-radius: 4px; font: inherit; color: inherit; resize: none;
  background: var(--component-node-widget-background, var(--comfy-input-bg, #222)); }
.dsoup-regions textarea:focus-visible { outline: 2px solid var(--p-primary-color, #5b8dd6); outline-offset: -1px; }
.dsoup-regions :is(select, input, textarea):disabled { opacity: 0.55; }
`;

export class RegionPanel {
  // What #build makes.
  /** @type {HTMLElement} */ element;
  /** @type {HTMLElement} */ swatch;
  /** @type {HTMLSelectElement} */ regions;
  /** @type {HTMLInputElement} */ name;
  /** @type {HTMLButtonElement} */ go;
  /** @type {HTMLButtonElement} */ copy;
  /** @type {HTMLButtonElement} */ remove;
  /** @type {HTMLSelectElement} */ kind;
  /** @type {HTMLElement} */ grid;
  /** @type {HTMLTextAreaElement} */ text;
  written = "";
  /** @type {HTMLElement} */ choices;
  /** @type {HTMLSelectElement} */ prompts;
  /** @type {HTMLSelectElement} */ styles;

  /** @param {Told} told */
  constructor(told) {
    this.told = told;
    /** @type {Record<string, HTMLInputElement>} */
    this.fields = {};
    this.#build();
  }

  /**
   * @param {Entry[]} entries
   * @param {Entry | null} entry the selected one
   * @param {Words | null} words null: as they were
   */
  show(entries, entry, words) {
    this.element.hidden = !entry;
    if (!entry) return;
    const cell = entry.cell >= 0;
    offer(this.regions, entries.map(({ key, number, name }) => ({ value: key, label: `${number} ${name}` })), entry.key);
    this.swatch.style.setProperty("--colour", colourOf(entry.number));
    const own = String(entry.node.widgets.find((/** @type {any} */ { name }) => name === "name")?.value ?? "");
    put(this.name, cell ? entry.name : own, entry.locked.has("name"));
    this.name.placeholder = word("region {0}", entry.number);
    for (const name of /** @type {const} */ (["x", "y", "width", "height"])) {
      put(this.fields[name], String(entry[name]), entry.locked.has(name));
    }
    if (this.kind !== document.activeElement) this.kind.value = entry.kind;
    this.kind.disabled = entry.locked.has("weights");
    put(this.fields.mask_weight, String(Number(entry.weight.toPrecision(6))), entry.locked.has("mask_weight"));
    put(this.fields.feather, String(entry.feather), entry.locked.has("feather"));
    /** @type {HTMLElement} */ (this.fields.feather.parentElement).hidden = entry.kind !== "feathered box";
    this.grid.hidden = !cell;
    for (const name of cell ? GRID_FIELDS : []) {
      const widget = entry.node.widgets.find((/** @type {any} */ each) => each.name === name);
      put(this.fields[name], String(widget?.value ?? ""), entry.locked.has(name));
    }
    this.copy.disabled = this.remove.disabled = cell;
    if (words) this.#showWords(words, cell);
  }

  /** Of its rows and the text, in pixels, where it is not stretched. */
  get height() {
    const { element, text } = this;
    const rows = [...element.children].filter((each) => each !== text && !(/** @type {HTMLElement} */ (each).hidden));
    return rows.length * 25 + 44;
  }

  /**
   * The browser takes back what was typed last, too, when Ctrl+Z is for the graph and nothing has the focus.
   * @param {Told} told
   */
  #typed(told) {
    if (document.activeElement === this.text) {
      this.written = this.text.value;
      told.prompt(this.text.value);
    } else {
      this.text.value = this.written;
    }
  }

  /** @param {Words} words @param {boolean} cell */
  #showWords(words, cell) {
    this.written = words.text;
    put(this.text, words.text, !words.typed);
    this.text.placeholder = words.typed ? word("Prompt of this region")
      : word("The prompt of this region is not a text here");
    const none = { value: "", label: word("No prompt") };
    offer(this.prompts, [none, ...words.prompts], words.prompt);
    offer(this.styles, [{ value: "", label: word("No style") }, ...words.styles], words.style);
    this.prompts.hidden = cell;
    this.styles.hidden = !words.styles.length && !words.style;
    this.choices.hidden = this.prompts.hidden && this.styles.hidden;
  }

  // -- building ----------------------------------------------------------------------------------

  #build() {
    const { told } = this;
    this.swatch = make("span", { className: "dsoup-swatch" });
    this.regions = this.#select(word("Selected region"), (value) => told.select(value));
    this.name = make("input", { type: "text", className: "dsoup-name", title: word("Name of the region") });
    this.name.setAttribute("aria-label", word("Name"));
    this.name.addEventListener("change", () => told.set("name", this.name.value));
    this.go = button(ICONS.go, word("Show its node"), told.go);
    this.copy = button(ICONS.copy, word("Duplicate (Ctrl+D)"), told.copy);
    this.remove = button(ICONS.remove, word("Delete (Del)"), told.remove);
    this.kind = this.#select(word("Weights: from its middle to its edges"), (value) => told.set("weights", value));
    this.kind.append(...KINDS.map((kind) => make("option", { value: kind }, kind)));
    const place = (/** @type {"x" | "y" | "width" | "height"} */ name, /** @type {string} */ label,
      /** @type {string} */ title) => this.#number(name, label, title, 8, (value) => told.place(name, value),
      /^[xy]$/.test(name) ? undefined : SMALLEST);
    const set = (/** @type {string} */ name, /** @type {string} */ label, /** @type {string} */ title,
      /** @type {number} */ step, /** @type {number} */ least) =>
      this.#number(name, label, title, step, (value) => told.set(name, Math.max(value, least)), least);
    this.grid = row(set("rows", word("rows"), word("Cells one below the other"), 1, 1),
      set("columns", word("columns"), word("Cells side by side"), 1, 1),
      set("grid_overlap_x", word("overlap x"), word("By how many pixels cells side by side overlap"), 8, 0),
      set("grid_overlap_y", word("overlap y"), word("By how many pixels cells one below the other overlap"), 8, 0));
    this.text = make("textarea", { rows: 2, spellcheck: false });
    this.text.setAttribute("aria-label", word("Prompt of this region"));
    this.text.addEventListener("input", () => this.#typed(told));
    this.text.addEventListener("change", told.typed);
    this.text.dataset.captureWheel = "true"; // it scrolls, and the canvas does not zoom
    this.text.addEventListener("wheel", (/** @type {Event} */ event) => {
      if (this.text.scrollHeight > this.text.clientHeight) event.stopPropagation();
    }, { passive: true });
    this.prompts = this.#select(word("Where its prompt comes from"), (value) => told.connect("positive", value));
    this.styles = this.#select(word("Its style"), (value) => told.connect("style", value));
    this.choices = row(this.prompts, this.styles);
    this.element = make("div", { className: "dsoup-panel" },
      row(this.swatch, this.regions, this.name, this.go, this.copy, this.remove),
      row(place("x", "x", word("Left edge in pixels")), place("y", "y", word("Upper edge in pixels")),
        place("width", word("w"), word("Width in pixels")), place("height", word("h"), word("Height in pixels"))),
      row(this.kind,
        set("mask_weight", word("mask weight"), word("How much it counts where others overlap it"), 0.05, 0.001),
        set("feather", word("feather"), word("Width of the ramps in pixels"), 8, 0)),
      this.grid, this.text, this.choices);
    this.element.hidden = this.grid.hidden = this.choices.hidden = true; // until something is shown
  }

  /**
   * @param {string} name
   * @param {string} label
   * @param {string} title
   * @param {number} step
   * @param {(value: number) => void} done
   * @param {number} [min]
   */
  #number(name, label, title, step, done, min) {
    const input = make("input", { type: "number", step: step < 1 ? "any" : String(step), title, min: min ?? "" });
    input.setAttribute("aria-label", title);
    input.dataset.field = name;
    const finish = () => {
      if (input.value !== "" && Number.isFinite(input.valueAsNumber)) done(input.valueAsNumber);
    };
    input.addEventListener("change", finish);
    input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const way = step < 1 ? { ArrowUp: 1, ArrowDown: -1 }[event.key] : undefined;
      if (!way) return;
      event.preventDefault();
      input.value = String(Number((input.valueAsNumber + way * step).toFixed(3)));
      finish();
    });
    this.fields[name] = input;
    return make("label", { className: "dsoup-field", title }, make("span", {}, label), input);
  }

  /** @param {string} title @param {(value: string) => void} chosen @returns {HTMLSelectElement} */
  #select(title, chosen) {
    const select = make("select", { title });
    select.setAttribute("aria-label", title);
    select.addEventListener("change", () => chosen(select.value));
    return select;
  }
}

/** @param {HTMLElement[]} children */
const row = (...children) => make("div", { className: "dsoup-row" }, ...children);

/** Show a value, but not over what is just being typed. @param {any} input @param {string} value @param {boolean} locked */
function put(input, value, locked) {
  input.disabled = locked;
  if (input.value !== value && (input !== document.activeElement || input.type === "number")) input.value = value;
}

/** @param {HTMLSelectElement} select @param {Choice[]} choices @param {string} value */
export function offer(select, choices, value) {
  const known = choices.some((choice) => choice.value === value) ? choices
    : [...choices, { value, label: word("Another output") }];
  const same = select.options.length === known.length && known.every((choice, at) =>
    select.options[at].value === choice.value && select.options[at].text === choice.label);
  if (!same) select.replaceChildren(...known.map(({ value: each, label }) => make("option", { value: each }, label)));
  if (select.value !== value) select.value = value;
}
