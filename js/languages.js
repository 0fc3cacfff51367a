/** Diffusion Soup in the browser: the user's language, learnt before any node is made. Without this file: English. */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { labelNode, translateDefinitions } from "./lib/node_words.js";
import { LANGUAGES, speak } from "./lib/words.js";

/** @type {Record<string, import("./lib/node_words.js").NodeWords>} */
let missed = {};

const language = () => String(app.extensionManager?.setting?.get("Comfy.Locale") ?? "en");

app.registerExtension({
  name: "diffusion_soup.languages",

  async init() {
    await speak(language(), (url) => fetch(url));
  },

  async addCustomNodeDefs(definitions) {
    if (!LANGUAGES.includes(language())) return;
    try {
      const words = await (await api.fetchApi("/i18n")).json();
      missed = translateDefinitions(definitions, words[language()] ?? {});
    } catch {
      // English then
    }
  },

  nodeCreated(node) {
    const words = missed[node.comfyClass ?? ""];
    if (words) labelNode(node, words);
  },
});
