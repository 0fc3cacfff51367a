"""LoRA files as specialists of a base checkpoint: θ = θ0 + s·ΔW, ΔW = (alpha / rank) · up @ down.

:class:`LoRAFile` says which layers a file has, :func:`match` where each lands in a base, and
:class:`Delta` computes rows of ΔW, the same bits however they are sliced.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .architecture import DIFFUSION, TEXT, title_of_width
from .checkpoint import Checkpoint, TensorInfo
from .errors import FileError, MismatchError
from .lora_layers import Layer, LowRank, sort_tensors
from .lora_names import Directory, Shapes, Target, address

__all__ = ["Delta", "Layer", "LoRAFile", "Match", "Target", "delta_rows", "match"]

#: Elements of a result computed at a time: stays in the cache, and bounds the memory beside the output.
_CHUNK = 1 << 18


class LoRAFile:
    """The layers of a LoRA file, read from its header; ``unknown`` are tensors that belong to none of them.

    Raises :class:`FileError` if the file holds no LoRA layers, or layers of a kind we cannot cook.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.name = checkpoint.path.name
        self._config = _adapter_config(self.name, checkpoint.metadata)
        found, unknown = sort_tensors(self.name, checkpoint.tensors)
        self.unknown = tuple(unknown)
        layers: dict[str, Layer] = {}
        for (kind, name), tensors in found.items():
            for layer in kind.build(name, tensors, self):
                label = name if layer.parameter == "weight" else f"{name}.{layer.parameter}"
                if label in layers:
                    raise FileError(f"{self.name}: layer {label!r} is stored in two ways, low-rank and as a "
                                    "difference. Fix: save the LoRA again with one of them.")
                layers[label] = layer
        self.layers: Mapping[str, Layer] = layers
        if not layers:
            raise FileError(f"{self.name} is not a LoRA: none of its {len(checkpoint.tensors)} tensors is named like "
                            "a LoRA layer. Fix: choose a LoRA file, or use this one as a checkpoint ingredient.")

    @property
    def title(self) -> str | None:
        """The family it was trained on, as far as its layers tell."""
        return title_of_width(_context_width(self))

    @property
    def parts(self) -> tuple[str, ...]:
        """What it changes, in words."""
        found = {address(layer.name)[0] for layer in self.layers.values()}
        return (*((DIFFUSION,) if "unet" in found else ()), *((TEXT,) if found - {"unet"} else ()))

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks of its low-rank layers, each once."""
        return tuple(sorted({layer.rank for layer in self.layers.values() if isinstance(layer, LowRank)}))

    def read(self, tensor: str) -> torch.Tensor:
        """One tensor of the file in float64."""
        return self.checkpoint.tensor(tensor).to(torch.float64)

    def alpha(self, layer: str, stored: TensorInfo | None, rank: int) -> float:
        """alpha as stored with the layer, else as diffusers writes it into the metadata, else the rank."""
        if stored is None:
            value = _configured_alpha(self._config, layer, rank)
        elif stored.numel == 1:
            value = self.checkpoint.tensor(stored.name).double().item()
        else:
            value = math.nan
        if not math.isfinite(value):
            raise FileError(f"{self.name}: alpha of layer {layer!r} is not a number, the file is damaged. "
                            "Fix: download or save it again.")
        return value


@dataclass(frozen=True)
class Match:
    """Where the layers of a file land in a base: by tensor key, and what found no place."""

    targets: Mapping[str, tuple[tuple[Target, Layer], ...]]
    unmatched: tuple[str, ...]

    @property
    def matched(self) -> int:
        """How many layers have a place."""
        return sum(map(len, self.targets.values()))


class Delta:
    """ΔW of one layer at one target: its factors, read once."""

    def __init__(self, lora: LoRAFile, target: Target, layer: Layer, device: torch.device | str = "cpu") -> None:
        self.target = target
        self._device = torch.device(device)
        self.columns = layer.rows if target.transposed else layer.columns
        self._rows = layer.load(lambda tensor: lora.read(tensor).to(device), target.transposed)

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """float32 [stop - start, columns]: rows [start, stop) of ΔW, counted in the base tensor.

        They must lie within the target's (:meth:`Target.clip`). Slice as you like: same bits.
        """
        first = self.target.start
        assert first <= start <= stop <= self.target.stop, (start, stop, self.target)
        out = torch.empty(stop - start, self.columns, device=self._device)
        step = max(1, _CHUNK // self.columns)
        for row in range(start, stop, step):
            end = min(row + step, stop)
            out[row - start:end - start] = self._rows(row - first, end - first)
        return out


def delta_rows(lora: LoRAFile, target: Target, layer: Layer, start: int, stop: int) -> torch.Tensor:
    """Rows [start, stop) of ΔW once; keep a :class:`Delta` to compute several slices."""
    return Delta(lora, target, layer).rows(start, stop)


def match(lora: LoRAFile, shapes: Shapes, family: str) -> Match:
    """Find the place of every layer in a base of these tensor ``shapes``, by canonical key.

    Raises :class:`MismatchError` if the file is for another family, none of its layers has a place,
    or one does not fit in its place.
    """
    _check_family(lora, shapes, family)
    directory = Directory(shapes)
    targets: dict[str, tuple[tuple[Target, Layer], ...]] = {}
    unmatched: list[str] = []
    for label, layer in lora.layers.items():
        target = directory.find(layer.name, layer.parameter)
        if target is None:
            unmatched.append(label)
            continue
        _check_shape(lora, layer, target, shapes[target.key])
        here = targets.get(target.key, ())
        for other, rival in here:
            if other.start < target.stop and target.start < other.stop:
                raise FileError(f"{lora.name}: layers {rival.name!r} and {layer.name!r} both change {target.key!r}. "
                                "Fix: save the LoRA again with one of them.")
        targets[target.key] = (*here, (target, layer))
    if not targets:
        raise MismatchError(f"{lora.name}: none of its {len(lora.layers)} layers (such as {next(iter(lora.layers))!r}) "
                            f"exists in the base, which is {family}; the file {_likeness(lora)}. "
                            "Fix: use a LoRA made for this base, or the base it was made for.")
    return Match(targets, (*unmatched, *lora.unknown))


# -- alpha ------------------------------------------------------------------------------------------------


def _adapter_config(file: str, metadata: Mapping[str, str]) -> Mapping[str, Any]:
    """What diffusers stores as ``lora_adapter_metadata``: PEFT's settings, each prefixed by its component."""
    try:
        config = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise FileError(f"{file}: its metadata field lora_adapter_metadata is not a JSON object, so alpha is unknown. "
                        "Fix: download or save it again.")
    return config


