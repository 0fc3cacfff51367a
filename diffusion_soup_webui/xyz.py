"""Axes of the host's X/Y/Z plot: shares, shares in blocks, whole recipes, style weights.

A grid is of the soup in use, or of the Soup tab's table where none is, as all axes together change it. Each cell's soup
is lent: what is in use stays in use, and comes back when the grid ends, however it ends.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from diffusion_soup import Cancelled, Recipe, RecipeError, SoupError, axes
from diffusion_soup.axes import Share, Whole
from diffusion_soup.errors import shown

from . import style_axis
from .bridge.host import grid_names_checkpoint
from .jobs import Job
from .pot import Held

if TYPE_CHECKING:
    from diffusion_soup.dmm import Codebook

RECIPE, SHARE, BLOCK = "[Soup] Recipe", "[Soup] Share", "[Soup] Share in a block"
_GRID, _VALUES, _LENT = "diffusion_soup_grid", "diffusion_soup_values", "diffusion_soup_lent"


class Cost(float):
    """How long a step along an axis takes, for the host, which puts the axis that is strictly greatest outside. Greater
    than its equal, so that with two of them the third, such as seeds, still comes inside."""

    def __gt__(self, other: object) -> bool:
        return isinstance(other, float) and float.__ge__(self, other)


def register(kitchen: Any) -> None:
    """Have the axes added whenever the host builds its page; by then its scripts are loaded."""
    from modules import script_callbacks

    script_callbacks.on_before_ui(lambda: add(kitchen))


def add(kitchen: Any) -> None:
    """Add the axes to the X/Y/Z plot that the host has loaded, unless they are there."""
    from modules import scripts

    for module in {id(data.module): data.module for data in scripts.scripts_data}.values():
        options, kind = getattr(module, "axis_options", None), getattr(module, "AxisOption", None)
        if isinstance(options, list) and kind is not None:
            there = {option.label for option in options}
            options.extend(option for option in build(kitchen, kind) if option.label not in there)


def build(kitchen: Any, kind: Callable[..., Any]) -> list[Any]:
    """Our axes, of the host's own class: it takes no other for one of both tabs."""

    def confirm(p: Any, values: Sequence[Any]) -> None:
        grid_of(kitchen, p).add(values)

    def apply(p: Any, value: Any, values: Sequence[Any]) -> None:
        grid_of(kitchen, p).apply(p, value)

    def label(p: Any, option: Any, value: Any) -> str:
        return grid_of(kitchen, p).label(p, value)

    def axis(name: str, cost: float, read: Callable[[Any], Any] = lambda value: value, **more: Any) -> Any:
        return kind(name, read, apply, format_value=label, confirm=confirm, cost=Cost(cost), **more)

    return [axis(RECIPE, 0.98, lambda name: Whole(name, read_recipe(kitchen, name)), choices=kitchen.shelf.names),
            axis(SHARE, 0.96, prepare=axes.shares),
            axis(BLOCK, 0.94, prepare=lambda text: axes.shares(text, blocks=True)),
            style_axis.build(kitchen, kind)]


def read_recipe(kitchen: Any, name: str) -> Recipe:
    """A kept recipe, that of a saved soup, or one that was cooked here, by its hash. Raises :class:`SoupError`."""
    if not kitchen.shelf.has(name):
        found: Recipe | None = kitchen.recipe_of(name.strip()) if len(name.strip()) >= 8 else None
        if found is None and name.lower().endswith((".safetensors", ".sft")):
            found = kitchen.read_checkpoint(name)
        if found is None:
            raise RecipeError(f"There is no recipe {shown(name)}. Expected one that Keep in the Soup tab has put into "
                              f"{kitchen.shelf.folder}, a saved soup, or the hash of a soup that was cooked here.")
        return found
    kept: Recipe = kitchen.shelf.read(name)
    return kept


def lent(p: Any) -> Held | None:
    """The soup that this cell of a grid is made with."""
    return getattr(p, _LENT, None)


def has_soups(p: Any) -> bool:
    """Whether the cells of this request's grid are different soups."""
    return hasattr(p, _GRID)


def grid_of(kitchen: Any, p: Any) -> Grid:
    """The grid that a request is, made when it is first asked for; its cells, which are copies, share it."""
    grid = getattr(p, _GRID, None)
    if grid is None:
        grid = Grid(kitchen)
        setattr(p, _GRID, grid)
        _take_back_at_the_end(kitchen, p)
    found: Grid = grid
    return found


def _take_back_at_the_end(kitchen: Any, p: Any) -> None:
    """The host closes a request when it is done with it, holding its lock still."""
    close = getattr(p, "close", None)

    def closing() -> None:
        try:
            if close is not None:
                close()
        finally:
            kitchen.take_back()

    p.close = closing


