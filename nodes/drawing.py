"""Sheets of pictures with a label under each, and plans of panoramas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..diffusion_soup.panorama import Box, Canvas, Layout, Region, picture, place

_PAPER, _INK = (24, 24, 27), (228, 228, 231)
_PLAN_SIDE = 1024  # pixels of a plan's longer side


def sheet(rows: Sequence[Sequence[tuple[str, torch.Tensor] | None]]) -> torch.Tensor:
    """Labelled pictures [H, W, 3] in [0, 1], in rows, as one IMAGE [1, H', W', 3]. None leaves a place empty."""
    height, width = next(picture.shape[:2] for row in rows for cell in row if cell for _, picture in (cell,))
    size = max(11, min(width // 14, 28))
    gap, strip = max(4, width // 64), round(size * 1.9)
    font = ImageFont.load_default(size)
    paper = Image.new("RGB", (len(rows[0]) * (width + gap) + gap, len(rows) * (height + strip + gap) + gap), _PAPER)
    draw = ImageDraw.Draw(paper)
    for down, row in enumerate(rows):
        for across, cell in enumerate(row):
            if cell is not None:
                left, top = gap + across * (width + gap), gap + down * (height + strip + gap)
                label, picture = cell
                paper.paste(Image.fromarray((picture.clamp(0, 1) * 255).round().byte().cpu().numpy()), (left, top))
                draw.text((left + width / 2, top + height + strip / 2), _fitted(draw, label, font, width), _INK, font,
                          anchor="mm")
    return torch.from_numpy(np.asarray(paper, dtype=np.float32) / 255)[None]


def _fitted(draw: ImageDraw.ImageDraw, label: str, font: Any, width: int) -> str:
    """The label, shortened until it fits."""
    if draw.textlength(label, font=font) <= width:
        return label
    while label and draw.textlength(label + "…", font=font) > width:
        label = label[:-1]
    return label + "…"


def plan(layout: Layout) -> torch.Tensor:
    """A panorama's plan as an IMAGE: regions in colours with their tiles and names, and below it where they mix."""
    parts = picture.shares(layout)
    paper = _scaled(picture.coloured(parts), layout.canvas)
    _frame(paper, layout.canvas, layout.regions, layout.boxes, [tile.box for tile in layout.tiles],
           [_middle(part, box, layout.canvas) for part, box in zip(parts, layout.boxes)])
    return _stacked([("regions", paper), ("where regions mix: dark one alone, bright several",
                                          _scaled(picture.heat(parts), layout.canvas))])


def hole(canvas: Canvas, regions: Sequence[Region], missing: torch.Tensor) -> torch.Tensor:
    """An unfinished plan as an IMAGE: what no region covers is striped red."""
    boxes = [place(canvas, region) for region in regions]
    paper = _scaled(picture.holed(boxes, canvas, missing), canvas)
    _frame(paper, canvas, regions, boxes, (), [_middle(torch.ones(canvas.rows, canvas.columns), box, canvas)
                                               for box in boxes])
    return _stacked([("striped red: no region", paper)])


def _middle(share: torch.Tensor, box: Box, canvas: Canvas) -> tuple[float, float]:
    """(x, y) in latents where a region counts most, as near as possible to its middle: where its name stands."""
    x, y = (box.x + box.width / 2) % canvas.columns, box.y + box.height / 2
    down, across = (share >= share.max() * .9).nonzero().unbind(1)
    nearest = ((across + .5 - x) ** 2 + (down + .5 - y) ** 2).argmin()
    return float(across[nearest]) + .5, float(down[nearest]) + .5


def _frame(paper: Image.Image, canvas: Canvas, regions: Sequence[Region], boxes: Sequence[Box], tiles: Sequence[Box],
           middles: Sequence[tuple[float, float]]) -> None:
    """Outline and name regions; tiles are outlined thinly."""
    draw = ImageDraw.Draw(paper)
    scale = paper.width / canvas.columns
    font = ImageFont.load_default(max(12, min(paper.height // 12, 20)))
    for outlined, width in ((tiles, 1), (boxes, 2)):
        for frame in (frame for box in outlined for frame in _frames(box, canvas, scale)):
            draw.rectangle(frame, outline=_INK, width=width)
    for number, (region, box, middle) in enumerate(zip(regions, boxes, middles), 1):
        label = _fitted(draw, f"{number} {region.name}{_when(region)}", font, max(box.width * scale - 8, 40))
        room = draw.textlength(label, font) / 2 + 4, font.size
        at = tuple(min(max(place * scale, half), side - half) for place, half, side in zip(middle, room, paper.size))
        left, top, right, bottom = draw.textbbox(at, label, font, anchor="mm")
        draw.rectangle((left - 3, top - 3, right + 3, bottom + 3), fill=_PAPER)
        draw.text(at, label, _INK, font, anchor="mm")


def _when(region: Region) -> str:
    prompt = "" if (region.start, region.end) == (0, 1) else f" {region.start:.0%}-{region.end:.0%}"
    return prompt + (f" (picture until {region.hold:.0%})" if region.hold else "")


def _frames(box: Box, canvas: Canvas, scale: float) -> list[tuple[float, float, float, float]]:
    """A box's rectangle in the picture; two where it goes on at the left edge."""
    lefts = [box.x] if box.right <= canvas.columns else [box.x, box.x - canvas.columns]
    return [(max(left, 0) * scale, box.y * scale, min(left + box.width, canvas.columns) * scale - 1,
             box.bottom * scale - 1) for left in lefts]


def _scaled(painted: np.ndarray, canvas: Canvas) -> Image.Image:
    scale = _PLAN_SIDE / max(canvas.columns, canvas.rows)
    size = (max(round(canvas.columns * scale), 64), max(round(canvas.rows * scale), 64))
    return Image.fromarray((painted.clip(0, 1) * 255).round().astype(np.uint8)).resize(size, Image.Resampling.NEAREST)


def _stacked(pictures: Sequence[tuple[str, Image.Image]]) -> torch.Tensor:
    """Pictures of one width with a line of text above each, as an IMAGE [1, H, W, 3]."""
    font = ImageFont.load_default(15)
    strip = 24
    paper = Image.new("RGB", (pictures[0][1].width, sum(each.height + strip for _, each in pictures)), _PAPER)
    draw = ImageDraw.Draw(paper)
    top = 0
    for title, each in pictures:
        draw.text((6, top + strip / 2), title, _INK, font, anchor="lm")
        paper.paste(each, (0, top + strip))
        top += each.height + strip
    return torch.from_numpy(np.asarray(paper, dtype=np.float32) / 255)[None]
