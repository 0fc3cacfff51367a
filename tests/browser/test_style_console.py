"""The console of Mix Styles in a real browser, in both renderings of nodes: fader, pads, tools, saved mixes.

What the console says of a mix is compared with what the engine makes of the widgets that the browser would send.
"""

import json
import os
import re

import pytest

from diffusion_soup.dmm import StyleMix, open_student
from diffusion_soup.errors import SoupError

from .. import models
from .pages import CHROMIUM, TRACKER, GraphPage

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

NAMES = ["ink", "anime", "photo", "oil"]
MANY = 24
MIX = {"styles": ["1", 3], "weights": "", "mode": "paper", "strength": 1.0, "normalise": True, "extrapolate": False}
PROMPT = {"1": {"class_type": "DSoupStudent", "inputs": {"file": "student.safetensors", "names": "\n".join(NAMES)}},
          "2": {"class_type": "DSoupStyleMix", "inputs": MIX},
          "3": {"class_type": "PreviewAny", "inputs": {"source": ["2", 0]}}}
NODE = "app.graph.getNodeById(2)"
MIXES = "user/default/diffusion_soup/mixes.json"


@pytest.fixture(scope="module", autouse=True)
def students(server):
    """Students with three and with many styles, as long as these tests run."""
    shelf = server.base / "models/checkpoints"
    for name, count in {"trio": 3, "many": MANY}.items():
        models.save(shelf / f"{name}.safetensors", models.student(8, count))
    yield
    for name in ("trio", "many"):
        (shelf / f"{name}.safetensors").unlink()


class Page(GraphPage):
    """One page with a graph in it."""

    def load(self, weights="", view="sliders", names=NAMES, file="student", **widgets):
        """The graph of these tests, as a saved workflow: student -> mix."""
        prompt = json.loads(json.dumps(PROMPT))
        prompt["1"]["inputs"].update(file=f"{file}.safetensors", names="\n".join(names))
        prompt["2"]["inputs"].update(widgets, weights=weights)
        self.show(prompt)
        self.wait("() => document.querySelectorAll('.dsoup-style').length > 1"
                  " && document.querySelector('.dsoup-console').getBoundingClientRect().height > 50")
        self.settle()
        if view != "sliders":
            self.view(view)

    def view(self, name):
        self.tool({"sliders": "Sliders", "fader": "Fader", "triangle": "Pad: between three",
                   "square": "Pad: between four"}[name]).click()
        self.settle()

    def tool(self, name):
        return self.page.locator(f".dsoup-console .dsoup-tools button[aria-label^='{name}']")

    def text(self):
        return self.value("weights", 2)

    def weights(self):
        """The mix that the browser would send, as the node reads it."""
        return dict(StyleMix.parse(self.prompt()["2"]["inputs"]["weights"], NAMES, extrapolate=True).weights)

    def told(self):
        return self.page.locator(".dsoup-console .dsoup-say").inner_text()

    def knob(self):
        """Where the point of the view is on the screen."""
        box = self.page.locator(".dsoup-mix-knob:visible").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def hollow(self):
        return self.page.locator(".dsoup-mix-knob:visible").evaluate("knob => knob.classList.contains('hollow')")

    def at(self, x, y=0.5):
        """A place of the fader or pad, in shares of its box."""
        box = self.page.locator(":is(.dsoup-mix-rail, .dsoup-mix-surface):visible").bounding_box()
        return box["x"] + box["width"] * x, box["y"] + box["height"] * y

    def end(self, letter):
        return self.page.locator(f"select[aria-label='Style at {letter}']:visible")

    def point(self):
        """What has the focus in the view, for keys."""
        return self.page.locator(".dsoup-mix-field:visible input")

    def slider(self, name):
        return self.page.locator(f".dsoup-style input[aria-label='{name}']")

    def property(self, name):
        return self.js(f"name => {NODE}.properties[name]", name)

    def mixes(self):
        """Names in the panel of saved mixes, once it has them."""
        self.page.locator(".dsoup-mixes form input:enabled, .dsoup-mixes p.wrong").first.wait_for()
        return self.page.locator(".dsoup-mix b").all_inner_texts()


@pytest.fixture
def page(rendering, server):
    (server.base / MIXES).unlink(missing_ok=True)
    rendering.errors.clear()
    yield rendering
    assert rendering.errors == []


def hundredths(weights):
    return sum(round(weight * 100) for weight in weights.values())


# -- the views -----------------------------------------------------------------------------------


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


