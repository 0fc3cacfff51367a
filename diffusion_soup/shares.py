"""The shares of a recipe as numbers to search over: a row for the whole model, and one for each group of blocks.

Numbers are in the canonical order of the ingredients, so a search over them does not depend on the user's order.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .errors import RecipeError, shown
from .recipe import Recipe

#: One number for each ingredient.
Row = tuple[float, ...]
Rows = tuple[Row, ...]

_DIGITS = 4


WHOLE, PARTS, BLOCKS = "whole model", "parts", "every block"
GROUPINGS = (WHOLE, PARTS, BLOCKS)


def grouped(grouping: str, blocks: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Groups of a model's blocks: none; its parts (IN, M, OUT, ... by the names without numbers); or one for each."""
    groups: dict[str, tuple[str, ...]] = {}
    for block in blocks if grouping != WHOLE else ():
        name = block if grouping == BLOCKS else re.sub(r"[.\d]+$", "", block) or block
        groups[name] = (*groups.get(name, ()), block)
    return groups


def canonical_order(recipe: Recipe) -> tuple[int, ...]:
    """The places of the ingredients in an order that the user's order does not change."""
    def alone(at: int) -> str:
        each = recipe.ingredients[at]
        return f"{each.sha256} {Recipe((each, dataclasses.replace(each, weight=1.0)), base=recipe.base).canonical()}"

    return tuple(sorted(range(len(recipe.ingredients)), key=alone))


class Shares:
    """``start`` are the recipe's own shares; :meth:`recipe` is the recipe with others.

    Shares of a normalised recipe sum to 1 in each row; those of another one are from 0 to ``most`` each.
    A group begins with the share in its first block. Raises :class:`RecipeError`.
    """

    def __init__(self, recipe: Recipe, groups: Mapping[str, Sequence[str]]) -> None:
        self._recipe, self._groups = recipe, {name: tuple(blocks) for name, blocks in groups.items()}
        self._grouped = [block for group in self._groups.values() for block in group]
        twice = next((block for block in self._grouped if self._grouped.count(block) > 1), None)
        if twice is not None or not all(self._groups.values()):
            what = f"block {shown(twice)} twice" if twice is not None else "a group without blocks"
            raise RecipeError(f"The groups of blocks name {what}; a group needs blocks that are in no other.")
        self._order = canonical_order(recipe)
        first = [None, *(group[0] for group in self._groups.values())]
        weights = [[each.weight if block is None else each.blocks.get(block, each.weight)
                    for each in (recipe.ingredients[at] for at in self._order)] for block in first]
        self.most = 1.0 if recipe.normalise else max(1.0, 2 * max(map(max, weights)))
        start = self.feasible(weights)
        if start is None or any(value < 0 for row in weights for value in row):
            raise RecipeError("A search for shares begins with those of the recipe, which must not be negative, nor "
                              "all of them 0.")
        self.start: Rows = start

    def places(self) -> Iterator[tuple[int, int]]:
        """(row, place in it) of every number that can be changed, in order."""
        if len(self._order) > 1 or not self._recipe.normalise:
            yield from ((at, place) for at in range(len(self.start)) for place in range(len(self._order)))

    def moved(self, rows: Rows, at: int, place: int, step: float) -> Rows | None:
        """With one share larger by ``step``, and the others smaller in proportion where they sum to 1.

        None where there is no such recipe.
        """
        row = list(rows[at])
        old = row[place]
        new = min(max(old + step, 0.0), self.most)
        if self._recipe.normalise:
            rest = sum(row) - old
            row = [value * (1.0 - new) / rest if rest > 0 else (1.0 - new) / (len(row) - 1) for value in row]
        row[place] = new
        return self.feasible((*rows[:at], tuple(row), *rows[at + 1:]))

    def feasible(self, rows: Sequence[Sequence[float]]) -> Rows | None:
        """These numbers as shares, rounded; None where a row has nothing in it."""
        found = []
        for row in rows:
            total = sum(row) if self._recipe.normalise else 1.0
            rounded = tuple(round(value / total, _DIGITS) + 0.0 for value in row) if total > 0 else ()
            if not any(rounded):
                return None
            found.append(rounded)
        return tuple(found)

    def recipe(self, rows: Rows) -> Recipe:
        """The recipe with these shares."""
        ingredients = list(self._recipe.ingredients)
        for place, at in enumerate(self._order):
            each, weight = ingredients[at], rows[0][place]
            blocks = {name: value for name, value in each.blocks.items() if name not in self._grouped}
            for row, group in zip(rows[1:], self._groups.values()):
                blocks.update(dict.fromkeys(group, row[place]) if row[place] != weight else {})
            ingredients[at] = dataclasses.replace(each, weight=weight, blocks=blocks)
        return dataclasses.replace(self._recipe, ingredients=tuple(ingredients))

    def said(self, rows: Rows, at: int | None = None, place: int = 0) -> str:
        """The shares in words: one of them, or all."""
        names = [self._recipe.ingredients[index].name for index in self._order]
        titles = ["", *self._groups]
        if at is not None:
            return f"{names[place]} {titles[at]} {100 * rows[at][place]:.3g}%".replace("  ", " ")
        return "; ".join((f"{title}: " if title else "") + ", ".join(
            f"{name} {100 * value:.3g}%" for name, value in zip(names, row)) for title, row in zip(titles, rows))