class Grid:
    """The axes of ours in one plot, and the soup that its last cell was made with."""

    def __init__(self, kitchen: Any) -> None:
        self._kitchen = kitchen
        self._axes: list[tuple[Any, ...]] = []
        self._base: Recipe | None = kitchen.in_use() or kitchen.table
        self._kinds: list[Recipe] = []  # one for each that headers tell apart
        self._soups = self._cooked = 0
        self._last: tuple[Recipe, Held] | None = None
        self._job: Job | None = None

    def add(self, values: Sequence[Any]) -> None:
        """An axis, before the first cell."""
        if not values:
            raise RecipeError(f"An axis {RECIPE} needs recipes. Keep some in the Soup tab, and choose among them.")
        if any(isinstance(axis[0], Whole) for axis in self._axes) and isinstance(values[0], Whole):
            raise RecipeError(f"Two axes are {RECIPE}, and a cell has one recipe. Make another of them shares.")
        self._axes.append(tuple(values))

    def label(self, p: Any, value: Share | Whole) -> str:
        """What the host writes beside a row or column. It asks when it has read every axis, before the first cell, so
        this is where a grid that cannot be is refused."""
        self.check(p)
        if isinstance(value, Whole):
            return value.name.rsplit("/", 1)[-1].removesuffix(".json")
        base = next((axis[0].recipe for axis in self._axes if isinstance(axis[0], Whole)), self._base)
        assert base is not None
        return value.label(base.ingredients[axes.position(base, value.ingredient)].name)

    def apply(self, p: Any, value: Share | Whole) -> None:
        """One axis of a cell; with the last of ours, the cell's soup becomes the model in memory."""
        values = (*getattr(p, _VALUES, ()), value)
        setattr(p, _VALUES, values)
        if len(values) >= len(self._axes):
            self.check(p)
            setattr(p, _LENT, self._soup(axes.changed(self._base, values)))

    def _soup(self, recipe: Recipe) -> Held | None:
        """Cooked, unless the cell before had the same. None where the user has stopped the grid."""
        if self._last is None or self._last[0] != recipe:
            self._last = None
            self._cooked += 1
            with self._telling() as progress:
                try:
                    self._last = recipe, self._kitchen.lend(recipe, progress)
                except Cancelled:
                    return None
        return self._last[1]

    def check(self, p: Any) -> None:
        """All that can be refused is refused before anything is cooked. Raises :class:`SoupError`."""
        if self._kinds:
            return
        if grid_names_checkpoint(self._kitchen.host, p):
            raise SoupError("A grid of soups takes no other checkpoint: the recipe says which files there are. Take "
                            "the checkpoint out of the request, or out of the axes.")
        soups = {axes.changed(self._base, values) for values in itertools.product(*self._axes)}
        kinds = {_kind(recipe): recipe for recipe in soups}
        for recipe in kinds.values():
            self._kitchen.check(recipe)
        self._soups, self._kinds = len(soups), list(kinds.values())

    def codebooks(self, p: Any) -> list[Codebook | None]:
        """The styles of each kind of soup in this grid. Raises :class:`SoupError`."""
        self.check(p)
        return [self._kitchen.styles_of(recipe) for recipe in self._kinds]

    @contextmanager
    def _telling(self) -> Iterator[_Progress]:
        self._job = self._job or self._kitchen.grid_begins()
        which = f"soup {self._cooked} of {max(self._soups, self._cooked)}"
        done = (self._cooked - 1) / max(self._soups, self._cooked)
        try:
            yield _Progress(self._kitchen.host, self._job, which, done)
        finally:
            self._kitchen.host.say("")
            self._job.say(f"a grid: pictures with {which}", done)


class _Progress:
    """Shown where the host shows its own, and in the Soup tab; stopped by the button of either."""

    def __init__(self, host: Any, job: Job, which: str, grid: float) -> None:
        self._host, self._job, self._which, self._grid = host, job, which, grid

    def step(self, done: int, total: int, what: str) -> None:
        self._host.say(f"Cooking {self._which}: {what}, {done / total if total else 1:.0%}")
        if not self._job.cancelled():
            self._job.say(f"a grid: {self._which}, {what}", self._grid)

    def cancelled(self) -> bool:
        stopped: bool = self._job.cancelled() or self._host.stopping()
        return stopped


def _kind(recipe: Recipe) -> str:
    """The same for recipes that differ in the size of their weights alone: headers tell the same about them."""
    data = recipe.to_dict()
    for each in data["ingredients"]:
        each["weight"] = _sign(each["weight"])
        each["blocks"] = {name: _sign(weight) for name, weight in each["blocks"].items()}
    return json.dumps(data)


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)
