"""The console of Mix Styles in a real browser, in both renderings of nodes: views and tools."""

import json
import os
import re

import pytest

from diffusion_soup.dmm import StyleMix, open_student
from diffusion_soup.errors import SoupError

from .console_page import MANY, NAMES, NODE, console_page, hundredths, students  # noqa: F401  fixtures
from .console_page import ConsolePage as Page  # noqa: F401  the fixtures take the module's own
from .pages import CHROMIUM, TRACKER

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


# -- the views ------------------------------------------------------------------------------------


def test_as_many_views_as_there_are_styles_for(page):
    shown = "[...document.querySelectorAll('.dsoup-tools > span:first-child > button')].filter(b => !b.hidden).length"
    page.load()
    assert page.js(shown) == 4
    page.load(file="trio", names=NAMES[:3])
    assert page.js(shown) == 3
    page.load(file="student2", names=NAMES[:2])
    assert page.js(shown) == 2
    for button in page.page.locator(".dsoup-console :is(button, select, input)").all():
        assert button.get_attribute("aria-label") or button.inner_text()


def test_views_change_nothing_and_sizes_come_back(page):
    page.load("ink = 0.35\nphoto = 0.25, oil = 0.1", "sliders")
    text, size = page.text(), page.js(f"[...{NODE}.size]")
    for view in ("fader", "triangle", "square", "fader", "sliders"):
        page.view(view)
        needed = page.js(f"{NODE}.computeSize()[1]")
        assert page.js(f"{NODE}.size[1]") >= needed
    assert (page.text(), page.js(f"[...{NODE}.size]")) == (text, size)


def test_load_and_save_give_the_same(page):
    for view in ("square", "fader", "sliders"):
        page.load("ink = 0.5\nphoto = 0.5", view)
        workflow, prompt = page.js("JSON.stringify(app.graph.serialize())"), page.prompt()
        page.js("async text => { app.graph.clear(); await app.loadGraphData(JSON.parse(text)); }", workflow)
        page.settle()
        page.settle()
        again = page.js("JSON.stringify(app.graph.serialize())")
        one, other = (next((node["widgets_values"], node["properties"], node["size"])
                           for node in json.loads(each)["nodes"] if node["type"] == "DSoupStyleMix")
                      for each in (workflow, again))
        assert one == other
        assert one[0] == ["ink = 0.5\nphoto = 0.5", "paper", 1, True, False]
        assert page.prompt() == prompt


@pytest.mark.slow
def test_switching_the_rendering(page):
    page.load("", "triangle")
    for vue in (not page.vue, page.vue):
        page.js("value => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', value)", vue)
        page.page.wait_for_timeout(800)
        page.drag(page.at(0.5, 0.5), page.at(0.5, 0))
        assert page.text() == f"{page.property('corners')[0]} = 1"
        page.tool("Clear").click()
        assert page.text() == ""


# -- the tools ------------------------------------------------------------------------------------


def test_random_mixes(page):
    page.load("another = 1")
    drawn = set()
    for _ in range(4):
        page.tool("Random").click()
        weights = page.weights()
        assert weights.pop("another") == 1 and hundredths(weights) == 100
        drawn.add(page.text())
    assert len(drawn) == 4
    for _ in range(2):
        page.tool("Random").click(modifiers=["Shift"])
        assert len(page.weights()) in (2, 3, 4)
    page.tool("Clear").click()
    assert page.text() == "another = 1"
    for view in ("fader", "triangle", "square"):
        page.load("", view)
        page.tool("Random").click()
        assert hundredths(page.weights()) == 100 and not page.hollow()
        page.tool("Even").click()
        count = {"fader": 2, "triangle": 3, "square": 4}[view]
        assert list(page.weights().values()) == pytest.approx([1 / count] * count, abs=0.01)


