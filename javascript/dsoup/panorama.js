/** The region editor in the Panorama script: it writes the script's text field, and follows it and the size. */
import { addStyle, make } from "../../js/lib/elements.js";
import { EDITOR_CSS, RegionEditor } from "../../js/lib/region_editor.js";
import { Fields } from "./panorama_fields.js";
import { Paper } from "./panorama_graph.js";
import { fromText, toText } from "./panorama_text.js";

const SIDES = 30; // what the editor takes off a node's width

/** @param {HTMLElement} place with data-tab: txt2img or img2img */
function mount(place) {
  const { tab } = place.dataset;
  const field = /** @type {HTMLTextAreaElement | null} */ (
    document.querySelector(`#dsoup_panorama_${tab}_text textarea`));
  if (!field) throw new Error(`the field with the regions of ${tab} is not there`);
  new Panorama(place, field, String(tab));
}

/** @returns {{mount: (place: HTMLElement) => void}} */
export function open() {
  addStyle(EDITOR_CSS);
  return { mount };
}

class Panorama {
  /** @param {HTMLElement} place @param {HTMLTextAreaElement} field @param {string} tab */
  constructor(place, field, tab) {
    Object.assign(this, { place, field, tab });
    this.place = place;
    this.field = field;
    this.tab = tab;
    this.known = "";
    this.frame = 0;
    this.touched = false;
    this.paper = new Paper(() => { this.touched = true; this.#soon(); });
    const node = this.paper.canvas;
    const graph = { emitAfterChange: () => this.#soon() };
    this.editor = new RegionEditor(node, {
      canvas: () => graph, create: this.paper.create, changed: () => this.#soon(), refresh: () => this.#now(),
      memory: new Map(),
    });
    this.fields = new Fields(node, () => this.#now());
    this.unread = make("div", { className: "dsoup-unread", hidden: true });
    this.unread.textContent = "The text below cannot be shown here; Show the plan says what is wrong with it.";
    place.append(make("div", { className: "dsoup dsoup-panorama" }, this.unread, this.editor.element, this.fields.own,
      this.fields.above));
    field.addEventListener("input", () => this.#follow());
    place.addEventListener("pointerenter", () => this.#follow());
    document.addEventListener("input", (event) => {
      if (/** @type {Element} */ (event.target).closest?.(`#${tab}_width, #${tab}_height`)) this.#follow();
    });
    new ResizeObserver(() => this.#follow()).observe(place);
    this.#follow(true);
  }

  /** The picture's size in pixels, as the host will make it. */
  get size() {
    const [width, height] = ["width", "height"].map((side) => {
      const input = /** @type {HTMLInputElement | null} */ (
        document.querySelector(`#${this.tab}_${side} input[type=number]`));
      return Math.floor((Number(input?.value) || 512) / 8) * 8;
    });
    return { width, height };
  }

  /** Take over what the text and the sizes say. @param {boolean} [anew] */
  #follow(anew = false) {
    const { size, field } = this;
    const key = `${field.value}\n${size.width} ${size.height}`;
    if (anew || (field.value !== this.text && key !== this.known)) {
      const values = fromText(field.value, size);
      this.unread.hidden = values !== null;
      this.paper.resize(size);
      if (values) this.paper.write(values);
      this.text = field.value;
      this.touched = false;
    } else if (key !== this.known) {
      this.paper.resize(size);
      const values = this.touched ? null : fromText(field.value, size);
      if (values) this.paper.write(values);
    }
    this.known = key;
    this.#show();
  }

  #soon() {
    this.frame ||= requestAnimationFrame(() => this.#now());
  }

  /** Show the nodes; and write the text where they were changed by hand. */
  #now() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (this.touched) {
      const text = toText(this.paper.read());
      if (text !== this.field.value) {
        this.field.value = this.text = text;
        this.known = `${text}\n${this.size.width} ${this.size.height}`;
        this.field.dispatchEvent(new Event("input", { bubbles: true }));
      }
      this.touched = false;
      this.unread.hidden = true;
    }
    this.#show();
  }

  #show() {
    const node = this.paper.canvas;
    if (this.place.clientWidth) node.size = [this.place.clientWidth + SIDES - 16, node.size[1]];
    this.editor.refresh(true);
    this.fields.show(this.editor.entry?.node ?? null);
  }
}
