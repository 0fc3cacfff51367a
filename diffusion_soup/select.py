"""Selection: which specialists belong into a soup, and with which shares, by what a scorer says of each candidate.

Nothing here knows of pictures: a search asks ``evaluate(recipe)`` for a score, the higher the better. It is
deterministic and never asks twice for one recipe, so a search whose evaluations are kept goes on where it was cut.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .errors import RecipeError, SoupError, shown
from .progress import Progress, Silent, check
from .recipe import Recipe
from .shares import Shares, canonical_order

#: The score of a recipe. It may raise, which ends the search; what it raised reaches the caller.
Evaluate = Callable[[Recipe], float]


@dataclass(frozen=True)
class Method:
    """A way to search: ``evaluations`` says how many it needs at most for N ingredients, or its usual budget."""

    name: str
    title: str
    evaluations: Callable[[int], int]


METHODS = {method.name: method for method in (
    Method("greedy", "the best alone, then each next one once", lambda n: 2 * n - 1),
    Method("reverse", "from all, again and again drop what helps most", lambda n: 1 + n * (n + 1) // 2),
    Method("ordered", "from all, one pass, the worst alone first", lambda n: 2 * n + 1),
    Method("coordinate", "shares one by one, in ever smaller steps", lambda n: 20 * n),
    Method("cma", "all shares together, by CMA-ES", lambda n: 40 * n),
)}


@dataclass(frozen=True)
class Step:
    """One evaluation: what was tried, its score, whether the search went on from it, and why or why not."""

    recipe: Recipe
    score: float
    kept: bool
    change: str
    why: str


@dataclass(frozen=True)
class Path:
    """A search from its first evaluation to its result. ``note`` says why it ended early; empty if it did not."""

    method: str
    steps: tuple[Step, ...]
    recipe: Recipe
    score: float
    note: str = ""


def search(recipe: Recipe, evaluate: Evaluate, method: str = "greedy", *, budget: int = 0,
           groups: Mapping[str, Sequence[str]] | None = None, seed: int = 0, progress: Progress | None = None) -> Path:
    """Select among the ingredients of ``recipe``, or search for their shares.

    ``budget`` is how many evaluations may be made; 0: as many as the method needs. ``groups`` (name -> blocks) gives
    coordinate and CMA search a share of their own in each group of blocks. ``seed`` is that of CMA.
    Raises :class:`SoupError`, :class:`Cancelled`, and whatever ``evaluate`` does.
    """
    if method not in METHODS:
        raise RecipeError(f"The method of selection is {shown(method)}; expected one of {', '.join(METHODS)}.")
    run = _Run(recipe, evaluate, method, budget, progress or Silent())
    note = ""
    try:
        if method == "coordinate":
            _coordinate(run, Shares(recipe, groups or {}))
        elif method == "cma":
            _cma(run, Shares(recipe, groups or {}), seed)
        else:
            {"greedy": _greedy, "reverse": _reverse, "ordered": _ordered}[method](run)
    except _Enough:
        note = f"Stopped after {run.done} evaluations, as many as were allowed."
    best = max((step for step in run.steps if step.kept), key=lambda step: step.score)
    run.progress.step(run.total, run.total, "soups")
    return Path(method, tuple(run.steps), best.recipe, best.score, note)


class _Enough(Exception):
    """The budget is used up."""


class _Run:
    """What all searches need: candidates in an order of their own, scores without repeats, and the steps so far."""

    def __init__(self, recipe: Recipe, evaluate: Evaluate, method: str, budget: int, progress: Progress) -> None:
        if isinstance(budget, bool) or not isinstance(budget, int) or budget < 0:
            raise RecipeError(f"The budget is {shown(budget)}; expected a number of evaluations, or 0.")
        _check_parts(recipe)
        self.recipe, self.progress = recipe, progress
        self.all = canonical_order(recipe)
        self.total = budget or METHODS[method].evaluations(len(self.all))
        self.limit = budget or (self.total if method in ("coordinate", "cma") else math.inf)
        self.steps: list[Step] = []
        self.done = 0
        self._evaluate = evaluate
        self._known: dict[str, float] = {}

    def subset(self, kept: Sequence[int]) -> Recipe:
        """The recipe with these ingredients alone, in the user's order."""
        chosen = tuple(each for at, each in enumerate(self.recipe.ingredients) if at in kept)
        if not any(each.weight or any(each.blocks.values()) or each.elements for each in chosen):
            raise RecipeError(f"{chosen[0].file} has a share of 0, so it cannot be tried alone; give it a share, or "
                              "leave it out.")
        return dataclasses.replace(self.recipe, ingredients=chosen)

    def name(self, at: int) -> str:
        return self.recipe.ingredients[at].name

    def score(self, recipe: Recipe) -> float:
        """The score of a recipe, asked for once. Raises :class:`_Enough` and :class:`Cancelled`."""
        key = recipe.hash
        if key not in self._known:
            check(self.progress)
            if self.done >= self.limit:
                raise _Enough
            self.progress.step(min(self.done, self.total), self.total, "soups")
            score = float(self._evaluate(recipe))
            if not math.isfinite(score):
                of = ", ".join(each.name for each in recipe.ingredients)
                raise SoupError(f"The scorer gave {score} for the soup of {of}; a score must be a finite number.")
            self._known[key] = score
            self.done += 1
        return self._known[key]

    def say(self, recipe: Recipe, score: float, kept: bool, change: str, why: str) -> None:
        self.steps.append(Step(recipe, score, kept, change, why))

    def ranked(self) -> list[tuple[float, int]]:
        """Every ingredient alone, the best first; of equals the first in canonical order."""
        scored: list[tuple[float, int]] = []
        try:
            for at in self.all:
                scored.append((self.score(self.subset((at,))), at))
        finally:
            scored.sort(key=lambda each: -each[0])  # stable, so equals stay in canonical order
            for rank, (score, at) in enumerate(scored, 1):
                self.say(self.subset((at,)), score, rank == 1, f"{self.name(at)} alone",
                         "the best alone" if rank == 1 else f"number {rank} alone")
        return scored


