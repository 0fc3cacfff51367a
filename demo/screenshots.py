"""The README's pictures of the editors, taken from a real ComfyUI with the demo's models.

    python -m demo.screenshots              all of them, into docs/
    python -m demo.screenshots NAME ...     some, by the names in SHOTS
    python -m demo.screenshots --litegraph --frontend pinned --folder /tmp/pictures

Each is a row of SHOTS: which graph, which node, and what is done before the picture is taken. The demo's models are
made where they are missing, as `make demo` does.
"""
from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import frontend, shots, specialists
from .browser import chromium
from .client import ComfyUIError
from .comfyui import Server, install
from .run import DEMO, WORKFLOWS, step, ticker
from .workflows import Prompt

VIEW = {"width": 1600, "height": 1300}
PLACE = 200, 180  # where the node is put: away from all bars
AROUND = 14  # pixels of the canvas around it
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False, "Comfy.Graph.CanvasInfo": False}


@dataclass(frozen=True)
class Shot:
    """One picture: an example workflow by name, or a prompt; one node in it; and what is done first."""

    graph: str | Prompt
    node: int
    prepare: Callable[[Any, int], object] = lambda page, node: None
    width: int | None = None  # of the node, where it is not as saved
    ready: str = ".dsoup"  # what is in the page when the editor is there
    element: str = ""  # what is cut out instead of the node


def widgets(**values: Any) -> Callable[[Any, int], object]:
    """Give widgets of the node these values, as their own controls do."""
    def prepare(page: Any, node: int) -> None:
        page.evaluate("""([node, values]) => { for (const widget of app.graph.getNodeById(node).widgets)
            if (widget.name in values) { widget.value = values[widget.name]; widget.callback?.(widget.value); } }""",
                      [node, values])
    return prepare


def properties(widths: dict[str, Any] | None = None, **values: Any) -> Callable[[Any, int], object]:
    """Give the node these properties, where editors keep how they look, and these widgets their values."""
    def prepare(page: Any, node: int) -> None:
        page.evaluate("([node, values]) => Object.assign(app.graph.getNodeById(node).properties, values)",
                      [node, values])
        widgets(**(widths or {}))(page, node)
        page.evaluate("app.api.dispatchEvent(new CustomEvent('graphChanged'))")
    return prepare


def click(*selectors: str) -> Callable[[Any, int], object]:
    """Click on these, one after the other."""
    def prepare(page: Any, node: int) -> None:
        for selector in selectors:
            page.locator(f"{selector}:visible").first.click()
            page.wait_for_timeout(500)
    return prepare


def drop(name: str, text: str) -> Callable[[Any, int], object]:
    """Let go of a file over an empty place of the graph."""
    def prepare(page: Any, node: int) -> None:
        page.evaluate("""([name, text]) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([text], name, { type: 'application/json' }));
            const box = app.canvas.canvas.getBoundingClientRect();
            const options = { bubbles: true, cancelable: true, clientX: box.right - 300, clientY: box.bottom - 300,
                              dataTransfer };
            app.canvas.canvas.dispatchEvent(new DragEvent('dragover', options));
            app.canvas.canvas.dispatchEvent(new DragEvent('drop', options)); }""", [name, text])
    return prepare


def cook(*workflows: str) -> Callable[[Any, int], object]:
    """Run these example workflows, then open the log of cooks in the sidebar."""
    def prepare(page: Any, node: int) -> None:
        for name in workflows:
            page.evaluate("workflow => app.loadGraphData(workflow)", read(name))
            page.evaluate("""async () => {
                const done = new Promise((resolve, reject) => {
                    app.api.addEventListener('execution_success', resolve, { once: true });
                    app.api.addEventListener('execution_error', ({ detail }) =>
                        reject(new Error(detail.exception_message)), { once: true });
                });
                await app.queuePrompt(0, 1);
                await done; }""")
        page.evaluate("app.extensionManager.sidebarTab.toggleSidebarTab('diffusion-soup-log')")
        page.locator(".dsoup-log .thumb img").first.wait_for()
    return prepare


def read(workflow: str) -> dict[str, Any]:
    """An example workflow."""
    return json.loads((WORKFLOWS / f"{workflow}.json").read_text(encoding="utf-8"))


RECIPE = json.dumps({"diffusion_soup": 1, "base": {"file": "demo-base.safetensors"}, "ingredients": [
    {"file": "neon.safetensors", "weight": 2, "blocks": {"OUT03": 0.2}}, {"file": "watercolour.safetensors"},
    {"kind": "lora", "file": "comic.safetensors", "weight": 0.6}]})

