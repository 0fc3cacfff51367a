/** The Soup tab's editor: one draft, one status, and the parts that show them. */
import { make } from "../../js/lib/elements.js";
import { wires } from "./ask.js";
import { tables } from "./blocks.js";
import { BUSY, Cook } from "./cook.js";
import { emptyDraft, received, sent } from "./draft.js";
import { Log } from "./log.js";
import { RecipeCard, dropZone } from "./recipe.js";
import { Select } from "./select.js";
import { Settings } from "./settings.js";
import { Table } from "./table.js";
import { Taste } from "./taste.js";

const KEPT = "dsoup_draft"; // in this browser, for when the page is loaded again
const POLL = 1000; // milliseconds, while something is cooking
const SETTLED = 300; // milliseconds after the last edit
const STALE = 2000; // milliseconds after which a look at the tab asks again
const TOGETHER = 1000; // milliseconds between edits of one stroke that are undone as one
const MOST_UNDO = 200;

class App {
  /** @param {any} page */
  constructor(page) {
    this.ask = wires(page);
    this.tables = tables(this.ask);
    this.draft = emptyDraft();
    this.past = [];
    this.future = [];
    this.stroke = { name: "", time: 0 };
    this.known = new Map();
    this.status = { state: "idle", fraction: 0, text: "", job: 0 };
    this.inUse = null;
    this.pasted = null;
    this.selected = 0; // the number of the last selection
    this.recipe = null;
    this.problem = "";
    this.looked = 0;
  }

  /** @param {HTMLElement} place */
  mount(place) {
    this.element = make("div", { className: "ds" }, make("p", { className: "ds-note" }, "Asking the WebUI…"));
    place.append(this.element);
    void this.#begin();
  }

