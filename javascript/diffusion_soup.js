/**
 * Our editors are put into the page as soon as their places are there; the rest are modules.
 *
 * A1111 and Forge load this file as a plain script. Without it there are plain fields.
 */
(() => {
  const here = new URL("./", document.currentScript.src);
  // A place in the page, and the module that fills it.
  const EDITORS = { "#dsoup_editor": "app", ".dsoup_styles_place": "styles", ".dsoup-panorama-place": "panorama" };
  // Fetched first, so that after an update no module comes old out of the browser's cache.
  const MODULES = [
    ...["app", "ask", "blocks", "cook", "draft", "fields", "log", "node", "panorama", "panorama_fields",
      "panorama_graph", "panorama_text", "picker", "recipe", "row", "select", "settings", "stack", "styles", "table",
      "taste"].map((name) => `dsoup/${name}.js`),
    ...["block_bars", "block_editor", "block_state", "block_tables", "block_text", "block_tools", "elements", "nodes",
      "region_chain", "region_editor", "region_edits", "region_geometry", "region_heat", "region_holes",
      "region_labels", "region_large", "region_look", "region_panel", "region_saying", "region_scene", "region_snap",
      "region_steps", "region_tools", "region_view", "region_weights", "style_console", "style_corners",
      "style_fader", "style_mix_list", "style_mixes", "style_names", "style_pad", "style_shapes", "style_sliders",
      "style_state", "style_text", "style_tools", "words"].map((name) => `../js/lib/${name}.js`),
  ];
  const open = {};
  const tried = new WeakSet(); // places that are being filled, or could not be
  let fetched = null;

  async function start(name, place) {
    fetched ??= Promise.allSettled(MODULES.map((path) => fetch(new URL(path, here).href, { cache: "no-cache" })));
    await fetched;
    open[name] ??= (await import(new URL(`dsoup/${name}.js`, here).href)).open(window.dsoup);
    if (place.isConnected && !place.childElementCount) open[name].mount(place);
    if (place.childElementCount) tried.delete(place);
  }

  window.dsoup = { take: () => "{}" };
  function look() {
    for (const [selector, name] of Object.entries(EDITORS)) {
      for (const place of document.querySelectorAll(selector)) {
        if (place.childElementCount || tried.has(place)) continue;
        tried.add(place);
        start(name, place).catch((error) => console.error("Diffusion Soup:", error));
      }
    }
  }
  new MutationObserver(look).observe(document, { childList: true, subtree: true });
})();
