/** The log of cooked recipes in the sidebar: searched, paged, and each restored, copied or deleted. */
import { addStyle, button, icon, make } from "./elements.js";
import { sayShare, nameIn, shareBar, short, titleOf, VIEW_CSS } from "./recipe_view.js";
import { word } from "./words.js";

const PAGE = 40;
const PAUSE = 150; // milliseconds after the last key
const SURE = 3000;
const RESTORE = "M3 8h8M7 4.5 11 8 7 11.5M13 3v10";
const COPY = "M5.5 5.5h7v8h-7zM3.5 10.5v-8h7";
const DELETE = "M3 4.5h10M6.5 4V2.5h3V4M4.5 4.5l.6 9h5.8l.6-9M6.7 7v4M9.3 7v4";
const POT = "M3 6.5h10v4.5a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2zM1.5 7.5H3M13 7.5h1.5M6 4.5c-.8-1 .8-1.6 0-2.6M10 4.5c-.8-1 .8-1.6 0-2.6";

export const LOG_CSS = `${VIEW_CSS}
.dsoup-log { display: flex; flex-direction: column; height: 100%; gap: 8px; padding: 10px; font-size: 12px;
  color: var(--fg-color, #ddd); color-scheme: inherit; --dsoup-warning: #e08600; }
.dsoup-log .top { display: flex; gap: 6px; align-items: center; flex: none; }
.dsoup-log h3 { flex: 1; margin: 0; font-size: 14px; font-weight: 600; }
.dsoup-log input[type=search] { width: 100%; height: 30px; padding: 0 9px; flex: none;
  border: 1px solid var(--border-color, #4e4e4e); }
.dsoup-log .count { flex: none; opacity: 0.7; font-size: 11px; }
.dsoup-log ol { list-style: none; margin: 0; padding: 2px; flex: 1; min-height: 0; overflow-y: auto; display: flex;
  flex-direction: column; gap: 6px; }
.dsoup-log li { display: grid; grid-template-columns: 64px minmax(0, 1fr); gap: 3px 10px; flex: none; padding: 7px;
  border-radius: 8px; background: color-mix(in srgb, var(--fg-color, #fff) 6%, transparent);
  content-visibility: auto; contain-intrinsic-size: auto 86px; }
.dsoup-log li:is(:hover, :focus-within) { background: color-mix(in srgb, var(--fg-color, #fff) 11%, transparent); }
.dsoup-log .thumb { grid-row: span 4; width: 64px; height: 64px; border-radius: 5px; object-fit: cover; overflow: hidden;
  background: var(--comfy-input-bg, #222); display: grid; place-items: center; align-self: start; }
.dsoup-log .thumb svg { width: 26px; height: 26px; fill: none; stroke: currentColor; stroke-width: 1; opacity: 0.4; }
.dsoup-log .name { padding: 0; height: auto; border: 0; background: none; text-align: left; font-weight: 600;
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.dsoup-log .name:hover:enabled { text-decoration: underline; filter: none; }
.dsoup-log .meta { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; opacity: 0.75; font-size: 11px; }
.dsoup-log .first { display: flex; align-items: center; gap: 1px; min-width: 0; }
.dsoup-log .first .name { flex: 1; min-width: 0; }
.dsoup-log :is(.first, .top) .dsoup-icon:not(.sure) { width: 24px; padding: 0; flex: none; background: none; opacity: 0.75; }
.dsoup-log :is(.first, .top) .dsoup-icon:not(.sure):is(:hover, :focus-visible) { opacity: 1;
  background: color-mix(in srgb, var(--fg-color, #fff) 14%, transparent); }
.dsoup-log button.sure { flex: none; padding: 0 7px; color: #fff; background: #b3372f; }
.dsoup-log button svg { display: block; width: 14px; height: 14px; margin: auto; fill: none; stroke: currentColor;
  stroke-width: 1.3; stroke-linejoin: round; stroke-linecap: round; }
.dsoup-log .empty { margin: auto; max-width: 240px; text-align: center; line-height: 1.5; opacity: 0.75; }
.dsoup-log .empty svg { width: 48px; height: 48px; display: block; margin: 0 auto 10px; fill: none;
  stroke: currentColor; stroke-width: 0.8; opacity: 0.6; }
.dsoup-log .further { flex: none; align-self: center; height: 28px; padding: 0 14px; }
`;

