"""The shapes, as signed distances: negative inside, in units of the shape's radius, at points (x right, y down).

After Inigo Quilez, "2D distance functions". As everywhere in the renderer, only operations that IEEE 754 rounds
exactly (+ − × ÷ √ and comparisons): a picture has the same bits whatever the batch, threads or vector unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor

Distance = Callable[[Tensor, Tensor], Tensor]


def length(x: Tensor, y: Tensor) -> Tensor:
    return (x * x + y * y).sqrt()


def circle(x: Tensor, y: Tensor) -> Tensor:
    return length(x, y) - 0.95


def square(x: Tensor, y: Tensor) -> Tensor:
    return _box(x, y, 0.82, 0.82)


def triangle(x: Tensor, y: Tensor) -> Tensor:
    """Equilateral, pointing up."""
    half, root = 1.0, math.sqrt(3)
    x, y = x.abs() - half, 0.2 - y + half / root
    folded = x + root * y > 0
    x, y = ((x - root * y) / 2).where(folded, x), ((-root * x - y) / 2).where(folded, y)
    return _signed(length(x - x.clamp(-2 * half, 0), y), -y)


def star(x: Tensor, y: Tensor) -> Tensor:
    """Five points, one of them up; the inner radius is 0.46 of the outer."""
    outer, inner = 1.12, 0.46
    cosine, sine = math.cos(math.pi / 5), math.sin(math.pi / 5)
    x, y = x.abs(), -y
    for side in (1, -1):
        over = (side * cosine * x - sine * y).clamp(min=0) * 2
        x, y = x - over * (side * cosine), y + over * sine
    x, y = x.abs(), y - outer
    across, down = inner * sine, inner * cosine - 1
    along = ((x * across + y * down) / (across * across + down * down)).clamp(0, outer)
    return _signed(length(x - along * across, y - along * down), y * across - x * down)


def ring(x: Tensor, y: Tensor) -> Tensor:
    return (length(x, y) - 0.74).abs() - 0.25


def cross(x: Tensor, y: Tensor) -> Tensor:
    return _box(x, y, 0.98, 0.32).minimum(_box(x, y, 0.32, 0.98))


#: In the order of :data:`~.world.SHAPES`.
DISTANCES: Mapping[str, Distance] = MappingProxyType(
    {"circle": circle, "square": square, "triangle": triangle, "star": star, "ring": ring, "cross": cross})


def _box(x: Tensor, y: Tensor, width: float, height: float) -> Tensor:
    x, y = x.abs() - width, y.abs() - height
    return length(x.clamp(min=0), y.clamp(min=0)) + x.maximum(y).clamp(max=0)


def _signed(distance: Tensor, side: Tensor) -> Tensor:
    """``distance`` with the sign of ``side``."""
    return distance.where(side > 0, -distance)
