"""The picture at the top of the README: each specialist, the soup of all, and the soup without one.

    python -m demo.picture docs/first_soup.jpg
"""
from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from . import specialists
from .comfyui import Server, install
from .run import DEMO, FIRST_SOUP
from .workflows import workflow_to_prompt

#: Column title -> share of ember, lagoon and meadow.
COLUMNS = {
    "ember": (1, 0, 0), "lagoon": (0, 1, 0), "meadow": (0, 0, 1),
    "soup of the three": (1, 1, 1), "ember removed": (0, 1, 1),
}
ROWS = {"mountains, sun": 7, "hills, moon": 11}
_GAP, _TITLE = 12, 34


def main() -> None:
    target = Path(sys.argv[1])
    specialists.make(DEMO / "models")
    with Server(install(), DEMO) as server:
        first = workflow_to_prompt(json.loads(FIRST_SOUP.read_text(encoding="utf-8")), server.client.object_info())
        rows = [[paint(server, first, shares, words, seed) for shares in COLUMNS.values()]
                for words, seed in ROWS.items()]
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet(rows).save(target, quality=88)
    print(target)


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
    return Image.open(io.BytesIO(server.client.run(prompt).succeeded().images[0]))


def sheet(rows: list[list[Image.Image]]) -> Image.Image:
    """All pictures in one, a title over each column."""
    side = rows[0][0].width
    step = side + _GAP
    result = Image.new("RGB", (len(rows[0]) * step + _GAP, _TITLE + len(rows) * step), "white")
    draw, font = ImageDraw.Draw(result), ImageFont.load_default(size=20)
    for column, title in enumerate(COLUMNS):
        draw.text((_GAP + column * step + side / 2, _TITLE / 2), title, "#222222", font, anchor="mm")
        for row, pictures in enumerate(rows):
            result.paste(pictures[column], (_GAP + column * step, _TITLE + row * step))
    return result


if __name__ == "__main__":
    main()
