"""The sliders of Mix Styles in a real browser, in both renderings of nodes."""

import json

import pytest

from .pages import GraphPage

playwright = pytest.importorskip("playwright.sync_api")

STYLES = ["style 1", "style 2", "style 3", "style 4"]
MIX = {"styles": ["1", 3], "weights": "", "mode": "paper", "strength": 1.0, "normalise": True, "extrapolate": False}
PROMPT = {"1": {"class_type": "DSoupStudent", "inputs": {"file": "student.safetensors", "names": ""}},
          "2": {"class_type": "DSoupStyleMix", "inputs": MIX},
          "3": {"class_type": "DSoupStyleApply",
                "inputs": {"model": ["1", 0], "style": ["2", 0], "start": 0.0, "end": 1.0}}}


class Page(GraphPage):
    """One page with a graph in it."""

    def load(self, weights="", shown=(0, 0, 0, 0), **student):
        """The graph of these tests, as a saved workflow: student -> mix -> apply."""
        prompt = json.loads(json.dumps(PROMPT))
        prompt["1"]["inputs"].update(student)
        prompt["2"]["inputs"]["weights"] = weights
        self.show(prompt)
        self.expect(STYLES, *shown)

    def sliders(self):
        """Name and shown weight of each."""
        return self.js("[...document.querySelectorAll('.dsoup-style')].map(row => [row.querySelector('span')"
                       ".textContent, Number(row.querySelector('output').textContent)])")

    def expect(self, names, *weights):
        """Wait until these sliders are shown, with these weights."""
        wanted = [[name, weight] for name, weight in zip(names, weights or [0] * len(names), strict=True)]
        try:
            self.wait("wanted => JSON.stringify([...document.querySelectorAll('.dsoup-style')].map(row => ["
                      "row.querySelector('span').textContent, Number(row.querySelector('output').textContent)])) "
                      "=== JSON.stringify(wanted)", wanted)
        except playwright.TimeoutError:
            pytest.fail(f"the sliders are {self.sliders()}, expected {wanted}")

    def text(self):
        return self.js("app.graph.getNodeById(2).widgets.find(w => w.name === 'weights').value")

    def slider(self, name):
        return self.page.locator(f".dsoup-style input[aria-label='{name}']")


@pytest.mark.newest
def test_a_slider_for_each_style_where_the_text_says(page):
    page.load("style 2 = 0.7\nstyle 4 = 0.25", shown=(0, 0.7, 0, 0.25))
    height, needed = page.js("[node => node.size[1], node => node.computeSize()[1]].map(of => "
                             "of(app.graph.getNodeById(2)))")
    assert height >= needed, "the node grows with its sliders"
    page.picture("style_sliders")


def test_a_long_name_stays_in_the_node(page):
    names = ["painting in the manner of " + 7 * "very " + "long names", "<b>ink</b> & \"pen\"", "墨", "3D"]
    page.set("names", "\n".join(names), 1)
    page.expect(names)
    width, of_node = page.js("[document.querySelector('.dsoup-style').getBoundingClientRect().width, "
                             "app.graph.getNodeById(2).size[0]]")
    assert 0.8 * of_node < width < of_node


@pytest.mark.newest
def test_dragging_writes_the_text_and_not_the_node_s_place(page):
    before = page.js("[...app.graph.getNodeById(2).pos]")
    box = page.slider("style 3").bounding_box()
    y = box["y"] + box["height"] / 2
    page.page.mouse.move(box["x"] + 20, y)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + box["width"] * 0.5, y, steps=4)
    page.page.mouse.move(box["x"] + box["width"] * 0.75, y, steps=4)
    page.page.mouse.up()
    name, _, weight = page.text().partition(" = ")
    assert name == "style 3" and 0.73 <= float(weight) <= 0.77
    page.expect(STYLES, 0, 0, float(weight), 0)
    assert page.js("[...app.graph.getNodeById(2).pos]") == before


def test_the_text_on_the_screen_follows(page):
    page.slider("style 1").fill("0.7")
    assert page.text() == "style 1 = 0.7"
    page.wait("[...document.querySelectorAll('textarea')].some(area => area.value === 'style 1 = 0.7')")


@pytest.mark.newest
def test_typing_moves_the_sliders(page):
    page.page.locator("textarea:not([placeholder='names'])").first.fill("style 1=0.5, style 3 = .25")
    page.expect(STYLES, 0.5, 0, 0.25, 0)
    assert page.text() == "style 1=0.5, style 3 = .25"


