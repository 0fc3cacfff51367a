/**
 * A graph on paper: the Canvas and Region nodes that the region editor of ComfyUI edits, without a ComfyUI.
 *
 * The editor knows nodes, widgets and links; here they are plain objects, made of a panorama's values and read back.
 */
import { CANVAS, GRIDS, REGION, REGIONS } from "../../js/lib/region_chain.js";
import { widgetOf } from "../../js/lib/nodes.js";
import { CELLS, COUNTING, TILING, styleOf, styleText, usualOverlap } from "./panorama_text.js";

const PROMPT = "CLIPTextEncode";
const WIDGETS = {
  [CANVAS]: { width: 512, height: 512, wrap: false, ...TILING },
  [REGION]: { name: "", x: 0, y: 0, width: 512, height: 512, ...COUNTING },
  [GRIDS]: { prompts: "", rows: 1, columns: 1, grid_overlap_x: 128, grid_overlap_y: 128, ...COUNTING },
  [PROMPT]: { text: "" },
};
const INPUTS = { [CANVAS]: [], [REGION]: ["regions", "positive"], [GRIDS]: ["regions"], [PROMPT]: [] };
const OUTPUTS = { [CANVAS]: REGIONS, [REGION]: REGIONS, [GRIDS]: REGIONS, [PROMPT]: "CONDITIONING" };

export class Paper {
  /** @param {() => void} changed a widget got another value, or a node came or went */
  constructor(changed) {
    this.changed = changed;
    this.id = "panorama";
    /** @type {any[]} */
    this.nodes = [];
    /** @type {Record<number, any>} */
    this.links = {};
    this.last = 0;
    this.together = 0;
    this.canvas = this.add(this.create(CANVAS));
  }

  // -- what the editor asks of a graph -----------------------------------------------------------

  /** @param {any} id */
  getNodeById = (id) => this.nodes.find((node) => node.id === id) ?? null;

  /** @param {any} id */
  getLink = (id) => this.links[id] ?? null;

  /** @param {any} node */
  add(node) {
    node.graph = this;
    this.nodes.push(node);
    return node;
  }

  /** @param {any} node */
  remove(node) {
    for (const link of Object.values(this.links)) {
      if (link.origin_id === node.id || link.target_id === node.id) this.#cut(link.id);
    }
    this.nodes = this.nodes.filter((each) => each !== node);
    this.changed();
  }

  /** @param {string} type */
  create = (type) => {
    const widgets = Object.entries(WIDGETS[type] ?? {});
    /** @type {any} */
    const node = {
      id: ++this.last, type, comfyClass: type, title: type, mode: 0, pos: [0, 0], size: [200, 100], properties: {},
      graph: null,
      widgets: widgets.map(([name, value]) => ({ name, value, callback: () => this.changed() })),
      inputs: INPUTS[type].map((name) => ({ name, type: name === "regions" ? REGIONS : "CONDITIONING", link: null })),
      outputs: [{ name: "out", type: OUTPUTS[type], links: [] }],
      setSize: (/** @type {number[]} */ size) => { node.size = size; },
      computeSize: () => [...node.size],
      setDirtyCanvas: () => {},
      addDOMWidget: () => ({}),
      clone: () => this.#copied(node),
      connect: (/** @type {number} */ slot, /** @type {any} */ target, /** @type {number} */ at) =>
        this.#link(node, slot, target, at),
      disconnectInput: (/** @type {number} */ at) => this.#cut(node.inputs[at]?.link),
    };
    return node;
  };

  /** @param {any} node */
  #copied(node) {
    const made = this.create(node.type);
    for (const widget of made.widgets) widget.value = widgetOf(node, widget.name).value;
    return made;
  }

  /** @param {any} origin @param {number} slot @param {any} target @param {number} at */
  #link(origin, slot, target, at) {
    this.#cut(target.inputs[at].link);
    const id = ++this.last;
    this.links[id] = { id, origin_id: origin.id, origin_slot: slot, target_id: target.id, target_slot: at };
    origin.outputs[slot].links.push(id);
    target.inputs[at].link = id;
  }

  /** @param {any} id */
  #cut(id) {
    const link = this.links[id];
    if (!link) return;
    delete this.links[id];
    const [origin, target] = [this.getNodeById(link.origin_id), this.getNodeById(link.target_id)];
    const output = origin?.outputs[link.origin_slot];
    if (output) output.links = output.links.filter((/** @type {number} */ each) => each !== id);
    if (target) target.inputs[link.target_slot].link = null;
  }

  // -- a panorama's values -----------------------------------------------------------------------

  /** @param {{width: number, height: number}} size */
  resize(size) {
    put(this.canvas, size);
  }

  /** Nodes for these values. @param {any} values */
  write(values) {
    this.nodes = [this.canvas];
    this.links = {};
    this.canvas.outputs[0].links = [];
    this.together = values.tiles_at_once ?? 0;
    put(this.canvas, { wrap: false, ...TILING, ...usualOverlap(values), ...values });
    let tail = this.canvas;
    for (const region of values.regions ?? []) {
      const node = this.add(this.create(region.grid ? GRIDS : REGION));
      const { width, height } = valuesOf(this.canvas);
      if (region.grid) {
        const { overlap_x: x, overlap_y: y, ...cells } = { ...CELLS, ...region.grid };
        put(node, { ...cells, grid_overlap_x: x, grid_overlap_y: y });
      } else {
        put(node, { width, height });
        const prompt = this.add(this.create(PROMPT));
        put(prompt, { text: region.prompt ?? "" });
        this.#link(prompt, 0, node, 1);
      }
      put(node, { ...region, cfg: region.cfg ?? 0, style: styleText(region.style) });
      this.#link(tail, 0, node, 0);
      tail = node;
    }
  }

  /** The values that the nodes stand for. */
  read() {
    const { width, height, ...canvas } = valuesOf(this.canvas);
    /** @type {any[]} */
    const regions = [];
    for (let node = this.canvas; node;) {
      const ids = node.outputs[0].links;
      node = ids.length ? this.getNodeById(this.links[ids[0]].target_id) : null;
      if (node) regions.push(node.type === GRIDS ? gridOf(node) : this.#regionOf(node));
    }
    return { ...canvas, tiles_at_once: this.together, regions };
  }

  /** @param {any} node */
  #regionOf(node) {
    const link = this.getLink(node.inputs[1].link);
    const text = link ? valuesOf(this.getNodeById(link.origin_id)).text : "";
    const { name, x, y, width, height, ...rest } = valuesOf(node);
    return { ...(name ? { name } : {}), prompt: text, x, y, width, height, ...told(rest) };
  }
}

/** @param {any} node */
function gridOf(node) {
  const { prompts, rows, columns, grid_overlap_x: x, grid_overlap_y: y, ...rest } = valuesOf(node);
  return { grid: { rows, columns, overlap_x: x, overlap_y: y, prompts }, ...told(rest) };
}

/** What does not go without saying. @param {any} values */
function told(values) {
  const usual = /** @type {Record<string, any>} */ (COUNTING);
  const kept = Object.entries(values).filter(([key, value]) => value !== usual[key]);
  return Object.fromEntries(kept.map(([key, value]) => [key, key === "style" ? styleOf(value) : value]));
}

/** @param {any} node @returns {Record<string, any>} */
export const valuesOf = (node) => Object.fromEntries(
  node.widgets.map((/** @type {any} */ { name, value }) => [name, value]));

/** @param {any} node @param {Record<string, any>} values */
function put(node, values) {
  for (const widget of node.widgets) if (values[widget.name] !== undefined) widget.value = values[widget.name];
}
