"""A panorama as text: read, laid on a canvas, scaled, written again; and what is refused."""

import json

import pytest

from diffusion_soup.errors import RecipeError
from diffusion_soup.panorama import Box, place, read

TWO = {"panorama": 1, "wrap": True, "tile_width": 512, "regions": [
    {"prompt": "a lake", "negative": "fog", "x": 0, "y": 0, "width": 320, "height": 256, "cfg": 9, "mask_weight": 2,
     "style": {"ink": 0.5}},
    {"name": "hills", "prompt": "a castle", "x": 256, "width": 320, "weights": "constant", "end": 0.75}]}


def test_regions_are_what_was_written():
    painting = read(json.dumps(TWO)).on(512, 256)
    first, second = painting.parts
    assert painting.canvas.wrap and (painting.canvas.tile_width, painting.canvas.overlap_x) == (512, 128)
    assert (painting.canvas.tile_height, painting.canvas.overlap_y) == (1024, 256)
    assert (first.prompt, first.negative, first.style, first.region.name) == ("a lake", "fog", {"ink": 0.5}, "region 1")
    assert (first.region.cfg, first.region.weight, second.region.cfg) == (9, 2, None)
    assert (second.region.name, second.region.kind, second.region.end) == ("hills", "constant", 0.75)
    assert (second.region.x, second.region.y, second.region.width, second.region.height) == (256, 0, 320, 256)


def test_it_is_written_as_it_was_read():
    document = read(TWO)
    assert read(document.to_json()) == document
    assert json.loads(document.to_json()) == TWO
    lines = read("a lake | a castle\n\nsand | the sea ")
    assert read(lines.to_json()) == lines and lines.to_json() == "a lake | a castle\nsand | the sea"


def test_lines_are_rows_and_bars_part_cells():
    painting = read("a lake | a [cat|dog] house\nsand | sea").on(512, 512)
    assert [part.prompt for part in painting.parts] == ["a lake", "a [cat|dog] house", "sand", "sea"]
    boxes = [(part.region.x, part.region.y, part.region.width, part.region.height) for part in painting.parts]
    assert boxes == [(0, 0, 320, 320), (192, 0, 320, 320), (0, 192, 320, 320), (192, 192, 320, 320)]


def test_a_grid_fills_cells_by_lines():
    cells = {"rows": 1, "columns": 2, "overlap_x": 64, "prompts": "left\nright"}
    painting = read([{"grid": cells, "cfg": 3}]).on(448, 64)
    assert [(part.prompt, part.region.x, part.region.width, part.region.cfg) for part in painting.parts] == [
        ("left", 0, 256, 3), ("right", 192, 256, 3)]
    one = read([{"grid": {"columns": 3, "prompts": "sky"}}]).on(960, 512)
    assert [part.prompt for part in one.parts] == ["sky"] * 3


@pytest.mark.parametrize("text", ["", "  \n", "{}", "[]", '{"wrap": true}'])
def test_without_regions_the_whole_canvas_is_one(text):
    painting = read(text).on(256, 128)
    assert [(part.prompt, part.region.width, part.region.height) for part in painting.parts] == [("", 256, 128)]


def test_a_larger_canvas_has_the_same_regions():
    small = read([{"width": 136, "feather": 16}, {"x": 136, "width": 120}]).on(256, 128)
    assert small.scaled(256, 128) is small
    large = small.scaled(392, 200)
    assert [place(large.canvas, part.region) for part in large.parts] == [Box(0, 0, 26, 25), Box(26, 0, 23, 25)]
    assert large.parts[0].region.feather == round(16 * (392 * 200 / 256 / 128) ** 0.5)
    large.layout()


@pytest.mark.parametrize("text, words", [
    ("{", "not JSON"), ("[1]", "list of objects"), ('{"region": []}', "'region' that is not known"),
    ('{"panorama": 2}', "version 2"), ('{"wrap": 1}', "true or false"), ('{"tile_width": "big"}', "whole number"),
    ('{"tiles_at_once": -1}', "tiles_at_once"), ('[{"promt": "x"}]', "'promt' that is not known"),
    ('[{"prompt": 3}]', '"prompt" of region 1'), ('[{"x": 1.5}]', '"x" of region 1 is 1.5'),
    ('[{"x": true}]', "whole number"),
    ('[{"mask_weight": NaN}]', "give a number"), ('[{"mask_weight": 0}]', "mask weight of 0"),
    ('[{"weights": "round"}]', "choose one of"), ('[{"cfg": -1}]', "give 0 to 100"), ('[{"start": 1}]', "start"),
    ('[{"style": 3}]', "style"), ('[{"style": {"ink": "much"}}]', "give a number"), ('[{"grid": 3}]', "rows, columns"),
    ('[{"grid": {"row": 3}}]', "'row' that is not known"), ('[{"grid": {}, "x": 3}]', "'x' that is not known"),
    ("a | b\nc", "2, 1 cells"), ("[" * 100_000, "not JSON"),
    ('[{"mask_weight": 1' + "0" * 400 + "}]", "give a number")])
def test_what_cannot_be_meant_is_refused(text, words):
    with pytest.raises(RecipeError) as refused:
        read(text)
    assert words in str(refused.value) and len(str(refused.value)) < 400


@pytest.mark.parametrize("text, words", [
    ('[{"x": 200}]', "reaches from x = 200"), ('[{"width": 8}]', "at least 64"),
    ('[{"width": 128}]', "belongs to no region"),
    ('[{"grid": {"rows": 1, "columns": 2, "overlap_x": 64, "prompts": "a\\nb\\nc"}}]', "3 lines"),
    ('[{"grid": {"rows": 1000000, "columns": 1000000}}]', "the most"),
    ('[{"grid": {"columns": 33, "prompts": "a"}}]', "do not fit"),
    ('{"tile_width": 20}', "does not fit the grid"), ("|".join("a" * 300), "the most"),
    (json.dumps([{} for _ in range(300)]), "300 regions")])
def test_what_does_not_fit_the_canvas_is_refused(text, words):
    with pytest.raises(RecipeError) as refused:
        read(text).on(256, 128).layout()
    assert words in str(refused.value)
