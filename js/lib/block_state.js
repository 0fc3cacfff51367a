/**
 * The weights of one Soup Block Weights node: read from its widgets as the node does, changed by writing its text.
 *
 * The widgets are the only state that counts. What is only about editing (symmetric, the selection) is in the node's
 * properties, and steps to undo are forgotten with the page.
 */
import {
  NONE, TIMES, curveValues, fitNumbers, mirrored, readNames, readWidgets, splitNumbers, unet, writeNames, writeNumbers,
  writeText,
} from "./block_text.js";
import { inputOf, kindOf, originOf, widgetOf } from "./nodes.js";
import { word } from "./words.js";

/** @typedef {import("./block_text.js").Tables} Tables */
/** @typedef {import("./block_text.js").Reading} Reading */
/** @typedef {{family: string, preset: string, dialect: string, mbw: string}} Snapshot */

const UNDOABLE = /** @type {const} */ (["family", "preset", "dialect", "mbw"]);
const MOST_UNDO = 200;
const TOGETHER = 1000; // milliseconds between steps of the keyboard that are undone as one

export class BlockState {
  /**
   * @param {any} node
   * @param {import("./block_tables.js").BlockTables} server
   * @param {() => void} changed
   * @param {(text: string) => void} say for a while; "" ends it
   */
  constructor(node, server, changed, say) {
    this.node = node;
    this.server = server;
    this.changed = changed;
    this.say = say;
    /** @type {Tables | null} */
    this.tables = null;
    /** @type {Reading | null} null where the weights are not known */
    this.reading = null;
    this.trouble = ""; // why they are not
    this.question = 0;
    this.writing = false;
    /** @type {Snapshot[]} */
    this.past = [];
    /** @type {Snapshot[]} */
    this.future = [];
    this.stroke = { name: "", time: 0 };
    this.anchor = "";
  }

  // -- what is there -----------------------------------------------------------------------------

  /** @param {string} name @returns {string} */
  value(name) {
    return String(widgetOf(this.node, name)?.value ?? "");
  }

  /** The blocks of the family. */
  get names() {
    return this.tables?.families[this.value("family")]?.names ?? [];
  }

