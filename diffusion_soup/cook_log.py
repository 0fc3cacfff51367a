"""The log of cooked recipes: one JSON line a cook, appended, so that a kill costs at most the last line.

Lines are of three kinds: a cook, the pictures a recipe made, and a recipe that was forgotten. Reading merges
them into one entry for each recipe hash. The log is a convenience: what cannot be written is warned of once,
and never stops a cook.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .errors import SoupError
from .files import append_line, replacing
from .recipe import Recipe

log = logging.getLogger("diffusion_soup")

#: Recipes that are kept, and the bytes their file may take; the oldest go first.
MOST_ENTRIES = 1000
MOST_BYTES = 32 << 20
MOST_PICTURES = 4
_MOST_NOTES = 50
_MOST_PROMPTS = 20


class Picture(NamedTuple):
    """Where a host keeps a picture: what it is asked for by, never the picture itself."""

    filename: str
    subfolder: str
    type: str


@dataclass(frozen=True)
class Entry:
    """All cooks of one recipe; ``seconds``, ``cooked`` of ``tensors`` and ``notes`` are the last one's."""

    hash: str
    recipe: Mapping[str, Any]
    count: int = 0
    first: float = 0.0
    last: float = 0.0
    seconds: float = 0.0
    cooked: int = 0
    tensors: int = 0
    notes: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"recipe": dict(self.recipe), "notes": list(self.notes),
                                           "pictures": [each._asdict() for each in self.pictures]}

    def matches(self, words: Sequence[str]) -> bool:
        """Whether each of these words, in lower case, is in a file's name, the hash, the method or the date."""
        files = [str(each.get("file", "")) for each in (*self.recipe["ingredients"], self.recipe.get("base") or {})]
        date = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.last))
        text = "\n".join([self.hash, str(self.recipe.get("method", "")), date, *files]).casefold()
        return all(word in text for word in words)

    def with_pictures(self, pictures: Iterable[Picture]) -> Entry:
        """With these pictures, the newest first."""
        found = dict.fromkeys((*pictures, *self.pictures))
        return dataclasses.replace(self, pictures=tuple(found)[:MOST_PICTURES])


@dataclass
class CookLog:
    """The log in one file. Thread-safe; other processes may append to the same file."""

    file: Path
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _read: tuple[tuple[int, int, int] | None, dict[str, Entry]] | None = None
    _lines: int = 0
    _warned: bool = False

    def add(self, recipe: Recipe, *, seconds: float, cooked: int = 0, tensors: int = 0, notes: Sequence[str] = (),
            prompt: str = "") -> None:
        """One more cook; ``tensors`` is 0 where the host does not count them."""
        self._append({"time": time.time(), "hash": recipe.hash, "recipe": recipe.to_dict(),
                      "seconds": round(seconds, 3), "cooked": cooked, "tensors": tensors,
                      "notes": list(notes[:_MOST_NOTES]), "prompt": prompt})

    def add_pictures(self, pictures: Mapping[str, Sequence[Picture]]) -> None:
        """Pictures by recipe hash, the newest first. Those of unknown recipes, or known already, are left out."""
        with self._lock:
            entries = self._load()
            for recipe_hash, found in pictures.items():
                entry = entries.get(recipe_hash)
                if entry and entry.with_pictures(found).pictures != entry.pictures:
                    self._append({"hash": recipe_hash, "pictures": [each._asdict() for each in found]})

    def entries(self) -> list[Entry]:
        """One entry for each recipe, the last cooked first."""
        with self._lock:
            return sorted(self._load().values(), key=lambda entry: entry.last, reverse=True)

    def forget(self, recipe_hash: str) -> None:
        """Leave one recipe out from now on."""
        self._append({"hash": recipe_hash, "forgotten": True})

    def clear(self) -> None:
        """Leave everything out. Raises :class:`OSError`."""
        with self._lock:
            self._read = None
            self.file.unlink(missing_ok=True)

    # -- the file --------------------------------------------------------------------------------

    def _append(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line, ensure_ascii=True, separators=(",", ":")).encode()
        with self._lock:
            try:
                append_line(self.file, data)
                self._compact()
            except OSError as error:
                if not self._warned:
                    log.warning("Diffusion Soup: the log of cooked recipes cannot be written (%s: %s).",
                                self.file, error.strerror or error)
                self._warned = True

    def _compact(self) -> None:
        """Write the file anew where most of its lines are of no use any more."""
        entries = self._load()
        size = self.file.stat().st_size
        if self._lines <= 3 * MOST_ENTRIES and size <= MOST_BYTES:
            return
        kept, room = [], MOST_BYTES // 2
        for entry in sorted(entries.values(), key=lambda entry: entry.last, reverse=True)[:MOST_ENTRIES]:
            line = json.dumps({**entry.to_dict(), "time": entry.last, "prompt": ""}, separators=(",", ":"))
            room -= len(line)
            if room < 0:
                break
            kept.append(line)
        with replacing(self.file) as part:
            part.write_text("".join(f"{line}\n" for line in reversed(kept)), encoding="utf-8")
        self._read = None

    def _load(self) -> dict[str, Entry]:
        """The entries by hash; the file is read again where it has changed."""
        try:
            stat = os.stat(self.file)
            stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if self._read is not None and self._read[0] == stamp:
                return self._read[1]
            with open(self.file, encoding="utf-8", errors="replace") as lines:
                entries, self._lines = _merged(lines)
        except OSError:
            stamp, entries, self._lines = None, {}, 0
        newest = sorted(entries.values(), key=lambda entry: entry.last)[-MOST_ENTRIES:]
        self._read = (stamp, {entry.hash: entry for entry in newest})
        return self._read[1]


def _merged(lines: Iterable[str]) -> tuple[dict[str, Entry], int]:
    entries: dict[str, Entry] = {}
    count = 0
    for line in lines:
        count += 1
        with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError, SoupError):  # half a line
            _merge(entries, json.loads(line))
    return entries, count


def _merge(entries: dict[str, Entry], line: Mapping[str, Any]) -> None:
    name = line["hash"]
    entry = entries.get(name)
    if line.get("forgotten"):
        entries.pop(name, None)
        return
    pictures = [picture_of(each) for each in line.get("pictures", ())]
    if "recipe" in line:
        if entry is None:
            Recipe.from_dict(line["recipe"])  # or it is left out
            entry = Entry(str(name), line["recipe"], first=float(line.get("first", line["time"])))
        prompts = (*([line["prompt"]] if line.get("prompt") else ()), *line.get("prompts", ()), *entry.prompts)
        entry = dataclasses.replace(
            entry, count=entry.count + int(line.get("count", 1)), last=float(line["time"]),
            seconds=float(line["seconds"]), cooked=int(line["cooked"]), tensors=int(line["tensors"]),
            notes=tuple(map(str, line["notes"])), prompts=tuple(map(str, prompts))[:_MOST_PROMPTS])
    if entry is not None:
        entries[entry.hash] = entry.with_pictures(each for each in pictures if each)


def picture_of(data: Any) -> Picture | None:
    """A picture out of JSON values; None if it is none."""
    if not isinstance(data, dict):
        return None
    found = Picture(data.get("filename", ""), data.get("subfolder", ""), data.get("type", "output"))
    return found if found.filename and all(isinstance(each, str) and len(each) <= 1024 for each in found) else None
