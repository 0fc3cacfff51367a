"""Checkpoints on disk, read lazily: the header first, then slices of tensors into reused buffers.

The safetensors format is 8 bytes of little-endian header length N, N bytes of JSON
``{"name": {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {str: str}}`` and the
tensors' bytes, to which the offsets are relative. Everything in the header is checked before any
tensor is touched, so that a damaged file is refused in one sentence and never half-read.

Tensors are read explicitly (``preadv`` into memory we own). Mapping a file instead looks cheaper,
but pages that were mapped are reclaimed and faulted in again while several large files are
averaged, which costs several times the plain read.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import numpy as np
import torch

from .errors import FileError

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}
DTYPE_NAMES: dict[torch.dtype, str] = {dtype: name for name, dtype in DTYPES.items()}
#: Valid in the format, but no torch dtype we average: known by size so that such headers still parse.
_OPAQUE_SIZES = {"U16": 2, "U32": 4, "U64": 8, "F8_E8M0": 1, "C64": 8}
_SIZES = {name: dtype.itemsize for name, dtype in DTYPES.items()} | _OPAQUE_SIZES

MAX_HEADER = 100_000_000
PICKLE_SUFFIXES = frozenset({".ckpt", ".pt", ".pth", ".bin"})


@dataclass(frozen=True)
class TensorInfo:
    """One tensor as the header describes it. ``begin`` is absolute in the file; sizes are in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int = 0

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return _SIZES[self.dtype]

    @property
    def nbytes(self) -> int:
        return self.numel * self.itemsize

    @property
    def torch_dtype(self) -> torch.dtype:
        """The tensor's torch dtype; a FileError for dtypes that cannot be averaged."""
        try:
            return DTYPES[self.dtype]
        except KeyError:
            raise FileError(f"Tensor {self.name!r} has dtype {self.dtype}, which cannot be read as numbers; "
                            f"expected one of {', '.join(DTYPES)}.") from None

    @property
    def is_float(self) -> bool:
        return self.dtype in DTYPES and DTYPES[self.dtype].is_floating_point


@dataclass(frozen=True, eq=False)
class Header:
    """What stands before the tensors of a file. ``stamp`` changes when the file does."""

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    stamp: tuple[int, ...] = ()


