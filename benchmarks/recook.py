"""Change one block's share and cook again, for every block in turn."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

from diffusion_soup import Soup, cook

from .measure import at_most, fresh, spread, touch
from .soups import checkpoints, soup

COUNT = 4
LIMIT = 0.15
OUTPUT, LARGEST_BLOCK = 2_140_000_000, 250_000_000  # bytes of the soup, and of its text encoder


def run(data: Path, runs: int) -> dict[str, Any]:
    checkpoints(data, COUNT)
    found = fresh(cook_every_block, str(data), runs)
    full = median(found["full"])
    parts = {block: median(times) / full for block, times in found["blocks"].items()}
    worst = max(parts, key=lambda block: parts[block])
    return {
        "measurements": [
            spread("full cook", found["full"]),
            spread(f"recook of {worst}, the slowest block", found["blocks"][worst]),
            spread(f"recook / full cook, over the {len(parts)} blocks", list(parts.values()), "x")],
        "goals": [at_most(f"recook of one block / full cook, worst block ({worst})", parts[worst], LIMIT, "x"),
                  at_most("recook of one block / full cook, median block", median(parts.values()), LIMIT, "x")],
        "blocks": parts,
        "notes": ["One process: a full cook, then one recook for each block from that soup, and over again. "
                  "A recook plans anew, and takes what did not change from the earlier soup. "
                  "As much memory as is needed was used and freed just before each. "
                  "BASE is the text encoder; the VAE is one ingredient's, as it is by default."]}


def cook_every_block(data: str, runs: int) -> dict[str, Any]:
    full: list[float] = []
    blocks: dict[str, list[float]] = {}
    for _ in range(runs):
        before, seconds = _timed(data)
        full.append(seconds)
        for block in sorted({step.block for step in before.plan.steps}):
            blocks.setdefault(block, []).append(_timed(data, {block: 0.5}, before)[1])
        del before
    return {"full": full, "blocks": blocks}


def _timed(data: str, blocks: dict[str, float] | None = None, previous: Soup | None = None) -> tuple[Soup, float]:
    recipe, models = soup(Path(data), COUNT, blocks=blocks, vae=None)
    touch(OUTPUT if previous is None else LARGEST_BLOCK)
    began = time.perf_counter()
    cooked = cook(recipe, models, previous=previous)
    return cooked, time.perf_counter() - began
