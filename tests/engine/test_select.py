"""Searches find what they promise, at the cost they promise, whatever the order of the ingredients."""

import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion_soup import Cancelled, Ingredient, ModelFile, Recipe, RecipeError, SoupError
from diffusion_soup.select import METHODS, search
from diffusion_soup.shares import grouped

from .kitchen import plain_sentence

NAMES = ("ember", "lagoon", "meadow", "ink", "pearl", "rust")
GROUPS = {"down": ("IN01", "IN02"), "up": ("OUT01",)}


def soup(*names, **settings):
    return Recipe(tuple(Ingredient(f"{name}.safetensors") for name in names), **settings)


class Taster:
    """Scores that depend on the recipe alone, few enough to tie; ``asked`` are the recipes it was asked for."""

    def __init__(self, seed, levels=5, cut=None):
        self.seed, self.levels, self.cut, self.asked, self.known = seed, levels, cut, [], {}

    def __call__(self, recipe):
        if recipe.hash in self.known:
            return self.known[recipe.hash]
        if self.cut is not None and len(self.asked) >= self.cut:
            raise Cancelled("cut")
        self.asked.append(recipe)
        score = random.Random(f"{self.seed} {recipe.hash}").randrange(self.levels) / 4
        self.known[recipe.hash] = score
        return score


def names(recipe):
    return {each.name for each in recipe.ingredients}


def by_sets(scores):
    """An evaluate function by the set of names: {"ember lagoon": 2.0}."""
    known = {frozenset(key.split()): value for key, value in scores.items()}
    return lambda recipe: known[frozenset(names(recipe))]


kinds = st.sampled_from([*METHODS])
some = st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True)
seeds = st.integers(0, 10_000)


def test_greedy_by_hand():
    """Ranked 3, 2, 1; the second helps, the third does not."""
    path = search(soup("ember", "lagoon", "meadow"), by_sets({
        "ember": 1.0, "lagoon": 3.0, "meadow": 2.0, "lagoon meadow": 3.5, "ember lagoon meadow": 3.5}))
    assert [(step.change, step.kept) for step in path.steps] == [
        ("lagoon alone", True), ("meadow alone", False), ("ember alone", False), ("with meadow", True),
        ("with ember", False)]
    assert [step.why for step in path.steps] == ["the best alone", "number 2 alone", "number 3 alone", "0.5 better",
                                                 "no better: equal"]
    assert names(path.recipe) == {"lagoon", "meadow"} and path.score == 3.5 and path.note == ""


def test_reverse_by_hand():
    path = search(soup("ember", "lagoon", "meadow"), by_sets({
        "ember lagoon meadow": 1.0, "ember lagoon": 2.0, "ember meadow": 3.0, "lagoon meadow": 1.0,
        "ember": 3.0, "meadow": 2.0}), "reverse")
    assert names(path.recipe) == {"ember", "meadow"} and path.score == 3.0
    assert [step.change for step in path.steps if step.kept] == ["all 3", "without lagoon"]
    assert "better, but lagoon is better to drop" in [step.why for step in path.steps]


def test_ordered_by_hand():
    """The worst alone is tried first; an equal score drops nothing."""
    path = search(soup("ember", "lagoon", "meadow"), by_sets({
        "ember": 2.0, "lagoon": 0.0, "meadow": 1.0, "ember lagoon meadow": 2.5, "ember meadow": 2.5, "ember lagoon": 3.0
    }), "ordered")
    assert [step.change for step in path.steps[3:]] == ["all 3", "without lagoon", "without meadow", "without ember"]
    assert names(path.recipe) == {"ember", "lagoon"} and path.score == 3.0


@given(some, seeds)
def test_greedy_is_never_worse_than_the_best_alone_and_never_dearer(chosen, seed):
    taster = Taster(seed)
    path = search(soup(*chosen), taster)
    assert path.score >= max(taster.known[soup(name).hash] for name in chosen)
    assert len(taster.asked) == 2 * len(chosen) - 1
    assert path.score == taster.known[path.recipe.hash]


