/** Diffusion Soup in the browser: the console of Mix Styles. Without this file everything works by text. */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { addStyle } from "./lib/elements.js";
import { asker, chain, kindOf, looker } from "./lib/nodes.js";
import { CONSOLE_CSS, StyleConsole } from "./lib/style_console.js";
import { MixStore } from "./lib/style_mixes.js";
import { StyleNames } from "./lib/style_names.js";

const WATCHED = ["DSoupStudent", "DSoupStyleSwap"];

const names = new StyleNames(asker(api));
const mixes = new MixStore(api);
/** @type {WeakMap<object, StyleConsole>} */
const consoles = new WeakMap();
/** Look at all nodes again, soon: a change anywhere upstream may change the styles. */
const refreshSoon = looker(app, (node) => void consoles.get(node)?.refresh());

function askAgain() {
  names.forget();
  refreshSoon();
}

app.registerExtension({
  name: "diffusion_soup.styles",

  setup() {
    addStyle(CONSOLE_CSS);
    api.addEventListener("graphChanged", refreshSoon);
    api.addEventListener("reconnected", askAgain);
  },

  nodeCreated(node) {
    if (node.comfyClass === "DSoupStyleMix") {
      consoles.set(node, new StyleConsole(node, () => app.canvas, names, mixes));
    } else if (WATCHED.includes(kindOf(node))) {
      for (const widget of node.widgets ?? []) chain(widget, "callback", refreshSoon);
    } else {
      return;
    }
    chain(node, "onConnectionsChange", refreshSoon);
    refreshSoon();
  },

  afterConfigureGraph: refreshSoon,
  refreshComboInNodes: askAgain,
});
