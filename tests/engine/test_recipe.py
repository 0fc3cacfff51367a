"""Recipes: one form of JSON, one hash, an algebra, and a sentence for each mistake."""

import copy
import json
import math
import pickle
import random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from diffusion_soup import BlockWeights, Ingredient, ModelFile, Recipe
from diffusion_soup.errors import RecipeError

from .kitchen import plain_sentence

SHA = "0123456789abcdef" * 4
DESIGN = """{"diffusion_soup": 1,
 "method": "soup", "parameters": {}, "normalise": true, "seed": 0,
 "base": {"kind": "checkpoint", "file": "v1-5-pruned-emaonly.safetensors", "sha256": "SHA-1"},
 "ingredients": [
   {"kind": "checkpoint", "file": "anime.safetensors", "sha256": "SHA-2", "weight": 1.0,
    "blocks": {"OUT03": 0.2}, "elements": []},
   {"kind": "lora", "file": "ink.safetensors", "sha256": "SHA-3", "weight": 0.6, "strength": 1.0}],
 "text_encoder": "soup", "vae": "anime.safetensors", "dtype": "float16"}"""
DESIGN = DESIGN.replace("SHA-1", SHA).replace("SHA-2", SHA[::-1]).replace("SHA-3", "f" * 64)
SMALL = {"diffusion_soup": 1, "ingredients": [{"file": "a.safetensors"}, {"file": "b.safetensors"}]}


def recipe(**weights):
    return Recipe(tuple(Ingredient(f"{name}.safetensors", weight=weight) for name, weight in weights.items()))


def refused(act, *arguments, **options):
    with pytest.raises(RecipeError) as caught:
        act(*arguments, **options)
    return plain_sentence(caught.value)


# -- JSON and hash: promises -----------------------------------------------------------------------------


def test_the_example_of_the_format():
    parsed = Recipe.from_json(DESIGN)
    anime, ink = parsed.ingredients
    assert (anime.weight, dict(anime.blocks), anime.sha256) == (1.0, {"OUT03": 0.2}, SHA[::-1])
    assert (ink.kind, ink.weight, ink.strength) == ("lora", 0.6, 1.0)
    assert parsed.base == ModelFile("v1-5-pruned-emaonly.safetensors", sha256=SHA)
    assert (parsed.vae, parsed.text_encoder, parsed.dtype) == ("anime.safetensors", "soup", "float16")


def test_hashes_are_promises():
    """Caches and logs are keyed by these: a change here needs a new format version."""
    assert Recipe.from_json(DESIGN).hash == "2ebaaab40add442d4ab925342f53c7f0cbe2de86b28667e1e208bd8d80371f6e"
    assert recipe(a=1, b=0.5).hash == "3952358ce0e7de948ee6c2808ce96dc4af8d18e53371b90279299f0f1d54558f"


def test_the_canonical_form():
    assert recipe(a=1).canonical() == (
        '{"base":null,"diffusion_soup":1,"dtype":null,"ingredients":[{"blocks":{},"elements":[],'
        '"file":"a.safetensors","kind":"checkpoint","sha256":null,"weight":1.0}],"method":"soup","normalise":true,'
        '"parameters":{},"seed":0,"text_encoder":"soup","vae":null}')


def test_spelling_does_not_change_the_hash():
    short = json.dumps({"diffusion_soup": 1, "ingredients": [{"file": "a.safetensors", "weight": 1, "blocks": None}]})
    long = Recipe.from_json(short).to_json()
    assert long != short
    assert Recipe.from_json(short).hash == Recipe.from_json(long).hash == recipe(a=1.0).hash
    assert recipe(a=0.0, b=1).hash == recipe(a=-0.0, b=1).hash
    assert Recipe((Ingredient("sub\\a.safetensors"),)).hash == Recipe((Ingredient("sub/a.safetensors"),)).hash


def test_mbw_strings_are_written_out():
    values = ",".join(str(number / 100) for number in range(26))
    entry = {"file": "a.safetensors", "blocks": {"mbw": values, "dialect": "supermerger"}}
    blocks = Recipe.from_dict(SMALL | {"ingredients": [entry]}).ingredients[0].blocks
    assert (blocks["BASE"], blocks["IN00"], blocks["M00"], blocks["OUT11"]) == (0.0, 0.01, 0.13, 0.25)
    assert (blocks["TIME"], blocks["FINAL"]) == (0.01, 0.25)


