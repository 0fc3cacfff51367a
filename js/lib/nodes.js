/** What widgets of our own need to know of nodes, in both renderings. */

const PAUSE = 100; // milliseconds after the last change
/** Above and below a widget of HTML. */
export const MARGINS = 20;

// -- the graph -----------------------------------------------------------------------------------

/** @param {any} node */
export const kindOf = (node) => node?.comfyClass ?? node?.type;

/** @param {any} node @param {string} name */
export const widgetOf = (node, name) => node.widgets?.find((/** @type {any} */ widget) => widget.name === name);

/**
 * The node and output that one input is connected to.
 * @param {any} node
 * @param {any} input
 */
export function originOf(node, input) {
  const link = input?.link == null ? null : node.graph?.getLink?.(input.link) ?? node.graph?.links?.[input.link];
  const origin = link ? node.graph.getNodeById(link.origin_id) : null;
  return origin ? { origin, slot: link.origin_slot } : null;
}

/** @param {any} node @param {string} name */
export const inputOf = (node, name) => node.inputs?.find((/** @type {any} */ input) => input.name === name);

/**
 * The value of a widget; undefined where it comes through a link and is known only when the graph runs.
 * @param {any} node
 * @param {string} name
 */
export function valueOf(node, name) {
  const from = originOf(node, inputOf(node, name));
  if (from && kindOf(from.origin) !== "PrimitiveNode") return undefined;
  return widgetOf(node, name)?.value;
}

/** @template {any[]} T @param {any} owner @param {string} name @param {(...values: T) => void} also */
export function chain(owner, name, also) {
  const before = owner[name];
  owner[name] = function (/** @type {T} */ ...values) {
    const result = before?.apply(this, values);
    also(...values);
    return result;
  };
}

/** What editors wait for: a look at the nodes, an answer of the server. @type {Set<Promise<unknown>>} */
const waiting = new Set();

/** @template T @param {Promise<T>} promise @returns {Promise<T>} the same */
function during(promise) {
  waiting.add(promise);
  const over = () => { waiting.delete(promise); };
  promise.then(over, over);
  return promise;
}

/**
 * The server's answer, once all of it is here.
 * @param {any} api ComfyUI's
 * @returns {(route: string, options?: any) => Promise<Response>}
 */
export const asker = (api) => async (route, options) => {
  const answer = api.fetchApi(route, options);
  await during(answer.then((/** @type {Response} */ response) => response.clone().arrayBuffer()));
  return answer;
};

/** Until editors have nothing to wait for, and have shown it. */
export async function idle() {
  do {
    await Promise.allSettled(waiting);
    for (let frames = 0; frames < 2; frames++) await new Promise(requestAnimationFrame);
  } while (waiting.size);
}

/**
 * A function that looks at all nodes soon, once however often it is called until then.
 * @param {any} app
 * @param {(node: any) => void} look
 */
export function looker(app, look) {
  let timer = 0;
  let looked = () => {};
  return () => {
    clearTimeout(timer);
    looked();
    void during(new Promise((/** @type {(value?: any) => void} */ done) => { looked = done; }));
    timer = setTimeout(() => {
      const root = app.rootGraph ?? app.graph;
      for (const graph of [root, ...(root?.subgraphs?.values() ?? [])]) graph?.nodes?.forEach(look);
      looked();
    }, PAUSE);
  };
}

// -- size ----------------------------------------------------------------------------------------

/**
 * The height that an editor needs of its node.
 *
 * A new node has it at once, and a node with a saved size keeps that: otherwise ComfyUI would find a change of the graph
 * that nobody made, and count it as a step to undo.
 */
export class Fit {
  /** @param {any} node @param {HTMLElement} element of the editor */
  constructor(node, element) {
    this.node = node;
    this.element = element;
    this.needed = 0;
    chain(node, "onConfigure", () => { this.needed = 0; });
  }

  /**
   * Let the node be as high as it needs; and give back what the editor no longer needs.
   * @param {number} needed by the editor, in pixels with its margins
   */
  to(needed) {
    if (needed === this.needed) return;
    const less = this.needed ? Math.min(needed - this.needed, 0) : 0;
    this.needed = needed;
    this.element.style.minHeight = `${Math.max(needed - MARGINS, 0)}px`; // Nodes 2.0 goes by this
    this.by(less);
  }

  /** @param {number} less what the node can do without, as a negative number of pixels */
  by(less) {
    const { node } = this;
    const [width, height] = node.size;
    const wanted = Math.max(node.computeSize()[1], height + less);
    if (wanted !== height) node.setSize([width, wanted]);
    node.setDirtyCanvas?.(true, true);
  }
}
