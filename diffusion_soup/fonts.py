"""The letters of drawn labels, by Pillow, which is imported when some are drawn: the hosts bring it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any


def font(size: int, typeface: str | None = None) -> Any:
    """Letters of ``size`` pixels, of a TrueType file or else Pillow's own.

    Pillow's own before its version 10.1 are tiny and plain: there they are matplotlib's, if it is installed.
    """
    from PIL import ImageFont

    if typeface is not None:
        return ImageFont.truetype(typeface, size)
    try:
        return ImageFont.load_default(size)
    except TypeError:  # before Pillow 10.1
        found = dejavu()
        return ImageFont.load_default() if found is None else ImageFont.truetype(found, size)


def dejavu() -> str | None:
    """The TrueType file that comes with matplotlib, which gradio needs: it has letters of many alphabets."""
    found = importlib.util.find_spec("matplotlib")
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder, "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")
        if path.is_file():
            return str(path)
    return None
