"""What pictures say, and the way back."""

import json
from types import SimpleNamespace

import pytest
from PIL import Image

from diffusion_soup_webui import infotext

from .conftest import cook, recipe


@pytest.fixture
def callbacks(webui, kitchen):
    infotext.register(kitchen)
    return {name: found[-1] for name, found in webui.callbacks.items()}


def text_of(hash_):
    return f"a cat, Soup: no\nNegative prompt: dog\nSteps: 1, Model hash: 0123456789, Soup: {hash_}, Version: v1"


def test_a_saved_picture_gets_the_recipe_its_infotext_names(kitchen, callbacks):
    cook(kitchen, recipe(a=1, b=2))
    first = kitchen.in_use()
    cook(kitchen, recipe(a=1, c=2))
    saved = SimpleNamespace(pnginfo={"parameters": text_of(first.hash)})
    callbacks["before_image_saved"](saved)
    assert json.loads(saved.pnginfo["diffusion_soup"]) == first.to_dict()
    for other in ({"parameters": "a cat\nSteps: 1"}, {"parameters": text_of("0" * 64)}, {}, None):
        saved = SimpleNamespace(pnginfo=other)
        callbacks["before_image_saved"](saved)
        assert not other or "diffusion_soup" not in other


def test_pasting_offers_the_recipe_and_asks_for_no_checkpoint(kitchen, callbacks):
    cook(kitchen, recipe(a=1, b=2))
    used = kitchen.in_use().hash
    params = {"Soup": used, "Model": "soup a+b", "Model hash": used[:10], "Steps": "1"}
    callbacks["infotext_pasted"]("", params)
    assert kitchen.pasted() == kitchen.in_use() and params.keys() == {"Soup", "Steps"}
    plain = {"Model": "a", "Model hash": "b"}
    callbacks["infotext_pasted"]("", plain)
    assert plain == {"Model": "a", "Model hash": "b"}


def test_a_picture_from_elsewhere_is_remembered_when_the_host_reads_it(webui, kitchen, callbacks):
    other = recipe(c=1, d=1)
    picture = Image.new("RGB", (8, 8))
    picture.info = {"parameters": text_of(other.hash), "diffusion_soup": other.to_json()}
    images = webui.modules["modules.images"]
    assert images.read_info_from_image(picture)[0] == text_of(other.hash)
    callbacks["infotext_pasted"]("", {"Soup": other.hash})
    assert kitchen.pasted() == other
    infotext.register(kitchen)  # after "Reload UI"
    assert images.read_info_from_image.diffusion_soup_original.__name__ == "<lambda>"
    picture.info["diffusion_soup"] = "rubbish"
    assert images.read_info_from_image(picture)[1] == {}


def test_pictures_that_are_only_sent(kitchen, callbacks):
    cook(kitchen, recipe(a=1, b=2))
    picture = Image.new("RGB", (8, 8))
    picture.info["parameters"] = text_of(kitchen.in_use().hash)
    infotext.embed_in_images(kitchen, [picture, object()])
    assert json.loads(picture.info["diffusion_soup"]) == kitchen.in_use().to_dict()
