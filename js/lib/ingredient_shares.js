/**
 * The arithmetic of shares: what percentage each ingredient has, and the shares after one of them was changed.
 *
 * The total of all shares stays as it is, so that locked rows keep their percentage without being written.
 */
import { word } from "./words.js";

/**
 * @typedef {object} Part one ingredient
 * @property {number | undefined} share undefined where it is known only when the graph runs
 * @property {boolean} active whether it is in the soup
 * @property {boolean} locked whether its percentage is to stay
 */
/**
 * @typedef {object} Reading
 * @property {"percent" | "raw" | "unknown"} mode what `values` are
 * @property {number[]} values percentages that sum to 100, or shares as they are; 0 for what is not in the soup
 * @property {number} total of the shares that are in the soup
 * @property {string} trouble why it is no percentage, if that is not wanted
 */
/**
 * @typedef {object} Change
 * @property {number[] | null} shares of all parts; null where nothing is to be changed
 * @property {string} trouble what could not be done, and how it can
 */

export const MOST = 10; // the largest share that a node takes
const NOTHING = 1e-9;

/** @param {number[]} values */
const sum = (values) => values.reduce((total, value) => total + value, 0);

/** @param {number} percent a percentage as people read it: "33.3%", "25%", "0.05%" */
export function percentText(percent) {
  const digits = Math.abs(percent) >= 0.95 || percent === 0 ? 1 : 2;
  return `${Number(percent.toFixed(digits))}%`.replace("-", "−");
}

/** @param {number} share */
export const shareText = (share) => String(Number(share.toFixed(3))).replace("-", "−");

/** @param {string} text a number as people type it: "25", "25 %", "1,5"; NaN for anything else */
export function readNumber(text) {
  const tidy = text.trim().replace(/\s*%$/, "").replace("−", "-").replace(",", ".");
  return /^[+-]?(\d+\.?\d*|\.\d+)$/.test(tidy) ? Number(tidy) : NaN;
}

/**
 * @param {Part[]} parts
 * @param {boolean} normalise
 * @returns {Reading}
 */
export function read(parts, normalise) {
  const shares = parts.map(({ share, active }) => (active ? share ?? NaN : 0));
  const total = sum(shares);
  if (shares.some(Number.isNaN)) return { mode: "unknown", values: shares, total, trouble: "" };
  const raw = (trouble = "") => /** @type {Reading} */ ({ mode: "raw", values: shares, total, trouble });
  if (!normalise || !parts.some(({ active }) => active)) return raw();
  if (total <= NOTHING) {
    return raw(word("The shares add up to {0}, so they cannot be scaled to 100%: give one a larger share.",
      shareText(total)));
  }
  if (shares.some((share) => share < 0)) return raw(word("A share is negative: shown as they are, before scaling."));
  return { mode: "percent", values: shares.map((share) => (100 * share) / total), total, trouble: "" };
}

/**
 * Another percentage for one part. What it gains or gives goes to the parts that are not locked, in proportion.
 * @param {Part[]} parts that `read` as percentages
 * @param {number} at
 * @param {number} percent
 * @returns {Change}
 */
export function setPercent(parts, at, percent) {
  const { values, total } = read(parts, true);
  const others = parts.map((_, other) => other).filter((other) => other !== at && parts[other].active);
  const free = others.filter((other) => !parts[other].locked);
  if (!others.length) return { shares: null, trouble: word("It is the only ingredient, so its share is always 100%.") };
  if (parts[at].locked) return { shares: null, trouble: word("This row is locked: unlock it to change its share.") };
  if (!free.length) return { shares: null, trouble: word("All other rows are locked: unlock one to change this share.") };
  const kept = sum(others.filter((other) => parts[other].locked).map((other) => values[other]));
  const most = Math.max(100 - kept, 0);
  const wanted = Math.min(Math.max(percent, 0), most);
  const trouble = percent > most + NOTHING && kept > 0
    ? word("Locked rows hold {0}, so this one can have {1} at most.", percentText(kept), percentText(most)) : "";
  const had = sum(free.map((other) => values[other]));
  const next = [...values];
  next[at] = wanted;
  for (const other of free) {
    next[other] = had > NOTHING ? (values[other] / had) * (most - wanted) : (most - wanted) / free.length;
  }
  return { shares: written(parts, next, total), trouble };
}

