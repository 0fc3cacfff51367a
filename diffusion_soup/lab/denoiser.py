"""The lab's diffusion model: a small UNet of diffusers in pixels, told what to draw by the facts of a scene.

Its text encoder is frozen and needs no download: each fact of a caption is a token, a fixed random vector of its own,
for cross-attention; and all facts at once are a vector of ones and zeros beside the time embedding (as SDXL's pooled
text is). A fact that is not told has neither, and a caption without any is the unconditional one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..architecture import UNET
from ..errors import SoupError
from .draws import key_of
from .world import VALUES, Scene, Scenes, WorldError

#: Names of the network's tensors in files: those of a diffusion model of an unknown family, which any engine averages.
PREFIX = UNET + "unet."
#: What a fact weighs in the vector beside the time embedding.
_TOLD = 3.0
_STARTS = torch.tensor([0, *VALUES]).cumsum(0)[:-1]


@dataclass(frozen=True)
class DenoiserConfig:
    """The shape of the network: ``size`` of the pictures in pixels, ``channels`` of its levels, the last of which has
    the attention, ``context`` numbers for each token."""

    size: int = 16
    channels: tuple[int, ...] = (32, 64, 64)
    layers: int = 1
    context: int = 64
    heads: int = 2


@dataclass(frozen=True, eq=False)
class Told:
    """What the network is told of B scenes: ``tokens`` (B, 17, context) and ``pooled`` (B, sum of VALUES), float32."""

    tokens: Tensor
    pooled: Tensor

    def to(self, device: torch.device) -> Told:
        return Told(self.tokens.to(device), self.pooled.to(device))

    @staticmethod
    def joined(parts: Sequence[Told]) -> Told:
        return Told(torch.cat([part.tokens for part in parts]), torch.cat([part.pooled for part in parts]))


class Denoiser:
    """A network with its weights. It predicts the velocity v = √ᾱ ε − √(1−ᾱ) x₀ (Salimans and Ho 2022, 2202.00512)."""

    def __init__(self, config: DenoiserConfig, seed: int = 0, device: str | torch.device = "cpu") -> None:
        """With the weights of a fresh network, the same for the same seed."""
        network, _ = library()
        down = ["DownBlock2D"] * (len(config.channels) - 1) + ["CrossAttnDownBlock2D"]
        up = ["CrossAttnUpBlock2D"] + ["UpBlock2D"] * (len(config.channels) - 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = network(
                sample_size=config.size, in_channels=3, out_channels=3, block_out_channels=config.channels,
                down_block_types=down, up_block_types=up, layers_per_block=config.layers,
                cross_attention_dim=config.context, attention_head_dim=config.heads, norm_num_groups=8,
                class_embed_type="simple_projection", projection_class_embeddings_input_dim=sum(VALUES),
                resnet_time_scale_shift="scale_shift").to(device)
        self.config, self.device = config, torch.device(device)

    def load(self, tensors: Mapping[str, Tensor]) -> Denoiser:
        """Take these weights, named as in files. Raises :class:`WorldError` unless they are of this network."""
        mine = {PREFIX + name: each for name, each in self.network.state_dict().items()}
        if {name: each.shape for name, each in tensors.items()} != {name: each.shape for name, each in mine.items()}:
            raise WorldError(f"These weights are of another network than {self.config}; train it again.")
        self.network.load_state_dict({name.removeprefix(PREFIX): each for name, each in tensors.items()})
        return self

    def eval(self) -> Denoiser:
        """Ready to be asked."""
        self.network.eval()
        return self

    def tensors(self) -> dict[str, Tensor]:
        """The weights by their names in files, on the CPU; copies."""
        return {PREFIX + name: each.detach().to("cpu", copy=True).contiguous()
                for name, each in self.network.state_dict().items()}

    def tell(self, scenes: Sequence[Scene], known: Tensor | None = None) -> Told:
        """What it is told of these scenes; of ``known`` (B, 17) facts only those that are true."""
        whole = Scenes.of(scenes)
        index = whole.facts + _STARTS
        told = torch.ones(index.shape) if known is None else known.float()
        pooled = torch.zeros(len(index), sum(VALUES)).scatter_(1, index, told * _TOLD)
        return Told(_words(self.config.context)[index] * told[..., None], pooled).to(self.device)

    def nothing(self, count: int) -> Told:
        """The unconditional caption, ``count`` times."""
        empty = Told(torch.zeros(count, len(VALUES), self.config.context), torch.zeros(count, sum(VALUES)))
        return empty.to(self.device)

    def velocity(self, noisy: Tensor, times: Tensor, told: Told) -> Tensor:
        """(B, 3, S, S) noisy pictures at (B,) time steps -> (B, 3, S, S) velocities."""
        found: Tensor = self.network(noisy, times, told.tokens, class_labels=told.pooled).sample
        return found


def schedule() -> Any:
    """diffusers' DDIM scheduler for velocities, with the cosine schedule (Nichol and Dhariwal 2021, 2102.09672)."""
    _, scheduler = library()
    return scheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", clip_sample=True)


@lru_cache(maxsize=1)
def library() -> tuple[Any, Any]:
    """diffusers' UNet2DConditionModel and DDIMScheduler. Raises :class:`SoupError` where diffusers is not installed."""
    _mend_torchvision()
    try:
        from diffusers import DDIMScheduler, UNet2DConditionModel
    except ImportError:
        raise SoupError("The lab trains a UNet of diffusers, which is not installed: "
                        "pip install diffusion-soup[lab]") from None
    return UNet2DConditionModel, DDIMScheduler


def _mend_torchvision() -> None:
    """diffusers imports torchvision, and one that was built for another torch stops there, because it describes
    operators that were not loaded. Declared, they do no harm: nothing here calls them."""
    try:
        import torchvision  # type: ignore[import-not-found, import-untyped, unused-ignore]  # noqa: F401
    except ImportError:
        return
    except RuntimeError:
        declared = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for name in ("nms", "qnms"):
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
        _kept.append(declared)


_kept: list[Any] = []  # declarations last as long as the objects that made them


@lru_cache(maxsize=4)
def _words(context: int) -> Tensor:
    """The vector of each value of each field, (sum of VALUES, context)."""
    generator = torch.Generator().manual_seed(key_of("the words of the world"))
    return torch.randn(sum(VALUES), context, generator=generator)