def test_numbers_alone_become_names(page):
    page.set("weights", "0.5 0 0.25", 2)
    page.expect(STYLES, 0.5, 0, 0.25, 0)
    page.slider("style 2").fill("1")
    assert page.text() == "style 1 = 0.5\nstyle 2 = 1\nstyle 3 = 0.25"


def test_zero_is_left_out_and_other_lines_stay(page):
    page.set("weights", "another = 2\nstyle 2 = 0.5, style 4 = 1", 2)
    page.slider("style 2").fill("0")
    assert page.text() == "another = 2\nstyle 4 = 1"
    page.slider("style 4").fill("0")
    assert page.text() == "another = 2"


def test_extrapolation_widens_the_range(page):
    reach = "() => ['min', 'max'].map(end => Number(document.querySelector('.dsoup-style input')[end]))"
    assert page.js(reach) == [0, 1]
    page.set("extrapolate", True, 2)
    assert page.js(reach) == [-1, 2]
    page.slider("style 1").fill("-0.5")
    assert page.text() == "style 1 = -0.5"


@pytest.mark.newest
def test_the_sliders_are_not_saved(page):
    page.slider("style 1").fill("0.7")
    assert page.js("app.graph.getNodeById(2).serialize().widgets_values") == ["style 1 = 0.7", "paper", 1, True, False]
    prompt = page.js("async () => (await app.graphToPrompt()).output")
    assert prompt["2"]["inputs"] == {**MIX, "weights": "style 1 = 0.7", "styles": ["1", 3]}


def test_they_follow_the_file_and_its_names(page):
    page.set("file", "student2.safetensors", 1)
    page.expect(STYLES[:2])
    page.set("names", "ink\nanime", 1)
    page.expect(["ink", "anime"])
    page.set("weights", "ink = 1", 2)
    page.expect(["ink", "anime"], 1, 0)
    page.set("names", "ink\nanime\none too many", 1)
    page.expect([])
    page.set("names", "", 1)
    page.set("file", "plain.safetensors", 1)
    page.expect([])
    assert page.text() == "ink = 1"


def test_they_follow_the_link(page):
    page.js("app.graph.getNodeById(2).disconnectInput(0)")
    page.expect([])
    page.js("app.graph.getNodeById(1).connect(3, app.graph.getNodeById(2), 0)")
    page.expect(STYLES)


def test_through_a_reroute(page):
    page.js("""() => {
        const reroute = LiteGraph.createNode('Reroute'); app.graph.add(reroute);
        app.graph.getNodeById(1).connect(3, reroute, 0); reroute.connect(0, app.graph.getNodeById(2), 0); }""")
    page.set("file", "student2.safetensors", 1)
    page.expect(STYLES[:2])


def test_styles_that_only_the_running_graph_knows(page):
    page.js("""() => {
        const cook = LiteGraph.createNode('DSoupCook'); app.graph.add(cook);
        cook.connect(4, app.graph.getNodeById(2), 0); }""")
    page.expect([])


@pytest.mark.newest
def test_undo(page):
    page.check()
    page.slider("style 2").fill("0.5")
    page.check()
    page.expect(STYLES, 0, 0.5, 0, 0)
    page.undo()
    page.expect(STYLES)
    page.redo()
    page.expect(STYLES, 0, 0.5, 0, 0)


@pytest.mark.newest
def test_switching_the_rendering(page):
    for vue in (not page.vue, page.vue):
        page.render(vue)
        page.expect(STYLES)
        page.slider("style 1").fill("0.25")
        page.expect(STYLES, 0.25, 0, 0, 0)
        page.slider("style 1").fill("0")


@pytest.mark.newest
def test_at_200_percent(zoomed):
    """A drag goes where the pointer is, and a slider has its whole room in the node."""
    page = zoomed
    page.look(2)
    box = page.slider("style 3").bounding_box()
    y = box["y"] + box["height"] / 2
    page.drag((box["x"] + 20, y), (box["x"] + box["width"] * 0.5, y), (box["x"] + box["width"] * 0.75, y))
    name, _, weight = page.text().partition(" = ")
    assert name == "style 3" and 0.73 <= float(weight) <= 0.77
    assert page.js("[...document.querySelectorAll('.dsoup-style, .dsoup-style span')].every(part =>"
                   " part.scrollHeight <= part.clientHeight + 1 && part.scrollWidth <= part.clientWidth)")
    page.picture("style_sliders_200")
