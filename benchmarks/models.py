"""Checkpoints of the true shapes with random weights, for timing: 2.1 GB each for SD 1.5."""

from __future__ import annotations

from pathlib import Path

import torch

from diffusion_soup.checkpoint import DTYPES, TensorInfo
from diffusion_soup.writer import StreamingWriter
from tests.engine.sd_keys import checkpoint

_NOISE = 1 << 22


def make(path: Path, family: str = "sd1", seed: int = 0, dtype: str = "F16") -> Path:
    """Write one checkpoint unless it is there: normal weights of standard deviation 0.02, seeded."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = torch.randn(_NOISE, generator=torch.Generator().manual_seed(seed)).mul_(0.02).to(DTYPES[dtype])
    tensors = [TensorInfo(name, dtype, shape) for name, shape in checkpoint(family).items()]
    with StreamingWriter(path, tensors) as writer:
        for number, info in enumerate(tensors):
            for start in range(0, info.numel, _NOISE):
                count = min(_NOISE, info.numel - start)
                writer.write(info.name, start, noise.roll(number * 4099)[:count])
    return path


def make_set(folder: Path, count: int, family: str = "sd1") -> list[Path]:
    """``count`` checkpoints of one family."""
    return [make(folder / f"{family}-{number}.safetensors", family, number) for number in range(count)]
