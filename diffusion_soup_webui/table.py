"""The ingredients table: rows a person edits, and the recipe they make. No gradio, no host.

A draft is the table with its settings as one JSON object, as the page keeps it. It may be wrong or half
done; :func:`to_recipe` says what is missing. What is only about editing (locked, muted, solo) stays in the
draft: the recipe holds the rows that count.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffusion_soup import graph
from diffusion_soup.blocks import block_names
from diffusion_soup.errors import RecipeError, shown
from diffusion_soup.methods import METHODS
from diffusion_soup.recipe import Ingredient, ModelFile, Recipe

MOST_ROWS = 256
NOTHING = "The table is empty. Add checkpoints or LoRAs, or load a recipe."
SILENT = "Every ingredient is muted, so there is nothing to cook. Unmute one."


@dataclass(frozen=True)
class BlockText:
    """Block weights of a row as they were written; the text is empty where the share counts everywhere."""

    mbw: str = ""
    preset: str = graph.NONE
    dialect: str = "supermerger"
    family: str = next(iter(graph.FAMILIES))
    meaning: str = graph.TIMES

    def __post_init__(self) -> None:
        for field, known in (("family", graph.FAMILIES), ("meaning", (graph.TIMES, graph.INSTEAD))):
            if getattr(self, field) not in known:
                raise RecipeError(f"The {field} of block weights is {shown(getattr(self, field))}; "
                                  f"expected one of: {', '.join(known)}.")

    @property
    def empty(self) -> bool:
        return not self.mbw.strip() and self.preset == graph.NONE

    def weights(self, share: float) -> dict[str, float]:
        """The weight of each block that has one of its own."""
        if self.empty:
            return {}
        found = graph.block_weights(self.family, self.meaning, self.preset, self.mbw, self.dialect)
        return found.of(share) if found.relative else dict(found.weights)

    @classmethod
    def of(cls, blocks: Mapping[str, float]) -> BlockText:
        """Weights of a recipe, by name."""
        if not blocks:
            return cls()
        sd1 = set(blocks) <= set(block_names("sd1"))
        sdxl = set(blocks) <= set(block_names("sdxl"))
        family = "SDXL" if sdxl and not sd1 else next(iter(graph.FAMILIES))
        text = ", ".join(f"{name}={weight!r}" for name, weight in blocks.items())
        return cls(text, family=family, meaning=graph.INSTEAD)


@dataclass(frozen=True)
class Row:
    """One ingredient of the table."""

    file: str
    kind: str = "checkpoint"
    share: float = 1.0
    strength: float = 1.0
    sha256: str | None = None
    locked: bool = False
    muted: bool = False
    solo: bool = False
    blocks: BlockText = BlockText()
    elements: str = ""

    def ingredient(self) -> Ingredient:
        lines = tuple(line.strip() for line in self.elements.splitlines() if line.strip())
        strength = self.strength if self.kind == "lora" else 1.0
        return Ingredient(self.file, self.kind, self.sha256, self.share, self._weights(), lines, strength)

    def _weights(self) -> dict[str, float]:
        try:
            return self.blocks.weights(self.share)
        except RecipeError as error:
            raise RecipeError(f"Block weights of {self.file}: {error}") from None

    @classmethod
    def of(cls, each: Ingredient) -> Row:
        return cls(each.file, each.kind, each.weight, each.strength, each.sha256, blocks=BlockText.of(each.blocks),
                   elements="\n".join(each.elements))


@dataclass(frozen=True)
class Draft:
    """The whole table. Empty texts mean that nothing is chosen: the engine's own choice."""

    rows: tuple[Row, ...] = ()
    base: str = ""
    base_sha256: str | None = None
    method: str = "soup"
    parameters: Mapping[str, float] = dataclasses.field(default_factory=dict)
    normalise: bool = True
    text_encoder: str = "soup"
    vae: str = ""
    dtype: str = ""
    seed: int = 0

    def counted(self) -> tuple[Row, ...]:
        """The rows that are in the soup: those that play solo, if any; else those that are not muted."""
        solo = tuple(row for row in self.rows if row.solo)
        return solo or tuple(row for row in self.rows if not row.muted)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"parameters": dict(self.parameters),
                                           "rows": [dataclasses.asdict(row) for row in self.rows]}


def to_recipe(draft: Draft) -> Recipe:
    """The recipe of the rows that count. Raises :class:`RecipeError`."""
    rows = draft.counted()
    if not rows:
        raise RecipeError(SILENT if draft.rows else NOTHING)
    base = ModelFile(draft.base, "checkpoint", draft.base_sha256) if draft.base else None
    return Recipe(tuple(row.ingredient() for row in rows), draft.method, _parameters(draft), draft.normalise,
                  draft.seed, base, draft.text_encoder or "soup", draft.vae or None, draft.dtype or None)


