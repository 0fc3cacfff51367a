"""How much a region counts at each place: the weights w of Mixture of Diffusers (arXiv 2302.02412, section 3).

Each axis is measured in its own width, and its middle is (n − 1)/2, so weights are symmetric and never 0.
"""

from __future__ import annotations

import math

import torch

from .canvas import CONSTANT, FEATHERED, GAUSSIAN, GRID, QUARTIC, Box, Canvas, Region

_VARIANCE = 0.01  # of an axis of length 1
_REACH = 0.995  # of the quartic kernel, which is 0 at 1


def gaussian(size: int) -> torch.Tensor:
    """exp(−(x − m)² / (2·0.01·n²)) / √(2π·0.01) with m = (n − 1)/2. [size], float64."""
    x = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    return torch.exp(-x**2 / (2 * _VARIANCE * size**2)) / math.sqrt(2 * math.pi * _VARIANCE)


def quartic(size: int) -> torch.Tensor:
    """15/16 (1 − u²)² for u from −0.995 to 0.995. [size], float64."""
    u = torch.linspace(-_REACH, _REACH, size, dtype=torch.float64) if size > 1 else torch.zeros(1, dtype=torch.float64)
    return 15 / 16 * (1 - u**2) ** 2


def constant(size: int) -> torch.Tensor:
    """1 everywhere: MultiDiffusion's average (arXiv 2302.08113). [size], float64."""
    return torch.ones(size, dtype=torch.float64)


def feathered(size: int, feather: int, first: bool = True, last: bool = True) -> torch.Tensor:
    """1, with a linear ramp of ``feather`` elements at the first and at the last end. [size], float64."""
    x = torch.arange(size, dtype=torch.float64) + 1
    ramp = min(feather, (size + 1) // 2) + 1
    ends = [end / ramp for end, wanted in ((x, first), (x.flip(0), last)) if wanted]
    return torch.stack([torch.ones_like(x), *ends]).amin(0)


_AXES = {GAUSSIAN: gaussian, QUARTIC: quartic, CONSTANT: constant}


def region_weights(canvas: Canvas, region: Region, box: Box, mask: torch.Tensor | None = None) -> torch.Tensor:
    """[h, w] float32: a region's weights over its box, times its mask weight.

    ``mask`` [h, w] in [0, 1] multiplies them. Along the x of a region that goes all around there is no edge, so all
    places count alike; a feathered box has no ramps at the ends of the canvas.
    """
    around = canvas.wrap and box.width == canvas.columns
    if region.kind == FEATHERED:
        width = region.feather // GRID
        down = feathered(box.height, width, box.y > 0, box.bottom < canvas.rows)
        across = feathered(box.width, width, canvas.wrap or box.x > 0, canvas.wrap or box.right < canvas.columns)
    else:
        axis = _AXES[region.kind]
        down, across = axis(box.height), axis(box.width)
    weights = torch.outer(down, constant(box.width) if around else across) * region.weight
    return (weights if mask is None else weights * mask).float()


def peak(region: Region) -> float:
    """The largest number a region's weights can have, by which they become shares from 0 to 1."""
    top = {GAUSSIAN: 1 / (2 * math.pi * _VARIANCE), QUARTIC: (15 / 16) ** 2}.get(region.kind, 1.0)
    return top * region.weight


def tile_weights(box: Box) -> torch.Tensor:
    """[h, w] float64: how much a tile counts among the tiles of its region."""
    return torch.outer(gaussian(box.height), gaussian(box.width))
