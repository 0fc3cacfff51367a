"""A page with a Canvas, regions and a Panorama, for the tests of the region canvas.

What it shows is compared with what the engine makes of the prompt that the browser would send.
"""

import json

import pytest

from diffusion_soup.panorama import GRID, Canvas, Region, grid, place

from .. import models
from .pages import GraphPage

CANVAS = {"width": 2048, "height": 512, "wrap": False, "batch_size": 1, "tile_width": 1024, "tile_height": 1024,
          "overlap_x": 256, "overlap_y": 256}
REGION = {"weights": "gaussian", "mask_weight": 1.0, "feather": 64, "cfg": 0.0, "start": 0.0, "end": 1.0,
          "noise_seed": -1, "hold": 0.4}
LOADER, CANVAS_ID, PANORAMA, AGAINST, TEXT = "10", "1", "50", "99", 100
RECTANGLE = ("x", "y", "width", "height")


def scene(*regions, **canvas):
    """A prompt of regions (name, x, y, width, height, {more}), each with a prompt of its name."""
    prompt = {LOADER: {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "ember.safetensors"}},
              CANVAS_ID: {"class_type": "DSoupCanvas", "inputs": {**CANVAS, **canvas}}}
    last = CANVAS_ID
    for number, (name, x, y, width, height, *more) in enumerate(regions, 2):
        prompt[str(TEXT + number)] = text(name)
        prompt[str(number)] = {"class_type": "DSoupRegion", "inputs": {
            "regions": [last, 0], "positive": [str(TEXT + number), 0], "name": name, "x": x, "y": y, "width": width,
            "height": height, **REGION, **(more[0] if more else {})}}
        last = str(number)
    return finished(prompt, last)


def finished(prompt, last):
    prompt[AGAINST] = text("blurry")
    prompt[PANORAMA] = {"class_type": "DSoupPanorama", "inputs": {
        "model": [LOADER, 0], "regions": [last, 0], "negative": [AGAINST, 0], "tiles_at_once": 0}}
    prompt["51"] = {"class_type": "PreviewAny", "inputs": {"source": [PANORAMA, 5]}}
    return prompt


def text(words):
    return {"class_type": "CLIPTextEncode", "inputs": {"clip": [LOADER, 1], "text": words}}


def with_grid(**values):
    inputs = {"regions": [CANVAS_ID, 0], "clip": [LOADER, 1], "prompts": "a\nb\nc", "everywhere": "", "rows": 1,
              "columns": 3, "grid_overlap_x": 128, "grid_overlap_y": 128,
              **{name: REGION[name] for name in ("weights", "mask_weight", "feather", "cfg", "start", "end")}}
    prompt = scene()
    prompt["2"] = {"class_type": "DSoupRegionGrid", "inputs": {**inputs, **values}}
    return finished(prompt, "2")


BACK = ("sky", 0, 0, 2048, 512, {"weights": "constant", "mask_weight": 0.02})
TWO = (("left", 0, 0, 1088, 512), ("right", 960, 0, 1088, 512))
THREE = (BACK, ("hills", 256, 64, 640, 384), ("sea", 1200, 128, 512, 256))


@pytest.fixture(scope="module", autouse=True)
def whole(server):
    """A checkpoint with a text encoder, as long as these tests run."""
    path = server.models / "checkpoints/whole.safetensors"
    models.save(path, models.sd15(1, text=True))
    yield
    path.unlink()


