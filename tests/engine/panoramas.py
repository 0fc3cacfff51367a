"""Canvases and regions of the engine's tests, counted in latents."""

import torch
from hypothesis import strategies as st

from diffusion_soup.panorama import GRID, KINDS, Canvas, Region, add


def canvas_of(columns, rows, wrap=False, tile=(0, 0), overlap=(0, 0)):
    """No tiles unless they are asked for."""
    return Canvas(columns * GRID, rows * GRID, wrap, *(size * GRID for size in (*tile, *overlap)))


def region(name, x, y, width, height, kind="constant", **options):
    return Region(name, x * GRID, y * GRID, width * GRID, height * GRID, kind, **options)


def pasted(layout, moment, tiles=None, pictures=None):
    """All shares, each times its own values if there are any, added up on the canvas."""
    blend, total = layout.at(moment), torch.zeros(layout.canvas.rows, layout.canvas.columns)
    for index, share in blend.tiles.items():
        add(total, share if tiles is None else share * tiles[index], layout.tiles[index].box)
    for index, share in blend.pictures.items():
        add(total, share if pictures is None else share * pictures[index], layout.boxes[index])
    return total


def ones(layout):
    return torch.ones(layout.canvas.rows, layout.canvas.columns)


def drawn(seed, shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@st.composite
def scenes(draw, holes=True, wrap=None):
    """Canvas, regions, masks. Masks are 0 or clearly above, as an image's are."""
    columns, rows = draw(st.integers(8, 24)), draw(st.integers(8, 12))
    wrap = draw(st.booleans()) if wrap is None else wrap
    tile = [draw(st.sampled_from([0, 8, 11])) for _ in "xy"]
    canvas = canvas_of(columns, rows, wrap, tile, [draw(st.integers(0, size - 1 if size else 4)) for size in tile])
    regions, masks = [], []
    for name in "abc"[:draw(st.integers(1, 3))]:
        width, height = draw(st.integers(8, columns)), draw(st.integers(8, rows))
        x, y = draw(st.integers(0, columns - 1 if wrap else columns - width)), draw(st.integers(0, rows - height))
        start, end = sorted(draw(st.sampled_from([(0, 1), (0, 0.5), (0.25, 1), (0.5, 0.75)])))
        hold = draw(st.sampled_from([0, 0, 0.5, 1]))
        prompted = draw(st.sampled_from([True, True, False])) or not hold
        regions.append(region(name, x, y, width, height, draw(st.sampled_from(KINDS)), start=start, end=end, hold=hold,
                              prompted=prompted, weight=draw(st.floats(0.01, 100)), feather=draw(st.integers(0, 64)),
                              seed=draw(st.none() | st.just(ord(name)))))
        levels = torch.tensor([0, 1 / 255, 0.5, 1])
        pick = torch.Generator().manual_seed(draw(st.integers(0, 99)))
        masked = levels[torch.randint(4, (rows, columns), generator=pick)]
        masks.append(masked if draw(st.sampled_from([False, False, True])) else None)
    if not holes or draw(st.booleans()):
        regions.insert(0, region("behind", 0, 0, columns, rows, draw(st.sampled_from(KINDS))))
        masks.insert(0, None)
    return canvas, regions, masks


def uncovered(canvas, regions, masks, moment):
    """Where no region takes part, place by place."""
    free = torch.ones(canvas.rows, canvas.columns, dtype=torch.bool)
    for each, mask in zip(regions, masks):
        held = each.hold == 1 or moment < each.hold
        if held or each.prompted and each.start <= moment and (moment < each.end or each.end == 1):
            for row in range(each.y // GRID, (each.y + each.height) // GRID):
                for column in range(each.x // GRID, (each.x + each.width) // GRID):
                    column %= canvas.columns
                    if mask is None or mask[row, column] > 0:
                        free[row, column] = False
    return free
