"""Strings of block weights (MBW), as other tools write and read them.

Other tools fold TIME and FINAL into a neighbour, each into a different one: that is a dialect.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import RecipeError
from .keys import BASE, DEPTHS, FINAL, MIDDLE, TIME, block_names, string_names

Columns = tuple[tuple[str, ...], ...]
"""For each value of a string, the blocks it sets."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST = 20_000  # characters in a string of weights; far above any honest one


@dataclass(frozen=True)
class Dialect:
    """How one tool reads a list of block weights; ``time`` and ``final`` say whose value those two take."""

    name: str
    title: str
    time: str
    final: str
    layouts: Callable[[str], tuple[Columns, ...]]
    """Per family, the accepted layouts; the first is the one written."""


def _folded(family: str, time: str) -> Columns:
    names, last = string_names(family), f"OUT{DEPTHS[family] - 1:02d}"
    time = last if time == "OUT" else time
    return tuple((n, *((TIME,) if n == time else ()), *((FINAL,) if n == last else ())) for n in names)


def _sd_mecha(family: str) -> tuple[Columns, ...]:
    return (_folded(family, BASE),)


def _model_mixer(family: str) -> tuple[Columns, ...]:
    columns = _folded(family, "OUT")
    return columns, columns[1:]


def _supermerger(family: str) -> tuple[Columns, ...]:
    columns = _folded(family, "IN00")
    if family != "sdxl":
        return columns, columns[1:]
    kept = dict(zip(string_names(family), columns, strict=True))
    shrunk = tuple(kept.get(name, ()) for name in string_names("sd1"))
    return columns, columns[1:], shrunk, shrunk[1:]


def _comfyui(family: str) -> tuple[Columns, ...]:
    label = (TIME,) if family in ("sdxl", "sdxl-refiner") else ()
    sides = [(name,) for name in string_names(family)[1:] if name != MIDDLE]
    half = len(sides) // 2
    return (((TIME,), label, *sides[:half], *[(MIDDLE,)] * 3, *sides[half:], (FINAL,)),)


def _comfyui_blocks(family: str) -> tuple[Columns, ...]:
    inputs, outputs = ([n for n in string_names(family) if n.startswith(side)] for side in ("IN", "OUT"))
    return (((*inputs, TIME), (MIDDLE,), (*outputs, FINAL)),)


def _soup(family: str) -> tuple[Columns, ...]:
    return (tuple((name,) for name in block_names(family)),)


DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        dialect.name: dialect
        for dialect in (
            Dialect("supermerger", "SuperMerger (A1111, Forge)", "IN00", "last OUT", _supermerger),
            Dialect("sd-mecha", "sd-mecha", "BASE", "last OUT", _sd_mecha),
            Dialect("model-mixer", "Model Mixer (A1111)", "last OUT", "last OUT", _model_mixer),
            Dialect("comfyui", "ComfyUI ModelMergeSD1 / SDXL sliders", "time_embed.", "out.", _comfyui),
            Dialect("comfyui-blocks", "ComfyUI ModelMergeBlocks", "input", "out", _comfyui_blocks),
            Dialect("soup", "Diffusion Soup (TIME and FINAL written out)", TIME, FINAL, _soup),
        )
    }
)
"""What each tool does, read from its source:

* supermerger: 26 values, 20 for SDXL. ``time_embed`` and SDXL's ``label_emb`` are IN00, ``.out.`` is the last
  OUT; text encoders and VAE are BASE. 25 or 19 values lack BASE (so do the lists in its ``sd_merge_recipe``,
  where SDXL's 19 carry one 0 more: drop it before parsing). 26 or 25 given to SDXL: IN09-IN11 and OUT09-OUT11
  are dropped, as it does itself. The refiner is read as SD1 there, its ``label_emb`` as BASE.
* sd-mecha: ``time_embed`` and ``label_emb`` are BASE, ``.out.`` is the last OUT. SDXL's VAE is a block VAE.
* model-mixer: ``time_embed`` and ``out`` take the last value, that of the last OUT (an option, on by default);
  SDXL's ``label_emb`` and the VAE stay those of model A. 25 or 19 values lack BASE.
* comfyui: the sliders in order: ``time_embed.``, ``label_emb.``, each input block, three of the middle block,
  each output block, ``out.`` (30; SDXL 24). They are shares of *model1*. Text encoders are not touched.
* comfyui-blocks: input, middle, out. ``out`` also catches ``output_blocks.``; ``time_embed`` and ``label_emb``
  match nothing and get the first value, that of input.
"""


def dialect_named(name: str) -> Dialect:
    """The dialect, or an error that lists them."""
    if name not in DIALECTS:
        raise RecipeError(f"No MBW dialect is called {name!r}. Choose one of: {', '.join(DIALECTS)}.")
    return DIALECTS[name]


def _require_sd(family: str) -> None:
    if family not in DEPTHS:
        raise RecipeError(
            f"A string of block weights has no fixed order for the family {family!r}; it has for "
            f"{', '.join(DEPTHS)}. Give weights by block name instead, as in double_blocks.3: 0.5."
        )


