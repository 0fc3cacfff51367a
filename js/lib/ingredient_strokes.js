/** Changes of shares: by a row's slider, number and keys, by the divider between two of the bar, and of all at once. */
import { besides, equalise, read, setPercent, transfer } from "./ingredient_shares.js";
import { widgetOf } from "./nodes.js";
import { word } from "./words.js";

/** @typedef {import("./ingredient_row.js").Row} Row */

export class IngredientStrokes {
  /**
   * @param {import("./ingredient_list.js").IngredientList} list
   * @param {(trouble: string) => void} say
   * @param {() => void} show
   */
  constructor(list, say, show) {
    this.list = list;
    this.say = say;
    this.show = show;
    /** @type {{parts: any[], left?: number, right?: number} | null} what a stroke began with */
    this.stroke = null;
  }

  begin() {
    this.stroke = { parts: this.list.parts };
  }

  /** @param {Row} row @param {number} value percentage or share; counted from where the stroke began */
  set(row, value) {
    const { at } = row;
    const { lines } = this.list;
    const line = lines[at];
    if (!line?.node || line.fixed) return;
    const parts = this.stroke?.parts ?? this.list.parts;
    if (row.shown?.percent) return this.#apply(setPercent(parts, at, value));
    if (line.locked) return this.#apply({ shares: null, trouble: word("This row is locked: unlock it to change its share.") });
    const limited = Math.min(Math.max(value, -10), 10);
    return this.#apply({ shares: lines.map(({ share }, each) => (each === at ? limited : share ?? 0)), trouble: "" });
  }

  /** @param {Row} row @param {number} by percent, or twentieths of a share */
  step(row, by) {
    this.stroke = null;
    const { value = 0, percent } = row.shown ?? {};
    const step = percent ? by : by * 0.05;
    const places = Math.abs(by) < 1 ? (percent ? 1 : 3) : percent ? 0 : 2;
    const next = Number(((value ?? 0) + step).toFixed(places));
    this.set(row, next);
  }

  equalise() {
    this.stroke = null;
    this.#apply(equalise(this.list.parts));
  }

  /** @param {number} at the row before the divider */
  beginDivider(at) {
    const { parts } = this.list;
    const between = besides(parts, at);
    if (!between || parts.some(({ share, active }) => active && (share ?? -1) < 0)) return false;
    this.stroke = { parts, left: between[0], right: between[1] };
    return true;
  }

  /** @param {number} amount of the whole bar */
  moveDivider(amount) {
    const { parts, left, right } = this.stroke ?? {};
    const { normalise } = this.list;
    if (!parts || left === undefined || right === undefined) return;
    const { mode, total, values } = read(parts, normalise);
    const by = mode === "percent" ? Math.round(100 * amount) : Number((amount * Math.max(total, 1)).toFixed(2));
    const snapped = mode === "percent" ? Math.round(values[left] + by) - values[left] : by; // whole percents
    this.#apply(transfer(parts, left, right, snapped, normalise));
  }

  /** @param {import("./ingredient_shares.js").Change} change */
  #apply({ shares, trouble }) {
    this.say(trouble);
    shares?.forEach((share, at) => {
      const { node, share: before } = this.list.lines[at];
      if (node && share !== before) write(node, share);
    });
    this.list.read();
    this.show();
  }
}

/** @param {any} node @param {number} share */
function write(node, share) {
  const widget = widgetOf(node, "share");
  widget.value = share;
  widget.callback?.(share); // Nodes 2.0 shows what comes through here,
  if (widget.value !== share) widget.value = share; // and it is rounded to what its own control can set
  node.setDirtyCanvas?.(true, true);
}
