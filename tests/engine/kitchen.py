"""Small checkpoints to cook with: true key names, few numbers, written by safetensors itself."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import torch
from safetensors.torch import save_file

from diffusion_soup import Ingredient, ModelFolders, Recipe
from diffusion_soup.errors import SoupError

from .sd_keys import UNETS, Shapes, inpainting, pico, text_encoders, unet, vae

UNET = "model.diffusion_model."
CONV_IN = UNET + "input_blocks.0.0.weight"
IDS = "cond_stage_model.transformer.text_model.embeddings.position_ids"

Tensors = dict[str, torch.Tensor]


def tiny_unet(context: int = 768, channels: int = 4) -> Shapes:
    """Eight tensors, one or two in each kind of block, told to be SD 1.x by the width of their context."""
    to_k = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    shapes = {"input_blocks.0.0.weight": (4, channels, 3, 3), to_k: (2, context), "time_embed.0.weight": (4, 4),
              "input_blocks.1.0.in_layers.2.weight": (4, 4), "input_blocks.10.0.in_layers.2.weight": (4, 4),
              "middle_block.0.in_layers.0.bias": (4,), "output_blocks.3.0.in_layers.2.weight": (4, 4),
              "out.2.weight": (4, 4)}
    return {UNET + key: shape for key, shape in shapes.items()}


def whole(family: str = "sd1", channels: int = 4) -> Shapes:
    """Every name of a single-file checkpoint of this family, tiny shapes, the true context width."""
    spec = pico(UNETS[family], channels=2, context=UNETS[family].context)
    spec = inpainting(spec) if channels == 9 else spec
    return unet(spec) | text_encoders(family, width=8, words=16, layers=1) | vae(channels=2)


def fill(shapes: Shapes, seed: int = 0, dtype: torch.dtype = torch.float16) -> Tensors:
    """Normal random numbers in every tensor."""
    generator = torch.Generator().manual_seed(seed)
    return {key: torch.randn(shape, generator=generator).to(dtype) for key, shape in shapes.items()}


class Pantry:
    """A models folder. ``put`` writes a file, ``recipe`` names files and their shares."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.models = ModelFolders.below(root)

    def put(self, name: str, tensors: Tensors, **metadata: str) -> str:
        file = f"{name}.safetensors"
        save_file({key: value.contiguous() for key, value in tensors.items()}, self.root / file, metadata or None)
        return file

    def stock(self, count: int, shapes: Shapes | None = None, dtype: torch.dtype = torch.float16) -> list[Tensors]:
        """``count`` specialists called a, b, c, ...; returns their tensors."""
        made = [fill(shapes or tiny_unet(), seed, dtype) for seed in range(count)]
        for name, tensors in zip("abcdefghij", made):
            self.put(name, tensors)
        return made

    def recipe(self, *ingredients: Ingredient, **shares: float) -> Recipe:
        """``recipe(a=1, b=0.5)``: files a.safetensors and b.safetensors with those shares."""
        named = (Ingredient(f"{name}.safetensors", weight=share) for name, share in shares.items())
        return Recipe((*ingredients, *named))


def same(one: Tensors, other: Tensors) -> bool:
    """Whether two sets of tensors are equal to the bit, NaN, -0.0, dtypes and shapes included."""
    return one.keys() == other.keys() and all(identical(one[key], other[key]) for key in one)


def identical(one: torch.Tensor, other: torch.Tensor) -> bool:
    return (one.dtype, one.shape) == (other.dtype, other.shape) and torch.equal(
        one.contiguous().reshape(-1).view(torch.uint8), other.contiguous().reshape(-1).view(torch.uint8))


def plain_sentence(error: SoupError) -> str:
    """The error's text, which must be what a user can be shown: one line, no Python in it."""
    text = str(error)
    assert text and "\n" not in text and len(text) < 1200, text
    for word in ("Traceback", "Error(", "object at 0x", "<class", "NoneType"):
        assert word not in text, text
    return text


def raw_safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file as bytes, however wrong; ``header`` is JSON values, text or bytes."""
    if not isinstance(header, bytes):
        header = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data
