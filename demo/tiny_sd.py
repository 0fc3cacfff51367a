"""A Stable Diffusion 1.5 small enough to train on a laptop's CPU while one makes coffee.

Three parts, under the names of the original's single-file checkpoints, so that ComfyUI takes the file as SD1.5:

UNet. SD1.5's layers, 13 blocks instead of 25. ComfyUI knows SD1.5 by its 320 channels; training those on a CPU is slow.
So we train 64 channels and then `widen` them: every channel is written five times and the weights that read them are
divided by five (Net2Net, Chen et al., 2015). The wide network computes the same function, and since widening is linear,
averaging wide networks is the same as averaging narrow ones.

Text encoder. CLIP-L's shape with fixed random weights: it cannot know that two words are alike, but every word has an
embedding of its own, which the UNet learns to read.

VAE. TAESD's layout with weights written by hand: three channels of a latent are red, green and blue, and the fourth is
a relief that comes out as crisp light and dark shapes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NARROW, COPIES, CONTEXT, HEADS = 64, 5, 768, 8
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
    """Three levels of one residual block; transformers on the last level and in the middle."""

    def __init__(self) -> None:
        super().__init__()
        n, both = NARROW, 2 * NARROW
        self.time_embed = nn.Sequential(nn.Linear(WIDE, n * 4), nn.SiLU(), nn.Linear(n * 4, n * 4))
        self.input_blocks = blocks(
            [nn.Conv2d(4, n, 3, padding=1)], [ResBlock(n, n)], [Resample("op")],
            [ResBlock(n, n)], [Resample("op")],
            [ResBlock(n, n), Transformer()])
        self.middle_block = nn.ModuleList([ResBlock(n, n), Transformer(), ResBlock(n, n)])
        self.output_blocks = blocks(
            [ResBlock(both, n), Transformer()], [ResBlock(both, n), Transformer(), Resample("conv")],
            [ResBlock(both, n)], [ResBlock(both, n), Resample("conv")],
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
    if weight.dim() > 1 and weight.shape[1] not in (4, WIDE, CONTEXT):
        weight = weight.repeat_interleave(COPIES, 1) / COPIES
    return weight / math.sqrt(COPIES) if name.endswith("to_q.weight") else weight  # heads are wider too


def widen_factors(name: str, down: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """The same for a low-rank change `up @ down` of the layer `name`; the rank stays."""
    if down.shape[1] not in (4, WIDE, CONTEXT):
        down = down.repeat_interleave(COPIES, 1) / COPIES
    up = up.repeat_interleave(COPIES, 0)
    return down, up / math.sqrt(COPIES) if name.endswith("to_q") else up


def text_shapes(layers: int = 12, width: int = CONTEXT) -> dict[str, tuple[tuple[int, ...], float, float]]:
    """CLIP-L's text model: name -> shape, mean and deviation of its random weights."""
    shapes = {"embeddings.token_embedding.weight": ((49408, width), 0.0, 1.0),
              "embeddings.position_embedding.weight": ((77, width), 0.0, 0.1)}

    def norm(name: str) -> None:
        shapes[name + ".weight"] = ((width,), 1.0, 0.1)
        shapes[name + ".bias"] = ((width,), 0.0, 0.1)

    def linear(name: str, inside: int, outside: int, gain: float) -> None:
        shapes[name + ".weight"] = ((outside, inside), 0.0, gain * inside**-0.5)
        shapes[name + ".bias"] = ((outside,), 0.0, 0.0)

    for i in range(layers):
        q = f"encoder.layers.{i}."
        for part in ("q", "k", "v", "out"):
            linear(f"{q}self_attn.{part}_proj", width, width, 0.3 if part == "out" else 1.0)
        linear(q + "mlp.fc1", width, width * 4, 1.0)
        linear(q + "mlp.fc2", width * 4, width, 0.2)
        norm(q + "layer_norm1")
        norm(q + "layer_norm2")
    norm("final_layer_norm")
    return shapes


def text_encoder(seed: int) -> State:
    generator = torch.Generator().manual_seed(seed)
    return {name: (torch.randn(shape, generator=generator) * deviation + mean).half()
            for name, (shape, mean, deviation) in text_shapes().items()}


@torch.no_grad()
def embed(text: State, tokens: Tensor) -> Tensor:
    """What ComfyUI's CLIPTextEncode gives the UNet for these tokens (batch, 77)."""
    w = {name: t.float() for name, t in text.items() if "token_embedding" not in name}

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, (CONTEXT,), w[name + ".weight"], w[name + ".bias"])

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, w[name + ".weight"], w[name + ".bias"])

    x = text["embeddings.token_embedding.weight"][tokens].float() + w["embeddings.position_embedding.weight"]
    for i in range(12):
        p, h = f"encoder.layers.{i}.", norm(f"encoder.layers.{i}.layer_norm1", x)
        q, k, v = (split_heads(linear(f"{p}self_attn.{n}_proj", h), 12) for n in "qkv")
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + linear(p + "self_attn.out_proj", mixed.transpose(1, 2).flatten(2))
        h = linear(p + "mlp.fc1", norm(p + "layer_norm2", x))
        x = x + linear(p + "mlp.fc2", h * torch.sigmoid(1.702 * h))
    return norm("final_layer_norm", x)


def hand_written_vae() -> State:
    """A TAESD whose latents are small pictures: 2.4 (rgb - 0.5) and a relief of about -1 to 1."""
    return {"first_stage_model." + name: weight for name, weight in (decoder() | encoder()).items()} | {
        "first_stage_model.vae_scale": torch.tensor(0.18215), "first_stage_model.vae_shift": torch.tensor(0.0)}