# -- the fader -----------------------------------------------------------------------------------


@pytest.mark.newest
def test_the_fader(page):
    page.load("", "fader")
    assert page.hollow() and "No weights yet" in page.told()
    before = page.js(f"[...{NODE}.pos]")
    page.drag(page.at(0.1), page.at(0.3))
    weights = page.weights()
    assert weights == {"ink": pytest.approx(0.7, abs=0.011), "anime": pytest.approx(0.3, abs=0.011)}
    assert hundredths(weights) == 100 and not page.hollow()
    assert page.js(f"[...{NODE}.pos]") == before, "the node stays where it is"
    page.wait("text => [...document.querySelectorAll('textarea')].some(area => area.value === text)", page.text())
    page.drag(page.knob(), page.at(1.2))
    assert page.text() == "anime = 1"
    page.page.mouse.dblclick(*page.at(0.2))
    assert page.text() == "ink = 0.5\nanime = 0.5"
    page.press("Control+z")
    assert page.text() == "anime = 1", "a double click is one step"


def test_the_fader_with_keys_and_fine_steps(page):
    page.load("", "fader")
    page.point().focus()
    for keys, share in [("m", 0.5), ("ArrowRight", 0.55), ("Shift+ArrowLeft", 0.54), ("End", 1), ("ArrowRight", 1),
                        ("Home", 0), ("ArrowUp", 0.05), ("b", 1), ("ArrowLeft", 0.95)]:
        page.press(keys)
        assert page.weights().get("anime", 0) == share and hundredths(page.weights()) == 100, keys
    assert page.point().get_attribute("aria-valuetext") == "ink 0.05, anime 0.95"
    x, y = page.knob()
    page.page.keyboard.down("Shift")
    page.drag((x, y), (x - 100, y))
    page.page.keyboard.up("Shift")
    assert 0.9 < page.weights()["anime"] < 0.95, "a tenth of the way"


def test_the_fader_goes_past_its_ends(page):
    page.load("ink = 1", "fader")
    page.tool("Extrapolate").click()
    page.drag(page.knob(), page.at(-0.1))
    assert page.weights() == {"ink": 2, "anime": -1}
    page.press("ArrowRight")
    assert page.weights() == {"ink": 1.95, "anime": -0.95}
    assert page.value("extrapolate", 2) is True and page.told() == ""


def test_other_weights_wait_until_the_fader_moves(page):
    page.load("ink = 0.3\nanime = 0.4\nphoto = 0.3", "fader")
    assert page.property("corners")[:2] == ["anime", "ink"], "the heaviest"
    assert page.hollow() and "photo 0.30 is not shown here" in page.told()
    x, y = page.knob()
    page.drag((x, y), (x, y))
    assert page.text() == "ink = 0.3\nanime = 0.4\nphoto = 0.3"
    page.drag((x, y), page.at(1))
    assert page.text() == "ink = 1" and not page.hollow()


def test_choosing_the_ends(page):
    page.load("ink = 0.7\nanime = 0.3", "fader")
    page.end("B").select_option("oil")
    assert page.weights() == {"ink": 0.7, "oil": 0.3}, "what was at the end goes along"
    page.end("A").select_option("oil")
    assert page.weights() == {"oil": 0.7, "ink": 0.3}, "the ends change places"
    page.point().focus()
    page.press("Control+z")
    assert page.weights() == {"ink": 0.7, "oil": 0.3} and page.property("corners")[:2] == ["ink", "oil"]
    page.set("weights", "photo = 1", 2)
    page.end("B").select_option("anime")
    assert page.text() == "photo = 1", "weights that are not on the fader stay"


# -- the pads ------------------------------------------------------------------------------------


def test_a_pad_of_three(page):
    page.load("", "triangle")
    page.drag(page.at(0.5, 0.4), page.at(0.5, 2 / 3))
    assert page.weights() == {name: pytest.approx(1 / 3, abs=0.02) for name in NAMES[:3]}
    assert hundredths(page.weights()) == 100
    for corner, name in {(0.5, -0.1): "ink", (-0.1, 1.1): "anime", (1.1, 1.1): "photo"}.items():
        page.drag(page.at(0.5, 0.5), page.at(*corner))
        assert page.text() == f"{name} = 1"
    page.page.mouse.click(*page.at(0.5, 1.03))
    assert set(page.weights()) == {"anime", "photo"} and hundredths(page.weights()) == 100


