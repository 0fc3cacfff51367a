/** The editor of Soup Block Weights: bars over its text, with tools around them, in both renderings of nodes. */
import { BARS_CSS, BlockBars, short } from "./block_bars.js";
import { BlockState } from "./block_state.js";
import { depthOf, unet } from "./block_text.js";
import { BlockTools, TOOLS_CSS } from "./block_tools.js";
import { forward, make, takePlace } from "./elements.js";
import { Fit, MARGINS, chain, inputOf } from "./nodes.js";
import { word } from "./words.js";

/** @typedef {import("./block_tables.js").BlockTables} BlockTables */

const HEIGHT = 184;
const CURVE_HEIGHT = 26;
const AROUND_ROWS = 48; // tools and status
const ROW = 20;
const ROWS_SEEN = 10; // the rest by scrolling
const SLIDER_HEIGHT = 24;
const SLIDER = /^(BASE|TIME|FINAL|M00|(IN|OUT)\d\d)$/;
/** What the height of a bar covers; more where the weights need it. @type {[number, number][]} */
const SCALES = [[0, 1], [0, 2], [-1, 2], [-2, 5]];

export const EDITOR_CSS = `
.dsoup-blocks {
  position: relative; display: flex; flex-direction: column; gap: 4px; overflow: hidden;
  container-type: inline-size; --dsoup-drop: 8px;
}
.dsoup-plot { position: relative; display: flex; flex: 1 1 0; min-height: 0; gap: 3px; }
.dsoup-scale { flex: none; width: 24px; font-variant-numeric: tabular-nums; }
.dsoup-blocks .dsoup-scale button { width: 100%; height: 14px; padding: 0; font-size: 9px; white-space: nowrap; }
.dsoup-point {
  position: absolute; left: 27px; right: 0; top: 0; text-align: center; white-space: nowrap; pointer-events: none;
  font-variant-numeric: tabular-nums;
}
.dsoup-point b { font-weight: 600; font-size: 13px; }
.dsoup-more { flex: none; max-height: ${ROWS_SEEN * ROW}px; overflow-y: auto; }
${BARS_CSS}${TOOLS_CSS}`;

/** The editor of one Soup Block Weights node. */
export class BlockEditor {
  // What #build makes.
  /** @type {BlockTools} */ tools;
  /** @type {BlockBars} */ u;
  /** @type {BlockBars} */ rows;
  /** @type {BlockBars[]} */ bars;
  /** @type {HTMLElement} */ element;
  /** @type {HTMLElement} */ plot;
  /** @type {HTMLElement} */ more;
  /** @type {HTMLElement} */ point;
  /** @type {HTMLButtonElement} */ scale;

  /**
   * @param {any} node
   * @param {any} canvas what gets wheel and middle button, as over any other part of the canvas
   * @param {BlockTables} server
   */
  constructor(node, canvas, server) {
    this.node = node;
    this.server = server;
    this.question = 0;
    /** @type {string | null} */
    this.pointed = null;
    this.state = new BlockState(node, server, () => this.show(), (text) => this.tools.say(text));
    this.#build();
    this.room = new Fit(node, this.element);
    this.#listen();
    forward(this.element, canvas);
    this.widget = node.addDOMWidget("editor", "dsoup_blocks", this.element, {
      serialize: false, hideOnZoom: false, getMinHeight: () => this.#height(),
    });
    this.widget.serialize = false;
    this.widget.hidden = true;
    for (const widget of node.widgets) {
      if (widget !== this.widget) chain(widget, "callback", () => this.state.read());
    }
    node.properties ??= {};
    node.properties.sliders ??= false;
    this.#fold(true); // at once, because older frontends look only when the node is made
    if (server.now) this.#use(server.now);
  }

  /**
   * The node has its values: what is folded away must be so before Nodes 2.0 looks.
   * @param {any} [saved] what the node was saved as
   */
  configured(saved) {
    const { properties, widgets } = this.node;
    this.#fold(properties.sliders !== true);
    if (saved?.properties?.sliders !== undefined) return;
    const sliders = widgets.filter((/** @type {any} */ { name }) => SLIDER.test(name));
    this.room.by(-sliders.length * SLIDER_HEIGHT); // it was saved when there were only sliders
  }

  /** Show the bars once the server has said what blocks there are; without that everything works by text. */
  async refresh() {
    takePlace(this.element, this.node);
    const question = ++this.question;
    const tables = await this.server.get();
    if (question === this.question) this.#use(tables);
  }

