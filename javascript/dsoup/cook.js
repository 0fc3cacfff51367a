/** Cook, Cancel, Undo and Save; what is going on, and what is in use. */
import { make } from "../../js/lib/elements.js";
import { card, colour, press } from "./fields.js";

export const BUSY = ["queued", "cooking"];
const WORDS = { queued: "Waiting", cooking: "Cooking", done: "Done", failed: "", cancelled: "Cancelled", idle: "" };

/** @param {number} seconds */
const left = (seconds) => (seconds >= 90 ? `${Math.round(seconds / 60)} min left` : `${Math.max(Math.ceil(seconds), 1)} s left`);

export class Cook {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
    this.cook = press("Cook", "Make this soup the model in memory; nothing is written to disk", () => void this.#do("cook"),
      { kind: "primary big", id: "dsoup_cook_now" });
    this.cancel = press("Cancel", "Stop; the model stays what it was", () => void this.#do("cancel"), { kind: "stop tall", id: "dsoup_cancel_now" });
    this.undo = press("Undo cook", "Go back to the model that was in use before", () => void this.#do("undo"), { kind: "tall", id: "dsoup_undo_now" });
    this.name = make("input", { type: "text", placeholder: "Name to save under", id: "dsoup_save_name", className: "ds-text", autocomplete: "off" });
    this.name.setAttribute("aria-label", "Name to save under");
    this.name.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => event.key === "Enter" && void this.#save());
    this.name.addEventListener("input", () => this.#ask(""));
    this.save = press("Save", "Cook to a file in the checkpoint folder", () => void this.#save(), { id: "dsoup_save_now" });
    this.asked = make("div", { className: "ds-asked", hidden: true });
    this.asked.setAttribute("role", "alert");
    this.progress = make("div", { className: "ds-progress" }, make("i"));
    this.progress.setAttribute("role", "progressbar");
    this.progress.setAttribute("aria-label", "Cooking");
    this.said = make("p", { className: "ds-status", id: "dsoup_status" });
    this.said.setAttribute("role", "status");
    this.used = make("div", { className: "ds-used", id: "dsoup_in_use" });
    this.element = card("Cook", this.used, make("div", { className: "ds-line" }, this.cook, this.cancel, this.undo),
      this.progress, this.said, make("div", { className: "ds-line" }, this.name, this.save), this.asked);
    this.element.classList.add("ds-cook");
    this.trouble = "";
  }

  show() {
    const { status, inUse } = this.app;
    const busy = BUSY.includes(status.state);
    const percent = Math.round(100 * status.fraction);
    this.progress.hidden = !busy;
    this.progress.firstChild.style.width = `${percent}%`;
    this.progress.setAttribute("aria-valuenow", String(percent));
    const waits = busy && status.text.startsWith("waiting");
    this.progress.classList.toggle("waiting", waits || status.state === "queued");
    this.cancel.hidden = !busy; // beside Cook and not in its place: the second of two clicks must not cancel
    this.undo.hidden = busy;
    const wrong = this.trouble || (status.state === "failed" ? status.text : "");
    const doing = busy && status.text.startsWith("selecting") ? "" : WORDS[status.state];
    const words = waits ? [`W${status.text.slice(1)}`] : [doing, busy && status.state === "cooking" ? `${percent} %` : "",
      busy && status.seconds_left != null ? left(status.seconds_left) : "", status.text];
    const said = words.filter((word, at) => word && words.indexOf(word) === at).join(" · ");
    this.#tell(wrong || (status.state === "idle" ? status.text : said), Boolean(wrong));
    this.#showUsed(inUse);
  }

  /** One sentence where the user looks; "" when it is over. @param {string} sentence */
  wrong(sentence) {
    this.trouble = sentence;
    this.show();
  }

  /** @param {string} text @param {boolean} wrong */
  #tell(text, wrong) {
    if (this.said.textContent !== text) this.said.textContent = text; // told once to those who listen
    this.said.classList.toggle("ds-error", wrong);
  }

  /** @param {any} soup */
  #showUsed(soup) {
    const key = soup?.hash ?? "";
    if (this.usedShown === key) return;
    this.usedShown = key;
    if (!soup) return this.used.replaceChildren(make("span", { className: "ds-note" }, "In use: a plain checkpoint"));
    const parts = soup.draft.rows.map((/** @type {any} */ row, /** @type {number} */ at) => {
      const name = row.file.split("/").at(-1).replace(/\.\w+$/, "");
      const chip = make("span", { className: "ds-chip", title: row.file }, make("span", {}, name),
        press("×", `Take ${name} out of this soup: loads the rest into the table`, () => this.#without(soup, at), { kind: "bare" }));
      chip.style.setProperty("--ds-colour", colour(at));
      return chip;
    });
    this.used.replaceChildren(
      make("span", { className: "ds-note" }, "In use: soup ", make("code", { title: soup.hash }, soup.hash.slice(0, 10))),
      make("div", { className: "ds-chips" }, ...parts,
        press("+ Add", "Load this soup into the table and add an ingredient", () => {
          this.app.load(soup.draft);
          void this.app.table.add("checkpoint");
        }, { kind: "bare" })),
      press("Load into the table", "Change the soup in use: shares, blocks, ingredients", () => this.app.load(soup.draft), { id: "dsoup_load_used" }));
  }

  /** @param {any} soup @param {number} at */
  #without(soup, at) {
    this.app.load({ ...soup.draft, rows: soup.draft.rows.filter((/** @type {any} */ _, /** @type {number} */ each) => each !== at) });
  }

  /** @param {string} verb */
  async #do(verb) {
    this.trouble = "";
    this.#ask("");
    const answer = await (verb === "cook" ? this.app.ask.slow(verb, { draft: this.app.sent() }) : this.app.ask.quick(verb));
    this.#answered(answer);
  }

  async #save(overwrite = false) {
    this.trouble = "";
    this.#ask("");
    this.#answered(await this.app.ask.slow("save", { draft: this.app.sent(), name: this.name.value, overwrite }));
  }

  /** @param {any} answer */
  #answered(answer) {
    if (answer.error) this.wrong(answer.error);
    else if (answer.ask) this.#ask(answer.ask);
    else this.app.told(answer);
  }

  /** @param {string} sentence "" for nothing to ask */
  #ask(sentence) {
    this.asked.hidden = !sentence;
    if (!sentence) return;
    const yes = press("Overwrite", "", () => void this.#save(true), { kind: "stop", id: "dsoup_overwrite_now" });
    this.asked.replaceChildren(make("span", {}, sentence), yes, press("Keep it", "", () => this.#ask("")));
    yes.focus();
  }
}

