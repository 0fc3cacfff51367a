"""Regions with a MODEL of their own.

A model of its own weights (a soup, another checkpoint) is an additional model of the sampler: ComfyUI loads it beside
the panorama's. A clone of a model that is there already (the same checkpoint with more LoRAs) shares its weights in
memory, so it cannot be loaded beside it; what it has otherwise becomes hooks on the region's prompts, which ComfyUI
swaps in and out while sampling.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.float
import comfy.hooks
import comfy.lora
import comfy.model_patcher
import comfy.patcher_extension
import comfy.sampler_helpers
import torch

from ..diffusion_soup.errors import MismatchError


@dataclass(frozen=True)
class Own:
    """A region's MODEL: who holds its weights (None: the panorama's MODEL; else an additional model by number)."""

    patcher: Any
    holder: int | None
    hooks: Any = None


class _Patches(comfy.hooks.WeightHook):
    """Makes the holder's weights a clone's: patches on top of its own, or in place of them where they differ."""

    def __init__(self, more: Mapping[str, Sequence[Any]] | None = None,
                 instead: Mapping[str, Sequence[Any]] | None = None) -> None:
        super().__init__()
        self.more, self.instead = dict(more or {}), dict(instead or {})

    def clone(self) -> _Patches:
        copy: _Patches = super().clone()
        copy.more, copy.instead = self.more, self.instead
        return copy

    def add_hook_patches(self, model: Any, model_options: Any, target_dict: Any, registered: Any) -> bool:
        if target_dict.get("target") == comfy.hooks.EnumWeightTarget.Clip:
            return False
        plain = model.get_key_patches() if self.instead else {}
        model.hook_patches[self.hook_ref] = {
            **{key: [*patches] for key, patches in self.more.items()},
            **{key: [(1.0, ("set", (_patched(key, plain[key][0], patches),)), 1.0, None, None)]
               for key, patches in self.instead.items()}}
        model.patches_uuid = uuid.uuid4()
        registered.add(self)
        return True


def _patched(key: str, plain: tuple[torch.Tensor, Any], patches: Sequence[Any]) -> torch.Tensor:
    """A weight with patches, rounded as ComfyUI rounds it when it loads a model."""
    weight, convert = plain
    new = convert(weight.to(torch.float32, copy=True), inplace=True)
    new = comfy.lora.calculate_weight(patches, new, key) if patches else new
    return comfy.float.stochastic_rounding(new, weight.dtype, seed=comfy.model_patcher.string_to_seed(key))


def share_out(model: Any, wanted: Mapping[int, tuple[str, Any]]) -> tuple[dict[int, Own], list[Any]]:
    """Which weights each region's model uses: ({region: Own}, additional models).

    ``wanted``: region -> (what it is called in messages, its MODEL). Raises :class:`MismatchError` for a model of
    another family, and for clones that differ in a way that cannot be swapped while sampling.
    """
    holders: list[Any] = []
    owns: dict[int, Own] = {}
    known: dict[int, Own] = {}
    for index, (name, patcher) in wanted.items():
        if id(patcher) in known:  # one model of several regions, whose tiles then share batches
            owns[index] = known[id(patcher)]
            continue
        _check_family(model, name, patcher)
        number, holder = next(((number, each) for number, each in enumerate([model, *holders])
                               if each.model is patcher.model), (None, None))
        if holder is None:
            holders.append(patcher)
            number, holder = len(holders), patcher
        hooks = None if holder is patcher else _difference(name, holder, patcher)
        owns[index] = known[id(patcher)] = Own(patcher, None if number == 0 else number - 1, hooks)
    return owns, holders


def options_of(own: Own, holder: Any, conds: Mapping[str, Any], sigmas: Any, without: str) -> dict[str, Any]:
    """Model options to run a region's own model with, its hooks registered on the holder of its weights.

    ``conds``: the conditionings that an additional model will see; ``without``: a key of wrappers to leave out.
    """
    options = comfy.model_patcher.create_model_options_clone(own.patcher.model_options)
    options.setdefault("transformer_options", {})
    comfy.sampler_helpers.prepare_model_patcher(own.patcher if own.holder is None else holder, conds, options)
    if holder is not own.patcher:  # of a clone: its own wrappers in place of the holder's
        for kind in ("wrappers", "callbacks"):
            options["transformer_options"][kind] = comfy.patcher_extension.copy_nested_dicts(getattr(own.patcher, kind))
    wrappers = options["transformer_options"].get("wrappers", {})
    options["transformer_options"]["wrappers"] = {kind: {key: value for key, value in keyed.items() if key != without}
                                                  for kind, keyed in wrappers.items()}
    if sigmas is not None:
        options["transformer_options"]["sample_sigmas"] = sigmas
    return options


def _difference(name: str, holder: Any, patcher: Any) -> Any:
    """Hooks for what a clone's weights have more than the holder's; None where they are the same."""
    for key in holder.object_patches.keys() | patcher.object_patches.keys():
        if holder.object_patches.get(key) is not patcher.object_patches.get(key):
            raise MismatchError(f"The MODEL of {name} is the panorama's own checkpoint with another {key}, and both "
                                "cannot be set at once. Set it for the panorama's MODEL as well, or load the "
                                "checkpoint a second time for this region.")
    more: dict[str, Sequence[Any]] = {}
    instead: dict[str, Sequence[Any]] = {}
    for key in holder.patches.keys() | patcher.patches.keys():
        there, wanted = holder.patches.get(key, []), patcher.patches.get(key, [])
        if len(there) > len(wanted) or any(one is not other for one, other in zip(there, wanted)):
            instead[key] = wanted
        elif len(wanted) > len(there):
            more[key] = wanted[len(there):]
    if not more and not instead:
        return None
    group = comfy.hooks.HookGroup()
    group.add(_Patches(more, instead))
    return group


def _check_family(model: Any, name: str, patcher: Any) -> None:
    ours, theirs = model.get_model_object("latent_format"), patcher.get_model_object("latent_format")
    if type(ours) is not type(theirs):
        raise MismatchError(f"The MODEL of {name} is a {type(patcher.model).__name__} with latents of "
                            f"{type(theirs).__name__}, but the panorama's is a {type(model.model).__name__} with "
                            f"latents of {type(ours).__name__}. Regions of one canvas need models of one family.")
