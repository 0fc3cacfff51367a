/** What editors of our own are made of, in both renderings of nodes. */

/** The look that all editors share; the root of an editor has the class "dsoup", after one of its own. */
export const LOOK = `
.dsoup { contain: layout paint style; box-sizing: border-box; font-size: 11px; line-height: 1.3; color: var(--input-text, #ddd); color-scheme: dark; }
.dsoup [hidden] { display: none !important; }
.isLOD .dsoup :where(button, select, input, textarea, span, b, small) { visibility: hidden; } /* Nodes 2.0, from afar */
.dsoup :where(select, button, input[type=text], input[type=search], input:not([type])) {
  height: 22px; box-sizing: border-box; margin: 0; padding: 0 5px; border: 0; border-radius: 4px; font: inherit;
  color: inherit; background: var(--component-node-widget-background, var(--comfy-input-bg, #222)); cursor: pointer;
}
.dsoup :where(input[type=text], input[type=search], input:not([type])) { cursor: text; user-select: text; }
.dsoup :where(option, optgroup) { color: var(--input-text, #ddd); background: var(--comfy-menu-bg, #353535); }
.dsoup :where(button, select):hover:enabled { filter: brightness(1.35); }
.dsoup :where(button):disabled { opacity: 0.35; cursor: default; }
.dsoup :where(button)[aria-pressed=true] {
  background: color-mix(in srgb, var(--p-primary-color, #5b8dd6) 60%, var(--comfy-input-bg, #222));
}
.dsoup :where(button, select, input):focus-visible {
  outline: 2px solid var(--p-primary-color, #5b8dd6); outline-offset: -1px;
}
.dsoup-tools { display: flex; gap: 3px; align-items: center; flex: none; height: 22px; }
.dsoup-tools > button.dsoup-icon { position: relative; flex: none; width: 24px; padding: 0; }
.dsoup-tools svg { display: block; width: 14px; height: 14px; margin: 4px auto; fill: none; stroke: currentColor;
  stroke-width: 1.3; stroke-linejoin: round; stroke-linecap: round; }
.dsoup-say { flex: none; height: 14px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-size: 10px;
  opacity: 0.7; }
.dsoup-say.wrong { opacity: 1; color: #f2b04a; }
`;

/** Add rules to the page, once for each of these texts. @param {string} css */
export function addStyle(css) {
  for (const text of [LOOK, css]) {
    if ([...document.querySelectorAll("style[data-dsoup]")].some(({ textContent }) => textContent === text)) continue;
    const style = make("style", { textContent: text });
    style.dataset.dsoup = "";
    document.head.append(style);
  }
}

/**
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {(Node | string)[]} children
 * @returns {any}
 */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** An icon of 16 by 16, drawn in lines. @param {string} path */
export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  drawn.setAttribute("d", path);
  svg.append(drawn);
  return svg;
}

/** @param {string} path of its icon @param {string} title @param {() => void} click @returns {HTMLButtonElement} */
export function button(path, title, click) {
  const made = make("button", { type: "button", title, className: "dsoup-icon" }, icon(path));
  made.setAttribute("aria-label", title);
  made.addEventListener("click", click);
  return made;
}

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
  if (!node.graph) return; // it is not in a graph yet
  element.dataset.node = String(node.id);
  if (element.isConnected) return;
  const others = /** @type {HTMLElement[]} */ ([...document.getElementsByClassName(element.classList[0])]);
  others.find((other) => other.dataset.node === element.dataset.node && !isOnCanvas(other))?.replaceWith(element);
}
