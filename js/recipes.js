/** Diffusion Soup in the browser: recipes that are dropped, pasted, copied, and the log of those that were cooked. */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { kindOf } from "./lib/nodes.js";
import { RecipeDesk } from "./lib/recipe_desk.js";
import { RecipeDrop } from "./lib/recipe_drop.js";
import { RecipeLog } from "./lib/recipe_log.js";
import { word } from "./lib/words.js";

const SETTING = "diffusion_soup.ask_on_drop";
const COPY = "diffusion_soup.copy_recipe";

const desk = new RecipeDesk(app, api);
/** @type {RecipeLog | null} */
let panel = null;

// -- the log -------------------------------------------------------------------------------------

/** @param {any} picture */
const address = (picture) => api.apiURL(`/view?${new URLSearchParams({ ...picture, preview: "webp;60" })}`);

/** @param {import("./lib/recipe_log.js").Entry} entry @param {boolean} atOnce if all its files are here */
async function restore(entry, atOnce) {
  try {
    const told = await desk.askRecipe({ recipe: entry.recipe });
    const whole = told.files.every((/** @type {any} */ { state }) => state === "here");
    const [picture] = entry.pictures;
    if (atOnce && whole) await desk.build(told, desk.placeOf());
    else await desk.offer([told], picture ? { picture: address(picture) } : {}, desk.placeOf());
  } catch (error) {
    desk.say("error", word("The recipe cannot be restored"), error);
  }
}

const host = {
  list: (/** @type {string} */ query) => desk.ask(`log?${query}`),
  change: (/** @type {any} */ body) => desk.ask("log", body),
  show: (/** @type {any} */ entry) => void restore(entry, false),
  restore: (/** @type {any} */ entry) => void restore(entry, true),
  copy: (/** @type {any} */ entry) => void desk.copy(entry.recipe),
  address,
};

/** A prompt is done: its pictures are kept with the recipes, and the list is looked at again. */
async function promptDone() {
  const root = app.rootGraph ?? app.graph;
  const soups = [root, ...(root?.subgraphs?.values() ?? [])].some((graph) =>
    graph?.nodes?.some((/** @type {any} */ node) => kindOf(node) === "DSoupCook"));
  if (!soups) return;
  await desk.ask("log", { gather: true }).catch(() => {});
  panel?.soon();
}

// -- ComfyUI -------------------------------------------------------------------------------------

function copySelected() {
  const node = [...(app.canvas?.selectedItems ?? [])].find((item) => kindOf(item) === "DSoupCook");
  if (node) void desk.copyOf(node);
  else desk.say("warn", word("Copy recipe"), word("Select a Cook Soup first."));
}

app.registerExtension({
  name: "diffusion_soup.recipes",

  settings: [{
    id: SETTING, type: "boolean", defaultValue: true,
    // read when settings are shown: the language is not known yet
    get name() { return word("Ask what to do when a soup is dropped on the graph"); },
    get category() { return ["Diffusion Soup", word("Recipes"), "Drop"]; },
    get tooltip() {
      return word("Off: pictures, recipes and saved soups that are dropped are opened by ComfyUI alone.");
    },
  }],

  commands: [{ id: COPY, label: () => word("Copy recipe"), icon: "pi pi-copy", function: copySelected }],

  setup() {
    new RecipeDrop(desk, () => app.extensionManager.setting.get(SETTING) !== false).listen();
    api.addEventListener("execution_success", promptDone);
    api.addEventListener("executed", (/** @type {CustomEvent<any>} */ { detail }) => {
      if (detail?.output?.diffusion_soup) panel?.soon();
    });
    app.extensionManager.registerSidebarTab({
      id: "diffusion-soup-log", icon: "mdi mdi-pot-steam-outline", title: word("Soups"), tooltip: word("Cooked soups"),
      type: "custom",
      render: (/** @type {HTMLElement} */ element) => { panel = new RecipeLog(element, host); },
      destroy: () => { panel = null; },
    });
  },

  getSelectionToolboxCommands: (item) => (kindOf(item) === "DSoupCook" ? [COPY] : []),

  getNodeMenuItems(node) {
    if (kindOf(node) !== "DSoupCook") return [];
    return [null, { content: word("Copy recipe"), callback: () => void desk.copyOf(node) }];
  },
});
