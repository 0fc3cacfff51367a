/** The table as values: rows, shares and percents. No elements. See `diffusion_soup_webui/table.py`. */

/** @typedef {{mbw: string, preset: string, dialect: string, family: string, meaning: string}} BlockText */
/**
 * @typedef {object} Row
 * @property {number} id of this page alone
 * @property {string} file
 * @property {"checkpoint" | "lora"} kind
 * @property {number} share
 * @property {number} strength
 * @property {string | null} sha256
 * @property {boolean} locked
 * @property {boolean} muted
 * @property {boolean} solo
 * @property {BlockText} blocks
 * @property {string} elements
 */
/**
 * @typedef {object} Draft
 * @property {Row[]} rows
 * @property {string} base
 * @property {string | null} base_sha256
 * @property {string} method
 * @property {Record<string, number>} parameters
 * @property {boolean} normalise
 * @property {string} text_encoder
 * @property {string} vae
 * @property {string} dtype
 * @property {number} seed
 */

export const NO_BLOCKS = { mbw: "", preset: "none", dialect: "supermerger", family: "SD 1 / SD 2",
  meaning: "times the share" };

let made = 0;

/** @returns {Draft} */
export const emptyDraft = () => ({
  rows: [], base: "", base_sha256: null, method: "soup", parameters: {}, normalise: true, text_encoder: "soup", vae: "",
  dtype: "", seed: 0,
});

/** @param {"checkpoint" | "lora"} kind @param {string} file @param {number} [share] @returns {Row} */
export const newRow = (kind, file, share = 1) => ({
  id: ++made, file, kind, share, strength: 1, sha256: null, locked: false, muted: false, solo: false,
  blocks: { ...NO_BLOCKS }, elements: "",
});

/** A draft of the server or of this browser, with ids. @param {any} draft @returns {Draft} */
export const received = (draft) => ({
  ...emptyDraft(), ...draft,
  rows: (draft.rows ?? []).map((/** @type {any} */ row) => ({ ...newRow("checkpoint", ""), ...row, id: ++made })),
});

/** What the server reads. @param {Draft} draft */
export const sent = (draft) => ({ ...draft, rows: draft.rows.map(({ id, ...row }) => row) });

/** A file's name without folder and suffix: how people call it. @param {string} file */
export const nameOf = (file) => file.split("/").at(-1).replace(/\.(safetensors|sft|ckpt|pt)$/i, "");

/** Places of the rows that are in the soup: those that play solo, if any; else those not muted. @param {Row[]} rows */
export function counted(rows) {
  const at = rows.map((_, each) => each);
  const solo = at.filter((each) => rows[each].solo);
  return solo.length ? solo : at.filter((each) => !rows[each].muted);
}

/** @param {number[]} values */
const total = (values) => values.reduce((sum, value) => sum + value, 0);

/** In percent, rounded so that they add up to exactly 100; all 0 where they cannot. @param {number[]} shares */
export function percents(shares, decimals = 1) {
  const [sum, unit] = [total(shares), 10 ** decimals];
  if (!(sum > 0)) return shares.map(() => 0);
  const exact = shares.map((share) => (100 * unit * share) / sum);
  const whole = exact.map(Math.floor);
  const order = exact.map((_, at) => at).sort((one, other) => (whole[one] - exact[one]) - (whole[other] - exact[other]));
  order.slice(0, Math.round(100 * unit - total(whole))).forEach((at) => { whole[at] += 1; });
  return whole.map((each) => each / unit);
}

/** The percent of every row; null for those not in the soup. @param {Row[]} rows @returns {(number | null)[]} */
export function percentsOf(rows) {
  const inside = counted(rows);
  const found = percents(inside.map((at) => rows[at].share));
  return rows.map((_, at) => (inside.includes(at) ? found[inside.indexOf(at)] : null));
}

/** Numbers as people would write them; those that fill up keep more digits, or the sum would creep. @param {number} value */
export const tidy = (value, digits = 4) => Number(value.toFixed(digits)) || 0;

/**
 * Another part of the whole for one row. The sum of all shares stays, locked rows keep theirs, and the others make
 * room, or fill it, in proportion.
 * @param {Row[]} rows
 * @param {number} at
 * @param {number} part from 0 to 1
 * @returns {Row[]} the same rows where there is no other that could give way
 */
export function withPart(rows, at, part) {
  const inside = counted(rows);
  const sum = total(inside.map((each) => rows[each].share));
  const others = inside.filter((each) => each !== at && !rows[each].locked);
  if (!inside.includes(at) || !others.length || !(sum > 0)) return rows;
  const held = total(inside.filter((each) => each !== at && rows[each].locked).map((each) => rows[each].share));
  const share = tidy(Math.min(Math.max(part * sum, 0), Math.max(sum - held, 0)));
  const before = total(others.map((each) => rows[each].share));
  const left = sum - held - share;
  return rows.map((row, each) => {
    if (each === at) return { ...row, share };
    if (!others.includes(each)) return row;
    return { ...row, share: tidy(before > 0 ? (row.share / before) * left : left / others.length, 7) };
  });
}

/**
 * Another share for one row. Where a row is locked the others make room, so that its part stays; else they stay.
 * @param {Draft} draft
 * @param {number} at
 * @param {number} share
 */
export function withShare({ rows, normalise }, at, share) {
  const inside = counted(rows);
  const sum = total(inside.map((each) => rows[each].share));
  const guarded = inside.some((each) => each !== at && rows[each].locked);
  if (normalise && guarded && sum > 0) return withPart(rows, at, share / sum);
  return rows.map((row, each) => (each === at ? { ...row, share } : row));
}

/**
 * Move the border between two neighbours: what one loses the other gains.
 * @param {Row[]} rows
 * @param {number} left
 * @param {number} right
 * @param {number} part of both together that the left one gets
 */
export function withBorder(rows, left, right, part) {
  const both = rows[left].share + rows[right].share;
  const share = tidy(both * Math.min(Math.max(part, 0), 1));
  return rows.map((row, each) => {
    if (each === left) return { ...row, share };
    return each === right ? { ...row, share: tidy(both - share, 7) } : row;
  });
}

/** The same share for all that are not locked. @param {Row[]} rows */
export function even(rows) {
  const free = counted(rows).filter((at) => !rows[at].locked);
  const held = counted(rows).some((at) => rows[at].locked);
  const share = held ? total(free.map((at) => rows[at].share)) / free.length : 1;
  return rows.map((row, at) => (free.includes(at) ? { ...row, share: tidy(share) } : row));
}

/** @template T @param {T[]} rows @param {number} from @param {number} to */
export function moved(rows, from, to) {
  const rest = rows.filter((_, at) => at !== from);
  rest.splice(Math.min(Math.max(to, 0), rest.length), 0, rows[from]);
  return rest;
}