def test_locked_styles_stay(page):
    page.load("anime = 0.4\noil = 0.1")
    page.slider("anime").focus()
    page.press("l")
    assert page.property("locked") == ["anime"]
    for tool in ("Random", "Even"):
        page.tool(tool).click()
        assert page.weights()["anime"] == 0.4 and hundredths(page.weights()) == 100
    page.tool("Clear").click()
    assert page.text() == "anime = 0.4"
    page.slider("anime").focus()
    page.press("ArrowRight")
    assert page.text() == "anime = 0.4"
    page.js(f"{NODE}.properties.corners = ['ink', 'oil', 'photo', 'anime']")
    page.view("fader")
    page.point().focus()
    page.press("m")
    assert page.weights() == {"anime": 0.4, "ink": 0.3, "oil": 0.3} and not page.hollow()
    page.view("square")
    page.press("m")
    page.point().focus()
    page.press("m")
    assert "anime is locked" in page.told() and page.weights()["ink"] == 0.3
    page.view("sliders")
    page.page.get_by_label("Lock anime").click(force=True)
    assert page.property("locked") == []


def test_what_weights_come_to(page):
    page.load("ink = 0.7\noil = 0.5")
    percents = "[...document.querySelectorAll('.dsoup-style small')].map(each => each.textContent)"
    assert page.js(percents) == ["58%", "", "", "42%"] and "sum to 1.20" in page.told()
    page.tool("Normalise").click()
    assert page.value("normalise", 2) is False and page.js(percents) == [""] * 4
    assert page.tool("Normalise").get_attribute("aria-pressed") == "false"
    page.set("normalise", True, 2)
    assert page.js(percents) == ["58%", "", "", "42%"]
    page.js("""() => { const yes = LiteGraph.createNode('PrimitiveBoolean'); app.graph.add(yes);
        const node = app.graph.getNodeById(2);
        yes.connect(0, node, node.inputs.findIndex(input => input.name === 'normalise')); }""")
    page.settle()
    page.settle()
    assert page.tool("Normalise").is_disabled() and page.js(percents) == [""] * 4


def test_the_console_warns_where_the_node_refuses(page, server):
    page.load()
    with open_student(server.base / "models/checkpoints/student.safetensors") as student:
        codebook = student.codebook.renamed(NAMES)
    refusals = []
    for text in ["ink = 0.5\nghost = 1", "ink = 1, ink = 2", "ink = -1\noil = 2", "ink", "1 2 3 4 5", "ink = x", "",
                 "ink = 0.5, oil = .25", "0.5 0 1", "ink = 1,\n\noil=1e-1"]:
        page.set("weights", text, 2)
        inputs = {name: value for name, value in page.prompt()["2"]["inputs"].items() if name != "styles"}
        try:
            codebook.row(StyleMix.parse(inputs.pop("weights"), NAMES, **inputs))
            refused = False
        except SoupError:
            refused = True
        refusals.append(refused)
        warned = page.page.locator(".dsoup-console .dsoup-say.wrong").count() == 1
        assert (warned or "No weights yet" in page.told()) == refused, text
    assert refusals == [True] * 7 + [False] * 3


def test_undo_of_the_console(page):
    page.load("ink = 1")
    page.slider("oil").fill("0.5")
    page.tool("Even").click()
    page.tool("Normalise").click()
    for keys, text, on in [("Control+z", "ink = 0.25\nanime = 0.25\nphoto = 0.25\noil = 0.25", True),
                           ("Control+z", "ink = 1\noil = 0.5", True), ("Control+z", "ink = 1", True),
                           ("Control+z", "ink = 1", True), ("Control+Shift+z", "ink = 1\noil = 0.5", True)]:
        page.press(keys)
        page.page.wait_for_timeout(50)
        assert (page.text(), page.value("normalise", 2)) == (text, on), keys
    page.tool("Redo").click()
    assert len(page.weights()) == 4 and page.js("app.graph.nodes.length") == 3, "the graph's own undo was not meant"


def test_undo_of_the_graph(page):
    page.load("", "fader")
    page.check()
    page.drag(page.at(0.1), page.at(1))
    page.wait(f"() => {TRACKER}.undoQueue.length > 0")
    page.page.mouse.click(700, 850)  # the canvas: keys are the graph's again
    page.undo()
    assert page.text() == ""
    page.drag(page.at(0.1), page.at(0))
    assert page.text() == "ink = 1"


