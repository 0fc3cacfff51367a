/** One row of the table of ingredients: it shows, and tells what the user does with it. */
import { button, icon, make } from "./elements.js";
import { sizeText } from "./ingredient_facts.js";
import { percentText, readNumber } from "./ingredient_shares.js";
import { word } from "./words.js";

/** @typedef {import("./ingredient_facts.js").Facts} Facts */
/** @typedef {import("./ingredient_facts.js").Tasted} Tasted */
/**
 * @typedef {object} Shown
 * @property {number} at
 * @property {string} colour
 * @property {string} kind
 * @property {string} file
 * @property {boolean} own whether it is a node of this graph; others are only looked at
 * @property {boolean} active
 * @property {boolean} solo
 * @property {boolean} locked
 * @property {boolean} fixed whether its share cannot be changed here
 * @property {boolean} open whether its details are shown
 * @property {boolean} percent whether the value is a percentage; else a share
 * @property {number | null} value null where it is not known
 * @property {string} text the value as people read it
 * @property {[number, number]} scale of its bar
 * @property {string[]} marks short words beside the name
 * @property {string} why where it is not plain what it is
 * @property {Facts | null} facts null until they are known
 * @property {Tasted | null} tasted
 */
/**
 * @typedef {object} Told
 * @property {(row: Row) => void} begin a stroke
 * @property {(row: Row, value: number) => void} set its value, within a stroke
 * @property {(row: Row, by: number) => void} step
 * @property {() => void} done typing is over
 * @property {(row: Row, action: string) => void} act "lock", "mute", "solo", "remove", "select", "open", "hash", "up",
 * "down", "previous", "next"
 * @property {(row: Row, event: PointerEvent) => void} grip
 * @property {(row: Row | null) => void} point
 */

const ICONS = {
  locked: "M4 7.5 H12 V13.5 H4 Z M5.7 7.5 V5.2 a2.3 2.3 0 0 1 4.6 0 V7.5",
  unlocked: "M4 7.5 H12 V13.5 H4 Z M5.7 7.5 V5.2 a2.3 2.3 0 0 1 4.4 -0.9",
  on: "M2.5 6 H5 L8.5 3 V13 L5 10 H2.5 Z M11 5.5 a3.5 3.5 0 0 1 0 5",
  off: "M2.5 6 H5 L8.5 3 V13 L5 10 H2.5 Z M11 6 L14.5 10 M14.5 6 L11 10",
  solo: "M3 9 V8 a5 5 0 0 1 10 0 V9 M3 9 H5 V13 H3 Z M11 9 H13 V13 H11 Z",
  remove: "M4 4 L12 12 M12 4 L4 12",
  grip: "M6 4 V4.1 M10 4 V4.1 M6 8 V8.1 M10 8 V8.1 M6 12 V12.1 M10 12 V12.1",
};
/** What a badge looks like: the icon differs, not the colour alone. @type {Record<string, string>} */
const VERDICTS = {
  fits: "M3 8.5 L6.5 12 L13 4.5", far: "M8 2.5 L14 13.5 H2 Z M8 6.5 V9.5 M8 11.4 V11.6",
  stranger: "M4 4 L12 12 M12 4 L4 12", equal: "M3.5 6 H12.5 M3.5 10 H12.5", broken: "M9 2 L4.5 9 H8 L7 14 L11.5 7 H8 Z",
  unfit: "M4 4 L12 12 M12 4 L4 12", unknown: "M5.5 6 a2.5 2.5 0 1 1 3.5 2.3 Q8 8.8 8 10 M8 12.4 V12.6",
};

/** The word for a verdict, on its badge. @param {Tasted | null} tasted */
function verdictText(tasted) {
  /** @type {Record<string, string>} */
  const words = { fits: word("fits"), far: word("far"), stranger: word("stranger"), equal: word("no change"),
    broken: word("broken"), unfit: word("unfit"), unknown: word("alone") };
  return words[tasted?.verdict ?? "unfit"] ?? tasted?.word ?? "";
}

/** A file's name without its suffix, and the folders before it. @param {string} file */
export function namesOf(file) {
  const parts = file.split(/[\\/]/);
  const name = (parts.pop() ?? "").replace(/\.(safetensors|sft|ckpt|pt|pth|bin)$/i, "");
  return { folder: parts.length ? `${parts.join("/")}/` : "", name };
}

/** The facts in a line. @param {Facts} facts */
export function factsText({ title, dtype, bytes, sha256, ranks, hashing }) {
  const hash = typeof hashing === "number" ? word("hashing {0}%", Math.round(100 * hashing)) : sha256?.slice(0, 10);
  const rank = ranks?.length ? word("rank {0}", ranks.length > 1 ? `${ranks[0]}–${ranks.at(-1)}` : ranks[0]) : "";
  return [title, rank, dtype, bytes === undefined ? "" : sizeText(bytes), hash].filter(Boolean).join(" · ");
}

