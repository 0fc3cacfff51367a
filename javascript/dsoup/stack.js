/** The whole soup as one bar of 100 %. Its borders can be dragged. */
import { make } from "../../js/lib/elements.js";
import { nameOf } from "./draft.js";
import { colour } from "./fields.js";

let strokes = 0;

export class Stack {
  /** @param {(left: number, right: number, part: number, stroke: string) => void} drag places of two rows */
  constructor(drag) {
    this.drag = drag;
    this.element = make("div", { className: "ds-stack" });
    this.element.setAttribute("role", "img");
    /** @type {any[]} */
    this.parts = [];
  }

  /** @param {import("./draft.js").Row[]} rows @param {(number | null)[]} percents */
  show(rows, percents) {
    const inside = rows.map((row, at) => ({ row, at, percent: percents[at] ?? 0 })).filter(({ at }) => percents[at] !== null);
    while (this.parts.length < inside.length) this.parts.push(this.#part(this.parts.length));
    this.inside = inside;
    if (this.element.childElementCount !== inside.length || !this.element.contains(this.parts[0]?.element) || !inside.length) { // else a border that is dragged would be lost
      this.element.replaceChildren(...(inside.length ? this.parts.slice(0, inside.length).map(({ element }) => element)
        : [make("span", { className: "ds-none" }, "Nothing in the soup yet")]));
    }
    inside.forEach(({ row, at, percent }, number) => {
      const { element, text, border } = this.parts[number];
      const said = `${nameOf(row.file)} ${percent.toFixed(1)} %`;
      element.style.flexGrow = String(Math.max(percent, 0));
      element.style.setProperty("--ds-colour", colour(at));
      element.title = said;
      text.replaceChildren(make("b", {}, `${percent.toFixed(percent % 1 ? 1 : 0)} %`), ` ${nameOf(row.file)}`);
      const next = inside[number + 1];
      border.hidden = !next || row.locked || next.row.locked;
    });
    this.element.setAttribute("aria-label", inside.map(({ row, percent }) => `${nameOf(row.file)} ${percent} %`).join(", "));
  }

  /** @param {number} number */
  #part(number) {
    const [text, border] = [make("span"), make("i", { className: "ds-border", title: "Drag to move the border" })];
    const element = make("div", { className: "ds-part" }, text, border);
    border.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      event.preventDefault();
      const [one, other] = [this.inside[number], this.inside[number + 1]];
      const left = element.getBoundingClientRect().left;
      const { right } = this.parts[number + 1].element.getBoundingClientRect();
      const [stop, stroke] = [new AbortController(), `border ${++strokes}`];
      border.setPointerCapture(event.pointerId);
      border.addEventListener("pointermove", (/** @type {PointerEvent} */ { clientX }) => {
        const part = (clientX - left) / (right - left);
        const percent = Math.round(2 * part * (one.percent + other.percent)) / 2;
        this.drag(one.at, other.at, percent / (one.percent + other.percent), stroke);
      }, stop);
      for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
        border.addEventListener(end, () => stop.abort(), stop);
      }
    });
    return { element, text, border };
  }
}
