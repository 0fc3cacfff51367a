"""Values of a grid's axes, and the recipe that some of them make of another.

Texts follow those of the WebUI's own axes, with a name before: ``ember: 0, 0.25, 0.5`` or ``2: 0-1 [5]`` for a share,
``ember OUT03: 0-1 (+0.25)`` for a share in a block. ``%`` makes a number the part of the whole.
"""

from __future__ import annotations

import csv
import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .blocks import parse_elements
from .errors import RecipeError, shown
from .recipe import Recipe

MOST_VALUES = 1000
NO_BASE = ("There is no soup whose shares could be changed. Cook one in the Soup tab, or fill its table, or make "
           "recipes another axis.")
_NUMBER = r"[+-]?\s*(?:\d+\.?\d*|\.\d+)\s*%?"
_VALUES = re.compile(rf"\s*({_NUMBER})\s*(?:-\s*({_NUMBER})\s*(?:\(\s*({_NUMBER})\s*\)|\[\s*(\d+)\s*\])?)?\s*%?\s*")


@dataclass(frozen=True)
class Share:
    """One ingredient's share: a weight, or with ``percent`` the part of the whole; of all, or in these blocks."""

    ingredient: str  # by name, by file or by number
    value: float
    percent: bool = False
    span: str = ""  # the blocks as they were written
    blocks: tuple[str, ...] = ()

    def label(self, name: str) -> str:
        """What the grid says beside its pictures."""
        number = f"{round(self.value, 8):g}{' %' if self.percent else ''}"
        return f"{name} {self.span}: {number}" if self.span else f"{name}: {number}"


@dataclass(frozen=True)
class StyleWeight:
    """The weight of one style of a student."""

    style: str
    value: float

    def label(self) -> str:
        return f"{self.style}: {round(self.value, 8):g}"


@dataclass(frozen=True)
class Whole:
    """A recipe by the name of what it was read from."""

    name: str
    recipe: Recipe


def shares(text: str, blocks: bool = False) -> list[Share]:
    """The values of an axis in order. Raises :class:`RecipeError` for what cannot be read."""
    example = '"ember OUT03: 0, 0.5, 1"' if blocks else '"ember: 0, 0.25, 0.5" or "2: 0-100% [5]"'
    found: list[Share] = []
    whose = ""
    for piece in _pieces(text):
        name, colon, values = piece.rpartition(":")
        whose = name.strip() if colon else whose
        if not whose:
            raise RecipeError(f"{shown(piece)} does not say which ingredient it is about. Write it as in {example}.")
        ingredient, span, named = _with_blocks(whose, example) if blocks else (whose, "", ())
        found += [Share(ingredient, number, percent, span, named) for number, percent in numbers(values)]
    if not found:
        raise RecipeError(f"An axis of shares needs values. Write them as in {example}.")
    if len(found) > MOST_VALUES:
        raise RecipeError(f"These are {len(found)} values; an axis takes at most {MOST_VALUES}.")
    return found


def style_weights(text: str) -> list[StyleWeight]:
    """The same for an axis of styles. Raises :class:`RecipeError`."""
    return [StyleWeight(each.ingredient, each.value / 100 if each.percent else each.value) for each in shares(text)]


def numbers(text: str) -> list[tuple[float, bool]]:
    """A number or a range of them in the host's syntax, each with whether it is in percent."""
    read = _VALUES.fullmatch(text)
    if read is None:
        raise RecipeError(f'{shown(text.strip())} is not a value. Expected a number such as 0.25 or 25%, or a range '
                          f'such as "0-1 [5]" or "0-1 (+0.25)".')
    start, end, step = (None if part is None else float(re.sub(r"[\s%]", "", part)) for part in read.groups()[:3])
    percent = "%" in text
    assert start is not None
    values = [start] if end is None else _range(start, end, step, read[4])
    if percent and not all(0 <= value <= 100 for value in values):
        raise RecipeError(f"{shown(text.strip())} is outside of 0 to 100 percent.")
    return [(value, percent) for value in values]


def changed(base: Recipe | None, values: Sequence[Share | Whole]) -> Recipe:
    """The recipe with one value of each axis: recipes first, then shares, then blocks, all shares at a time.

    Raises :class:`RecipeError`.
    """
    for each in values:
        base = each.recipe if isinstance(each, Whole) else base
    if base is None:
        raise RecipeError(NO_BASE)
    plain = [each for each in values if isinstance(each, Share) and not each.blocks]
    recipe = _with(base, plain, None)
    inside = [each for each in values if isinstance(each, Share) and each.blocks]
    for block in dict.fromkeys(block for each in inside for block in each.blocks):
        recipe = _with(recipe, [each for each in inside if block in each.blocks], block)
    return recipe