/**
 * @typedef {{hash: string, recipe: any, shares: number[] | null, count: number, last: number, seconds: number,
 *   cooked: number, tensors: number, notes: string[], pictures: Record<string, string>[]}} Entry
 * @typedef {{list: (query: string) => Promise<any>, change: (body: any) => Promise<any>, show: (entry: Entry) => void,
 *   restore: (entry: Entry) => void, copy: (entry: Entry) => void, address: (picture: any) => string}} Host
 */

export class RecipeLog {
  /** @param {HTMLElement} place @param {Host} host */
  constructor(place, host) {
    addStyle(LOG_CSS);
    this.host = host;
    /** @type {Entry[]} */
    this.entries = [];
    this.found = 0;
    this.question = 0;
    this.timer = 0;
    this.search = make("input", { type: "search", placeholder: word("Search files, hash, method, date") });
    this.search.setAttribute("aria-label", word("Search the cooked soups"));
    this.search.addEventListener("input", () => this.soon());
    this.search.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => event.stopPropagation());
    this.count = make("div", { className: "count" });
    this.count.setAttribute("aria-live", "polite");
    this.list = make("ol");
    this.list.setAttribute("aria-label", word("Cooked soups"));
    this.list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#walk(event));
    this.all = this.#sure(button(DELETE, word("Delete all"), () => {}), word("Delete all?"),
      () => this.#change({ clear: true }));
    this.element = make("div", { className: "dsoup-log dsoup" },
      make("div", { className: "top" }, make("h3", {}, word("Cooked soups")), this.all), this.search, this.count,
      this.list);
    place.replaceChildren(this.element);
    void this.refresh();
  }

  /** Look again when nothing more happens. */
  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.refresh(), PAUSE);
  }

  /** As many entries as are shown now, anew. */
  async refresh() {
    await this.#load(0, Math.min(Math.max(PAGE, this.entries.length), 200));
  }

  /** @param {number} offset @param {number} limit */
  async #load(offset, limit) {
    const question = ++this.question;
    const query = new URLSearchParams({ search: this.search.value, offset: String(offset), limit: String(limit) });
    /** @type {any} */
    let answer;
    try {
      answer = await this.host.list(query.toString());
    } catch (error) {
      if (question === this.question) {
        this.#say(word("The log cannot be read: {0}", /** @type {Error} */ (error).message));
      }
      return;
    }
    if (question !== this.question) return;
    this.entries = [...this.entries.slice(0, offset), ...answer.entries];
    this.found = answer.found;
    this.all.hidden = answer.all === 0;
    this.count.textContent = answer.all === 0 ? "" : countLine(answer.found, answer.all);
    this.#show(offset, answer.all === 0 ? word("Nothing cooked yet. Each recipe that Cook Soup cooks is listed here, " +
      "to be restored with one click.") : answer.found === 0 ? word("No recipe has all these words.") : "");
  }

  /** @param {number} offset from where rows are new @param {string} empty */
  #show(offset, empty) {
    if (empty) {
      this.#say(empty);
      return;
    }
    const focused = this.list.contains(document.activeElement) ? this.#focused() : null;
    this.list.querySelector(".further")?.remove();
    if (offset === 0) this.list.replaceChildren();
    this.list.querySelector(".empty")?.remove();
    this.list.append(...this.entries.slice(offset).map((entry) => this.#row(entry)));
    if (this.entries.length < this.found) {
      const more = make("button", { type: "button", className: "further" }, word("Show more"));
      more.addEventListener("click", () => void this.#load(this.entries.length, PAGE));
      this.list.append(more);
    }
    if (focused) this.#focus(focused);
  }

  #focused() {
    const row = /** @type {HTMLElement | null} */ (document.activeElement?.closest("li"));
    return row ? { hash: row.dataset.hash ?? "", at: [...this.list.children].indexOf(row),
      name: document.activeElement?.className ?? "" } : null;
  }

  /** @param {{hash: string, at: number, name: string}} which */
  #focus({ hash, at }) {
    const rows = [...this.list.querySelectorAll("li")];
    const row = rows.find((each) => each.dataset.hash === hash) ?? rows[Math.min(at, rows.length - 1)];
    row?.querySelector(".name")?.focus({ preventScroll: true });
  }

  /** @param {string} sentence */
  #say(sentence) {
    this.list.replaceChildren(make("li", { className: "empty", style: "display: block; background: none" },
      icon(POT), sentence));
  }

  /** @param {Entry} entry */
  #row(entry) {
    const { host } = this;
    const title = titleOf(entry.recipe);
    const name = make("button", { type: "button", className: "name", title: word("What is in it") }, title);
    name.addEventListener("click", () => host.show(entry));
    const buttons = [
      button(RESTORE, word("Restore {0}: build its nodes", title), () => host.restore(entry)),
      button(COPY, word("Copy the recipe of {0}", title), () => host.copy(entry)),
      this.#sure(button(DELETE, word("Delete {0} from the log", title), () => {}), word("Delete?"),
        () => this.#change({ delete: entry.hash })),
    ];
    const row = make("li", {}, this.#thumbnail(entry), make("div", { className: "first" }, name, ...buttons),
      shareBar(entry.recipe, entry.shares),
      make("div", { className: "meta", title: sharesLine(entry) }, sharesLine(entry)),
      make("div", { className: "meta", title: story(entry) }, metaLine(entry)));
    row.dataset.hash = entry.hash;
    return row;
  }

  /** @param {Entry} entry */
  #thumbnail(entry) {
    const place = make("div", { className: "thumb" });
    place.setAttribute("aria-hidden", "true");
    const pictures = [...entry.pictures];
    const next = () => { // a picture may be gone: the one before it, or a drawing
      const picture = pictures.shift();
      if (!picture) return place.replaceChildren(icon(POT));
      const image = make("img", { className: "thumb", alt: "", loading: "lazy", src: this.host.address(picture) });
      image.addEventListener("error", next);
      return place.replaceChildren(image);
    };
    next();
    return place;
  }

  /**
   * A button that wants to be pressed twice.
   * @param {HTMLButtonElement} made
   * @param {string} question
   * @param {() => void} act
   */
  #sure(made, question, act) {
    const drawn = [...made.childNodes];
    const label = made.getAttribute("aria-label") ?? "";
    const back = () => {
      made.replaceChildren(...drawn);
      made.classList.remove("sure");
      made.setAttribute("aria-label", label);
    };
    made.addEventListener("blur", back);
    made.addEventListener("click", () => {
      if (made.classList.contains("sure")) {
        back();
        act();
        return;
      }
      made.classList.add("sure");
      made.setAttribute("aria-label", question);
      made.replaceChildren(question);
      setTimeout(back, SURE);
    });
    return made;
  }

  /** @param {any} body */
  async #change(body) {
    try {
      await this.host.change(body);
    } catch (error) {
      this.#say(/** @type {Error} */ (error).message);
      return;
    }
    await this.refresh();
  }

  /** Up and down walk through the rows. @param {KeyboardEvent} event */
  #walk(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const rows = [...this.list.querySelectorAll("li .name, .further")];
    const row = document.activeElement?.closest("li")?.querySelector(".name") ?? document.activeElement;
    rows[rows.indexOf(row) + step]?.focus();
    event.preventDefault();
    event.stopPropagation();
  }
}