/** One row; `at` is its place. */
export class Row {
  /** @type {HTMLElement} */ grip = make("span", { className: "dsoup-ing-grip" }, icon(ICONS.grip));
  /** @type {HTMLElement} */ chip = make("span", { className: "dsoup-ing-chip" });
  /** @type {HTMLButtonElement} */ name = make("button", { type: "button", className: "dsoup-ing-name", tabIndex: -1 });
  /** @type {HTMLElement} */ marks = make("span", { style: "display: contents" });
  /** @type {HTMLButtonElement} */ badge = make("button", { type: "button", className: "dsoup-ing-badge", tabIndex: -1 });
  /** @type {HTMLElement} */ fill = make("i");
  /** @type {HTMLElement} */ knob = make("u");
  /** @type {HTMLElement} */ share = make("div", { className: "dsoup-ing-share", tabIndex: -1 }, this.fill, this.knob);
  /** @type {HTMLElement} */ facts = make("span", { className: "dsoup-ing-facts" });
  /** @type {HTMLInputElement} */ number = make("input", { className: "dsoup-ing-number", type: "text", tabIndex: -1,
    inputMode: "decimal", spellcheck: false, autocomplete: "off" });
  // Its details.
  /** @type {HTMLElement} */ sentence = make("p");
  /** @type {HTMLElement} */ heat = make("div", { className: "dsoup-ing-heat" });
  /** @type {HTMLElement} */ what = make("code");
  /** @type {HTMLElement} */ code = make("code");
  /** @type {HTMLButtonElement} */ hash = make("button", { type: "button" });
  /** @type {HTMLElement} */ details = make("div", { className: "dsoup-ing-details", hidden: true }, this.sentence,
    this.heat, this.what, make("div", { className: "dsoup-ing-hash" }, this.code, this.hash));
  reference = ""; // what distances are from; "" for the base

  /** @param {Told} told */
  constructor(told) {
    this.told = told;
    /** @type {Shown | null} */
    this.shown = null;
    const act = (/** @type {string} */ action) => () => told.act(this, action);
    this.acts = {
      lock: button(ICONS.unlocked, word("Lock: it keeps its percentage while others change (L)"), act("lock")),
      mute: button(ICONS.on, word("Bypass its node: leave it out of the soup (M)"), act("mute")),
      solo: button(ICONS.solo, word("This one alone; again: back to what there was (S)"), act("solo")),
      remove: button(ICONS.remove, word("Remove its node from the graph (Delete)"), act("remove")),
    };
    this.element = this.#build();
    this.#listen();
  }

  get at() {
    return this.shown?.at ?? -1;
  }

  /** @param {Shown} shown */
  show(shown) {
    this.shown = shown;
    const { element } = this;
    element.style.setProperty("--dsoup-colour", shown.colour);
    element.dataset.row = String(shown.at);
    element.classList.toggle("muted", !shown.active);
    element.classList.toggle("foreign", !shown.own);
    this.chip.textContent = String(shown.at + 1);
    this.#showName(shown);
    this.#showValue(shown);
    this.#showActs(shown);
    this.#showFacts(shown);
    this.#showDetails(shown);
  }

  /** @param {boolean} on */
  point(on) {
    this.element.classList.toggle("pointed", on);
  }

  focus() {
    this.share.focus({ preventScroll: true });
    this.element.scrollIntoView?.({ block: "nearest" });
  }

  // -- showing -----------------------------------------------------------------------------------

