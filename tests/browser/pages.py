"""What all tests in a browser share: a server to look at, and a page with a graph in it."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
from pathlib import Path

from demo import frontend
from demo.browser import CHROMIUM
from demo.comfyui import Server, install

from .. import models

__all__ = ["CHROMIUM", "FRONTEND", "SIZE", "TRACKER", "GraphPage", "serve", "stock"]

# Any other frontend to run all tests on: the static folder of an unpacked comfyui-frontend-package.
FRONTEND = os.environ.get("COMFYUI_FRONTEND")
SIZE = {"width": 1500, "height": 900}


def stock(base: Path) -> None:
    """The models that the graphs of these tests name."""
    shelf = base / "models/checkpoints"
    shelf.mkdir(parents=True, exist_ok=True)
    for name, state in {"ember": models.sd15(1), "lagoon": models.sd15(2), "plain": models.sd15(1),
                        "student": models.student(6), "student2": models.student(7, 2)}.items():
        models.save(shelf / f"{name}.safetensors", state)


def serve(base: Path, shown: str = FRONTEND or frontend.PINNED) -> Server:
    """A server on these folders with this frontend, without welcome dialogs."""
    (base / "user/default").mkdir(parents=True, exist_ok=True)
    (base / "user/default/comfy.settings.json").write_text(json.dumps({"Comfy.TutorialCompleted": True}))
    return Server(install(), base, arguments=frontend.arguments(shown))


# Which questions to our routes have no answer yet.
COUNT_QUESTIONS = """
    const fetch = window.fetch; window.dsoupAsking = new Set();
    window.fetch = (...question) => {
        const answer = fetch(...question);
        if (String(question[0]?.url ?? question[0]).includes('/diffusion_soup/')) {
            const over = answer.catch(() => {}).then(() => dsoupAsking.delete(over));
            dsoupAsking.add(over);
        }
        return answer; };"""
# Another workflow in the tab that is open. One tab for each would pile up, and slow down all of them.
LOAD = """async text => {
    const { activeWorkflow } = app.extensionManager.workflow;
    await app.loadGraphData(JSON.parse(text), true, true, activeWorkflow);
    for (const list of ['undoQueue', 'redoQueue']) activeWorkflow.changeTracker[list]?.splice(0); }"""

TRACKER = "app.extensionManager.workflow.activeWorkflow.changeTracker"


class GraphPage:
    """One page with a graph in it, ready when our nodes are known."""

    def __init__(self, page, url):
        self.page, self.errors, self.vue, self.pinned = page, [], False, True
        self.workflows = {}
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.add_init_script(COUNT_QUESTIONS)
        page.goto(url)
        page.wait_for_function("Boolean(window.app?.graph && app.extensionManager?.setting"
                               " && window.LiteGraph?.registered_node_types['DSoupCook'])", timeout=90_000)

    def js(self, code, *values):
        return self.page.evaluate(code, *values)

    def wait(self, condition, value=None):
        self.page.wait_for_function(condition, arg=value, timeout=15_000)

    def settle(self):
        """Until the editors have nothing more to do: they look at their nodes a tenth of a second after the last
        change, and may ask the server then."""
        self.js("""async () => {
            const frames = async () => { for (let n = 0; n < 2; n++) await new Promise(requestAnimationFrame); };
            await frames();
            await new Promise(done => setTimeout(done, 130));
            while (dsoupAsking.size) await Promise.race(dsoupAsking);
            await frames(); }""")

    def render(self, vue):
        """Nodes as HTML (Nodes 2.0), or drawn on the canvas (LiteGraph)."""
        self.vue = vue
        self.js("value => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', value)", vue)

    @contextlib.contextmanager
    def zoomed(self, factor=2, width=960, height=540):
        """The page as the browser's own zoom shows it: each CSS pixel so many on the screen, and fewer of them.

        That is all a page sees of Ctrl and +: ``devicePixelRatio`` and a ``resize``. As it is, 200% in a window of
        1920 x 1080.
        """
        try:
            self._measures(width, height, factor)
            yield
        finally:
            self._measures(SIZE["width"], SIZE["height"], 1)

    def _measures(self, width, height, factor):
        self.tools.send("Emulation.setDeviceMetricsOverride",  # Playwright's screenshots undo it, ``picture`` does not
                        {"width": width, "height": height, "deviceScaleFactor": factor, "mobile": False})
        self.wait("wanted => `${[innerWidth, innerHeight, devicePixelRatio]}` === `${wanted}`", [width, height, factor])
        self.settle()

    @functools.cached_property
    def tools(self):
        """The page's developer tools. They stay: what they set ends with them."""
        return self.page.context.new_cdp_session(self.page)

    def picture(self, name):
        """A picture to look at, where SCREENSHOTS names a folder."""
        folder = os.environ.get("SCREENSHOTS")
        if not folder:
            return
        rendering = "vue" if self.vue else "litegraph"
        path = Path(folder, f"{name}_{'pinned' if self.pinned else 'newest'}_{rendering}.png")
        path.write_bytes(base64.b64decode(self.tools.send("Page.captureScreenshot")["data"]))

    # -- the graph -------------------------------------------------------------------------------

    def show(self, prompt, columns=100, width=480, height=0):
        """A prompt as a saved workflow, its nodes in a row; or in a grid."""
        key = self.vue, json.dumps(prompt)
        if key not in self.workflows:
            self.js("prompt => app.loadApiJson(prompt, 'test')", prompt)
            self.js("""([columns, width, height]) => app.graph.nodes.forEach((node, at) => {
                node.pos = [(at % columns) * width, 100 + Math.floor(at / columns) * height]; })""",
                    [columns, width, height])
            self.workflows[key] = self.save()
        self.open(self.workflows[key])
        self.look((0, 100))

    def look(self, at, scale=1.0):
        """Bring a place of the graph, or a node by its id, to the left and top of the canvas, below all bars."""
        self.js("""([at, scale]) => {
            const [x, y] = Array.isArray(at) ? at : app.graph.getNodeById(at).pos;
            app.canvas.ds.scale = scale; app.canvas.ds.offset = [100 / scale - x, 160 / scale - y];
            app.graph.setDirtyCanvas(true, true); }""", [at, scale])
        self.settle()

    def save(self):
        """The workflow as the text of a saved file."""
        return self.js("() => JSON.stringify(app.graph.serialize())")

    def open(self, saved):
        """A saved workflow, in the place of the one that is shown."""
        self.js(LOAD, saved)

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

    # -- undoing ---------------------------------------------------------------------------------

    def check(self):
        """ComfyUI looks whether there is a new step, as after each click and key."""
        self.js(f"({TRACKER}.captureCanvasState ?? {TRACKER}.checkState).call({TRACKER})")

    @property
    def steps(self):
        """How often it can be undone."""
        return self.js(f"{TRACKER}.undoQueue.length")

    def undo(self, times=1):
        self._restore("Control+z", times)

    def undo_until(self, nodes):
        """One step back, after which there must be so many nodes. Where nodes are HTML, the pinned frontend gives each
        node, ComfyUI's own too, another height once it is seen, and that may be steps between."""
        for _ in range(4 if self.pinned and self.vue else 1):
            if self.js("app.graph.nodes.length") != nodes:
                self.undo()
        assert self.js("app.graph.nodes.length") == nodes

    def redo(self, times=1):
        self._restore("Control+y", times)

    def _restore(self, keys, times):
        """Until the graph is made of other nodes; or, where it was empty, there is one step more or less."""
        self.js("document.activeElement.blur()")
        for _ in range(times):
            self.js("void (window.dsoupBefore = [...app.graph.nodes])")
            steps = self.steps
            self.press(keys)
            self.wait(f"""steps => !{TRACKER}._restoringState && (dsoupBefore.length
                ? app.graph.nodes.every(node => !dsoupBefore.includes(node))
                : {TRACKER}.undoQueue.length !== steps)""", steps)
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
