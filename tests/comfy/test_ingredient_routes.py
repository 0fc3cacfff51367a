"""What the table of ingredients asks, in the real server."""

import hashlib
import json
import time
import urllib.error
import urllib.parse

import pytest
import torch

from diffusion_soup import Ingredient, ModelFile, Recipe, graph, taste

from .. import models
from .graphs import Graph


def ask(client, path, *query, **more):
    """Status and JSON of an answer."""
    try:
        return 200, json.loads(client.get(f"/diffusion_soup/{path}?{urllib.parse.urlencode([*query, *more.items()])}"))
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def post(client, path, body):
    try:
        return 200, json.loads(client.post(f"/diffusion_soup/{path}", json.dumps(body).encode()))
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def facts(client, name, kind="checkpoint"):
    return ask(client, "ingredient", file=f"{name}.safetensors", kind=kind)


@pytest.fixture(scope="module")
def tuned(comfy):
    """Fine-tunes of demo-base, which lie next to it as long as these tests run."""
    base, other = models.sd15(1, text=True), models.sd15(2, text=True)
    paths = []
    for name, amount in (("tuned-a", 0.02), ("tuned-b", 0.05)):
        state = {key: value + (amount * other[key] if value.is_floating_point() else 0) for key, value in base.items()}
        paths.append(comfy.models / f"checkpoints/{name}.safetensors")
        models.save(paths[-1], {key: value.to(torch.float16) for key, value in state.items()})
    yield "tuned-a", "tuned-b"
    for path in paths:
        path.unlink()


# -- facts ---------------------------------------------------------------------------------------


def test_facts_of_a_checkpoint(client, comfy):
    status, told = facts(client, "clay")
    assert status == 200 and told["bytes"] == (comfy.models / "checkpoints/clay.safetensors").stat().st_size
    expected = {"title": "SD 1.x", "family": "sd1", "dtype": "F16", "styles": False, "hashing": None}
    assert expected.items() <= told.items()
    assert told["parts"] == ["VAE", "diffusion model", "text encoder"]
    assert facts(client, "inpainting")[1]["title"] == "SD 1.x, inpainting"
    assert facts(client, "student")[1]["styles"] is True and facts(client, "xl1")[1]["title"] == "SDXL"


def test_facts_of_a_lora(client):
    status, told = facts(client, "comic", "lora")
    assert status == 200 and told["title"] == "SD 1.x" and told["ranks"] == [4] and told["layers"] > 5
    assert told["parts"] == ["diffusion model"] and told["dtype"] == "F16"
    assert facts(client, "other-base", "lora")[1]["title"] == "LoRA"


@pytest.mark.parametrize("query, status, told", [
    ({"file": "nowhere.safetensors"}, 404, "is not in the checkpoint folders"), ({"file": ""}, 404, "is not in"),
    ({"file": "../checkpoints/clay.safetensors"}, 404, "is not in"), ({"file": "/etc/passwd"}, 404, "is not in"),
    ({"file": "clay.safetensors", "kind": "lora"}, 404, "is not in the lora folders"),
    ({"file": "clay.safetensors", "kind": "soup"}, 400, "There is no kind 'soup'"),
    ({"file": "truncated.safetensors"}, 404, "is truncated"),
])
def test_what_is_wrong_is_said(client, query, status, told):
    found, answer = ask(client, "ingredient", **query)
    assert found == status and answer.keys() == {"error"} and told in answer["error"]


# -- hashes --------------------------------------------------------------------------------------


