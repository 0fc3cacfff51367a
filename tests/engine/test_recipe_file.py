"""Recipes out of JSON files, saved soups and pictures."""

import json
import struct
import time
import zlib

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from diffusion_soup import Ingredient, Recipe, RecipeError, SoupError, read_recipe

from .kitchen import plain_sentence

RECIPE = Recipe((Ingredient("日本.safetensors", weight=0.25), Ingredient("b.safetensors")))
TEXT = RECIPE.to_json()
PROMPT = json.dumps({"1": {"class_type": "DSoupIngredient", "inputs": {"file": "a.safetensors", "share": 0.5}},
                     "2": {"class_type": "DSoupCook", "inputs": {"ingredients": ["1", 0]}}})
OF_PROMPT = Recipe((Ingredient("a.safetensors", weight=0.5),))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def text(keyword, value):
    return chunk(b"tEXt", keyword + b"\0" + value.encode("latin-1"))


def packed(keyword, value):
    return chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(value.encode("latin-1")))


def international(keyword, value, compress=True):
    data = zlib.compress(value.encode()) if compress else value.encode()
    return chunk(b"iTXt", keyword + b"\0" + bytes([compress]) + b"\0de\0" + b"Wort\0" + data)


def png(*chunks):
    pixels = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + pixels + b"".join(chunks) + chunk(b"IEND", b"")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "picture.png"


def read(path, content=None):
    if content is not None:
        path.write_bytes(content)
    return read_recipe(path)


def refused(path, content=None):
    with pytest.raises(SoupError) as caught:
        read(path, content)
    return plain_sentence(caught.value)


def test_json(tmp_path):
    assert read(tmp_path / "soup.json", TEXT.encode()) == RECIPE
    assert read(tmp_path / "anything.txt", json.dumps(RECIPE.to_dict()).encode("utf-16")) == RECIPE


def test_a_saved_soup(tmp_path):
    path = tmp_path / "soup.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"diffusion_soup": TEXT})
    assert read_recipe(path) == RECIPE
    save_file({"x": torch.zeros(1)}, path)
    assert "holds no recipe" in refused(path)


ASCII = json.dumps(RECIPE.to_dict())


@pytest.mark.parametrize("one", [text(b"diffusion_soup", ASCII), packed(b"diffusion_soup", ASCII),
                                 international(b"diffusion_soup", TEXT), international(b"diffusion_soup", TEXT, False)])
def test_a_picture_in_every_kind_of_chunk(file, one):
    assert read(file, png(one)) == RECIPE


def test_a_picture_may_have_any_name(tmp_path):
    assert read(tmp_path / "picture.json", png(text(b"diffusion_soup", ASCII))) == RECIPE


def test_recipes_by_node(file):
    stored = json.dumps({"7": RECIPE.to_dict()})
    assert read(file, png(text(b"diffusion_soup", stored))) == RECIPE


def test_the_graph_of_a_picture(file):
    assert read(file, png(text(b"workflow", "{}"), text(b"prompt", PROMPT))) == OF_PROMPT


def test_what_was_cooked_comes_before_the_graph(file):
    assert read(file, png(text(b"prompt", PROMPT), text(b"diffusion_soup", ASCII))) == RECIPE


def test_a_picture_without_a_recipe(file):
    for content in (png(), png(text(b"prompt", "{}")), png(text(b"prompt", "[[[")), png(text(b"diffusion_soup", "[]")),
                    png(text(b"parameters", PROMPT))):
        assert "holds no recipe" in refused(file, content)


def test_a_wrong_recipe_in_a_picture_says_what_is_wrong(file):
    assert "'spice'" in refused(file, png(text(b"diffusion_soup", json.dumps(RECIPE.to_dict() | {"spice": 1}))))
    assert "not a recipe" in refused(file, png(text(b"diffusion_soup", "{}")))


def test_pillow_writes_what_we_read(file):
    image, info = pytest.importorskip("PIL.Image"), pytest.importorskip("PIL.PngImagePlugin").PngInfo()
    info.add_text("prompt", PROMPT)
    image.new("RGB", (2, 2)).save(file, pnginfo=info)
    assert read_recipe(file) == OF_PROMPT


def test_no_file_and_a_folder(tmp_path):
    assert "no such file" in refused(tmp_path / "missing.json")
    assert "is a folder" in refused(tmp_path)
    assert "not valid JSON" in refused(tmp_path / "empty.json", b"")


def test_a_large_file_is_not_read(tmp_path):
    with open(tmp_path / "huge.json", "wb") as file:
        file.truncate(1 << 32)
    assert "too large" in refused(tmp_path / "huge.json")


def test_bombs_are_not_unpacked(file):
    """60 texts of 64 MB each, in a picture of 4 MB."""
    bomb = zlib.compress(bytes(64 << 20), 9)
    chunks = [chunk(b"zTXt", b"comment%d\0\0" % number + bomb) for number in range(60)]
    began = time.monotonic()
    assert read(file, png(*chunks, text(b"diffusion_soup", ASCII))) == RECIPE
    assert time.monotonic() - began < 3


GOOD = png(text(b"prompt", PROMPT), international(b"diffusion_soup", TEXT), packed(b"other", "x"))
quick = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(position=st.integers(8, len(GOOD) - 1), byte=st.integers(0, 255), cut=st.integers(8, len(GOOD)))
@quick
def test_damaged_pictures(file, position, byte, cut):
    file.write_bytes((GOOD[:position] + bytes([byte]) + GOOD[position + 1:])[:cut])
    try:
        assert read_recipe(file).ingredients
    except SoupError as error:
        plain_sentence(error)


@given(kind=st.sampled_from([b"tEXt", b"zTXt", b"iTXt"]), keyword=st.sampled_from([b"prompt", b"diffusion_soup", b""]),
       data=st.binary(max_size=60), length=st.none() | st.integers(0, (1 << 32) - 1))
@quick
def test_fuzzed_chunks(file, kind, keyword, data, length):
    body = keyword + b"\0" + data
    head = struct.pack(">I", len(body) if length is None else length) + kind
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
    with pytest.raises(RecipeError):
        read_recipe(file)
