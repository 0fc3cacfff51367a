"""Fifty cooks in a row, each with other shares: does memory grow?

Once as full cooks, each soup dropped when the next one is there, and once as recooks of one block after
another from the soup before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusion_soup import Soup, cook

from .measure import MB, at_most, fresh, memory, say, spread
from .soups import checkpoints, soup

COUNT, COOKS, LIMIT = 4, 50, 50
BLOCKS = ("M00", "IN04", "OUT05", "BASE", "OUT00")


def run(data: Path, runs: int) -> dict[str, Any]:
    checkpoints(data, COUNT)
    measurements, goals = [], []
    for label, task in ((f"{COOKS} cooks", cook_often), (f"{COOKS} recooks of one block", recook_often)):
        resident = fresh(task, str(data), timeout=3600)
        say(f"  {label} done")
        measurements.append(spread(f"{label}: resident after each", resident, "MB"))
        growth = max(resident[1:]) - resident[0]
        goals.append(at_most(f"{label}: growth of memory after the first", growth, LIMIT, "MB"))
    return {"measurements": measurements, "goals": goals,
            "notes": ["Resident memory of one process after each cook, one soup being held."]}


def cook_often(data: str) -> list[float]:
    resident = []
    for number in range(COOKS):
        cooked = cook(*soup(Path(data), COUNT, shares=_shares(number)))
        resident.append(memory()["now"] / MB)
        del cooked
    return resident


def recook_often(data: str) -> list[float]:
    resident = []
    cooked: Soup | None = None
    for number in range(COOKS):
        recipe, models = soup(Path(data), COUNT, blocks={BLOCKS[number % len(BLOCKS)]: number / COOKS})
        cooked = cook(recipe, models, previous=cooked)
        resident.append(memory()["now"] / MB)
    return resident


def _shares(number: int) -> list[float]:
    return [1.0 + number % 7, 1.0 + number % 5, 1.0 + number % 3, 1.0]
