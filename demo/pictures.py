"""The README's pictures that models paint, from the example workflows.

    python -m demo.pictures docs            all of them
    python -m demo.pictures docs NAME ...   some, by the names in PICTURES
"""
from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from . import specialists
from .client import ComfyUIError, Result
from .comfyui import Server, install
from .run import DEMO, WORKFLOWS, step, ticker
from .workflows import Prompt, workflow_to_prompt

#: Column title -> share of neon, watercolour and clay.
COLUMNS = {
    "neon": (1, 0, 0), "watercolour": (0, 1, 0), "clay": (0, 0, 1),
    "soup of the three": (1, 1, 1), "neon removed": (0, 1, 1),
}
ROWS = {"a small orange circle at the top and a small green triangle at the bottom, at sunset": 7,
        "a large red star in the centre, in a meadow": 11}
_GAP, _TITLE, _SIDE, _WIDE = 12, 34, 256, 1536


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.pictures", description="The README's painted pictures.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(PICTURES)}")
    options = parser.parse_args()
    with step("Making the demo's models (once)"):
        specialists.make(DEMO / "models", progress=ticker)
    with Server(install(), DEMO) as server:
        for name in options.names or PICTURES:
            with step(name):
                PICTURES[name](server).save(options.folder / f"{name}.jpg", quality=88)


def read(server: Server, workflow: str) -> Prompt:
    """An example workflow as the API takes it."""
    text = (WORKFLOWS / f"{workflow}.json").read_text(encoding="utf-8")
    return workflow_to_prompt(json.loads(text), server.client.object_info())


def images(result: Result, kind: str) -> list[Image.Image]:
    """What a run showed ("temp") or saved ("output"), in the order of the nodes."""
    names = [(image["filename"], image["subfolder"], image["type"]) for _, output in sorted(
        result.outputs.items(), key=lambda item: int(item[0])) for image in output.get("images", [])]
    return [Image.open(io.BytesIO(result.view(*name))).convert("RGB") for name in names if name[2] == kind]


def first_soup(server: Server) -> Image.Image:
    """Each specialist, the soup of all, and the soup without one; a row for each prompt."""
    prompt = read(server, "first_soup")
    return sheet([[paint(server, prompt, shares, words, seed) for shares in COLUMNS.values()]
                  for words, seed in ROWS.items()])


def paint(server: Server, first: dict[str, Any], shares: tuple[int, ...], words: str, seed: int) -> Image.Image:
    """The first-soup workflow with other shares, words and seed."""
    prompt = json.loads(json.dumps(first))
    by_type: dict[str, list[dict[str, Any]]] = {}
    for node in prompt.values():
        by_type.setdefault(node["class_type"], []).append(node["inputs"])
    for ingredient, share in zip(by_type["DSoupIngredient"], shares, strict=True):
        ingredient["share"] = share
    next(inputs for inputs in by_type["CLIPTextEncode"] if inputs["text"])["text"] = words
    by_type["KSampler"][0]["seed"] = seed
    picture, = images(server.client.run(prompt).succeeded(), "output")
    return picture.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)


def sheet(rows: list[list[Image.Image]]) -> Image.Image:
    """All pictures in one, a title over each column."""
    pitch = _SIDE + _GAP
    result = Image.new("RGB", (len(rows[0]) * pitch + _GAP, _TITLE + len(rows) * pitch), "white")
    draw, font = ImageDraw.Draw(result), ImageFont.load_default(size=20)
    for column, title in enumerate(COLUMNS):
        draw.text((_GAP + column * pitch + _SIDE / 2, _TITLE / 2), title, "#222222", font, anchor="mm")
        for row, pictures in enumerate(rows):
            result.paste(pictures[column], (_GAP + column * pitch, _TITLE + row * pitch))
    return result


def styles(server: Server) -> Image.Image:
    """The sheet from style to style."""
    picture, = images(server.client.run(read(server, "dmm_sheet")).succeeded(), "output")
    return picture


def panorama(server: Server) -> Image.Image:
    """Five regions before a background, and what Panorama shows of its plan."""
    result = server.client.run(read(server, "panorama_five_regions")).succeeded()
    parts = [each.resize((_WIDE, each.height * _WIDE // each.width), Image.Resampling.LANCZOS)
             for each in (*images(result, "output"), *images(result, "temp"))]
    whole = Image.new("RGB", (_WIDE, sum(each.height for each in parts)))
    for at, each in enumerate(parts):
        whole.paste(each, (0, sum(part.height for part in parts[:at])))
    return whole


PICTURES = {"first_soup": first_soup, "styles": styles, "panorama": panorama}


if __name__ == "__main__":
    try:
        main()
    except (ComfyUIError, OSError) as error:
        sys.exit(f"error: {error}")
