/** A sentence on a node, in both renderings: what went wrong, or, more quietly, what was cooked. Saved nowhere. */
import { forward, make, takePlace } from "./elements.js";

const NAME = "dsoup_message";
const LEAST = 22;
const WIDGET_GAP = 4;

export const MESSAGE_CSS = `
.dsoup-message { display: flex; gap: 6px; padding: 4px 7px; border-radius: 4px; box-sizing: border-box; overflow: hidden;
  font-size: 11px; line-height: 1.35; user-select: text; contain: inline-size; }
.dsoup-message.wrong { color: var(--fg-color, #fff); border-left: 3px solid #e0483e;
  background: color-mix(in srgb, #e0483e 22%, var(--comfy-menu-bg, #353535)); }
.dsoup-message.done { opacity: 0.8; padding: 3px 7px; }
.dsoup-message.noted { opacity: 1; border-left: 3px solid #e0a030; }
.dsoup-message .says { flex: 1; min-width: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
.dsoup-message button { flex: none; width: 18px; height: 18px; padding: 0; border: 0; background: none; }
`;

/** @typedef {"wrong" | "done" | "noted"} Kind */

/** @type {WeakMap<object, NodeMessage>} */
const messages = new WeakMap();

/**
 * Say something on a node, in place of what was said there before.
 * @param {any} node
 * @param {Kind} kind
 * @param {string} sentence
 * @param {() => any} canvas
 */
export function say(node, kind, sentence, canvas) {
  hush(node);
  messages.set(node, new NodeMessage(node, kind, sentence, canvas));
}

/**
 * Take back what was said on a node.
 * @param {any} node
 * @param {Kind[]} [kinds] these alone
 */
export function hush(node, kinds) {
  const message = messages.get(node);
  if (!message || (kinds && !kinds.includes(message.kind))) return;
  messages.delete(node);
  message.remove();
}

/** Put messages in place again where Nodes 2.0 has drawn their node anew. @param {any} node */
export function keep(node) {
  const message = messages.get(node);
  if (message) takePlace(message.element, node);
}

class NodeMessage {
  /** @param {any} node @param {Kind} kind @param {string} sentence @param {() => any} canvas */
  constructor(node, kind, sentence, canvas) {
    this.node = node;
    this.kind = kind;
    this.height = LEAST;
    this.text = make("span", { className: "says" }, sentence);
    this.element = make("div", { className: `dsoup-message dsoup ${kind}` }, this.text);
    this.element.setAttribute("role", kind === "wrong" ? "alert" : "status");
    if (kind === "wrong") this.element.append(this.#closer());
    forward(this.element, canvas);
    this.before = node.size[1];
    this.widget = node.addDOMWidget(NAME, NAME, this.element, {
      serialize: false, hideOnZoom: true, getMinHeight: () => this.height, getMaxHeight: () => this.height,
    });
    this.widget.serialize = false;
    this.added = 0;
    this.grow(LEAST + WIDGET_GAP);
    this.watcher = new ResizeObserver(() => this.#fit());
    this.watcher.observe(this.text);
  }

  #closer() {
    const close = make("button", { type: "button", title: "Take this away" }, "×");
    close.setAttribute("aria-label", "Take this message away");
    close.addEventListener("click", () => hush(this.node));
    return close;
  }

  /** As high as its text is where it wraps. */
  #fit() {
    const wanted = Math.max(LEAST, this.text.offsetHeight + 8);
    if (!this.text.offsetHeight || Math.abs(wanted - this.height) < 2) return;
    const more = wanted - this.height;
    this.height = wanted;
    this.element.style.minHeight = `${wanted}px`;
    this.grow(more);
  }

  /** The node gets room for it, and gives it back. @param {number} height */
  grow(height) {
    const { node } = this;
    this.added += height;
    node.setSize([node.size[0], Math.max(node.size[1] + height, node.computeSize()[1])]);
    node.graph?.setDirtyCanvas?.(true, true);
  }

  remove() {
    const { node } = this;
    this.watcher.disconnect();
    if (node.removeWidget && node.widgets?.includes(this.widget)) node.removeWidget(this.widget);
    this.element.remove();
    node.setSize([node.size[0], Math.max(node.size[1] - this.added, node.computeSize()[1])]);
    node.graph?.setDirtyCanvas?.(true, true);
  }
}
