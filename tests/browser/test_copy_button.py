"""The button "Copy recipe" over the table of ingredients: what would be cooked is on the clipboard."""

import pytest

from diffusion_soup import Recipe, graph

from .ingredient_page import chained
from .pages import CHROMIUM, GraphPage

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


class Page(GraphPage):
    """One page with a chain in it, looking at its Cook Soup."""

    def load(self, rows=(("ember", 1.0), ("lagoon", 3.0))):
        self.cook = str(len(rows) + 1)
        self.show(chained(rows))
        self.look(self.cook)
        table = self.page.locator(".dsoup-ingredients:visible")
        self.button = table.get_by_role("button", name="Copy recipe", exact=True)
        self.button.wait_for()


def test_the_button_copies_what_would_be_cooked(page):
    page.js("""() => { window.copied = []; Object.defineProperty(navigator, 'clipboard', { configurable: true,
        value: { writeText: async text => copied.push(text) } }); }""")
    page.button.click()
    page.wait("() => copied.length === 1")
    page.picture("copy_button")
    page.set("share", 1.0, "2")
    page.button.press("Enter")
    page.wait("() => copied.length === 2")
    first, second = (Recipe.from_json(text) for text in page.js("copied"))
    assert first.shares() == pytest.approx([0.25, 0.75])
    assert second == graph.recipes_of_prompt(page.prompt())[page.cook]
    assert second.shares() == pytest.approx([0.5, 0.5])


def test_there_is_nothing_to_copy_without_ingredients(page):
    page.load([])
    assert page.button.is_disabled()
