"""Recipes dropped and pasted on a graph, and copied from it, in a real browser, in both renderings of nodes.

What is built is compared by the engine with what was dropped.
"""

import base64
import dataclasses
import io
import json
import os
import struct

import pytest

from diffusion_soup import Recipe
from diffusion_soup.graph import recipes_of_prompt

from .pages import CHROMIUM, TRACKER, GraphPage

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

TOASTS = ".p-toast, .sr-only"  # what newer frontends say aloud
EMBER, LAGOON, PLAIN = ({"kind": "checkpoint", "file": f"{name}.safetensors"} for name in ("ember", "lagoon", "plain"))
MARKUP = "<img src=x onerror=window.hacked=1>.safetensors"
SIMPLE = {"diffusion_soup": 1, "ingredients": [EMBER, {**LAGOON, "weight": 0.5}]}
LATENT = {"9": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 72, "batch_size": 1}}}
SAID = {
    "simple": SIMPLE,
    "blocks": {**SIMPLE, "ingredients": [{**EMBER, "blocks": {"IN01": 0.25, "OUT02": 0.123456789012, "BASE": 0}},
                                         {**LAGOON, "weight": -0.07, "blocks": {"M00": -1e-7}}]},
    "everything": {"diffusion_soup": 1, "method": "task_arithmetic", "parameters": {"scale": 0.7654321},
                   "normalise": False, "seed": 77, "base": PLAIN, "text_encoder": "base", "vae": "ember.safetensors",
                   "dtype": "bfloat16", "ingredients": [
                       {**EMBER, "elements": ["IN01-IN02:attn1:0.3", "NOT IN00:NOT norm:1"], "weight": 1 / 3},
                       {"kind": "lora", "file": "styles/ink.safetensors", "strength": 0.85, "weight": 0.111}]},
    "no file is here": {"diffusion_soup": 1, "vae": "none", "text_encoder": MARKUP,
                        "ingredients": [{"file": MARKUP}, *[{"file": "sub/b.safetensors"}] * 2]},
}
TEXT_ONLY = {
    "equal to the share": {**SIMPLE, "ingredients": [{**EMBER, "blocks": {"IN01": 1.0}}, LAGOON]},
    "beyond the widget": {**SIMPLE, "ingredients": [{**EMBER, "weight": 50}, LAGOON]},
}


class Page(GraphPage):
    """One page with a graph in it."""

    def empty(self):
        self.show(LATENT)
        self.js("app.graph.clear()")
        self.check()

    def drop(self, name, data, at=(600, 420)):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        hit = self.js("""([name, data, x, y]) => { const files = new DataTransfer();
            const type = name.endsWith('.png') ? 'image/png' : name.endsWith('.json') ? 'application/json' : '';
            files.items.add(new File([Uint8Array.from(atob(data), c => c.charCodeAt(0))], name, { type }));
            const target = document.elementFromPoint(x, y);
            for (const kind of ['dragenter', 'dragover', 'drop']) target.dispatchEvent(new DragEvent(kind,
                { dataTransfer: files, bubbles: true, cancelable: true, clientX: x, clientY: y }));
            return target.id || target.closest('[data-node-id]')?.dataset.nodeId || target.outerHTML; }""",
                      [name, base64.b64encode(data).decode(), *at])
        assert len(hit) < 20, f"something lies over the graph: {hit[:300]}"

    @property
    def dialog(self):
        return self.page.locator("dialog.dsoup-recipe")

    def choose(self, label):
        self.dialog.get_by_role("button", name=label).click()

    def count(self, number):
        self.wait("number => app.graph.nodes.length === number", number)

    def kinds(self):
        return sorted(self.js("app.graph.nodes.map(node => node.type)"))

    def shot(self, name):
        if folder := os.environ.get("SCREENSHOTS"):
            self.page.wait_for_timeout(600)
            self.page.screenshot(path=f"{folder}/{name}_{'vue' if self.vue else 'litegraph'}.png")

    def clipboard(self):
        for _ in range(100):
            if "diffusion_soup" in (text := self.js("navigator.clipboard.readText()")):
                return Recipe.from_json(text)
            self.page.wait_for_timeout(100)
        pytest.fail("nothing was copied")


@pytest.fixture
def page(rendering):
    rendering.errors.clear()
    rendering.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    rendering.empty()
    yield rendering
    if rendering.dialog.count():
        rendering.press("Escape")
    assert rendering.errors == [] and rendering.js("window.hacked") is None


def plain(recipe):
    """A recipe without hashes, as a prompt tells it."""
    return dataclasses.replace(
        recipe, ingredients=tuple(dataclasses.replace(each, sha256=None) for each in recipe.ingredients),
        base=recipe.base and dataclasses.replace(recipe.base, sha256=None))


