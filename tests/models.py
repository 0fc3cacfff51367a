"""Small checkpoints that ComfyUI takes for the real thing, and large ones that take no room on disk.

ComfyUI picks the model class by shapes: SD 1.5 is 320 channels and a context of 768, the number of levels
is free, so one level is enough (72 MB). The VAE has TAESD's layout. A text encoder has one size only; ours
keeps random embeddings, so every prompt differs, and zeros for the rest, which are holes in the file.
"""

from __future__ import annotations

import functools
import json
import struct
import zlib
from pathlib import Path

import torch

from diffusion_soup.lora_names import diffusers_blocks, to_diffusers

from .engine.sd_keys import SD15, SDXL, Shapes, UNet, clip_l, open_clip, unet

State = dict[str, torch.Tensor]

SD15_ONE_LEVEL = UNet("sd1", 320, (1,), (1,), 1, 768, linear_projection=False)
SD15_HALF = UNet("sd1", 320, (1, 2, 2, 2), SD15.depth, 1, 768, linear_projection=False)
# The class SDXL wants the depths 0, 0, 2, 2, 10, 10 on the way down.
SDXL_NARROW = UNet("sdxl", 320, (1, 1, 1), SDXL.depth, 1, 2048, label=2816)

_NAMES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}


def sd15(seed: int, *, channels: int = 4, text: bool = False, dtype: torch.dtype = torch.float16) -> State:
    """An SD 1.5 checkpoint of one level: IN00 to IN02, M00, OUT00 to OUT02."""
    spec = UNet(**{**vars(SD15_ONE_LEVEL), "in_channels": channels})
    state = fill(unet(spec) | taesd(), seed, dtype)
    return state | clip("cond_stage_model.", seed, dtype) if text else state


def student(seed: int, styles: int = 4, *, mlp: int = 0, text: bool = False) -> State:
    """A DMM student of :func:`sd15`'s shape. Students of one ``mlp`` understand each other's styles."""
    return sd15(seed, text=text) | style_tensors(seed, styles, mlp)


def sdxl_student(seed: int, styles: int = 3) -> State:
    return sdxl(seed) | style_tensors(seed, styles, 0, "add_embedding2.")


def style_tensors(seed: int, styles: int, mlp: int, name: str = "add_embedding.", width: int = 1280) -> State:
    """Style prompts as they are trained, N(0, 1), and a style MLP that changes pictures a lot."""
    prefix = "model.diffusion_model."
    layers = _layer(f"{prefix}{name}linear_1", width, width) | _layer(f"{prefix}{name}linear_2", width, width)
    codes = torch.randn(styles, width, generator=torch.Generator().manual_seed(seed)).half()
    return {f"{prefix}model_embedding.weight": codes, **fill(layers, 1000 + mlp)}


def sdxl(seed: int) -> State:
    """An SDXL checkpoint, its blocks 320 channels wide, with both text encoders."""
    kept = ("_layers.", "conv", "embed", "label_emb.", "blocks.0.0.", "out.2.")
    return {**hollow(unet(SDXL_NARROW), seed, keep=kept),
            **fill(taesd(), seed), **clip("conditioner.embedders.0.", seed),
            **hollow(open_clip("conditioner.embedders.1."), seed, keep=("positional_embedding", "text_projection"))}


def renamed(seed: int) -> State:
    """The UNet of :func:`sd15` alone, with diffusers names."""
    state = {key.removeprefix("model.diffusion_model."): tensor for key, tensor in sd15(seed).items()
             if not key.startswith("first_stage_model.")}
    blocks = diffusers_blocks(state)
    return {f"{to_diffusers(key.rpartition('.')[0], blocks)[0]}.{key.rpartition('.')[2]}": tensor
            for key, tensor in state.items()}


def huge(seed: int) -> State:
    """A UNet with all blocks of SD 1.5, 0.7 GB, almost all of it zeros: slow to cook, quick to write."""
    return hollow(unet(SD15_HALF), seed)


def clip(prefix: str, seed: int, dtype: torch.dtype = torch.float16) -> State:
    """CLIP-L; all have the same words, like fine-tunes of one model."""
    return hollow(clip_l(prefix), seed, dtype) | {prefix + key: words.to(dtype) for key, words in _words().items()}


@functools.cache
def _words() -> State:
    return fill({key: shape for key, shape in clip_l("").items() if "embedding" in key}, 0)


def controlnet(seed: int) -> State:
    """A ControlNet for :func:`sd15`: the way down, the middle, and what turns a picture into hints."""
    prefix = "control_model."
    shapes = {key: shape for key, shape in unet(SD15_ONE_LEVEL, prefix).items() if not key.startswith(f"{prefix}out")}
    for number in range(3):
        shapes |= _layer(f"{prefix}zero_convs.{number}.0", 320, 320, 1, 1)
    shapes |= _layer(f"{prefix}middle_block_out.0", 320, 320, 1, 1)
    width = 3
    for at, wider in zip(range(0, 16, 2), (16, 16, 32, 32, 96, 96, 256, 320)):
        shapes |= _layer(f"{prefix}input_hint_block.{at}", wider, width, 3, 3)
        width = wider
    return fill(shapes, seed)


