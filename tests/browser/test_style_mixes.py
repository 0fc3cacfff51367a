"""The saved mixes of Mix Styles in a real browser, in both renderings of nodes."""

import json

import pytest

from .console_page import MIXES, NAMES, console_page  # noqa: F401  a fixture
from .console_page import ConsolePage as Page  # noqa: F401  the fixtures take the module's own
from .pages import CHROMIUM

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


def test_saved_mixes(page, server):
    page.load("ink = 0.7\noil = 0.3")
    page.tool("Saved").click()
    assert page.mixes() == []
    name = page.page.get_by_label("Name of the mix")
    for given in ("night", "<b>day</b>"):
        name.fill(given)
        page.press("Enter")
        page.page.locator(".dsoup-mix b", has_text=given).wait_for()
    saved = json.loads((server.base / MIXES).read_text())
    assert saved["mixes"][0] == {"name": "night", "styles": NAMES, "weights": {"ink": 0.7, "oil": 0.3}}
    assert not (server.base / f"{MIXES}.new").exists()
    page.load("anime = 1")
    page.tool("Saved").click()
    assert page.mixes() == ["night", "<b>day</b>"], "names are text"
    page.page.locator(".dsoup-mix b", has_text="night").click()
    assert page.weights() == {"ink": 0.7, "oil": 0.3}
    assert page.page.locator(".dsoup-mix button[aria-pressed=true]").count() == 2
    page.set("weights", "photo = 1", 2)
    name.fill("night")
    page.press("Enter")
    page.page.get_by_text("Keep", exact=True).click()
    assert json.loads((server.base / MIXES).read_text()) == saved, "it is asked before"
    name.fill("night")
    page.press("Enter")
    page.page.get_by_text("Replace", exact=True).click()
    page.wait("() => document.querySelector('.dsoup-console .dsoup-say').textContent.includes('Saved')")
    assert json.loads((server.base / MIXES).read_text())["mixes"][0]["weights"] == {"photo": 1}


def test_rename_and_delete_a_mix(page, server):
    file = server.base / MIXES
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = {"version": 1, "mixes": [{"name": each, "styles": NAMES, "weights": {"ink": 1}} for each in "abc"] + [7]}
    file.write_text(json.dumps(kept))
    page.load()
    page.tool("Saved").click()
    assert page.mixes() == ["a", "b", "c"] and "1 of the entries" in page.page.locator(".dsoup-mix-rows").inner_text()
    page.page.get_by_label("Rename b").click()
    page.page.get_by_label("New name of b").fill("c")
    page.press("Enter")
    page.wait("() => document.querySelector('.dsoup-console .dsoup-say').textContent.includes('already')")
    page.page.get_by_label("Rename b").click()
    page.page.get_by_label("New name of b").fill("z")
    page.press("Enter")
    page.page.locator(".dsoup-mix b", has_text="z").wait_for()
    page.page.get_by_label("Delete a").click()
    page.press("Escape")
    page.page.get_by_label("Delete c").click()
    page.page.get_by_text("Delete", exact=True).click()
    page.wait("() => document.querySelectorAll('.dsoup-mix').length === 2")
    left = json.loads(file.read_text())["mixes"]
    assert [each if each == 7 else each["name"] for each in left] == ["a", "z", 7]
    page.press("Escape")
    assert page.slider("ink").is_visible()


def test_a_mix_of_another_student(page, server):
    file = server.base / MIXES
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"version": 1, "mixes": [
        {"name": "partly", "styles": ["ink", "clay"], "weights": {"ink": 0.5, "clay": 0.5}},
        {"name": "not at all", "styles": ["clay"], "weights": {"clay": 1, "a = 1\nb": 2}}]}))
    page.load("oil = 1")
    page.tool("Saved").click()
    assert page.mixes() == ["partly", "not at all"]
    page.page.locator(".dsoup-mix b", has_text="not at all").click()
    assert page.text() == "oil = 1" and "none of its styles" in page.told()
    page.page.locator(".dsoup-mix b", has_text="partly").click()
    assert page.text() == "ink = 0.5" and 'without "clay"' in page.told()


def test_a_file_that_cannot_be_read_is_left_alone(page, server):
    file = server.base / MIXES
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{ broken")
    page.load("ink = 1")
    page.tool("Saved").click()
    assert page.mixes() == [] and "is not JSON" in page.page.locator(".dsoup-mixes p.wrong").inner_text()
    assert page.page.get_by_label("Name of the mix").is_disabled()
    page.page.locator(".dsoup-mixes button", has_text="Save").dispatch_event("click")
    page.settle()
    assert file.read_text() == "{ broken"
