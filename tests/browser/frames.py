"""Thirty nodes in a page, and what a frame costs while one or all are moved: for the tests and the benchmark."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from statistics import median, quantiles

from .pages import GraphPage

COUNT = 30
COLUMNS, WIDTH, HEIGHT = 10, 520, 700  # of the grid that the nodes stand on
ALL_IN_VIEW = 0.21  # the canvas's scale at which they are; some frontends move them apart
OURS = "/extensions/diffusion_soup/"  # where our code comes from
# What to drag in each editor: the node, and where in it.
EDITORS = {"bars of Soup Block Weights": ("9", ".dsoup-bars.u:visible"),
           "sliders of Mix Styles": ("2", "[data-node='2'] .dsoup-style input, .dsoup-style input"),
           "borders of the bar of Cook Soup": ("16", ".dsoup-ing-divider:visible"),
           "regions of Canvas": ("21", "[data-node='21'] .dsoup-region.first:visible")}


def ours():
    """A prompt with every editor in it, some of them more than once; not to be run."""
    styles = {"1": ("DSoupStudent", {"file": "student.safetensors"}), "2": ("DSoupStyleMix", {"styles": ["1", 3]}),
              "3": ("DSoupStyleMix", {"styles": ["1", 3], "weights": "style 2 = 0.5"}),
              "4": ("DSoupStyleSchedule", {"style": ["2", 0], "then": ["3", 0]}),
              "5": ("DSoupStyleApply", {"model": ["1", 0], "style": ["4", 0]}),
              "6": ("DSoupStudent", {"file": "student2.safetensors"}), "7": ("DSoupStyleMix", {"styles": ["6", 3]}),
              "8": ("DSoupStyleSwap", {"styles": ["1", 3], "other": ["6", 3]})}
    soup = {"9": ("DSoupBlockWeights", {"preset": "Hill"}), "10": ("DSoupBlockWeights", {"mbw": "IN03=0.5, OUT07=1.5"}),
            "11": ("DSoupBlockWeights", {"mbw": "double_blocks.7=0.5"}),
            "12": ("DSoupIngredient", {"file": "ember.safetensors", "block_weights": ["9", 0]}),
            "13": ("DSoupIngredient", {"file": "lagoon.safetensors", "block_weights": ["10", 0],
                                       "ingredients": ["12", 0]}),
            "14": ("DSoupIngredient", {"file": "plain.safetensors", "block_weights": ["11", 0],
                                       "ingredients": ["13", 0]}),
            "15": ("DSoupIngredient", {"file": "student.safetensors", "ingredients": ["14", 0]}),
            "16": ("DSoupCook", {"ingredients": ["15", 0]}), "17": ("DSoupRecipe", {"recipe": ["16", 3]}),
            "18": ("DSoupAdd", {"recipe": ["16", 3], "ingredients": ["12", 0]}),
            "19": ("DSoupCook", {"recipe": ["18", 0]}),
            "20": ("DSoupStyleApply", {"model": ["19", 0], "style": ["7", 0]})}
    regions = {"21": ("DSoupCanvas", {"width": 4096, "wrap": True}),
               **{str(n): ("DSoupRegion", {"regions": [str(n - 1), 0], "x": 640 * (n - 22), "name": f"part {n - 21}"})
                  for n in range(22, 27)},
               "27": ("DSoupRegionGrid", {"regions": ["26", 0], "clip": ["16", 1], "prompts": "hills\nsea\nmoon"}),
               "28": ("DSoupPanorama", {"model": ["20", 0], "regions": ["27", 0]}), "29": ("DSoupCanvas", {}),
               "30": ("DSoupRegion", {"regions": ["29", 0]})}
    return _prompt(styles | soup | regions)


def peers():
    """As many of ComfyUI's own nodes, with as many links."""
    kinds = [("CheckpointLoaderSimple", "", 0), ("CLIPTextEncode", "clip", 1), ("LoraLoader", "model", 0),
             ("EmptyLatentImage", "", 0), ("KSampler", "latent_image", 0), ("VAEDecode", "samples", 0)]
    return _prompt({str(n + 1): (kind, {entry: [str(n), output]} if entry else {})
                    for n in range(COUNT) for kind, entry, output in [kinds[n % len(kinds)]]})


def _prompt(nodes):
    assert len(nodes) == COUNT
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