@pytest.mark.newest
def test_a_pad_of_four(page):
    page.load("", "square")
    page.drag(page.at(0.5), page.at(0.75, 0.5))
    assert page.weights() == {"ink": pytest.approx(0.125, abs=0.02), "anime": pytest.approx(0.375, abs=0.02),
                              "photo": pytest.approx(0.125, abs=0.02), "oil": pytest.approx(0.375, abs=0.02)}
    assert hundredths(page.weights()) == 100 and not page.hollow()
    for at, name in enumerate(NAMES):
        corner = (1.01 if at % 2 else -0.01, 1.01 if at > 1 else -0.01)
        page.page.mouse.click(*page.at(*corner))
        assert page.text() == f"{name} = 1"
    page.drag(page.at(0.5), page.at(0.5, -1))
    assert page.weights() == {"ink": pytest.approx(0.5, abs=0.02), "anime": pytest.approx(0.5, abs=0.02)}


def test_pads_with_keys(page):
    page.load("", "square")
    page.point().focus()
    for keys, weights in [("d", {"oil": 1}), ("Home", {"ink": 1}), ("ArrowRight", {"ink": 0.95, "anime": 0.05}),
                          ("Shift+ArrowRight", {"ink": 0.94, "anime": 0.06}), ("End", {"oil": 1}),
                          ("m", dict.fromkeys(NAMES, 0.25)), ("b", {"anime": 1})]:
        page.press(keys)
        assert page.weights() == weights, keys
    for _ in range(6):
        page.press("Shift+ArrowDown")
    assert page.weights() == {"anime": 0.94, "oil": 0.06}, "steps that are small add up"
    page.view("triangle")
    page.point().focus()
    page.press("c")
    assert page.text() == "photo = 1"
    page.press("ArrowUp")
    assert set(page.weights()) == {"ink", "photo"} and hundredths(page.weights()) == 100
    assert "photo" in page.point().get_attribute("aria-valuetext")


def test_the_point_is_where_the_weights_are(page):
    page.load("ink = 0.2\nanime = 0.3\nphoto = 0.5", "triangle")
    assert page.property("corners")[:3] == ["photo", "anime", "ink"]
    wanted = page.at(0.5 * 0.5 + 0.2, 0.5)
    assert page.knob() == (pytest.approx(wanted[0], abs=2), pytest.approx(wanted[1], abs=2)) and not page.hollow()
    page.set("weights", "photo = 2\nanime = 2", 2)
    wanted = page.at(0.25, 0.5)
    assert page.knob() == (pytest.approx(wanted[0], abs=2), pytest.approx(wanted[1], abs=2)) and not page.hollow()
    page.tool("Normalise").click()
    assert page.hollow() and "sum to 4.00" in page.told()


def test_a_mix_beside_the_square(page):
    page.load("ink = 0.5\noil = 0.5\n", "square")
    page.js(f"{NODE}.properties.corners = {json.dumps(NAMES)}")
    page.set("weights", "oil = 0.5\nink = 0.5", 2)
    assert page.hollow() and "nearest point" in page.told()
    assert page.text() == "oil = 0.5\nink = 0.5"
    page.point().focus()
    page.press("ArrowLeft")
    assert hundredths(page.weights()) == 100 and set(page.weights()) == set(NAMES) and not page.hollow()


def test_zoom(page):
    """The canvas smaller and larger; and the page at 200 %."""
    page.load("", "triangle")
    for scale, zoom in [(0.6, 1), (1.7, 1), (0.8, 2)]:
        page.set("weights", "", 2)
        _drag_at(page, scale, zoom)


def _drag_at(page, scale, zoom):
    page.js("([scale, zoom]) => { document.body.style.zoom = zoom; app.canvas.ds.scale = scale;"
            " app.canvas.ds.offset = [-440, -20]; app.canvas.setDirty(true, true); }", [scale, zoom])
    page.page.wait_for_timeout(700)
    try:
        page.drag(page.at(0.5, 0.3), page.at(0.5, 1.1))
        assert page.weights() == {"anime": pytest.approx(0.5, abs=0.02), "photo": pytest.approx(0.5, abs=0.02)}
        if zoom == 1:
            knob, wanted = page.knob(), page.at(0.5, 1)
            assert knob == (pytest.approx(wanted[0], abs=3), pytest.approx(wanted[1], abs=3))
    finally:
        page.js("document.body.style.zoom = 1")


# -- the tools -----------------------------------------------------------------------------------


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


# -- saved mixes ---------------------------------------------------------------------------------


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


# -- the graph -----------------------------------------------------------------------------------


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