class RegionPage(GraphPage):
    """One page with a graph in it: Canvas and Panorama above, the other nodes below."""

    on = CANVAS_ID

    def load(self, prompt, on=CANVAS_ID):
        self.on = on
        key = self.vue, json.dumps(prompt), on
        if key not in self.workflows:
            self.js("prompt => app.loadApiJson(prompt, 'test')", prompt)
            self.settle()  # nodes that are new take the height that they need
            self.workflows[key] = self.js("""on => {
                const graph = app.graph.serialize(); let at = 0;
                for (const node of graph.nodes) {
                    node.pos = String(node.id) === on ? [0, 0] : [(at++ % 6) * 480 + 520, Math.floor(at / 6) * 760];
                    node.size = [Math.max(node.size[0], 440), node.size[1]];
                }
                return JSON.stringify(graph); }""", on)
        self.open(self.workflows[key])
        self.js("app.canvas.ds.scale = 1; app.canvas.ds.offset = [100, 60]; app.graph.setDirtyCanvas(true, true)")
        self.page.locator(self.inside(".dsoup-area")).first.wait_for(state="attached")
        self.settle()

    def inside(self, selector):
        """In the editor that the tests look at."""
        return f".dsoup-regions:not(.dsoup-large)[data-node='{self.on}'] {selector}"

    def look_at(self, on):
        """Look at the editor of another node; what is off the screen is not on the page in newer frontends."""
        self.on = on
        self.js("on => app.canvas.centerOnNode(app.graph.getNodeById(on))", on)
        self.find(".dsoup-area").first.wait_for(state="attached")
        self.settle()

    def find(self, selector):
        return self.page.locator(self.inside(selector))

    def region(self, name):
        return self.find(f".dsoup-region.first[aria-label*=', {name}:']")

    def shown(self):
        """Name -> rectangle in pixels as it is drawn; a wrapped one reaches past the edge."""
        return self.js("""on => {
            const frame = document.querySelector(`.dsoup-regions[data-node="${on}"] .dsoup-frame`);
            const [wide, high] = frame.getAttribute('aria-label').match(/\\d+/g).map(Number);
            const box = element => ['left', 'top', 'width', 'height'].map((name, at) =>
                Math.round(parseFloat(element.style[name]) / 100 * (at % 2 ? high : wide)));
            return Object.fromEntries([...frame.querySelectorAll('.dsoup-region.first')].map(element => {
                const whole = box(element);
                const rest = [...frame.querySelectorAll('.dsoup-region.rest')].find(each =>
                    each.dataset.key === element.dataset.key && !each.hidden);
                if (rest) whole[2] += box(rest)[2];
                return [element.getAttribute('aria-label').match(/, (.*): x /)[1], whole]; })); }""", self.on)

    def sent(self):
        """Canvas and regions as the engine has them of the prompt that the browser would send."""
        prompt = self.prompt()
        chain, at = [], prompt[PANORAMA]["inputs"]["regions"][0]
        while prompt[at]["class_type"] != "DSoupCanvas":
            chain.insert(0, prompt[at])
            at = prompt[at]["inputs"]["regions"][0]
        canvas = Canvas(**{name: value for name, value in prompt[at]["inputs"].items() if name != "batch_size"})
        regions = []
        for node in chain:
            values = node["inputs"]
            counts = values["weights"], values["mask_weight"], values["feather"], values["start"], values["end"]
            boxes = [tuple(values[name] for name in RECTANGLE)] if node["class_type"] == "DSoupRegion" else grid(
                canvas, values["rows"], values["columns"], values["grid_overlap_x"], values["grid_overlap_y"])
            names = [values["name"]] if "name" in values else values["prompts"].split("\n")
            regions += [Region(name or f"region {len(regions) + 1}", *box, *counts) for name, box in zip(names, boxes)]
        return canvas, regions

    def as_the_engine(self):
        """Check that what is drawn is what the engine would paint; its rectangles by name."""
        canvas, regions = self.sent()
        boxes = {region.name: place(canvas, region).scaled(GRID) for region in regions}
        self.settle()
        assert self.shown() == {name: [box.x, box.y, box.width, box.height] for name, box in boxes.items()}
        return {name: (box.x, box.y, box.width, box.height) for name, box in boxes.items()}

    def with_text(self):
        """The prompt that the browser would send, of a checkpoint with a text encoder."""
        prompt = self.prompt()
        prompt[LOADER]["inputs"]["ckpt_name"] = "whole.safetensors"
        return prompt

    def told(self):
        return self.find(".dsoup-say [role=status]").inner_text()

    def at(self, x, y):
        """The point on the screen of a place of the canvas in pixels."""
        box = self.find(".dsoup-frame").bounding_box()
        wide, high = (int(each) for each in self.js(
            "on => document.querySelector(`.dsoup-regions[data-node='${on}'] .dsoup-frame`).getAttribute('aria-label')"
            ".match(/\\d+/g)", self.on)[:2])
        return box["x"] + box["width"] * x / wide, box["y"] + box["height"] * y / high

    def pull(self, *places, alt=False):
        """Drag along places of the canvas; with Alt nothing is drawn to edges."""
        if alt:
            self.page.keyboard.down("Alt")
        self.drag(*(self.at(*each) for each in places))
        if alt:
            self.page.keyboard.up("Alt")
        self.settle()

    def field(self, name):
        return self.find(f"input[data-field='{name}']")

    def number(self, name, value):
        self.field(name).fill(str(value))
        self.press("Enter")
        self.settle()

    def choose(self, label, value):
        self.find(f"select[aria-label^='{label}']").select_option(value)
        self.settle()

    def rectangle(self, node):
        return tuple(self.value(name, node) for name in RECTANGLE)

    def undo_to(self, prompt, steps):
        """Undo so many steps; ComfyUI adds some where it measures a node anew, or where typing takes a pause."""
        self.check()
        assert steps <= self.steps <= steps + 2
        for _ in range(steps + 4):
            if self.steps:
                self.undo()
        assert self.prompt() == prompt


@pytest.fixture(name="page")
def region_page(rendering):
    """The module's page, into which each test loads its own graph."""
    rendering.errors.clear()
    yield rendering
    assert rendering.errors == []
