"""The backgrounds: (b, 3, S, S) colours from 0 to 1 at points (x right, y down) from −1 to 1.

Pale or dark, never as strong as the colours of things, so that each thing stands out from each of them. ``chance``
(b, 8) are uniform numbers for what differs between two pictures of one background.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

Background = Callable[[Tensor, Tensor, float, Tensor], Tensor]
RGB = tuple[float, float, float]


def colour(rgb: RGB) -> Tensor:
    return torch.tensor(rgb).reshape(1, 3, 1, 1)


def between(one: Tensor, other: Tensor, share: Tensor | float) -> Tensor:
    """From ``one`` at share 0 to ``other`` at share 1."""
    return one + (other - one) * share


def wave(phase: Tensor) -> Tensor:
    """A triangular wave of period 1, from 0 up to 1 and back: a sine by exact operations."""
    return ((phase - phase.floor()) * 2 - 1).abs()


def edge(distance: Tensor, soft: float) -> Tensor:
    """1 inside, 0 outside, a straight ramp of width ``soft`` across the border."""
    return (0.5 - distance / soft).clamp(0, 1)


def _number(chance: Tensor, lane: int) -> Tensor:
    return chance[:, lane].reshape(-1, 1, 1, 1)


def plain(x: Tensor, y: Tensor, pixel: float, chance: Tensor) -> Tensor:
    return colour((0.95, 0.91, 0.84)) - 0.08 * _number(chance, 0) + 0 * x


def sky(x: Tensor, y: Tensor, pixel: float, chance: Tensor) -> Tensor:
    ground = between(colour((0.50, 0.74, 0.95)), colour((0.86, 0.94, 0.99)), (y + 1) / 2)
    for lane, width in ((0, 0.55), (2, 0.40)):
        across = (x - (_number(chance, lane) * 1.8 - 0.9)) / width
        down = (y - (_number(chance, lane + 1) * 1.5 - 0.9)) / (width * 0.35)
        ground = between(ground, torch.ones_like(ground), 0.8 * (1.2 - across * across - down * down).clamp(0, 1))
    return ground


def sunset(x: Tensor, y: Tensor, pixel: float, chance: Tensor) -> Tensor:
    turn = y + 0.3 * (_number(chance, 0) - 0.5)
    top, middle, low = colour((0.60, 0.48, 0.72)), colour((0.94, 0.66, 0.66)), colour((1.00, 0.88, 0.70))
    return between(between(top, middle, (turn + 1).clamp(0, 1)), low, turn.clamp(0, 1))


def night(x: Tensor, y: Tensor, pixel: float, chance: Tensor) -> Tensor:
    """Ten stars, one in each field of two rows by five, somewhere in it."""
    ground = between(colour((0.05, 0.06, 0.17)), colour((0.17, 0.19, 0.36)), (y + 1) / 2)
    light = torch.zeros_like(x + _number(chance, 0))
    for field in range(10):
        across = (field % 5 - 2) * 0.4 + 0.3 * (_number(chance, field % 8) - 0.5)
        down = (field // 5 - 0.5) * 1.0 + 0.8 * (_number(chance, (field * 3 + 1) % 8) - 0.5)
        far = (x - across).abs() + (y - down).abs()
        light = light.maximum((1 - far / max(0.07, pixel)).clamp(min=0))
    return between(ground, colour((1.0, 0.98, 0.85)), light)


def meadow(x: Tensor, y: Tensor, pixel: float, chance: Tensor) -> Tensor:
    sky = between(colour((0.74, 0.89, 0.97)), colour((0.95, 0.98, 0.97)), (y + 1) / 2)
    hump = (x - (_number(chance, 0) * 1.6 - 0.8))
    hill = 0.05 + 0.25 * hump * hump - y
    far = 0.30 + 0.25 * (x + 0.9 - 0.6 * _number(chance, 1)).abs() - y
    land = between(sky, colour((0.72, 0.86, 0.58)), edge(hill, pixel))
    return between(land, colour((0.60, 0.78, 0.46)), edge(far, pixel))


def sea(x: Tensor, y: Tensor, pixel: float, chance: Tensor) -> Tensor:
    crest = wave(x * 0.75 + _number(chance, 0))
    rows = wave(y * 1.25 + 0.28 * crest * crest + _number(chance, 1))
    return between(colour((0.42, 0.66, 0.74)), colour((0.78, 0.91, 0.91)), edge(0.5 - rows, 5 * pixel))


def stripes(x: Tensor, y: Tensor, pixel: float, chance: Tensor) -> Tensor:
    """Across, from top left to bottom right."""
    across = wave((x - y) * 0.8 + _number(chance, 0))
    return between(colour((0.93, 0.86, 0.83)), colour((0.74, 0.66, 0.66)), edge(0.5 - across, 3 * pixel))


def checks(x: Tensor, y: Tensor, pixel: float, chance: Tensor) -> Tensor:
    across = wave(x + _number(chance, 0)) - 0.5
    down = wave(y + _number(chance, 1)) - 0.5
    odd = edge(across, 2 * pixel), edge(down, 2 * pixel)
    share = odd[0] + odd[1] - 2 * odd[0] * odd[1]
    return between(colour((0.88, 0.90, 0.91)), colour((0.62, 0.68, 0.72)), share)


#: In the order of :data:`~.world.BACKGROUNDS`.
PAINTERS: Mapping[str, Background] = MappingProxyType(
    {"plain": plain, "sky": sky, "sunset": sunset, "night": night, "meadow": meadow, "sea": sea, "stripes": stripes,
     "checks": checks})
