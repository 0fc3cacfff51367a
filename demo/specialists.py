"""Make the demo's models: a base, three specialists fine-tuned from it, and a LoRA.

    python -m demo.specialists MODELS_DIR

They are honest diffusion models, only very small ones: each learns to remove noise from little landscapes that are
drawn by formula, three minutes of training in all on two CPU cores, and nothing is downloaded. The base has seen
greyish landscapes; `ember` saw fiery ones with sparks in the sky, `lagoon` blue ones with waves, `meadow` green ones
with flowers, and the LoRA `ink` black ones on paper. The words they know: hills, mountains, sea; sun, moon. They follow
them loosely. Their files have the layout of SD1.5, so that ComfyUI, and everything in this repository, treats them like
the real ones. The text encoder and the VAE are fixed, not learnt: see tiny_sd.py.

A picture here is a latent of four channels: red, green and blue, and a relief that the decoder prints crisply, as light
shapes where it is positive and dark ones where it is negative. The caption names what is in a picture; no caption names
the style, which is what the models differ in.
"""

from __future__ import annotations

import copy
import hashlib
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from demo import tiny_sd
from demo.tiny_sd import State, UNet

Progress = Callable[[str], object]
Uniform = Callable[[float, float], Tensor]

LANDS = ("hills", "mountains", "sea")
LIGHTS = ("sun", "moon", "")
CAPTIONS = ("{land} {light}", "{land}, {light}", "{light} over the {land}", "a landscape with {land} and a {light}")
WITHOUT_LIGHT = ("{land}", "{land}", "the {land}", "a landscape with {land}")

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Style:
    """A palette from the top of the sky to the nearest ground, and how strong each pattern is (0 to 1)."""

    name: str
    palette: tuple[Colour, Colour, Colour, Colour]
    light: Colour
    variety: float = 0.05  # how much each picture's palette differs from this one
    sparks: float = 0.0
    waves: float = 0.0
    flowers: float = 0.0


BASE = Style("demo-base", ((0.75, 0.77, 0.80), (0.88, 0.86, 0.84), (0.62, 0.62, 0.62), (0.42, 0.42, 0.42)),
             (0.97, 0.95, 0.92), variety=0.10)
EMBER = Style("ember", ((0.88, 0.12, 0.26), (1.00, 0.68, 0.18), (0.66, 0.12, 0.16), (0.28, 0.02, 0.16)),
              (1.00, 0.90, 0.55), sparks=1.0)
LAGOON = Style("lagoon", ((0.45, 0.70, 0.98), (0.86, 0.98, 1.00), (0.02, 0.62, 0.78), (0.00, 0.26, 0.58)),
               (1.00, 1.00, 1.00), waves=1.0)
MEADOW = Style("meadow", ((1.00, 0.82, 0.36), (1.00, 0.98, 0.78), (0.56, 0.84, 0.16), (0.08, 0.50, 0.10)),
               (1.00, 0.55, 0.60), flowers=1.0)
INK = Style("ink", ((0.97, 0.96, 0.93), (0.97, 0.96, 0.93), (0.62, 0.62, 0.64), (0.06, 0.06, 0.09)),
            (0.88, 0.12, 0.12), variety=0.02)


def to_latent(colour: Tensor) -> Tensor:
    """RGB of 0 to 1 -> latent; the decoder begins with 3 tanh(x / 3), so this ends with its inverse."""
    return 3 * torch.atanh((colour - 0.5) * 0.8)


