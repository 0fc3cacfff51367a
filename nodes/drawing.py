"""Sheets of pictures with a label under each, and plans of panoramas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw

from ..diffusion_soup import fonts
from ..diffusion_soup.panorama import Canvas, Layout, Region, drawing
from ..diffusion_soup.panorama.drawing import INK, PAPER, fitted


def sheet(rows: Sequence[Sequence[tuple[str, torch.Tensor] | None]]) -> torch.Tensor:
    """Labelled pictures [H, W, 3] in [0, 1], in rows, as one IMAGE [1, H', W', 3]. None leaves a place empty."""
    height, width = next(picture.shape[:2] for row in rows for cell in row if cell for _, picture in (cell,))
    size = max(11, min(width // 14, 28))
    gap, strip = max(4, width // 64), round(size * 1.9)
    font = fonts.font(size)
    paper = Image.new("RGB", (len(rows[0]) * (width + gap) + gap, len(rows) * (height + strip + gap) + gap), PAPER)
    draw = ImageDraw.Draw(paper)
    for down, row in enumerate(rows):
        for across, cell in enumerate(row):
            if cell is not None:
                left, top = gap + across * (width + gap), gap + down * (height + strip + gap)
                label, picture = cell
                paper.paste(Image.fromarray((picture.clamp(0, 1) * 255).round().byte().cpu().numpy()), (left, top))
                draw.text((left + width / 2, top + height + strip / 2), fitted(draw, label, font, width), INK, font,
                          anchor="mm")
    return image(paper)


def plan(layout: Layout) -> torch.Tensor:
    """A panorama's plan as an IMAGE: regions in colours with their tiles and names, and below it where they mix."""
    return image(drawing.plan(layout))


def hole(canvas: Canvas, regions: Sequence[Region], missing: torch.Tensor) -> torch.Tensor:
    """An unfinished plan as an IMAGE: what no region covers is striped red."""
    return image(drawing.hole(canvas, regions, missing))


def image(picture: Image.Image) -> torch.Tensor:
    """As an IMAGE [1, H, W, 3]."""
    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)[None]
