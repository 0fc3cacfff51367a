"""Canvases, regions, tiles and grids: counted by hand, then for any sizes."""

import math

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from diffusion_soup.errors import RecipeError
from diffusion_soup.panorama import GRID, KINDS, Box, Canvas, Region, Tile, grid, place, plan

from .kitchen import plain_sentence


def refused(act, *arguments, **options):
    with pytest.raises(RecipeError) as caught:
        act(*arguments, **options)
    return plain_sentence(caught.value)


# -- canvas and region -----------------------------------------------------------------------------------


def test_a_canvas_counts_in_latents():
    canvas = Canvas(128, 64)
    assert (canvas.columns, canvas.rows, canvas.box) == (16, 8, Box(0, 0, 16, 8))
    assert Box(1, 2, 3, 4).scaled(8) == Box(8, 16, 24, 32)
    assert (Box(1, 2, 3, 4).right, Box(1, 2, 3, 4).bottom) == (4, 6)


@pytest.mark.parametrize(("options", "words"), [
    ({"width": 1020}, ["canvas's width is 1020 px", "make it 1024 px"]),
    ({"height": 515}, ["canvas's height is 515 px", "make it 512 px"]),
    ({"width": 56}, ["canvas's width is 56 px", "64 to 16384"]),
    ({"height": 0}, ["canvas's height is 0 px"]), ({"height": -64}, ["canvas's height is -64 px"]),
    ({"height": 16392}, ["canvas's height is 16392 px"]),
    ({"tile_width": 500}, ["tile's width is 500 px", "make it 504 px"]),
    ({"tile_height": 56}, ["tile's height is 56 px", "at least 64 px"]),
    ({"tile_height": -512}, ["tile's height is -512 px"]),
    ({"overlap_x": 12}, ["overlap of tiles in width is 12 px"]),
    ({"overlap_y": -8}, ["height 1024 px", "overlap by -8 px"]),
    ({"tile_width": 512, "overlap_x": 512}, ["width 512 px", "overlap by 512 px", "smaller than the tile"]),
    ({"tile_height": 128}, ["height 128 px", "overlap by 256 px"]),
    ({"tile_width": 0, "overlap_x": -8}, ["overlap by -8 px"]),
])
def test_sizes_that_do_not_fit_the_latents(options, words):
    text = refused(Canvas, **{"width": 1024, "height": 512, **options})
    assert all(each in text for each in words), text


@pytest.mark.parametrize(("options", "words"), [
    ({"kind": "round"}, ["'round'", *KINDS]),
    ({"weight": 0.0}, ["mask weight of 0;", "bypass"]), ({"weight": -1.5}, ["mask weight of -1.5"]),
    ({"weight": math.nan}, ["mask weight of nan"]), ({"weight": math.inf}, ["mask weight of inf"]),
    ({"start": 0.5, "end": 0.5}, ["start at 0.5", "end at 0.5"]), ({"start": 0.7, "end": 0.3}, ["start at 0.7"]),
    ({"start": -0.1}, ["start at -0.1"]), ({"end": 1.5}, ["end at 1.5"]), ({"start": math.nan}, ["start at nan"]),
    ({"hold": 1.2}, ["until 1.2"]), ({"hold": -0.2}, ["until -0.2"]), ({"hold": math.nan}, ["until nan"]),
    ({"cfg": math.nan}, ["cfg of nan"]), ({"cfg": math.inf}, ["cfg of inf"]),
    ({"feather": -8}, ["feather of -8 px"]),
])
def test_regions_that_cannot_be_meant(options, words):
    text = refused(Region, "the fox", 0, 0, 64, 64, **options)
    assert all(each in text for each in ["Region 'the fox'", *words]), text


def test_when_prompts_and_pictures_count():
    def counts(**options):
        region = Region("a", 0, 0, 64, 64, **options)
        return [(region.prompt_counts(at), region.picture_counts(at)) for at in (0.0, 0.25, 0.5, 1.0)]

    prompt, picture, none = (True, False), (False, True), (False, False)
    assert counts() == [prompt] * 4
    assert counts(start=0.25, end=0.5) == [none, prompt, none, none], "the start is in, the end is out"
    assert counts(start=0.5) == [none, none, prompt, prompt], "but the end of the sampling is in"
    assert counts(hold=0.5) == [picture, picture, prompt, prompt]
    assert counts(hold=1.0) == [picture] * 4
    assert counts(hold=0.25, prompted=False) == [picture, none, none, none]