@dataclass(frozen=True)
class Frames:
    """What was seen while the pointer moved."""

    milliseconds: list[float]  # from frame to frame
    moves: int  # of the pointer
    layouts: float  # for each frame
    busy: float  # milliseconds of the page's own work for each frame
    ours: float | None  # milliseconds of our own code in all; None where no profile was taken, which costs time itself
    script: float | None  # milliseconds of all script

    @property
    def per_second(self) -> float:
        return 1000 / median(self.milliseconds)

    @property
    def slowest(self) -> float:
        """The 95th percentile of the time of a frame, in milliseconds."""
        return quantiles(self.milliseconds, n=20)[-1]

    @property
    def share(self) -> float:
        """Our own code's share of all script."""
        return self.ours / self.script if self.script else 0.0


class ManyNodes(GraphPage):
    """A page with thirty nodes in it."""

    def load(self, prompt=None):
        """The nodes in a grid, all of them in view."""
        self.show(prompt or ours(), COLUMNS, WIDTH, HEIGHT)
        self.wait("count => app.graph.nodes.length === count", COUNT)
        self.look((0, 0), ALL_IN_VIEW)

    def drag_node(self, node: str, seconds: float, profile: bool = False) -> Frames:
        """Drag a node by its title, in circles."""
        before = self._place(node)
        x, y = self.js("""node => { const { ds, canvas } = app.canvas, { left, top } = canvas.getBoundingClientRect();
            const [x, y] = app.graph.getNodeById(node).pos;
            return [left + (x + 120 + ds.offset[0]) * ds.scale, top + (y - 15 + ds.offset[1]) * ds.scale]; }""", node)
        seen = self._drive(x, y, seconds, profile)
        assert self._place(node) != before, "the node was not dragged"
        return seen

    def pan(self, seconds: float, profile: bool = False) -> Frames:
        """Move the whole canvas by the middle button, in circles."""
        before = self.js("[...app.canvas.ds.offset]")
        seen = self._drive(750, 95, seconds, profile, "middle")  # above the first row
        assert self.js("[...app.canvas.ds.offset]") != before, "the canvas was not moved"
        return seen

    def edit(self, editor: str, seconds: float, profile: bool = True) -> Frames:
        """Drag within an editor, in circles."""
        node, place = EDITORS[editor]
        self.look(node)
        before = self.prompt()
        box = self.page.locator(place).first.bounding_box()
        seen = self._drive(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, seconds, profile)
        assert self.prompt() != before, "nothing was edited"
        return seen

    def _place(self, node):
        return self.js("node => [...app.graph.getNodeById(node).pos]", node)

    def _drive(self, x: float, y: float, seconds: float, profile: bool, button: str = "left") -> Frames:
        send = self.tools.send
        send("Performance.enable")
        self.page.mouse.move(x, y)
        self.page.mouse.down(button=button)
        if profile:
            send("Profiler.enable")
            send("Profiler.start")
        before = self._counted()
        self.js("""() => { const times = []; let on = true;
            const tick = (time) => { times.push(time); if (on) requestAnimationFrame(tick); };
            requestAnimationFrame(tick);
            window.dsoupFrames = () => { on = false; return times; }; }""")
        begun, moves = time.monotonic(), 0
        while (spent := time.monotonic() - begun) < seconds:
            moves += 1
            self.page.mouse.move(x + 60 * math.sin(6 * spent), y + 30 - 30 * math.cos(6 * spent))
        times, after = self.js("() => dsoupFrames()"), self._counted()
        ours, script = _script(send("Profiler.stop")["profile"]) if profile else (None, None)
        self.page.mouse.up(button=button)
        between = [later - earlier for earlier, later in zip(times, times[1:])]
        layouts, busy = ((after[name] - before[name]) / len(between) for name in ("LayoutCount", "TaskDuration"))
        return Frames(between, moves, layouts, 1000 * busy, ours, script)

    def _counted(self):
        return {each["name"]: each["value"] for each in self.tools.send("Performance.getMetrics")["metrics"]}


def _script(profile) -> tuple[float, float]:
    """Milliseconds of our own code, with all that it calls, and of all script."""
    nodes = {node["id"]: node for node in profile["nodes"]}
    kinds: dict[int, str] = {}
    waiting = [(profile["nodes"][0], False)]
    while waiting:
        node, mine = waiting.pop()
        mine = mine or OURS in node["callFrame"]["url"]
        idle = node["callFrame"]["functionName"] in ("(root)", "(program)", "(idle)", "(garbage collector)")
        kinds[node["id"]] = "ours" if mine else "none" if idle else "other"
        waiting += [(nodes[child], mine) for child in node.get("children", ())]
    spent = {"ours": 0.0, "other": 0.0, "none": 0.0}
    for sample, passed in zip(profile["samples"], profile["timeDeltas"]):
        spent[kinds[sample]] += passed / 1000
    return spent["ours"], spent["ours"] + spent["other"]
