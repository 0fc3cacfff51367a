"""The demo's student: one model that paints in the styles of the four specialists.

A student (DMM, Song et al., 2025) is a UNet that also takes a style: emb = time_embed(t) + MLP(e), where e is one of
its style prompts, one for each teacher, and the MLP is Linear -> SiLU -> Linear. It starts as the average of its
teachers, and since the MLP's last layer starts at zero, the styles begin alike. Then it is shown noisy pictures, and
learns to say about each what teacher i says about it when it is given the style i (score distillation; no feature or
GAN loss here). Half of the pictures are in the teacher's own style, the others in any of them: so the style, and not
what already shows through the noise, decides what becomes of a picture, even where the style changes on the way. What
is learnt is kept as a low-rank change of the average.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from .tiny_sd import COPIES, NARROW, UNet
from .training import Course, Pictures, Progress, Words, factors, learn, low_rank, noised

COURSE = Course(450, 1e-3, batch=16, rank=24)
WIDTH = NARROW * 4  # of a style prompt before it is widened


class Student(nn.Module):
    """A UNet and its styles; each picture of a batch has a style of its own."""

    def __init__(self, unet: UNet, styles: int) -> None:
        super().__init__()
        self.unet = unet
        self.prompts = nn.Embedding(styles, WIDTH)  # N(0, 1)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        nn.init.zeros_(self.mlp[2].weight)
        nn.init.zeros_(self.mlp[2].bias)
        self.added: Tensor | float = 0.0
        unet.time_embed.register_forward_hook(lambda module, inputs, time: time + self.added)

    def forward(self, x: Tensor, step: Tensor, context: Tensor, style: Tensor) -> Tensor:
        self.added = self.mlp(self.prompts(style))
        return self.unet(x, step, context)


def train(teachers: Sequence[UNet], pictures: Sequence[Pictures], words: Words, seed: int, progress: Progress,
          kept: Path | None = None) -> dict[str, Tensor]:
    """The low-rank change of the teachers' average, ``prompts`` and ``mlp.*``; ``pictures`` are those of each style."""
    torch.manual_seed(seed)
    student = Student(low_rank(average(teachers), COURSE.rank, seed), len(teachers))
    for model in (student, *teachers):
        model.to(memory_format=torch.channels_last)
    own = COURSE.batch // len(teachers)

    def loss(generator: torch.Generator) -> Tensor:
        """|student(x_t, t, c, i) - teacher_i(x_t, t, c)|^2, weighted as in the teachers' own training."""
        others = torch.randint(len(pictures), (len(teachers),), generator=generator).tolist()
        drawn = [pictures[which].pick(count, generator) for style, other in enumerate(others)
                 for which, count in ((style, own - own // 2), (other, own // 2))]
        batch = noised(torch.cat([latents for latents, _ in drawn]), torch.cat([tokens for _, tokens in drawn]), words,
                       generator)
        style = torch.arange(len(teachers)).repeat_interleave(own)
        with torch.no_grad():
            wanted = torch.cat([teacher(batch.x[style == i], batch.step[style == i], batch.context[style == i])
                                for i, teacher in enumerate(teachers)])
        return (batch.weight * (student(batch.x, batch.step, batch.context, style) - wanted) ** 2).mean()

    learn(student, loss, COURSE, "student", seed, progress, kept)
    return factors(student.unet) | {"prompts": student.prompts.weight.detach()} | {
        f"mlp.{name}": weight.detach() for name, weight in student.mlp.state_dict().items()}


def average(unets: Sequence[UNet]) -> UNet:
    """Their uniform soup."""
    result = UNet()
    states = [unet.state_dict() for unet in unets]
    result.load_state_dict({name: torch.stack([each[name] for each in states]).mean(0) for name in states[0]})
    return result


def style_tensors(learnt: dict[str, Tensor]) -> dict[str, Tensor]:
    """The style prompts and their MLP as a checkpoint has them, widened like the UNet: see ``tiny_sd.widen``."""
    prefix = "model.diffusion_model."
    found = {f"{prefix}model_embedding.weight": learnt["prompts"].repeat_interleave(COPIES, 1)}
    for ours, theirs in (("mlp.0", "linear_1"), ("mlp.2", "linear_2")):
        weight = learnt[f"{ours}.weight"].repeat_interleave(COPIES, 0).repeat_interleave(COPIES, 1) / COPIES
        found[f"{prefix}add_embedding.{theirs}.weight"] = weight
        found[f"{prefix}add_embedding.{theirs}.bias"] = learnt[f"{ours}.bias"].repeat_interleave(COPIES, 0)
    return found
