"""Every example workflow opens, runs and gives pictures; and looks tidy."""

import json
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image

from demo.workflows import workflow_to_prompt

from .graphs import pictures

FOLDER = Path(__file__).resolve().parents[2] / "example_workflows"
FILES = sorted(FOLDER.glob("*.json"))
TITLE = 30  # a node's title bar, above its position
SHRINK = 2  # what belongs to places of a picture is this many times smaller in tests; the smallest region has 128 px
PLACED = {"DSoupCanvas", "DSoupRegion", "DSoupRegionGrid", "DSoupRegionsFromMask", "DSoupPanoramaTile", "EmptyImage",
          "SolidMask", "ImageCompositeMasked", "MaskComposite"}
SMALL = {"width": 64, "height": 64, "steps": 1}
SCORED = {"scorer": "clipscore:clip-vit-large-patch14"}  # nobody rates by hand here
PIXELS = {"x", "y", "width", "height", "tile_width", "tile_height", "overlap_x", "overlap_y", "grid_overlap_x",
          "grid_overlap_y", "feather", "margin", "soft"}

pytestmark = pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])


def load(file):
    return json.loads(file.read_text(encoding="utf-8"))


def test_runs(client, file):
    """With tiny models of the same names, small pictures and few steps."""
    prompt = workflow_to_prompt(load(file), client.object_info())
    for node in prompt.values():
        node["inputs"] |= {"KSampler": {"steps": 2}, "DSoupStyleSheet": {"steps": 1},
                           "DSoupGrid": SMALL, "DSoupSelect": SMALL | SCORED,
                           "EmptyLatentImage": {"width": 64, "height": 64}}.get(node["class_type"], {})
        if node["class_type"] in PLACED:
            node["inputs"] |= {name: node["inputs"][name] // SHRINK for name in PIXELS & node["inputs"].keys()}
    assert len(pictures(client.run(prompt))) >= 1


def test_values_are_offered(client, file):
    """No value of a list that ComfyUI does not have; models go by the demo's names."""
    info = client.object_info()
    for node in workflow_to_prompt(load(file), info).values():
        spec = {**info[node["class_type"]]["input"].get("required", {}),
                **info[node["class_type"]]["input"].get("optional", {})}
        assert set(node["inputs"]) <= set(spec)
        for name, value in node["inputs"].items():
            kind, options = spec[name][0], spec[name][1] if len(spec[name]) > 1 else {}
            choices = kind if isinstance(kind, list) else options.get("options") if kind == "COMBO" else None
            assert choices is None or isinstance(value, list) or value in choices, (name, value)


def test_picture_beside_it(file):
    with Image.open(file.with_suffix(".jpg")) as picture:
        assert picture.format == "JPEG" and min(picture.size) >= 256
        assert max(picture.size) <= 3.1 * min(picture.size)  # a longer one is a thin line among the templates
        assert max(high - low for low, high in picture.getextrema()) > 100
    assert file.with_suffix(".jpg").stat().st_size <= 150_000


def test_offered_as_a_template(client, file):
    assert file.stem in json.loads(client.get("/workflow_templates"))["diffusion_soup"]
    served = f"/api/workflow_templates/diffusion_soup/{file.stem}"
    assert client.get(f"{served}.jpg") == file.with_suffix(".jpg").read_bytes()
    assert json.loads(client.get(f"{served}.json")) == load(file)


def test_layout(file):
    """Nodes do not overlap, links lead from left to right or down, and a note says what to see."""
    flow = load(file)
    assert flow["version"] == 0.4
    boxes = {node["id"]: (*node["pos"], node["pos"][0] + node["size"][0], node["pos"][1] + node["size"][1])
             for node in flow["nodes"]}
    for one, other in combinations(boxes.values(), 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] - TITLE or other[3] <= one[1] - TITLE
    for _, origin, _, target, _, _ in flow["links"]:
        assert boxes[origin][0] <= boxes[target][0]
    assert any(node["type"] == "MarkdownNote" for node in flow["nodes"])
    assert flow["groups"]


def test_nothing_private_in_it(file):
    text = file.read_text(encoding="utf-8")
    assert not any(word in text for word in ("/tmp/", "/home/", "cnr_id", "ver\":"))
