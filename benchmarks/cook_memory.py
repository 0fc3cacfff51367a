"""Cook four full SD 1.5 checkpoints to memory on the CPU, against the limit and sd-mecha.

The limit is what no soup can do without: reading the four files into one reused buffer of 16 MB, and
filling a fresh buffer of the output's size. sd-mecha takes the same average (``n_average``, float16 in and
out, float32 between) twice: as it comes, looking for numbers that are not finite as we do, and with its
checks turned off and 1 GB of buffers.
"""

from __future__ import annotations

import importlib.metadata
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from diffusion_soup import cook, prepare

from .measure import MB, BenchmarkError, at_least, at_most, fresh, in_turn, memory, reset_peak, say, spread, touch
from .soups import checkpoints, soup, warm

COUNT = 4
PEER, PEER_VERSION, RARE_RUNS = "sd-mecha", "1.1.8", 3
UNCHECKED = f"{PEER}, its checks off"
PROBE = "model.diffusion_model.middle_block.1.proj_in.weight"


def run(data: Path, runs: int) -> dict[str, Any]:
    paths = [str(path) for path in checkpoints(data, COUNT)]
    plan = prepare(*soup(data, COUNT))
    size = plan.output_bytes
    plan.close()
    found = in_turn(runs, {"limit": lambda: fresh(read_and_fill, paths, size),
                           "cook": lambda: fresh(cook_soup, str(data), True, size)})
    rare = {"cook and hash": lambda: fresh(cook_soup, str(data), False, size)}
    if has_peer():
        rare[PEER] = lambda: fresh(average_with_peer, paths, size, True, timeout=600)
        rare[UNCHECKED] = lambda: fresh(average_with_peer, paths, size, False, timeout=600)
    found |= in_turn(min(runs, RARE_RUNS), rare)
    peer = found.get(PEER, [])
    limit, ours = ([each["seconds"] for each in found[name]] for name in ("limit", "cook"))
    over = [mine / least for mine, least in zip(ours, limit)]
    measurements = [
        spread("limit: read four files, fill the output", limit),
        spread("of it reading", [each["reading"] for each in found["limit"]]),
        spread("processor time of the limit", [each["work"] for each in found["limit"]]),
        spread("Diffusion Soup", ours),
        spread("processor time of it, all threads", [each["work"] for each in found["cook"]]),
        spread("Diffusion Soup / limit, pair by pair", over, "x"),
        spread("Diffusion Soup, files never hashed before", [each["seconds"] for each in found["cook and hash"]])]
    goals = [at_most("cook four SD 1.5 to memory / limit", median(over), 1.5, "x")]
    notes = ["Every measurement is a process of its own; starting it and importing torch is not counted. "
             "The files are in the page cache, and as much memory as the output takes was used and freed just before."]
    if peer:
        theirs = [each["seconds"] for each in peer]
        measurements += [
            spread(f"{PEER} {PEER_VERSION}", theirs),
            spread(f"{PEER} {PEER_VERSION}, its checks off", [each["seconds"] for each in found[UNCHECKED]]),
            spread("Diffusion Soup, memory above the output", [_above(each) for each in found["cook"]], "MB"),
            spread(f"{PEER} {PEER_VERSION}, memory above the output", [_above(each) for each in peer], "MB")]
        goals.append(at_least(f"{PEER} / Diffusion Soup", median(theirs) / median(ours), 10, "x"))
        difference = np.abs(np.subtract(found["cook"][0]["probe"], peer[0]["probe"])).max()
        notes.append(f"{PEER} made the same average: largest difference in {len(peer[0]['probe'])} numbers "
                     f"of {PROBE} is {difference:.1e}.")
    else:
        notes.append(f"{PEER} was not measured: pip install {PEER}=={PEER_VERSION}")
    return {"measurements": measurements, "goals": goals, "notes": notes}


def has_peer() -> bool:
    try:
        return importlib.metadata.version(PEER) == PEER_VERSION
    except importlib.metadata.PackageNotFoundError:
        say(f"  {PEER} {PEER_VERSION} is not installed, so it is left out")
        return False


def _above(found: dict[str, Any]) -> float:
    return float(found["above"]) / MB


# ---- tasks, each in a process of its own

def read_and_fill(paths: list[str], size: int) -> dict[str, float]:
    touch(size)
    began, worked = time.perf_counter(), time.process_time()
    warm([Path(path) for path in paths])
    reading = time.perf_counter() - began
    np.empty(size, np.uint8).fill(1)
    return {"seconds": time.perf_counter() - began, "reading": reading, "work": time.process_time() - worked}


def cook_soup(data: str, known: bool, size: int) -> dict[str, Any]:
    recipe, models = soup(Path(data), COUNT, known=known)
    touch(size)
    base = memory()["now"]
    reset_peak()
    began, worked = time.perf_counter(), time.process_time()
    cooked = cook(recipe, models)
    seconds, work = time.perf_counter() - began, time.process_time() - worked
    above = memory()["peak"] - base - cooked.plan.output_bytes
    return {"seconds": seconds, "work": work, "above": above, "probe": _probe(cooked[PROBE])}


def average_with_peer(paths: list[str], size: int, checks: bool) -> dict[str, Any]:
    import sd_mecha  # type: ignore[import-untyped]

    touch(size)
    base = memory()["now"]
    reset_peak()
    began = time.perf_counter()
    average = sd_mecha.merge(
        sd_mecha.n_average(*(sd_mecha.model(Path(path)) for path in paths)),
        merge_dtype=torch.float32, output_dtype=torch.float16, **({} if checks else _UNCHECKED))
    seconds = time.perf_counter() - began
    tensors = [value for value in average.values() if isinstance(value, torch.Tensor)]
    if PROBE not in average:
        raise BenchmarkError(f"{PEER} left out {PROBE}.")
    return {"seconds": seconds, "above": memory()["peak"] - base - sum(tensor.nbytes for tensor in tensors),
            "probe": _probe(average[PROBE])}


_UNCHECKED = {"total_buffer_size": 1 << 30, "check_finite_output": False, "omit_non_finite_inputs": False,
              "validate_mm_contract": False}


def _probe(tensor: torch.Tensor) -> list[float]:
    return [float(number) for number in tensor.flatten()[:64].float()]
