/**
 * The editor of Soup Block Weights: bars over the text `mbw`, with curves, presets, copy, paste and undo.
 *
 * The node's widgets are the only state that counts: bars show what the node will make of them (the text, else the
 * preset, else the sliders), and an edit writes the text. What is only about looking is in the node's properties.
 */
import { BARS_CSS, BlockBars, short } from "./block_bars.js";
import {
  CURVES, NONE, TIMES, curveValues, depthOf, fitNumbers, mirrored, readNames, readWidgets, splitNumbers, unet, writeNames,
  writeNumbers, writeText,
} from "./block_text.js";
import { chain, forward, inputOf, kindOf, originOf, takePlace, widgetOf } from "./nodes.js";

/** @typedef {import("./block_text.js").Tables} Tables */
/** @typedef {import("./block_text.js").Reading} Reading */
/** @typedef {{preset: string, mbw: string, family: string, dialect: string}} Snapshot */

const HEIGHT = 184;
const MARGINS = 20; // above and below a widget of HTML
const CURVE_HEIGHT = 26;
const ROW = 20;
const ROWS_SEEN = 10; // of names that are no blocks of the family; the rest by scrolling
const TOGETHER = 1000; // milliseconds between steps of the keyboard that are undone as one
const SAID = 6000; // milliseconds
const MOST_UNDO = 200;
const SLIDER = /^(BASE|TIME|FINAL|M00|(IN|OUT)\d\d)$/;
const UNDOABLE = /** @type {const} */ (["family", "preset", "dialect", "mbw"]);
/** What the height of a bar covers; more where the weights need it. @type {[number, number][]} */
const SCALES = [[0, 1], [0, 2], [-1, 2], [-2, 5]];

const ICONS = {
  curve: "M2 13 C7 13 9 3 14 3",
  symmetric: "M8 2 V14 M6 5 L2.5 11 H6 Z M10 5 L13.5 11 H10 Z",
  copy: "M5.5 5.5 V2.5 H13.5 V10.5 H10.5 M2.5 5.5 H10.5 V13.5 H2.5 Z",
  paste: "M5.5 3.5 H3.5 V13.5 H12.5 V3.5 H10.5 M5.5 2.5 H10.5 V5 H5.5 Z M6 8.5 H10 M6 11 H10",
  undo: "M6 2.5 L2.5 6 L6 9.5 M2.5 6 H10 a3.7 3.7 0 0 1 0 7.4 H6",
  redo: "M10 2.5 L13.5 6 L10 9.5 M13.5 6 H6 a3.7 3.7 0 0 0 0 7.4 H10",
  sliders: "M2 4.5 H14 M2 11.5 H14 M5 2.5 V6.5 M11 9.5 V13.5",
};

