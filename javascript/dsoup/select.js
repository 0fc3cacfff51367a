/** Select: which of the table's ingredients belong into the soup, by what a scorer says of pictures of some prompts. */
import { make } from "../../js/lib/elements.js";
import { counted } from "./draft.js";
import { ICONS, choice, labelled, press } from "./fields.js";

const KEPT = "dsoup_select"; // in this browser
const NUMBERS = { pictures: ["Pictures", 1, 64, 1, "Of each prompt, with seeds that follow each other"],
  seed: ["Seed", 0, 2 ** 32 - 64, 1, "The noise, the same for every soup"], steps: ["Steps", 1, 150, 1, "Sampling steps of each picture"],
  cfg: ["CFG", 0, 30, 0.5, "Classifier-free guidance"], width: ["Width", 64, 2048, 8, ""], height: ["Height", 64, 2048, 8, ""],
  budget: ["Budget", 0, 10000, 1, "How many soups may be scored; 0: as many as the method needs"] };
const WORDS = { greedy: "greedy", reverse: "reverse greedy", ordered: "ordered", coordinate: "coordinate", cma: "CMA" };
const SHARED = ["coordinate", "cma"]; // search for shares, in groups of blocks if wanted
const ABOUT = "Soups of the ingredients paint your prompts, a scorer judges the pictures, and the better ones stay. The model in use "
  + "comes back at the end; the table gets the selected shares, which Cook uses and the table's undo takes back.";

