/** The text `weights` of Mix Styles: read and written as the node does, everything else in it left alone. */
import { word } from "./words.js";

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/**
 * @param {string} part one `name = weight`
 * @returns {{name: string, weight: number} | null} null for anything else
 */
function parsePart(part) {
  const at = part.lastIndexOf("=");
  const number = part.slice(at + 1).trim();
  return at < 0 || !NUMBER.test(number) ? null : { name: part.slice(0, at).trim(), weight: Number(number) };
}

/**
 * The text with names: numbers alone count in the order of the styles.
 * @param {string} text
 * @param {string[]} names
 */
function withNames(text, names) {
  const numbers = text.split(/[\s,]+/).filter(Boolean);
  if (!numbers.length || numbers.length > names.length || !numbers.every((number) => NUMBER.test(number))) return text;
  return numbers.flatMap((number, at) => (Number(number) ? [`${names[at]} = ${Number(number)}`] : [])).join("\n");
}

/**
 * The weights in the text, by name; the first one where a name is listed twice.
 * @param {string} text
 * @param {string[]} names the styles, in order
 * @returns {Map<string, number>}
 */
export function readWeights(text, names) {
  const found = withNames(text, names).split(/[\n,]/).map(parsePart).filter((part) => part !== null);
  return new Map(found.reverse().map(({ name, weight }) => [name, weight]));
}

/**
 * The text with another weight of one style, everything else as it was. A weight of 0 is left out; a new one goes
 * before the first style that comes later in `names`.
 * @param {string} text
 * @param {string[]} names the styles, in order
 * @param {string} name
 * @param {number} weight
 * @returns {string}
 */
export function writeWeight(text, names, name, weight) {
  let missing = weight === 0 ? "" : `${name} = ${weight}`;
  const lines = withNames(text, names).split("\n").flatMap((line) => {
    const parts = line.split(",");
    if (!parts.some((part) => parsePart(part)?.name === name)) return [line];
    const kept = parts.map((part) => {
      if (parsePart(part)?.name !== name) return part.trim();
      const written = missing;
      missing = "";
      return written;
    });
    return kept.some(Boolean) ? [kept.filter(Boolean).join(", ")] : [];
  });
  if (missing) {
    while (lines.length && !lines[lines.length - 1].trim()) lines.pop();
    const later = lines.findIndex((line) => line.split(",").some((part) =>
      names.indexOf(parsePart(part)?.name ?? "") > names.indexOf(name)));
    lines.splice(later < 0 ? lines.length : later, 0, missing);
  }
  return lines.join("\n");
}

/**
 * The text with other weights of some styles; those whose weight stays are not written again.
 * @param {string} text
 * @param {string[]} names the styles, in order
 * @param {Map<string, number>} weights
 */
export function writeWeights(text, names, weights) {
  const before = readWeights(text, names);
  return [...weights].filter(([name, weight]) => (before.get(name) ?? 0) !== weight)
    .reduce((written, [name, weight]) => writeWeight(written, names, name, weight), text);
}

/** A name in quotation marks. @param {string} name */
export const quoted = (name) => word("\"{0}\"", name);

/** @param {string} text */
const shown = (text) => quoted(text.length > 40 ? `${text.slice(0, 39)}…` : text);

/**
 * What the node would refuse in a text, in words; "" for nothing.
 * @param {string} text
 * @param {string[]} names the styles, in order
 * @param {{normalise?: boolean, extrapolate?: boolean}} widgets
 */
export function troubleOf(text, names, { normalise, extrapolate }) {
  const numbers = text.split(/[\s,]+/).filter(Boolean);
  const bare = numbers.every((number) => NUMBER.test(number));
  if (bare && numbers.length > names.length) {
    return word("{0} weights for {1} styles.", numbers.length, names.length);
  }
  const parts = withNames(text, names).split(/[\n,]/).map((part) => part.trim()).filter(Boolean);
  const broken = parts.find((part) => !parsePart(part)?.name);
  if (broken) {
    return word("{0} is not a style and its weight, like \"{1} = 0.5\".", shown(broken), names[0]);
  }
  const read = parts.map((part) => /** @type {{name: string, weight: number}} */ (parsePart(part)));
  const unknown = read.find(({ name }) => !names.includes(name));
  if (unknown) return word("There is no style called {0} here.", shown(unknown.name));
  const twice = read.find(({ name }, at) => read.findIndex((other) => other.name === name) < at);
  if (twice) return word("The style {0} is listed twice; the first one is shown.", shown(twice.name));
  const negative = read.find(({ weight }) => weight < 0);
  if (negative && extrapolate === false) {
    return word("{0} is negative: that needs extrapolate.", shown(negative.name));
  }
  const sum = read.reduce((total, { weight }) => total + weight, 0);
  if (normalise && read.some(({ weight }) => weight) && Math.abs(sum) < 1e-9) {
    return word("The weights sum to 0 and cannot be scaled to sum to 1.");
  }
  return "";
}
