/** Small fields that all parts of the Soup tab are made of. */
import { icon, make } from "../../js/lib/elements.js";

export const ICONS = {
  grip: "M6 3.5 h0.01 M10 3.5 h0.01 M6 8 h0.01 M10 8 h0.01 M6 12.5 h0.01 M10 12.5 h0.01",
  locked: "M4 7.5 H12 V13.5 H4 Z M5.5 7.5 V5 a2.5 2.5 0 0 1 5 0 V7.5",
  open: "M4 7.5 H12 V13.5 H4 Z M5.5 7.5 V5 a2.5 2.5 0 0 1 4.6 -1.3",
  blocks: "M3 3 V9 M5.5 5 V11 M8 8 V13.5 M10.5 5 V11 M13 3 V9",
  remove: "M4 4 L12 12 M12 4 L4 12",
  add: "M8 3 V13 M3 8 H13",
  undo: "M6 2.5 L2.5 6 L6 9.5 M2.5 6 H10 a3.7 3.7 0 0 1 0 7.4 H6",
  redo: "M10 2.5 L13.5 6 L10 9.5 M13.5 6 H6 a3.7 3.7 0 0 0 0 7.4 H10",
  even: "M2.5 5.5 H13.5 M2.5 10.5 H13.5",
  refresh: "M13 8 a5 5 0 1 1 -1.6 -3.6 M13 2.2 V5 H10.2",
  copy: "M5.5 5.5 V2.5 H13.5 V10.5 H10.5 M2.5 5.5 H10.5 V13.5 H2.5 Z",
  download: "M8 2.5 V10 M4.8 7 L8 10.2 L11.2 7 M3 13.5 H13",
  file: "M4 2.5 H9.5 L12 5 V13.5 H4 Z M9.5 2.5 V5 H12",
  keep: "M4 2.5 H12 V13.5 L8 10.5 L4 13.5 Z",
  find: "M7 2.8 a4.2 4.2 0 1 0 0.01 0 M10.2 10.2 L13.5 13.5",
  clear: "M3.5 4.5 H12.5 M6.5 4.5 V3 H9.5 V4.5 M4.8 4.5 L5.4 13.5 H10.6 L11.2 4.5",
};

/** Colours of the ingredients: apart in lightness and hue, and the order says the same. */
const COLOURS = ["#4a90e2", "#f2a33a", "#2fa386", "#cf5f9b", "#8a78cf", "#c2a92e", "#49b5d6", "#e0703c", "#79a356",
  "#8f98a8", "#b0739c", "#a07a5c"];

/** @param {number} at */
export const colour = (at) => COLOURS[at % COLOURS.length];

/**
 * @param {string} text shown on it; "" for the icon alone
 * @param {string} title
 * @param {() => void} click
 * @param {{icon?: string, kind?: string, id?: string}} [look]
 * @returns {HTMLButtonElement}
 */
export function press(text, title, click, look = {}) {
  const made = make("button", { type: "button", title, className: `ds-button ${look.kind ?? ""}` });
  if (look.id) made.id = look.id;
  if (look.icon) made.append(icon(look.icon));
  if (text) made.append(make("span", {}, text));
  else made.setAttribute("aria-label", title);
  made.addEventListener("click", click);
  return made;
}

/** @param {string} text @returns {number | null} */
export function numberIn(text) {
  const clean = text.trim().replace(",", ".").replace(/\s*%$/, "");
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(clean) && Math.abs(Number(clean)) <= 1e6 ? Number(clean) : null;
}

/**
 * A number to type, or to step through with the arrows. What is no number goes back to what it was.
 * @param {string} label
 * @param {(value: number, stroke: string) => void} changed
 * @param {number} [step]
 */
export function number(label, changed, step = 0.05) {
  const field = make("input", { type: "text", inputMode: "decimal", className: "ds-number", autocomplete: "off" });
  let [value, shown] = [0, ""];
  field.setAttribute("aria-label", label);
  const commit = () => {
    const typed = field.value === shown ? null : numberIn(field.value);
    field.value = shown;
    if (typed !== null && typed !== value) changed(typed, "");
  };
  field.addEventListener("change", commit);
  field.addEventListener("focus", () => field.select());
  field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter") commit();
    if (event.key === "Escape") field.value = shown;
    const steps = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!steps) return;
    event.preventDefault();
    const from = numberIn(field.value) ?? value;
    changed(Number((from + steps * (event.shiftKey ? step / 5 : step)).toFixed(4)), `key ${label}`);
  });
  return {
    /** @type {HTMLInputElement} */ element: field,
    /** @param {number} now @param {string} [text] */
    show(now, text = String(Number(now.toFixed(4)))) {
      if (text === shown && now === value) return;
      [value, shown] = [now, text];
      field.value = text;
    },
  };
}

/**
 * @param {string} label
 * @param {(value: string) => void} changed
 * @param {{id?: string, title?: string}} [look]
 */
export function choice(label, changed, { id = "", title = "" } = {}) {
  const select = make("select", { className: "ds-select", id, title });
  select.setAttribute("aria-label", label);
  select.addEventListener("change", () => changed(select.value));
  let known = "";
  return {
    /** @type {HTMLSelectElement} */ element: select,
    /** @param {[string, string][]} options value and text @param {string} value */
    show(options, value) {
      const all = options.some(([each]) => each === value) ? options : [...options, [value, `${value} (missing)`]];
      if (JSON.stringify(all) !== known) {
        known = JSON.stringify(all);
        select.replaceChildren(...all.map(([each, text]) => make("option", { value: each }, text)));
      }
      select.value = value;
    },
  };
}

/** A field with its name over it. @param {string} text @param {HTMLElement[]} elements */
export const labelled = (text, ...elements) =>
  make("label", { className: "ds-field" }, make("span", {}, text), ...elements);

/** @param {string} title @param {(Node | string)[]} children */
export function card(title, ...children) {
  return make("section", { className: "ds-card" }, make("header", {}, make("h3", {}, title)), ...children);
}

/** @param {number} bytes */
export const size = (bytes) => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`);
