/**
 * The canvas of a panorama as a picture: regions as rectangles to move, resize and draw.
 *
 * It shows what it is told and tells what was done; the nodes are the editor's business.
 */
import { make } from "./elements.js";
import { GRID, modulo, pieces, tilesOf } from "./region_geometry.js";
import { colourOf, paint } from "./region_heat.js";
import { labelPlaces } from "./region_labels.js";
import { drawn, fitted, moved, resized } from "./region_snap.js";
import { word } from "./words.js";

/** @typedef {import("./region_geometry.js").Box} Box */
/** @typedef {import("./region_scene.js").Entry} Entry */
/** @typedef {import("./region_scene.js").Scene} Scene */
/** @typedef {import("./region_snap.js").Snapped} Snapped */
/**
 * @typedef {object} Told
 * @property {(key: string) => void} select
 * @property {() => void} begin a stroke begins: its changes are one step to undo
 * @property {(key: string, box: Box) => void} change
 * @property {() => void} end
 * @property {(box: Box) => void} draw
 * @property {(key: string) => void} type go to the prompt
 * @property {(key: string) => void} remove
 * @property {(key: string) => void} copy
 * @property {() => void} stopped drawing is over
 */

const EDGES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const REACH = 7; // pixels on the screen within which edges are drawn to others
const START = 3; // pixels on the screen before a press is a drag
const [STEP, LEAP] = [GRID, 64];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const NS = "http://www.w3.org/2000/svg";

export class RegionView {
  // What #build makes.
  /** @type {HTMLElement} */ element;
  /** @type {HTMLElement} */ frame;
  /** @type {HTMLCanvasElement} */ paper;
  /** @type {HTMLElement} */ holes;
  /** @type {HTMLElement} the regions, in order */ layer;
  /** @type {HTMLElement} the parts of regions that go on at the left edge */ rests;
  /** @type {HTMLElement} */ labels;
  /** @type {HTMLElement} */ numbers;
  /** @type {HTMLElement} */ rubber;
  /** @type {HTMLElement} */ empty;
  /** @type {SVGElement} */ lines;
  /** @type {SVGPathElement} */ tiles;
  /** @type {SVGPathElement} */ guides;
  /** @type {Map<string, HTMLElement>} by the edges that they move */ handles;

