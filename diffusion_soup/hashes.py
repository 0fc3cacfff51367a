"""SHA-256 of model files, computed once: cached by path, size and modification time."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from .errors import Cancelled, FileError
from .files import replacing
from .progress import Progress, Silent, check

_PIECE = 4 << 20


def default_cache_file() -> Path:
    """Where hashes are kept when the host has no place of its own."""
    root = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(root) / "diffusion_soup" / "hashes.json"


class HashCache:
    """``sha256(path)`` with memory. ``file=None`` keeps the cache in this process only.

    The file is a convenience: if it is missing, damaged or not writable, hashes are computed again.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, int, str]] = _load(file) if file else {}

    def peek(self, path: Path) -> str | None:
        """The hash if it is known and the file has not changed since; reads nothing."""
        try:
            stat = os.stat(path)
        except OSError:
            return None
        entry = self._known.get(_name(path))
        if entry and entry[:2] == (stat.st_size, stat.st_mtime_ns):
            return entry[2]
        return None

    def sizes_of(self, sha256: str) -> set[int]:
        """Sizes in bytes under which files with this hash were ever seen."""
        return {size for size, _, known in self._known.values() if known == sha256}

    def sha256(self, path: Path, progress: Progress | None = None) -> str:
        """Hex SHA-256 of the file. Raises :class:`FileError`, :class:`Cancelled`."""
        return self.sha256_many([path], progress)[path]

    def sha256_many(self, paths: list[Path], progress: Progress | None = None) -> dict[Path, str]:
        """Hashes of several files, at most two read at a time. ``progress`` is called from this thread alone."""
        progress = progress or Silent()
        known = {path: self.peek(path) for path in paths}
        todo = [path for path, sha in known.items() if sha is None]
        if todo:
            check(progress)
            counter = _Counter()
            total = sum(_size(path) for path in todo)
            with ThreadPoolExecutor(max_workers=2) as pool:
                running = {path: pool.submit(_digest, path, counter) for path in todo}
                try:
                    while wait(running.values(), timeout=0.05, return_when=FIRST_EXCEPTION).not_done and \
                            not any(future.done() and future.exception() for future in running.values()):
                        progress.step(min(counter.done, total), total, "hashing")
                        check(progress)
                finally:
                    counter.stopped = True
                for path, future in running.items():
                    entry = future.result()
                    known[path] = entry[2]
                    with self._lock:
                        self._known[_name(path)] = entry
            progress.step(total, total, "hashing")
            self._save()
        return {path: sha for path, sha in known.items() if sha}

    def _save(self) -> None:
        if self._file is None:
            return
        with self._lock:
            merged = _load(self._file) | self._known
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with replacing(self._file) as part:
                    part.write_text(json.dumps(merged), encoding="utf-8")
            except OSError:
                pass


class _Counter:
    """Adds up the bytes of files hashed side by side, and tells their readers to stop."""

    def __init__(self) -> None:
        self.done, self.stopped, self._lock = 0, False, threading.Lock()

    def add(self, count: int) -> None:
        if self.stopped:
            raise Cancelled("cancelled")
        with self._lock:
            self.done += count


def _name(path: Path) -> str:
    """How a file is called in the cache: the same from every working directory."""
    return os.path.abspath(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise FileError(f"{path.name}: cannot be read ({error.strerror}).") from None


def _digest(path: Path, counter: _Counter) -> tuple[int, int, str]:
    digest, buffer = hashlib.sha256(), bytearray(_PIECE)
    view = memoryview(buffer)
    try:
        with open(path, "rb", buffering=0) as file:
            stat = os.fstat(file.fileno())
            while count := file.readinto(buffer):
                digest.update(view[:count])
                counter.add(count)
    except OSError as error:
        raise FileError(f"{path.name}: cannot be read ({error.strerror}).") from None
    return stat.st_size, stat.st_mtime_ns, digest.hexdigest()


def _load(file: Path) -> dict[str, tuple[int, int, str]]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return {path: (int(size), int(mtime), sha) for path, (size, mtime, sha) in data.items()
                if isinstance(sha, str) and len(sha) == 64}
    except (OSError, ValueError, AttributeError, TypeError, OverflowError, RecursionError):
        return {}


