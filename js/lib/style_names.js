/** The names of the styles that feed a node: found in the graph, asked from the server. */
import { inputOf, kindOf, originOf, valueOf } from "./nodes.js";

/**
 * The file and names of the Load Student that feeds an input, through reroutes and bypassed nodes; null where it is
 * another node, or they are not known before the graph runs.
 * @param {any} node
 * @param {string} name
 * @returns {{file: string, names: string} | null}
 */
export function studentOf(node, name) {
  let from = originOf(node, inputOf(node, name));
  for (const seen = new Set(); from && !seen.has(from.origin); ) {
    const { origin } = from;
    seen.add(origin);
    if (kindOf(origin) === "DSoupStudent") {
      const [file, names] = [valueOf(origin, "file"), valueOf(origin, "names")];
      return typeof file === "string" && typeof names === "string" ? { file, names } : null;
    }
    const bypassed = origin.mode === 4 && kindOf(origin) === "DSoupStyleSwap";
    if (kindOf(origin) !== "Reroute" && !bypassed) return null;
    from = originOf(origin, bypassed ? inputOf(origin, "styles") : origin.inputs?.[0]);
  }
  return null;
}

/** Asks the server for the styles of files, once for each question. */
export class StyleNames {
  /** @param {(route: string) => Promise<Response>} fetchApi */
  constructor(fetchApi) {
    this.fetchApi = fetchApi;
    /** @type {Map<string, Promise<string[]>>} */
    this.known = new Map();
  }

  /** Ask again next time: files may have changed. */
  forget() {
    this.known.clear();
  }

  /**
   * @param {{file: string, names: string} | null} student
   * @returns {Promise<string[]>} empty where there are none to be had
   */
  of(student) {
    if (!student) return Promise.resolve([]);
    const query = new URLSearchParams(student).toString();
    const known = this.known.get(query) ?? this.#ask(query);
    this.known.set(query, known);
    return known;
  }

  /** @param {string} query */
  async #ask(query) {
    try {
      const response = await this.fetchApi(`/diffusion_soup/styles?${query}`);
      const { styles } = response.ok ? await response.json() : { styles: [] };
      return Array.isArray(styles) ? styles.filter((style) => typeof style === "string") : [];
    } catch {
      return [];
    }
  }
}
