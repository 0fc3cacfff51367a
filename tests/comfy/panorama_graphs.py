"""Prompts with panoramas, latents as numbers, and canvases of two halves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load_file

from demo.client import Result
from demo.comfyui import Server

from .graphs import Graph, Node

SEEDS = (11, 12)  # of the left and the right half
SIDE = 64  # pixels: the halves' width and the height of all


class Prompts(NamedTuple):
    """A positive and a negative prompt."""

    positive: Any
    negative: Any


class Scene(Graph):
    """A prompt with panoramas."""

    def picture(self, width: int = 2 * SIDE, height: int = SIDE, seed: int = 1) -> Node:
        return self("TestPicture", width=width, height=height, seed=seed)

    def mask(self, width: int = 2 * SIDE, height: int = SIDE, seed: int = 2) -> Node:
        return self("ImageToMask", image=self.picture(width, height, seed)[0], channel="red")

    def text(self, clip: Any, text: str) -> Any:
        return self("CLIPTextEncode", clip=clip, text=text)[0]

    def canvas(self, width: int = 2 * SIDE, height: int = SIDE, **settings: Any) -> Any:
        return self("DSoupCanvas", **{"width": width, "height": height, "wrap": False, "batch_size": 1, **settings})[0]

    def region(self, regions: Any, positive: Any, **settings: Any) -> Any:
        more = {} if positive is None else {"positive": positive}
        return self("DSoupRegion", **{"regions": regions, "name": "", "x": 0, "y": 0, "width": SIDE, "height": SIDE,
                                      "weights": "constant", "mask_weight": 1.0, **more, **settings})[0]

    def panorama(self, model: Any, regions: Any, negative: Any = None, **settings: Any) -> Node:
        more = {} if negative is None else {"negative": negative}
        return self("DSoupPanorama", model=model, regions=regions, **more, **settings)

    def steps(self, model: Any, prompts: Sequence[Any], latent: Any = None, **settings: Any) -> Any:
        """A link to what KSampler makes."""
        latent = latent or self("EmptyLatentImage", width=SIDE, height=SIDE, batch_size=1)[0]
        return self("KSampler", **{"model": model, "positive": prompts[0], "negative": prompts[1],
                                   "latent_image": latent, "seed": 1, "steps": 2, "cfg": 7.0, "sampler_name": "euler",
                                   "scheduler": "normal", "denoise": 1.0, **settings})[0]

    def sampled(self, panorama: Node, **settings: Any) -> Any:
        """A link to a panorama's latent."""
        return self.steps(panorama[0], (panorama[1], panorama[2]), settings.pop("latent", panorama[3]), **settings)

    def keep(self, latent: Any) -> None:
        self("SaveLatent", samples=latent, filename_prefix="latent")

    def halves(self, model: Any, prompts: Sequence[Prompts], owns: Sequence[dict[str, Any]] = ({}, {}),
               **settings: Any) -> Node:
        """A Panorama of a left and a right region, each with its noise."""
        regions = self.canvas(**settings)
        for half, (prompt, own) in enumerate(zip(prompts, owns)):
            regions = self.region(regions, prompt.positive, **{
                "x": half * SIDE, "negative": prompt.negative, "noise_seed": SEEDS[half], **own})
        return self.panorama(model, regions)

    def alone(self, models: Sequence[Any], prompts: Sequence[Sequence[Any]], latents: Sequence[Any] = (None, None),
              **settings: Any) -> None:
        """Keep what both halves are as pictures of their own."""
        for half in (0, 1):
            self.keep(self.steps(models[half], prompts[half], latents[half], **{"seed": SEEDS[half], **settings}))

    def prompts(self, clip: Any = None) -> tuple[Prompts, Prompts]:  # type: ignore[override]
        """Those of the halves, one negative prompt for both."""
        clip = clip or self.checkpoint()[1]
        negative = self.text(clip, "blurred")
        return Prompts(self.text(clip, "hills, sun"), negative), Prompts(self.text(clip, "a night at sea"), negative)

    def cropped(self, image: Any, half: int) -> Any:
        return self("ImageCrop", image=image, width=SIDE, height=SIDE, x=half * SIDE, y=0)[0]

    def controlled(self, prompts: Sequence[Any], image: Any, file: str = "shapes") -> Prompts:
        """Prompts with a ControlNet on both."""
        network = self("ControlNetLoader", control_net_name=f"{file}.safetensors")[0]
        held = self("ControlNetApplyAdvanced", positive=prompts[0], negative=prompts[1], control_net=network,
                    image=image, strength=1.0, start_percent=0.0, end_percent=1.0)
        return Prompts(held[0], held[1])


def latents(server: Server, graph: Graph) -> list[np.ndarray]:
    """The latents that a prompt keeps, in the order of their nodes."""
    return kept(server, server.client.run(graph))


def kept(server: Server, result: Result) -> list[np.ndarray]:
    outputs = sorted(result.succeeded().outputs.items(), key=lambda item: int(item[0]))
    found = [load_file(Path(server.output, file["subfolder"], file["filename"]))["latent_tensor"]
             for _, output in outputs for file in output.get("latents", [])]
    assert found
    for each in found:
        assert np.isfinite(each).all() and each.std() > 0.01
    return found


def close(one: np.ndarray, other: np.ndarray, far: float = 5e-6) -> bool:
    """The same but for rounding: batches of another size are summed in another order."""
    return bool(np.abs(one - other).max() <= far * np.abs(other).max())


def differs(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.abs(one - other).max() > 1e-3 * np.abs(other).max())


def assert_halves(server: Server, graph: Graph) -> np.ndarray:
    """A graph keeps a canvas first, then its halves as they are alone: they are the same. Returns the canvas."""
    canvas, left, right = latents(server, graph)
    assert differs(left, right)
    assert close(canvas, np.concatenate([left, right], -1))
    return canvas