def png(**texts):
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info, data = PngInfo(), io.BytesIO()
    for keyword, value in texts.items():
        info.add_text(keyword, json.dumps(value))
    Image.new("RGB", (64, 64), "teal").save(data, "png", pnginfo=info)
    return data.getvalue()


def saved_soup(**metadata):
    header = json.dumps({"__metadata__": metadata}).encode()
    return struct.pack("<Q", len(header)) + header


@pytest.mark.parametrize("name", SAID)
def test_the_nodes_say_the_same_recipe(page, name):
    steps = page.steps
    page.drop("soup.json", SAID[name])
    page.dialog.wait_for()
    page.shot(f"recipe_dialog_{name.replace(' ', '_')}")
    page.press("Enter")
    page.wait(f"steps => {TRACKER}.undoQueue.length > steps", steps)
    recipe = Recipe.from_dict(SAID[name])
    page.count(len(recipe.ingredients) + 1 + sum(bool(each.blocks) for each in recipe.ingredients))
    page.page.locator(TOASTS).get_by_text("Soup of").first.wait_for(state="attached")
    page.shot(f"recipe_built_{name.replace(' ', '_')}")
    (built,) = recipes_of_prompt(page.prompt()).values()
    assert built == recipe and built.hash == recipe.hash
    first = page.js("app.graph.nodes.find(node => node.type === 'DSoupIngredient').widgets[0].value")
    assert first == recipe.ingredients[0].file
    page.settle()
    page.check()
    assert page.steps == steps + 1 or page.pinned and page.vue
    page.undo_until(nodes=0)
    page.redo()
    assert list(recipes_of_prompt(page.prompt()).values()) == [recipe]


@pytest.mark.parametrize("name", TEXT_ONLY)
def test_what_nodes_cannot_say_is_built_as_text(page, name):
    page.drop("soup.txt", TEXT_ONLY[name])
    page.choose("Build its nodes here")
    page.count(2)
    assert page.kinds() == ["DSoupCook", "DSoupRecipe"]
    (built,) = recipes_of_prompt(page.prompt()).values()
    assert built == Recipe.from_dict(TEXT_ONLY[name])


def test_the_dialog(page):
    page.drop("soup.json", SAID["no file is here"])
    page.dialog.wait_for()
    assert page.dialog.get_by_role("heading").inner_text() == f"Soup of {MARKUP[:-12]} and b"
    assert page.dialog.inner_text().count("not found here") == 3 and "33%" in page.dialog.inner_text()
    assert page.js("document.activeElement.textContent") == "Build its nodes here"
    for _ in range(5):
        page.press("Tab")
        assert page.js("document.activeElement === document.body || Boolean(document.activeElement.closest('dialog'))")
    page.press("Delete")  # no shortcut reaches the graph behind
    page.press("Escape")
    page.dialog.wait_for(state="detached")
    assert page.kinds() == []


def test_nodes_are_built_where_the_file_was_dropped(page):
    page.js("app.canvas.ds.scale = 0.5; app.canvas.ds.offset = [300, 100]; app.canvas.setDirty(true, true)")
    page.drop("soup.json", SIMPLE, at=(700, 500))
    page.choose("Build its nodes here")
    page.count(3)
    x, y = page.js("(() => { const box = app.canvas.canvas.getBoundingClientRect();"
                   " return [(700 - box.left) / 0.5 - 300, (500 - box.top) / 0.5 - 100]; })()")
    assert page.js("[...app.graph.nodes[0].pos]") == [pytest.approx(x, abs=12), pytest.approx(y, abs=12)]


def test_a_picture_with_a_soup(page):
    soups = {"1": SIMPLE, "2": SAID["everything"]}
    page.show(LATENT)
    workflow = page.js("app.graph.serialize()")
    page.empty()
    page.drop("soup.png", png(diffusion_soup=soups, prompt=LATENT, workflow=workflow))
    page.dialog.wait_for()
    page.dialog.get_by_label("Which of its soups").select_option("1")
    assert "task arithmetic" in page.dialog.inner_text()
    page.choose("Copy recipe")
    assert page.clipboard() == Recipe.from_dict(SAID["everything"])
    page.drop("soup.png", png(diffusion_soup=soups, prompt=LATENT, workflow=workflow))
    page.choose("Open the workflow")
    page.count(1)
    assert page.kinds() == ["EmptyLatentImage"]


def test_a_picture_that_tells_only_its_graph(page):
    prompt = {"1": {"class_type": "DSoupIngredient", "inputs": {"file": "ember.safetensors", "share": 1.0}},
              "2": {"class_type": "DSoupCook", "inputs": {
                  "ingredients": ["1", 0], "method": "soup", "normalise": True, "base": "none",
                  "text_encoder": "none", "vae": "auto", "dtype": "auto"}}}
    page.drop("soup.png", png(prompt=prompt))
    page.choose("Build its nodes here")
    page.count(2)
    assert recipes_of_prompt(page.prompt()).popitem()[1] == recipes_of_prompt(prompt)["2"]


