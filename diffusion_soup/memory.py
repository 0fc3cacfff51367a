"""Memory: how much is left, and fresh memory that is cheap to fill."""

from __future__ import annotations

import math
import mmap
import os
import sys
import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch

_MAPPED = 1 << 20  # bytes from which on a tensor gets a mapping of its own

#: The living arrays that :func:`fresh` made tensors of, by address. A tensor's storage alone keeps its array alive.
_arrays: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def available() -> int | None:
    """Bytes of RAM that can be used without swapping; None where the system does not say."""
    try:
        import psutil  # type: ignore[import-untyped]  # both hosts bring it
        return int(psutil.virtual_memory().available)
    except ImportError:
        pass
    if sys.platform == "linux":
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    return None


def fresh(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """An uninitialised CPU tensor. Larger ones are mapped on their own and backed by large pages where the system
    has them: they are several times faster to fill, and given back to the system at once when they are freed."""
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes < _MAPPED or not hasattr(mmap, "MAP_PRIVATE"):
        return torch.empty(tuple(shape), dtype=dtype)
    memory = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return _tensor(memory, shape, dtype)


def touch(tensor: torch.Tensor) -> None:
    """Have the system provide an uninitialised tensor's memory now, by writing to each of its pages.

    Asked for page by page in the middle of other work, the same memory takes several times as long on virtual machines,
    which by then have given what was free back to their host.
    """
    tensor.view(-1).view(torch.uint8)[::mmap.PAGESIZE].zero_()


def _tensor(memory: Any, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    array = np.frombuffer(memory, dtype=np.uint8)
    _arrays[array.ctypes.data] = array
    return torch.from_numpy(array).view(dtype).view(tuple(shape))


class Reserve:
    """The memory of tensors that are about to be dropped, to be used again as soon as nobody holds them.

    Memory that was written before is filled in half the time of memory fresh from the system. Only what
    :func:`fresh` mapped is kept, for as long as the reserve lives; tensors that somebody still holds, or views
    of them, stay theirs.
    """

    def __init__(self, tensors: Iterable[torch.Tensor] = ()) -> None:
        addresses = [tensor.untyped_storage().data_ptr() for tensor in tensors]
        self._kept = {address: _arrays[address].base for address in addresses if address in _arrays}

    @property
    def free_bytes(self) -> int:
        """Bytes that nobody holds any more."""
        return sum(memory.nbytes for address, memory in self._kept.items() if address not in _arrays)

    @property
    def free(self) -> bool:
        """Whether there is memory, and nobody holds any of it any more."""
        return bool(self._kept) and not any(address in _arrays for address in self._kept)

    def fresh(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """Like the function of this name, in kept memory of just this size if there is some."""
        nbytes = math.prod(shape) * dtype.itemsize
        for address, memory in self._kept.items():
            if memory.nbytes == nbytes and address not in _arrays:
                del self._kept[address]
                return _tensor(memory, shape, dtype)
        return fresh(shape, dtype)

    def release(self) -> None:
        """Keep nothing any longer."""
        self._kept.clear()


def processors() -> int:
    """Processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