Taps = dict[tuple[int, int], float]  # (output channel, input channel) -> weight; input -1 is the bias
RELIEF, ONE = 3, 4  # decoder channels after red, green and blue: relief + 1.5, and a constant 1
SMOOTH = torch.tensor([0.25, 0.5, 0.25])


def conv(taps: Taps, inside: int = 64, outside: int = 64, kernel: Tensor | None = None) -> tuple[Tensor, Tensor]:
    weight, bias = torch.zeros(outside, inside, 3, 3), torch.zeros(outside)
    kernel = torch.tensor([0.0, 1.0, 0.0]) if kernel is None else kernel
    for (out, channel), value in taps.items():
        if channel < 0:
            bias[out] = value
        else:
            weight[out, channel] = value * kernel[:, None] * kernel
    return weight, bias


def block(state: State, name: str, *layers: Taps) -> None:
    """relu(x + conv(relu(conv(relu(conv(x)))))); without layers, the identity (of what is not negative)."""
    for i in range(3):
        state[f"{name}.conv.{2 * i}.weight"], state[f"{name}.conv.{2 * i}.bias"] = conv(layers[i] if layers else {})


def encoder() -> State:
    """The mean colour of every 8 x 8 pixels, as a latent without relief."""
    state: State = {}
    same = {(i, i): 1.0 for i in range(3)}
    p = "taesd_encoder."
    state[p + "0.weight"], state[p + "0.bias"] = conv(same, inside=3)
    for i in (1, 3, 4, 5, 7, 8, 9, 11, 12, 13):
        block(state, f"{p}{i}")
    for i in (2, 6, 10):
        state[f"{p}{i}.weight"], _ = conv(same, kernel=torch.tensor([0.0, 0.5, 0.5]))
    latent = {(i, i): 2.4 for i in range(3)} | {(i, -1): -1.2 for i in range(3)}
    state[p + "14.weight"], state[p + "14.bias"] = conv(latent, outside=4)
    return state


def decoder() -> State:
    """Three smooth doublings; then the relief, cut off sharply, lightens or darkens the colour under it."""
    state: State = {}
    p = "taesd_decoder."
    colours = {(i, i): 1 / 2.4 for i in range(3)} | {(i, -1): 0.5 for i in range(3)}
    first = colours | {(RELIEF, 3): 1.0, (RELIEF, -1): 1.5, (ONE, -1): 1.0}
    state[p + "1.weight"], state[p + "1.bias"] = conv(first, inside=4)
    for i in (3, 4, 5, 9, 10, 14, 15):
        block(state, f"{p}{i}")
    for i in (7, 12, 17):
        state[f"{p}{i}.weight"], _ = conv({(c, c): 1.0 for c in range(5)}, kernel=SMOOTH)
    for i in (8, 13):
        block(state, f"{p}{i}", *mend_borders())
    block(state, p + "18", *(a | b for a, b in zip(mend_borders(), print_relief())))
    state[p + "19.weight"], state[p + "19.bias"] = conv({(i, i): 1.0 for i in range(3)}, outside=3)
    return state


def mend_borders() -> tuple[Taps, Taps, Taps]:
    """Zero padding leaves what is smoothed, ONE too, 3/4 of its value at borders, 9/16 in corners: add the rest."""
    border, corner, shut = (5, 6), (7, 23), 4.0  # `shut` outweighs every value: a gate lets all through or nothing
    detect: Taps = {(24 + c, c): 1.0 for c in range(5)}
    for pair, start in ((border, 1.0), (corner, 3.2)):
        for i, channel in enumerate(pair):  # their difference is 0 or 1
            detect |= {(channel, ONE): -10.0, (channel, -1): 10.0 - start - i}
    gate: Taps = {}
    for c in range(5):
        for out, share, where in ((24 + c, 1 / 3, border), (32 + c, 7 / 9, corner)):
            gate |= {(out, 24 + c): share, (out, -1): -shut, (out, where[0]): shut, (out, where[1]): -shut}
        gate |= {(24 + c, corner[0]): -2 * shut, (24 + c, corner[1]): 2 * shut}
    return detect, gate, {(c, channel + c): 1.0 for c in range(5) for channel in (24, 32)}


def print_relief() -> tuple[Taps, Taps, Taps]:
    """Masks in 0 to 1 from differences of two ReLUs, then colours let through only where a mask is 1."""
    sharpness, threshold, lighten, darken = 5.0, 0.2, 0.65, 0.45
    up, down, colour, one = (8, 9), (10, 11), (12, 13, 14), 15
    cut: Taps = {(one, ONE): 1.0} | {(colour[c], c): 1.0 for c in range(3)}
    for sign, pair in ((1.0, up), (-1.0, down)):
        for i, channel in enumerate(pair):
            cut |= {(channel, RELIEF): sign * sharpness, (channel, ONE): -sharpness * (1.5 * sign + threshold) - i}
    gate: Taps = {}
    apply: Taps = {}
    for c in range(3):
        light, dark = 16 + c, 20 + c
        gate |= {(light, one): lighten - 1, (light, colour[c]): -lighten, (light, up[0]): 1.0, (light, up[1]): -1.0}
        gate |= {(dark, one): -1.0, (dark, colour[c]): darken, (dark, down[0]): 1.0, (dark, down[1]): -1.0}
        apply |= {(c, light): 1.0, (c, dark): -1.0}
    return cut, gate, apply
