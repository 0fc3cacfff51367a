/** The region canvas on Canvas and on Panorama: a picture of the regions with tools above and a panel below. */
import { forward, make, takePlace } from "./elements.js";
import { Fit, MARGINS, kindOf } from "./nodes.js";
import { CANVAS, chainTo, endsOf } from "./region_chain.js";
import * as edits from "./region_edits.js";
import { GRID, SMALLEST } from "./region_geometry.js";
import { legends } from "./region_heat.js";
import { LargeView } from "./region_large.js";
import { EDITOR_CSS } from "./region_look.js";
import { RegionPanel } from "./region_panel.js";
import { RegionSaying } from "./region_saying.js";
import { readScene } from "./region_scene.js";
import { fitted } from "./region_snap.js";
import { Steps } from "./region_steps.js";
import { RegionTools } from "./region_tools.js";
import { RegionView } from "./region_view.js";
import { word } from "./words.js";

export { EDITOR_CSS };

/** @typedef {import("./region_geometry.js").Box} Box */
/** @typedef {import("./region_scene.js").Entry} Entry */
/** @typedef {import("./region_scene.js").Scene} Scene */
/**
 * @typedef {object} Host
 * @property {() => any} canvas of the graph
 * @property {(type: string) => any} create a node
 * @property {() => void} changed look at all editors again, with the next picture
 * @property {() => void} refresh look at all editors again, now
 * @property {Map<string, any>} memory what outlives nodes: an undo makes all of them anew
 */

const SIDES = 30; // left and right of it
const [LOWEST, HIGHEST] = [104, 420]; // of the picture
const TOOLS = 22;
const SAYING = 42; // three lines, always: else the node's size would change with what is said
const GAP = 4;
const WIDTH = 440; // of a new node

export class RegionEditor {
  // What #build makes.
  /** @type {RegionView} */ view;
  /** @type {RegionPanel} */ panel;
  /** @type {HTMLElement} */ element;
  /** @type {HTMLElement} */ body;
  /** @type {HTMLElement} */ area;
  /** @type {RegionTools} */ tools;
  /** @type {RegionSaying} */ saying;
  /** @type {LargeView} */ large;

  /** @param {any} node a Canvas or a Panorama @param {Host} host */
  constructor(node, host) {
    this.node = node;
    this.host = host;
    /** @type {Scene | null} */
    this.scene = null;
    this.words = null;
    this.steps = new Steps(node, host);
    this.#build();
    this.room = new Fit(node, this.element);
    forward(this.element, host.canvas);
    const height = () => this.#height();
    this.widget = node.addDOMWidget("regions_editor", "dsoup_regions", this.element, {
      serialize: false, hideOnZoom: false, getMinHeight: height,
      ...(kindOf(node) === CANVAS ? {} : { getMaxHeight: height }),
    });
    this.widget.serialize = false;
    if (node.size[0] < WIDTH) node.setSize([WIDTH, node.size[1]]);
    this.refresh();
    new ResizeObserver(() => this.#resized()).observe(this.area);
  }

  // -- looking -----------------------------------------------------------------------------------

  /** Look at the nodes again. @param {boolean} [all] at the lists of prompts and styles too */
  refresh(all = false) {
    if (this.scene && !this.node.graph) return; // its node is gone
    takePlace(this.element, this.node);
    this.scene = readScene(this.chain);
    this.words = all || !this.words || this.words.key !== this.selected ? edits.sourcesFor(this.entry) : this.words;
    this.large.reopen();
    this.show();
  }

  /** The chain that is shown; of several at one Canvas, the one that was chosen. */
  get chain() {
    if (kindOf(this.node) !== CANVAS) return chainTo(this.node);
    const ends = endsOf(this.node);
    const chosen = ends.find(({ id }) => String(id) === String(this.node.properties?.chain));
    return chainTo(chosen ?? ends[0] ?? this.node);
  }

  /** @returns {string | null} the key of the selected region */
  get selected() {
    const { entries = [], chain } = this.scene ?? {};
    const key = this.host.memory.get(`selected ${this.node.graph?.id} ${chain?.canvas?.id}`);
    return entries.some((entry) => entry.key === key) ? key : entries[0]?.key ?? null;
  }

  get entry() {
    return this.scene?.entries.find(({ key }) => key === this.selected) ?? null;
  }

  get folded() {
    return this.node.properties?.folded === true;
  }

  /** @returns {import("./region_heat.js").Heat} */
  get heat() {
    const heat = this.node.properties?.heat;
    return heat in legends() ? heat : "none";
  }

  // -- showing -----------------------------------------------------------------------------------

  show() {
    const { scene, entry } = this;
    if (!scene) return;
    this.view.show(scene, this.selected, this.heat);
    this.panel.show(scene.entries, entry, entry && this.words && {
      ...this.words, text: edits.textOf(entry), typed: edits.isTyped(entry),
      prompt: entry.cell < 0 ? edits.connectedTo(entry.node, "positive") : "",
      style: edits.connectedTo(entry.node, "style"),
    });
    this.#showTools(scene);
    this.saying.show(scene, entry, this.heat);
    this.#grow();
  }

  /** @param {Scene} scene */
  #showTools({ canvas, chain, entries }) {
    const whole = kindOf(this.node) === CANVAS;
    const { folded } = this;
    this.tools.show({
      ends: whole ? endsOf(this.node) : [], end: chain.nodes.at(-1) ?? this.node, heat: this.heat,
      ready: Boolean(canvas), foldable: !whole && !this.large.open, folded, count: entries.length,
    });
    this.area.hidden = folded;
    this.panel.element.hidden ||= folded;
  }

