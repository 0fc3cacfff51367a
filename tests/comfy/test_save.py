"""A saved soup gives the same pictures as the MODEL, pixel for pixel, and says where it comes from."""

import hashlib
import json
import struct
from pathlib import Path

import pytest

from .graphs import Graph, pictures, same, shown

DTYPES = ("auto", "float16", "bfloat16", "float32", "float8_e4m3fn")


def save(client, graph, soup, prefix="soup"):
    """Run a graph that samples `soup`, with Save Soup after it; its picture, and the file's name in checkpoints."""
    node = graph("DSoupSave", recipe=soup[3], filename_prefix=f"checkpoints/{prefix}", model=soup[0])
    result = client.run(graph, extra_pnginfo={"workflow": {"nodes": []}})
    (picture,) = pictures(result)
    return picture, Path(result.outputs[node.id]["text"][0])


def loaded(client, path):
    """The picture of a saved soup in CheckpointLoaderSimple."""
    graph = Graph()
    saved = graph.checkpoint(path.stem)
    graph.sample(saved[0], saved[2])
    return shown(client, graph)


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_picture(client, dtype):
    graph = Graph()
    picture, path = save(client, graph, graph.picture("clay", ("neon", 0.5), dtype=dtype))
    assert same(loaded(client, path), picture)


def test_same_picture_with_its_own_text_encoder(client):
    graph = Graph()
    soup = graph.cook("clay", "neon", text_encoder="soup")
    graph.sample(soup[0], soup[2], graph.prompts(soup[1]))
    picture, path = save(client, graph, soup)
    graph = Graph()
    saved = graph.checkpoint(path.stem)
    graph.sample(saved[0], saved[2], graph.prompts(saved[1]))
    assert same(shown(client, graph), picture)


@pytest.mark.parametrize("dtype", [dtype if dtype in ("auto", "float8_e4m3fn") else
                                   pytest.param(dtype, marks=pytest.mark.slow) for dtype in DTYPES])
def test_same_picture_after_a_block_was_recooked(client, dtype):
    graph = Graph()  # the same nodes, so that the second is a recook of the first
    graph.picture("clay", ("neon", 1.0, graph.blocks("OUT01=1")), dtype=dtype)
    before = shown(client, graph)
    graph = Graph()
    soup = graph.picture("clay", ("neon", 1.0, graph.blocks("OUT01=0.2")), dtype=dtype)
    picture, path = save(client, graph, soup)
    assert not same(picture, before)
    assert same(loaded(client, path), picture)


def test_counts_up(client):
    """Nothing is overwritten: a second save gets the next number."""
    paths = []
    for share in (1.0, 2.0):
        graph = Graph()
        paths.append(save(client, graph, graph.picture("clay", ("neon", share)), "twice")[1])
    assert paths[0] != paths[1] and all(path.exists() for path in paths)


def test_saving_twice_gives_the_same_file(client):
    """The workflow alone may differ, so everything after the header is compared."""
    def tensors(path):
        data = path.read_bytes()
        return data[8 + struct.unpack("<Q", data[:8])[0]:]

    first, second = (save(client, graph, graph.picture("clay", "neon", dtype="float8_e4m3fn"), "same")[1]
                     for graph in (Graph(), Graph()))
    assert tensors(first) == tensors(second)


def test_a_lora_on_top_is_not_silently_lost(client):
    """The recipe does not hold it, so saving that MODEL is refused."""
    graph = Graph()
    soup = graph.cook("clay", "neon")
    lora = graph("LoraLoaderModelOnly", model=soup[0], lora_name="comic.safetensors", strength_model=1.0)
    graph("DSoupSave", recipe=soup[3], filename_prefix="checkpoints/lora", model=lora[0])
    failure = client.run(graph).failure
    assert "CheckpointSave" in failure.message


@pytest.fixture(scope="module")
def path(comfy):
    graph = Graph()
    return save(comfy.client, graph, graph.picture("clay", ("neon", 0.5)), "described")[1]


@pytest.fixture(scope="module")
def metadata(path):
    return header(path)["__metadata__"]


@pytest.fixture(scope="module")
def shas(shelf):
    return {name: sha256(shelf / "checkpoints" / f"{name}.safetensors") for name in ("clay", "neon")}


def test_metadata_holds_the_recipe(metadata, shas):
    recipe = json.loads(metadata["diffusion_soup"])
    assert recipe["diffusion_soup"] == 1
    assert [(each["file"], each["sha256"], each["weight"]) for each in recipe["ingredients"]] == [
        ("clay.safetensors", shas["clay"], 1.0), ("neon.safetensors", shas["neon"], 0.5)]


def test_what_a1111_reads(metadata, shas):
    assert json.loads(metadata["sd_merge_recipe"])["type"] == "diffusion-soup"
    parents = json.loads(metadata["sd_merge_models"])
    assert {sha: parent["name"] for sha, parent in parents.items()} == {
        sha: f"{name}.safetensors" for name, sha in shas.items()}


def test_model_specification(metadata):
    assert metadata["modelspec.sai_model_spec"] == "1.0.1"
    assert metadata["modelspec.architecture"] == "stable-diffusion-v1"
    assert metadata["modelspec.merged_from"] == "clay.safetensors, neon.safetensors"
    assert metadata["modelspec.prediction_type"] == metadata["modelspec.predict_key"] == "epsilon"


def test_hash_of_the_tensors(metadata, path):
    data = path.read_bytes()
    tensors = data[8 + struct.unpack("<Q", data[:8])[0]:]
    assert metadata["modelspec.hash_sha256"] == "0x" + hashlib.sha256(tensors).hexdigest()


def test_metadata_holds_the_workflow(metadata):
    assert "DSoupCook" in metadata["prompt"]
    assert json.loads(metadata["workflow"]) == {"nodes": []}


def header(path):
    with open(path, "rb") as file:
        return json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
