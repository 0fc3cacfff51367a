"""Σ c·θ of a chunk in one call that does not need Python's lock.

One operation on a piece that fits into cache takes some tens of microseconds. Workers that ask for Python's lock
between any two of them wait for each other longer than they work, so all operations on a chunk are one TorchScript
function, which runs without the lock. Where there is no TorchScript the same function runs as plain Python: the same
operations in the same order, and so the same bytes.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch

#: Elements that are added up at once: their sum and what is added to it stay in cache. A multiple of ``jobs.LANES``.
PIECE = 1 << 16


def _add(values: list[torch.Tensor], coefficients: list[float], total: torch.Tensor, scratch: torch.Tensor,
         begun: bool, piece: int) -> None:
    """total = [total, if begun] + Σ coefficient · value, term by term, over pieces of the chunk."""
    for start in range(0, total.size(0), piece):
        stop = min(start + piece, total.size(0))
        part = total[start:stop]
        for number in range(len(values)):
            value = values[number][start:stop]
            if number == 0 and not begun:
                part.copy_(value).mul_(coefficients[number])
            elif value.dtype == part.dtype:
                part.add_(value, alpha=coefficients[number])
            else:
                part.add_(scratch[:stop - start].copy_(value), alpha=coefficients[number])


def _compiled(function: Any) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.jit.script(function)
    except Exception:  # a Python or torch without TorchScript
        return function


_adder = _compiled(_add)


def add_terms(values: list[torch.Tensor], coefficients: list[float], total: torch.Tensor, scratch: torch.Tensor,
              begun: bool) -> None:
    """Add ``coefficient · value`` for each value [n], of any dtype, to ``total`` [n] in place, in order.

    ``scratch`` [at least min(n, PIECE)] has the dtype of ``total``. If not ``begun``, total is overwritten.
    """
    _adder(values, coefficients, total, scratch, begun, PIECE)
