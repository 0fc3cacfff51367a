"""The bars of Soup Block Weights in a real browser, in both renderings: what they show, and how they fit in."""

import json

import pytest

from diffusion_soup import graph

from .block_page import FLAT, SDXL
from .block_page import BlockPage as Page  # noqa: F401  the fixtures take the module's own

# -- what is shown -------------------------------------------------------------------------------


SHOWN = [
    {}, {"IN05": 0.25, "OUT11": 1.5, "FINAL": 0},
    {"preset": "Hill"}, {"preset": "Style only", "family": SDXL}, {"preset": "Hill", "mbw": "M00=0.5"},
    {"mbw": FLAT}, {"mbw": ",".join(["0.25"] * 20), "family": SDXL}, {"mbw": FLAT, "family": SDXL},
    {"mbw": "[" + ", ".join(f"{n / 26:.3f}" for n in range(25)) + "]", "meaning": graph.INSTEAD},
    {"mbw": " ".join(f"{n / 30:.2f}" for n in [*range(15), 14, 14, *range(17, 30)]), "dialect": "comfyui"},
    {"mbw": "0.25,.5,1e0", "dialect": "comfyui-blocks", "family": SDXL},
    {"mbw": "OUT03=0.2,IN00 = 1.5\nM00=-.5, IN00=0.75,", "meaning": graph.INSTEAD},
    {"mbw": "IN03=1_0, IN04=00.5"},
]


@pytest.mark.newest
def test_bars_show_what_the_engine_says(page):
    for widgets in SHOWN:
        page.give(**widgets)
        page.as_the_engine()
        assert page.value("mbw") == widgets.get("mbw", ""), "looking changes nothing"


@pytest.mark.parametrize("widgets", [SHOWN[1], SHOWN[3], SHOWN[8], SHOWN[-2]], ids=str)
def test_bars_of_a_saved_graph(page, widgets):
    page.load(**widgets)
    page.as_the_engine()
    assert page.value("mbw") == widgets.get("mbw", "")


def test_what_is_wrong_is_said_and_the_text_is_left_alone(page):
    for widgets, told in [
        ({"mbw": "0.5,0.5"}, "2 block weights given"), ({"mbw": "IN03=half"}, "is not NAME=number"),
        ({"mbw": ",".join(["R"] * 26)}, "which its tool fills in when it runs"),
        ({"mbw": "IN03=nan"}, "finite number"), ({"mbw": FLAT, "dialect": "soup"}, "26 block weights given"),
    ]:
        page.give(**widgets)
        assert told in page.told()
        page.drag(page.at("IN03", 0.5), page.at("IN04", 0.9))
        assert page.text() == widgets["mbw"]


def test_typing_moves_the_bars(page):
    page.page.locator("textarea").first.fill("IN03=0.5")
    page.settle()
    assert page.shown()["IN03"] == 0.5
    page.as_the_engine()


def test_blocks_of_another_family_are_rows(page):
    page.load(mbw="double_blocks.7=0.5, single_blocks.0=1.5, BASE=0.25")
    assert page.shown() == {"double_blocks.7": 0.5, "single_blocks.0": 1.5, "BASE": 0.25}
    page.bar("double_blocks.7").focus()
    page.press("ArrowRight")
    page.press("ArrowDown")
    page.press("Shift+ArrowLeft")
    assert page.engine() == {"double_blocks.7": 0.55, "single_blocks.0": 1.49, "BASE": 0.25}
    x, y = page.at("BASE", 0.5)
    page.drag((x - 50, y), (x, y))
    assert page.as_the_engine()["BASE"] == 1


def test_many_rows_are_scrolled(page):
    names = [f"single_blocks.{n}" for n in range(38)]
    page.load(mbw=", ".join(f"{name}=0.5" for name in names))
    scrolled = "document.querySelector('.dsoup-more').scrollTop"
    page.bar(names[0]).focus()
    for _ in range(20):
        page.press("ArrowDown")
    below = page.js(scrolled)
    assert below > 100
    page.page.mouse.move(*page.at(names[20], 0.5))
    page.page.mouse.wheel(0, -60)
    page.settle()
    assert page.js(scrolled) < below and page.js("app.canvas.ds.scale") == 1
    assert page.js("app.graph.getNodeById(1).size[1]") < 700


def test_what_assistive_technology_is_told(page):
    page.load(mbw="IN03=0.25", meaning=graph.INSTEAD)
    bar = page.bar("IN03")
    told = {name: bar.get_attribute(f"aria-{name}") for name in ("valuenow", "valuemin", "valuemax", "valuetext")}
    assert told == {"valuenow": "0.25", "valuemin": "0", "valuemax": "1", "valuetext": "0.25 as the share"}
    assert page.bar("IN04").get_attribute("aria-valuetext") == "the ingredient's share"
    assert page.page.locator(".dsoup-blocks").get_by_role("slider").count() == 28
    for button in page.page.locator(".dsoup-blocks :is(button, select)").all():
        assert button.get_attribute("aria-label") or button.inner_text()


# -- the sliders and the node --------------------------------------------------------------------


def test_the_sliders_are_put_away_and_count(page):
    hidden = "app.graph.getNodeById(1).widgets.filter(({ hidden, name }) => hidden && name !== 'dsoup_message').length"
    assert page.js(hidden) == 28
    height = page.js("app.graph.getNodeById(1).size[1]")
    page.set("IN05", 0.25)
    assert page.as_the_engine()["IN05"] == 0.25
    page.tool("Show the sliders").dispatch_event("click")
    page.settle()
    assert page.js(hidden) == 0
    page.open(page.save())
    page.settle()
    assert page.js(hidden) == 0 and page.value("IN05") == 0.25
    if page.vue and page.pinned:  # newer ones have them below "Show advanced inputs"
        page.page.get_by_text("IN05", exact=True).wait_for(timeout=5000)
    page.tool("Show the sliders").dispatch_event("click")
    page.settle()
    assert page.js(hidden) == 28
    if not page.vue:
        assert page.js("app.graph.getNodeById(1).size[1]") == height


