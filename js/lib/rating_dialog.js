/** Pictures to rate by hand, with stars. It lies over a corner of the graph, which stays usable, and keeps no focus. */
import { addStyle, make } from "./elements.js";
import { word } from "./words.js";

const CSS = `
dialog.dsoup-rating { position: fixed; inset: auto 24px 24px auto; z-index: 1200; width: min(720px, calc(100vw - 48px));
  max-height: calc(100vh - 96px); padding: 0; margin: 0; border: 1px solid var(--border-color, #4e4e4e); overflow: hidden;
  border-radius: 10px; color: var(--fg-color, #ddd); background: var(--comfy-menu-bg, #353535); font-size: 13px;
  box-shadow: 0 12px 48px #000a; font-family: var(--font-inter, Inter, system-ui, sans-serif); }
dialog.dsoup-rating[open] { display: flex; flex-direction: column; }
.dsoup-rating h2 { margin: 0; padding: 14px 18px 8px; font-size: 16px; font-weight: 600; }
.dsoup-rating main { padding: 4px 18px 14px; overflow: auto; display: grid; gap: 14px;
  grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); }
.dsoup-rating fieldset { border: 0; margin: 0; padding: 0; min-width: 0; }
.dsoup-rating legend { padding: 0 0 4px; max-width: 100%; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.dsoup-rating img { display: block; width: 100%; border-radius: 6px; background: #0004; }
.dsoup-stars { display: flex; justify-content: center; padding-top: 4px; }
.dsoup-stars label { cursor: pointer; font-size: 22px; line-height: 1; padding: 2px 3px; opacity: 0.35; }
.dsoup-stars label.lit { opacity: 1; color: #f2b04a; }
.dsoup-stars input { position: absolute; opacity: 0; width: 1px; height: 1px; }
.dsoup-stars label:focus-within { outline: 2px solid var(--p-primary-color, #5b8dd6); border-radius: 4px; }
.dsoup-rating footer { display: flex; flex-wrap: wrap; align-items: center; justify-content: flex-end; gap: 8px;
  padding: 12px 18px; border-top: 1px solid var(--border-color, #4e4e4e); }
.dsoup-rating footer p { margin: 0 auto 0 0; opacity: 0.75; }
.dsoup-rating button { min-height: 32px; padding: 0 12px; border-radius: 6px; font: inherit; cursor: pointer; color: inherit;
  border: 1px solid var(--border-color, #4e4e4e); background: var(--comfy-input-bg, #222); }
.dsoup-rating button.main { color: #fff; background: #2b6cb8; border-color: #2b6cb8; font-weight: 600; }
.dsoup-rating button:disabled { opacity: 0.4; cursor: default; }
`;

/** @typedef {{id: string, node: string, prompts: string[], stars: number}} Question */

/** Close what is open. */
export function closeRating() {
  document.querySelector("dialog.dsoup-rating")?.remove();
}

/**
 * Show pictures and let them be rated.
 * @param {Question} question
 * @param {(at: number) => string} address of a picture
 * @param {(stars: number[]) => Promise<string>} send gives a sentence if it was refused
 * @param {() => void} stop
 */
export function openRating(question, address, send, stop) {
  addStyle(CSS);
  closeRating();
  /** @type {number[]} */
  const stars = question.prompts.map(() => 0);
  const dialog = make("dialog", { className: "dsoup-rating" });
  const title = make("h2", { id: "dsoup-rating-title" }, word("How good are these pictures?"));
  dialog.setAttribute("aria-labelledby", title.id);
  const says = make("p", { textContent: word("Rate every picture to go on.") });
  says.setAttribute("role", "status");
  const go = make("button", { className: "main", disabled: true }, word("Send"));
  const rated = (/** @type {number} */ at, /** @type {number} */ value) => {
    stars[at] = value;
    go.disabled = stars.includes(0);
    says.textContent = go.disabled ? word("Rate every picture to go on.") : "";
  };
  go.onclick = async () => {
    go.disabled = true;
    const refused = await send(stars);
    says.textContent = refused;
    go.disabled = Boolean(refused) && stars.includes(0);
    if (!refused) dialog.remove();
  };
  const end = make("button", { onclick: stop }, word("Stop the run"));
  dialog.append(title, make("main", {}, ...question.prompts.map((prompt, at) =>
    card(question, prompt, at, address(at), (value) => rated(at, value)))), make("footer", {}, says, end, go));
  for (const kind of ["keydown", "keyup", "pointerdown", "wheel"]) {
    dialog.addEventListener(kind, (/** @type {Event} */ event) => event.stopPropagation()); // not for the graph
  }
  document.body.append(dialog);
  dialog.show();
}

/**
 * @param {Question} question
 * @param {string} prompt
 * @param {number} at
 * @param {string} address
 * @param {(value: number) => void} rated
 */
function card(question, prompt, at, address, rated) {
  const row = make("div", { className: "dsoup-stars" });
  for (let value = 1; value <= question.stars; value++) {
    const input = make("input", { type: "radio", name: `dsoup-${question.id}-${at}`, value: String(value) });
    input.setAttribute("aria-label", word("{0} of {1} stars", value, question.stars));
    input.onchange = () => {
      [...row.children].forEach((label, place) => label.classList.toggle("lit", place < value));
      rated(value);
    };
    row.append(make("label", {}, "★", input));
  }
  const legend = make("legend", { textContent: prompt, title: prompt });
  return make("fieldset", {}, legend, make("img", { src: address, alt: prompt }), row);
}
