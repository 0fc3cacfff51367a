"""Forge: the model is ``sd_models.model_data.sd_model`` with a UNet, a CLIP and a VAE apart, loaded when first used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from diffusion_soup import SoupError, open_checkpoint
from diffusion_soup.architecture import DIFFUSION, TEXT, UNET, VAE, part_of
from diffusion_soup.plan import Step

from .host import Identity, Place, WebUIHost, flat_place, require_plain, soup_info

_UNFINISHED = Identity("an unfinished soup", "0" * 64)
_VAE = "first_stage_model."
#: Tensors by which Forge recognises what a file under "VAE / Text Encoder" replaces.
_VAE_MARKS = ("decoder.conv_in.weight", "first_stage_model.decoder.conv_in.weight")
_TEXT_MARKS = ("text_model.encoder.layers.0.layer_norm1.bias", "transformer.resblocks.0.ln_1.bias")


class ForgeHost(WebUIHost):
    """The host keeps the model as long as ``forge_hash`` is the text of its loading parameters."""

    name = "Forge"

    def __init__(self) -> None:
        super().__init__()
        from modules import sd_models
        self._sd = sd_models
        self._kept: tuple[Any, str] = (None, "")

    def _model(self) -> Any:
        return self._sd.model_data.sd_model

    def _diffusion_model(self) -> torch.nn.Module:
        model: torch.nn.Module = self._model().forge_objects_original.unet.model.diffusion_model
        return model

    @contextmanager
    def begin(self) -> Iterator[None]:
        data = self._sd.model_data
        if not data.forge_loading_parameters:
            from modules_forge import main_entry
            main_entry.refresh_model_loading_parameters()
        self._kept = data.forge_loading_parameters["checkpoint_info"], str(data.forge_loading_parameters)
        with torch.inference_mode():
            yield

    def load(self, path: Path) -> None:
        data, options = self._sd.model_data, self._shared.opts.data
        chosen, hashed = data.forge_loading_parameters, options.get("sd_checkpoint_hash")
        try:
            data.forge_loading_parameters = {**chosen, "checkpoint_info": self._info_of(path)}
            data.forge_hash = ""
            self._sd.forge_model_reload()
        except Exception as error:
            raise SoupError(f"Forge could not load {path.name}: {error}") from error
        finally:
            data.forge_hash, data.forge_loading_parameters = "", chosen
            options["sd_checkpoint_hash"] = hashed

    def open(self) -> frozenset[str]:
        model = self._model()
        source = self.loaded_from()
        model.sd_checkpoint_info = soup_info(model.sd_checkpoint_info, _UNFINISHED, source or Path("none"))
        self.discard()
        original = model.forge_objects_original
        for patched in (original.unet.model, original.clip.cond_stage_model):
            patched.lora_loader.refresh({}, force_refresh=True)  # puts the weights back that LoRAs were merged into
        model.forge_objects = original.shallow_copy()
        model.forge_objects_after_applying_lora = original.shallow_copy()
        model.current_lora_hash = str([])
        return frozenset()

    def places(self, steps: Mapping[str, Step]) -> dict[str, Place]:
        objects = self._model().forge_objects_original
        named = {UNET: objects.unet.model.diffusion_model.state_dict(),
                 _VAE: objects.vae.first_stage_model.state_dict()}
        require_plain(named[UNET], "Set Diffusion in Low Bits to Automatic or a float8, and cook again.")
        text = _Text(self._model())
        found: dict[str, Place] = {}
        for key, step in steps.items():
            prefix = next((prefix for prefix in named if key.startswith(prefix)), None)
            if prefix is not None:
                weight = named[prefix].get(key.removeprefix(prefix))
                place = flat_place([weight], step) if weight is not None else None
            else:
                place = text.place(step) if part_of(key) == TEXT else None
            if place is not None:
                found[key] = place
        return found

    def diffusion_keys(self) -> set[str]:
        return {UNET + name for name in self._diffusion_model().state_dict()}

    def replaced(self) -> frozenset[str]:
        parameters = self._sd.model_data.forge_loading_parameters or {}
        return frozenset(part for path in parameters.get("additional_modules") or []
                         for part in _parts_of_module(Path(path)))

    def keep(self, identity: Identity | None) -> None:
        from modules import script_callbacks
        model, (info, loading) = self._model(), self._kept
        if identity is not None:
            model.sd_checkpoint_info = soup_info(info, identity, self.loaded_from() or Path(info.filename))
            model.sd_model_hash = identity.hash[:10]
        else:
            model.sd_checkpoint_info, model.sd_model_hash = info, info.calculate_shorthash()
        script_callbacks.model_loaded_callback(model)
        self._sd.model_data.forge_hash = loading

    def discard(self) -> None:
        self._sd.model_data.forge_hash = ""


class _Text:
    """The text encoders: single-file names become Forge's by its own conversion, a tensor at a time."""

    def __init__(self, model: Any) -> None:
        encoders = model.forge_objects_original.clip.cond_stage_model
        self._weights = {name.replace(".wrapped", ""): value for name, value in encoders.state_dict().items()}
        self._convert: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]] = \
            model.model_config.process_clip_state_dict

    def place(self, step: Step) -> Place | None:
        named = self._convert({step.key: torch.empty(step.shape, device="meta")})
        if not named or any(name not in self._weights or self._weights[name].shape != value.shape
                            for name, value in named.items()):
            return None
        name = next(iter(named))
        if len(named) == 1 and name.rsplit(".", 3)[1:] == step.key.rsplit(".", 3)[1:]:  # another prefix, no more
            return flat_place([self._weights[name]], step)
        return Place(deliver=lambda tensor: self._deliver(step.key, tensor))

    def _deliver(self, key: str, tensor: torch.Tensor) -> None:
        for name, value in self._convert({key: tensor}).items():
            self._weights[name].copy_(value)


def _parts_of_module(path: Path) -> set[str]:
    """What a file under "VAE / Text Encoder" replaces, told from its header."""
    try:
        names = open_checkpoint(path).tensors.keys()
    except SoupError:
        return set()
    parts = {VAE} if any(mark in names for mark in _VAE_MARKS) else set()
    if any(name.endswith(_TEXT_MARKS) for name in names):
        parts.add(TEXT)
    return parts - {DIFFUSION}
