"""Other tools' merges as recipes, worked by hand."""

import json

import pytest

from diffusion_soup import ModelFile, RecipeError, cook, open_checkpoint
from diffusion_soup.imports import recipe_from_checkpoint, recipe_from_history

SHA = {letter: letter * 64 for letter in "abc"}
FILES = {SHA[letter]: ModelFile(f"{letter}.safetensors", sha256=SHA[letter]) for letter in "abc"}
FILES |= {f"{letter}hash": ModelFile(f"{letter}.safetensors") for letter in "abc"}


def named(text):
    return FILES.get(text) or ModelFile(text)


def shares(recipe):
    return [(each.file[0], each.weight) for each in recipe.ingredients]


def webui(**given):
    return {"type": "webui", "primary_model_hash": SHA["a"], "secondary_model_hash": SHA["b"],
            "tertiary_model_hash": SHA["c"], "interp_method": "Weighted sum", "multiplier": 0.25, "save_as_half": False,
            "custom_name": "", "config_source": 0, "bake_in_vae": "None", "discard_weights": "", "is_inpainting": False,
            "is_instruct_pix2pix": False} | given


@pytest.fixture
def merged(pantry):
    """``merged(**settings)``: the recipe of a file that A1111's merger saved with these settings."""
    def read(parents=None, find=named, **given):
        pantry.stock(1)
        pantry.put("m", pantry.stock(1)[0], sd_merge_recipe=json.dumps(webui(**given)),
                   sd_merge_models=json.dumps(parents or {}))
        return recipe_from_checkpoint(open_checkpoint(pantry.root / "m.safetensors"), find)
    return read


def test_weighted_sum(merged):
    recipe = merged()
    assert shares(recipe) == [("a", 0.75), ("b", 0.25)]
    assert (recipe.method, recipe.vae, recipe.text_encoder, recipe.dtype) == ("soup", "soup", "soup", None)
    assert recipe.ingredients[0].sha256 == SHA["a"]


def test_add_difference(merged):
    recipe = merged(interp_method="Add difference", multiplier=0.5, save_as_half=True)
    assert shares(recipe) == [("a", 1.0), ("b", 0.5)]
    assert (recipe.method, recipe.base.file, recipe.normalise, recipe.dtype) == (
        "task_arithmetic", "c.safetensors", False, "float16")


def test_no_interpolation(merged):
    assert shares(merged(interp_method="No interpolation", secondary_model_hash=None)) == [("a", 1.0)]


def test_parents_that_are_not_here_keep_the_name_they_had(merged):
    recipe = merged({SHA["a"]: {"name": "sub\\old.safetensors"}}, find=ModelFile)
    assert recipe.ingredients[0].file == "sub/old.safetensors" and recipe.ingredients[0].sha256 == SHA["a"]


def test_what_cannot_be_said_is_listed(merged):
    with pytest.raises(RecipeError, match=r"the VAE kl\.pt was baked in.*; tensors that match '\^vae' were discarded"):
        merged(bake_in_vae="kl.pt", discard_weights="^vae")
    with pytest.raises(RecipeError, match="'Magic' is not known"):
        merged(interp_method="Magic")


def test_a_soup_and_a_plain_checkpoint(pantry):
    own = pantry.recipe(a=1, b=2)
    tensors = pantry.stock(2)[0]
    pantry.put("soup", tensors, diffusion_soup=own.to_json())
    assert recipe_from_checkpoint(open_checkpoint(pantry.root / "soup.safetensors"), named) == own
    with pytest.raises(RecipeError, match="does not say how it was made"):
        recipe_from_checkpoint(open_checkpoint(pantry.root / "a.safetensors"), named)


def row(mode, alpha="0.5", beta="0.25", weights_alpha="", weights_beta="", mbw="False", deep="", calc="normal",
        adjust=""):
    cells = ["3", "2023-05-01 10:00", "mix", weights_alpha, weights_beta, "ahash", "bhash", "chash", alpha, beta, mode,
             mbw, "", "['save model']", "[]", deep, calc, "12", adjust]
    return ",".join(f'"{cell}"' for cell in cells)


@pytest.mark.parametrize("mode, expected", [
    ("Weight sum:A*(1-alpha)+B*alpha", [("a", 0.5), ("b", 0.5)]),
    ("Triple sum:A*(1-alpha-beta)+B*alpha+C*beta", [("a", 0.25), ("b", 0.5), ("c", 0.25)]),
    ("sum Twice:(A*(1-alpha)+B*alpha)*(1-beta)+C*beta", [("a", 0.375), ("b", 0.375), ("c", 0.25)]),
    ("Add difference:A+(B-C)*alpha", [("a", 1.0), ("b", 0.5)]),
])
def test_modes_of_supermerger(mode, expected):
    assert shares(recipe_from_history(row(mode), named)) == expected


def test_block_weights_and_the_last_row_counts():
    weights = ",".join(["0.5"] + ["0"] * 12 + ["1"] + ["0.5"] * 12)
    rows = ['"ID","time","name"', row("Weight sum"), row("Weight sum", weights_alpha=weights, mbw="True"), ""]
    text = "\n".join(rows)
    first, second = recipe_from_history(text, named, lambda file: "sd1").ingredients
    assert (second.weight, second.blocks["IN03"], second.blocks["TIME"], second.blocks["M00"]) == (0.5, 0.0, 0.0, 1.0)
    assert (first.weight, first.blocks["IN03"], first.blocks["M00"]) == (0.5, 1.0, 0.0)
    assert "OUT00" not in first.blocks


def test_elements_are_complementary():
    first, second = recipe_from_history(row("Weight sum", deep="IN01-IN03:attn1:0.25"), named).ingredients
    assert first.elements[0].endswith(":0.75") and second.elements[0].endswith(":0.25")


@pytest.mark.parametrize("given, sentence", [
    ({"calc": "cosineA"}, "calculation mode is 'cosineA'"), ({"adjust": "0,0,1"}, "adjusts details"),
    ({"alpha": "much"}, "alpha is 'much'"),
])
def test_what_cannot_be_mapped(given, sentence):
    with pytest.raises(RecipeError, match=sentence):
        recipe_from_history(row("Weight sum", **given), named)


@pytest.mark.parametrize("text", ["hello", "1,2,3", "a\tb", '"ID","time"'])
def test_no_row(text):
    with pytest.raises(RecipeError, match="neither a recipe nor a row"):
        recipe_from_history(text, named)


def test_the_formula_of_add_difference(pantry):
    """A + m(B − C) to the digit, where halves are exact."""
    a, b, c = pantry.stock(3)
    recipe = recipe_from_history(row("Add difference"), lambda text: ModelFile(f"{text[0]}.safetensors"))
    soup = cook(recipe, pantry.models)
    for key, value in soup.items():
        expected = a[key].float() + 0.5 * (b[key].float() - c[key].float())
        assert (value.float() - expected).abs().max() <= 2e-3
