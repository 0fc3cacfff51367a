"""How the demo's UNets learn: to tell the noise in latents of the lab's pictures, from captions in many ways."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from diffusion_soup.lab.draws import key_of, uniforms
from diffusion_soup.lab.render import draw
from diffusion_soup.lab.shards import Shard
from diffusion_soup.lab.world import Scene, Scenes

from . import tiny_clip
from .tiny_sd import UNet
from .tiny_vae import VAE

SIDE = 128  # px
WAYS = 4  # to say what is in a picture
Progress = Callable[[str], object]


@dataclass(frozen=True)
class Course:
    """How long and how fast to learn. ``rank`` is that of the change of each layer; 0 is a change of any rank."""

    steps: int
    rate: float
    batch: int = 16
    rank: int = 0
    average: float = 0.0  # decay of the running average of the weights, which is what is kept; 0 keeps the last


@dataclass(frozen=True)
class Pictures:
    """``latents`` (N, 4, 16, 16) and, of each, WAYS captions as ``tokens`` (N, WAYS, 77)."""

    latents: Tensor
    tokens: Tensor

    @staticmethod
    def of(shards: Sequence[tuple[Shard, int]], vae: VAE, seed: int) -> Pictures:
        """So many of each shard."""
        parts = [shard.scenes(range(count), seed=seed) for shard, count in shards]
        return Pictures(torch.cat([encoded(part, vae) for part in parts]), torch.cat([said(part) for part in parts]))

    def pick(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A batch of latents and of tokens."""
        which = torch.randint(len(self.latents), (size,), generator=generator)
        return self.latents[which], self.tokens[which, torch.randint(WAYS, (size,), generator=generator)]


@torch.no_grad()
def encoded(scenes: Scenes, vae: VAE, piece: int = 50) -> Tensor:
    return torch.cat([vae.encode((draw(scenes.pick(slice(at, at + piece)), SIDE) + 1) / 2)
                      for at in range(0, len(scenes), piece)])


def said(scenes: Scenes) -> Tensor:
    """(N, WAYS, 77): the whole caption, then shorter ones, in which each part is left out now and then."""
    chances = uniforms(scenes.seeds.numpy().astype("uint64") + key_of("ways to say it") % 2**32, 3 * WAYS)
    return torch.stack([tiny_clip.tokens([phrase(scene, *(chance[3 * way:3 * way + 3] < 0.25 * (way > 0)))
                                          for way in range(WAYS)]) for scene, chance in zip(scenes, chances)])


def phrase(scene: Scene, no_size: bool = False, no_place: bool = False, no_ground: bool = False) -> str:
    """What a picture shows, without its style: "a large red star on the left, at night"."""
    caption = scene.caption.rpartition(", ")[0]
    if no_size:
        caption = caption.replace("a small ", "a ").replace("a large ", "a ")
    if no_ground:
        caption = caption.rpartition(", ")[0]
    if no_place:
        for place in (" on the left", " on the right", " at the top", " at the bottom", " in the centre"):
            caption = caption.replace(place, "")
    return caption


class Words:
    """Tokens to what the UNet reads, with the text encoder's weights at hand."""

    def __init__(self, text: tiny_clip.State) -> None:
        self.text = {name: weight if "token" in name else weight.float() for name, weight in text.items()
                     if "layers" not in name or ".layers.0.self_attn" in name}
        self.nothing = tiny_clip.tokens([""])[0]

    def __call__(self, tokens: Tensor) -> Tensor:
        return tiny_clip.embed(self.text, tokens)


def signal_left() -> Tensor:
    """Stable Diffusion's schedule: the share of the picture's variance left at each of 1000 steps."""
    return torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2, 0).float()


@dataclass(frozen=True)
class Noised:
    """A batch at which a UNet guesses the ``noise``: ``x``, ``step`` and ``context`` in, ``weight`` in the loss."""

    x: Tensor
    step: Tensor
    context: Tensor
    noise: Tensor
    weight: Tensor


def noised(latents: Tensor, tokens: Tensor, words: Words, generator: torch.Generator) -> Noised:
    """Steps are spread evenly over a batch; a tenth of the captions is left out, for guidance."""
    batch = len(latents)
    blank = torch.rand(batch, 1, generator=generator) < 0.1
    step = ((torch.randperm(batch, generator=generator) + torch.rand(batch, generator=generator)) / batch * 1000).long()
    left = signal_left()[step].view(-1, 1, 1, 1)
    noise = torch.randn(latents.shape, generator=generator)
    for size in (1, 4):  # and some that is coarse: else the noise, not the caption, would decide the palette
        noise = noise + 0.12 * F.interpolate(torch.randn(batch, 4, size, size, generator=generator), latents.shape[2:])
    weight = ((1 - left) / left).sqrt().clamp(0.05, 8)  # a sampler's steps are longest where there is most noise
    return Noised((left.sqrt() * latents + (1 - left).sqrt() * noise).contiguous(memory_format=torch.channels_last),
                  step, words(torch.where(blank, words.nothing, tokens)), noise, weight)


