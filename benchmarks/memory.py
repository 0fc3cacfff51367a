"""Peak memory of a cook: above its output in memory, and in all when it goes to disk.

The baseline is the resident memory after importing torch and the engine; the peak is the kernel's own
(VmHWM), counted from there. Every measurement is a process of its own; the ingredients are different files.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from diffusion_soup import cook, cook_to_file

from .measure import MB, at_most, fresh, in_turn, memory, reset_peak, spread
from .soups import checkpoints, soup

LIMIT = 300
KEPT = 4  # checkpoints that the other benchmarks use too


def run(data: Path, runs: int) -> dict[str, Any]:
    paths = checkpoints(data, 8)
    found = in_turn(min(runs, 3), {
        "2 ingredients, above the output": lambda: fresh(to_memory, str(data), 2),
        "8 ingredients, above the output": lambda: fresh(to_memory, str(data), 8),
        "4 ingredients, to disk, in all": lambda: fresh(to_disk, str(data), 4),
        "8 ingredients, to disk, in all": lambda: fresh(to_disk, str(data), 8)})
    for path in paths[KEPT:]:
        path.unlink()
    return {"measurements": [spread(label, values, "MB") for label, values in found.items()],
            "goals": [at_most(f"peak memory, {label}", max(values), LIMIT, "MB") for label, values in found.items()],
            "notes": ["Baseline: resident memory after importing torch and the engine. "
                      "The goal is checked against the highest run."]}


def to_memory(data: str, count: int) -> float:
    recipe, models = soup(Path(data), count)
    base = _start()
    cooked = cook(recipe, models)
    return (memory()["peak"] - base - cooked.plan.output_bytes) / MB


def to_disk(data: str, count: int) -> float:
    recipe, models = soup(Path(data), count)
    with tempfile.TemporaryDirectory(dir=data) as folder:
        base = _start()
        cook_to_file(recipe, models, Path(folder) / "soup.safetensors")
        return (memory()["peak"] - base) / MB


def _start() -> int:
    reset_peak()
    return memory()["now"]
