/** Recipes in and out: text, files, pictures, saved soups. */
import { make } from "../../js/lib/elements.js";
import { ICONS, card, press } from "./fields.js";
import { pick } from "./picker.js";

const MOST = 64 * 2 ** 20; // bytes of a file that is sent whole
const MOST_HEADER = 100 * 2 ** 20;

/**
 * A safetensors file without its tensors: the metadata is all that a recipe is read from, and a model is large.
 * @param {File} file
 */
async function withoutTensors(file) {
  const length = Number(new DataView(await file.slice(0, 8).arrayBuffer()).getBigUint64(0, true));
  if (length > Math.min(MOST_HEADER, file.size)) throw new Error("its header is longer than it");
  const { __metadata__ = {} } = JSON.parse(await file.slice(8, 8 + length).text());
  const header = new TextEncoder().encode(JSON.stringify({ __metadata__ }));
  const start = new DataView(new ArrayBuffer(8));
  start.setBigUint64(0, BigInt(header.length), true);
  return new File([start.buffer, header], file.name);
}

/** @param {File} file @returns {Promise<object>} the question for the server */
async function questionOf(file) {
  if (/\.(safetensors|sft)$/i.test(file.name)) {
    file = await withoutTensors(file).catch(() => { throw new Error(`${file.name} is damaged, or no safetensors file.`); });
  }
  if (file.size > MOST) throw new Error(`${file.name} is too large for a recipe or a picture.`);
  const url = await new Promise((done) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => done(reader.result));
    reader.readAsDataURL(file);
  });
  return { name: file.name, data: String(url).split(",", 2)[1] ?? "" };
}

export class RecipeCard {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
    this.text = make("textarea", { className: "ds-recipe", rows: 6, spellcheck: false, id: "dsoup_recipe_text",
      placeholder: "Paste a recipe, a row of supermerger's history, or A1111's merge metadata; or drop a file" });
    this.text.setAttribute("aria-label", "Recipe");
    this.text.addEventListener("input", () => this.#typed());
    this.text.addEventListener("keydown", (/** @type {Event} */ event) => event.stopPropagation());
    this.load = press("Load", "Load this text into the table", () => void this.read({ text: this.text.value }), { id: "dsoup_load" });
    this.file = make("input", { type: "file", accept: ".json,.txt,.csv,.png,.safetensors,.sft", hidden: true, id: "dsoup_file" });
    this.file.addEventListener("change", () => {
      if (this.file.files[0]) void this.open(this.file.files[0]);
      this.file.value = "";
    });
    this.said = make("p", { className: "ds-status", id: "dsoup_recipe_status" });
    this.said.setAttribute("role", "status");
    this.hash = make("code");
    this.offer = make("div", { className: "ds-offer", id: "dsoup_pasted" });
    this.element = card("Recipe", this.offer, this.text, make("div", { className: "ds-line" },
      this.load, press("File…", "Load a recipe, a picture or a saved soup", () => this.file.click(), { icon: ICONS.file }), this.file,
      press("Checkpoint…", "Load the recipe of a saved soup or merge in the model folders", () => void this.#pick(), { icon: ICONS.find, id: "dsoup_read_checkpoint" }),
      make("span", { className: "ds-gap" }),
      press("Keep", "Keep the recipe on the server, for grids (X/Y/Z plot) and for other browsers", () => void this.#keep(), { icon: ICONS.keep, id: "dsoup_keep" }),
      press("Copy", "Copy the recipe", () => void this.#copy(), { icon: ICONS.copy, id: "dsoup_copy" }),
      press("Download", "The recipe as a file", () => this.#download(), { icon: ICONS.download, id: "dsoup_download" })), this.said);
    this.element.querySelector("header").append(this.hash);
    this.typed = false;
  }

  show() {
    const { recipe } = this.app;
    if (!this.typed) this.text.value = recipe?.text ?? "";
    this.hash.textContent = recipe ? recipe.hash.slice(0, 10) : "";
    this.hash.title = recipe?.hash ?? "";
    this.#showOffer();
    this.load.disabled = !this.typed;
    this.load.classList.toggle("primary", this.typed);
  }

  async #pick() {
    const found = await pick(this.app.element, { title: "Recipe of a checkpoint", files: this.app.hello.checkpoints });
    if (found) await this.read({ checkpoint: found[0] }, found[0]);
  }

  /** A picture that was sent from elsewhere in the WebUI brought its recipe: offer it, once. */
  #showOffer() {
    const { pasted } = this.app;
    this.offer.hidden = !pasted || pasted.hash === this.app.recipe?.hash || pasted.hash === this.taken;
    if (this.offer.hidden) return;
    this.offer.replaceChildren(make("span", {}, `The picture whose parameters you took was made with ${pasted.title}.`),
      press("Load", "Load its recipe into the table", () => {
        this.taken = pasted.hash;
        this.app.load(pasted.draft);
      }));
  }

  #typed() {
    this.typed = Boolean(this.text.value.trim()) && this.text.value !== this.app.recipe?.text;
    this.show();
  }

  /** @param {File} file */
  async open(file) {
    this.#say(`Reading ${file.name}`);
    try {
      await this.read(await questionOf(file), file.name);
    } catch (error) {
      this.#say(/** @type {Error} */ (error).message, true);
    }
  }

  /** @param {object} question @param {string} [name] */
  async read(question, name = "the text") {
    const answer = await this.app.ask.slow("read", question);
    if (answer.error) return this.#say(answer.error, true);
    this.typed = false;
    this.#say(`Loaded ${answer.title} from ${name}.`);
    this.app.load(answer.draft);
  }

  /** @param {string} text @param {boolean} [wrong] */
  #say(text, wrong = false) {
    this.said.textContent = text;
    this.said.classList.toggle("ds-error", wrong);
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.text.value);
      this.#say("Copied.");
    } catch {
      this.text.select();
      this.#say(document.execCommand("copy") ? "Copied." : "The browser does not let this page copy: press Ctrl+C.");
    }
  }

  async #keep() {
    const { kept, error } = await this.app.ask.quick("keep", { draft: this.app.sent() });
    this.#say(error ?? `Kept as ${kept}. It is among the values of the axis [Soup] Recipe.`, Boolean(error));
  }

  #download() {
    const url = URL.createObjectURL(new Blob([this.text.value], { type: "application/json" }));
    const name = (this.app.recipe?.title ?? "soup").replace(/ \+ /g, "_").replace(/[^\w.-]+/g, "").slice(0, 60) || "soup";
    make("a", { href: url, download: `${name}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
}

/** Files dropped anywhere over an element. @param {HTMLElement} element @param {(file: File) => void} dropped */
export function dropZone(element, dropped) {
  let depth = 0;
  const files = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
  const over = (/** @type {number} */ change) => {
    depth = Math.max(depth + change, 0);
    element.classList.toggle("ds-over", depth > 0);
  };
  element.addEventListener("dragenter", (event) => files(event) && over(1));
  element.addEventListener("dragleave", (event) => files(event) && over(-1));
  element.addEventListener("dragover", (event) => files(event) && event.preventDefault());
  element.addEventListener("drop", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    event.stopPropagation(); // the hosts take dropped pictures for themselves
    over(-depth);
    const file = event.dataTransfer?.files[0];
    if (file) dropped(file);
  });
}
