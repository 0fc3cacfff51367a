/** Steps of the graph's undo: one for each edit, whatever nodes it changes; and one for a key that is held down. */

const HELD = 600; // milliseconds after a key within which others belong to the same step

export class Steps {
  /** @param {any} node whose graph is edited @param {{canvas: () => any, refresh: () => void}} host */
  constructor(node, host) {
    this.node = node;
    this.host = host;
    this.begun = false;
    this.timer = 0;
  }

  /** Whether a key's step is not over yet. */
  get held() {
    return Boolean(this.timer) && this.begun;
  }

  /** One step to undo. @template T @param {() => T} change @returns {T} */
  one(change) {
    this.begin();
    try {
      return change();
    } finally {
      this.end();
    }
  }

  begin() {
    this.#wait(0);
    if (!this.begun) this.host.canvas()?.emitBeforeChange?.();
    this.begun = true;
  }

  end() {
    this.#wait(0);
    this.host.refresh(); // what nodes grow by belongs to the same step,
    this.node.graph?.updateExecutionOrder?.(); // and the order that is saved with them
    this.#over();
  }

  /** A change by a key: those of a key that is held down are one step. @param {() => void} change */
  hold(change) {
    this.begin();
    change();
    this.#wait(HELD);
  }

  /** The node is gone, and nothing more is changed. */
  stop() {
    this.#wait(0);
    this.#over();
  }

  #over() {
    if (this.begun) this.host.canvas()?.emitAfterChange?.();
    this.begun = false;
  }

  /** @param {number} time until the step of a key ends; 0: it does not end by itself */
  #wait(time) {
    clearTimeout(this.timer);
    this.timer = time ? /** @type {any} */ (setTimeout(() => this.end(), time)) : 0;
  }
}
