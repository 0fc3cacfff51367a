"""Random numbers by counter: the draw at (key, index, lane) is the same in any order, batch and process."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Uniforms = NDArray[np.float64]
Seeds = NDArray[np.uint64]

_GOLDEN, _FIRST, _SECOND = (np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def key_of(text: str) -> int:
    """A 63-bit key from a text, by SHA-256."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def mixed(values: Seeds) -> Seeds:
    """SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64 bits in which every bit depends on every other."""
    with np.errstate(over="ignore"):
        values = values + _GOLDEN
        values = (values ^ (values >> np.uint64(30))) * _FIRST
        values = (values ^ (values >> np.uint64(27))) * _SECOND
    mixed: Seeds = values ^ (values >> np.uint64(31))
    return mixed


def seeds(key: int, indices: NDArray[np.int64]) -> Seeds:
    """A seed of 63 bits for each index; shape of ``indices``, uint64."""
    found: Seeds = mixed(mixed(indices.astype(np.uint64)) ^ np.uint64(key)) >> np.uint64(1)
    return found


def uniforms(seeds: Seeds, lanes: int) -> Uniforms:
    """(B,) seeds -> (B, lanes) numbers in [0, 1), float64, 53 bits each."""
    steps = mixed(np.arange(1, lanes + 1, dtype=np.uint64))
    drawn: Uniforms = (mixed(seeds[:, None] ^ steps[None]) >> np.uint64(11)) * 2.0**-53
    return drawn
