"""How freely a graph of 30 of our nodes moves in a browser, against as many of ComfyUI's own.

All editors are in it, all nodes are in view. A node is dragged by its title, then the whole canvas is moved, by a real
mouse in headless Chromium: on the frontend that ComfyUI pins and on the newest, drawn on the canvas (LiteGraph) and as
HTML (Nodes 2.0). Then each editor is driven. Chromium draws in software, on the cores of this machine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from demo import frontend
from demo.browser import CHROMIUM, MISSING, chromium
from tests.browser.frames import COUNT, EDITORS, Frames, ManyNodes, ours, peers
from tests.browser.pages import SIZE, serve, stock

from .measure import BenchmarkError, at_least, at_most, in_turn, spread

WANTED = 50  # frames a second
SECONDS = 3.0
GRAPHS = {"our nodes": ours(), "ComfyUI's": peers()}
RENDERINGS = {"LiteGraph": False, "Nodes 2.0": True}


def run(data: Path, runs: int) -> dict[str, Any]:
    measurements, goals = [], []
    for shown in (frontend.PINNED, frontend.NEWEST):
        with _page(shown) as page:
            for rendering, vue in RENDERINGS.items():
                page.render(vue)
                where = f"{rendering}, {shown} frontend"
                found = in_turn(runs, {name: lambda name=name: _moved(page, name) for name in GRAPHS})
                for name, seen in found.items():
                    for what, of in _figures(seen).items():
                        measurements.append(spread(f"{what}, {COUNT} of {name}, {where}", *of))
                dragged, theirs = (median(frames.per_second for frames, _ in found[name]) for name in GRAPHS)
                goals.append(at_least(f"{COUNT} of our nodes while dragging, {where} (ComfyUI's own: {theirs:.0f})",
                                      dragged, WANTED, "frames a second"))
                for editor in EDITORS:
                    times = [_edited(page, editor) for _ in range(runs)]
                    measurements.append(spread(f"our script for each movement of the pointer, {editor}, {where}", times,
                                               "ms"))
                page.load(GRAPHS["our nodes"])
                profile = page.drag_node("9", SECONDS, profile=True)
                goals.append(at_most(f"our code's share of all script while dragging, {where}", 100 * profile.share, 1,
                                     "%"))
    return {"measurements": measurements, "goals": goals,
            "notes": [f"Headless Chromium, {SIZE['width']} x {SIZE['height']} px, software rendering, at most 60 "
                      "frames a second. A drag takes 3 s; its figure is the median of its frames."]}


@contextmanager
def _page(shown: str) -> Iterator[ManyNodes]:
    """A page with this frontend, on a server of its own."""
    if CHROMIUM is None:
        raise BenchmarkError(f"{MISSING}.")
    with tempfile.TemporaryDirectory(prefix="comfy-", ignore_cleanup_errors=True) as folder:
        stock(Path(folder))
        with serve(Path(folder), shown) as server, chromium() as opened:
            yield ManyNodes(opened.new_page(viewport=SIZE), server.url)


def _moved(page: ManyNodes, name: str) -> tuple[Frames, Frames]:
    """What was seen while one node of a graph was dragged, and while the canvas was moved."""
    page.load(GRAPHS[name])
    return page.drag_node("9", SECONDS), page.pan(SECONDS)


def _figures(seen: list[tuple[Frames, Frames]]) -> dict[str, tuple[list[float], str]]:
    drags, pans = zip(*seen)
    found = {}
    for what, frames in (("dragging", drags), ("moving the canvas", pans)):
        found[f"{what}, frames a second"] = [each.per_second for each in frames], "1/s"
        found[f"{what}, 95th percentile of a frame's time"] = [each.slowest for each in frames], "ms"
        found[f"{what}, the page's work for a frame"] = [each.busy for each in frames], "ms"
    return found


def _edited(page: ManyNodes, editor: str) -> float:
    """Milliseconds of our script for each movement of the pointer in an editor, of a graph that nobody has edited."""
    page.load(GRAPHS["our nodes"])
    frames = page.edit(editor, SECONDS / 2)
    return (frames.ours or 0.0) / frames.moves
