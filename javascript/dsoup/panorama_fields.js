/** What the region editor of ComfyUI leaves to other nodes: tiles, and a region's own negative prompt, cfg, style. */
import { make } from "../../js/lib/elements.js";
import { write } from "../../js/lib/region_edits.js";
import { widgetOf } from "../../js/lib/nodes.js";

const CANVAS = [
  ["wrap", "all around", "The right edge meets the left one (360°)"],
  ["tile_width", "tile w", "Regions wider than this are cut into tiles, in pixels; 0: never"],
  ["tile_height", "tile h", "Regions higher than this are cut into tiles, in pixels; 0: never"],
  ["overlap_x", "overlap x", "By how many pixels tiles side by side overlap at least"],
  ["overlap_y", "overlap y", "By how many pixels tiles one below the other overlap at least"],
];
const REGION = [
  ["cfg", "cfg", "Guidance of this region alone; 0: the sampler's"],
  ["start", "from", "Share of the sampling after which the region begins to count; 0 is the start"],
  ["end", "to", "Share of the sampling after which it no longer counts; 1 is the end"],
  ["style", "style", "Styles of a DMM student with their shares: ink, or ink 0.5, oil 0.5"],
];

export class Fields {
  /** @param {any} canvas the node @param {() => void} done after a change */
  constructor(canvas, done) {
    this.canvas = canvas;
    this.done = done;
    /** @type {any} */
    this.node = null;
    /** @type {Record<string, any>} */
    this.inputs = {};
    this.negative = make("textarea", { rows: 2, spellcheck: false, placeholder: "Negative prompt of this region" });
    this.negative.setAttribute("aria-label", "Negative prompt of this region");
    this.negative.addEventListener("change", () => this.#set("negative", this.negative.value));
    this.above = make("div", { className: "dsoup-row" }, ...CANVAS.map((each) => this.#field(each, true)));
    this.own = make("div", { className: "dsoup-own" }, this.negative,
      make("div", { className: "dsoup-row" }, ...REGION.map((each) => this.#field(each, false))));
  }

  /** @param {any} node of the selected region, null: none */
  show(node) {
    this.node = node;
    this.own.hidden = !node;
    for (const [name, input] of Object.entries(this.inputs)) {
      const owner = CANVAS.some(([each]) => each === name) ? this.canvas : node;
      const value = owner && widgetOf(owner, name)?.value;
      if (value === undefined || value === null || input === document.activeElement) continue;
      if (input.type === "checkbox") input.checked = value;
      else input.value = String(value);
    }
    if (node && this.negative !== document.activeElement) this.negative.value = widgetOf(node, "negative")?.value ?? "";
  }

  /** @param {string[]} what @param {boolean} ofCanvas */
  #field([name, label, title], ofCanvas) {
    const type = { wrap: "checkbox", style: "text" }[name] ?? "number";
    const step = ofCanvas ? "8" : name === "cfg" ? "0.5" : "0.05";
    const input = make("input", { type, title, ...(type === "number" ? { step, min: "0" } : {}) });
    input.setAttribute("aria-label", title);
    input.dataset.field = name;
    input.addEventListener("change", () => {
      const value = type === "checkbox" ? input.checked : type === "text" ? input.value : input.valueAsNumber;
      if (Number.isNaN(value)) return;
      if (ofCanvas) write(this.canvas, { [name]: value });
      else this.#set(name, value);
      this.done();
    });
    this.inputs[name] = input;
    return make("label", { className: `dsoup-field dsoup-${type}`, title }, make("span", {}, label), input);
  }

  /** @param {string} name @param {any} value */
  #set(name, value) {
    if (this.node) write(this.node, { [name]: value });
    this.done();
  }
}