  /** @param {Told} told */
  constructor(told) {
    this.told = told;
    /** @type {Scene | null} */
    this.scene = null;
    /** @type {string | null} */
    this.selected = null;
    /** @type {import("./region_heat.js").Heat} */
    this.heat = "none";
    this.drawing = false;
    this.wide = 400; // on the screen
    /** @type {Map<string, {pieces: HTMLElement[], label: HTMLElement}>} */
    this.shown = new Map();
    /** @type {(() => void) | null} undoes the stroke that goes on */
    this.cancel = null;
    this.#build();
    new ResizeObserver(() => { // asked for while the page changes, it would be laid out
      this.wide = this.frame.clientWidth || this.wide;
    }).observe(this.frame);
    this.frame.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => this.#press(event));
    this.frame.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event));
    this.frame.addEventListener("dblclick", (/** @type {MouseEvent} */ event) => {
      const key = this.#keyOf(event.target);
      if (key) told.type(key);
    });
  }

  // -- showing -----------------------------------------------------------------------------------

  /** @param {Scene} scene @param {string | null} selected @param {import("./region_heat.js").Heat} heat */
  show(scene, selected, heat) {
    Object.assign(this, { scene, selected, heat });
    const { canvas, entries } = scene;
    this.frame.hidden = !canvas;
    if (!canvas) return;
    this.frame.style.setProperty("--aspect", `${canvas.width / canvas.height}`);
    this.frame.classList.toggle("wrap", canvas.wrap);
    this.frame.classList.toggle("heated", heat !== "none");
    this.frame.setAttribute("aria-label", canvas.wrap
      ? word("Canvas, {0} x {1} px, all around", canvas.width, canvas.height)
      : word("Canvas, {0} x {1} px", canvas.width, canvas.height));
    paint(this.paper, scene, heat, selected);
    this.#showRegions(entries);
    this.#showHandles(this.entry);
    this.#showHoles();
    this.#showTiles();
    this.empty.hidden = entries.length > 0 || scene.notes.length > 0;
  }

  get entry() {
    return this.scene?.entries.find(({ key }) => key === this.selected) ?? null;
  }

  /** @param {boolean} drawing whether the next drag draws a region wherever it begins */
  draw(drawing) {
    this.drawing = drawing;
    this.frame.classList.toggle("drawing", drawing);
  }

  /** @param {string | null} [key] */
  focus(key = this.selected) {
    this.shown.get(key ?? "")?.pieces[0].focus({ preventScroll: true });
  }

  /** Whether a region has the focus. */
  get focused() {
    return this.frame.contains(document.activeElement);
  }

  /** @param {Entry[]} entries */
  #showRegions(entries) {
    const { canvas } = /** @type {{canvas: import("./region_geometry.js").Canvas}} */ (this.scene);
    for (const [key, { pieces: parts, label }] of this.shown) {
      if (entries.some((entry) => entry.key === key)) continue;
      for (const element of [...parts, label]) element.remove();
      this.shown.delete(key);
    }
    const larger = [...entries].sort((one, other) => other.width * other.height - one.width * one.height);
    const labels = labelPlaces(entries, canvas, this.wide);
    for (const [at, entry] of entries.entries()) {
      const made = this.shown.get(entry.key) ?? this.#made(entry.key);
      const parts = pieces(lying(entry, canvas), canvas.wrap ? canvas.width : Infinity);
      made.pieces.forEach((piece, index) => this.#showPiece(piece, entry, parts[index], parts.length > 1));
      for (const piece of made.pieces) piece.style.zIndex = String(larger.indexOf(entry) + 1);
      this.#showLabel(made.label, entry, labels[at]);
      if (made.pieces[0] !== this.layer.children[at]) this.layer.insertBefore(made.pieces[0], this.layer.children[at]);
    }
  }

  /** @param {HTMLElement} piece @param {Entry} entry @param {Box | undefined} part @param {boolean} cut */
  #showPiece(piece, entry, part, cut) {
    piece.hidden = !part;
    if (!part) return;
    this.#put(piece, part);
    piece.classList.toggle("selected", entry.key === this.selected);
    piece.classList.toggle("wrong", Boolean(entry.trouble));
    piece.classList.toggle("locked", !free(entry));
    piece.classList.toggle("cut", cut);
    piece.style.setProperty("--colour", colourOf(entry.number));
    const where = `x ${entry.x}, y ${entry.y}, ${entry.width} x ${entry.height} px`;
    piece.title = entry.trouble || `${entry.number} ${entry.name}: ${where}`;
    if (piece.tabIndex < 0) return;
    const name = word("Region {0}, {1}: {2}", entry.number, entry.name, where);
    piece.setAttribute("aria-label", entry.trouble ? `${name}. ${entry.trouble}` : name);
    piece.setAttribute("aria-pressed", String(entry.key === this.selected));
  }

  /** @param {HTMLElement} label @param {Entry} entry @param {import("./region_labels.js").Place} place */
  #showLabel(label, entry, { left, top, width, text }) {
    label.textContent = text;
    label.classList.toggle("selected", entry.key === this.selected);
    label.style.cssText = `left: ${left}px; top: ${top}px; max-width: ${width}px; --colour: ${colourOf(entry.number)}`;
  }

  /** @param {Entry | null} entry */
  #showHandles(entry) {
    const { canvas } = /** @type {{canvas: import("./region_geometry.js").Canvas}} */ (this.scene);
    const scale = this.wide / canvas.width;
    const box = entry && lying(entry, canvas);
    for (const [edges, handle] of this.handles) {
      const narrow = entry && ((edges.length === 1 && (/[ns]/.test(edges) ? entry.width : entry.height) * scale < 34));
      handle.hidden = !entry || !free(entry) || Boolean(narrow);
      if (!box || handle.hidden) continue;
      const right = box.x + (edges.includes("e") ? 1 : edges.includes("w") ? 0 : 0.5) * box.width;
      const x = canvas.wrap && right > canvas.width ? right - canvas.width : right;
      const y = box.y + (edges.includes("s") ? 1 : edges.includes("n") ? 0 : 0.5) * box.height;
      handle.style.left = `clamp(4.5px, ${(100 * x) / canvas.width}%, calc(100% - 4.5px))`; // seen whole at the edges
      handle.style.top = `clamp(4.5px, ${(100 * y) / canvas.height}%, calc(100% - 4.5px))`;
    }
  }

  #showHoles() {
    const holes = this.scene?.holes ?? [];
    while (this.holes.children.length > holes.length) this.holes.lastChild?.remove();
    while (this.holes.children.length < holes.length) this.holes.append(make("div"));
    for (const [at, { x, y, width, height }] of holes.entries()) {
      this.#put(/** @type {HTMLElement} */ (this.holes.children[at]),
        { x: x * GRID, y: y * GRID, width: width * GRID, height: height * GRID });
    }
  }

  /** Where regions are cut into tiles. */
  #showTiles() {
    const { canvas, entries } = /** @type {{canvas: import("./region_geometry.js").Canvas, entries: Entry[]}} */ (
      this.scene);
    const [columns, rows] = [canvas.width / GRID, canvas.height / GRID];
    const path = entries.flatMap(({ box, trouble }) => {
      const tiles = box && !trouble ? tilesOf(canvas, box) : [];
      return tiles.length > 1 ? tiles.flatMap((tile) => pieces(tile, columns)) : [];
    }).map(({ x, y, width, height }) => `M${x} ${y}h${width}v${height}h${-width}z`).join("");
    this.lines.setAttribute("viewBox", `0 0 ${columns} ${rows}`);
    if (this.tiles.getAttribute("d") !== path) this.tiles.setAttribute("d", path);
  }

  /** @param {import("./region_snap.js").Guide[]} guides @param {Box} [box] whose numbers are shown */
  #guide(guides, box) {
    const { canvas } = /** @type {Scene} */ (this.scene);
    if (!canvas) return;
    this.guides.setAttribute("d", guides.map(({ axis, at }) => (axis === "x" ? `M${at / GRID} 0V${canvas.height / GRID}`
      : `M0 ${at / GRID}H${canvas.width / GRID}`)).join(""));
    this.numbers.hidden = !box;
    if (box) this.numbers.textContent = `x ${box.x}  y ${box.y}  ${box.width} x ${box.height}`;
  }

  /** @param {HTMLElement} element @param {Box} box in pixels */
  #put(element, { x, y, width, height }) {
    const { canvas } = /** @type {{canvas: import("./region_geometry.js").Canvas}} */ (this.scene);
    Object.assign(element.style, {
      left: `${(100 * x) / canvas.width}%`, top: `${(100 * y) / canvas.height}%`,
      width: `${(100 * width) / canvas.width}%`, height: `${(100 * height) / canvas.height}%`,
    });
  }

  // -- building ----------------------------------------------------------------------------------

  #build() {
    this.paper = make("canvas", { className: "dsoup-heat" });
    this.holes = make("div", { className: "dsoup-holes" });
    this.rests = make("div", { className: "dsoup-rests" });
    this.layer = make("div", { className: "dsoup-layer" }, this.rests);
    this.labels = make("div", { className: "dsoup-labels" });
    this.numbers = make("div", { className: "dsoup-numbers", hidden: true });
    this.rubber = make("div", { className: "dsoup-rubber", hidden: true });
    this.empty = make("div", { className: "dsoup-empty", textContent: word("Drag here to draw a region") });
    this.lines = document.createElementNS(NS, "svg");
    this.lines.setAttribute("preserveAspectRatio", "none");
    this.lines.setAttribute("aria-hidden", "true");
    [this.tiles, this.guides] = ["dsoup-tiles", "dsoup-guides"].map((name) => {
      const path = document.createElementNS(NS, "path");
      path.setAttribute("class", name);
      this.lines.append(path);
      return path;
    });
    this.handles = new Map(EDGES.map((edges) => {
      const handle = make("div", { className: "dsoup-handle", hidden: true });
      handle.dataset.edges = edges;
      return [edges, handle];
    }));
    this.frame = make("div", { className: "dsoup-frame" }, this.paper, this.holes, this.layer, this.lines, this.labels,
      this.rubber, ...this.handles.values(), this.empty, this.numbers);
    this.frame.setAttribute("role", "group");
    this.element = make("div", { className: "dsoup-area" }, this.frame);
  }

  /** @param {string} key */
  #made(key) {
    const parts = [0, 1].map((at) => {
      const piece = make("div", { className: `dsoup-region ${at ? "rest" : "first"}`, tabIndex: at ? -1 : 0 });
      piece.dataset.key = key;
      if (at) piece.setAttribute("aria-hidden", "true");
      else piece.setAttribute("role", "button");
      piece.addEventListener("focus", () => this.told.select(key));
      return piece;
    });
    const label = make("div", { className: "dsoup-label" });
    label.dataset.key = key;
    this.layer.append(parts[0], this.rests);
    this.rests.append(parts[1]);
    this.labels.append(label);
    const made = { pieces: parts, label };
    this.shown.set(key, made);
    return made;
  }

  // -- pointer -----------------------------------------------------------------------------------

  /** @param {EventTarget | null} target @returns {string | null} */
  #keyOf(target) {
    const element = target instanceof HTMLElement ? target.closest("[data-key]") : null;
    return element instanceof HTMLElement ? element.dataset.key ?? null : null;
  }

  /** A point of the canvas in pixels, and how many of them are one on the screen. @param {MouseEvent} event */
  #point({ clientX, clientY }) {
    const { canvas } = /** @type {{canvas: import("./region_geometry.js").Canvas}} */ (this.scene);
    const { left, top, width } = this.frame.getBoundingClientRect();
    const scale = canvas.width / width;
    return { x: (clientX - left) * scale, y: (clientY - top) * scale, scale };
  }

  /** @param {number} scale @param {MouseEvent | KeyboardEvent} event @param {Entry} [own] */
  #around(scale, { altKey }, own) {
    const { canvas, entries } = /** @type {{canvas: import("./region_geometry.js").Canvas, entries: Entry[]}} */ (
      this.scene);
    return { frame: canvas, others: entries.filter((each) => each.key !== own?.key && each.box)
      .map((each) => lying(each, canvas)), reach: altKey ? 0 : REACH * scale };
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (event.button !== 0 || !this.scene?.canvas) return;
    event.preventDefault(); // else the browser begins a selection, and moves the focus
    const handle = event.target instanceof HTMLElement ? event.target.dataset.edges : undefined;
    const key = handle ? this.selected : this.#keyOf(event.target);
    if (this.drawing || !key) return this.#drawFrom(event);
    this.told.select(key);
    this.focus(key);
    const entry = this.entry;
    if (entry && free(entry)) this.#drag(event, entry, handle);
  }

  /** @param {PointerEvent} event @param {Entry} entry @param {string | undefined} edges undefined: it is moved */
  #drag(event, entry, edges) {
    const from = this.#point(event);
    const before = pixels(entry);
    const begun = fitted(before, /** @type {any} */ (this.scene?.canvas));
    let going = false;
    this.#follow(event, (moving) => {
      if (!going && Math.hypot(moving.clientX - event.clientX, moving.clientY - event.clientY) < START) return;
      if (!going) this.told.begin();
      going = true;
      const to = this.#point(moving);
      const around = this.#around(to.scale, moving, entry);
      const { box, guides } = edges ? resized(begun, edges, to.x - from.x, to.y - from.y, around)
        : moved(begun, to.x - from.x, to.y - from.y, around);
      this.told.change(entry.key, box);
      this.#guide(guides, box);
    }, (kept) => {
      if (going && !kept) this.told.change(entry.key, before);
      this.#guide([]);
      if (going) this.told.end();
    });
  }

  /** @param {PointerEvent} event */
  #drawFrom(event) {
    const from = this.#point(event);
    /** @type {Box | null} */
    let made = null;
    this.#follow(event, (moving) => {
      const to = this.#point(moving);
      if (!made && Math.hypot(to.x - from.x, to.y - from.y) / to.scale < START * 2) return;
      const { box, guides } = drawn(from, to, this.#around(to.scale, moving));
      made = box;
      this.rubber.hidden = false;
      this.#put(this.rubber, box);
      this.#guide(guides, box);
    }, (kept) => {
      this.rubber.hidden = true;
      this.#guide([]);
      if (kept && made) this.told.draw(made);
      if (made || this.drawing) this.told.stopped();
    });
  }

  /**
   * @param {PointerEvent} event
   * @param {(event: PointerEvent) => void} moved until the pointer goes up
   * @param {(kept: boolean) => void} done not kept where Escape was pressed
   */
  #follow({ pointerId }, moved, done) {
    const stop = new AbortController();
    const end = (/** @type {boolean} */ kept) => {
      if (stop.signal.aborted) return;
      stop.abort();
      this.cancel = null;
      if (this.frame.hasPointerCapture(pointerId)) this.frame.releasePointerCapture(pointerId);
      done(kept);
    };
    this.cancel = () => end(false);
    this.frame.setPointerCapture(pointerId);
    this.frame.addEventListener("pointermove", moved, stop);
    for (const kind of ["pointerup", "lostpointercapture"]) this.frame.addEventListener(kind, () => end(true), stop);
    this.frame.addEventListener("pointercancel", () => end(false), stop);
    window.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      event.stopImmediatePropagation();
      end(false);
    }, { signal: stop.signal, capture: true });
  }

  // -- keyboard ----------------------------------------------------------------------------------

  /** @param {KeyboardEvent} event */
  #key(event) {
    const key = this.#keyOf(event.target);
    const entry = key ? this.entry : null;
    if (!entry || entry.key !== key || this.cancel) return;
    if (!this.#pressed(event, entry)) return;
    event.preventDefault();
    event.stopPropagation(); // Delete would delete the node
  }

  /** @param {KeyboardEvent} event @param {Entry} entry @returns {boolean} whether it is a key of ours */
  #pressed(event, entry) {
    const { key, ctrlKey, metaKey, shiftKey, altKey } = event;
    const way = ARROWS[/** @type {keyof typeof ARROWS} */ (key)];
    if (way) {
      if (!free(entry) || metaKey) return true;
      const around = { ...this.#around(1, event, entry), reach: 0 };
      const [dx, dy] = way.map((each) => each * (shiftKey ? LEAP : STEP));
      const begun = fitted(entry, around.frame);
      const { box } = ctrlKey || altKey ? resized(begun, "se", dx, dy, around) : moved(begun, dx, dy, around);
      this.told.change(entry.key, box);
    } else if (key === "Delete" || key === "Backspace") this.told.remove(entry.key);
    else if ((ctrlKey || metaKey) && key.toLowerCase() === "d") this.told.copy(entry.key);
    else if (key === "Enter" && !ctrlKey && !metaKey) this.told.type(entry.key);
    else return false;
    return true;
  }
}

/** Where a region lies, in pixels. @param {Entry} entry @param {import("./region_geometry.js").Canvas} canvas */
const lying = ({ box, ...entry }, canvas) => (box
  ? { x: box.x * GRID, y: box.y * GRID, width: box.width * GRID, height: box.height * GRID }
  : { ...pixels(/** @type {Entry} */ (entry)), x: canvas.wrap ? modulo(entry.x, canvas.width) : entry.x });

/** @param {Entry} entry @returns {Box} */
const pixels = ({ x, y, width, height }) => ({ x, y, width, height });

/** Whether a rectangle may be changed here. @param {Entry} entry */
export const free = ({ locked }) => !["x", "y", "width", "height"].some((name) => locked.has(name));