def from_recipe(recipe: Recipe) -> Draft:
    """The table of a recipe: :func:`to_recipe` gives the same recipe back."""
    base = recipe.base
    return Draft(tuple(Row.of(each) for each in recipe.ingredients), base.file if base else "",
                 base.sha256 if base else None, recipe.method, dict(recipe.parameters), recipe.normalise,
                 recipe.text_encoder, recipe.vae or "", recipe.dtype or "", recipe.seed)


def selected(draft: Draft, recipe: Recipe) -> Draft:
    """The table with the shares that a selection found: rows that it left out are muted, the others as they were.

    The recipe's own table where its ingredients are not among the rows that count.
    """
    left, rows, inside = list(recipe.ingredients), [], draft.counted()
    for row in draft.rows:
        if row in inside and left and _is_of(row, left[0]):
            same = left.pop(0)
            blocks = row.blocks if row.blocks.weights(same.weight) == dict(same.blocks) else BlockText.of(same.blocks)
            row = dataclasses.replace(row, share=same.weight, blocks=blocks)
        elif row in inside:
            row = dataclasses.replace(row, muted=True, solo=False)
        rows.append(row)
    return from_recipe(recipe) if left else dataclasses.replace(draft, rows=tuple(rows))


def _is_of(row: Row, each: Ingredient) -> bool:
    return (row.file, row.kind) == (each.file, each.kind) and row.ingredient().elements == each.elements


def read(data: Any) -> Draft:
    """A draft as the page sends it. Raises :class:`RecipeError` naming the field that is wrong."""
    fields = known_fields(data, Draft, "the table")
    rows = fields.pop("rows", [])
    if not isinstance(rows, list) or len(rows) > MOST_ROWS:
        raise RecipeError(f"The table must be a list of at most {MOST_ROWS} rows.")
    return Draft(tuple(_row(each, at) for at, each in enumerate(rows, 1)), **fields)


def percents(shares: Sequence[float], decimals: int = 1) -> list[float]:
    """Shares in percent, rounded so that they add up to exactly 100; all 0 where they cannot be normalised."""
    total, unit = math.fsum(shares), 10 ** decimals
    if not total > 0:
        return [0.0] * len(shares)
    exact = [100 * unit * share / total for share in shares]
    whole = [math.floor(each) for each in exact]
    left = 100 * unit - sum(whole)
    for at in sorted(range(len(exact)), key=lambda at: whole[at] - exact[at])[:left]:
        whole[at] += 1
    return [each / unit for each in whole]


def title(recipe: Recipe, most: int = 3) -> str:
    """What a soup is called where there is little room: ``ember 60 % + lagoon 40 %``."""
    shares = [each.weight for each in recipe.ingredients]
    if recipe.normalise:
        parts = [f"{each.name} {percent:g} %" for each, percent in zip(recipe.ingredients, percents(shares, 0))]
    else:
        parts = [f"{each.name} × {each.weight:g}" for each in recipe.ingredients]
    more = len(parts) - most
    return " + ".join(parts[:most]) + (f" and {more} more" if more > 0 else "")


def _parameters(draft: Draft) -> dict[str, float]:
    """Those that the method takes: the page keeps others for when it is chosen again."""
    known = METHODS.get(draft.method)
    return {} if known is None else {each.name: draft.parameters[each.name] for each in known.parameters
                                     if each.name in draft.parameters}


_TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "str | None": (str, type(None)), "bool": (bool,),
                                       "float": (int, float), "int": (int,)}


def known_fields(data: Any, kind: type, where: str) -> dict[str, Any]:
    """The fields of a dataclass out of JSON, checked by the types it declares. Raises :class:`RecipeError`."""
    if not isinstance(data, dict):
        raise RecipeError(f"{where} must be a JSON object.")
    declared = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    for name, value in data.items():
        if name not in declared:
            raise RecipeError(f"Unknown field {shown(name)} in {where}.")
        wanted = _TYPES.get(declared[name])
        if wanted and (not isinstance(value, wanted) or isinstance(value, bool) != (wanted == (bool,))):
            raise RecipeError(f"{name} in {where} is {shown(value)}; expected {declared[name]}.")
    if not isinstance(data.get("parameters", {}), dict):
        raise RecipeError(f"parameters in {where} must be an object of numbers.")
    return dict(data)


def _row(data: Any, position: int) -> Row:
    fields = known_fields(data, Row, f"row {position}")
    if "blocks" in fields:
        text = known_fields(fields["blocks"], BlockText, f"the block weights of row {position}")
        fields["blocks"] = BlockText(**text)
    if "file" not in fields:
        raise RecipeError(f"Row {position} of the table names no file.")
    return Row(**fields)