# One row for each picture in docs/.
SHOTS = {
    "block_weights": Shot("per_block_soup", 2, widgets(preset="Hill", mbw=""), 460, ".dsoup-bar"),
    "ingredients": Shot("first_soup", 4, widgets(base="demo-base.safetensors"), 480, ".dsoup-ing-row"),
    "style_sliders": Shot("dmm_four_sliders", 2, widgets(
        weights="neon = 0.7\nlagoon = 0.25\nink = 0.4"), 360, ".dsoup-style"),
    "style_pad": Shot("dmm_four_sliders", 2, properties(
        {"weights": "neon = 0.5\nlagoon = 0.3\nmeadow = 0.2"}, view="triangle"), 360, ".dsoup-styles"),
    "regions": Shot("panorama_five_regions", 3, widgets(), 620, ".dsoup-regions"),
    "recipe": Shot("first_soup", 4, drop("soup.json", RECIPE), None, ".dsoup-ing-row", "dialog.dsoup-recipe"),
    "log": Shot("first_soup", 4, cook("first_soup", "per_block_soup", "lora_soup", "add_and_remove"), None,
                ".dsoup-ing-row", ".dsoup-log"),
}


def main() -> None:
    parser = shots.parser("demo.screenshots", __doc__, SHOTS)
    parser.add_argument("--frontend", choices=(frontend.PINNED, frontend.NEWEST), default=frontend.NEWEST)
    parser.add_argument("--litegraph", action="store_true", help="nodes drawn on the canvas, not Nodes 2.0")
    options = shots.read(parser, SHOTS)
    with step("Making the demo's models (once)"):
        specialists.make(DEMO / "models", progress=ticker)
    with tempfile.TemporaryDirectory(prefix="comfy-", ignore_cleanup_errors=True) as base:
        with serve(Path(base), options.frontend, not options.litegraph) as server, browser(server) as page:
            for name in options.names:
                path = options.folder / f"{name}.jpg"
                with step(f"Taking {path}"):
                    take(page, SHOTS[name], path)


def serve(base: Path, shown: str, vue: bool) -> Server:
    """A server with the demo's models and nobody's settings."""
    (base / "models").symlink_to(DEMO / "models", target_is_directory=True)
    (base / "user/default").mkdir(parents=True)
    settings = SETTINGS | {"Comfy.VueNodes.Enabled": vue}
    (base / "user/default/comfy.settings.json").write_text(json.dumps(settings))
    return Server(install(), base, arguments=frontend.arguments(shown))


@contextmanager
def browser(server: Server) -> Iterator[Any]:
    """A page of ComfyUI, two pixels for each of CSS, when our nodes are known."""
    with chromium() as opened:
        page = opened.new_page(viewport=VIEW, device_scale_factor=2)
        page.goto(server.url)
        page.wait_for_function("Boolean(window.app?.graph && app.extensionManager?.setting"
                               " && window.LiteGraph?.registered_node_types['DSoupCook'])", timeout=90_000)
        yield page


def take(page: Any, shot: Shot, path: Path) -> None:
    """Open the graph, prepare the node and cut it out of the page."""
    if isinstance(shot.graph, str):
        page.evaluate("workflow => app.loadGraphData(workflow)", read(shot.graph))
    else:
        page.evaluate("prompt => app.loadApiJson(prompt, 'picture')", shot.graph)
    # Alone in its place: the other nodes stay connected, but out of sight.
    page.evaluate("""([id, width, [x, y]]) => {
        for (const group of [...app.graph.groups]) app.graph.remove(group);
        for (const node of app.graph.nodes) if (node.id !== id) node.pos = [node.pos[0] + 6000, node.pos[1] + 6000];
        const node = app.graph.getNodeById(id);
        node.pos = [0, 0];
        if (width) node.setSize([width, node.size[1]]);
        app.canvas.deselectAll?.();
        app.canvas.ds.scale = 1; app.canvas.ds.offset = [x, y]; app.graph.setDirtyCanvas(true, true); }""",
                  [shot.node, shot.width, PLACE])
    page.locator(f"{shot.ready}:visible").first.wait_for()
    shot.prepare(page, shot.node)
    page.mouse.move(5, VIEW["height"] - 5)
    page.wait_for_timeout(1500)  # requests, and whatever is animated
    if shot.element:
        shots.shoot(page.locator(f"{shot.element}:visible").first, path)
        page.keyboard.press("Escape")
        return
    left, top, right, bottom = page.evaluate("""id => {
        const element = document.querySelector(`.lg-node[data-node-id='${id}']`), node = app.graph.getNodeById(id);
        const { left, top } = app.canvas.canvas.getBoundingClientRect(), [x, y] = app.canvas.ds.offset;
        const [width, height] = node.size;
        const drawn = { left: left + x, top: top + y - 30, right: left + x + width, bottom: top + y + height };
        const box = element?.getBoundingClientRect() ?? drawn;
        return [box.left, box.top, box.right, box.bottom]; }""", shot.node)
    shots.shoot(page, path, clip={"x": left - AROUND, "y": top - AROUND, "width": right - left + 2 * AROUND,
                                  "height": bottom - top + 2 * AROUND})


if __name__ == "__main__":
    try:
        main()
    except (ComfyUIError, OSError) as error:
        sys.exit(f"error: {error}")
