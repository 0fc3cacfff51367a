"""What all tests in a browser share: Chromium, a server to look at, and a page with a graph in it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from demo.comfyui import Server, install

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
# Another frontend than the one ComfyUI pins: the static folder of an unpacked comfyui-frontend-package.
FRONTEND = os.environ.get("COMFYUI_FRONTEND")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")


def serve(base: Path) -> Server:
    """A server on these folders, without welcome dialogs."""
    (base / "user/default").mkdir(parents=True, exist_ok=True)
    (base / "user/default/comfy.settings.json").write_text(json.dumps({"Comfy.TutorialCompleted": True}))
    return Server(install(), base, arguments=("--front-end-root", FRONTEND) if FRONTEND else ())


class GraphPage:
    """One page with a graph in it, ready when a kind of node is known."""

    def __init__(self, page, url, kind):
        self.page, self.errors = page, []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(url)
        page.wait_for_function("kind => Boolean(window.app?.graph && app.extensionManager?.setting"
                               " && window.LiteGraph?.registered_node_types[kind])", arg=kind, timeout=90_000)

    def js(self, code, *values):
        return self.page.evaluate(code, *values)

    def wait(self, condition, value=None):
        self.page.wait_for_function(condition, arg=value, timeout=15_000)

    def show(self, prompt):
        """A prompt as a saved workflow, its nodes in a row."""
        self.js("async prompt => { await app.loadApiJson(prompt, 'test');"
                " await app.loadGraphData(app.graph.serialize());"
                " app.graph.nodes.forEach((node, at) => { node.pos = [at * 480, 100]; });"
                " app.canvas.ds.scale = 1; app.canvas.ds.offset = [100, 60]; app.graph.setDirtyCanvas(true, true); }",
                prompt)