export const EDITOR_CSS = `${BARS_CSS}
.dsoup-blocks {
  position: relative; display: flex; flex-direction: column; gap: 4px; box-sizing: border-box; overflow: hidden;
  container-type: inline-size; font-size: 11px; line-height: 1.3; color: var(--input-text, #ddd); color-scheme: dark;
  --dsoup-drop: 8px;
}
.dsoup-blocks [hidden] { display: none !important; }
.dsoup-tools { display: flex; gap: 3px; align-items: center; flex: none; height: 22px; }
.dsoup-blocks select, .dsoup-blocks button, .dsoup-curve input {
  height: 22px; box-sizing: border-box; margin: 0; padding: 0 5px; border: 0; border-radius: 4px; font: inherit;
  color: inherit; background: var(--component-node-widget-background, var(--comfy-input-bg, #222)); cursor: pointer;
}
.dsoup-blocks option, .dsoup-blocks optgroup { color: var(--input-text, #ddd); background: var(--comfy-menu-bg, #353535); }
.dsoup-tools > select { flex: 1; min-width: 0; text-overflow: ellipsis; }
.dsoup-tools > button, .dsoup-copy { position: relative; flex: none; width: 24px; padding: 0; border-radius: 4px; }
.dsoup-copy { height: 22px; background: var(--component-node-widget-background, var(--comfy-input-bg, #222)); }
.dsoup-copy select { position: absolute; inset: 0; width: 100%; opacity: 0; }
.dsoup-tools svg { display: block; width: 14px; height: 14px; margin: 4px auto; fill: none; stroke: currentColor;
  stroke-width: 1.3; stroke-linejoin: round; stroke-linecap: round; }
.dsoup-blocks button:hover:enabled, .dsoup-copy:hover, .dsoup-tools > select:hover { filter: brightness(1.35); }
.dsoup-blocks button:disabled { opacity: 0.35; cursor: default; }
.dsoup-blocks button[aria-pressed=true] {
  background: color-mix(in srgb, var(--p-primary-color, #5b8dd6) 60%, var(--comfy-input-bg, #222));
}
.dsoup-blocks :is(button, select, .dsoup-curve input):focus-visible, .dsoup-copy:has(:focus-visible) {
  outline: 2px solid var(--p-primary-color, #5b8dd6); outline-offset: -1px;
}
.dsoup-plot { position: relative; display: flex; flex: 1 1 0; min-height: 0; gap: 3px; }
.dsoup-scale { position: relative; flex: none; width: 22px; font-size: 9px; font-variant-numeric: tabular-nums; }
.dsoup-scale button { width: 100%; height: 14px; padding: 0; font-size: 9px; }
.dsoup-point { position: absolute; left: 25px; right: 0; top: 0; text-align: center; pointer-events: none;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
.dsoup-point b { font-weight: 600; font-size: 13px; }
.dsoup-more { flex: none; overflow-y: auto; }
.dsoup-curve { display: flex; flex: none; gap: 3px; align-items: center; height: 22px; margin: 0; }
.dsoup-curve select { flex: 1; min-width: 0; }
.dsoup-curve input { width: 44px; text-align: center; cursor: text; user-select: text; }
.dsoup-say { flex: none; height: 14px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-size: 10px;
  opacity: 0.7; }
.dsoup-say.wrong { opacity: 1; color: #f2b04a; }
`;

// -- the server ----------------------------------------------------------------------------------

/** Asks the server for names, layouts and presets, once; and what a text means that only the engine can read. */
export class BlockTables {
  /** @param {(route: string) => Promise<Response>} fetchApi */
  constructor(fetchApi) {
    this.fetchApi = fetchApi;
    /** @type {Promise<Tables | null> | null} */
    this.tables = null;
  }

  /** Ask again next time: preset files may have changed. */
  forget() {
    this.tables = null;
  }

  /** @returns {Promise<Tables | null>} null where they are not to be had */
  get() {
    this.tables ??= this.#ask("/diffusion_soup/blocks").then((answer) => answer?.families ? answer : null);
    return this.tables;
  }

  /**
   * @param {Record<string, string>} widgets
   * @returns {Promise<{weights?: Record<string, number>, error?: string}>}
   */
  async read(widgets) {
    const answer = await this.#ask(`/diffusion_soup/block_weights?${new URLSearchParams(widgets)}`);
    return answer ?? { error: "This text is too long, or the server does not answer: it is not shown as bars." };
  }

  /** @param {string} route @returns {Promise<any>} */
  async #ask(route) {
    try {
      return await (await this.fetchApi(route)).json();
    } catch {
      return null;
    }
  }
}

// -- elements ------------------------------------------------------------------------------------

/**
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {(Node | string)[]} children
 * @returns {any}
 */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** @param {keyof typeof ICONS} name */
function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** @param {keyof typeof ICONS} name @param {string} title @param {() => void} click @returns {HTMLButtonElement} */
function button(name, title, click) {
  const made = make("button", { type: "button", title }, icon(name));
  made.setAttribute("aria-label", title);
  made.addEventListener("click", click);
  return made;
}

/** @param {string} label @param {[string, string][]} options value and text */
function group(label, options) {
  return make("optgroup", { label }, ...options.map(([value, text]) => make("option", { value }, text)));
}

// -- the editor ----------------------------------------------------------------------------------

