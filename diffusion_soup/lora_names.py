"""Where a LoRA layer belongs: its name in the file -> tensor, and rows, of the base checkpoint.

Trainers name the same layer in many ways. All of them are reduced to one *address*, a part
(``unet``, ``te1``, ``te2``) and a module path written with underscores:

    lora_unet_down_blocks_0_attentions_0_proj_in          kohya, diffusers names
    lora_unet_input_blocks_1_1_proj_in                    kohya, LDM names
    unet.base_model.model.down_blocks.0.attentions.0...   PEFT

The base's own keys are listed under every such address (:func:`directory`), so finding a layer is one
lookup. The diffusers names of UNet blocks follow from the structure of the base, not from a table of
models: a downsampler ends a level of ``input_blocks``, an upsampler one of ``output_blocks``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

Shapes = Mapping[str, tuple[int, ...]]

UNET = "model.diffusion_model."


@dataclass(frozen=True)
class Target:
    """Rows ``[start, start + rows)`` of the base tensor ``key``; ``transposed`` if the layer is its transpose."""

    key: str
    start: int
    rows: int
    transposed: bool = False

    @property
    def stop(self) -> int:
        return self.start + self.rows

    def clip(self, start: int, stop: int) -> tuple[int, int]:
        """The part of the base rows ``[start, stop)`` that this target covers; empty if first == second."""
        first = min(max(start, self.start), self.stop)
        return first, max(first, min(stop, self.stop))


# -- names in LoRA files ------------------------------------------------------------------------------

#: Said before the module path; the first that fits is taken off, until none does.
_PREFIXES = (
    ("base_model.model.", ""), ("lora_unet_", "unet"), ("lora_te1_", "te1"), ("lora_te2_", "te2"),
    ("lora_te_", "te1"), ("lycoris_", "unet"), ("unet.", "unet"), ("text_encoder_2.", "te2"),
    ("text_encoder.", "te1"), (UNET, "unet"), ("diffusion_model.", "unet"),
    ("text_encoders.clip_l.transformer.", "clip_l"), ("text_encoders.clip_g.transformer.", "clip_g"),
    ("text_encoders.clip_h.transformer.", "clip_h"), ("transformer.", "unet"),
)
#: Older spellings inside a module path, applied in this order to the path with underscores.
_OLD_UNET = ((re.compile(r"_processor(?=_|$)"), ""), (re.compile(r"(_attn\d)_to_out$"), r"\1_to_out_0"))
_OLD_TEXT = ((re.compile(r"^text_model_"), ""), (re.compile(r"_self_attn_to_([qkv])$"), r"_self_attn_\1_proj"),
             (re.compile(r"_self_attn_to_out(_0)?$"), "_self_attn_out_proj"))


def address(name: str) -> tuple[str, str]:
    """(part, module path with underscores) of a layer name in any known spelling."""
    part, rest, stripped = "", name, True
    while stripped:
        stripped = False
        for prefix, meaning in _PREFIXES:
            if rest.startswith(prefix) and not (part and meaning):
                part, rest, stripped = part or meaning, rest[len(prefix):], True
    part = part or ("te1" if rest.startswith("text_model") else "unet")
    return part, _normal(part, rest)


def _normal(part: str, path: str) -> str:
    path = path.replace(".", "_")
    for pattern, new in _OLD_UNET if part == "unet" else _OLD_TEXT:
        path = pattern.sub(new, path)
    return path


# -- names in the base checkpoint -----------------------------------------------------------------------


class Directory:
    """Every address of every tensor of one base checkpoint."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._targets: dict[tuple[str, str, str], Target] = {}
        for part, module, parameter, target in _entries(shapes):
            self._targets.setdefault((part, _normal(part, module), parameter), target)

    def find(self, name: str, parameter: str) -> Target | None:
        """The target of ``parameter`` (weight or bias) of the layer ``name``, or None if the base has none."""
        key = f"{name}.{parameter}"
        if key in self._shapes:
            return _whole(key, self._shapes)
        return self._targets.get((*address(name), parameter))


def _whole(key: str, shapes: Shapes) -> Target:
    return Target(key, 0, shapes[key][0] if shapes[key] else 1)


def _entries(shapes: Shapes) -> Iterator[tuple[str, str, str, Target]]:
    """(part, module, parameter, target) under each name the tensors of the base go by."""
    unet = [key[len(UNET):] for key in shapes if key.startswith(UNET)]
    blocks = diffusers_blocks(unet)
    for path in unet:
        module, _, parameter = path.rpartition(".")
        target = _whole(UNET + path, shapes)
        for name in (module, *to_diffusers(module, blocks)):
            yield "unet", name, parameter, target
    for root, layout, parts in _ENCODERS:
        for key in shapes:
            if key.startswith(root):
                for module, parameter, target in layout(key[len(root):], _whole(key, shapes)):
                    yield from ((part, module, parameter, target) for part in parts)


# -- UNet: LDM -> diffusers -------------------------------------------------------------------------------

