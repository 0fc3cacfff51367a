/** What is said below the region canvas: what is wrong, with a button that mends it, or else what is to be known. */
import { make } from "./elements.js";
import { GRID } from "./region_geometry.js";
import { legends } from "./region_heat.js";
import { word } from "./words.js";

/** @typedef {import("./region_geometry.js").Box} Box */
/** @typedef {import("./region_scene.js").Entry} Entry */
/** @typedef {import("./region_scene.js").Scene} Scene */

export class RegionSaying {
  /** @param {() => void} fit regions to the canvas */
  constructor(fit) {
    this.text = make("span");
    this.text.setAttribute("role", "status");
    this.fit = make("button", { type: "button", textContent: word("Fit"),
      title: word("Make the region fit the canvas") });
    this.fit.addEventListener("click", fit);
    /** @type {HTMLElement} */
    this.element = make("div", { className: "dsoup-say dsoup-lines" }, this.fit, this.text);
  }

  /** @param {Scene} scene @param {Entry | null} entry that is selected @param {import("./region_heat.js").Heat} heat */
  show(scene, entry, heat) {
    const { culprit, trouble: wrong = "" } = scene;
    const absent = !scene.chain.canvas && !wrong ? word("Connect a Canvas with regions to see them here.") : "";
    const others = entry ? overlaps(scene, entry) : "";
    const text = wrong || absent || scene.notes.join(" ") || (heat === "none" ? others : legends()[heat][1]);
    if (this.text.textContent !== text) this.text.textContent = this.text.title = text;
    this.element.classList.toggle("wrong", Boolean(wrong));
    this.fit.hidden = !culprit || culprit.box !== null || !scene.canvas || culprit.cell >= 0;
  }
}

/** @param {Scene} scene @param {Entry} entry */
function overlaps({ canvas, entries }, entry) {
  if (!canvas || !entry.box) return "";
  const names = entries.filter((other) => other !== entry && other.box && share(canvas, entry, other) > 0)
    .map((other) => `${other.name} ${Math.max(1, Math.round(100 * share(canvas, entry, other)))}%`);
  return names.length ? word("{0} is overlapped by {1}.", entry.name, names.join(", ")) : "";
}

/**
 * How much of a region another one overlaps.
 * @param {import("./region_geometry.js").Canvas} canvas
 * @param {Entry} entry
 * @param {Entry} other
 */
function share(canvas, entry, other) {
  const [one, two] = [entry.box, other.box].map((box) => /** @type {Box} */ (box));
  const columns = canvas.width / GRID;
  const along = (/** @type {number} */ start, /** @type {number} */ size, /** @type {number} */ from,
    /** @type {number} */ length) => Math.max(0, Math.min(start + size, from + length) - Math.max(start, from));
  const turns = canvas.wrap ? [-columns, 0, columns] : [0];
  const wide = turns.reduce((sum, turn) => sum + along(one.x, one.width, two.x + turn, two.width), 0);
  return (Math.min(wide, one.width) * along(one.y, one.height, two.y, two.height)) / (one.width * one.height);
}
