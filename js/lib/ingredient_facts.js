/** What the server knows of ingredients: facts from headers, hashes, how they taste together. */
import { word } from "./words.js";

/**
 * @typedef {object} Facts of one file
 * @property {string} [title] its architecture in words
 * @property {string[]} [parts]
 * @property {string} [dtype]
 * @property {number} [bytes]
 * @property {string | null} [sha256] null where nobody has hashed it yet
 * @property {number | null} [hashing] how much of it is hashed
 * @property {number} [layers] of a LoRA
 * @property {number[]} [ranks]
 * @property {string} [error]
 */
/**
 * @typedef {object} Tasted
 * @property {string} file
 * @property {string} verdict
 * @property {string} word
 * @property {string} sentence
 * @property {number | null} distance
 * @property {Record<string, number | null>} blocks
 */
/**
 * @typedef {object} Taste
 * @property {string | null} base
 * @property {string} reference
 * @property {Tasted[]} ingredients
 * @property {string} [error]
 */
/** @typedef {{kind: string, file: string, strength: number, active: boolean}} Asked */

const MOST_KEPT = 100;

/** A size in bytes as people say it. @param {number} bytes */
export function sizeText(bytes) {
  const said = (/** @type {number} */ amount) => (amount >= 9.95 ? amount.toFixed(0) : amount.toFixed(1));
  if (bytes >= 1e9) return word("{0} GB", said(bytes / 1e9));
  return bytes >= 1e6 ? word("{0} MB", said(bytes / 1e6)) : word("{0} kB", said(bytes / 1e3));
}

export class IngredientFacts {
  /** @param {(route: string, options?: any) => Promise<Response>} fetchApi */
  constructor(fetchApi) {
    this.fetchApi = fetchApi;
    /** @type {Map<string, Promise<any>>} */
    this.known = new Map();
  }

  /** Ask again next time: files may have changed. */
  forget() {
    this.known.clear();
  }

  /** @param {string} kind @param {string} file @returns {Promise<Facts>} */
  of(kind, file) {
    return this.#once(`/diffusion_soup/ingredient?${new URLSearchParams({ kind, file })}`);
  }

  /** @param {string} kind @param {string} file the facts as they are now */
  again(kind, file) {
    this.known.delete(`/diffusion_soup/ingredient?${new URLSearchParams({ kind, file })}`);
    return this.of(kind, file);
  }

  /**
   * @param {string} base "" for none
   * @param {Asked[]} asked
   * @returns {Promise<Taste>}
   */
  taste(base, asked) {
    const query = new URLSearchParams(base ? { base } : {});
    for (const { kind, file, strength, active } of asked) {
      query.append("ingredient", file);
      query.append("kind", kind);
      query.append("strength", String(strength));
      query.append("active", active ? "1" : "0");
    }
    return this.#once(`/diffusion_soup/taste?${query}`);
  }

  /** Begin to hash a file, or stop it. @param {string} kind @param {string} file @param {boolean} cancel */
  hash(kind, file, cancel) {
    return this.#ask("/diffusion_soup/hash", { method: "POST", body: JSON.stringify({ kind, file, cancel }) });
  }

  /** The recipe that a Cook Soup cooks, as far as that is known. @param {any} prompt @param {string} node */
  async cooked(prompt, node) {
    const ours = Object.fromEntries(Object.entries(prompt).filter(([, each]) =>
      String(/** @type {any} */ (each).class_type).startsWith("DSoup")));
    const body = JSON.stringify({ prompt: ours, node });
    return (await this.#once("/diffusion_soup/cooked", { method: "POST", body })).recipe ?? null;
  }

  /** @param {string} route @param {any} [options] @returns {Promise<any>} */
  #once(route, options) {
    const question = `${route} ${options?.body ?? ""}`.trim();
    const known = this.known.get(question) ?? this.#ask(route, options);
    this.known.delete(question);
    this.known.set(question, known);
    if (this.known.size > MOST_KEPT) this.known.delete(/** @type {string} */ (this.known.keys().next().value));
    return known;
  }

  /** @param {string} route @param {any} [options] @returns {Promise<any>} */
  async #ask(route, options) {
    try {
      const answer = await (await this.fetchApi(route, options)).json();
      return answer && typeof answer === "object" ? answer : {};
    } catch {
      this.known.clear(); // it may answer next time
      return {};
    }
  }
}
