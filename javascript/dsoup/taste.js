/** Taste before cooking: what the engine says of the ingredients, and the heat map. */
import { make } from "../../js/lib/elements.js";
import { card, press } from "./fields.js";

/**
 * The engine's report: headings, lists, tables, bold and code. Nothing of it is taken for HTML.
 * @param {string} text
 */
export function markdown(text) {
  const blocks = [];
  let list = null;
  let table = null;
  for (const line of text.split("\n")) {
    const item = /^\s*[-*] (.*)/.exec(line);
    const heading = /^#+ (.*)/.exec(line);
    const cells = /^\s*\|(.*)\|\s*$/.exec(line)?.[1].split("|").map((cell) => cell.trim());
    if (!item) list = null;
    if (!cells) table = null;
    if (item) {
      if (!list) blocks.push((list = make("ul")));
      list.append(make("li", {}, ...inline(item[1])));
    } else if (cells) {
      if (!table) blocks.push((table = make("table")));
      if (cells.every((cell) => /^:?-+:?$/.test(cell))) continue;
      table.append(make("tr", {}, ...cells.map((cell) => make(table.childElementCount ? "td" : "th", {}, ...inline(cell)))));
    } else if (heading) {
      blocks.push(make("h4", {}, ...inline(heading[1])));
    } else if (line.trim()) {
      blocks.push(make("p", {}, ...inline(line)));
    }
  }
  return blocks;
}

/** @param {string} text */
const inline = (text) => text.split(/(\*\*[^*]+\*\*|`[^`]+`)/).filter(Boolean).map((part) =>
  part.startsWith("**") ? make("b", {}, part.slice(2, -2)) : part.startsWith("`") ? make("code", {}, part.slice(1, -1)) : part);

export class Taste {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
    this.button = press("Taste", "How the ingredients go together, before anything is cooked", () => void this.#taste(), { id: "dsoup_taste" });
    this.result = make("div", { className: "ds-taste", id: "dsoup_taste_result" },
      make("p", { className: "ds-note" }, "Compares the ingredients before you cook: how far each lies from the base, which pull together, which against each other."));
    this.element = card("Taste", this.result);
    this.element.querySelector("header").append(this.button);
  }

  show() {
    const now = this.app.recipe?.hash;
    const old = this.tasted && now && this.tasted !== now;
    this.result.classList.toggle("old", Boolean(old));
  }

  async #taste() {
    const { app } = this;
    this.button.disabled = true;
    this.result.replaceChildren(make("p", { className: "ds-note" }, "Tasting…"));
    const answer = await app.ask.slow("taste", { draft: app.sent() });
    this.button.disabled = false;
    this.tasted = answer.hash ?? "";
    this.show();
    if (answer.error) return this.result.replaceChildren(make("p", { className: "ds-error" }, answer.error));
    const picture = make("img", { src: answer.picture, alt: "Heat map of the ingredients", title: "Click for full size" });
    picture.addEventListener("click", () => picture.classList.toggle("large"));
    this.result.replaceChildren(picture, ...markdown(answer.report));
  }
}
