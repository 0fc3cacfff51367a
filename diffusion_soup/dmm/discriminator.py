"""The multi-class discriminator (section 4.3): whose picture is this, and is it a student's?

A frozen UNet looks at a picture that was noised again, as in DMD2 (2405.14867); a small head on what its middle block
found says one of 2N classes: teacher 1 to N, or the student in style 1 to N. The head pools over all places, so that
pictures may have any size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import MismatchError
from .network import Text, predict, tapped
from .noise import Schedule


class Head(nn.Module):
    """(B, C, H, W) features -> (B, 2N) logits: convolutions with GroupNorm and SiLU, each halving the size while there
    is something to halve, then the mean over places and a linear layer."""

    def __init__(self, channels: int, styles: int, *, layers: int = 3, width: int | None = None) -> None:
        super().__init__()
        width = width or channels
        parts: list[nn.Module] = []
        for at in range(layers):
            parts += [nn.Conv2d(channels if not at else width, width, 3, stride=2 if at else 1, padding=1),
                      nn.GroupNorm(_groups(width), width), nn.SiLU()]
        self.body = nn.Sequential(*parts)
        self.classes = nn.Linear(width, 2 * styles)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.classes(self.body(features).mean((2, 3)))
        return logits


class Discriminator(nn.Module):
    """A frozen ``unet`` and the head that is trained, which begins by ``seed``. Gradients reach the picture through the
    UNet."""

    def __init__(self, unet: Any, styles: int, schedule: Schedule, *, layers: int = 3, seed: int = 0) -> None:
        super().__init__()
        if unet.mid_block is None:
            raise MismatchError("This UNet has no middle block for a discriminator to look at; set adversarial to 0.")
        self._unet = [unet.requires_grad_(False)]  # in a list: it is no part of what is trained or kept
        self._schedule = schedule
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = Head(unet.config.block_out_channels[-1], styles, layers=layers)

    def forward(self, clean: Tensor, noise: Tensor, times: Tensor, text: Text) -> Tensor:
        """Logits (B, 2N) of pictures x̂_0 (B, C, H, W), noised again to ``times`` by ``noise``."""
        unet = self._unet[0]
        with tapped(unet, [unet.mid_block]) as found:
            predict(unet, self._schedule.noised(clean, noise, times).to(clean.dtype), times, text)
        logits: Tensor = self.head(found[0].float())
        return logits


def renoising_times(count: int, schedule: Schedule, generator: torch.Generator) -> Tensor:
    """Times (B,) for looking again, all but the last fiftieth at either end equally likely."""
    margin = len(schedule) // 50
    return torch.randint(margin, len(schedule) - margin, (count,), generator=generator)


def _groups(width: int) -> int:
    return next(groups for groups in (32, 16, 8, 4, 2, 1) if width % groups == 0)
