/** "Copy recipe" of a Cook Soup: what it would cook, before it has cooked. */
import { word } from "./words.js";

/**
 * The ids under which a node runs: its own, after those of the subgraphs around it; one for each use of a subgraph.
 * @param {any} root
 * @param {any} node
 * @returns {string[]}
 */
export function executionIds(root, node) {
  /** @type {string[]} */
  const ids = [];
  const walk = (/** @type {any} */ graph, /** @type {string} */ path, /** @type {any[]} */ above) => {
    if (!graph || above.includes(graph)) return;
    for (const each of graph.nodes ?? []) {
      if (each === node) ids.push(path + each.id);
      if (each.subgraph) walk(each.subgraph, `${path}${each.id}:`, [...above, graph]);
    }
  };
  walk(root, "", []);
  return ids;
}

/**
 * The node that runs under an id; null if there is none.
 * @param {any} root
 * @param {string} id such as "5:3"
 */
export function nodeOfExecution(root, id) {
  const path = String(id).split(":");
  let graph = root;
  for (const part of path.slice(0, -1)) graph = byId(graph, part)?.subgraph;
  return byId(graph, path[path.length - 1]);
}

/** @param {any} graph @param {string} id */
const byId = (graph, id) => graph?.nodes?.find((/** @type {any} */ node) => String(node.id) === id) ?? null;

/**
 * What the server says of the recipe that a Cook Soup would cook now. Throws an Error with a sentence.
 * @param {any} app
 * @param {(body: any) => Promise<any>} ask
 * @param {any} node
 */
export async function recipeOf(app, ask, node) {
  const { output } = await app.graphToPrompt();
  const id = executionIds(app.rootGraph ?? app.graph, node).find((each) => output[each]);
  if (!id) throw new Error(word("This Cook Soup is muted, bypassed or not in the graph, so it cooks nothing."));
  return ask({ prompt: output, node: id });
}

/**
 * Put a text on the clipboard, also where the page has no right to by itself, as over plain http.
 * @param {string} text
 */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return;
  } catch { /* the older way */ }
  const area = document.createElement("textarea");
  area.value = text;
  area.style.cssText = "position: fixed; opacity: 0";
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error(word("The browser does not allow to copy; allow the clipboard for this page."));
}
