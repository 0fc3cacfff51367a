"""A student of few steps: SPLAM (Sub-Path Linear Approximation, 2404.13903) on a DMM student.

A teacher, the frozen student with guidance, goes one DDIM step from t to s = t − 20 on a grid of 50. On the line
between both ends lies x_γ = γ x_t + (1 − γ) (α_t / α_s) x_s, and from any such point the new student shall say what its
own average says at s. So one network learns every stretch of the path, and needs four steps for all of it.

γ enters beside the time, as guidance does in LCM (2310.04378). When pictures are made it is always 1, so that what it
adds is a constant, which :func:`fold` writes into a bias: what is left is a plain student.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import MismatchError, RecipeError
from .incremental import Frozen
from .losses import pseudo_huber
from .network import StudentUNet
from .noise import Schedule
from .train import Objective, Rows, Training

POINTS = 50
_WIDTH = 256
_SIGMA_DATA, _TIMES = 0.5, 10.0


def add_gamma(unet: Any) -> None:
    """Give a UNet of diffusers a place for γ, which at first changes nothing."""
    if unet.time_embedding.cond_proj is not None:
        raise MismatchError("This UNet is told something beside the time already, so γ has no place in it; begin with "
                            "a student of many steps.")
    place = nn.Linear(_WIDTH, unet.time_embedding.linear_1.in_features, bias=False)
    nn.init.zeros_(place.weight)
    first = unet.time_embedding.linear_1.weight
    unet.time_embedding.cond_proj = place.to(first.device, first.dtype)
    unet.register_to_config(time_cond_proj_dim=_WIDTH)


def gamma_embedding(gamma: Tensor) -> Tensor:
    """(B,) from 0 to 1 -> (B, 256): LCM's embedding of the guidance 10 − 10 γ."""
    rates = torch.exp(torch.arange(_WIDTH // 2, device=gamma.device) * (-math.log(10_000) / (_WIDTH // 2 - 1)))
    angles = (10 - 10 * gamma.float())[:, None] * 1000 * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


@torch.no_grad()
def fold(unet: Any) -> None:
    """Write γ = 1 into the bias of the time embedding, in place, and take the place of γ away: the same function, to
    rounding, and again a plain UNet of diffusers."""
    embedding = unet.time_embedding
    if embedding.cond_proj is None:
        raise MismatchError("This UNet has no place for γ, so there is nothing to fold.")
    constant = embedding.cond_proj(gamma_embedding(torch.ones(1)).to(embedding.cond_proj.weight))[0]
    embedding.linear_1.bias += embedding.linear_1.weight @ constant
    embedding.cond_proj = None
    unet.register_to_config(time_cond_proj_dim=None)


def on_the_line(schedule: Schedule, noisy: Tensor, earlier: Tensor, times: Tensor, before: Tensor, gamma: Tensor
                ) -> tuple[Tensor, Tensor]:
    """x_γ and its σ_γ, from x_t at ``times`` and x_s at ``before``; ``gamma`` (B,).

    σ_γ² = (σ_s α_t / α_s)² + γ² (1 − (α_t / α_s)²): at γ = 1 it is σ_t, at γ = 0 that of x_s brought to the scale of
    x_t.
    """
    part = gamma.to(noisy).reshape(-1, *[1] * (noisy.dim() - 1))
    ratio = schedule.alpha(times, noisy) / schedule.alpha(before, noisy)
    point = part * noisy + (1 - part) * ratio * earlier
    sigma = ((schedule.sigma(before, noisy) * ratio).square() + part.square() * (1 - ratio.square())).sqrt()
    return point, sigma


def consistent(schedule: Schedule, point: Tensor, sigma: Tensor, epsilon: Tensor, times: Tensor) -> Tensor:
    """c_skip(t) x_γ + c_out(t) x̂_0 with x̂_0 = (x_γ − σ_γ ε) / α_t: near t = 0 the point itself, else the picture."""
    clean = (point - sigma * epsilon) / schedule.alpha(times, point)
    scaled = (_TIMES * times.to(point)).reshape(-1, *[1] * (point.dim() - 1))
    skip = _SIGMA_DATA**2 / (scaled.square() + _SIGMA_DATA**2)
    out = scaled / (scaled.square() + _SIGMA_DATA**2).sqrt()
    return skip * point + out * clean


class Splam(Training):
    """The training of a student that has a place for γ, by itself as it was.

    ``teachers`` is a :class:`Frozen` student, ``guidance`` how strongly it is guided; the course needs an ``average``
    (the paper's is 0.95), and neither features nor a discriminator.
    """

    grid = POINTS

    def __init__(self, student: StudentUNet, teachers: Frozen, *args: Any, guidance: float = 7.0, **more: Any) -> None:
        super().__init__(student, teachers, *args, **more)
        if student.unet.time_embedding.cond_proj is None:
            raise RecipeError("The student has no place for γ; call add_gamma on its UNet first.")
        if not self.course.average or self.course.feature or self.course.adversarial:
            raise RecipeError("SPLAM learns from its own average: set average to 0.95, feature and adversarial to 0.")
        self._guidance = guidance

    def _objective(self, draw: int, whole: Rows, mine: Tensor, rows: Rows) -> Objective:
        times = rows.times
        before = (times - len(self.schedule) // POINTS).clamp(min=0)
        generator = torch.Generator().manual_seed((self.course.seed << 32) + 2**31 + draw)
        gamma = torch.rand(len(whole), generator=generator)[mine].to(self.device)
        noisy = rows.noisy
        with torch.no_grad():
            earlier = self._teachers_step(noisy, rows, times, before)
            point, sigma = on_the_line(self.schedule, noisy, earlier, times, before, gamma)
            ones = torch.ones_like(gamma)
            assert self.average is not None
            said = torch.func.functional_call(self.student, self.average, (
                earlier, before, rows.text, rows.styles, gamma_embedding(ones).to(noisy)))
            wanted = consistent(self.schedule, earlier, self.schedule.sigma(before, noisy),
                                self.schedule.epsilon(said, earlier, before, self.prediction), before)
        with self._precision():
            output = self.student(point, times, rows.text, rows.styles, gamma_embedding(gamma).to(noisy))
        ours = consistent(self.schedule, point, sigma, self._epsilon(output.float(), point, sigma, times), times)
        loss = pseudo_huber(ours, wanted)
        return Objective(loss, loss, loss.new_zeros(()), loss.new_zeros(()))

    def _teachers_step(self, noisy: Tensor, rows: Rows, times: Tensor, before: Tensor) -> Tensor:
        """One DDIM step with guidance, from t to s, of x̂_0 and ε̂."""
        told = self.teachers.see(noisy, times, rows.text, rows.styles).epsilon
        plain = self.teachers.see(noisy, times, self.data.nothing(len(noisy)).to(self.device), rows.styles).epsilon
        epsilon = plain + self._guidance * (told - plain)
        return self.schedule.noised(self.schedule.clean(epsilon, noisy, times, "epsilon"), epsilon, before)

    def _epsilon(self, output: Tensor, point: Tensor, sigma: Tensor, times: Tensor) -> Tensor:
        """ε̂ at a point between grid times, whose noise is σ_γ instead of σ_t."""
        if self.prediction == "epsilon":
            return output
        alpha = self.schedule.alpha(times, point)
        if self.prediction == "sample":
            return (point - alpha * output) / sigma
        return alpha * output + sigma * point
