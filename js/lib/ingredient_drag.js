/** Dragging a row of the table of ingredients to another place. */

/** @typedef {import("./ingredient_row.js").Row} Row */

/**
 * Follow the pointer until it goes up; a line shows where the row would go. Escape leaves it where it was.
 * @param {Row} row
 * @param {PointerEvent} event
 * @param {Row[]} rows among which it can be moved, in order
 * @param {(to: number) => void} move
 */
export function dragRow(row, event, rows, move) {
  event.preventDefault();
  const from = row.at;
  let to = from;
  const stop = new AbortController();
  row.grip.setPointerCapture(event.pointerId);
  row.element.classList.add("held");
  const mark = () => rows.forEach(({ element, at }) => {
    element.classList.toggle("before", at === to && to < from);
    element.classList.toggle("after", at === to && to > from);
  });
  const end = (/** @type {boolean} */ done) => {
    stop.abort();
    const goal = to;
    to = from;
    mark();
    row.element.classList.remove("held");
    if (done && goal !== from) move(goal);
  };
  row.grip.addEventListener("pointermove", (/** @type {PointerEvent} */ { clientY }) => {
    const found = rows.find(({ element }) => clientY < element.getBoundingClientRect().bottom);
    to = (found ?? rows[rows.length - 1]).at;
    mark();
  }, stop);
  row.grip.addEventListener("pointerup", () => end(true), stop);
  for (const kind of ["pointercancel", "lostpointercapture"]) row.grip.addEventListener(kind, () => end(false), stop);
  window.addEventListener("keydown", ({ key }) => {
    if (key === "Escape") end(false);
  }, { capture: true, signal: stop.signal });
}
