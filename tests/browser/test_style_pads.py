"""The fader and the pads of Mix Styles in a real browser, in both renderings of nodes."""

import json

import pytest

from .console_page import NAMES, NODE, console_page, hundredths  # noqa: F401  a fixture
from .console_page import ConsolePage as Page  # noqa: F401  the fixtures take the module's own
from .pages import CHROMIUM

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


# -- the fader ------------------------------------------------------------------------------------


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


# -- the pads -------------------------------------------------------------------------------------


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