def test_a_saved_soup(page):
    page.drop("soup.safetensors", saved_soup(diffusion_soup=json.dumps(SIMPLE)))
    page.dialog.wait_for()
    assert page.dialog.get_by_role("button", name="Open the workflow").count() == 0
    page.choose("Build its nodes here")
    page.count(3)


@pytest.mark.parametrize("kind", ["workflow.json", "api.json", "picture.png", "model.safetensors"])
def test_everything_else_opens_as_ever(page, kind):
    page.show(LATENT)
    workflow = page.js("app.graph.serialize()")
    page.empty()
    files = {"workflow.json": workflow, "api.json": LATENT, "picture.png": png(prompt=LATENT, workflow=workflow),
             "model.safetensors": saved_soup(workflow=json.dumps(workflow))}
    page.drop(kind, files[kind])
    page.count(1)
    assert page.kinds() == ["EmptyLatentImage"] and page.dialog.count() == 0


def test_a_node_that_takes_pictures_gets_them(page):
    page.show({"1": {"class_type": "LoadImage", "inputs": {"image": "none.png"}}})
    page.look(1)
    x, y = page.js("(() => { const { left, top } = app.canvas.canvas.getBoundingClientRect();"
                   " return [left + 200, top + 190]; })()")  # 100 right of and 30 below the corner of its body
    page.drop("soup_for_the_node.png", png(diffusion_soup={"1": SIMPLE}), at=(x, y))
    page.wait("String(app.graph.nodes[0].widgets[0].value).startsWith('soup_for_the_node')")
    assert page.dialog.count() == 0


def test_who_does_not_want_to_be_asked(page):
    page.show(LATENT)
    workflow = page.js("app.graph.serialize()")
    page.empty()
    page.js("app.extensionManager.setting.set('diffusion_soup.ask_on_drop', false)")
    try:
        page.drop("soup.png", png(diffusion_soup={"1": SIMPLE}, prompt=LATENT, workflow=workflow))
        page.count(1)
        assert page.dialog.count() == 0
    finally:
        page.js("app.extensionManager.setting.set('diffusion_soup.ask_on_drop', true)")


def test_a_wrong_recipe_is_refused_in_a_sentence(page):
    page.drop("soup.json", {**SIMPLE, "surprise": 1})
    page.page.get_by_text("Unknown field 'surprise'").first.wait_for()
    assert page.dialog.count() == 0 and page.kinds() == []


def test_pasting(page):
    page.js("document.activeElement?.blur()")
    page.paste(json.dumps(SIMPLE))
    page.dialog.wait_for()
    page.press("Escape")
    page.dialog.wait_for(state="detached")
    for text in ("a text", json.dumps(LATENT), "{"):
        assert page.js("text => { const data = new DataTransfer(); data.setData('text/plain', text); let seen = false;"
                       " const look = () => { seen = true; }; document.addEventListener('paste', look, { once: true });"
                       " document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true,"
                       " cancelable: true })); return seen; }", text), "it is ComfyUI's"
        assert page.dialog.count() == 0


def cook(page):
    page.drop("soup.json", SAID["everything"])
    page.choose("Build its nodes here")
    page.count(3)
    return page.js("app.graph.nodes.find(node => node.type === 'DSoupCook').id")


def test_copying(page):
    node = cook(page)
    entries = page.js("id => app.canvas.getNodeMenuOptions(app.graph.getNodeById(id)).filter(item => item?.content === "
                      "'Copy recipe').length", node)
    assert entries == 1
    page.js("navigator.clipboard.writeText('')")
    page.js("id => app.canvas.getNodeMenuOptions(app.graph.getNodeById(id)).find(item => item?.content === "
            "'Copy recipe').callback()", node)
    assert plain(page.clipboard()) == Recipe.from_dict(SAID["everything"])
    page.js("id => { app.graph.getNodeById(id).mode = 4; app.canvas.selectItems([app.graph.getNodeById(id)]);"
            " app.extensionManager.command.execute('diffusion_soup.copy_recipe'); }", node)
    page.page.get_by_text("is muted, bypassed or not in the graph").first.wait_for()


def test_copying_out_of_a_subgraph(page):
    cook(page)
    page.js("() => { app.canvas.selectItems([...app.graph.nodes]); app.graph.convertToSubgraph("
            "app.canvas.selectedItems); }")
    page.count(1)
    page.settle()
    page.js("navigator.clipboard.writeText('')")
    page.js("() => { const node = app.graph.nodes[0].subgraph.nodes.find(each => each.type === 'DSoupCook');"
            " app.canvas.getNodeMenuOptions(node).find(item => item?.content === 'Copy recipe').callback(); }")
    assert plain(page.clipboard()) == Recipe.from_dict(SAID["everything"])
