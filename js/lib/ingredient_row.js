/** One row of the table of ingredients: it shows, and tells what the user does with it. */
import { button, icon, make } from "./elements.js";
import { sizeText } from "./ingredient_facts.js";
import { percentText, readNumber } from "./ingredient_shares.js";

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

export const ROW = 40;
export const DETAILS = 98;

export const ROW_CSS = `
.dsoup-ing-row { position: relative; flex: none; border-radius: 5px; --dsoup-soft: color-mix(in srgb, var(--dsoup-colour) 70%,
  transparent); }
.dsoup-ing-line { display: flex; align-items: center; gap: 4px; height: ${ROW - 2}px; padding: 0 2px; border-radius: 5px;
  background: color-mix(in srgb, var(--component-node-widget-background, var(--comfy-input-bg, #222)) 55%, transparent);
}
.dsoup-ing-row:hover > .dsoup-ing-line, .dsoup-ing-row.pointed > .dsoup-ing-line {
  background: var(--component-node-widget-background, var(--comfy-input-bg, #222));
}
.dsoup-ing-row.held { opacity: 0.55; }
.dsoup-ing-row.before::before, .dsoup-ing-row.after::after {
  content: ""; position: absolute; left: 0; right: 0; top: -2px; height: 3px; border-radius: 2px; z-index: 2;
  background: var(--p-primary-color, #5b8dd6);
}
.dsoup-ing-row.after::after { top: auto; bottom: -1px; }
.dsoup-ing-grip { flex: none; width: 12px; align-self: stretch; display: flex; align-items: center; cursor: grab;
  touch-action: none; opacity: 0.55; }
.dsoup-ing-grip:hover { opacity: 1; }
.dsoup-ing-grip svg { width: 16px; height: 16px; margin: 0 -2px; stroke-width: 2; fill: none; stroke: currentColor;
  stroke-linecap: round; }
.dsoup-ing-row.foreign .dsoup-ing-grip { visibility: hidden; }
.dsoup-ing-chip { flex: none; min-width: 17px; height: 17px; border-radius: 4px; text-align: center; font-size: 10px;
  font-weight: 700; line-height: 17px; color: #111; background: var(--dsoup-colour); }
.dsoup-ing-main { flex: 1 1 0; min-width: 0; display: flex; flex-direction: column; gap: 3px; }
.dsoup-ing-top { display: flex; align-items: center; gap: 4px; min-width: 0; height: 16px; }
.dsoup .dsoup-ing-name { flex: 0 1 auto; min-width: 0; height: 16px; padding: 0 2px; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; text-align: left; font-size: 12px; line-height: 16px; background: none; }
.dsoup-ing-name:hover { text-decoration: underline; }
.dsoup-ing-name i { font-style: normal; opacity: 0.55; }
.dsoup-ing-mark { flex: none; padding: 0 4px; border-radius: 3px; font-size: 9px; line-height: 13px; opacity: 0.85;
  box-shadow: inset 0 0 0 1px color-mix(in srgb, currentColor 40%, transparent); }
.dsoup .dsoup-ing-badge { flex: none; display: flex; align-items: center; gap: 3px; height: 16px; margin-left: auto; padding: 0 6px 0 3px;
  border-radius: 8px; font-size: 10px; line-height: 16px; font-variant-numeric: tabular-nums; white-space: nowrap; color: inherit;
  background: color-mix(in srgb, var(--dsoup-verdict, gray) 32%, transparent); }
.dsoup-ing-badge svg { width: 12px; height: 12px; fill: none; stroke: currentColor; stroke-width: 1.7; stroke-linecap: round;
  stroke-linejoin: round; }
.dsoup-ing-badge.fits { --dsoup-verdict: #2f9e78; }
.dsoup-ing-badge.far { --dsoup-verdict: #e69f00; }
.dsoup-ing-badge.stranger, .dsoup-ing-badge.unfit, .dsoup-ing-badge.broken { --dsoup-verdict: #d55e00; font-weight: 600; }
.dsoup-ing-bottom { display: flex; align-items: center; gap: 6px; min-width: 0; height: 12px; }
.dsoup-ing-share { position: relative; flex: 1 1 0; min-width: 40px; height: 12px; cursor: ew-resize; touch-action: none; }
.dsoup-ing-share::before { content: ""; position: absolute; inset: 3px 0; border-radius: 3px;
  background: color-mix(in srgb, var(--input-text, #ddd) 16%, transparent); }
.dsoup-ing-share > i { position: absolute; top: 3px; bottom: 3px; border-radius: 3px; background: var(--dsoup-colour); }
.dsoup-ing-share > u { position: absolute; top: 0; bottom: 0; width: 4px; margin-left: -2px; border-radius: 2px;
  background: var(--input-text, #ddd); }
.dsoup-ing-share.fixed { cursor: default; }
.dsoup-ing-share.fixed > u { visibility: hidden; }
.dsoup-ing-share:focus-visible { outline: 2px solid var(--p-primary-color, #5b8dd6); outline-offset: 1px; border-radius: 3px; }
.dsoup-ing-facts { flex: 0 1 auto; max-width: 66%; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-size: 10px;
  line-height: 12px; opacity: 0.7; }
.dsoup-ing-facts.wrong { max-width: 78%; opacity: 1; color: #f2b04a; }
.dsoup .dsoup-ing-number { flex: none; width: 52px; height: 24px; padding: 0 5px; text-align: right; font-size: 12px;
  font-variant-numeric: tabular-nums; }
.dsoup-ing-acts { flex: none; display: grid; grid-template-columns: repeat(4, 20px); gap: 1px; }
.dsoup .dsoup-ing-acts button { width: 20px; height: 20px; padding: 0; background: none; opacity: 0.7; }
.dsoup .dsoup-ing-acts button:hover, .dsoup .dsoup-ing-acts button[aria-pressed=true] { opacity: 1; }
.dsoup .dsoup-ing-acts button[aria-pressed=true] {
  background: color-mix(in srgb, var(--p-primary-color, #5b8dd6) 60%, var(--comfy-input-bg, #222)); }
.dsoup-ing-acts svg { display: block; width: 14px; height: 14px; margin: auto; fill: none; stroke: currentColor;
  stroke-width: 1.3; stroke-linejoin: round; stroke-linecap: round; }
.dsoup-ing-row.muted .dsoup-ing-main, .dsoup-ing-row.muted .dsoup-ing-chip, .dsoup-ing-row.muted .dsoup-ing-number { opacity: 0.45; }
.dsoup-ing-row.muted .dsoup-ing-name { text-decoration: line-through; }
.dsoup-ing-row.foreign .dsoup-ing-acts { visibility: hidden; }
.dsoup-ing-details { box-sizing: border-box; height: ${DETAILS}px; padding: 4px 8px 6px 35px; display: flex;
  flex-direction: column; gap: 3px; font-size: 10px; overflow: hidden; user-select: text; cursor: default; }
.dsoup-ing-details p { flex: none; margin: 0; max-height: 28px; line-height: 14px; overflow: hidden; }
.dsoup-ing-details .dsoup-ing-hash { display: flex; align-items: center; gap: 6px; height: 18px; margin-top: auto; }
.dsoup-ing-details code { flex: 0 1 auto; min-width: 0; min-height: 14px; line-height: 14px; opacity: 0.8; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-size: 10px; }
.dsoup .dsoup-ing-hash button { height: 18px; font-size: 10px; flex: none; }
.dsoup-ing-heat { display: flex; flex: none; align-items: flex-end; gap: 1px; height: 22px;
  box-shadow: 0 1px color-mix(in srgb, var(--input-text, #ddd) 30%, transparent); }
.dsoup-ing-heat > span { flex: 1; min-width: 2px; max-width: 14px; border-radius: 1px 1px 0 0; background: var(--dsoup-colour); }
@container (max-width: 370px) {
  .dsoup-ing-acts { grid-template-columns: repeat(2, 18px); }
  .dsoup .dsoup-ing-acts button { width: 18px; height: 18px; }
  .dsoup-ing-facts { max-width: 45%; }
}
@container (max-width: 300px) {
  .dsoup-ing-facts, .dsoup-ing-mark { display: none; }
  .dsoup .dsoup-ing-number { width: 44px; }
}
`;

