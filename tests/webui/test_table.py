"""The ingredients table as values: what counts, what it makes, and that it comes back as it was."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_soup import Ingredient, ModelFile, Recipe, RecipeError
from diffusion_soup.graph import INSTEAD, TIMES
from diffusion_soup_webui import table
from diffusion_soup_webui.table import BlockText, Draft, Row

BASE = ModelFile("base.safetensors", "checkpoint", "b" * 64)
FULL = Recipe((Ingredient("a.safetensors", "checkpoint", "a" * 64, 0.3, {"OUT03": 0.3, "M00": 1e-7}, ("IN01:to_q:1",)),
               Ingredient("b.safetensors", weight=-0.25),
               Ingredient("ink.safetensors", "lora", None, 1 / 3, {}, (), 0.8)),
              "task_arithmetic", {"scale": 0.7}, False, 12, BASE, "base", "a.safetensors", "bfloat16")


def draft(*rows, **settings):
    return Draft(tuple(rows), **settings)


def test_a_recipe_comes_back_to_the_letter():
    sent = json.loads(json.dumps(table.from_recipe(FULL).to_dict()))
    assert table.to_recipe(table.read(sent)).to_json() == FULL.to_json()


NAMES = st.sampled_from(["BASE", "TIME", "IN00", "IN08", "M00", "OUT03", "OUT11", "FINAL"])
NUMBERS = st.floats(-3, 3, allow_nan=False)


@given(st.lists(st.tuples(NUMBERS, st.dictionaries(NAMES, NUMBERS)), min_size=1, max_size=5))
def test_block_weights_come_back_to_the_bit(ingredients):
    recipe = Recipe(tuple(Ingredient(f"{at}.safetensors", weight=weight or 1.0, blocks=blocks)
                          for at, (weight, blocks) in enumerate(ingredients)), normalise=False)
    assert table.to_recipe(table.from_recipe(recipe)) == recipe


def test_block_weights_of_families_without_a_u():
    flux = Recipe((Ingredient("a.safetensors", blocks={"double_blocks.3": 0.5}),))
    assert table.to_recipe(table.from_recipe(flux)) == flux


def test_muted_rows_stay_out_and_solo_rows_stay_alone():
    rows = [Row("a.safetensors"), Row("b.safetensors", muted=True), Row("c.safetensors")]
    assert [each.name for each in table.to_recipe(draft(*rows)).ingredients] == ["a", "c"]
    rows[1] = dataclasses.replace(rows[1], solo=True)
    assert [each.name for each in table.to_recipe(draft(*rows)).ingredients] == ["b"]


def test_an_empty_and_a_silent_table_say_so():
    for rows, sentence in (((), table.NOTHING), ((Row("a.safetensors", muted=True),), table.SILENT)):
        with pytest.raises(RecipeError) as said:
            table.to_recipe(draft(*rows))
        assert str(said.value) == sentence


def test_block_text_of_any_tool_times_or_instead_of_the_share():
    text = ",".join(["0.5"] * 26)
    times, instead = (table.to_recipe(draft(Row("a.safetensors", share=0.4, blocks=BlockText(text, meaning=meaning))))
                      .ingredients[0].blocks for meaning in (TIMES, INSTEAD))
    assert set(times.values()) == {0.2} and set(instead.values()) == {0.5}
    assert len(times) == 28


def test_wrong_block_text_names_its_row():
    with pytest.raises(RecipeError, match=r"^Block weights of b\.safetensors: 3 block weights given"):
        table.to_recipe(draft(Row("a.safetensors"), Row("b.safetensors", blocks=BlockText("1,2,3"))))


def test_a_strength_is_for_loras_alone():
    """The page keeps one in every row."""
    assert table.to_recipe(draft(Row("a.safetensors", strength=0.5))).ingredients[0].strength == 1.0


def test_parameters_of_other_methods_are_kept_but_not_cooked():
    kept = draft(Row("a.safetensors"), parameters={"scale": 0.5})
    assert table.to_recipe(kept).parameters == {}
    chosen = dataclasses.replace(kept, method="task_arithmetic", base="base.safetensors")
    assert table.to_recipe(chosen).parameters == {"scale": 0.5}


@pytest.mark.parametrize("data, said", [
    (None, "the table must be a JSON object"),
    ({"rows": "x"}, "a list of at most 256 rows"),
    ({"row": []}, "Unknown field 'row' in the table"),
    ({"normalise": 1}, "normalise in the table is 1; expected bool"),
    ({"rows": [{"share": 1}]}, "Row 1 of the table names no file"),
    ({"rows": [{"file": "a", "share": "1"}]}, "share in row 1 is '1'; expected float"),
    ({"rows": [{"file": "a", "share": True}]}, "share in row 1 is True; expected float"),
    ({"rows": [{"file": "a", "blocks": {"meaning": "?"}}]}, "The meaning of block weights is '\\?'"),
    ({"parameters": [1]}, "parameters in the table must be an object"),
])
def test_what_is_no_table_is_refused_by_name(data, said):
    with pytest.raises(RecipeError, match=said):
        table.read(data)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40).filter(lambda shares: sum(shares) > 1e-3))
def test_percents_add_up_to_a_hundred(shares):
    found = table.percents(shares)
    assert round(sum(found), 6) == 100
    assert all(abs(each - 100 * share / sum(shares)) < 0.11 for each, share in zip(found, shares))


def test_percents_of_nothing_are_nothing():
    assert table.percents([0.0, 0.0]) == [0.0, 0.0]
    assert table.percents([1.0, -1.0]) == [0.0, 0.0]


def test_a_soup_is_called_by_its_ingredients():
    many = Recipe(tuple(Ingredient(f"x/{name}.safetensors") for name in "abcd"))
    assert table.title(many) == "a 25 % + b 25 % + c 25 % and 1 more"
    assert table.title(FULL).startswith("a × 0.3 + b × -0.25")


def test_a_selection_mutes_the_rows_that_it_left_out():
    rows = (Row("a.safetensors", share=2, locked=True), Row("gone.safetensors", muted=True), Row("b.safetensors"),
            Row("c.safetensors", share=0.5, blocks=BlockText("IN01=0.5", meaning=INSTEAD)), Row("c.safetensors"))
    draft = Draft(rows, dtype="float16")
    whole = table.to_recipe(draft)
    kept = dataclasses.replace(whole, ingredients=(whole.ingredients[0], whole.ingredients[2]))
    found = table.selected(draft, kept)
    assert [row.muted for row in found.rows] == [False, True, True, False, True] and found.rows[3] == rows[3]
    assert table.to_recipe(found) == kept and found.rows[0].locked


def test_a_selection_changes_shares():
    draft = Draft((Row("a.safetensors", solo=True), Row("b.safetensors", solo=True), Row("c.safetensors")))
    recipe = table.to_recipe(draft)
    moved = dataclasses.replace(recipe, ingredients=(
        dataclasses.replace(recipe.ingredients[0], weight=0.3, blocks={"IN00": 0.9}),
        dataclasses.replace(recipe.ingredients[1], weight=0.7)))
    found = table.selected(draft, moved)
    assert table.to_recipe(found) == moved and [row.share for row in found.rows] == [0.3, 0.7, 1.0]
    assert found.rows[0].solo and found.rows[2] == draft.rows[2]


def test_a_selection_of_another_table_is_taken_whole():
    recipe = table.to_recipe(Draft((Row("x.safetensors"), Row("a.safetensors"))))
    found = table.selected(Draft((Row("a.safetensors"), Row("b.safetensors"))), recipe)
    assert table.to_recipe(found) == recipe