def learn(model: nn.Module, loss: Callable[[torch.Generator], Tensor], course: Course, name: str, seed: int,
          progress: Progress, kept: Path | None = None) -> None:
    """Lower a loss; with ``kept``, go on from where an earlier call was stopped, to the same numbers.

    Every step draws from a generator of its own number, so nothing but the weights and the optimiser is kept.
    """
    trained = {key: weight for key, weight in model.named_parameters() if weight.requires_grad}
    readers = [weight for key, weight in trained.items() if ".attn2." in key]  # what reads the words learns faster
    rest = [weight for key, weight in trained.items() if ".attn2." not in key]
    optimizer = torch.optim.AdamW([{"params": rest, "lr": course.rate}, {"params": readers, "lr": 2 * course.rate}],
                                  betas=(0.9, 0.99), weight_decay=0.0)
    average = {key: weight.detach().clone() for key, weight in trained.items()}
    rates, losses, begin = [group["lr"] for group in optimizer.param_groups], [], 0
    if kept is not None and kept.exists():
        state = torch.load(kept, weights_only=True)
        begin, average = state["step"], state["average"]
        optimizer.load_state_dict(state["optimizer"])
        with torch.no_grad():
            for key, weight in trained.items():
                weight.copy_(state["weights"][key])
    for step in range(begin, course.steps):
        for group, rate in zip(optimizer.param_groups, rates):
            group["lr"] = rate * pace(step, course.steps)
        optimizer.zero_grad()
        value = loss(torch.Generator().manual_seed((seed << 32) + step))
        value.backward()
        nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
        decay = min(course.average, (step + 1) / (step + 10))
        with torch.no_grad():
            for key, weight in trained.items():
                average[key].lerp_(weight, 1 - decay)
        losses.append(value.item())
        if (step + 1) % 50 == 0:
            progress(f"{name}: step {step + 1} of {course.steps}, loss {sum(losses[-50:]) / len(losses[-50:]):.4f}")
        if kept is not None and (step + 1) % 200 == 0:
            part = kept.with_suffix(".part")
            torch.save({"step": step + 1, "average": average, "optimizer": optimizer.state_dict(),
                        "weights": {key: weight.detach() for key, weight in trained.items()}}, part)
            os.replace(part, kept)
    with torch.no_grad():
        for key, weight in trained.items():
            weight.copy_(average[key])


def pace(step: int, steps: int) -> float:
    """The share of the learning rate: a short way up, even, and down to nothing over the last third."""
    down = max(0.0, step / steps - 2 / 3) * 3
    return min(1.0, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * down))


def train(unet: nn.Module, pictures: Pictures, words: Words, course: Course, name: str, seed: int, progress: Progress,
          kept: Path | None = None) -> None:
    """Teach a UNet to tell the noise in these pictures."""

    def loss(generator: torch.Generator) -> Tensor:
        batch = noised(*pictures.pick(course.batch, generator), words, generator)
        return (batch.weight * (unet(batch.x, batch.step, batch.context) - batch.noise) ** 2).mean()

    learn(unet.to(memory_format=torch.channels_last), loss, course, name, seed, progress, kept)


class LowRank(nn.Module):
    """W -> W + up @ down, of which only up and down are trained."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        inside = weight[0].numel()
        self.down = nn.Parameter(torch.randn(rank, inside) * inside**-0.5)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


def low_rank(base: UNet, rank: int, seed: int) -> UNet:
    """A copy of a UNet that is frozen but for a change of this rank in every layer of its blocks."""
    unet = copy.deepcopy(base).requires_grad_(False)
    torch.manual_seed(seed)
    for _, layer in adapted(unet):
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))
    return unet


def adapted(unet: UNet) -> Iterator[tuple[str, nn.Module]]:
    """The layers that a LoRA changes, in the order of their names."""
    for name, layer in sorted(unet.named_modules()):
        if isinstance(layer, (nn.Linear, nn.Conv2d)) and "_block" in name and name != "input_blocks.0.0":
            yield name, layer


def factors(unet: UNet) -> dict[str, Tensor]:
    """What :func:`low_rank` added and training changed: ``NAME.down`` and ``NAME.up``."""
    found = {}
    for name, layer in adapted(unet):
        change = layer.parametrizations.weight[0]  # type: ignore[union-attr,index]
        found[f"{name}.down"] = change.down.detach().view(change.down.shape[0], *layer.weight.shape[1:])
        found[f"{name}.up"] = change.up.detach()
    return found


@torch.no_grad()
def changed(base: UNet, change: dict[str, Tensor]) -> UNet:
    """The base with such a change in it; layers that it does not name stay."""
    unet = copy.deepcopy(base)
    for name, layer in adapted(unet):
        if f"{name}.down" in change:
            difference = change[f"{name}.up"].float() @ change[f"{name}.down"].float().flatten(1)
            layer.weight += difference.view_as(layer.weight)
    return unet


@torch.no_grad()
def sample(unet: Callable[[Tensor, Tensor, Tensor], Tensor], words: Words, tokens: Tensor, seed: int, *,
           steps: int = 20, guidance: float = 4.0, side: int = SIDE // 8) -> Tensor:
    """(B, 77) tokens -> latents (B, 4, side, side), by DDIM (Song et al., 2021)."""
    left, count = signal_left(), len(tokens)
    context = words(torch.cat([tokens, words.nothing.expand_as(tokens)]))
    x = torch.randn(count, 4, side, side, generator=torch.Generator().manual_seed(seed))
    times = torch.linspace(999, 0, steps).long().tolist()
    for now, after in zip(times, [*times[1:], -1]):
        given, free = unet(torch.cat([x, x]), torch.full((2 * count,), now), context).chunk(2)
        noise = free + guidance * (given - free)
        clean = (x - (1 - left[now]).sqrt() * noise) / left[now].sqrt()
        keeps = left[after] if after >= 0 else torch.tensor(1.0)
        x = keeps.sqrt() * clean + (1 - keeps).sqrt() * noise
    return x
