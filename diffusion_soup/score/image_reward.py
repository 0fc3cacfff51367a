"""ImageReward: a BLIP that reads the prompt while looking at the picture, and a head (Xu et al., arXiv 2304.05977)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import FileError
from ..hashes import HashCache
from ..progress import Progress
from .clip import Head, clip_folder
from .files import Weights, fill, identity, read_weights, tokenizer, transformers, weights_files
from .pictures import prepared
from .towers import TextEncoder, VisionTransformer

#: Mean and spread of the head's numbers over the authors' training set.
_MEAN, _STD = 0.16717362830052426, 1.0333394966554072
_LONGEST = 35  # tokens
_HEAD_WIDTH = 64  # of an attention head, in BLIP's encoders of every size
_AT_ONCE = 8  # pictures

_WORDS = ("vocab.txt", "tokenizer.json")


def is_image_reward(folder: Path) -> bool:
    """Whether a folder may hold an ImageReward: weights, and the words of BERT."""
    return bool(weights_files(folder)) and not clip_folder(folder) and any((folder / name).is_file() for name in _WORDS)


class ImageReward:
    """The folder holds ``ImageReward.pt`` and the words of bert-base-uncased (``vocab.txt`` or ``tokenizer.json``)."""

    def __init__(self, folder: Path, hashes: HashCache, progress: Progress) -> None:
        transformers()
        file = next(iter(weights_files(folder)), None)
        if file is None:
            raise FileError(f"{folder.name} has no weights; expected ImageReward.pt and vocab.txt of bert-base-uncased "
                            f"in {folder}.")
        weights = read_weights(file, progress)
        try:
            with torch.device("meta"):
                model = _Model(weights)
        except (KeyError, IndexError, ValueError) as error:
            raise FileError(f"{file.name} in {folder.name} is not an ImageReward: {error.args[0]} is not there. Choose "
                            "ImageReward.pt, or download it again.") from None
        fill(model, weights, file, "an ImageReward")
        self.module: nn.Module = model
        self._model = model
        self._tokenizer = tokenizer("BertTokenizer", folder, "vocab.txt")
        words = [path for name in _WORDS if (path := folder / name).is_file()]
        self.identity = identity("imagereward", [file, *words], hashes, progress)

    @torch.no_grad()
    def __call__(self, images: torch.Tensor, prompts: Sequence[str]) -> list[float]:
        read = self._tokenizer(list(prompts), padding="max_length", truncation=True, max_length=_LONGEST,
                               return_tensors="pt")
        device = next(self.module.parameters()).device
        found: list[float] = []
        for start in range(0, len(images), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            scores = self._model(prepared(images[part], self._model.side).to(device),
                                 *(read[name][part].to(device) for name in ("input_ids", "attention_mask")))
            found += [(float(score) - _MEAN) / _STD for score in scores]
        return found


class _Model(nn.Module):
    """Both encoders and the head, of the sizes their weights have. Raises :class:`KeyError` for what is missing."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        see, read = "blip.visual_encoder.", "blip.text_encoder."
        width, _, _, patch = weights[f"{see}patch_embed.proj.weight"].shape
        self.side = round((weights[f"{see}pos_embed"].shape[1] - 1) ** 0.5) * patch
        words, inner = weights[f"{read}embeddings.word_embeddings.weight"].shape
        self.blip = nn.Module()
        self.blip.visual_encoder = VisionTransformer(
            width, len(weights[f"{see}blocks.0.mlp.fc1.weight"]), _layers(weights, f"{see}blocks."),
            width // _HEAD_WIDTH, self.side, patch)
        self.blip.text_encoder = TextEncoder(
            inner, len(weights[f"{read}encoder.layer.0.intermediate.dense.weight"]),
            _layers(weights, f"{read}encoder.layer."), inner // _HEAD_WIDTH, words,
            len(weights[f"{read}embeddings.position_embeddings.weight"]), width)
        self.mlp = Head(inner)

    def forward(self, pixels: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[N]: what the head says of the first token, which stands for the whole text."""
        blip: Any = self.blip
        read = blip.text_encoder(ids, mask, blip.visual_encoder(pixels))
        scores: torch.Tensor = self.mlp(read[:, 0])[:, 0]
        return scores


def _layers(weights: Weights, prefix: str) -> int:
    return 1 + max(int(found[1]) for name in weights if (found := re.match(re.escape(prefix) + r"(\d+)\.", name)))
