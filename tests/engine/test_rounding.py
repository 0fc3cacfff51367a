"""float8 output: stochastic, unbiased, reproducible."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion_soup.rounding import key_seed, to_float8, uniform

from .kitchen import identical

FORMATS = {torch.float8_e4m3fn: 448.0, torch.float8_e5m2: 57344.0}
formats = pytest.mark.parametrize("dtype", FORMATS, ids=str)


def finite(dtype):
    """Every finite number of a format, in order."""
    values = torch.arange(256, dtype=torch.uint8).view(dtype).float()
    return torch.unique(values[values.isfinite()])


def cooked(values, dtype, seed=1):
    return to_float8(values, dtype, uniform(seed, 0, values.numel()))


@formats
def test_what_float8_holds_stays(dtype):
    values = torch.arange(256, dtype=torch.uint8).view(dtype)
    values = values[values.float().isfinite()]
    for draw in (0.0, 0.5, 1 - 2.0 ** -16):
        assert identical(to_float8(values.float(), dtype, torch.full(values.shape, draw)), values)


@formats
def test_everything_else_becomes_one_of_its_neighbours(dtype):
    grid = finite(dtype)
    middles = torch.cat([(grid[1:] + grid[:-1]) / 2, grid[1:] * 0.25 + grid[:-1] * 0.75])
    below = grid[torch.searchsorted(grid, middles) - 1]
    above = grid[torch.searchsorted(grid, middles)]
    low, high = (to_float8(middles, dtype, torch.full_like(middles, draw)).float() for draw in (0.0, 1 - 2.0 ** -16))
    assert torch.equal(torch.minimum(low, high), below)
    assert torch.equal(torch.maximum(low, high), above)


@formats
@pytest.mark.parametrize("value", [1.03, -0.77, 300.5, 1.3e-3, -3e-6])
def test_the_mean_is_the_value(dtype, value):
    count = 1 << 18
    result = cooked(torch.full((count,), value), dtype).double()
    grid = finite(dtype).double()
    above = int(torch.searchsorted(grid, value))
    low, high = grid[above - 1:above + 1].tolist()
    width = high - low
    error = abs(result.mean().item() - torch.tensor(value).double().item())
    assert error < 5 * width * 0.5 / math.sqrt(count) + width * 2.0 ** -16
    assert set(result.tolist()) == {low, high}


@formats
def test_too_large_infinite_and_nan(dtype):
    top = FORMATS[dtype]
    values = torch.tensor([top, top * 1.2, 1e30, math.inf, -top, -1e30, -math.inf, math.nan])
    result = cooked(values, dtype).float()
    assert result.tolist()[:7] == [top, top, top, top, -top, -top, -top]
    assert math.isnan(result[7])


@formats
def test_zeros_keep_their_sign(dtype):
    assert identical(cooked(torch.tensor([0.0, -0.0]), dtype), torch.tensor([0.0, -0.0]).to(dtype))


def test_draws_are_uniform():
    draws = uniform(key_seed(0, "key"), 0, 1 << 16)
    assert 0.0 <= draws.min() and draws.max() < 1.0
    counts = torch.histc(draws, 16, 0, 1)
    assert (counts - 4096).abs().max() < 5 * math.sqrt(4096)
    together = (draws[1:] - 0.5) * (draws[:-1] - 0.5)
    assert abs(together.mean().item()) < 5 / 12 / math.sqrt(1 << 16)


def test_splitmix64_as_published():
    """The first outputs of SplitMix64 seeded with 1234567 (Vigna's reference), of which we keep 16 bits."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert uniform(1234567, 1, 4).tolist() == [(number >> 48) / 65536 for number in published]


@given(seed=st.integers(-(1 << 63), (1 << 63) - 1), start=st.integers(0, 1 << 40), cut=st.integers(0, 50))
def test_draws_belong_to_elements_however_they_are_cut(seed, start, cut):
    whole = uniform(seed, start, start + 50)
    assert torch.equal(whole, torch.cat([uniform(seed, start, start + cut), uniform(seed, start + cut, start + 50)]))


def test_seed_and_key_both_matter():
    seeds = {key_seed(seed, key) for seed in (0, 1, 2**64 - 1) for key in ("", "a", "b", "1:a")}
    assert len(seeds) == 12
    assert all(-(1 << 63) <= seed < 1 << 63 for seed in seeds)
    assert key_seed(0, "model.diffusion_model.out.2.weight") == -3250000966866221003


@pytest.mark.filterwarnings("error")
def test_no_warnings():
    cooked(torch.ones(3), torch.float8_e5m2)
