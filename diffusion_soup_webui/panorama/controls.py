"""ControlNets under a panorama: what lies over the picture is cut to the tile that is sampled, and put back after.

Two kinds: sd-webui-controlnet's units (A1111), whose parameters its hook on the UNet reads in every call; and Forge's
own, a chain on the UNet's patcher. Both keep things made of the picture, so each tile has its own from step to step.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch

from diffusion_soup.panorama import GRID, Box, Canvas, crop

_UNIT_HINTS = ("_hint_cond", "hint_cond", "hr_hint_cond", "effective_region_mask")
#: What a unit makes of its hint: chosen, encoded by the VAE, joined for inpainting.
_UNIT_MADE = ("used_hint_cond", "used_hint_cond_latent", "used_hint_inpaint_hijack")
_ADAPTER_MADE = ("control", "hint_cond")
_LIGHT_HINTS, _LIGHT_MADE = ("cond_image",), ("cond_emb", "current_step")
_FORGE_HINTS = ("cond_hint_original", "advanced_mask_weighting")
_FORGE_MADE = ("cond_hint", "control_input")


class Cuts:
    """Cuts several ControlNets to tiles; a context for each tile, in which it alone is there. A tile over everything is
    left to them, with whatever they do in a picture that is no panorama."""

    def __init__(self, each: Sequence[Any], canvas: Canvas) -> None:
        self._each = each
        self._whole = (0, 0, canvas.columns, canvas.rows)

    def __call__(self, box: Box) -> Any:
        whole = (box.x, box.y, box.width, box.height) == self._whole
        return nullcontext() if whole else self._cut(box)

    @contextmanager
    def _cut(self, box: Box) -> Iterator[None]:
        with ExitStack() as stack:
            for one in self._each:
                stack.enter_context(one.cut(box))
            yield


class _Swapped:
    """Attributes of an object, other ones for each tile."""

    def __init__(self, owner: Any, hints: dict[str, Any], made: Sequence[str],
                 cut: Callable[[str, torch.Tensor, Box], torch.Tensor]) -> None:
        self._owner, self._hints, self._made, self._cut_one = owner, hints, made, cut
        self._tiles: dict[Box, dict[str, Any]] = {}

    @contextmanager
    def cut(self, box: Box) -> Iterator[None]:
        mine = vars(self._owner)
        before = {name: mine[name] for name in (*self._hints, *self._made) if name in mine}
        if box not in self._tiles:
            self._tiles[box] = {name: self._cut_one(name, value, box) for name, value in self._hints.items()}
            self._tiles[box] |= {name: mine[name] if isinstance(mine[name], int) else None  # where it counts its calls
                                 for name in self._made if name in mine}
        try:
            mine.update(self._tiles[box])
            yield
            self._tiles[box] |= {name: mine[name] for name in self._made if name in mine}
        finally:
            mine.update(before)


def _over(canvas: Canvas) -> Callable[[str, torch.Tensor, Box], torch.Tensor]:
    """Cuts a picture [..., H, W] that lies over the canvas, whatever its size."""
    def cut(name: str, picture: torch.Tensor, box: Box) -> torch.Tensor:
        size = (canvas.rows * GRID, canvas.columns * GRID)
        if tuple(picture.shape[-2:]) != size:
            picture = torch.nn.functional.interpolate(picture.float(), size=size, mode="nearest-exact").to(picture)
        return crop(picture, box.scaled(GRID)).contiguous()
    return cut


def _pictures(owner: Any, names: Sequence[str]) -> dict[str, Any]:
    """Those that are pictures over the canvas: [B, C, H, W]. Embeddings and the like have no place."""
    return {name: vars(owner)[name] for name in names
            if torch.is_tensor(vars(owner).get(name)) and vars(owner)[name].ndim == 4}


# -- sd-webui-controlnet -----------------------------------------------------------------------------


def network_of(p: Any) -> Any:
    """The hook of sd-webui-controlnet that is on the UNet for this picture; None where there is none."""
    for script in getattr(p.scripts, "alwayson_scripts", None) or ():
        network = getattr(script, "latest_network", None)
        if network is not None and getattr(network, "control_params", None):
            return network
    return None


def units(network: Any, canvas: Canvas, hires: bool) -> Cuts:
    """The units of sd-webui-controlnet, in the first or in the second pass of hires fix."""
    found: list[_Swapped] = []
    for unit in network.control_params:
        hints = _pictures(unit, _UNIT_HINTS)
        large = hints.get("hr_hint_cond")
        for name in ("_hint_cond", "hint_cond"):
            if name in hints and large is not None and hires:  # it tells the passes apart by which size is nearer
                hints[name] = large
        if not hires and large is not None:
            del hints["hr_hint_cond"]
        if hints:
            swapped = _Swapped(unit, hints, _UNIT_MADE, _over(canvas))
            found.append(swapped if hires or large is None else _Without(swapped, unit, "hr_hint_cond"))
        found += _inside(getattr(unit, "control_model", None), canvas)
    return Cuts(found, canvas)


def _inside(model: Any, canvas: Canvas) -> list[_Swapped]:
    """What a unit's model keeps itself: an adapter its answer, each module of a ControlLLLite the picture too."""
    mine = vars(model) if model is not None else {}
    found = [_Swapped(model, {}, _ADAPTER_MADE, _over(canvas))] if all(name in mine for name in _ADAPTER_MADE) else []
    return found + _light(mine.get("modules"), canvas)


def _light(modules: Any, canvas: Canvas) -> list[_Swapped]:
    """The modules of a ControlLLLite by their names; each has the whole picture. What is no dict is something else."""
    there = modules.values() if isinstance(modules, dict) else ()
    return [_Swapped(module, hints, _LIGHT_MADE, _over(canvas)) for module in there
            if (hints := _pictures(module, _LIGHT_HINTS))]


class _Without:
    """Another one, while an attribute of its owner is None."""

    def __init__(self, other: _Swapped, owner: Any, name: str) -> None:
        self._other, self._owner, self._name = other, owner, name

    @contextmanager
    def cut(self, box: Box) -> Iterator[None]:
        before = getattr(self._owner, self._name)
        with self._other.cut(box):
            setattr(self._owner, self._name, None)
            try:
                yield
            finally:
                setattr(self._owner, self._name, before)


def mark(network: Any, conditionings: Any, positive: bool) -> None:
    """Tell sd-webui-controlnet which of our conditionings are prompts: it marks them by a row of tokens of its own."""
    marker = getattr(sys.modules.get(type(network).__module__), "mark_prompt_context", None)
    if marker is not None:
        marker(conditionings, positive=positive)


# -- Forge's own -------------------------------------------------------------------------------------


def chain(unet: Any, canvas: Canvas) -> Cuts | None:
    """Forge's ControlNets on a UNet's patcher; None where there is none."""
    found: list[_Swapped] = []
    for control in unet.list_controlnets():
        hints = _pictures(control, _FORGE_HINTS)
        if hints:
            found.append(_Swapped(control, hints, _FORGE_MADE, _over(canvas)))
    patches = unet.model_options.get("transformer_options", {}).get("patches", {})
    for patch in {id(each): each for several in patches.values() for each in several}.values():
        found += _light(getattr(patch, "modules", None), canvas)
    joined = unet.extra_concat_condition  # latents that are joined to x, of whatever edits pictures
    if torch.is_tensor(joined) and tuple(joined.shape[-2:]) == (canvas.rows, canvas.columns):
        found.append(_Swapped(unet, {"extra_concat_condition": joined}, (), lambda name, value, box: crop(value, box)))
    return Cuts(found, canvas) if found else None
