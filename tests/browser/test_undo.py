"""What the editors do to a node by themselves is no step of undoing: new, brought back, or built with others."""

import pytest

from .pages import CHROMIUM, TRACKER, GraphPage

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"), pytest.mark.newest]

LATENT = {"9": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 72, "batch_size": 1}}}
# What is different in the graph from what undoing comes back to.
CHANGES = """tracker => {
    const [was, is] = [tracker.activeState, app.graph.serialize()].map(graph => JSON.parse(JSON.stringify(graph)));
    const found = [];
    const compare = (before, after, where) => {
        if (JSON.stringify(before) === JSON.stringify(after)) return;
        if (!before || !after || typeof before !== 'object' || typeof after !== 'object')
            found.push(`${where}: ${JSON.stringify(before)} -> ${JSON.stringify(after)}`);
        else for (const key of new Set([...Object.keys(before), ...Object.keys(after)]))
            compare(before[key], after[key], `${where}.${key}`); };
    const byId = graph => Object.fromEntries(graph.nodes.map(node => [node.id, node]));
    compare(byId(was), byId(is), 'nodes'); compare(was.links, is.links, 'links');
    return found; }"""


class Page(GraphPage):
    def load(self):
        self.show(LATENT)
        self.check()

    @property
    def changes(self):
        """Where nodes are HTML, the pinned frontend gives all nodes another height once they are seen."""
        found = self.page.evaluate_handle(TRACKER).evaluate(CHANGES)
        return [each for each in found if not (self.pinned and self.vue and ".size.1:" in each)]

    def add(self, kind):
        """As the search does."""
        self.js("kind => { const node = LiteGraph.createNode(kind); node.pos = [400, 100]; app.graph.add(node); }",
                kind)


@pytest.mark.parametrize("kind", ["DSoupBlockWeights", "DSoupCook", "DSoupStyleMix", "DSoupCanvas", "DSoupPanorama"])
def test_a_node_is_one_step(page, kind):
    steps = page.steps
    page.add(kind)
    page.check()
    page.settle()
    assert page.changes == []
    page.check()
    assert page.steps == steps + 1 or page.pinned and page.vue
    page.js("app.canvas.selectNode(app.graph.nodes.at(-1)); app.canvas.deleteSelected()")
    page.check()
    assert page.js("app.graph.nodes.length") == 1
    page.undo_until(nodes=2)
    assert page.changes == []
    page.undo_until(nodes=1)
    assert page.changes == []
