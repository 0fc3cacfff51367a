"""A fake A1111 or Forge with four small checkpoints, and our kitchen in it."""

import pytest

from diffusion_soup import Ingredient, ModelFolders, Recipe
from tests.engine.kitchen import fill, tiny_unet
from tests.webui.double import WebUI

TEXT = "cond_stage_model.transformer.text_model."
SHAPES = tiny_unet() | {TEXT + "embeddings.token_embedding.weight": (16, 8), TEXT + "final_layer_norm.weight": (8,),
                        TEXT + "attn.in_proj_weight": (24, 8), TEXT + "text_projection": (8, 8),
                        "first_stage_model.decoder.conv_in.weight": (4, 4, 3, 3),
                        "first_stage_model.quant_conv.bias": (8,)}


@pytest.fixture(params=["a1111", "forge"])
def webui(request, tmp_path):
    from safetensors.torch import save_file
    folder = tmp_path / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    (tmp_path / "models" / "Lora").mkdir()
    for seed, name in enumerate("abcd"):
        save_file(fill(SHAPES, seed), folder / f"{name}.safetensors")
    with WebUI(tmp_path, "a.safetensors", request.param) as host:
        yield host


@pytest.fixture
def kitchen(webui):
    from diffusion_soup_webui.bridge import connect
    from diffusion_soup_webui.kitchen import Kitchen
    return Kitchen(connect())


@pytest.fixture
def script(webui, kitchen):
    from diffusion_soup_webui.script import script_classes
    return script_classes(kitchen)["DiffusionSoupScript"]()


@pytest.fixture
def models(webui):
    return ModelFolders({"checkpoint": [webui.checkpoints]})


def recipe(**shares):
    return Recipe(tuple(Ingredient(f"{name}.safetensors", weight=share) for name, share in shares.items()), vae="soup")


def cook(kitchen, wanted):
    kitchen.cook(wanted)
    status = kitchen.wait(60)
    assert status.state == "done", status
    return status