/**
 * The two parts that a divider moves between: the nearest ones to it that are not locked.
 * @param {Part[]} parts
 * @param {number} after the part on the left of the divider
 * @returns {[number, number] | null}
 */
export function besides(parts, after) {
  const free = (/** @type {number} */ at) => parts[at].active && !parts[at].locked;
  const left = parts.findLastIndex((_, at) => at <= after && free(at));
  const right = parts.findIndex((_, at) => at > after && free(at));
  return left < 0 || right < 0 ? null : [left, right];
}

/**
 * Move what lies between two parts by a percentage (or, where they are not normalised, by a share).
 * @param {Part[]} parts
 * @param {number} left
 * @param {number} right
 * @param {number} amount from the right to the left
 * @param {boolean} normalise
 * @returns {Change}
 */
export function transfer(parts, left, right, amount, normalise) {
  const { mode, values, total } = read(parts, normalise);
  const moved = Math.min(Math.max(amount, -values[left]), values[right]);
  const next = values.map((value, at) => value + (at === left ? moved : at === right ? -moved : 0));
  return { shares: mode === "percent" ? written(parts, next, total) : settled(parts, next), trouble: "" };
}

/**
 * The same percentage for every part in the soup that is not locked.
 * @param {Part[]} parts
 * @returns {Change}
 */
export function equalise(parts) {
  const reading = read(parts, true);
  const free = parts.map((_, at) => at).filter((at) => parts[at].active && !parts[at].locked);
  if (free.length < 2) return { shares: null, trouble: word("There is nothing to share out: unlock rows, or add some.") };
  if (reading.mode !== "percent") {
    return { shares: parts.map(({ share }, at) => (free.includes(at) ? 1 : share ?? 1)), trouble: "" };
  }
  const each = sum(free.map((at) => reading.values[at])) / free.length;
  const next = reading.values.map((value, at) => (free.includes(at) ? each : value));
  return { shares: written(parts, next, reading.total), trouble: "" };
}

/**
 * Percentages as shares of that total. What is locked or not in the soup keeps its share to the bit, unless a share
 * would be larger than a node takes: then all are scaled down.
 * @param {Part[]} parts
 * @param {number[]} percents
 * @param {number} total
 */
function written(parts, percents, total) {
  const shares = settled(parts, percents.map((percent) => (percent / 100) * total));
  const largest = Math.max(...shares.filter((_, at) => parts[at].active));
  return largest <= MOST ? shares
    : shares.map((share, at) => (parts[at].active ? Number((share * (MOST / largest)).toFixed(6)) : share));
}

/**
 * Rounded to what people can read; the largest that changes takes what rounding leaves over.
 * @param {Part[]} parts
 * @param {number[]} shares
 */
function settled(parts, shares) {
  const total = sum(shares);
  const free = parts.map((_, at) => at).filter((at) => parts[at].active && !parts[at].locked);
  const next = shares.map((share, at) => (free.includes(at) ? rounded(share, total) : parts[at].share ?? 0));
  const largest = free.reduce((best, at) => (next[at] > next[best] ? at : best), free[0]);
  const others = sum(next.filter((_, at) => at !== largest && parts[at].active));
  next[largest] = Number(Math.max(total - others, 0).toFixed(9));
  return next;
}

/** @param {number} share @param {number} total rounded to a ten-thousandth of a percent of it, or so */
function rounded(share, total) {
  const digits = Math.min(Math.max(6 - Math.ceil(Math.log10(Math.max(Math.abs(total), NOTHING))), 3), 9);
  return Number(share.toFixed(digits));
}
