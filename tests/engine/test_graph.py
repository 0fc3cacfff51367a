"""Graphs of our ComfyUI nodes, evaluated without ComfyUI."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffusion_soup import Ingredient, ModelFile, Recipe, RecipeError, graph
from diffusion_soup.graph import recipe_of_prompt, recipes_of_prompt

A, B = Ingredient("a.safetensors"), Ingredient("b.safetensors", weight=0.5)


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def only(prompt):
    """The one recipe of a graph."""
    recipe, = recipes_of_prompt(prompt).values()
    return recipe


TWO = {"1": node("DSoupIngredient", file="a.safetensors", share=1.0),
       "2": node("DSoupIngredient", file="b.safetensors", share=0.5, ingredients=["1", 0])}
COOKED = TWO | {"3": node("DSoupCook", ingredients=["2", 0], text_encoder="soup", vae="auto", dtype="auto",
                          device="auto")}


def test_ingredients_and_cook():
    assert recipes_of_prompt(COOKED) == {"3": Recipe((A, B))}


def test_loras_base_and_method():
    prompt = TWO | {
        "3": node("DSoupLoRAIngredient", file="ink.safetensors", share=0.6, strength=0.8, ingredients=["2", 0]),
        "4": node("DSoupCook", ingredients=["3", 0], method="task_arithmetic", scale=0.5, base="base.safetensors",
                  vae="base", dtype="bfloat16", normalise=False, rounding_seed=7)}
    ink = Ingredient("ink.safetensors", "lora", weight=0.6, strength=0.8)
    assert only(prompt) == Recipe((A, B, ink), "task_arithmetic", {"scale": 0.5}, False, 7,
                                  ModelFile("base.safetensors"), "soup", "base", "bfloat16")


def weighted(**inputs):
    prompt = {"w": node("DSoupBlockWeights", **({"family": "SD 1 / SD 2"} | inputs)),
              "1": node("DSoupIngredient", file="a.safetensors", share=0.5, block_weights=["w", 0],
                        elements="M00::1\n\n"),
              "2": node("DSoupCook", ingredients=["1", 0])}
    each, = only(prompt).ingredients
    return dict(each.blocks), each.elements


def test_block_weights():
    assert weighted(meaning=graph.TIMES, IN00=0.5, M00=1.0, nonsense=3) == ({"IN00": 0.25}, ("M00::1",))
    assert weighted(meaning=graph.INSTEAD, IN00=0.5, M00=1.0)[0] == {"M00": 1.0}
    assert weighted(meaning=graph.INSTEAD, mbw="OUT03=0.2, double_blocks.7=0.1", IN00=9)[0] == {
        "OUT03": 0.2, "double_blocks.7": 0.1}
    mbw = ",".join(["0.5"] * 25 + ["0.75"])
    assert weighted(meaning=graph.INSTEAD, mbw=mbw)[0] == {"OUT11": 0.75, "FINAL": 0.75}


def test_add_remove_and_recipes():
    prompt = COOKED | {
        "4": node("DSoupIngredient", file="c.safetensors"),
        "5": node("DSoupRecipe", json=Recipe((A, B)).to_json(), picture="none", soup="none"),
        "6": node("DSoupAdd", recipe=["5", 0], ingredients=["4", 0]),
        "7": node("DSoupRemove", recipe=["6", 0], name="a"),
        "8": node("DSoupCook", recipe=["7", 0]),
        "9": node("DSoupCook", ingredients=["5", 1])}
    found = recipes_of_prompt(prompt)
    assert found["8"] == Recipe((B, Ingredient("c.safetensors")))
    assert found["9"] == found["3"] == Recipe((A, B))


def test_the_recipe_output_of_a_cook_can_be_used():
    prompt = COOKED | {"4": node("DSoupRemove", recipe=["3", 3], name="b"), "5": node("DSoupCook", recipe=["4", 0])}
    assert recipes_of_prompt(prompt)["5"] == Recipe((A,))


def test_cook_wants_one_of_two():
    for given_ in ({}, {"ingredients": (A,), "recipe": Recipe((A,))}):
        with pytest.raises(RecipeError, match="either ingredients or a recipe"):
            graph.cook(**given_)


@pytest.mark.parametrize("broken", [
    {"1": node("DSoupIngredient", file=["99", 0]), "2": node("DSoupIngredient", file="x", ingredients=["1", 0])},
    {"2": node("KSampler")}, {"2": node("DSoupIngredient", file="../x")}, {"2": node("DSoupIngredient")},
    {"2": node("DSoupIngredient", file="x", surprise=1)}, {"2": node("DSoupIngredient", file="x", share="much")},
    {"2": node("DSoupIngredient", file="x", ingredients=["3", 0])}, {"2": None},
    {"2": {"class_type": "DSoupIngredient"}},
    {"2": {"class_type": "DSoupIngredient", "inputs": []}}, {"2": {"class_type": ["x"]}}, {},
    {"2": node("DSoupIngredient", file="x", block_weights=["4", 0]), "4": node("DSoupBlockWeights", family="Klingon")},
    {"2": node("DSoupIngredient", file="x", block_weights=["4", 0]),
     "4": node("DSoupBlockWeights", family="SDXL", preset="no such preset")},
    {"2": node("DSoupIngredient", file="x", block_weights=["4", 0], share=2),
     "4": node("DSoupBlockWeights", family="SDXL", IN00=10 ** 400)},
])
def test_what_cannot_be_evaluated_is_left_out(broken):
    good = {"10": node("DSoupIngredient", file="a.safetensors"), "11": node("DSoupCook", ingredients=["10", 0])}
    prompt = {"3": node("DSoupCook", ingredients=["2", 0])} | broken | good
    assert recipes_of_prompt(prompt) == {"11": Recipe((A,))}


@pytest.mark.parametrize("prompt, words", [
    ({}, "Only the running graph"), ({"3": node("KSampler")}, "Only the running graph"),
    ({"3": node("DSoupCook", recipe=["4", 0]), "4": node("DSoupRecipe", picture="a.png")}, "Only the running graph"),
    ({"3": node("DSoupCook")}, "Connect either"), ({"3": node("DSoupCook", ingredients=["1", 0])}, "Only the running"),
    ({"3": node("DSoupCook", recipe=["4", 0]), "4": node("DSoupRecipe", json="{")}, "not valid JSON"),
    (TWO | {"3": node("DSoupCook", ingredients=["2", 0], surprise=1)}, "missing or that no recipe"),
    ({"3": {"class_type": "DSoupCook", "inputs": [7]}}, "missing or that no recipe"),
    (TWO | {"3": node("DSoupIngredient", file="c")}, "no Cook Soup"),
])
def test_why_a_recipe_cannot_be_told(prompt, words):
    with pytest.raises(RecipeError, match=words):
        recipe_of_prompt(prompt, "3")


def test_a_reader_for_pictures_and_soups():
    asked = []
    prompt = {"3": node("DSoupCook", recipe=["4", 0]), "4": node("DSoupRecipe", json=" ", picture="a.png", soup="none")}
    recipe = recipe_of_prompt(prompt, "3", lambda *names: asked.append(names) or Recipe((A,)))
    assert recipe == Recipe((A,)) and asked == [("a.png", "none")]


def test_long_and_circular_graphs_end():
    chain = {str(number): node("DSoupIngredient", file="x", ingredients=[str(number + 1), 0]) for number in range(5000)}
    assert recipes_of_prompt(chain | {"c": node("DSoupCook", ingredients=["0", 0])}) == {}
    circle = {"1": node("DSoupAdd", recipe=["2", 0]), "2": node("DSoupAdd", recipe=["1", 0])}
    assert recipes_of_prompt(circle | {"c": node("DSoupCook", recipe=["1", 0])}) == {}


VALUE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(
    ["a.safetensors", "soup", "SDXL", "base"]) | st.tuples(st.sampled_from("1234"), st.integers(-1, 4)).map(list) \
    | st.lists(st.none(), max_size=3) | st.integers(300, 320).map(lambda digits: 10 ** digits)
NAMES = ["file", "share", "strength", "ingredients", "recipe", "block_weights", "elements", "json", "name", "family",
         "IN00", "mbw", "preset", "dialect", "meaning", "scale", "method", "base", "vae", "dtype", "normalise",
         "rounding_seed"]
NODES = st.builds(lambda kind, inputs: {"class_type": kind, "inputs": inputs},
                  st.sampled_from([*graph._NODES, "KSampler"]),
                  st.dictionaries(st.sampled_from(NAMES), VALUE, max_size=5))


@given(st.dictionaries(st.sampled_from("1234"), NODES | VALUE, max_size=4))
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_fuzzed_graphs(prompt):
    for recipe in recipes_of_prompt(json.loads(json.dumps(prompt))).values():
        assert Recipe.from_json(recipe.to_json()) == recipe
