/** Diffusion Soup in the browser: the table of ingredients on Cook Soup. Without this file there are the nodes alone. */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { addStyle } from "./lib/elements.js";
import { KINDS } from "./lib/ingredient_chain.js";
import { IngredientFacts } from "./lib/ingredient_facts.js";
import { IngredientTable, TABLE_CSS } from "./lib/ingredient_table.js";
import { asker, chain, looker } from "./lib/nodes.js";
import { copyRecipe } from "./lib/recipe_desk.js";

const graphs = () => /** @type {any} */ (globalThis).LiteGraph;
const WATCHED = [...Object.keys(KINDS), "DSoupRecipe"];

const facts = new IngredientFacts(asker(api));
/** @type {WeakMap<object, IngredientTable>} */
const tables = new WeakMap();
/** Look at all nodes again, soon: a change anywhere upstream may change the rows. */
const refreshSoon = looker(app, (node) => void tables.get(node)?.refresh());

function askAgain() {
  facts.forget();
  looker(app, (node) => tables.get(node)?.forget())();
  refreshSoon();
}

const host = {
  canvas: () => app.canvas,
  prompt: () => app.graphToPrompt(),
  /** @param {any} node */
  copy: (node) => void copyRecipe(node, app, api),
  /** @param {string} kind */
  create: (kind) => graphs()?.createNode(kind),
  /** @param {string} kind */
  files: (kind) => {
    const { required } = graphs()?.registered_node_types?.[kind]?.nodeData?.input ?? {};
    const [values, options] = required?.file ?? [];
    return (Array.isArray(values) ? values : options?.options ?? []).map(String);
  },
};

app.registerExtension({
  name: "diffusion_soup.ingredients",

  setup() {
    addStyle(TABLE_CSS);
    api.addEventListener("graphChanged", refreshSoon);
    api.addEventListener("reconnected", askAgain);
    api.addEventListener("execution_success", askAgain); // hashes are known then
  },

  nodeCreated(node) {
    if (node.comfyClass === "DSoupCook") tables.set(node, new IngredientTable(node, host, facts));
    else if (!WATCHED.includes(node.comfyClass ?? "")) return;
    for (const widget of node.widgets ?? []) chain(widget, "callback", refreshSoon);
    chain(node, "onConnectionsChange", refreshSoon);
    chain(node, "onConfigure", refreshSoon);
    refreshSoon();
  },

  afterConfigureGraph: refreshSoon,
  refreshComboInNodes: askAgain,
});
