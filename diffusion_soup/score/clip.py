"""Scorers on CLIP: CLIPScore, PickScore and the LAION aesthetic predictor, from folders as transformers writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from ..errors import FileError
from ..hashes import HashCache
from ..progress import Progress
from .files import fill, identity, read_json, read_weights, tokenizer, transformers, weights_files
from .pictures import prepared
from .towers import ClipModel

_AT_ONCE = 8  # pictures
_CLIP_FILES = ("model.safetensors", "pytorch_model.bin")
_WORDS = ("config.json", "tokenizer.json", "vocab.json", "merges.txt")


def clip_folder(folder: Path) -> bool:
    """Whether a folder looks like a CLIP, by its settings."""
    return read_json(folder / "config.json").get("model_type") == "clip" and _clip_file(folder) is not None


def _clip_file(folder: Path) -> Path | None:
    return next((folder / name for name in _CLIP_FILES if (folder / name).is_file()), None)


def head_file(folder: Path) -> Path | None:
    """The file beside a CLIP that may be the aesthetic predictor's head."""
    beside = [path for path in weights_files(folder) if path.name not in _CLIP_FILES]
    return beside[0] if clip_folder(folder) and beside else None


class Clip:
    """Image and text embeddings, each of length 1."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        transformers()
        settings = read_json(folder / "config.json")
        file = _clip_file(folder)
        if file is None or settings.get("model_type") != "clip":
            kind = f"a {settings['model_type']} model" if settings.get("model_type") else "no model of transformers"
            raise FileError(f"{folder.name} is {kind if file else 'no CLIP'}; expected a CLIP's config.json and "
                            f"{' or '.join(_CLIP_FILES)}, as they are on its download page, in {folder}.")
        try:
            with torch.device("meta"):
                self.module = ClipModel(settings)
        except Exception as error:  # settings that make no model can raise anything
            raise FileError(f"config.json in {folder.name} does not describe a CLIP ({type(error).__name__}); download "
                            "it again.") from None
        fill(self.module, read_weights(file, progress), file, "the CLIP that its config.json describes")
        self.files = [file, *(path for name in _WORDS if (path := folder / name).is_file())]
        self._folder, self._tokenizer = folder, cast(Any, None)

    def pictures(self, images: torch.Tensor) -> torch.Tensor:
        """[N, D]: embeddings of pictures [N, 3, H, W] in 0..1."""
        parts = [images[at:at + _AT_ONCE] for at in range(0, len(images), _AT_ONCE)]
        return torch.cat([self.module.pictures(prepared(part, self.module.side).to(self._device)) for part in parts])

    def words(self, prompts: Sequence[str]) -> torch.Tensor:
        """[N, D]: embeddings of texts, cut to the length that CLIP reads."""
        if self._tokenizer is None:
            self._tokenizer = tokenizer("CLIPTokenizer", self._folder, "vocab.json")
        read = self._tokenizer(list(prompts), padding=True, truncation=True, max_length=self.module.longest,
                               return_tensors="pt")
        return self.module.words(read["input_ids"].to(self._device))

    @property
    def _device(self) -> torch.device:
        return self.module.logit_scale.device


class _ClipScorer:
    """A CLIP and the name it scores by."""

    name: str

    def __init__(self, folder: Path, hashes: HashCache, progress: Progress) -> None:
        self._clip = Clip(folder, progress)
        self.module: nn.Module = self._clip.module
        self.identity = identity(self.name, self._clip.files, hashes, progress)


class ClipScore(_ClipScorer):
    """2.5 · max(cos, 0) between picture and "A photo depicts " + prompt: Hessel et al., arXiv 2104.08718."""

    name = "clipscore"

    @torch.no_grad()
    def __call__(self, images: torch.Tensor, prompts: Sequence[str]) -> list[float]:
        words = self._clip.words([f"A photo depicts {prompt}" for prompt in prompts])
        return _numbers(2.5 * (self._clip.pictures(images) * words).sum(-1).clamp(min=0))


class PickScore(_ClipScorer):
    """The model's own scale times the cosine of picture and prompt: Kirstain et al., arXiv 2305.01569."""

    name = "pickscore"

    @torch.no_grad()
    def __call__(self, images: torch.Tensor, prompts: Sequence[str]) -> list[float]:
        cosines = (self._clip.pictures(images) * self._clip.words(prompts)).sum(-1)
        return _numbers(self._clip.module.logit_scale.exp() * cosines)


class Aesthetic:
    """How much people like a picture, from about 1 to 10: LAION's predictor v2 (sac+logos+ava1-l14-linearMSE).

    Its head lies beside the CLIP ViT-L/14 it was trained on. The prompt has no say in it.
    """

    def __init__(self, folder: Path, hashes: HashCache, progress: Progress) -> None:
        self._clip = Clip(folder, progress)
        file = head_file(folder)
        if file is None:
            raise FileError(f"{folder.name} has no aesthetic predictor: expected its file, such as "
                            f"sac+logos+ava1-l14-linearMSE.pth, beside the CLIP in {folder}.")
        weights = read_weights(file, progress)
        with torch.device("meta"):
            self._head = Head(self._clip.module.width)
        fill(self._head, weights, file, "the aesthetic predictor's head for this CLIP, five layers on its embedding")
        self.module: nn.Module = nn.ModuleList([self._clip.module, self._head])
        self.identity = identity("aesthetic", [*self._clip.files, file], hashes, progress)

    @torch.no_grad()
    def __call__(self, images: torch.Tensor, prompts: Sequence[str]) -> list[float]:
        return _numbers(self._head(self._clip.pictures(images))[:, 0])


class Head(nn.Module):
    """Five linear layers in a row with nothing between them but, in training, dropout: [N, D] -> [N, 1]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 1024), nn.Dropout(), nn.Linear(1024, 128), nn.Dropout(),
                                    nn.Linear(128, 64), nn.Dropout(), nn.Linear(64, 16), nn.Linear(16, 1))

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layers(embeddings)
        return result


def _numbers(scores: torch.Tensor) -> list[float]:
    return [float(score) for score in scores]
