/** The panel of saved mixes: save under a name, apply, rename, delete. */
import { button, make } from "./elements.js";
import { sameStyles, tidyName } from "./style_mixes.js";
import { quoted } from "./style_text.js";
import { word } from "./words.js";

/** @typedef {import("./style_mixes.js").Mix} Mix */
/** @typedef {import("./style_mixes.js").MixStore} MixStore */
/** @typedef {import("./style_state.js").StyleState} StyleState */

export const LIST_HEIGHT = 190;
const SHOWN = 3; // weights in a summary

const ICONS = {
  rename: "M10.5 3 L13 5.5 L5.5 13 H3 V10.5 Z M9 4.5 L11.5 7",
  remove: "M3 4.5 H13 M6 4.5 V2.5 H10 V4.5 M4.5 4.5 L5 13.5 H11 L11.5 4.5",
};

export const LIST_CSS = `
.dsoup-mixes { display: flex; flex-direction: column; gap: 4px; flex: 1 1 0; min-height: 0; }
.dsoup-mixes form { display: flex; flex: none; align-items: center; gap: 4px; height: 22px; margin: 0; min-width: 0; }
.dsoup-mixes form input, .dsoup-mixes form span { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.dsoup-mixes form button, .dsoup-mix > button:not(:first-child) { flex: none; }
.dsoup-mix-rows { display: flex; flex-direction: column; gap: 2px; flex: 1 1 0; min-height: 0; overflow: hidden auto;
  scrollbar-width: thin; }
.dsoup-mix-rows h4 { flex: none; margin: 4px 0 0; font-size: 10px; font-weight: 400; opacity: 0.7; }
.dsoup-mix-rows p { margin: 8px 4px; opacity: 0.7; }
.dsoup-mix-rows p.wrong { opacity: 1; color: #f2b04a; user-select: text; }
.dsoup-mix { display: flex; flex: none; gap: 2px; height: 22px; }
.dsoup-mix > button:first-child { display: flex; flex: 1; gap: 8px; align-items: center; min-width: 0;
  text-align: left; }
.dsoup-mix b { flex: 0 1 auto; font-weight: 600; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.dsoup-mix small { flex: 1 1 0; min-width: 30%; font-size: 10px; opacity: 0.7; text-align: right; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; }
.dsoup-mix > button:not(:first-child) { width: 24px; padding: 0; background: none; opacity: 0.6; }
.dsoup-mix > button:not(:first-child):is(:hover, :focus-visible) { opacity: 1; }
.dsoup-mix svg { display: block; width: 14px; height: 14px; margin: 4px auto; fill: none; stroke: currentColor;
  stroke-width: 1.3; stroke-linejoin: round; }
`;

/** The heaviest styles of a mix. @param {Map<string, number>} weights @param {string} glue */
function summary(weights, glue) {
  const used = [...weights].filter(([, weight]) => weight).sort(([, a], [, b]) => b - a);
  const said = used.slice(0, SHOWN).map(([name, weight]) => `${name} ${weight.toFixed(2)}`);
  const more = used.length > SHOWN ? [word("{0} more", used.length - SHOWN)] : [];
  return [...said, ...more].join(glue) || word("nothing");
}

