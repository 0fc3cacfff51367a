"""An unchanged recipe is not cooked again, and a changed block is cooked alone."""

import re

from ..engine.sd_keys import unet
from ..models import SD15_ONE_LEVEL
from .graphs import Graph, pictures, ran, same, shown, soup_picture


def cooked(comfy):
    """(tensors cooked, tensors in all) of every cook so far, from the server's log."""
    return [(int(done), int(total)) for done, total in re.findall(r"cooked (\d+) of (\d+) tensors", comfy.log())]


def run_twice(client, first, second):
    """Whether the second graph cooked anything after the first."""
    client.run(first).succeeded()
    result = client.run(second).succeeded()
    assert ran(result, second, "KSampler")
    return ran(result, second, "DSoupCook")


def test_seed_and_prompt(client):
    graphs = Graph(), Graph()
    for seed, graph in enumerate(graphs):
        graph.picture("clay", "neon", seed=seed)
    graphs[1]["5"]["inputs"]["text"] = "another"
    assert not run_twice(client, *graphs)


def test_unrelated_nodes(client):
    plain, more = Graph(), Graph()
    plain.picture("clay", "neon", seed=1)
    more.picture("clay", "neon", seed=2)
    more("PreviewImage", images=more("EmptyImage", width=64, height=64, batch_size=1, color=255)[0])
    assert not run_twice(client, plain, more)


def test_other_node_numbers(client):
    """Numbers and order of the nodes say nothing about the soup."""
    graph = Graph()
    graph.picture("clay", "neon", seed=1)
    renamed = Graph()
    for name, node in reversed(graph.items()):
        inputs = {key: [f"n{value[0]}", value[1]] if isinstance(value, list) else value
                  for key, value in node["inputs"].items()}
        renamed[f"n{name}"] = {"class_type": node["class_type"], "inputs": inputs}
        if node["class_type"] == "KSampler":
            inputs["seed"] = 2
    assert not run_twice(client, graph, renamed)


def test_a_changed_file_is_cooked(client, comfy):
    """The same name with other content is another ingredient."""
    link = comfy.models / "checkpoints" / "changing.safetensors"
    link.symlink_to(comfy.models / "checkpoints" / "clay.safetensors")
    first = soup_picture(client, "changing", "neon")
    link.unlink()
    link.symlink_to(comfy.models / "checkpoints" / "watercolour.safetensors")
    second = soup_picture(client, "changing", "neon")
    link.unlink()
    assert not same(first, second)
    assert same(second, soup_picture(client, "watercolour", "neon"))


def changed(*texts):
    """Graphs of the same soup with other block weights."""
    for text in texts:
        graph = Graph()
        soup = graph.cook("clay", ("neon", 1.0, graph.blocks(text)))
        graph.sample(soup[0], soup[2])
        yield graph


def test_changed_block_alone_is_cooked(client, comfy):
    first, second = changed("OUT01=1", "OUT01=0.2")
    before, total = shown(client, first), cooked(comfy)[-1][1]
    recooked = shown(client, second)
    assert cooked(comfy)[-1] == (sum(".output_blocks.1." in key for key in unet(SD15_ONE_LEVEL)), total)
    assert not same(recooked, before)
    client.free()
    assert same(shown(client, second), recooked)
    assert cooked(comfy)[-1] == (total, total)


def test_change_and_back(client):
    """Blocks changed one after the other, then none: always what a full cook gives."""
    graphs = list(changed("OUT01=0.2", "OUT01=0.2, IN01=3", "IN01=3", "M00=0.5", "IN01=1"))
    live = [shown(client, graph) for graph in graphs]
    for graph, picture in zip(graphs, live):
        client.free()
        assert same(shown(client, graph), picture)


def test_earlier_soup_is_untouched_by_a_recook(client):
    """Both soups in one graph, the second a change of one block of the first."""
    graph = Graph()
    soups = [graph.cook("clay", ("neon", 1.0, graph.blocks(text))) for text in ("OUT01=1", "OUT01=0.2")]
    for soup in soups:
        graph.sample(soup[0], soup[2])
    both = pictures(client.run(graph))
    assert not same(*both)
    for graph, picture in zip(changed("OUT01=1", "OUT01=0.2"), both):
        client.free()
        assert same(shown(client, graph), picture)
