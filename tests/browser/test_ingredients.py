"""The table of ingredients on Cook Soup in a real browser, in both renderings of nodes.

What the rows show is compared with what the engine makes of the prompt that the browser would send.
"""

import json
import os
import time

import pytest

from diffusion_soup import Ingredient, Recipe, graph

from .. import models
from .pages import CHROMIUM, GraphPage

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

SETTINGS = {"method": "soup", "normalise": True, "base": "plain.safetensors", "text_encoder": "none", "vae": "auto",
            "dtype": "auto", "scale": 1.0, "rounding_seed": 0, "device": "auto"}
COOK = 4
CHAIN = [("ember", 1.0), ("deep/tuned", 2.0), ("lagoon", 1.0)]


@pytest.fixture(scope="module", autouse=True)
def shelf(server):
    """A fine-tune of "plain" in a folder, an SDXL and a LoRA, as long as these tests run."""
    base, other = models.sd15(1), models.sd15(2)
    tuned = {key: (value.float() + 0.05 * other[key].float()).to(value.dtype) for key, value in base.items()}
    paths = {"checkpoints/deep/tuned": tuned, "checkpoints/xl": models.sdxl(1), "loras/ink": models.lora(1)}
    for name, state in paths.items():
        path = server.base / f"models/{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        models.save(path, state)
    yield
    for name in paths:
        (server.base / f"models/{name}.safetensors").unlink()


def chained(rows, **settings):
    """A prompt with a chain of ingredients, a Cook Soup, and its recipe as text."""
    prompt, before = {}, {}
    for number, (name, share) in enumerate(rows, 1):
        lora = {"strength": 0.5} if name == "ink" else {}
        prompt[str(number)] = {"class_type": "DSoupLoRAIngredient" if lora else "DSoupIngredient",
                               "inputs": {"file": f"{name}.safetensors", "share": share, **lora, "elements": "",
                                          **before}}
        before = {"ingredients": [str(number), 0]}
    last = len(rows) + 1
    prompt[str(last)] = {"class_type": "DSoupCook", "inputs": {**SETTINGS, **settings, **before}}
    prompt[str(last + 1)] = {"class_type": "DSoupRecipe", "inputs": {"recipe": [str(last), 3]}}
    prompt[str(last + 2)] = {"class_type": "PreviewAny", "inputs": {"source": [str(last + 1), 2]}}
    return prompt


class Page(GraphPage):
    """One page with a chain in it, looking at the table."""

    def load(self, rows=CHAIN, **settings):
        self.cook = len(rows) + 1
        self.show(chained(rows, **settings))
        self.table()

    def table(self, scale=1):
        """Bring the table into view."""
        self.settle()
        self.js("""([id, scale]) => { const node = app.graph.getNodeById(id); const { ds } = app.canvas;
            ds.scale = scale;
            const top = node.pos[1] + Math.max(node.size[1] - 750 / scale, -60);
            ds.offset = [120 / scale - node.pos[0], 80 / scale - top]; app.canvas.setDirty(true, true); }""",
                [self.cook, scale])
        self.page.locator(".dsoup-ingredients:visible").first.wait_for()
        self.settle()

    def rows(self):
        return self.page.locator(".dsoup-ing-row:visible")

    def row(self, at):
        return self.rows().nth(at)

    def names(self):
        return self.js("[...document.querySelectorAll('.dsoup-ing-name')].filter(e => e.offsetParent)"
                       ".map(e => e.textContent)")

    def values(self):
        return self.js("[...document.querySelectorAll('.dsoup-ing-number')].filter(e => e.offsetParent)"
                       ".map(e => e.value)")

    def slider(self, name):
        return self.page.get_by_role("slider", name=f"Share of {name}", exact=True)

    def act(self, at, name):
        self.row(at).locator(f"button[aria-label^='{name}']").click()
        self.settle()

    def type(self, at, text):
        self.row(at).locator(".dsoup-ing-number").fill(text)
        self.press("Enter")
        self.settle()

    def told(self):
        return self.page.locator(".dsoup-ingredients:visible .dsoup-say").inner_text()

    def shares(self):
        return self.js("app.graph.nodes.filter(n => n.widgets?.some(w => w.name === 'share'))"
                       ".map(n => n.widgets.find(w => w.name === 'share').value)")

    def recipe(self):
        return graph.recipes_of_prompt(self.prompt())[str(self.cook)]

    def as_the_engine(self):
        """The percentages of the rows, which must be those of the recipe that would be cooked."""
        shown = [float(value.rstrip("%")) for value in self.values() if value != "off"]
        assert shown == pytest.approx([100 * share for share in self.recipe().shares()], abs=0.06)
        widths = self.js("[...document.querySelectorAll('.dsoup-ing-segment')].filter(e => e.offsetParent)"
                         ".map(e => parseFloat(e.style.width))")
        assert widths == pytest.approx([100 * share for share in self.recipe().shares()], abs=0.01)
        assert sum(widths) == pytest.approx(100, abs=0.001)
        return shown