# -- place -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("x", "width", "wanted"), [
    (0, 64, (0, 8)), (3, 64, (0, 8)), (4, 64, (1, 8)), (11, 64, (1, 8)), (12, 64, (2, 8)), (4, 67, (1, 8)),
    (4, 68, (1, 8)), (3, 70, (0, 9))])
def test_edges_snap_to_the_nearest_latent(x, width, wanted):
    box = place(Canvas(128, 128), Region("a", x, x, width, width))
    assert (box.x, box.width) == (box.y, box.height) == wanted


def test_neighbours_stay_neighbours():
    canvas = Canvas(256, 64)
    left, right = (place(canvas, Region("a", x, 0, width, 64)) for x, width in ((0, 101), (101, 155)))
    assert (left.right, right.right) == (right.x, 32)


def test_all_around():
    canvas = Canvas(128, 64, wrap=True)
    assert place(canvas, Region("a", 96, 0, 64, 64)) == Box(12, 0, 8, 8), "goes on at the left edge"
    for turn in (-256, -128, 128, 256):
        assert place(canvas, Region("a", 40 + turn, 0, 64, 64)) == place(canvas, Region("a", 40, 0, 64, 64))
    for x in range(-130, 130, 7):
        assert place(canvas, Region("a", x, 0, 128, 64)).width == 16


@pytest.mark.parametrize(("rectangle", "wrap", "words"), [
    ((-8, 0, 64, 64), False, ["x = -8 to 56", "128 px wide", "let the canvas wrap"]),
    ((72, 0, 64, 64), False, ["x = 72 to 136", "128 px wide"]),
    ((0, -1, 64, 64), False, ["y = -1 to 63", "64 px high"]), ((0, 8, 64, 64), True, ["y = 8 to 72", "64 px high"]),
    ((0, 0, 136, 64), True, ["136 px wide", "(128 px)"]),
    ((0, 0, 56, 64), False, ["56 x 64 px", "at least 64 px"]), ((0, 0, 64, 59), True, ["64 x 59 px", "64 x 56 on"]),
    ((4, 0, 63, 64), False, ["63 x 64 px", "56 x 64 on"]), ((0, 0, 0, 64), False, ["0 x 64 px"]),
    ((64, 0, -64, 64), True, ["-64 x 64 px"]),
])
def test_regions_that_do_not_fit_the_canvas(rectangle, wrap, words):
    text = refused(place, Canvas(128, 64, wrap), Region("the fox", *rectangle))
    assert all(each in text for each in ["Region 'the fox'", *words]), text
    assert ("wrap" in text) == (words[0].startswith("x")), "only x can go all around"


# -- tiles -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("overlap", "count"), [(256, 15), (128, 11), (64, 9)])
def test_how_many_tiles_the_usual_panorama_takes(overlap, count):
    canvas = Canvas(4096, 512, tile_width=512, tile_height=512, overlap_x=overlap, overlap_y=overlap)
    assert len(plan(canvas, [canvas.box])) == count


def test_tiles_in_reading_order():
    canvas = Canvas(192, 128, tile_width=128, tile_height=80, overlap_x=32, overlap_y=8)
    assert plan(canvas, [Box(0, 0, 8, 8), canvas.box]) == (Tile(0, Box(0, 0, 8, 8)), *(
        Tile(1, Box(x, y, 16, 10)) for y in (0, 6) for x in (0, 8)))


def test_tiles_all_around():
    canvas = Canvas(128, 64, wrap=True, tile_width=64, tile_height=64, overlap_x=32, overlap_y=0)
    assert [tile.box.x for tile in plan(canvas, [Box(2, 0, 16, 8)])] == [2, 6, 10, 14]
    assert [tile.box.x for tile in plan(canvas, [Box(12, 0, 12, 8)])] == [12, 0], "an arc has two ends"
    for overlap in (0, 256):
        wide = Canvas(128, 64, wrap=True, overlap_x=overlap)
        assert [tile.box for tile in plan(wide, [wide.box])] == [Box(0, 0, 16, 8), Box(8, 0, 16, 8)], "hide the ends"
    whole = Canvas(128, 64, wrap=True, tile_width=0, tile_height=0)
    assert [tile.box for tile in plan(whole, [whole.box])] == [whole.box]


