/** The tools over the table of ingredients: how many there are, copy the recipe, make shares equal, add another one. */
import { make } from "./elements.js";
import { word } from "./words.js";

/**
 * @typedef {object} Told
 * @property {() => void} copy the recipe
 * @property {() => void} equal
 * @property {(kind: string, file: string) => void} add
 * @property {(kind: string) => string[]} files that a kind of ingredient offers
 */

const SHORT = 60; // letters of a file's name in the menu

export const TOOLS_CSS = `
.dsoup-ingredients .dsoup-tools > * { flex: none; white-space: nowrap; }
.dsoup-ingredients .dsoup-tools > :first-child { flex: 0 1000 auto; min-width: 0; margin-right: auto; opacity: 0.8;
  overflow: hidden; text-overflow: ellipsis; }
.dsoup-ingredients .dsoup-ing-copy { flex: 0 1 auto; min-width: 0; overflow: hidden; text-overflow: ellipsis; }
.dsoup-ingredients .dsoup-ing-add { width: 92px; font-weight: 600; }
`;

export class IngredientTools {
  /** @type {HTMLElement} */ title = make("span");
  /** @type {HTMLSelectElement} */ add = make("select", { className: "dsoup-ing-add" });

  /** @param {Told} told */
  constructor(told) {
    this.told = told;
    this.copy = this.#button(word("Copy recipe"), word("Copy the recipe as text: it need not be cooked"), told.copy);
    this.copy.className = "dsoup-ing-copy";
    this.equal = this.#button(word("Equal"), word("The same percentage for every row that is not locked"), told.equal);
    this.add.title = word("Add an ingredient to the end of the chain");
    this.add.setAttribute("aria-label", word("Add an ingredient"));
    for (const kind of ["pointerdown", "focus"]) this.add.addEventListener(kind, () => this.#offer());
    this.add.addEventListener("change", () => {
      const [kind, ...file] = this.add.value.split(" ");
      this.add.value = "";
      told.add(kind, file.join(" "));
    });
    this.#offer();
    /** @type {HTMLElement} */
    this.element = make("div", { className: "dsoup-tools" }, this.title, this.copy, this.equal, this.add);
  }

  /**
   * @param {boolean[]} active whether each row is in the soup
   * @param {boolean} own whether one of them can be changed here
   */
  show(active, own) {
    this.copy.disabled = !active.length;
    this.equal.disabled = !own;
    this.title.textContent = countText(active.filter(Boolean).length, active.filter((on) => !on).length);
  }

  /** @param {string} text @param {string} title @param {() => void} click @returns {HTMLButtonElement} */
  #button(text, title, click) {
    const made = make("button", { type: "button", title }, text);
    made.addEventListener("click", click);
    return made;
  }

  /** Fill the menu with what can be added. */
  #offer() {
    const group = (/** @type {string} */ label, /** @type {string} */ kind) => make("optgroup", { label },
      ...this.told.files(kind).map((file) => make("option", { value: `${kind} ${file}` },
        file.length > SHORT ? `…${file.slice(-SHORT)}` : file)));
    const groups = [group(word("Checkpoints"), "DSoupIngredient"), group(word("LoRAs"), "DSoupLoRAIngredient")];
    const count = 1 + groups.reduce((sum, { children }) => sum + children.length, 0);
    if (this.add.options.length === count) return;
    this.add.replaceChildren(make("option", { value: "", hidden: true }, word("+ Add")),
      ...groups.filter(({ children }) => children.length));
    this.add.value = "";
  }
}

/** @param {number} active @param {number} bypassed */
function countText(active, bypassed) {
  if (!active && !bypassed) return word("Ingredients");
  if (!bypassed) return active === 1 ? word("1 ingredient") : word("{0} ingredients", active);
  return active === 1 ? word("1 ingredient, {0} bypassed", bypassed) : word("{0} ingredients, {1} bypassed", active, bypassed);
}
