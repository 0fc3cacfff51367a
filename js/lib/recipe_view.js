/** How a recipe looks wherever it is shown: its title, the bar of its shares, its facts. */
import { make } from "./elements.js";
import { word } from "./words.js";

/** After Okabe and Ito: told apart with any kind of colour vision; names and numbers always stand beside. */
const COLOURS = ["#3a8fd0", "#e69f00", "#2aa57e", "#cc79a7", "#7fc4ee", "#d9703a", "#d8cc45", "#9a9a9a"];
const MOST_NAMES = 3;

export const VIEW_CSS = `
.dsoup-sharebar { display: flex; gap: 1px; height: 8px; border-radius: 4px; overflow: hidden; flex: none;
  background: var(--comfy-input-bg, #222); }
.dsoup-sharebar > i { display: block; min-width: 2px; }
.dsoup-sharebar > i.lora { background-image: repeating-linear-gradient(135deg, transparent 0 3px, #0005 3px 5px); }
.dsoup-shares { list-style: none; margin: 0; padding: 0; display: grid; gap: 5px 8px;
  grid-template-columns: auto minmax(0, 1fr) auto; align-items: baseline; }
.dsoup-shares > li { display: contents; }
.dsoup-shares i { width: 9px; height: 9px; border-radius: 2px; }
.dsoup-shares b { font-weight: 600; font-variant-numeric: tabular-nums; text-align: right; }
.dsoup-shares .file { overflow-wrap: anywhere; }
.dsoup-shares .more { opacity: 0.7; font-size: 0.9em; }
.dsoup-shares .gone { color: var(--dsoup-warning); opacity: 1; }
.dsoup-hash { font-family: ui-monospace, monospace; font-size: 0.95em; }
`;

/** @param {number} at */
export const colour = (at) => COLOURS[at % COLOURS.length];

/** A file's name as people say it: without folder and suffix. @param {string} file */
export const nameIn = (file) => file.split("/").pop()?.replace(/\.[^.]+$/, "") ?? file;

/** @param {string} hash */
export const short = (hash) => hash.slice(0, 10);

/** "ember, lagoon and 2 more". @param {any} recipe */
export function titleOf(recipe) {
  const names = [...new Set(recipe.ingredients.map((/** @type {any} */ each) => nameIn(each.file)))];
  if (names.length > MOST_NAMES) {
    return word("{0} and {1} more", names.slice(0, 2).join(", "), names.length - 2);
  }
  return names.length < 2 ? `${names[0]}` : word("{0} and {1}", names.slice(0, -1).join(", "), names[names.length - 1]);
}

/** A share as it is said: percent where shares are scaled to sum to 100%. @param {number} share @param {any} recipe */
export const sayShare = (share, recipe) =>
  recipe.normalise ? `${round(share * 100, share < 0.0995 ? 1 : 0)}%` : String(round(share, 3)).replace("-", "−");

/** @param {number} value @param {number} digits */
const round = (value, digits) => Number(value.toFixed(digits));

/**
 * The bar of all shares; those below zero with their size.
 * @param {any} recipe
 * @param {number[] | null} shares
 */
export function shareBar(recipe, shares) {
  const bar = make("div", { className: "dsoup-sharebar" });
  bar.setAttribute("aria-hidden", "true"); // the numbers are said beside it
  for (const [at, each] of recipe.ingredients.entries()) {
    const part = make("i", { className: each.kind === "lora" ? "lora" : "" });
    part.style.cssText = `flex: ${1000 * Math.abs(shares?.[at] ?? each.weight)} 0 0; background-color: ${colour(at)}`;
    bar.append(part);
  }
  return bar;
}

/**
 * A row for each ingredient: share, name, what is special, and whether its file is here.
 * @param {import("./recipe_nodes.js").Told} told
 */
export function shareList(told) {
  const rows = told.recipe.ingredients.map((/** @type {any} */ each, /** @type {number} */ at) => {
    const swatch = make("i");
    swatch.style.background = colour(at);
    const share = told.shares ? sayShare(told.shares[at], told.recipe) : String(each.weight);
    const file = make("span", { className: "file" }, each.file);
    for (const line of special(each)) file.append(make("div", { className: "more" }, line));
    const state = whereabouts(told, each);
    if (state) file.append(make("div", { className: "more gone" }, `⚠ ${state}`));
    return make("li", {}, swatch, file, make("b", {}, share));
  });
  return make("ul", { className: "dsoup-shares" }, ...rows);
}

/** @param {any} each an ingredient @returns {string[]} */
function special(each) {
  const [blocks, rows] = [Object.keys(each.blocks).length, each.elements.length];
  const parts = [];
  if (each.kind === "lora") parts.push(each.strength === 1 ? "LoRA" : word("LoRA, strength {0}", each.strength));
  if (blocks) {
    parts.push(blocks === 1 ? word("other shares in {0} block", blocks) : word("other shares in {0} blocks", blocks));
  }
  if (rows) parts.push(rows === 1 ? word("{0} element row", rows) : word("{0} element rows", rows));
  const line = parts.join(" · ");
  return line ? [line] : [];
}

/**
 * What is to be said of a file's place; "" where it is here.
 * @param {import("./recipe_nodes.js").Told} told
 * @param {{kind?: string, file: string}} wanted
 */
export function whereabouts(told, { kind = "checkpoint", file }) {
  const known = told.files.find((each) => each.file === file && each.kind === kind);
  if (known?.state === "moved") return word("here it is called {0}", known.name);
  if (known?.state === "changed") return word("another file of this name is here");
  return known?.state === "missing" ? word("not found here") : "";
}

/**
 * The settings of a recipe, as pairs of a name and a value; options go by the names they are chosen by.
 * @param {any} recipe
 * @returns {[string, string][]}
 */
export function facts(recipe) {
  const owner = (/** @type {string | null} */ part) => (part === null ? "auto" : part);
  const { scale } = recipe.parameters;
  const method = recipe.method.replaceAll("_", " ");
  return /** @type {[string, string][]} */ ([
    [word("method"), scale === undefined ? method : word("{0}, scale {1}", method, scale)],
    ...(recipe.normalise ? [] : [[word("shares"), word("as they are, not scaled to 100%")]]),
    [word("base"), recipe.base?.file ?? "none"],
    [word("text encoder"), owner(recipe.text_encoder)],
    ["VAE", owner(recipe.vae)],
    [word("dtype"), recipe.dtype ?? "auto"],
  ]);
}
