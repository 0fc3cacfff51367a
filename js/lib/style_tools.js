/** The tools above the sliders of Mix Styles, and the line below. */
import { button, make } from "./elements.js";
import { word } from "./words.js";

const SAID = 6000; // milliseconds

const ICONS = {
  sliders: "M2 4 H14 M2 8 H14 M2 12 H14 M5 2.7 V5.3 M11 6.7 V9.3 M7 10.7 V13.3",
  fader: "M1.5 8 H5.5 M10.5 8 H14.5 M5.5 4 H10.5 V12 H5.5 Z M8 6 V10",
  triangle: "M8 2.5 L14 13.2 H2 Z M7.6 9.5 h0.8",
  square: "M2.5 2.5 H13.5 V13.5 H2.5 Z M9.8 6.2 h0.8",
  random: "M2.5 2.5 H13.5 V13.5 H2.5 Z M5.4 5.5 h0.3 M10.4 5.5 h0.3 M7.9 8 h0.3 M5.4 10.5 h0.3 M10.4 10.5 h0.3",
  even: "M2 13.5 H14 M4 13.5 V5.5 M8 13.5 V5.5 M12 13.5 V5.5 M2.5 2.8 H13.5",
  clear: "M2.5 10 L8.5 3.5 L13 8 L7.8 13.5 H5.5 Z M5.2 7.2 L9.7 11.6 M8 13.5 H14",
  undo: "M6 2.5 L2.5 6 L6 9.5 M2.5 6 H10 a3.7 3.7 0 0 1 0 7.4 H6",
  redo: "M10 2.5 L13.5 6 L10 9.5 M13.5 6 H6 a3.7 3.7 0 0 0 0 7.4 H10",
  normalise: "M2 6.3 H7.5 M2 9.7 H7.5 M10 5 L12.5 3 V13",
  extrapolate: "M4.5 2.5 V7.5 M2 5 H7 M9 11.5 H14 M12.5 3 L3.5 13",
  mixes: "M4 2.5 H12 V13.5 L8 10.3 L4 13.5 Z",
};

/** The views, and how many styles each needs. */
export const VIEWS = /** @type {const} */ ({ sliders: 1, fader: 2, triangle: 3, square: 4 });
/** @typedef {keyof typeof VIEWS} View */
/** @typedef {import("./style_state.js").Switch} Switch */

/** @type {() => Record<View, string>} */
const titles = () => ({
  sliders: word("Sliders: all styles"), fader: word("Fader: from one style to another"),
  triangle: word("Pad: between three styles"), square: word("Pad: between four styles"),
});

/** @typedef {{name: string, on: string, off: string, link: string}} Said what a switch is called, and where it is */
/** @type {() => Record<Switch, Said>} */
const switches = () => ({
  normalise: {
    name: word("Normalise"), on: word("Normalise is on: the weights are scaled to sum to 1"),
    off: word("Normalise is off: the weights count as they are"), link: word("Normalise comes through a link"),
  },
  extrapolate: {
    name: word("Extrapolate"), on: word("Extrapolate is on: sliders and fader go from −1 to 2"),
    off: word("Extrapolate is off: weights are 0 or more"), link: word("Extrapolate comes through a link"),
  },
});

export const TOOLS_CSS = `
.dsoup-console .dsoup-tools { gap: 2px; justify-content: space-between; }
.dsoup-console .dsoup-tools > span { display: flex; flex: none; gap: 2px; }
.dsoup-console .dsoup-tools > span > button { flex: none; width: 24px; padding: 0; }
@container (max-width: 325px) {
  .dsoup-console .dsoup-tools { gap: 1px; }
  .dsoup-console .dsoup-tools > span { display: contents; }
  .dsoup-console .dsoup-tools > span > button { flex: 1 1 0; width: auto; min-width: 0; }
}
`;

/**
 * @typedef {object} Told
 * @property {(view: View) => void} view
 * @property {(sparse: boolean) => void} random
 * @property {() => void} even
 * @property {() => void} clear
 * @property {() => void} undo
 * @property {() => void} redo
 * @property {(name: Switch) => void} toggle
 * @property {() => void} mixes
 * @property {() => void} left the pointer is done with a tool
 */
