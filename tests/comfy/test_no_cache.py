"""A server that keeps nothing between prompts."""

import tempfile
from pathlib import Path

import pytest

from demo.comfyui import Server, install

from .conftest import base_folder
from .graphs import Graph, pictures, ran, same, soup_picture


@pytest.fixture(scope="module")
def forgetful(shelf):
    with tempfile.TemporaryDirectory(prefix="comfy-", ignore_cleanup_errors=True) as base, \
            Server(install(), base_folder(Path(base), shelf), arguments=["--cache-none"]) as server:
        yield server.client


def test_a_fresh_server_cooks_the_same(client, forgetful):
    """Also what the other server made by recooking one block."""
    graph = Graph()
    graph.picture("clay", ("neon", 1.0, graph.blocks("OUT01=1")))
    for text in ("OUT01=1", "OUT01=0.2"):
        graph["1"]["inputs"]["mbw"] = text
        assert same(*pictures(client.run(graph)), *pictures(forgetful.run(graph)))


def test_every_prompt_cooks(forgetful):
    graph = Graph()
    graph.picture("clay", "neon")
    results = [forgetful.run(graph) for _ in range(2)]
    assert all(ran(result, graph, "DSoupCook") for result in results)
    assert same(*(pictures(result)[0] for result in results))
    assert not same(soup_picture(forgetful, "clay", "watercolour"), pictures(results[0])[0])
