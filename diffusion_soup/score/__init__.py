"""Scorers: what people are likely to think of pictures, by models from the user's own folders. Nothing is downloaded.

A scorer is called with pictures and their prompts and gives a number for each, the higher the better:
``scorer(images, prompts)``, images float32 [N, 3, H, W] in 0..1. The built-in ones need transformers and Pillow
(``pip install diffusion-soup[score]``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from ..errors import FileError, RecipeError, shown
from ..hashes import HashCache
from ..progress import Progress, Silent
from .clip import Aesthetic, ClipScore, PickScore, clip_folder, head_file
from .files import weights_files
from .image_reward import ImageReward, is_image_reward

#: Pictures [N, 3, H, W] and their prompts -> a score for each.
Score = Callable[[torch.Tensor, Sequence[str]], list[float]]


class Scorer(Protocol):
    """A built-in scorer. ``identity`` changes with its weights, ``module`` is what is moved to a device."""

    identity: str
    module: torch.nn.Module

    def __call__(self, images: torch.Tensor, prompts: Sequence[str]) -> list[float]: ...


@dataclass(frozen=True)
class Kind:
    """A kind of scorer: how it is opened, and which folders may hold one, judged without reading weights."""

    name: str
    title: str
    open: Callable[[Path, HashCache, Progress], Scorer]
    fits: Callable[[Path], bool]


KINDS = {kind.name: kind for kind in (
    Kind("clipscore", "CLIPScore (arXiv 2104.08718)", ClipScore, clip_folder),
    Kind("pickscore", "PickScore (arXiv 2305.01569)", PickScore, clip_folder),
    Kind("aesthetic", "LAION aesthetic predictor v2", Aesthetic, lambda path: head_file(path) is not None),
    Kind("imagereward", "ImageReward (arXiv 2304.05977)", ImageReward, is_image_reward),
)}


def open_scorer(spec: str, folders: Sequence[Path] = (), hashes: HashCache | None = None,
                progress: Progress | None = None) -> Scorer:
    """The scorer ``NAME:FOLDER``; a relative folder is looked for in ``folders``. On the CPU, in float32.

    Raises :class:`SoupError` with a sentence that says what is missing and where it was expected, and
    :class:`Cancelled`.
    """
    name, colon, where = spec.partition(":")
    if name not in KINDS or not colon or not where.strip():
        raise RecipeError(f"The scorer is {shown(spec)}; expected NAME:FOLDER, where NAME is {' or '.join(KINDS)}.")
    path = Path(where.strip())
    tried = [path] if path.is_absolute() or not folders else [folder / path for folder in folders]
    found = next((each for each in tried if each.exists()), None)
    if found is None:
        raise FileError(f"The folder {where.strip()} of the scorer {name} was not found; looked in "
                        f"{', '.join(str(each.parent) for each in tried)}. Put its files there.")
    return KINDS[name].open(found, hashes or HashCache(), progress or Silent())


def offered(folders: Sequence[Path]) -> list[str]:
    """``NAME:FOLDER`` for everything in these folders that looks like a scorer, by names of files alone."""
    found = []
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_dir() and weights_files(path):
                found += [f"{kind.name}:{path.name}" for kind in KINDS.values() if kind.fits(path)]
    return list(dict.fromkeys(found))
