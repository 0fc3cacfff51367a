"""What block weights can be: names, layouts, presets; and what a text means."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import folder_paths
from aiohttp import web

from ...diffusion_soup import graph
from ...diffusion_soup.blocks import DIALECTS, block_names
from ...diffusion_soup.errors import RecipeError, SoupError, shown
from ...diffusion_soup.presets import Preset, detect_format, house_presets, read_presets

_PRESET_SUFFIXES = (".txt", ".tsv")
_MOST_PRESET_BYTES = 1 << 20


async def _blocks(request: web.Request) -> web.Response:
    """Names, layouts of every dialect and our presets, by family; and the presets in the user's files."""
    files = await asyncio.to_thread(lambda: [_preset_file(path) for path in _preset_files()])
    return web.json_response({
        "families": {title: _family(family) for title, family in graph.FAMILIES.items()},
        "dialects": {name: dialect.title for name, dialect in DIALECTS.items()},
        "files": files,
    })


def _family(family: str) -> dict[str, Any]:
    return {
        "names": block_names(family),
        "layouts": {name: dialect.layouts(family) for name, dialect in DIALECTS.items()},
        "presets": {name: preset.blocks(family) for name, preset in house_presets(family).items()},
    }


def _preset_files() -> list[Path]:
    """Preset files of other tools, which the user keeps in ``user/diffusion_soup/presets``."""
    folder = Path(folder_paths.get_user_directory()) / "diffusion_soup" / "presets"
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if path.suffix.lower() in _PRESET_SUFFIXES and path.is_file())


def _preset_file(path: Path) -> dict[str, Any]:
    """Its presets by family; letters are drawn with the seed 0. What could not be read is told, line by line."""
    try:
        if path.stat().st_size > _MOST_PRESET_BYTES:
            raise OSError(f"it is larger than {_MOST_PRESET_BYTES >> 20} MB")
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return {"file": path.name, "presets": {}, "problems": [f"{path.name}: {error.strerror or error}"]}
    presets, skipped = read_presets(text, detect_format(path.name, text))
    fitting = {title: _fitting(presets, family) for title, family in graph.FAMILIES.items()}
    strange = [name for name in presets if not any(name in each for each in fitting.values())]
    return {"file": path.name, "presets": fitting,
            "problems": [*(f"{path.name}, line {bad.line}: {bad.reason}" for bad in skipped),
                         *(f"{path.name}: {shown(name)} fits none of {', '.join(fitting)}" for name in strange)]}


def _fitting(presets: Mapping[str, Preset], family: str) -> dict[str, dict[str, float]]:
    """The weights of each preset that was made for this family."""
    found = {}
    for name, preset in presets.items():
        with suppress(SoupError):
            found[name] = preset.blocks(family)
    return found


async def _block_weights(request: web.Request) -> web.Response:
    """The weights that Soup Block Weights makes of these widgets, or what is wrong with them."""
    try:
        return web.json_response({"weights": _weights(request.query)})
    except SoupError as error:
        return web.json_response({"error": str(error)}, status=400)


def _weights(query: Mapping[str, str]) -> dict[str, float]:
    family, preset = query.get("family", next(iter(graph.FAMILIES))), query.get("preset", graph.NONE)
    for what, value, offered in (("family", family, graph.FAMILIES),
                                 ("preset", preset, (graph.NONE, *house_presets("sd1")))):
        if value not in offered:
            raise RecipeError(f"There is no {what} {shown(value)}. Choose one of: {', '.join(offered)}.")
    found = graph.block_weights(family, graph.TIMES, preset, query.get("mbw", ""),
                                query.get("dialect", "supermerger")).weights
    for name, value in found.items():
        if not math.isfinite(value):
            raise RecipeError(f"The weight of {shown(name)} is {value}; expected a finite number.")
    return dict(found)


ROUTES = (("GET", "/diffusion_soup/blocks", _blocks), ("GET", "/diffusion_soup/block_weights", _block_weights))
