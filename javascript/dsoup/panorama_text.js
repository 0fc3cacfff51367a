/** A panorama's text as values and back; the server's is the word that counts, this one is for the editor. */

export const TILING = { tile_width: 1024, tile_height: 1024, overlap_x: 256, overlap_y: 256 };
export const COUNTING = {
  weights: "gaussian", mask_weight: 1, feather: 64, start: 0, end: 1, cfg: 0, negative: "", style: "",
};
export const CELLS = { rows: 1, columns: 1, overlap_x: 128, overlap_y: 128, prompts: "" };

/**
 * @param {string} text JSON, or lines of cells
 * @param {{width: number, height: number}} size of the canvas
 * @returns {any} null where it cannot be read
 */
export function fromText(text, size) {
  if (!/^\s*[[{]/.test(text)) return fromCells(text, size);
  try {
    const values = JSON.parse(text);
    const found = Array.isArray(values) ? { regions: values } : values;
    return Array.isArray(found.regions ?? []) ? found : null;
  } catch {
    return null;
  }
}

/** @param {string} text @param {{width: number, height: number}} size */
function fromCells(text, size) {
  const rows = text.split(/\r\n|\n|\r/).filter((line) => line.trim()).map(split);
  if (!rows.length) return { regions: [] };
  if (rows.some((row) => row.length !== rows[0].length)) return null;
  const shared = (/** @type {number} */ side, /** @type {number} */ count) =>
    Math.min(128, Math.floor(Math.floor(Math.floor(side / count) / 2) / 8) * 8);
  return { regions: [{ grid: {
    rows: rows.length, columns: rows[0].length, overlap_x: shared(size.width, rows[0].length),
    overlap_y: shared(size.height, rows.length), prompts: rows.flat().join("\n"),
  } }] };
}

/** The cells of a line; the | of [a|b] belongs to the prompt. @param {string} line */
function split(line) {
  const cells = [""];
  let depth = 0;
  for (const sign of line) {
    depth = Math.max(depth + (sign === "[" ? 1 : sign === "]" ? -1 : 0), 0);
    if (sign === "|" && !depth) cells.push("");
    else cells[cells.length - 1] += sign;
  }
  return cells.map((cell) => cell.trim());
}

/** The overlaps that tiles have unless told otherwise. @param {any} values */
export const usualOverlap = (values) => Object.fromEntries([["x", "width"], ["y", "height"]].map(([axis, side]) => {
  const tile = values[`tile_${side}`] ?? TILING.tile_width;
  return [`overlap_${axis}`, tile > 0 ? Math.floor(tile / 4 / 8) * 8 : TILING.overlap_x];
}));

/** @param {any} values @returns {string} JSON without what goes without saying */
export function toText(values) {
  const { wrap, regions, tiles_at_once: together, ...tiling } = values;
  const usual = /** @type {Record<string, any>} */ ({ ...TILING, ...usualOverlap(tiling) });
  const told = Object.entries(tiling).filter(([key, value]) => value !== usual[key]);
  return JSON.stringify({
    panorama: 1, ...(wrap ? { wrap } : {}), ...Object.fromEntries(told.filter(([key]) => key in TILING)),
    ...(together ? { tiles_at_once: together } : {}), regions,
  });
}

/** A style's text, "ink" or "ink 0.5, oil 0.5", as in the document. @param {string} text */
export function styleOf(text) {
  const parts = text.split(",").map((part) => part.trim()).filter(Boolean);
  const shares = parts.map((part) => /^(.*\S)\s+(\d*\.?\d+)$/.exec(part) ?? ["", part, "1"]);
  return Object.fromEntries(shares.map(([, name, share]) => [name, Number(share)]));
}

/** @param {any} style */
export const styleText = (style) => (typeof style === "string" ? style
  : Object.entries(style ?? {}).map(([name, share]) => (share === 1 ? name : `${name} ${share}`)).join(", "));
