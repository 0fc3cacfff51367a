"""A panorama's plan drawn for people: regions in colours with their tiles and names, and below it where they mix.

Pictures are Pillow's, which is imported when one is drawn: the hosts bring it, and nothing else here needs it.
``typeface``: a TrueType file for the names; without, as :mod:`..fonts` finds them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .. import fonts
from . import picture
from .blend import Layout
from .canvas import GRID, Box, Canvas, Region, place

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

PAPER, INK = (24, 24, 27), (228, 228, 231)
_PLAN_SIDE = 1024  # pixels of a plan's longer side


def plan(layout: Layout, typeface: str | None = None) -> Image:
    """A panorama's plan: regions in colours with their tiles and names, and below it where they mix."""
    parts = picture.shares(layout)
    paper = _scaled(picture.coloured(parts), layout.canvas)
    _frame(paper, layout.canvas, layout.regions, layout.boxes, [tile.box for tile in layout.tiles],
           [_middle(part, box, layout.canvas) for part, box in zip(parts, layout.boxes)], typeface)
    return _stacked([("regions", paper), ("where regions mix: dark one alone, bright several",
                                          _scaled(picture.heat(parts), layout.canvas))], typeface)


def hole(canvas: Canvas, regions: Sequence[Region], missing: torch.Tensor,
         typeface: str | None = None) -> Image:
    """An unfinished plan: what no region covers ([rows, columns] bool) is striped red."""
    boxes = [place(canvas, region) for region in regions]
    paper = _scaled(picture.holed(boxes, canvas, missing), canvas)
    _frame(paper, canvas, regions, boxes, (), [_middle(torch.ones(canvas.rows, canvas.columns), box, canvas)
                                               for box in boxes], typeface)
    return _stacked([("striped red: no region", paper)], typeface)


def report(layout: Layout, owns: Sequence[Sequence[str]]) -> str:
    """What will be sampled, line by line: sizes, tiles, and rectangles that were snapped to the grid.

    ``owns``: for each region what it has of its own, in words.
    """
    canvas = layout.canvas
    shapes = Counter((tile.box.width * GRID, tile.box.height * GRID) for tile in layout.tiles)
    tiles = ", ".join(f"{count} of {width} x {height}" for (width, height), count in shapes.items())
    lines = [f"Canvas {canvas.width} x {canvas.height} px{', all around' if canvas.wrap else ''}: "
             f"{len(layout.regions)} regions, {len(layout.tiles)} tiles ({tiles} px)."]
    for number, (region, box, own) in enumerate(zip(layout.regions, layout.boxes, owns), 1):
        snapped = tuple(size * GRID for size in (box.x, box.y, box.width, box.height))
        note = "" if snapped == (region.x % canvas.width, region.y, region.width, region.height) else \
            f" (asked for {region.x}, {region.y}, {region.width} x {region.height}; snapped to the grid of {GRID} px)"
        lines.append(f"{number} {region.name}: x {snapped[0]}, y {snapped[1]}, {snapped[2]} x {snapped[3]} px{note}"
                     f"; {region.kind}, weight {region.weight:g}" + (f"; own {', '.join(own)}" if own else ""))
    whole_rings = [region.name for index, region in enumerate(layout.regions) if canvas.wrap and
                   layout.boxes[index].width == canvas.columns and
                   sum(tile.region == index for tile in layout.tiles) == 1]
    if whole_rings:
        lines.append(f"{', '.join(whole_rings)}: all around in one piece, so its ends will not match; set a tile "
                     "width.")
    return "\n".join(lines)


def fitted(draw: ImageDraw, label: str, font: Any, width: float) -> str:
    """The label, shortened until it fits."""
    if draw.textlength(label, font=font) <= width:
        return label
    more = "…" if hasattr(font, "path") else "."
    while label and draw.textlength(label + more, font=font) > width:
        label = label[:-1]
    return label + more


def _middle(share: torch.Tensor, box: Box, canvas: Canvas) -> tuple[float, float]:
    """(x, y) in latents where a region counts most, as near as possible to its middle: where its name stands."""
    x, y = (box.x + box.width / 2) % canvas.columns, box.y + box.height / 2
    down, across = (share >= share.max() * .9).nonzero().unbind(1)
    nearest = ((across + .5 - x) ** 2 + (down + .5 - y) ** 2).argmin()
    return float(across[nearest]) + .5, float(down[nearest]) + .5


def _frame(paper: Image, canvas: Canvas, regions: Sequence[Region], boxes: Sequence[Box], tiles: Sequence[Box],
           middles: Sequence[tuple[float, float]], typeface: str | None) -> None:
    """Outline and name regions; tiles are outlined thinly."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(paper)
    scale = paper.width / canvas.columns
    size = max(12, min(paper.height // 12, 20))
    font = fonts.font(size, typeface)
    for outlined, width in ((tiles, 1), (boxes, 2)):
        for frame in (frame for box in outlined for frame in _frames(box, canvas, scale)):
            draw.rectangle(frame, outline=INK, width=width)
    for number, (region, box, middle) in enumerate(zip(regions, boxes, middles), 1):
        label = fitted(draw, _legible(font, f"{number} {region.name}{_when(region)}"), font,
                       max(box.width * scale - 8, 40))
        half = draw.textlength(label, font) / 2 + 4
        x = min(max(middle[0] * scale, half), paper.width - half)
        y = min(max(middle[1] * scale, size), paper.height - size)
        left, top, right, bottom = font.getbbox(label)
        x, y = x - (left + right) / 2, y - (top + bottom) / 2
        draw.rectangle((x + left - 3, y + top - 3, x + right + 3, y + bottom + 3), fill=PAPER)
        draw.text((x, y), label, INK, font)


def _when(region: Region) -> str:
    prompt = "" if (region.start, region.end) == (0, 1) else f" {region.start:.0%}-{region.end:.0%}"
    return prompt + (f" (picture until {region.hold:.0%})" if region.hold else "")


def _frames(box: Box, canvas: Canvas, scale: float) -> list[tuple[float, float, float, float]]:
    """A box's rectangle in the picture; two where it goes on at the left edge."""
    lefts = [box.x] if box.right <= canvas.columns else [box.x, box.x - canvas.columns]
    return [(max(left, 0) * scale, box.y * scale, min(left + box.width, canvas.columns) * scale - 1,
             box.bottom * scale - 1) for left in lefts]


def _scaled(painted: np.ndarray, canvas: Canvas) -> Image:
    from PIL import Image

    scale = _PLAN_SIDE / max(canvas.columns, canvas.rows)
    size = (max(round(canvas.columns * scale), 64), max(round(canvas.rows * scale), 64))
    return Image.fromarray((painted.clip(0, 1) * 255).round().astype(np.uint8)).resize(size, Image.Resampling.NEAREST)


def _legible(font: Any, label: str) -> str:
    """The label in the letters that a font without TrueType has."""
    return label if hasattr(font, "path") else label.encode("latin-1", "replace").decode("latin-1")


def _stacked(pictures: Sequence[tuple[str, Image]], typeface: str | None) -> Image:
    """Pictures of one width with a line of text above each, one below the other."""
    from PIL import Image, ImageDraw

    font = fonts.font(15, typeface)
    strip = 24
    paper = Image.new("RGB", (pictures[0][1].width, sum(each.height + strip for _, each in pictures)), PAPER)
    draw = ImageDraw.Draw(paper)
    top = 0
    for title, each in pictures:
        draw.text((6, top + 4), title, INK, font)
        paper.paste(each, (0, top + strip))
        top += each.height + strip
    return paper
