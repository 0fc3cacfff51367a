"""What belongs to places of the picture, cut into tiles: ControlNet hints and masks, attention masks.

A hint as large as the canvas (or of its aspect) lies over the canvas; one as large as its region lies over the region.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.utils
import torch
from comfy.controlnet import ControlLora, ControlNet, ControlNetSD35, T2IAdapter

from ..diffusion_soup.errors import MismatchError
from ..diffusion_soup.panorama import GRID, Box, Canvas, crop

_SAME_ASPECT = 0.02
_CORE = (ControlNet, ControlLora, ControlNetSD35, T2IAdapter)
#: Attributes of ControlNets (ComfyUI's and Advanced-ControlNet's) with what was made from a hint or mask.
_MADE = ("cond_hint", "control_input", "extra_concat", "mask_cond_hint", "tk_mask_cond_hint", "weight_mask_cond_hint")


@dataclass(frozen=True)
class Place:
    """A tile's box on the canvas, and the box of its region."""

    canvas: Canvas
    tile: Box
    region: Box

    def over(self, pixels: torch.Tensor, what: str | None = None) -> tuple[Box, Box]:
        """(what a picture [..., H, W] lies over, the tile in it), in latents.

        Where its aspect is neither the canvas's nor the region's: raises :class:`MismatchError` if it is called
        something; without a name it is stretched over the canvas, as masks are without tiles.
        """
        height, width = pixels.shape[-2:]
        whole = Box(0, 0, self.canvas.columns, self.canvas.rows)
        alone = Box(0, 0, self.region.width, self.region.height)
        inside = Box((self.tile.x - self.region.x) % self.canvas.columns, self.tile.y - self.region.y, self.tile.width,
                     self.tile.height)
        choices = ((whole, self.tile), (alone, inside))
        for frame, tile in choices:
            if (width, height) == (frame.width * GRID, frame.height * GRID):
                return frame, tile
        for frame, tile in choices:
            if abs(width * frame.height / (height * frame.width) - 1) <= _SAME_ASPECT:
                return frame, tile
        if what is None:
            return whole, self.tile
        sizes = " or ".join(dict.fromkeys(f"{frame.width * GRID} x {frame.height * GRID} px" for frame, _ in choices))
        whose = "not the canvas's" if alone == whole else "neither the canvas's nor the region's"
        raise MismatchError(f"{what} is {width} x {height} px, and its aspect is {whose}. Crop it to {sizes}.")


def chain(control: Any) -> list[Any]:
    """A ControlNet and those before it."""
    links = []
    while control is not None:
        links.append(control)
        control = control.previous_controlnet
    return links


def check(control: Any, place: Place, what: str) -> None:
    """Raise :class:`MismatchError` unless all hints of a ControlNet lie over the canvas or the region."""
    for link in chain(control):
        if _is_picture(link.cond_hint_original):
            place.over(link.cond_hint_original, f"The ControlNet picture of {what}")


def signature(control: Any) -> Any:
    """ControlNets with the same signature differ in their hints alone, so their tiles share a batch."""
    return tuple(_signature(link) for link in chain(control))


def _signature(control: Any) -> Any:
    if type(control) not in _CORE:
        return id(control)
    network = next(getattr(control, name) for name in ("t2i_model", "control_weights", "control_model")
                   if hasattr(control, name))
    return (type(control), id(network), control.strength, control.timestep_percent_range, control.strength_type,
            control.global_average_pooling, control.upscale_algorithm, id(control.vae), repr(control.extra_args),
            len(control.extra_concat_orig))


