/** The region canvas on Canvas and on Panorama: a picture of the regions with tools above and a panel below. */
import { button, forward, make, takePlace } from "./elements.js";
import { Fit, MARGINS, kindOf, widgetOf } from "./nodes.js";
import { CANVAS, chainTo, endsOf, panoramasOf, titleOf } from "./region_chain.js";
import * as edits from "./region_edits.js";
import { GRID, SMALLEST } from "./region_geometry.js";
import { legends } from "./region_heat.js";
import { EDITOR_CSS } from "./region_look.js";
import { RegionPanel, offer } from "./region_panel.js";
import { readScene } from "./region_scene.js";
import { fitted } from "./region_snap.js";
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

const ICONS = {
  draw: "M2.5 4.5 V2.5 H4.5 M7 2.5 H9 M2.5 7 V9 M11.5 4.5 V2.5 H10 M2.5 10 V11.5 H4.5 M11 8 V14 M8 11 H14",
  large: "M9.5 2.5 H13.5 V6.5 M13.5 2.5 L9 7 M6.5 13.5 H2.5 V9.5 M2.5 13.5 L7 9",
  fold: "M3 10 L8 5 L13 10",
  unfold: "M3 6 L8 11 L13 6",
};
const SIDES = 30; // left and right of it
const [LOWEST, HIGHEST] = [104, 420]; // of the picture
const TOOLS = 22;
const SAYING = 42; // three lines, always: else the node's size would change with what is said
const GAP = 4;
const WIDTH = 440; // of a new node
const AGAIN = 3000; // milliseconds in which an undo makes a node anew
const HELD = 600; // milliseconds after a key within which others belong to the same step

export class RegionEditor {
  // What #build makes.
  /** @type {RegionView} */ view;
  /** @type {RegionPanel} */ panel;
  /** @type {HTMLElement} */ element;
  /** @type {HTMLElement} */ body;
  /** @type {HTMLElement} */ area;
  /** @type {HTMLElement} */ tools;
  /** @type {HTMLSelectElement} */ chains;
  /** @type {HTMLSelectElement} */ heats;
  /** @type {HTMLButtonElement} */ drawButton;
  /** @type {HTMLButtonElement} */ largeButton;
  /** @type {HTMLButtonElement} */ foldButton;
  /** @type {HTMLElement} */ count;
  /** @type {HTMLElement} */ say;
  /** @type {HTMLElement} */ saying;
  /** @type {HTMLButtonElement} */ fit;

  /** @param {any} node a Canvas or a Panorama @param {Host} host */
  constructor(node, host) {
    this.node = node;
    this.host = host;
    /** @type {Scene | null} */
    this.scene = null;
    this.steps = 0;
    this.timer = 0;
    this.words = null;
    /** @type {HTMLElement | null} the large view */
    this.dialog = null;
    /** @type {HTMLElement[]} what cannot be reached while it is open */
    this.behind = [];
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
    this.words = all || !this.words || this.words.key !== this.selected ? this.#wordsOf(this.entry) : this.words;
    this.#reopen();
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

  /** @param {Entry | null} entry */
  #wordsOf(entry) {
    if (!entry) return null;
    const { node } = entry;
    return {
      key: entry.key, prompts: edits.sourcesOf(node, "CONDITIONING"), styles: edits.sourcesOf(node, "DSOUP_STYLE"),
    };
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
    this.#showTools();
    this.#tell();
    this.#grow();
  }