weights = st.floats(0, 10, allow_subnormal=False)
blocks = st.dictionaries(st.sampled_from(["BASE", "IN00", "M00", "OUT03", "TIME"]), weights, max_size=3)
ingredients = st.builds(
    lambda name, weight, where, sha: Ingredient(f"{name}.safetensors", "checkpoint", sha, weight, where),
    st.text("abc/äß .", min_size=1, max_size=8).filter(
        lambda name: name.strip() and all(part not in ("", ".", "..") for part in f"{name}.x".split("/"))),
    weights, blocks, st.none() | st.integers(0, 1 << 256).map(lambda number: f"{number % (1 << 256):064x}"))
recipes = st.builds(lambda parts, seed, dtype: Recipe((Ingredient("z.safetensors"), *parts), seed=seed, dtype=dtype),
                    st.lists(ingredients, max_size=4), st.integers(0, (1 << 64) - 1),
                    st.sampled_from([None, "float16", "float8_e4m3fn"]))


@given(recipes)
def test_json_there_and_back_is_the_identity(original):
    again = Recipe.from_json(original.to_json())
    assert again == original
    assert (hash(again), again.hash) == (hash(original), original.hash)


@given(recipes, st.randoms(use_true_random=False))
def test_the_hash_does_not_depend_on_order(original, order):
    shuffled = list(original.ingredients)
    order.shuffle(shuffled)
    assert Recipe(tuple(shuffled), seed=original.seed, dtype=original.dtype).hash == original.hash


# -- algebra ---------------------------------------------------------------------------------------------


@given(recipes, ingredients)
def test_remove_undoes_add(original, newcomer):
    assume(newcomer.file not in {each.file for each in original.ingredients})
    assert original.add(newcomer).remove(newcomer.file) == original


@given(recipes, st.floats(0.1, 10))
def test_scaling_keeps_the_shares(original, factor):
    for block in (None, "IN00"):
        total = sum(original.ingredients[0].blocks.get(block, each.weight) for each in original.ingredients)
        assume(total > 1e-3)
        assert original.scaled(factor).shares(block) == pytest.approx(original.shares(block))
    assert sum(each.weight for each in original.normalised().ingredients) == pytest.approx(1)


def test_scaling_reaches_blocks_and_element_rows():
    each = Ingredient("a.safetensors", weight=1, blocks={"IN00": 0.5}, elements=("IN01:attn1:0.25", "::3"))
    scaled = Recipe((each,)).scaled(2).ingredients[0]
    assert (scaled.weight, dict(scaled.blocks), scaled.elements) == (2.0, {"IN00": 1.0}, ("IN01:attn1:0.5", "::6.0"))


def test_rows_in_one_text_are_told_apart():
    each = Ingredient("a.safetensors", elements=("IN01:attn1:0.25,M00::3",))
    assert each.elements == ("IN01:attn1:0.25", "M00::3")


def test_shares():
    soup = Recipe((Ingredient("a.safetensors", weight=1, blocks={"M00": 0}), Ingredient("b.safetensors", weight=3)))
    assert soup.shares() == (0.25, 0.75)
    assert soup.shares("M00") == (0.0, 1.0)
    assert "IN00" in refused(recipe(a=1).add(Ingredient("b.safetensors", weight=-1, blocks={})).shares, "IN00")


def test_names():
    soup = Recipe((Ingredient("one/anime.safetensors"), Ingredient("two/anime.ckpt"), Ingredient("ink.v2.safetensors")))
    assert soup.find("one/anime.safetensors") is soup.find("anime.safetensors") is soup.ingredients[0]
    assert soup.find("two\\anime.ckpt") is soup.ingredients[1]
    assert soup.find("ink.v2") is soup.ingredients[2]
    assert "2 times" in refused(soup.find, "anime")
    assert "its ingredients are one/anime.safetensors" in refused(soup.remove, "photo")


def test_what_cannot_be_removed():
    assert "only ingredient" in refused(recipe(a=1).remove, "a")
    soup = Recipe(recipe(a=1, b=1).ingredients, vae="a.safetensors")
    assert "gives this soup its vae" in refused(soup.remove, "a")
    assert soup.remove("b").vae == "a.safetensors"


def test_reweighted():
    assert recipe(a=1, b=1).reweighted("b", 0.5) == recipe(a=1, b=0.5)


