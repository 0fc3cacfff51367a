/**
 * Mixes saved under a name, with the user on the server: one file for all students, read again before each change.
 *
 * What is in the file and not understood stays in it, and a file that cannot be read is never written over.
 */
import { word } from "./words.js";

/** @typedef {{name: string, styles: string[], weights: Map<string, number>}} Mix */
/** @typedef {{mixes: Mix[], strange: number, error: string}} Read */

export const FILE = "diffusion_soup/mixes.json";
const NEW_FILE = `${FILE}.new`;
const VERSION = 1;
const LONGEST = 80; // characters of a name

/** @param {unknown} value @returns {value is Record<string, any>} */
const isRecord = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** @param {string} name as it was typed */
export const tidyName = (name) => name.replace(/[\s\p{C}]+/gu, " ").trim().slice(0, LONGEST).trim();

/** Whether two students have the same styles, in whatever order. @param {string[]} some @param {string[]} others */
export const sameStyles = (some, others) =>
  some.length === others.length && new Set([...some, ...others]).size === new Set(some).size;

// -- the file ------------------------------------------------------------------------------------

/** @param {unknown} entry @returns {Mix | null} */
function readMix(entry) {
  if (!isRecord(entry)) return null;
  const { name, styles, weights } = entry;
  const named = typeof name === "string" && name !== "";
  const listed = Array.isArray(styles) && styles.every((style) => typeof style === "string");
  const weighed = isRecord(weights) && Object.values(weights).every((weight) => Number.isFinite(weight));
  return named && listed && weighed ? { name, styles, weights: new Map(Object.entries(weights)) } : null;
}

/**
 * @param {string} text
 * @returns {{file: Record<string, any>} | {error: string}}
 */
export function parseFile(text) {
  if (!text.trim()) return { file: { version: VERSION, mixes: [] } };
  let file;
  try {
    file = JSON.parse(text);
  } catch {
    return { error: word("{0} in your user folder is not JSON. Nothing is saved over it: repair it, or move it away.",
      FILE) };
  }
  if (!isRecord(file) || !Array.isArray(file.mixes)) {
    return { error: word(
      "{0} in your user folder has no list \"mixes\". Nothing is saved over it: repair it, or move it away.", FILE) };
  }
  if (file.version !== VERSION) {
    return { error: word("{0} in your user folder has the version {1}, and only {2} is known here. " +
      "Nothing is saved over it: update Diffusion Soup, or move it away.",
    FILE, JSON.stringify(file.version), VERSION) };
  }
  return { file };
}

/** @param {Record<string, any>} file @returns {{mixes: Mix[], strange: number}} */
export function mixesOf(file) {
  const read = file.mixes.map(readMix);
  const mixes = read.filter((/** @type {Mix | null} */ mix) => mix !== null);
  return { mixes, strange: read.length - mixes.length };
}

/**
 * The file with one mix changed, everything else as it was.
 * @param {Record<string, any>} file
 * @param {{name: string, styles: string[]}} key which one
 * @param {Mix | null} mix what it becomes; null: it goes
 */
export function withMix(file, key, mix) {
  const at = file.mixes.findIndex((/** @type {unknown} */ entry) => {
    const read = readMix(entry);
    return read !== null && read.name === key.name && sameStyles(read.styles, key.styles);
  });
  const old = at < 0 ? {} : file.mixes[at];
  const written = mix ? [{ ...old, name: mix.name, styles: mix.styles, weights: Object.fromEntries(mix.weights) }] : [];
  const mixes = [...file.mixes];
  mixes.splice(at < 0 ? mixes.length : at, at < 0 ? 0 : 1, ...written);
  return { ...file, mixes };
}

// -- the server ----------------------------------------------------------------------------------

/** What ComfyUI offers for files of the user. */
/** @typedef {{getUserData: Function, storeUserData: Function, moveUserData?: Function}} UserData */

export class MixStore {
  /** @param {UserData} api */
  constructor(api) {
    this.api = api;
    /** @type {Promise<unknown>} changes wait for each other */
    this.queue = Promise.resolve();
  }

  /** @returns {Promise<Read>} */
  async read() {
    const found = await this.#load();
    return "error" in found ? { mixes: [], strange: 0, error: found.error } : { ...mixesOf(found.file), error: "" };
  }

  /**
   * Save, replace, rename or remove one mix.
   * @param {{name: string, styles: string[]}} key
   * @param {Mix | null} mix
   * @returns {Promise<string>} why it could not be done; "" when it is
   */
  change(key, mix) {
    const changed = this.queue.then(() => locked(() => this.#change(key, mix)));
    this.queue = changed.catch(() => {});
    return changed;
  }

  /** @param {{name: string, styles: string[]}} key @param {Mix | null} mix */
  async #change(key, mix) {
    const found = await this.#load();
    if ("error" in found) return found.error;
    return this.#store(withMix(found.file, key, mix));
  }

  /** @returns {Promise<{file: Record<string, any>} | {error: string}>} */
  async #load() {
    try {
      const response = await this.api.getUserData(FILE, { cache: "no-store" });
      if (response.status === 404) return parseFile("");
      if (response.ok) return parseFile(await response.text());
      return { error: word("The saved mixes cannot be read: the server answers {0}.", response.status) };
    } catch {
      return { error: word("The saved mixes cannot be read: the server does not answer.") };
    }
  }

  /** Write a new file, and put it in place of the old one when it is whole. @param {Record<string, any>} file */
  async #store(file) {
    const [text, move] = [`${JSON.stringify(file, null, 1)}\n`, this.api.moveUserData];
    const options = { overwrite: true, stringify: false, throwOnError: true, full_info: false };
    try {
      await this.api.storeUserData(move ? NEW_FILE : FILE, text, options);
      const moved = await move?.call(this.api, NEW_FILE, FILE, { overwrite: true });
      return !moved || moved.ok ? ""
        : word("The mix could not be saved: the server answers {0}.", moved.status);
    } catch (error) {
      return word("The mix could not be saved: {0}", error instanceof Error ? error.message : error);
    }
  }
}

/** One at a time in all windows of this browser, where it can be had. @param {() => Promise<string>} change */
async function locked(change) {
  return globalThis.navigator?.locks?.request("diffusion_soup mixes", change) ?? change();
}
