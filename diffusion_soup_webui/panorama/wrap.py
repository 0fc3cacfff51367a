"""Decoding a picture that goes all around: its ends see each other, so no seam shows where they meet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

PADDING = 16  # latents repeated beyond each end


@contextmanager
def decoding() -> Iterator[None]:
    """Whatever the host decodes within this is a picture all around."""
    from modules import processing

    before = processing.decode_latent_batch

    def decode(model: Any, batch: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return decoded(model, batch, *args, of=before, **kwargs)

    processing.decode_latent_batch = decode
    try:
        yield
    finally:
        processing.decode_latent_batch = before


def decoded(model: Any, latents: torch.Tensor, *args: Any, of: Any = None, **kwargs: Any) -> Any:
    """The host's decoded samples of latents [B, C, rows, columns], each [3, H, W]. ``of``: its ``decode_latent_batch``.
    """
    from modules import processing

    wide = latents[..., torch.arange(-PADDING, latents.shape[-1] + PADDING) % latents.shape[-1]]
    samples = (of or processing.decode_latent_batch)(model, wide, *args, **kwargs)
    for number, sample in enumerate(samples):
        beyond = PADDING * (sample.shape[-1] // wide.shape[-1])
        samples[number] = sample[..., beyond:-beyond]
    return samples
