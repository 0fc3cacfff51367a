/** What the server knows of block weights: names, layouts of dialects, presets, and how a text is read. */
import { word } from "./words.js";

/** @typedef {import("./block_text.js").Tables} Tables */

/** Asks for the tables once, and for what a text means where only the engine can read it. */
export class BlockTables {
  /** @param {(route: string) => Promise<Response>} fetchApi */
  constructor(fetchApi) {
    this.fetchApi = fetchApi;
    /** @type {Promise<Tables | null> | null} */
    this.tables = null;
    /** @type {Tables | null} what was answered last */
    this.now = null;
  }

  /** Ask again next time: preset files may have changed. */
  forget() {
    this.tables = null;
  }

  /** @returns {Promise<Tables | null>} null where they are not to be had */
  get() {
    this.tables ??= this.#ask("/diffusion_soup/blocks").then((answer) => {
      this.now = answer?.families ? answer : null;
      return this.now;
    });
    return this.tables;
  }

  /**
   * @param {Record<string, string>} widgets
   * @returns {Promise<{weights?: Record<string, number>, error?: string}>}
   */
  async read(widgets) {
    const answer = await this.#ask(`/diffusion_soup/block_weights?${new URLSearchParams(widgets)}`);
    return answer ?? { error: word("This text is too long, or the server does not answer: it is not shown as bars.") };
  }

  /** @param {string} route @returns {Promise<any>} */
  async #ask(route) {
    try {
      return await (await this.fetchApi(route)).json();
    } catch {
      return null;
    }
  }
}
