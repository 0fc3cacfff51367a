"""Where model files lie: the host's folders, and finding a file in them by name or by hash."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from .checkpoint import PICKLE_SUFFIXES
from .errors import FileError
from .hashes import HashCache
from .progress import Progress
from .recipe import ModelFile

_SUFFIXES = PICKLE_SUFFIXES | {".safetensors", ".sft"}
#: Files nobody has hashed yet are hashed to find a missing one only up to this many bytes in all.
_SEARCH_BYTES = 8 << 30
#: Sub-folders of one models directory, as the known hosts call them.
_LAYOUTS = {
    "checkpoint": ("", "checkpoints", "Stable-diffusion", "diffusion_models", "unet"),
    "lora": ("", "loras", "Lora"),
}


class ModelFolders:
    """The folders in which each kind of file is looked for, in order.

    ``find`` returns a path inside one of them. Links inside a folder are followed, as the hosts do.
    """

    def __init__(self, folders: Mapping[str, Iterable[str | os.PathLike[str]]],
                 hashes: HashCache | None = None) -> None:
        self._folders = {kind: [Path(folder) for folder in found] for kind, found in folders.items()}
        self.hashes = hashes or HashCache()

    @classmethod
    def below(cls, root: str | os.PathLike[str], hashes: HashCache | None = None) -> ModelFolders:
        """One models directory, with or without the hosts' sub-folders."""
        root = Path(root)
        if not root.is_dir():
            raise FileError(f"The models folder {str(root)!r} does not exist; give the folder your checkpoints are in.")
        return cls({kind: [root / name for name in names] for kind, names in _LAYOUTS.items()}, hashes)

    @property
    def folders(self) -> dict[str, list[Path]]:
        """The folders by kind, in the order in which they are searched."""
        return {kind: list(found) for kind, found in self._folders.items()}

    def find(self, wanted: ModelFile, progress: Progress | None = None) -> Path:
        """The path of a recipe's file; one that was moved or renamed is found again by its sha256.

        Raises :class:`FileError` if it is not there, or if its content is no longer what the recipe says.
        """
        path = self._named(wanted)
        if path is None:
            path = self._by_hash(wanted, progress)
            if path is None:
                raise self._missing(wanted)
        elif wanted.sha256 and self.hashes.sha256(path, progress) != wanted.sha256:
            moved = self._by_hash(wanted, progress)
            if moved is None:
                raise FileError(f"{wanted.file} is not the file this recipe was made with: its sha256 begins with "
                                f"{self.hashes.sha256(path)[:10]}, the recipe says {wanted.sha256[:10]}. Bring the "
                                "old file back, or remove the sha256 from the recipe to take the new one.")
            path = moved
        return path

    def look(self, wanted: ModelFile) -> tuple[str, str | None]:
        """Whether a recipe's file is there as far as is known without reading any, and its name in the folders.

        "here" by its name; "moved": another name has its sha256; "changed": the file of that name is known to be
        another one; "missing": none is known, although :meth:`find` may find it by hashing files nobody has hashed.
        """
        path = self._named(wanted)
        sha256 = self.hashes.peek(path) if path else None
        if path is not None and (wanted.sha256 is None or sha256 in (None, wanted.sha256)):
            return "here", wanted.file
        moved = (file for file in self._files(wanted.kind) if self.hashes.peek(file) == wanted.sha256)
        for file in moved if wanted.sha256 else ():
            return "moved", self._name_of(file, wanted.kind)
        return ("missing", None) if path is None else ("changed", wanted.file)

    def _name_of(self, path: Path, kind: str) -> str | None:
        folders = [folder for folder in self._folders.get(kind, []) if path.is_relative_to(folder)]
        return path.relative_to(folders[0]).as_posix() if folders else None

    def known_sha256(self, wanted: ModelFile) -> str | None:
        """The hash of a file by name if it was computed before; reads no file."""
        path = self._named(wanted)
        return self.hashes.peek(path) if path else None

    def _named(self, wanted: ModelFile) -> Path | None:
        for folder in self._folders.get(wanted.kind, []):
            path = folder / wanted.file
            if os.path.isfile(path):
                return path
        return None

    def _by_hash(self, wanted: ModelFile, progress: Progress | None) -> Path | None:
        if wanted.sha256:
            for path in self._candidates(wanted):
                with suppress(FileError):  # a candidate that cannot be read is not the file
                    if self.hashes.sha256(path, progress) == wanted.sha256:
                        return path
        return None

    def _missing(self, wanted: ModelFile) -> FileError:
        looked = ", ".join(str(folder) for folder in self._folders.get(wanted.kind, []) if folder.is_dir())
        by_hash = " (nor any other file with its sha256)" if wanted.sha256 else ""
        return FileError(f"{wanted.file} was not found{by_hash}; looked in {looked or 'no folder'}. "
                         "Put the file there, or change the recipe.")

    def _candidates(self, wanted: ModelFile) -> Iterator[Path]:
        """Files worth hashing: known by hash, of the size it had, of the same name, then the rest if they are few."""
        files = list(dict.fromkeys(self._files(wanted.kind)))
        known = {path: self.hashes.peek(path) for path in files}
        yield from (path for path, sha in known.items() if sha == wanted.sha256)
        unknown = [path for path, sha in known.items() if sha is None]
        sizes = self.hashes.sizes_of(wanted.sha256 or "")
        name = Path(wanted.file).name
        likely = [path for path in unknown if path.stat().st_size in sizes or path.name == name]
        yield from likely
        rest = [path for path in unknown if path not in set(likely)]
        if not sizes and sum(path.stat().st_size for path in rest) <= _SEARCH_BYTES:
            yield from rest

    def _files(self, kind: str) -> Iterator[Path]:
        seen: set[str] = set()
        for folder in self._folders.get(kind, []):
            for where, below, names in os.walk(folder, followlinks=True):
                if os.path.realpath(where) in seen:  # a link in a circle, or a folder within another
                    below.clear()
                    continue
                seen.add(os.path.realpath(where))
                for name in sorted(names):
                    path = Path(where) / name
                    if path.suffix.lower() in _SUFFIXES and path.is_file():
                        yield path