def cropped(controls: Sequence[Any], places: Sequence[Place], batch: int) -> Any:
    """One ControlNet for a batch of tiles: the first one's copy, with a hint for each tile and picture.

    ``controls`` share a :func:`signature`, one for each place; ``batch`` pictures are sampled at once, and rows are in
    the order of tiles, then pictures. The copy shares weights and what a run has prepared.
    """
    first = controls[0]
    if len(places) == 1 and places[0].tile == Box(0, 0, places[0].canvas.columns, places[0].canvas.rows):
        return first
    made = _copied(first)
    for name in _MADE:
        if hasattr(made, name):
            setattr(made, name, None)
    if _is_picture(first.cond_hint_original):
        made.cond_hint_original = torch.cat([
            _rows(_picture(control.cond_hint_original, place, control.upscale_algorithm), batch, len(places))
            for control, place in zip(controls, places)])
    made.extra_concat_orig = [
        torch.cat([
            _rows(_picture(control.extra_concat_orig[index], place, control.upscale_algorithm), batch, len(places))
            for control, place in zip(controls, places)]) if _is_picture(part) else part
        for index, part in enumerate(first.extra_concat_orig)]
    _crop_masks(made, controls, places, batch)
    if first.previous_controlnet is not None:
        made.previous_controlnet = cropped([control.previous_controlnet for control in controls], places, batch)
    return made


def prepared(control: Any, model: Any) -> Any:
    """A copy of a ControlNet for another model than the sampler's: a Control-LoRA is made of that model's weights."""
    made, links = None, chain(control)
    for link in reversed(links):
        made, before = _copied(link), made
        made.previous_controlnet = before
    made.pre_run(model, model.model_sampling.percent_to_sigma)
    return made


def mask_rows(mask: torch.Tensor, place: Place, batch: int, tiles: int) -> torch.Tensor:
    """[rows, h, w]: a mask [N, H, W] of any size over the canvas or region, cut to a tile."""
    frame, tile = place.over(mask)
    if mask.shape[-2:] != (frame.height * GRID, frame.width * GRID):
        mask = comfy.utils.common_upscale(mask[:, None], frame.width * GRID, frame.height * GRID, "bilinear",
                                          "disabled")[:, 0]
    return _rows(crop(mask, tile.scaled(GRID)), batch, tiles)


def cropped_attention(options: Mapping[str, Any], places: Sequence[Place], batch: int, made: dict[int, Any]
                      ) -> Mapping[str, Any]:
    """Model options in which attention patches with masks (IP-Adapter's) have them cut to the tiles, [T·B, h, w].

    ``made`` keeps the patches of these tiles from one step to the next.
    """
    replaced = options.get("transformer_options", {}).get("patches_replace", {})
    found = {kind: {place: _masked(patch, places, batch, made) for place, patch in patches.items()}
             for kind, patches in replaced.items()}
    if all(found[kind][place] is patch for kind, patches in replaced.items() for place, patch in patches.items()):
        return options
    return {**options, "transformer_options": {**options["transformer_options"], "patches_replace": found}}


def check_patches(options: Mapping[str, Any]) -> None:
    """Raise :class:`MismatchError` for what reads the whole picture's attention, of which tiles know a part each."""
    patches = options.get("transformer_options", {}).get("patches_replace", {}).get("attn1", {})
    if any(str(getattr(patch, "__module__", "")).endswith("nodes_sag") for patch in patches.values()):
        raise MismatchError("Self-Attention Guidance reads the attention of the whole picture, which a panorama in "
                            "several tiles does not have. Remove it, or use Perturbed-Attention Guidance.")


def _masked(patch: Any, places: Sequence[Place], batch: int, made: dict[int, Any]) -> Any:
    """A patch with its masks cut, in ``kwargs`` (and their copies for each device) or ``masks``, as IP-Adapter's are.

    What it unfolds over the pictures of a batch is repeated for every tile. The patch itself where there is neither.
    """
    def cut(mask: Any) -> Any:
        rows = [mask_rows(mask, place, batch, len(places)) for place in places] if _is_mask(mask) else []
        return torch.cat(rows) if rows else mask

    def fitted(keywords: Mapping[str, Any]) -> dict[str, Any]:
        unfolded = ("cond", "uncond", "weight") if keywords.get("unfold_batch") and len(places) > 1 else ()
        return {key: cut(value) if key == "mask" else _unfolded(value, batch, len(places)) if key in unfolded else value
                for key, value in keywords.items()}

    keywords, masks = _list(patch, "kwargs"), _list(patch, "masks")
    if not any(_is_mask(each.get("mask")) or each.get("unfold_batch") for each in keywords) and \
            not any(map(_is_mask, masks)):
        return patch
    if id(patch) not in made:
        new = copy.copy(patch)
        if keywords:
            new.kwargs = [fitted(each) for each in keywords]
        if isinstance(getattr(patch, "multigpu_kwargs", None), dict):
            new.multigpu_kwargs = {device: [fitted(each) for each in copies]
                                   for device, copies in patch.multigpu_kwargs.items()}
        if masks:
            new.masks = [cut(mask) for mask in masks]
        made[id(patch)] = new, patch  # the patch as well, so that its id stays its own
    return made[id(patch)][0]