  /** @param {Shown} shown */
  #showName({ file, kind, marks, own, why }) {
    const { folder, name } = namesOf(file);
    this.name.replaceChildren(...(folder ? [make("i", {}, folder)] : []), name || why);
    this.name.title = own ? `${file}\n${word("Click to go to its node (G)")}` : `${file}\n${why}`;
    this.name.disabled = !own;
    this.element.setAttribute("aria-label", `${name || why}${kind === "lora" ? ", LoRA" : ""}`);
    const words = marks.map((mark) => {
      const [text, title] = mark.split("\n");
      return make("span", { className: "dsoup-ing-mark", title: title ?? "" }, text);
    });
    this.marks.replaceChildren(...words);
  }

  /** @param {Shown} shown */
  #showValue({ value, text, scale, fixed, locked, percent, file, active }) {
    const [least, most] = scale;
    const place = (/** @type {number} */ number) =>
      (100 * (Math.min(Math.max(number, least), most) - least)) / (most - least || 1);
    const [from, to] = [place(Math.min(value ?? 0, 0)), place(Math.max(value ?? 0, 0))];
    this.fill.style.cssText = `left: ${from}%; width: ${to - from}%`;
    this.knob.style.left = `${place(value ?? 0)}%`;
    this.share.classList.toggle("fixed", fixed || locked);
    const aria = { label: word("Share of {0}", namesOf(file).name), valuemin: least, valuemax: most, valuenow: value ?? 0,
      valuetext: active ? text : word("{0}, not in the soup", text), disabled: fixed || locked };
    for (const [name, said] of Object.entries(aria)) this.share.setAttribute(`aria-${name}`, String(said));
    if (document.activeElement !== this.number) this.number.value = text;
    this.number.disabled = fixed;
    this.number.readOnly = locked;
    const { name } = namesOf(file);
    this.number.setAttribute("aria-label", percent ? word("Percentage of {0}", name) : word("Share of {0}", name));
  }

  /** @param {Shown} shown */
  #showActs({ own, active, solo, locked, fixed }) {
    const { lock, mute, solo: alone } = this.acts;
    for (const [act, on] of /** @type {const} */ ([[lock, locked], [mute, !active], [alone, solo]])) {
      act.setAttribute("aria-pressed", String(on));
    }
    lock.firstElementChild?.firstElementChild?.setAttribute("d", locked ? ICONS.locked : ICONS.unlocked);
    mute.firstElementChild?.firstElementChild?.setAttribute("d", active ? ICONS.on : ICONS.off);
    lock.disabled = !own || fixed;
    for (const act of [mute, alone, this.acts.remove]) act.disabled = !own;
  }

  /** @param {Shown} shown */
  #showFacts({ facts, tasted, active, why, open }) {
    const wrong = facts?.error ?? (tasted?.verdict === "unfit" || tasted?.verdict === "broken" ? tasted.sentence : null);
    this.facts.textContent = wrong ?? (facts ? factsText(facts) : why);
    this.facts.title = this.facts.textContent ?? "";
    this.facts.classList.toggle("wrong", Boolean(wrong));
    const verdict = wrong ? "unfit" : tasted?.verdict ?? "";
    this.badge.hidden = !verdict || !active;
    this.badge.className = `dsoup-ing-badge ${verdict}`;
    const distance = tasted?.distance;
    const known = typeof distance === "number" && verdict !== "equal";
    const far = known ? percentText(distance >= 0.0995 ? Math.round(100 * distance) : 100 * distance) : "";
    this.badge.replaceChildren(icon(VERDICTS[verdict] ?? VERDICTS.unknown), `${verdictText(tasted)} ${far}`.trim());
    this.badge.title = `${wrong ?? tasted?.sentence ?? ""}\n${word("Click for details (Space)")}`;
    this.badge.setAttribute("aria-expanded", String(open));
  }

  /** @param {Shown} shown */
  #showDetails({ open, facts, tasted, file }) {
    this.details.hidden = !open;
    if (!open) return;
    const known = Object.entries(tasted?.blocks ?? {}).filter(([, value]) => value !== null);
    const most = Math.max(...known.map(([, value]) => Number(value)), 1e-9);
    this.heat.replaceChildren(...known.map(([block, value]) => {
      const text = word("{0}: {1} from {2}", block, percentText(100 * Number(value)), this.reference || word("the base"));
      const bar = make("span", { title: text });
      bar.style.height = `${Math.max((100 * Number(value)) / most, 4)}%`;
      return bar;
    }));
    this.heat.setAttribute("aria-label", known.map(([block, value]) =>
      `${block} ${percentText(100 * Number(value))}`).join(", "));
    this.sentence.textContent = facts?.error ?? tasted?.sentence ?? word("Not tasted yet.");
    this.sentence.title = this.sentence.textContent ?? "";
    this.what.textContent = [file, facts?.parts?.join(" + "),
      facts?.layers ? word("{0} layers", facts.layers) : ""].filter(Boolean).join(" · ");
    this.what.title = this.what.textContent ?? "";
    const hashing = typeof facts?.hashing === "number";
    this.code.textContent = facts?.sha256 ? `sha256 ${facts.sha256}`
      : hashing ? word("Hashing: {0}%", Math.round(100 * Number(facts?.hashing))) : word("Not hashed yet.");
    this.code.title = facts?.sha256 ?? "";
    this.hash.hidden = !facts || Boolean(facts.error);
    this.hash.textContent = facts?.sha256 ? word("Copy") : hashing ? word("Stop") : word("Hash it");
    this.hash.title = facts?.sha256 ? word("Copy the hash") : hashing ? word("Stop hashing")
      : word("Read the whole file once");
  }

  // -- building ----------------------------------------------------------------------------------

  /** @returns {HTMLElement} */
  #build() {
    this.grip.title = word("Drag to another place (Alt+↑, Alt+↓)");
    this.share.setAttribute("role", "slider");
    this.share.setAttribute("aria-keyshortcuts", "L M S G Space Delete Alt+ArrowUp Alt+ArrowDown");
    this.heat.setAttribute("role", "img");
    for (const each of Object.values(this.acts)) each.tabIndex = -1;
    const element = make("div", { className: "dsoup-ing-row" },
      make("div", { className: "dsoup-ing-line" }, this.grip, this.chip,
        make("div", { className: "dsoup-ing-main" },
          make("div", { className: "dsoup-ing-top" }, this.name, this.marks, this.badge),
          make("div", { className: "dsoup-ing-bottom" }, this.share, this.facts)),
        this.number, make("div", { className: "dsoup-ing-acts" }, ...Object.values(this.acts))),
      this.details);
    element.setAttribute("role", "listitem");
    return element;
  }

  #listen() {
    this.name.addEventListener("click", () => this.told.act(this, "select"));
    this.badge.addEventListener("click", () => this.told.act(this, "open"));
    this.hash.addEventListener("click", () => this.told.act(this, "hash"));
    this.grip.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      if (event.button === 0) this.told.grip(this, event);
    });
    this.element.addEventListener("pointerenter", () => this.told.point(this));
    this.element.addEventListener("pointerleave", () => this.told.point(null));
    this.share.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => this.#press(event));
    this.share.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event));
    this.number.addEventListener("focus", () => this.number.select());
    this.number.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#typing(event));
    this.number.addEventListener("change", () => this.#typed());
    this.number.addEventListener("blur", () => {
      this.number.value = this.shown?.text ?? "";
      this.told.done();
    });
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (event.button !== 0 || !this.shown || this.shown.fixed) return;
    event.preventDefault();
    this.focus();
    this.told.begin(this);
    const stop = new AbortController();
    const [least, most] = this.shown.scale;
    const set = (/** @type {PointerEvent} */ { clientX, shiftKey }) => {
      const { left, width } = this.share.getBoundingClientRect();
      const value = least + Math.min(Math.max((clientX - left) / width, 0), 1) * (most - least);
      const step = (this.shown?.percent ? 1 : 0.05) / (shiftKey ? 10 : 1);
      this.told.set(this, Number((Math.round(value / step) * step).toFixed(3)));
    };
    set(event);
    this.share.setPointerCapture(event.pointerId);
    this.share.addEventListener("pointermove", set, stop);
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      this.share.addEventListener(end, () => stop.abort(), stop);
    }
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { key, altKey, ctrlKey, metaKey, shiftKey } = event;
    if (ctrlKey || metaKey) return;
    const fine = shiftKey ? 0.1 : 1;
    const steps = { ArrowLeft: -fine, ArrowRight: fine, PageDown: -10 * fine, PageUp: 10 * fine }[key];
    const ends = { Home: 0, End: 1 }[key];
    const action = altKey ? { ArrowUp: "up", ArrowDown: "down" }[key] : {
      ArrowUp: "previous", ArrowDown: "next", l: "lock", m: "mute", s: "solo", g: "select", " ": "open",
      delete: "remove", backspace: "remove", arrowup: "previous", arrowdown: "next",
    }[key.length > 1 ? key.startsWith("Arrow") ? key : key.toLowerCase() : key.toLowerCase()];
    if (action) this.told.act(this, action);
    else if (altKey) return;
    else if (steps !== undefined) this.told.step(this, steps);
    else if (ends !== undefined && this.shown) {
      this.told.begin(this);
      this.told.set(this, this.shown.scale[ends]);
    } else if (key === "Enter" || /^[-+.,\d]$/.test(key)) this.#type(key === "Enter" ? "" : key);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {string} first what is typed already */
  #type(first) {
    if (this.shown?.fixed) return;
    this.number.focus({ preventScroll: true });
    if (!first) return;
    this.number.value = first;
    this.number.setSelectionRange(1, 1);
  }

  /** @param {KeyboardEvent} event */
  #typing(event) {
    event.stopPropagation();
    if (event.key === "Escape") this.number.value = this.shown?.text ?? "";
    const steps = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (steps !== undefined) {
      this.told.step(this, steps * (event.shiftKey ? 0.1 : 1));
      this.number.value = this.shown?.text ?? "";
      this.number.select();
    } else if (event.key === "Enter" || event.key === "Escape") {
      if (event.key === "Enter") this.#typed();
      this.focus();
    } else return;
    event.preventDefault();
  }

  #typed() {
    const value = readNumber(this.number.value);
    if (Number.isNaN(value) || this.number.value === this.shown?.text) return;
    this.number.value = this.shown?.text ?? "";
    this.told.begin(this);
    this.told.set(this, value);
    this.number.value = this.shown?.text ?? "";
  }
}
