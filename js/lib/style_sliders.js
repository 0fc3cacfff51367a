/**
 * One slider for each style of a student, over the text `weights` of Mix Styles.
 *
 * The text is the only state: sliders read it and write it, and are saved nowhere.
 */
import { forward, takePlace } from "./elements.js";
import { chain, inputOf, kindOf, originOf, valueOf, widgetOf } from "./nodes.js";

const STEP = 0.01;
const ROW = 26;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** How the sliders look; both renderings of nodes have these colours. */
export const CSS = `
.dsoup-styles {
  display: flex; flex-direction: column; gap: 4px; box-sizing: border-box; overflow: hidden;
  contain: inline-size; /* long names are cut, and do not make the node wider */
}
.dsoup-styles:empty { display: none; }
.dsoup-style {
  position: relative; flex: none; display: flex; align-items: center; gap: 8px; height: ${ROW - 4}px; padding: 0 8px;
  box-sizing: border-box; border-radius: 4px; overflow: hidden; font-size: 12px; line-height: 1;
  color: var(--input-text, #ddd);
  --dsoup-fill: color-mix(in srgb, var(--p-primary-color, #5b8dd6) 45%, transparent);
  background: linear-gradient(to right, transparent var(--from), var(--dsoup-fill) var(--from) var(--to),
    transparent var(--to)), var(--comfy-input-bg, #222);
}
.lg-node .dsoup-style {
  border-radius: 8px; background-color: var(--component-node-widget-background, var(--comfy-input-bg, #222));
}
.dsoup-style:focus-within:has(:focus-visible) {
  outline: 1px solid var(--p-primary-color, #5b8dd6); outline-offset: -1px;
}
.dsoup-style span { flex: 1; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; line-height: 1.4; }
.dsoup-style output { font-variant-numeric: tabular-nums; }
.dsoup-style.zero span, .dsoup-style.zero output { opacity: 0.65; }
.dsoup-style input {
  position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize;
  appearance: none; -webkit-appearance: none;
}
.dsoup-style input::-webkit-slider-thumb { -webkit-appearance: none; width: 2px; height: 100%; }
.dsoup-style input::-moz-range-thumb { width: 2px; height: 100%; border: 0; }
`;

// -- the text ------------------------------------------------------------------------------------

/**
 * @param {string} part one `name = weight`
 * @returns {{name: string, weight: number} | null} null for anything else
 */
function parsePart(part) {
  const at = part.lastIndexOf("=");
  const number = part.slice(at + 1).trim();
  return at < 0 || !NUMBER.test(number) ? null : { name: part.slice(0, at).trim(), weight: Number(number) };
}

/**
 * The text with names: numbers alone count in the order of the styles.
 * @param {string} text
 * @param {string[]} names
 */
function withNames(text, names) {
  const numbers = text.split(/[\s,]+/).filter(Boolean);
  if (!numbers.length || numbers.length > names.length || !numbers.every((number) => NUMBER.test(number))) return text;
  return numbers.flatMap((number, at) => (Number(number) ? [`${names[at]} = ${Number(number)}`] : [])).join("\n");
}

/**
 * The weights in the text, by name; the first one where a name is listed twice.
 * @param {string} text
 * @param {string[]} names the styles, in order
 * @returns {Map<string, number>}
 */
export function readWeights(text, names) {
  const found = withNames(text, names).split(/[\n,]/).map(parsePart).filter((part) => part !== null);
  return new Map(found.reverse().map(({ name, weight }) => [name, weight]));
}

/**
 * The text with another weight of one style, everything else as it was. A weight of 0 is left out; a new one goes
 * before the first style that comes later in `names`.
 * @param {string} text
 * @param {string[]} names the styles, in order
 * @param {string} name
 * @param {number} weight
 * @returns {string}
 */
export function writeWeight(text, names, name, weight) {
  let missing = weight === 0 ? "" : `${name} = ${weight}`;
  const lines = withNames(text, names).split("\n").flatMap((line) => {
    const parts = line.split(",");
    if (!parts.some((part) => parsePart(part)?.name === name)) return [line];
    const kept = parts.map((part) => {
      if (parsePart(part)?.name !== name) return part.trim();
      const written = missing;
      missing = "";
      return written;
    });
    return kept.some(Boolean) ? [kept.filter(Boolean).join(", ")] : [];
  });
  if (missing) {
    while (lines.length && !lines[lines.length - 1].trim()) lines.pop();
    const later = lines.findIndex((line) => line.split(",").some((part) =>
      names.indexOf(parsePart(part)?.name ?? "") > names.indexOf(name)));
    lines.splice(later < 0 ? lines.length : later, 0, missing);
  }
  return lines.join("\n");
}

