/** Diffusion Soup in the browser: what goes wrong is said in one sentence, as a toast and on the node. */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { addStyle } from "./lib/elements.js";
import { attach, hush, keep, MESSAGE_CSS, say } from "./lib/node_message.js";
import { kindOf, looker } from "./lib/nodes.js";
import { nodeOfExecution } from "./lib/recipe_copy.js";
import { cookedLine, failureSentence, isOurs, refusals } from "./lib/run_messages.js";

const LOOKS = 20;
const PAUSE = 100; // milliseconds between two looks
const LIFE = 9000; // and more for long sentences

const root = () => app.rootGraph ?? app.graph;
const canvas = () => app.canvas;
const keepSoon = looker(app, keep);
/** What was said of the run, so that nothing is said twice. */
let said = "";

/** @param {string} id of the node in the run @param {string} sentence */
function tell(id, sentence) {
  const node = nodeOfExecution(root(), id);
  const key = `${id}\n${sentence}`;
  if (said.includes(key)) return;
  said += `${key}\n`;
  if (node) say(node, "wrong", sentence, canvas);
  const summary = node?.title || node?.type || "Diffusion Soup";
  app.extensionManager.toast.add({ severity: "error", summary, detail: sentence, life: LIFE + 40 * sentence.length });
}

function starts() {
  said = "";
  walk(hush);
}

/** @param {(node: any) => void} look */
function walk(look) {
  for (const graph of [root(), ...(root()?.subgraphs?.values() ?? [])]) graph?.nodes?.forEach(look);
}

/** @param {CustomEvent<any>} event */
function failed({ detail }) {
  const sentence = failureSentence(detail ?? {});
  if (sentence) tell(String(detail.node_id), sentence);
}

/** @param {CustomEvent<any>} event */
function executed({ detail }) {
  const node = nodeOfExecution(root(), String(detail?.display_node ?? detail?.node));
  if (!node) return;
  hush(node);
  const line = cookedLine(detail.output);
  if (line) say(node, line.notes ? "noted" : "done", line.sentence, canvas);
}

/** The last refusal that was told: ComfyUI keeps it until the next run. @type {any} */
let refused = null;

/** A prompt was answered: if it was refused, ComfyUI will soon have the reasons. @param {number} looks */
function lookForRefusal(looks = LOOKS) {
  const errors = app.lastNodeErrors;
  if (errors && errors !== refused && Object.keys(errors).length) {
    refused = errors;
    starts();
    for (const [id, sentence] of refusals(errors)) tell(id, sentence);
  } else if (looks > 0) {
    setTimeout(lookForRefusal, PAUSE, looks - 1);
  }
}

/** No event tells of a refused prompt, but the browser tells of every answer. */
function watchAnswers() {
  if (!globalThis.PerformanceObserver?.supportedEntryTypes?.includes("resource")) return;
  new PerformanceObserver((list) => {
    if (list.getEntriesByType("resource").some(({ name }) => /\/prompt(\?|$)/.test(name))) lookForRefusal();
  }).observe({ type: "resource" });
}

app.registerExtension({
  name: "diffusion_soup.messages",

  setup() {
    addStyle(MESSAGE_CSS);
    api.addEventListener("execution_start", starts);
    api.addEventListener("execution_error", failed);
    api.addEventListener("executed", executed);
    api.addEventListener("graphChanged", keepSoon);
    watchAnswers();
  },

  nodeCreated(node) {
    if (isOurs(kindOf(node))) attach(node, canvas);
  },

  afterConfigureGraph: keepSoon,
});
