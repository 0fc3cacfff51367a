/** Diffusion Soup in the browser: the region canvas on Canvas and Panorama. Without this file there are their widgets. */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { addStyle } from "./lib/elements.js";
import { chain, looker } from "./lib/nodes.js";
import { CANVAS, GRIDS, MASKS, PANORAMA, REGION } from "./lib/region_chain.js";
import { EDITOR_CSS, RegionEditor } from "./lib/region_editor.js";

const WATCHED = [REGION, GRIDS, MASKS, CANVAS, "CLIPTextEncode", "PrimitiveInt", "PrimitiveFloat", "PrimitiveBoolean"];

/** @type {Map<object, RegionEditor>} */
const editors = new Map();
let frame = 0;

/** Look at all regions again: a value of a node may have changed. */
function refreshNow() {
  cancelAnimationFrame(frame);
  frame = 0;
  for (const editor of editors.values()) editor.refresh();
}

/** The same with the next picture, once however often it is called until then. */
function refreshNext() {
  frame ||= requestAnimationFrame(refreshNow);
}

/** Look at all nodes again, soon: links, prompts and styles may have changed. */
const refreshSoon = looker(app, (node) => editors.get(node)?.refresh(true));

const host = {
  canvas: () => app.canvas,
  create: (/** @type {string} */ type) => /** @type {any} */ (globalThis).LiteGraph.createNode(type),
  changed: refreshNext,
  refresh: refreshNow,
  memory: new Map(),
};

app.registerExtension({
  name: "diffusion_soup.regions",

  setup() {
    addStyle(EDITOR_CSS);
    api.addEventListener("graphChanged", refreshSoon);
  },

  nodeCreated(node) {
    const ours = node.comfyClass === CANVAS || node.comfyClass === PANORAMA;
    if (!ours && !WATCHED.includes(node.comfyClass ?? "")) return;
    if (ours) {
      const editor = new RegionEditor(node, host);
      editors.set(node, editor);
      chain(node, "onRemoved", () => {
        editors.delete(node);
        editor.removed();
      });
      chain(node, "onConfigure", refreshSoon);
    }
    for (const widget of node.widgets ?? []) chain(widget, "callback", refreshNext);
    chain(node, "onConnectionsChange", refreshSoon);
    refreshSoon();
  },

  afterConfigureGraph: refreshSoon,
});
