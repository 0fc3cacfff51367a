"""Blending: shares by hand, and for any layout that they add up to 1 and that a region alone is untouched."""

import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st

from diffusion_soup.errors import RecipeError
from diffusion_soup.panorama import GRID, KINDS, Box, CoverageError, Layout, Region, add, crop

from .kitchen import plain_sentence
from .panoramas import canvas_of, ones, pasted, region, scenes, uncovered

#: More than the moments at which regions of a scene can change.
MOMENTS = sorted({index / 24 for index in range(25)} | {0.1, 0.5 - 1e-9, 1 - 1e-9})


def refused(*arguments, error=RecipeError):
    with pytest.raises(error) as caught:
        Layout(*arguments)
    plain_sentence(caught.value)
    return caught.value


# -- crop and add ----------------------------------------------------------------------------------------


def test_boxes_go_on_at_the_left_edge():
    latent = torch.arange(8.0).reshape(2, 4)
    assert crop(latent, Box(1, 0, 2, 2)).tolist() == [[1, 2], [5, 6]]
    assert crop(latent, Box(3, 1, 3, 1)).tolist() == [[7, 4, 5]]
    assert crop(latent, Box(2, 0, 4, 1)).tolist() == [[2, 3, 0, 1]], "a whole turn"
    canvas = torch.ones(2, 4)
    add(canvas, torch.tensor([[1.0, 2, 3]]), Box(3, 0, 3, 1))
    assert canvas.tolist() == [[3, 4, 1, 2], [1, 1, 1, 1]]


@given(st.integers(0, 7), st.integers(0, 3), st.integers(1, 8), st.integers(1, 4), st.integers(0, 9))
def test_crop_takes_what_add_has_added(x, y, width, height, seed):
    assume(y + height <= 4)
    box, values = Box(x, y, width, height), torch.randn(2, 3, height, width, generator=torch.manual_seed(seed))
    canvas = torch.zeros(2, 3, 4, 8)
    add(canvas, values, box)
    assert torch.equal(crop(canvas, box), values) and (canvas != 0).sum() == (values != 0).sum()
    assert torch.equal(crop(canvas.roll(3, -1), Box((x + 3) % 8, y, width, height)), values)


# -- shares by hand --------------------------------------------------------------------------------------


def test_two_regions_overlap():
    """Columns 0-7 and 4-15 with weights 1 and 3: a quarter and three quarters where both are."""
    layout = Layout(canvas_of(16, 8), [region("a", 0, 0, 8, 8), region("b", 4, 0, 12, 8, weight=3.0)])
    shares = layout.at(0.0).tiles
    assert shares[0][0].tolist() == [1] * 4 + [0.25] * 4 and shares[1][7].tolist() == [0.75] * 4 + [1] * 8
    assert layout.moments == (0.0,) and not layout.at(0.0).pictures


def test_tiles_of_a_region_share_it():
    """Tiles at 0 and 6 are both there from 6 to 9; nearer to its middle, a tile counts more."""
    layout = Layout(canvas_of(16, 8, tile=(10, 8), overlap=(4, 0)), [region("a", 0, 0, 16, 8, "gaussian")])
    left, right = (layout.at(0.0).tiles[index][3] for index in (0, 1))
    distances = (torch.tensor([1.5, 2.5, 3.5, 4.5]), torch.tensor([4.5, 3.5, 2.5, 1.5]))
    near, far = ((-each**2 / 2).exp() for each in distances)  # 2 x 0.01 x 10^2
    assert left[:6].tolist() == [1] * 6 and right[4:].tolist() == [1] * 6
    assert torch.allclose(left[6:], near / (near + far)) and torch.allclose(right[:4], far / (near + far))


