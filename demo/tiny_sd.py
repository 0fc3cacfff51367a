"""A UNet of Stable Diffusion 1.5's kind, small enough to train on a CPU and to keep in a repository.

It has SD1.5's layers under SD1.5's names, 13 blocks instead of 25. ComfyUI knows SD1.5 by its 320 channels; training
those on a CPU is slow, and they are large. So we train and keep 160 channels and then `widen` them: every channel is
written twice and the weights that read them are halved (Net2Net, Chen et al., 2015). The wide network computes the same
function, and since widening is linear, averaging wide networks is the same as averaging narrow ones.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NARROW, COPIES, CONTEXT, HEADS = 160, 2, 768, 8
WIDE = NARROW * COPIES
State = dict[str, Tensor]


class ResBlock(nn.Module):
    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(32, inside), nn.SiLU(), nn.Conv2d(inside, outside, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(NARROW * 4, outside))
        last = nn.Conv2d(outside, outside, 3, padding=1)
        self.out_layers = nn.Sequential(nn.GroupNorm(32, outside), nn.SiLU(), nn.Identity(), last)
        self.skip_connection = nn.Conv2d(inside, outside, 1) if inside != outside else nn.Identity()
        nn.init.zeros_(last.weight)

    def forward(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        h = self.in_layers(x) + self.emb_layers(time)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class Attention(nn.Module):
    def __init__(self, context: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(NARROW, NARROW, bias=False)
        self.to_k = nn.Linear(context, NARROW, bias=False)
        self.to_v = nn.Linear(context, NARROW, bias=False)
        self.to_out = nn.Sequential(nn.Linear(NARROW, NARROW))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        q, k, v = (split_heads(t, HEADS) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        weights = (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).softmax(-1)
        return self.to_out((weights @ v).transpose(1, 2).flatten(2))


def split_heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class GEGLU(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(NARROW, NARROW * 8)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, -1)
        return value * F.gelu(gate)


class TransformerBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn1, self.attn2 = Attention(NARROW), Attention(CONTEXT)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(NARROW) for _ in range(3))
        self.ff = nn.Module()
        self.ff.net = nn.Sequential(GEGLU(), nn.Identity(), nn.Linear(NARROW * 4, NARROW))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        h = self.norm1(x)
        x = x + self.attn1(h, h)
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff.net(self.norm3(x))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, NARROW, eps=1e-6)
        self.proj_in, self.proj_out = nn.Conv2d(NARROW, NARROW, 1), nn.Conv2d(NARROW, NARROW, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock()])

    def forward(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        h = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        h = self.transformer_blocks[0](h, context)
        return x + self.proj_out(h.transpose(1, 2).unflatten(2, x.shape[2:]))


class Resample(nn.Module):
    """Halve (`op`) or double (`conv`) a picture."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.add_module(name, nn.Conv2d(NARROW, NARROW, 3, padding=1, stride=2 if name == "op" else 1))

    def forward(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        return self.op(x) if hasattr(self, "op") else self.conv(F.interpolate(x, scale_factor=2))


class UNet(nn.Module):
    """Three levels of one residual block; transformers on all but the first."""

    def __init__(self) -> None:
        super().__init__()
        n, both = NARROW, 2 * NARROW
        self.time_embed = nn.Sequential(nn.Linear(WIDE, n * 4), nn.SiLU(), nn.Linear(n * 4, n * 4))
        self.input_blocks = blocks(
            [nn.Conv2d(4, n, 3, padding=1)], [ResBlock(n, n)], [Resample("op")],
            [ResBlock(n, n), Transformer()], [Resample("op")],
            [ResBlock(n, n), Transformer()])
        self.middle_block = nn.ModuleList([ResBlock(n, n), Transformer(), ResBlock(n, n)])
        self.output_blocks = blocks(
            [ResBlock(both, n), Transformer()], [ResBlock(both, n), Transformer(), Resample("conv")],
            [ResBlock(both, n), Transformer()], [ResBlock(both, n), Transformer(), Resample("conv")],
            [ResBlock(both, n)], [ResBlock(both, n)])
        self.out = nn.Sequential(nn.GroupNorm(32, NARROW), nn.SiLU(), nn.Conv2d(NARROW, 4, 3, padding=1))
        nn.init.zeros_(self.out[2].weight)

    def forward(self, x: Tensor, step: Tensor, context: Tensor) -> Tensor:
        time = self.time_embed(sinusoid(step))
        x = self.input_blocks[0][0](x)
        kept = [x]
        for block in self.input_blocks[1:]:
            kept.append(x := run(block, x, time, context))
        x = run(self.middle_block, x, time, context)
        for block in self.output_blocks:
            x = run(block, torch.cat([x, kept.pop()], 1), time, context)
        return self.out(x)


def blocks(*parts: list[nn.Module]) -> nn.ModuleList:
    return nn.ModuleList(nn.ModuleList(part) for part in parts)


def run(block: nn.Module, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
    for layer in block:
        x = layer(x, time, context)
    return x


def sinusoid(step: Tensor) -> Tensor:
    rates = torch.exp(-math.log(10000) * torch.arange(WIDE // 2) / (WIDE // 2))
    angles = step[:, None].float() * rates
    return torch.cat([angles.cos(), angles.sin()], 1)


def widen(name: str, weight: Tensor) -> Tensor:
    """The same layer with every channel COPIES times; sizes that are not channels (latent, text, sinusoid) stay."""
    if weight.shape[0] != 4:
        weight = weight.repeat_interleave(COPIES, 0)
    if weight.dim() > 1 and reads_channels(name, weight):
        weight = weight.repeat_interleave(COPIES, 1) / COPIES
    return weight / math.sqrt(COPIES) if name.endswith("to_q.weight") else weight  # heads are wider too


def widen_factors(name: str, down: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """The same for a low-rank change `up @ down` of the layer `name`; the rank stays."""
    if reads_channels(name, down):
        down = down.repeat_interleave(COPIES, 1) / COPIES
    up = up.repeat_interleave(COPIES, 0)
    return down, up / math.sqrt(COPIES) if name.endswith("to_q") else up


def reads_channels(name: str, weight: Tensor) -> bool:
    return weight.shape[1] not in (4, CONTEXT) and not name.startswith("time_embed.0")