def position(recipe: Recipe, name: str) -> int:
    """Which ingredient is called so: by file or name, in any case, by a part of the name, or by its number from 1."""
    wanted = name.replace("\\", "/").strip().casefold()
    files = [each.file.casefold() for each in recipe.ingredients]
    names = [each.name.casefold() for each in recipe.ingredients]
    number = int(wanted) if re.fullmatch(r"[0-9]{1,4}", wanted) else 0
    for found in ([at for at, file in enumerate(files) if file == wanted],
                  [at for at, known in enumerate(names) if known == wanted],
                  [number - 1] if 1 <= number <= len(names) else [],
                  [at for at, known in enumerate(names) if wanted and wanted in known]):
        if len(found) == 1:
            return found[0]
        if found:
            raise RecipeError(f"{shown(name)} may be {' or '.join(str(at + 1) for at in found)}; give the number.")
    there = ", ".join(f"{at} {each.name}" for at, each in enumerate(recipe.ingredients, 1))
    raise RecipeError(f"{shown(name)} is not in this soup, which has {there}.")


def _pieces(text: str) -> list[str]:
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    return [piece.strip() for row in rows for piece in row if piece.strip()]


def _range(start: float, end: float, step: float | None, count: str | None) -> list[float]:
    if count is not None:
        parts = int(count)
        if not 1 <= parts <= MOST_VALUES:
            raise RecipeError(f"A range of {parts} values is none; expected 1 to {MOST_VALUES}.")
        return [round(start + (end - start) * at / max(parts - 1, 1), 12) for at in range(parts)]
    step = step if step is not None else math.copysign(1, end - start)
    if not step or (end - start) / step < 0:
        raise RecipeError(f"From {start:g} to {end:g} in steps of {step:g} never comes to an end; mind the sign.")
    parts = int((end - start) / step + 1e-9) + 1
    if parts > MOST_VALUES:
        raise RecipeError(f"A range of {parts} values is too long; an axis takes at most {MOST_VALUES}.")
    return [round(start + step * at, 12) for at in range(parts)]


def _with_blocks(text: str, example: str) -> tuple[str, str, tuple[str, ...]]:
    """An ingredient and the blocks after it."""
    ingredient, space, span = text.rpartition(" ")
    if not space:
        raise RecipeError(f"{shown(text)} does not say which block it is about. Write it as in {example}.")
    try:
        blocks = parse_elements([f"{span}::0"])[0].blocks
    except RecipeError:
        raise RecipeError(f"{shown(span)} names no block. Write one as in OUT03, or some as in IN01-IN05.") from None
    return ingredient.strip(), span, blocks


def _with(recipe: Recipe, wanted: Sequence[Share], block: str | None) -> Recipe:
    """Other weights in one block, or in all that have none of their own."""
    if not wanted:
        return recipe
    weights = [each.weight if block is None else each.blocks.get(block, each.weight) for each in recipe.ingredients]
    parts: dict[int, float] = {}
    for share in wanted:
        at = position(recipe, share.ingredient)
        if share.percent:
            parts[at] = share.value / 100
        else:
            weights[at] = share.value
            parts.pop(at, None)
    if parts:
        weights = _in_parts(recipe, weights, parts)
    pairs = zip(recipe.ingredients, weights)
    if block is None:
        made = [dataclasses.replace(each, weight=weight) for each, weight in pairs]
    else:
        made = [each if each.blocks.get(block, each.weight) == weight else
                dataclasses.replace(each, blocks={**each.blocks, block: weight}) for each, weight in pairs]
    return dataclasses.replace(recipe, ingredients=tuple(made))


def _in_parts(recipe: Recipe, weights: list[float], parts: dict[int, float]) -> list[float]:
    """Weights such that these ingredients have these parts of the whole. The others stay as they are, if they can."""
    told = " and ".join(f"{recipe.ingredients[at].name} {100 * part:g} %" for at, part in parts.items())
    if not recipe.normalise:
        raise RecipeError(f"{told}: shares of this soup are not parts of a whole (normalise is off); leave out the %.")
    whole, rest = math.fsum(parts.values()), math.fsum(each for at, each in enumerate(weights) if at not in parts)
    if whole > 1 + 1e-9:
        raise RecipeError(f"{told} are more than 100 % together.")
    if whole > 1 - 1e-9:
        return [parts.get(at, 0.0) for at in range(len(weights))]
    if not rest > 0:
        raise RecipeError(f"{told}: no other ingredient has a share that could make up the rest.")
    return [parts[at] * rest / (1 - whole) if at in parts else each for at, each in enumerate(weights)]
