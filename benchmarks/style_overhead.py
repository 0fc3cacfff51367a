"""What styles cost per sampling step in ComfyUI: a styled step against a plain one, on a full SD 1.5 UNet.

One evaluation of the positive and the negative prompt in one batch, as a sampler makes it at every step: plain, with
one style model-wide, with two styles on the two conditionings, and with a style that changes over time. In turn, in
one process. Beside it the time our own code takes, with a UNet that returns at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from demo.comfyui import install

from .measure import ROOT, at_most, fresh, spread
from .soups import checkpoints

LIMIT = 1.01
SIZE = 16  # latent pixels


def run(data: Path, runs: int) -> dict[str, Any]:
    checkpoints(data, 1)
    found = fresh(time_steps, str(install()), str(data / "checkpoints" / "sd1-0.safetensors"), 4 * runs)
    steps, own = found["steps"], found["own"]
    ratios = {name: [styled / plain for styled, plain in zip(times, steps["plain"])]
              for name, times in steps.items() if name != "plain"}
    plain = median(steps["plain"])
    return {
        "measurements": [
            *(spread(f"step, {name}", times) for name, times in steps.items()),
            *(spread(f"{name} / plain, pair by pair", values, "x") for name, values in ratios.items()),
            *(spread(f"our own code, {name}", times) for name, times in own.items())],
        "goals": [at_most(f"step {name} / plain step, median of pairs", median(values), LIMIT, "x")
                  for name, values in ratios.items()]
        + [at_most(f"our own code {name}, of a plain step", median(times) / plain * 100, 1, "%")
           for name, times in own.items() if name != "plain"],
        "notes": [f"Latents of {SIZE} x {SIZE}, float32, on the CPU: a plain step takes {plain:.2f} s. Our own code "
                  "takes as long for any size of picture."]}


def time_steps(comfyui: str, checkpoint: str, count: int) -> dict[str, Any]:
    """Seconds of ``count`` steps of each kind, with the UNet and without."""
    sys.path.insert(0, str(ROOT))
    from demo import inside
    inside.comfyui(comfyui)
    import comfy.sd
    import torch

    model = comfy.sd.load_checkpoint_guess_config(checkpoint, output_vae=False, output_clip=False)[0]
    comfy.model_management.load_models_gpu([model])
    with torch.inference_mode():
        kinds = _kinds(model)
        steps = _in_turn(kinds, count)
        unet = model.model.diffusion_model
        unet._forward = _adds_styles_alone  # the wrappers around it still run
        own = _in_turn(kinds, 50 * count)
    return {"steps": steps, "own": {name: [styled - plain for styled, plain in zip(times, own["plain"])]
                                    for name, times in own.items() if name != "plain"}}


def _adds_styles_alone(x: Any, timesteps: Any, context: Any, y: Any, control: Any, options: Any, **more: Any) -> Any:
    """A UNet that does nothing but what styles add to it."""
    import torch

    for patch in options.get("patches", {}).get("emb_patch", ()):
        patch(torch.zeros(len(x), 1280), 320, options)
    return x


def _in_turn(kinds: dict[str, Callable[[], Any]], count: int) -> dict[str, list[float]]:
    for step in kinds.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(count):
        for name, step in kinds.items():
            began = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - began)
    return times


def _kinds(model: Any) -> dict[str, Callable[[], Any]]:
    """One step of each kind, ready to be called."""
    import comfy.conds
    import comfy.sampler_helpers
    import comfy.samplers
    import torch

    from demo import inside

    styling, dmm = inside.pack("nodes.styling", "diffusion_soup.dmm")
    draw = torch.Generator().manual_seed(0)
    mlp = dmm.StyleMLP(*(torch.randn(*shape, generator=draw) * 0.02 for shape in ((1280, 1280), (1280,)) * 2))
    book = dmm.Codebook(torch.randn(8, 1280, generator=draw), mlp)
    one, two = (dmm.Style.of(book, dmm.StyleMix({f"style {number}": 1.0})) for number in (1, 2))
    context = torch.randn(1, 77, 768, generator=draw)
    sigma = model.model.model_sampling.sigma(torch.tensor([499.0]))
    x = torch.randn(1, 4, SIZE, SIZE, generator=draw) * sigma

    def step(patcher: Any, *styles: Any) -> Callable[[], Any]:
        conds = []
        for number in range(2):
            values = {"model_conds": {"c_crossattn": comfy.conds.CONDCrossAttn(context)}}
            conds.append([styling.condition([[None, values]], styles[number], 0.0, 1.0)[0][1] if styles else values])
            conds[-1][0]["uuid"] = number
        options = {**patcher.model_options, "transformer_options": dict(patcher.model_options["transformer_options"])}
        comfy.sampler_helpers.prepare_model_patcher(patcher, {"positive": []}, options)

        def run_it() -> Any:
            patcher.pre_run()
            return comfy.samplers.calc_cond_batch(patcher.model, conds, x, sigma, options)

        return run_it

    return {"plain": step(model), "with a style": step(styling.apply(model, one, 0.0, 1.0)),
            "with two styles": step(styling.listening(model), one, two),
            "with a schedule": step(styling.apply(model, one.then(two, 1.0), 0.0, 1.0))}
