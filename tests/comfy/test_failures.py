"""What goes wrong is said in one sentence, and nothing else is harmed."""

import pytest

from .graphs import Graph, same, soup_picture


def truncated(graph):
    return graph.cook("clay", "truncated"), "truncated.safetensors"


def lora_without_base(graph):
    return graph.cook("clay", "comic"), "name the base checkpoint"


def lora_for_another_base(graph):
    return graph.cook("clay", "other-base", base="demo-base.safetensors"), "other-base.safetensors"


def two_families(graph):
    return graph.cook("clay", "xl1"), "SDXL"


def two_sizes(graph):
    return graph.cook("clay", "huge1"), "not the same model"


def no_shares(graph):
    return graph.cook(("clay", 0.0), ("neon", 0.0)), "share of 0"


def task_arithmetic_without_base(graph):
    return graph.cook("clay", "neon", method="task_arithmetic"), "name the base checkpoint"


def unknown_block(graph):
    return graph.cook("clay", ("neon", 1.0, graph.blocks("OUT77=0.5"))), "OUT77"


def wrong_count(graph):
    return graph.cook("clay", ("neon", 1.0, graph.blocks("1,0.5,0.2", "SDXL"))), "3"


def no_such_ingredient(graph):
    less = graph("DSoupRemove", recipe=graph.cook("clay", "neon")[3], name="watercolour")
    return graph.cook_recipe(less[0]), "'watercolour' is not in this soup"


def nothing_connected(graph):
    return graph("DSoupCook", **{key: value for key, value in graph.pop(graph.cook("clay").id)["inputs"].items()
                                 if key != "ingredients"}), "Connect either ingredients or a recipe"


def not_a_recipe(graph):
    return graph.cook_recipe(graph("DSoupRecipe", json="{nonsense")[0]), "not valid JSON"


def way_out(graph):
    recipe = '{"diffusion_soup": 1, "ingredients": [{"kind": "checkpoint", "file": "../../secret.safetensors"}]}'
    return graph.cook_recipe(graph("DSoupRecipe", json=recipe)[0]), "../../secret.safetensors"


def picture_elsewhere(graph):
    """A picture is read from ComfyUI's own folders alone, whatever the prompt says."""
    return graph.cook_recipe(graph("DSoupRecipe", picture="/dev/zero")[0]), "not in ComfyUI's input folder"


def missing_file(graph):
    return graph.cook("clay", "nowhere"), "nowhere.safetensors was not found"


def missing_file_of_a_recipe(graph):
    recipe = '{"diffusion_soup": 1, "ingredients": [{"kind": "checkpoint", "file": "nowhere.safetensors"}]}'
    return graph.cook_recipe(graph("DSoupRecipe", json=recipe)[0]), "nowhere.safetensors was not found"


CASES = (truncated, lora_without_base, lora_for_another_base, two_families, two_sizes, no_shares,
         task_arithmetic_without_base, unknown_block, wrong_count, no_such_ingredient, nothing_connected, not_a_recipe,
         way_out, picture_elsewhere, missing_file, missing_file_of_a_recipe)


@pytest.fixture(scope="module")
def before(comfy):
    return soup_picture(comfy.client, "clay", "neon")


@pytest.mark.parametrize("case", CASES)
def test_one_sentence(client, before, case):
    graph = Graph()
    soup, words = case(graph)
    graph.sample(soup[0], soup[2])
    result = client.run(graph)
    assert result.status == "error"
    message = result.failure.message
    assert words in message and "\n" not in message and 20 < len(message) < 1000
    assert not any(sign in message for sign in ("Traceback", "Error(", "<class", "object at 0x"))
    assert same(soup_picture(client, "clay", "neon"), before)


def test_failing_keeps_the_soup_of_the_same_node(client, before):
    """A share set wrongly, then set right: the soup is there, and right."""
    graph = Graph()
    graph.picture("clay", ("neon", 1.0))
    assert client.run(graph).status == "success"
    graph["2"]["inputs"]["share"] = -1.0  # 1 - 1 = 0
    assert client.run(graph).status == "error"
    assert same(soup_picture(client, "clay", "neon"), before)