/**
 * @typedef {object} Shown
 * @property {View} view
 * @property {number} count of styles
 * @property {boolean} undo
 * @property {boolean} redo
 * @property {(name: Switch) => boolean | undefined} isOn undefined: it comes through a link
 * @property {(name: Switch) => boolean} isFree
 * @property {boolean} mixes whether they are open
 */

export class StyleTools {
  /** @param {Told} told */
  constructor(told) {
    this.told = told;
    this.said = { text: "", until: 0 };
    /** @type {[string, boolean]} what is said otherwise, and whether it is a warning */
    this.otherwise = ["", false];
    const [title, says] = [titles(), switches()];
    const views = /** @type {View[]} */ (Object.keys(VIEWS));
    this.views = new Map(views.map((view) => [view, button(ICONS[view], title[view], () => told.view(view))]));
    this.random = button(ICONS.random, word("Random mix"), () => {});
    this.random.addEventListener("click", ({ shiftKey }) => told.random(shiftKey));
    this.even = button(ICONS.even, word("Even mix"), told.even);
    this.clear = button(ICONS.clear, word("Clear all weights"), told.clear);
    this.undo = button(ICONS.undo, word("Undo (Ctrl+Z)"), told.undo);
    this.redo = button(ICONS.redo, word("Redo (Ctrl+Shift+Z)"), told.redo);
    this.switches = new Map(/** @type {Switch[]} */ (Object.keys(says)).map((name) =>
      [name, button(ICONS[name], says[name].name, () => told.toggle(name))]));
    this.mixes = button(ICONS.mixes, word("Saved mixes"), told.mixes);
    const group = (/** @type {Node[]} */ ...buttons) => make("span", {}, ...buttons);
    this.row = make("div", { className: "dsoup-tools" }, group(...this.views.values()),
      group(this.random, this.even, this.clear), group(this.undo, this.redo), group(...this.switches.values()),
      group(this.mixes));
    this.row.setAttribute("role", "toolbar");
    this.row.setAttribute("aria-label", word("Tools of the mix"));
    this.status = make("div", { className: "dsoup-say" });
    this.status.setAttribute("role", "status");
    this.#leave();
  }

  /** @param {Shown} shown */
  show({ view, count, undo, redo, isOn, isFree, mixes }) {
    for (const [each, made] of this.views) {
      made.hidden = count < VIEWS[each];
      made.setAttribute("aria-pressed", String(each === view && !mixes));
    }
    if (count < 2) for (const made of this.views.values()) made.hidden = true;
    this.random.title = view === "sliders"
      ? word("Random mix, all as likely as each other; Shift: of two or three styles") : word("Random point");
    this.even.title = view === "sliders" ? word("Even mix of all styles") : word("To the middle");
    this.undo.disabled = !undo;
    this.redo.disabled = !redo;
    const says = switches();
    for (const [name, made] of this.switches) {
      const { on, off, link } = says[name];
      const free = isFree(name);
      made.disabled = !free;
      made.title = !free ? link : isOn(name) ? on : off;
      made.setAttribute("aria-pressed", String(isOn(name) === true));
    }
    this.mixes.setAttribute("aria-pressed", String(mixes));
    this.mixes.setAttribute("aria-expanded", String(mixes));
  }

  /** @param {string} text for a while; "" ends it */
  say(text) {
    this.said = { text, until: performance.now() + SAID };
    if (text) setTimeout(() => this.tell(...this.otherwise), SAID + 50);
    this.tell(...this.otherwise);
  }

  /** @param {string} text @param {boolean} warning */
  tell(text, warning) {
    this.otherwise = [text, warning];
    const saying = this.said.text !== "" && performance.now() < this.said.until;
    const shown = saying ? this.said.text : text;
    if (this.status.textContent !== shown) this.status.textContent = shown; // told once to those who listen
    this.status.title = shown;
    this.status.classList.toggle("wrong", !saying && warning);
  }

  /** Keys go back to the view after the pointer has used a tool; whoever came with the keyboard stays. */
  #leave() {
    let pointing = false;
    this.row.addEventListener("pointerdown", () => { pointing = true; }, true);
    this.row.addEventListener("keydown", () => { pointing = false; }, true);
    this.row.addEventListener("click", () => {
      if (pointing) this.told.left();
    });
  }
}
