"""A page with a chain of Soup Ingredients and a Cook Soup, for the tests of its table.

What the rows show is compared with what the engine makes of the prompt that the browser would send.
"""

import pytest

from diffusion_soup import graph

from .. import models
from .pages import GraphPage

SETTINGS = {"method": "soup", "normalise": True, "base": "plain.safetensors", "text_encoder": "none", "vae": "auto",
            "dtype": "auto", "scale": 1.0, "rounding_seed": 0, "device": "auto"}
COOK = 4
CHAIN = [("ember", 1.0), ("deep/tuned", 2.0), ("lagoon", 1.0)]


@pytest.fixture(scope="module", autouse=True)
def shelf(server):
    """A fine-tune of "plain" in a folder, an SDXL and a LoRA, as long as these tests run."""
    base, other = models.sd15(1), models.sd15(2)
    tuned = {key: (value.float() + 0.05 * other[key].float()).to(value.dtype) for key, value in base.items()}
    paths = {"checkpoints/deep/tuned": tuned, "checkpoints/xl": models.sdxl(1), "loras/ink": models.lora(1)}
    for name, state in paths.items():
        path = server.base / f"models/{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        models.save(path, state)
    yield
    for name in paths:
        (server.base / f"models/{name}.safetensors").unlink()


def chained(rows, **settings):
    """A prompt with a chain of ingredients, a Cook Soup, and its recipe as text."""
    prompt, before = {}, {}
    for number, (name, share) in enumerate(rows, 1):
        lora = {"strength": 0.5} if name == "ink" else {}
        prompt[str(number)] = {"class_type": "DSoupLoRAIngredient" if lora else "DSoupIngredient",
                               "inputs": {"file": f"{name}.safetensors", "share": share, **lora, "elements": "",
                                          **before}}
        before = {"ingredients": [str(number), 0]}
    last = len(rows) + 1
    prompt[str(last)] = {"class_type": "DSoupCook", "inputs": {**SETTINGS, **settings, **before}}
    prompt[str(last + 1)] = {"class_type": "DSoupRecipe", "inputs": {"recipe": [str(last), 3]}}
    prompt[str(last + 2)] = {"class_type": "PreviewAny", "inputs": {"source": [str(last + 1), 2]}}
    return prompt


class IngredientPage(GraphPage):
    """One page with a chain in it, looking at the table."""

    def load(self, rows=CHAIN, **settings):
        self.cook = len(rows) + 1
        self.show(chained(rows, **settings))
        self.table()

    def table(self, scale=1):
        """Bring the table into view."""
        self.settle()
        self.js("""([id, scale]) => { const node = app.graph.getNodeById(id); const { ds } = app.canvas;
            ds.scale = scale;
            const top = node.pos[1] + Math.max(node.size[1] - 750 / scale, -60);
            ds.offset = [120 / scale - node.pos[0], 80 / scale - top]; app.canvas.setDirty(true, true); }""",
                [self.cook, scale])
        self.page.locator(".dsoup-ingredients:visible").first.wait_for()
        self.settle()

    def rows(self):
        return self.page.locator(".dsoup-ing-row:visible")

    def row(self, at):
        return self.rows().nth(at)

    def names(self):
        return self.js("[...document.querySelectorAll('.dsoup-ing-name')].filter(e => e.offsetParent)"
                       ".map(e => e.textContent)")

    def values(self):
        return self.js("[...document.querySelectorAll('.dsoup-ing-number')].filter(e => e.offsetParent)"
                       ".map(e => e.value)")

    def slider(self, name):
        return self.page.get_by_role("slider", name=f"Share of {name}", exact=True)

    def act(self, at, name):
        self.row(at).locator(f"button[aria-label^='{name}']").click()
        self.settle()

    def type(self, at, text):
        self.row(at).locator(".dsoup-ing-number").fill(text)
        self.press("Enter")
        self.settle()

    def told(self):
        return self.page.locator(".dsoup-ingredients:visible .dsoup-say").inner_text()

    def shares(self):
        return self.js("app.graph.nodes.filter(n => n.widgets?.some(w => w.name === 'share'))"
                       ".map(n => n.widgets.find(w => w.name === 'share').value)")

    def recipe(self):
        return graph.recipes_of_prompt(self.prompt())[str(self.cook)]

    def as_the_engine(self):
        """The percentages of the rows, which must be those of the recipe that would be cooked."""
        shown = [float(value.rstrip("%")) for value in self.values() if value != "off"]
        assert shown == pytest.approx([100 * share for share in self.recipe().shares()], abs=0.06)
        widths = self.js("[...document.querySelectorAll('.dsoup-ing-segment')].filter(e => e.offsetParent)"
                         ".map(e => parseFloat(e.style.width))")
        assert widths == pytest.approx([100 * share for share in self.recipe().shares()], abs=0.01)
        assert sum(widths) == pytest.approx(100, abs=0.001)
        return shown
