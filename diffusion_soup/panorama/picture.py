"""A layout as a picture: who counts where, and where several count."""

from __future__ import annotations

import numpy as np
import torch

from .blend import Layout, add
from .canvas import Box, Canvas

#: Colours that the colour-blind can tell apart (Okabe and Ito 2008), without black.
PALETTE = np.array([(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0),
                    (204, 121, 167), (170, 170, 170)], dtype=np.float32) / 255
_COLD, _WARM, _HOT = (np.array(colour, dtype=np.float32) for colour in ((.05, .06, .12), (.8, .25, .2), (1., .95, .6)))
_HOLE = np.array((.9, .05, .05), dtype=np.float32)


def shares(layout: Layout) -> torch.Tensor:
    """[regions, rows, columns]: how much each region counts, its prompt and its picture, averaged over the sampling."""
    canvas = layout.canvas
    total = torch.zeros(len(layout.regions), canvas.rows, canvas.columns)
    ends = (*layout.moments[1:], 1.0)
    for start, end in zip(layout.moments, ends):
        blend = layout.at(start)
        for index, share in blend.tiles.items():
            tile = layout.tiles[index]
            add(total[tile.region], share * (end - start), tile.box)
        for index, share in blend.pictures.items():
            add(total[index], share * (end - start), layout.boxes[index])
    return total


def coloured(parts: torch.Tensor) -> np.ndarray:
    """[rows, columns, 3] float32: each region's colour, by its share. ``parts``: [regions, rows, columns]."""
    colours = PALETTE[np.arange(len(parts)) % len(PALETTE)]
    mixed: np.ndarray = np.einsum("rhw,rc->hwc", parts.numpy(), colours)
    return mixed


def heat(parts: torch.Tensor) -> np.ndarray:
    """[rows, columns, 3] float32: dark where one region counts alone, bright where many count alike.

    The number behind it is 1 / Σ shares², how many regions count there; the brightest stands for 4 and more.
    """
    many = (1 / parts.square().sum(0).clamp(min=1e-6)).numpy()
    level = np.clip((many - 1) / 3, 0, 1)[..., None]
    painted: np.ndarray = np.where(level < .5, _COLD + (_WARM - _COLD) * level * 2,
                                   _WARM + (_HOT - _WARM) * (level * 2 - 1))
    return painted.astype(np.float32)


def holed(boxes: list[Box], canvas: Canvas, hole: torch.Tensor) -> np.ndarray:
    """[rows, columns, 3] float32: regions that do not cover the canvas, and the hole between them, striped red."""
    parts = torch.zeros(len(boxes), canvas.rows, canvas.columns)
    for part, box in zip(parts, boxes):
        add(part, torch.ones(box.height, box.width), box)
    painted = coloured(parts / parts.sum(0).clamp(min=1)) * .5
    down, across = np.indices(hole.shape)
    stripes = np.where(((down + across) // 3 % 2 == 0)[..., None], _HOLE, _HOLE * .55)
    painted[hole.numpy()] = stripes[hole.numpy()]
    return painted