@settings(max_examples=40)
@given(some, seeds, kinds)
def test_any_order_of_the_ingredients_gives_the_same(chosen, seed, method):
    shuffled = sorted(chosen, key=lambda name: random.Random(f"{seed}{name}").random())
    one, other = (search(soup(*order), Taster(seed), method) for order in (chosen, shuffled))
    assert one.recipe.hash == other.recipe.hash and one.score == other.score
    assert [(step.change, step.score, step.kept, step.why) for step in one.steps] == \
        [(step.change, step.score, step.kept, step.why) for step in other.steps]


@settings(max_examples=40)
@given(some, seeds, kinds, st.integers(0, 40))
def test_goes_on_where_it_was_cut(chosen, seed, method, cut):
    whole = Taster(seed)
    path = search(soup(*chosen), whole, method)
    taster = Taster(seed, cut=cut)
    if cut < len(whole.asked):
        with pytest.raises(Cancelled):
            search(soup(*chosen), taster, method)
        assert taster.asked == whole.asked[:cut]
    taster.cut = None
    assert search(soup(*chosen), taster, method) == path
    assert taster.asked == whole.asked, "nothing is scored twice"


@settings(max_examples=40)
@given(some, kinds)
def test_of_equals_the_fewer(chosen, method):
    path = search(soup(*chosen), lambda recipe: 1.0, method)
    if method in ("greedy", "ordered"):
        assert len(path.recipe.ingredients) == 1
    else:
        assert path.recipe == soup(*chosen), "nothing is changed that does not help"


@settings(max_examples=40)
@given(some, seeds, kinds, st.integers(1, 12))
def test_budget(chosen, seed, method, budget):
    taster = Taster(seed)
    path = search(soup(*chosen), taster, method, budget=budget)
    assert len(taster.asked) <= budget
    assert path.score == taster.known[path.recipe.hash]
    assert bool(path.note) == (f"{budget} evaluations" in path.note)


@given(some, seeds, st.sampled_from(["greedy", "reverse", "ordered"]))
def test_costs(chosen, seed, method):
    taster = Taster(seed)
    search(soup(*chosen), taster, method)
    assert len(taster.asked) <= METHODS[method].evaluations(len(chosen))


def peak(best):
    """The nearer to these shares the better."""
    def evaluate(recipe):
        shares = {each.name: share for each, share in zip(recipe.ingredients, recipe.shares())}
        return -sum((shares[name] - share) ** 2 for name, share in best.items())

    return evaluate


@pytest.mark.parametrize("method, near", [("coordinate", 0.05), ("cma", 0.05)])
def test_shares_are_found(method, near):
    best = {"ember": 0.7, "lagoon": 0.2, "meadow": 0.1}
    path = search(soup(*best), peak(best), method, budget=200)
    found = {each.name: share for each, share in zip(path.recipe.ingredients, path.recipe.shares())}
    assert all(abs(found[name] - share) < near for name, share in best.items()), found
    assert path.score == max(step.score for step in path.steps)


@pytest.mark.parametrize("method", ["coordinate", "cma"])
def test_shares_of_groups_of_blocks(method):
    """One specialist for the way down, the other for the rest."""
    def evaluate(recipe):
        ember, lagoon = recipe.ingredients
        down = [each.blocks.get("IN02", each.weight) for each in (ember, lagoon)]
        return ember.weight / (ember.weight + lagoon.weight) + down[1] / sum(down)

    path = search(soup("ember", "lagoon"), evaluate, method, groups=GROUPS, budget=200)
    ember, lagoon = path.recipe.ingredients
    assert path.score > 1.9
    assert ember.weight > 0.9 and lagoon.blocks["IN01"] == lagoon.blocks["IN02"] > 0.9


def test_groups_leave_other_block_weights():
    recipe = Recipe((Ingredient("ember.safetensors", blocks={"M00": 0.25, "IN01": 0.5}), Ingredient("ink.safetensors")))
    path = search(recipe, lambda recipe: recipe.shares("IN01")[0], "coordinate", groups=GROUPS)
    assert path.recipe.ingredients[0].blocks["M00"] == 0.25
    assert path.recipe.shares("IN01")[0] > 0.9


