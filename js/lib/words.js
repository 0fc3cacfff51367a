/**
 * The editors in the user's language: what ComfyUI does for nodes by the folder `locales`, here for texts of our own.
 *
 * English is written where it is said, `word("{0} of {1} bars", 3, 26)`, and is what shows where there is no
 * translation. `python -m demo.locales` finds these calls and lists what `js/words/*.json` lack.
 */

export const LANGUAGES = ["zh", "ja", "ru"];

/** @type {Record<string, string>} */
let table = {};

/**
 * A text in the user's language, with values in place of {0}, {1} and so on.
 * Say it while an element is made or changed; while modules are loaded the language is not known yet.
 * @param {string} english in double quotes, so that it is found
 * @param {...unknown} values
 */
export function word(english, ...values) {
  const text = table[english] || english;
  return text.replace(/\{(\d+)\}/g, (hole, at) => (at in values ? String(values[at]) : hole));
}

/**
 * Speak a language from now on; English where it is not to be had.
 * @param {string} language as the setting Comfy.Locale has it
 * @param {(url: URL) => Promise<{ok: boolean, json: () => Promise<any>}>} fetch
 */
export async function speak(language, fetch) {
  table = {};
  if (!LANGUAGES.includes(language)) return;
  try {
    const response = await fetch(new URL(`../words/${language}.json`, import.meta.url));
    if (response.ok) table = await response.json();
  } catch {
    // no translation, no harm
  }
}
