"""The newest frontend of ComfyUI, beside the one that ComfyUI itself pins: for the browser tests and the benchmarks.

    python -m demo.frontend             unpack it into .comfyui-frontend and say where it is
"""
from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

from .client import ComfyUIError
from .comfyui import PACK, pip

PINNED, NEWEST = "pinned", "newest"
# An exact version, so that two runs see the same page. The only place that names it.
VERSION = "1.58.1"
CACHE = PACK / ".comfyui-frontend"
INSIDE_WHEEL = "comfyui_frontend_package/static/"


def unpacked(version: str = VERSION) -> Path:
    """The static folder of a frontend, for ComfyUI's ``--front-end-root``; downloaded once."""
    folder = CACHE / version
    static = folder / INSIDE_WHEEL
    if not static.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=CACHE) as scratch:
            pip("download", "--no-deps", "--dest", scratch, f"comfyui-frontend-package=={version}")
            with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
                wheel.extractall(Path(scratch, "new"), [n for n in wheel.namelist() if n.startswith(INSIDE_WHEEL)])
            Path(scratch, "new").rename(folder)
    return static


def arguments(frontend: str | Path) -> tuple[str, ...]:
    """What ComfyUI's command line needs for it: the pinned one, the newest, or an unpacked folder."""
    if frontend == PINNED:
        return ()
    return "--front-end-root", str(unpacked() if frontend == NEWEST else frontend)


if __name__ == "__main__":
    try:
        print(unpacked())
    except ComfyUIError as error:
        sys.exit(f"error: {error}")
