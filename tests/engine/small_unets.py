"""Small UNets of diffusers for tests of training, and what they are asked."""

from __future__ import annotations

from functools import lru_cache

import torch

from diffusion_soup.dmm.network import Text
from diffusion_soup.lab.denoiser import library

SIZE, CONTEXT = 8, 16


@lru_cache(maxsize=1)
def _kind():
    return library()[0]


def unet(seed: int, **more):
    """Two levels, 20 thousand parameters or so."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _kind()(**{
            "sample_size": SIZE, "in_channels": 4, "out_channels": 4, "block_out_channels": (16, 32),
            "layers_per_block": 1, "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "cross_attention_dim": CONTEXT,
            "attention_head_dim": 4, "norm_num_groups": 8} | more)


def sdxl_unet(seed: int):
    """With added conditions, as SDXL's."""
    return unet(seed, addition_embed_type="text_time", addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=12 + 6 * 8)


def asked(count: int, seed: int = 0):
    """Noisy pictures, their times and prompts."""
    generator = torch.Generator().manual_seed(seed)
    noisy = torch.randn(count, 4, SIZE, SIZE, generator=generator)
    times = torch.randint(0, 1000, (count,), generator=generator)
    return noisy, times, Text(torch.randn(count, 5, CONTEXT, generator=generator))


def sdxl_text(count: int) -> Text:
    return Text(torch.randn(count, 5, CONTEXT),
                {"text_embeds": torch.randn(count, 12), "time_ids": torch.arange(6.0).expand(count, 6)})
