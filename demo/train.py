"""Train what the demo's models are made of, and write it to demo/weights.

    python -m demo.train [--scratch DIR]    about two hours on two CPU cores; stopped, it goes on where it was

All that is learnt, and it is small: a VAE; a base, shown the lab's world in every style of the demo, mostly the flat
one, with captions that never name the style; for each specialist a low-rank change of the base (Hu et al., 2022),
taught by pictures of its style alone; a student distilled from the four; and a ControlNet. `demo.specialists` makes the
files for ComfyUI from it in seconds, `demo.quality` measures it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from diffusion_soup.lab.shards import Shard

from . import controlnet, student, tiny_vae, training
from .specialists import BASE_STYLE, CHECKPOINTS, LORA, SEED, STYLES, WEIGHTS, text_encoder
from .tiny_sd import UNet
from .training import Course, Pictures, Progress, Words

VAE_STEPS = 1500
BASE = Course(5000, 8e-4, average=0.999)
SPECIALIST = Course(400, 1e-3, rank=16)
#: Pictures of the base: of the flat style, and of each other. And of each specialist.
PLAIN, EACH, OWN = 6000, 1000, 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.train", description="Train what demo/weights holds.")
    parser.add_argument("--scratch", type=Path, default=Path(".demo/training"), help="where unfinished work is kept")
    scratch = parser.parse_args().scratch
    scratch.mkdir(parents=True, exist_ok=True)
    WEIGHTS.mkdir(exist_ok=True)
    train(scratch, lambda news: print(news, flush=True))


def train(scratch: Path, progress: Progress) -> None:
    """Each part once: where its file is there, it is read."""

    def part(name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        file = WEIGHTS / f"{name}.safetensors"
        if not file.exists():
            half = {key: weight.half().contiguous() for key, weight in make().items()}
            save_file(half, file.with_suffix(".part"))
            os.replace(file.with_suffix(".part"), file)
        return {key: weight.float() for key, weight in load_file(file).items()}

    def kept(name: str) -> Path:
        return scratch / f"{name}.pt"

    world = Shard("demo", styles=(BASE_STYLE, LORA, *CHECKPOINTS))
    vae = tiny_vae.VAE()
    vae.load_state_dict(part("vae", lambda: tiny_vae.train(world, VAE_STEPS, SEED + 1, progress).state_dict()))
    words = Words(text_encoder())

    def pictures(name: str, *shards: tuple[Shard, int]) -> Pictures:
        file = kept(f"pictures of {name}")
        if not file.exists():
            progress(f"Drawing for {name}.")
            drawn = Pictures.of(shards, vae, SEED)
            torch.save((drawn.latents, drawn.tokens), file)
        return Pictures(*torch.load(file, weights_only=True))

    def base_weights() -> dict[str, Tensor]:
        torch.manual_seed(SEED + 2)
        unet = UNet()
        shown = pictures("base", (Shard("plain", styles=(BASE_STYLE,)), PLAIN),
                         *((Shard(style, styles=(style,)), EACH) for style in STYLES))
        training.train(unet, shown, words, BASE, "base", SEED + 3, progress, kept("base"))
        return unet.state_dict()

    base = UNet()
    base.load_state_dict(part("base", base_weights))
    own = {style: pictures(style, (Shard(style, styles=(style,)), OWN)) for style in STYLES}

    def specialist_weights(style: str) -> dict[str, Tensor]:
        unet = training.low_rank(base, SPECIALIST.rank, SEED + 10)
        training.train(unet, own[style], words, SPECIALIST, style, SEED + 11, progress, kept(style))
        return training.factors(unet)

    teachers = [training.changed(base, part(style, lambda style=style: specialist_weights(style))) for style in STYLES]
    part("student", lambda: student.train(teachers, [own[style] for style in STYLES], words, SEED + 20, progress,
                                          kept("student")))
    plain = Shard("plain", styles=(BASE_STYLE,))
    part("shapes", lambda: controlnet.train(base, plain.scenes(range(OWN)), pictures("shapes", (plain, OWN)), words,
                                            SEED + 30, progress, kept("shapes")))


if __name__ == "__main__":
    main()
