/** What ComfyUI reports of a run, as sentences for a person. No page and no graph: only words. */
import { word } from "./words.js";

const OUR_ERROR = /\bdiffusion_soup\b.*\.errors\.\w+$/;
const MOST = 600;

/** Whether a node is one of ours. @param {unknown} type */
export const isOurs = (type) => typeof type === "string" && type.startsWith("DSoup");

/**
 * The sentence of a failed run, if it is ours to say: a node of ours failed, or one in which a part of ours worked.
 * @param {any} detail of execution_error
 * @returns {string | null}
 */
export function failureSentence({ node_type: node, exception_type: type = "", exception_message: message = "" }) {
  const told = OUR_ERROR.test(type);
  if (!isOurs(node) && !told) return null;
  const text = String(message).trim();
  if (told) return short(text);
  return short(`${type.split(".").pop()}: ${text.split("\n")[0]}`); // nobody meant this one to be read
}

/**
 * Sentences for the nodes of ours that a refused prompt names, by the id of the node.
 * @param {any} errors node_errors of the server's answer
 * @returns {[string, string][]}
 */
export function refusals(errors) {
  return Object.entries(errors ?? {}).filter(([, report]) => isOurs(report?.class_type)).map(([id, report]) =>
    [id, short(unique((report.errors ?? []).map(refusal)).join("\n"))]);
}

/** @param {any} error one error of a node */
function refusal({ type, message, details, extra_info: info = {} }) {
  const name = info.input_name ?? "";
  if (type === "required_input_missing") return word("Connect {0}.", name || details);
  if (type === "value_not_in_list") {
    const given = info.received_value ?? "";
    return word("{0}: {1} is not here. Put the file there and press R, or choose another one.", name,
      JSON.stringify(given));
  }
  if (type === "custom_validation_failed") {
    return String(details).replace(/^\S+ - (Value not in list: )?/, "") || String(message);
  }
  return [message, details].filter(Boolean).join(": ");
}

/**
 * What a Cook Soup says of itself when it is done; null where it says nothing.
 * @param {any} output of executed
 * @returns {{sentence: string, notes: number} | null}
 */
export function cookedLine(output) {
  const told = output?.diffusion_soup?.[0];
  if (typeof told?.hash !== "string") return null;
  const notes = (Array.isArray(told.notes) ? told.notes : []).map((/** @type {unknown} */ note) => short(String(note)));
  const lines = [word("cooked {0}", told.hash.slice(0, 10)), ...notes.slice(0, 3)];
  if (notes.length > 3) lines.push(word("and {0} more notes in the server's log", notes.length - 3));
  return { sentence: lines.join("\n"), notes: notes.length };
}

/** @param {string} text */
const short = (text) => (text.length > MOST ? `${text.slice(0, MOST)}…` : text);

/** @param {string[]} lines */
const unique = (lines) => [...new Set(lines)];