export class MixList {
  /**
   * @param {StyleState} state
   * @param {MixStore} store
   * @param {() => void} close
   */
  constructor(state, store, close) {
    this.state = state;
    this.store = store;
    /** @type {import("./style_mixes.js").Read | null} */
    this.known = null;
    this.question = 0;
    /** @type {Map<HTMLElement, Mix>} */
    this.rows = new Map();
    this.name = make("input", { type: "text", maxLength: 80 });
    this.name.setAttribute("aria-label", word("Name of the mix"));
    this.saveButton = make("button", { type: "submit" }, word("Save"));
    this.form = make("form", {}, this.name, this.saveButton);
    this.form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      void this.#save();
    });
    this.asking = make("form", { hidden: true });
    this.list = make("div", { className: "dsoup-mix-rows" });
    this.list.dataset.captureWheel = "true";
    this.list.addEventListener("wheel", (/** @type {Event} */ event) => {
      if (this.list.scrollHeight > this.list.clientHeight) event.stopPropagation();
    }, { passive: true });
    this.element = make("div", { className: "dsoup-mixes" }, this.form, this.asking, this.list);
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-label", word("Saved mixes"));
    this.element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      if (this.asking.hidden) close();
      else this.#asked();
    });
  }

  /** Ask the server again. */
  async open() {
    const question = ++this.question;
    const known = await this.store.read();
    if (question !== this.question) return;
    this.known = known;
    this.#lay();
    this.show();
  }

  focus() {
    this.name.focus({ preventScroll: true });
  }

  /** What depends on the weights. */
  show() {
    const { state } = this;
    const used = new Map(state.names.map((name) => [name, state.of(name)]));
    this.name.placeholder = summary(used, ", ");
    this.saveButton.disabled = this.name.disabled = !this.known || this.known.error !== "";
    for (const [row, mix] of this.rows) {
      const same = state.names.every((name) => state.of(name) === (mix.weights.get(name) ?? 0));
      row.setAttribute("aria-pressed", String(same && this.#missing(mix).length === 0));
    }
  }

  // -- the list ----------------------------------------------------------------------------------

  #lay() {
    const { mixes, strange, error } = /** @type {import("./style_mixes.js").Read} */ (this.known);
    const ours = mixes.filter(({ styles }) => sameStyles(styles, this.state.names));
    const others = mixes.filter((mix) => !ours.includes(mix));
    const said = error || (mixes.length ? "" : word("No mixes yet. Give the weights a name and save them."));
    const odd = strange
      ? word("{0} of the entries in the file are not understood, and are kept as they are.", strange) : "";
    this.rows = new Map();
    this.list.replaceChildren(
      ...(said ? [make("p", { className: error ? "wrong" : "" }, said)] : []),
      ...ours.map((mix) => this.#row(mix)),
      ...(others.length ? [make("h4", {}, word("Of students with other styles"))] : []),
      ...others.map((mix) => this.#row(mix)),
      ...(odd ? [make("p", {}, odd)] : []),
    );
  }

  /** @param {Mix} mix */
  #row(mix) {
    const missing = this.#missing(mix);
    const weights = [...mix.weights].map((each) => each.join(" = ")).join("\n");
    const told = missing.length ? word("Not here: {0}", missing.join(", ")) : weights;
    const short = missing.length ? word("{0} not here", missing.length) : summary(mix.weights, " · ");
    const apply = make("button", { type: "button", title: `${mix.name}\n${told}` },
      make("b", {}, mix.name), make("small", {}, short));
    apply.addEventListener("click", () => this.#apply(mix));
    this.rows.set(apply, mix);
    return make("div", { className: "dsoup-mix" }, apply,
      button(ICONS.rename, word("Rename {0}", mix.name), () => this.#rename(mix)),
      button(ICONS.remove, word("Delete {0}", mix.name), () => this.#remove(mix)));
  }

  /** The styles of a mix that this student does not have. @param {Mix} mix */
  #missing({ weights }) {
    return [...weights].filter(([name, weight]) => weight && !this.state.names.includes(name)).map(([name]) => name);
  }

  /** @param {string} name */
  #named(name) {
    return this.known?.mixes.find((mix) => mix.name === name && sameStyles(mix.styles, this.state.names));
  }

  // -- what is done ------------------------------------------------------------------------------

  /** @param {Mix} mix */
  #apply(mix) {
    const missing = this.#missing(mix);
    const used = [...mix.weights].filter(([, weight]) => weight).length;
    const names = missing.map(quoted).join(", ");
    if (used && missing.length === used) {
      return this.state.say(word("This student has none of its styles: {0}.", names));
    }
    this.state.apply(mix.weights);
    if (missing.length) this.state.say(word("Applied without {0}: not among these styles.", names));
  }

  async #save() {
    const { state } = this;
    const name = tidyName(this.name.value) || tidyName(this.name.placeholder);
    const weights = new Map(state.names.filter((each) => state.of(each)).map((each) => [each, state.of(each)]));
    if (!weights.size) return state.say(word("There are no weights to save."));
    const mix = { name, styles: [...state.names], weights };
    await this.open(); // another window may have saved one of this name
    const save = () => this.#change(mix, mix, word("Saved as {0}.", quoted(name)));
    if (this.#named(name)) this.#ask(word("Replace {0}?", quoted(name)), word("Replace"), save);
    else await save();
  }

  /** @param {Mix} mix */
  #rename(mix) {
    const field = make("input", { type: "text", maxLength: 80, value: mix.name });
    field.setAttribute("aria-label", word("New name of {0}", mix.name));
    this.#ask(field, word("Rename"), async () => {
      const name = tidyName(field.value);
      await this.open();
      const taken = this.known?.mixes.some((other) => other.name === name && sameStyles(other.styles, mix.styles));
      if (name === mix.name) return;
      if (!name) this.state.say(word("A mix needs a name."));
      else if (taken) this.state.say(word("There is a mix called {0} already.", quoted(name)));
      else await this.#change(mix, { ...mix, name }, word("Renamed to {0}.", quoted(name)));
    });
    field.select();
  }

  /** @param {Mix} mix */
  #remove(mix) {
    const name = quoted(mix.name);
    this.#ask(word("Delete {0}?", name), word("Delete"), () => this.#change(mix, null, word("Deleted {0}.", name)));
  }

  /** @param {Mix} key @param {Mix | null} mix @param {string} done */
  async #change(key, mix, done) {
    const error = await this.store.change(key, mix);
    if (!error) this.name.value = "";
    await this.open();
    this.state.say(error || done);
  }

  /**
   * A question in place of the field for names; Escape and Keep do nothing.
   * @param {string | HTMLElement} question
   * @param {string} verb
   * @param {() => unknown} act
   */
  #ask(question, verb, act) {
    const keep = make("button", { type: "button" }, word("Keep"));
    const yes = make("button", { type: "submit" }, verb);
    keep.addEventListener("click", () => this.#asked());
    this.asking.replaceChildren(typeof question === "string" ? make("span", { title: question }, question) : question,
      yes, keep);
    this.asking.onsubmit = (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#asked();
      void act();
    };
    this.asking.hidden = false;
    this.form.hidden = true;
    (typeof question === "string" ? keep : question).focus({ preventScroll: true });
  }

  #asked() {
    this.asking.hidden = true;
    this.form.hidden = false;
    this.focus();
  }
}
