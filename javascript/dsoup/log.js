/** What was cooked here before: to search, and to load again. */
import { make } from "../../js/lib/elements.js";
import { card, press } from "./fields.js";

const PAUSE = 300; // milliseconds after the last letter

/** @param {any} time seconds since 1970, or text @returns {string} */
function when(time) {
  const date = typeof time === "number" ? new Date(time * 1000) : new Date(String(time));
  if (Number.isNaN(date.getTime())) return String(time ?? "");
  const today = date.toDateString() === new Date().toDateString();
  return today ? date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false })
    : date.toLocaleDateString([], { month: "short", day: "numeric" });
}

export class Log {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
    this.question = 0;
    this.search = make("input", { type: "search", placeholder: "Search", className: "ds-search", id: "dsoup_log_search", autocomplete: "off" });
    this.search.setAttribute("aria-label", "Search the log of cooks");
    this.search.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => void this.refresh(), PAUSE);
    });
    this.list = make("div", { className: "ds-log", id: "dsoup_log" });
    this.element = card("Cooked before", this.list);
    this.element.querySelector("header").append(this.search);
  }

  show() {}

  async refresh() {
    const question = ++this.question;
    const answer = await this.app.ask.quick("log", { search: this.search.value });
    if (question !== this.question) return;
    if (answer.error) return this.list.replaceChildren(make("p", { className: "ds-error" }, answer.error));
    this.list.replaceChildren(...answer.log.map((line) => this.#line(line)));
    if (!answer.log.length) {
      this.list.append(make("p", { className: "ds-note" }, this.search.value ? "No cook has these words." : "Nothing yet."));
    }
  }

  /** @param {any} line */
  #line({ time, seconds, notes, soup }) {
    const took = typeof seconds === "number" ? `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s` : "";
    const load = press("Load", "Load this recipe into the table", () => this.app.load(soup.draft));
    return make("div", { className: "ds-entry", title: soup.text },
      make("time", {}, when(time)), make("b", {}, soup.title, ...(notes?.length ? [make("small", {}, [notes].flat().join(" "))] : [])),
      make("small", {}, took), load);
  }
}