def test_weights_that_cancel_cannot_be_normalised():
    soup = Recipe(recipe(a=1, b=-1).ingredients, normalise=False)
    assert "add up to 0" in refused(soup.normalised)


def test_block_weights():
    given_ = BlockWeights({"IN00": 0.5, "M00": 1.0})
    assert given_.of(0.8) == {"IN00": 0.5, "M00": 1.0}
    assert BlockWeights(given_.weights, relative=True).of(0.8) == {"IN00": 0.4}


# -- mistakes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [
    "../secret.safetensors", "a/../../b.safetensors", "/etc/passwd", "\\\\server\\share\\x.safetensors",
    "C:\\models\\x.safetensors", "c:x.safetensors", "..\\x.safetensors", "./x.safetensors", "a//b.safetensors", "",
    " ", "a\0b", "a\nb.safetensors", "\ud800.safetensors", "a\u2028b", "x" * 2000, None, 3])
def test_files_outside_the_folders(file):
    refused(Ingredient, file)
    refused(ModelFile, file)
    refused(Recipe.from_dict, SMALL | {"ingredients": [{"file": file}]})


@pytest.mark.parametrize("file", ["a.safetensors", "sub/a.safetensors", "sub\\a.safetensors", "日本　語.safetensors",
                                  "a..b.safetensors", "...safetensors", "a b (1).safetensors"])
def test_files_inside_them(file):
    assert Ingredient(file).file == file.replace("\\", "/")


@pytest.mark.parametrize("weight", [math.nan, math.inf, -math.inf, 1e7, 10 ** 400, True, "1", None, [1]])
def test_weights_that_are_no_numbers(weight):
    assert "weight of a.safetensors" in refused(Ingredient, "a.safetensors", weight=weight)
    assert "block 'IN00'" in refused(Ingredient, "a.safetensors", blocks={"IN00": weight})
    assert "strength" in refused(Ingredient, "a.safetensors", kind="lora", strength=weight)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400])
def test_weights_that_are_no_numbers_in_json(text):
    entry = {"ingredients": [{"file": "a", "weight": "@"}]}
    refused(Recipe.from_json, json.dumps(SMALL | entry).replace('"@"', text))


@pytest.mark.parametrize(("change", "words"), [
    ({"spice": 1}, "Unknown field 'spice' in the recipe"),
    ({"ingredients": [{"file": "a", "wieght": 1}]}, "Unknown field 'wieght' in ingredient 1"),
    ({"base": {"file": "a", "weight": 1}}, "Unknown field 'weight' in base"),
    ({"diffusion_soup": 2}, "format version 2"),
    ({"diffusion_soup": True}, "format version True"),
    ({"diffusion_soup": None}, "format version"),
    ({"method": "stew"}, "Unknown method 'stew'"),
    ({"method": 3}, "method must be a string"),
    ({"parameters": {"scale": 1}}, "no parameter 'scale'"),
    ({"parameters": [1]}, "parameters must be an object"),
    ({"method": "task_arithmetic"}, "name the base"),
    ({"seed": -1}, "seed"), ({"seed": 1.5}, "seed"), ({"seed": 1 << 64}, "seed"), ({"seed": True}, "seed"),
    ({"normalise": 1}, "normalise"),
    ({"dtype": "int8"}, "dtype is 'int8'"),
    ({"base": {"file": "a", "kind": "lora"}}, "base must be a checkpoint"),
    ({"base": {"file": "a", "sha256": "ABC"}}, "64 lower-case hex digits"),
    ({"base": []}, "base must be a JSON object"),
    ({"ingredients": []}, "needs 1 to"),
    ({"ingredients": {"file": "a"}}, "must be a list"),
    ({"ingredients": [{"weight": 1}]}, "'file' is missing in ingredient 1"),
    ({"ingredients": [{"file": "a", "kind": "vae"}]}, "unknown kind 'vae'"),
    ({"ingredients": [{"file": "a", "kind": 1}]}, "kind in ingredient 1 must be a string"),
    ({"ingredients": [{"file": "a", "kind": "lora"}]}, "name the base checkpoint"),
    ({"ingredients": [{"file": "a", "strength": 0.5}]}, "strength is for LoRAs"),
    ({"ingredients": [{"file": "a", "weight": 0}]}, "share of 0"),
    ({"ingredients": [{"file": "a", "weight": 0, "blocks": {"M00": 0}}]}, "share of 0"),
    ({"ingredients": [{"file": "a", "blocks": [1]}]}, "blocks in ingredient 1"),
    ({"ingredients": [{"file": "a", "blocks": {"mbw": "1,2"}}]}, "'dialect' is missing"),
    ({"ingredients": [{"file": "a", "blocks": {"mbw": "1,2", "dialect": "supermerger"}}]}, "2"),
    ({"ingredients": [{"file": "a", "blocks": {"mbw": "1,2", "dialect": "klingon"}}]}, "klingon"),
    ({"ingredients": [{"file": "a", "elements": "IN00::1"}]}, "elements in ingredient 1 must be a list"),
    ({"ingredients": [{"file": "a", "elements": [1]}]}, "list of rows"),
    ({"ingredients": [{"file": "a", "elements": ["IN00:1"]}]}, "expected blocks:elements:ratio"),
    ({"ingredients": [{"file": "a", "elements": ["IN00:attn:x"]}]}, "expected a number"),
    ({"vae": "other.safetensors"}, "vae is 'other.safetensors'"),
    ({"vae": "base"}, "names no base"),
    ({"text_encoder": ["soup"]}, "text_encoder must be a string"),
])
def test_fields_that_are_wrong(change, words):
    assert words in refused(Recipe.from_dict, SMALL | change)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"x"', "{}", b"\xff\xfe\x00", b"\x80abc", "[" * 100_000,
                                  '{"diffusion_soup":' * 100_000, '{"a": 1, "a": 2}'])
