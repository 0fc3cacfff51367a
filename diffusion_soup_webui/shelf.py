"""Recipes kept on the server, for grids and for other browsers: ``diffusion_soup/recipes`` in the WebUI's data folder.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from diffusion_soup import FileError, Recipe, SoupError, read_recipe
from diffusion_soup.errors import shown
from diffusion_soup.files import replacing

SUFFIXES = (".json", ".png", ".safetensors", ".sft")
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?\Z", re.IGNORECASE)


class Shelf:
    """The recipes in one folder and the folders in it. Nothing outside of it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """All files that may hold a recipe, relative to the folder, with forward slashes."""
        found = (Path(where, name) for where, _, names in os.walk(self.folder) for name in names
                 if name.lower().endswith(SUFFIXES) and not name.startswith("."))
        return sorted((path.relative_to(self.folder).as_posix() for path in found), key=str.lower)

    def has(self, name: str) -> bool:
        return self._path(name).is_file()

    def read(self, name: str) -> Recipe:
        """Raises :class:`SoupError`."""
        return read_recipe(self._path(name))

    def keep(self, recipe: Recipe, title: str) -> str:
        """Write a recipe under a name made of its title; returns the name. What is there already stays as it is."""
        stem = " ".join(_NOT_IN_NAMES.sub(" ", title).split()).strip(" .")[:100] or "soup"
        for number in range(1, 1000):
            path = self.folder / f"{stem}{f' {number}' if number > 1 else ''}.json"
            if self._holds(path, recipe):
                return path.name
            if not path.exists():
                self._write(path, recipe.to_json())
                return path.name
        raise FileError(f"{self.folder} has a thousand recipes called {stem}; take some away.")

    def _path(self, name: str) -> Path:
        path = Path(os.path.abspath(self.folder / name.replace("\\", "/").strip()))
        if not path.is_relative_to(os.path.abspath(self.folder)):
            raise FileError(f"{shown(name)} must stay inside the folder of recipes ({self.folder.name}).")
        return path

    @staticmethod
    def _holds(path: Path, recipe: Recipe) -> bool:
        with suppress(SoupError):
            return read_recipe(path).hash == recipe.hash
        return False

    def _write(self, path: Path, text: str) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as part:
                part.write_text(text, encoding="utf-8")
        except OSError as error:
            raise FileError(f"{path.name} could not be written to {self.folder} ({error.strerror}).") from None


def plain_stem(name: str) -> str:
    """A name for a new file, without suffix. Raises :class:`FileError` for one that no system takes."""
    stem = name.strip()
    stem = stem[:-len(".safetensors")] if stem.lower().endswith(".safetensors") else stem
    if not stem or _NOT_IN_NAMES.search(stem) or stem.startswith(".") or stem.endswith((" ", ".")) \
            or _RESERVED.match(stem) or len(stem.encode()) > 200:
        raise FileError(f"{name[:100]!r} cannot be a file's name; give a plain one such as \"my soup\", "
                        "without a folder.")
    return stem
