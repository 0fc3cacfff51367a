"""What belongs to places is cut along: regions and tiles that do not overlap are the pictures they would be alone."""

from __future__ import annotations

import torch

from .scenes import BATCH, COLUMNS, ROWS, SIDES, TILED, WHOLE, Scene, Shot
from .studio import Studio, difference

TILE = 8


def halves(studio: Studio) -> dict[str, dict[str, float]]:
    """Two regions side by side, each with its own noise."""
    found = {}
    for name, make in SIDES.items():
        scene, half = make(studio), COLUMNS // 2
        regions, alone = studio.canvas(8 * COLUMNS, 8 * ROWS, batch=BATCH), []
        for side in range(2):
            shot = scene(side, WHOLE, True)
            regions = regions.plus(studio.part(f"side {side}", 8 * half * side, 0, 8 * half, 8 * ROWS, shot.positive,
                                               shot.negative, kind="constant", seed=side, **shot.own))
            noise = torch.randn(BATCH, 4, ROWS, half, generator=torch.Generator().manual_seed(side))
            alone.append(sampled(studio, scene(side, slice(half * side, half * (side + 1)), True), noise))
        got = studio.painted(shot.model, regions, None, studio.noise(BATCH, 4, ROWS, COLUMNS))
        found[name] = {"halves": difference(got, torch.cat(alone, -1)), "sides differ": difference(*alone)}
        if name not in ("plain", "sdxl"):
            without = sampled(studio, scene(1, slice(half, COLUMNS), False), noise)
            found[name]["matters"] = difference(without, alone[1])
    return found


def tiles(studio: Studio) -> dict[str, dict[str, float]]:
    """One region, cut into three tiles, all at once; those of two scenes one by one as well."""
    found = {}
    for name, make in TILED.items():
        scene = make(studio)
        noise = studio.noise(BATCH, 4, ROWS, COLUMNS)
        pieces = [slice(start, start + TILE) for start in range(0, COLUMNS, TILE)]
        alone = [sampled(studio, scene(0, here, True), noise[..., here]) for here in pieces]
        without = sampled(studio, scene(0, pieces[-1], False), noise[..., pieces[-1]])
        wanted = torch.cat(alone, -1)
        found[name] = {"tiles": difference(_cut(studio, scene, noise, 0), wanted),
                       "matters": difference(without, alone[-1])}
        if name in ("control", "unfolded attention"):
            found[name]["one by one"] = difference(_cut(studio, scene, noise, 1), wanted)
    return found


def _cut(studio: Studio, scene: Scene, noise: torch.Tensor, at_once: int) -> torch.Tensor:
    shot = scene(0, WHOLE, True)
    regions = studio.canvas(8 * COLUMNS, 8 * ROWS, tile=8 * TILE, overlap=0, batch=BATCH).plus(
        studio.part("all", 0, 0, 8 * COLUMNS, 8 * ROWS, shot.positive, shot.negative))
    return studio.painted(shot.model, regions, None, noise, at_once)


def sampled(studio: Studio, shot: Shot, noise: torch.Tensor) -> torch.Tensor:
    """A shot without a panorama."""
    model, texts = shot.own.get("model", shot.model), [shot.positive, shot.negative]
    if "style" in shot.own:
        model = studio.styling.listening(model)
        texts = [studio.styling.condition(text, shot.own["style"], 0.0, 1.0) for text in texts]
    return studio.sample(model, *texts, noise)


CASES = {"halves": halves, "tiles": tiles}