/** The editor of one Soup Block Weights node. */
export class BlockEditor {
  /**
   * @param {any} node
   * @param {any} canvas what gets wheel and middle button, as over any other part of the canvas
   * @param {BlockTables} known
   */
  constructor(node, canvas, known) {
    this.node = node;
    this.known = known;
    /** @type {Tables | null} */
    this.tables = null;
    /** @type {Reading | null} */
    this.reading = null;
    this.trouble = "";
    this.question = 0;
    this.writing = false;
    /** @type {Snapshot[]} */
    this.past = [];
    /** @type {Snapshot[]} */
    this.future = [];
    this.stroke = { name: "", time: 0 };
    /** @type {{text: string, until: number} | null} */
    this.said = null;
    /** @type {string | null} */
    this.pointed = null;
    this.anchor = "";
    this.curving = false;
    const told = {
      change: this.change.bind(this), revert: () => this.undo(), select: this.select.bind(this),
      point: (/** @type {string | null} */ name) => this.#point(name),
    };
    this.u = new BlockBars("u", told);
    this.rows = new BlockBars("rows", told);
    this.#build();
    forward(this.element, canvas);
    const height = () => this.#height();
    this.widget = node.addDOMWidget("editor", "dsoup_blocks", this.element, {
      serialize: false, getMinHeight: height, hideOnZoom: false,
    });
    this.widget.serialize = false;
    this.widget.hidden = true;
    for (const widget of node.widgets) if (widget !== this.widget) chain(widget, "callback", () => this.read());
    this.#fold(true); // at once, because older frontends look only when the node is made
  }

  /** Show the bars once the server has said what blocks there are; without that everything works by text. */
  async refresh() {
    takePlace(this.element, this.node);
    const question = ++this.question;
    const tables = await this.known.get();
    if (question !== this.question) return;
    if (tables !== this.tables) this.#offer(tables);
    this.tables = tables;
    this.widget.hidden = !tables;
    this.#fold();
    this.read();
  }

  // -- what is there -----------------------------------------------------------------------------

