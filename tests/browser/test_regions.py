"""The region canvas on Canvas and Panorama in a real browser, in both renderings of nodes: what it shows and says, and
its node."""

import json
import math
import os

import numpy as np
import pytest

from diffusion_soup.panorama import Layout, picture

from .pages import CHROMIUM
from .region_page import BACK, CANVAS, CANVAS_ID, PANORAMA, THREE, TWO, region_page, scene, whole, with_grid  # noqa: F401
from .region_page import RegionPage as Page  # noqa: F401  the fixtures take the module's own

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


# -- what is shown --------------------------------------------------------------------------------


def test_regions_lie_where_the_engine_has_them(page):
    for prompt in (scene(("odd", 3, 5, 642, 300), *THREE),
                   with_grid(rows=2, columns=4, prompts="\n".join("abcdefgh"), grid_overlap_y=64),
                   scene(*TWO, ("around", 1800, 0, 640, 512), ("before", -320, 0, 640, 512), wrap=True)):
        page.load(prompt)
        page.as_the_engine()
    page.load(with_grid(columns=5, prompts="a\nb\nc\nd\ne"), PANORAMA)
    page.set("wrap", True, CANVAS_ID)
    page.as_the_engine()


def test_the_heat_is_that_of_the_plan(page):
    page.load(scene(*THREE))
    layout = Layout(*page.sent())
    parts = picture.shares(layout)
    hills = (parts[1].numpy()[..., None] > .5).repeat(3, 2)
    for heat, wanted in (("who", picture.coloured(parts)), ("mix", picture.heat(parts))):
        page.choose("What the picture shows", heat)
        assert np.abs(page_pixels(page) - wanted * 255).max() < 2.5
    page.choose("What the picture shows", "share")
    page.region("hills").focus()
    page.settle()
    bright = page_pixels(page)[..., 0] > 123
    assert (bright == hills[..., 0]).mean() > .99
    page.choose("What the picture shows", "none")


def page_pixels(page):
    data, width, height = page.js("""on => { const paper = document.querySelector(
        `.dsoup-regions[data-node="${on}"] .dsoup-heat`);
        return [[...paper.getContext('2d').getImageData(0, 0, paper.width, paper.height).data], paper.width,
            paper.height]; }""", page.on)
    return np.array(data, float).reshape(height, width, 4)[..., :3]


# -- what is wrong is said before the run ---------------------------------------------------------


@pytest.mark.parametrize("prompt", [
    pytest.param(scene(("left", 0, 0, 640, 512), ("right", 1200, 128, 640, 384)), id="hole"),
    pytest.param(scene(BACK, ("lost", 1800, 0, 640, 512)), id="outside"),
    pytest.param(with_grid(prompts="a\nb"), id="lines"),
    pytest.param(scene(), id="nothing", marks=pytest.mark.slow),
    pytest.param(with_grid(grid_overlap_x=2048), id="cells", marks=pytest.mark.slow),
    pytest.param(scene(BACK, tile_width=256), id="tiles", marks=pytest.mark.slow),
    pytest.param(scene((*BACK[:5], {"start": 0.25}), ("it's", 0, 0, 512, 512)), id="asleep", marks=pytest.mark.slow),
])
def test_what_the_engine_refuses_is_said(page, server, prompt):
    page.load(prompt)
    failed = server.client.run(page.with_text()).failure
    assert page.told() and page.told() in failed.message
    assert page.find(".dsoup-say.wrong").count() == 1


def test_a_hole_is_seen_and_filled(page):
    page.load(scene(("left", 0, 0, 640, 512), ("right", 1024, 0, 1024, 512)))
    assert page.find(".dsoup-holes > div").count() == 1 and "384 x 512 px at x = 640" in page.told()
    page.region("left").focus()
    page.pull((640, 256), (1030, 256))
    assert page.rectangle(2) == (0, 0, 1024, 512)
    assert page.find(".dsoup-holes > div").count() == 0 and page.find(".wrong").count() == 0


def test_a_region_outside_is_made_to_fit(page):
    page.load(scene(BACK, ("lost", 5000, 304, 640, 512)))
    assert "Region 'lost' reaches from y = 304 to 816" in page.told()
    page.find("button", ).filter(has_text="Fit").click()
    page.settle()
    assert page.rectangle(3) == (1408, 0, 640, 512)
    page.as_the_engine()


# -- chains ---------------------------------------------------------------------------------------


def test_links_bypassed_and_muted_nodes(page):
    page.load(scene(*THREE))
    page.js("""() => { const number = LiteGraph.createNode('PrimitiveInt'); app.graph.add(number);
        number.widgets[0].value = 320; number.pos = [0, 900]; const node = app.graph.getNodeById(3);
        number.connect(0, node, node.inputs.findIndex(input => input.name === 'x')); }""")
    page.settle()
    assert page.shown()["hills"][0] == 320, "a number from elsewhere is shown"
    page.pull((500, 300), (700, 300))
    assert page.shown()["hills"][0] == 320 and page.value("x", 3) == 256, "and left alone"
    page.js("app.graph.getNodeById(3).mode = 4; app.graph.getNodeById(3).onConnectionsChange?.()")
    page.settle()
    assert list(page.shown()) == ["sky", "sea"]
    page.js("app.graph.getNodeById(3).mode = 2; app.graph.getNodeById(3).onConnectionsChange?.()")
    page.look_at(PANORAMA)
    assert "muted" in page.told()


