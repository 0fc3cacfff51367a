"""How every figure is taken: fresh processes, rivals in turn, medians, and the machine by its figures.

A task is a module-level function whose arguments and result are JSON. ``fresh`` calls it in a Python
process of its own, so no measurement inherits another one's memory or threads; tasks take the time
themselves, so starting Python and importing torch is never counted.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]
MB = 1e6


class BenchmarkError(RuntimeError):
    """A figure could not be taken; one sentence says why."""


def fresh(task: Callable[..., Any], *arguments: Any, timeout: float = 1800) -> Any:
    """Call ``task`` in a new process and return its result."""
    command = [sys.executable, "-m", "benchmarks.measure", task.__module__, task.__qualname__, json.dumps(arguments)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{task.__qualname__} took longer than {timeout:g} s.") from None
    if done.returncode:
        raise BenchmarkError(f"{task.__qualname__} failed:\n{done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def in_turn(runs: int, tasks: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Every task ``runs`` times, A B C A B C ..., so that all of them meet the same weather."""
    results: dict[str, list[T]] = {name: [] for name in tasks}
    for run in range(runs):
        for name, task in tasks.items():
            results[name].append(task())
            say(f"  {name}: {run + 1} of {runs}")
    return results


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def spread(label: str, values: list[float], unit: str = "s") -> dict[str, Any]:
    """A measurement: all its values, their median, least and most."""
    return {"label": label, "unit": unit, "median": median(values), "min": min(values), "max": max(values),
            "values": values}


def at_most(label: str, value: float, limit: float, unit: str = "") -> dict[str, Any]:
    return {"label": label, "value": value, "bound": "at most", "limit": limit, "unit": unit, "met": value <= limit}


def at_least(label: str, value: float, limit: float, unit: str = "") -> dict[str, Any]:
    return {"label": label, "value": value, "bound": "at least", "limit": limit, "unit": unit, "met": value >= limit}


def machine() -> dict[str, Any]:
    """This machine by its figures."""
    import torch

    return {"cpu": _cpu_model(), "cores": len(os.sched_getaffinity(0)), "ram_gb": round(_ram() / 1e9, 1),
            "system": f"{platform.system()} {platform.machine()}", "python": platform.python_version(),
            "torch": torch.__version__, "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None}


def load() -> float:
    """Processes that wanted a core, over the last minute."""
    return round(os.getloadavg()[0], 2)


def memory(pid: int | str = "self") -> dict[str, int]:
    """Bytes of resident memory of a process: now, at its peak, and the part that is not file pages."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, peak, anonymous = (int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM", "RssAnon"))
    return {"now": now, "peak": peak, "anonymous": anonymous}


def reset_peak(pid: int | str = "self") -> None:
    """Count the peak from here on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def available() -> int:
    """Bytes of RAM that can be had without swapping."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def touch(nbytes: int) -> None:
    """Use and free memory, before a measurement that needs as much.

    Virtual machines give free memory back to their host within seconds. Taking it again costs up to 2 s a
    GB, or nothing, depending on who used it last: noise that would drown what is measured.
    """
    np.empty(nbytes, np.uint8).fill(1)


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _ram() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


if __name__ == "__main__":
    module, name, arguments = sys.argv[1:]
    print(json.dumps(getattr(importlib.import_module(module), name)(*json.loads(arguments))))
