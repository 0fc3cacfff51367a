"""The encoders that scorers are made of, with the names of their files: CLIP's two, and BLIP's two.

Small, so that a scorer depends on no library's model classes, which change their names and outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

_ACTIVATIONS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x), "gelu": functional.gelu,
    "gelu_new": lambda x: functional.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: functional.gelu(x, approximate="tanh")}


def activation(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """An activation by the name it has in a config.json. Raises :class:`KeyError`."""
    return _ACTIVATIONS[name]


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, *, causal: bool = False,
           mask: torch.Tensor | None = None) -> torch.Tensor:
    """softmax(q kᵀ / √d) v by heads: q [B, L, D], k and v [B, M, D]; ``mask`` [B, M] is False for what is not seen."""
    q, k, v = (part.view(*part.shape[:2], heads, -1).transpose(1, 2) for part in (q, k, v))
    seen = None if mask is None else mask[:, None, None, :].bool()
    found = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=causal)
    return found.transpose(1, 2).flatten(2)


# -- CLIP, by the names of transformers' files -----------------------------------------------------


class _ClipAttention(nn.Module):
    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor) -> Any:
        return self.out_proj(attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads, causal=self.causal))


class _Mlp(nn.Module):
    def __init__(self, width: int, inner: int, act: str) -> None:
        super().__init__()
        self.act = activation(act)
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: torch.Tensor) -> Any:
        return self.fc2(self.act(self.fc1(x)))


class _ClipLayer(nn.Module):
    def __init__(self, width: int, inner: int, heads: int, act: str, eps: float, causal: bool) -> None:
        super().__init__()
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.self_attn, self.mlp = _ClipAttention(width, heads, causal), _Mlp(width, inner, act)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        result: torch.Tensor = x + self.mlp(self.layer_norm2(x))
        return result


class _ClipVision(nn.Module):
    def __init__(self, width: int, inner: int, layers: int, heads: int, act: str, eps: float, side: int, patch: int
                 ) -> None:
        super().__init__()
        self.embeddings = nn.Module()
        self.embeddings.class_embedding = nn.Parameter(torch.empty(width))
        self.embeddings.patch_embedding = nn.Conv2d(3, width, patch, patch, bias=False)
        self.embeddings.position_embedding = nn.Embedding((side // patch) ** 2 + 1, width)
        self.pre_layrnorm, self.post_layernorm = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.encoder = nn.Module()
        self.encoder.layers = nn.Sequential(*(_ClipLayer(width, inner, heads, act, eps, False) for _ in range(layers)))

    def forward(self, pixels: torch.Tensor) -> Any:
        own: Any = self.embeddings
        patches = own.patch_embedding(pixels).flatten(2).transpose(1, 2)
        first = own.class_embedding.expand(len(pixels), 1, -1)
        x = torch.cat([first, patches], 1) + own.position_embedding.weight
        x = self.encoder.layers(self.pre_layrnorm(x))  # type: ignore[operator]
        return self.post_layernorm(x[:, 0])


class _ClipText(nn.Module):
    def __init__(self, width: int, inner: int, layers: int, heads: int, act: str, eps: float, words: int, longest: int,
                 end: int) -> None:
        super().__init__()
        self.end = end
        self.embeddings = nn.Module()
        self.embeddings.token_embedding = nn.Embedding(words, width)
        self.embeddings.position_embedding = nn.Embedding(longest, width)
        self.encoder = nn.Module()
        self.encoder.layers = nn.Sequential(*(_ClipLayer(width, inner, heads, act, eps, True) for _ in range(layers)))
        self.final_layer_norm = nn.LayerNorm(width, eps)

    def forward(self, ids: torch.Tensor) -> Any:
        own: Any = self.embeddings
        x = own.token_embedding(ids) + own.position_embedding.weight[:ids.shape[1]]
        x = self.final_layer_norm(self.encoder.layers(x))  # type: ignore[operator]
        # Older settings say 2 for the end and mean the largest id.
        ends = ids.argmax(-1) if self.end == 2 else (ids == self.end).int().argmax(-1)
        return x[torch.arange(len(ids), device=ids.device), ends]


class ClipModel(nn.Module):
    """Both towers of CLIP with their projections. ``settings`` are a config.json of transformers.

    Raises :class:`KeyError`, :class:`TypeError` or :class:`ValueError` for settings that make no model.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        text = {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8, "vocab_size": 49408,
                "max_position_embeddings": 77, "eos_token_id": 49407, **_common(settings, "text_config")}
        vision = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "image_size": 224,
                  "patch_size": 32, **_common(settings, "vision_config")}
        self.side, self.longest = int(vision["image_size"]), int(text["max_position_embeddings"])
        self.width = int(settings.get("projection_dim", 512))
        self.text_model = _ClipText(*_sizes(text), text["vocab_size"], self.longest, text["eos_token_id"])
        self.vision_model = _ClipVision(*_sizes(vision), self.side, vision["patch_size"])
        self.visual_projection = nn.Linear(vision["hidden_size"], self.width, bias=False)
        self.text_projection = nn.Linear(text["hidden_size"], self.width, bias=False)
        self.logit_scale = nn.Parameter(torch.empty(()))

    def pictures(self, pixels: torch.Tensor) -> torch.Tensor:
        """[N, 3, side, side] -> [N, width], each of length 1."""
        return functional.normalize(self.visual_projection(self.vision_model(pixels)), dim=-1)

    def words(self, ids: torch.Tensor) -> torch.Tensor:
        """[N, L] -> [N, width], each of length 1."""
        return functional.normalize(self.text_projection(self.text_model(ids)), dim=-1)


