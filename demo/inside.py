"""ComfyUI's code and the pack's in this process, without a server: for reference tests and benchmarks.

Importing ComfyUI changes the process (its command line, torch's defaults, the names of its modules), so this is for
processes of their own.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def comfyui(folder: str | Path, first: Sequence[str] = ()) -> None:
    """Make ComfyUI's modules importable, on the CPU; import packages ``first`` that share names with them."""
    from demo.launch import declare_missing_operators

    declare_missing_operators()
    for name in first:
        importlib.import_module(name)
    sys.argv = [sys.argv[0], "--cpu"]
    sys.path.insert(0, str(folder))
    importlib.import_module("comfy.cli_args").args.cpu = True


def pack(*names: str) -> list[Any]:
    """Modules of the pack, such as ``nodes.styling``, imported as ComfyUI imports them: as parts of one package."""
    for name, path in (("pack", ROOT), ("pack.nodes", ROOT / "nodes")):
        if name not in sys.modules:
            package = types.ModuleType(name)
            package.__path__ = [str(path)]
            sys.modules[name] = package
    return [importlib.import_module(f"pack.{name}") for name in names]
