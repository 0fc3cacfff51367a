"""What a file is, told from its header: family, parts, channels, prediction type.

Every checkpoint is seen through *canonical keys*, the names of the LDM single-file layout
(``model.diffusion_model.*``, ``cond_stage_model.*`` / ``conditioner.*``, ``first_stage_model.*``),
whatever prefix the file itself uses.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

from .checkpoint import Checkpoint, Header, TensorInfo
from .errors import FileError, MismatchError
from .layout import unet_names

DIFFUSION, TEXT, VAE, OTHER = "diffusion model", "text encoder", "VAE", "other"
STYLES = "style prompts"
UNET = "model.diffusion_model."
CONV_IN = UNET + "input_blocks.0.0.weight"

#: Width of the cross-attention context -> family, for UNets in LDM layout.
_CONTEXT = {768: "sd1", 1024: "sd2", 2048: "sdxl", 1280: "sdxl-refiner"}
_TITLES = {"sd1": "SD 1.x", "sd2": "SD 2.x", "sdxl": "SDXL", "sdxl-refiner": "SDXL refiner"}
_VARIANTS = {4: "", 8: "instruct-pix2pix", 9: "inpainting"}
_PREFIXES = (UNET, "diffusion_model.", "unet.", "model.", "net.", "")
_TEXT = ("cond_stage_model.", "conditioner.", "text_encoders.", "text_encoder.")
_CLIP = "cond_stage_model.transformer."
_VAE = ("first_stage_model.", "vae.")
_EMA = ("model_ema.", "ema.")
_LORA = re.compile(r"\.(lora_(up|down|A|B|mid)\b|lora\.(up|down)|lora_linear_layer|hada_w|lokr_w|oft_|dora_scale)"
                   r"|_lora\.")
#: Numbers that other tensors must be multiplied with: the mark of scaled fp8, nvfp4, nf4 and the like.
_QUANTISED = re.compile(r"(^|\.)(scaled_fp8|scale_weight|weight_scale(_2)?|comfy_quant|absmax)$|\.quant_state\.")
_IDS = ".position_ids"
#: The style prompts of a DMM student; its style MLP goes by a name that SDXL uses for something else.
_CODES = UNET + "model_embedding.weight"
_STYLE_MLP, _STYLE_MLP_XL = UNET + "add_embedding.", UNET + "add_embedding2."
_MARKERS = ("v_pred", "ztsnr", "edm_mean", "edm_std", "edm_vpred.sigma_max", "edm_vpred.sigma_min")


@dataclass(frozen=True)
class Architecture:
    """What must agree between ingredients. ``channels`` is None where the family has no conv_in we know."""

    family: str
    channels: int | None
    prediction: str
    ztsnr: bool

    @property
    def variant(self) -> str:
        """``inpainting``, ``instruct-pix2pix``, or empty for an ordinary model."""
        return _VARIANTS.get(self.channels or 4, f"{self.channels} channels")

    @property
    def title(self) -> str:
        words = [_TITLES.get(self.family, "unknown family"), self.variant,
                 {"eps": "", "v": "v-prediction"}.get(self.prediction, self.prediction),
                 "zero terminal SNR" if self.ztsnr else ""]
        return ", ".join(word for word in words if word)


@dataclass(frozen=True)
class Anatomy:
    """A checkpoint seen through canonical keys: ``keys`` maps them to the tensors of the file."""

    architecture: Architecture
    keys: Mapping[str, TensorInfo]
    dropped: int

    def part(self, name: str) -> Mapping[str, TensorInfo]:
        """The tensors of one part; empty if there are none."""
        return self._by_part.get(name, {})

    @property
    def parts(self) -> frozenset[str]:
        return frozenset(self._by_part)

    @cached_property
    def styles(self) -> frozenset[str]:
        """The keys of a DMM student's styles; empty for any other model."""
        return frozenset(key for key in self.keys if is_style(key, self.keys))

    @cached_property
    def _by_part(self) -> dict[str, dict[str, TensorInfo]]:
        found: dict[str, dict[str, TensorInfo]] = {}
        for key, info in self.keys.items():
            found.setdefault(STYLES if key in self.styles else part_of(key), {})[key] = info
        return found


#: What headers were found to describe; they are parsed once, so this is told once.
_anatomies: WeakKeyDictionary[Header, Anatomy] = WeakKeyDictionary()


def part_of(key: str) -> str:
    """Which part of a model a canonical key belongs to."""
    if key.startswith(UNET):
        return DIFFUSION
    if key.startswith(_TEXT):
        return TEXT
    return VAE if key.startswith(_VAE) else OTHER


def is_ids(key: str) -> bool:
    """Whether the tensor holds position ids, which are rebuilt and never averaged."""
    return key.endswith(_IDS)


def is_style(key: str, keys: Container[str]) -> bool:
    """Whether a tensor among ``keys`` of one file is a style prompt or the style MLP of a DMM student."""
    if _CODES not in keys:
        return False
    extra_large = _STYLE_MLP_XL + "linear_1.weight" in keys
    return key == _CODES or key.startswith(_STYLE_MLP_XL if extra_large else _STYLE_MLP)


def is_marker(key: str) -> bool:
    """Whether the tensor only says how the model predicts; markers are carried, never averaged."""
    return key.removeprefix(UNET) in _MARKERS


def title_of_width(width: int | None) -> str | None:
    """The family whose text conditioning is so wide, as people call it; None where that says nothing."""
    return _TITLES.get(_CONTEXT.get(width or 0, ""))


def looks_like_lora(checkpoint: Checkpoint) -> bool:
    return any(_LORA.search(name) for name in checkpoint.tensors)


