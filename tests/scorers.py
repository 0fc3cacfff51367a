"""Tiny scorers to test with: true names of tensors, few numbers, and tokenizers of a few words."""

from __future__ import annotations

import json

import torch
from safetensors.torch import save_file

WORDS = ["a", "b", "d", "e", "f", "h", "i", "n", "o", "p", "s", "t", "x"]
MERGES = ["o x</w>", "f ox</w>", "b ox</w>", "a n", "an d</w>"]
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "fox", "and", "box", "fo", "##b"]
VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
          "image_size": 24, "patch_size": 8}
TEXT = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
        "max_position_embeddings": 12}


def random_weights(shapes, seed=1):
    """Numbers large enough that every tensor has a say in the score."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) * 0.4 + ("norm" in name.lower() and name.endswith("weight"))
            for name, shape in shapes.items()}


def linear(name, out, inner):
    return {f"{name}.weight": (out, inner), f"{name}.bias": (out,)}


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def clip_shapes(words, width=20):
    """The names and shapes of a CLIP's file, written down from the published one's."""
    shapes = {"logit_scale": (), "visual_projection.weight": (width, 32), "text_projection.weight": (width, 16),
              "text_model.embeddings.token_embedding.weight": (words, 16),
              "text_model.embeddings.position_embedding.weight": (12, 16),
              "vision_model.embeddings.class_embedding": (32,),
              "vision_model.embeddings.patch_embedding.weight": (32, 3, 8, 8),
              "vision_model.embeddings.position_embedding.weight": (10, 32),
              **norm("vision_model.pre_layrnorm", 32), **norm("vision_model.post_layernorm", 32),
              **norm("text_model.final_layer_norm", 16)}
    for tower, wide, inner in (("vision_model", 32, 48), ("text_model", 16, 24)):
        for layer in range(2):
            name = f"{tower}.encoder.layers.{layer}"
            shapes |= norm(f"{name}.layer_norm1", wide) | norm(f"{name}.layer_norm2", wide)
            shapes |= linear(f"{name}.mlp.fc1", inner, wide) | linear(f"{name}.mlp.fc2", wide, inner)
            for part in ("q", "k", "v", "out"):
                shapes |= linear(f"{name}.self_attn.{part}_proj", wide, wide)
    return shapes


def clip_folder(path, end=2, **settings):
    """A tiny CLIP in the published layout, with a tokenizer of a few words."""
    path.mkdir(parents=True, exist_ok=True)
    vocabulary = [*WORDS, *(f"{word}</w>" for word in WORDS), "ox</w>", "fox</w>", "box</w>", "an", "and</w>",
                  "<|startoftext|>", "<|endoftext|>"]
    (path / "vocab.json").write_text(json.dumps({word: at for at, word in enumerate(vocabulary)}))
    (path / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES]))
    text = {**TEXT, "vocab_size": len(vocabulary), "eos_token_id": len(vocabulary) - 1 if end != 2 else 2}
    config = {"model_type": "clip", "projection_dim": 20, "text_config": text, "vision_config": VISION, **settings}
    (path / "config.json").write_text(json.dumps(config))
    weights = random_weights(clip_shapes(len(vocabulary)))
    positions = {"text_model.embeddings.position_ids": torch.arange(12)[None]}  # older files have them
    save_file({**weights, **positions}, path / "model.safetensors", {"format": "pt"})
    return weights, config


def head_shapes(width):
    sizes = (width, 1024, 128, 64, 16, 1)
    return {key: shape for at, place in enumerate((0, 2, 4, 6, 7))
            for key, shape in linear(f"layers.{place}", sizes[at + 1], sizes[at]).items()}


def blip_folder(path, suffix=".pt"):
    """A tiny ImageReward in the published layout."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "vocab.txt").write_text("\n".join(TOKENS))
    see, read = "blip.visual_encoder.", "blip.text_encoder."
    shapes = {f"{see}cls_token": (1, 1, 128), f"{see}pos_embed": (1, 10, 128), **norm(f"{see}norm", 128),
              f"{see}patch_embed.proj.weight": (128, 3, 8, 8), f"{see}patch_embed.proj.bias": (128,),
              f"{read}embeddings.word_embeddings.weight": (len(TOKENS) + 2, 64),
              f"{read}embeddings.position_embeddings.weight": (40, 64), **norm(f"{read}embeddings.LayerNorm", 64)}
    for layer in range(2):
        name = f"{see}blocks.{layer}"
        shapes |= norm(f"{name}.norm1", 128) | norm(f"{name}.norm2", 128) | linear(f"{name}.attn.qkv", 384, 128)
        shapes |= linear(f"{name}.attn.proj", 128, 128)
        shapes |= linear(f"{name}.mlp.fc1", 96, 128) | linear(f"{name}.mlp.fc2", 128, 96)
        name = f"{read}encoder.layer.{layer}"
        for kind, wide in (("attention", 64), ("crossattention", 128)):
            shapes |= linear(f"{name}.{kind}.self.query", 64, 64) | linear(f"{name}.{kind}.output.dense", 64, 64)
            shapes |= linear(f"{name}.{kind}.self.key", 64, wide) | linear(f"{name}.{kind}.self.value", 64, wide)
            shapes |= norm(f"{name}.{kind}.output.LayerNorm", 64)
        shapes |= linear(f"{name}.intermediate.dense", 80, 64) | linear(f"{name}.output.dense", 64, 80)
        shapes |= norm(f"{name}.output.LayerNorm", 64)
    shapes |= {f"mlp.{key}": shape for key, shape in head_shapes(64).items()}
    weights = random_weights(shapes, 2)
    rest = {f"{read}embeddings.position_ids": torch.arange(40)[None], "blip.vision_proj.weight": torch.ones(8, 128)}
    if suffix == ".pt":
        torch.save({**weights, **rest}, path / "ImageReward.pt")
    else:
        save_file({**weights, **rest}, path / f"ImageReward{suffix}")
    return weights
