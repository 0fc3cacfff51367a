"""Train the demo's student: one model that paints in the styles of the three specialists and of the LoRA.

    python -m demo.student MODELS_DIR    some minutes, and some more where the demo's other models are missing

A student (DMM, Song et al., 2025) is a UNet that also takes a style: emb = time_embed(t) + MLP(e), where e is one of
its style prompts, one for each teacher, and the MLP is Linear -> SiLU -> Linear. It starts as the average of its
teachers, and since the MLP's last layer starts at zero, the styles begin alike. Then it is shown noisy pictures, and
learns to say about each what teacher i says about it when it is given the style i (score distillation; no feature or
GAN loss here). Half of the pictures are in the teacher's own style, the others in any of them: so the style, and not
what already shows through the noise, decides what becomes of a picture, even where the style changes on the way.
"""

from __future__ import annotations

import hashlib
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from diffusion_soup.dmm import open_student

from . import controlnet, specialists
from .specialists import BASE, INK, SPECIALISTS, Course, Style
from .tiny_sd import COPIES, NARROW, WIDE, State, UNet, text_encoder, widen

STYLES = (*SPECIALISTS, INK)  # one for each teacher; ink's is the base with the LoRA in it
COURSE = Course(600, 1e-3)
WIDTH = WIDE * 4  # of a style prompt
VERSION = 1  # raise it when the training changes: an old file is then made again


class Student(nn.Module):
    """A UNet and its styles; each picture of a batch has a style of its own."""

    def __init__(self, unet: UNet, styles: int) -> None:
        super().__init__()
        self.unet = unet
        self.prompts = nn.Embedding(styles, WIDTH)  # N(0, 1)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, NARROW * 4))
        nn.init.zeros_(self.mlp[2].weight)
        nn.init.zeros_(self.mlp[2].bias)
        self.added: Tensor | float = 0.0
        unet.time_embed.register_forward_hook(lambda module, inputs, time: time + self.added)

    def forward(self, x: Tensor, step: Tensor, context: Tensor, style: Tensor) -> Tensor:
        self.added = self.mlp(self.prompts(style))
        return self.unet(x, step, context)


def make(folder: Path, *, seed: int = 0, progress: specialists.Progress = print) -> Path:
    """Write it beside the demo's other models, unless it is there already; make those first that are missing."""
    *checkpoints, lora = specialists.make(folder, seed=seed, progress=progress)
    file = folder / "checkpoints" / "demo-student.safetensors"
    settings = (VERSION, STYLES, COURSE, *map(specialists.stamp_of, (*checkpoints, lora)))
    stamp = hashlib.sha256(repr(settings).encode()).hexdigest()
    if specialists.stamp_of(file) != stamp:
        torch.manual_seed(seed)
        text = text_encoder(seed)
        teachers = [*map(controlnet.base, checkpoints[1:]), with_lora(controlnet.base(checkpoints[0]), lora)]
        student = Student(soup(teachers), len(teachers))
        distil(student, teachers, specialists.embeddings(text), seed + 40, progress)
        save(file, state(student, text), stamp)
    return file


# Teachers


def with_lora(unet: UNet, file: Path) -> UNet:
    """The demo's LoRA merged into the base that it was trained on."""
    with safe_open(file, "pt") as opened, torch.no_grad():
        known = set(opened.keys())
        for name, layer in unet.named_modules():
            key = "lora_unet_" + name.replace(".", "_")
            if f"{key}.alpha" in known:  # alpha is the rank, so the scale is 1
                down, up = (opened.get_tensor(f"{key}.lora_{part}.weight").float() for part in ("down", "up"))
                change = (up.flatten(1) @ down.flatten(1)).view(up.shape[0], *down.shape[1:])
                layer.weight += narrow(name, change, layer.weight)
    return unet