def parse_mbw(
    text: str, *, dialect: str, family: str | None = None, default: float | None = None
) -> dict[str, float]:
    """``"0,0.1,..."`` -> weight of each block, TIME and FINAL filled in as the dialect has them.

    Without ``family``, the number of values tells SD1/SD2 from SDXL. Blocks the string does not speak of
    (BASE in 25 or 19 values, in ComfyUI's sliders) get ``default``, or are left out where it is None.
    """
    chosen, values = dialect_named(dialect), _values(text)
    if family is not None:
        _require_sd(family)
    name, columns = _fitting(chosen, family, len(values))
    weights = assign(columns, values, chosen.title)
    if default is not None:
        weights = dict.fromkeys(block_names(name), float(default)) | weights
    return {block: weights[block] for block in block_names(name) if block in weights}


def _fitting(dialect: Dialect, family: str | None, count: int) -> tuple[str, Columns]:
    """The one layout of ``count`` values. 26 are shrunk to SDXL only where the family was said."""
    families, most = ((family,), None) if family else (("sd1", "sdxl"), 2)
    found = [(name, columns) for name in families for columns in dialect.layouts(name)[:most]]
    found = [(name, columns) for name, columns in found if len(columns) == count]
    if len(found) != 1:
        raise RecipeError(_count_error(dialect, families, count, bool(found)))
    return found[0]


def assign(columns: Columns, values: Sequence[float], who: str) -> dict[str, float]:
    """Weight of each block, where one block may take several values only if they are equal."""
    weights: dict[str, float] = {}
    for names, value in zip(columns, values, strict=True):
        for name in names:
            if weights.setdefault(name, value) != value:
                raise RecipeError(
                    f"{who} gives parts of {name} different weights ({weights[name]:g} and {value:g}); "
                    "here it is one block. Fix: make them equal."
                )
    return weights


def _values(text: str) -> list[float]:
    if len(text) > _LONGEST:
        raise RecipeError(
            f"A string of block weights has {len(text):,} characters; at most {_LONGEST:,} are read."
        )
    bare = " ".join(text.split()).strip("[]()\"' ").rstrip(", ")
    pieces = re.split("[, ]", bare.replace(" ,", ",").replace(", ", ",")) if bare else []
    return [_value(piece, position) for position, piece in enumerate(pieces, 1)]


def _value(piece: str, position: int) -> float:
    value = number(piece)
    if value is not None:
        return value
    if piece.upper() in {"R", "U", "X", "D", "E", "ER", "EU", "EX", "A", "B"}:
        raise RecipeError(
            f"Value {position} of the block weights is {piece!r}, which its tool fills in when it runs. "
            "Fix: load it as a preset, which draws letters from a seed, or write a number."
        )
    raise RecipeError(
        f"Value {position} of the block weights is {piece[:40]!r}; expected a number such as 0.5."
    )


def number(text: str) -> float | None:
    """A finite decimal number, or None. Stricter than ``float``: no ``nan``, ``inf``, ``1_0`` or other digits."""
    value = float(text) if len(text) <= 40 and _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


_OTHERS = {
    61: "SuperMerger's Flux string",
    110: "SuperMerger's extended SDXL string",
    21: "SDXL with a VAE value",
}


def _count_error(dialect: Dialect, families: tuple[str, ...], count: int, ambiguous: bool) -> str:
    if ambiguous:
        return f"{count} values fit several families in the dialect {dialect.title}. Fix: say the family."
    expected = [
        (name, " or ".join(str(len(columns)) for columns in dialect.layouts(name))) for name in families
    ]
    counts = ", ".join(f"{sizes} for {name.upper()}" for name, sizes in expected)
    seen = f"{count} block weights given" + (
        f" ({_OTHERS[count]}, not read here)" if count in _OTHERS else ""
    )
    return f"{seen}; {dialect.title} has {counts}. Fix: check the dialect and the family."


def format_mbw(blocks: Mapping[str, float], *, family: str, dialect: str, default: float) -> str:
    """The string another tool reads; refused where it would change what TIME, FINAL or BASE weigh."""
    chosen = dialect_named(dialect)
    _require_sd(family)
    names = block_names(family)
    if unknown := [name for name in blocks if name not in names]:
        raise RecipeError(f"{family.upper()} has no block {unknown[0]!r}. Its blocks: {', '.join(names)}.")
    weights = dict.fromkeys(names, float(default)) | {name: float(value) for name, value in blocks.items()}
    columns = chosen.layouts(family)[0]
    told = {name for column in columns for name in column}
    for name in names:
        if name not in told and weights[name] != default:
            raise RecipeError(f"{chosen.title} has no weight for {name}, here {weights[name]:g}. {_KEEP}")
    return ",".join(_written(column, weights, chosen) for column in columns)


_KEEP = "Fix: write the string in the dialect 'soup', which keeps every block, or make the weights equal."


def _written(column: tuple[str, ...], weights: Mapping[str, float], dialect: Dialect) -> str:
    if not column:
        column = (TIME,)  # a slider no tensor of this family listens to
    first = weights[column[0]]
    for name in column[1:]:
        if weights[name] != first:
            raise RecipeError(
                f"{dialect.title} gives {name} the weight of {column[0]}, but here they are "
                f"{weights[name]:g} and {first:g}. {_KEEP}"
            )
    if not math.isfinite(first):
        raise RecipeError(f"The weight of {column[0]} is {first}; expected a finite number.")
    return str(int(first)) if first.is_integer() and abs(first) < 1e15 else repr(first)
