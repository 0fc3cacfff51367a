"""Editing regions on the region canvas in a real browser, in both renderings: by mouse, keyboard, numbers and text."""

import pytest

from diffusion_soup.panorama import Region

from .pages import CHROMIUM
from .region_page import CANVAS_ID, PANORAMA, RECTANGLE, THREE, TWO, region_page, scene, text, with_grid  # noqa: F401
from .region_page import RegionPage as Page  # noqa: F401  the fixtures take the module's own

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


# -- edits with the mouse -------------------------------------------------------------------------


@pytest.mark.newest
def test_moving(page):
    page.load(scene(*THREE))
    before = page.js("on => [...app.graph.getNodeById(on).pos]", page.on)
    page.pull((500, 300), (700, 333), alt=True)
    x, y, *size = page.as_the_engine()["hills"]
    assert size == [640, 384] and abs(x - 456) <= 16 and abs(y - 97) <= 16
    assert page.js("on => [...app.graph.getNodeById(on).pos]", page.on) == before, "the node stays where it is"
    page.pull((500, 300), (-900, 1500))
    assert page.as_the_engine()["hills"] == (0, 128, 640, 384), "it stays in the canvas"
    page.undo()
    assert page.as_the_engine()["hills"] == (x, y, 640, 384), "a stroke is one step"


def test_resizing(page):
    page.load(scene(*THREE))
    page.region("sea").focus()
    for start, end, wanted in [
        ((1200, 128), (1101, 51), (1104, 48, 608, 336)), ((1712, 216), (1901, 216), (1104, 48, 800, 336)),
        ((1504, 384), (1504, 90), (1104, 48, 800, 64)), ((1104, 48), (2600, 48), (1840, 48, 64, 64)),
    ]:
        page.pull(start, end, alt=True)
        assert page.as_the_engine()["sea"] == pytest.approx(wanted, abs=16)
    page.page.mouse.move(*page.at(1840, 48))
    page.page.mouse.down()
    page.page.mouse.move(*page.at(400, 20), steps=4)
    page.press("Escape")
    page.page.mouse.up()
    page.settle()
    assert page.as_the_engine()["sea"] == pytest.approx(wanted, abs=16), "Escape gives the stroke up"


def test_drawn_to_edges(page):
    page.load(scene(*THREE))
    page.page.mouse.move(*page.at(1400, 256))
    page.page.mouse.down()
    page.page.mouse.move(*page.at(1100, 250), steps=5)
    page.settle()
    assert page.find(".dsoup-guides").get_attribute("d")
    page.page.mouse.up()
    page.settle()
    assert page.rectangle(4)[:2] == (896, 128), "at the edge of the hills, and in the middle"
    page.pull((1100, 256), (1110, 256), (1124, 256), alt=True)
    assert page.rectangle(4)[0] == pytest.approx(920, abs=8)


def test_zoomed(page):
    page.load(scene(*THREE))
    page.js("app.canvas.ds.scale = 0.7; app.graph.setDirtyCanvas(true, true)")
    page.settle()
    page.pull((500, 300), (980, 300), alt=True)
    page.as_the_engine()
    assert page.rectangle(3)[0] == pytest.approx(736, abs=24)
    with page.zoomed(2, 750, 450):
        page.js("app.canvas.ds.scale = 1; app.canvas.ds.offset = [70, -150]; app.graph.setDirtyCanvas(true, true)")
        page.settle()
        x = page.rectangle(3)[0]
        page.pull((x + 300, 300), (x - 100, 300), alt=True)
        assert page.rectangle(3)[0] == pytest.approx(x - 400, abs=24)
    page.as_the_engine()


def test_all_around(page):
    page.load(scene(*TWO, ("around", 1800, 64, 640, 384), wrap=True))
    parts = page.find(".dsoup-region[data-key='4']")
    assert parts.count() == 2 and page.as_the_engine()["around"] == (1800, 64, 640, 384)
    page.pull((200, 256), (500, 256))
    x = page.as_the_engine()["around"][0]
    assert 20 <= x <= 70, "dragged by its part at the left, over the seam"
    page.pull((x + 300, 256), (x + 200, 256))
    assert page.as_the_engine()["around"][0] > 1900
    page.set("wrap", False, CANVAS_ID)
    assert "or let the canvas wrap" in page.told()


# -- regions --------------------------------------------------------------------------------------


@pytest.mark.newest
def test_drawing_a_region(page):
    page.load(scene(("left", 0, 0, 1024, 512)))
    nodes, before = page.js("app.graph.nodes.length"), page.prompt()
    page.pull((2040, 500), (1030, 3))
    page.page.keyboard.type("a lighthouse, evening")
    page.settle()
    prompt = page.prompt()
    made = prompt[prompt[PANORAMA]["inputs"]["regions"][0]]
    assert made["class_type"] == "DSoupRegion" and made["inputs"]["regions"] == ["2", 0]
    assert [made["inputs"][name] for name in RECTANGLE] == [1024, 0, 1024, 512]
    words = prompt[made["inputs"]["positive"][0]]
    assert words == text("a lighthouse, evening") | {"_meta": words.get("_meta")}
    assert page.as_the_engine().keys() == {"left", "region 2"} and page.find(".wrong").count() == 0
    boxes = page.js("app.graph.nodes.map(node => [...node.pos, ...node.size])")
    assert not any(overlap(one, other) for at, one in enumerate(boxes) for other in boxes[nodes:] if other != one)
    page.js("document.activeElement.blur()")
    page.settle()
    page.undo_to(before, 2)  # what was typed, and the region with its prompt
    assert page.js("app.graph.nodes.length") == nodes


