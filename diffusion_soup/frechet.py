"""The Fréchet distance of two sets of features, as FID has it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import SoupError


@dataclass(frozen=True)
class Gaussian:
    """Mean (D,) and covariance (D, D) of a set of features, float64."""

    mean: Tensor
    covariance: Tensor

    @staticmethod
    def of(features: Tensor) -> Gaussian:
        """Of (N, D) features, divided by N − 1. Raises :class:`SoupError` for less than two."""
        if len(features) < 2:
            raise SoupError(f"A covariance needs at least two pictures, and there are {len(features)}; make more.")
        values = features.to("cpu", torch.float64)
        centred = values - values.mean(0)
        return Gaussian(values.mean(0), centred.T @ centred / (len(values) - 1))


def frechet(one: Gaussian, other: Gaussian) -> float:
    """Fréchet distance of two Gaussians, squared as FID has it (Heusel et al. 2017, arXiv 1706.08500)::

        |m1 − m2|² + tr S1 + tr S2 − 2 tr (S1^½ S2 S1^½)^½

    The last trace is the sum of the singular values of S1^½ S2^½, taken as such: so no square root is drawn of the tiny
    negative eigenvalues that rounding leaves, and covariances without full rank are as good as others. Never below 0.
    """
    cross = torch.linalg.svdvals(root(one.covariance) @ root(other.covariance)).sum()
    apart = (one.mean - other.mean).square().sum()
    return max(0.0, float(apart + one.covariance.trace() + other.covariance.trace() - 2 * cross))


def fid(features: Tensor, reference: Tensor) -> float:
    """:func:`frechet` of two sets of features, (N, D) and (M, D). Compare only values of equal N: it falls with N."""
    return frechet(Gaussian.of(features), Gaussian.of(reference))


def root(matrix: Tensor) -> Tensor:
    """The symmetric square root of a symmetric matrix without negative eigenvalues (but for rounding)."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    square_root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return square_root
