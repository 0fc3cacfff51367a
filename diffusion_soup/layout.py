"""Weights in the diffusers layout, seen as the LDM single-file layout.

    down_blocks.1.attentions.0.proj_in.weight   -> model.diffusion_model.input_blocks.4.1.proj_in.weight
    mid_block.attentions.0.to_q.weight [c, c]   -> first_stage_model.encoder.mid.attn_1.q.weight [c, c, 1, 1]
    self_attn.{q,k,v}_proj.weight, each [w, w]  -> attn.in_proj_weight [3w, w] of OpenCLIP

Names and shapes suffice to describe the result (:class:`Converted`); a tensor is made when it is asked for
(:meth:`Piece.make`). Where a block belongs follows from how many there are, not from a table of models. A name
without a place in the LDM layout is unknown, and so is the second of two that claim one place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

import torch

from .checkpoint import TensorInfo
from .lora_names import INNER, OPENCLIP, OPENCLIP_OUTER, OUTER, UNET

VAE = "first_stage_model."

Tensors = Mapping[str, TensorInfo]


@dataclass(frozen=True)
class Piece:
    """One tensor of the LDM layout: the sources stacked along the first axis, or one transposed; then in ``shape``.

    ``sources`` are keys of the mapping that was converted.
    """

    sources: tuple[str, ...]
    shape: tuple[int, ...]
    transposed: bool = False

    def make(self, read: Callable[[str], torch.Tensor]) -> torch.Tensor:
        """The contiguous tensor, from what ``read`` gives for each source; shares its memory where nothing changes."""
        tensors = [read(name) for name in self.sources]
        tensor = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
        return (tensor.t() if self.transposed else tensor.reshape(self.shape)).contiguous()


@dataclass(frozen=True)
class Converted:
    """``pieces`` by canonical key, in the order of their first sources; ``unknown`` names, sorted."""

    pieces: Mapping[str, Piece]
    unknown: tuple[str, ...]


class Names(NamedTuple):
    """``known`` maps names to new ones, each new one once; ``unknown`` have none, sorted."""

    known: dict[str, str]
    unknown: tuple[str, ...]


def _names(names: Iterable[str], rename: Callable[[str], str | None]) -> Names:
    known: dict[str, str] = {}
    unknown: list[str] = []
    taken: set[str | None] = {None}
    for name in sorted(names):
        new = rename(name)
        if new is None or new in taken:
            unknown.append(name)
        else:
            known[name] = new
            taken.add(new)
    return Names(known, tuple(unknown))


def _pieces(tensors: Tensors, names: Names, prefix: str) -> Converted:
    """Each known tensor as it is, under its new name."""
    return Converted({prefix + names.known[name]: Piece((name,), info.shape)
                      for name, info in tensors.items() if name in names.known}, names.unknown)


def _layers(modules: Mapping[str, str]) -> dict[str, str]:
    """Modules as the names of their tensors."""
    return {f"{old}.{end}": f"{new}.{end}" for old, new in modules.items() for end in ("weight", "bias")}


# -- blocks -------------------------------------------------------------------------------------------


class _Block(NamedTuple):
    """``down_blocks.1.attentions.0``; the middle, ``mid_block``, has level 0."""

    side: str
    level: int
    kind: str
    place: int


_NUMBER = "(0|[1-9][0-9]{0,8})"
_IN_BLOCK = re.compile(rf"(?:(down|up)_blocks\.{_NUMBER}|mid_block)\.(resnets|attentions|downsamplers|upsamplers)"
                       rf"\.{_NUMBER}\.(.+)")


def _split(name: str) -> tuple[_Block, str] | None:
    """(block, tensor inside it) of a name; None if it is in no block."""
    found = _IN_BLOCK.fullmatch(name)
    return found and (_Block(found[1] or "mid", int(found[2] or 0), found[3], int(found[4])), found[5])


# -- UNet ---------------------------------------------------------------------------------------------

_UNET_OUTER = _layers({name: ldm for ldm, names in OUTER.items() for name in names})
_UNET_INNER = {"resnets": _layers({name: ldm for ldm, name in INNER.items() if ldm != "op"}),
               "downsamplers": _layers({"conv": "op"}), "upsamplers": _layers({"conv": "conv"})}
#: What is in a transformer, named alike in both layouts.
_TRANSFORMER = re.compile(rf"(norm|proj_in|proj_out|transformer_blocks\.{_NUMBER}\.(norm[123]|ff\.net\.(0\.proj|2)"
                          r"|attn[12]\.to_([qkv]|out\.0)))\.(weight|bias)")
_ORDER = ("resnets", "attentions")  # as they are called and numbered


def unet(tensors: Tensors) -> Converted:
    """UNet2DConditionModel -> ``model.diffusion_model.*``; a student's style tensors keep their names after it."""
    return _pieces(tensors, unet_names(tensors), UNET)