  // -- size --------------------------------------------------------------------------------------

  /** @param {number} width */
  #pictureHeight(width) {
    const canvas = this.scene?.canvas;
    const wanted = canvas ? (width * canvas.height) / canvas.width : LOWEST;
    return Math.round(Math.min(Math.max(wanted, LOWEST), HIGHEST));
  }

  #height() {
    if (this.folded) return TOOLS + GAP + SAYING + MARGINS;
    const picture = this.#pictureHeight(this.node.size[0] - SIDES);
    const panel = this.panel.element.hidden ? 0 : this.panel.height + GAP;
    return TOOLS + GAP + picture + GAP + panel + SAYING + MARGINS;
  }

  /** Let the node be as high as it needs; and give back what it no longer needs. */
  #grow() {
    this.area.style.minHeight = this.large.open ? "0" : `${this.#pictureHeight(this.node.size[0] - SIDES)}px`;
    this.room.to(this.#height());
  }

  #resized() {
    if (this.scene) requestAnimationFrame(() => this.show());
  }

  // -- edits -------------------------------------------------------------------------------------

  /** @param {string} key */
  select(key) {
    if (key === this.selected) return;
    this.host.memory.set(`selected ${this.node.graph?.id} ${this.scene?.chain.canvas?.id}`, key);
    this.words = edits.sourcesFor(this.entry);
    this.show();
    this.host.changed();
  }

  /** @param {string} key @param {Box} box */
  #change(key, box) {
    const entry = this.scene?.entries.find((each) => each.key === key);
    if (!entry) return;
    const change = () => edits.write(entry.node, { ...box });
    if (this.view.cancel) change();
    else this.steps.hold(change);
    this.host.changed();
  }

  /** @param {Box} box */
  #draw(box) {
    const { chain } = /** @type {Scene} */ (this.scene);
    const made = this.steps.one(() => edits.addRegion(chain, box, this.host.create));
    if (made) this.#selectNew(made, true);
  }

  /** @param {any} made @param {boolean} type */
  #selectNew(made, type) {
    this.host.memory.set(`selected ${this.node.graph?.id} ${this.scene?.chain.canvas?.id}`, String(made.id));
    if (this.node.properties?.chain !== undefined) this.node.properties.chain = made.id;
    this.refresh(true);
    if (type) this.panel.text.focus({ preventScroll: true });
    else this.view.focus();
  }

  /** @param {Entry | null} entry */
  #copy(entry) {
    const { canvas, chain } = /** @type {Scene} */ (this.scene);
    if (!entry || entry.cell >= 0 || !canvas) return;
    const box = fitted({ ...boxOf(entry), x: entry.x + 64, y: entry.y + 64 }, canvas);
    this.#selectNew(this.steps.one(() => edits.copyRegion(chain, entry, box)), false);
  }

  /** @param {Entry | null} entry */
  #remove(entry) {
    if (!entry || entry.cell >= 0) return;
    const { entries } = /** @type {Scene} */ (this.scene);
    const at = entries.indexOf(entry);
    const next = entries[at + 1] ?? entries[at - 1];
    if (next) this.select(next.key);
    if (String(this.node.properties?.chain) === entry.key) this.node.properties.chain = (entries[at - 1] ?? this).node.id;
    const had = this.view.focused;
    this.steps.one(() => edits.removeRegion(entry.node));
    this.refresh(true);
    if (had) this.view.focus();
  }

  /** @param {"x" | "y" | "width" | "height"} name @param {number} value */
  #place(name, value) {
    const { entry } = this;
    const canvas = this.scene?.canvas;
    if (!entry || !canvas) return;
    const box = { ...boxOf(entry), [name]: Math.round(value / GRID) * GRID };
    if (name === "width" && !canvas.wrap) box.width = Math.max(Math.min(box.width, canvas.width - box.x), SMALLEST);
    if (name === "height") box.height = Math.max(Math.min(box.height, canvas.height - box.y), SMALLEST);
    this.steps.one(() => edits.write(entry.node, fitted(box, canvas)));
    this.refresh();
  }

  #build() {
    const told = {
      select: (/** @type {string} */ key) => this.select(key),
      begin: () => this.steps.begin(),
      change: (/** @type {string} */ key, /** @type {Box} */ box) => this.#change(key, box),
      end: () => this.steps.end(),
      draw: (/** @type {Box} */ box) => this.#draw(box),
      type: () => this.panel.text.focus({ preventScroll: true }),
      remove: () => this.#remove(this.entry),
      copy: () => this.#copy(this.entry),
      stopped: () => this.#drawing(false),
    };
    this.view = new RegionView(told);
    this.area = this.view.element;
    this.panel = new RegionPanel({
      select: told.select, copy: told.copy, remove: told.remove,
      set: (name, value) => this.entry && this.steps.one(() => edits.write(/** @type {Entry} */ (this.entry).node,
        { [name]: value })),
      place: (name, value) => this.#place(name, value),
      prompt: (text) => this.entry && edits.writeText(this.entry, text),
      typed: () => this.steps.one(() => {}),
      connect: (input, value) => {
        const { entry } = this;
        if (entry) this.steps.one(() => edits.connect(entry.node, input, value));
        this.refresh(true);
      },
      go: () => this.#go(),
    });
    this.tools = new RegionTools({
      chain: (id) => this.#property("chain", id),
      heat: (heat) => this.#property("heat", heat),
      draw: () => this.#drawing(!this.view.drawing),
      large: () => this.large.toggle(),
      fold: () => this.#property("folded", !this.folded),
    });
    this.saying = new RegionSaying(() => this.#fit());
    this.body = make("div", { className: "dsoup-body" }, this.tools.element, this.area, this.panel.element,
      this.saying.element);
    this.element = make("div", { className: "dsoup-regions dsoup" }, this.body);
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-label", word("Regions of the panorama"));
    this.element.dataset.large = word("Shown large"); // where it lies meanwhile
    this.body.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event));
    this.body.addEventListener("paste", (/** @type {Event} */ event) => event.stopPropagation());
    this.body.addEventListener("focusout", () => { if (this.steps.held) this.steps.end(); });
    this.large = new LargeView({ node: this.node, home: this.element, body: this.body, memory: this.host.memory,
      changed: () => {
        this.refresh(true);
        if (this.large.open) this.view.focus();
      } });
  }

  /** @param {string} name @param {any} value of UI alone */
  #property(name, value) {
    this.node.properties ??= {};
    this.node.properties[name] = value;
    this.refresh(true);
  }

  /** @param {boolean} drawing */
  #drawing(drawing) {
    this.view.draw(drawing);
    this.tools.drawing(drawing);
  }

  #fit() {
    const { canvas, entries } = /** @type {Scene} */ (this.scene);
    if (!canvas) return;
    this.steps.one(() => {
      for (const entry of entries.filter(({ box, cell }) => !box && cell < 0)) {
        edits.write(entry.node, fitted(boxOf(entry), canvas));
      }
    });
    this.refresh();
  }

  /** Show the node of the selected region on the graph. */
  #go() {
    const canvas = this.host.canvas();
    const node = this.entry?.node;
    if (!node || !canvas) return;
    if (this.large.open) this.large.close();
    canvas.centerOnNode?.(node);
    canvas.selectNode?.(node, false);
  }

  // -- keyboard ----------------------------------------------------------------------------------

  /** Keys of a field are the field's; the graph would take them for its own. @param {KeyboardEvent} event */
  #key(event) {
    const { target, key } = event;
    const typing = target instanceof HTMLTextAreaElement || target instanceof HTMLInputElement;
    const undoes = (event.ctrlKey || event.metaKey) && /^[yz]$/i.test(key);
    if (undoes && this.steps.held) this.steps.end(); // undo counts it, too
    if (typing) {
      if (key === "Escape" || (key === "Enter" && (event.ctrlKey || target instanceof HTMLInputElement))) {
        target.blur();
        if (target !== this.panel.text || key === "Escape") this.view.focus();
        event.preventDefault();
      }
      return event.ctrlKey && key === "Enter" ? undefined : event.stopPropagation();
    }
    if (event.ctrlKey || event.metaKey || event.altKey || target instanceof HTMLSelectElement) return;
    if (key.toLowerCase() !== "n") return;
    event.preventDefault();
    event.stopPropagation();
    this.#drawing(!this.view.drawing);
  }

  /** The node is gone. */
  removed() {
    this.view.cancel?.();
    this.steps.stop();
    this.large.removed();
  }
}

/** @param {Box} box @returns {Box} */
const boxOf = ({ x, y, width, height }) => ({ x, y, width, height });