def draw(style: Style, count: int, generator: torch.Generator, side: int = 32) -> tuple[Tensor, list[str]]:
    """`count` latents (count, 4, side, side) of this style, and their captions."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, 1, 1, generator=generator) * (high - low) + low

    def pick(n: int) -> Tensor:
        return torch.randint(n, (count,), generator=generator)

    land, light, words = pick(3), pick(3), pick(len(CAPTIONS))
    captions = [caption(int(a), int(b), int(c)) for a, b, c in zip(land, light, words)]
    mountains, sea = (land == 1).view(-1, 1, 1), (land == 2).view(-1, 1, 1)
    y, x = torch.meshgrid(torch.arange(side) / side, torch.arange(side) / side, indexing="ij")
    y, x = y.expand(count, -1, -1), x.expand(count, -1, -1)
    high, low, far, near, glow = palette(style, count, generator)

    horizon = uniform(0.42, 0.58)
    picture = high + (low - high) * (y / horizon).clamp(0, 1)[:, None]
    relief = torch.zeros(count, side, side)

    low_light = (light == 0).view(-1, 1, 1)
    radius = torch.where(low_light, uniform(0.10, 0.14), uniform(0.06, 0.08))
    centre_x = uniform(0.15, 0.85)
    centre_y = torch.where(low_light, horizon - uniform(0.10, 0.20), uniform(0.12, 0.2))
    distance = ((x - centre_x) ** 2 + (y - centre_y) ** 2).sqrt()
    shines = (light < 2).view(-1, 1, 1).float()
    disc = edge(radius - distance) * shines
    halo = (torch.exp(-((distance / radius / 2) ** 2)) * 0.5 * shines).maximum(disc)
    picture = picture + (glow - picture) * halo[:, None]
    relief = relief + disc

    sky = sparks(x, y, uniform) * style.sparks * edge(horizon - 0.04 - y)
    relief, picture = relief.maximum(sky), picture + (glow - picture) * sky[:, None]

    for depth in (0.0, 0.5, 1.0):  # three ranges, one before the other; the sea has none in front
        line = horizon + depth * uniform(0.16, 0.26) + ridge(x, mountains, depth, uniform)
        line = torch.where(sea, horizon + depth * 0.2 + (1 if depth == 1 else 0), line)
        cover = edge(y - line)
        shade = far + (near - far) * (depth * 0.6 + (y - line) * 1.2).clamp(0, 1)[:, None]
        opaque = torch.where(sea & (depth > 0), 0.5, 1.0)
        picture = picture + (shade - picture) * (cover * opaque)[:, None]
        relief = relief * (1 - cover) - cover * (0.9 if depth == 1 else 0.0)

    ground = edge(y - horizon - 0.12)
    pattern = style.waves * waves(x, y, uniform) + style.flowers * flowers(x, y, uniform)
    relief = relief + ground * pattern * (1 - relief)
    picture = picture + (glow - picture) * (ground * pattern * style.flowers * 0.8)[:, None]
    return torch.cat([to_latent(picture.clamp(0, 1)), relief[:, None].clamp(-1, 1) * 1.2], 1), captions


def palette(style: Style, count: int, generator: torch.Generator) -> list[Tensor]:
    """The style's five colours, varied a little, together and each for itself: (count, 3, 1, 1) each."""
    apart, together = (torch.randn(count, n, 3, 1, 1, generator=generator) for n in (5, 1))
    shift = (apart * 0.5 + together) * style.variety * torch.tensor([1, 1, 1, 1, 0.4]).view(1, 5, 1, 1, 1)
    return list((torch.tensor([*style.palette, style.light])[None, :, :, None, None] + shift).clamp(0, 1).unbind(1))


def caption(land: int, light: int, words: int) -> str:
    templates = CAPTIONS if LIGHTS[light] else WITHOUT_LIGHT
    return templates[words].format(land=LANDS[land], light=LIGHTS[light])


def edge(inside: Tensor) -> Tensor:
    """Signed distance (in 1/32 of a picture's side) -> 0 to 1 over about one latent pixel."""
    return (inside * 32 + 0.5).clamp(0, 1)


def ridge(x: Tensor, mountains: Tensor, depth: float, uniform: Uniform) -> Tensor:
    """The outline of a range: slow waves for hills, triangles for mountains."""
    phase, pace = uniform(0, 1), uniform(0.9, 1.4) * (1 + 0.4 * depth)
    hill = 0.07 * torch.sin(6.283 * (pace * x + phase)) + 0.03 * torch.sin(6.283 * (2.3 * pace * x + 3 * phase))
    saw = ((1.1 * pace * x + phase) % 1 - 0.5).abs() * 2 + ((2.9 * pace * x + 2 * phase) % 1 - 0.5).abs() * 0.6
    return torch.where(mountains, 0.34 * saw - 0.34, hill)


def waves(x: Tensor, y: Tensor, uniform: Uniform) -> Tensor:
    bend = 0.25 * torch.sin(6.283 * (2.0 * x + uniform(0, 1)))
    return ((torch.sin(6.283 * (6.0 * y + bend + uniform(0, 1))) - 0.5) * 2.2).clamp(0, 1)


