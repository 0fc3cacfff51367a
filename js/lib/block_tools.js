/** The tools around the bars of Soup Block Weights: sources, curves, copy and paste, undo; and the line below. */
import { CURVES, parseNumber } from "./block_text.js";
import { button, icon, make } from "./elements.js";
import { word } from "./words.js";

/** @typedef {import("./block_text.js").Tables} Tables */

const SAID = 6000; // milliseconds
const SHOWN = 80; // characters of a text that was copied

const ICONS = {
  curve: "M2 13 C7 13 9 3 14 3",
  symmetric: "M8 2 V14 M6 5 L2.5 11 H6 Z M10 5 L13.5 11 H10 Z",
  copy: "M5.5 5.5 V2.5 H13.5 V10.5 H10.5 M2.5 5.5 H10.5 V13.5 H2.5 Z",
  paste: "M5.5 3.5 H3.5 V13.5 H12.5 V3.5 H10.5 M5.5 2.5 H10.5 V5 H5.5 Z M6 8.5 H10 M6 11 H10",
  undo: "M6 2.5 L2.5 6 L6 9.5 M2.5 6 H10 a3.7 3.7 0 0 1 0 7.4 H6",
  redo: "M10 2.5 L13.5 6 L10 9.5 M13.5 6 H6 a3.7 3.7 0 0 0 0 7.4 H10",
  sliders: "M2 4.5 H14 M2 11.5 H14 M5 2.5 V6.5 M11 9.5 V13.5",
};

export const TOOLS_CSS = `
.dsoup-blocks .dsoup-tools > select { flex: 1; min-width: 0; text-overflow: ellipsis; }
.dsoup-copy {
  position: relative; flex: none; width: 24px; height: 22px; border-radius: 4px;
  background: var(--component-node-widget-background, var(--comfy-input-bg, #222));
}
.dsoup-copy select { position: absolute; inset: 0; width: 100%; opacity: 0; }
.dsoup-copy:hover { filter: brightness(1.35); }
.dsoup-copy:has(:focus-visible) { outline: 2px solid var(--p-primary-color, #5b8dd6); outline-offset: -1px; }
.dsoup-curve { display: flex; flex: none; gap: 3px; align-items: center; height: 22px; margin: 0; }
.dsoup-curve select { flex: 1; min-width: 0; }
.dsoup-curve input { width: 44px; text-align: center; }
`;

/** @param {string} label @param {[string, string][]} options value and text */
function group(label, options) {
  return make("optgroup", { label }, ...options.map(([value, text]) => make("option", { value }, text)));
}

// -- the tools -----------------------------------------------------------------------------------

/**
 * @typedef {object} Told
 * @property {(value: string) => void} use a source: "sliders", "ours NAME", "yours [FILE,NAME]"
 * @property {(dialect: string) => string | null} written the weights as text ("": by name); null where it cannot be
 * @property {(text: string) => void} paste
 * @property {() => void} undo
 * @property {() => void} redo
 * @property {(name: "symmetric" | "sliders") => void} toggle
 * @property {(kind: string, from: number, to: number) => void} curve
 * @property {() => void} resized
 * @property {() => void} left the pointer is done with a tool
 */
/**
 * @typedef {object} Shown
 * @property {boolean} free whether weights may be changed
 * @property {boolean} undo
 * @property {boolean} redo
 * @property {boolean} symmetric
 * @property {boolean} sliders
 * @property {string} source as in `use`, or "text"
 * @property {string} sort of the text
 * @property {number} selected bars; 0 for all
 */

export class BlockTools {
  // What #buildCurve makes.
  /** @type {HTMLSelectElement} */ kind;
  /** @type {HTMLInputElement} */ from;
  /** @type {HTMLInputElement} */ to;
  /** @type {HTMLButtonElement} */ apply;
  /** @type {HTMLFormElement} */ curve;

