/**
 * The Panorama script's editor is put into txt2img and img2img as soon as its places are there; the rest are modules.
 *
 * A1111 and Forge load this file as a plain script. Without it the script has its text field.
 */
(() => {
  const here = new URL("./", document.currentScript.src);
  // Fetched first, so that after an update no module comes old out of the browser's cache.
  const MODULES = [
    ...["panorama", "panorama_fields", "panorama_graph", "panorama_text"].map((name) => `dsoup/${name}.js`),
    ...["elements", "nodes", "words", ...["chain", "editor", "edits", "geometry", "heat", "holes", "labels", "look",
      "panel", "scene", "snap", "view", "weights"].map((name) => `region_${name}`)]
      .map((name) => `../js/lib/${name}.js`),
  ];
  let opened = null;

  async function load() {
    const urls = MODULES.map((name) => new URL(name, here).href);
    await Promise.allSettled(urls.map((url) => fetch(url, { cache: "no-cache" })));
    return import(urls[0]);
  }

  function look() {
    for (const place of document.querySelectorAll(".dsoup-panorama-place:not([data-open])")) {
      place.dataset.open = "";
      opened ??= load();
      opened.then(({ open }) => open(place)).catch((error) => console.error("Diffusion Soup:", error));
    }
  }
  new MutationObserver(look).observe(document, { childList: true, subtree: true });
})();