def unet_names(names: Iterable[str]) -> Names:
    """diffusers name -> LDM name without ``model.diffusion_model.``."""
    splits = {name: _unet_split(name) for name in names}
    blocks = _unet_blocks({split[0] for split in splits.values() if split})
    outer = _UNET_OUTER | _style_names(splits)

    def rename(name: str) -> str | None:
        if (split := splits[name]) is None:
            return outer.get(name)
        block, inner = split
        return f"{blocks[block]}.{inner}" if block in blocks else None

    return _names(splits, rename)


def _unet_split(name: str) -> tuple[_Block, str] | None:
    """(block, LDM name of the tensor inside it); None for a tensor no block has, so that it adds no block either."""
    if (split := _split(name)) is None:
        return None
    block, inside = split
    if block.kind == "attentions":
        return split if _TRANSFORMER.fullmatch(inside) else None
    inner = _UNET_INNER[block.kind].get(inside)
    return (block, inner) if inner else None


def _style_names(names: Mapping[str, object]) -> dict[str, str]:
    """What a DMM student keeps. Its style MLP is ``add_embedding``, or ``add_embedding2`` beside SDXL's own."""
    xl = "model_embedding.weight" not in names or any(name.startswith("add_embedding2.") for name in names)
    mlp = "add_embedding2" if xl else "add_embedding"
    return {"model_embedding.weight": "model_embedding.weight",
            **_layers({f"{mlp}.linear_{i}": f"{mlp}.linear_{i}" for i in (1, 2)})}


def _unet_blocks(blocks: Set[_Block]) -> dict[_Block, str]:
    """Diffusers block -> LDM sub-block; ``diffusers_blocks`` of ``lora_names`` the other way round."""
    names: dict[_Block, str] = {}
    start = {"input_blocks": 1, "output_blocks": 0}  # input_blocks.0 is conv_in
    for (side, level), group in groupby(sorted(blocks), key=lambda block: block[:2]):
        layers = sorted((block.place, _ORDER.index(block.kind), block) for block in group if block.kind in _ORDER)
        if side == "mid":  # in turn
            names |= {block: f"middle_block.{number}" for number, (_, _, block) in enumerate(layers)}
            continue
        ldm = "input_blocks" if side == "down" else "output_blocks"
        names |= {block: f"{ldm}.{start[ldm] + place}.{sub}" for place, sub, block in layers}
        start[ldm] += layers[-1][0] + 1 if layers else 0
        sampler = _Block(side, level, f"{side}samplers", 0)
        if side == "up":  # at the end of the last block
            names[sampler] = f"{ldm}.{start[ldm] - 1}.{1 + max((sub for _, sub, _ in layers), default=0)}"
        elif sampler in blocks:  # a block of its own
            names[sampler] = f"{ldm}.{start[ldm]}.0"
            start[ldm] += 1
    return names


# -- VAE ----------------------------------------------------------------------------------------------

_VAE_SIDES = {"encoder": "down", "decoder": "up"}
_VAE_OUTER = _layers({name: name for name in ("quant_conv", "post_quant_conv")}) | _layers({
    f"{half}.{name}": f"{half}.{ldm}" for half in _VAE_SIDES
    for name, ldm in (("conv_in", "conv_in"), ("conv_norm_out", "norm_out"), ("conv_out", "conv_out"))})
_VAE_RESNET = _layers({"norm1": "norm1", "conv1": "conv1", "norm2": "norm2", "conv2": "conv2",
                       "conv_shortcut": "nin_shortcut"})
_VAE_ATTENTION = _layers({"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out",
                          "query": "q", "key": "k", "value": "v", "proj_attn": "proj_out"})  # older names
_VAE_SAMPLER = _layers({"conv": "conv"})
_VAE_UP = re.compile(rf"decoder\.up_blocks\.{_NUMBER}\.resnets\.{_NUMBER}\.conv1\.weight")
_VAE_PROJECTION = re.compile(r".+\.mid\.attn_1\.(q|k|v|proj_out)\.weight")


def vae(tensors: Tensors) -> Converted:
    """AutoencoderKL -> ``first_stage_model.*``; attention weights [c, c] become convolutions [c, c, 1, 1]."""
    result = _pieces(tensors, vae_names(tensors), VAE)
    convolutions = {key: replace(piece, shape=(*piece.shape, 1, 1)) for key, piece in result.pieces.items()
                    if len(piece.shape) == 2 and _VAE_PROJECTION.fullmatch(key)}
    return replace(result, pieces={**result.pieces, **convolutions})


