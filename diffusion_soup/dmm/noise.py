"""Noise schedules, and what a prediction of any kind says about noise and picture.

``x_t = α_t x_0 + σ_t ε`` with α_t² + σ_t² = 1. A UNet predicts ε (``epsilon``), x_0 (``sample``) or
v = α_t ε − σ_t x_0 (``v_prediction``, Salimans and Ho 2022, 2202.00512), under diffusers' names. Outputs of different
kinds must never be compared as they are: all losses here are in ε or in x_0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ..errors import MismatchError, shown

#: How to read ε from (output, x_t, α, σ).
_EPSILON: Mapping[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = MappingProxyType({
    "epsilon": lambda output, x, alpha, sigma: output,
    "v_prediction": lambda output, x, alpha, sigma: alpha * output + sigma * x,
    "sample": lambda output, x, alpha, sigma: (x - alpha * output) / sigma})
_CLEAN: Mapping[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = MappingProxyType({
    "epsilon": lambda output, x, alpha, sigma: (x - sigma * output) / alpha,
    "v_prediction": lambda output, x, alpha, sigma: alpha * x - sigma * output,
    "sample": lambda output, x, alpha, sigma: output})

PREDICTIONS = tuple(_EPSILON)


@dataclass(frozen=True, eq=False)
class Schedule:
    """``kept`` (T,) float64 is ᾱ_t, the share of a picture's variance left at each step, falling from 1 towards 0.

    Times are int64 (B,), from 0 to T − 1. Raises :class:`MismatchError` for numbers that do not fall, or leave (0, 1].
    """

    kept: Tensor

    def __post_init__(self) -> None:
        kept = self.kept.double()
        if kept.dim() != 1 or len(kept) < 2 or not bool(((kept > 0) & (kept <= 1)).all()) or \
                not bool((kept.diff() < 0).all()):
            raise MismatchError("A noise schedule needs at least two numbers that fall and stay above 0 and up to 1; "
                                f"got {len(kept) if kept.dim() == 1 else list(kept.shape)}.")
        object.__setattr__(self, "kept", kept)

    @staticmethod
    def stable_diffusion() -> Schedule:
        """That of SD 1.x and SDXL: 1,000 steps, √β linear from √0.00085 to √0.012."""
        beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        return Schedule((1 - beta).cumprod(0))

    @staticmethod
    def of(scheduler: Any) -> Schedule:
        """That of a scheduler of diffusers. Raises :class:`MismatchError` for one without ᾱ."""
        kept = getattr(scheduler, "alphas_cumprod", None)
        if not isinstance(kept, Tensor):
            raise MismatchError(f"{type(scheduler).__name__} has no alphas_cumprod, so it is no schedule of a "
                                "variance-preserving diffusion; take DDIMScheduler or DDPMScheduler.")
        return Schedule(kept.double())

    def __len__(self) -> int:
        return len(self.kept)

    def alpha(self, times: Tensor, like: Tensor) -> Tensor:
        """α_t, shaped to multiply ``like`` (B, ...), in its dtype."""
        return self._spread(self.kept.sqrt(), times, like)

    def sigma(self, times: Tensor, like: Tensor) -> Tensor:
        """σ_t, likewise."""
        return self._spread((1 - self.kept).sqrt(), times, like)

    def noised(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """α_t x_0 + σ_t ε; also one step of DDIM (Song et al. 2021, 2010.02502, η = 0) from x̂_0 and ε̂ to ``times``."""
        return self.alpha(times, clean) * clean + self.sigma(times, clean) * noise

    def epsilon(self, output: Tensor, noisy: Tensor, times: Tensor, prediction: str) -> Tensor:
        """ε̂ by an output of this kind at x_t."""
        return _known(_EPSILON, prediction)(output, noisy, self.alpha(times, noisy), self.sigma(times, noisy))

    def clean(self, output: Tensor, noisy: Tensor, times: Tensor, prediction: str) -> Tensor:
        """x̂_0 by an output of this kind at x_t."""
        return _known(_CLEAN, prediction)(output, noisy, self.alpha(times, noisy), self.sigma(times, noisy))

    def min_snr(self, times: Tensor, most: float = 5.0) -> Tensor:
        """Weights (B,) of a loss in ε, float32: min(SNR, most) / SNR (Hang et al. 2023, 2303.09556)."""
        kept = self.kept.to(times.device)[times]
        ratio = kept / (1 - kept)
        return (ratio.clamp(max=most) / ratio).float()

    def _spread(self, values: Tensor, times: Tensor, like: Tensor) -> Tensor:
        picked = values.to(times.device)[times].to(like.device, like.dtype)
        return picked.reshape(-1, *[1] * (like.dim() - 1))


def _known(kinds: Mapping[str, Callable[..., Tensor]], prediction: str) -> Callable[..., Tensor]:
    try:
        return kinds[prediction]
    except KeyError:
        raise MismatchError(f"A UNet cannot predict {shown(prediction)} here; known are {', '.join(kinds)}.") from None
