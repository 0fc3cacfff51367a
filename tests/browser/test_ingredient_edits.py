"""Editing the table of ingredients on Cook Soup in a real browser, in both renderings: shares, mute, solo and order."""

import pytest

from .ingredient_page import IngredientPage as Page  # noqa: F401  the fixtures take the module's own
from .ingredient_page import shelf  # noqa: F401  a fixture
from .pages import CHROMIUM

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


# -- shares ---------------------------------------------------------------------------------------


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


# -- mute, solo, order ----------------------------------------------------------------------------


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