def test_groups_of_a_model():
    blocks = ("BASE", "IN00", "IN01", "M00", "OUT10", "TIME", "double_blocks.0", "double_blocks.12")
    assert grouped("whole model", blocks) == {}
    assert grouped("parts", blocks) == {"BASE": ("BASE",), "IN": ("IN00", "IN01"), "M": ("M00",), "OUT": ("OUT10",),
                                        "TIME": ("TIME",), "double_blocks": ("double_blocks.0", "double_blocks.12")}
    assert grouped("every block", blocks) == {block: (block,) for block in blocks}


def test_not_normalised():
    """Task arithmetic: each share for itself, also above 1."""
    recipe = soup("ember", "lagoon", normalise=False, method="task_arithmetic", base=ModelFile("base.safetensors"))
    for method in ("coordinate", "cma"):
        path = search(recipe, lambda recipe: -abs(recipe.ingredients[0].weight - 1.5), method, budget=120)
        assert path.score > -0.05 and path.recipe.normalise is False


def test_cma_leaves_numpys_random_numbers_alone():
    import numpy as np
    np.random.seed(7)
    wanted = np.random.rand()
    np.random.seed(7)
    search(soup("ember", "lagoon"), Taster(1), "cma", budget=10)
    assert np.random.rand() == wanted


def test_progress_and_cancel():
    class Watch:
        seen, stop = [], False

        def step(self, done, total, what):
            self.seen.append((done, total))

        def cancelled(self):
            return self.stop

    watch = Watch()
    search(soup("ember", "lagoon", "meadow"), Taster(3), progress=watch)
    assert watch.seen == [(at, 5) for at in range(6)]
    watch.stop = True
    taster = Taster(3)
    with pytest.raises(Cancelled):
        search(soup("ember", "lagoon"), taster, progress=watch)
    assert taster.asked == []


def mistakes():
    two = soup("ember", "lagoon")
    yield "method", lambda: search(two, Taster(1), "tabu"), "'tabu'; expected one of greedy, reverse"
    yield "budget", lambda: search(two, Taster(1), budget=-1), "budget is -1"
    yield "nan", lambda: search(two, lambda recipe: float("nan")), "The scorer gave nan for the soup of"
    yield "owner", lambda: search(soup("ember", "lagoon", vae="ember.safetensors"), Taster(1)), \
        "The vae is to come from ember.safetensors, which selection may leave out"
    nothing = Recipe((Ingredient("ember.safetensors"), Ingredient("ink.safetensors", weight=0.0)))
    yield "zero", lambda: search(nothing, Taster(1)), "ink.safetensors has a share of 0"
    yield "twice", lambda: search(two, Taster(1), "cma", groups={"a": ("IN01",), "b": ("IN01",)}), "'IN01' twice"
    yield "empty", lambda: search(two, Taster(1), "coordinate", groups={"a": ()}), "a group without blocks"
    negative = Recipe((Ingredient("ember.safetensors"), Ingredient("ink.safetensors", weight=-0.5)))
    yield "negative", lambda: search(negative, Taster(1), "coordinate"), "must not be negative"


@pytest.mark.parametrize("wrong, words", [pytest.param(run, words, id=name) for name, run, words in mistakes()])
def test_mistakes(wrong, words):
    with pytest.raises(SoupError) as error:
        wrong()
    assert words in plain_sentence(error.value)


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(SoupError) as error:
        search(soup("ember", "lagoon"), Taster(1), "cma")
    assert "pip install diffusion-soup[search]" in plain_sentence(error.value)


def test_a_share_of_zero_can_be_searched_from():
    recipe = Recipe((Ingredient("ember.safetensors"), Ingredient("ink.safetensors", weight=0.0)))
    assert search(recipe, peak({"ember": 0.0, "ink": 1.0}), "coordinate").score == 0


def test_one_ingredient_alone():
    for method in METHODS:
        path = search(soup("ember"), Taster(1), method)
        assert names(path.recipe) == {"ember"}
    with pytest.raises(RecipeError):
        search(Recipe(()), Taster(1))
