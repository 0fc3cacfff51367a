/** A dialog to choose files in: with a search, by mouse and by keyboard. */
import { make } from "../../js/lib/elements.js";
import { nameOf } from "./draft.js";
import { press } from "./fields.js";

const MOST = 400; // lines drawn; the search finds the rest

/**
 * @typedef {object} Wanted
 * @property {string} title
 * @property {string[]} files
 * @property {boolean} [many]
 * @property {string} [chosen] what it is now
 * @property {string} [nothing] what choosing no file is called, where that can be done
 * @property {string[]} [used] files that are marked
 */

/**
 * Whether all words are in the name, in any order.
 * @param {string} file @param {string} search
 */
export const matches = (file, search) =>
  search.toLowerCase().split(/\s+/).every((word) => file.toLowerCase().includes(word));

/**
 * @param {HTMLElement} parent
 * @param {Wanted} wanted
 * @returns {Promise<string[] | null>} null where nothing was chosen; "" is `nothing`
 */
export function pick(parent, { title, files, many = false, chosen = "", nothing = "", used = [] }) {
  const all = nothing ? ["", ...files] : files;
  const picked = new Set();
  let [shown, at] = [all, Math.max(all.indexOf(chosen), 0)];
  const search = make("input", { type: "search", placeholder: "Search", autocomplete: "off", className: "ds-search" });
  search.setAttribute("aria-label", `Search ${title}`);
  const list = make("div", { className: "ds-files" });
  list.setAttribute("role", "listbox");
  const ok = press(many ? "Add" : "Choose", "", () => finish([...(picked.size ? picked : shown.slice(at, at + 1))]),
    { kind: "primary" });
  const dialog = make("dialog", { className: "ds-dialog" }, make("h3", {}, title), search, list,
    make("div", { className: "ds-foot" }, make("small", {}, many ? "Click to mark several, double-click to add one" : ""),
      press("Cancel", "", () => finish(null)), ok));
  dialog.setAttribute("aria-label", title);
  /** @type {(files: string[] | null) => void} */
  let finish = () => {};

  function line(/** @type {string} */ file, /** @type {number} */ place) {
    const folder = file.includes("/") ? `${file.split("/").slice(0, -1).join("/")}/` : "";
    const option = make("div", { className: "ds-file", title: file },
      make("span", {}, make("small", {}, folder), file ? nameOf(file) : nothing), make("small", {}, used.includes(file) ? "in the table" : ""));
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", String(picked.has(file)));
    option.classList.toggle("now", place === at);
    option.classList.toggle("chosen", file === chosen && !many);
    option.addEventListener("click", () => {
      at = place;
      if (!many) return finish([file]);
      if (!picked.delete(file)) picked.add(file);
      draw();
    });
    option.addEventListener("dblclick", () => finish([...picked.add(file)]));
    return option;
  }

  function draw() {
    list.replaceChildren(...shown.slice(0, MOST).map(line));
    if (!shown.length) list.append(make("p", {}, all.length ? "No file has these words in its name." : "There are no such files in the model folders. Put some there and press refresh."));
    if (shown.length > MOST) list.append(make("p", {}, `and ${shown.length - MOST} more: search for them`));
    ok.lastChild.textContent = many && picked.size > 1 ? `Add ${picked.size}` : many ? "Add" : "Choose";
    ok.disabled = !shown.length && !picked.size;
    list.querySelector(".now")?.scrollIntoView({ block: "nearest" });
  }

  search.addEventListener("input", () => {
    shown = all.filter((file) => matches(file || nothing, search.value));
    at = 0;
    draw();
  });
  dialog.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    event.stopPropagation(); // the hosts have keys of their own
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (step) {
      event.preventDefault();
      at = Math.min(Math.max(at + step, 0), Math.min(shown.length, MOST) - 1);
      draw();
    } else if (event.key === "Enter" && event.target === search) {
      event.preventDefault();
      if (shown.length) finish([...(picked.size ? picked.add(shown[at]) : shown.slice(at, at + 1))]);
    }
  });
  dialog.addEventListener("pointerdown", (/** @type {Event} */ event) => event.target === dialog && finish(null));
  parent.append(dialog);
  draw();
  dialog.showModal();
  search.focus();
  return new Promise((done) => {
    finish = (found) => {
      dialog.remove();
      done(found?.length ? found : null);
    };
    dialog.addEventListener("cancel", () => finish(null));
    dialog.addEventListener("close", () => finish(null));
  });
}
