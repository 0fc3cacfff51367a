"""Nodes and editors in the user's language, in both renderings: what is shown is translated, what is sent is not."""

import json

import pytest

from demo.locales import LOCALES, SCRIPTS, TRANSLATED, load

from .pages import CHROMIUM, GraphPage

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

MIX = {"styles": ["1", 3], "weights": "style 1 = 0.5", "mode": "paper", "strength": 1.0, "normalise": True,
       "extrapolate": False}
PROMPT = {"1": {"class_type": "DSoupStudent", "inputs": {"file": "student.safetensors", "names": ""}},
          "2": {"class_type": "DSoupStyleMix", "inputs": MIX},
          "3": {"class_type": "DSoupBlockWeights",
                "inputs": {"family": "SDXL", "meaning": "times the share", "preset": "none", "mbw": "OUT00=0.5",
                           "dialect": "supermerger"}}}
SHOWN = """id => { const node = app.graph.getNodeById(id);
    const slots = [...node.inputs, ...node.outputs].map(slot => [slot.name, slot.localized_name]);
    return { title: node.title, slots, widgets: node.widgets.map(widget => [widget.name, widget.label]),
             category: node.constructor.category }; }"""


@pytest.fixture(scope="module", params=TRANSLATED)
def speaking(browser, server, request):
    """A page in a language, and the language. The setting is as it was afterwards."""
    file = server.base / "user/default/comfy.settings.json"
    settings = json.loads(file.read_text())
    assert "Comfy.Locale" not in settings
    file.write_text(json.dumps({**settings, "Comfy.Locale": request.param}))
    page = GraphPage(browser.new_page(), server.url)
    yield page, request.param
    page.page.close()
    now = json.loads(file.read_text())
    now.pop("Comfy.Locale", None)
    file.write_text(json.dumps(now))


@pytest.mark.parametrize("vue", [False, True], ids=["litegraph", "nodes 2.0"])
def test_what_is_shown_is_translated(speaking, vue):
    page, language = speaking
    page.render(vue)
    page.show(PROMPT)
    words, categories = (load(LOCALES / language / f"{name}.json") for name in ("nodeDefs", "main"))
    for number, (node, outputs) in {"1": ("DSoupStudent", ["STYLES"]), "2": ("DSoupStyleMix", ["STYLE"])}.items():
        shown = page.js(SHOWN, number)
        assert shown["title"] == words[node]["display_name"]
        labels = {name: each["name"] for name, each in words[node]["inputs"].items()}
        named = {each["name"] for each in words[node]["outputs"].values()}
        for name, label in (*shown["slots"], *shown["widgets"]):
            assert label == labels[name] if name in labels else name not in outputs or label in named, name
        assert shown["category"].split("/") == [categories["nodeCategories"][part] for part in
                                                ("diffusion soup", "styles")]
    if vue:
        page.page.get_by_text(words["DSoupStyleMix"]["display_name"], exact=True).first.wait_for()
        page.page.get_by_text(words["DSoupStyleMix"]["inputs"]["mode"]["name"], exact=True).first.wait_for()


@pytest.mark.parametrize("vue", [False, True], ids=["litegraph", "nodes 2.0"])
def test_what_is_sent_and_saved_is_not(speaking, vue):
    page, _ = speaking
    page.render(vue)
    page.show(PROMPT)
    sent = page.prompt()
    assert sent["2"] == {**PROMPT["2"], "_meta": sent["2"]["_meta"]}
    assert sent["3"]["inputs"].items() >= PROMPT["3"]["inputs"].items()
    saved = page.js("app.graph.getNodeById(2).serialize()")
    assert saved["widgets_values"] == ["style 1 = 0.5", "paper", 1, True, False]
    assert [slot["name"] for slot in saved["outputs"]] == ["STYLE"] and saved["type"] == "DSoupStyleMix"


def test_tooltips(speaking):
    page, language = speaking
    page.render(False)
    page.show(PROMPT)
    words = load(LOCALES / language / "nodeDefs.json")
    page.wait("() => app.graph.getNodeById(2).widgets.find(widget => widget.name === 'strength').y > 0")  # drawn
    page.settle()
    x, y = page.js("() => { const node = app.graph.getNodeById(2);"
                   " const widget = node.widgets.find(widget => widget.name === 'strength');"
                   " const at = app.canvas.ds.convertOffsetToCanvas([node.pos[0] + 60, node.pos[1] + widget.y + 10]);"
                   " const box = app.canvas.canvas.getBoundingClientRect(); return [box.x + at[0], box.y + at[1]]; }")
    page.page.mouse.move(x - 3, y)
    page.page.mouse.move(x, y)
    page.page.get_by_text(words["DSoupStyleMix"]["inputs"]["strength"]["tooltip"]).wait_for()


def test_editors(speaking):
    page, language = speaking
    page.show(PROMPT)
    words = load(SCRIPTS / "words" / f"{language}.json")
    editor = page.page.get_by_role("group", name=words["Block weights"])
    editor.get_by_role("button", name=words["Curves"]).wait_for()
    assert words["Text, {0}"].replace("{0}", words["by name"]) in editor.locator("select").first.inner_text()