_COMPONENTS = {"unet": ("unet.", "transformer."), "te1": ("text_encoder.",), "te2": ("text_encoder_2.",)}


def _configured_alpha(config: Mapping[str, Any], layer: str, rank: int) -> float:
    """alpha (times √rank if rank-stabilised, so that alpha/rank is always the scale) or, unsaid, the rank."""
    prefixes = (*_COMPONENTS.get(address(layer)[0], ()), "")
    prefix = next((prefix for prefix in prefixes if f"{prefix}lora_alpha" in config), None)
    if prefix is None:
        return rank
    alpha = config[f"{prefix}lora_alpha"]
    pattern = config.get(f"{prefix}alpha_pattern")
    for module, own in pattern.items() if isinstance(pattern, dict) else ():
        if f".{layer}".endswith(f".{module.lstrip('^')}"):
            alpha = own
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)):
        return math.nan
    return alpha * math.sqrt(rank) if config.get(f"{prefix}use_rslora") else float(alpha)


# -- refusals ---------------------------------------------------------------------------------------------

#: Width of the text conditioning -> what has it.
_WIDTHS = {768: "SD 1.x", 1024: "SD 2.x", 2048: "SDXL", 1280: "SDXL refiner"}
_OTHERS = (("single_transformer_blocks", "Flux"), ("single_blocks", "Flux"), ("joint_blocks", "SD3"),
           ("double_blocks", "Flux"))
_CROSS_ATTENTION = re.compile(r"attn2_to_[kv]$")


def _context_width(lora: LoRAFile) -> int | None:
    """How wide the text conditioning is that the LoRA was trained with; None if it does not touch it."""
    return next((layer.columns for layer in lora.layers.values()
                 if _CROSS_ATTENTION.search(address(layer.name)[1])), None)


def _likeness(lora: LoRAFile) -> str:
    width = _context_width(lora)
    if width is not None:
        return f"looks like {_called(width)}"
    parts = {address(layer.name)[0] for layer in lora.layers.values()}
    names = [name for mark, name in _OTHERS if any(mark in layer for layer in lora.layers)]
    if names or parts & {"te2", "clip_g"}:
        return f"looks like {names[0] if names else 'SDXL'}"
    return "does not tell which model it was made for"


def _called(width: int) -> str:
    return f"{_WIDTHS.get(width, 'another model')} (its cross-attention is {width} wide)"


def _check_family(lora: LoRAFile, shapes: Shapes, family: str) -> None:
    base = next((shape[1] for key, shape in shapes.items() if key.endswith(".attn2.to_k.weight")), None)
    width = _context_width(lora)
    if base is not None and width is not None and base != width:
        raise MismatchError(f"{lora.name} looks like {_called(width)}, but the base is {family} ({base} wide). "
                            "Fix: use a LoRA made for this base, or the base it was made for.")


def _check_shape(lora: LoRAFile, layer: Layer, target: Target, shape: tuple[int, ...]) -> None:
    """The layer's [rows, columns] must be the target's, a convolution's kernel counted as columns."""
    expected = (target.rows, math.prod(shape[1:]))
    actual = (layer.columns, layer.rows) if target.transposed else (layer.rows, layer.columns)
    if actual != expected:
        raise MismatchError(f"{lora.name}: layer {layer.name!r} is {actual[0]}x{actual[1]}, but {target.key!r} in the "
                            f"base is {expected[0]}x{expected[1]} (shape {list(shape)}); the file {_likeness(lora)}. "
                            "Fix: use a LoRA made for this base, or the base it was made for.")
