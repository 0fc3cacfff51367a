"""What the editors do to a node by themselves is no step of undoing: new, brought back, or built with others."""

import pytest

from .pages import CHROMIUM, GraphPage

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"), pytest.mark.newest]

LATENT = {"9": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 72, "batch_size": 1}}}
TRACKER = "app.extensionManager.workflow.activeWorkflow.changeTracker"
# What is different in the graph from what undoing comes back to.
CHANGES = """() => {
    const [was, is] = [%s.activeState, app.graph.serialize()].map(graph => JSON.parse(JSON.stringify(graph)));
    const found = [];
    const compare = (before, after, where) => {
        if (JSON.stringify(before) === JSON.stringify(after)) return;
        if (!before || !after || typeof before !== 'object' || typeof after !== 'object')
            found.push(`${where}: ${JSON.stringify(before)} -> ${JSON.stringify(after)}`);
        else for (const key of new Set([...Object.keys(before), ...Object.keys(after)]))
            compare(before[key], after[key], `${where}.${key}`); };
    const byId = graph => Object.fromEntries(graph.nodes.map(node => [node.id, node]));
    compare(byId(was), byId(is), 'nodes'); compare(was.links, is.links, 'links');
    return found; }""" % TRACKER


class Page(GraphPage):
    def load(self):
        self.show(LATENT)
        self.check()

    def check(self):
        """ComfyUI looks whether there is a new step, as after each click and key."""
        self.js(f"{TRACKER}.checkState()")

    @property
    def steps(self):
        return self.js(f"{TRACKER}.undoQueue.length")

    @property
    def changes(self):
        """Where nodes are HTML, the pinned frontend gives each node another height once it is seen, ComfyUI's own too."""
        return [each for each in self.js(CHANGES) if not (self.pinned and self.vue and ".size.1:" in each)]

    def add(self, kind):
        """As the search does."""
        self.js("kind => { const node = LiteGraph.createNode(kind); node.pos = [400, 100]; app.graph.add(node); }", kind)

    def undo(self):
        steps = self.steps - 1
        self.press("Control+z")
        self.wait(f"steps => {TRACKER}.undoQueue.length === steps && !{TRACKER}._restoringState", steps)
        self.settle()


@pytest.mark.parametrize("kind", ["DSoupBlockWeights", "DSoupCook", "DSoupStyleMix", "DSoupCanvas", "DSoupPanorama"])
def test_a_node_is_one_step(page, kind):
    steps = page.steps
    page.add(kind)
    page.check()
    page.settle()
    assert page.changes == []
    page.check()
    made = page.steps - steps
    assert made == 1 or page.pinned and page.vue
    page.js("app.canvas.selectNode(app.graph.nodes.at(-1)); app.canvas.deleteSelected()")
    page.check()
    assert page.js("app.graph.nodes.length") == 1
    page.undo()
    assert page.js("app.graph.nodes.length") == 2 and page.changes == []
    for _ in range(made):
        page.undo()
    assert page.js("app.graph.nodes.length") == 1 and page.changes == []