# -- what is shown -------------------------------------------------------------------------------


@pytest.mark.newest
def test_rows_are_the_chain(page):
    assert page.names() == ["ember", "deep/tuned", "lagoon"]
    assert page.as_the_engine() == [25, 50, 25] and page.values() == ["25%", "50%", "25%"]
    page.wait("() => document.querySelectorAll('.dsoup-ing-badge.stranger').length === 1")
    badges = [page.row(at).locator(".dsoup-ing-badge").inner_text().split()[0] for at in range(3)]
    assert badges == ["no", "fits", "stranger"]
    assert "is not a fine-tune of this base" in page.row(2).locator(".dsoup-ing-badge").get_attribute("title")
    assert page.row(1).locator(".dsoup-ing-facts").inner_text().startswith("SD 1.x · F16 · 78 MB")
    assert page.told() == "Distances are from plain."


def test_what_does_not_fit_is_said_in_its_row(page):
    page.load([("deep/tuned", 1.0), ("xl", 1.0), ("ink", 1.0)])
    page.wait("() => document.querySelectorAll('.dsoup-ing-badge.unfit').length === 1")
    assert "xl.safetensors is SDXL, but plain.safetensors is SD 1.x" in page.row(1).inner_text()
    assert "LoRA ×0.5" in page.row(2).inner_text() and "rank 4" in page.row(2).inner_text()
    page.set("base", "none", page.cook)
    page.wait("() => document.querySelectorAll('.dsoup-ing-badge.unfit').length === 2")
    assert "choose the base it was made for" in page.row(2).inner_text()


def test_details_and_hash(page):
    before = page.js("id => app.graph.getNodeById(id).size[1]", page.cook)
    page.wait("() => document.querySelector('.dsoup-ing-badge.fits')")
    page.row(1).locator(".dsoup-ing-badge").click()
    details = page.row(1).locator(".dsoup-ing-details")
    assert "tuned lies" in details.inner_text() and details.locator(".dsoup-ing-heat span").count() >= 8
    details.locator("button").click()
    page.wait("() => /sha256 [0-9a-f]{64}/.test(document.querySelector('.dsoup-ing-row:nth-child(2)').innerText)")
    page.slider("tuned").focus()
    page.press("Space")
    page.settle()
    assert not details.is_visible()
    assert page.js("id => app.graph.getNodeById(id).size[1]", page.cook) == pytest.approx(before, abs=1)


def test_an_empty_table_begins_a_chain(page):
    page.load([])
    assert "Add the first checkpoint or LoRA" in page.page.locator(".dsoup-ingredients").inner_text()
    add = page.page.get_by_label("Add an ingredient")
    add.select_option("DSoupIngredient deep/tuned.safetensors")
    page.settle()
    add.select_option("DSoupLoRAIngredient ink.safetensors")
    page.settle()
    assert page.names() == ["deep/tuned", "ink"]
    assert [(each.kind, each.file) for each in page.recipe().ingredients] == [
        ("checkpoint", "deep/tuned.safetensors"), ("lora", "ink.safetensors")]
    boxes = page.js("app.graph.nodes.map(n => [n.pos[0], n.pos[1], n.pos[0] + n.size[0], n.pos[1] + n.size[1]])")
    for at, (x, y, right, bottom) in enumerate(boxes):
        assert not any(x < other[2] and other[0] < right and y < other[3] and other[1] < bottom
                       for other in boxes[at + 1:]), "nodes lie over each other"


