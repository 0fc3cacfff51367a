"""What goes wrong with a panorama is said in one sentence that names what to change, and nothing else is harmed."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from demo.client import PromptRejected

from .panorama_graphs import kept
from .panorama_mistakes import CASES, Wrong, uncovered, uncovered_for_a_time


def sampled(server, seed):
    """A canvas that does not depend on the sampler's seed, so that it is sampled anew with each."""
    graph = Wrong()
    graph.made(graph.two(left={"noise_seed": 1}, right={"noise_seed": 2}), seed=seed)
    (latent,) = kept(server, server.client.run(graph))
    return latent


@pytest.fixture(scope="module")
def before(comfy):
    return sampled(comfy, 0)


@pytest.mark.parametrize("case", CASES)
def test_one_sentence(client, comfy, before, case):
    graph = Wrong()
    words = case(graph)
    watch = client.watch()
    try:
        message = client.run(graph).failure.message
    except PromptRejected as rejected:
        message = " ".join(str(rejected).split())
    for each in (words,) if isinstance(words, str) else words:
        assert each in message
    assert "\n" not in message and 20 < len(message) < 1000
    assert not any(sign in message for sign in ("Traceback", "Error(", "<class", "object at 0x"))
    samplers = [name for name, node in graph.items() if "Sampler" in node["class_type"]]
    assert not [event for event in watch.of("progress") if event.data["node"] in samplers and event.data["value"] > 0]
    assert np.array_equal(sampled(comfy, 1 + CASES.index(case)), before)


@pytest.mark.parametrize("case", (uncovered, uncovered_for_a_time))
def test_a_hole_is_shown(client, case):
    """On the node that fails, as a file that the message names."""
    graph = Wrong()
    case(graph)
    watch = client.watch()
    failure = client.run(graph).failure
    event, = watch.of("executed", node=failure.node)
    image, = event.data["output"]["images"]
    assert image["type"] == "temp" and re.search(rf"temp/\S*{re.escape(image['filename'])}", failure.message)
    pixels = np.asarray(Image.open(io.BytesIO(client.view(image["filename"], image["subfolder"], "temp"))))
    red = (pixels[..., 0] > 120) & (pixels[..., 1] < 40)
    assert red.any() and not red[:, :pixels.shape[1] // 4].any()


def test_a_hole_that_is_filled(client, comfy):
    """The node that failed works once a region is behind the others."""
    graph = Wrong()
    region = graph.region(graph.canvas(192), graph.left.positive)
    graph.made(region)
    assert client.run(graph).failure
    graph[region[0]]["inputs"]["width"] = 192
    kept(comfy, client.run(graph))
