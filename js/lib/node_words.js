/**
 * Translations of our nodes where the frontend has lost them: those of late 2025, 1.32 for one, load their own words of
 * a language after those of the packs, and these are gone then. Newer ones need nothing of this. No elements.
 */

/** @typedef {{name?: string, tooltip?: string}} Slot */
/**
 * @typedef {object} NodeWords
 * @property {string} display_name
 * @property {string} description
 * @property {Record<string, Slot>} inputs
 * @property {Record<string, Slot>} outputs by number
 */
/** @typedef {{nodeDefs?: Record<string, NodeWords>, nodeCategories?: Record<string, string>}} Words */

/**
 * Translate definitions as the server sends them, unless that is done.
 * @param {Record<string, any>} definitions
 * @param {Words} words of one language, as the server's /i18n has them; other packs' are left alone
 * @returns {Record<string, NodeWords>} what nodes of these definitions still need; empty if that is done as well
 */
export function translateDefinitions(definitions, { nodeDefs = {}, nodeCategories = {} }) {
  const ours = Object.entries(nodeDefs).filter(([id]) => id.startsWith("DSoup") && definitions[id]);
  const needed = ours.filter(([id, words]) => definitions[id].display_name !== words.display_name);
  for (const [id, words] of needed) {
    const definition = definitions[id];
    definition.display_name = words.display_name;
    definition.description = words.description;
    definition.category = definition.category.split("/").map((/** @type {string} */ part) =>
      nodeCategories[part] ?? part).join("/");
    const inputs = { ...definition.input?.required, ...definition.input?.optional };
    for (const [name, [, options]] of Object.entries(inputs)) {
      if (options) options.tooltip = words.inputs[name]?.tooltip ?? options.tooltip;
    }
    const tooltips = /** @type {string[]} */ (definition.output_tooltips ?? []);
    definition.output_tooltips = tooltips.map((tooltip, at) => words.outputs[at]?.tooltip ?? tooltip);
  }
  return Object.fromEntries(needed);
}

/**
 * Label what a node that was just made has. Names, by which values are saved and sent, stay.
 * @param {any} node
 * @param {NodeWords} words
 */
export function labelNode(node, { inputs, outputs }) {
  for (const input of node.inputs ?? []) input.localized_name = inputs[input.name]?.name ?? input.localized_name;
  for (const widget of node.widgets ?? []) widget.label = inputs[widget.name]?.name ?? widget.label;
  for (const [at, output] of (node.outputs ?? []).entries()) {
    if (output.name !== output.type) output.localized_name = outputs[at]?.name ?? output.localized_name;
  }
}
