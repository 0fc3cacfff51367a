"""The Panorama script in real gradio: the editor writes the text, the text moves the editor, and the plan is shown."""

import json

import pytest

from .pages import SoupPage

TEXT = "#dsoup_panorama_txt2img_text textarea"


@pytest.fixture
def page(chromium, server):
    opened = SoupPage(chromium, server[0], width=1000)
    page = opened.page
    page.click("button[role=tab]:has-text('txt2img'), .tab-nav > button:has-text('txt2img')")
    page.click("#dsoup_panorama_txt2img .label-wrap")
    page.wait_for_selector(".dsoup-panorama .dsoup-frame")
    yield page
    assert opened.errors == []
    opened.close()


def said(page, condition):
    """The text as values, once they are so."""
    page.wait_for_function("""([field, ready]) => { try {
        return eval(ready)(JSON.parse(document.querySelector(field).value)); } catch { return false; } }""",
                           arg=[TEXT, condition])
    return json.loads(page.input_value(TEXT))


def draw(page, start, end):
    box = page.locator(".dsoup-frame").bounding_box()
    at = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (start, end)]
    page.click(".dsoup-tools button[title^='Draw a region']")
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1], steps=5)
    page.mouse.up()


def test_regions_are_drawn_and_told_what_to_show(page, request):
    page.fill(TEXT, "a forest | a lake")
    page.wait_for_function("() => document.querySelectorAll('.dsoup-label').length === 2")
    draw(page, (0.1, 0.2), (0.5, 0.8))
    values = said(page, "values => values.regions.length === 2")
    assert values["regions"][0]["grid"]["prompts"] == "a forest\na lake"
    page.fill("textarea[aria-label='Prompt of this region']", "a boat")
    page.fill("textarea[aria-label='Negative prompt of this region']", "fog")
    for name, value in (("cfg", "9"), ("end", "0.5"), ("style", "ink 0.5, oil")):
        page.fill(f".dsoup-own [data-field={name}]", value)
        page.press(f".dsoup-own [data-field={name}]", "Tab")
    page.check("[data-field=wrap]")
    values = said(page, "values => values.wrap && values.regions[1].style")
    boat = values["regions"][1]
    assert {key: boat[key] for key in ("prompt", "negative", "cfg", "end", "style")} == {
        "prompt": "a boat", "negative": "fog", "cfg": 9, "end": 0.5, "style": {"ink": 0.5, "oil": 1}}
    assert boat["x"] == pytest.approx(102, abs=16) and boat["width"] == pytest.approx(410, abs=24)
    page.click("#dsoup_panorama_txt2img_show")
    page.wait_for_selector("#dsoup_panorama_txt2img_plan img")
    assert "3 regions" in page.inner_text("#dsoup_panorama_txt2img_said")
    SoupPage.shoot(_shown(page), f"panorama_{request.node.callspec.id}")


def _told(page, words):
    page.wait_for_function("""words => document.querySelector('#dsoup_panorama_txt2img_said')
        .innerText.includes(words)""", arg=words)


def _shown(page):
    shown = object.__new__(SoupPage)
    shown.page = page
    return shown


def test_the_text_and_the_size_move_the_editor(page):
    page.fill(TEXT, '[{"name": "left", "width": 512}, {"name": "right", "x": 512, "width": 512}]')
    page.wait_for_function("() => document.querySelectorAll('.dsoup-label').length === 2")
    before = page.input_value(TEXT)
    page.fill("#txt2img_width input[type=number]", "768")
    page.press("#txt2img_width input[type=number]", "Tab")
    page.wait_for_selector(".dsoup-region.wrong")
    assert page.input_value(TEXT) == before, "what was typed stays as it was typed"
    page.fill(TEXT, "[{]")
    page.wait_for_selector(".dsoup-unread:visible")
    page.click("#dsoup_panorama_txt2img_show")
    _told(page, "not JSON")


def test_a_plan_with_a_hole_shows_where(page):
    page.fill(TEXT, '[{"width": 512}]')
    page.press(TEXT, "Tab")
    page.click("#dsoup_panorama_txt2img_show")
    _told(page, "belongs to no region")
    page.wait_for_selector("#dsoup_panorama_txt2img_plan img")
    page.wait_for_selector(".dsoup-holes > div", state="attached")


def test_without_our_javascript_there_is_the_text(chromium, server):
    opened = SoupPage(chromium, server[0], live=False)
    page = opened.page
    page.click("button[role=tab]:has-text('txt2img'), .tab-nav > button:has-text('txt2img')")
    page.click("#dsoup_panorama_txt2img .label-wrap")
    page.fill(TEXT, "a | b")
    page.press(TEXT, "Tab")
    page.click("#dsoup_panorama_txt2img_show")
    page.wait_for_selector("#dsoup_panorama_txt2img_plan img")
    opened.close()