  #showTools() {
    const { scene } = this;
    const ends = kindOf(this.node) === CANVAS ? endsOf(this.node) : [];
    this.chains.hidden = ends.length < 2;
    if (ends.length > 1) {
      offer(this.chains, ends.map((end) => ({ value: String(end.id), label: nameOf(end) })),
        String((scene?.chain.nodes.at(-1) ?? this.node).id));
    }
    this.heats.value = this.heat;
    this.heats.title = legends()[this.heat][1];
    this.drawButton.disabled = !scene?.canvas;
    this.foldButton.hidden = kindOf(this.node) === CANVAS || Boolean(this.dialog);
    this.foldButton.replaceChildren(...button(this.folded ? ICONS.unfold : ICONS.fold, "", () => {}).children);
    this.foldButton.setAttribute("aria-expanded", String(!this.folded));
    const count = scene?.entries.length ?? 0;
    this.count.textContent = !this.folded ? "" : count === 1 ? word("1 region") : word("{0} regions", count);
    for (const part of [this.area, this.heats, this.drawButton, this.largeButton]) part.hidden = this.folded;
    this.panel.element.hidden ||= this.folded;
  }

  /** What is wrong, or else what is to be known. */
  #tell() {
    const { scene } = this;
    const { culprit } = scene ?? {};
    const absent = scene && !scene.chain.canvas && !scene.trouble
      ? word("Connect a Canvas with regions to see them here.") : "";
    const wrong = scene?.trouble ?? "";
    const entry = this.entry;
    const others = entry ? this.#overlaps(entry) : "";
    const text = wrong || absent || scene?.notes.join(" ") || (this.heat === "none" ? others : legends()[this.heat][1]);
    if (this.saying.textContent !== text) this.saying.textContent = this.saying.title = text;
    this.say.classList.toggle("wrong", Boolean(wrong));
    this.fit.hidden = !culprit || culprit.box !== null || !scene?.canvas || culprit.cell >= 0;
  }

  /** @param {Entry} entry */
  #overlaps(entry) {
    const { canvas, entries } = /** @type {Scene} */ (this.scene);
    if (!canvas || !entry.box) return "";
    const names = entries.filter((other) => other !== entry && other.box && share(canvas, entry, other) > 0)
      .map((other) => `${other.name} ${Math.max(1, Math.round(100 * share(canvas, entry, other)))}%`);
    return names.length ? word("{0} is overlapped by {1}.", entry.name, names.join(", ")) : "";
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
    const panel = this.panel.element.hidden ? 0 : this.#panelHeight() + GAP;
    return TOOLS + GAP + picture + GAP + panel + SAYING + MARGINS;
  }

  #panelHeight() {
    const { element, text } = this.panel;
    const rows = [...element.children].filter((each) => each !== text && !(/** @type {HTMLElement} */ (each).hidden));
    return rows.length * 25 + 44;
  }

  /** Let the node be as high as it needs; and give back what it no longer needs. */
  #grow() {
    this.area.style.minHeight = this.dialog ? "0" : `${this.#pictureHeight(this.node.size[0] - SIDES)}px`;
    this.room.to(this.#height());
  }

  #resized() {
    if (this.scene) requestAnimationFrame(() => this.show());
  }

  // -- edits -------------------------------------------------------------------------------------

  /** One step to undo. @template T @param {() => T} change @returns {T} */
  #step(change) {
    this.#begin();
    try {
      return change();
    } finally {
      this.#end();
    }
  }

  #begin() {
    this.#wait(0);
    if (this.steps === 0) this.host.canvas()?.emitBeforeChange?.();
    this.steps = 1;
  }

  #end() {
    this.#wait(0);
    this.host.refresh(); // what nodes grow by belongs to the same step,
    this.node.graph?.updateExecutionOrder?.(); // and the order that is saved with them
    if (this.steps) this.host.canvas()?.emitAfterChange?.();
    this.steps = 0;
  }

  /** A change by a key: those of a key that is held down are one step. @param {() => void} change */
  #held(change) {
    this.#begin();
    change();
    this.#wait(HELD);
  }

  /** @param {number} time until the step of a key ends; 0: it does not end by itself */
  #wait(time) {
    clearTimeout(this.timer);
    this.timer = time ? /** @type {any} */ (setTimeout(() => this.#end(), time)) : 0;
  }

  /** @param {string} key */
  select(key) {
    if (key === this.selected) return;
    this.host.memory.set(`selected ${this.node.graph?.id} ${this.scene?.chain.canvas?.id}`, key);
    this.words = this.#wordsOf(this.entry);
    this.show();
    this.host.changed();
  }

  /** @param {string} key @param {Box} box */
  #change(key, box) {
    const entry = this.scene?.entries.find((each) => each.key === key);
    if (!entry) return;
    const change = () => edits.write(entry.node, { ...box });
    if (this.view.cancel) change();
    else this.#held(change);
    this.host.changed();
  }

  /** @param {Box} box */
  #draw(box) {
    const { chain } = /** @type {Scene} */ (this.scene);
    const made = this.#step(() => edits.addRegion(chain, box, this.host.create));
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
    this.#selectNew(this.#step(() => edits.copyRegion(chain, entry, box)), false);
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
    this.#step(() => edits.removeRegion(entry.node));
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
    this.#step(() => edits.write(entry.node, fitted(box, canvas)));
    this.refresh();
  }

  #build() {
    const told = {
      select: (/** @type {string} */ key) => this.select(key),
      begin: () => this.#begin(),
      change: (/** @type {string} */ key, /** @type {Box} */ box) => this.#change(key, box),
      end: () => this.#end(),
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
      set: (name, value) => this.entry && this.#step(() => edits.write(/** @type {Entry} */ (this.entry).node,
        { [name]: value })),
      place: (name, value) => this.#place(name, value),
      prompt: (text) => this.entry && edits.writeText(this.entry, text),
      typed: () => this.#step(() => {}),
      connect: (input, value) => {
        const { entry } = this;
        if (entry) this.#step(() => edits.connect(entry.node, input, value));
        this.refresh(true);
      },
      go: () => this.#go(),
    });
    this.#buildTools();
    this.body = make("div", { className: "dsoup-body" }, this.tools, this.area, this.panel.element, this.say);
    this.element = make("div", { className: "dsoup-regions dsoup" }, this.body);
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-label", word("Regions of the panorama"));
    this.element.dataset.large = word("Shown large"); // where it lies meanwhile
    this.body.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event));
    this.body.addEventListener("paste", (/** @type {Event} */ event) => event.stopPropagation());
    this.body.addEventListener("focusout", () => { if (this.timer && this.steps) this.#end(); });
  }

  #buildTools() {
    this.chains = make("select", { title: word("Which of the chains that begin here") });
    this.chains.setAttribute("aria-label", word("Chain"));
    this.chains.addEventListener("change", () => this.#property("chain", this.chains.value));
    this.heats = make("select", {}, ...Object.entries(legends()).map(([value, [label]]) =>
      make("option", { value }, label)));
    this.heats.setAttribute("aria-label", word("What the picture shows"));
    this.heats.addEventListener("change", () => this.#property("heat", this.heats.value));
    this.drawButton = button(ICONS.draw, word("Draw a region (N), over others too"),
      () => this.#drawing(!this.view.drawing));
    this.largeButton = button(ICONS.large, word("Large (Esc to close)"), () => this.#large());
    this.foldButton = button(ICONS.fold, word("Fold the regions away"), () => this.#property("folded", !this.folded));
    this.count = make("span", { className: "dsoup-count" });
    this.tools = make("div", { className: "dsoup-tools" }, this.drawButton, this.chains, this.heats, this.count,
      this.largeButton, this.foldButton);
    this.saying = make("span");
    this.saying.setAttribute("role", "status");
    this.fit = make("button", { type: "button", textContent: word("Fit"),
      title: word("Make the region fit the canvas") });
    this.fit.addEventListener("click", () => this.#fit());
    this.say = make("div", { className: "dsoup-say dsoup-lines" }, this.fit, this.saying);
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
    this.drawButton.setAttribute("aria-pressed", String(drawing));
  }

  #fit() {
    const { canvas, entries } = /** @type {Scene} */ (this.scene);
    if (!canvas) return;
    this.#step(() => {
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
    if (this.dialog) this.#small();
    canvas.centerOnNode?.(node);
    canvas.selectNode?.(node, false);
  }

  // -- keyboard ----------------------------------------------------------------------------------

  /** Keys of a field are the field's; the graph would take them for its own. @param {KeyboardEvent} event */
  #key(event) {
    const { target, key } = event;
    const typing = target instanceof HTMLTextAreaElement || target instanceof HTMLInputElement;
    if (this.timer && (event.ctrlKey || event.metaKey) && /^[yz]$/i.test(key)) this.#end(); // undo counts it, too
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

  // -- large -------------------------------------------------------------------------------------

  /** Over the whole page; not as a modal <dialog>, within which newer frontends undo nothing. */
  #large() {
    if (this.dialog) return this.#small();
    const sheet = make("div", { className: "dsoup-regions dsoup dsoup-large" }, this.body);
    const dialog = make("div", { className: "dsoup-over" }, sheet);
    sheet.setAttribute("role", "dialog");
    sheet.setAttribute("aria-label", word("Regions of the panorama"));
    dialog.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Escape") this.#small();
      if (!event.ctrlKey && !event.metaKey) event.stopPropagation(); // the graph is behind
    });
    dialog.addEventListener("pointerdown", (/** @type {Event} */ event) => {
      if (event.target === dialog) this.#small();
    });
    this.behind = /** @type {HTMLElement[]} */ ([...document.body.children]).filter((each) => !each.inert);
    for (const each of this.behind) each.inert = true;
    document.body.append(dialog);
    this.dialog = dialog;
    this.refresh(true);
    this.view.focus();
  }

  #small() {
    for (const each of this.behind) each.inert = false;
    this.element.append(this.body);
    this.dialog?.remove();
    this.dialog = null;
    this.refresh(true);
  }

  /** After an undo the node is another one. */
  #reopen() {
    const { id = 0, until = 0 } = this.host.memory.get("large") ?? {};
    if (this.dialog || id !== this.node.id || performance.now() > until) return;
    this.host.memory.delete("large");
    this.#large();
  }

  /** The node is gone. */
  removed() {
    this.view.cancel?.();
    if (this.steps) this.host.canvas()?.emitAfterChange?.();
    this.#wait(this.steps = 0);
    if (!this.dialog) return;
    this.host.memory.set("large", { id: this.node.id, until: performance.now() + AGAIN });
    this.#small();
  }
}

