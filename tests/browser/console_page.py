"""A page with a Student and Mix Styles, for the tests of its console.

What the console says of a mix is compared with what the engine makes of the widgets that the browser would send.
"""

import json

import pytest

from diffusion_soup.dmm import StyleMix

from .. import models
from .pages import GraphPage

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


class ConsolePage(GraphPage):
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


@pytest.fixture(name="page")
def console_page(rendering, server):
    """The module's page, into which each test loads its own graph; no mixes are saved."""
    (server.base / MIXES).unlink(missing_ok=True)
    rendering.errors.clear()
    yield rendering
    assert rendering.errors == []


def hundredths(weights):
    return sum(round(weight * 100) for weight in weights.values())