def vae_names(names: Iterable[str]) -> Names:
    """diffusers name -> LDM name without ``first_stage_model.``."""
    names = tuple(names)
    top = max((int(found[1]) for name in names if (found := _VAE_UP.fullmatch(name))), default=0)

    def rename(name: str) -> str | None:
        half, _, rest = name.partition(".")
        if half not in _VAE_SIDES or (split := _split(rest)) is None:
            return _VAE_OUTER.get(name)
        block, inside = split
        place, tensors = _vae_block(half, block, top)
        return f"{half}.{place}.{tensors[inside]}" if inside in tensors else None

    return _names(names, rename)


def _vae_block(half: str, block: _Block, top: int) -> tuple[str, Mapping[str, str]]:
    """The LDM block, and the tensors in it; these are none if there is no such block.

    LDM counts the decoder's levels from the picture's side, diffusers (up to ``top``) from the latent's.
    """
    side, level, kind, place = block
    start = f"{side}.{top - level if side == 'up' else level}"
    if side == "mid" and kind == "resnets":
        return f"mid.block_{place + 1}", _VAE_RESNET
    if side == "mid" and (kind, place) == ("attentions", 0):
        return "mid.attn_1", _VAE_ATTENTION
    if side == _VAE_SIDES[half] and kind == "resnets":
        return f"{start}.block.{place}", _VAE_RESNET
    if side == _VAE_SIDES[half] and (kind, place) == (f"{side}samplers", 0):
        return f"{start}.{side}sample", _VAE_SAMPLER
    return "", {}


# -- text encoders ------------------------------------------------------------------------------------

_CLIP = re.compile(r"embeddings\.(token|position)_embedding\.weight|(final_layer_norm|encoder\.layers"
                   rf"\.{_NUMBER}\.(self_attn\.(q|k|v|out)_proj|layer_norm[12]|mlp\.fc[12]))\.(weight|bias)")
_QKV = re.compile(r"(encoder\.layers\.(\d+)\.self_attn)\.[qkv]_proj\.(weight|bias)")
_LAYER = re.compile(r"encoder\.layers\.(\d+)\.(.+)")
_PROJECTION = "text_projection.weight"
_OPEN_INNER = _layers({name: ldm for ldm, name in OPENCLIP.items()})
_OPEN_OUTER = {".".join(name): ldm for ldm, name in OPENCLIP_OUTER.items()} | {_PROJECTION: "text_projection"}


def clip(tensors: Tensors, prefix: str) -> Converted:
    """CLIPTextModel -> ``{prefix}text_model.*``, ``prefix`` as ``cond_stage_model.transformer.``; no position ids."""
    return _pieces(tensors, _clip_names(tensors), prefix + "text_model.")


def open_clip(tensors: Tensors, prefix: str) -> Converted:
    """CLIPTextModelWithProjection -> OpenCLIP, ``prefix`` as ``conditioner.embedders.1.model.``; no position ids.

    q, k, v, each [w, w], are stacked into ``attn.in_proj_weight`` [3w, w]; the projection [p, w] is transposed.
    """
    names = _clip_names(tensors, _PROJECTION)
    source = {path: name for name, path in names.known.items()}
    pieces: dict[str, Piece] = {}
    unknown = list(names.unknown)
    for name in (name for name in tensors if name in names.known):
        key, parts = _open_clip(names.known[name])
        sources = tuple(source[part] for part in parts if part in source)
        piece = _stacked(sources, tensors, key == "text_projection") if len(sources) == len(parts) else None
        if piece:
            pieces[prefix + key] = piece
        else:
            unknown.append(name)
    return Converted(pieces, tuple(sorted(unknown)))


def _clip_names(names: Iterable[str], extra: str = "") -> Names:
    """Name -> the same without ``text_model.``, which only some versions of transformers write."""
    def rename(name: str) -> str | None:
        path = name.removeprefix("text_model.")
        return path if _CLIP.fullmatch(path) or path == extra else None

    return _names((name for name in names if not name.endswith(".position_ids")), rename)


def _open_clip(path: str) -> tuple[str, tuple[str, ...]]:
    """The OpenCLIP name of a path, and the paths that tensor is made of."""
    if found := _QKV.fullmatch(path):
        return (f"transformer.resblocks.{found[2]}.attn.in_proj_{found[3]}",
                tuple(f"{found[1]}.{letter}_proj.{found[3]}" for letter in "qkv"))
    if found := _LAYER.fullmatch(path):
        return f"transformer.resblocks.{found[1]}.{_OPEN_INNER[found[2]]}", (path,)
    return _OPEN_OUTER[path], (path,)


def _stacked(sources: tuple[str, ...], tensors: Tensors, transposed: bool) -> Piece | None:
    """The sources as one piece; None if their shapes or dtypes do not allow it."""
    kinds = {(tensors[name].shape, tensors[name].dtype) for name in sources}
    shape = tensors[sources[0]].shape
    if len(kinds) > 1 or not shape or transposed and len(shape) != 2:
        return None
    return Piece(sources, shape[::-1] if transposed else (len(sources) * shape[0], *shape[1:]), transposed)
