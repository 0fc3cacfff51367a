"""What the browser may ask about block weights, in the real server."""

import json
import urllib.error
import urllib.parse

import pytest

from diffusion_soup import graph
from diffusion_soup.blocks import DIALECTS, block_names
from diffusion_soup.presets import house_presets

FILE = f"HALF\t{','.join(['0.5'] * 26)}\nXL\t{','.join(['0.25'] * 20)}\nSHORT\t1,2\n"


def ask(client, path, **query):
    """Status and JSON of an answer."""
    try:
        return 200, json.loads(client.get(f"/diffusion_soup/{path}?{urllib.parse.urlencode(query)}"))
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_names_layouts_and_presets(client):
    status, told = ask(client, "blocks")
    assert status == 200 and list(told["dialects"]) == list(DIALECTS)
    assert list(told["families"]) == list(graph.FAMILIES)
    for title, family in graph.FAMILIES.items():
        found = told["families"][title]
        assert found["names"] == list(block_names(family))
        assert {name: preset.blocks(family) for name, preset in house_presets(family).items()} == found["presets"]
        assert [len(columns) for columns in found["layouts"]["supermerger"]][:2] == [26 - 6 * (family == "sdxl"),
                                                                                   25 - 6 * (family == "sdxl")]


def test_preset_files_of_the_user(client, comfy):
    folder = comfy.base / "user/diffusion_soup/presets"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mbwpresets.txt").write_text(FILE)
    (folder / "huge.txt").write_bytes(bytes(2 << 20))
    (folder / "notes.md").write_text(FILE)
    try:
        huge, found = ask(client, "blocks")[1]["files"]
    finally:
        for path in folder.iterdir():
            path.unlink()
    assert huge == {"file": "huge.txt", "presets": {}, "problems": ["huge.txt: it is larger than 1 MB"]}
    sd1, sdxl = graph.FAMILIES
    assert found["presets"] == {sd1: {"HALF": dict.fromkeys(block_names("sd1"), 0.5)},
                                sdxl: {"HALF": dict.fromkeys(block_names("sdxl"), 0.5),
                                       "XL": dict.fromkeys(block_names("sdxl"), 0.25)}}
    assert found["problems"] == ["mbwpresets.txt, line 3: 2 values; expected one of 19, 20, 25, 26"]


@pytest.mark.parametrize("widgets", [{"mbw": "IN03=0.5, x.7=1_0"}, {"preset": "Hill", "family": "SDXL"}, {},
                                     {"mbw": ",".join(["0.5"] * 28), "dialect": "soup"}], ids=str)
def test_weights_as_the_node_has_them(client, widgets):
    weights = graph.block_weights(**{"family": "SD 1 / SD 2"} | widgets).weights
    assert ask(client, "block_weights", **widgets) == (200, {"weights": weights})


@pytest.mark.parametrize("widgets, told", [
    ({"mbw": "0.5 0.5"}, "2 block weights given"), ({"mbw": "IN03=x"}, "is not NAME=number"),
    ({"mbw": "IN03=inf"}, "expected a finite number"), ({"family": "Klingon"}, "There is no family 'Klingon'"),
    ({"preset": "Mine"}, "There is no preset 'Mine'"), ({"mbw": "1,2", "dialect": "Klingon"}, "No MBW dialect"),
])
def test_what_is_wrong_is_said(client, widgets, told):
    status, answer = ask(client, "block_weights", **widgets)
    assert status == 400 and answer.keys() == {"error"} and told in answer["error"]
