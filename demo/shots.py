"""What the commands that take the README's pictures share: their options, and the file of a picture."""
from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import Any

from .browser import CHROMIUM, MISSING
from .client import ComfyUIError
from .comfyui import PACK


def parser(module: str, description: str | None, names: Collection[str]) -> argparse.ArgumentParser:
    """The options of ``python -m module``, which takes the pictures with these names."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=description,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    made.add_argument("--folder", type=Path, default=PACK / "docs", help="where the pictures go (docs)")
    return made


def read(options: argparse.ArgumentParser, names: Collection[str]) -> argparse.Namespace:
    """What the command line says; all names where it has none.

    A name that is not there ends the program; raises :class:`ComfyUIError` where there is no Chromium.
    """
    found = options.parse_args()
    unknown = [name for name in found.names if name not in names]
    if unknown:
        options.error(f"there is no picture {unknown[0]!r}; there are {', '.join(names)}")
    if CHROMIUM is None:
        raise ComfyUIError(MISSING)
    found.names = found.names or list(names)
    return found


def shoot(what: Any, path: Path, quality: int = 88, **more: Any) -> None:
    """A page, or something on it, as a JPEG file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    what.screenshot(path=path, type="jpeg", quality=quality, **more)
