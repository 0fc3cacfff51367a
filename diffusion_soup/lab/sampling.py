"""Pictures from the lab's models: DDIM with guidance, from noise that depends on the place in the test set alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..progress import Progress, Silent, check
from .denoiser import Denoiser, Told, schedule
from .draws import key_of
from .world import Scene, Scenes

_PIECE = 128


@torch.no_grad()
def generate(denoisers: Sequence[Denoiser], scenes: Sequence[Scene], steps: int = 15, guidance: float = 2.0,
             seed: int = 0, progress: Progress | None = None) -> Tensor:
    """A picture of each scene, (B, 3, S, S) from −1 to 1, on the CPU.

    Several denoisers are one: the mean of their velocities, and so of their scores, is what each step takes. That is
    the ensemble which a soup of their weights approximates (Biggs et al. 2024, 2406.08431, Proposition 1). Picture
    ``i`` starts from the same noise whatever the model and the number of pictures. ``guidance`` is that of Ho and
    Salimans (2022, 2207.12598), 1 for none. Raises :class:`Cancelled`.
    """
    progress = progress or Silent()
    whole, size = Scenes.of(scenes), denoisers[0].config.size
    pieces = []
    for start in range(0, len(whole), _PIECE):
        piece = whole.pick(slice(start, start + _PIECE))
        noise = torch.stack([_noise(seed, start + at, size) for at in range(len(piece))])
        pieces.append(_sampled(denoisers, piece, noise, steps, guidance, progress))
        progress.step(start + len(piece), len(whole), "pictures")
    return torch.cat(pieces)


@torch.no_grad()
def mean_velocity(denoisers: Sequence[Denoiser], noisy: Tensor, times: Tensor, told: Told) -> Tensor:
    """The mean of what each denoiser predicts, (B, 3, S, S)."""
    found = [each.velocity(noisy, times, told) for each in denoisers]
    return torch.stack(found).mean(0) if len(found) > 1 else found[0]


def _sampled(denoisers: Sequence[Denoiser], scenes: Scenes, noise: Tensor, steps: int, guidance: float,
             progress: Progress) -> Tensor:
    scheduler, first = schedule(), denoisers[0]
    scheduler.set_timesteps(steps)
    told = first.tell(scenes)
    if guidance != 1:
        told = Told.joined([told, first.nothing(len(scenes))])
    latent = noise.to(first.device)
    for time in scheduler.timesteps:
        check(progress)
        doubled = torch.cat([latent, latent]) if guidance != 1 else latent
        velocity = mean_velocity(denoisers, doubled, time.expand(len(doubled)).to(first.device), told)
        if guidance != 1:
            wanted, plain = velocity.chunk(2)
            velocity = plain + guidance * (wanted - plain)
        latent = scheduler.step(velocity, time, latent).prev_sample
    return latent.clamp(-1, 1).cpu()


def _noise(seed: int, at: int, size: int) -> Tensor:
    return torch.randn(3, size, size, generator=torch.Generator().manual_seed(key_of(f"noise {seed} {at}")))
