"""What was tasted, for people: the verdicts in Markdown, and how far each ingredient lies from the base, by blocks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from . import fonts
from .taste import Taste, percent

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

_CELL, _LINE, _NAME, _DISTANCE, _HEAD, _TEXT = 44, 52, 270, 110, 128, 21  # pixels; pages show it at half the size
_GROUND, _INK, _UNKNOWN = (17, 24, 39), (209, 213, 219), (55, 65, 81)
#: From hardly changed to far away, on a scale that also works for the colour-blind; 0.1 % to 100 % of the base's norm.
_SCALE = ((0, 34, 78), (67, 78, 108), (124, 123, 120), (188, 175, 111), (254, 232, 56))
_LEAST, _MOST = -3.0, 0.0


def markdown(found: Taste) -> str:
    """The verdicts, a paragraph an ingredient, in the order of the recipe."""
    told = [f"**{_name(each.file)}**: {each.word}. {each.sentence}" for each in found.ingredients]
    how = "a sample of the numbers" if found.sampled else "every number"
    return "\n\n".join([*told, f"Distances from {_name(found.reference)}, by {how}; dark is near, bright is far."])


def draw(found: Taste) -> Image.Image:
    """A row an ingredient, a column a block. Needs Pillow."""
    from PIL import Image, ImageDraw

    blocks = [block for block in found.blocks if any(each.blocks.get(block) is not None for each in found.ingredients)]
    size = (_NAME + _DISTANCE + max(len(blocks), 1) * _CELL + 12, _HEAD + max(len(found.ingredients), 1) * _LINE + 12)
    picture = Image.new("RGB", size, _GROUND)
    pen, font = ImageDraw.Draw(picture), fonts.font(_TEXT, fonts.dejavu())
    for column, block in enumerate(blocks):
        _upright(picture, block[:10], _NAME + _DISTANCE + column * _CELL, font)
    for row, each in enumerate(found.ingredients):
        top = _HEAD + row * _LINE
        _across(pen, (16, top + _LINE // 2), _name(each.file)[:20], font)
        _across(pen, (_NAME + 16, top + _LINE // 2), percent(each.distance), font)
        for column, block in enumerate(blocks):
            left = _NAME + _DISTANCE + column * _CELL
            pen.rectangle((left, top, left + _CELL - 3, top + _LINE - 3), fill=colour(each.blocks.get(block)))
    return picture


def colour(distance: float | None) -> tuple[int, int, int]:
    """The colour of a distance, a share of the base's norm, by its logarithm; grey where it is not known."""
    if distance is None or not math.isfinite(distance):
        return _UNKNOWN
    level = (math.log10(max(distance, 10**_LEAST)) - _LEAST) / (_MOST - _LEAST)
    at = min(max(level, 0.0), 1.0) * (len(_SCALE) - 1)
    low = min(int(at), len(_SCALE) - 2)
    share = at - low
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(_SCALE[low], _SCALE[low + 1]))
    return red, green, blue


def _across(pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, font: Any) -> None:
    """A text whose letters are in the middle of a line."""
    left, top, right, bottom = pen.textbbox((0, 0), "Hx", font=font)
    pen.text((at[0], at[1] - (top + bottom) // 2), text, fill=_INK, font=font)


def _upright(picture: Image.Image, text: str, left: int, font: Any) -> None:
    """A label that reads from bottom to top, over its column."""
    from PIL import Image, ImageDraw

    label = Image.new("RGB", (_HEAD - 16, _CELL - 3), _GROUND)
    _across(ImageDraw.Draw(label), (0, label.height // 2), text, font)
    picture.paste(label.rotate(90, expand=True), (left, 8))


def _name(file: str) -> str:
    return file.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".safetensors")
