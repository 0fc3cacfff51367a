/**
 * Recipes dropped or pasted on the graph. Whatever holds none is handed on to ComfyUI, by the same event again, so that
 * everything else works as it did.
 */
import { mayHoldRecipe, readRecipes, recipeInText } from "./recipe_files.js";
import { word } from "./words.js";

const ELSEWHERE = "dialog, [role=dialog], .p-dialog, .comfy-modal, .side-bar-panel";
const TEXT = "input, textarea, [contenteditable=true], dialog, [role=dialog]";
const PICTURE = /\.(png|webp)$/i;

export class RecipeDrop {
  /**
   * @param {import("./recipe_desk.js").RecipeDesk} desk
   * @param {() => boolean} wanted whether the user wants to be asked
   */
  constructor(desk, wanted) {
    this.desk = desk;
    this.wanted = wanted;
    /** What ComfyUI shall have. @type {WeakSet<Event>} */
    this.handedOn = new WeakSet();
    /** @type {MouseEvent | undefined} */
    this.mouse = undefined;
  }

  listen() {
    const first = { capture: true };
    window.addEventListener("drop", (event) => void this.#dropped(event), first);
    window.addEventListener("paste", (event) => void this.#pasted(event), first);
    window.addEventListener("pointermove", (event) => { this.mouse = event; }, { capture: true, passive: true });
  }

  // -- dropping ----------------------------------------------------------------------------------

  /** @param {DragEvent} event */
  async #dropped(event) {
    const file = this.handedOn.has(event) || !this.wanted() ? null : this.#fileOnGraph(event);
    if (!file) return;
    const target = /** @type {Element} */ (event.target);
    const place = this.desk.placeOf(event);
    event.preventDefault();
    event.stopImmediatePropagation();
    const open = () => this.#handOn(event, file, target);
    const found = await readRecipes(file);
    if (found) await this.#offer(found, file, place, open);
    else open();
  }

  /** A file on the graph itself, and not on a node that takes files. @param {DragEvent} event */
  #fileOnGraph(event) {
    const [file, ...others] = event.dataTransfer?.files ?? [];
    const { target } = event;
    if (!file || others.length || !mayHoldRecipe(file.name) || !(target instanceof Element)) return null;
    const { app } = this.desk;
    const canvas = app.canvas?.canvas;
    const id = /** @type {HTMLElement | null} */ (target.closest("[data-node-id]"))?.dataset.nodeId;
    const onGraph = id !== undefined || target.closest(".dom-widget") || canvas?.parentElement?.contains(target);
    if (!canvas || !onGraph || target.closest(ELSEWHERE)) return null;
    const { graph } = app.canvas;
    const [x, y] = this.desk.placeOf(event);
    const node = graph.nodes.find((/** @type {any} */ each) => String(each.id) === id) ?? graph.getNodeOnPos(x, y);
    return node?.onDragDrop || app.dragOverNode ? null : file;
  }

  /**
   * @param {import("./recipe_files.js").Found} found
   * @param {File} file
   * @param {[number, number]} place
   * @param {() => void} open
   */
  async #offer(found, file, place, open) {
    const picture = PICTURE.test(file.name) ? URL.createObjectURL(file) : "";
    try {
      const told = await this.#understood(found);
      if (told.length) await this.desk.offer(told, { file: file.name, workflow: found.workflow, picture, open }, place);
      else open(); // only the running graph would tell its recipe
    } catch (error) {
      this.desk.say("error", file.name, error);
      if (found.workflow) open();
    } finally {
      if (picture) URL.revokeObjectURL(picture);
    }
  }

  /** What the server says of them. @param {import("./recipe_files.js").Found} found */
  async #understood({ recipes, prompt }) {
    if (prompt) return Object.values(/** @type {any} */ ((await this.desk.askRecipe({ prompt })).recipes));
    return Promise.all(recipes.map((recipe) => this.desk.askRecipe({ recipe })));
  }

  /** The same event again, for ComfyUI. @param {DragEvent} event @param {File} file @param {Element} target */
  #handOn(event, file, target) {
    const data = new DataTransfer();
    data.items.add(file);
    const { clientX, clientY, screenX, screenY, shiftKey, ctrlKey, altKey, metaKey } = event;
    const again = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true, composed: true, clientX,
      clientY, screenX, screenY, shiftKey, ctrlKey, altKey, metaKey });
    this.handedOn.add(again);
    (target.isConnected ? target : this.desk.app.canvas.canvas).dispatchEvent(again);
  }

  // -- pasting -----------------------------------------------------------------------------------

  /** @param {ClipboardEvent} event */
  async #pasted(event) {
    if (event.target instanceof Element && event.target.closest(TEXT)) return;
    const found = recipeInText(event.clipboardData?.getData("text/plain") ?? "");
    if (!found) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    try {
      await this.desk.offer(await this.#understood(found), { file: word("pasted") }, this.desk.placeOf(this.mouse));
    } catch (error) {
      this.desk.say("error", word("The pasted recipe"), error);
    }
  }
}