// -- the student ---------------------------------------------------------------------------------

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

// -- the names -----------------------------------------------------------------------------------

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

// -- the sliders ---------------------------------------------------------------------------------

/** The sliders of one Mix Styles node. */
export class StyleSliders {
  /**
   * @param {any} node
   * @param {any} canvas what gets wheel and middle button, as over any other part of the canvas
   */
  constructor(node, canvas) {
    this.node = node;
    /** @type {string[]} */
    this.names = [];
    /** @type {Map<string, HTMLElement>} */
    this.rows = new Map();
    this.question = 0;
    this.element = document.createElement("div");
    this.element.className = "dsoup-styles";
    forward(this.element, canvas);
    const height = () => (this.rows.size ? this.rows.size * ROW - 4 + 20 : 0);
    this.widget = node.addDOMWidget("sliders", "dsoup_sliders", this.element, {
      serialize: false, getMinHeight: height, getMaxHeight: height,
    });
    this.widget.serialize = false;
    this.widget.hidden = true;
    for (const name of ["weights", "extrapolate"]) {
      const widget = widgetOf(node, name);
      if (widget) chain(widget, "callback", () => this.read());
    }
  }

  /** @param {StyleNames} known */
  async refresh(known) {
    const question = ++this.question;
    const writable = !originOf(this.node, inputOf(this.node, "weights"));
    const names = writable ? await known.of(studentOf(this.node, "styles")) : [];
    if (question === this.question) this.show(names);
  }

  /** @param {string[]} names */
  show(names) {
    takePlace(this.element, this.node);
    if (names.join("\n") !== this.names.join("\n")) {
      this.names = names;
      this.rows = new Map(names.map((name) => [name, this.#row(name)]));
      this.element.replaceChildren(...this.rows.values());
      this.widget.hidden = !names.length;
      const [width, height] = [this.node.size[0], this.node.computeSize()[1]];
      if (this.node.size[1] < height) this.node.setSize([width, height]);
      this.node.setDirtyCanvas?.(true, true);
    }
    this.read();
  }

  /** Put the sliders where the text says. */
  read() {
    const weights = readWeights(String(widgetOf(this.node, "weights")?.value ?? ""), this.names);
    const [min, max] = valueOf(this.node, "extrapolate") === true ? [-1, 2] : [0, 1];
    const share = (/** @type {number} */ value) =>
      `${(100 * (Math.min(Math.max(value, min), max) - min)) / (max - min)}%`;
    for (const [name, row] of this.rows) {
      const weight = weights.get(name) ?? 0;
      const input = /** @type {HTMLInputElement} */ (row.querySelector("input"));
      Object.assign(input, { min, max, value: weight });
      /** @type {HTMLElement} */ (row.querySelector("output")).textContent = weight.toFixed(2);
      row.classList.toggle("zero", weight === 0);
      row.style.setProperty("--from", share(Math.min(weight, 0)));
      row.style.setProperty("--to", share(Math.max(weight, 0)));
    }
  }

  /** @param {string} name @param {number} weight */
  write(name, weight) {
    const widget = widgetOf(this.node, "weights");
    widget.value = writeWeight(String(widget.value ?? ""), this.names, name, weight);
    widget.callback?.(widget.value); // Nodes 2.0 shows what comes through here
    this.read();
    this.node.setDirtyCanvas?.(true, true);
  }

  /** @param {string} name */
  #row(name) {
    const row = document.createElement("label");
    const [input, label, output] = [document.createElement("input"), document.createElement("span"),
      document.createElement("output")];
    row.className = "dsoup-style";
    row.title = name;
    label.textContent = name;
    Object.assign(input, { type: "range", min: 0, max: 1, step: STEP, value: 0 });
    input.setAttribute("aria-label", name);
    input.addEventListener("input", () => this.write(name, Number(Number(input.value).toFixed(2))));
    input.addEventListener("pointerup", () => input.blur()); // so that Ctrl+Z is the graph's again
    row.append(label, output, input);
    return row;
  }
}
