"""ComfyUI, our nodes and small models in one process, and what notes how they are used."""

from __future__ import annotations

from pathlib import Path

import torch

from demo.inside import pack


class Studio:
    """Everything a case needs. All random numbers come from one generator."""

    def __init__(self, models: Path) -> None:
        self.models = models
        self.panorama, self.tiling, self.regions, self.styling = pack(
            "diffusion_soup.panorama", "nodes.tiling", "nodes.regions", "nodes.styling")
        self.generator = torch.Generator().manual_seed(0)
        self._loaded = {}

    def load(self, name: str, fresh: bool = False):
        """A checkpoint's MODEL; one for all cases, or one of its own for a case that changes its weights."""
        import comfy.sd
        if fresh or name not in self._loaded:
            made = comfy.sd.load_checkpoint_guess_config(str(self.models / f"checkpoints/{name}.safetensors"),
                                                         output_vae=False, output_clip=False)[0]
            if fresh:
                return made
            self._loaded[name] = made
        return self._loaded[name]

    def file(self, name: str):
        """The tensors of a LoRA or ControlNet."""
        import comfy.utils
        return comfy.utils.load_torch_file(str(self.models / f"{name}.safetensors"))

    def text(self, width: int = 768, tokens: int = 8, pooled: bool = False, **values):
        """CONDITIONING with random text."""
        if pooled:
            values["pooled_output"] = torch.randn(1, 1280, generator=self.generator)
        return [[torch.randn(1, tokens, width, generator=self.generator), values]]

    def noise(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator)

    def random(self, *shape: int) -> torch.Tensor:
        """Numbers from 0 to 1: pictures and masks."""
        return torch.rand(shape, generator=self.generator)

    def canvas(self, width: int, height: int, wrap: bool = False, tile: int = 0, overlap: int = 64, batch: int = 1):
        canvas = self.panorama.Canvas(width, height, wrap, tile, tile, overlap, overlap)
        return self.regions.Regions(canvas, batch)

    def part(self, name: str, x: int, y: int, width: int, height: int, positive=None, negative=None, *, style=None,
             model=None, mask=None, picture=None, **region):
        region = self.panorama.Region(name, x, y, width, height, prompted=positive is not None, **region)
        return self.regions.Part(region, positive, negative, style, model, mask, picture)

    def assembled(self, model, regions, negative=None, at_once: int = 0):
        return self.regions.assemble(model, regions, negative, at_once)

    def sample(self, model, positive, negative, noise, *, cfg=4.0, steps=2, sampler="euler", latent=None, **options):
        """``latent``: a picture's, to begin with."""
        import comfy.sample
        latent = torch.zeros_like(noise) if latent is None else latent
        return comfy.sample.sample(model, noise, steps, cfg, sampler, "normal", positive, negative, latent, seed=7,
                                   disable_pbar=True, **options)

    def painted(self, model, regions, negative, noise, at_once: int = 0, **options) -> torch.Tensor:
        """A panorama, assembled and sampled."""
        made, plus, minus, _, _ = self.assembled(model, regions, negative, at_once)
        return self.sample(made, plus, minus, noise, **options)


class Probe:
    """A clone of a MODEL that notes each call of the UNet: its sigma, the shape of x, and SDXL's sizes."""

    def __init__(self, model) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.sigmas: list[float] = []
        self.labels: list[torch.Tensor | None] = []
        self.model = model.clone()
        self.model.add_wrapper_with_key("diffusion_model", "probe", self._note)

    @property
    def calls(self) -> int:
        return len(self.shapes)

    @property
    def per_step(self) -> list[int]:
        """How many calls each step made."""
        return [self.sigmas.count(sigma) for sigma in dict.fromkeys(self.sigmas)]

    def _note(self, executor, x, timesteps=None, context=None, y=None, control=None, transformer_options=None, **more):
        self.shapes.append(tuple(x.shape))
        self.sigmas.append(float(transformer_options["sigmas"].reshape(-1)[0]))
        self.labels.append(y)
        return executor(x, timesteps, context, y, control, transformer_options, **more)


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Largest difference over the largest number."""
    assert torch.isfinite(one).all() and other.abs().max() > 1e-3
    return ((one - other).abs().max() / other.abs().max()).item()
