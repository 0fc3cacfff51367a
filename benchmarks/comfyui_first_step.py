"""In a real ComfyUI, from queueing to the first sampling step: one DSoupCook against three ModelMergeSimple.

Four full SD 1.5 checkpoints, six steps of 64 x 64 pixels. Every run has a server of its own: a first prompt is
timed until sampling begins, then one share (or ratio) is changed and the prompt is timed again. Both make the
same MODEL, with the text encoder and the VAE of the first file.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from demo.comfyui import ComfyUIError, Server, install
from demo.workflows import Prompt

from .measure import MB, BenchmarkError, at_most, available, in_turn, memory, reset_peak, say, spread
from .soups import checkpoints, warm

COUNT = 4
FILES = [f"sd1-{number}.safetensors" for number in range(COUNT)]
SAMPLER, STEPS = "sampler", 6
TIME_LIMIT, MEMORY_LIMIT = 1 / 4, 1 / 3
CHAIN_NEEDS = 21e9  # bytes; with less, the system ends the server or one of its neighbours
PATIENCE = 900

Taken = dict[str, float]  # seconds and bytes of one server's two prompts


def run(data: Path, runs: int) -> dict[str, Any]:
    paths = checkpoints(data, COUNT)
    comfyui, base = install(), data / "comfyui"
    _link(paths, base / "models" / "checkpoints")
    (base / "user" / "diffusion_soup" / "hashes.json").unlink(missing_ok=True)

    def soup() -> Taken:
        return take(comfyui, base, paths, soup_prompt(), soup_prompt(last_share=0.5))

    def chain() -> Taken:
        return take(comfyui, base, paths, chain_prompt(), chain_prompt(last_ratio=0.6))

    say("  soup, the files' hashes not yet known")
    hashing = soup()
    enough = available() >= CHAIN_NEEDS
    found = in_turn(min(runs, 3), {"soup": soup, "chain": chain} if enough else {"soup": soup})
    measurements = [spread(f"{name}: {label}", [each[key] / scale for each in taken], unit)
                    for name, taken in found.items() for key, label, scale, unit in (
                        ("first", "first prompt", 1, "s"), ("changed", "after one change", 1, "s"),
                        ("peak", "peak memory of the server", MB, "MB"),
                        ("anonymous", "of it not file pages", MB, "MB"))]
    measurements.append(spread("soup: first prompt, hashes not known", [hashing["first"]]))
    notes = ["Server on the CPU, where ComfyUI widens the weights to float32. The files are in the page cache; "
             "peak memory is VmHWM of the server, before which it is idle at "
             f"{median(each['idle'] for each in found['soup']) / MB:.0f} MB."]
    if not enough:
        notes.append(f"The chain was left out: it needs {CHAIN_NEEDS / 1e9:.0f} GB of free memory.")
        return {"measurements": measurements, "goals": [], "notes": notes}

    def ratio(key: str) -> float:
        return median(each[key] for each in found["soup"]) / median(each[key] for each in found["chain"])

    return {"measurements": measurements, "notes": notes, "goals": [
        at_most("first sampling step in ComfyUI, soup / chain of merges", ratio("first"), TIME_LIMIT, "x"),
        at_most("the same after changing one share", ratio("changed"), TIME_LIMIT, "x"),
        at_most("peak memory of the server, soup / chain of merges", ratio("peak"), MEMORY_LIMIT, "x")]}


# ---- one server

def take(comfyui: Path, base: Path, paths: list[Path], first: Prompt, changed: Prompt) -> Taken:
    """Time two prompts in a fresh server."""
    warm(paths)
    with Server(comfyui, base, patience=PATIENCE) as server, _anonymous_peak(server.pid) as anonymous:
        Path(f"/proc/{server.pid}/oom_score_adj").write_text("1000")  # short of memory, this process goes first
        idle = memory(server.pid)["now"]
        reset_peak(server.pid)
        try:
            taken = {"first": first_step(server, first), "changed": first_step(server, changed)}
        except (ComfyUIError, TimeoutError) as error:
            raise BenchmarkError(f"ComfyUI did not reach the first step: {error}") from error
        return {**taken, "peak": memory(server.pid)["peak"], "idle": idle, "anonymous": max(anonymous)}


def first_step(server: Server, prompt: Prompt) -> float:
    """Seconds from queueing until sampling begins: the end of the first step less the length of a step, which is the
    median of the others. Waits for the prompt's end.
    """
    client = server.client
    watch = client.watch()
    prompt_id = client.queue(prompt)
    watch.wait("executing", PATIENCE, node=None, prompt_id=prompt_id)
    client.result(prompt_id, watch).succeeded()
    ends = [event.time for event in watch.of("progress", node=SAMPLER, prompt_id=prompt_id)][:STEPS]
    return ends[0] - median(later - end for end, later in zip(ends, ends[1:])) - watch.time


@contextmanager
def _anonymous_peak(pid: int) -> Iterator[list[int]]:
    """Looks twenty times a second at how much of a process's memory is not file pages."""
    seen, stop = [0], threading.Event()

    def look() -> None:
        while not stop.wait(0.05):
            try:
                seen.append(memory(pid)["anonymous"])
            except (OSError, KeyError):  # the process has ended
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def _link(paths: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        link = folder / path.name
        if not link.exists():
            link.symlink_to(path)


# ---- two graphs that end alike

def soup_prompt(last_share: float = 1.0) -> Prompt:
    prompt: Prompt = {}
    for number, file in enumerate(FILES):
        share = last_share if number == COUNT - 1 else 1.0
        inputs = {"file": file, "share": share, "elements": ""}
        prompt[f"ingredient{number}"] = _node(
            "DSoupIngredient", inputs | ({"ingredients": [f"ingredient{number - 1}", 0]} if number else {}))
    prompt["soup"] = _node(
        "DSoupCook", {"ingredients": [f"ingredient{COUNT - 1}", 0], "method": "soup", "normalise": True, "base": "none",
                      "text_encoder": FILES[0], "vae": FILES[0], "dtype": "auto", "scale": 1.0, "rounding_seed": 0,
                      "device": "auto"})
    return prompt | _sampling(["soup", 0], ["soup", 1])


def chain_prompt(last_ratio: float = (COUNT - 1) / COUNT) -> Prompt:
    """The same average: ComfyUI's ratio is the share of model1, which holds everything merged so far."""
    prompt = {f"load{number}": _node("CheckpointLoaderSimple", {"ckpt_name": file})
              for number, file in enumerate(FILES)}
    merged = ["load0", 0]
    for number in range(1, COUNT):
        ratio = last_ratio if number == COUNT - 1 else number / (number + 1)
        prompt[f"merge{number}"] = _node(
            "ModelMergeSimple", {"model1": merged, "model2": [f"load{number}", 0], "ratio": ratio})
        merged = [f"merge{number}", 0]
    return prompt | _sampling(merged, ["load0", 1])


def _sampling(model: list[Any], clip: list[Any]) -> Prompt:
    return {
        "positive": _node("CLIPTextEncode", {"clip": clip, "text": "a harbour at dawn"}),
        "negative": _node("CLIPTextEncode", {"clip": clip, "text": ""}),
        "latent": _node("EmptyLatentImage", {"width": 64, "height": 64, "batch_size": 1}),
        SAMPLER: _node("KSampler", {
            "model": model, "positive": ["positive", 0], "negative": ["negative", 0], "latent_image": ["latent", 0],
            "seed": 1, "steps": STEPS, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}),
        "save": _node("SaveLatent", {"samples": [SAMPLER, 0], "filename_prefix": "benchmark"})}


def _node(class_type: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}