def overlap(one, other):
    return all(one[axis] < other[axis] + other[axis + 2] and other[axis] < one[axis] + one[axis + 2] for axis in (0, 1))


@pytest.mark.slow
def test_drawing_over_others_and_on_an_empty_canvas(page):
    page.load(scene())
    assert "Drag here" in page.find(".dsoup-empty").inner_text()
    page.pull((100, 100), (1500, 400))
    page.region("region 1").focus()
    page.press("n")
    page.pull((300, 200), (700, 300))
    assert list(page.as_the_engine()) == ["region 1", "region 2"]
    page.pull((500, 250), (600, 250))
    assert list(page.as_the_engine()) == ["region 1", "region 2"], "drawing is over after one"


def test_deleting_and_duplicating(page):
    page.load(scene(*THREE))
    before = page.prompt()
    page.region("hills").focus()
    page.press("Control+d")
    page.settle()
    prompt = page.prompt()
    copied = prompt[prompt[PANORAMA]["inputs"]["regions"][0]]["inputs"]
    assert copied["name"] == "hills copy" and copied["regions"] == ["4", 0] and copied["x"] == 320
    assert prompt[copied["positive"][0]]["inputs"]["text"] == "hills" and copied["positive"] != ["103", 0]
    page.region("hills").focus()
    page.press("Delete")
    page.settle()
    assert list(page.as_the_engine()) == ["sky", "sea", "hills copy"]
    assert page.prompt()["4"]["inputs"]["regions"] == ["2", 0] and "103" not in page.prompt()
    page.undo_to(before, 2)


def test_the_keyboard_alone(page):
    page.load(scene(*THREE))
    page.region("sky").focus()
    page.press("Tab")
    for keys, wanted in [("ArrowRight", (264, 64, 640, 384)), ("Shift+ArrowDown", (264, 128, 640, 384)),
                         ("Shift+ArrowDown", (264, 128, 640, 384)), ("ArrowUp", (264, 120, 640, 384)),
                         ("Control+ArrowLeft", (264, 120, 632, 384)), ("Control+Shift+ArrowUp", (264, 120, 632, 320)),
                         ("Alt+ArrowDown", (264, 120, 632, 328))]:
        page.press(keys)
        page.settle()
        assert page.rectangle(3) == wanted, keys
    assert page.js("document.activeElement.getAttribute('aria-pressed')") == "true"
    assert page.js("getComputedStyle(document.activeElement).outlineStyle") == "solid", "the focus is seen"
    page.press("Enter")
    page.page.keyboard.type("green ")
    page.press("Escape")
    assert "green " in page.value("text", 103)
    page.press("Tab")
    page.settle()
    assert page.find("select[aria-label='Selected region']").input_value() == "4"
    for element in page.find(":is(button, select, input, textarea):visible").all():
        assert element.get_attribute("aria-label") or element.inner_text()


def test_numbers_and_names(page):
    page.load(scene(*THREE))
    page.region("sea").focus()
    for name, value, wanted in [("x", 100, 104), ("width", 9999, 1944), ("height", 8, 64), ("y", 700, 448)]:
        page.number(name, value)
        assert page.value(name, 4) == wanted
    page.number("mask_weight", 2.5)
    page.find("[aria-label='Name']").fill("deep sea")
    page.press("Enter")
    page.choose("Weights", "feathered box")
    page.number("feather", 128)
    assert page.sent()[1][2] == Region("deep sea", 104, 448, 1944, 64, "feathered box", 2.5, 128)
    page.as_the_engine()


def test_the_nodes_move_the_rectangles(page):
    page.load(scene(*THREE), PANORAMA)
    for name, value in [("x", 800), ("height", 128), ("name", "isle")]:
        page.set(name, value, 4)
    assert page.as_the_engine()["isle"] == (800, 128, 512, 128)
    page.set("width", 4096, CANVAS_ID)
    page.as_the_engine()


def test_prompts_and_styles(page):
    prompt = scene(*THREE)
    prompt["60"] = {"class_type": "DSoupStudent", "inputs": {"file": "student.safetensors", "names": ""}}
    prompt["61"] = {"class_type": "DSoupStyleMix", "inputs": {"styles": ["60", 3], "weights": "", "mode": "paper",
                                                              "strength": 1.0, "normalise": True, "extrapolate": False}}
    page.load(prompt)
    page.region("hills").focus()
    page.find("textarea").fill("rolling hills")
    assert page.value("text", 103) == "rolling hills"
    page.set("text", "steep hills", 103)
    page.js("document.activeElement.blur()")
    page.settle()
    assert page.find("textarea").input_value() == "steep hills"
    page.choose("Where its prompt", "104 0")
    page.choose("Its style", "61 0")
    inputs = page.prompt()["3"]["inputs"]
    assert (inputs["positive"], inputs["style"]) == (["104", 0], ["61", 0])
    assert page.find("textarea").input_value() == "sea"
    assert not page.find("select[aria-label^='Where its prompt'] option[value^='50 ']").count(), "no circles"
    page.choose("Its style", "")
    assert "style" not in page.prompt()["3"]["inputs"]


def test_a_grid_moves_by_its_widgets(page):
    page.load(with_grid())
    before = page.as_the_engine()
    page.pull((300, 256), (900, 256))
    assert page.as_the_engine() == before
    page.number("grid_overlap_x", 256)
    assert page.value("grid_overlap_x", 2) == 256 and page.as_the_engine() != before
    page.choose("Selected region", "2:1")
    page.find("textarea").fill("boats")
    page.settle()
    assert page.value("prompts", 2) == "a\nboats\nc"
    page.number("columns", 4)
    assert "4 cells, but 3 lines of prompts" in page.told()
