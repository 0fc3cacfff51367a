"""Safetensors out: written piece by piece, in any order, then renamed into place at once."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from .checkpoint import TensorInfo
from .errors import FileError

_PIECE = 4 << 20
_HASH_KEY = "modelspec.hash_sha256"


class StreamingWriter:
    """Writes ``tensors`` to ``path`` without ever holding them together in memory.

    Used as a context manager: leaving it normally commits (flush, fsync, rename), leaving it by an
    exception removes the temporary file. Space is reserved up front where the system can, so a disk
    that is too small is found out before the work. ``write`` may be called from several threads.

    ``check`` is called every few megabytes of the last pass and may raise to give up.

    The layout is that of the reference implementation (larger dtypes first, then by name), and the
    header gets ``modelspec.hash_sha256``, ``0x`` and the SHA-256 of all tensor bytes.
    """

    def __init__(self, path: str | os.PathLike[str], tensors: Iterable[TensorInfo],
                 metadata: Mapping[str, str] | None = None, *, overwrite: bool = False,
                 check: Callable[[], None] = lambda: None) -> None:
        self._check = check
        self.path = Path(path)
        self._overwrite = overwrite
        with _Explained(self.path, 0):
            if not overwrite and self.path.exists():
                raise FileError(f"{self.path} exists already and was left as it is; choose another name or allow "
                                "overwriting.")
        self._token = "0x" + uuid.uuid4().hex * 2
        ordered = sorted(tensors, key=lambda info: (-info.itemsize, info.name))
        header, self._offsets, self._size = _layout(ordered, {**(metadata or {}), _HASH_KEY: self._token})
        self._header = header
        self._temporary = self.path.with_name(f".soup-{uuid.uuid4().hex[:8]}.part")
        self._lock = threading.Lock()
        self._file: Any = None

    def write(self, name: str, start: int, piece: torch.Tensor) -> None:
        """Put ``piece`` (1-D, in the tensor's dtype) at element ``start`` of tensor ``name``."""
        data: memoryview = piece.contiguous().view(torch.uint8).numpy().data
        self._write_at(self._offsets[name] + start * piece.itemsize, data)

    def __enter__(self) -> StreamingWriter:
        with self._explained():
            self._file = open(self._temporary, "xb+", buffering=0)
        try:
            with self._explained():
                _reserve(self._file.fileno(), len(self._header) + self._size)
                self._file.truncate(len(self._header) + self._size)
            self._write_at(0, memoryview(self._header))
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            self._discard()

    def _commit(self) -> None:
        with self._explained():
            digest = b"0x" + self._digest().encode()
            self._write_at(self._header.index(self._token.encode()), memoryview(digest))
            os.fsync(self._file.fileno())
            self._file.close()
            if not self._overwrite and self.path.exists():
                raise FileError(f"{self.path} appeared while the soup was being written and was left as it is.")
            os.replace(self._temporary, self.path)

    def _digest(self) -> str:
        """SHA-256 of the tensor bytes, read back from the file."""
        digest, buffer = hashlib.sha256(), bytearray(_PIECE)
        self._file.seek(len(self._header))
        while count := self._file.readinto(buffer):
            digest.update(memoryview(buffer)[:count])
            self._check()
        return digest.hexdigest()

    def _discard(self) -> None:
        if self._file is not None:
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _write_at(self, offset: int, data: memoryview) -> None:
        with self._explained():
            done = 0
            while done < len(data):
                done += self._pwrite(data[done:], offset + done)

    def _pwrite(self, data: memoryview, offset: int) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(self._file.fileno(), data, offset)
        with self._lock:  # Windows has no positioned write
            self._file.seek(offset)
            return int(self._file.write(data))

    def _explained(self) -> _Explained:
        return _Explained(self.path, len(self._header) + self._size)


class _Explained:
    """Turns operating-system errors of writing into one sentence."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if isinstance(error, OSError):
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            reason = (f"the disk is full; {self._size / 1e9:.2f} GB are needed. Free some space and try again"
                      if full else f"{error.strerror}")
            raise FileError(f"{self._path} could not be written: {reason}. Nothing was left behind.") from None


def _reserve(descriptor: int, size: int) -> None:
    reserve: Callable[[int, int, int], None] | None = getattr(os, "posix_fallocate", None)
    if reserve is None:
        return
    try:
        reserve(descriptor, 0, size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise


def _layout(ordered: list[TensorInfo], metadata: Mapping[str, str]) -> tuple[bytes, dict[str, int], int]:
    """Header bytes, absolute offset of each tensor, and the size of the data."""
    entries: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    position, offsets = 0, {}
    for info in ordered:
        offsets[info.name] = position
        entries[info.name] = {"dtype": info.dtype, "shape": list(info.shape),
                              "data_offsets": [position, position + info.nbytes]}
        position += info.nbytes
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    begin = 8 + len(text)
    return len(text).to_bytes(8, "little") + text, {name: begin + at for name, at in offsets.items()}, position
