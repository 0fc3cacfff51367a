/** The region canvas over the whole page; not as a modal <dialog>, within which newer frontends undo nothing. */
import { make } from "./elements.js";
import { word } from "./words.js";

const AGAIN = 3000; // milliseconds in which an undo makes a node anew

export class LargeView {
  /**
   * @param {object} editor
   * @param {any} editor.node
   * @param {HTMLElement} editor.home where the body lies on the node
   * @param {HTMLElement} editor.body
   * @param {Map<string, any>} editor.memory what outlives nodes
   * @param {() => void} editor.changed it was opened or closed
   */
  constructor({ node, home, body, memory, changed }) {
    this.node = node;
    this.home = home;
    this.body = body;
    this.memory = memory;
    this.changed = changed;
    /** @type {HTMLElement | null} */
    this.dialog = null;
    /** @type {HTMLElement[]} what cannot be reached while it is open */
    this.behind = [];
  }

  get open() {
    return this.dialog !== null;
  }

  toggle() {
    if (this.open) this.close();
    else this.show();
  }

  show() {
    const sheet = make("div", { className: "dsoup-regions dsoup dsoup-large" }, this.body);
    const dialog = make("div", { className: "dsoup-over" }, sheet);
    sheet.setAttribute("role", "dialog");
    sheet.setAttribute("aria-label", word("Regions of the panorama"));
    dialog.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Escape") this.close();
      if (!event.ctrlKey && !event.metaKey) event.stopPropagation(); // the graph is behind
    });
    dialog.addEventListener("pointerdown", (/** @type {Event} */ event) => {
      if (event.target === dialog) this.close();
    });
    this.behind = /** @type {HTMLElement[]} */ ([...document.body.children]).filter((each) => !each.inert);
    for (const each of this.behind) each.inert = true;
    document.body.append(dialog);
    this.dialog = dialog;
    this.changed();
  }

  close() {
    for (const each of this.behind) each.inert = false;
    this.home.append(this.body);
    this.dialog?.remove();
    this.dialog = null;
    this.changed();
  }

  /** After an undo the node is another one: it is open again. */
  reopen() {
    const { id = 0, until = 0 } = this.memory.get("large") ?? {};
    if (this.open || id !== this.node.id || performance.now() > until) return;
    this.memory.delete("large");
    this.show();
  }

  /** The node is gone. */
  removed() {
    if (!this.open) return;
    this.memory.set("large", { id: this.node.id, until: performance.now() + AGAIN });
    this.close();
  }
}