/** A file's name without its suffix, and the folders before it. @param {string} file */
export function namesOf(file) {
  const parts = file.split(/[\\/]/);
  const name = (parts.pop() ?? "").replace(/\.(safetensors|sft|ckpt|pt|pth|bin)$/i, "");
  return { folder: parts.length ? `${parts.join("/")}/` : "", name };
}

/** The facts in a line. @param {Facts} facts */
export function factsText({ title, dtype, bytes, sha256, ranks, hashing }) {
  const hash = typeof hashing === "number" ? `hashing ${Math.round(100 * hashing)}%` : sha256?.slice(0, 10);
  const rank = ranks?.length ? `rank ${ranks.length > 1 ? `${ranks[0]}–${ranks.at(-1)}` : ranks[0]}` : "";
  return [title, rank, dtype, bytes === undefined ? "" : sizeText(bytes), hash].filter(Boolean).join(" · ");
}

/** One row; `at` is its place. */
export class Row {
  /** @param {Told} told */
  constructor(told) {
    this.told = told;
    /** @type {Shown | null} */
    this.shown = null;
    this.#build();
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
    this.name.title = own ? `${file}\nClick to go to its node (G)` : `${file}\n${why}`;
    this.name.disabled = !own;
    this.element.setAttribute("aria-label", `${name || why}${kind === "lora" ? ", LoRA" : ""}`);
    const words = marks.map((mark) => {
      const [word, title] = mark.split("\n");
      return make("span", { className: "dsoup-ing-mark", title: title ?? "" }, word);
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
    const aria = { label: `Share of ${namesOf(file).name}`, valuemin: least, valuemax: most, valuenow: value ?? 0,
      valuetext: active ? text : `${text}, not in the soup`, disabled: fixed || locked };
    for (const [name, said] of Object.entries(aria)) this.share.setAttribute(`aria-${name}`, String(said));
    if (document.activeElement !== this.number) this.number.value = text;
    this.number.disabled = fixed;
    this.number.readOnly = locked;
    this.number.setAttribute("aria-label", `${percent ? "Percentage" : "Share"} of ${namesOf(file).name}`);
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
    this.badge.replaceChildren(icon(VERDICTS[verdict] ?? VERDICTS.unknown), `${tasted?.word ?? "unfit"} ${far}`.trim());
    this.badge.title = `${wrong ?? tasted?.sentence ?? ""}\nClick for details (Space)`;
    this.badge.setAttribute("aria-expanded", String(open));
  }

  /** @param {Shown} shown */
  #showDetails({ open, facts, tasted, file }) {
    this.details.hidden = !open;
    if (!open) return;
    const known = Object.entries(tasted?.blocks ?? {}).filter(([, value]) => value !== null);
    const most = Math.max(...known.map(([, value]) => Number(value)), 1e-9);
    this.heat.replaceChildren(...known.map(([block, value]) => {
      const text = `${block}: ${percentText(100 * Number(value))} from ${this.reference}`;
      const bar = make("span", { title: text });
      bar.style.height = `${Math.max((100 * Number(value)) / most, 4)}%`;
      return bar;
    }));
    this.heat.setAttribute("aria-label", known.map(([block, value]) =>
      `${block} ${percentText(100 * Number(value))}`).join(", "));
    this.sentence.textContent = facts?.error ?? tasted?.sentence ?? "Not tasted yet.";
    this.sentence.title = this.sentence.textContent ?? "";
    this.what.textContent = [file, facts?.parts?.join(" + "),
      facts?.layers ? `${facts.layers} layers` : ""].filter(Boolean).join(" · ");
    this.what.title = this.what.textContent ?? "";
    const hashing = typeof facts?.hashing === "number";
    this.code.textContent = facts?.sha256 ? `sha256 ${facts.sha256}`
      : hashing ? `Hashing: ${Math.round(100 * Number(facts?.hashing))}%` : "Not hashed yet.";
    this.code.title = facts?.sha256 ?? "";
    this.hash.hidden = !facts || Boolean(facts.error);
    this.hash.textContent = facts?.sha256 ? "Copy" : hashing ? "Stop" : "Hash it";
    this.hash.title = facts?.sha256 ? "Copy the hash" : hashing ? "Stop hashing" : "Read the whole file once";
  }

  /** What distances are from. */
  reference = "the base";

  // -- building ----------------------------------------------------------------------------------

  #build() {
    const act = (/** @type {string} */ action) => () => this.told.act(this, action);
    this.grip = make("span", { className: "dsoup-ing-grip", title: "Drag to another place (Alt+↑, Alt+↓)" }, icon(ICONS.grip));
    this.chip = make("span", { className: "dsoup-ing-chip" });
    this.name = make("button", { type: "button", className: "dsoup-ing-name", tabIndex: -1 });
    this.marks = make("span", { style: "display: contents" });
    this.badge = make("button", { type: "button", className: "dsoup-ing-badge", tabIndex: -1 });
    this.fill = make("i");
    this.knob = make("u");
    this.share = make("div", { className: "dsoup-ing-share", tabIndex: -1 }, this.fill, this.knob);
    this.share.setAttribute("role", "slider");
    this.share.setAttribute("aria-keyshortcuts", "L M S G Space Delete Alt+ArrowUp Alt+ArrowDown");
    this.facts = make("span", { className: "dsoup-ing-facts" });
    this.number = make("input", { className: "dsoup-ing-number", type: "text", inputMode: "decimal", tabIndex: -1,
      spellcheck: false, autocomplete: "off" });
    this.acts = {
      lock: button(ICONS.unlocked, "Lock: it keeps its percentage while others change (L)", act("lock")),
      mute: button(ICONS.on, "Bypass its node: leave it out of the soup (M)", act("mute")),
      solo: button(ICONS.solo, "This one alone; again: back to what there was (S)", act("solo")),
      remove: button(ICONS.remove, "Remove its node from the graph (Delete)", act("remove")),
    };
    for (const each of Object.values(this.acts)) each.tabIndex = -1;
    this.#buildDetails();
    this.element = make("div", { className: "dsoup-ing-row" },
      make("div", { className: "dsoup-ing-line" }, this.grip, this.chip,
        make("div", { className: "dsoup-ing-main" },
          make("div", { className: "dsoup-ing-top" }, this.name, this.marks, this.badge),
          make("div", { className: "dsoup-ing-bottom" }, this.share, this.facts)),
        this.number, make("div", { className: "dsoup-ing-acts" }, ...Object.values(this.acts))),
      this.details);
    this.element.setAttribute("role", "listitem");
    this.name.addEventListener("click", act("select"));
    this.badge.addEventListener("click", act("open"));
    this.hash.addEventListener("click", act("hash"));
    this.#listen();
  }

  #buildDetails() {
    this.sentence = make("p");
    this.heat = make("div", { className: "dsoup-ing-heat" });
    this.heat.setAttribute("role", "img");
    this.what = make("code");
    this.code = make("code");
    this.hash = make("button", { type: "button" });
    this.details = make("div", { className: "dsoup-ing-details", hidden: true }, this.sentence, this.heat, this.what,
      make("div", { className: "dsoup-ing-hash" }, this.code, this.hash));
  }

  #listen() {
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
    this.number.addEventListener("blur", () => { this.number.value = this.shown?.text ?? ""; });
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