def test_a_graph_from_before_there_were_bars(page):
    """The room of the sliders is given back."""
    height = page.js("app.graph.getNodeById(1).size[1]")
    saved = json.loads(page.save())
    node = next(node for node in saved["nodes"] if node["type"] == "DSoupBlockWeights")
    node |= {"size": [300, 856], "properties": {"Node name for S&R": "DSoupBlockWeights"}}
    page.open(json.dumps(saved))
    page.settle()
    assert page.js("app.graph.getNodeById(1).size[1]") <= height
    page.as_the_engine()


def test_a_slider_with_a_link_stays(page):
    page.js("""() => { const number = LiteGraph.createNode('PrimitiveFloat'); app.graph.add(number);
        const node = app.graph.getNodeById(1);
        number.connect(0, node, node.inputs.findIndex(input => input.name === 'IN05')); }""")
    page.settle()
    page.settle()
    assert page.js("(widget => widget.visibility?.suppression.byConnection || !widget.hidden)("  # newer ones hide it
                   "app.graph.getNodeById(1).widgets.find(widget => widget.name === 'IN05'))")
    assert "IN05 comes through a link" in page.told()
    page.set("mbw", "IN03=0.5")
    assert page.shown() == {"IN03": 0.5} and "link" not in page.told()


def test_a_text_with_a_link_is_not_overwritten(page):
    page.js("""() => { const text = LiteGraph.createNode('PrimitiveString'); app.graph.add(text);
        const node = app.graph.getNodeById(1);
        text.connect(0, node, node.inputs.findIndex(input => input.name === 'mbw')); }""")
    page.settle()
    page.settle()
    assert "mbw comes through a link" in page.told()
    page.drag(page.at("IN03", 0.5), page.at("IN07", 0.2))
    assert page.text() == ""


def test_resizing(page):
    before = page.track("IN00")
    if page.vue:
        box = page.page.locator(".lg-node", has=page.page.locator(".dsoup-blocks")).bounding_box()
        corner = box["x"] + box["width"] - 3, box["y"] + box["height"] - 3
    else:
        width, height = page.js("[...app.graph.getNodeById(1).size]")
        corner = 100 + width - 3, 160 + height - 3
    page.drag(corner, (corner[0] + 200, corner[1] + 250))
    page.settle()
    after = page.track("IN00")
    assert after["width"] > before["width"] * 1.3
    assert after["height"] >= before["height"] + (0 if page.vue else 50), "Nodes 2.0 gives the room to the text"
    editor = page.page.locator(".dsoup-blocks").bounding_box()
    last = page.track("FINAL")
    assert last["x"] + last["width"] <= editor["x"] + editor["width"]


@pytest.mark.newest
def test_switching_the_rendering(page):
    for vue in (not page.vue, page.vue):
        page.render(vue)
        page.as_the_engine()
        page.drag(page.at("IN05", 0.5), page.at("IN05", 0.25))
        assert page.as_the_engine()["IN05"] == 0.5
        page.set("mbw", "")


def test_without_the_route_there_are_sliders(page):
    page.page.route("**/diffusion_soup/blocks", lambda route: route.abort())
    try:
        page.js("""() => {
            const lib = '/extensions/diffusion_soup/lib';
            Promise.all([import(`${lib}/block_editor.js`), import(`${lib}/block_tables.js`)]).then((
                [{ BlockEditor }, { BlockTables }]) => {
                const node = LiteGraph.createNode('DSoupBlockWeights');
                window.alone = new BlockEditor(node, () => app.canvas, new BlockTables(route => fetch(route)));
                return window.alone.refresh(); }); }""")
        page.wait("() => window.alone && !window.alone.node.widgets.some(w => w.name === 'IN05' && w.hidden)")
        assert page.js("window.alone.widget.hidden") is True
    finally:
        page.page.unroute("**/diffusion_soup/blocks")


@pytest.mark.newest
def test_at_200_percent(zoomed):
    """A stroke goes where the pointer is, and labels, buttons and bars have their room."""
    page = zoomed
    page.look((0, 320))  # the bars are below the middle of the window
    page.drag(page.at("IN03", 0.75), page.at("IN07", 0.75))
    weights = page.as_the_engine()
    assert [name for name, value in weights.items() if value != 1] == [f"IN{n:02}" for n in range(3, 8)]
    page.page.mouse.dblclick(*page.at("M00", 0.2))
    page.page.keyboard.type("1.375")
    page.press("Enter")
    assert page.engine()["M00"] == 1.375
    assert page.js("""[...document.querySelectorAll('.dsoup-blocks :is(button, select, .dsoup-say)')].filter(part =>
        part.offsetParent && (part.scrollWidth > part.clientWidth + 1 || !part.getBoundingClientRect().width))
        .map(part => part.outerHTML)""") == [], "nothing is cut off"
    page.picture("block_editor_200")


def test_pictures(page):
    """Pictures to look at, where SCREENSHOTS names a folder."""
    page.give(preset="Hill", meaning=graph.INSTEAD)
    page.bar("IN06").focus()
    page.press("ArrowUp")
    page.settle()
    page.picture("block_editor")