def test_regions_come_and_go():
    there = region("fox", 4, 0, 8, 8, start=0.25, end=0.75)
    layout = Layout(canvas_of(16, 8), [region("wood", 0, 0, 16, 8), there])
    assert layout.moments == (0.0, 0.25, 0.75)
    for moment in (0.0, 0.2, 0.75, 1.0):
        assert list(layout.at(moment).tiles) == [0] and torch.equal(layout.at(moment).tiles[0], ones(layout))
    assert layout.at(0.25).tiles[0][0].tolist() == [1] * 4 + [0.5] * 8 + [1] * 4
    assert layout.at(0.3) is layout.at(0.5), "between two changes nothing is calculated again"


def test_a_picture_hides_what_is_behind_it():
    picture = region("photo", 0, 0, 16, 8, hold=0.5)
    layout = Layout(canvas_of(16, 8), [region("wood", 0, 0, 16, 8), picture])
    blend = layout.at(0.25)
    assert not blend.tiles and list(blend.pictures) == [1] and torch.equal(blend.pictures[1], ones(layout))
    assert layout.moments == (0.0, 0.5)
    assert not layout.at(0.5).pictures and list(layout.at(0.5).tiles) == [0, 1], "then its prompt counts"


def test_a_picture_fills_the_hole_of_a_mask():
    left = torch.tensor([[1.0] * 8 + [0.0] * 8] * 8)
    photo = region("photo", 8, 0, 8, 8, hold=1.0, prompted=False)
    blend = Layout(canvas_of(16, 8), [region("wood", 0, 0, 16, 8), photo], [left]).at(0.0)
    assert torch.equal(blend.tiles[0], left) and blend.pictures[1].eq(1).all()


def test_pictures_fade_into_the_prompt_and_lie_above_earlier_ones():
    wood = region("wood", 0, 0, 16, 8)
    early, late = (region(name, 0, 0, width, 8, "feathered box", feather=8, hold=1.0, prompted=False)
                   for name, width in (("early", 12), ("late", 8)))
    layout = Layout(canvas_of(16, 8), [wood, early, late])
    blend = layout.at(1.0)
    assert blend.pictures[2][0].tolist() == [1] * 7 + [0.5]
    assert blend.pictures[1][0].tolist() == [0] * 7 + [0.5] + [1] * 3 + [0.5]
    assert blend.tiles[0][0].tolist() == [0] * 11 + [0.5] + [1] * 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrap", [False, True])
