"""Recipes travel: in the picture, in the saved soup, as text; and soups gain and lose specialists."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from .graphs import Graph, pictures, ran, same, shown, soup_picture


def recipes(data):
    """What the picture's PNG says about soups, by node."""
    return json.loads(Image.open(io.BytesIO(data)).text["diffusion_soup"])


def from_picture(client, path, **inputs):
    """Cook what a picture says."""
    graph = Graph()
    soup = graph.cook_recipe(graph("DSoupRecipe", picture=client.upload_image(path))[0])
    graph.sample(soup[0], soup[2])
    return shown(client, graph)


@pytest.fixture(scope="module")
def made(comfy, tmp_path_factory):
    """A soup's picture, as a file and as pixels."""
    graph = Graph()
    graph.picture("clay", ("neon", 0.5), "watercolour")
    result = comfy.client.run(graph)
    path = tmp_path_factory.mktemp("pictures") / "soup.png"
    path.write_bytes(result.images[0])
    return path, *pictures(result)


def test_picture_carries_the_recipe(made):
    (recipe,) = recipes(made[0].read_bytes()).values()
    assert recipe["diffusion_soup"] == 1
    assert [each["file"] for each in recipe["ingredients"]] == [
        "clay.safetensors", "neon.safetensors", "watercolour.safetensors"]
    assert all(len(each["sha256"]) == 64 for each in recipe["ingredients"])


def test_also_when_the_soup_comes_from_the_cache(client):
    graph = Graph()
    graph.picture("clay", "neon", seed=1)
    first = client.run(graph).succeeded()
    graph = Graph()
    graph.picture("clay", "neon", seed=2)
    second = client.run(graph).succeeded()
    assert not ran(second, graph, "DSoupCook")
    assert recipes(first.images[0]) == recipes(second.images[0])


def test_each_soup_of_a_graph(client):
    graph = Graph()
    one, other = graph.picture("clay", "neon"), graph.picture("neon", "watercolour")
    found = recipes(client.run(graph).succeeded().images[0])
    assert {node: recipe["ingredients"][0]["file"] for node, recipe in found.items()} == {
        one.id: "clay.safetensors", other.id: "neon.safetensors"}


def test_read_back_from_the_picture(client, made):
    path, picture = made
    assert same(from_picture(client, path), picture)


def test_read_back_without_our_own_chunk(client, made, tmp_path):
    """The graph in the picture is enough."""
    from PIL.PngImagePlugin import PngInfo

    path, picture = made
    opened = Image.open(path)
    kept = PngInfo()
    kept.add_text("prompt", opened.text["prompt"])
    opened.save(tmp_path / "graph.png", pnginfo=kept)
    assert same(from_picture(client, tmp_path / "graph.png"), picture)


def test_a_picture_without_a_recipe(client, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    graph = Graph()
    graph("PreviewAny", source=graph("DSoupRecipe", picture=client.upload_image(tmp_path / "plain.png"))[2])
    assert "holds no recipe" in client.run(graph).failure.message


def test_text(client, made):
    """A recipe shown as text, put into another graph."""
    graph = Graph()
    soup = graph.cook("clay", ("neon", 0.5), "watercolour")
    graph.sample(soup[0], soup[2])
    text = graph("PreviewAny", source=graph("DSoupRecipe", recipe=soup[3])[2])
    (shown_text,) = client.run(graph).succeeded().outputs[text.id]["text"]
    graph = Graph()
    soup = graph.cook_recipe(graph("DSoupRecipe", json=shown_text)[0])
    graph.sample(soup[0], soup[2])
    assert same(shown(client, graph), made[1])


def test_saved_soup(client, made):
    graph = Graph()
    soup = graph.cook("clay", ("neon", 0.5), "watercolour")
    saved = graph("DSoupSave", recipe=soup[3], filename_prefix="checkpoints/recipe")
    path = Path(client.run(graph).succeeded().outputs[saved.id]["text"][0])
    graph = Graph()
    soup = graph.cook_recipe(graph("DSoupRecipe", soup=path.name)[0])
    graph.sample(soup[0], soup[2])
    assert same(shown(client, graph), made[1])


def test_ingredients_of_a_recipe(client, made):
    """Its chain of ingredients can go on."""
    path, picture = made
    graph = Graph()
    first = graph("DSoupRecipe", picture=client.upload_image(path))
    soup = graph.cook(("demo-base", 1.0, {"ingredients": first[1]}))
    graph.sample(soup[0], soup[2])
    assert same(shown(client, graph), soup_picture(client, "clay", ("neon", 0.5), "watercolour", "demo-base"))


def test_moved_file_is_found_by_its_hash(client, made, comfy):
    """The recipe says clay, which is called something else now."""
    path, picture = made
    clay = comfy.models / "checkpoints/clay.safetensors"
    moved = clay.rename(clay.with_name("renamed.safetensors"))
    try:
        assert same(from_picture(client, path), picture)
    finally:
        moved.rename(clay)


def test_add(client):
    graph = Graph()
    more = graph("DSoupAdd", recipe=graph.cook("clay", "neon")[3], ingredients=graph.chain("watercolour"))
    soup = graph.cook_recipe(more[0])
    graph.sample(soup[0], soup[2])
    assert same(shown(client, graph), soup_picture(client, "clay", "neon", "watercolour"))


def test_add_then_remove_equals_never_added(client):
    graph = Graph()
    first = graph.cook("clay", "neon")
    more = graph("DSoupAdd", recipe=first[3], ingredients=graph.chain("watercolour"))
    less = graph("DSoupRemove", recipe=more[0], name="watercolour")
    for soup in (first, graph.cook_recipe(more[0]), graph.cook_recipe(less[0])):
        graph.sample(soup[0], soup[2])
    before, between, after = pictures(client.run(graph))
    assert not same(before, between)
    assert same(before, after)
    client.free()
    assert same(soup_picture(client, "clay", "neon"), after)
