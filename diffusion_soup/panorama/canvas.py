"""A canvas, its regions, and the tiles a UNet is run on: only numbers.

Users speak of pixels; a latent is :data:`GRID` pixels wide and high, and everything after :func:`place` counts in
latents. On a wrapped canvas (a panorama all around) x counts modulo its width, so a :class:`Box` may reach past the
right edge and go on at the left one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import RecipeError

GRID = 8  # pixels a latent
SMALLEST = 64  # pixels; a UNet halves its input three times
LARGEST = 16384  # pixels
LIGHTEST, HEAVIEST = 1e-6, 1e6  # mask weights, which float32 still mixes

#: How much a region counts from its middle to its edge: see ``weights.py``.
GAUSSIAN, QUARTIC, CONSTANT, FEATHERED = KINDS = ("gaussian", "quartic", "constant", "feathered box")


@dataclass(frozen=True)
class Box:
    """A rectangle in latents."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    def scaled(self, factor: int) -> Box:
        """The same rectangle where a latent is ``factor`` elements wide and high."""
        return Box(self.x * factor, self.y * factor, self.width * factor, self.height * factor)


@dataclass(frozen=True)
class Canvas:
    """What is painted on. Sizes in pixels; regions larger than a tile are cut into tiles that overlap.

    ``wrap``: the right edge meets the left one. A tile size of 0 never cuts along that axis.
    Raises :class:`RecipeError` for sizes that do not fit the latent grid.
    """

    width: int
    height: int
    wrap: bool = False
    tile_width: int = 1024
    tile_height: int = 1024
    overlap_x: int = 256
    overlap_y: int = 256

    def __post_init__(self) -> None:
        for name, size in (("width", self.width), ("height", self.height)):
            if not SMALLEST <= size <= LARGEST:
                raise RecipeError(f"The canvas's {name} is {size} px; give it {SMALLEST} to {LARGEST} px.")
            _on_grid(f"The canvas's {name}", size)
        for axis, size, overlap in (("width", self.tile_width, self.overlap_x),
                                    ("height", self.tile_height, self.overlap_y)):
            _on_grid(f"The tile's {axis}", size)
            _on_grid(f"The overlap of tiles in {axis}", overlap)
            if size and size < SMALLEST:
                raise RecipeError(f"The tile's {axis} is {size} px; give it at least {SMALLEST} px, or 0 for regions "
                                  "in one piece.")
            if overlap < 0 or size and overlap >= size:
                raise RecipeError(f"Tiles of {axis} {size} px cannot overlap by {overlap} px; the overlap must be 0 or "
                                  "more, and smaller than the tile.")

    @property
    def columns(self) -> int:
        """Width in latents."""
        return self.width // GRID

    @property
    def rows(self) -> int:
        """Height in latents."""
        return self.height // GRID

    @property
    def box(self) -> Box:
        return Box(0, 0, self.columns, self.rows)


@dataclass(frozen=True)
class Region:
    """A rectangle with a prompt of its own, in pixels, and how it counts.

    weight: mask weight, how much it counts where regions overlap · feather: width in pixels of the ramps of a
    feathered box · start, end: from which to which share of the sampling its prompt counts · cfg: its own guidance;
    None is the sampler's · seed: of its own noise; None is the canvas's · hold: until which share of the sampling its
    picture holds its place · prompted: whether it has a prompt, or a picture alone.
    Raises :class:`RecipeError` for values that cannot be meant.
    """

    name: str
    x: int
    y: int
    width: int
    height: int
    kind: str = GAUSSIAN
    weight: float = 1.0
    feather: int = 64
    start: float = 0.0
    end: float = 1.0
    cfg: float | None = None
    seed: int | None = None
    hold: float = 0.0
    prompted: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise RecipeError(f"{self} has weights of kind {self.kind!r}; choose one of {', '.join(KINDS)}.")
        if not LIGHTEST <= self.weight <= HEAVIEST:
            raise RecipeError(f"{self} has a mask weight of {self.weight:g}; give it a number from {LIGHTEST:g} to "
                              f"{HEAVIEST:g}. To leave the region out, bypass its node.")
        if not 0 <= self.start < self.end <= 1:
            raise RecipeError(f"{self} is to start at {self.start:g} and to end at {self.end:g}; both are shares of "
                              "the sampling from 0 to 1, and the start must be before the end.")
        if not 0 <= self.hold <= 1:
            raise RecipeError(f"{self} is to hold its picture until {self.hold:g}; give a share of the sampling, from "
                              "0 to 1.")
        if self.cfg is not None and not math.isfinite(self.cfg):
            raise RecipeError(f"{self} has a cfg of {self.cfg}; give it a finite number.")
        if self.feather < 0:
            raise RecipeError(f"{self} has a feather of {self.feather} px; give it 0 or more.")

    def __str__(self) -> str:
        return f"Region {self.name!r}"

    def prompt_counts(self, moment: float) -> bool:
        """Whether its prompt takes part at this share of the sampling, in [0, 1]."""
        before_end = moment < self.end or self.end == 1
        return self.prompted and self.start <= moment and before_end and not self.picture_counts(moment)

    def picture_counts(self, moment: float) -> bool:
        """Whether its picture holds its place at this share of the sampling."""
        return self.hold > 0 and (moment < self.hold or self.hold == 1)


