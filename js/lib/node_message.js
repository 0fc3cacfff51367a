/** A sentence on a node, in both renderings: what went wrong, or, more quietly, what was cooked. Saved nowhere. */
import { forward, make, takePlace } from "./elements.js";
import { word } from "./words.js";

const NAME = "dsoup_message";
const LEAST = 22;
const MARGIN = 4; // around it, where nodes are drawn
const PADDING = 8;

export const MESSAGE_CSS = `
.dsoup-message { display: flex; align-items: flex-start; gap: 6px; padding: 4px 7px; border-radius: 4px; box-sizing: border-box; overflow: hidden;
  font-size: 11px; line-height: 1.35; user-select: text; contain: inline-size; }
.dsoup-message.wrong { color: var(--fg-color, #fff); border-left: 3px solid #e0483e;
  background: color-mix(in srgb, #e0483e 22%, var(--comfy-menu-bg, #353535)); }
.dsoup-message.done { opacity: 0.8; padding: 3px 7px; }
.dsoup-message.noted { opacity: 1; border-left: 3px solid #e0a030; }
.dsoup-message[hidden] { display: none; }
.dsoup-message .says { flex: 1; min-width: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
.dsoup-message button { flex: none; width: 18px; height: 18px; padding: 0; border: 0; background: none; }
`;

/** @typedef {"wrong" | "done" | "noted"} Kind */

/** @type {WeakMap<object, NodeMessage>} */
const messages = new WeakMap();

/**
 * Make a node able to say something. Nodes 2.0 of older frontends shows only what a node is made with.
 * @param {any} node
 * @param {() => any} canvas
 */
export function attach(node, canvas) {
  const known = messages.get(node);
  if (known) return known;
  const made = new NodeMessage(node, canvas);
  messages.set(node, made);
  return made;
}

/**
 * Say something on a node, in place of what was said there before.
 * @param {any} node
 * @param {Kind} kind
 * @param {string} sentence
 * @param {() => any} canvas
 */
export const say = (node, kind, sentence, canvas) => attach(node, canvas).say(kind, sentence);

/** Take back what went wrong on a node. @param {any} node */
export function hush(node) {
  const message = messages.get(node);
  if (message?.kind === "wrong") message.hush();
}

/** Put messages in place again where Nodes 2.0 has drawn their node anew. @param {any} node */
export function keep(node) {
  const message = messages.get(node);
  if (message) takePlace(message.element, node);
}

class NodeMessage {
  /** @param {any} node @param {() => any} canvas */
  constructor(node, canvas) {
    this.node = node;
    /** @type {Kind | null} */
    this.kind = null;
    this.height = 0;
    this.text = make("span", { className: "says" });
    this.close = make("button", { type: "button", title: word("Take this message away") }, "×");
    this.close.setAttribute("aria-label", this.close.title);
    this.close.addEventListener("click", () => this.hush());
    this.element = make("div", { className: "dsoup-message dsoup", hidden: true }, this.text, this.close);
    this.element.setAttribute("role", "status");
    forward(this.element, canvas);
    const height = () => (this.height ? this.height + 2 * MARGIN : 0);
    this.widget = node.addDOMWidget(NAME, NAME, this.element, {
      serialize: false, hideOnZoom: false, margin: MARGIN, getMinHeight: height, getMaxHeight: height,
    });
    this.widget.serialize = false;
    this.widget.hidden = true;
    new ResizeObserver(() => this.#fit()).observe(this.text);
  }

  /** @param {Kind} kind @param {string} sentence */
  say(kind, sentence) {
    this.kind = kind;
    for (const each of ["wrong", "done", "noted"]) this.element.classList.toggle(each, each === kind);
    this.text.textContent = sentence;
    this.close.hidden = kind !== "wrong";
    this.element.setAttribute("role", kind === "wrong" ? "alert" : "status");
    this.element.hidden = this.widget.hidden = false;
    this.#setHeight(Math.max(this.height, LEAST));
    this.#fit();
  }

  hush() {
    this.kind = null;
    this.text.textContent = "";
    this.element.hidden = this.widget.hidden = true;
    this.#setHeight(0);
  }

  /** As high as its text is where it wraps. */
  #fit() {
    const wanted = Math.max(LEAST, this.text.offsetHeight + PADDING);
    if (this.kind && this.text.offsetHeight && Math.abs(wanted - this.height) >= 2) this.#setHeight(wanted);
  }

  /** The node gets room for it, or gets smaller again. @param {number} height */
  #setHeight(height) {
    const { node } = this;
    const room = (/** @type {number} */ of) => (of ? of + 2 * MARGIN : 0);
    const more = room(height) - room(this.height);
    this.height = height;
    this.element.style.minHeight = `${height}px`;
    if (more) node.setSize([node.size[0], Math.max(node.size[1] + more, node.computeSize()[1])]);
    node.graph?.setDirtyCanvas?.(true, true);
  }
}
