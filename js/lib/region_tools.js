/** The tools above the region canvas: drawing, which chain, what the picture shows, large, folded. */
import { button, make } from "./elements.js";
import { widgetOf } from "./nodes.js";
import { panoramasOf, titleOf } from "./region_chain.js";
import { legends } from "./region_heat.js";
import { offer } from "./region_panel.js";
import { word } from "./words.js";

const ICONS = {
  draw: "M2.5 4.5 V2.5 H4.5 M7 2.5 H9 M2.5 7 V9 M11.5 4.5 V2.5 H10 M2.5 10 V11.5 H4.5 M11 8 V14 M8 11 H14",
  large: "M9.5 2.5 H13.5 V6.5 M13.5 2.5 L9 7 M6.5 13.5 H2.5 V9.5 M2.5 13.5 L7 9",
  fold: "M3 10 L8 5 L13 10",
  unfold: "M3 6 L8 11 L13 6",
};

/**
 * @typedef {object} Told
 * @property {(id: string) => void} chain another one was chosen
 * @property {(heat: string) => void} heat
 * @property {() => void} draw
 * @property {() => void} large
 * @property {() => void} fold
 */
/**
 * @typedef {object} Shown
 * @property {any[]} ends the last nodes of the chains that begin here
 * @property {any} end of the chain that is shown
 * @property {import("./region_heat.js").Heat} heat
 * @property {boolean} ready whether there is a canvas to draw on
 * @property {boolean} foldable
 * @property {boolean} folded
 * @property {number} count of regions
 */

export class RegionTools {
  /** @param {Told} told */
  constructor(told) {
    /** @type {HTMLSelectElement} */
    this.chains = make("select", { title: word("Which of the chains that begin here") });
    this.chains.setAttribute("aria-label", word("Chain"));
    this.chains.addEventListener("change", () => told.chain(this.chains.value));
    /** @type {HTMLSelectElement} */
    this.heats = make("select", {}, ...Object.entries(legends()).map(([value, [label]]) =>
      make("option", { value }, label)));
    this.heats.setAttribute("aria-label", word("What the picture shows"));
    this.heats.addEventListener("change", () => told.heat(this.heats.value));
    this.draw = button(ICONS.draw, word("Draw a region (N), over others too"), told.draw);
    this.large = button(ICONS.large, word("Large (Esc to close)"), told.large);
    this.fold = button(ICONS.fold, word("Fold the regions away"), told.fold);
    /** @type {HTMLElement} */
    this.count = make("span", { className: "dsoup-count" });
    /** @type {HTMLElement} */
    this.element = make("div", { className: "dsoup-tools" }, this.draw, this.chains, this.heats, this.count,
      this.large, this.fold);
  }

  /** @param {Shown} shown */
  show({ ends, end, heat, ready, foldable, folded, count }) {
    this.chains.hidden = ends.length < 2;
    if (ends.length > 1) {
      offer(this.chains, ends.map((each) => ({ value: String(each.id), label: nameOf(each) })), String(end.id));
    }
    this.heats.value = heat;
    this.heats.title = legends()[heat][1];
    this.draw.disabled = !ready;
    this.fold.hidden = !foldable;
    this.fold.replaceChildren(...button(folded ? ICONS.unfold : ICONS.fold, "", () => {}).children);
    this.fold.setAttribute("aria-expanded", String(!folded));
    this.count.textContent = !folded ? "" : count === 1 ? word("1 region") : word("{0} regions", count);
    for (const part of [this.heats, this.draw, this.large]) part.hidden = folded;
  }

  /** @param {boolean} drawing */
  drawing(drawing) {
    this.draw.setAttribute("aria-pressed", String(drawing));
  }
}

/** @param {any} end of a chain */
function nameOf(end) {
  const panoramas = panoramasOf(end).map((each) => `${titleOf(each)} #${each.id}`);
  return panoramas.length ? panoramas.join(", ")
    : word("to {0} #{1}", widgetOf(end, "name")?.value || titleOf(end), end.id);
}
