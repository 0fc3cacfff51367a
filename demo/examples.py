"""The pictures beside the example workflows, which ComfyUI's template browser shows.

    python -m demo.examples              all of them
    python -m demo.examples NAME ...     some, by the names of the workflows

Each workflow is run as it is, with the demo's models, and what it saves is put side by side; a panorama is cut in two.
"""
from __future__ import annotations

import argparse
import io
import json
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from . import specialists
from .client import ComfyUIError
from .comfyui import Server, install
from .pictures import images, read
from .run import DEMO, WORKFLOWS, step, ticker

GAP, LEAST, LONGEST = 8, 256, 3  # px between pictures; the least side, and how much longer the other may be


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.examples", description="Pictures of the example workflows.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="some, by the names of the workflows")
    names = parser.parse_args().names
    files = [file for file in sorted(WORKFLOWS.glob("*.json")) if not names or file.stem in names]
    with step("Making the demo's models (once)"):
        specialists.make(DEMO / "models", progress=ticker)
    with Server(install(), DEMO) as server, stars(server.url):
        for file in files:
            prompt = read(server, file.stem)
            with step(file.stem):
                pictures = images(server.client.run(prompt).succeeded(), "output")
                beside(pictures).save(file.with_suffix(".jpg"), quality=88)


@contextmanager
def stars(url: str) -> Iterator[None]:
    """Meanwhile, rate what Select Soup asks people about: the livelier the colours, the more stars."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            with urllib.request.urlopen(f"{url}/diffusion_soup/rating") as answer:
                question = json.load(answer)["question"]
            if question:
                given = [lively(f"{url}/diffusion_soup/rating/picture?id={question['id']}&at={at}", question["stars"])
                         for at in range(len(question["prompts"]))]
                body = json.dumps({"id": question["id"], "stars": given}).encode()
                urllib.request.urlopen(urllib.request.Request(
                    f"{url}/diffusion_soup/rating", body, {"Content-Type": "application/json"})).close()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def lively(address: str, most: int) -> int:
    """1 to ``most``, by the mean saturation of a picture."""
    with urllib.request.urlopen(address) as answer:
        saturation = Image.open(io.BytesIO(answer.read())).convert("HSV").getchannel("S")
    mean = sum(value * count for value, count in enumerate(saturation.histogram())) / (saturation.width *
                                                                                        saturation.height * 255)
    return 1 + round((most - 1) * mean)


def beside(pictures: list[Image.Image]) -> Image.Image:
    """Side by side; what is too long for a thumbnail in two rows, what is small twice as large."""
    if min(pictures[0].size) < LEAST:
        pictures = [each.resize((each.width * 2, each.height * 2), Image.Resampling.LANCZOS) for each in pictures]
    if len(pictures) == 1 and pictures[0].width > LONGEST * pictures[0].height:
        whole, = pictures
        halves = [whole.crop((0, 0, whole.width // 2, whole.height)),
                  whole.crop((whole.width // 2, 0, whole.width // 2 * 2, whole.height))]
        return joined(halves, across=False)
    return joined(pictures, across=True)


def joined(pictures: list[Image.Image], across: bool) -> Image.Image:
    steps = [(each.width if across else each.height) + GAP for each in pictures]
    along, other = sum(steps) - GAP, max(each.height if across else each.width for each in pictures)
    result = Image.new("RGB", (along, other) if across else (other, along), "white")
    for at, each in enumerate(pictures):
        result.paste(each, (sum(steps[:at]), 0) if across else (0, sum(steps[:at])))
    return result


if __name__ == "__main__":
    try:
        main()
    except (ComfyUIError, OSError) as error:
        sys.exit(f"error: {error}")
