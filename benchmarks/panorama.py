"""What a panorama costs beside its UNet in ComfyUI, and the same grid by core's area conditioning.

A canvas of 4096 x 512 pixels in tiles of 512 that overlap by 256, on a full SD 1.5 UNet. Our own code is timed with a
UNet that returns at once, and set against what the UNet takes for as many rows. Then one step with the real UNet, ours
and core's in turn, on a canvas and tiles half as wide and high.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from demo.comfyui import install

from .measure import ROOT, at_most, fresh, say, spread
from .soups import checkpoints

WIDTH, HEIGHT, TILE, OVERLAP = 4096, 512, 512, 256
LIMIT = 3  # percent
STEPS = 10


def run(data: Path, runs: int) -> dict[str, Any]:
    checkpoints(data, 1)
    found = fresh(time_panorama, str(install()), str(data / "checkpoints" / "sd1-0.safetensors"), runs)
    unet, tiles = median(found["unet"]), found["tiles"]
    own = [(plan + STEPS * step) / (STEPS * unet) * 100 for plan, step in zip(found["plan"], found["own"])]
    ratios = [ours / core for ours, core in zip(found["ours"], found["core"])]
    return {
        "measurements": [
            spread(f"UNet alone, {2 * tiles} rows of a tile, one step", found["unet"]),
            spread("planning: regions to MODEL", found["plan"]),
            spread("our own code, each step", found["own"]),
            spread("core's own code with areas, each step", found["core_own"]),
            spread("a real step at half the size, panorama", found["ours"]),
            spread("a real step at half the size, area conditioning", found["core"]),
            spread("panorama / area conditioning, pair by pair", ratios, "x")],
        "goals": [at_most(f"planning and blending {WIDTH} x {HEIGHT} in {tiles} tiles, of the UNet's time",
                          median(own), LIMIT, "%")],
        "notes": [f"Planning is counted once for {STEPS} steps. Core's code with areas is all of ComfyUI's evaluation "
                  "of the conditionings but the UNet; ours is what comes on top of ComfyUI's evaluation of the tiles."]}


def time_panorama(comfyui: str, checkpoint: str, count: int) -> dict[str, Any]:
    """Seconds of the UNet, of planning, of our own and core's own code a step, and of real steps of both."""
    sys.path.insert(0, str(ROOT))
    from demo import inside
    inside.comfyui(comfyui)
    import comfy.sd
    import torch

    model = comfy.sd.load_checkpoint_guess_config(checkpoint, output_vae=False, output_clip=False)[0]
    comfy.model_management.load_models_gpu([model])
    unet = model.model.diffusion_model
    with torch.inference_mode():
        times = {"tiles": _bench(model, 1)[2]}
        text = torch.randn(2, 77, 768)
        rows = torch.randn(2, 4, TILE // 8, TILE // 8)
        times["unet"] = _timed(lambda: unet(rows, torch.tensor([499.0, 499.0]), text), count, times["tiles"])
        ours, core, _ = _bench(model, 2)
        times["ours"], times["core"] = [], []
        for number in range(max(1, count // 2)):  # minutes each
            pair = [("ours", ours), ("core", core)]
            for name, sampled in pair if number % 2 == 0 else pair[::-1]:  # whoever is first finds caches cold
                times[name].append(sampled(1)["total"])
            say(f"  real steps: {number + 1}")
        unet._forward = lambda x, *args, **kwargs: x
        times["plan"] = _timed(lambda: _bench(model, 1), count)
        ours, core, _ = _bench(model, 1)
        taken = [(ours(STEPS), core(STEPS)) for _ in range(count)]
        times["own"] = [(mine["total"] - mine["inner"]) / STEPS for mine, _ in taken]
        times["core_own"] = [(theirs["inner"] - theirs["unet"]) / STEPS for _, theirs in taken]
    return times


def _timed(call: Callable[[], Any], count: int, times: int = 1) -> list[float]:
    """Seconds of ``times`` calls, ``count`` times."""
    call()
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * times)
    return taken


Sampled = Callable[[int], dict[str, float]]


def _bench(model: Any, smaller: int) -> tuple[Sampled, Sampled, int]:
    """(sample the panorama for some steps, the same with area conditioning, number of tiles)."""
    import comfy.sample
    import torch

    from demo.inside import pack

    panorama, regions = pack("diffusion_soup.panorama", "nodes.regions")
    draw = torch.Generator().manual_seed(0)
    width, height, tile, overlap = (size // smaller for size in (WIDTH, HEIGHT, TILE, OVERLAP))
    count = (width - overlap) // (tile - overlap)
    canvas = panorama.Canvas(width, height, False, 0, 0, overlap, overlap)
    texts = [torch.randn(1, 77, 768, generator=draw) for _ in range(count + 1)]
    against = [[texts[-1], {}]]
    parts = [regions.Part(panorama.Region(f"r{number}", *rectangle), [[text, {}]]) for number, (text, rectangle) in
             enumerate(zip(texts, panorama.grid(canvas, 1, count, overlap, 0)))]
    made, plus, minus, latent, layout = regions.assemble(model, regions.Regions(canvas).plus(*parts), against, 0)
    areas = [(box.height, box.width, box.y, box.x) for box in layout.boxes]
    plain = [[[text, {"area": area, "strength": 1.0}] for text, area in zip(texts, areas)],
             [[texts[-1], {"area": area, "strength": 1.0}] for area in areas]]
    noise = torch.randn(latent.shape, generator=draw)

    def sampler(patcher: Any, positive: Any, negative: Any) -> Sampled:
        clone = patcher.clone()
        spent = {"total": 0.0, "inner": 0.0, "unet": 0.0}
        for kind, name in (("predict_noise", "total"), ("calc_cond_batch", "inner"), ("diffusion_model", "unet")):
            clone.add_wrapper_with_key(kind, "clock", _clock(spent, name))

        def sampled(steps: int) -> dict[str, float]:
            spent.update(dict.fromkeys(spent, 0.0))
            comfy.sample.sample(clone, noise, steps, 5.0, "euler", "normal", positive, negative, latent, seed=0,
                                disable_pbar=True)
            return dict(spent)

        return sampled

    return sampler(made, plus, minus), sampler(model, *plain), len(layout.tiles)


def _clock(spent: dict[str, float], name: str) -> Callable[..., Any]:
    """A wrapper that adds the time of what it wraps."""
    def wrapper(executor: Any, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        result = executor(*args, **kwargs)
        spent[name] += time.perf_counter() - began
        return result

    return wrapper
