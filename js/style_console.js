/** Diffusion Soup in the browser: sliders on Mix Styles. Without this file everything works by text. */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { addStyle } from "./lib/elements.js";
import { chain, kindOf, looker } from "./lib/nodes.js";
import { CSS, StyleNames, StyleSliders } from "./lib/style_sliders.js";

const WATCHED = ["DSoupStudent", "DSoupStyleSwap"];

const names = new StyleNames((route) => api.fetchApi(route));
/** @type {WeakMap<object, StyleSliders>} */
const sliders = new WeakMap();
/** Look at all nodes again, soon: a change anywhere upstream may change the sliders. */
const refreshSoon = looker(app, (node) => void sliders.get(node)?.refresh(names));

function askAgain() {
  names.forget();
  refreshSoon();
}

app.registerExtension({
  name: "diffusion_soup.styles",

  setup() {
    addStyle(CSS);
    api.addEventListener("graphChanged", refreshSoon);
    api.addEventListener("reconnected", askAgain);
  },

  nodeCreated(node) {
    if (node.comfyClass === "DSoupStyleMix") {
      sliders.set(node, new StyleSliders(node, () => app.canvas));
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