# -- shares --------------------------------------------------------------------------------------


def test_typing_a_percentage(page):
    page.type(0, "40")
    assert page.as_the_engine() == [40, 40, 20] and sum(page.shares()) == pytest.approx(4)
    page.slider("lagoon").focus()
    page.page.keyboard.type("5")
    page.page.keyboard.type("0 %")
    page.press("Enter")
    assert page.as_the_engine() == [25, 25, 50]
    page.type(0, "half")
    assert page.values() == ["25%", "25%", "50%"], "what is no number changes nothing"


def test_dragging_a_rows_bar(page):
    box = page.slider("ember").bounding_box()
    y = box["y"] + box["height"] / 2
    page.drag((box["x"] + box["width"] / 4, y), (box["x"] + box["width"] * 0.4, y), (box["x"] + box["width"] * 0.7, y))
    page.settle()
    assert page.as_the_engine() == [pytest.approx(70, abs=1), pytest.approx(20, abs=1), pytest.approx(10, abs=1)]


@pytest.mark.newest
def test_dragging_a_divider(page):
    stack = page.page.locator(".dsoup-ing-stack:visible").bounding_box()
    y = stack["y"] + stack["height"] / 2
    page.drag((stack["x"] + stack["width"] * 0.25, y), (stack["x"] + stack["width"] * 0.5, y))
    page.settle()
    assert page.as_the_engine() == [pytest.approx(50, abs=1), pytest.approx(25, abs=1), 25]


@pytest.mark.parametrize("scale", [0.6, 2])
def test_dragging_where_the_canvas_is_zoomed(page, scale):
    page.table(scale)
    box = page.slider("ember").bounding_box()
    y = box["y"] + box["height"] / 2
    page.drag((box["x"] + box["width"] / 4, y), (box["x"] + box["width"] / 2, y))
    page.settle()
    assert page.as_the_engine()[0] == pytest.approx(50, abs=1)


def test_the_keyboard_alone(page):
    page.slider("ember").focus()
    page.press("ArrowRight")
    page.press("PageUp")
    page.press("Shift+ArrowLeft")
    assert page.as_the_engine()[0] == pytest.approx(35.9)
    page.press("ArrowDown")
    assert page.js("document.activeElement.getAttribute('aria-label')") == "Share of tuned"
    page.press("l")
    page.press("ArrowUp")
    page.press("Home")
    page.settle()
    values = page.as_the_engine()
    assert values[0] == 0 and values[1] == pytest.approx(42.7, abs=0.1)
    page.press("m")
    page.settle()
    assert page.values()[0] == "off" and page.js("app.graph.getNodeById(1).mode") == 4


def test_locked_rows_keep_their_percentage(page):
    page.act(1, "Lock")
    page.type(0, "10")
    assert page.as_the_engine() == [10, 50, 40]
    page.type(0, "80")
    assert page.as_the_engine() == [50, 50, 0] and "Locked rows hold 50%" in page.told()
    page.act(2, "Lock")
    page.type(0, "10")
    assert page.as_the_engine() == [50, 50, 0] and "All other rows are locked" in page.told()
    page.slider("tuned").focus()
    page.press("ArrowLeft")
    assert page.as_the_engine() == [50, 50, 0] and "This row is locked" in page.told()
    assert not page.row(1).locator(".dsoup-ing-number").is_editable()


def test_equal(page):
    page.act(1, "Lock")
    page.type(0, "10")
    page.page.get_by_role("button", name="Equal").click()
    page.settle()
    assert page.as_the_engine() == [25, 50, 25]


def test_shares_as_they_are(page):
    page.set("normalise", False, page.cook)
    assert page.values() == ["1", "2", "1"] and "4 in all" in page.told()
    page.type(0, "0.5")
    assert page.shares() == [0.5, 2, 1]
    page.set("normalise", True, page.cook)
    page.as_the_engine()
    page.set("share", -0.5, 1)
    assert page.values() == ["−0.5", "2", "1"] and "negative" in page.told()
    assert page.page.locator(".dsoup-ing-segment.negative:visible").count() == 1
    page.set("share", -4, 1)
    assert "add up to −1" in page.told()


