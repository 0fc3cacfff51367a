"""What grids of soups and of styles are in a real host; run by ``real_host.py``."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .real_client import SETTINGS, Host, Peak, Picture, Refused

SHARE, STYLE = "[Soup] Share", "[Soup] Style weight"


def cooks(host: Host) -> int:
    """How many cooks the log counts."""
    return sum(entry["count"] for entry in host.get("/diffusion-soup/v1/log")["entries"])


def grid(host: Host, *axes: tuple[str, str], **settings: Any) -> list[Picture]:
    """The single pictures of a grid with these axes."""
    info = next(each for each in host.get("/sdapi/v1/script-info") if each["name"] == "x/y/z plot"
                and not each["is_img2img"])
    labels = info["args"][0]["choices"]
    axes = (*axes, *[("Nothing", "")] * (3 - len(axes)))
    args = [part for label, values in axes for part in (labels.index(label), values, [])]
    answer = host.post("/sdapi/v1/txt2img", prompt="a red circle", script_name="x/y/z plot", script_args=[
        *args, True, True, False, False, False, False, False, 0, True], **{**SETTINGS, **settings})
    _, *images = [Picture(base64.b64decode(each)) for each in answer["images"]]
    return images


def grids(host: Host) -> str:
    """Every cell is the soup that it says, cooked once; the model before is back, and memory as it was."""
    host.plain()
    checkpoint = host.picture()
    host.cook(1, 1, 1)
    soup = host.picture()
    first, second = (Path(name).stem for name in host.models[1:])
    axes = (SHARE, f"{first}: 0, 0.5, 2"), (SHARE, f"{second}: 25%, 60%"), ("Seed", "1, 2")
    grid(host, *axes[:2])  # all is in memory that stays there
    before, known = host.process.memory_info().rss, cooks(host)
    sampler = Peak(host.process)
    with sampler:
        images = grid(host, *axes)
    cooked = cooks(host) - known
    assert host.picture() == soup and host.status()["in_use"] in soup.text, "the soup in use is another after a grid"
    after = host.process.memory_info().rss
    assert cooked == 6 and len(images) == 12, (cooked, len(images))
    assert len({image.pixels for image in images}) == 12
    for at, image in enumerate(images):
        recipe = json.loads(image.info["diffusion_soup"])
        share = (0, 0.5, 2)[at % 3]
        part = (0.25, 0.6)[at // 3 % 2]
        wanted = [1, share, part * (1 + share) / (1 - part)]
        found = [each["weight"] for each in recipe["ingredients"]]
        assert all(abs(one - other) < 1e-9 for one, other in zip(found, wanted)), (at, found, wanted)
        if at % 4 == 1:
            host.ours("cook", recipe=recipe)
            assert host.wait()["state"] == "done", host.status()
            again = host.picture(seed=1 + at // 6)
            assert again == image, f"cell {at} is not the picture of its recipe"
            assert f"Soup: {host.status()['in_use']}" in image.text, image.text
            host.ours("undo")
            assert host.wait()["state"] == "done", host.status()
    host.ours("undo")
    host.wait()
    assert host.picture() == checkpoint
    assert after <= 1.05 * before, f"{before / 1e6:.0f} MB before, {after / 1e6:.0f} MB after"
    return (f"{cooked} cooks for {len(images)} pictures, {before / 1e6:.0f} MB before, {after / 1e6:.0f} MB after, "
            f"{(sampler.peak - before) / 1e6:+.0f} MB at the peak")


def grids_that_cannot_be(host: Host) -> str:
    """A sentence, no cook, and the soup in use stays."""
    host.plain()
    host.cook(1, 1, 1)
    soup, first = host.picture(), Path(host.models[1]).stem
    known = cooks(host)
    for axes, sentence in (([(SHARE, f"{first}: 1"), (SHARE, "ghost: 1")], "is not in this soup"),
                           ([(SHARE, f"{first}: x")], "is not a value"), ([(SHARE, "")], "needs values"),
                           ([(SHARE, f"{first}: 1"), (STYLE, "ink: 1")], "is no DMM student")):
        try:
            grid(host, *axes)
            raise AssertionError(f"{axes} was taken")
        except Refused as error:
            # With a newer server than its own, the host's API tells of the group of errors, not of the one in it.
            assert sentence in error.detail or "TaskGroup" in error.detail, error.detail
    assert cooks(host) == known, "something was cooked for a grid that cannot be"
    assert host.picture() == soup
    return "each a sentence before the first cell"


def grids_are_told_and_stopped(host: Host) -> str:
    """The status follows a grid; the host's Interrupt and our Cancel stop it; the soup in use stays."""
    host.plain()
    checkpoint = host.picture()
    host.cook(1, 1, 1)
    soup, job = host.picture(), host.status()["job"]
    axes = (SHARE, f"{Path(host.models[1]).stem}: 0-2 [6]"), ("Seed", "1, 2")
    said: dict[str, None] = {}

    def stopped(stop: Callable[[], Any], until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        thread = threading.Thread(target=lambda: grid(host, *axes, steps=30))
        thread.start()
        while not until(status := host.status()):
            said.setdefault(f"{status['state']}: {status['text']}")
            time.sleep(0.01)
        stop()
        thread.join()
        assert host.picture() == soup, "the soup in use is another after a grid that was stopped"
        status = host.status()
        assert not status["text"].startswith("a grid") and status["in_use"] in soup.text, status
        return status

    ended = stopped(lambda: host.post("/sdapi/v1/interrupt"),
                    lambda status: "pictures with soup 2 of 6" in status["text"])
    assert ended["state"] == "done" and ended["job"] == job + 1, ended
    ended = stopped(lambda: host.ours("cancel"), lambda status: "soup 3 of 6, " in status["text"])
    assert ended["state"] == "cancelled" and ended["text"].startswith("Stopped. "), ended
    host.plain()
    assert host.picture() == checkpoint
    texts = [text for text in said if "a grid: " in text]
    assert all(text.startswith("cooking: ") for text in texts), texts
    return f"{len(texts)} texts, such as {texts[len(texts) // 2]!r}; then {ended['text']!r}"


def grid_of_styles(host: Host) -> str:
    """A student among the checkpoints: each cell is the picture of its style alone."""
    student = next((name for name in sorted(host.titles()) if "student" in name), None)
    if student is None:
        return "left out: no checkpoint is called student"
    host.choose(student)
    plain = host.picture()
    first, second, *_ = host.get("/diffusion-soup/v1/styles")["styles"]
    images = grid(host, (STYLE, f"{first}: 0, 0.5, 1"), (STYLE, f"{second}: 0, 100%"))
    assert len({image.pixels for image in images}) == 6 and images[0] == plain
    both = f"{first} = 1, {second} = 1"
    for at, weights, strength in ((1, f"{first} = 0.5", 0.5), (3, f"{second} = 1", 1), (5, both, 1)):
        styled = host.picture(alwayson_scripts={"DMM styles": {"args": [{"weights": weights, "strength": strength}]}})
        assert styled == images[at] and f"{second} = " in images[at].text, (at, weights, images[at].text)
    host.plain()
    return images[1].text.splitlines()[-1][-140:]


CHECKS = (grids, grids_that_cannot_be, grids_are_told_and_stopped, grid_of_styles)
