/**
 * The table of ingredients on Cook Soup: the chain before it, one row for each ingredient.
 *
 * The nodes are the only state: rows read them and write them. What is only about editing, such as locks, is in the
 * properties of the ingredient nodes, so that it is kept by saving, copying and moving.
 */
import { forward, make, takePlace } from "./elements.js";
import { BAR_CSS, StackedBar } from "./ingredient_bar.js";
import {
  INPUT, append, isSolo, move, remove, sharedWith, titleOf, toggleLock, toggleMute, toggleSolo,
} from "./ingredient_chain.js";
import { dragRow } from "./ingredient_drag.js";
import { IngredientKnowledge } from "./ingredient_knowledge.js";
import { IngredientList } from "./ingredient_list.js";
import { DETAILS, ROW, ROW_CSS } from "./ingredient_look.js";
import { Row, namesOf } from "./ingredient_row.js";
import { besides, percentText, read, shareText } from "./ingredient_shares.js";
import { IngredientStrokes } from "./ingredient_strokes.js";
import { IngredientTools, TOOLS_CSS } from "./ingredient_tools.js";
import { Fit, MARGINS, chain, inputOf, valueOf, widgetOf } from "./nodes.js";
import { word } from "./words.js";

/** @typedef {import("./ingredient_facts.js").IngredientFacts} IngredientFacts */
/** @typedef {import("./ingredient_lines.js").Line} Line */
/**
 * @typedef {object} Host what the table needs of ComfyUI
 * @property {() => any} canvas
 * @property {(node: any) => void} copy the recipe of a Cook Soup
 * @property {(kind: string) => any} create a node that is not in the graph yet
 * @property {(kind: string) => string[]} files that a kind of ingredient offers
 * @property {() => Promise<any>} prompt what would be queued
 */

const TOOLS = 22;
const STACK = 24;
const SAY = 14;
const GAP = 4;
const EMPTY = 44;
const ROWS_SEEN = 12; // the rest by scrolling
const WIDTH = 460; // of a node that is new
const SAID = 6000; // milliseconds

/** Okabe and Ito's colours, which the colour-blind can tell apart; then the same, paler. */
const COLOURS = ["#e69f00", "#56b4e9", "#2bb38a", "#f0e442", "#d58fb8", "#5a8fe0", "#e0703a", "#b8b8b8",
  "#f3cf80", "#aadaf4", "#94d9c4", "#f7f1a0"];

export const TABLE_CSS = `
.dsoup-ingredients { position: relative; display: flex; flex-direction: column; gap: ${GAP}px; overflow: hidden;
  container-type: inline-size; }
.dsoup-ing-rows { display: flex; flex: none; flex-direction: column; gap: 2px; overflow-y: auto; overflow-x: hidden; }
.dsoup-ing-empty { display: flex; flex: none; align-items: center; justify-content: center; height: ${EMPTY}px; padding: 0 12px;
  text-align: center; opacity: 0.8; border-radius: 5px;
  box-shadow: inset 0 0 0 1px color-mix(in srgb, var(--input-text, #ddd) 22%, transparent); }
.dsoup-ingredients .dsoup-say { flex: none; }
${TOOLS_CSS}${BAR_CSS}${ROW_CSS}`;

/** The table of one Cook Soup. */
export class IngredientTable {
  /** @type {HTMLElement} */ body = make("div", { className: "dsoup-ing-rows" });
  /** @type {HTMLElement} */ empty = make("div", { className: "dsoup-ing-empty" });
  /** @type {HTMLElement} */ status = make("div", { className: "dsoup-say" });