  /** @param {import("./block_text.js").Tables | null} tables */
  #use(tables) {
    if (tables !== this.state.tables) this.tools.offer(tables);
    this.state.tables = tables;
    this.widget.hidden = !tables;
    this.#fold();
    this.state.read();
  }

  // -- showing -----------------------------------------------------------------------------------

  show() {
    const { state } = this;
    const scale = this.#scale([...(state.reading?.weights.values() ?? [])]);
    this.#lay();
    for (const bars of this.bars) {
      bars.show({
        weights: state.reading?.weights ?? new Map(), neutral: state.neutral, scale, selected: new Set(state.selected),
        locked: !state.reading || !state.free,
        unit: state.neutral === 1 ? word("times the share") : word("as the share"),
      });
    }
    this.scale.textContent = `${scale[0]}${scale[0] ? "…" : "–"}${scale[1]}`.replace("-", "−");
    this.#showTools();
    this.#point(this.pointed);
  }

  #lay() {
    const { names, foreign, order, strange } = this.state;
    const sides = unet(names);
    const besides = names.filter((name) => !sides.includes(name));
    const captions = { [sides[0]]: "IN", [sides[sides.length - 2]]: "OUT" };
    const beside = (/** @type {string} */ name) =>
      ({ name, label: name, beside: true, apart: name === besides.at(-1) });
    const inside = (/** @type {string} */ name, /** @type {number} */ at) => ({
      name, label: name === "M00" ? "M" : name.slice(-2), depth: depthOf(name, names), apart: at === 0,
      third: at % 3 === 0, caption: captions[name] ?? "",
    });
    this.u.lay([...besides.slice(0, -1).map(beside), ...sides.map(inside), ...besides.slice(-1).map(beside)]);
    this.rows.lay((foreign ? order : strange).map((name) => ({ name, label: name })));
    this.plot.hidden = this.u.element.hidden = foreign;
    this.more.hidden = !this.rows.columns.length;
    this.#grow();
  }

  /** @param {number[]} values @returns {[number, number]} */
  #scale(values) {
    const { neutral } = this.state;
    const [least, most] = SCALES[Number(this.node.properties?.scale ?? -1)] ?? SCALES[neutral === 1 ? 1 : 0];
    return [Math.floor(Math.min(...values, least)), Math.ceil(Math.max(...values, most))];
  }

  #showTools() {
    const { state } = this;
    const { past, future, reading, selected, source, symmetric } = state;
    const named = reading?.source !== "numbers";
    const known = named ? word("by name") : word("{0} numbers", reading.numbers?.length);
    const sort = reading ? known : word("see below");
    this.tools.show({
      free: state.free, undo: past.length > 0, redo: future.length > 0, symmetric, source, sort,
      sliders: this.node.properties?.sliders === true, selected: selected.length,
    });
    const strange = state.strange.length && !state.foreign
      ? word("{0} is no block of {1}.", state.strange[0], state.value("family")) : "";
    const range = selected.length ? word("{0} to {1} selected", selected[0], selected.at(-1)) : "";
    const untouched = reading?.source === "sliders" ? word("from the sliders; an edit writes the text") : "";
    const usual = range || untouched;
    this.tools.tell(state.trouble || strange || usual, Boolean(state.trouble || strange));
  }

  /** @param {string | null} name of the bar whose number is shown */
  #point(name) {
    const { neutral, reading } = this.state;
    const unit = neutral === 1 ? word("× share") : word("share");
    const weight = name === null ? undefined : reading?.weights.get(name) ?? neutral;
    this.pointed = name;
    if (name === null) this.point.replaceChildren(make("span", { style: "opacity: 0.55" }, unit));
    else this.point.replaceChildren(`${name} `, make("b", {}, weight === undefined ? "" : short(weight)), ` ${unit}`);
  }

  // -- size --------------------------------------------------------------------------------------

  #height() {
    if (this.widget?.hidden) return 0;
    const rows = Math.min(this.rows.columns.length, ROWS_SEEN) * ROW;
    const bars = this.plot.hidden ? AROUND_ROWS + rows : HEIGHT + (rows && rows + 4);
    return bars + (this.tools.curving ? CURVE_HEIGHT : 0) + MARGINS;
  }

  /** Let the node be as high as it needs; and give back what it no longer needs. */
  #grow() {
    this.room.to(this.#height());
  }

  /** Sliders are put away while there are bars, but those with a link. They keep their values, and still count. */
  #fold(away = Boolean(this.state.tables) && this.node.properties?.sliders !== true) {
    /** @type {[any, boolean][]} */
    const sliders = this.node.widgets.filter((/** @type {any} */ { name }) => SLIDER.test(name))
      .map((/** @type {any} */ widget) => [widget, away && inputOf(this.node, widget.name)?.link == null]);
    if (sliders.every(([widget, hidden]) => Boolean(widget.hidden) === hidden)) return; // measuring takes its time
    const before = this.node.computeSize()[1];
    for (const [widget, hidden] of sliders) {
      widget.hidden = hidden;
      if ("visibility" in widget) continue; // newer frontends
      widget.options.canvasOnly = widget.hidden; // older ones go by this in Nodes 2.0,
      if (widget.hidden) widget.computeSize = () => [0, -4]; // and keep the place of a hidden widget in LiteGraph
      else delete widget.computeSize;
    }
    const more = this.node.computeSize()[1] - before;
    if (more) this.room.by(Math.min(more, 0));
  }

  // -- building ----------------------------------------------------------------------------------

  #build() {
    const { state } = this;
    this.tools = new BlockTools({
      use: (source) => state.use(source),
      written: (dialect) => state.written(dialect),
      paste: (text) => void state.paste(text),
      undo: () => state.undo(),
      redo: () => state.redo(),
      toggle: (name) => this.#toggle(name),
      curve: (kind, from, to) => state.curve(kind, from, to),
      resized: () => this.show(),
      left: () => this.#focusBars(),
    });
    const told = {
      change: state.change.bind(state), revert: state.undo.bind(state), select: state.select.bind(state),
      point: (/** @type {string | null} */ name) => this.#point(name),
    };
    this.u = new BlockBars("u", told);
    this.rows = new BlockBars("rows", told);
    this.bars = [this.u, this.rows];
    this.scale = make("button", {
      type: "button", title: word("What the height of a bar covers: click for more or less"),
    });
    this.scale.addEventListener("click", () => this.#nextScale());
    this.point = make("div", { className: "dsoup-point" });
    this.plot = make("div", { className: "dsoup-plot" },
      make("div", { className: "dsoup-scale" }, this.scale), this.u.element, this.point);
    this.more = make("div", { className: "dsoup-more" }, this.rows.element);
    this.more.dataset.captureWheel = "true"; // it scrolls, and the canvas does not zoom: in Nodes 2.0, and in LiteGraph
    this.more.addEventListener("wheel", (/** @type {Event} */ event) => {
      if (this.more.scrollHeight > this.more.clientHeight) event.stopPropagation();
    }, { passive: true });
    this.element = make("div", { className: "dsoup-blocks dsoup" },
      this.tools.row, this.plot, this.more, this.tools.curve, this.tools.status);
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-label", word("Block weights"));
  }

  /** @param {"symmetric" | "sliders"} name */
  #toggle(name) {
    this.state.property(name, this.node.properties?.[name] !== true);
    if (name === "sliders") this.#fold(); // older frontends in Nodes 2.0 show it when the graph is loaded again
  }

  #nextScale() {
    const now = Number(this.node.properties?.scale ?? (this.state.neutral === 1 ? 1 : 0));
    this.state.property("scale", (now + 1) % SCALES.length);
  }

  #focusBars() {
    const bars = this.u.element.hidden ? this.rows : this.u;
    if (!bars.focused) bars.focus([...bars.bars].find(([, { input }]) => input.tabIndex === 0)?.[0]);
  }

  /**
   * Keys and clipboard are the editor's while the focus is on a bar. On a button the graph's own undo cannot be kept
   * from following, so there it is the graph's alone.
   */
  #listen() {
    const { state, tools } = this;
    /** @param {Event} event */
    const onBar = ({ target }) => target instanceof HTMLInputElement && target.type === "range";
    /** @param {Event} event */
    const typing = (event) => event.target instanceof HTMLInputElement && !onBar(event);
    this.element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const key = event.key.toLowerCase();
      if (typing(event)) return event.stopPropagation();
      if (!onBar(event) || event.altKey || !(event.ctrlKey || event.metaKey) || !"zyacv".includes(key)) return;
      event.stopPropagation();
      if (key === "c" || key === "v") return; // the browser goes on with copy and paste
      event.preventDefault();
      if (key === "a") state.select(state.order[0], state.order.at(-1) ?? null);
      else if (key === "y" || event.shiftKey) state.redo();
      else state.undo();
    });
    this.element.addEventListener("copy", (/** @type {ClipboardEvent} */ event) => {
      event.stopPropagation();
      if (typing(event)) return;
      event.preventDefault();
      event.clipboardData?.setData("text/plain", state.copied());
      tools.copied(state.copied());
    });
    this.element.addEventListener("paste", (/** @type {ClipboardEvent} */ event) => {
      event.stopPropagation();
      if (typing(event)) return;
      event.preventDefault();
      void state.paste(event.clipboardData?.getData("text/plain") ?? "");
    });
  }
}
