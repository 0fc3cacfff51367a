/**
 * The Soup tab's editor is put into the page as soon as its place is there; the rest are modules.
 *
 * A1111 and Forge load this file as a plain script. Without it the tab has plain fields.
 */
(() => {
  const here = new URL("./", document.currentScript.src);
  // Fetched first, so that after an update no module comes old out of the browser's cache.
  const MODULES = [
    ...["app", "ask", "blocks", "cook", "draft", "fields", "log", "picker", "recipe", "row", "settings", "stack",
      "table", "taste"].map((name) => `dsoup/${name}.js`),
    ...["block_bars", "block_editor", "block_state", "block_tables", "block_text", "block_tools", "elements",
      "nodes", "words"].map((name) => `../js/lib/${name}.js`),
  ];
  let app = null;

  async function start(place) {
    const urls = MODULES.map((name) => new URL(name, here).href);
    await Promise.allSettled(urls.map((url) => fetch(url, { cache: "no-cache" })));
    app ??= (await import(urls[0])).open(window.dsoup);
    if (place.isConnected && !place.childElementCount) app.mount(place);
  }

  window.dsoup = { take: () => "{}" };
  let starting = null;
  function look() {
    const place = document.getElementById("dsoup_editor");
    if (!place || place.childElementCount || starting) return;
    starting = start(place).catch((error) => console.error("Diffusion Soup:", error)).finally(() => {
      starting = place.childElementCount ? null : false;
    });
  }
  new MutationObserver(() => starting === false || look()).observe(document, { childList: true, subtree: true });
})();
