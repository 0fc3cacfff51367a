"""Fréchet distance against closed forms, nearest neighbours by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion_soup.errors import SoupError
from diffusion_soup.frechet import Gaussian, fid, frechet, root
from diffusion_soup.lab.scores import closest


def gaussian(mean, covariance):
    return Gaussian(torch.tensor(mean, dtype=torch.float64), torch.tensor(covariance, dtype=torch.float64))


def some(seed, count, width):
    """Features of no particular shape."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.randn(width, width, generator=generator, dtype=torch.float64)
    return torch.randn(count, width, generator=generator, dtype=torch.float64) @ turn + turn[0]


def test_one_dimension():
    """(m1 − m2)² + (s1 − s2)²."""
    assert frechet(gaussian([1.0], [[4.0]]), gaussian([3.0], [[9.0]])) == pytest.approx(5, rel=1e-12)


def test_diagonals():
    one, other = gaussian([0, 0, 0.0], torch.diag(torch.tensor([1, 4, 9.0])).tolist()), gaussian(
        [1, 2, 2.0], torch.diag(torch.tensor([4, 4, 0.0])).tolist())
    assert frechet(one, other) == pytest.approx(9 + 1 + 0 + 9, rel=1e-12)


def test_two_by_two_that_do_not_commute():
    """tr (AB)^½ = (tr AB + 2 √det AB)^½ for two by two: A = [[2, 1], [1, 2]], B = diag(1, 4): tr 10, det 12."""
    wanted = 4 + 5 - 2 * math.sqrt(10 + 2 * math.sqrt(12))
    assert frechet(gaussian([0, 0.0], [[2, 1.0], [1, 2]]), gaussian([0, 0.0], [[1, 0.0], [0, 4]])) == pytest.approx(
        wanted, rel=1e-12)


def test_lines_at_an_angle():
    """Covariances of rank 1, uu' and vv': 1 + 1 − 2 |u·v|; square roots of eigenvalues would lose half the digits."""
    angle = 0.3
    line = [[math.cos(angle) ** 2, math.cos(angle) * math.sin(angle)], [math.cos(angle) * math.sin(angle),
                                                                        math.sin(angle) ** 2]]
    assert frechet(gaussian([0, 0.0], [[1, 0.0], [0, 0]]), gaussian([0, 0.0], line)) == pytest.approx(
        2 - 2 * math.cos(angle), rel=1e-6)


@given(st.integers(0, 1000), st.integers(2, 30), st.integers(1, 12))
def test_a_set_is_at_no_distance_from_itself(seed, count, width):
    values = some(seed, count, width)
    assert fid(values, values.flip(0)) <= 1e-7 * (1 + values.square().sum().item())


@given(st.integers(0, 1000), st.integers(1, 8))
def test_symmetry_and_turns(seed, width):
    one, other = some(seed, 40, width), some(seed + 1, 30, width)
    turn = torch.linalg.qr(some(seed + 2, width, width)).Q
    wanted = fid(one, other)
    assert wanted > 0 and fid(other, one) == pytest.approx(wanted, rel=1e-8)
    assert fid(one @ turn + 5, other @ turn + 5) == pytest.approx(wanted, rel=1e-7)
    assert fid(3 * one, 3 * other) == pytest.approx(9 * wanted, rel=1e-8)


def test_against_scipy():
    linalg = pytest.importorskip("scipy.linalg")
    one, other = Gaussian.of(some(1, 200, 16)), Gaussian.of(some(2, 200, 16))
    cross = linalg.sqrtm((one.covariance @ other.covariance).numpy()).real.trace()
    wanted = (one.mean - other.mean).square().sum() + one.covariance.trace() + other.covariance.trace() - 2 * cross
    assert frechet(one, other) == pytest.approx(float(wanted), rel=1e-9)


def test_root():
    matrix = Gaussian.of(some(3, 50, 6)).covariance
    assert torch.allclose(root(matrix) @ root(matrix), matrix)


def test_covariance_by_hand():
    found = Gaussian.of(torch.tensor([[0.0, 0.0], [2.0, 4.0]]))
    assert found.mean.tolist() == [1, 2] and found.covariance.tolist() == [[2, 4], [4, 8]]
    with pytest.raises(SoupError, match="there are 1"):
        Gaussian.of(torch.zeros(1, 3))


def test_the_closest_by_hand():
    among = torch.tensor([[0.0, 0.0], [3.0, 4.0], [10.0, 0.0]])
    distances, indices = closest(torch.tensor([[3.0, 4.0], [9.0, 1.0], [0.0, 1.0]]), among)
    assert indices.tolist() == [1, 2, 0] and distances.tolist() == pytest.approx([0, 1, 0.5**0.5])
    assert closest(torch.empty(0, 2), among)[0].shape == (0,)
    with pytest.raises(SoupError, match="no training picture"):
        closest(among, torch.empty(0, 2))


def test_a_copy_is_at_nothing_among_many():
    pictures = torch.rand(300, 768, generator=torch.Generator().manual_seed(0))
    distances, indices = closest(pictures[100:130], pictures)
    assert distances.tolist() == [0] * 30 and indices.tolist() == list(range(100, 130))
