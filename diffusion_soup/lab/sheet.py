"""Contact sheets as PNG files."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..errors import FileError
from ..files import replacing
from .render import draw
from .shards import WORLD, Shard
from .world import BACKGROUNDS, SHAPES, STYLES, Scenes


def world_sheet(size: int = 64, columns: int = 12, seed: int = 0, shard: Shard = WORLD) -> Tensor:
    """A row of scenes for each style, the same scenes in every row: (3, height, width) from −1 to 1.

    The first columns are one thing of each shape on a background each, the others are picked by ``seed``.
    """
    chosen = shard.scenes(range(columns), seed=seed)
    facts = chosen.facts.clone()
    for column in range(min(columns, len(BACKGROUNDS))):
        facts[column, :15] = 0
        facts[column, 12:15] = torch.tensor([1 + column % len(SHAPES), 1 + column % 6, 2])
        facts[column, -2] = column
    rows = []
    for style in range(len(STYLES)):
        facts[:, -1] = style
        rows.append(draw(Scenes(facts.clone(), chosen.seeds), size))
    return tiled(torch.cat(rows), columns)


def tiled(pictures: Tensor, columns: int, gap: int = 2) -> Tensor:
    """(B, 3, H, W) pictures side by side, ``columns`` in a row, white between: (3, height, width)."""
    count, channels, height, width = pictures.shape
    rows = -(-count // columns)
    sheet = torch.ones(channels, rows * (height + gap) + gap, columns * (width + gap) + gap)
    for at, picture in enumerate(pictures):
        top, left = gap + at // columns * (height + gap), gap + at % columns * (width + gap)
        sheet[:, top:top + height, left:left + width] = picture
    return sheet


def enlarged(pictures: Tensor, times: int) -> Tensor:
    """Each pixel as a block of ``times`` by ``times``."""
    return pictures.repeat_interleave(times, -1).repeat_interleave(times, -2)


def write_png(picture: Tensor, path: Path) -> None:
    """Write a (3, H, W) picture from −1 to 1 in 8 bits, at once or not at all; a file of that name is replaced.

    Needs Pillow. Raises :class:`FileError`.
    """
    from PIL import Image

    levels = ((picture.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).contiguous()
    try:
        with replacing(path) as part:
            Image.fromarray(levels.numpy()).save(part, "png")
    except OSError as error:
        raise FileError(f"{path} could not be written: {error.strerror}. Choose another file.") from None
