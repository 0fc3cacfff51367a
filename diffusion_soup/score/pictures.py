"""How pictures are shown to scorers: as CLIP and BLIP were trained to see them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def to_pil(image: torch.Tensor) -> Any:
    """A picture [3, H, W] in 0..1 as Pillow's, in 8 bits as it would be saved."""
    from PIL import Image

    return Image.fromarray(to_levels(image))


def to_levels(image: torch.Tensor) -> np.ndarray:
    """A picture [3, H, W] in 0..1 as uint8 [H, W, 3]."""
    levels = (image.detach().float().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    return np.ascontiguousarray(levels.cpu().numpy())


def prepared(images: torch.Tensor, side: int) -> torch.Tensor:
    """[N, 3, side, side]: the shorter side scaled to ``side`` (bicubic), the middle cut out, CLIP's mean and spread."""
    return torch.stack([_prepared(to_pil(image), side) for image in images])


def _prepared(picture: Any, side: int) -> torch.Tensor:
    from PIL import Image

    width, height = picture.size
    short = min(width, height)
    size = int(side * width / short), int(side * height / short)
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    values = torch.from_numpy(np.asarray(picture.crop((left, top, left + side, top + side)), dtype=np.float32) / 255)
    return ((values - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1)