class Checkpoint:
    """A safetensors file, opened lazily. Reading is thread-safe; ``close`` when done.

    ``tensors`` maps each name to its :class:`TensorInfo`, in file order; ``metadata`` is the
    header's ``__metadata__``. Raises :class:`FileError` if the header does not hold together.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.header = _header(self.path)
        self.tensors, self.metadata = self.header.tensors, dict(self.header.metadata)
        self._lock = threading.Lock()
        self._file: Any = None

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(info.nbytes for info in self.tensors.values())

    def read(self, name: str, start: int, stop: int, buffer: np.ndarray) -> torch.Tensor:
        """Elements ``[start, stop)`` of the flattened tensor, as a 1-D view of ``buffer`` (uint8)."""
        info = self.tensors[name]
        nbytes = (stop - start) * info.itemsize
        target = buffer[:nbytes]
        if not nbytes:  # torch cannot view an empty array as another dtype
            return torch.empty(0, dtype=info.torch_dtype)
        self._read_bytes(info.begin + start * info.itemsize, target)
        return torch.from_numpy(target).view(info.torch_dtype)

    def tensor(self, name: str) -> torch.Tensor:
        """The whole tensor in memory of its own, shaped, in its own dtype."""
        info = self.tensors[name]
        buffer = np.empty(info.nbytes, dtype=np.uint8)
        return self.read(name, 0, info.numel, buffer).reshape(info.shape)

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def _handle(self) -> Any:
        with self._lock:
            if self._file is None:
                try:
                    self._file = open(self.path, "rb", buffering=0)
                except OSError as error:
                    raise FileError(f"{self.path.name}: cannot be opened ({error.strerror}).") from None
                if _stamp(os.fstat(self._file.fileno())) != self.header.stamp:
                    raise FileError(f"{self.path.name} was changed while it was in use; try again.")
            return self._file

    def _read_bytes(self, offset: int, target: np.ndarray) -> None:
        file, view, done = self._handle(), target.data, 0
        while done < len(view):
            try:
                count = self._read_at(file, view[done:], offset + done)
            except OSError as error:
                raise FileError(f"{self.path.name}: reading failed at byte {offset + done} "
                                f"({error.strerror}).") from None
            if not count:
                raise FileError(f"{self.path.name} ended at byte {offset + done} while it was being read; "
                                "it was truncated meanwhile. Copy it again.")
            done += count

    def _read_at(self, file: Any, view: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(file.fileno(), [view], offset)
        with self._lock:  # Windows has no positioned read
            file.seek(offset)
            return file.readinto(view) or 0


class PickledCheckpoint(Checkpoint):
    """A ``.ckpt`` or ``.pt`` file, through torch's weights-only unpickler: no code in it can run.

    The tensors are mapped from the file where its layout allows, else they are loaded whole; ``close``
    lets go of them, and they are loaded again when they are read again.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._data: Mapping[str, torch.Tensor] | None = None
        self.header = Header({name: TensorInfo(name, DTYPE_NAMES[tensor.dtype], tuple(tensor.shape))
                              for name, tensor in self._loaded().items()}, {})
        self.tensors, self.metadata = self.header.tensors, dict(self.header.metadata)

    def read(self, name: str, start: int, stop: int, buffer: np.ndarray) -> torch.Tensor:
        tensor = self._loaded()[name]
        if not tensor.is_contiguous():
            tensor = tensor.contiguous()
        view = torch.from_numpy(buffer[:(stop - start) * tensor.itemsize]).view(tensor.dtype)
        return view.copy_(tensor.view(-1)[start:stop])

    def tensor(self, name: str) -> torch.Tensor:
        return self._loaded()[name].clone(memory_format=torch.contiguous_format)

    def close(self) -> None:
        with self._lock:
            self._data = None

    def _loaded(self) -> Mapping[str, torch.Tensor]:
        with self._lock:
            if self._data is None:
                self._data = _unpickle(self.path)
            return self._data


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Open a checkpoint or LoRA file of either kind. Raises :class:`FileError`."""
    path = Path(path)
    if path.suffix.lower() in PICKLE_SUFFIXES:
        return PickledCheckpoint(path)
    return Checkpoint(path)


def _header(path: Path) -> Header:
    try:
        return _read_header(path, _stamp(os.stat(path)))
    except OSError as error:
        raise FileError(f"{path.name}: cannot be read ({error.strerror}); expected a safetensors file.") from None


@lru_cache(maxsize=32)
def _read_header(path: Path, stamp: tuple[int, ...]) -> Header:
    """The header of the file that ``stamp`` was taken of; parsed once, because sliders plan many times a second."""
    name = path.name
    try:
        with open(path, "rb") as file:
            stat = os.fstat(file.fileno())
            prefix = file.read(8)
            length = int.from_bytes(prefix, "little")
            if len(prefix) < 8 or length < 2 or length > min(MAX_HEADER, stat.st_size - 8):
                raise FileError(f"{name} is not a safetensors file, or only its beginning: the header does not fit "
                                f"into its {stat.st_size} bytes. Download or copy it again.")
            raw = file.read(length)
    except OSError as error:
        reason = "is a folder" if path.is_dir() else f"cannot be read ({error.strerror})"
        raise FileError(f"{name}: {reason}; expected a safetensors file.") from None
    header = _parse_json(name, raw)
    metadata = _metadata(name, header.pop("__metadata__", {}))
    data_begin = 8 + length
    tensors = {key: _tensor_info(name, key, entry, data_begin) for key, entry in header.items()}
    _check_layout(name, tensors, data_begin, stat.st_size)
    return Header(MappingProxyType(tensors), MappingProxyType(metadata), _stamp(stat))


def _stamp(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _parse_json(name: str, raw: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise FileError(f"{name}: the header has the key {twice[:200]!r} twice; the file is damaged or was "
                            "written by a faulty tool. Save it again with another one.")
        return result

    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise FileError(f"{name}: the header is not valid JSON, so this is not a safetensors file or it is "
                        "damaged. Download or copy it again.") from None
    if not isinstance(header, dict):
        raise FileError(f"{name}: the header is not a JSON object; the file is damaged.")
    return header


def _metadata(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise FileError(f"{name}: __metadata__ must map names to strings; the file is damaged.")
    return value


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _tensor_info(name: str, key: str, entry: Any, data_begin: int) -> TensorInfo:
    shown = key[:200]
    if len(key) > 1000 or not key.isprintable():
        raise FileError(f"{name}: a tensor has an impossible name; the file is damaged.")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise FileError(f"{name}: the entry of {shown!r} must have dtype, shape and data_offsets; "
                        "the file is damaged.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _SIZES:
        raise FileError(f"{name}: tensor {shown!r} has the unknown dtype {str(dtype)[:40]!r}; "
                        f"known are {', '.join(_SIZES)}.")
    if not isinstance(shape, list) or not all(map(_whole, shape)) or len(shape) > 16:
        raise FileError(f"{name}: tensor {shown!r} has an impossible shape; the file is damaged.")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_whole, offsets)):
        raise FileError(f"{name}: tensor {shown!r} has impossible data_offsets; the file is damaged.")
    info = TensorInfo(key, dtype, tuple(shape), data_begin + offsets[0])
    if offsets[1] - offsets[0] != info.nbytes:
        raise FileError(f"{name}: tensor {shown!r} of shape {list(shape)} and dtype {dtype} needs {info.nbytes} "
                        f"bytes, but its offsets span {offsets[1] - offsets[0]}; the file is damaged.")
    return info


def _check_layout(name: str, tensors: dict[str, TensorInfo], data_begin: int, size: int) -> None:
    """The tensors must tile the data without gap or overlap, exactly to the end of the file."""
    position, previous = data_begin, None
    for info in sorted(tensors.values(), key=lambda info: (info.begin, info.nbytes)):
        if info.begin < position:
            raise FileError(f"{name}: tensors {info.name[:200]!r} and {previous!r} overlap; the file is damaged.")
        if info.begin > position:
            raise FileError(f"{name}: {info.begin - position} bytes before tensor {info.name[:200]!r} belong to "
                            "no tensor; the file is damaged.")
        position, previous = info.begin + info.nbytes, info.name[:200]
    if position > size:
        raise FileError(f"{name} is truncated: its header promises {position} bytes, the file has {size}. "
                        "Download or copy it again.")
    if position < size:
        raise FileError(f"{name} has {size - position} bytes after its last tensor; the file is damaged.")


def _unpickle(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        except (RuntimeError, ValueError):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise FileError(f"{path.name} was not opened: it is damaged, or holds more than weights (Python code could run "
                        "when it is loaded). Download it again, or convert it to safetensors with a tool you "
                        "trust.") from None
    except Exception as error:  # a damaged pickle can raise anything
        raise FileError(f"{path.name} cannot be read as a torch file ({type(error).__name__}); it is damaged or "
                        "not a checkpoint. Download or copy it again.") from None
    for wrapper in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict):
        raise FileError(f"{path.name} is a torch file, but holds no named tensors.")
    return {str(name): tensor for name, tensor in loaded.items()
            if isinstance(tensor, torch.Tensor) and tensor.dtype in DTYPE_NAMES and tensor.layout == torch.strided}