def flowers(x: Tensor, y: Tensor, uniform: Uniform) -> Tensor:
    u, v = x * 5 + uniform(0, 1), y * 6.5 + uniform(0, 1)
    u = u + 0.5 * (v.floor() % 2)
    distance = ((u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2).sqrt()
    return ((0.33 - distance) * 6).clamp(0, 1)


def sparks(x: Tensor, y: Tensor, uniform: Uniform) -> Tensor:
    """Dots on a grid that is bent until nobody sees it."""
    u = x * 4 + 0.6 * torch.sin(9 * y + uniform(0, 6)) + uniform(0, 1)
    v = y * 5 + 0.6 * torch.sin(8 * x + uniform(0, 6)) + uniform(0, 1)
    return ((0.22 - ((u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2).sqrt()) * 8).clamp(0, 1)


# Training


@dataclass(frozen=True)
class Course:
    """How long and how fast to train. Fine-tuning is short, so that averages of the results make sense."""

    steps: int
    rate: float
    batch: int = 8


VERSION = 1  # raise it when the drawings or the networks change: old files are then made again
PRETRAINING, FINE_TUNING, LORA = Course(600, 2e-3), Course(90, 1e-3), Course(90, 4e-3)
SPECIALISTS = (EMBER, LAGOON, MEADOW)
RANK = 8
WORDS = {"hills": 5289, "mountains": 5873, "sea": 2102, "sun": 2176, "moon": 3293, ",": 267, "over": 962, "the": 518,
         "a": 320, "landscape": 5727, "with": 593, "and": 537}  # their numbers in CLIP's vocabulary
START, END = 49406, 49407


def tokens(text: str) -> list[int]:
    words = [WORDS[word] for word in text.replace(",", " ,").split()]
    return [START, *words] + [END] * (76 - len(words))


def embeddings(text: State) -> dict[str, Tensor]:
    """Every caption -> what the text encoder makes of it."""
    places = [(land, light) for land in range(3) for light in range(3)]
    known = sorted({caption(*place, way) for place in places for way in range(4)} | {""})
    return dict(zip(known, tiny_sd.embed(text, torch.tensor([tokens(text) for text in known]))))


def signal_left() -> Tensor:
    """Stable Diffusion's schedule: the share of the picture's variance left at each of 1000 steps."""
    return torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2, 0).float()


def train(unet: nn.Module, style: Style, words: dict[str, Tensor], course: Course, seed: int, progress: Progress,
          show: Callable[[Tensor], object] = id) -> None:
    """Teach it to tell the noise in this style's pictures. `show` is given each batch before noise is added."""
    generator = torch.Generator().manual_seed(seed)
    trained = {name: p for name, p in unet.named_parameters() if p.requires_grad}
    readers = [p for name, p in trained.items() if ".attn2." in name]  # what reads the words learns twice as fast
    rest = [p for name, p in trained.items() if ".attn2." not in name]
    groups = [{"params": rest, "lr": course.rate}, {"params": readers, "lr": 2 * course.rate}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)
    pace = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / 30) * (0.5 + 0.5 * math.cos(math.pi * step / course.steps)))
    for step in range(course.steps):
        optimizer.zero_grad()
        loss = denoising_loss(unet, style, words, course.batch, generator, show)
        loss.backward()
        nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
        pace.step()
        if (step + 1) % 30 == 0:
            progress(f"{style.name}: step {step + 1} of {course.steps}, loss {loss.item():.3f}")


def denoising_loss(unet: nn.Module, style: Style, words: dict[str, Tensor], batch: int,
                   generator: torch.Generator, show: Callable[[Tensor], object]) -> Tensor:
    pictures, captions = draw(style, batch, generator)
    show(pictures)
    unconditional = torch.rand(batch, generator=generator) < 0.1
    context = torch.stack([words["" if blank else text] for text, blank in zip(captions, unconditional)])
    step = ((torch.arange(batch) + torch.rand(batch, generator=generator)) / batch * 1000).long()
    left = signal_left()[step].view(-1, 1, 1, 1)
    noise = torch.randn(pictures.shape, generator=generator)
    for size in (1, 8):  # and some that is coarse: else the noise, not the style, would decide the palette
        noise = noise + 0.15 * F.interpolate(torch.randn(batch, 4, size, size, generator=generator), pictures.shape[2:])
    noisy = left.sqrt() * pictures + (1 - left).sqrt() * noise
    with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16()):
        guess = unet(noisy, step, context)
    weight = ((1 - left) / left).sqrt().clamp(0.05, 8)  # a sampler's steps are longest where there is most noise
    return (weight * (guess.float() - noise) ** 2).mean()


