/** What a dropped recipe is, and what can be done with it. The browser's own dialog keeps the focus inside. */
import { addStyle, make } from "./elements.js";
import { facts, shareBar, shareList, short, titleOf, VIEW_CSS, whereabouts } from "./recipe_view.js";
import { word } from "./words.js";

const CSS = `${VIEW_CSS}
dialog.dsoup-recipe { --dsoup-warning: color-mix(in srgb, #e08600 75%, var(--fg-color, #fff)); font-size: 13px;
  width: min(440px, calc(100vw - 32px)); max-height: min(640px, calc(100vh - 32px)); padding: 0; margin: auto;
  border: 1px solid var(--border-color, #4e4e4e); border-radius: 10px; color: var(--fg-color, #ddd);
  background: var(--comfy-menu-bg, #353535); box-shadow: 0 12px 48px #000a; color-scheme: inherit; overflow: hidden;
  font-family: var(--font-inter, Inter, system-ui, sans-serif); }
dialog.dsoup-recipe[open] { display: flex; flex-direction: column; }
dialog.dsoup-recipe::backdrop { background: #0007; }
.dsoup-recipe header { display: flex; gap: 12px; align-items: center; padding: 16px 18px 10px; }
.dsoup-recipe header img { width: 56px; height: 56px; object-fit: cover; border-radius: 6px; flex: none; }
.dsoup-recipe header div { min-width: 0; }
.dsoup-recipe h2 { margin: 0 0 3px; font-size: 16px; line-height: 1.25; font-weight: 600; overflow-wrap: anywhere; }
.dsoup-recipe header p { margin: 0; opacity: 0.7; overflow-wrap: anywhere; font-size: 12px; }
.dsoup-recipe main { padding: 4px 18px 14px; overflow: auto; display: flex; flex-direction: column; gap: 12px; }
.dsoup-recipe dl { margin: 0; display: grid; grid-template-columns: auto 1fr; gap: 3px 14px; font-size: 12px; }
.dsoup-recipe dt { opacity: 0.65; }
.dsoup-recipe dd { margin: 0; overflow-wrap: anywhere; }
.dsoup-recipe .note { margin: 0; padding: 7px 10px; border-radius: 6px; font-size: 12px; line-height: 1.4;
  background: color-mix(in srgb, var(--fg-color, #fff) 7%, transparent); border-left: 3px solid var(--dsoup-warning); }
.dsoup-recipe footer { display: flex; flex-wrap: wrap; justify-content: flex-end; gap: 8px; padding: 12px 18px;
  border-top: 1px solid var(--border-color, #4e4e4e); }
.dsoup-recipe :is(button, select) { min-height: 32px; padding: 0 12px; border-radius: 6px; font: inherit; cursor: pointer;
  border: 1px solid var(--border-color, #4e4e4e); color: inherit; background: var(--comfy-input-bg, #222); }
.dsoup-recipe button.main { color: #fff; background: #2b6cb8; border-color: #2b6cb8; font-weight: 600; }
.dsoup-recipe button:hover { filter: brightness(1.15); }
.dsoup-recipe :is(button, select):focus-visible { outline: 2px solid var(--p-primary-color, #5b8dd6);
  outline-offset: 2px; }
dialog.dsoup-recipe:focus { outline: none; }
`;

/**
 * @typedef {"build" | "open" | "copy" | null} Choice
 * @typedef {{file?: string, picture?: string, workflow?: boolean}} Origin the file's name, an address of its picture, and
 *   whether ComfyUI can open a workflow in it
 */

/**
 * Show recipes, and wait for what the user wants done with one of them.
 * @param {import("./recipe_nodes.js").Told[]} all
 * @param {Origin} origin
 * @returns {Promise<{choice: Choice, told: import("./recipe_nodes.js").Told}>}
 */