def test_typing_a_number(page):
    page.load()
    box = page.slider("photo").bounding_box()
    page.page.mouse.dblclick(box["x"] + box["width"] * 0.7, box["y"] + 8)
    page.page.keyboard.type("0.125")
    page.press("Enter")
    assert page.text() == "photo = 0.125"
    page.press(".")
    page.page.keyboard.type("5")
    page.press("Escape")
    assert page.text() == "photo = 0.125"
    page.press("Control+z")
    assert page.text() == "", "the clicks of the double click have changed nothing"


def test_many_styles(page):
    names = [f"style {n}" for n in range(1, MANY + 1)]
    page.load("style 20 = 0.5\nstyle 3 = 0.5", names=[], file="many")
    rows = page.page.locator(".dsoup-style:visible")
    scrolled = "document.querySelector('.dsoup-styles').scrollTop"
    assert rows.count() == len(names) and page.js(f"{NODE}.size[1]") < 750  # not all rows
    box = page.page.locator(".dsoup-styles").bounding_box()
    page.slider("style 3").focus()  # the newest Nodes 2.0 scrolls only what has the focus
    page.page.mouse.move(box["x"] + 90, box["y"] + 90)
    page.page.mouse.wheel(0, 120)
    page.wait(f"() => {scrolled} > 50")
    assert page.js("app.canvas.ds.scale") == 1
    page.page.get_by_label("Filter the styles").fill("le 2")
    assert rows.count() == 6
    page.page.get_by_label("Filter the styles").fill("")
    page.page.get_by_text("in use", exact=True).click()
    assert rows.locator("span").all_inner_texts() == ["style 3", "style 20"]
    page.tool("Random").click()
    assert hundredths(dict(StyleMix.parse(page.text(), names).weights)) == 100
    page.view("square")
    assert page.property("corners")[:2] == sorted(names, key=lambda name: -page.js(
        "name => Number((document.querySelector(`.dsoup-style[title='${name}'] output`)).textContent)", name))[:2]


# -- the graph ------------------------------------------------------------------------------------


@pytest.mark.newest
def test_the_node_gets_what_the_console_says(page, server):
    page.load("", "triangle")
    page.drag(page.at(0.5, 0.4), page.at(0.55, 0.7))
    weights = page.weights()
    result = server.client.run(page.prompt()).succeeded()
    row = re.search(r"row=\(([^)]*)\)", result.outputs["3"]["text"][0]).group(1)
    assert [float(each) for each in row.split(",")] == pytest.approx([weights.get(name, 0) for name in NAMES])


def test_without_the_route_there_is_the_text(page):
    page.load()
    page.js("""() => {
        const lib = '/extensions/diffusion_soup/lib';
        Promise.all(['style_console', 'style_names', 'style_mixes'].map(name => import(`${lib}/${name}.js`))).then((
            [{ StyleConsole }, { StyleNames }, { MixStore }]) => {
            const node = LiteGraph.createNode('DSoupStyleMix');
            const names = new StyleNames(() => Promise.reject());
            window.alone = new StyleConsole(node, () => app.canvas, names, new MixStore({}));
            return window.alone.refresh().then(() => { window.done = true; }); }); }""")
    page.wait("() => window.done")
    assert page.js("[alone.widget.hidden, alone.state.names.length]") == [True, 0]


def test_pictures(page):
    """Pictures to look at, where SCREENSHOTS names a folder."""
    pictures = os.environ.get("SCREENSHOTS")
    if not pictures:
        pytest.skip("SCREENSHOTS is not set")
    for view in ("sliders", "fader", "triangle", "square"):
        page.load("ink = 0.4\nanime = 0.35\nphoto = 0.25", view)
        page.page.wait_for_timeout(600)
        page.page.screenshot(path=f"{pictures}/style_console_{view}_{'vue' if page.vue else 'litegraph'}.png")
