"""Which styles stand where on a sheet of pictures: every style, or mixes of pairs (paper Figs. 10 and 22)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType

from ..errors import RecipeError

Weights = Mapping[str, float]
MAX_CELLS = 400


@dataclass(frozen=True)
class Cell:
    """One picture: its label and the weights of its styles; None for the plain model."""

    label: str
    weights: Weights | None


@dataclass(frozen=True)
class Sheet:
    """Rows of cells, all of one length; None where a row has fewer pictures."""

    rows: tuple[tuple[Cell | None, ...], ...]

    @property
    def cells(self) -> list[Cell]:
        return [cell for row in self.rows for cell in row if cell is not None]


def plan_sheet(kind: str, names: Sequence[str], steps: int = 5, plain: bool = False) -> Sheet:
    """The sheet of a ``kind`` in :data:`KINDS`; ``steps`` pictures from one style to the next, ``plain`` puts the model
    without a style first.

    Raises :class:`RecipeError` for too few styles, or more than 400 pictures.
    """
    if kind not in KINDS:
        raise RecipeError(f"There is no sheet called {kind!r}; choose one of {', '.join(KINDS)}.")
    rows = KINDS[kind](names, steps)
    if plain:
        first = Cell("no style", None)
        rows = _wrapped([first, *(cell for row in rows for cell in row)]) if kind == EVERY else [[first], *rows]
    width = max(map(len, rows))
    sheet = Sheet(tuple((*row, *[None] * (width - len(row))) for row in rows))
    if len(sheet.cells) > MAX_CELLS:
        raise RecipeError(f"This sheet would have {len(sheet.cells)} pictures, and {MAX_CELLS} are the most. Name "
                          "fewer styles or take fewer steps.")
    return sheet


def _every(names: Sequence[str], steps: int) -> list[list[Cell]]:
    """Each style alone, in about as many rows as columns."""
    return _wrapped([Cell(name, {name: 1.0}) for name in names])


def _pairs(names: Sequence[str], steps: int) -> list[list[Cell]]:
    """A row for each pair: from the one to the other."""
    _need(names, 2, "pairs")
    shares = [step / (steps - 1) for step in range(steps)] if steps > 1 else [0.5]
    return [[_mix({one: 1 - share, other: share}) for share in shares] for one, other in combinations(names, 2)]


def _halves(names: Sequence[str], steps: int) -> list[list[Cell]]:
    """A square: row and column half and half, each style alone on the diagonal."""
    _need(names, 2, "pairs")
    return [[_mix({one: 1.0} if one == other else {one: 0.5, other: 0.5}) for other in names] for one in names]


def _corners(names: Sequence[str], steps: int) -> list[list[Cell]]:
    """A square between four styles, one in each corner: w = (1−u)(1−v), u(1−v), (1−u)v, uv."""
    _need(names, 4, "four corners")
    if len(names) > 4:
        raise RecipeError(f"A sheet of four corners has four styles, not {len(names)}; name four of them.")
    shares = [step / (steps - 1) for step in range(steps)] if steps > 1 else [0.5]

    def weights(u: float, v: float) -> Weights:
        return dict(zip(names, ((1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v)))

    return [[_mix(weights(u, v)) for u in shares] for v in shares]


EVERY = "every style"
KINDS: Mapping[str, Callable[[Sequence[str], int], list[list[Cell]]]] = MappingProxyType(
    {EVERY: _every, "pairs, step by step": _pairs, "all pairs, half and half": _halves, "four corners": _corners})


def _mix(weights: Weights) -> Cell:
    used = {name: weight for name, weight in weights.items() if weight > 1e-9}
    label = " + ".join(name if len(used) == 1 else f"{weight:.0%} {name}" for name, weight in used.items())
    return Cell(label, used)


def _wrapped(cells: list[Cell]) -> list[list[Cell]]:
    width = math.ceil(math.sqrt(len(cells)))
    return [cells[start:start + width] for start in range(0, len(cells), width)]


def _need(names: Sequence[str], count: int, what: str) -> None:
    if len(names) < count:
        raise RecipeError(f"A sheet of {what} needs at least {count} styles, and there are {len(names)}.")