def _check_parts(recipe: Recipe) -> None:
    """A part of the model that comes from one ingredient would be missing in candidates without it."""
    base = recipe.base.file if recipe.base else None
    for field in ("text_encoder", "vae"):
        owner = getattr(recipe, field)
        if owner not in (None, "soup", "base", "none", base):
            raise RecipeError(f"The {field.replace('_', ' ')} is to come from {owner}, which selection may leave out; "
                              "take it from the soup or from a base.")


def _greedy(run: _Run) -> None:
    """Wortsman et al., arXiv 2203.05482, Recipe 1: N scores alone and N − 1 of soups."""
    ranked = run.ranked()
    best, first = ranked[0]
    kept = [first]
    for _, at in ranked[1:]:
        tried = run.subset((*kept, at))
        score = run.score(tried)
        better = score > best
        run.say(tried, score, better, f"with {run.name(at)}", _compared(score, best))
        if better:
            best = score
            kept.append(at)


def _reverse(run: _Run) -> None:
    """From all; each round the one whose removal helps most goes, until none helps: O(N²) scores."""
    kept = list(run.all)
    best = _whole(run)
    while len(kept) > 1:
        tried = [(run.score(run.subset([each for each in kept if each != at])), at) for at in kept]
        score, gone = max(tried, key=lambda each: each[0])  # of equals the first in canonical order
        for other, at in tried:
            helps = at == gone and score > best
            why = _compared(other, best)
            if other > best and not helps:
                why = f"better, but {run.name(gone)} is better to drop"
            run.say(run.subset([each for each in kept if each != at]), other, helps, f"without {run.name(at)}", why)
        if score <= best:
            return
        best = score
        kept.remove(gone)


def _ordered(run: _Run) -> None:
    """From all; one pass, the worst alone first, each dropped if that helps: O(N) scores."""
    kept = list(run.all)
    ranked = run.ranked()
    best = _whole(run)
    for _, at in reversed(ranked):
        rest = [each for each in kept if each != at]
        if not rest:
            return
        tried = run.subset(rest)
        score = run.score(tried)
        better = score > best
        run.say(tried, score, better, f"without {run.name(at)}", _compared(score, best))
        if better:
            best, kept = score, rest


def _whole(run: _Run) -> float:
    score = run.score(run.recipe)
    run.say(run.recipe, score, True, f"all {len(run.all)}", "the beginning")
    return score


def _coordinate(run: _Run, shares: Shares) -> None:
    """Each share a step up, else a step down, as long as that helps; then steps of half the size."""
    rows = shares.start
    best = _whole(run)
    size = 0.25
    while size > 0.03:
        helped = False
        for at, place in shares.places():
            for step in (size, -size):
                moved = shares.moved(rows, at, place, step)
                if moved is None or moved == rows:
                    continue
                tried = shares.recipe(moved)
                score = run.score(tried)
                better = score > best
                run.say(tried, score, better, shares.said(moved, at, place), _compared(score, best))
                if better:
                    rows, best, helped = moved, score, True
                    break
        if not helped:
            size /= 2


def _cma(run: _Run, shares: Shares, seed: int) -> None:
    """CMA-ES (Hansen & Ostermeier 2001) over all shares, by the library ``cma``."""
    best = _whole(run)
    if len(run.all) < 2:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it cannot draw
            import cma
    except ImportError:
        raise SoupError("CMA search needs the library cma: pip install diffusion-soup[search], or choose coordinate "
                        "search.") from None
    width = len(run.all)
    strategy = cma.CMAEvolutionStrategy(
        [value for row in shares.start for value in row], 0.2 * shares.most,
        {"bounds": [0.0, shares.most], "verbose": -9, "maxfevals": 4 * run.total, "seed": math.nan,  # numpy's own stays
         "randn": np.random.RandomState(seed).randn})
    while not strategy.stop():
        asked = strategy.ask()
        worths: list[float | None] = []
        for vector in asked:
            numbers = tuple(float(value) for value in vector)
            rows = shares.feasible([numbers[at:at + width] for at in range(0, len(numbers), width)])
            worths.append(None)
            if rows is not None:
                tried = shares.recipe(rows)
                worths[-1] = score = run.score(tried)
                run.say(tried, score, score > best, shares.said(rows), _compared(score, best))
                best = max(best, score)
        worst = min((worth for worth in worths if worth is not None), default=0.0)
        strategy.tell(asked, [-(worst - 1.0 if worth is None else worth) for worth in worths])


def _compared(score: float, best: float) -> str:
    if score > best:
        return f"{score - best:.4g} better"
    return "no better: equal" if score == best else f"{best - score:.4g} worse"
