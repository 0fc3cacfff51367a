"""Run beside ComfyUI's own code: panoramas against plain sampling and against the paper's formula in float64.

    python panorama_reference.py COMFYUI_FOLDER MODELS_FOLDER CASE...  ->  JSON {case: what it found, or "error": text}

A process of its own, because importing ComfyUI changes the process. Everything runs through ComfyUI's samplers with
the MODEL and conditionings that the nodes hand out.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]


def main(folder: str, models: str, *names: str) -> None:
    sys.path.insert(0, str(ROOT))
    from demo import inside
    inside.comfyui(folder)
    from panorama_cases import CASES
    from panorama_cases.studio import Studio
    studio, found = Studio(Path(models)), {}
    with torch.inference_mode():
        for name in names:
            began = time.perf_counter()
            studio.generator.manual_seed(0)
            try:
                found[name] = CASES[name](studio)
            except Exception:
                found[name] = {"error": traceback.format_exc()}
            print(f"{name}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
