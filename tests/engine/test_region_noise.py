"""Seeds of regions: alone exactly their own noise, together of variance 1."""

import pytest
import torch
from hypothesis import assume, given

from diffusion_soup.panorama import KINDS, Box, Layout, crop, seeded

from .panoramas import canvas_of, drawn, region, scenes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_alone_is_exactly_its_noise(kind, dtype):
    """Also over the edge of a wrapped canvas; and what has no seed keeps the canvas's noise."""
    noise = drawn(1, (1, 4, 8, 24)).to(dtype)
    wood, fox = region("wood", 6, 0, 14, 8, kind, weight=0.3), region("fox", 20, 0, 10, 8, kind, weight=0.7, seed=5)
    layout = Layout(canvas_of(24, 8, wrap=True), [wood, fox])
    mine = drawn(5, (1, 4, 8, 10)).to(dtype)
    mixed = seeded(layout, noise, lambda seed, box: {(5, Box(20, 0, 10, 8)): mine}[seed, box])
    assert torch.equal(crop(mixed, layout.boxes[1]), mine) and mixed.dtype == dtype
    assert torch.equal(crop(mixed, layout.boxes[0]), crop(noise, layout.boxes[0]))


def test_without_seeds_the_noise_is_the_canvas_s():
    noise = drawn(1, (1, 4, 8, 8))
    assert seeded(Layout(canvas_of(8, 8), [region("a", 0, 0, 8, 8)]), noise, pytest.fail) is noise


def test_two_seeds_by_hand():
    """Weights 3 and 4 over the whole canvas: 0.6 and 0.8, whose squares are 0.36 and 0.64."""
    layout = Layout(canvas_of(8, 8), [region(str(seed), 0, 0, 8, 8, weight=seed, seed=seed) for seed in (3, 4)])
    mixed = seeded(layout, torch.full((1, 1, 8, 8), 9.0), lambda seed, box: torch.full((1, 1, 8, 8), 10.0 ** seed))
    assert mixed.flatten().tolist() == pytest.approx([0.6e3 + 0.8e4] * 64)


@given(scenes(holes=False))
def test_squares_of_the_noise_s_shares_add_up_to_1(scene):
    """Sources are independent, so their variances add up; one at a time is made 1 and all others 0."""
    layout = Layout(*scene)
    shape = 1, 1, layout.canvas.rows, layout.canvas.columns
    assume(any(each.seed is not None for each in layout.regions))
    total = torch.zeros(shape, dtype=torch.float64)
    for source in {None, *(each.seed for each in layout.regions)}:
        noise = torch.full(shape, float(source is None), dtype=torch.float64)
        total += seeded(layout, noise, lambda seed, box, source=source: torch.full(
            (1, 1, box.height, box.width), float(seed == source), dtype=torch.float64))**2
    assert torch.allclose(total, torch.ones_like(total), rtol=0, atol=1e-12)


def test_mixed_noise_has_variance_1():
    """Of 4096 samples, the variance is within 0.022 of 1 as a rule; 0.12 is more than five times that."""
    regions = [region("wood", 0, 0, 16, 8), *(region(str(seed), seed, 0, 10, 8, "gaussian", seed=seed)
                                              for seed in (2, 4, 12))]
    layout = Layout(canvas_of(16, 8, wrap=True), regions)
    mixed = seeded(layout, drawn(0, (4096, 1, 8, 16)), lambda seed, box: drawn(seed, (4096, 1, box.height, box.width)))
    assert (mixed.var(0) - 1).abs().max() < 0.12 and mixed.mean(0).abs().max() < 0.1
