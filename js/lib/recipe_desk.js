/** What can be done with a recipe in the browser: ask the server about it, build its nodes, copy it. */
import { idle } from "./nodes.js";
import { copyText, recipeOf } from "./recipe_copy.js";
import { askWhatToDo } from "./recipe_dialog.js";
import { buildNodes, planNodes } from "./recipe_nodes.js";
import { titleOf } from "./recipe_view.js";
import { word } from "./words.js";

/** @typedef {import("./recipe_nodes.js").Told} Told */
/** @typedef {[number, number]} Place */

const SHORT = 4000;
const LONG = 10_000;
const LOOK = 50; // milliseconds
const MOST_LOOKS = 20;
const LONGEST = 5000;

export class RecipeDesk {
  /** @param {any} app @param {any} api */
  constructor(app, api) {
    this.app = app;
    this.api = api;
    this.askRecipe = (/** @type {any} */ body) => this.ask("recipe", body);
  }

  /** The server's answer; an Error with its sentence. @param {string} route @param {any} [body] */
  async ask(route, body) {
    const options = body === undefined ? {} :
      { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const response = await this.api.fetchApi(`/diffusion_soup/${route}`, options);
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Error(answer.error ?? word("The server answered {0}. Restart it.", response.status));
    return answer;
  }

  /** @param {"success" | "warn" | "error"} severity @param {string} summary @param {unknown} detail */
  say(severity, summary, detail) {
    const text = detail instanceof Error ? detail.message : String(detail);
    this.app.extensionManager.toast.add({ severity, summary, detail: text, life: severity === "success" ? SHORT : LONG });
  }

  /** Where an event was on the canvas; without one, a place that is seen. @param {MouseEvent} [event] @returns {Place} */
  placeOf(event) {
    const { canvas, ds } = this.app.canvas;
    const box = canvas.getBoundingClientRect();
    const [x, y] = event ? [event.clientX, event.clientY] : [box.left + box.width / 3, box.top + box.height / 5];
    return [(x - box.left) / ds.scale - ds.offset[0], (y - box.top) / ds.scale - ds.offset[1]];
  }

  /** @param {Told} told @param {Place} place on the canvas */
  async build(told, place) {
    try {
      const { nodes, why } = await planNodes(told, this.askRecipe);
      const made = await this.#oneStep(() =>
        buildNodes(nodes, this.app.canvas, /** @type {any} */ (globalThis).LiteGraph, place));
      const missing = told.files.filter(({ state }) => state === "missing").map(({ file }) => file);
      const what = why ? word("{0}, so it is built as Soup Recipe and Cook Soup.", why) :
        word("{0} nodes built.", made.length);
      const lack = missing.length ? word("Not found here: {0}.", missing.join(", ")) : "";
      this.say(lack ? "warn" : "success", word("Soup of {0}", titleOf(told.recipe)), `${what} ${lack}`.trim());
    } catch (error) {
      this.say("error", word("The nodes cannot be built"), error);
    }
  }

  /**
   * Change the graph in one step of undoing: ComfyUI looks by itself only after a key or the mouse, and what editors on
   * new nodes do a moment later belongs to the same step.
   * @param {() => any[]} change returns the new nodes
   * @returns {Promise<any[]>}
   */
  async #oneStep(change) {
    const tracker = this.app.extensionManager.workflow?.activeWorkflow?.changeTracker;
    const look = () => (tracker?.captureCanvasState ?? tracker?.checkState)?.call(tracker);
    look();
    tracker?.beforeChange?.();
    try {
      const made = change();
      await settled(made);
      return made;
    } finally {
      tracker?.afterChange?.();
      look();
    }
  }

  /** @param {any} recipe */
  async copy(recipe) {
    try {
      await copyText(JSON.stringify(recipe, null, 1));
      this.say("success", word("Recipe copied"),
        word("Soup of {0}. Paste it on a graph, or into Soup Recipe.", titleOf(recipe)));
    } catch (error) {
      this.say("error", word("The recipe is not copied"), error);
    }
  }

  /** Copy what a Cook Soup would cook; it need not have cooked. @param {any} node */
  async copyOf(node) {
    try {
      await this.copy((await recipeOf(this.app, this.askRecipe, node)).recipe);
    } catch (error) {
      this.say("error", word("The recipe is not copied"), error);
    }
  }

  /**
   * Ask what to do with recipes, and do it.
   * @param {Told[]} told
   * @param {import("./recipe_dialog.js").Origin & {open?: () => void}} origin
   * @param {Place} place
   */
  async offer(told, origin, place) {
    const { choice, told: chosen } = await askWhatToDo(told, origin);
    if (choice === "build") await this.build(chosen, place);
    if (choice === "copy") await this.copy(chosen.recipe);
    if (choice === "open") origin.open?.();
  }
}

/** @param {number} time in milliseconds */
const pause = (time) => new Promise((resolve) => { setTimeout(resolve, time); });

/** Until editors know what they ask for and nodes stay as they are, or some time has passed. @param {any[]} nodes */
async function settled(nodes) {
  await Promise.race([idle(), pause(LONGEST)]);
  let [before, same] = ["", 0];
  for (let look = 0; look < MOST_LOOKS && same < 3; look++) {
    await pause(LOOK);
    const now = JSON.stringify(nodes.map((node) => node.serialize()));
    same = now === before ? same + 1 : 0;
    before = now;
  }
}

/**
 * Copy the recipe of a Cook Soup to the clipboard, and tell what was copied or why not.
 * @param {any} node
 * @param {any} app
 * @param {any} api
 */
export const copyRecipe = (node, app, api) => new RecipeDesk(app, api).copyOf(node);
