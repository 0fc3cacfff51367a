/** One row of the ingredients table. It shows what it is told, and tells what was done. */
import { icon, make } from "../../js/lib/elements.js";
import { counted, nameOf } from "./draft.js";
import { ICONS, colour, number, press, size } from "./fields.js";

/** @typedef {import("./draft.js").Row} Row */
/**
 * @typedef {object} Told
 * @property {(id: number, values: Partial<Row>, stroke?: string) => void} set
 * @property {(id: number, share: number, stroke: string) => void} share
 * @property {(id: number, part: number, stroke: string) => void} part of the whole
 * @property {(id: number) => void} remove
 * @property {(id: number) => void} replace
 * @property {(id: number) => void} blocks
 * @property {(id: number, to: number) => void} move
 * @property {(id: number, event: PointerEvent) => void} grab
 */

let strokes = 0;

export class RowView {
  /** @param {number} id @param {Told} told */
  constructor(id, told) {
    this.id = id;
    this.told = told;
    this.stroke = "";
    this.grip = press("", "Drag to another place (Alt+Up, Alt+Down)", () => {}, { icon: ICONS.grip, kind: "grip" });
    this.grip.addEventListener("pointerdown", (event) => told.grab(id, event));
    this.name = make("button", { type: "button", className: "ds-name" });
    this.name.addEventListener("click", () => told.replace(id));
    this.#bar();
    this.share = number("Share", (value, stroke) => told.share(id, value, stroke && `${stroke} ${id}`));
    this.percent = number("Percent", (value, stroke) => told.part(id, value / 100, stroke && `${stroke} ${id}`), 1);
    this.strength = number("Strength of the LoRA", (strength, stroke) =>
      told.set(id, { strength }, stroke && `${stroke} ${id}`));
    this.solo = this.#toggle("solo", "S", "Solo: only this one, and others that play solo, are in the soup");
    this.muted = this.#toggle("muted", "M", "Mute: not in the soup, but kept in the table");
    this.locked = press("", "Lock: its part of the whole stays when others change", () =>
      told.set(id, { locked: !this.row.locked }), { icon: ICONS.open, kind: "toggle" });
    this.blocks = press("", "Block weights and elements", () => told.blocks(id), { icon: ICONS.blocks, kind: "toggle" });
    const remove = press("", "Remove from the table", () => told.remove(id), { icon: ICONS.remove, kind: "quiet" });
    this.times = make("span", { className: "ds-strength" }, "×", this.strength.element);
    this.element = make("div", { className: "ds-row" },
      this.grip, make("i", { className: "ds-swatch" }), this.name, this.bar,
      make("span", { className: "ds-numbers" }, this.times, this.share.element, this.percent.element),
      make("span", { className: "ds-toggles" }, this.solo, this.muted, this.locked, this.blocks, remove));
    this.element.setAttribute("role", "listitem");
    this.element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!step || !event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      told.move(id, this.at + step);
    });
  }

  /**
   * @param {Row} row @param {number} at @param {number | null} percent
   * @param {{normalise: boolean, most: number, least: number, open: boolean, rows: Row[]}} table
   * @param {any} facts
   */
  show(row, at, percent, table, facts) {
    Object.assign(this, { row, at, table });
    const inside = percent !== null;
    const [least, most] = table.normalise ? [0, 100] : [table.least, table.most];
    const value = table.normalise ? percent ?? 0 : row.share;
    const place = (/** @type {number} */ each) => `${(100 * (Math.min(Math.max(each, least), most) - least)) / (most - least)}%`;
    this.element.dataset.file = row.file;
    this.element.classList.toggle("out", !inside);
    this.element.classList.toggle("missing", Boolean(facts?.problem));
    this.element.classList.toggle("locked", row.locked);
    this.element.style.setProperty("--ds-colour", colour(at));
    this.element.style.setProperty("--from", place(Math.min(value, 0)));
    this.element.style.setProperty("--to", place(Math.max(value, 0)));
    this.#name(row, facts);
    const free = counted(table.rows).some((each) => each !== at && !table.rows[each].locked);
    Object.assign(this.slider, { min: least, max: most, step: "any", value, disabled: !inside || (table.normalise && !free) });
    this.slider.setAttribute("aria-label", `Share of ${nameOf(row.file)}`);
    this.slider.setAttribute("aria-valuetext", table.normalise ? `${percent ?? 0} %` : String(row.share));
    this.share.show(row.share);
    this.percent.show(percent ?? 0, inside ? `${(percent ?? 0).toFixed(1)} %` : "–");
    this.percent.element.disabled = !inside || !table.normalise || !free;
    this.strength.show(row.strength);
    this.times.hidden = row.kind !== "lora";
    this.#toggles(row, table.open);
  }

  /** @param {Row} row @param {any} facts */
  #name(row, facts) {
    const told = facts?.problem ? "not found" : facts ? [facts.family, facts.dtype, size(facts.size)].filter(Boolean).join(" · ") : "";
    const text = `${row.kind}${row.file}${told}`;
    if (this.named === text) return;
    this.named = text;
    const folder = row.file.includes("/") ? `${row.file.split("/").slice(0, -1).join("/")}/` : "";
    this.name.title = facts?.problem ?? `${row.file}\nClick to choose another file`;
    this.name.replaceChildren(
      make("b", {}, ...(row.kind === "lora" ? [make("em", {}, "LoRA")] : []), nameOf(row.file)),
      make("small", {}, [folder, told].filter(Boolean).join(" ")));
  }

  /** @param {Row} row @param {boolean} open */
  #toggles(row, open) {
    const weighted = Boolean(row.blocks.mbw.trim() || row.blocks.preset !== "none" || row.elements.trim());
    this.solo.setAttribute("aria-pressed", String(row.solo));
    this.muted.setAttribute("aria-pressed", String(row.muted));
    this.locked.setAttribute("aria-pressed", String(row.locked));
    if (this.lockShown !== row.locked) this.locked.replaceChildren(icon(row.locked ? ICONS.locked : ICONS.open));
    this.lockShown = row.locked;
    this.blocks.setAttribute("aria-expanded", String(open));
    this.blocks.setAttribute("aria-pressed", String(open));
    this.blocks.classList.toggle("weighted", weighted);
  }

  /** @param {"solo" | "muted"} name @param {string} letter @param {string} title */
  #toggle(name, letter, title) {
    const made = press(letter, title, () => this.told.set(this.id, { [name]: !this.row[name] }), { kind: "toggle letter" });
    made.setAttribute("aria-label", title.split(":")[0]);
    return made;
  }

  #bar() {
    this.slider = make("input", { type: "range" });
    this.bar = make("span", { className: "ds-bar" }, make("i"), this.slider);
    this.slider.addEventListener("pointerdown", () => { this.stroke = `drag ${++strokes}`; });
    this.slider.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event));
    this.slider.addEventListener("input", () => {
      const value = Number(this.slider.value);
      const stroke = this.stroke || `slide ${this.id}`;
      if (this.table.normalise) this.told.part(this.id, Math.round(value * 2) / 200, stroke);
      else this.told.share(this.id, Math.round(value * 100) / 100, stroke);
    });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10 }[event.key];
    if (!steps || event.altKey) return;
    event.preventDefault();
    const step = (steps * (event.shiftKey ? 0.1 : 1)) / 100;
    const [now, stroke] = [Number(this.slider.value), `key ${this.id}`];
    if (this.table.normalise) this.told.part(this.id, now / 100 + step, stroke);
    else this.told.share(this.id, Number((now + step).toFixed(4)), stroke);
  }
}
