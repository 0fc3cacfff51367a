"""Memory: how much is left, and fresh memory that is cheap to fill."""

from __future__ import annotations

import math
import mmap
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch

_MAPPED = 1 << 20  # bytes from which on a tensor gets a mapping of its own


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
    return torch.from_numpy(np.frombuffer(memory, dtype=np.uint8)).view(dtype).view(tuple(shape))


def processors() -> int:
    """Processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
