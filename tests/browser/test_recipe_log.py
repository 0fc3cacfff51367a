"""The log of cooked recipes in the sidebar, in a real browser, in both renderings of nodes."""

import json
import os
import time

import pytest

from diffusion_soup import Ingredient, Recipe
from diffusion_soup.cook_log import CookLog, Picture
from diffusion_soup.graph import recipes_of_prompt

from .pages import CHROMIUM, GraphPage

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

COOK = {"method": "soup", "normalise": True, "base": "none", "text_encoder": "none", "vae": "auto", "dtype": "auto"}
PROMPT = {"1": {"class_type": "DSoupIngredient", "inputs": {"file": "ember.safetensors", "share": 1.0, "elements": ""}},
          "2": {"class_type": "DSoupIngredient", "inputs": {"file": "lagoon.safetensors", "share": 0.5, "elements": "",
                                                            "ingredients": ["1", 0]}},
          "3": {"class_type": "DSoupCook", "inputs": {"ingredients": ["2", 0], **COOK}},
          "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
          "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["3", 2]}},
          "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "soup"}}}
MARKUP = "<img src=x onerror=window.hacked=1>"


class Page(GraphPage):
    """One page with a graph in it."""

    def open_log(self):
        if not self.log.count():
            self.page.locator(".diffusion-soup-log-tab-button, button[aria-label='Cooked soups']").first.click()
            self.log.wait_for()

    @property
    def log(self):
        return self.page.locator(".dsoup-log")

    @property
    def rows(self):
        return self.log.locator("li[data-hash]")

    def names(self, *names):
        """Wait until these recipes are listed."""
        self.wait("names => JSON.stringify([...document.querySelectorAll('.dsoup-log .name')].map(each => "
                  "each.textContent)) === JSON.stringify(names)", list(names))

    def again(self):
        self.log.get_by_label("Search the cooked soups").fill(" ")
        self.log.get_by_label("Search the cooked soups").fill("")
        self.settle()

    def shot(self, name):
        if folder := os.environ.get("SCREENSHOTS"):
            self.page.wait_for_timeout(600)
            self.page.screenshot(path=f"{folder}/{name}_{'vue' if self.vue else 'litegraph'}.png")


@pytest.fixture
def log(server):
    log = CookLog(server.base / "user/diffusion_soup/log.jsonl")
    log.clear()
    return log


@pytest.fixture
def page(rendering, log):
    rendering.errors.clear()
    rendering.show({"4": PROMPT["4"]})
    rendering.open_log()
    rendering.again()
    yield rendering
    if rendering.page.locator("dialog.dsoup-recipe").count():
        rendering.press("Escape")
    assert rendering.errors == [] and rendering.js("window.hacked") is None


def add(log, *names, **more):
    recipe = Recipe(tuple(Ingredient(f"{name}.safetensors") for name in names), **more)
    log.add(recipe, seconds=1.0, cooked=1, tensors=2)
    return recipe


def test_nothing_cooked_yet(page):
    page.log.get_by_text("Nothing cooked yet").wait_for()
    page.shot("log_empty")


def test_a_cook_appears_with_its_picture(page, server):
    share = 0.25 if page.vue else 0.5  # or the soup would come from the cache
    page.show(PROMPT)
    page.set("share", share, 2)
    page.js("() => void app.queuePrompt(0, 1)")
    page.page.wait_for_function("document.querySelector('.dsoup-log img')?.naturalWidth === 64", timeout=60_000)
    page.names("ember and lagoon")
    assert ("ember 80%, lagoon 20%" if page.vue else "ember 67%, lagoon 33%") in page.rows.inner_text()
    page.shot("log_one")
    page.wait("app.graph.getNodeById(3).widgets.some(widget => widget.element?.classList.contains('done'))")
    for _ in range(50):  # the pictures are kept when the prompt is done
        if "soup_" in (server.base / "user/diffusion_soup/log.jsonl").read_text():
            break
        time.sleep(0.1)
    else:
        pytest.fail("the picture is not kept")


def test_restoring(page, log):
    recipe = add(log, "ember", "lagoon")
    page.again()
    page.rows.get_by_label("Restore").click()
    page.wait("app.graph.nodes.length === 4")
    (built,) = recipes_of_prompt(page.prompt()).values()
    assert built == recipe
    assert page.page.locator("dialog.dsoup-recipe").count() == 0


def test_restoring_where_files_are_missing(page, log):
    add(log, "ember", MARKUP)
    page.again()
    page.names(f"ember and {MARKUP}")
    page.rows.get_by_label("Restore").click()
    dialog = page.page.locator("dialog.dsoup-recipe")
    dialog.get_by_text("not found here").wait_for()
    dialog.get_by_role("button", name="Build its nodes here").click()
    page.wait("app.graph.nodes.length === 4")


def test_search_copy_delete(page, log):
    page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    recipe = add(log, "ember")
    add(log, "lagoon", normalise=False)
    page.again()
    page.names("lagoon", "ember")
    page.log.get_by_label("Search the cooked soups").fill(recipe.hash[:8])
    page.names("ember")
    assert "1 recipe of 2" in page.log.inner_text()
    page.rows.get_by_label("Copy").click()
    page.page.locator(".p-toast, .sr-only").get_by_text("Recipe copied").first.wait_for(state="attached")
    assert Recipe.from_json(page.js("navigator.clipboard.readText()")) == recipe
    page.rows.get_by_label("Delete").click()
    page.rows.get_by_role("button", name="Delete?").click()
    page.log.get_by_text("No recipe has all these words").wait_for()
    page.log.get_by_label("Search the cooked soups").fill("")
    page.names("lagoon")
    page.log.get_by_label("Delete all").click()
    page.log.get_by_role("button", name="Delete all?").click()
    page.log.get_by_text("Nothing cooked yet").wait_for()
    assert log.entries() == []


def test_keyboard_alone(page, log):
    for name in ("ember", "lagoon", "plain"):
        add(log, name)
    page.again()
    page.names("plain", "lagoon", "ember")
    page.log.get_by_label("Search the cooked soups").focus()
    page.press("Tab")
    assert page.js("document.activeElement.textContent") == "plain"
    page.press("ArrowDown")
    page.press("ArrowDown")
    page.press("ArrowUp")
    assert page.js("document.activeElement.textContent") == "lagoon"
    page.press("Tab")
    assert page.js("document.activeElement.ariaLabel").startswith("Restore lagoon")
    page.press("Enter")
    page.wait("app.graph.nodes.some(node => node.type === 'DSoupCook')")


def test_a_picture_that_is_gone_is_a_drawing(page, log):
    recipe = add(log, "ember")
    log.add_pictures({recipe.hash: [Picture("gone.png", "", "output")]})
    page.again()
    page.wait("document.querySelector('.dsoup-log .thumb svg')")
    assert page.page.locator(".dsoup-log img").count() == 0


def test_a_thousand_recipes(page, log):
    lines = []
    for number in range(1000):
        recipe = Recipe((Ingredient(f"m{number}.safetensors"), Ingredient("lagoon.safetensors")))
        lines.append(json.dumps({"time": 1e9 + number, "hash": recipe.hash, "recipe": recipe.to_dict(), "seconds": 1,
                                 "cooked": 1, "tensors": 2, "notes": [], "prompt": ""}))
    log.file.write_text("\n".join(lines) + "\n")
    page.again()
    page.wait("document.querySelectorAll('.dsoup-log li[data-hash]').length === 40")
    assert "1000 recipes" in page.log.inner_text()
    page.shot("log_thousand")
    page.log.get_by_role("button", name="Show more").click()
    page.wait("document.querySelectorAll('.dsoup-log li[data-hash]').length === 80")
    page.log.get_by_label("Search the cooked soups").fill("m777")
    page.names("m777 and lagoon")
