"""A page with Soup Block Weights in it, for the tests of its editor.

What the bars show is compared with what the engine makes of the same widgets, taken from the prompt that the browser
would send.
"""

import json

import pytest

from diffusion_soup import graph
from diffusion_soup.blocks import block_names

from .pages import GraphPage

SD1, SDXL = graph.FAMILIES
FLAT = ",".join(["0.5"] * 26)
SLIDERS = dict.fromkeys(block_names("sd1"), 1.0)
NODE = {"family": SD1, "meaning": graph.TIMES, "preset": "none", "mbw": "", "dialect": "supermerger"}
PROMPT = {"1": {"class_type": "DSoupBlockWeights", "inputs": {**NODE, **SLIDERS}},
          "2": {"class_type": "DSoupIngredient",
                "inputs": {"file": "ember.safetensors", "share": 1.0, "elements": "", "block_weights": ["1", 0]}},
          "3": {"class_type": "DSoupIngredient",
                "inputs": {"file": "lagoon.safetensors", "share": 0.5, "elements": "", "ingredients": ["2", 0]}},
          "4": {"class_type": "DSoupCook",
                "inputs": {"ingredients": ["3", 0], "method": "soup", "normalise": True, "base": "none",
                           "text_encoder": "none", "vae": "auto", "dtype": "auto"}},
          "5": {"class_type": "DSoupRecipe", "inputs": {"recipe": ["4", 3]}},
          "6": {"class_type": "PreviewAny", "inputs": {"source": ["5", 2]}}}


class BlockPage(GraphPage):
    """One page with a graph in it."""

    def load(self, **widgets):
        """The graph of these tests, as a saved workflow."""
        prompt = json.loads(json.dumps(PROMPT))
        prompt["1"]["inputs"].update(widgets)
        self.show(prompt)
        self.page.locator(".dsoup-blocks .dsoup-bar:visible").first.wait_for()
        self.settle()

    def give(self, **widgets):
        """The node with these values, and the defaults for all others, without loading anything."""
        self.js("""values => { for (const widget of app.graph.getNodeById(1).widgets) if (widget.name in values) {
            widget.value = values[widget.name]; widget.callback?.(widget.value); } }""", {**NODE, **SLIDERS, **widgets})
        self.settle()

    def text(self):
        return self.value("mbw")

    def value(self, name, node=1):
        return super().value(name, node)

    def set(self, name, value, node=1):
        super().set(name, value, node)

    def bar(self, name):
        return self.page.get_by_role("slider", name=name, exact=True)

    def track(self, name):
        return self.page.locator(f".dsoup-bar[data-block='{name}'] .dsoup-track:visible").bounding_box()

    def shown(self):
        """The number each bar tells to assistive technology."""
        return self.js("Object.fromEntries([...document.querySelectorAll('.dsoup-blocks .dsoup-bar')]"
                       ".filter(bar => bar.offsetParent && !bar.classList.contains('unset'))"
                       ".map(bar => [bar.dataset.block, Number(bar.querySelector('input').getAttribute("
                       "'aria-valuenow'))]))")

    def told(self):
        return self.page.locator(".dsoup-blocks .dsoup-say").inner_text()

    def engine(self):
        """What the engine makes of the widgets that the browser would send."""
        return dict(graph.block_weights(**self.prompt()["1"]["inputs"]).weights)

    def as_the_engine(self):
        weights = self.engine()
        assert self.shown() == {name: pytest.approx(value, abs=0.00006) for name, value in weights.items()}
        return weights

    def tool(self, name):
        return self.page.locator(f".dsoup-blocks button[aria-label^='{name}']")

    def source(self, label):
        self.page.locator(".dsoup-blocks select[aria-label='Source of the weights']").select_option(label=label)

    def at(self, name, share):
        """A point in the track of a bar: 0 at its foot, 1 at its top."""
        box = self.track(name)
        return box["x"] + box["width"] / 2, box["y"] + box["height"] * (1 - share)
