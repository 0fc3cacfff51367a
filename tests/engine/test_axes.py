"""What is written as values of an axis, and what becomes of a recipe."""

import pytest

from diffusion_soup import Ingredient, Recipe, RecipeError
from diffusion_soup.axes import Share, Whole, changed, numbers, position, shares

ABC = Recipe((Ingredient("anime.safetensors", weight=1.0, blocks={"OUT03": 0.5}),
              Ingredient("x/photo real.safetensors", weight=1.0), Ingredient("2.safetensors", weight=2.0)))


@pytest.mark.parametrize("text, expected", [
    ("0.25", [0.25]), ("-1", [-1]), (".5", [0.5]), ("0-1", [0, 1]), ("0-1 [5]", [0, 0.25, 0.5, 0.75, 1]),
    ("0-1 (+0.25)", [0, 0.25, 0.5, 0.75, 1]), ("0-1(+0.3)", [0, 0.3, 0.6, 0.9]), ("1-0 [3]", [1, 0.5, 0]),
    ("1-0 (-0.5)", [1, 0.5, 0]), ("-1-1 [3]", [-1, 0, 1]), ("2-2", [2]), ("0-1 [1]", [0]), ("3-0", [3, 2, 1, 0]),
])
def test_numbers_and_ranges(text, expected):
    assert numbers(text) == [(each, False) for each in expected]


@pytest.mark.parametrize("text, expected", [
    ("25%", [25]), ("0-100% [3]", [0, 50, 100]), ("0%-100% (+50)", [0, 50, 100]), ("0-100 [2] %", [0, 100]),
])
def test_percents(text, expected):
    assert numbers(text) == [(each, True) for each in expected]


@pytest.mark.parametrize("text, sentence", [
    ("", "needs values"), ("0.5", "does not say which ingredient"), ("a: ", "'' is not a value"),
    ("a: b", "'b' is not a value"), ("a: 150%", "outside of 0 to 100"), ("a: 0-1 (-0.5)", "never comes to an end"),
    ("a: 0-1 (+0)", "never comes to an end"), ("a: 0-9 [0]", "a range of 0 values".capitalize()),
    ("a: 0-9 (+0.0001)", "too long"), ("a: nan", "is not a value"), ("a: 1e400", "is not a value"),
    ("a: 0-1 [600], 0-1 [600]", "1200 values"),
])
def test_what_is_no_axis_is_said_in_one_sentence(text, sentence):
    with pytest.raises(RecipeError, match=sentence.replace("(", r"\(")):
        shares(text)


def test_names_hold_until_the_next():
    assert shares('anime: 0, 0.5, photo real: 25%, "a, b: 1"') == [
        Share("anime", 0.0), Share("anime", 0.5), Share("photo real", 25.0, True), Share("a, b", 1.0)]


def test_blocks():
    (found,) = shares("photo real in01-in03: 0.5", blocks=True)
    assert found == Share("photo real", 0.5, False, "in01-in03", ("IN01", "IN02", "IN03"))
    for text, sentence in (("anime: 1", "which block"), ("anime X1: 1", "names no block"), ("OUT03: 1", "which block")):
        with pytest.raises(RecipeError, match=sentence):
            shares(text, blocks=True)


def test_labels():
    assert Share("2", 0.1 + 0.2).label("anime") == "anime: 0.3"
    assert Share("2", 25, True, "OUT03", ("OUT03",)).label("anime") == "anime OUT03: 25 %"


@pytest.mark.parametrize("name, at", [("anime", 0), ("ANIME.safetensors", 0), ("x\\photo real.safetensors", 1),
                                      ("photo", 1), ("1", 0), ("2", 2), ("3", 2)])
def test_ingredients_by_name_and_number(name, at):
    assert position(ABC, name) == at


def test_ingredients_that_are_not_there():
    with pytest.raises(RecipeError, match="'ghost' is not in this soup, which has 1 anime, 2 photo real, 3 2"):
        position(ABC, "ghost")
    twice = Recipe((Ingredient("a/x.safetensors"), Ingredient("b/x.safetensors")))
    with pytest.raises(RecipeError, match="'x' may be 1 or 2; give the number"):
        position(twice, "x")
    assert position(twice, "2") == 1


def weights(text, *more, base=ABC, blocks=False):
    recipe = changed(base, [*shares(text, blocks), *more])
    return [dict(each.blocks) if blocks else each.weight for each in recipe.ingredients]


def test_shares():
    assert weights("anime: 0.25") == [0.25, 1, 2]
    assert weights("anime: 25%") == [1, 1, 2] and weights("anime: 0%") == [0, 1, 2]
    assert weights("anime: 50%") == [3, 1, 2] and weights("anime: 100%") == [1, 0, 0]
    assert weights("anime: 25%", Share("photo", 25, True)) == [1, 1, 2], "both at a time"
    assert weights("anime: 40%", Share("photo", 60, True)) == [0.4, 0.6, 0]
    assert changed(ABC, [Share("anime", 3)]).shares() == (0.5, 1 / 6, 1 / 3)


def test_shares_in_blocks():
    assert weights("photo OUT02-OUT03: 0.5", blocks=True) == [{"OUT03": 0.5}, {"OUT02": 0.5, "OUT03": 0.5}, {}]
    assert weights("photo OUT03: 50%", blocks=True) == [{"OUT03": 0.5}, {"OUT03": 2.5}, {}]
    assert weights("photo OUT03: 100%", blocks=True) == [{"OUT03": 0}, {}, {"OUT03": 0}], "as its share is 1"
    recipe = changed(ABC, [*shares("photo OUT03: 1", True), Share("photo", 3)])
    assert (recipe.ingredients[1].weight, dict(recipe.ingredients[1].blocks)) == (3, {"OUT03": 1}), "shares first"


def test_recipes_come_first():
    other = Recipe((Ingredient("z.safetensors"), Ingredient("y.safetensors")))
    assert weights("z: 5", Whole("kept", other)) == [5, 1]
    assert changed(None, [Whole("kept", other)]) == other
    assert changed(ABC, []) is ABC


@pytest.mark.parametrize("values, base, sentence", [
    (shares("anime: 1"), None, "no soup whose shares"), (shares("z: 1"), ABC, "is not in this soup"),
    ([Share("anime", 60, True), Share("photo", 60, True)], ABC, "more than 100 % together"),
    (shares("anime: 50%"), Recipe(ABC.ingredients, normalise=False), "leave out the %"),
    (shares("anime: 50%"), Recipe((Ingredient("anime.safetensors"),)), "could make up the rest"),
    (shares("1: 0"), Recipe((Ingredient("anime.safetensors"),)), "nothing to cook"),
])
def test_what_cannot_be_said(values, base, sentence):
    with pytest.raises(RecipeError, match=sentence):
        changed(base, values)
