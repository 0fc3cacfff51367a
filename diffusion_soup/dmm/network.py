"""The student while it is trained: a UNet of diffusers, its style prompts, and taps on its features.

Nothing in the UNet is replaced. Styles are added by a hook to what ``time_embedding`` gives, which is where the
paper adds them, so any UNet2DConditionModel takes them: SD 1.x, SDXL, and the lab's small ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import MismatchError
from .codebook import Codebook, StyleMLP, unique


@dataclass(frozen=True, eq=False)
class Text:
    """What a UNet is told of B prompts: ``tokens`` (B, L, D), and for SDXL its ``added`` conditions (or, for UNets with
    class embeddings, ``classes``)."""

    tokens: Tensor
    added: dict[str, Tensor] = field(default_factory=dict)
    classes: Tensor | None = None

    def pick(self, which: Tensor | slice) -> Text:
        """Some of the prompts."""
        return Text(self.tokens[which], {name: each[which] for name, each in self.added.items()},
                    self.classes[which] if self.classes is not None else None)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Text:
        def moved(each: Tensor) -> Tensor:
            return each.to(device, dtype) if each.is_floating_point() else each.to(device)

        return Text(moved(self.tokens), {name: moved(each) for name, each in self.added.items()},
                    moved(self.classes) if self.classes is not None else None)

    @staticmethod
    def joined(parts: Sequence[Text]) -> Text:
        classes = [part.classes for part in parts if part.classes is not None]
        return Text(torch.cat([part.tokens for part in parts]),
                    {name: torch.cat([part.added[name] for part in parts]) for name in parts[0].added},
                    torch.cat(classes) if classes else None)


def predict(unet: Any, noisy: Tensor, times: Tensor, text: Text, beside: Tensor | None = None) -> Tensor:
    """The raw output of a UNet of diffusers, (B, C, H, W). ``beside`` (B, W) is what it is told beside the time, where
    it has a place for that (``time_cond_proj_dim``)."""
    more: dict[str, Any] = {"added_cond_kwargs": text.added} if text.added else {}
    if beside is not None:
        more["timestep_cond"] = beside
    if text.classes is not None:
        more["class_labels"] = text.classes
    output: Tensor = unet(noisy, times, text.tokens, return_dict=False, **more)[0]
    return output


class StudentUNet(nn.Module):
    """A UNet with N styles: ``emb = time_embed(t) + MLP(ẽ)`` (section 4.1).

    ``unet`` is a UNet2DConditionModel. Style prompts begin as N(0, 1) and the MLP's last layer as zero, so that at
    first every style is the plain UNet. Both branches of classifier-free guidance get the same style.
    """

    def __init__(self, unet: Any, styles: int, *, seed: int = 0) -> None:
        super().__init__()
        if styles < 1:
            raise MismatchError(f"A student needs at least one style, not {styles}.")
        width = time_width(unet)
        generator = torch.Generator().manual_seed(seed)
        self.unet = unet
        self.codes = nn.Parameter(torch.randn(styles, width, generator=generator))
        self.linear_1, self.linear_2 = nn.Linear(width, width), nn.Linear(width, width)
        with torch.no_grad():
            self.linear_1.weight.copy_(torch.randn(width, width, generator=generator) * width**-0.5)
            for zero in (self.linear_1.bias, self.linear_2.weight, self.linear_2.bias):
                zero.zero_()
        self._style: Tensor | None = None
        unet.time_embedding.register_forward_hook(self._add)

    def forward(self, noisy: Tensor, times: Tensor, text: Text, styles: Tensor, beside: Tensor | None = None
                ) -> Tensor:
        """The raw output for B pictures, each in a style of its own.

        ``styles`` is (B,) int64, one style each, or (B, N) floats, weights of a mix ẽ = Σ wᵢ eᵢ (section 4.5);
        ``beside`` as for :func:`predict`.
        """
        codes = self.codes[styles] if not styles.is_floating_point() else styles.to(self.codes) @ self.codes
        self._style = self.linear_2(functional.silu(self.linear_1(codes)))
        try:
            return predict(self.unet, noisy, times, text, beside)
        finally:
            self._style = None

    def _add(self, module: nn.Module, inputs: Any, embedding: Tensor) -> Tensor:
        return embedding if self._style is None else embedding + self._style.to(embedding.dtype)

    @torch.no_grad()
    def extend(self, count: int, *, seed: int = 0) -> None:
        """Add styles behind those that are there, as they begin: N(0, 1). What the others do stays, to the bit."""
        more = torch.randn(count, self.codes.shape[1], generator=torch.Generator().manual_seed(seed))
        self.codes = nn.Parameter(torch.cat([self.codes, more.to(self.codes)]))

    def codebook(self, names: Sequence[str], family: str) -> Codebook:
        """The styles as the rest of the product knows them, float32 on the CPU."""
        layers = [each.detach().float().cpu().clone() for each in self._layers()]
        return Codebook(self.codes.detach().float().cpu().clone(), StyleMLP(*layers), tuple(unique(names)), family)

    @torch.no_grad()
    def load_codebook(self, codebook: Codebook) -> None:
        """Take the styles of a student. Raises :class:`MismatchError` if they are of another width."""
        if codebook.width != self.codes.shape[1]:
            raise MismatchError(f"{codebook.file} has style prompts of {codebook.width}, this UNet takes "
                                f"{self.codes.shape[1]}; they must be of one family.")
        self.codes = nn.Parameter(codebook.codes.to(self.codes))
        for ours, theirs in zip(self._layers(), codebook.mlp.tensors):
            ours.copy_(theirs)

    def _layers(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of the style MLP, in the order of :class:`StyleMLP`."""
        return self.linear_1.weight, self.linear_1.bias, self.linear_2.weight, self.linear_2.bias


def time_width(unet: Any) -> int:
    """How wide a UNet's time embedding is."""
    found: int = unet.time_embedding.linear_2.out_features
    return found


def taps(unet: Any) -> list[nn.Module]:
    """What features are compared at: every block on the way down, the middle, every block on the way up.

    Read from the model (SD 1.x has 4 + 1 + 4, SDXL 3 + 1 + 3), not from a list of indices.
    """
    return [*unet.down_blocks, *([unet.mid_block] if unet.mid_block is not None else []), *unet.up_blocks]


@contextmanager
def tapped(unet: Any, only: Sequence[nn.Module] | None = None) -> Iterator[list[Tensor]]:
    """Within, each pass through the UNet leaves what its taps gave in the list, in the order in which they ran."""
    found: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)

    handles = [module.register_forward_hook(keep) for module in (taps(unet) if only is None else only)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
