"""Every node is registered under its promised id and explains itself."""

import pytest

IDS = {"DSoupIngredient", "DSoupLoRAIngredient", "DSoupBlockWeights", "DSoupCook", "DSoupRecipe", "DSoupAdd",
       "DSoupRemove", "DSoupSave", "DSoupStudent", "DSoupStyleMix", "DSoupStyleApply", "DSoupStyleCondition",
       "DSoupStyleSchedule", "DSoupStyleSheet", "DSoupStyleSwap", "DSoupCanvas", "DSoupRegion", "DSoupRegionGrid",
       "DSoupRegionsFromMask", "DSoupPanorama", "DSoupPanoramaTile", "DSoupVAEDecodeWrap",
       "DSoupTaste", "DSoupSelect", "DSoupCandidate", "DSoupScore", "DSoupGrid"}


def test_ids(client):
    ours = {name for name, info in client.object_info().items() if info["python_module"].endswith("diffusion_soup")}
    assert ours == IDS


@pytest.mark.parametrize("name", sorted(IDS))
def test_words(client, name):
    info = client.object_info(name)
    assert info["display_name"] != name and info["category"].startswith("diffusion soup")
    assert len(info["description"]) > 30
    inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    assert inputs
    for label, spec in inputs.items():
        assert len(spec) > 1 and len(spec[1].get("tooltip", "")) > 10, label
    assert len(info["output_tooltips"]) == len(info["output"]) > 0
    assert all(info["output_tooltips"])
    assert not any(label.startswith("DSOUP_") or label == "STRING" for label in info["output_name"])


def test_only_save_is_an_end(client):
    """Saving happens although nothing is connected behind it; cooking does not."""
    assert {name for name in IDS if client.object_info(name)["output_node"]} == {"DSoupSave"}


def test_model_files_are_offered(client):
    assert "clay.safetensors" in client.object_info("DSoupIngredient")["input"]["required"]["file"][1]["options"]
    assert "comic.safetensors" in client.object_info("DSoupLoRAIngredient")["input"]["required"]["file"][1]["options"]