  /**
   * @param {any} node
   * @param {Host} host
   * @param {IngredientFacts} facts
   */
  constructor(node, host, facts) {
    this.node = node;
    this.host = host;
    this.list = new IngredientList(node, host.prompt, facts);
    this.strokes = new IngredientStrokes(this.list, (trouble) => this.say(trouble), () => this.show());
    /** @type {Row[]} */
    this.rows = [];
    this.known = new IngredientKnowledge(facts, () => this.show(), (text) => this.say(text));
    this.focused = 0;
    /** @type {any} the node whose details are shown */
    this.open = null;
    this.said = { text: "", until: 0 };
    this.tools = new IngredientTools({
      copy: () => host.copy(node),
      equal: () => this.#equalise(),
      add: (kind, file) => this.#add(kind, file),
      files: host.files,
    });
    this.stack = new StackedBar({
      begin: (at) => this.strokes.beginDivider(at),
      moved: (amount) => this.strokes.moveDivider(amount),
      point: (at) => this.#point(at),
    });
    this.element = this.#build();
    this.room = new Fit(node, this.element);
    forward(this.element, host.canvas);
    this.widget = node.addDOMWidget("ingredients table", "dsoup_ingredients", this.element, {
      serialize: false, hideOnZoom: false, getMinHeight: () => this.#height(),
    });
    this.widget.serialize = false;
    for (const name of ["normalise", "base", "method"]) {
      const widget = widgetOf(node, name);
      if (widget) chain(widget, "callback", () => void this.refresh());
    }
    if (node.size[0] < WIDTH) node.setSize([WIDTH, node.size[1]]);
    void this.refresh();
  }

  /** Read the graph, and ask the server about what is new. */
  async refresh() {
    takePlace(this.element, this.node);
    await this.list.refresh(() => this.show());
  }