@given(st.integers(8, 100), st.integers(8, 40), st.integers(0, 39), st.booleans())
@example(100, 90, 80, True)
def test_as_few_tiles_as_overlap_enough(columns, tile, overlap, wrap):
    assume(overlap < tile < columns)
    canvas = Canvas(columns * GRID, 64, wrap, tile * GRID, 64, overlap * GRID, 0)
    starts = [each.box.x for each in plan(canvas, [canvas.box])]
    ends = [*starts[1:], columns if wrap else columns - tile + (tile - overlap)]
    steps = [end - start for start, end in zip(starts, ends)]
    assert starts[0] == 0 and min(steps) > 0 and max(steps) <= tile - overlap
    assert wrap or starts[-1] == columns - tile
    fewer = (len(starts) - 1) * (tile - overlap) + (0 if wrap else overlap)
    assert fewer < columns or wrap and len(starts) == 2, "with one less, some would overlap too little"


# -- grid ------------------------------------------------------------------------------------------------


def test_a_grid_by_hand():
    """Canvas = cell + (n - 1)(cell - overlap): 1664 = 512 + 3 x 384, and 896 = 512 + 384."""
    cells = grid(Canvas(1664, 896), 2, 4, 128, 128)
    assert cells == [(x, y, 512, 512) for y in (0, 384) for x in (0, 384, 768, 1152)]
    assert grid(Canvas(1024, 512), 1, 1, 256, 256) == [(0, 0, 1024, 512)]


def test_a_grid_all_around_by_hand():
    """Canvas = n (cell - overlap): 1536 = 4 x 384."""
    assert grid(Canvas(1536, 512, wrap=True), 1, 4, 128, 0) == [(x, 0, 512, 512) for x in (0, 384, 768, 1152)]
    assert grid(Canvas(1536, 512, wrap=True), 1, 1, 128, 0) == [(0, 0, 1536, 512)]


@given(st.integers(8, 80), st.integers(1, 12), st.integers(0, 40), st.booleans())
@example(8, 100, 7, False)
@example(64, 2, 60, True)
def test_cells_of_any_grid(columns, count, overlap, wrap):
    """Cells lie on the canvas, overlap enough, and are less than a latent larger than the formula says."""
    canvas = Canvas(columns * GRID, 64, wrap)
    try:
        cells = grid(canvas, 1, count, overlap * GRID, 0)
    except RecipeError as error:
        assert f"{count} columns" in plain_sentence(error) and f"{overlap * GRID} px" in str(error)
        return
    for number, cell in enumerate(cells):
        place(canvas, Region(f"cell {number}", *cell))
    size = cells[0][2] // GRID
    starts = [x // GRID for x, _, _, _ in cells]
    assert len(cells) == count and all(cell[1:] == (0, size * GRID, 64) for cell in cells)
    if count == 1:
        assert (starts, size) == ([0], columns)
        return
    ends = [*starts[1:], columns if wrap else columns - overlap]
    steps = [end - start for start, end in zip(starts, ends)]
    assert starts[0] == 0 and min(steps) > 0, "no two cells are the same"
    assert max(steps) <= size - overlap
    formula = columns / count + overlap if wrap else (columns + (count - 1) * overlap) / count
    assert formula <= size < formula + 1


@pytest.mark.parametrize(("rows", "columns", "overlap_x", "overlap_y", "words"), [
    (1, 20, 0, 0, ["20 columns", "512 px"]), (1, 2, 512, 0, ["2 columns", "overlap by 512 px"]),
    (9, 1, 0, 0, ["9 rows", "256 px"]), (0, 1, 0, 0, ["0 rows"]), (1, -1, 0, 0, ["-1 columns"]),
    (1, 2, -8, 0, ["2 columns", "-8 px"]), (1, 2, 12, 0, ["overlap of columns is 12 px", "make it 16 px"]),
    (2, 1, 0, 12, ["overlap of rows is 12 px"]),
])
@pytest.mark.parametrize("wrap", [False, True])
def test_grids_that_do_not_fit(rows, columns, overlap_x, overlap_y, words, wrap):
    text = refused(grid, Canvas(512, 256, wrap), rows, columns, overlap_x, overlap_y)
    assert all(each in text for each in words), text