  /** @param {Told} told */
  constructor(told) {
    this.told = told;
    this.curving = false;
    /** @type {Record<string, string>} */
    this.titles = {};
    /** @type {{text: string, until: number}} */
    this.said = { text: "", until: 0 };
    /** @type {[string, boolean]} what is said otherwise, and whether it is a warning */
    this.otherwise = ["", false];
    this.source = this.#select(
      word("Source of the weights"), word("Where the weights come from: text, a preset, or the sliders"));
    this.copyAs = this.#select(word("Copy as text"), word("Copy as text"));
    this.source.addEventListener("change", () => told.use(this.source.value));
    this.copyAs.addEventListener("change", () => {
      void this.#copy(this.copyAs.value);
      this.copyAs.value = "?";
    });
    this.buttons = {
      curve: button(ICONS.curve, word("Curves"), () => this.#toggleCurve()),
      symmetric: button(ICONS.symmetric, word("Symmetric: IN and OUT blocks of one depth together"), () =>
        told.toggle("symmetric")),
      paste: button(ICONS.paste, word("Paste numbers of any dialect, or names"), () => void this.#paste()),
      undo: button(ICONS.undo, word("Undo (Ctrl+Z)"), told.undo),
      redo: button(ICONS.redo, word("Redo (Ctrl+Shift+Z)"), told.redo),
      sliders: button(ICONS.sliders, word("Show the sliders too"), () => told.toggle("sliders")),
    };
    const { curve, symmetric, paste, undo, redo, sliders } = this.buttons;
    const copy = make("span", { className: "dsoup-copy" }, icon(ICONS.copy), this.copyAs);
    this.row = make("div", { className: "dsoup-tools" },
      this.source, curve, symmetric, copy, paste, undo, redo, sliders);
    this.status = make("div", { className: "dsoup-say" });
    this.status.setAttribute("role", "status");
    this.#buildCurve();
    this.#leave();
  }

  /** @param {Tables | null} tables */
  offer(tables) {
    const families = Object.values(tables?.families ?? {});
    this.titles = tables?.dialects ?? {};
    this.textOption = make("option", { value: "text" }, word("Text"));
    this.source.replaceChildren(
      this.textOption,
      make("option", { value: "sliders" }, word("Sliders")),
      group(word("Presets"), Object.keys(families[0]?.presets ?? {}).map((name) => [`ours ${name}`, name])),
      ...(tables?.files ?? []).map(({ file, presets, problems }, at) => {
        const names = new Set(Object.values(presets).flatMap((each) => Object.keys(each)));
        const made = group(file, [...names].map((name) => [`yours ${JSON.stringify([at, name])}`, name]));
        made.append(...problems.map((problem) => make("option", { disabled: true }, `(${problem})`)));
        return made;
      }),
    );
    this.copyAs.replaceChildren(
      make("option", { value: "?", hidden: true }, word("Copy as")),
      make("option", { value: "" }, word("by name")),
      group(word("numbers of"), Object.entries(this.titles)),
    );
    this.copyAs.value = "?";
  }

  /** @param {Shown} shown */
  show({ free, undo, redo, symmetric, sliders, source, sort, selected }) {
    for (const tool of [this.buttons.paste, this.source, this.apply]) tool.disabled = !free;
    this.buttons.undo.disabled = !free || !undo;
    this.buttons.redo.disabled = !free || !redo;
    for (const [name, on] of Object.entries({ symmetric, sliders, curve: this.curving })) {
      this.buttons[/** @type {keyof typeof this.buttons} */ (name)].setAttribute("aria-pressed", String(on));
    }
    if (this.textOption) {
      this.textOption.textContent = source === "text" && sort ? word("Text, {0}", sort) : word("Text");
      this.textOption.hidden = source !== "text";
    }
    this.source.value = source;
    this.apply.textContent = selected ? word("to {0} bars", selected) : word("to all");
    this.curve.hidden = !this.curving;
    this.from.disabled = this.kind.value === "flat";
  }

  /** Say something for a while; nothing ends it. @param {string} text */
  say(text) {
    this.said = { text, until: text ? performance.now() + SAID : 0 };
    setTimeout(() => this.tell(...this.otherwise), SAID + 50);
    this.tell(...this.otherwise);
  }

  /** @param {string} text @param {boolean} warning */
  tell(text, warning) {
    this.otherwise = [text, warning];
    const saying = performance.now() < this.said.until;
    const shown = saying ? this.said.text : text;
    if (this.status.textContent !== shown) this.status.textContent = shown; // told once to those who listen
    this.status.title = shown;
    this.status.classList.toggle("wrong", !saying && warning);
  }

  /** @param {string} label @param {string} title */
  #select(label, title) {
    const made = make("select", { title });
    made.setAttribute("aria-label", label);
    return made;
  }

  #buildCurve() {
    /** @type {Record<string, string>} */
    const names = {
      linear: word("linear"), cosine: word("cosine"), peak: word("peak"), flat: word("flat"),
    };
    this.kind = make("select", {}, ...Object.keys(CURVES).map((value) =>
      make("option", { value }, names[value] ?? value)));
    this.kind.setAttribute("aria-label", word("Curve"));
    this.kind.addEventListener("change", () => { this.from.disabled = this.kind.value === "flat"; });
    [this.from, this.to] = [[word("From"), "0"], [word("To"), "1"]].map(([label, value]) => {
      const field = make("input", { value, inputMode: "decimal" });
      field.setAttribute("aria-label", label);
      return field;
    });
    this.apply = make("button", { type: "submit" }, word("to all"));
    this.curve = make("form", { className: "dsoup-curve", hidden: true },
      this.kind, this.from, "→", this.to, this.apply);
    this.curve.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      const [from, to] = [this.from, this.to].map(({ value }) => parseNumber(value.trim().replace(",", ".")));
      if (from === null || to === null) this.say(word("A curve goes from one number to another."));
      else this.told.curve(this.kind.value, from, to);
    });
  }

  #toggleCurve() {
    this.curving = !this.curving;
    this.told.resized();
  }

  /** @param {string} dialect */
  async #copy(dialect) {
    const text = this.told.written(dialect);
    if (text === null) {
      return this.say(word("{0} has no numbers for just these weights: copy by name.", this.titles[dialect]));
    }
    try {
      await navigator.clipboard.writeText(text);
      this.copied(text);
    } catch {
      this.say(word("The browser does not let this page copy: click a bar and press Ctrl+C."));
    }
  }

  /** @param {string} text */
  copied(text) {
    this.say(word("Copied: {0}", text.slice(0, SHOWN)));
  }

  async #paste() {
    try {
      this.told.paste(await navigator.clipboard.readText());
    } catch {
      this.say(word("The browser does not let this page read the clipboard: click a bar and press Ctrl+V."));
    }
  }

  /** Keys go back to the bars after the pointer has used a tool; whoever came with the keyboard stays. */
  #leave() {
    let pointing = false;
    this.row.addEventListener("pointerdown", () => { pointing = true; }, true);
    this.row.addEventListener("keydown", () => { pointing = false; }, true);
    for (const kind of ["click", "change"]) {
      this.row.addEventListener(kind, (/** @type {Event} */ { target }) => {
        if (pointing && (kind === "change" || !(target instanceof HTMLSelectElement))) this.told.left();
      });
    }
  }
}
