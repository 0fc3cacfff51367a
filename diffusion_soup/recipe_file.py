"""Recipes out of the files that carry them: JSON, saved soups, and pictures."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .checkpoint import Checkpoint
from .errors import FileError, RecipeError
from .graph import recipes_of_prompt
from .metadata import RECIPE_KEY, json_object
from .recipe import Recipe

_PNG = b"\x89PNG\r\n\x1a\n"
_MAX_TEXT = 64 << 20
_KEYWORDS = (RECIPE_KEY.encode(), b"prompt")


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """The recipe in a ``.json`` file, a saved soup or a PNG. Raises :class:`FileError`, :class:`RecipeError`."""
    path = Path(path)
    if not os.path.isfile(path):
        what = "is a folder" if path.is_dir() else "there is no such file"
        raise FileError(f"{path.name}: {what}; expected a recipe, a saved soup or a PNG picture.")
    if path.suffix.lower() in (".safetensors", ".sft"):
        return _from_soup(path)
    try:
        with open(path, "rb") as file:
            if file.read(len(_PNG)) == _PNG:
                return _from_png(path)
            file.seek(0)
            text = file.read(_MAX_TEXT + 1)
    except OSError as error:
        raise FileError(f"{path.name}: cannot be read ({error.strerror}).") from None
    if len(text) > _MAX_TEXT:
        raise FileError(f"{path.name} is too large for a recipe; expected JSON, a saved soup or a PNG picture.")
    return Recipe.from_json(text)


def _from_soup(path: Path) -> Recipe:
    text = Checkpoint(path).metadata.get(RECIPE_KEY)
    if text is None:
        raise RecipeError(f"{path.name} holds no recipe: it was not saved by Diffusion Soup.")
    return Recipe.from_json(text)


def _from_png(path: Path) -> Recipe:
    texts = dict(_png_texts(path))
    for recipe in _recipes(texts):
        return recipe
    raise RecipeError(f"{path.name} holds no recipe: it was not made with a soup, or its metadata was removed "
                      "(many sites do that).")


def _recipes(texts: dict[str, str]) -> Iterator[Recipe]:
    """The recipe as it was cooked; else as the picture's graph describes it."""
    stored = json_object(texts.get(RECIPE_KEY))
    if stored is not None:
        yield Recipe.from_dict(stored if "diffusion_soup" in stored else next(iter(stored.values()), None))
    prompt = json_object(texts.get("prompt"))
    if prompt is not None:
        yield from recipes_of_prompt(prompt).values()


def _png_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Keyword and text of the tEXt, zTXt and iTXt chunks that may hold recipes; a damaged chunk ends the reading."""
    with open(path, "rb") as file:
        file.seek(len(_PNG))
        remaining = path.stat().st_size
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if length > remaining or kind == b"IEND":
                return
            if kind in (b"tEXt", b"zTXt", b"iTXt") and length <= _MAX_TEXT:
                yield from _text_chunk(kind, file, length)
            else:
                file.seek(length, os.SEEK_CUR)
            file.seek(4, os.SEEK_CUR)  # checksum


def _text_chunk(kind: bytes, file: BinaryIO, length: int) -> Iterator[tuple[str, str]]:
    keyword, _, rest = file.read(length).partition(b"\0")
    packed = kind == b"zTXt"
    if kind == b"zTXt":
        rest = rest[1:]
    elif kind == b"iTXt":
        packed = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    if keyword not in _KEYWORDS:  # nor unpacked: a small picture may hold many large texts
        return
    if packed:
        try:
            rest = zlib.decompressobj().decompress(rest, _MAX_TEXT)
        except zlib.error:
            return
    yield keyword.decode(), rest.decode("latin-1" if kind != b"iTXt" else "utf-8", errors="replace")