def test_texts_that_are_no_recipe(text):
    refused(Recipe.from_json, text)


def test_a_field_given_twice_is_named():
    assert "'seed' is given twice" in refused(
        Recipe.from_json, '{"diffusion_soup": 1, "seed": 1, "seed": 2, "ingredients": []}')


@pytest.mark.parametrize("depth", [300, 900, 980, 1500])
def test_deep_nesting_in_every_field(depth):
    def placed(data):
        return json.dumps(data).replace('"@"', "[" * depth + "]" * depth)

    for field in ("diffusion_soup", "seed", "normalise", "base", "parameters", "vae", "method", "spice"):
        refused(Recipe.from_json, placed(SMALL | {field: "@"}))
    for field in ("file", "weight", "blocks", "elements", "sha256", "kind"):
        refused(Recipe.from_json, placed(SMALL | {"ingredients": [{"file": "a", field: "@"}]}))


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                    max_leaves=8)
FILE = st.fixed_dictionaries({}, optional={name: JSON | st.sampled_from(["a", "lora", SHA, "IN00:x:1"]) for name in (
    "file", "kind", "sha256", "weight", "blocks", "elements", "strength")})
LOOSE = st.fixed_dictionaries(
    {"diffusion_soup": st.just(1) | JSON, "ingredients": st.lists(FILE | JSON, max_size=3) | JSON},
    optional={name: JSON | FILE | st.sampled_from(["soup", "base"]) for name in (
        "method", "parameters", "normalise", "seed", "base", "text_encoder", "vae", "dtype", "x")})


@given(LOOSE | JSON)
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_fuzzed_recipes(data):
    for read, value in ((Recipe.from_dict, data), (Recipe.from_json, json.dumps(data))):
        try:
            parsed = read(value)
        except RecipeError as error:
            plain_sentence(error)
        else:
            assert Recipe.from_json(parsed.to_json()) == parsed


@given(st.data())
def test_fuzzed_bytes_of_a_good_recipe(data):
    text = bytearray(DESIGN.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    try:
        Recipe.from_json(bytes(text))
    except RecipeError as error:
        plain_sentence(error)


def test_many_fields_take_no_time():
    names = [f'"{number}": 1' for number in range(100_000)]
    random.Random(0).shuffle(names)
    assert "given twice" in refused(Recipe.from_json, "{" + ",".join([*names, names[-1]]) + "}")


def test_recipes_can_be_copied_and_pickled():
    recipe = Recipe((Ingredient("a.safetensors", weight=0.5, blocks={"OUT03": 0.2}),
                     Ingredient("ink.safetensors", "lora", strength=0.7)), base=ModelFile("base.safetensors"))
    assert copy.deepcopy(recipe) == recipe
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert copy.copy(recipe.ingredients[1]) == recipe.ingredients[1]