def _list(patch: Any, name: str) -> list[Any]:
    value = getattr(patch, name, None)
    return value if isinstance(value, list) else []


def _unfolded(value: Any, batch: int, tiles: int) -> Any:
    """[T·B, ...]: rows that stand for the pictures of a batch, the last for all further ones, once for each tile."""
    if not torch.is_tensor(value) or value.ndim == 0 or len(value) == 1:
        return value
    rows = torch.cat([value[:batch], value[-1:].expand(max(batch - len(value), 0), *value.shape[1:])])
    return torch.cat([rows] * tiles)


def _crop_masks(made: Any, controls: Sequence[Any], places: Sequence[Place], batch: int) -> None:
    """Masks of Advanced-ControlNet: on the ControlNet, and on its keyframes."""
    def cut(masks: Sequence[Any]) -> Any:
        return torch.cat([mask_rows(mask, place, batch, len(places)) for mask, place in zip(masks, places)])

    if _is_mask(getattr(made, "mask_cond_hint_original", None)):
        made.mask_cond_hint_original = cut([control.mask_cond_hint_original for control in controls])
    frames = getattr(made, "timestep_keyframes", None)
    if any(_is_mask(getattr(frame, "mask_hint_orig", None)) for frame in getattr(frames, "keyframes", ())):
        made.timestep_keyframes = copy.copy(frames)
        made.timestep_keyframes.keyframes = [_frame_with(frame, cut, len(places)) for frame in frames.keyframes]


def _frame_with(frame: Any, cut: Any, tiles: int) -> Any:
    if not _is_mask(frame.mask_hint_orig):
        return frame
    made = copy.copy(frame)
    made.mask_hint_orig = cut([frame.mask_hint_orig] * tiles)
    return made


def _copied(control: Any) -> Any:
    """A shallow copy whose bound methods are its own: Advanced-ControlNet keeps some in its attributes."""
    made = copy.copy(control)
    for name, value in vars(control).items():
        if isinstance(value, types.MethodType) and value.__self__ is control:
            setattr(made, name, types.MethodType(value.__func__, made))
        elif isinstance(value, super) and value.__self__ is control:
            setattr(made, name, super(value.__thisclass__, made))
    return made


def _picture(pixels: torch.Tensor, place: Place, algorithm: str) -> torch.Tensor:
    """[N, C, h, w] pixels of a tile."""
    frame, tile = place.over(pixels, "A ControlNet picture")
    width, height = frame.width * GRID, frame.height * GRID
    if pixels.shape[-2:] != (height, width):
        pixels = comfy.utils.common_upscale(pixels, width, height, algorithm, "center")
    return crop(pixels, tile.scaled(GRID))


def _rows(tensor: torch.Tensor, batch: int, tiles: int) -> torch.Tensor:
    """A row for each picture of the batch; one row for all where ComfyUI will repeat it by itself."""
    return tensor if tiles == 1 and len(tensor) == 1 else comfy.utils.repeat_to_batch_size(tensor, batch)


def _is_picture(value: Any) -> bool:
    return torch.is_tensor(value) and value.ndim == 4 and min(value.shape[-2:]) > 1


def _is_mask(value: Any) -> bool:
    return torch.is_tensor(value) and value.ndim == 3 and min(value.shape[-2:]) > 1
