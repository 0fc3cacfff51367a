"""Files of scorers: weights through the checked readers alone, settings and words beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ..checkpoint import PICKLE_SUFFIXES, open_checkpoint
from ..errors import FileError, SoupError
from ..hashes import HashCache
from ..progress import Progress, check

_SUFFIXES = PICKLE_SUFFIXES | {".safetensors"}
Weights = Mapping[str, torch.Tensor]


def transformers() -> Any:
    """The library, or one sentence: raises :class:`SoupError`."""
    try:
        import transformers as found
        from PIL import Image  # noqa: F401
    except ImportError:
        raise SoupError("Scorers need the libraries transformers and Pillow: pip install diffusion-soup[score], in the "
                        "Python that runs this.") from None
    return found


def weights_files(folder: Path) -> list[Path]:
    """The files in a folder that may hold weights, in order of their names."""
    with suppress(OSError):
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())
    return []


def read_json(path: Path) -> dict[str, Any]:
    """A file of settings; empty if it is not there or holds none."""
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def read_weights(path: Path, progress: Progress) -> dict[str, torch.Tensor]:
    """All tensors of a file, floating point ones as float32. Raises :class:`FileError` and :class:`Cancelled`."""
    found = {}
    with open_checkpoint(path) as checkpoint:
        for done, name in enumerate(checkpoint.tensors):
            check(progress)
            progress.step(done, len(checkpoint.tensors), "scorer")
            tensor = checkpoint.tensor(name)
            found[name] = tensor.float() if tensor.is_floating_point() else tensor
    return found


def fill(module: torch.nn.Module, weights: Weights, file: Path, what: str) -> None:
    """Put weights into a module made on the meta device. Raises :class:`FileError` unless they are all there."""
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in weights]
    if missing:
        raise FileError(f"{file.name} in {file.parent.name} is not {what}: {len(missing)} of its {len(wanted)} tensors "
                        f"are not there (first: {missing[0]}). Choose the scorer's own file, or download it again.")
    for name in wanted:
        if weights[name].shape != wanted[name].shape:
            raise FileError(f"{file.name} in {file.parent.name} is not {what}: {name} has the shape "
                            f"{list(weights[name].shape)}, expected {list(wanted[name].shape)}.")
        if not torch.isfinite(weights[name]).all():
            raise FileError(f"{file.name} in {file.parent.name} is damaged: {name} holds NaN or infinity. Download it "
                            "again.")
    module.load_state_dict({name: weights[name] for name in wanted}, assign=True)
    module.requires_grad_(False).eval()


def identity(name: str, files: Iterable[Path], hashes: HashCache, progress: Progress) -> str:
    """A scorer's name with the hash of all its files."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(hashes.sha256(path, progress).encode())
    return f"{name} {digest.hexdigest()}"


def tokenizer(kind: str, folder: Path, needed: str) -> Any:
    """A tokenizer of transformers from a folder. Raises :class:`FileError`."""
    if not any((folder / name).is_file() for name in ("tokenizer.json", needed)):
        raise FileError(f"{folder.name} has no tokenizer; expected {needed} or tokenizer.json in {folder}.")
    try:
        return getattr(transformers(), kind).from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # damaged files of words can raise anything
        raise FileError(f"The tokenizer in {folder.name} cannot be read ({type(error).__name__}); download {needed} or "
                        "tokenizer.json again.") from None