/** How many of the log's recipes are found. @param {number} found @param {number} all */
function countLine(found, all) {
  if (found === all) return found === 1 ? word("{0} recipe", found) : word("{0} recipes", found);
  return found === 1 ? word("{0} recipe of {1}", found, all) : word("{0} recipes of {1}", found, all);
}

/** @param {Entry} entry */
function sharesLine({ recipe, shares }) {
  return recipe.ingredients.map((/** @type {any} */ each, /** @type {number} */ at) =>
    `${nameIn(each.file)} ${shares ? sayShare(shares[at], recipe) : each.weight}`).join(", ");
}

/** @param {Entry} entry */
function metaLine(entry) {
  const times = entry.count > 1 ? ` · ${entry.count}×` : "";
  const method = entry.recipe.method === "soup" ? "" : ` · ${entry.recipe.method.replaceAll("_", " ")}`;
  return `${ago(entry.last)}${times}${method} · ${short(entry.hash)}`;
}

/** @param {Entry} entry */
function story(entry) {
  const date = new Date(entry.last * 1000).toLocaleString();
  return [word("{0}: {1} of {2} tensors in {3} s", date, entry.cooked, entry.tensors, entry.seconds.toFixed(1)),
    entry.hash, ...entry.notes].join("\n");
}

/** "5 min ago"; a date from a week on. @param {number} seconds @param {number} [now] */
export function ago(seconds, now = Date.now() / 1000) {
  const passed = Math.max(0, now - seconds);
  if (passed < 60) return word("just now");
  if (passed < 3600) return word("{0} min ago", Math.floor(passed / 60));
  if (passed < 86400) return word("{0} h ago", Math.floor(passed / 3600));
  if (passed < 7 * 86400) return word("{0} d ago", Math.floor(passed / 86400));
  return new Date(seconds * 1000).toLocaleDateString();
}