def test_of_two_chains_one_is_chosen(page):
    prompt = scene(*THREE)
    prompt["70"] = {**prompt["4"], "inputs": {**prompt["4"]["inputs"], "name": "other", "regions": ["2", 0]}}
    page.load(prompt)
    assert set(page.shown()) == {"sky", "hills", "sea"}
    page.choose("Chain", "70")
    assert set(page.shown()) == {"sky", "other"}
    page.find("button[aria-label^='Draw']").click()
    page.pull((1000, 100), (1800, 400))
    assert set(page.shown()) == {"sky", "other", "region 3"}
    assert page.prompt()[PANORAMA]["inputs"]["regions"] == ["4", 0]
    page.look_at(PANORAMA)
    assert set(page.shown()) == {"sky", "hills", "sea"}


# -- the node -------------------------------------------------------------------------------------


@pytest.mark.newest
def test_load_and_save_give_the_same(page):
    page.load(scene(*THREE))
    page.choose("What the picture shows", "who")
    page.pull((500, 300), (700, 333))
    saved = page.js("app.graph.getNodeById(1).serialize().widgets_values")
    assert saved == list(CANVAS.values()), "the editor adds nothing to the widgets"
    workflow, prompt, shown = page.save(), page.prompt(), page.shown()
    page.js("app.graph.clear()")
    page.open(workflow)
    page.settle()
    page.settle()
    def size(node):  # heights are ComfyUI's there, and change with each load, its own nodes' too
        return node["size"][:1] if page.pinned and page.vue else node["size"]

    one, other = ({node["id"]: (node["widgets_values"], node["properties"], size(node)) for node in each["nodes"]
                   if node["type"].startswith("DSoup")} for each in map(json.loads, (workflow, page.save())))
    assert one == other
    assert (page.prompt(), page.shown()) == (prompt, shown)


def test_the_panorama_s_regions_are_folded_away(page):
    page.load(scene(*THREE), PANORAMA)
    height = "app.graph.getNodeById(50).computeSize()[1]"
    open_height = page.js(height)
    page.find("button[aria-label^='Fold']").click()
    page.settle()
    assert not page.find(".dsoup-frame").is_visible() and "3 regions" in page.find(".dsoup-tools").inner_text()
    assert page.js(height) < open_height - 100
    page.find("button[aria-label^='Fold']").click()
    page.settle()
    page.pull((500, 300), (700, 333))
    page.as_the_engine()


def test_large(page):
    page.load(scene(*THREE))
    page.find("button[aria-label^='Large']").click()
    page.settle()
    frame = page.page.locator(".dsoup-large .dsoup-frame").bounding_box()
    assert frame["width"] > 1200
    y = frame["y"] + frame["height"] / 2
    page.drag((frame["x"] + frame["width"] * .3, y), (frame["x"] + frame["width"] * .5, y))
    page.settle()
    moved = page.rectangle(3)
    assert moved[0] > 600
    page.press("Control+z")
    page.wait("() => app.graph.getNodeById(3).widgets.find(w => w.name === 'x').value === 256")
    page.page.locator(".dsoup-large .dsoup-region").first.wait_for()
    page.press("Escape")
    page.settle()
    assert page.page.locator(".dsoup-large").count() == 0
    page.as_the_engine()


def test_the_run_says_the_same(page, server):
    page.load(scene(*THREE))
    page.pull((500, 300), (700, 333))
    boxes = page.as_the_engine()
    report = server.client.run(page.with_text()).succeeded().outputs["51"]["text"][0]
    for name, (x, y, width, height) in boxes.items():
        assert f"{name}: x {x}, y {y}, {width} x {height} px;" in report


@pytest.mark.slow
def test_a_stroke_is_quick(page):
    """Milliseconds of script for each movement of the pointer and for each picture, with twelve regions and heat."""
    page.load(scene(*((f"part {n}", n * 320, 0, 576, 512) for n in range(12)), width=4096))
    page.choose("What the picture shows", "who")
    page.page.mouse.move(*page.at(2000, 256))
    page.page.mouse.down()
    spent = page.js("""async ([x, y, far]) => {
        const frame = document.querySelector('.dsoup-regions[data-node="1"] .dsoup-frame');
        const spent = [];
        const after = window.requestAnimationFrame; let frames = 0;
        let ours = false; // and not the graph's drawing of itself
        window.requestAnimationFrame = call => ours ? after(time => { const begun = performance.now(); call(time);
            frames += performance.now() - begun; }) : after(call);
        for (let at = 0; at < 60; at += 1) {
            frames = 0;
            const begun = performance.now();
            ours = true;
            frame.dispatchEvent(new PointerEvent('pointermove', { bubbles: true, buttons: 1, pointerId: 1,
                clientX: x + far * Math.sin(at / 9), clientY: y }));
            const moved = performance.now() - begun;
            ours = false;
            await new Promise(done => after(done));
            spent.push([moved, frames]);
        }
        window.requestAnimationFrame = after;
        return spent; }""", [*page.at(2000, 256), 80])
    page.page.mouse.up()
    page.as_the_engine()
    move, frame = (sorted(each)[15] for each in zip(*spent))  # the quicker ones: other work shares the cores
    print(f"{move:.1f} ms for a movement of the pointer, {frame:.1f} ms for a picture")
    assert move < 10 and frame < 40


def test_pictures(page):
    """Pictures to look at, where SCREENSHOTS names a folder."""
    pictures = os.environ.get("SCREENSHOTS")
    if not pictures:
        pytest.skip("SCREENSHOTS is not set")
    page.load(scene(*THREE, ("around", 1800, 64, 640, 384), wrap=True))
    page.region("hills").focus()
    for heat in ("none", "who", "share"):
        page.choose("What the picture shows", heat)
        page.page.screenshot(path=f"{pictures}/regions_{heat}_{'vue' if page.vue else 'litegraph'}.png")
    assert math.isfinite(page.find(".dsoup-frame").bounding_box()["height"])
