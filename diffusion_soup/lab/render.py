"""Scenes to pictures: vectorised, by signed distances, the same bits for the same scene on any batch size."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from .backgrounds import PAINTERS
from .draws import uniforms
from .shapes import DISTANCES
from .styles import FAR, HANDS, Sketch
from .world import BACKGROUNDS, MOST, POSITIONS, SHAPES, STYLES, Scene, Scenes, WorldError

#: Colours of things, red, green and blue from 0 to 1, in the order of COLOURS.
PALETTE = ((0.87, 0.13, 0.17), (0.98, 0.50, 0.08), (0.99, 0.84, 0.12), (0.13, 0.62, 0.28), (0.13, 0.36, 0.85),
           (0.55, 0.20, 0.72))
#: Where the middle of a thing is, in units of half a picture from the centre, and its radius.
PLACES = {"left": (-0.53, 0.0), "right": (0.53, 0.0), "top": (0.0, -0.53), "bottom": (0.0, 0.53), "centre": (0.0, 0.0)}
RADII = {"small": 0.35, "large": 0.50}
SMALLEST = 16

_PIECE = 512
_LANES = 8
#: A row of chances: four for each position, then eight for the background and eight for the style.
_THING, _GROUND, _STYLE = 0, 4 * len(POSITIONS), 4 * len(POSITIONS) + _LANES


def draw(scenes: Sequence[Scene], size: int) -> Tensor:
    """(B, 3, size, size) float32 from −1 to 1. Raises :class:`WorldError` for pictures below 16 px."""
    if size < SMALLEST:
        raise WorldError(f"Pictures of this world are at least {SMALLEST} px wide, not {size}.")
    whole = Scenes.of(scenes)
    pictures = torch.empty(len(whole), 3, size, size)
    for start in range(0, len(whole), _PIECE):
        piece = whole.pick(slice(start, start + _PIECE))
        pictures[start:start + len(piece)] = _drawn(piece, size)
    return pictures


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """Names how this version draws: the SHA-256 of 64 pictures of 16 px in 8 bits. It changes when a picture does."""
    facts = torch.zeros(64, 17, dtype=torch.int64)
    for at in range(64):
        facts[at, at % 5 * 3:at % 5 * 3 + 3] = torch.tensor([1 + at % 6, 1 + at // 6 % 6, 1 + at % 2])
        facts[at, 15:] = torch.tensor([at % 8, at // 8])
    pictures = draw(Scenes(facts, torch.arange(64)), SMALLEST)
    return hashlib.sha256(((pictures + 1) * 127.5).round().to(torch.uint8).numpy().tobytes()).hexdigest()


def speed(scenes: Sequence[Scene], size: int) -> float:
    """Pictures drawn in a second, on as many threads as torch has now; the first piece is not counted."""
    whole = Scenes.of(scenes)
    draw(whole.pick(slice(0, _PIECE)), size)
    started = time.perf_counter()
    draw(whole, size)
    return len(whole) / (time.perf_counter() - started)


def _drawn(scenes: Scenes, size: int) -> Tensor:
    chance = torch.from_numpy(uniforms(scenes.seeds.numpy().astype("uint64"), _STYLE + _LANES)).float()
    pixel = 2 / size
    points = (torch.arange(size) * 2 + 1 - size) / size
    x, y = points.reshape(1, 1, 1, size), points.reshape(1, 1, size, 1)
    middles, turns, shapes, colours = _things(scenes, chance)
    distances = _distances(x, y, middles, turns, shapes)
    ground = _each(scenes.column("background"), BACKGROUNDS, lambda name, at: PAINTERS[name](
        x, y, pixel, chance[at, _GROUND:_STYLE]).expand(len(at), 3, size, size), (3, size, size))

    def styled(name: str, at: Tensor) -> Tensor:
        return HANDS[name](Sketch(ground[at], distances[at], colours[at], middles[at], x, y, pixel,
                                  chance[at, _STYLE:]))

    return _each(scenes.column("style"), STYLES, styled, (3, size, size)).clamp(0, 1) * 2 - 1


def _things(scenes: Scenes, chance: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of up to three things each: (b, 3, 3) x, y and radius; (b, 3, 2) cosine and sine; (b, 3) shape, 0 for none;
    (b, 3, 3) colour."""
    table = scenes.facts[:, :15].reshape(-1, len(POSITIONS), 3)
    slots = (table[..., 0] == 0).to(torch.int8).argsort(dim=1, stable=True)[:, :MOST]
    rows = torch.arange(len(scenes))[:, None]
    shapes, paints, sizes = table[rows, slots].unbind(2)
    luck = chance[:, _THING:_GROUND].reshape(-1, len(POSITIONS), 4)[rows, slots]
    shift = (luck[..., :2] - 0.5) * 0.10
    places = torch.tensor([PLACES[position] for position in POSITIONS])[slots] + shift
    radius = torch.tensor([1.0, *RADII.values()])[sizes] * (0.95 + 0.10 * luck[..., 2])
    half = (luck[..., 3] - 0.5) * 0.18  # the tangent of half the angle, so cosine and sine are fractions of it
    turns = torch.stack([(1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)], dim=2)
    colours = torch.tensor([(0.0, 0.0, 0.0), *PALETTE])[paints]
    return torch.cat([places, radius[..., None]], dim=2), turns, shapes, colours


def _distances(x: Tensor, y: Tensor, middles: Tensor, turns: Tensor, shapes: Tensor) -> Tensor:
    """(b, 3, S, S) signed distances, FAR where there is no thing."""
    size = x.shape[-1]
    flat = middles.reshape(-1, 3), turns.reshape(-1, 2)

    def one(name: str, at: Tensor) -> Tensor:
        if name not in DISTANCES:
            return torch.full((len(at), size, size), FAR)
        left, top, radius = flat[0][at, :, None, None].unbind(1)
        cosine, sine = flat[1][at, :, None, None].unbind(1)
        across, down = (x[0] - left) / radius, (y[0] - top) / radius
        return DISTANCES[name](across * cosine + down * sine, down * cosine - across * sine) * radius

    return _each(shapes.flatten(), ("none", *SHAPES), one, (size, size)).reshape(*shapes.shape, size, size)


def _each(kinds: Tensor, names: Iterable[str], paint: Callable[[str, Tensor], Tensor],
          shape: tuple[int, ...]) -> Tensor:
    """One result for each of ``kinds``, painted kind by kind."""
    result = torch.empty(len(kinds), *shape)
    for kind, name in enumerate(names):
        at = (kinds == kind).nonzero().flatten()
        if len(at):
            result[at] = paint(name, at)
    return result
