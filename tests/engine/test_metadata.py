"""What a saved soup says about itself, and that others can read it."""

import hashlib
import json

import pytest
import torch

from diffusion_soup import Checkpoint, HashCache, Ingredient, ModelFile, Recipe, cook_to_file, prepare, read_recipe
from diffusion_soup.metadata import soup_metadata

from .kitchen import UNET, fill, tiny_unet

OUT = UNET + "out.2.weight"


@pytest.fixture
def described(pantry, tmp_path_factory):
    """The metadata of a recipe's saved soup, and its path."""
    def of(recipe, **options):
        path = tmp_path_factory.mktemp("out") / "soup.safetensors"
        cook_to_file(recipe, pantry.models, path, **options)
        return Checkpoint(path).metadata, path
    return of


def sha(pantry, name):
    return HashCache().sha256(pantry.root / f"{name}.safetensors")


def test_the_recipe_comes_back_with_every_hash(pantry, described):
    pantry.stock(3)
    recipe = Recipe(pantry.recipe(a=1, b=0.5).ingredients, base=ModelFile("c.safetensors"), dtype="bfloat16")
    metadata, path = described(recipe)
    again = read_recipe(path)
    assert [each.sha256 for each in again.ingredients] == [sha(pantry, "a"), sha(pantry, "b")]
    assert again.base.sha256 == sha(pantry, "c")
    assert again == prepare(recipe, pantry.models).recipe
    assert json.loads(metadata["sd_merge_recipe"])["recipe_hash"] == again.hash


def test_cooking_the_recipe_that_comes_back_gives_the_same_file(pantry, described):
    pantry.stock(2)
    _, path = described(pantry.recipe(a=1, b=0.5))
    for name in "ab":
        (pantry.root / f"{name}.safetensors").rename(pantry.root / f"moved_{name}.safetensors")
    _, again = described(read_recipe(path))
    assert again.read_bytes() == path.read_bytes()


def test_a1111s_fields(pantry, described):
    pantry.stock(1)
    grandparents = {"f" * 64: {"name": "older", "legacy_hash": "0" * 8, "sd_merge_recipe": None}}
    pantry.put("b", fill(tiny_unet(), 1), sd_merge_models=json.dumps(grandparents),
               sd_merge_recipe=json.dumps({"type": "webui"}))
    metadata, _ = described(pantry.recipe(a=1, b=0.5))
    recipe, models = (json.loads(metadata[key]) for key in ("sd_merge_recipe", "sd_merge_models"))
    assert recipe["type"] == "diffusion-soup" and recipe["ingredients"][1]["weight"] == 0.5
    assert models.keys() == {sha(pantry, "a"), sha(pantry, "b"), "f" * 64}
    short = hashlib.sha256(b"").hexdigest()[:8]
    assert models[sha(pantry, "b")] == {
        "name": "b.safetensors", "legacy_hash": short, "sd_merge_recipe": {"type": "webui"}}
    assert models["f" * 64]["name"] == "older"


def test_the_legacy_hash_is_a1111s(pantry):
    """The 64 KB that begin at 1 MB."""
    pantry.put("a", fill(tiny_unet() | {OUT: (1000, 1000)}))
    raw = (pantry.root / "a.safetensors").read_bytes()
    models = json.loads(soup_metadata(prepare(pantry.recipe(a=1), pantry.models))["sd_merge_models"])
    assert models[sha(pantry, "a")]["legacy_hash"] == hashlib.sha256(raw[1 << 20:(1 << 20) + (1 << 16)]).hexdigest()[:8]


@pytest.mark.parametrize("text", ["", "[1]", "null", "{", "[" * 5000, '{"x": NaN}'])
def test_parents_with_damaged_metadata(pantry, text):
    pantry.put("a", fill(tiny_unet()), sd_merge_models=text, sd_merge_recipe=text)
    json.loads(soup_metadata(prepare(pantry.recipe(a=1), pantry.models))["sd_merge_models"])


def test_nobody_speaks_for_another_parent(pantry):
    pantry.stock(1)
    forged = json.dumps({sha(pantry, "a"): {"name": "forged"}})
    for name in ("b", "c"):
        pantry.put(name, fill(tiny_unet(), ord(name)), sd_merge_models=forged)
    metadata = soup_metadata(prepare(pantry.recipe(a=1, b=1, c=1), pantry.models))
    assert json.loads(metadata["sd_merge_models"])[sha(pantry, "a")]["name"] == "a.safetensors"


def test_loras_are_parents_under_whatever_name(pantry):
    pantry.stock(2)
    pantry.put("ink", {"lora_unet_out_2.lora_up.weight": torch.ones(4, 1),
                       "lora_unet_out_2.lora_down.weight": torch.ones(1, 4)})
    ink = sha(pantry, "ink")
    (pantry.root / "ink.safetensors").rename(pantry.root / "pen.safetensors")
    recipe = Recipe((Ingredient("ink.safetensors", "lora", ink),), base=ModelFile("a.safetensors"))
    models = json.loads(soup_metadata(prepare(recipe, pantry.models))["sd_merge_models"])
    assert models[ink]["name"] == "ink.safetensors"


@pytest.mark.parametrize(("context", "channels", "architecture"), [
    (768, 4, "stable-diffusion-v1"), (768, 9, "stable-diffusion-v1-inpainting"),
    (1024, 4, "stable-diffusion-v2-512"), (2048, 4, "stable-diffusion-xl-v1-base"),
    (1280, 4, "stable-diffusion-xl-v1-refiner")])
def test_modelspec(pantry, context, channels, architecture):
    pantry.put("a", fill(tiny_unet(context, channels)))
    metadata = soup_metadata(prepare(pantry.recipe(a=1), pantry.models))
    assert metadata["modelspec.sai_model_spec"] == "1.0.1"
    assert metadata["modelspec.architecture"] == architecture
    assert metadata["modelspec.prediction_type"] == metadata["modelspec.predict_key"] == "epsilon"
    assert metadata["modelspec.merged_from"] == "a.safetensors"
    assert metadata["modelspec.title"] == "Soup of a"


@pytest.mark.parametrize("context", [768, 1024])
def test_the_prediction_survives_a_soup_of_soups(pantry, described, context):
    pantry.put("a", fill(tiny_unet(context)), **{"modelspec.prediction_type": "v"})
    metadata, path = described(pantry.recipe(a=1))
    assert metadata["modelspec.predict_key"] == "v"
    path.rename(pantry.root / "again.safetensors")
    assert prepare(pantry.recipe(again=1, a=1), pantry.models).architecture.prediction == "v"


def test_extra_metadata_of_the_host(pantry, described):
    pantry.stock(1)
    metadata, _ = described(pantry.recipe(a=1), metadata={"prompt": "{}", "modelspec.title": "Mine"})
    assert (metadata["prompt"], metadata["modelspec.title"]) == ("{}", "Mine")


def test_everything_is_a_string_and_hashes_are_whole(pantry, described):
    pantry.stock(1)
    metadata, path = described(pantry.recipe(a=1))
    assert all(isinstance(value, str) for value in metadata.values())
    assert len(metadata["modelspec.hash_sha256"]) == 66 and metadata["modelspec.hash_sha256"].startswith("0x")
    assert str(path.parent) not in json.dumps(metadata)