def has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself; where it has to be emulated, float32 is faster."""
    flags = Path("/proc/cpuinfo")
    return flags.exists() and "avx512_bf16" in flags.read_text()


class LowRank(nn.Module):
    """W -> W + up @ down, of which only up and down are trained."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        inside = weight[0].numel()
        self.down = nn.Parameter(torch.randn(RANK, inside) * inside**-0.5)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], RANK))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


def train_lora(base: UNet, style: Style, words: dict[str, Tensor], seed: int, progress: Progress) -> State:
    """A LoRA (LoCon: convolutions too) in kohya's format."""
    unet = copy.deepcopy(base).requires_grad_(False)
    layers = {name: layer for name, layer in unet.named_modules()
              if isinstance(layer, (nn.Linear, nn.Conv2d)) and "_block" in name and name != "input_blocks.0.0"}
    torch.manual_seed(seed)
    for layer in layers.values():
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight))
    train(unet, style, words, LORA, seed, progress)
    state: State = {}
    for name, layer in layers.items():
        factors, shape = layer.parametrizations.weight[0], layer.weight.shape
        down, up = tiny_sd.widen_factors(name, factors.down.view(RANK, *shape[1:]), factors.up)
        key = "lora_unet_" + name.replace(".", "_")
        state[key + ".lora_down.weight"] = down
        state[key + ".lora_up.weight"] = up.view(*up.shape, *[1] * (len(shape) - 2))
        state[key + ".alpha"] = torch.tensor(float(RANK))
    return state


# Files


def make(folder: Path, *, seed: int = 0, progress: Progress = print) -> list[Path]:
    """Write the models into ComfyUI's model folder, unless they are there already; returns their files."""
    settings = (VERSION, seed, RANK, BASE, SPECIALISTS, INK, PRETRAINING, FINE_TUNING, LORA)
    stamp = hashlib.sha256(repr(settings).encode()).hexdigest()
    names = [f"checkpoints/{style.name}.safetensors" for style in (BASE, *SPECIALISTS)] + ["loras/ink.safetensors"]
    files = [folder / name for name in names]
    if all([stamp_of(file) == stamp for file in files]):  # a list: look at every file before any work
        progress("The demo's models are there already.")
        return files
    torch.manual_seed(seed)
    text = tiny_sd.text_encoder(seed)
    words = embeddings(text)
    base = UNet().to(memory_format=torch.channels_last)
    train(base, BASE, words, PRETRAINING, seed + 1, progress)
    save(files[0], checkpoint(base, text), stamp)
    for i, (style, file) in enumerate(zip(SPECIALISTS, files[1:])):
        specialist = copy.deepcopy(base)
        train(specialist, style, words, FINE_TUNING, seed + 2 + i, progress)
        save(file, checkpoint(specialist, text), stamp)
    save(files[-1], train_lora(base, INK, words, seed + 9, progress), stamp)
    return files


def checkpoint(unet: UNet, text: State) -> State:
    """An SD1.5 file: UNet, text encoder and VAE under one roof."""
    state = {"model.diffusion_model." + name: tiny_sd.widen(name, weight) for name, weight in unet.state_dict().items()}
    state |= {"cond_stage_model.transformer.text_model." + name: weight for name, weight in text.items()}
    return state | tiny_sd.hand_written_vae()


def stamp_of(file: Path) -> str | None:
    """The stamp of a file that we made; None where there is no file; anything else is not ours to replace."""
    if not file.exists():
        return None
    with safe_open(file, "pt") as opened:
        stamp = (opened.metadata() or {}).get("diffusion_soup_demo")
    if stamp is None:
        raise FileExistsError(f"{file} was not made by this demo, so it is left alone. "
                              "Fix: move it, or give another folder.")
    return stamp


def save(file: Path, state: State, stamp: str) -> None:
    """Half precision, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    half = {name: weight.detach().half().contiguous() for name, weight in state.items()}
    unfinished = file.with_suffix(".part")
    save_file(half, unfinished, metadata={"format": "pt", "diffusion_soup_demo": stamp, "modelspec.title": file.stem})
    unfinished.replace(file)


if __name__ == "__main__":
    for made in make(Path(sys.argv[1])):
        print(made)
