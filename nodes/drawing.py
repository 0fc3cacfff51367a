"""Sheets of pictures with a label under each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

_PAPER, _INK = (24, 24, 27), (228, 228, 231)


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