def inspect(checkpoint: Checkpoint) -> Anatomy:
    """Tell what a checkpoint is. Reads its header, and for SD 2.x one bias of 320 numbers.

    Raises :class:`MismatchError` for LoRAs and :class:`FileError` for files without a diffusion model.
    """
    known = _anatomies.get(checkpoint.header)
    if known is None:
        known = _anatomies[checkpoint.header] = _inspect(checkpoint)
    return known


def _inspect(checkpoint: Checkpoint) -> Anatomy:
    name = checkpoint.path.name
    if looks_like_lora(checkpoint):
        raise MismatchError(f"{name} is a LoRA, not a checkpoint. Add it as a LoRA ingredient.")
    scale = next((key for key in checkpoint.tensors if _QUANTISED.search(key)), None)
    if scale is not None:
        raise MismatchError(f"{name} is quantised: its weights mean something only together with their scales (such as "
                            f"{scale!r}), which cannot be averaged. Use its float16, bfloat16 or plain float8 version.")
    prefix = _diffusion_prefix(checkpoint)
    renamed = _from_diffusers(checkpoint, prefix)
    keys: dict[str, TensorInfo] = {}
    for file_key, info in checkpoint.tensors.items():
        key = renamed.get(file_key) or _canonical(file_key, prefix)
        if key is not None:
            keys.setdefault(key, info)
    if not any(part_of(key) == DIFFUSION for key in keys):
        found = ", ".join(sorted({part_of(key) for key in keys})) or "no tensors"
        raise FileError(f"{name} has no diffusion model (found: {found}); expected a checkpoint or a UNet file.")
    return Anatomy(_architecture(checkpoint, keys), keys, len(checkpoint.tensors) - len(keys))


def _diffusion_prefix(checkpoint: Checkpoint) -> str:
    names = checkpoint.tensors
    for prefix in _PREFIXES:
        if prefix + "input_blocks.0.0.weight" in names:
            return prefix
    for prefix in _PREFIXES[:-1]:
        if sum(name.startswith(prefix) for name in names) * 2 > len(names) or \
                (prefix == UNET and any(name.startswith(prefix) for name in names)):
            return prefix
    return ""


def _from_diffusers(checkpoint: Checkpoint, prefix: str) -> dict[str, str]:
    """Canonical names of a Stable Diffusion UNet's tensors where the file has them in diffusers' naming; else none."""
    if prefix + "conv_in.weight" not in checkpoint.tensors:
        return {}
    names = unet_names({name[len(prefix):] for name in checkpoint.tensors
                        if name.startswith(prefix) and not name.startswith((*_TEXT, *_VAE))})
    return {} if names.unknown else {prefix + name: UNET + new for name, new in names.known.items()}


def _canonical(key: str, prefix: str) -> str | None:
    """The canonical name of a file's key; None for tensors that are dropped (EMA copies)."""
    if key.startswith(_EMA):
        return None
    if key.startswith(_CLIP) and not key.startswith(_CLIP + "text_model."):
        return _CLIP + "text_model." + key.removeprefix(_CLIP)
    if prefix and key.startswith(prefix):
        return UNET + key[len(prefix):]
    if prefix or key.startswith(_TEXT + _VAE):
        return key
    return UNET + key


def _architecture(checkpoint: Checkpoint, keys: Mapping[str, TensorInfo]) -> Architecture:
    conv_in = keys.get(CONV_IN)
    family, channels = "unknown", None
    if conv_in is not None and len(conv_in.shape) == 4:
        context = next((info.shape[-1] for key, info in keys.items() if info.shape
                        and key.startswith(UNET) and key.endswith("attn2.to_k.weight")), 0)
        family, channels = _CONTEXT.get(context, "unknown"), conv_in.shape[1]
    ztsnr = "ztsnr" in keys or UNET + "ztsnr" in keys
    return Architecture(family, channels, _prediction(checkpoint, keys, family, channels), ztsnr)


def _prediction(checkpoint: Checkpoint, keys: Mapping[str, TensorInfo], family: str, channels: int | None) -> str:
    """eps or v: by marker tensors, by metadata, and for SD 2.x by the rule ComfyUI uses."""
    for marker, kind in (("edm_vpred.sigma_max", "EDM v-prediction"), ("edm_mean", "EDM"), ("v_pred", "v")):
        if marker in keys or UNET + marker in keys:
            return kind
    stated = checkpoint.metadata.get("modelspec.prediction_type") or checkpoint.metadata.get("modelspec.predict_key")
    if stated:
        return {"epsilon": "eps", "v": "v", "v_prediction": "v"}.get(stated, stated[:40])
    norm = keys.get(UNET + "output_blocks.11.1.transformer_blocks.0.norm1.bias")
    if family == "sd2" and channels == 4 and norm is not None and norm.numel > 1:
        return "v" if checkpoint.tensor(norm.name).float().std(correction=0).item() > 0.09 else "eps"
    return "eps"


def require_same(first: str, one: Architecture, second: str, other: Architecture) -> None:
    """Raise :class:`MismatchError` unless the two can share a soup (inpainting with normal can)."""
    if one.family != other.family:
        raise MismatchError(f"{second} is {other.title}, but {first} is {one.title}: weights of different families "
                            "cannot be averaged. Leave one of them out.")
    if (one.prediction, one.ztsnr) != (other.prediction, other.ztsnr):
        raise MismatchError(f"{second} is {other.title} ({other.prediction}), but {first} is {one.title} "
                            f"({one.prediction}): models with different prediction types cannot be averaged. "
                            "Leave one of them out.")
    if one.channels != other.channels and 4 not in (one.channels, other.channels):
        raise MismatchError(f"{second} is {other.title}, but {first} is {one.title}: their extra input channels mean "
                            "different things. Leave one of them out.")