_SIDES = {"input_blocks": "down_blocks", "middle_block": "mid_block", "output_blocks": "up_blocks"}
#: What a sub-block is, by the name of something inside it.
_KINDS = {"in_layers": "resnets", "transformer_blocks": "attentions", "op": "downsamplers", "conv": "upsamplers"}
INNER = {
    "in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2", "out_layers.3": "conv2", "skip_connection": "conv_shortcut", "op": "conv",
}
OUTER = {
    "time_embed.0": ("time_embedding.linear_1",), "time_embed.2": ("time_embedding.linear_2",),
    "label_emb.0.0": ("add_embedding.linear_1", "class_embedding.linear_1"),
    "label_emb.0.2": ("add_embedding.linear_2", "class_embedding.linear_2"),
    "input_blocks.0.0": ("conv_in",), "out.0": ("conv_norm_out",), "out.2": ("conv_out",),
}
_SUB_BLOCK = re.compile(r"(?:(input_blocks|output_blocks)\.(\d+)|(middle_block))\.(\d+)\.(\w+)")


def diffusers_blocks(paths: Iterable[str]) -> dict[str, str]:
    """LDM sub-block -> diffusers block, e.g. ``input_blocks.4.1`` -> ``down_blocks.1.attentions.0``."""
    kinds: dict[tuple[str, int, int], str] = {}
    for path in paths:
        if (found := _SUB_BLOCK.match(path)) and (kind := _KINDS.get(found[5])):
            kinds[found[1] or found[3], int(found[2] or 0), int(found[4])] = kind
    names: dict[str, str] = {}
    for side, new in _SIDES.items():
        names |= _name_middle(kinds) if side == "middle_block" else _name_side(side, new, kinds)
    return names


def _name_side(side: str, new: str, kinds: Mapping[tuple[str, int, int], str]) -> dict[str, str]:
    names: dict[str, str] = {}
    level = place = 0
    for block in sorted({block for other, block, _ in kinds if other == side}):
        here = {sub: kind for (other, number, sub), kind in kinds.items() if (other, number) == (side, block)}
        for sub, kind in here.items():
            index = place if kind in ("resnets", "attentions") else 0
            names[f"{side}.{block}.{sub}"] = f"{new}.{level}.{kind}.{index}"
        ends = "downsamplers" in here.values() or "upsamplers" in here.values()
        level, place = (level + 1, 0) if ends else (level, place + 1)
    return names


def _name_middle(kinds: Mapping[tuple[str, int, int], str]) -> dict[str, str]:
    names: dict[str, str] = {}
    counts = {"resnets": 0, "attentions": 0}
    for (side, _, sub), kind in sorted(kinds.items()):
        if side == "middle_block" and kind in counts:
            names[f"{side}.{sub}"] = f"mid_block.{kind}.{counts[kind]}"
            counts[kind] += 1
    return names


def to_diffusers(module: str, blocks: Mapping[str, str]) -> tuple[str, ...]:
    """The diffusers names of an LDM UNet module, given the :func:`diffusers_blocks` of its UNet."""
    if module in OUTER:
        return OUTER[module]
    pieces = module.split(".")
    for size in (2, 3):
        block, inner = ".".join(pieces[:size]), ".".join(pieces[size:])
        if block in blocks:
            return (f"{blocks[block]}.{INNER.get(inner, inner)}",)
    return ()


# -- text encoders ----------------------------------------------------------------------------------------

_RESBLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)\.(weight|bias)")
OPENCLIP = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2",
             "attn.out_proj": "self_attn.out_proj"}
OPENCLIP_OUTER = {
    "positional_embedding": ("embeddings.position_embedding", "weight"),
    "token_embedding.weight": ("embeddings.token_embedding", "weight"),
    "ln_final.weight": ("final_layer_norm", "weight"), "ln_final.bias": ("final_layer_norm", "bias"),
}
_FUSED = re.compile(r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)")


def _clip(path: str, target: Target) -> Iterator[tuple[str, str, Target]]:
    """Hugging Face layout: the names are the ones LoRAs use."""
    module, _, parameter = path.rpartition(".")
    yield module, parameter, target


def _open_clip(path: str, target: Target) -> Iterator[tuple[str, str, Target]]:
    """OpenCLIP layout: q, k, v are the three thirds of one tensor, the projection is stored transposed."""
    if fused := _FUSED.fullmatch(path):
        third = target.rows // 3
        for index, letter in enumerate("qkv"):
            yield (f"encoder.layers.{fused[1]}.self_attn.{letter}_proj", fused[2],
                   replace(target, start=index * third, rows=third))
    elif (found := _RESBLOCK.fullmatch(path)) and found[2] in OPENCLIP:
        yield f"encoder.layers.{found[1]}.{OPENCLIP[found[2]]}", found[3], target
    elif path in OPENCLIP_OUTER:
        yield *OPENCLIP_OUTER[path], target
    elif path == "text_projection":
        yield "text_projection", "weight", replace(target, transposed=True)


#: Where a checkpoint keeps its text encoders, how they are laid out, and what LoRAs call them.
_ENCODERS = (
    ("cond_stage_model.transformer.", _clip, ("te1", "clip_l")),             # SD1.x
    ("cond_stage_model.model.", _open_clip, ("te1", "clip_h")),              # SD2.x
    ("conditioner.embedders.0.transformer.", _clip, ("te1", "clip_l")),      # SDXL
    ("conditioner.embedders.1.model.", _open_clip, ("te2", "clip_g")),       # SDXL
    ("conditioner.embedders.0.model.", _open_clip, ("te1", "clip_g", "clip_h")),  # SDXL refiner, SD2.x in sgm form
)