# -- mute, solo, order ---------------------------------------------------------------------------


def test_mute_and_solo(page):
    page.act(0, "Bypass")
    assert page.js("app.graph.getNodeById(1).mode") == 4
    assert [each.name for each in page.recipe().ingredients] == ["tuned", "lagoon"]
    page.as_the_engine()
    page.act(2, "This one alone")
    assert [each.name for each in page.recipe().ingredients] == ["lagoon"] and page.values() == ["off", "off", "100%"]
    page.act(2, "This one alone")
    assert page.js("[1, 2, 3].map(id => app.graph.getNodeById(id).mode)") == [4, 0, 0]
    for at in (1, 2):
        page.act(at, "Bypass")
    assert "nothing to cook" in page.told()


def test_moving_rows(page):
    page.check()
    page.slider("ember").focus()
    page.press("Alt+ArrowDown")
    page.settle()
    assert page.names() == ["deep/tuned", "ember", "lagoon"]
    assert [each.name for each in page.recipe().ingredients] == ["tuned", "ember", "lagoon"]
    assert page.js("document.activeElement.getAttribute('aria-label')") == "Share of ember"
    page.undo()
    assert page.names() == ["ember", "deep/tuned", "lagoon"]
    grip = page.row(2).locator(".dsoup-ing-grip").bounding_box()
    first = page.row(0).bounding_box()
    page.drag((grip["x"] + 5, grip["y"] + 15), (grip["x"] + 8, first["y"] + 30), (grip["x"] + 8, first["y"] + 5))
    page.settle()
    assert page.names() == ["lagoon", "ember", "deep/tuned"]
    assert [each.name for each in page.recipe().ingredients] == ["lagoon", "ember", "tuned"]
    assert page.as_the_engine() == [25, 25, 50]


def test_a_chain_that_another_soup_uses_in_part(page):
    page.js("""() => { const other = LiteGraph.createNode('DSoupCook'); app.graph.add(other);
        app.graph.getNodeById(2).connect(0, other, 0); }""")
    page.settle()
    assert "shared" in page.row(0).inner_text() and "shared" not in page.row(2).inner_text()
    page.page.locator(".dsoup-ingredients").first.get_by_role("slider", name="Share of lagoon").focus()
    page.press("Alt+ArrowUp")
    page.settle()
    assert page.js("app.graph.getNodeById(3).inputs.find(i => i.name === 'ingredients').link !== null")
    assert "uses this chain only in part" in page.page.locator(".dsoup-ingredients .dsoup-say").first.inner_text()


def test_removing_and_undoing(page):
    page.check()
    page.act(1, "Remove")
    assert page.names() == ["ember", "lagoon"] and "Ctrl+Z" in page.told()
    assert [each.name for each in page.recipe().ingredients] == ["ember", "lagoon"]
    page.undo()
    assert page.names() == ["ember", "deep/tuned", "lagoon"]
    page.type(0, "40")
    page.undo()
    assert page.value("share", 1) == 1
    assert page.as_the_engine() == [25, 50, 25]
    page.act(0, "Bypass")
    page.undo()
    assert page.js("app.graph.getNodeById(1).mode") == 0


def test_a_name_leads_to_its_node(page):
    page.row(1).locator(".dsoup-ing-name").click()
    page.settle()
    assert page.js("Object.keys(app.canvas.selected_nodes).map(Number)") == [2]


# -- what the browser cannot follow --------------------------------------------------------------


RECIPE = Recipe((Ingredient("lagoon.safetensors", weight=2.0), Ingredient("deep/tuned.safetensors", weight=1.0)))


def test_a_recipe_before_the_chain(page):
    prompt = chained([("ember", 1.0)])
    prompt["7"] = {"class_type": "DSoupRecipe", "inputs": {"json": RECIPE.to_json(), "picture": "none", "soup": "none"}}
    prompt["1"]["inputs"]["ingredients"] = ["7", 1]
    page.cook = 2
    page.show(prompt)
    page.table()
    page.wait("() => document.querySelectorAll('.dsoup-ing-row.foreign').length === 2")
    assert page.names() == ["lagoon", "deep/tuned", "ember"] and page.as_the_engine() == [50, 25, 25]
    page.type(2, "60")
    assert "All other rows are locked" in page.told()


