"""What all tests in a browser share: Chromium, a server to look at, and a page with a graph in it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from demo.comfyui import Server, install

from .. import models

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
# Another frontend than the one ComfyUI pins: the static folder of an unpacked comfyui-frontend-package.
FRONTEND = os.environ.get("COMFYUI_FRONTEND")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")


def stock(base: Path) -> None:
    """The models that the graphs of these tests name."""
    shelf = base / "models/checkpoints"
    shelf.mkdir(parents=True, exist_ok=True)
    for name, state in {"ember": models.sd15(1), "lagoon": models.sd15(2), "plain": models.sd15(1),
                        "student": models.student(6), "student2": models.student(7, 2)}.items():
        models.save(shelf / f"{name}.safetensors", state)


def serve(base: Path) -> Server:
    """A server on these folders, without welcome dialogs."""
    (base / "user/default").mkdir(parents=True, exist_ok=True)
    (base / "user/default/comfy.settings.json").write_text(json.dumps({"Comfy.TutorialCompleted": True}))
    return Server(install(), base, arguments=("--front-end-root", FRONTEND) if FRONTEND else ())


class GraphPage:
    """One page with a graph in it, ready when our nodes are known."""

    def __init__(self, page, url):
        self.page, self.errors, self.vue = page, [], False
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(url)
        page.wait_for_function("Boolean(window.app?.graph && app.extensionManager?.setting"
                               " && window.LiteGraph?.registered_node_types['DSoupCook'])", timeout=90_000)

    def js(self, code, *values):
        return self.page.evaluate(code, *values)

    def wait(self, condition, value=None):
        self.page.wait_for_function(condition, arg=value, timeout=15_000)

    def settle(self):
        """Until the editors have nothing more to do: what they do by themselves takes a tenth of a second."""
        self.page.wait_for_timeout(350)

    def render(self, vue):
        """Nodes as HTML (Nodes 2.0), or drawn on the canvas (LiteGraph)."""
        self.vue = vue
        self.js("value => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', value)", vue)

    # -- the graph -------------------------------------------------------------------------------

    def show(self, prompt):
        """A prompt as a saved workflow, its nodes in a row."""
        self.js("async prompt => { await app.loadApiJson(prompt, 'test');"
                " await app.loadGraphData(app.graph.serialize());"
                " app.graph.nodes.forEach((node, at) => { node.pos = [at * 480, 100]; });"
                " app.canvas.ds.scale = 1; app.canvas.ds.offset = [100, 60]; app.graph.setDirtyCanvas(true, true); }",
                prompt)

    def prompt(self):
        """What the browser would send to the queue."""
        return self.js("async () => (await app.graphToPrompt()).output")

    def value(self, name, node):
        return self.js("([node, name]) => app.graph.getNodeById(node).widgets.find(w => w.name === name).value",
                       [node, name])

    def set(self, name, value, node):
        """Give a widget a value, as its own controls do."""
        self.js("([node, name, value]) => { const widget = app.graph.getNodeById(node).widgets.find(w => w.name === "
                "name); widget.value = value; widget.callback?.(value); }", [node, name, value])
        self.settle()

    # -- mouse and keyboard ----------------------------------------------------------------------

    def press(self, keys):
        self.page.keyboard.press(keys)

    def drag(self, *points):
        self.page.mouse.move(*points[0])
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*point, steps=6)
        self.page.mouse.up()

    def paste(self, text):
        self.js("text => { const data = new DataTransfer(); data.setData('text/plain', text);"
                " document.activeElement.dispatchEvent(new ClipboardEvent('paste', "
                "{ clipboardData: data, bubbles: true, cancelable: true })); }", text)
        self.settle()
