/** Block weights and elements of one row: the editor of our ComfyUI node over a row instead of a node. */
import { BlockEditor, EDITOR_CSS } from "../../js/lib/block_editor.js";
import { BlockTables } from "../../js/lib/block_tables.js";
import { addStyle, make } from "../../js/lib/elements.js";
import { NO_BLOCKS } from "./draft.js";
import { choice, press } from "./fields.js";
import { StandInNode } from "./node.js";

/** @typedef {import("./draft.js").Row} Row */

const FIELDS = /** @type {const} */ (["family", "meaning", "preset", "dialect", "mbw"]);
const MEANINGS = /** @type {[string, string][]} */ ([
  ["times the share", "times the share"], ["instead of the share", "instead of the share"],
]);

/** What the editors ask the server, by the routes that ComfyUI has for it. @param {any} ask */
export function tables(ask) {
  return new BlockTables(async (route) => {
    const [, query] = route.split("?");
    const answer = query === undefined ? await ask.quick("blocks")
      : await ask.quick("block_weights", { widgets: Object.fromEntries(new URLSearchParams(query)) });
    return /** @type {any} */ ({ json: () => answer });
  });
}

class RowEditor extends BlockEditor {
  show() {
    super.show();
    for (const option of this.tools.source.options) {
      if (option.value === "sliders") option.textContent = "None: the share in every block";
    }
    if (this.state.reading?.source === "sliders" && !this.state.trouble) {
      this.tools.tell("Drag the bars, choose a preset, or paste numbers of any tool.", false);
    }
  }
}

export class RowBlocks {
  /**
   * @param {Row} row
   * @param {BlockTables} server
   * @param {string[]} families
   * @param {(values: Partial<Row>, stroke: string) => void} changed
   */
  constructor(row, server, families, changed) {
    addStyle(EDITOR_CSS);
    this.changed = changed;
    this.families = families;
    this.node = new StandInNode(`row${row.id}`, 600, FIELDS.map((name) => (
      { name, value: row.blocks[name], callback: () => this.#read() })));
    this.editor = new RowEditor(this.node, () => null, server);
    this.family = choice("Model family of the blocks", (value) => this.#set("family", value));
    this.meaning = choice("What a block weight means", (value) => this.#set("meaning", value));
    this.text = make("input", { type: "text", className: "ds-mbw", autocomplete: "off", spellcheck: false,
      placeholder: "MBW text: 26 or 20 numbers of any tool, or OUT03=0.2, M00=0" });
    this.text.setAttribute("aria-label", "Block weights as text");
    this.text.addEventListener("change", () => void this.editor.state.paste(this.text.value));
    this.elements = make("textarea", { className: "ds-elements", rows: 2, spellcheck: false,
      placeholder: "Elements, one row each: blocks:elements:ratio, such as OUT03-OUT05:attn2:0.5" });
    this.elements.setAttribute("aria-label", "Elements");
    this.elements.addEventListener("change", () => changed({ elements: this.elements.value }, ""));
    const clear = press("Clear", "The share in every block again", () => this.#clear());
    this.element = make("div", { className: "ds-blocks" },
      make("div", { className: "ds-line" }, this.family.element, this.meaning.element, this.text, clear),
      this.editor.element, this.elements);
    this.element.addEventListener("keydown", (/** @type {Event} */ event) => event.stopPropagation());
    void this.editor.refresh();
  }

  /** @param {Row} row */
  show(row) {
    let other = false;
    for (const widget of this.node.widgets) {
      const value = row.blocks[/** @type {keyof typeof NO_BLOCKS} */ (widget.name)];
      other ||= value !== undefined && widget.value !== value;
      if (value !== undefined) widget.value = value;
    }
    if (other) this.editor.state.read();
    this.family.show(this.families.map((name) => [name, name]), row.blocks.family);
    this.meaning.show(MEANINGS, row.blocks.meaning);
    if (document.activeElement !== this.text) this.text.value = row.blocks.mbw;
    if (document.activeElement !== this.elements) this.elements.value = row.elements;
  }

  /** The editor has written its widgets. */
  #read() {
    const { widgets } = this.node;
    const blocks = Object.fromEntries(FIELDS.map((name) => [name, widgets.find((each) => each.name === name).value]));
    this.changed({ blocks: /** @type {any} */ (blocks) }, `blocks ${this.node.id}`);
  }

  /** @param {string} name @param {string} value */
  #set(name, value) {
    const widget = this.node.widgets.find((each) => each.name === name);
    widget.value = value;
    widget.callback(value);
  }

  #clear() {
    this.elements.value = "";
    for (const name of /** @type {const} */ (["mbw", "preset"])) {
      this.node.widgets.find((each) => each.name === name).value = NO_BLOCKS[name];
    }
    this.editor.state.read();
    this.#read();
    this.changed({ elements: "" }, "");
  }
}
