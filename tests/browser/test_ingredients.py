"""The table of ingredients on Cook Soup in a real browser, in both renderings of nodes: what it shows, and saving."""

import json
import os
import time

import pytest

from diffusion_soup import Ingredient, Recipe

from .ingredient_page import SETTINGS, chained, shelf  # noqa: F401  a fixture
from .ingredient_page import IngredientPage as Page  # noqa: F401  the fixtures take the module's own
from .pages import CHROMIUM

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


# -- what is shown --------------------------------------------------------------------------------


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


# -- what the browser cannot follow ---------------------------------------------------------------


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


# -- saving ---------------------------------------------------------------------------------------


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
