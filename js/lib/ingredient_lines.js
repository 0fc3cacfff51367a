/** What the rows of the table of ingredients are about: nodes of the chain, or what comes from elsewhere. */
import { KINDS, isActive, isLocked, sharedWith, titleOf } from "./ingredient_chain.js";
import { shareText } from "./ingredient_shares.js";
import { inputOf, kindOf, originOf, valueOf } from "./nodes.js";
import { word } from "./words.js";

/**
 * @typedef {object} Line
 * @property {any} node null where it is no node of this chain
 * @property {string} kind
 * @property {string} file "" where it is not known
 * @property {number | undefined} share undefined where it is known only when the graph runs
 * @property {number} strength
 * @property {boolean} active
 * @property {boolean} locked
 * @property {boolean} fixed whether its share cannot be changed from here
 * @property {string} why where it is not plain what it is
 * @property {string[]} marks words beside its name, each with an explanation on a second line
 */

const blocksMark = () => `${word("blocks")}\n${word("Its percentages differ in single blocks: it has block weights")}`;

/** @param {string} kind @param {number} strength */
const loraMark = (kind, strength) =>
  (kind === "lora" ? [`LoRA ×${shareText(strength)}\n${word("Strength of the LoRA on the base")}`] : []);

/**
 * @param {any} node an ingredient
 * @param {any} cook whose table it is
 * @returns {Line}
 */
export function lineOfNode(node, cook) {
  const share = valueOf(node, "share");
  const linked = originOf(node, inputOf(node, "share")) !== null;
  const kind = KINDS[kindOf(node)];
  const strength = kind === "lora" ? Number(valueOf(node, "strength") ?? 1) : 1;
  const file = String(valueOf(node, "file") ?? "");
  const blocks = inputOf(node, "block_weights")?.link != null || String(valueOf(node, "elements") ?? "").trim();
  const shared = sharedWith(node, cook).slice(0, 1).map((other) =>
    `${word("shared")}\n${word("Also used by {0}: a change counts there too", `${titleOf(other)} (#${other.id})`)}`);
  return {
    node, kind, file, strength, active: isActive(node), locked: isLocked(node), fixed: linked,
    marks: [...loraMark(kind, strength), ...(blocks ? [blocksMark()] : []), ...shared],
    share: share === undefined ? undefined : Number(share),
    why: linked ? word("Its share comes through a link.") : file ? "" : word("Its file comes through a link."),
  };
}

/**
 * @param {any} each an ingredient of a recipe, as JSON
 * @returns {Line}
 */
export function lineOfRecipe({ kind = "checkpoint", file, weight = 1, strength = 1, blocks, elements }) {
  const why = word("It comes from a recipe, which decides its share.");
  const own = Object.keys(blocks ?? {}).length || elements?.length;
  return {
    node: null, kind, file, strength, share: weight, active: true, locked: true, fixed: true, why,
    marks: [`${word("recipe")}\n${why}`, ...loraMark(kind, strength), ...(own ? [blocksMark()] : [])],
  };
}

/**
 * @param {string} beyond what comes before the chain, as chains call it
 * @returns {Line}
 */
export function lineUnknown(beyond) {
  const why = {
    recipe: word("More from a recipe, known when the graph runs"),
    outside: word("More from outside of this subgraph, known when the graph runs"),
    "a circle of links": word("More from a circle of links, known when the graph runs"),
    "a longer chain": word("More from a longer chain, known when the graph runs"),
  }[beyond] ?? word("More from {0}, known when the graph runs", beyond);
  return {
    node: null, kind: "", file: "", strength: 1, share: undefined, active: true, locked: true, fixed: true, marks: [],
    why,
  };
}
