"""A soup takes the memory of one model, and gives it back."""

import gc
import sys
import time

import pytest

from .graphs import Graph, same, soup_picture

MB = 1 << 20
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module", autouse=True)
def fresh(comfy):
    """What earlier tests left behind is gone."""
    comfy.restart()


def settled(comfy):
    """Resident memory once the server has done what `free` asked for."""
    comfy.client.free()
    lowest = comfy.rss().now
    for _ in range(30):
        time.sleep(0.1)
        lowest = min(lowest, comfy.rss().now)
    return lowest


def cook(client, *names):
    graph = Graph()
    graph("PreviewAny", source=graph.cook(*names, vae="none")[3])
    client.run(graph).succeeded()


def test_free_gives_memory_back_and_the_next_run_works(client, comfy):
    before = soup_picture(client, "clay", "neon")
    cook(client, "huge1", "huge2")
    held = comfy.rss().now
    assert held - settled(comfy) > 800 * MB, "a model of 1.2 GB"
    assert same(soup_picture(client, "clay", "neon"), before)


def test_one_model_however_many_ingredients(client, comfy):
    after = []
    for names in (("huge1", "huge2"), ("huge1", "huge2", "huge3", "huge4")):
        settled(comfy)
        comfy.reset_peak()
        cook(client, *names)
        after.append(comfy.rss())
    assert abs(after[1].now - after[0].now) < 50 * MB
    assert abs(after[1].peak - after[0].peak) < 50 * MB


def test_cooking_again_and_again_holds_no_more(client, comfy):
    """Ten soups in a row, each another; the last five need what the first five needed."""
    marks = []
    for number in range(10):
        soup_picture(client, "clay", ("neon", 1 + number / 10))
        gc.collect()
        marks.append(comfy.rss().now)
    assert max(marks[5:]) - max(marks[:5]) < 50 * MB
