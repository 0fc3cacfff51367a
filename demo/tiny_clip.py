"""A text encoder in CLIP-L's shape that needs no training and no download: it binds each word to those before it.

A random transformer would give every word an embedding, and a UNet would have to find out from positions alone which
colour belongs to which thing. So the first layer's attention is written by hand, as the "previous token heads" that
trained models grow (Elhage et al., 2021): head h of a token at position t looks at position t - h, and adds a random
image of the word it finds there. What comes out at "left" in "a large red star on the left" tells of the whole phrase.
The other eleven layers add nothing.

How a head finds t - h: 62 of the 768 numbers are cos and sin of w_i t, with w_i = pi (2 i + 1) / 64. Then
sum_i cos(w_i d) is largest at d = 0 and about 0 at every other distance, and t becomes t - h by a turn of each pair,
which is linear. Where there is no such position, a head looks at the start token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]

WIDTH, HEADS, LAYERS, LENGTH, VOCABULARY = 768, 12, 12, 77, 49408
SIZE = WIDTH // HEADS
PAIRS = SIZE // 2 - 1  # the last two numbers of a head are for the start token
FLAG = 2 * PAIRS  # where the embedding of the start token has its mark
SHARP = 5.0

#: The numbers of the demo's words in CLIP's vocabulary.
WORDS = {"a": 320, "and": 537, "on": 525, "the": 518, "left": 1823, "right": 1155, "at": 536, "top": 1253,
         "bottom": 5931, "in": 530, "centre": 2916, "small": 2442, "large": 3638, "red": 736, "orange": 4287,
         "yellow": 4481, "green": 1901, "blue": 1746, "purple": 5496, "circle": 7117, "square": 3999,
         "triangle": 14615, "star": 1565, "ring": 2540, "cross": 3417, "plain": 10709, "paper": 2802, "sky": 2390,
         "sunset": 3424, "night": 930, "meadow": 17195, "sea": 2102, "stripes": 14239, "checks": 13737, ",": 267}
START, END = 49406, 49407


def tokens(captions: Sequence[str]) -> Tensor:
    """(B, 77) int64 of captions made of :data:`WORDS`, as CLIP's tokenizer would make them."""
    rows = [[START, *(WORDS[word] for word in caption.replace(",", " ,").split())] for caption in captions]
    return torch.tensor([row + [END] * (LENGTH - len(row)) for row in rows])


def text_encoder(seed: int) -> State:
    """The weights, float16, named as in CLIP-L's text model."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    words, positions = torch.zeros(VOCABULARY, WIDTH), torch.zeros(LENGTH, WIDTH)
    words[:, SIZE:] = noise(VOCABULARY, WIDTH - SIZE)
    words[START, FLAG] = 8.0
    positions[:, :FLAG] = code(torch.arange(LENGTH))
    state = {"embeddings.token_embedding.weight": words, "embeddings.position_embedding.weight": positions}
    for layer in range(LAYERS):
        q = f"encoder.layers.{layer}."
        for name, (outside, inside) in {"self_attn.q_proj": (WIDTH, WIDTH), "self_attn.k_proj": (WIDTH, WIDTH),
                                        "self_attn.v_proj": (WIDTH, WIDTH), "self_attn.out_proj": (WIDTH, WIDTH),
                                        "mlp.fc1": (4 * WIDTH, WIDTH), "mlp.fc2": (WIDTH, 4 * WIDTH)}.items():
            state[f"{q}{name}.weight"], state[f"{q}{name}.bias"] = torch.zeros(outside, inside), torch.zeros(outside)
        for name in ("layer_norm1", "layer_norm2"):
            state[f"{q}{name}.weight"], state[f"{q}{name}.bias"] = torch.ones(WIDTH), torch.zeros(WIDTH)
    first = "encoder.layers.0.self_attn."
    for head in range(HEADS):
        at, found = slice(head * SIZE, (head + 1) * SIZE), noise(SIZE, WIDTH - SIZE) * (WIDTH - SIZE) ** -0.5
        state[f"{first}q_proj.weight"][at, :SIZE] = SHARP * turn(head)
        state[f"{first}q_proj.bias"][head * SIZE + FLAG] = SHARP * 2.0
        state[f"{first}k_proj.weight"][at, :SIZE] = torch.eye(SIZE)
        state[f"{first}v_proj.weight"][at, SIZE:] = found
        if head:  # head 0 would find the token itself, which is there already
            state[f"{first}out_proj.weight"][SIZE:, at] = noise(WIDTH - SIZE, SIZE) * SIZE**-0.5 * 0.5
    # A last norm without random terms has mean 0, and hosts divide by the mean where a prompt has emphasis.
    state |= {"final_layer_norm.weight": 1 + 0.1 * noise(WIDTH), "final_layer_norm.bias": 0.1 * noise(WIDTH)}
    return {name: weight.half() for name, weight in state.items()}


def code(positions: Tensor) -> Tensor:
    """(T,) -> (T, 2 PAIRS): cos and sin of each rate, side by side."""
    rates = math.pi * (2 * torch.arange(PAIRS) + 1) / 64
    angles = positions[:, None] * rates
    return torch.stack([angles.cos(), angles.sin()], 2).flatten(1)


def turn(back: int) -> Tensor:
    """(SIZE, SIZE): the code of t -> that of t - back; nothing of the last two numbers."""
    matrix = torch.zeros(SIZE, SIZE)
    for pair in range(PAIRS):
        angle = math.pi * (2 * pair + 1) / 64 * back
        cos, sin = math.cos(angle), math.sin(angle)
        matrix[2 * pair:2 * pair + 2, 2 * pair:2 * pair + 2] = torch.tensor([[cos, sin], [-sin, cos]])
    return matrix


@torch.no_grad()
def embed(text: State, numbers: Tensor) -> Tensor:
    """(B, 77) tokens -> (B, 77, 768): what ComfyUI's CLIPTextEncode gives the UNet. Only layers that do something."""
    x = text["embeddings.token_embedding.weight"][numbers].float()
    w = {name: each.float() for name, each in text.items() if ".0.self_attn" in name or "norm" in name
         or "position" in name}
    x = x + w["embeddings.position_embedding.weight"]
    p = "encoder.layers.0.self_attn."
    h = F.layer_norm(x, (WIDTH,))
    q, k, v = (F.linear(h, w[f"{p}{n}_proj.weight"], w[f"{p}{n}_proj.bias"]).unflatten(-1, (HEADS, -1)).transpose(1, 2)
               for n in "qkv")
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    x = x + F.linear(mixed.transpose(1, 2).flatten(2), w[f"{p}out_proj.weight"])
    return F.layer_norm(x, (WIDTH,), w["final_layer_norm.weight"], w["final_layer_norm.bias"])
