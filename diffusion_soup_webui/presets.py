"""What block weights can be, for the page: names, layouts of every dialect, presets ours and the user's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from diffusion_soup import graph
from diffusion_soup.blocks import DIALECTS, block_names
from diffusion_soup.errors import RecipeError, SoupError, shown
from diffusion_soup.presets import Preset, detect_format, house_presets, read_presets

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "presets"
#: Where other extensions, installed beside ours, keep the presets of their users.
NEIGHBOURS = ("scripts/mbwpresets.txt", "scripts/mbwpresets_master.txt", "mbwpresets.tsv", "presets/mbwpresets.tsv",
              "scripts/lbwpresets.txt")
_SUFFIXES = (".txt", ".tsv")
_MOST_BYTES = 1 << 20


def tables(folders: Iterable[Path] = ()) -> dict[str, Any]:
    """All that the block editor asks for once."""
    return {
        "families": {title: _family(family) for title, family in graph.FAMILIES.items()},
        "dialects": {name: dialect.title for name, dialect in DIALECTS.items()},
        "files": [_file(path) for path in preset_files(folders)],
    }


def weights(widgets: Mapping[str, str]) -> dict[str, float]:
    """The weights a text means. Raises :class:`SoupError`."""
    family, preset = widgets.get("family", next(iter(graph.FAMILIES))), widgets.get("preset", graph.NONE)
    for what, value, offered in (("family", family, graph.FAMILIES),
                                 ("preset", preset, (graph.NONE, *house_presets("sd1")))):
        if value not in offered:
            raise RecipeError(f"There is no {what} {shown(value)}. Choose one of: {', '.join(offered)}.")
    found = graph.block_weights(family, graph.TIMES, preset, widgets.get("mbw", ""),
                                widgets.get("dialect", "supermerger")).weights
    for name, value in found.items():
        if not math.isfinite(value):
            raise RecipeError(f"The weight of {shown(name)} is {value}; expected a finite number.")
    return dict(found)


def preset_files(folders: Iterable[Path] = ()) -> list[Path]:
    """Files in our folder ``presets`` and in those that are named, and those of neighbouring extensions."""
    own = [path for folder in (FOLDER, *folders) if folder.is_dir()
           for path in sorted(folder.iterdir()) if path.suffix.lower() in _SUFFIXES]
    with suppress(OSError):
        beside = [path for extension in sorted(ROOT.parent.iterdir()) if extension.is_dir() and "." != extension.name[0]
                  for path in (extension / name for name in NEIGHBOURS)] if ROOT.parent.name == "extensions" else []
        return [path for path in (*own, *beside) if path.is_file()]
    return own


def _family(family: str) -> dict[str, Any]:
    return {
        "names": block_names(family),
        "layouts": {name: dialect.layouts(family) for name, dialect in DIALECTS.items()},
        "presets": {name: preset.blocks(family) for name, preset in house_presets(family).items()},
    }


def _file(path: Path) -> dict[str, Any]:
    """Its presets by family; letters are drawn with the seed 0. What could not be read is told, line by line."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise OSError(f"it is larger than {_MOST_BYTES >> 20} MB")
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return {"file": path.name, "presets": {}, "problems": [f"{path.name}: {error.strerror or error}"]}
    presets, skipped = read_presets(text, detect_format(path.name, text))
    fitting = {title: _fitting(presets, family) for title, family in graph.FAMILIES.items()}
    return {"file": path.name, "presets": fitting,
            "problems": [f"{path.name}, line {bad.line}: {bad.reason}" for bad in skipped]}


def _fitting(presets: Mapping[str, Preset], family: str) -> dict[str, dict[str, float]]:
    """The weights of each preset that was made for this family."""
    found = {}
    for name, preset in presets.items():
        with suppress(SoupError):
            found[name] = preset.blocks(family)
    return found
