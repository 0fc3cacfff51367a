"""The predictions of all tiles become one: ε = Σ wᵣ εᵣ / Σ wᵣ over the canvas (arXiv 2302.02412, section 3).

A :class:`Layout` holds what never changes; :meth:`Layout.at` says how much each tile counts at a moment, already
divided by the sum, so that blending is one multiplication and one addition, and a region alone counts exactly 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch

from ..errors import RecipeError
from . import weights
from .canvas import GRID, Box, Canvas, Region, place, plan
from .errors import CoverageError


@dataclass(frozen=True)
class Blend:
    """How much everything counts at one moment. At each place of the canvas all shares together are 1.

    tiles: index of a tile -> [h, w] float32 over its box; tiles that count nowhere are left out.
    pictures: index of a region whose picture holds its place -> [h, w] float32 over its box.
    """

    tiles: Mapping[int, torch.Tensor]
    pictures: Mapping[int, torch.Tensor]


class Layout:
    """Regions on a canvas, cut into tiles.

    ``masks``: for a region, [rows, columns] in [0, 1] over the canvas, one element a latent, or None.
    Raises :class:`RecipeError` for a region that does not fit the canvas or is masked away, and
    :class:`CoverageError` where a part of the canvas belongs to no region at some moment of the sampling.
    """

    def __init__(self, canvas: Canvas, regions: Sequence[Region], masks: Sequence[torch.Tensor | None] = ()) -> None:
        if not regions:
            raise RecipeError("The canvas has no region; add at least one.")
        self.canvas, self.regions = canvas, tuple(regions)
        self.boxes = tuple(place(canvas, region) for region in regions)
        self.tiles = plan(canvas, self.boxes)
        masks = [*masks, *[None] * (len(regions) - len(masks))]
        self.weights = tuple(weights.region_weights(canvas, region, box, self._mask(mask, region, box))
                             for region, box, mask in zip(self.regions, self.boxes, masks))
        for region, mine in zip(self.regions, self.weights):
            if not mine.any():
                raise RecipeError(f"The mask of {region} is black inside its rectangle; move the rectangle to where "
                                  "the mask is white, or leave the mask out.")
        self._within = self._inside()
        self._blends: dict[tuple[tuple[bool, bool], ...], Blend] = {}
        for moment in self.moments:
            self.at(moment)

    @property
    def moments(self) -> tuple[float, ...]:
        """Shares of the sampling from which on other regions take part than before; the first is 0."""
        changes = {0.0, *(moment for region in self.regions for moment in (region.start, region.end, region.hold))}
        return tuple(sorted(changes - {1.0}))

    def at(self, moment: float) -> Blend:
        """How much every tile and held picture counts at a share of the sampling."""
        counting = tuple((region.prompt_counts(moment), region.picture_counts(moment)) for region in self.regions)
        if counting not in self._blends:
            self._blends[counting] = self._blend(moment)
        return self._blends[counting]

    def _blend(self, moment: float) -> Blend:
        total = torch.zeros(self.canvas.rows, self.canvas.columns)
        prompted = [index for index, region in enumerate(self.regions) if region.prompt_counts(moment)]
        for index in prompted:
            add(total, self.weights[index], self.boxes[index])
        pictures, free = self._held(moment, total)
        hole = (total == 0) & (free > 0)
        if hole.any():
            raise self._uncovered(hole, moment)
        tiles = {}
        for index, tile in enumerate(self.tiles):
            if tile.region in prompted:
                sums = crop(total, tile.box)
                share = self._of_region(index) / sums.where(sums > 0, 1) * self._within[index] * crop(free, tile.box)
                if share.any():
                    tiles[index] = share
        return Blend(MappingProxyType(tiles), MappingProxyType(pictures))

    def _held(self, moment: float, total: torch.Tensor) -> tuple[dict[int, torch.Tensor], torch.Tensor]:
        """Shares of the pictures, later ones above earlier ones, and what they leave free, [rows, columns].

        Where a picture's edge fades and nothing is beneath, the picture counts whole.
        """
        free, taken = torch.ones_like(total), torch.zeros_like(total)
        held: dict[int, torch.Tensor] = {}
        for index in reversed(range(len(self.regions))):
            if self.regions[index].picture_counts(moment):
                box = self.boxes[index]
                share = (self.weights[index] / weights.peak(self.regions[index])).clamp(max=1)
                held[index] = share * crop(free, box)
                add(free, -held[index], box)
                add(taken, held[index], box)  # not 1 - free, which rounds the faint edges of a picture away
        alone = (total == 0) & (taken > 0)
        for index, box in ((index, self.boxes[index]) for index in held):
            held[index] = torch.where(crop(alone, box), held[index] / crop(taken, box).clamp(min=1e-30), held[index])
        return held, free.masked_fill(alone, 0)

    def _of_region(self, index: int) -> torch.Tensor:
        """A region's weights over one of its tiles."""
        tile = self.tiles[index]
        box = self.boxes[tile.region]
        across = (torch.arange(tile.box.width) + tile.box.x - box.x) % self.canvas.columns
        down = slice(tile.box.y - box.y, tile.box.bottom - box.y)
        return self.weights[tile.region][down][:, across]

    def _inside(self) -> list[torch.Tensor]:
        """For each tile [h, w] float32: its share of its region; 1 where it is alone."""
        shares = []
        for index in range(len(self.regions)):
            boxes = [tile.box for tile in self.tiles if tile.region == index]
            total = torch.zeros(self.canvas.rows, self.canvas.columns, dtype=torch.float64)
            for box in boxes:
                add(total, weights.tile_weights(box), box)
            shares += [(weights.tile_weights(box) / crop(total, box)).float() for box in boxes]
        return shares

    def _mask(self, mask: torch.Tensor | None, region: Region, box: Box) -> torch.Tensor | None:
        """A mask over a region's box, between 0 and 1."""
        if mask is None:
            return None
        if mask.shape != (self.canvas.rows, self.canvas.columns):
            raise RecipeError(f"The mask of {region} has {tuple(mask.shape)} elements, but the canvas has "
                              f"{self.canvas.rows} x {self.canvas.columns} latents; lay it over the canvas.")
        return crop(mask.nan_to_num(0.0), box).clamp(0, 1)

    def _uncovered(self, hole: torch.Tensor, moment: float) -> CoverageError:
        down, across = hole.any(1).nonzero().flatten(), hole.any(0).nonzero().flatten()
        left, top = int(across[0]), int(down[0])
        width, height = int(across[-1]) + 1 - left, int(down[-1]) + 1 - top
        later = [change for change in (*self.moments, 1.0) if change > moment]
        when = "" if (moment, later[0]) == (0, 1) else f" from {moment:.0%} to {later[0]:.0%} of the sampling"
        asleep = [region for region, box, mine in zip(self.regions, self.boxes, self.weights)
                  if region.prompted and ((mine > 0) & crop(hole, box)).any()]
        near = min(range(len(self.regions)), key=lambda index: _gap(self.boxes[index], left, top, width, height))
        missing = hole.float().mean().item()
        share = f"{missing:.1%}" if missing >= 0.001 else "Less than 0.1%"
        where = f"{share} of the canvas belongs to no region{when}: the hole lies within {width * GRID} x " \
                f"{height * GRID} px at x = {left * GRID}, y = {top * GRID}"
        advice = f"where {asleep[0]} counts only from {asleep[0].start:.0%} to {asleep[0].end:.0%}. Let it count all " \
                 "the time" if asleep else f"beside {self.regions[near]}. Make that region larger"
        return CoverageError(f"{where}, {advice}, or put a region as large as the canvas behind all others.", hole)


