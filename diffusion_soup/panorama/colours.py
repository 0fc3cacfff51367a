"""Regions from a picture in which each colour is one."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from ..errors import RecipeError
from .canvas import GRID, SMALLEST, Canvas

NAMED = {
    "black": (0, 0, 0), "white": (255, 255, 255), "grey": (128, 128, 128), "gray": (128, 128, 128),
    "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0), "cyan": (0, 255, 255),
    "magenta": (255, 0, 255), "orange": (255, 165, 0), "purple": (128, 0, 128), "pink": (255, 192, 203),
    "brown": (165, 42, 42), "lime": (50, 205, 50), "navy": (0, 0, 128), "teal": (0, 128, 128), "olive": (128, 128, 0),
}
_HEX = re.compile(r"#?([0-9a-fA-F]{6})")
_TOLERANCE = 64 / 255  # how far, in each of red, green and blue, a pixel may be from its colour


@dataclass(frozen=True)
class Patch:
    """One colour's prompt, where it is on the canvas ([rows, columns] in [0, 1]), and its rectangle in pixels."""

    colour: str
    prompt: str
    mask: torch.Tensor
    rectangle: tuple[int, int, int, int]


def read_legend(text: str) -> list[tuple[str, tuple[int, int, int], str]]:
    """(colour, red green blue, prompt) of each line ``colour: prompt``; colours by name or as #rrggbb.

    Raises :class:`RecipeError` for a line that is none, an unknown colour, or one that is there twice.
    """
    legend: list[tuple[str, tuple[int, int, int], str]] = []
    for line in filter(str.strip, text.splitlines()):
        colour, colon, prompt = (part.strip() for part in line.partition(":"))
        if not colon:
            raise RecipeError(f"{line.strip()!r} is not a colour and its prompt; write for example \"red: a castle\" "
                              "or \"#2040ff: the sea\", one a line.")
        value = _value(colour)
        if any(value == other for _, other, _ in legend):
            raise RecipeError(f"The colour {colour} is there twice; give each colour one line.")
        legend.append((colour, value, prompt))
    if not legend:
        raise RecipeError("No colour has a prompt; write one line for each, for example \"red: a castle\".")
    return legend


def _value(colour: str) -> tuple[int, int, int]:
    hexed = _HEX.fullmatch(colour)
    if hexed is None and colour.lower() not in NAMED:
        raise RecipeError(f"{colour!r} is not a colour; use #rrggbb or one of {', '.join(sorted(NAMED))}.")
    red, green, blue = NAMED[colour.lower()] if hexed is None else bytes.fromhex(hexed[1])
    return red, green, blue


def read_colours(canvas: Canvas, picture: torch.Tensor, text: str, margin: int, soft: int) -> list[Patch]:
    """Where each colour of a legend is in a ``picture`` [H, W, 3] in [0, 1] that is laid over the canvas.

    A pixel belongs to the nearest colour of the legend, or to none if all are far. ``margin``: pixels by which a
    rectangle is larger than its colour on each side; ``soft``: pixels over which a mask fades at its edge.
    Raises :class:`RecipeError` for a legend that cannot be read and a colour that is not in the picture.
    """
    legend = read_legend(text)
    palette = torch.tensor([value for _, value, _ in legend], dtype=torch.float32) / 255
    pixels = picture[..., :3].float().cpu()
    distance = (pixels[None] - palette[:, None, None]).abs().amax(-1)  # [colours, H, W]
    near, nearest = distance.min(0)
    patches = []
    for index, (colour, _, prompt) in enumerate(legend):
        mask = _shrunk((nearest == index) & (near <= _TOLERANCE), canvas.rows, canvas.columns)
        if not (mask > 0.5).any():
            raise RecipeError(f"The colour {colour} is not in the picture (or in specks only); paint it, or remove its "
                              "line.")
        patches.append(Patch(colour, prompt, _faded(mask, soft // GRID), _rectangle(canvas, mask > 0.5, margin)))
    return patches


def _shrunk(mask: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """[rows, columns]: the share of each latent that is white."""
    return torch.nn.functional.interpolate(mask[None, None].float(), (rows, columns), mode="area")[0, 0]


def _faded(mask: torch.Tensor, steps: int) -> torch.Tensor:
    """The mask, fading to 0 over ``steps`` latents outside its edge."""
    faded = mask
    for step in range(steps):
        grown = torch.nn.functional.max_pool2d(mask[None, None], 2 * step + 3, 1, step + 1)[0, 0]
        faded = torch.maximum(faded, grown * (1 - (step + 1) / (steps + 1)))
    return faded


def _rectangle(canvas: Canvas, inside: torch.Tensor, margin: int) -> tuple[int, int, int, int]:
    """(x, y, width, height) in pixels around what is inside, by a margin, within the canvas."""
    spans = []
    for axis, whole in ((0, canvas.width), (1, canvas.height)):
        found = inside.any(axis).nonzero().flatten()
        first, last = int(found[0]) * GRID - margin, (int(found[-1]) + 1) * GRID + margin
        missing = max(SMALLEST - (last - first), 0)
        first, last = max(first - missing // 2 // GRID * GRID, 0), min(last + missing, whole)
        first = min(first, max(last - SMALLEST, 0))
        spans.append((first, last - first))
    (x, width), (y, height) = spans
    return x, y, width, height
