"""What goes wrong is said in one sentence, as a toast and on the node, in both renderings of nodes."""

import copy
import json
import os

import pytest

from .pages import CHROMIUM, GraphPage

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

TOASTS = ".p-toast, .sr-only"  # what newer frontends say aloud
COOK = {"method": "soup", "normalise": True, "base": "none", "text_encoder": "none", "vae": "auto", "dtype": "auto"}
PROMPT = {"1": {"class_type": "DSoupIngredient", "inputs": {"file": "ember.safetensors", "share": 1.0, "elements": ""}},
          "2": {"class_type": "DSoupCook", "inputs": {"ingredients": ["1", 0], **COOK}},
          "3": {"class_type": "DSoupRecipe", "inputs": {"recipe": ["2", 3]}},
          "4": {"class_type": "PreviewAny", "inputs": {"source": ["3", 2]}}}
MARKUP = "<img src=x onerror=window.hacked=1>.safetensors"
NEEDS_BASE = "Task arithmetic works on differences from a base; name the base checkpoint."


class Page(GraphPage):
    """One page with a graph in it."""

    def load(self, **cook):
        prompt = copy.deepcopy(PROMPT)
        prompt["2"]["inputs"].update(cook)
        self.show(prompt)
        self.settle()

    def run(self):
        """Queue the graph, and close the dialog that ComfyUI itself may show."""
        self.js("() => void app.queuePrompt(0, 1)")

    def event(self, kind, **detail):
        """What the server might send."""
        self.js("async ([kind, detail]) => { const { api } = await import('/scripts/api.js');"
                " api.dispatchEvent(new CustomEvent(kind, { detail })); }", [kind, detail])

    def close_dialogs(self):
        self.page.wait_for_timeout(300)
        self.press("Escape")

    def message(self, node, kind="wrong"):
        """The text of the message on a node, when it is there."""
        self.wait("([id, kind]) => { const found = app.graph.getNodeById(id).widgets.find(widget => widget.name === "
                  "'dsoup_message')?.element; return found?.isConnected && found.offsetHeight > 10 && "
                  "found.classList.contains(kind); }", [node, kind])
        return self.js("id => app.graph.getNodeById(id).widgets.find(widget => widget.name === 'dsoup_message')"
                       ".element.querySelector('.says').textContent", node)

    def silent(self, node):
        self.wait("id => !app.graph.getNodeById(id).widgets.find(widget => widget.name === 'dsoup_message')?.element"
                  ".offsetHeight", node)

    def toast(self, sentence):
        self.page.locator(TOASTS).get_by_text(sentence).first.wait_for(state="attached")


@pytest.fixture
def page(rendering):
    rendering.errors.clear()
    rendering.js("app.extensionManager.toast.removeAll?.()")
    yield rendering
    rendering.close_dialogs()
    assert rendering.errors == [] and rendering.js("window.hacked") is None


@pytest.mark.newest
def test_a_failed_cook(page):
    page.load(method="task_arithmetic")
    size = page.js("app.graph.getNodeById(2).size[1]")
    page.run()
    assert page.message(2) == NEEDS_BASE
    page.toast(NEEDS_BASE)
    page.close_dialogs()
    if folder := os.environ.get("SCREENSHOTS"):
        page.page.wait_for_timeout(600)
        page.page.screenshot(path=f"{folder}/message_{'vue' if page.vue else 'litegraph'}.png")
    page.silent(1)
    assert page.js("app.graph.getNodeById(2).size[1]") >= size
    page.set("method", "soup", 2)
    page.run()
    assert page.message(2, "done").startswith("cooked ")


def test_a_message_is_not_saved_and_can_be_taken_away(page):
    page.load(method="task_arithmetic")
    saved = page.js("app.graph.getNodeById(2).serialize()")
    page.run()
    page.message(2)
    page.close_dialogs()
    now = page.js("app.graph.getNodeById(2).serialize()")
    assert now["widgets_values"] == saved["widgets_values"] and NEEDS_BASE not in json.dumps(now)
    page.js("app.graph.getNodeById(2).widgets.find(widget => widget.name === 'dsoup_message').element"
            ".querySelector('button').click()")
    page.silent(2)
    assert page.js("app.graph.getNodeById(2).size[1]") <= saved["size"][1] + 40


def test_a_name_with_markup_is_text(page):
    recipe = {"diffusion_soup": 1, "ingredients": [{"file": MARKUP}]}
    page.show({"1": {"class_type": "DSoupRecipe", "inputs": {"json": json.dumps(recipe)}},
               "2": {"class_type": "DSoupCook", "inputs": {"recipe": ["1", 0], **COOK}},
               "3": {"class_type": "DSoupRecipe", "inputs": {"recipe": ["2", 3]}},
               "4": {"class_type": "PreviewAny", "inputs": {"source": ["3", 2]}}})
    page.run()
    assert page.message(2).startswith(f"{MARKUP} was not found")
    assert page.js("document.querySelectorAll('.dsoup-message img').length") == 0


def test_a_refused_prompt(page):
    page.load()
    page.js("app.graph.getNodeById(1).widgets.find(widget => widget.name === 'share').value = 99")
    page.run()
    assert "99" in page.message(1) and "max" in page.message(1)
    page.close_dialogs()
    page.js("app.graph.getNodeById(1).widgets.find(widget => widget.name === 'share').value = 1")
    page.run()
    page.silent(1)


def test_notes_of_a_cook(page):
    page.load()
    page.event("executed", node="2", display_node="2", output={"diffusion_soup": [
        {"hash": "ab" * 32, "notes": ["ember has no text encoder.", "<b>bold</b>"]}]})
    assert page.message(2, "noted") == "cooked ababababab\nember has no text encoder.\n<b>bold</b>"


def test_nodes_of_others_and_stopping_are_no_failures_of_ours(page):
    page.load()
    page.event("execution_error", node_id="4", node_type="PreviewAny", exception_type="ValueError",
               exception_message="theirs", traceback=[])
    page.event("execution_interrupted", node_id="2", node_type="DSoupCook", executed=[])
    page.settle()
    page.silent(1)
    page.silent(2)
    assert page.js("app.graph.getNodeById(4).widgets.some(widget => widget.name === 'dsoup_message')") is False


def test_in_a_subgraph(page):
    page.load(method="task_arithmetic")
    page.js("() => { app.canvas.selectItems([app.graph.getNodeById(1), app.graph.getNodeById(2)]);"
            " app.graph.convertToSubgraph(app.canvas.selectedItems); }")
    page.settle()
    page.run()
    page.toast(NEEDS_BASE)
