/** The picture beneath the regions: how much they count, in colours that the colour-blind can tell apart. */
import { GRID } from "./region_geometry.js";
import { sharesOf } from "./region_weights.js";
import { word } from "./words.js";

/** @typedef {import("./region_scene.js").Scene} Scene */
/** @typedef {"none" | "who" | "mix" | "share"} Heat */

/** Colours of regions (Okabe and Ito 2008), the same as in the plan of Panorama. */
export const PALETTE = ["230 159 0", "86 180 233", "0 158 115", "240 228 66", "0 114 178", "213 94 0", "204 121 167",
  "170 170 170"];
const COLOURS = PALETTE.map((colour) => colour.split(" ").map(Number));
/** From nothing to all, and from one region to many: dark to bright. */
const SHARE = [[0, 32, 77], [58, 76, 107], [123, 122, 119], [187, 173, 108], [255, 233, 69]];
const MIX = [[13, 15, 31], [204, 64, 51], [255, 242, 153]];
const MOST = 32768; // places that are painted; larger canvases in coarser steps

/** The colour of a region by its number. @param {number} number */
export const colourOf = (number) => PALETTE[(number - 1) % PALETTE.length];

/** What the picture can show: a name of it, and what it says. @returns {Record<Heat, [string, string]>} */
export const legends = () => ({
  none: [word("Outlines"), word("Regions as rectangles; where they overlap, their colours lie on each other")],
  who: [word("Who counts"), word("Each region's colour by how much it counts, as in the plan")],
  mix: [word("Where they mix"), word("Dark: one region alone. Bright: several count alike")],
  share: [word("Share of selected"), word("How much the selected region counts: dark blue 0%, yellow 100%")],
});

/**
 * @param {HTMLCanvasElement} paper
 * @param {Scene} scene
 * @param {Heat} heat
 * @param {string | null} selected
 */
export function paint(paper, { canvas, entries }, heat, selected) {
  if (!canvas || heat === "none") {
    paper.width = paper.height = 1;
    return;
  }
  const placed = /** @type {any[]} */ (entries.filter(({ box, trouble }) => box && !trouble));
  const step = Math.max(1, Math.ceil(Math.sqrt((canvas.width * canvas.height) / GRID ** 2 / MOST)));
  const { width, height, shares } = sharesOf(canvas, placed, step);
  if (paper.width !== width || paper.height !== height) Object.assign(paper, { width, height });
  const context = /** @type {CanvasRenderingContext2D} */ (paper.getContext("2d"));
  const image = context.createImageData(width, height);
  const { data } = image;
  if (heat === "who") colours(data, shares, placed.map(({ number }) => COLOURS[(number - 1) % COLOURS.length]));
  else ramp(data, ...(heat === "share" ? alone(shares[placed.findIndex(({ key }) => key === selected)], width * height)
    : mixed(shares, width * height)));
  for (let at = 3; at < data.length; at += 4) data[at] = 255;
  context.putImageData(image, 0, 0);
}

/** @typedef {import("./region_weights.js").Spread} Spread */

/** @param {Uint8ClampedArray} data @param {Spread[]} shares @param {number[][]} of the colour of each */
function colours(data, shares, of) {
  for (const [index, { places, values }] of shares.entries()) {
    const [red, green, blue] = of[index];
    for (let at = 0; at < places.length; at += 1) {
      const place = places[at] * 4;
      data[place] += red * values[at];
      data[place + 1] += green * values[at];
      data[place + 2] += blue * values[at];
    }
  }
}

/** @param {Spread | undefined} share @param {number} size @returns {[Float32Array, number[][]]} */
function alone(share, size) {
  const level = new Float32Array(size);
  share?.places.forEach((place, at) => { level[place] = share.values[at]; });
  return [level, SHARE];
}

/**
 * How many regions count at a place: 1 / Σ shares², from 1 to 4 and more.
 * @param {Spread[]} shares
 * @param {number} size
 * @returns {[Float32Array, number[][]]}
 */
function mixed(shares, size) {
  const squares = new Float32Array(size);
  for (const { places, values } of shares) {
    for (let at = 0; at < places.length; at += 1) squares[places[at]] += values[at] ** 2;
  }
  return [squares.map((square) => (square ? (1 / square - 1) / 3 : 0)), MIX];
}

/** @param {Uint8ClampedArray} data @param {Float32Array} level from 0 to 1 @param {number[][]} stops */
function ramp(data, level, stops) {
  for (let at = 0; at < level.length; at += 1) {
    const along = Math.min(Math.max(level[at], 0), 1) * (stops.length - 1);
    const from = Math.min(Math.floor(along), stops.length - 2);
    for (let each = 0; each < 3; each += 1) {
      data[at * 4 + each] = stops[from][each] + (stops[from + 1][each] - stops[from][each]) * (along - from);
    }
  }
}
