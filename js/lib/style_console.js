/** The console of Mix Styles: sliders, a fader, pads and saved mixes over its text, in both renderings of nodes. */
import { forward, make, takePlace } from "./elements.js";
import { Fit, MARGINS, chain, inputOf, originOf, widgetOf } from "./nodes.js";
import { CORNERS_CSS } from "./style_corners.js";
import { FADER_CSS, FADER_HEIGHT, StyleFader } from "./style_fader.js";
import { LIST_CSS, LIST_HEIGHT, MixList } from "./style_mix_list.js";
import { studentOf } from "./style_names.js";
import { PAD_CSS, PAD_HEIGHT, StylePad } from "./style_pad.js";
import { SLIDERS_CSS, StyleSliders } from "./style_sliders.js";
import { StyleState } from "./style_state.js";
import { StyleTools, TOOLS_CSS, VIEWS } from "./style_tools.js";
import { word } from "./words.js";

/** @typedef {import("./style_names.js").StyleNames} StyleNames */
/** @typedef {import("./style_mixes.js").MixStore} MixStore */
/** @typedef {import("./style_tools.js").View} View */

const AROUND = 44; // tools and status, with the gaps

export const CONSOLE_CSS = `
.dsoup-console {
  position: relative; display: flex; flex-direction: column; gap: 4px; overflow: hidden;
  container-type: inline-size; /* long names are cut, and do not make the node wider */
}
${SLIDERS_CSS}${CORNERS_CSS}${FADER_CSS}${PAD_CSS}${LIST_CSS}${TOOLS_CSS}`;

/** The console of one Mix Styles node. */
export class StyleConsole {
  // What #build makes.
  /** @type {StyleTools} */ tools;
  /** @type {StyleSliders} */ sliders;
  /** @type {StyleFader} */ fader;
  /** @type {StylePad} */ pad;
  /** @type {MixList} */ mixes;
  /** @type {HTMLElement} */ element;

  /**
   * @param {any} node
   * @param {any} canvas what gets wheel and middle button, as over any other part of the canvas
   * @param {StyleNames} server
   * @param {MixStore} store
   */
  constructor(node, canvas, server, store) {
    this.node = node;
    this.server = server;
    this.question = 0;
    this.saved = false; // whether the saved mixes are open
    this.state = new StyleState(node, () => this.show(), (text) => this.tools.say(text));
    this.#build(store);
    this.room = new Fit(node, this.element);
    forward(this.element, canvas);
    this.widget = node.addDOMWidget("console", "dsoup_console", this.element, {
      serialize: false, hideOnZoom: false, getMinHeight: () => this.#height(), getMaxHeight: () => this.#most(),
    });
    this.widget.serialize = false;
    this.widget.hidden = true;
    for (const name of ["weights", "normalise", "extrapolate"]) {
      const widget = widgetOf(node, name);
      if (widget) chain(widget, "callback", () => this.state.read());
    }
  }

  /** Look whose styles they are. Where that is not known, everything works by text. */
  async refresh() {
    const question = ++this.question;
    const writable = !originOf(this.node, inputOf(this.node, "weights"));
    const names = writable ? await this.server.of(studentOf(this.node, "styles")) : [];
    if (question !== this.question) return;
    takePlace(this.element, this.node);
    if (names.join("\n") !== this.state.names.join("\n")) {
      this.state.names = names;
      this.state.past = [];
      this.state.future = [];
      if (this.saved) this.#toggleSaved();
    }
    this.widget.hidden = !names.length;
    this.state.read();
  }

  /** @returns {View} */
  get view() {
    const { view } = this.node.properties ?? {};
    const needed = Object.hasOwn(VIEWS, view) ? VIEWS[/** @type {View} */ (view)] : Infinity;
    return this.state.names.length >= needed ? view : "sliders";
  }

  // -- showing -----------------------------------------------------------------------------------

