"""Regions with what ComfyUI has for each (prompts, style, model, mask, picture), put together as a Panorama."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import comfy.hooks
import comfy.utils
import torch

from ..diffusion_soup.dmm import Style
from ..diffusion_soup.errors import MismatchError, RecipeError
from ..diffusion_soup.panorama import GRID, Canvas, Layout, Region, drawing, place
from . import region_models, styling, tiling
from .stacks import area_to_mask

Conditioning = list[list[Any]]


@dataclass(frozen=True)
class Part:
    """A region and what it is painted with; ``picture`` are latents [B, C, h, w] over its rectangle."""

    region: Region
    positive: Conditioning | None = None
    negative: Conditioning | None = None
    style: Style | None = None
    model: Any = None
    mask: torch.Tensor | None = None
    picture: torch.Tensor | None = None


@dataclass(frozen=True)
class Regions:
    """A canvas with its regions so far, and how many pictures are made at once."""

    canvas: Canvas
    batch: int = 1
    parts: tuple[Part, ...] = ()

    def plus(self, *parts: Part) -> Regions:
        """With more regions. Raises :class:`RecipeError` for one that does not fit the canvas."""
        for part in parts:
            place(self.canvas, part.region)
        return replace(self, parts=(*self.parts, *parts))

    def named(self, name: str, otherwise: str = "region") -> str:
        """A name for the next region."""
        return name.strip() or f"{otherwise} {len(self.parts) + 1}"

    def layout(self) -> Layout:
        """Raises :class:`RecipeError` for regions that cannot be laid out."""
        return Layout(self.canvas, [part.region for part in self.parts],
                      [part.mask if part.mask is None else over_canvas(part.mask, self.canvas) for part in self.parts])


def over_canvas(mask: torch.Tensor, canvas: Canvas) -> torch.Tensor:
    """[rows, columns]: a MASK [N, H, W] laid over the canvas, one element a latent; the first of several."""
    first = mask.reshape(-1, *mask.shape[-2:])[:1, None].float().cpu()
    return torch.nn.functional.interpolate(first, (canvas.rows, canvas.columns), mode="area")[0, 0].clamp(0, 1)


def encoded(canvas: Canvas, region: Region, picture: torch.Tensor, vae: Any) -> torch.Tensor:
    """Latents [B, C, h, w] of a picture [B, H, W, C], scaled and cropped to a region."""
    box = place(canvas, region)
    pixels = picture[..., :3]
    if pixels.shape[1:3] != (box.height * GRID, box.width * GRID):  # scaling rounds to 8 bits a colour
        pixels = comfy.utils.common_upscale(pixels.movedim(-1, 1), box.width * GRID, box.height * GRID, "lanczos",
                                            "center").movedim(1, -1)
    latents: torch.Tensor = vae.encode(pixels)
    if latents.shape[-2:] != (box.height, box.width):
        raise MismatchError(f"{region}: this VAE makes latents of {tuple(latents.shape[-2:])} of a picture of "
                            f"{box.width * GRID} x {box.height * GRID} px; a canvas needs one with {GRID} px a latent.")
    return latents


def assemble(model: Any, regions: Regions, negative: Conditioning | None, at_once: int
             ) -> tuple[Any, Conditioning, Conditioning, torch.Tensor, Layout]:
    """(MODEL, positive, negative, empty latents, layout) of a panorama. Raises SoupErrors for what does not fit."""
    layout = regions.layout()
    names = [f"region {part.region.name!r}" for part in regions.parts]
    channels = model.get_model_object("latent_format").latent_channels
    wanted = {index: (name, part.model) for index, (name, part) in enumerate(zip(names, _with_models(regions.parts)))
              if part.model is not None}
    owns, additional = region_models.share_out(model, wanted)
    pictures = {index: part.picture for index, part in enumerate(regions.parts) if part.picture is not None}
    for index, picture in pictures.items():
        if picture.shape[1] != channels:
            raise MismatchError(f"The picture of {names[index]} has latents of {picture.shape[1]} channels, but the "
                                f"MODEL takes {channels}. Encode it with the VAE of that model's family.")

    def fixed(shape: Sequence[int]) -> Layout:
        if len(shape) != 4 or (shape[-2], shape[-1]) != (layout.canvas.rows, layout.canvas.columns):
            raise MismatchError(f"The latent to sample is {_size(shape)}, but the canvas is {layout.canvas.width} x "
                                f"{layout.canvas.height} px. Connect LATENT of Panorama, or the latent of a picture of "
                                "the canvas's size.")
        return layout

    tiling.check_memory(model, layout, regions.batch)
    panorama = tiling.Panorama(fixed, owns, pictures, at_once)
    made = panorama.install(model, additional)
    if any(styling.KEY in values for part in regions.parts for each in (part.positive, part.negative)
           for _, values in each or ()) or any(part.style for part in regions.parts):
        made = styling.listening(made)
    both: tuple[Conditioning, Conditioning] = [], []
    for index, (name, part) in enumerate(zip(names, regions.parts)):
        if part.positive is None:
            continue
        own = owns.get(index)
        against = part.negative if part.negative is not None else negative
        if against is None:
            raise RecipeError(f"{name.capitalize()} has no negative prompt; connect one to it, or one for all regions "
                              "to Panorama.")
        prompts = _same_control(part.positive, against)
        for conditioning, out in zip(prompts, both):
            for text, _ in conditioning:
                _check_text(name, text, part.model or model)
            if part.style is not None:
                styling.check(part.model or model, part.style, name.capitalize())
                conditioning = styling.condition(conditioning, part.style, 0.0, 1.0)
            if own is not None and own.hooks is not None:
                conditioning = comfy.hooks.set_hooks_for_conditioning(conditioning, own.hooks)
            placed = [[text, area_to_mask(values, layout.canvas.rows, layout.canvas.columns)]
                      for text, values in conditioning]
            out.extend(panorama.mark(placed, index))
    latents = torch.zeros(regions.batch, channels, layout.canvas.rows, layout.canvas.columns)
    return made, *both, latents, layout


def tiled(model: Any, canvas: Canvas, at_once: int) -> Any:
    """A MODEL that cuts any latent into tiles; of ``canvas`` its tiles and whether it wraps count."""
    known: dict[tuple[int, int], Layout] = {}

    def any_size(shape: Sequence[int]) -> Layout:
        if len(shape) != 4:
            raise MismatchError(f"Panorama Tiles takes latents of pictures, not of {_size(shape)}.")
        size = shape[-1] * GRID, shape[-2] * GRID
        if size not in known:
            known.clear()
            known[size] = Layout(replace(canvas, width=size[0], height=size[1]), [Region("the picture", 0, 0, *size)])
        return known[size]

    return tiling.Panorama(any_size, at_once=at_once).install(model)


def report(layout: Layout, regions: Regions) -> str:
    """What will be sampled, line by line."""
    return drawing.report(layout, [
        [what for what, there in (("a style", part.style), ("a model", part.model), ("a mask", part.mask),
                                  ("a picture", part.picture), ("noise", part.region.seed), ("cfg", part.region.cfg))
         if there is not None] for part in regions.parts])


def _with_models(parts: Sequence[Part]) -> list[Part]:
    """The parts, their own models taking styles where any of their regions has one."""
    listening: dict[int, Any] = {}
    for part in parts:
        if part.model is not None and part.model.get_attachment(tiling.KEY) is not None:
            raise MismatchError(f"The MODEL of region {part.region.name!r} is itself one of a panorama. Connect the "
                                "MODEL from before its Panorama or Panorama Tiles.")
        if part.model is not None and part.style is not None and id(part.model) not in listening:
            listening[id(part.model)] = styling.listening(part.model)
    return [replace(part, model=listening.get(id(part.model), part.model)) for part in parts]


def _same_control(positive: Conditioning, negative: Conditioning) -> tuple[Conditioning, Conditioning]:
    """ControlNets of the old Apply ControlNet count for the negative prompt too; ComfyUI would mix up regions here."""
    both = next((values["control"] for _, values in positive if values.get("control_apply_to_uncond")), None)
    if both is None or any("control" in values for _, values in negative):
        return positive, negative
    negative = [[text, {**values, "control": both}] for text, values in negative]
    positive = [[text, {**values, "control_apply_to_uncond": False}] for text, values in positive]
    return positive, negative


def _check_text(name: str, text: torch.Tensor | None, model: Any) -> None:
    width = model.model.model_config.unet_config.get("context_dim")
    if torch.is_tensor(text) and isinstance(width, int) and text.shape[-1] != width:
        raise MismatchError(f"The prompt of {name} has {text.shape[-1]} numbers a token, but its MODEL "
                            f"({type(model.model).__name__}) takes {width}: it was encoded for another family. Encode "
                            "it with the CLIP of that model.")


def _size(shape: Sequence[int]) -> str:
    return f"{shape[-1] * GRID} x {shape[-2] * GRID} px" if len(shape) == 4 else f"shape {tuple(shape)}"
