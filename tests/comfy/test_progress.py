"""Cooking shows progress, stops when told to, and leaves everything else as it was."""

import time

import pytest

from .graphs import Graph, pictures, ran, same, shown, soup_picture

HUGE = ("huge1", "huge2", "huge3", "huge4")


def cook(*names):
    """A graph that cooks and looks at nothing but the recipe."""
    graph = Graph()
    graph("PreviewAny", source=graph.cook(*names, vae="none")[3])
    return graph


@pytest.fixture(scope="module", autouse=True)
def hashed(comfy):
    """The files' hashes are known, so that what is interrupted is the cook; and memory is free again."""
    comfy.client.run(cook(*HUGE)).succeeded()
    yield
    comfy.client.free()


def test_progress(client):
    graph = cook(*HUGE[:3])
    watch = client.watch()
    client.run(graph).succeeded()
    events = [event for event in watch.of("progress") if event.data["node"] == "4"]
    values = [event.data["value"] for event in events]
    assert any(0 < value < 1000 for value in values), "something is seen before the end, however fast the machine"
    assert events[-1].data["value"] == events[-1].data["max"] == 1000
    assert max(later.time - event.time for event, later in zip(events, events[1:])) < 2, "no long silence"


@pytest.mark.parametrize("at", (0, *(pytest.param(at, marks=pytest.mark.slow) for at in (10, 100)), 500))
def test_interrupt(client, at):
    """Stopped at about `at` of 1000 parts of the work, it ends within a second, and an earlier soup is unharmed."""
    before = soup_picture(client, "clay", "neon")
    times = [seconds for seconds in (interrupted(client, at) for _ in range(3)) if seconds is not None]
    assert times and min(times) < 1  # of several, because tests share their machine
    assert same(soup_picture(client, "clay", "neon"), before)


def interrupted(client, at):
    """Seconds from the interrupt to the end of the prompt; None if a fast machine was done before it."""
    graph = cook(*HUGE)
    watch = client.watch()
    prompt = client.queue(graph)
    watch.wait("executing", node=str(len(graph) - 1))
    while at and not any(event.data["value"] >= at for event in watch.of("progress")):
        time.sleep(0.01)
    sent = time.perf_counter()
    client.interrupt()
    end = watch.wait("executing", node=None, prompt_id=prompt)
    status = client.result(prompt, watch).status
    if status == "success" and at >= 100:
        client.free()  # or the next try would find the soup in the cache
        return None
    assert status == "interrupted"
    return end.time - sent


def test_interrupt_beside_a_cached_soup(client):
    """The soup of another Cook Soup in the same graph is not even cooked again."""
    graph = Graph()
    graph.picture("clay", "neon")
    before = shown(client, graph)
    both = Graph(graph)
    both("PreviewAny", source=both.cook(*HUGE, vae="none")[3])
    watch = client.watch()
    prompt = client.queue(both)
    watch.wait("progress")
    client.interrupt()
    watch.wait("executing", node=None, prompt_id=prompt)
    assert client.result(prompt, watch).status == "interrupted"
    result = client.run(graph)
    assert not ran(result, graph, "DSoupCook")
    assert same(*pictures(result), before)


def test_queue_twice(client):
    """The second prompt waits for the first, and finds its soup."""
    watch = client.watch()
    first, second = (client.queue(cook(*HUGE[1:])) for _ in range(2))
    for prompt in (first, second):
        watch.wait("executing", 120, node=None, prompt_id=prompt)
    assert client.result(first, watch).status == client.result(second, watch).status == "success"