/** @param {Box} box @returns {Box} */
const boxOf = ({ x, y, width, height }) => ({ x, y, width, height });

/** @param {any} end of a chain */
function nameOf(end) {
  const panoramas = panoramasOf(end).map((each) => `${titleOf(each)} #${each.id}`);
  return panoramas.length ? panoramas.join(", ")
    : word("to {0} #{1}", widgetOf(end, "name")?.value || titleOf(end), end.id);
}

/**
 * How much of a region another one overlaps.
 * @param {import("./region_geometry.js").Canvas} canvas
 * @param {Entry} entry
 * @param {Entry} other
 */
function share(canvas, entry, other) {
  const [one, two] = [entry.box, other.box].map((box) => /** @type {Box} */ (box));
  const columns = canvas.width / GRID;
  const along = (/** @type {number} */ start, /** @type {number} */ size, /** @type {number} */ from,
    /** @type {number} */ length) => Math.max(0, Math.min(start + size, from + length) - Math.max(start, from));
  const turns = canvas.wrap ? [-columns, 0, columns] : [0];
  const wide = turns.reduce((sum, turn) => sum + along(one.x, one.width, two.x + turn, two.width), 0);
  return (Math.min(wide, one.width) * along(one.y, one.height, two.y, two.height)) / (one.width * one.height);
}