def _common(settings: Mapping[str, Any], part: str) -> dict[str, Any]:
    given = {**(settings.get(f"{part}_dict") or {}), **(settings.get(part) or {})}
    return {"num_hidden_layers": 12, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
            **{name: value for name, value in given.items() if value is not None}}


def _sizes(part: Mapping[str, Any]) -> tuple[int, int, int, int, str, float]:
    return (part["hidden_size"], part["intermediate_size"], part["num_hidden_layers"], part["num_attention_heads"],
            part["hidden_act"], part["layer_norm_eps"])


# -- BLIP, by the names of its authors' files ------------------------------------------------------


class _VitAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> Any:
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.proj(attend(q, k, v, self.heads))


class _VitBlock(nn.Module):
    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.attn, self.mlp = _VitAttention(width, heads), _Mlp(width, inner, "gelu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        result: torch.Tensor = x + self.mlp(self.norm2(x))
        return result


class VisionTransformer(nn.Module):
    """BLIP's picture encoder: [N, 3, side, side] -> [N, 1 + patches, width]."""

    def __init__(self, width: int, inner: int, layers: int, heads: int, side: int, patch: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, (side // patch) ** 2 + 1, width))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, patch, patch)
        self.blocks = nn.Sequential(*(_VitBlock(width, inner, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width, 1e-6)

    def forward(self, pixels: torch.Tensor) -> Any:
        patches = self.patch_embed.proj(pixels).flatten(2).transpose(1, 2)  # type: ignore[operator]
        x = torch.cat([self.cls_token.expand(len(pixels), 1, -1), patches], 1) + self.pos_embed
        return self.norm(self.blocks(x))


class _Dense(nn.Module):
    """A linear layer whose result is added to what went in, and normalised if ``norm``."""

    def __init__(self, inner: int, width: int, norm: bool = True) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, width)
        if norm:
            self.LayerNorm = nn.LayerNorm(width, 1e-12)


class _BertAttention(nn.Module):
    def __init__(self, width: int, other: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.self = nn.Module()
        self.self.query = nn.Linear(width, width)
        self.self.key, self.self.value = nn.Linear(other, width), nn.Linear(other, width)
        self.output = _Dense(width, width)

    def forward(self, x: torch.Tensor, other: torch.Tensor, mask: torch.Tensor | None = None) -> Any:
        own: Any = self.self
        found = attend(own.query(x), own.key(other), own.value(other), self.heads, mask=mask)
        return self.output.LayerNorm(self.output.dense(found) + x)


class _BertLayer(nn.Module):
    def __init__(self, width: int, inner: int, heads: int, seen: int) -> None:
        super().__init__()
        self.attention = _BertAttention(width, width, heads)
        self.crossattention = _BertAttention(width, seen, heads)
        self.intermediate, self.output = _Dense(width, inner, norm=False), _Dense(inner, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor, seen: torch.Tensor) -> Any:
        x = self.crossattention(self.attention(x, x, mask), seen)
        return self.output.LayerNorm(self.output.dense(functional.gelu(self.intermediate.dense(x))) + x)


class TextEncoder(nn.Module):
    """BLIP's text encoder, a BERT that looks at a picture: ids and mask [N, L], seen [N, M, D] -> [N, L, width]."""

    def __init__(self, width: int, inner: int, layers: int, heads: int, words: int, longest: int, seen: int) -> None:
        super().__init__()
        self.embeddings = nn.Module()
        self.embeddings.word_embeddings = nn.Embedding(words, width)
        self.embeddings.position_embeddings = nn.Embedding(longest, width)
        self.embeddings.LayerNorm = nn.LayerNorm(width, 1e-12)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(_BertLayer(width, inner, heads, seen) for _ in range(layers))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        own: Any = self.embeddings
        x: torch.Tensor = own.LayerNorm(own.word_embeddings(ids) + own.position_embeddings.weight[:ids.shape[1]])
        layers: Any = self.encoder.layer
        for layer in layers:
            x = layer(x, mask, seen)
        return x