  get #family() {
    return /** @type {Tables} */ (this.tables).families[this.value("family")];
  }

  /** The weight of a block that has none of its own; undefined: the ingredient's share, which is not known here. */
  get neutral() {
    return this.value("meaning") === TIMES ? 1 : undefined;
  }

  /** The names in the text that are no blocks of the family. */
  get strange() {
    return [...(this.reading?.weights.keys() ?? [])].filter((name) => !this.names.includes(name));
  }

  /** Whether the text is about another family altogether. */
  get foreign() {
    const ours = (/** @type {string} */ name) => name !== "BASE" && this.names.includes(name);
    return this.strange.length > 0 && ![...(this.reading?.weights.keys() ?? [])].some(ours);
  }

  /** Bars that are in a row, for ranges and curves: those of the U, or all rows. */
  get order() {
    return this.foreign ? [...(this.reading?.weights.keys() ?? [])] : unet(this.names);
  }

  get symmetric() {
    return this.node.properties?.symmetric === true;
  }

  get selected() {
    const { order } = this;
    const [from, to] = String(this.node.properties?.selected ?? "").split(" to ").map((name) => order.indexOf(name));
    return from < 0 || !(to >= 0) ? [] : order.slice(Math.min(from, to), Math.max(from, to) + 1);
  }

  /** Whether the text may be written: nothing is sent to it through a link. */
  get free() {
    return inputOf(this.node, "mbw")?.link == null;
  }

  /**
   * Whether a value comes through a link, and who sends it cannot be asked before the graph runs.
   * @param {string} name
   */
  #unknown(name) {
    const input = inputOf(this.node, name);
    return input?.link != null && kindOf(originOf(this.node, input)?.origin) !== "PrimitiveNode";
  }

  /** Read the widgets as the node would. */
  read() {
    if (this.writing || !this.tables) return;
    const question = ++this.question;
    const sliders = new Map(this.names.map((name) => [name, Number(widgetOf(this.node, name)?.value ?? 1)]));
    const widgets = Object.fromEntries(UNDOABLE.map((name) => [name, this.value(name)]));
    const linked = this.#linked(/** @type {Snapshot} */ (widgets));
    const label = widgetOf(this.node, linked)?.label || linked;
    this.trouble = linked && word("{0} comes through a link and is known when the graph runs.", label);
    this.reading = linked ? null : readWidgets({ .../** @type {Snapshot} */ (widgets), sliders }, this.tables);
    this.changed();
    if (!this.reading && !linked) void this.#ask(widgets, question);
  }

  /** @param {Snapshot} widgets @returns {string} the first widget that matters here and is not known; "" for none */
  #linked({ mbw, preset }) {
    const text = mbw.trim();
    const ofText = text.includes("=") ? [] : ["dialect"];
    const otherwise = ["preset", ...(preset === NONE ? this.names : [])];
    return ["mbw", "family", "meaning", ...(text ? ofText : otherwise)].find((name) => this.#unknown(name)) ?? "";
  }

  /** @param {Record<string, string>} widgets that only the engine can read @param {number} question */
  async #ask(widgets, question) {
    const { weights, error } = await this.server.read(widgets);
    if (question !== this.question) return; // there is another text by now
    this.reading = weights ? { weights: new Map(Object.entries(weights)), source: "engine" } : null;
    this.trouble = error ?? "";
    this.changed();
  }

  // -- edits -------------------------------------------------------------------------------------

  /**
   * Give blocks other weights.
   * @param {Map<string, number | null>} values null: no weight of its own
   * @param {string} stroke changes of one stroke are undone together
   */
  change(values, stroke) {
    const { names, reading } = this;
    if (!reading || !this.free) return;
    const weights = new Map(reading.weights);
    for (const [name, value] of values) {
      for (const each of this.symmetric ? [name, mirrored(name, names)] : [name]) {
        if (value === null) weights.delete(each);
        else weights.set(each, value);
      }
    }
    this.#write({ mbw: writeText(weights, reading, this.#family, this.value("dialect"), this.neutral) }, stroke);
  }

  /**
   * A curve over the selected bars, or over all; with symmetry over one arm, which the other follows.
   * @param {string} kind
   * @param {number} from
   * @param {number} to
   */
  curve(kind, from, to) {
    const { order, selected, symmetric } = this;
    let names = selected.length ? selected : order;
    if (symmetric) names = names.filter((name, at) => !names.slice(0, at).includes(mirrored(name, order)));
    const curve = curveValues(kind, from, to, names.length);
    const values = new Map(names.map((name, at) => [name, curve[at]]));
    if (!selected.length && !this.foreign) { // the ends go with their neighbours, as in strings of other tools
      values.set("TIME", curve[0]);
      values.set("FINAL", curve[symmetric ? 0 : curve.length - 1]);
    }
    this.change(values, "");
  }

  /** @param {Partial<Snapshot>} values @param {string} [stroke] */
  #write(values, stroke = "") {
    const before = this.#snapshot();
    this.#set(values);
    if (UNDOABLE.every((name) => before[name] === this.value(name))) return;
    const now = performance.now();
    const soon = !stroke.startsWith("key") || now - this.stroke.time < TOGETHER;
    const goesOn = stroke !== "" && stroke === this.stroke.name && soon;
    this.stroke = { name: stroke, time: now };
    if (goesOn) return;
    this.past = [...this.past, before].slice(-MOST_UNDO);
    this.future = [];
    this.say(""); // what was said was about something else
    this.changed();
  }

  /** @returns {Snapshot} */
  #snapshot() {
    return /** @type {Snapshot} */ (Object.fromEntries(UNDOABLE.map((name) => [name, this.value(name)])));
  }

  /** @param {Partial<Snapshot>} values */
  #set(values) {
    this.writing = true;
    for (const name of UNDOABLE) {
      const widget = widgetOf(this.node, name);
      if (values[name] === undefined || widget.value === values[name]) continue;
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
    const snapshot = this.free ? from.pop() : undefined;
    if (!snapshot) return;
    to.push(this.#snapshot());
    this.stroke = { name: "", time: 0 };
    this.#set(snapshot);
  }

  /**
   * Select the bars from one to another.
   * @param {string | null} from null: from where the selection began
   * @param {string | null} to null: nothing is selected
   */
  select(from, to) {
    const { order } = this;
    if (from !== null && order.includes(from)) this.anchor = from;
    const found = to !== null && order.includes(to) && order.includes(this.anchor);
    this.property("selected", found ? `${this.anchor} to ${to}` : "");
  }

  /** @param {string} name @param {unknown} value */
  property(name, value) {
    this.node.properties ??= {};
    this.node.properties[name] = value;
    this.changed();
  }

  // -- text and presets --------------------------------------------------------------------------

  /**
   * @param {string} dialect "" for names
   * @returns {string | null} null where the dialect cannot say it
   */
  written(dialect) {
    const { names, neutral, reading } = this;
    if (!reading) return null;
    if (!dialect) return writeNames(reading.weights, names, neutral);
    return writeNumbers(reading.weights, this.#family.layouts[dialect], names, neutral, reading.numbers);
  }

  /** The text as it stands where there is one; else numbers in the dialect that is set; else names. */
  copied() {
    return this.value("mbw").trim() || this.written(this.value("dialect")) || this.written("") || "";
  }

  /**
   * Take over a text of names, or of numbers: their count tells the dialect where the one that is set does not fit.
   * @param {string} text
   */
  async paste(text) {
    const { tables } = this;
    if (!tables || !this.free) return;
    const [family, dialect, mbw] = [this.value("family"), this.value("dialect"), text.trim()];
    const numbers = mbw && !mbw.includes("=") ? splitNumbers(mbw) : null;
    const fits = numbers && fitNumbers(numbers, tables, family, dialect);
    if (fits) {
      this.#write({ ...fits, mbw });
      this.say(word("{0} numbers of {1}, {2}", numbers.length, tables.dialects[fits.dialect], fits.family));
    } else if (mbw.includes("=") && readNames(mbw)) {
      this.#write({ mbw });
    } else if (!mbw) {
      this.say(word("There is no text to paste."));
    } else {
      const { weights, error } = await this.server.read({ family, dialect, mbw, preset: NONE });
      if (weights) this.#write({ mbw });
      else this.say(error ?? "");
    }
  }

  /** The source of the weights, as the list of sources calls it. */
  get source() {
    if (this.value("mbw").trim()) return "text";
    return this.value("preset") === NONE ? "sliders" : `ours ${this.value("preset")}`;
  }

  /** @param {string} source */
  use(source) {
    const [kind, name] = [source.split(" ", 1)[0], source.slice(source.indexOf(" ") + 1)];
    if (kind === "sliders") this.#write({ preset: NONE, mbw: "" });
    else if (kind === "ours") this.#write({ preset: name, mbw: "" });
    else if (kind === "yours") this.#useFile(JSON.parse(name));
    this.changed();
  }

  /** @param {[number, string]} preset the file's place in the list, and the preset's name */
  #useFile([file, name]) {
    const found = this.tables?.files[file].presets[this.value("family")]?.[name];
    if (!found) return this.say(word("{0} is not made for {1}.", name, this.value("family")));
    const weights = new Map(Object.entries(found));
    this.#write({ mbw: writeText(weights, null, this.#family, this.value("dialect"), this.neutral) });
  }
}