def crop(tensor: torch.Tensor, box: Box) -> torch.Tensor:
    """[..., h, w]: the part of ``tensor`` [..., rows, columns] in a box, which may go on at the left edge."""
    rows = tensor.narrow(-2, box.y, box.height)
    if box.right <= tensor.shape[-1]:
        return rows.narrow(-1, box.x, box.width)
    return torch.cat([rows.narrow(-1, start, size) for _, start, size in _pieces(box, tensor.shape[-1])], dim=-1)


def add(canvas: torch.Tensor, values: torch.Tensor, box: Box) -> None:
    """Add ``values`` [..., h, w] to ``canvas`` [..., rows, columns] in a box, in place."""
    rows = canvas.narrow(-2, box.y, box.height)
    for first, start, size in _pieces(box, canvas.shape[-1]):
        rows.narrow(-1, start, size).add_(values.narrow(-1, first, size))


def seeded(layout: Layout, noise: torch.Tensor, draw: Callable[[int, Box], torch.Tensor]) -> torch.Tensor:
    """Noise in which regions with a seed have their own: n = Σ wᵣ nᵣ / √(Σ wᵣ²), which keeps the variance 1.

    ``noise`` [B, C, rows, columns] is that of all other regions together; ``draw(seed, box)`` gives a region's
    [B, C, h, w]. A region alone has exactly the noise of its seed.
    """
    if all(region.seed is None for region in layout.regions):
        return noise
    shared = torch.zeros(layout.canvas.rows, layout.canvas.columns, dtype=torch.float64)
    own: dict[tuple[int, Box], torch.Tensor] = {}
    for region, box, mine in zip(layout.regions, layout.boxes, layout.weights):
        if region.seed is None:
            add(shared, mine.double(), box)
        else:  # regions with the same noise count as one
            own[region.seed, box] = own.get((region.seed, box), 0) + mine.double()
    parts = [(shared, noise, layout.canvas.box)]
    parts += [(mine, draw(seed, box), box) for (seed, box), mine in own.items()]
    squares = torch.zeros_like(shared)
    for mine, _, box in parts:
        add(squares, mine**2, box)
    length = squares.sqrt()
    mixed = torch.zeros_like(noise)
    for mine, drawn, box in parts:
        share = (mine / crop(length, box).clamp(min=1e-300)).to(noise)
        add(mixed, drawn.to(noise) * share, box)
    return mixed


def _pieces(box: Box, columns: int) -> Iterator[tuple[int, int, int]]:
    """(start in the box, start on the canvas, size) of the one or two parts of a box along x."""
    first = min(box.width, columns - box.x)
    yield 0, box.x, first
    if first < box.width:
        yield first, 0, box.width - first


def _gap(box: Box, left: int, top: int, width: int, height: int) -> int:
    """How far a box is from a rectangle, in latents."""
    return max(left - box.right, box.x - left - width, 0) + max(top - box.bottom, box.y - top - height, 0)