def adapter(seed: int) -> State:
    """A T2I adapter in the layout of the light ones."""
    shapes: Shapes = {}
    before = 192
    for level, (inner, width) in enumerate(((80, 320), (160, 640), (320, 1280), (320, 1280))):
        name = f"body.{level}"
        shapes |= _layer(f"{name}.in_conv", inner, before, 1, 1) | _layer(f"{name}.out_conv", width, inner, 1, 1)
        for block in range(4):
            for layer in ("block1", "block2"):
                shapes |= _layer(f"{name}.body.{block}.{layer}", inner, inner, 3, 3)
        before = width
    return hollow(shapes, seed, keep=("body.0.",))  # what is further down, a model of one level never reads


def gligen(seed: int) -> State:
    """As much of GLIGEN as ComfyUI asks for when it loads one."""
    return fill({"input_blocks.1.1.transformer_blocks.0.fuser.linear.weight": (320, 768),
                 "position_net.null_positive_feature": (768,), "position_net.linears.4.weight": (768, 512)}, seed)


def lora(seed: int, rank: int = 4, strength: float = 3.0) -> State:
    """A kohya LoRA on the attention and feed-forward matrices of :func:`sd15`."""
    state: State = {}
    for key, shape in unet(SD15_ONE_LEVEL, "").items():
        if ".transformer_blocks." in key and len(shape) == 2:
            name = "lora_unet_" + key.removesuffix(".weight").replace(".", "_")
            down, up = f"{name}.lora_down.weight", f"{name}.lora_up.weight"
            state |= fill({down: (rank, shape[1]), up: (shape[0], rank)}, seed)
            state[f"{name}.alpha"] = torch.tensor(rank * strength / 10)
    return state


def taesd(prefix: str = "first_stage_model.") -> Shapes:
    """The tiny autoencoder's layout."""
    shapes: Shapes = {}
    for part, strided, blocks, first, last in (
            ("taesd_encoder.", (2, 6, 10), (1, 3, 4, 5, 7, 8, 9, 11, 12, 13), ("0", 64, 3), ("14", 4, 64)),
            ("taesd_decoder.", (7, 12, 17), (3, 4, 5, 8, 9, 10, 13, 14, 15, 18), ("1", 64, 4), ("19", 3, 64))):
        name = prefix + part
        for at, *width in (first, last):
            shapes |= _layer(name + at, *width, 3, 3)
        for at in blocks:
            for layer in (0, 2, 4):
                shapes |= _layer(f"{name}{at}.conv.{layer}", 64, 64, 3, 3)
        shapes |= {f"{name}{at}.weight": (64, 64, 3, 3) for at in strided}
    return shapes


def fill(shapes: Shapes, seed: int, dtype: torch.dtype = torch.float16) -> State:
    """Matrices that keep the size of what flows through them, norms near 1, biases near 0."""
    return {key: _tensor(key, shape, seed).to(dtype) for key, shape in shapes.items()}


def hollow(shapes: Shapes, seed: int, dtype: torch.dtype = torch.float16, keep: tuple[str, ...] = ()) -> State:
    """The same with zeros for every matrix, but those whose name holds a word of ``keep``."""
    return {key: _tensor(key, shape, seed).to(dtype) if len(shape) < 2 or any(word in key for word in keep)
            else torch.zeros(1, dtype=dtype).expand(shape) for key, shape in shapes.items()}


def save(path: Path, state: State, metadata: dict[str, str] | None = None) -> Path:
    """Write safetensors; expanded tensors (see :func:`hollow`) become holes, which read as zeros."""
    names = {dtype: name for name, dtype in _NAMES.items()}
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for key, tensor in state.items():
        begin, end = end, end + tensor.numel() * tensor.itemsize
        header[key] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        start = file.tell()
        file.truncate(start + end)
        for key, tensor in state.items():
            if 0 not in tensor.stride():
                file.seek(start + header[key]["data_offsets"][0])  # type: ignore[index]
                file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return path


def _tensor(key: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Random numbers that depend on the name and the seed alone."""
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()) * 1000 + seed)
    numbers = torch.randn(shape, generator=generator)
    if key.endswith("embedding.weight") or key.endswith("positional_embedding"):
        return numbers * 0.02
    if len(shape) < 2:
        return numbers * 0.1 + (key.endswith(".weight") if shape else 0.0)
    return numbers * numbers[0].numel() ** -0.5


def _layer(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