export function askWhatToDo(all, origin = {}) {
  addStyle(CSS);
  document.querySelector("dialog.dsoup-recipe")?.remove();
  let told = all[0];
  const dialog = make("dialog", { className: "dsoup-recipe", tabIndex: -1 }); // so that a click inside stays inside
  const body = make("main");
  const title = make("h2", { id: "dsoup-recipe-title" });
  const about = make("p");
  dialog.setAttribute("aria-labelledby", title.id);
  const show = () => {
    title.textContent = word("Soup of {0}", titleOf(told.recipe));
    const hash = make("span", { className: "dsoup-hash", title: told.hash }, short(told.hash));
    about.replaceChildren(...(origin.file ? [`${origin.file} · `] : []), `${word("recipe")} `, hash);
    body.replaceChildren(...details(told));
  };
  const head = make("header", {}, make("div", {}, title, about));
  if (origin.picture) head.prepend(make("img", { src: origin.picture, alt: "" }));
  dialog.append(head, ...(all.length > 1 ? [chooser(all, (each) => { told = each; show(); })] : []), body);
  const before = document.activeElement;
  return new Promise((resolve) => {
    /** @type {Choice} */
    let choice = null;
    dialog.append(buttons(origin, (chosen) => { choice = chosen; dialog.close(); }));
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before instanceof HTMLElement) before.focus({ preventScroll: true });
      resolve({ choice, told });
    });
    dialog.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => keepInside(dialog, event));
    for (const kind of ["keydown", "keyup", "paste", "copy"]) { // or ComfyUI's shortcuts would act on the graph behind
      dialog.addEventListener(kind, (/** @type {Event} */ event) => event.stopPropagation());
    }
    dialog.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      if (event.target === dialog && outside(dialog, event)) dialog.close();
    });
    show();
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector("button.main")?.focus();
  });
}

/**
 * Escape closes, Tab goes round; the browser alone would leave the page.
 * @param {any} dialog
 * @param {KeyboardEvent} event
 */
function keepInside(dialog, event) {
  const all = [...dialog.querySelectorAll("button, select")];
  const at = all.indexOf(/** @type {any} */ (document.activeElement));
  if (event.key === "Escape") dialog.close();
  else if (event.key === "Tab") all[(at + (event.shiftKey ? -1 : 1) + all.length) % all.length].focus();
  else return;
  event.preventDefault();
}

/** @param {Element} element @param {PointerEvent} event */
function outside(element, { clientX, clientY }) {
  const box = element.getBoundingClientRect();
  return clientX < box.left || clientX > box.right || clientY < box.top || clientY > box.bottom;
}

/** @param {import("./recipe_nodes.js").Told[]} all @param {(told: any) => void} choose */
function chooser(all, choose) {
  const select = make("select", {}, ...all.map(({ recipe }, at) =>
    make("option", { value: String(at) }, word("Soup {0} of {1}: {2}", at + 1, all.length, titleOf(recipe)))));
  select.setAttribute("aria-label", word("Which of its soups"));
  select.style.margin = "0 18px 8px";
  select.addEventListener("change", () => choose(all[Number(select.value)]));
  return select;
}

/** @param {Origin} origin @param {(choice: Choice) => void} choose */
function buttons(origin, choose) {
  /** @type {[Choice, string][]} */
  const offered = [[null, word("Cancel")], ["copy", word("Copy recipe")]];
  if (origin.workflow) offered.push(["open", word("Open the workflow")]);
  offered.push(["build", word("Build its nodes here")]);
  return make("footer", {}, ...offered.map(([choice, label]) => {
    const made = make("button", { type: "button", className: choice === "build" ? "main" : "" }, label);
    made.addEventListener("click", () => choose(choice));
    return made;
  }));
}

/** @param {import("./recipe_nodes.js").Told} told @returns {Node[]} */
function details(told) {
  const list = make("dl", {}, ...facts(told.recipe).flatMap(([name, value]) =>
    [make("dt", {}, name), make("dd", {}, value)]));
  const base = told.recipe.base && whereabouts(told, told.recipe.base);
  const note = remark(told, base);
  return [shareBar(told.recipe, told.shares), shareList(told), list,
    ...(note ? [make("p", { className: "note", role: "note" }, note)] : [])];
}

/** @param {import("./recipe_nodes.js").Told} told @param {string | null} base */
function remark(told, base) {
  const missing = told.files.filter(({ state }) => state === "missing");
  const changed = told.files.filter(({ state }) => state === "changed");
  return [
    base ? word("Base {0}: {1}.", told.recipe.base.file, base) : "",
    missing.length === 1 ? word("One file is not known here by name or sha256.") : "",
    missing.length > 1 ? word("{0} files are not known here by name or sha256.", missing.length) : "",
    missing.length ? word("The nodes are built with the names of the recipe: put the files there, or choose others.") :
      "",
    changed.length ? word("Files that changed give another soup than this recipe did.") : "",
  ].filter(Boolean).join(" ");
}