def narrow(name: str, wide: Tensor, like: Tensor) -> Tensor:
    """The inverse of `widen`."""
    steps = tuple(slice(None, None, big // small) for big, small in zip(wide.shape, like.shape))
    return (wide / widen(name, torch.ones_like(like)))[steps]


def soup(unets: Sequence[UNet]) -> UNet:
    """Their average."""
    result = UNet()
    states = [unet.state_dict() for unet in unets]
    result.load_state_dict({name: torch.stack([each[name] for each in states]).mean(0) for name in states[0]})
    return result


# Training


def distil(student: Student, teachers: Sequence[UNet], words: dict[str, Tensor], seed: int,
           progress: specialists.Progress) -> None:
    generator = torch.Generator().manual_seed(seed)
    for model in (student, *teachers):
        model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(student.parameters(), COURSE.rate, betas=(0.9, 0.98), weight_decay=0.0)
    pace = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / 30) * (0.5 + 0.5 * math.cos(math.pi * step / COURSE.steps)))
    losses: list[float] = []
    for step in range(COURSE.steps):
        optimizer.zero_grad()
        loss = score_loss(student, teachers, words, generator)
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        pace.step()
        losses.append(loss.item())
        if (step + 1) % 30 == 0:
            progress(f"student: step {step + 1} of {COURSE.steps}, loss {sum(losses[-30:]) / 30:.4f}")


def score_loss(student: Student, teachers: Sequence[UNet], words: dict[str, Tensor], generator: torch.Generator
               ) -> Tensor:
    """|student(x_t, t, c, i) - teacher_i(x_t, t, c)|^2, weighted as in the teachers' own training."""
    noisy, step, context, weight = noised(words, len(teachers), generator)
    style = torch.arange(len(teachers)).repeat_interleave(COURSE.batch // len(teachers))
    with torch.autocast("cpu", torch.bfloat16, enabled=specialists.has_bfloat16()):
        with torch.no_grad():
            wanted = torch.cat([teacher(noisy[style == i], step[style == i], context[style == i])
                                for i, teacher in enumerate(teachers)])
        guess = student(noisy, step, context, style)
    return (weight * (guess.float() - wanted.float()) ** 2).mean()


def noised(words: dict[str, Tensor], teachers: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Noisy pictures, their steps, what the text encoder made of their captions, and their weights in the loss."""
    drawn = list(drawings(teachers, generator))
    pictures = torch.cat([pictures for pictures, _ in drawn])
    captions = [caption for _, captions in drawn for caption in captions]
    count = len(captions)
    blank = torch.rand(count, generator=generator) < 0.1
    context = torch.stack([words["" if empty else text] for text, empty in zip(captions, blank)])
    step = ((torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count * 1000).long()
    left = specialists.signal_left()[step].view(-1, 1, 1, 1)
    noise = torch.randn(pictures.shape, generator=generator)
    for size in (1, 8):  # the coarse noise that the teachers know
        noise = noise + 0.15 * F.interpolate(torch.randn(count, 4, size, size, generator=generator), pictures.shape[2:])
    return (left.sqrt() * pictures + (1 - left).sqrt() * noise, step, context,
            ((1 - left) / left).sqrt().clamp(0.05, 8))


def drawings(teachers: int, generator: torch.Generator) -> Iterator[tuple[Tensor, list[str]]]:
    """For each teacher its share of a batch: half in its own style, half in any."""
    known: tuple[Style, ...] = (*STYLES, BASE)
    for i in range(teachers):
        for half in range(2):
            other = int(torch.randint(len(known), (), generator=generator))
            yield specialists.draw(known[other if half else i], COURSE.batch // teachers // 2, generator)


# The file


def state(student: Student, text: State) -> State:
    """A checkpoint in the layout of SD1.5 with the style prompts and their MLP, which only what knows them reads."""
    prefix = "model.diffusion_model."
    first, last = student.mlp[0], student.mlp[2]
    return specialists.checkpoint(student.unet, text) | {
        f"{prefix}model_embedding.weight": student.prompts.weight,
        f"{prefix}add_embedding.linear_1.weight": first.weight,
        f"{prefix}add_embedding.linear_1.bias": first.bias,
        f"{prefix}add_embedding.linear_2.weight": last.weight.repeat_interleave(COPIES, 0),
        f"{prefix}add_embedding.linear_2.bias": last.bias.repeat_interleave(COPIES, 0)}


def save(file: Path, tensors: State, stamp: str) -> None:
    """Half precision, with the names of the styles; whole or not at all."""
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".student-") as scratch:
        nameless = Path(scratch, file.name)
        specialists.save(nameless, tensors, stamp)
        with open_student(nameless, [style.name for style in STYLES]) as student:
            student.save(file, overwrite=True)


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
