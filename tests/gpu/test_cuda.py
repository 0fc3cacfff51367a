"""Cooking on a real CUDA device; skipped where there is none."""

import pytest
import torch

from diffusion_soup import Ingredient, ModelFile, ModelFolders, Recipe, cook, cook_to_file
from tests.engine.kitchen import Pantry, fill, same, whole

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture
def pantry(tmp_path):
    return Pantry(tmp_path)


@pytest.mark.parametrize("dtype", [None, "float32", "float8_e5m2"])
def test_equals_the_cpu(pantry, dtype):
    pantry.stock(3, whole())
    recipe = Recipe(pantry.recipe(a=1, b=0.5, c=2).ingredients, dtype=dtype)
    soup = cook(recipe, pantry.models, device="cuda")
    assert all(tensor.is_cuda for tensor in soup.values())
    assert same({key: tensor.cpu() for key, tensor in soup.items()}, dict(cook(recipe, pantry.models)))


def test_loras_equal_the_cpu(pantry):
    pantry.put("base", fill(whole(), 1))
    pantry.put("ink", fill({"lora_unet_time_embed_0.lora_up.weight": (8, 2),
                            "lora_unet_time_embed_0.lora_down.weight": (2, 2)}, 3))
    recipe = Recipe((Ingredient("ink.safetensors", "lora"),), base=ModelFile("base.safetensors"))
    soup = cook(recipe, pantry.models, device="cuda")
    assert same({key: tensor.cpu() for key, tensor in soup.items()}, dict(cook(recipe, pantry.models)))


def test_to_a_file(pantry, tmp_path):
    pantry.stock(2, whole())
    recipe = pantry.recipe(a=1, b=1)
    for device in ("cpu", "cuda"):
        cook_to_file(recipe, ModelFolders.below(tmp_path), tmp_path / f"{device}.out", device=device)
    assert (tmp_path / "cpu.out").read_bytes() == (tmp_path / "cuda.out").read_bytes()