def test_a_recipe_instead_of_a_chain(page):
    prompt = chained([])
    prompt["7"] = {"class_type": "DSoupRecipe", "inputs": {"json": RECIPE.to_json(), "picture": "none", "soup": "none"}}
    prompt["1"]["inputs"]["recipe"] = ["7", 0]
    page.cook = 1
    page.show(prompt)
    page.table()
    page.wait("() => document.querySelectorAll('.dsoup-ing-row.foreign').length === 2")
    assert page.names() == ["lagoon", "deep/tuned"]


def test_a_share_through_a_link(page):
    page.js("""() => { const number = LiteGraph.createNode('PrimitiveFloat'); app.graph.add(number);
        const node = app.graph.getNodeById(1);
        number.connect(0, node, node.inputs.findIndex(input => input.name === 'share')); }""")
    page.settle()
    page.settle()
    assert page.values() == ["?", "2", "1"]
    assert page.row(0).locator(".dsoup-ing-number").is_disabled()
    page.type(2, "3")
    assert page.shares()[1:] == [2, 3]


# -- saving --------------------------------------------------------------------------------------


def test_load_and_save_give_the_same(page):
    page.act(1, "Lock")
    page.type(0, "12.5")
    page.act(2, "This one alone")
    workflow, prompt, sizes = page.save(), page.prompt(), []
    cook = next(node for node in json.loads(workflow)["nodes"] if node["type"] == "DSoupCook")
    assert cook["widgets_values"] == list(SETTINGS.values()), "the table saves nothing of its own"
    for _ in range(2):
        page.js("app.graph.clear()")
        page.open(workflow)
        page.table()
        assert page.prompt() == prompt
        sizes.append(page.js("id => [...app.graph.getNodeById(id).size]", page.cook))
        workflow = page.save()
    assert sizes[0] == pytest.approx(sizes[1], abs=1), "it does not grow with each load"
    assert page.row(1).locator("button[aria-label^=Lock]").get_attribute("aria-pressed") == "true"
    page.act(2, "This one alone")
    values = page.as_the_engine()
    assert values[0] == 12.5


@pytest.mark.newest
def test_the_soup_is_what_the_table_says(page, server):
    page.type(0, "30")
    page.act(2, "Bypass")
    shown = page.as_the_engine()
    result = server.client.run(page.prompt()).succeeded()
    recipe = Recipe.from_json(result.outputs[str(page.cook + 2)]["text"][0])
    assert [each.name for each in recipe.ingredients] == ["ember", "tuned"]
    assert [100 * share for share in recipe.shares()] == pytest.approx(shown, abs=0.06)
    page.js("app.queuePrompt(0, 1)")
    page.wait("hash => document.querySelector('.dsoup-ing-facts').textContent.includes(hash)",
              recipe.ingredients[0].sha256[:10])


def test_without_the_routes_there_are_rows(page):
    page.page.route("**/diffusion_soup/**", lambda route: route.abort() if "/api/" in route.request.url
                    else route.continue_())
    try:
        page.js("app.refreshComboInNodes()")
        page.load()
        assert page.names() == ["ember", "deep/tuned", "lagoon"]
        page.type(0, "40")
        assert page.as_the_engine() == [40, 40, 20]
    finally:
        page.page.unroute("**/diffusion_soup/**")
        page.js("app.refreshComboInNodes()")


def test_pictures(page):
    """Pictures to look at, where SCREENSHOTS names a folder."""
    pictures = os.environ.get("SCREENSHOTS")
    if not pictures:
        pytest.skip("SCREENSHOTS is not set")
    page.load([("ember", 1.0), ("deep/tuned", 2.0), ("lagoon", 1.0), ("ink", 0.5), ("xl", 0.5)])
    page.act(1, "Lock")
    page.act(0, "Bypass")
    page.wait("() => document.querySelector('.dsoup-ing-badge.stranger')")
    page.slider("tuned").focus()
    page.press("Space")
    time.sleep(1)
    page.page.screenshot(path=f"{pictures}/ingredients_{'vue' if page.vue else 'litegraph'}.png")
