/** The ingredients table: the whole as a bar, the rows, and the tools over them. */
import { make } from "../../js/lib/elements.js";
import { RowBlocks } from "./blocks.js";
import { emptyDraft, even, moved, newRow, percentsOf, withBorder, withPart, withShare } from "./draft.js";
import { ICONS, card, press } from "./fields.js";
import { pick } from "./picker.js";
import { RowView } from "./row.js";
import { Stack } from "./stack.js";

const KINDS = { checkpoint: "checkpoints", lora: "loras" };

export class Table {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
    /** @type {Map<number, RowView>} */
    this.views = new Map();
    /** @type {RowBlocks | null} */
    this.blocks = null;
    this.open = 0;
    this.stack = new Stack((left, right, part, stroke) =>
      this.#rows((rows) => withBorder(rows, left, right, part), stroke));
    this.list = make("div", { className: "ds-rows" });
    this.list.setAttribute("role", "list");
    this.empty = make("p", { className: "ds-empty" },
      "Add the checkpoints and LoRAs to mix, or drop a recipe, a picture made with a soup, or a saved soup here.");
    this.problem = make("p", { className: "ds-error", id: "dsoup_problem" });
    this.problem.setAttribute("role", "status");
    this.head = make("div", { className: "ds-row ds-head", ariaHidden: "true" }, make("span"), make("span"),
      make("span", {}, "Ingredient"), make("span"), make("span", { className: "ds-numbers" }, make("span", {}, "Strength"),
        make("span", {}, "Share"), make("span", {}, "Part")), make("span"));
    this.tools = this.#tools();
    this.element = card("Ingredients", this.stack.element, this.head, this.list, this.empty, this.problem);
    this.element.querySelector("header").append(this.tools);
    this.element.classList.add("ds-table");
    this.element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (!(event.ctrlKey || event.metaKey) || event.target?.type === "text") return;
      const back = event.key.toLowerCase() === "z" && !event.shiftKey;
      if (!back && !["z", "y"].includes(event.key.toLowerCase())) return;
      event.preventDefault();
      app.step(back ? -1 : 1);
    });
  }

  show() {
    const { draft } = this.app;
    const { rows, normalise } = draft;
    const percents = percentsOf(rows);
    const shares = rows.map(({ share }) => share);
    const table = { normalise, rows, least: Math.floor(Math.min(0, ...shares)), most: Math.ceil(Math.max(1, ...shares)) };
    for (const [id, view] of this.views) {
      if (rows.some((row) => row.id === id)) continue;
      view.element.remove();
      this.views.delete(id);
    }
    rows.forEach((row, at) => {
      const view = this.views.get(row.id) ?? new RowView(row.id, this.#told());
      this.views.set(row.id, view);
      view.show(row, at, percents[at], { ...table, open: row.id === this.open }, this.app.facts(row.kind, row.file));
    });
    this.#order(rows);
    this.stack.show(rows, percents);
    this.#showBlocks(rows);
    this.empty.hidden = rows.length > 0;
    this.head.hidden = this.stack.element.hidden = !rows.length;
    this.head.classList.toggle("loras", rows.some(({ kind }) => kind === "lora"));
    this.list.classList.toggle("loras", rows.some(({ kind }) => kind === "lora"));
    this.undo.disabled = !this.app.past.length;
    this.redo.disabled = !this.app.future.length;
    this.evenly.disabled = this.cleared.disabled = !rows.length;
    this.problem.textContent = this.app.problem;
  }

  /** @param {"checkpoint" | "lora"} kind */
  async add(kind) {
    const { app } = this;
    const files = app.hello[KINDS[kind]];
    const used = app.draft.rows.map(({ file }) => file);
    const found = await pick(app.element, { title: kind === "lora" ? "Add LoRAs" : "Add checkpoints", files, used, many: true });
    if (!found) return;
    const shares = app.draft.rows.map(({ share }) => share).filter((share) => share > 0);
    const share = shares.length ? Number((shares.reduce((sum, each) => sum + each, 0) / shares.length).toFixed(4)) : 1;
    this.#rows((rows) => [...rows, ...found.map((file) => newRow(kind, file, share))]);
  }

  // -- rows --------------------------------------------------------------------------------------

  /** @param {(rows: any[]) => any[]} change @param {string} [stroke] */
  #rows(change, stroke = "") {
    const { draft } = this.app;
    const rows = change(draft.rows);
    if (rows !== draft.rows) this.app.change({ rows }, stroke);
  }

  #at(/** @type {number} */ id) {
    return this.app.draft.rows.findIndex((/** @type {any} */ row) => row.id === id);
  }

  #told() {
    return {
      set: (id, values, stroke = "") => this.#rows((rows) => rows.map((row) => (row.id === id ? { ...row, ...values } : row)), stroke),
      share: (id, share, stroke) => this.#rows(() => withShare(this.app.draft, this.#at(id), share), stroke),
      part: (id, part, stroke) => this.#rows((rows) => withPart(rows, this.#at(id), part), stroke),
      remove: (id) => this.#remove(id),
      replace: (id) => void this.#replace(id),
      blocks: (id) => {
        this.open = this.open === id ? 0 : id;
        this.show();
      },
      move: (id, to) => {
        if (to >= 0 && to < this.app.draft.rows.length) this.#rows((rows) => moved(rows, this.#at(id), to));
        this.views.get(id)?.grip.focus();
      },
      grab: (id, event) => this.#grab(id, event),
    };
  }

  /** @param {number} id */
  #remove(id) {
    const at = this.#at(id);
    this.#rows((rows) => rows.filter((row) => row.id !== id));
    const next = this.app.draft.rows[Math.min(at, this.app.draft.rows.length - 1)];
    this.views.get(next?.id)?.name.focus();
  }

  /** @param {number} id */
  async #replace(id) {
    const row = this.app.draft.rows[this.#at(id)];
    const found = await pick(this.app.element, { title: "Choose another file", files: this.app.hello[KINDS[row.kind]], chosen: row.file });
    if (found) this.#told().set(id, { file: found[0], sha256: null });
  }

  /** @param {number} id @param {PointerEvent} event */
  #grab(id, event) {
    if (event.button !== 0) return;
    event.preventDefault();
    const stop = new AbortController();
    const stroke = `grab ${event.timeStamp}`;
    const view = this.views.get(id);
    view.element.classList.add("grabbed");
    // Heard by the window: a row that is put elsewhere in the page loses the pointer it has captured.
    window.addEventListener("pointermove", ({ clientY }) => {
      const rows = this.app.draft.rows.map((row) => this.views.get(row.id).element.getBoundingClientRect());
      const to = rows.filter(({ top, height }, at) => at !== this.#at(id) && clientY > top + height / 2).length;
      if (to !== this.#at(id)) this.#rows((all) => moved(all, this.#at(id), to), stroke);
    }, stop);
    for (const end of ["pointerup", "pointercancel"]) {
      window.addEventListener(end, () => {
        view.element.classList.remove("grabbed");
        stop.abort();
      }, stop);
    }
  }

  /** Elements in the order of the rows; one that is in its place is not touched, so that it keeps the focus. */
  #order(rows) {
    rows.forEach((row, at) => {
      const { element } = this.views.get(row.id);
      const there = this.#elements()[at];
      if (there !== element) this.list.insertBefore(element, there ?? null);
    });
  }

  #elements() {
    return [...this.list.children].filter((element) => element.classList.contains("ds-row"));
  }

  #showBlocks(rows) {
    const row = rows.find(({ id }) => id === this.open);
    if (!row || this.blocks?.id !== row.id) {
      this.blocks?.element.remove();
      this.blocks = null;
    }
    if (!row) return;
    if (!this.blocks) {
      this.blocks = new RowBlocks(row, this.app.tables, this.app.hello.families, (values, stroke) =>
        this.#told().set(row.id, values, stroke));
      this.blocks.id = row.id;
    }
    const { element } = this.views.get(row.id);
    if (element.nextSibling !== this.blocks.element) element.after(this.blocks.element);
    this.blocks.show(row);
  }

  #tools() {
    const { app } = this;
    this.undo = press("", "Undo the last edit (Ctrl+Z)", () => app.step(-1), { icon: ICONS.undo, kind: "quiet" });
    this.redo = press("", "Redo (Ctrl+Shift+Z)", () => app.step(1), { icon: ICONS.redo, kind: "quiet" });
    this.evenly = press("", "The same share for all that are not locked", () => this.#rows(even), { icon: ICONS.even, kind: "quiet" });
    this.cleared = press("", "Empty the table", () => app.load(emptyDraft()), { icon: ICONS.clear, kind: "quiet" });
    return make("div", { className: "ds-line" },
      this.undo, this.redo, this.evenly, this.cleared,
      press("", "Refresh the lists of files", () => void app.refresh(), { icon: ICONS.refresh, kind: "quiet", id: "dsoup_refresh" }),
      press("Checkpoint", "Add checkpoints", () => void this.add("checkpoint"), { icon: ICONS.add, id: "dsoup_add_checkpoint" }),
      press("LoRA", "Add LoRAs", () => void this.add("lora"), { icon: ICONS.add, id: "dsoup_add_lora" }));
  }
}

