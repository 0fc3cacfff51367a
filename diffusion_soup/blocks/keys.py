"""Which block a tensor belongs to.

SD1, SD2, SDXL and its refiner have fixed blocks; in every other model a numbered repeat is a block.
TIME (``time_embed``, ``label_emb``) and FINAL (``out.``) have names of their own here.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

BASE, MIDDLE, TIME, FINAL = "BASE", "M00", "TIME", "FINAL"
DEPTHS: Mapping[str, int] = MappingProxyType({"sd1": 12, "sd2": 12, "sdxl": 9, "sdxl-refiner": 12})
"""Input blocks (and as many output blocks) of each family whose blocks are fixed."""

_UNET = "model.diffusion_model."
_SIDES = {"input_blocks": "IN", "output_blocks": "OUT"}
_NUMBERS = {depth: frozenset(map(str, range(depth))) for depth in set(DEPTHS.values())}
_REPEAT = re.compile(r"(?:block)?[0-9]+")  # Cosmos writes blocks.block3
_LEAVES = frozenset(
    ("weight", "bias", "scale_weight", "scale_input", "weight_scale", "input_scale", "comfy_quant")
)


def block_of(key: str, family: str) -> str:
    """Block of one tensor, by its single-file (LDM) name.

    What is outside the diffusion model is BASE. Numbers are compared as numbers, so ``input_blocks.1.``
    never catches ``input_blocks.10.``.
    """
    if not key.startswith(_UNET):
        return BASE
    parts = key[len(_UNET) :].split(".")
    return _sd_block(parts, DEPTHS[family]) if family in DEPTHS else _repeat(parts)


def _sd_block(parts: list[str], depth: int) -> str:
    if parts[0] in ("time_embed", "label_emb"):
        return TIME
    if parts[0] == "out":
        return FINAL
    if parts[0] == "middle_block":
        return MIDDLE
    if parts[0] in _SIDES and len(parts) > 1 and parts[1] in _NUMBERS[depth]:
        return f"{_SIDES[parts[0]]}{int(parts[1]):02d}"
    return BASE


def _repeat(parts: list[str]) -> str:
    """The outermost numbered repeat; ``time_embedding.0.weight`` is a layer of a stack, not a repeat."""
    for i in range(1, len(parts) - 1):
        if _REPEAT.fullmatch(parts[i]) and not (i == len(parts) - 2 and parts[-1] in _LEAVES):
            return ".".join(parts[: i + 1])
    return BASE


def block_names(family: str, keys: Iterable[str] = ()) -> tuple[str, ...]:
    """All blocks of a model: in string order for SD (then TIME, FINAL), else found in ``keys``."""
    if family in DEPTHS:
        return (*string_names(family), TIME, FINAL)
    found = {block_of(key, family) for key in keys} - {BASE}
    return (BASE, *sorted(found, key=_natural))


def string_names(family: str) -> tuple[str, ...]:
    """The blocks a string of weights lists: BASE, IN.., M00, OUT.."""
    inputs = (f"IN{i:02d}" for i in range(DEPTHS[family]))
    return (BASE, *inputs, MIDDLE, *(f"OUT{i:02d}" for i in range(DEPTHS[family])))


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts layers.2 before layers.10, whatever the number of digits."""
    pieces = re.split(r"([0-9]+)", name)
    return [(len(piece.lstrip("0")) if i % 2 else 0, piece) for i, piece in enumerate(pieces)]
