"""What the browser counts by itself about regions is what the engine counts: of random scenes, in the real Chromium."""

from __future__ import annotations

import random

import pytest
import torch

from diffusion_soup.errors import RecipeError
from diffusion_soup.panorama import GRID, KINDS, Canvas, Layout, Region, grid, picture, place, plan
from diffusion_soup.panorama import weights as kernels

from .pages import CHROMIUM

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

READ = """async cases => {
    const lib = '/extensions/diffusion_soup/lib';
    const [geometry, weights, holes] = await Promise.all(['geometry', 'weights', 'holes'].map(name =>
        import(`${lib}/region_${name}.js`)));
    const attempt = make => { try { return make(); } catch (error) {
        if (!(error instanceof geometry.Trouble)) throw error; return error.message; } };
    const numbers = ({ x, y, width, height }) => [x, y, width, height];
    return cases.map(([canvas, regions, grid]) => {
        const placed = attempt(() => { geometry.checkCanvas(canvas); return regions.map(region => {
            geometry.checkRegion(region); return { ...region, box: geometry.place(canvas, region) }; }); });
        const cells = attempt(() => geometry.cells(canvas, ...grid).map(numbers));
        if (typeof placed === 'string') return { placed, cells };
        const hole = holes.uncovered(canvas, placed);
        const { shares } = weights.sharesOf(canvas, placed);
        return { placed: placed.map(({ box }) => numbers(box)), cells, hole: hole?.text ?? '',
            tiles: placed.flatMap(({ box }) => geometry.tilesOf(canvas, box).map(numbers)),
            missing: (hole?.rectangles ?? []).reduce((sum, each) => sum + each.width * each.height, 0),
            axes: placed.map(region => { const { across, down } = weights.axesOf(canvas, region);
                return [[...down], [...across]]; }),
            shares: shares.map(({ places, values }) => [[...places], [...values]]) }; }); }"""


@pytest.fixture(scope="module")
def numbers(browser, server):
    """Asks the browser's modules; the page of the graph is not needed."""
    page = browser.new_page()
    page.goto(f"{server.url}/extensions/diffusion_soup/lib/region_geometry.js")
    yield lambda cases: page.evaluate(READ, cases)
    page.close()


def random_canvas(draw):
    return dict(width=GRID * draw.randint(16, 80), height=GRID * draw.randint(12, 40), wrap=draw.random() < .4,
                tile_width=draw.choice([0, 192, 256, 512]), tile_height=draw.choice([0, 256]),
                overlap_x=GRID * draw.randint(0, 20), overlap_y=GRID * draw.randint(0, 10))


def random_region(draw, canvas):
    step = draw.choice([1, GRID])
    width, height = (step * (draw.randint(min(60, canvas[side]), canvas[side]) // step) for side in ("width", "height"))
    room = canvas["width"] - (0 if canvas["wrap"] else width)
    x = draw.randint(-100 if canvas["wrap"] else 0, room) + draw.choice([0] * 12 + [40])
    start, end = sorted(draw.choices([0, .1, .25, .5, .75, 1], k=2)) if draw.random() < .2 else (0, 1)
    return dict(name=draw.choice(["hills", "it's", 'a "b"', "é\\"]), x=x, width=width, height=height,
                y=draw.randint(0, canvas["height"] - height) + draw.choice([0] * 12 + [30]), kind=draw.choice(KINDS),
                weight=draw.choice([1, 1, .02, 2.5, 300] * 8 + [1e-7]), feather=draw.choice([0, 64, 3000]), start=start,
                end=end, hold=draw.choice([0, 0, 0, 0, .3, 1]), prompted=draw.random() < .9)


def random_case(draw):
    canvas = random_canvas(draw)
    regions = [random_region(draw, canvas) for _ in range(draw.randint(1, 5))]
    if draw.random() < .6:  # a background
        regions.append(dict(random_region(draw, canvas), x=0, y=0, width=canvas["width"], height=canvas["height"],
                            start=0, end=1, hold=0, prompted=True, weight=.5))
    cells = [draw.randint(1, 4), draw.randint(1, 6), GRID * draw.randint(0, 30), GRID * draw.randint(0, 12)]
    return canvas, regions, cells


def camel(canvas):
    names = {"tile_width": "tileWidth", "tile_height": "tileHeight", "overlap_x": "overlapX", "overlap_y": "overlapY"}
    return {names.get(name, name): value for name, value in canvas.items()}


def attempt(make, *values):
    """What comes out, or the sentence that says why nothing does."""
    try:
        return make(*values)
    except RecipeError as error:
        return str(error)


def laid(canvas, regions):
    canvas = Canvas(**canvas)
    return [(region, place(canvas, region)) for region in (Region(**values) for values in regions)]


def as_list(box):
    return [box.x, box.y, box.width, box.height]


def test_random_scenes(numbers):
    """Rectangles, cells, tiles, weights, shares, holes and sentences are the engine's."""
    draw = random.Random(11)
    cases = [random_case(draw) for _ in range(90)]
    kinds = {"refused": 0, "with a hole": 0, "whole": 0}
    for case, seen in zip(cases, numbers([(camel(canvas), *rest) for canvas, *rest in cases])):
        kinds[compare(*case, seen)] += 1
    assert min(kinds.values()) > 10, kinds


def compare(canvas, regions, cells, seen):
    made = attempt(laid, canvas, regions)
    if isinstance(made, str):
        assert seen["placed"] == made
        return "refused"
    space = Canvas(**canvas)
    wanted = attempt(grid, space, *cells)
    assert seen["cells"] == (wanted if isinstance(wanted, str) else [list(cell) for cell in wanted])
    boxes = [box for _, box in made]
    assert seen["placed"] == [as_list(box) for box in boxes]
    assert seen["tiles"] == [as_list(tile.box) for tile in plan(space, boxes)]
    for (region, box), (down, across) in zip(made, seen["axes"]):
        weights = kernels.region_weights(space, region, box).double()
        found = torch.outer(torch.tensor(down).double(), torch.tensor(across).double()) * region.weight
        assert ((found - weights).abs() <= 1e-6 * weights.abs().clamp(min=1)).all()
    layout = attempt(Layout, space, [region for region, _ in made])
    if isinstance(layout, str):
        assert seen["hole"] == layout and seen["missing"] > 0
        return "with a hole"
    assert seen["hole"] == ""
    for share, (places, values) in zip(picture.shares(layout), seen["shares"]):
        found = torch.zeros(share.numel())
        found[places] = torch.tensor(values, dtype=torch.float32)
        assert (found - share.flatten()).abs().max() < 1e-6
    return "whole"