export class Select {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
    this.known = /** @type {any} */ (null);
    this.values = /** @type {Record<string, any>} */ ({});
    this.asked = { job: 0, rows: "" };
    this.shownJob = 0;
    const area = (/** @type {string} */ name, /** @type {string} */ label, /** @type {string} */ hint, /** @type {number} */ rows) => {
      const field = make("textarea", { id: `dsoup_select_${name}`, placeholder: hint, rows, spellcheck: false });
      field.setAttribute("aria-label", label);
      field.addEventListener("input", () => this.#set(name, field.value));
      return field;
    };
    this.texts = { prompts: area("prompts", "Prompts", "What every soup paints, one prompt a line", 3),
      negative: area("negative", "Negative prompt", "Negative prompt of all pictures", 1) };
    this.choices = Object.fromEntries(["scorer", "method", "blocks", "sampler", "scheduler"].map((name) =>
      [name, choice(name, (value) => this.#set(name, value), { id: `dsoup_select_${name}` })]));
    this.numbers = Object.fromEntries(Object.entries(NUMBERS).map(([name, [label, min, max, step, title]]) => {
      const field = make("input", { type: "number", className: "ds-number", id: `dsoup_select_${name}`, min, max, step, title });
      field.setAttribute("aria-label", String(label));
      field.addEventListener("change", () => {
        this.#set(name, field.value === "" ? this.known.usual[name] : Number(field.value));
        field.value = String(this.values[name]);
      });
      return [name, field];
    }));
    this.begin = press("Select", "Try the soups; takes as long as their pictures take", () => void this.#begin(), { kind: "primary tall", id: "dsoup_select_now" });
    this.said = make("p", { className: "ds-note", id: "dsoup_select_said" });
    this.said.setAttribute("role", "status");
    this.result = make("div", { className: "ds-selected", id: "dsoup_selected" });
    this.body = make("div", { className: "ds-select-body" });
    this.element = make("details", { className: "ds-card ds-fold", id: "dsoup_select" },
      make("summary", {}, make("h3", {}, "Select")), this.body);
    this.element.addEventListener("toggle", () => this.element.open && !this.known && void this.#open());
  }

  show() {
    if (!this.known) return;
    const { known, values } = this;
    const alone = (/** @type {string[]} */ names) => names.map((name) => /** @type {[string, string]} */ ([name, name]));
    const methods = known.methods.map((/** @type {any} */ { name, title, missing }) =>
      [name, `${WORDS[name]}: ${missing ? `needs ${missing}` : title}`]);
    for (const [name, field] of Object.entries({ ...this.texts, ...this.numbers })) {
      if (field !== document.activeElement && field.value !== String(values[name])) field.value = String(values[name]);
    }
    this.choices.scorer.show(known.scorers.length ? alone(known.scorers) : [["", "none found"]], values.scorer);
    this.choices.method.show(methods, values.method);
    for (const option of this.choices.method.element.options) {
      option.disabled = known.methods.some((/** @type {any} */ { name, missing }) => missing && name === option.value);
    }
    this.choices.blocks.show(alone(known.blocks), values.blocks);
    this.choices.sampler.show(alone(known.samplers), values.sampler);
    this.choices.scheduler.show(alone(known.schedulers), values.scheduler);
    this.choices.blocks.element.parentElement.hidden = !SHARED.includes(values.method);
    this.choices.scheduler.element.parentElement.hidden = !known.schedulers.length;
    if (!this.said.classList.contains("ds-error")) this.said.textContent = this.#cost();
  }

  /** The status has been told: perhaps a selection has ended, here or elsewhere. @param {number} job of the last one */
  told(job) {
    if (job && job !== this.shownJob && (this.known || job === this.asked.job)) void this.#fetch(job);
  }

  // -- fields ----------------------------------------------------------------------------------------

  async #open() {
    const answer = await this.app.ask.quick("selecting");
    if (answer.error) return this.body.replaceChildren(make("p", { className: "ds-error" }, answer.error));
    this.known = answer;
    this.values = { ...answer.usual, ...this.#remembered() };
    for (const [name, offered] of Object.entries({ scorer: answer.scorers, sampler: answer.samplers, scheduler: answer.schedulers,
      blocks: answer.blocks, method: answer.methods.map((/** @type {any} */ { name }) => name) })) {
      if (!offered.includes(this.values[name])) this.values[name] = offered[0] ?? "";
    }
    const again = press("", "Look for scorers again", () => void this.#refresh(), { icon: ICONS.refresh, kind: "quiet", id: "dsoup_select_refresh" });
    const number = (/** @type {string} */ name) => labelled(String(NUMBERS[name][0]), this.numbers[name]);
    const chosen = (/** @type {string} */ label, /** @type {string} */ name) => labelled(label, this.choices[name].element);
    this.body.replaceChildren(make("p", { className: "ds-note" }, ABOUT), this.texts.prompts, this.texts.negative,
      make("div", { className: "ds-line ds-end" }, chosen("Scorer", "scorer"), again),
      make("div", { className: "ds-grid" }, chosen("Method", "method"), chosen("Shares of", "blocks"), number("budget"), number("pictures"),
        number("seed"), chosen("Sampler", "sampler"), chosen("Schedule", "scheduler"), number("steps"), number("cfg"), number("width"), number("height")),
      make("div", { className: "ds-line" }, this.begin, this.said), this.result);
    this.show();
    if (this.app.selected) this.told(this.app.selected);
  }

  async #refresh() {
    const answer = await this.app.ask.quick("selecting");
    if (answer.error) return this.#say(answer.error, true);
    this.known = answer;
    if (!answer.scorers.includes(this.values.scorer)) this.values.scorer = answer.scorers[0] ?? "";
    this.#say(answer.scorers.length ? "" : `No scorer was found in ${answer.folder}: put one there, in a folder of its own.`);
  }

  /** @param {string} name @param {any} value */
  #set(name, value) {
    this.values = { ...this.values, [name]: value };
    try {
      localStorage.setItem(KEPT, JSON.stringify(this.values));
    } catch {
      // a browser that keeps nothing
    }
    this.#say("");
  }

  /** @returns {Record<string, any>} what was in the fields when this browser last had them, as far as it fits */
  #remembered() {
    try {
      const found = Object.entries(JSON.parse(localStorage.getItem(KEPT) ?? "{}"));
      return Object.fromEntries(found.filter(([name, value]) => typeof value === typeof this.known.usual[name]));
    } catch {
      return {};
    }
  }

  #cost() {
    const { known, values, app } = this;
    const rows = counted(app.draft.rows).length;
    const prompts = new Set(values.prompts.split("\n").map((/** @type {string} */ line) => line.trim())
      .filter((/** @type {string} */ line) => line && !line.startsWith("#"))).size;
    const needed = known.methods.find((/** @type {any} */ { name }) => name === values.method)?.soups[rows - 1];
    const soups = values.budget ? Math.min(values.budget, SHARED.includes(values.method) ? Infinity : needed ?? Infinity) : needed;
    if (rows < 2 || !prompts || !soups) return "";
    return `${rows} candidates: at most ${soups} soups and ${soups * prompts * values.pictures} pictures`;
  }

  /** @param {string} sentence @param {boolean} [wrong] */
  #say(sentence, wrong = false) {
    this.said.classList.toggle("ds-error", wrong);
    this.said.textContent = sentence;
    if (sentence && !wrong) return;
    this.show();
  }

  // -- the work --------------------------------------------------------------------------------------

  async #begin() {
    this.#say("");
    const { app } = this;
    app.parts.cook.wrong("");
    const draft = app.sent();
    const answer = await app.ask.slow("select", { draft, settings: this.values });
    if (answer.error) return this.#say(answer.error, true);
    this.result.replaceChildren();
    this.asked = { job: answer.status.job, rows: JSON.stringify(draft) };
    app.told(answer);
  }

  /** @param {number} job */
  async #fetch(job) {
    this.shownJob = job;
    const answer = await this.app.ask.quick("selected", { draft: this.app.sent() });
    if (answer.error || !answer.selected) return this.#say(answer.error ?? "", Boolean(answer.error));
    const ours = job === this.asked.job && JSON.stringify(this.app.sent()) === this.asked.rows;
    const picture = make("img", { src: answer.picture, alt: "Scores of the soups, and their pictures", title: "Click for full size" });
    picture.addEventListener("click", () => picture.classList.toggle("large"));
    const into = press("Put into the table", "The selected shares; rows that were left out are muted", () => this.app.load(answer.draft), { id: "dsoup_selected_load" });
    this.result.replaceChildren(make("p", {}, [answer.text, answer.note].filter(Boolean).join(" ")), ...(ours ? [] : [into]), picture);
    if (ours) this.app.load(answer.draft);
  }
}
