/** What widgets of our own need to know of nodes, in both renderings. */

const PAUSE = 100; // milliseconds after the last change

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

// -- elements ------------------------------------------------------------------------------------

/**
 * Whether it lies over the canvas, as in LiteGraph, and not in a node of HTML, as in Nodes 2.0.
 * @param {Element} element
 */
export const isOnCanvas = (element) => element.closest(".dom-widget") !== null;

/**
 * Left button: the slider's alone, so that the node is not dragged. Wheel and middle button: the canvas's. Where nodes
 * are HTML the canvas gets them by itself.
 * @param {HTMLElement} element
 * @param {any} canvas
 */
export function forward(element, canvas) {
  const middle = { pointerdown: "processMouseDown", pointermove: "processMouseMove", pointerup: "processMouseUp" };
  for (const [kind, method] of Object.entries(middle)) {
    element.addEventListener(kind, (event) => {
      const { button, buttons } = /** @type {PointerEvent} */ (event);
      if (button !== 1 && !(buttons & 4)) event.stopPropagation();
      else if (isOnCanvas(element)) canvas()?.[method]?.(event);
    });
  }
  element.addEventListener("wheel", (event) => {
    if (!isOnCanvas(element)) return;
    event.preventDefault();
    event.stopPropagation();
    canvas()?.processMouseWheel?.(event);
  }, { passive: false });
}

/**
 * After an undo, Nodes 2.0 goes on showing the element of the node that was there before: put ours in its place.
 * @param {HTMLElement} element
 * @param {any} node
 */
export function takePlace(element, node) {
  element.dataset.node = String(node.id);
  if (element.isConnected) return;
  const others = /** @type {HTMLElement[]} */ ([...document.getElementsByClassName(element.classList[0])]);
  others.find((other) => other.dataset.node === element.dataset.node && !isOnCanvas(other))?.replaceWith(element);
}

/**
 * A function that looks at all nodes soon, once however often it is called until then.
 * @param {any} app
 * @param {(node: any) => void} look
 */
export function looker(app, look) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const root = app.rootGraph ?? app.graph;
      for (const graph of [root, ...(root?.subgraphs?.values() ?? [])]) graph?.nodes?.forEach(look);
    }, PAUSE);
  };
}
