"""A1111 WebUI: the model is ``sd_models.model_data.sd_model``, its weights have LDM's names."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from diffusion_soup import SoupError
from diffusion_soup.architecture import UNET, VAE
from diffusion_soup.plan import Step

from .host import Identity, Place, WebUIHost, flat_place, require_plain, soup_info

_UNFINISHED = Identity("an unfinished soup", "0" * 64)
_FLOAT8 = tuple(getattr(torch, name) for name in ("float8_e4m3fn", "float8_e5m2") if hasattr(torch, name))


class A1111Host(WebUIHost):
    """The host keeps the model as long as ``sd_model_checkpoint`` is the file that the user's settings name."""

    name = "A1111"

    def __init__(self) -> None:
        super().__init__()
        from modules import sd_models, sd_vae
        self._sd, self._vae = sd_models, sd_vae
        self._kept: Any = None

    def _model(self) -> Any:
        return self._sd.model_data.sd_model

    def _diffusion_model(self) -> torch.nn.Module:
        model: torch.nn.Module = self._model().model.diffusion_model
        return model

    @contextmanager
    def begin(self) -> Iterator[None]:
        from modules import sd_unet
        if getattr(sd_unet, "current_unet", None) is not None:
            raise SoupError("An SD Unet replaces the diffusion model, so a soup would not be seen. Set SD Unet to None "
                            "in the settings, and cook again.")
        if not getattr(self._shared.cmd_opts, "skip_load_model_at_start", False):
            self._shared.sd_model  # noqa: B018  # waits for the model that is loaded at the start
        self._kept = self._chosen_info()
        with torch.no_grad():
            yield

    def load(self, path: Path) -> None:
        data, hashed = self._shared.opts.data, self._shared.opts.data.get("sd_checkpoint_hash")
        try:
            if not self._load_first(path):
                with self._sd.SkipWritingToConfig():
                    self._sd.reload_model_weights(info=self._info_of(path), forced_reload=True)
        finally:
            data["sd_checkpoint_hash"] = hashed
        if self._model() is None:
            raise SoupError(f"The WebUI could not load {path.name}; its console says why.")

    def _load_first(self, path: Path) -> bool:
        """Load a model where there is none yet, which a reload is not made for. A page that is opened meanwhile makes
        the host load one too, and two at a time break each other: they take turns by the host's own lock."""
        data = self._sd.model_data
        with data.lock:
            if data.sd_model is not None:
                return False
            with self._sd.SkipWritingToConfig():
                self._sd.load_model(self._info_of(path))
            return True

    def open(self) -> frozenset[str]:
        model = self._model()
        source = self.loaded_from()
        model.sd_checkpoint_info = soup_info(model.sd_checkpoint_info, _UNFINISHED, source or Path("none"))
        self.discard()
        networks = sys.modules.get("networks")
        for module in model.modules():
            if getattr(module, "network_weights_backup", None) is not None and networks is not None:
                networks.network_restore_weights_from_backup(module)
        model.load_state_dict({}, strict=False)  # the LoRA code forgets its backups when a module is loaded
        other_vae = self._vae.loaded_vae_file is not None
        self._vae.delete_base_vae()
        self._vae.clear_loaded_vae()
        return frozenset({VAE}) if other_vae else frozenset()

    def places(self, steps: Mapping[str, Step]) -> dict[str, Place]:
        weights = self._weights()
        require_plain(weights, "Choose a checkpoint in an ordinary format.")
        halves = self._halves()
        found: dict[str, Place] = {}
        for key, step in steps.items():
            weight = weights.get(key)
            if weight is not None:
                through = torch.float16 if weight.dtype in _FLOAT8 else None  # as the host does when it loads
                place = flat_place([weight, *([halves[key]] if key in halves else [])], step, through)
                if place is not None:
                    found[key] = place
        return found

    def diffusion_keys(self) -> set[str]:
        return {key for key in self._weights() if key.startswith(UNET)}

    def replaced(self) -> frozenset[str]:
        return frozenset()  # keep() puts the user's VAE on top, with the soup's as its backup

    def _weights(self) -> dict[str, torch.Tensor]:
        model = self._model()
        weights = {name.replace(".wrapped", ""): value for name, value in model.state_dict().items()}
        original = getattr(model, "alphas_cumprod_original", None)
        if original is not None and "alphas_cumprod" in weights:
            weights["alphas_cumprod"] = original  # the other may be a schedule made of it
        return weights

    def _halves(self) -> dict[str, torch.Tensor]:
        """The float16 copies that "cache FP16 weight for LoRA" keeps beside float8 weights."""
        found: dict[str, torch.Tensor] = {}
        for name, module in self._model().named_modules():
            for attribute in ("weight", "bias"):
                half = getattr(module, f"fp16_{attribute}", None)
                if half is not None:
                    found[f"{name}.{attribute}".replace(".wrapped", "")] = half
        return found

    def keep(self, identity: Identity | None) -> None:
        from modules import script_callbacks
        model, info = self._model(), self._kept
        if identity is not None:
            source = self.loaded_from()
            model.sd_checkpoint_info = soup_info(info, identity, source or Path(info.filename))
            model.sd_model_hash = identity.hash[:10]
        else:
            model.sd_checkpoint_info, model.sd_model_hash = info, info.calculate_shorthash()
        self._vae.load_vae(model, *self._vae.resolve_vae(model.sd_checkpoint_info.filename).tuple())
        self._sd.apply_alpha_schedule_override(model)
        script_callbacks.model_loaded_callback(model)
        if hasattr(model, "cond_stage_model_empty_prompt"):
            from modules import devices
            with devices.autocast(), torch.no_grad():
                model.cond_stage_model_empty_prompt = self._sd.get_empty_cond(model)
        model.sd_model_checkpoint = info.filename

    def discard(self) -> None:
        model = self._model()
        if model is not None:
            model.sd_model_checkpoint = None
