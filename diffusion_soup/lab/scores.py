"""Which picture of a set is nearest to another."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import SoupError

_PIECE = 64


def closest(values: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row of ``values`` (B, D), the nearest row of ``among`` (N, D): root mean square difference (B,) float32,
    and its index (B,). Differences are taken directly, so an exact copy is at 0. Raises :class:`SoupError` for N = 0.
    """
    if not len(among):
        raise SoupError("There is no training picture to compare with; name at least one.")
    values, among = values.float(), among.float()
    found = [torch.cdist(piece, among, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
             for piece in torch.split(values, _PIECE)]
    distances = torch.cat([each.values for each in found]) if found else torch.empty(0)
    indices = torch.cat([each.indices for each in found]) if found else torch.empty(0, dtype=torch.int64)
    return distances / values.shape[1] ** 0.5, indices
