"""How much a region counts at each place: the formulas by hand, then what holds for every kind and size."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion_soup.panorama import GRID, KINDS, Box, Canvas, Region, place
from diffusion_soup.panorama.canvas import CONSTANT, FEATHERED, GAUSSIAN, QUARTIC
from diffusion_soup.panorama.weights import (
    constant,
    feathered,
    gaussian,
    peak,
    quartic,
    region_weights,
    tile_weights,
)


def weights_of(canvas, region, mask=None):
    return region_weights(canvas, region, place(canvas, region), mask)


# -- by hand ---------------------------------------------------------------------------------------------


def test_gaussian_by_hand():
    """n = 4, the middle at 1.5: exp(-2.25 / 0.32) and exp(-0.25 / 0.32), each over sqrt(0.02 pi) = 0.2506628."""
    outer, inner = 0.00352596, 1.826493
    assert gaussian(4).tolist() == pytest.approx([outer, inner, inner, outer], rel=1e-5)
    assert gaussian(1).item() == pytest.approx(1 / 0.2506628, rel=1e-6)


def test_the_middle_of_a_gaussian_is_between_its_ends():
    """With n / 2 instead of (n - 1) / 2, the top of 64 rows would count 2.16 times less than the bottom."""
    for size in (63, 64):
        ends = gaussian(size)
        assert torch.equal(ends, ends.flip(0)) and int(ends.argmax()) == 31
    assert math.exp((32**2 - 31**2) / (0.02 * 64**2)) == pytest.approx(2.16, abs=0.01)


def test_quartic_by_hand():
    """15/16 (1 - 0.995^2)^2 = 15/16 x 0.009975^2 at the ends."""
    assert quartic(3).tolist() == pytest.approx([9.328e-5, 0.9375, 9.328e-5], rel=1e-4)
    assert quartic(1).tolist() == [0.9375]


def test_constant():
    assert constant(3).tolist() == [1, 1, 1]


@pytest.mark.parametrize(("size", "feather", "ends", "wanted"), [
    (8, 2, (True, True), [1, 2, 3, 3, 3, 3, 2, 1]), (8, 2, (False, True), [3, 3, 3, 3, 3, 3, 2, 1]),
    (8, 2, (True, False), [1, 2, 3, 3, 3, 3, 3, 3]), (4, 2, (False, False), [3] * 4), (3, 0, (True, True), [1] * 3),
    (4, 100, (True, True), [1, 2, 2, 1]), (5, 100, (True, True), [1, 2, 3, 2, 1])])
def test_feathered_by_hand(size, feather, ends, wanted):
    """A ramp of 2 elements is 1/3, 2/3; one that is longer than half the box meets the other in the middle."""
    whole = min(feather, (size + 1) // 2) + 1
    assert feathered(size, feather, *ends).tolist() == pytest.approx([each / whole for each in wanted])


def test_a_region_is_the_product_of_its_axes_times_its_weight():
    canvas = Canvas(256, 256)
    for kind, axis in ((GAUSSIAN, gaussian), (QUARTIC, quartic), (CONSTANT, constant)):
        mine = weights_of(canvas, Region("a", 64, 0, 128, 64, kind, weight=2.0))
        assert mine.shape == (8, 16) and mine.dtype == torch.float32
        assert torch.equal(mine, (axis(8)[:, None] * axis(16)[None] * 2).float())


def test_a_mask_multiplies():
    canvas = Canvas(64, 64)
    mask = torch.rand(8, 8, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    region = Region("a", 0, 0, 64, 64, CONSTANT, weight=4.0)
    assert torch.equal(weights_of(canvas, region, mask), mask * 4)


def test_a_feathered_box_has_no_ramps_at_the_ends_of_the_canvas():
    """There is nothing to fade into; but all around, x has no ends."""
    corner = Region("a", 0, 0, 64, 64, FEATHERED, feather=8)
    mine = weights_of(Canvas(128, 128), corner)
    assert mine[0].tolist() == [1] * 7 + [0.5] and mine[:, 0].tolist() == [1] * 7 + [0.5]
    assert weights_of(Canvas(128, 128, wrap=True), corner)[0].tolist() == [0.5, *[1] * 6, 0.5]
    assert torch.equal(weights_of(Canvas(64, 64), corner), torch.ones(8, 8))


@pytest.mark.parametrize("kind", KINDS)
def test_a_region_all_around_has_no_edge_in_x(kind):
    """A circle has no end, so all places of a row count alike, wherever the region begins."""
    canvas = Canvas(128, 64, wrap=True)
    for x in (0, 40):
        mine = weights_of(canvas, Region("a", x, 0, 128, 64, kind))
        assert torch.equal(mine, mine[:, :1].expand(8, 16))
    arc = weights_of(canvas, Region("a", 0, 0, 120, 64, kind))
    assert torch.equal(arc, arc[:, :1].expand(8, 15)) == (kind == CONSTANT)


# -- for every kind and size -----------------------------------------------------------------------------


@given(st.integers(1, 300), st.integers(0, 40))
def test_every_axis_is_positive_and_symmetric(size, feather):
    for axis in (gaussian(size), quartic(size), constant(size), feathered(size, feather)):
        assert axis.shape == (size,) and axis.dtype == torch.float64
        assert (axis > 0).all() and axis.isfinite().all()
        assert torch.allclose(axis, axis.flip(0), rtol=1e-12, atol=0)
        rising = axis[:(size + 1) // 2].diff()
        assert (rising >= 0).all(), "the middle counts most"


@given(st.integers(8, 24), st.integers(8, 24), st.sampled_from(KINDS), st.booleans(), st.floats(1e-3, 1e3))
def test_every_region_is_positive_symmetric_and_below_its_peak(width, height, kind, wrap, weight):
    canvas = Canvas(26 * GRID, 26 * GRID, wrap)
    region = Region("a", GRID, GRID, width * GRID, height * GRID, kind, weight=weight, feather=16)
    mine = weights_of(canvas, region)
    assert mine.shape == (height, width) and (mine > 0).all() and mine.isfinite().all()
    for axis in (0, 1):
        assert torch.allclose(mine, mine.flip(axis), rtol=1e-6, atol=0)
    assert mine.max() <= peak(region) * (1 + 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_middle_of_an_odd_region_is_its_peak(kind):
    region = Region("a", 8, 8, 72, 88, kind, weight=3.0, feather=8)
    assert weights_of(Canvas(128, 128), region).max().item() == pytest.approx(peak(region), rel=1e-6)


@pytest.mark.parametrize("box", [Box(0, 0, 2048, 8), Box(0, 0, 8, 2048), Box(0, 0, 2048, 2048)])
def test_long_tiles_do_not_underflow(box):
    """Each axis is measured in its own width: divided by the other one, 2048 rows of 8 columns would be exp(-8e5)."""
    mine = tile_weights(box)
    assert mine.shape == (box.height, box.width)
    assert (mine.float() > torch.finfo(torch.float32).tiny).all()
    ends = math.exp(-12.5) ** 2 / (0.02 * math.pi)
    assert mine.min() >= ends, "the end of an axis is five deviations from its middle, however long it is"
    canvas = Canvas(box.width * GRID, box.height * GRID)
    for kind in KINDS:
        assert (weights_of(canvas, Region("a", 0, 0, canvas.width, canvas.height, kind)) > 0).all()
