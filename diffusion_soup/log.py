"""The log of cooks: one JSON object a line, bounded, searched by words."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_MAX_BYTES = 4 << 20


class CookLog:
    """Lines of a file, oldest first. When it outgrows ``max_bytes``, the older half is dropped.

    A line is written by one call, so that two processes never mix theirs. The log is a convenience: a file that cannot
    be read or written, and lines that are damaged, are passed over.
    """

    def __init__(self, path: str | os.PathLike[str], max_bytes: int = _MAX_BYTES) -> None:
        self._path, self._max = Path(path), max_bytes
        self._lock = threading.Lock()

    def append(self, entry: Mapping[str, Any]) -> None:
        line = json.dumps(dict(entry), ensure_ascii=False).encode() + b"\n"
        if len(line) > self._max:
            return
        with self._lock, suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._write(line)
            if self._path.stat().st_size > self._max:
                self._compact()

    def read(self, search: str = "", limit: int = 500) -> list[dict[str, Any]]:
        """The newest entries that contain every word of ``search``, newest first."""
        words = search.lower().split()
        found: list[dict[str, Any]] = []
        for line in reversed(self._lines()):
            if len(found) >= limit:
                break
            if all(word in line.lower() for word in words) and (entry := _entry(line)) is not None:
                found.append(entry)
        return found

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Every entry, newest first."""
        return iter(self.read(limit=1 << 30))

    def _lines(self) -> list[str]:
        try:
            return self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []

    def _write(self, line: bytes) -> None:
        handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            size = os.fstat(handle).st_size
            if size and hasattr(os, "pread") and os.pread(handle, 1, size - 1) != b"\n":
                line = b"\n" + line  # the last writer was cut off; only its own line is lost
            os.write(handle, line)
        finally:
            os.close(handle)

    def _compact(self) -> None:
        """Keep the newest lines that fill half of the room."""
        kept: list[bytes] = []
        size = 0
        for line in reversed(self._path.read_bytes().splitlines(keepends=True)):
            size += len(line)
            if size > self._max // 2:
                break
            kept.append(line)
        handle, temporary = tempfile.mkstemp(dir=self._path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as out:
                out.writelines(reversed(kept))
            os.replace(temporary, self._path)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)
            raise


def _entry(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
