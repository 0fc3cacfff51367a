/** What a Cook Soup's table reads of the graph: what comes from a recipe, then the chain before the node. */
import { chainOf, isActive } from "./ingredient_chain.js";
import { lineOfNode, lineOfRecipe, lineUnknown } from "./ingredient_lines.js";
import { inputOf, valueOf } from "./nodes.js";

/** @typedef {import("./ingredient_facts.js").IngredientFacts} IngredientFacts */
/** @typedef {import("./ingredient_lines.js").Line} Line */

export class IngredientList {
  /**
   * @param {any} node
   * @param {() => Promise<any>} prompt what would be queued
   * @param {IngredientFacts} server
   */
  constructor(node, prompt, server) {
    this.node = node;
    this.prompt = prompt;
    this.server = server;
    /** @type {Line[]} */
    this.lines = [];
    /** @type {any[]} of the chain */
    this.nodes = [];
    /** @type {any[] | null} ingredients of a recipe that come before the chain, or are cooked instead */
    this.before = null;
    this.instead = false;
    this.question = 0;
  }

  /** Read the nodes. @returns {boolean} whether the server has to be asked for what the browser cannot follow */
  read() {
    const { node } = this;
    this.instead = inputOf(node, "recipe")?.link != null;
    const { nodes, beyond } = this.instead ? { nodes: [], beyond: "recipe" } : chainOf(node);
    if (!beyond) this.before = null;
    const foreign = (this.before ?? []).map(lineOfRecipe);
    if (beyond && !this.before) foreign.push(lineUnknown(beyond));
    this.nodes = nodes;
    this.lines = [...foreign, ...nodes.map((each) => lineOfNode(each, node))];
    return Boolean(beyond);
  }

  /** Read the nodes, and show what is there; then again with what the server says. @param {() => void} show */
  async refresh(show) {
    const question = ++this.question;
    const beyond = this.read();
    show();
    if (!beyond) return;
    const before = await this.#cooked(this.nodes);
    if (question !== this.question) return;
    this.before = before;
    this.read();
    show();
  }

  /**
   * The ingredients that the browser cannot follow, as the server reads them out of the prompt.
   * @param {any[]} nodes
   * @returns {Promise<any[] | null>}
   */
  async #cooked(nodes) {
    try {
      const prompt = (await this.prompt()).output;
      const keys = Object.keys(prompt).filter((key) => key === String(this.node.id) || key.endsWith(`:${this.node.id}`));
      const found = keys.length === 1 ? (await this.server.cooked(prompt, keys[0]))?.ingredients : null;
      if (!Array.isArray(found)) return null;
      return this.instead ? found : found.slice(0, Math.max(found.length - nodes.filter(isActive).length, 0));
    } catch {
      return null;
    }
  }

  get parts() {
    return this.lines.map(({ share, active, locked, fixed }) => ({ share, active, locked: locked || fixed }));
  }

  /** How many rows come before those of the chain, from a recipe. */
  get foreign() {
    return this.lines.filter(({ node }) => !node).length;
  }

  get normalise() {
    return valueOf(this.node, "normalise") !== false;
  }
}