  /** @returns {string} */
  #value(/** @type {string} */ name) {
    return String(widgetOf(this.node, name)?.value ?? "");
  }

  /** Whether a value comes through a link, and who sends it cannot be asked before the graph runs. */
  #unknown(/** @type {string} */ name) {
    const input = inputOf(this.node, name);
    if (input?.link == null) return false;
    return kindOf(originOf(this.node, input)?.origin) !== "PrimitiveNode";
  }

  get names() {
    return this.tables?.families[this.#value("family")]?.names ?? [];
  }

  /** The weight of a block that has none of its own; undefined: the ingredient's share, which is not known here. */
  get neutral() {
    return this.#value("meaning") === TIMES ? 1 : undefined;
  }

  get symmetric() {
    return this.node.properties?.symmetric === true;
  }

  get selected() {
    const names = this.#order();
    const [from, to] = String(this.node.properties?.selected ?? "").split(" to ").map((name) => names.indexOf(name));
    return from < 0 || !(to >= 0) ? [] : names.slice(Math.min(from, to), Math.max(from, to) + 1);
  }

  /** Bars that are in a row, for ranges and curves: those of the U, or the rows. */
  #order() {
    return this.u.element.hidden ? this.rows.columns.map(({ name }) => name) : unet(this.names);
  }

  /** Read the widgets as the node would, and show that. */
  read() {
    if (this.writing || !this.tables) return;
    const sliders = new Map(this.names.map((name) => [name, Number(widgetOf(this.node, name)?.value ?? 1)]));
    const [family, preset, mbw, dialect] = ["family", "preset", "mbw", "dialect"].map((name) => this.#value(name));
    const linked = this.#linked(mbw, preset);
    const widgets = { family, preset, mbw, dialect };
    this.reading = linked ? null : readWidgets({ ...widgets, sliders }, this.tables);
    this.trouble = linked;
    this.show();
    if (!this.reading && !linked) void this.#ask(widgets);
  }

  /** @param {string} mbw @param {string} preset */
  #linked(mbw, preset) {
    const numbers = mbw.trim() && !mbw.includes("=");
    const named = mbw.trim() ? [] : ["preset", ...(preset === NONE ? this.names : [])];
    const decisive = ["mbw", "family", "meaning", ...named, ...(numbers ? ["dialect"] : [])];
    const name = decisive.find((each) => this.#unknown(each));
    return name ? `${name} comes through a link and is known when the graph runs.` : "";
  }

  /** @param {Record<string, string>} widgets that only the engine can read */
  async #ask(widgets) {
    const question = ++this.question;
    const { weights, error } = await this.known.read(widgets);
    if (question !== this.question) return;
    this.reading = weights ? { weights: new Map(Object.entries(weights)), source: "engine" } : null;
    this.trouble = error ?? "";
    this.show();
  }

  // -- showing -----------------------------------------------------------------------------------

  show() {
    const weights = this.reading?.weights ?? new Map();
    const { names } = this;
    const strange = [...weights.keys()].filter((name) => !names.includes(name));
    const other = strange.length > 0 && ![...weights.keys()].some((name) => name !== "BASE" && names.includes(name));
    this.#lay(names, other ? [...weights.keys()] : strange, !other);
    const shown = {
      weights, neutral: this.neutral, scale: this.#scale([...weights.values()]), selected: new Set(this.selected),
      locked: !this.reading, unit: this.neutral === 1 ? "times the share" : "as the share",
    };
    this.u.show(shown);
    this.rows.show(shown);
    this.#tell(strange.length && !other ? `${strange[0]} is no block of ${this.#value("family")}.` : "");
    this.#showTools(shown.scale);
    this.#point(this.pointed);
  }

  /** @param {string[]} names @param {string[]} rows @param {boolean} u */
  #lay(names, rows, u) {
    const sides = unet(names);
    const besides = names.filter((name) => !sides.includes(name));
    const [last] = besides.slice(-1);
    const beside = (/** @type {string} */ name) => ({ name, label: name, beside: true, apart: name === last });
    this.u.lay([
      ...besides.slice(0, -1).map(beside),
      ...sides.map((name, at) => ({
        name, label: name === "M00" ? "M" : name.slice(-2), depth: depthOf(name, names), apart: at === 0,
        third: at % 3 === 0, caption: { [sides[0]]: "IN", [sides[sides.length - 2]]: "OUT" }[name] ?? "",
      })),
      ...besides.slice(-1).map(beside),
    ]);
    this.rows.lay(rows.map((name) => ({ name, label: name })));
    this.plot.hidden = this.u.element.hidden = !u;
    this.more.hidden = !rows.length;
    this.more.style.maxHeight = `${ROWS_SEEN * ROW}px`;
    this.more.style.flex = u ? "none" : "1 1 0";
    this.#grow();
  }

  /** @param {number[]} values @returns {[number, number]} */
  #scale(values) {
    const usual = SCALES[Number(this.node.properties?.scale ?? -1)] ?? SCALES[this.neutral === 1 ? 1 : 0];
    return [Math.min(usual[0], Math.floor(Math.min(...values, 0))), Math.max(usual[1], Math.ceil(Math.max(...values, 0)))];
  }

  /** @param {[number, number]} scale */
  #showTools([least, most]) {
    const { reading } = this;
    this.tools.undo.disabled = !this.past.length;
    this.tools.redo.disabled = !this.future.length;
    const free = !this.#unknown("mbw");
    for (const tool of [this.tools.paste, this.source, this.apply]) tool.disabled = !free;
    this.tools.symmetric.setAttribute("aria-pressed", String(this.symmetric));
    this.tools.curve.setAttribute("aria-pressed", String(this.curving));
    this.tools.sliders.setAttribute("aria-pressed", String(this.node.properties?.sliders === true));
    this.scale.textContent = least ? `${least}…${most}` : `0–${most}`;
    const preset = this.#value("preset");
    const value = this.#value("mbw").trim() ? "text" : preset === NONE ? "sliders" : `ours ${preset}`;
    this.source.value = value;
    const { selected } = this;
    this.apply.textContent = selected.length ? `to ${selected.length} bars` : "to all";
    this.curve.hidden = !this.curving;
    this.from.disabled = this.kind.value === "flat";
    const sort = reading?.source === "numbers" ? `${reading.numbers?.length} numbers` : "by name";
    this.textOption.textContent = value === "text" ? `Text, ${reading ? sort : "see below"}` : "Text";
    this.textOption.hidden = value !== "text";
  }

  /** @param {string | null} name */
  #point(name) {
    this.pointed = name;
    const weight = name === null ? undefined : this.reading?.weights.get(name) ?? this.neutral;
    const sign = this.neutral === 1 ? "× share" : "share";
    if (name === null) this.point.replaceChildren(make("span", { style: "opacity: .55" }, sign));
    else this.point.replaceChildren(`${name} `, make("b", {}, weight === undefined ? "" : short(weight)), ` ${sign}`);
  }

  /** Say something for a while. @param {string} text */
  say(text) {
    this.said = { text, until: performance.now() + SAID };
    this.#tell("");
    setTimeout(() => this.show(), SAID + 50);
  }

  /** @param {string} warning */
  #tell(warning) {
    const said = this.said && performance.now() < this.said.until ? this.said.text : "";
    const { selected } = this;
    const range = selected.length ? `${selected[0]} to ${selected[selected.length - 1]} selected` : "";
    const usual = range || (this.reading?.source === "sliders" ? "from the sliders; an edit writes the text" : "");
    const text = said || this.trouble || warning || usual;
    if (this.status.textContent !== text) this.status.textContent = text;
    this.status.title = text;
    this.status.classList.toggle("wrong", !said && Boolean(this.trouble || warning));
  }

  #height() {
    if (this.widget?.hidden) return 0;
    const rows = Math.min(this.rows.columns.length, ROWS_SEEN) * ROW;
    const plot = this.plot.hidden ? 52 + rows : HEIGHT + (rows ? rows + 4 : 0);
    return plot + (this.curving ? CURVE_HEIGHT : 0) + MARGINS;
  }

  /** Let the node be as high as it needs. */
  #grow() {
    const needed = this.#height();
    if (needed === this.needed) return;
    const grown = needed - (this.needed ?? 0);
    this.needed = needed;
    this.element.style.minHeight = `${needed - MARGINS}px`; // Nodes 2.0 goes by this
    const [width, height] = [this.node.size[0], this.node.computeSize()[1]];
    if (this.node.size[1] < height) this.node.setSize([width, height]);
    else if (grown < 0) this.node.setSize([width, Math.max(height, this.node.size[1] + grown)]);
    this.node.setDirtyCanvas?.(true, true);
  }

  /** The 27 sliders are put away while there are bars, but those with a link. They keep their values. */
  #fold(away = Boolean(this.tables) && this.node.properties?.sliders !== true) {
    const [width, before] = [this.node.size[0], this.node.computeSize()[1]];
    for (const widget of this.node.widgets) {
      if (!SLIDER.test(widget.name)) continue;
      widget.hidden = away && inputOf(this.node, widget.name)?.link == null;
      widget.options.canvasOnly = widget.hidden; // older frontends go by this in Nodes 2.0,
      if (widget.hidden) widget.computeSize = () => [0, -4]; // and keep the place of a hidden widget in LiteGraph
      else delete widget.computeSize;
    }
    const grown = this.node.computeSize()[1] - before;
    const height = this.node.size[1] + Math.min(grown, 0);
    if (grown) this.node.setSize([width, Math.max(this.node.computeSize()[1], height)]);
    this.node.setDirtyCanvas?.(true, true);
  }

  // -- edits -------------------------------------------------------------------------------------

  /**
   * Give blocks other weights, by writing the text.
   * @param {Map<string, number | null>} values null: no weight of its own
   * @param {string} stroke changes of one stroke are undone together
   */
  change(values, stroke) {
    if (!this.reading) return;
    const { names, neutral, reading } = this;
    const weights = new Map(reading.weights);
    for (const [name, value] of values) {
      for (const each of this.symmetric ? [name, mirrored(name, names)] : [name]) {
        if (value === null) weights.delete(each);
        else weights.set(each, value);
      }
    }
    this.#write({ mbw: writeText(weights, reading, this.#family(), this.#value("dialect"), neutral) }, stroke);
  }

  #family() {
    return /** @type {Tables} */ (this.tables).families[this.#value("family")];
  }

  /** @returns {Snapshot} */
  #snapshot() {
    return /** @type {Snapshot} */ (Object.fromEntries(UNDOABLE.map((name) => [name, this.#value(name)])));
  }

  /** @param {Partial<Snapshot>} values @param {string} [stroke] */
  #write(values, stroke = "") {
    const before = this.#snapshot();
    const now = performance.now();
    const goesOn = stroke && stroke === this.stroke.name && (!stroke.startsWith("key") || now - this.stroke.time < TOGETHER);
    this.#set(values);
    if (UNDOABLE.every((name) => before[name] === this.#value(name))) return;
    this.stroke = { name: stroke, time: now };
    if (goesOn) return;
    this.past = [...this.past, before].slice(-MOST_UNDO);
    this.future = [];
    this.said = null;
    this.show();
  }

  /** @param {Partial<Snapshot>} values */
  #set(values) {
    this.writing = true;
    for (const name of UNDOABLE) {
      const widget = widgetOf(this.node, name);
      if (values[name] === undefined || !widget || widget.value === values[name]) continue;
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
    this.#set(snapshot);
    this.show();
  }

  /** @param {string | null} from @param {string | null} to */
  select(from, to) {
    const order = this.#order();
    if (from !== null && order.includes(from)) this.anchor = from;
    const range = to !== null && order.includes(to) && order.includes(this.anchor) ? `${this.anchor} to ${to}` : "";
    this.#property("selected", range);
  }

  /** @param {string} name @param {unknown} value */
  #property(name, value) {
    this.node.properties ??= {};
    this.node.properties[name] = value;
    this.show();
  }

  /** A curve over the selected bars, or over all; over both arms of the U where they are kept equal. */
  #curve() {
    const all = this.#order();
    const [from, to] = [this.from, this.to].map(({ value }) => Number(value.trim().replace(",", ".") || NaN));
    if (!Number.isFinite(from) || !Number.isFinite(to)) return this.say("A curve goes from one number to another.");
    let names = this.selected.length ? this.selected : all;
    if (this.symmetric) names = names.filter((name) => !names.slice(0, names.indexOf(name)).includes(mirrored(name, all)));
    const values = new Map(names.map((name, at, { length }) => [name, curveValues(this.kind.value, from, to, length)[at]]));
    // The ends go along with their neighbours, as in strings of other tools.
    if (names[0] === "IN00" && names.length > 1 && !this.selected.length) {
      values.set("TIME", values.get("IN00") ?? 1);
      values.set("FINAL", (this.symmetric ? values.get("IN00") : values.get(names[names.length - 1])) ?? 1);
    }
    this.change(values, "");
  }

  // -- copy, paste, presets ----------------------------------------------------------------------

  /**
   * @param {string} dialect "" for names
   * @returns {string | null} null where the dialect cannot say it
   */
  written(dialect) {
    const { names, neutral, reading } = this;
    if (!reading || !this.tables) return null;
    if (!dialect) return writeNames(reading.weights, names, neutral);
    return writeNumbers(reading.weights, this.#family().layouts[dialect], names, neutral, reading.numbers);
  }

  /** As it stands in the text where there is one; else numbers in the dialect that is set; else names. */
  copied() {
    return this.#value("mbw").trim() || this.written(this.#value("dialect")) || this.written("") || "";
  }

  /** @param {string} dialect */
  async #copy(dialect) {
    const text = this.written(dialect);
    const title = dialect ? this.tables?.dialects[dialect] : "names";
    if (text === null) return this.say(`${title} has no numbers for just these weights: copy them by name.`);
    try {
      await navigator.clipboard.writeText(text);
      this.say(`Copied: ${text.slice(0, 80)}`);
    } catch {
      this.say("The browser does not let this page copy: click a bar and press Ctrl+C.");
    }
  }

  async #pasteButton() {
    try {
      await this.paste(await navigator.clipboard.readText());
    } catch {
      this.say("The browser does not let this page read the clipboard: click a bar and press Ctrl+V.");
    }
  }

  /**
   * Take over a text of names, or of numbers: their count tells the dialect where the one that is set does not fit.
   * @param {string} text
   */
  async paste(text) {
    const { tables } = this;
    if (!tables || this.#unknown("mbw")) return;
    const [family, dialect] = [this.#value("family"), this.#value("dialect")];
    const bare = text.trim();
    const numbers = bare && !bare.includes("=") ? splitNumbers(bare) : null;
    const fits = numbers && fitNumbers(numbers, tables, family, dialect);
    if (fits) {
      this.#write({ ...fits, mbw: bare });
      return this.say(`${numbers.length} numbers of ${tables.dialects[fits.dialect]}, ${fits.family}`);
    }
    if (bare.includes("=") && readNames(bare)) return this.#write({ mbw: bare });
    if (!bare) return this.say("There is no text to paste.");
    const { weights, error } = await this.known.read({ family, dialect, mbw: bare, preset: NONE });
    if (weights) this.#write({ mbw: bare });
    else this.say(error ?? "");
  }

  /** @param {string} value of the list of sources */
  #use(value) {
    const [kind, rest] = [value.slice(0, value.indexOf(" ")), value.slice(value.indexOf(" ") + 1)];
    if (value === "sliders") return this.#write({ preset: NONE, mbw: "" });
    if (kind === "ours") return this.#write({ preset: rest, mbw: "" });
    if (kind !== "yours" || !this.tables) return;
    const [file, name] = JSON.parse(rest);
    const found = this.tables.files[file].presets[this.#value("family")]?.[name];
    if (!found) return this.say(`${name} is not made for ${this.#value("family")}.`);
    const weights = new Map(Object.entries(found));
    this.#write({ mbw: writeText(weights, null, this.#family(), this.#value("dialect"), this.neutral) });
    this.say(name);
  }

  /** @param {Tables | null} tables */
  #offer(tables) {
    const ours = Object.keys(Object.values(tables?.families ?? {})[0]?.presets ?? {});
    this.textOption = make("option", { value: "text" }, "Text");
    this.source.replaceChildren(
      this.textOption, make("option", { value: "sliders" }, "Sliders"),
      group("Presets", ours.map((name) => [`ours ${name}`, name])),
      ...(tables?.files ?? []).map(({ file, presets, problems }, at) => {
        const names = new Set(Object.values(presets).flatMap((each) => Object.keys(each)));
        const made = group(file, [...names].map((name) => [`yours ${JSON.stringify([at, name])}`, name]));
        made.append(...problems.map((problem) => make("option", { disabled: true }, `(${problem})`)));
        return made;
      }));
    this.copyAs.replaceChildren(make("option", { value: "?", hidden: true }, "Copy as"), make("option", { value: "" }, "by name"),
      group("numbers of", Object.entries(tables?.dialects ?? {})));
    this.copyAs.value = "?";
  }

  // -- building ----------------------------------------------------------------------------------

  #build() {
    this.textOption = make("option");
    this.source = make("select", { title: "Where the weights come from: text, a preset, or the sliders" });
    this.source.setAttribute("aria-label", "Source of the weights");
    this.source.addEventListener("change", () => {
      this.#use(this.source.value);
      this.show();
    });
    this.copyAs = make("select", { title: "Copy as text" });
    this.copyAs.setAttribute("aria-label", "Copy as text");
    this.copyAs.addEventListener("change", () => {
      void this.#copy(this.copyAs.value);
      this.copyAs.value = "?";
    });
    this.tools = {
      curve: button("curve", "Curves", () => {
        this.curving = !this.curving;
        this.show();
      }),
      symmetric: button("symmetric", "Symmetric: IN and OUT blocks of one depth together", () =>
        this.#property("symmetric", !this.symmetric)),
      paste: button("paste", "Paste numbers of any dialect, or names", () => void this.#pasteButton()),
      undo: button("undo", "Undo (Ctrl+Z)", () => this.undo()),
      redo: button("redo", "Redo (Ctrl+Shift+Z)", () => this.redo()),
      sliders: button("sliders", "Show the sliders too", () => {
        this.#property("sliders", this.node.properties?.sliders !== true);
        this.#fold();
      }),
    };
    const { curve, symmetric, paste, undo, redo, sliders } = this.tools;
    const copy = make("span", { className: "dsoup-copy" }, icon("copy"), this.copyAs);
    this.scale = make("button", { type: "button", title: "What the height of a bar covers: click for more or less" });
    this.scale.addEventListener("click", () => {
      const now = Number(this.node.properties?.scale ?? (this.neutral === 1 ? 1 : 0));
      this.#property("scale", (now + 1) % SCALES.length);
    });
    this.point = make("div", { className: "dsoup-point" });
    this.plot = make("div", { className: "dsoup-plot" }, make("div", { className: "dsoup-scale" }, this.scale),
      this.u.element, this.point);
    this.more = make("div", { className: "dsoup-more" }, this.rows.element);
    this.#buildCurve();
    this.status = make("div", { className: "dsoup-say" });
    this.status.setAttribute("role", "status");
    this.element = make("div", { className: "dsoup-blocks" },
      make("div", { className: "dsoup-tools" }, this.source, curve, symmetric, copy, paste, undo, redo, sliders),
      this.plot, this.more, this.curve, this.status);
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-label", "Block weights");
    this.#listen();
  }

  #buildCurve() {
    this.kind = make("select", {}, ...Object.keys(CURVES).map((name) => make("option", { value: name }, name)));
    this.kind.setAttribute("aria-label", "Curve");
    this.kind.addEventListener("change", () => this.show());
    [this.from, this.to] = [["From", "0"], ["To", "1"]].map(([label, value]) => {
      const field = make("input", { value, inputMode: "decimal" });
      field.setAttribute("aria-label", label);
      return field;
    });
    this.apply = make("button", { type: "submit" }, "to all");
    this.curve = make("form", { className: "dsoup-curve", hidden: true }, this.kind, this.from, "→", this.to, this.apply);
    this.curve.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#curve();
    });
  }

  /** @param {Event} event */
  #onBar({ target }) {
    return target instanceof HTMLInputElement && target.type === "range";
  }

  #focusBars() {
    const bars = this.u.element.hidden ? this.rows : this.u;
    if (!bars.focused) bars.focus([...bars.bars].find(([, { input }]) => input.tabIndex === 0)?.[0]);
  }

  /** Keys and clipboard while the focus is within: they are the editor's, not the graph's. */
  #listen() {
    let pointing = false;
    this.element.addEventListener("pointerdown", () => { pointing = true; }, true);
    this.element.addEventListener("keydown", () => { pointing = false; }, true);
    const tools = this.element.firstElementChild;
    for (const kind of ["click", "change"]) { // so that Ctrl+Z after them is the editor's
      tools.addEventListener(kind, (/** @type {Event} */ { target }) => {
        if (pointing && (kind === "change" || !(target instanceof HTMLSelectElement))) this.#focusBars();
      });
    }
    const typing = (/** @type {Event} */ event) => event.target instanceof HTMLInputElement && !this.#onBar(event);
    this.element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (typing(event)) return event.stopPropagation();
      if (!this.#onBar(event)) return; // on a button the graph's undo cannot be kept from following ours
      const key = event.key.toLowerCase();
      if (event.altKey || !(event.ctrlKey || event.metaKey) || !"zyacv".includes(key)) return;
      event.stopPropagation();
      if (key === "c" || key === "v") return; // the browser goes on with copy and paste
      event.preventDefault();
      const all = this.#order();
      if (key === "a") {
        this.select(all[0], all[all.length - 1]);
      } else if (key === "y" || event.shiftKey) {
        this.redo();
      } else {
        this.undo();
      }
    });
    this.element.addEventListener("copy", (/** @type {ClipboardEvent} */ event) => {
      event.stopPropagation();
      if (typing(event)) return;
      event.preventDefault();
      event.clipboardData?.setData("text/plain", this.copied());
      this.say(`Copied: ${this.copied().slice(0, 80)}`);
    });
    this.element.addEventListener("paste", (/** @type {ClipboardEvent} */ event) => {
      event.stopPropagation();
      if (typing(event)) return;
      event.preventDefault();
      void this.paste(event.clipboardData?.getData("text/plain") ?? "");
    });
  }
}