def test_hashing_on_request(client, comfy):
    path = comfy.models / "checkpoints/to-hash.safetensors"
    models.save(path, models.sd15(77))
    try:
        assert facts(client, "to-hash")[1]["sha256"] is None, "looking hashes nothing"
        assert post(client, "hash", {"kind": "checkpoint", "file": path.name})[0] == 200
        end = time.time() + 30
        told = facts(client, "to-hash")[1]
        while (told["sha256"] is None or told["hashing"] is not None) and time.time() < end:
            time.sleep(0.1)
            told = facts(client, "to-hash")[1]
        assert told["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() and told["hashing"] is None
        assert post(client, "hash", {"kind": "checkpoint", "file": path.name}) == (200, {"hashing": None})
    finally:
        path.unlink()


def test_hashing_can_be_stopped(client, comfy):
    path = comfy.models / "checkpoints/slow.safetensors"
    with open(path, "wb") as file:
        file.truncate(6 << 30)  # a hole, which takes seconds to hash
    try:
        status, told = post(client, "hash", {"file": path.name})
        assert status == 200 and told["hashing"] is not None
        post(client, "hash", {"file": path.name, "cancel": True})
        end = time.time() + 5
        while (told := post(client, "hash", {"file": path.name, "cancel": True})[1])["hashing"] is not None:
            assert time.time() < end, "it goes on"
            time.sleep(0.05)
    finally:
        path.unlink()


@pytest.mark.parametrize("body", [{"file": "nowhere.safetensors"}, {"file": "../x"}, [], "x", {"file": 3}, {}])
def test_only_what_is_offered_is_hashed(client, body):
    status, answer = post(client, "hash", body)
    assert status in (400, 404) and answer.keys() == {"error"}


# -- taste ---------------------------------------------------------------------------------------


def tasted(client, *rows, **query):
    """Rows are names of checkpoints, or (kind, name, strength, active)."""
    rows = [("checkpoint", row, 1, 1) if isinstance(row, str) else row for row in rows]
    names = ("kind", "ingredient", "strength", "active")
    parts = [(name, f"{value}.safetensors" if name == "ingredient" else value)
             for row in rows for name, value in zip(names, row)]
    return ask(client, "taste", *parts, **query)


def test_taste_is_the_engines(client, comfy, tuned):
    status, told = tasted(client, *tuned, "clay", "xl1", ("lora", "comic", 0.5, 1), base="demo-base.safetensors")
    assert status == 200 and [each["verdict"] for each in told["ingredients"]] == [
        "fits", "fits", "stranger", "unfit", "fits"]
    assert "is SDXL" in told["ingredients"][3]["sentence"] and told["sampled"] is True
    from diffusion_soup import ModelFolders

    folders = ModelFolders({"checkpoint": [comfy.models / "checkpoints"], "lora": [comfy.models / "loras"]})
    recipe = Recipe((*(Ingredient(f"{name}.safetensors") for name in (*tuned, "clay", "xl1")),
                     Ingredient("comic.safetensors", "lora", strength=0.5)), base=ModelFile("demo-base.safetensors"))
    ours = taste(recipe, folders, sampled=True).to_dict()
    assert told["ingredients"][4]["distance"] == pytest.approx(ours["ingredients"][4]["distance"])
    assert told["ingredients"][0]["blocks"] == pytest.approx(ours["ingredients"][0]["blocks"])


def test_taste_without_a_base_is_of_those_that_count(client, tuned):
    status, told = tasted(client, *tuned, ("checkpoint", "clay", 1, 0))
    assert status == 200 and told["base"] is None and told["reference"] == "the mean of the ingredients"
    assert [each["verdict"] for each in told["ingredients"]] == ["fits", "fits", "stranger"]


def test_a_file_that_changes_is_tasted_again(client, comfy, tuned):
    base = "demo-base.safetensors"
    path = comfy.models / "checkpoints/tuned-b.safetensors"
    before = tasted(client, "tuned-b", base=base)[1]["ingredients"][0]
    assert tasted(client, "tuned-b", base=base)[1]["ingredients"][0] == before
    models.save(path, models.sd15(3, text=True))
    assert tasted(client, "tuned-b", base=base)[1]["ingredients"][0]["verdict"] == "stranger"


@pytest.mark.parametrize("query, told", [
    ([], "Expected 1 to 64 ingredients"), ([("ingredient", "clay.safetensors")], "as many kinds, got 1 and 0"),
    ([("ingredient", "../clay.safetensors"), ("kind", "checkpoint")], "is not in"),
    ([("ingredient", "clay.safetensors"), ("kind", "checkpoint"), ("strength", "nan")], "Expected 1 numbers"),
    ([("ingredient", "clay.safetensors"), ("kind", "checkpoint"), ("base", "/etc/passwd")], "is not in"),
])
def test_wrong_questions_about_taste(client, query, told):
    status, answer = ask(client, "taste", *query)
    assert status in (400, 404) and told in answer["error"]


# -- what a graph cooks --------------------------------------------------------------------------


def test_what_a_graph_cooks(client):
    recipe = Recipe((Ingredient("clay.safetensors", weight=2.0),))
    prompt = Graph()
    before = prompt("DSoupRecipe", json=recipe.to_json(), picture="none", soup="none")
    last = prompt("DSoupIngredient", file="neon.safetensors", share=0.5, elements="", ingredients=before[1])
    cook = prompt("DSoupCook", ingredients=last[0], **{"method": "soup", "normalise": True, "base": "none",
                                                       "text_encoder": "none", "vae": "auto", "dtype": "auto"})
    status, told = post(client, "cooked", {"prompt": prompt, "node": cook.id})
    assert status == 200
    assert [(each["file"], each["weight"]) for each in told["recipe"]["ingredients"]] == [
        ("clay.safetensors", 2.0), ("neon.safetensors", 0.5)]
    assert told["recipe"] == graph.recipes_of_prompt(prompt)[cook.id].to_dict()
    assert post(client, "cooked", {"prompt": prompt, "node": "99"}) == (200, {"recipe": None})
    assert post(client, "cooked", {"prompt": {"1": {"class_type": "DSoupCook", "inputs": 5}}, "node": "1"}) == \
        (200, {"recipe": None})
    assert post(client, "cooked", {"prompt": 5})[0] == 400
