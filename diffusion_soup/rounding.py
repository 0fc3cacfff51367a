"""Float8 output: stochastic rounding whose random numbers depend on seed, key and element alone."""

from __future__ import annotations

import hashlib

import torch

#: dtype -> (mantissa bits, exponent of the smallest normal number, largest finite number)
_FORMATS = {torch.float8_e4m3fn: (3, -6, 448.0), torch.float8_e5m2: (2, -14, 57344.0)}


def key_seed(seed: int, key: str) -> int:
    """A signed 64-bit seed for one tensor."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)


def uniform(seed: int, start: int, stop: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """float32 in [0, 1), one for each element index of [start, stop): the same for every chunking and device.

    16 bits of SplitMix64 at position ``index`` of the stream that begins at ``seed``.
    """
    x = torch.arange(start, stop, dtype=torch.int64, device=device).mul_(_signed(0x9E3779B97F4A7C15)).add_(seed)
    x = (x ^ _shift(x, 30)).mul_(_signed(0xBF58476D1CE4E5B9))
    x = (x ^ _shift(x, 27)).mul_(_signed(0x94D049BB133111EB))
    return _shift(x, 48).to(torch.float32).mul_(2.0 ** -16)


def to_float8(values: torch.Tensor, dtype: torch.dtype, draws: torch.Tensor) -> torch.Tensor:
    """Round float32 ``values`` up or down with a probability that makes the mean exact.

    ``draws`` are uniform in [0, 1). Numbers that float8 holds stay as they are; larger ones than it
    holds become its largest; NaN stays NaN.
    """
    bits, smallest, largest = _FORMATS[dtype]
    exponent = torch.frexp(values).exponent.sub_(1).clamp_(min=smallest)
    step = ((exponent - bits + 127) << 23).view(torch.float32)  # 2^(exponent - bits), to the bit
    rounded = (values.abs() / step).add_(draws).floor_().mul_(step).clamp_(max=largest)
    return torch.copysign(rounded, values).to(dtype)


def _shift(x: torch.Tensor, by: int) -> torch.Tensor:
    """Logical right shift of int64."""
    return (x >> by) & ((1 << (64 - by)) - 1)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number