  get #lines() {
    return this.list.lines;
  }

  // -- showing -----------------------------------------------------------------------------------

  show() {
    const reading = read(this.list.parts, this.list.normalise);
    while (this.rows.length < this.#lines.length) this.rows.push(new Row(this.#toldByRows()));
    const rows = this.rows.slice(0, this.#lines.length);
    rows.forEach((row, at) => {
      row.reference = this.known.reference;
      row.show(this.#shown(this.#lines[at], at, reading));
      row.share.tabIndex = at === Math.min(this.focused, rows.length - 1) ? 0 : -1;
    });
    if (this.body.children.length !== rows.length) this.body.replaceChildren(...rows.map(({ element }) => element));
    this.body.hidden = !rows.length;
    this.empty.hidden = rows.length > 0;
    this.stack.element.hidden = !rows.length;
    this.tools.show(this.#lines.map(({ active }) => active), this.#lines.some(({ node }) => node));
    this.#showStack(reading);
    this.#showWords(reading);
    this.#grow();
    this.known.learn(this.#lines, String(valueOf(this.node, "base") ?? "none"));
  }

  /**
   * @param {Line} line
   * @param {number} at
   * @param {import("./ingredient_shares.js").Reading} reading
   * @returns {import("./ingredient_row.js").Shown}
   */
  #shown(line, at, reading) {
    const percent = reading.mode === "percent" && line.active;
    const off = !line.active && reading.mode === "percent";
    const value = percent ? reading.values[at] : off ? null : line.share ?? null;
    const shares = this.#lines.map(({ share }) => share ?? 0);
    return {
      at, colour: COLOURS[at % COLOURS.length], kind: line.kind, file: line.file, own: line.node !== null,
      active: line.active, solo: line.node !== null && isSolo(line.node), locked: line.node !== null && line.locked,
      fixed: line.fixed || off, open: line.node !== null && line.node === this.open,
      percent, value, text: off ? word("off") : value === null ? "?" : percent ? percentText(value) : shareText(value),
      scale: percent ? [0, 100] : [Math.min(...shares, 0), Math.max(...shares, 1)],
      marks: line.marks, why: line.why, ...this.known.of(line),
    };
  }

  /** @param {import("./ingredient_shares.js").Reading} reading */
  #showStack({ mode, values, total }) {
    const shown = this.#lines.map((line, at) => ({ line, at, value: values[at] }))
      .filter(({ line }) => line.active && mode !== "unknown");
    const size = shown.reduce((whole, { value }) => whole + Math.abs(value), 0);
    const whole = mode === "percent" ? 100 : Math.max(size, 1);
    const segments = shown.map(({ line, at, value }) => ({
      at, name: namesOf(line.file).name, colour: COLOURS[at % COLOURS.length], value, locked: line.locked,
      text: mode === "percent" ? percentText(value) : shareText(value),
    }));
    const raw = mode === "raw" && total > 1 && !values.some((value) => value < 0);
    const parts = this.list.parts;
    this.stack.show(segments, whole, mode === "unknown" ? word("Known when the graph runs") : word("All are bypassed: nothing to cook"),
      raw ? 1 / whole : null, (at) => !values.some((value) => value < 0) && besides(parts, at) !== null);
  }

  /** @param {import("./ingredient_shares.js").Reading} reading */
  #showWords({ mode, total, trouble }) {
    const both = this.list.instead && inputOf(this.node, INPUT)?.link != null
      ? word("Both a recipe and ingredients are connected: leave one of them out.") : "";
    const none = this.#lines.length && !this.#lines.some(({ active }) => active)
      ? word("All ingredients are bypassed: there is nothing to cook.") : "";
    const now = Date.now() < this.said.until ? this.said.text : "";
    const wrong = both || none || trouble;
    const sums = mode === "raw" && this.#lines.length ? word("Shares as they are, {0} in all.", shareText(total)) : "";
    const { reference } = this.known;
    const taste = reference ? word("Distances are from {0}.", namesOf(reference).name) : "";
    this.status.textContent = now || wrong || [sums, taste].filter(Boolean).join(" ");
    this.status.title = this.status.textContent ?? "";
    this.status.classList.toggle("wrong", Boolean(now || wrong));
  }

  /** Files may have changed. */
  forget() {
    this.known.forget();
  }

  /** @param {string} text shown for a while */
  say(text) {
    this.said = { text, until: text ? Date.now() + SAID : 0 };
    if (text) setTimeout(() => this.#showWords(read(this.list.parts, this.list.normalise)), SAID + 50);
  }

  // -- changing ----------------------------------------------------------------------------------

  /** @param {Row} row @param {string} action */
  #act(row, action) {
    const { at } = row;
    const line = this.#lines[at];
    const nodes = this.#lines.flatMap(({ node }) => node ?? []);
    const focus = { previous: at - 1, next: at + 1 }[action];
    if (focus !== undefined) return this.#focus(focus);
    if (!line?.node) return undefined;
    if (action === "up" || action === "down") return this.#move(at, at + (action === "up" ? -1 : 1));
    if (action === "select") return this.#select(line.node);
    if (action === "hash") return void this.known.hash(line);
    if (action === "open") this.open = this.open === line.node ? null : line.node;
    if (action === "lock" && !line.fixed) toggleLock(line.node);
    if (action === "mute") toggleMute(nodes, line.node);
    if (action === "solo") toggleSolo(nodes, line.node);
    if (action === "solo" && this.list.foreign && isSolo(line.node)) this.say(word("What comes from a recipe stays in the soup."));
    if (action === "remove") this.#remove(line);
    for (const node of nodes) node.setDirtyCanvas?.(true, true);
    void this.refresh(); // which also changes the size of this node, within the same step
    this.#done();
    if (action === "remove" && this.rows[at]) this.#focus(Math.min(at, this.#lines.length - 1));
    return undefined;
  }

  /** @param {Line} line */
  #remove({ node, file }) {
    const others = sharedWith(node, this.node);
    remove(this.node, node);
    const { name } = namesOf(file);
    const from = others.map((each) => `${titleOf(each)} (#${each.id})`).join(", ");
    this.say(!from ? word("{0} was removed; Ctrl+Z brings it back.", name)
      : word("{0} was removed; Ctrl+Z brings it back. It was also taken from {1}.", name, from));
  }

  /** @param {number} from @param {number} to */
  #move(from, to) {
    const before = this.list.foreign;
    if (from < before || to < before || to >= this.#lines.length) return;
    this.say(move(this.node, from - before, to - before));
    void this.refresh(); // which also changes the size of this node, within the same step
    this.#done();
    this.#focus(this.said.text ? from : to);
  }

  /** @param {any} node */
  #select(node) {
    const canvas = this.host.canvas();
    setTimeout(() => { // the click that brought us here selects this table's node
      canvas?.selectNode?.(node);
      canvas?.centerOnNode?.(node);
      canvas?.setDirty?.(true, true);
    });
  }

  /** A step of the graph's undo ends here: ComfyUI looks by itself before a click, and not at all while one types. */
  #done() {
    const canvas = this.host.canvas();
    canvas?.emitBeforeChange?.();
    canvas?.emitAfterChange?.();
  }

  /** @param {number} at */
  #focus(at) {
    this.focused = Math.min(Math.max(at, 0), this.#lines.length - 1);
    this.rows.forEach((row, each) => { row.share.tabIndex = each === this.focused ? 0 : -1; });
    this.rows[this.focused]?.focus();
  }

  /** @param {string} kind of node @param {string} file */
  #add(kind, file) {
    const made = this.host.create(kind);
    if (!made) return;
    append(this.node, made, file);
    void this.refresh(); // which also changes the size of this node, within the same step
    this.#done();
  }

  #equalise() {
    this.strokes.equalise();
    this.#done();
  }

  // -- size --------------------------------------------------------------------------------------

  #height() {
    const rows = this.#lines.length;
    const seen = Math.min(rows, ROWS_SEEN) * ROW - 2 + (this.#lines.some(({ node }) => node && node === this.open) ? DETAILS : 0);
    const inside = rows ? STACK + GAP + seen : EMPTY;
    return TOOLS + GAP + inside + GAP + SAY + MARGINS;
  }

  /** Let the node be as high as it needs; and give back what it no longer needs. */
  #grow() {
    const needed = this.#height();
    this.body.style.maxHeight = `${this.#height() - MARGINS - TOOLS - SAY - STACK - 3 * GAP}px`;
    this.room.to(needed);
  }

  // -- building ----------------------------------------------------------------------------------

  /** @returns {HTMLElement} */
  #build() {
    this.body.setAttribute("role", "list");
    this.body.dataset.captureWheel = "true"; // it scrolls, and the canvas does not zoom: in Nodes 2.0, and in LiteGraph
    this.body.addEventListener("wheel", (/** @type {Event} */ event) => {
      if (this.body.scrollHeight > this.body.clientHeight) event.stopPropagation();
    }, { passive: true });
    this.empty.textContent = word("Add the first checkpoint or LoRA here, or connect a chain of Soup Ingredients.");
    this.status.setAttribute("role", "status");
    const element = make("div", { className: "dsoup-ingredients dsoup" },
      this.tools.element, this.stack.element, this.body, this.empty, this.status);
    element.setAttribute("role", "group");
    element.setAttribute("aria-label", word("Ingredients"));
    return element;
  }

  #toldByRows() {
    return {
      begin: () => this.strokes.begin(),
      set: (/** @type {Row} */ row, /** @type {number} */ value) => this.strokes.set(row, value),
      done: () => this.#done(),
      step: (/** @type {Row} */ row, /** @type {number} */ by) => this.strokes.step(row, by),
      act: (/** @type {Row} */ row, /** @type {string} */ action) => this.#act(row, action),
      grip: (/** @type {Row} */ row, /** @type {PointerEvent} */ event) =>
        dragRow(row, event, this.rows.slice(this.list.foreign, this.#lines.length), (to) => this.#move(row.at, to)),
      point: (/** @type {Row | null} */ row) => this.#point(row?.at ?? null),
    };
  }

  /** @param {number | null} at */
  #point(at) {
    this.stack.point(at);
    this.rows.forEach((row) => row.point(row.at === at));
  }
}
