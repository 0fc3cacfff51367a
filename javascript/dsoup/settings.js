/** What a recipe says beside its ingredients: method, base, text encoder, VAE, precision. */
import { make } from "../../js/lib/elements.js";
import { counted, nameOf } from "./draft.js";
import { card, choice, labelled, number } from "./fields.js";
import { pick } from "./picker.js";

const WORDS = { float16: "float16", bfloat16: "bfloat16", float32: "float32", float8_e4m3fn: "float8 e4m3", float8_e5m2: "float8 e5m2" };

export class Settings {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
    const set = (/** @type {string} */ name) => (/** @type {any} */ value) => app.change({ [name]: value }, `key ${name}`);
    this.method = choice("Method", set("method"), { id: "dsoup_method" });
    this.base = make("button", { type: "button", className: "ds-button ds-pick", id: "dsoup_base" });
    this.base.setAttribute("aria-label", "Base");
    this.base.addEventListener("click", () => void this.#pickBase());
    this.encoder = choice("Text encoder", set("text_encoder"), { id: "dsoup_text_encoder" });
    this.vae = choice("VAE", set("vae"), { id: "dsoup_vae" });
    this.dtype = choice("Precision", set("dtype"), { id: "dsoup_dtype" });
    this.normalise = make("input", { type: "checkbox", id: "dsoup_normalise" });
    this.normalise.addEventListener("change", () => set("normalise")(this.normalise.checked));
    this.parameters = make("div", { className: "ds-parameters" });
    this.formula = make("p", { className: "ds-note" });
    this.element = card("Method",
      make("div", { className: "ds-grid" },
        labelled("Method", this.method.element), labelled("Base", this.base), this.parameters,
        labelled("Text encoder", this.encoder.element), labelled("VAE", this.vae.element),
        labelled("Precision", this.dtype.element)),
      make("label", { className: "ds-check" }, this.normalise, make("span", {}, "Normalise: shares count in parts of the whole")),
      this.formula);
    /** @type {Map<string, any>} */
    this.fields = new Map();
  }

  show() {
    const { draft, hello } = this.app;
    const method = hello.methods.find((/** @type {any} */ { name }) => name === draft.method);
    const rows = counted(draft.rows).map((at) => draft.rows[at]);
    const files = [...new Set([...rows.filter(({ kind }) => kind === "checkpoint").map(({ file }) => file), draft.base])].filter(Boolean);
    const owners = [...(draft.base ? [["base", `base: ${nameOf(draft.base)}`]] : []),
      ...files.filter((file) => file !== draft.base).map((file) => [file, nameOf(file)])];
    this.method.show(hello.methods.map(({ name, title }) => [name, title]), draft.method);
    this.base.textContent = draft.base ? nameOf(draft.base) : "none";
    this.base.title = draft.base || "The checkpoint that the ingredients were trained from; LoRAs and task arithmetic need it";
    this.base.classList.toggle("wanted", !draft.base && (method?.needs_base || rows.some(({ kind }) => kind === "lora")));
    this.encoder.show([["soup", "mixed"], ...owners, ["none", "leave out"]], draft.text_encoder);
    this.vae.show([["", draft.base ? "of the base" : "of the largest share"], ["soup", "mixed"], ...owners, ["none", "leave out"]], draft.vae);
    this.dtype.show([["", "as in the files"], ...hello.dtypes.map((name) => [name, WORDS[name] ?? name])], draft.dtype);
    this.normalise.checked = draft.normalise;
    this.formula.textContent = method ? `${method.formula} · ${method.paper}` : "";
    this.#showParameters(method?.parameters ?? [], draft.parameters);
  }

  /** @param {any[]} parameters @param {Record<string, number>} values */
  #showParameters(parameters, values) {
    const names = parameters.map(({ name }) => name).join();
    if (this.shown !== names) {
      this.shown = names;
      this.fields = new Map(parameters.map(({ name, minimum, maximum, meaning }) => {
        const field = number(name, (value, stroke) => this.app.change({ parameters: { ...this.app.draft.parameters,
          [name]: Math.min(Math.max(value, minimum), maximum) } }, stroke));
        field.element.title = meaning;
        return [name, field];
      }));
      this.parameters.replaceChildren(...[...this.fields].map(([name, { element }]) => labelled(name, element)));
    }
    for (const { name, default: usual } of parameters) this.fields.get(name).show(values[name] ?? usual);
    this.parameters.hidden = !parameters.length;
  }

  async #pickBase() {
    const { app } = this;
    const found = await pick(app.element, { title: "Base", files: app.hello.checkpoints, chosen: app.draft.base, nothing: "none" });
    if (!found) return;
    const lost = (/** @type {string} */ value) => value === "base" && !found[0];
    app.change({ base: found[0], base_sha256: null,
      ...(lost(app.draft.vae) ? { vae: "" } : {}), ...(lost(app.draft.text_encoder) ? { text_encoder: "soup" } : {}) }, "");
  }
}