@dataclass(frozen=True)
class Tile:
    """A crop of the canvas that the UNet is run on, for one region."""

    region: int
    box: Box


def place(canvas: Canvas, region: Region) -> Box:
    """A region's rectangle in latents: its edges snapped to the nearest multiple of 8 pixels.

    Raises :class:`RecipeError` where it reaches outside the canvas or is too small.
    """
    if canvas.wrap and region.width > canvas.width:
        raise RecipeError(f"{region} is {region.width} px wide, wider than the canvas all around ({canvas.width} px); "
                          f"make it at most {canvas.width} px wide.")
    axes = [("y", region.y, region.height, canvas.height, "high")]
    if not canvas.wrap:
        axes.append(("x", region.x, region.width, canvas.width, "wide"))
    for axis, start, size, whole, measure in axes:
        if start < 0 or start + size > whole:
            raise RecipeError(f"{region} reaches from {axis} = {start} to {start + size}, but the canvas is {whole} px "
                              f"{measure}; move it or make it smaller"
                              + (", or let the canvas wrap." if axis == "x" else "."))
    left, top, right, bottom = map(_snapped, (region.x, region.y, region.x + region.width, region.y + region.height))
    right = min(right, left + canvas.columns)
    box = Box(left % canvas.columns if canvas.wrap else left, top, right - left, bottom - top)
    if min(box.width, box.height) * GRID < SMALLEST:
        raise RecipeError(f"{region} is {region.width} x {region.height} px ({box.width * GRID} x {box.height * GRID} "
                          f"on the grid of {GRID} px); make it at least {SMALLEST} px wide and high.")
    return box


def plan(canvas: Canvas, boxes: Sequence[Box]) -> tuple[Tile, ...]:
    """The tiles of each region's box, in reading order; a region no larger than a tile is one tile."""
    return tuple(Tile(index, tile) for index, box in enumerate(boxes) for tile in _cut(canvas, box))


def grid(canvas: Canvas, rows: int, columns: int, overlap_x: int, overlap_y: int) -> list[tuple[int, int, int, int]]:
    """(x, y, width, height) in pixels of rows x columns cells of one size, in reading order.

    Neighbours overlap by about the given pixels: canvas = cell + (n − 1)(cell − overlap) along each axis, and
    canvas = n (cell − overlap) around a wrapped one.
    """
    across = _cells("columns", canvas.columns, columns, overlap_x, canvas.wrap)
    down = _cells("rows", canvas.rows, rows, overlap_y, False)
    return [(x * GRID, y * GRID, width * GRID, height * GRID) for y, height in down for x, width in across]


def _cells(what: str, length: int, count: int, overlap: int, ring: bool) -> list[tuple[int, int]]:
    """(start, size) in latents of ``count`` cells of one size."""
    _on_grid(f"The overlap of {what}", overlap)
    if count < 1 or overlap < 0:
        raise RecipeError(f"A grid cannot have {count} {what} that overlap by {overlap} px; give at least one, and an "
                          "overlap of 0 or more.")
    shared = overlap // GRID if count > 1 else 0
    ring = ring and count > 1
    size = math.ceil(length / count + shared if ring else (length + (count - 1) * shared) / count)
    room = length if ring else length - size
    if size > length or size * GRID < SMALLEST or count > 1 and room < (count if ring else count - 1):
        raise RecipeError(f"{count} {what} that overlap by {overlap} px do not fit into {length * GRID} px; take fewer "
                          f"{what} or a smaller overlap.")
    if ring:
        return [(round(index * length / count), size) for index in range(count)]
    return [(round(index * (length - size) / max(count - 1, 1)), size) for index in range(count)]


def _cut(canvas: Canvas, box: Box) -> Iterator[Box]:
    around = canvas.wrap and box.width == canvas.columns
    across = _starts(box.width, canvas.tile_width // GRID, canvas.overlap_x // GRID, around)
    down = _starts(box.height, canvas.tile_height // GRID, canvas.overlap_y // GRID, False)
    width, height = (min(size // GRID or length, length) for size, length in
                     ((canvas.tile_width, box.width), (canvas.tile_height, box.height)))
    for y in down:
        for x in across:
            left = box.x + x
            yield Box(left % canvas.columns if canvas.wrap else left, box.y + y, width, height)


def _starts(length: int, tile: int, overlap: int, ring: bool) -> list[int]:
    """Where tiles begin along an axis: as few as overlap by at least ``overlap``, evenly spaced.

    All around, at least two, so that each hides the other's ends.
    """
    if not tile or tile >= length and not ring:
        return [0]
    if ring:
        count = max(2, math.ceil(length / (tile - overlap if tile < length else length - min(overlap, length // 2))))
        return [round(index * length / count) for index in range(count)]
    count = math.ceil((length - overlap) / (tile - overlap))
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]


def _snapped(pixels: int) -> int:
    return math.floor(pixels / GRID + 0.5)


def _on_grid(what: str, pixels: int) -> None:
    if pixels % GRID:
        raise RecipeError(f"{what} is {pixels} px, which does not fit the grid of {GRID} px a latent; make it "
                          f"{max(_snapped(pixels), 0) * GRID} px.")
