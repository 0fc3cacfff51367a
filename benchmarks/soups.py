"""The soups that are timed: full SD 1.5 checkpoints with equal shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from diffusion_soup import HashCache, Ingredient, ModelFolders, Recipe, resolve

from .measure import say
from .models import make_set


def checkpoints(data: Path, count: int) -> list[Path]:
    """``count`` checkpoints, made if need be, in the page cache and with their hashes known."""
    paths = make_set(data / "checkpoints", count)
    say(f"  reading {count} checkpoints, so that they are in the page cache")
    warm(paths)
    recipe, models = soup(data, count)
    resolve(recipe, models)
    return paths


def warm(paths: Sequence[Path]) -> None:
    """Read files once from front to back."""
    buffer = bytearray(16 << 20)
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def soup(data: Path, count: int, shares: Sequence[float] = (), blocks: Mapping[str, float] | None = None,
         known: bool = True, vae: str | None = "soup") -> tuple[Recipe, ModelFolders]:
    """A recipe of the first ``count`` checkpoints; ``blocks`` are the first one's; ``vae`` as in a recipe.

    With ``known``, hashes come from a file; without, cooking computes them.
    """
    shares = [*shares, *[1.0] * (count - len(shares))]
    ingredients = [Ingredient(f"sd1-{number}.safetensors", weight=share, blocks=(blocks or {}) if number == 0 else {})
                   for number, share in enumerate(shares)]
    hashes = HashCache(data / "hashes.json" if known else None)
    return Recipe(tuple(ingredients), vae=vae), ModelFolders.below(data, hashes)
