"""Evaluations kept: what a scorer said of one prompt's picture by one recipe, so that no picture is made twice.

One JSON line for each, appended: a kill at any moment costs at most the line that was being written. Beside the
file lies a folder of small pictures for contact sheets; they are a convenience, and the oldest go first.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import FileError
from .files import append_line, replacing

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger("diffusion_soup")

#: Evaluations that are kept, and small pictures; the oldest go first.
MOST_LINES = 100_000
MOST_PICTURES = 2_000
PICTURE_SIDE = 256  # px of a small picture's longer side


@dataclass(frozen=True)
class Question:
    """What one evaluation depends on: change any of it and it is another evaluation.

    ``sampling`` are the sampler's settings and whatever else has a say in the picture, as JSON values. ``scorer`` is
    the scorer's identity, with the hash of its weights.
    """

    recipe: str  # the recipe's hash, with the sha256 of every file in it
    prompt: str
    negative: str
    seed: int
    width: int
    height: int
    scorer: str
    sampling: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def key(self) -> str:
        """sha256 of all of it."""
        text = json.dumps({**dataclasses.asdict(dataclasses.replace(self, sampling=dict(self.sampling)))},
                          sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def picture_key(self) -> str:
        """The same for its picture, which no scorer has a say in."""
        return dataclasses.replace(self, scorer="").key


class Evaluations:
    """The evaluations in one file. Thread-safe; other processes may append to it at the same time."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.pictures = file.with_suffix("")
        self._lock = threading.RLock()
        self._scores: dict[str, float] = {}
        self._stamp: tuple[int, ...] | None = None
        self._lines = 0

    def get(self, question: Question) -> float | None:
        """The score if it is known."""
        with self._lock:
            return self._load().get(question.key)

    def put(self, question: Question, score: float, picture: Image | None = None) -> None:
        """Keep a score, and a small copy of its picture. Raises :class:`FileError` if it cannot be written."""
        if not math.isfinite(score):
            raise ValueError(f"a score must be finite, not {score}")
        line = json.dumps({"key": question.key, "score": score, "recipe": question.recipe, "prompt": question.prompt,
                           "seed": question.seed, "scorer": question.scorer}, separators=(",", ":")).encode()
        with self._lock:
            try:
                if picture is not None:
                    self._save(question, picture)
                append_line(self.file, line, sync=True)
                self._bound()
            except OSError as error:
                raise FileError(f"{self.file} could not be written ({error.strerror}); evaluations would be lost. Make "
                                "room, or allow writing there.") from None

    def keep(self, question: Question, picture: Image) -> None:
        """Keep a small copy of a picture that is not scored alone."""
        with self._lock, suppress(OSError):  # contact sheets are a convenience
            self._save(question, picture)

    def picture(self, question: Question) -> Image | None:
        """The small picture, if it is still there. Needs Pillow."""
        from PIL import Image

        found: Image.Image | None = None
        with suppress(OSError, ValueError, SyntaxError), Image.open(self._picture_file(question)) as opened:
            found = opened.convert("RGB")
        return found

    # -- the files -------------------------------------------------------------------------------

    def _picture_file(self, question: Question) -> Path:
        return self.pictures / f"{question.picture_key[:32]}.png"

    def _save(self, question: Question, picture: Image) -> None:
        self.pictures.mkdir(parents=True, exist_ok=True)
        small = picture.convert("RGB")
        small.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
        with replacing(self._picture_file(question)) as part:
            small.save(part, "png")

    def _load(self) -> dict[str, float]:
        """The scores by key; the file is read again where it has changed."""
        try:
            stat = os.stat(self.file)
            stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if stamp != self._stamp:
                with open(self.file, encoding="utf-8", errors="replace") as lines:
                    entries, self._lines = _read(lines)
                self._scores, self._stamp = {key: entry["score"] for key, entry in entries.items()}, stamp
        except OSError:
            self._scores, self._stamp, self._lines = {}, None, 0
        return self._scores

    def _bound(self) -> None:
        self._load()
        if self._lines > MOST_LINES + MOST_LINES // 4:
            with open(self.file, encoding="utf-8", errors="replace") as lines:
                entries, _ = _read(lines)
            newest = list(entries.values())[-MOST_LINES:]
            with replacing(self.file) as part:
                part.write_text("".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in newest),
                                encoding="utf-8")
            self._stamp = None
        if self.pictures.is_dir():
            files = [each for each in os.scandir(self.pictures) if each.name.endswith(".png")]
            if len(files) > MOST_PICTURES + MOST_PICTURES // 4:
                for each in sorted(files, key=lambda each: each.stat().st_mtime_ns)[:len(files) - MOST_PICTURES]:
                    Path(each.path).unlink(missing_ok=True)


def _read(lines: Iterable[str]) -> tuple[dict[str, dict[str, Any]], int]:
    """Entries by key, the last one of each, in the order of the file; and how many lines there are."""
    entries: dict[str, dict[str, Any]] = {}
    count = 0
    for line in lines:
        count += 1
        with suppress(ValueError, TypeError, KeyError, RecursionError, OverflowError):  # half a line, or none of ours
            entry = json.loads(line)
            if isinstance(entry["key"], str) and math.isfinite(float(entry["score"])):
                entries.pop(entry["key"], None)
                entries[entry["key"]] = {**entry, "score": float(entry["score"])}
    return entries, count
