/** Diffusion Soup in the browser: bars on Soup Block Weights. Without this file there are its text and its sliders. */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { BlockEditor, EDITOR_CSS } from "./lib/block_editor.js";
import { BlockTables } from "./lib/block_tables.js";
import { addStyle } from "./lib/elements.js";
import { asker, chain, looker } from "./lib/nodes.js";

const tables = new BlockTables(asker(api));
/** @type {WeakMap<object, BlockEditor>} */
const editors = new WeakMap();
/** Look at all nodes again, soon: their values and links may have changed. */
const refreshSoon = looker(app, (node) => void editors.get(node)?.refresh());

function askAgain() {
  tables.forget();
  refreshSoon();
}

app.registerExtension({
  name: "diffusion_soup.blocks",

  setup() {
    addStyle(EDITOR_CSS);
    void tables.get(); // before the first node is made
    api.addEventListener("graphChanged", refreshSoon);
    api.addEventListener("reconnected", askAgain);
  },

  nodeCreated(node) {
    if (node.comfyClass !== "DSoupBlockWeights") return;
    const editor = new BlockEditor(node, () => app.canvas, tables);
    editors.set(node, editor);
    chain(node, "onConnectionsChange", refreshSoon);
    chain(node, "onConfigure", (saved) => {
      editor.configured(saved);
      refreshSoon();
    });
    refreshSoon();
  },

  afterConfigureGraph: refreshSoon,
  refreshComboInNodes: askAgain,
});