def test_a_region_alone_counts_exactly_1(kind, wrap):
    """Neutral settings are exact: x / x, not x times 1 / x; also where a neighbour is, but does not overlap."""
    canvas = canvas_of(24, 12, wrap)
    x = 20 if wrap else 0
    for regions in ([region("a", x, 0, 24, 12, kind, weight=0.3)],
                    [region("a", x, 0, 9, 12, kind), region("b", x + 9, 0, 15, 12, kind, weight=7.0)]):
        layout = Layout(canvas, regions)
        assert torch.equal(pasted(layout, 0.0), ones(layout))
        assert all(torch.equal(share, torch.ones_like(share)) for share in layout.at(0.0).tiles.values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hold", [0.5, 1.0])
def test_a_picture_alone_counts_whole_to_its_corners(kind, hold):
    """However little the corner of a faded picture counts, nothing else is there."""
    layout = Layout(canvas_of(16, 8), [region("photo", 0, 0, 16, 8, kind, hold=hold)])
    assert torch.allclose(pasted(layout, 0.0), ones(layout), rtol=0, atol=1e-6)


@pytest.mark.parametrize("weight", [1e38, 1e30, 1e-30, 1e-40, 1e-60])
def test_no_mask_weight_becomes_infinite_or_nothing(weight):
    """A region is refused by name, or it counts 1 where it is alone."""
    try:
        layout = Layout(canvas_of(8, 8), [region("fox", 0, 0, 8, 8, "gaussian", weight=weight)])
    except RecipeError as error:
        assert "Region 'fox' has a mask weight" in str(error)
    else:
        assert torch.equal(pasted(layout, 0.0), ones(layout))


# -- what is refused -------------------------------------------------------------------------------------


def test_an_empty_canvas_and_a_black_mask():
    assert "no region" in str(refused(canvas_of(8, 8), []))
    black = torch.ones(8, 24)
    black[:, 8:16] = 0
    wood, fox = region("wood", 0, 0, 24, 8), region("fox", 8, 0, 8, 8)
    assert "mask of Region 'fox' is black" in str(refused(canvas_of(24, 8), [wood, fox], [None, black]))
    assert Layout(canvas_of(24, 8), [fox, wood], [1 - black]).at(0.0).tiles[0].eq(0.5).all()


def test_a_hole_says_where_and_when():
    """Columns 8-11 of 20 are free, a fifth, and more later; the first hole is told."""
    regions = [region("left", 0, 0, 8, 8), region("right", 12, 0, 8, 8, end=0.6)]
    error = refused(canvas_of(20, 8), regions, error=CoverageError)
    assert error.hole.tolist() == [[False] * 8 + [True] * 4 + [False] * 8] * 8
    for words in ("20.0% of the canvas", "32 x 64 px", "x = 64, y = 0", "from 0% to 60%", "Region 'left'"):
        assert words in str(error)
    error = refused(canvas_of(16, 8), [region("left", 0, 0, 8, 8), region("right", 8, 0, 8, 8, end=0.6)])
    assert "50.0%" in str(error) and "from 60% to 100%" in str(error)
    assert "where Region 'right' counts only from 0% to 60%" in str(error), "who lies there is told, not who is beside"
    for gone in ({"hold": 0.6, "prompted": False}, {"hold": 0.6, "end": 0.5}, {"end": 0.6}):
        assert "100.0% of the canvas belongs to no region from 60% to 100%" in str(refused(
            canvas_of(8, 8), [region("photo", 0, 0, 8, 8, **gone)]))
    error = refused(canvas_of(16, 8), [region("up", 0, 0, 8, 8)])
    assert "Region 'up'" in str(error) and "%" not in str(error).split("region", 1)[1], "no times if it is never filled"


def test_the_region_beside_the_hole_is_named():
    far, near = region("far", 0, 0, 8, 8), region("near", 8, 0, 12, 8)
    assert "beside Region 'near'" in str(refused(canvas_of(24, 8), [far, near]))


# -- any layout ------------------------------------------------------------------------------------------


@given(scenes())
@example((canvas_of(8, 8), [region("a", 0, 0, 8, 8, "gaussian", hold=1.0)], [None]))
def test_shares_add_up_to_1_at_every_moment_or_the_hole_is_one(scene):
    """Of the first moment with a hole, exactly what no region covers is shown."""
    canvas, regions, masks = scene
    try:
        layout = Layout(canvas, regions, masks)
    except CoverageError as error:
        assert any(str(each) in plain_sentence(error) for each in regions)
        holes = [free for free in (uncovered(*scene, at) for at in MOMENTS) if free.any()]
        assert holes and torch.equal(error.hole, holes[0])
        return
    for moment in MOMENTS:
        assert not uncovered(*scene, moment).any()
        blend = layout.at(moment)
        assert all(share.ge(0).all() for share in (*blend.tiles.values(), *blend.pictures.values()))
        assert torch.allclose(pasted(layout, moment), ones(layout), rtol=0, atol=1e-6)


@given(scenes(holes=False, wrap=True), st.integers(-30, 30))
def test_turning_a_wrapped_canvas_turns_its_blend(scene, turn):
    """All around, no column is the first."""
    canvas, regions, masks = scene
    turned = [Region(**{**vars(each), "x": each.x + turn * GRID}) for each in regions]
    layouts = (Layout(canvas, regions, masks),
               Layout(canvas, turned, [mask if mask is None else mask.roll(turn, -1) for mask in masks]))
    noise = torch.manual_seed(0)
    tiles = [torch.randn(tile.box.height, tile.box.width, generator=noise) for tile in layouts[0].tiles]
    pictures = [torch.randn(box.height, box.width, generator=noise) for box in layouts[0].boxes]
    for moment in layouts[0].moments:
        still, moved = (pasted(layout, moment, tiles, pictures) for layout in layouts)
        assert torch.equal(still.roll(turn, -1), moved)