  show() {
    const { fader, mixes, pad, sliders, state, view } = this;
    const shown = this.saved ? "mixes" : view === "triangle" || view === "square" ? "pad" : view;
    for (const [name, { element }] of Object.entries({ sliders, fader, pad, mixes })) element.hidden = name !== shown;
    sliders.show();
    let off = "";
    if (shown === "fader") off = fader.show();
    else if (shown === "pad") off = pad.show(view === "square");
    else if (shown === "mixes") mixes.show();
    this.tools.show({
      view, count: state.names.length, undo: state.past.length > 0, redo: state.future.length > 0,
      mixes: this.saved, isOn: (name) => state.isOn(name), isFree: (name) => state.isFree(name),
    });
    this.tools.tell(state.trouble || off || this.#usual(), Boolean(state.trouble));
    this.#grow();
  }

  #usual() {
    const { names, scaled, sum } = this.state;
    const normalise = this.state.isOn("normalise");
    if (!names.some((name) => this.state.of(name))) {
      return normalise ? word("No weights yet: raise one.") : word("No weights yet.");
    }
    if (scaled) return word("The weights sum to {0} and are scaled to 1.", sum.toFixed(2));
    if (Math.abs(sum - 1) < 1e-6) return "";
    return normalise === false ? word("The weights sum to {0}.", sum.toFixed(2)) : "";
  }

  // -- size --------------------------------------------------------------------------------------

  #body() {
    const heights = { sliders: this.sliders.height, fader: FADER_HEIGHT, triangle: PAD_HEIGHT, square: PAD_HEIGHT };
    return this.saved ? LIST_HEIGHT : heights[this.view];
  }

  #height() {
    return this.state.names.length ? this.#body() + AROUND + MARGINS : 0;
  }

  /** What is more goes to the text; pads and lists have use for it too. */
  #most() {
    const grows = this.state.names.length && (this.saved || !["sliders", "fader"].includes(this.view));
    return this.#height() * (grows ? 3 : 1);
  }

  /** Let the node be as high as it needs; and give back what it no longer needs. */
  #grow() {
    this.room.to(this.#height());
  }

  // -- building ----------------------------------------------------------------------------------

  /** @param {MixStore} store */
  #build(store) {
    const { state } = this;
    this.tools = new StyleTools({
      view: (view) => this.#open(view),
      random: (sparse) => (this.#point ? this.#point.random() : state.random(sparse)),
      even: () => (this.#point ? this.#point.move(this.#point.shape.middle, "") : state.even()),
      clear: () => state.clear(),
      undo: () => state.undo(),
      redo: () => state.redo(),
      toggle: (name) => state.toggle(name),
      mixes: () => this.#toggleSaved(),
      left: () => this.#focus(),
    });
    this.sliders = new StyleSliders(state);
    this.fader = new StyleFader(state);
    this.pad = new StylePad(state);
    this.mixes = new MixList(state, store, () => {
      this.#toggleSaved();
      this.tools.mixes.focus({ preventScroll: true });
    });
    this.element = make("div", { className: "dsoup-console dsoup" }, this.tools.row, this.sliders.element,
      this.fader.element, this.pad.element, this.mixes.element, this.tools.status);
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-label", word("Mix of styles"));
    this.element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event));
  }

  /** What random and even are about, where it is not all styles. */
  get #point() {
    if (this.view === "sliders") return null;
    return this.view === "fader" ? this.fader : this.pad;
  }

  /** @param {View} view */
  #open(view) {
    this.saved = false;
    if (view !== "sliders") this.state.settle();
    this.state.property("view", view);
  }

  #toggleSaved() {
    this.saved = !this.saved;
    this.show();
    if (this.saved) void this.mixes.open();
  }

  #focus() {
    if (this.saved) this.mixes.focus();
    else (this.#point ?? this.sliders).focus();
  }

  /**
   * Undo is the console's while the focus is on a slider or a point. On a button the graph's own undo cannot be kept
   * from following, so there it is the graph's alone.
   * @param {KeyboardEvent} event
   */
  #key(event) {
    const { target } = event;
    if (target instanceof HTMLInputElement && target.type !== "range") return event.stopPropagation(); // someone types
    const key = event.key.toLowerCase();
    const sliding = target instanceof HTMLInputElement;
    if (!sliding || event.altKey || !(event.ctrlKey || event.metaKey) || !"zy".includes(key)) return;
    event.preventDefault();
    event.stopPropagation();
    if (key === "y" || event.shiftKey) this.state.redo();
    else this.state.undo();
  }
}
