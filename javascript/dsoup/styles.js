/** The section DMM styles of txt2img and img2img: the console of our ComfyUI node Mix Styles over gradio's fields. */
import { addStyle, make } from "../../js/lib/elements.js";
import { CONSOLE_CSS, StyleConsole } from "../../js/lib/style_console.js";
import { MixStore } from "../../js/lib/style_mixes.js";
import { choice, number, press } from "./fields.js";
import { StandInNode } from "./node.js";

const LOOK = 300; // milliseconds between looks at the fields, which gradio changes too: by a pasted picture
const STALE = 2000; // milliseconds after which a look at the section asks again for the styles
const EASINGS = ["linear", "smooth", "ease in", "ease out", "step"];
const SWITCHES = ["normalise", "extrapolate"];

/** gradio's fields of one section, by the names of the settings. */
class Fields {
  /** @param {string} prefix of their ids */
  constructor(prefix) {
    this.prefix = prefix;
  }

  /** @param {string} name @returns {HTMLElement | null} */
  around(name) {
    return document.getElementById(this.prefix + name);
  }

  /** @param {string} name @returns {any} */
  #input(name) {
    return this.around(name)?.querySelector("textarea, input");
  }

  /** @param {string} name @returns {string | boolean | undefined} undefined while it is not there */
  read(name) {
    const input = this.#input(name);
    return input?.type === "checkbox" ? input.checked : input?.value;
  }

  /** @param {string} name @param {string | boolean} value */
  write(name, value) {
    const input = this.#input(name);
    if (!input || this.read(name) === value) return;
    if (input.type === "checkbox") return input.click();
    input.value = value;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  press(/** @type {string} */ name) {
    const button = this.around(name);
    (button?.closest("button") ?? button?.querySelector("button"))?.click();
  }
}

/** A section as the node that the console edits. */
class FieldsAsNode extends StandInNode {
  /** @param {Fields} fields @param {string[]} styles */
  constructor(fields, styles) {
    super(fields.prefix, 400, ["weights", ...SWITCHES].map((name) => ({
      name,
      get value() {
        return fields.read(name);
      },
      set value(value) {
        const first = name === "weights" && value && !fields.read("weights");
        fields.write(name, value);
        if (first) fields.write("enabled", true); // who raises a style wants it
      },
    })));
    this.styles = styles;
  }
}

/** Saved mixes are kept in this browser. */
const MIXES = {
  /** @param {string} file */
  async getUserData(file) {
    const text = localStorage.getItem(`dsoup ${file}`);
    return { status: text === null ? 404 : 200, ok: text !== null, text: async () => text };
  },

  /** @param {string} file @param {string} text */
  async storeUserData(file, text) {
    localStorage.setItem(`dsoup ${file}`, text);
  },
};

class Section {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.fields = new Fields(place.dataset.prefix ?? "");
    this.node = new FieldsAsNode(this.fields, []);
    this.console = new StyleConsole(this.node, () => null, /** @type {any} */ ({ of: async () => this.node.styles }),
      new MixStore(/** @type {any} */ (MIXES)));
    this.root = /** @type {HTMLElement} */ (place.closest(".dsoup_styles"));
    this.sentence = make("p", { className: "ds-note" }, "Asking the WebUI…");
    this.console.element.hidden = true;
    this.frame = this.#frame();
    place.replaceChildren(this.sentence, this.console.element, this.frame);
    this.root.classList.add("live");
    [this.seen, this.told, this.asked] = ["", "", -STALE];
    this.clock = setInterval(() => this.#look(place), LOOK);
    for (const kind of ["pointerenter", "focusin"]) this.root.addEventListener(kind, () => this.#ask());
  }

  /** A mix as the next key frame of the schedule. */
  #frame() {
    let [at, easing] = [1, EASINGS[0]];
    const moment = number("Share of the sampling at which it is reached", (value) => {
      at = Math.min(Math.max(value, 0), 1);
      moment.show(at);
    });
    moment.show(at);
    const way = choice("The way there", (value) => { easing = value; });
    way.show(EASINGS.map((each) => [each, each]), easing);
    const add = press("Add to the schedule", "Let the picture become the mix above at this share of the sampling", () => {
      const mix = String(this.fields.read("weights") ?? "").split("\n").filter((line) => line.trim()).join(", ");
      const before = String(this.fields.read("schedule") ?? "").trimEnd();
      this.fields.write("schedule", `${before && `${before}\n`}${at} ${easing}: ${mix}`);
    });
    return make("div", { className: "ds-line ds-frame" }, make("span", {}, "this mix at"), moment.element, way.element,
      add);
  }

  /** Ask for the styles of the model in use: another may have been chosen. */
  #ask() {
    if (performance.now() - this.asked < STALE) return;
    this.asked = performance.now();
    this.fields.press("look");
  }

  /** @param {HTMLElement} place */
  #look(place) {
    if (!place.isConnected) return clearInterval(this.clock);
    if (!place.offsetParent) return; // folded, or on another tab
    if (!this.told) this.#ask();
    const answer = String(this.fields.read("answer") ?? "");
    if (answer && answer !== this.told) this.#told(answer);
    const seen = JSON.stringify(["weights", ...SWITCHES].map((name) => this.fields.read(name)));
    if (seen === this.seen) return;
    this.seen = seen;
    this.console.state.read();
    this.root.classList.toggle("text", Boolean(this.console.state.trouble)); // what the sliders cannot mend is mended there
  }

  /** @param {string} answer */
  #told(answer) {
    this.told = answer;
    const { styles, said } = JSON.parse(answer);
    this.node.styles = styles;
    this.seen = "";
    this.sentence.textContent = said;
    this.sentence.hidden = !said;
    this.console.element.hidden = this.frame.hidden = !styles.length;
    this.root.classList.toggle("known", styles.length > 0);
    void this.console.refresh();
  }
}

/** @returns {{mount: (place: HTMLElement) => void}} */
export function open() {
  addStyle(CONSOLE_CSS);
  return { mount: (place) => void new Section(place) };
}
