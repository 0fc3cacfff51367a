"""Our section of the host's settings. What it is registered with is handed in: only the bridge knows the host.

    script_callbacks.on_ui_settings(lambda: settings.add(shared))
    tab.build(kitchen, lambda: settings.preset_folders(shared.opts))
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

SECTION = ("diffusion_soup", "Diffusion Soup")
PRESETS = "dsoup_presets"


def add(shared: Any) -> None:
    """Add our options to ``modules.shared``."""
    shared.opts.add_option(PRESETS, shared.OptionInfo(
        "", "Folder with block weight presets (mbwpresets.txt, mbwpresets.tsv, lbw-preset.txt)", section=SECTION))


def preset_folders(opts: Any) -> list[Path]:
    """Where the user keeps presets, beside our folder ``presets`` and those of neighbouring extensions."""
    folder = str(getattr(opts, PRESETS, "") or "").strip()
    return [Path(folder)] if folder else []
