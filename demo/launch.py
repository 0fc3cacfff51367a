"""Become ComfyUI: what the server's process runs.  A script of its own that imports nothing of this repository.

    python demo/launch.py FOLDER OPTIONS    run the main.py in FOLDER until standard input closes
"""
from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import runpy
import sys
import threading
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PACK = Path(__file__).resolve().parents[1]


def start(folder: Path, arguments: Sequence[str]) -> None:
    """Become ComfyUI.  The process ends when its standard input closes, so none outlives its parent."""
    def end_with_parent() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end_with_parent, daemon=True).start()
    if importlib.util.find_spec("torchsde") is None:
        sys.modules["torchsde"] = types.ModuleType("torchsde")
    if "--cpu" in arguments:  # with a GPU, ComfyUI sets up torch's allocator before the first import
        declare_missing_operators()
    main = str(folder / "main.py")
    sys.argv = [main, *arguments]
    # The pack is found through custom_nodes alone, as it is for users: never through sys.path.
    sys.path[:] = [str(folder), *(p for p in sys.path[1:] if Path(p).resolve() != PACK)]
    runpy.run_path(main, run_name="__main__")


def declare_missing_operators() -> None:
    """Let ComfyUI import a torchvision whose operators this torch cannot load.

    A wheel built for CUDA does not load into a CPU torch, and then stops at import because it
    describes operators that do not exist.  Declaring them is enough: what is plain Python in
    torchvision works afterwards.
    """
    torch: Any = importlib.import_module("torch")
    found = importlib.util.find_spec("torchvision")
    assert found and found.origin, "torchvision was installed with the requirements"
    for library in Path(found.origin).parent.glob("_C.*"):
        with contextlib.suppress(OSError):
            torch.ops.load_library(library)
    if not hasattr(torch.ops.torchvision, "nms"):
        declared = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(declared)


_kept: list[Any] = []  # declarations last as long as the objects that made them


if __name__ == "__main__":
    start(Path(sys.argv[1]), sys.argv[2:])
