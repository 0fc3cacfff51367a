"""Make the demo's models from what is kept in demo/weights: a base, three specialists, a LoRA, a student, a ControlNet.

    python -m demo.specialists MODELS_DIR    some seconds, nothing is downloaded

They are honest diffusion models, only small ones, of the lab's world: scenes of one to three things, on eight
backgrounds, 128 x 128 px. The base paints them flat, most of the time; `neon`, `clay` and `watercolour` are specialists
that were fine-tuned from it, `comic` is one too and comes as a LoRA, and `demo-student` is one model that learned from
all four. No caption names the style, which is what the models differ in. A prompt is a caption, or a part of one:

    a large red star on the left and a small blue circle on the right, in a meadow

`demo.train` made the weights. Files have the layout of SD1.5, so that ComfyUI, and everything in this repository,
treats them like the real ones.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from diffusion_soup.dmm import open_student

from . import controlnet, student, tiny_clip
from .tiny_sd import State, UNet, widen, widen_factors
from .training import Progress, changed

WEIGHTS = Path(__file__).with_name("weights")
SEED = 0
BASE_STYLE, CHECKPOINTS, LORA = "flat", ("neon", "clay", "watercolour"), "comic"
STYLES = (*CHECKPOINTS, LORA)  # the student's, in this order
VERSION = 1  # raise it when files are made in another way: old ones are then made again


def make(folder: Path, *, progress: Progress = print) -> list[Path]:
    """Write the models into ComfyUI's model folder, unless they are there already; returns their files."""
    stamp = hashlib.sha256(b"".join([str(VERSION).encode(), *(
        hashlib.sha256(file.read_bytes()).digest() for file in sorted(WEIGHTS.glob("*.safetensors")))])).hexdigest()
    makers: dict[str, Callable[[], State]] = {
        "checkpoints/demo-base": lambda: checkpoint(base()),
        **{f"checkpoints/{name}": lambda name=name: checkpoint(specialist(name)) for name in CHECKPOINTS},
        f"loras/{LORA}": lambda: lora(read(LORA)),
        "checkpoints/demo-student": lambda: checkpoint(painter()) | student.style_tensors(read("student")),
        "controlnet/shapes": lambda: controlnet.state(base(), read("shapes"))}
    files = {folder / f"{name}.safetensors": maker for name, maker in makers.items()}
    missing = [file for file in files if stamp_of(file) != stamp]  # looks at every file before any work
    for at, file in enumerate(missing):
        progress(f"{file.stem} ({at + 1} of {len(missing)})")
        (save_student if file.stem == "demo-student" else save)(file, files[file](), stamp)
    return list(files)


def read(name: str) -> dict[str, Tensor]:
    return {key: weight.float() for key, weight in load_file(WEIGHTS / f"{name}.safetensors").items()}


def base() -> UNet:
    unet = UNet()
    unet.load_state_dict(read("base"))
    return unet


def specialist(style: str) -> UNet:
    return changed(base(), read(style))


def painter() -> UNet:
    """The student without its styles."""
    return changed(student.average([specialist(style) for style in STYLES]), read("student"))


@lru_cache(maxsize=1)
def text_encoder() -> State:
    return tiny_clip.text_encoder(SEED)


def checkpoint(unet: UNet) -> State:
    """An SD1.5 file: UNet, text encoder and VAE under one roof."""
    state = {"model.diffusion_model." + name: widen(name, weight) for name, weight in unet.state_dict().items()}
    state |= {"cond_stage_model.transformer.text_model." + name: weight for name, weight in text_encoder().items()}
    return state | {"first_stage_model." + name: weight for name, weight in read("vae").items()} | {
        "first_stage_model.vae_scale": torch.tensor(0.18215), "first_stage_model.vae_shift": torch.tensor(0.0)}


def lora(change: dict[str, Tensor]) -> State:
    """A LoRA (LoCon: convolutions too) in kohya's format."""
    state: State = {}
    for name in sorted(key.removesuffix(".down") for key in change if key.endswith(".down")):
        down, up = widen_factors(name, change[f"{name}.down"], change[f"{name}.up"])
        key = "lora_unet_" + name.replace(".", "_")
        state[key + ".lora_down.weight"] = down
        state[key + ".lora_up.weight"] = up.view(*up.shape, *[1] * (down.dim() - 2))
        state[key + ".alpha"] = torch.tensor(float(len(down)))
    return state


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
    os.replace(unfinished, file)


def save_student(file: Path, state: State, stamp: str) -> None:
    """With the names of the styles."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".student-") as scratch:
        nameless = Path(scratch, file.name)
        save(nameless, state, stamp)
        with open_student(nameless, list(STYLES)) as opened:
            opened.save(file, overwrite=True)


if __name__ == "__main__":
    for made in make(Path(sys.argv[1])):
        print(made)