  async #begin() {
    const hello = await this.ask.quick("hello");
    if (hello.error) return this.#sorry(hello.error);
    this.hello = hello;
    this.parts = { table: new Table(this), settings: new Settings(this), cook: new Cook(this), recipe: new RecipeCard(this),
      select: new Select(this), taste: new Taste(this), log: new Log(this) };
    this.table = this.parts.table;
    const { table, settings, cook, recipe, select, taste, log } = this.parts;
    this.element.replaceChildren(
      make("div", { className: "ds-main" }, table.element, settings.element, recipe.element),
      make("div", { className: "ds-side" }, cook.element, select.element, taste.element, log.element));
    dropZone(this.element, (file) => void recipe.open(file));
    this.#watch();
    this.draft = this.#remembered() ?? (hello.in_use ? received(hello.in_use.draft) : emptyDraft());
    this.told(hello);
    this.#changed();
    void log.refresh();
  }

  /** @param {string} sentence */
  #sorry(sentence) {
    const again = make("button", { type: "button", className: "ds-button" }, "Try again");
    again.addEventListener("click", () => void this.#begin());
    this.element.replaceChildren(make("p", { className: "ds-error" }, sentence), again);
  }

  show() {
    for (const part of Object.values(this.parts)) part.show();
  }

  // -- the draft -----------------------------------------------------------------------------------

  /** @param {Partial<import("./draft.js").Draft>} values @param {string} stroke edits of one stroke are undone together */
  change(values, stroke) {
    const now = performance.now();
    const goesOn = stroke !== "" && stroke === this.stroke.name && (/^(drag|border|grab)/.test(stroke) || now - this.stroke.time < TOGETHER);
    if (!goesOn) this.past = [...this.past, this.draft].slice(-MOST_UNDO);
    this.future = [];
    this.stroke = { name: stroke, time: now };
    this.draft = { ...this.draft, ...values };
    this.#changed();
  }

  /** Another table. @param {any} draft as the server sends it */
  load(draft) {
    this.change(received(draft), "");
    this.table.element.scrollIntoView({ block: "nearest" });
  }

  /** @param {-1 | 1} way undo or redo */
  step(way) {
    const [from, to] = way < 0 ? [this.past, this.future] : [this.future, this.past];
    const draft = from.pop();
    if (!draft) return;
    to.push(this.draft);
    this.stroke = { name: "", time: 0 };
    this.draft = draft;
    this.#changed();
  }

  sent() {
    return sent(this.draft);
  }

  #changed() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => void this.#settle(), SETTLED);
    this.show();
    void this.#learn();
  }

  /** Once the hands are still: keep the table, and let the server make a recipe of it. */
  async #settle() {
    const draft = this.sent();
    try {
      localStorage.setItem(KEPT, JSON.stringify(draft));
    } catch {
      // a browser that keeps nothing: the table is gone with the page
    }
    const before = this.draft;
    const answer = await this.ask.slow("check", { draft });
    if (before !== this.draft) return; // there is another table by now
    this.recipe = answer.recipe ? answer : null;
    this.problem = draft.rows.length ? answer.error ?? answer.problem ?? "" : "";
    this.show();
  }

  /** @returns {any} the table as it was when this browser last had it */
  #remembered() {
    try {
      const draft = JSON.parse(localStorage.getItem(KEPT) ?? "null");
      return draft?.rows?.length ? received(draft) : null;
    } catch {
      return null;
    }
  }

  // -- files ---------------------------------------------------------------------------------------

  /** @param {string} kind @param {string} file @returns {any} what is known of it so far */
  facts(kind, file) {
    return this.known.get(`${kind} ${file}`);
  }

  /** Ask for what is in files that are new to the table. */
  async #learn() {
    const wanted = this.draft.rows.map(({ kind, file }) => [kind, file])
      .filter(([kind, file]) => !this.known.has(`${kind} ${file}`));
    if (!wanted.length) return;
    for (const [kind, file] of wanted) this.known.set(`${kind} ${file}`, null);
    const answer = await this.ask.quick("facts", { files: wanted });
    wanted.forEach(([kind, file], at) => this.known.set(`${kind} ${file}`, answer.facts?.[at] ?? null));
    const rows = this.#suited();
    if (rows.every((row, at) => row === this.draft.rows[at])) return this.show();
    this.draft = { ...this.draft, rows }; // not a step of its own: nobody did it
    this.#changed();
  }

  /** Rows without block weights have the blocks of their own model family. */
  #suited() {
    return this.draft.rows.map((row) => {
      const told = String(this.facts(row.kind, row.file)?.family ?? "");
      const family = /xl/i.test(told) ? "SDXL" : this.hello.families[0];
      return row.blocks.mbw || !told || row.blocks.family === family ? row : { ...row, blocks: { ...row.blocks, family } };
    });
  }

  /** The lists of files again, as the hosts' refresh buttons do. */
  async refresh() {
    const answer = await this.ask.quick("files");
    if (answer.error) return this.parts.cook.wrong(answer.error);
    Object.assign(this.hello, answer);
    this.known.clear();
    this.tables.forget();
    this.#changed();
  }

  // -- the kitchen -----------------------------------------------------------------------------------

  /** @param {any} answer with the status, the soup in use, and one that a picture brought */
  told({ status, in_use: inUse, pasted = null, selected = 0 }) {
    const done = status.job !== this.status.job || status.state !== this.status.state;
    this.status = status;
    this.inUse = inUse;
    this.pasted = pasted;
    this.selected = selected;
    this.looked = performance.now();
    if (done) this.parts.cook.trouble = ""; // what was wrong before is over
    this.parts.cook.show();
    this.parts.recipe.show();
    this.parts.select.told(selected);
    clearTimeout(this.polling);
    if (BUSY.includes(status.state)) this.polling = setTimeout(() => void this.#look(), POLL);
    else if (done) void this.parts.log.refresh();
  }

  async #look() {
    this.looked = performance.now();
    const answer = await this.ask.quick("status");
    if (answer.status) this.told(answer);
    else this.parts.cook.wrong(answer.error ?? "");
  }

  /** Another page may have cooked: ask when somebody looks here, and not otherwise. */
  #watch() {
    const look = () => {
      const seen = document.visibilityState === "visible" && this.element.offsetParent !== null;
      if (seen && performance.now() - this.looked > STALE && !BUSY.includes(this.status.state)) void this.#look();
    };
    this.element.addEventListener("pointermove", look);
    this.element.addEventListener("focusin", look);
    document.addEventListener("visibilitychange", look);
    window.addEventListener("focus", look);
    new IntersectionObserver((seen) => seen.some(({ isIntersecting }) => isIntersecting) && look()).observe(this.element);
  }
}

/** @param {any} page where gradio's events find the wires */
export const open = (page) => new App(page);
