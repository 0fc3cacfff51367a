"""A VAE in TAESD's layout, trained on the lab's world: 8 x 8 pixels become four numbers, and back.

The layout is that of TAESD (Bohan, 2023), which ComfyUI takes in a checkpoint beside the full VAE: no distributions,
an encoder and a decoder of 64 channels. Weights are kept without the prefix ``first_stage_model.``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffusion_soup.lab.render import draw
from diffusion_soup.lab.shards import Shard

WIDTH, LATENT = 64, 4
CROP = 64  # px; a whole picture of 128 is four of them
#: A decoder that has seen slightly wrong latents forgives a UNet that makes them.
BLUR = 0.08
CONTRAST = 4.0  # of the colours in a latent that begins: their deviation is then about 1


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        a, b, c = (nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(3))
        self.conv = nn.Sequential(a, nn.ReLU(), b, nn.ReLU(), c)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x) + x)


class Clamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


def _halve() -> nn.Module:
    return nn.Conv2d(WIDTH, WIDTH, 3, padding=1, stride=2, bias=False)


def _double() -> tuple[nn.Module, nn.Module]:
    return nn.Upsample(scale_factor=2), nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)


def _blocks(count: int) -> list[nn.Module]:
    return [Block() for _ in range(count)]


class VAE(nn.Module):
    """``encode``: pictures (B, 3, H, W) from 0 to 1 -> latents (B, 4, H/8, W/8); ``decode``: back."""

    def __init__(self) -> None:
        super().__init__()
        self.taesd_encoder = nn.Sequential(
            nn.Conv2d(3, WIDTH, 3, padding=1), Block(), _halve(), *_blocks(3), _halve(), *_blocks(3), _halve(),
            *_blocks(3), nn.Conv2d(WIDTH, LATENT, 3, padding=1))
        self.taesd_decoder = nn.Sequential(
            Clamp(), nn.Conv2d(LATENT, WIDTH, 3, padding=1), nn.ReLU(), *_blocks(3), *_double(), *_blocks(3),
            *_double(), *_blocks(3), *_double(), Block(), nn.Conv2d(WIDTH, 3, 3, padding=1))

    def encode(self, pictures: Tensor) -> Tensor:
        latents: Tensor = self.taesd_encoder(pictures)
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        pictures: Tensor = self.taesd_decoder(latents)
        return pictures

    @torch.no_grad()
    def begin(self) -> None:
        """Let it begin as what halves a picture three times and doubles it again: blocks that do nothing yet, and three
        channels that carry red, green and blue. What is learnt from there is all that is finer."""
        for layer in self.modules():
            if isinstance(layer, Block):
                nn.init.zeros_(layer.conv[4].weight)
                nn.init.zeros_(layer.conv[4].bias)
        encoder = [layer for layer in self.taesd_encoder if isinstance(layer, nn.Conv2d)]
        decoder = [layer for layer in self.taesd_decoder if isinstance(layer, nn.Conv2d)]
        colours = torch.arange(3)
        for layer in (*encoder, *decoder):
            layer.weight[colours] = 0
            if layer.in_channels == WIDTH:
                layer.weight[:, colours] = 0
            if layer.bias is not None:
                layer.bias[colours] = 0
        for layer in (encoder[0], decoder[-1], *decoder[1:-1]):
            layer.weight[colours, colours, 1, 1] = 1
        for layer in encoder[1:-1]:
            layer.weight[colours, colours, 1:, 1:] = 0.25
        encoder[-1].weight[colours, colours, 1, 1], encoder[-1].bias[colours] = CONTRAST, -CONTRAST / 2
        decoder[0].weight[colours, colours, 1, 1], decoder[0].bias[colours] = 1 / CONTRAST, 0.5


def train(shard: Shard, steps: int, seed: int, progress: Callable[[str], object], *, batch: int = 8,
          rate: float = 1.2e-3, side: int = 128) -> VAE:
    """A VAE for the pictures of a shard: the colours and edges of what is decoded are as they were.

    Latents are asked to have mean 0 and deviation 1 in each channel, as Stable Diffusion's have.
    """
    torch.manual_seed(seed)
    vae = VAE().to(memory_format=torch.channels_last)
    vae.begin()
    optimizer = torch.optim.Adam(vae.parameters(), rate, betas=(0.9, 0.98))
    pace = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * step / steps)))
    crops = _crops(shard, side, batch, seed)
    for step in range(steps):
        wanted = next(crops)
        latents = vae.encode(wanted)
        given = vae.decode(latents + BLUR * torch.randn_like(latents))
        spread, mean = torch.std_mean(latents, (0, 2, 3))
        loss = (given - wanted).abs().mean() + _edges(given - wanted) + 3 * F.mse_loss(given, wanted) \
            + 0.02 * (mean.square() + (spread - 1).square()).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        pace.step()
        if (step + 1) % 50 == 0:
            noise = F.mse_loss(given.detach().clamp(0, 1), wanted)
            progress(f"VAE: step {step + 1} of {steps}, {-10 * noise.log10().item():.1f} dB")
    return vae


def _crops(shard: Shard, side: int, batch: int, seed: int):  # type: ignore[no-untyped-def]
    """Batches (batch, 3, CROP, CROP) of the quarters of pictures, in a fixed order."""
    for scenes in shard.batches(batch * 8, seed=seed):
        pictures = (draw(scenes, side) + 1) / 2
        quarters = torch.cat([pictures[:, :, y:y + CROP, x:x + CROP]
                              for y in range(0, side, CROP) for x in range(0, side, CROP)])
        order = torch.randperm(len(quarters))
        for some in order.split(batch):
            yield quarters[some].contiguous(memory_format=torch.channels_last)


def _edges(off: Tensor) -> Tensor:
    """How wrong the differences between neighbours are."""
    return off.diff(dim=2).abs().mean() + off.diff(dim=3).abs().mean()
