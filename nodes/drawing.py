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
    tiles = [tile.box for tile in layout.tiles]
    regions = _framed(picture.coloured(parts), layout.canvas, layout.regions, layout.boxes, tiles)
    mixed = _scaled(picture.heat(parts), layout.canvas)
    return _stacked([("regions", regions), ("where regions mix: dark one alone, bright several", mixed)])


def hole(canvas: Canvas, regions: Sequence[Region], missing: torch.Tensor) -> torch.Tensor:
    """An unfinished plan as an IMAGE: what no region covers is striped red."""
    boxes = [place(canvas, region) for region in regions]
    painted = picture.holed(boxes, canvas, missing)
    return _stacked([("striped red: no region", _framed(painted, canvas, regions, boxes, boxes))])


def _framed(painted: np.ndarray, canvas: Canvas, regions: Sequence[Region], boxes: Sequence[Box],
            tiles: Sequence[Box]) -> Image.Image:
    """Regions outlined and named, tiles outlined thinly."""
    paper = _scaled(painted, canvas)
    draw = ImageDraw.Draw(paper)
    scale = paper.width / canvas.columns
    font = ImageFont.load_default(max(12, min(paper.height // 12, 22)))
    for box in tiles:
        for frame in _frames(box, canvas, scale):
            draw.rectangle(frame, outline=(255, 255, 255, 70))
    for number, (region, box) in enumerate(zip(regions, boxes), 1):
        label = f"{number} {region.name}" + _when(region)
        for part, (left, top, right, bottom) in enumerate(_frames(box, canvas, scale)):
            draw.rectangle((left, top, right, bottom), outline=_INK, width=2)
            if part == 0:
                fitted = _fitted(draw, label, font, max(right - left - 10, 24))
                at = (left + 6, top + 4 + (number - 1) % 3 * font.size * 1.4 % max(bottom - top - font.size - 8, 1))
                draw.rectangle(draw.textbbox(at, fitted, font), fill=_PAPER)
                draw.text(at, fitted, _INK, font)
    return paper


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
