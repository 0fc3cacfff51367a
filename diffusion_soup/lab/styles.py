"""The drawing styles: how the things of a scene are put onto its background.

Each takes a :class:`Sketch` of b scenes and returns (b, 3, S, S) colours, about 0 to 1. Lines and softness have widths
in the picture's own units with a floor of about one pixel, so that a style is itself at 16 px and at 128.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from .backgrounds import between, colour, edge, wave

FAR = 9.0


@dataclass(frozen=True)
class Sketch:
    """What a style works on, for b scenes of S x S pixels.

    ``ground`` (b, 3, S, S) is the background; ``distances`` (b, 3, S, S) the signed distance of up to three things,
    :data:`FAR` where there is none; ``colours`` (b, 3, 3) thing by channel; ``middles`` (b, 3, 3) x, y and radius;
    ``x`` (1, 1, 1, S) and ``y`` (1, 1, S, 1) are the points; ``pixel`` is the width of a pixel, of 2 in all;
    ``chance`` (b, 8) are uniform numbers.
    """

    ground: Tensor
    distances: Tensor
    colours: Tensor
    middles: Tensor
    x: Tensor
    y: Tensor
    pixel: float
    chance: Tensor

    def things(self) -> Iterator[tuple[Tensor, Tensor]]:
        """(distance (b, 1, S, S), colour (b, 3, 1, 1)) of each thing, from the back to the front."""
        for at in range(self.distances.shape[1]):
            yield self.distances[:, at:at + 1], self.colours[:, at, :, None, None]


Style = Callable[[Sketch], Tensor]


def flat(sketch: Sketch) -> Tensor:
    """Even colours, clean edges."""
    picture = sketch.ground
    for distance, paint in sketch.things():
        picture = between(picture, paint, edge(distance, sketch.pixel))
    return picture


def comic(sketch: Sketch) -> Tensor:
    """Even colours within a dark outline; the background in strong colours."""
    line = max(0.05, 0.5 * sketch.pixel)
    picture = between(_grey(sketch.ground), sketch.ground, 2.0).clamp(0, 1)
    for distance, paint in sketch.things():
        picture = between(picture, colour((0.06, 0.05, 0.09)), edge(distance - line, sketch.pixel))
        picture = between(picture, paint, edge(distance + line, sketch.pixel))
    return picture


def ink(sketch: Sketch) -> Tensor:
    """Pen on paper: outlines, and hatching in the colour of what it shows."""
    period = max(0.14, 3 * sketch.pixel)
    rising, falling = wave((sketch.x + sketch.y) / period), wave((sketch.x - sketch.y) / period)
    paper = colour((0.98, 0.96, 0.91))
    tone = 1 - _grey(sketch.ground)
    strokes = ((tone * 1.3 + 0.05 - rising) * 2.5 + 0.5).clamp(0, 1)
    picture = between(paper, sketch.ground * 0.62, strokes)
    line = max(0.035, 0.45 * sketch.pixel)
    for distance, paint in sketch.things():
        inside = between(paper, paint, ((0.55 - falling) * 2.5 + 0.5).clamp(0, 1))
        picture = between(picture, inside, edge(distance, sketch.pixel))
        picture = between(picture, paint * 0.55, edge(distance.abs() - line, sketch.pixel))
    return picture


def pastel(sketch: Sketch) -> Tensor:
    """Light colours and soft edges, fading out to the rim."""
    soft = max(0.24, 1.9 * sketch.pixel)
    picture = between(sketch.ground, torch.ones_like(sketch.ground), 0.5)
    for distance, paint in sketch.things():
        picture = between(picture, 0.30 + 0.70 * paint, edge(distance, soft))
    rim = (sketch.x * sketch.x + sketch.y * sketch.y - 0.7) * 0.7
    return between(picture, colour((1.0, 0.98, 0.99)), rim.clamp(0, 0.9))


def pixel(sketch: Sketch) -> Tensor:
    """A sprite of about sixteen cells: hard edges, a dark rim of its own colour, few tones, a chequered dither."""
    size = sketch.ground.shape[-1]
    cells = size // max(1, size // 16)
    middle = (torch.arange(cells) * size + size // 2) // cells
    cell = 2 / cells
    odd = (torch.arange(cells)[:, None] + torch.arange(cells)[None]).remainder(2).float()
    picture = (sketch.ground[..., middle, :][..., middle] * 8 + 0.5).floor() / 8 + (odd - 0.5) * 0.12
    for distance, paint in sketch.things():
        distance = distance[..., middle, :][..., middle]
        picture = paint.where(distance < 0, picture)
        picture = (paint * 0.5).where((distance < 0) & (distance > -0.5 * cell), picture)
    back = torch.arange(size) * cells // size
    return picture[..., back, :][..., back]


def neon(sketch: Sketch) -> Tensor:
    """Tubes of light in the dark."""
    picture = sketch.ground * 0.26 + colour((0.02, 0.0, 0.06))
    line = max(0.03, 0.35 * sketch.pixel)
    for distance, paint in sketch.things():
        far = distance.abs() / 0.13
        inside = edge(distance, sketch.pixel) * 0.22
        glow = (1 / (1 + far * far) + inside).clamp(max=1) * (distance < FAR / 2)
        picture = between(picture, paint * 1.05, glow * 0.9)
        picture = between(picture, 0.45 * paint + 0.55, edge(distance.abs() - line, sketch.pixel))
    return picture


def clay(sketch: Sketch) -> Tensor:
    """Rounded bodies lit from the top left, with a shadow to the bottom right."""
    picture = sketch.ground * (1.02 - 0.10 * (sketch.x + sketch.y))
    step = max(1, round(0.12 / sketch.pixel))
    for at, (distance, paint) in enumerate(sketch.things()):
        shade = functional.pad(distance, (step, 0, step, 0), value=FAR)[..., :distance.shape[-2], :distance.shape[-1]]
        picture = picture * (1 - 0.55 * edge(shade - 0.02, 0.2))
        x, y, radius = sketch.middles[:, at, :, None, None, None].unbind(1)
        across, down = (sketch.x - x) / radius, (sketch.y - y) / radius
        light = 1 - 0.42 * (across + down)
        spot = across + 0.35, down + 0.40
        shine = (1 - 7 * (spot[0] * spot[0] + spot[1] * spot[1])).clamp(0, 1) * 0.75
        rounded = 1 - 0.3 * edge(-distance - 0.03, 0.12)
        body = between(paint * light.clamp(0.45, 1.25) * rounded, torch.ones_like(paint), shine)
        picture = between(picture, body, edge(distance, sketch.pixel))
    return picture


def watercolour(sketch: Sketch) -> Tensor:
    """Washes on white paper that gather at their edges, and a rough rim left bare."""
    first, second = (sketch.chance[:, lane].reshape(-1, 1, 1, 1) for lane in (0, 1))
    blotches = (wave(sketch.x * 0.9 + sketch.y * 0.5 + first) + wave(sketch.x * -0.6 + sketch.y * 1.1 + second)
                + wave(sketch.x * 2.1 + sketch.y * 1.7 + second) * 0.5) / 2.5
    paper = colour((0.99, 0.985, 0.96)) + 0 * blotches
    soft = max(0.05, sketch.pixel)
    rim = sketch.x.abs().maximum(sketch.y.abs()) - 0.72 - 0.26 * blotches
    picture = _washed(paper, sketch.ground, rim, blotches, soft, 0.50, 0.30)
    for distance, paint in sketch.things():
        picture = between(picture, paper, edge(distance + 0.02, soft) * 0.6)
        picture = _washed(picture, paint, distance + 0.10 * (blotches - 0.5), blotches, soft, 0.62, 0.40)
    return picture


def _grey(picture: Tensor) -> Tensor:
    return (picture[:, 0:1] + picture[:, 1:2] + picture[:, 2:3]) / 3


def _washed(picture: Tensor, paint: Tensor, distance: Tensor, blotches: Tensor, soft: float, thin: float,
            uneven: float) -> Tensor:
    """``paint`` laid thinly within ``distance``, more where it pools: in blotches and along the edge."""
    pool = 0.3 * (1 - (distance + 0.04).abs() / 0.11).clamp(0, 1)
    return between(picture, paint - pool * 0.35, edge(distance, soft) * (thin + uneven * blotches + pool).clamp(0, 1))


#: In the order of :data:`~.world.STYLES`.
HANDS: Mapping[str, Style] = MappingProxyType(
    {"flat": flat, "comic": comic, "ink": ink, "pastel": pastel, "pixel": pixel, "neon": neon, "clay": clay,
     "watercolour": watercolour})
