/**
 * Recipes in files that a user drops: JSON, pictures, saved soups. Only the parts that may hold one are read, however
 * large the file is; what the recipe says is checked by the server.
 */

const RECIPE = "diffusion_soup";
const MOST_TEXT = 16 << 20;
const MOST_HEADER = 100 << 20; // of a safetensors file, as that format limits it
const MOST_CHUNKS = 4096;
const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const CRAWL = /\.(json|txt|png|webp|safetensors|sft)$/i;

/**
 * What a file holds: recipes as they were cooked, or the graph that cooks them; and whether ComfyUI can open a
 * workflow in it.
 * @typedef {{recipes: any[], prompt: any, workflow: boolean}} Found
 */

/** Whether a file of this name may hold a recipe. @param {string} name */
export const mayHoldRecipe = (name) => CRAWL.test(name);

/**
 * The recipes in a file; null where there are none, or where the file is not as it should be.
 * @param {File} file
 * @returns {Promise<Found | null>}
 */
export async function readRecipes(file) {
  const kind = file.name.toLowerCase().split(".").pop();
  try {
    if (kind === "png") return found(await pngTexts(file));
    if (kind === "webp") return found(await webpTexts(file));
    if (kind === "safetensors" || kind === "sft") return found(await header(file));
    return file.size > MOST_TEXT ? null : recipeInText(await file.text());
  } catch {
    return null;
  }
}

/**
 * A text that is a recipe; null for anything else.
 * @param {string} text
 * @returns {Found | null}
 */
export function recipeInText(text) {
  if (text.length > MOST_TEXT || !text.includes(`"${RECIPE}"`)) return null;
  const value = parsed(text);
  return value && RECIPE in value ? { recipes: [value], prompt: null, workflow: false } : null;
}

/** @param {Record<string, string>} texts by keyword @returns {Found | null} */
function found(texts) {
  const stored = parsed(texts[RECIPE]);
  const recipes = !stored ? [] : RECIPE in stored ? [stored] : Object.values(stored);
  const prompt = recipes.length === 0 && texts.prompt?.includes('"DSoupCook"') ? parsed(texts.prompt) : null;
  const workflow = Boolean(texts.workflow || texts.prompt);
  return recipes.length || prompt ? { recipes, prompt, workflow } : null;
}

/** The JSON object in a text, or null. @param {string | undefined} text */
function parsed(text) {
  try {
    const value = JSON.parse(text ?? "null");
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

/** @param {Blob} file @param {number} start @param {number} length */
async function view(file, start, length) {
  return new DataView(await file.slice(start, start + length).arrayBuffer());
}

/** @param {DataView<ArrayBuffer>} bytes @param {number} start @param {number} end @param {string} [encoding] */
function text(bytes, start, end, encoding = "utf-8") {
  return new TextDecoder(encoding).decode(new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start));
}

// -- saved soups ---------------------------------------------------------------------------------

/** The metadata in the header of a safetensors file. @param {File} file @returns {Promise<Record<string, string>>} */
async function header(file) {
  const length = Number((await view(file, 0, 8)).getBigUint64(0, true));
  if (length > MOST_HEADER || length + 8 > file.size) return {};
  const metadata = parsed(await file.slice(8, 8 + length).text())?.__metadata__;
  return metadata !== null && typeof metadata === "object" ? metadata : {};
}

// -- pictures ------------------------------------------------------------------------------------

/** The text chunks of a PNG that count. @param {File} file @returns {Promise<Record<string, string>>} */
async function pngTexts(file) {
  /** @type {Record<string, string>} */
  const texts = {};
  const start = await view(file, 0, 8);
  if (!PNG.every((byte, at) => start.getUint8(at) === byte)) return texts;
  for (let at = 8, count = 0; at + 12 <= file.size && count < MOST_CHUNKS; count++) {
    const head = await view(file, at, 8);
    const [length, kind] = [head.getUint32(0), text(head, 4, 8, "latin1")];
    if (kind === "IEND" || at + 8 + length > file.size) break;
    if (["tEXt", "zTXt", "iTXt"].includes(kind) && length <= MOST_TEXT) {
      await chunk(kind, await view(file, at + 8, length), texts);
    }
    at += length + 12;
  }
  return texts;
}

/** @param {string} kind @param {DataView<ArrayBuffer>} bytes @param {Record<string, string>} texts */
async function chunk(kind, bytes, texts) {
  let at = zero(bytes, 0);
  const keyword = text(bytes, 0, at, "latin1");
  if (![RECIPE, "prompt", "workflow"].includes(keyword)) return;
  at += 1;
  let packed = kind === "zTXt";
  if (packed) at += 1;
  if (kind === "iTXt") {
    packed = bytes.getUint8(at) === 1;
    at = zero(bytes, zero(bytes, at + 2) + 1) + 1;
  }
  const encoding = kind === "iTXt" ? "utf-8" : "latin1";
  texts[keyword] = packed ? await unpacked(bytes, at, encoding) : text(bytes, at, bytes.byteLength, encoding);
}

/** Where the next zero byte is. @param {DataView<ArrayBuffer>} bytes @param {number} at */
function zero(bytes, at) {
  while (at < bytes.byteLength && bytes.getUint8(at) !== 0) at++;
  return at;
}

/** @param {DataView<ArrayBuffer>} bytes @param {number} at @param {string} encoding */
async function unpacked(bytes, at, encoding) {
  const packed = new Blob([new Uint8Array(bytes.buffer, bytes.byteOffset + at)]);
  const reader = packed.stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  const decoder = new TextDecoder(encoding);
  let result = "";
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    result += decoder.decode(piece.value, { stream: true });
    if (result.length > MOST_TEXT) throw new Error("a small picture holds a huge text");
  }
  return result;
}

/** ComfyUI's entries in the EXIF of a WebP, each as "keyword:json". @param {File} file */
async function webpTexts(file) {
  /** @type {Record<string, string>} */
  const texts = {};
  const start = await view(file, 0, 12);
  if (text(start, 0, 4) !== "RIFF" || text(start, 8, 12) !== "WEBP") return texts;
  for (let at = 12, count = 0; at + 8 <= file.size && count < MOST_CHUNKS; count++) {
    const head = await view(file, at, 8);
    const length = head.getUint32(4, true);
    if (text(head, 0, 4, "latin1") === "EXIF" && length <= MOST_TEXT) exif(await view(file, at + 8, length), texts);
    at += 8 + length + (length % 2);
  }
  return texts;
}

/** @param {DataView<ArrayBuffer>} bytes @param {Record<string, string>} texts */
function exif(bytes, texts) {
  const base = text(bytes, 0, 4, "latin1") === "Exif" ? 6 : 0;
  const little = text(bytes, base, base + 2) === "II";
  const table = base + bytes.getUint32(base + 4, little);
  for (let at = 0; at < bytes.getUint16(table, little); at++) {
    const entry = table + 2 + at * 12;
    if (bytes.getUint16(entry + 2, little) !== 2) continue; // no text
    const [length, place] = [bytes.getUint32(entry + 4, little), base + bytes.getUint32(entry + 8, little)];
    if (length <= 4 || place + length > bytes.byteLength) continue;
    const value = text(bytes, place, place + length).replace(/\0+$/, "");
    const colon = value.indexOf(":");
    texts[value.slice(0, colon).toLowerCase()] = value.slice(colon + 1);
  }
}
