"""Every tensor name and shape of the Stable Diffusion family, built from structure rather than pasted.

``unet(SD15)`` is the real thing; ``unet(pico(SD15))`` has the same names with a few channels each, so
a whole checkpoint fits in kilobytes. Names are those of single-file (LDM, SGM) checkpoints.
"""

from dataclasses import dataclass, replace

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class UNet:
    """What tells one UNet of the family from another."""

    family: str
    channels: int
    mult: tuple[int, ...]
    depth: tuple[int, ...]  # transformer blocks at each level, 0 for no attention
    middle_depth: int
    context: int
    label: int | None = None  # width of the pooled conditioning behind label_emb
    linear_projection: bool = True
    in_channels: int = 4


SD15 = UNet("sd1", 320, (1, 2, 4, 4), (1, 1, 1, 0), 1, 768, linear_projection=False)
SD21 = UNet("sd2", 320, (1, 2, 4, 4), (1, 1, 1, 0), 1, 1024)
SDXL = UNet("sdxl", 320, (1, 2, 4), (0, 2, 10), 10, 2048, label=2816)
REFINER = UNet("sdxl-refiner", 384, (1, 2, 4, 4), (0, 4, 4, 0), 4, 1280, label=2560)
UNETS = {spec.family: spec for spec in (SD15, SD21, SDXL, REFINER)}


def pico(spec: UNet, channels: int = 4, context: int = 8) -> UNet:
    """The same names, tiny shapes."""
    return replace(spec, channels=channels, context=context, label=spec.label and 16)


def inpainting(spec: UNet) -> UNet:
    """Nine input channels: latent, masked latent, mask."""
    return replace(spec, in_channels=9)


def _layer(name: str, *shape: int) -> Shapes:
    """A weight and its bias."""
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _norms(*names: str, width: int) -> Shapes:
    return {key: shape for name in names for key, shape in _layer(name, width).items()}


def _resnet(name: str, inputs: int, outputs: int, time: int) -> Shapes:
    shapes = {
        **_layer(f"{name}.in_layers.0", inputs),
        **_layer(f"{name}.in_layers.2", outputs, inputs, 3, 3),
        **_layer(f"{name}.emb_layers.1", outputs, time),
        **_layer(f"{name}.out_layers.0", outputs),
        **_layer(f"{name}.out_layers.3", outputs, outputs, 3, 3),
    }
    if inputs != outputs:
        shapes |= _layer(f"{name}.skip_connection", outputs, inputs, 1, 1)
    return shapes


def _attention(name: str, width: int, context: int) -> Shapes:
    return {
        f"{name}.to_q.weight": (width, width),
        f"{name}.to_k.weight": (width, context),
        f"{name}.to_v.weight": (width, context),
        **_layer(f"{name}.to_out.0", width, width),
    }


def _transformer(name: str, width: int, depth: int, spec: UNet) -> Shapes:
    projection = (width, width) if spec.linear_projection else (width, width, 1, 1)
    shapes = _layer(f"{name}.norm", width)
    shapes |= _layer(f"{name}.proj_in", *projection) | _layer(f"{name}.proj_out", *projection)
    for block in (f"{name}.transformer_blocks.{i}" for i in range(depth)):
        shapes |= _attention(f"{block}.attn1", width, width)
        shapes |= _attention(f"{block}.attn2", width, spec.context)
        shapes |= _layer(f"{block}.ff.net.0.proj", 8 * width, width)
        shapes |= _layer(f"{block}.ff.net.2", width, 4 * width)
        shapes |= _norms(f"{block}.norm1", f"{block}.norm2", f"{block}.norm3", width=width)
    return shapes


def _stage(name: str, inputs: int, outputs: int, depth: int, spec: UNet) -> Shapes:
    """One ResNet, and one transformer where this level has attention."""
    shapes = _resnet(f"{name}.0", inputs, outputs, 4 * spec.channels)
    return shapes | _transformer(f"{name}.1", outputs, depth, spec) if depth else shapes


def unet(spec: UNet, prefix: str = "model.diffusion_model.") -> Shapes:
    """All tensors of one UNet."""
    width, time = spec.channels, 4 * spec.channels
    shapes = _layer("time_embed.0", time, width) | _layer("time_embed.2", time, time)
    if spec.label:
        shapes |= _layer("label_emb.0.0", time, spec.label) | _layer("label_emb.0.2", time, time)
    shapes |= _layer("input_blocks.0.0", width, spec.in_channels, 3, 3)
    levels = tuple(zip(spec.mult, spec.depth, strict=True))
    current, number, skips = width, 1, [width]
    for level, (mult, depth) in enumerate(levels):
        for _ in range(2):
            shapes |= _stage(f"input_blocks.{number}", current, mult * width, depth, spec)
            current, number = mult * width, number + 1
            skips.append(current)
        if level + 1 < len(levels):
            shapes |= _layer(f"input_blocks.{number}.0.op", current, current, 3, 3)
            number += 1
            skips.append(current)
    shapes |= _stage("middle_block", current, current, spec.middle_depth, spec)
    shapes |= _resnet("middle_block.2", current, current, time)
    number = 0
    for level, (mult, depth) in reversed(tuple(enumerate(levels))):
        for repeat in range(3):
            name = f"output_blocks.{number}"
            shapes |= _stage(name, current + skips.pop(), mult * width, depth, spec)
            current, number = mult * width, number + 1
            if level and repeat == 2:
                shapes |= _layer(f"{name}.{2 if depth else 1}.conv", current, current, 3, 3)
    shapes |= _layer("out.0", current) | _layer("out.2", 4, width, 3, 3)
    return {prefix + key: shape for key, shape in shapes.items()}


def clip_l(prefix: str, width: int = 768, layers: int = 12, words: int = 49408) -> Shapes:
    """CLIP ViT-L's text encoder as transformers names it, without the integer ``position_ids``."""
    name = f"{prefix}transformer.text_model."
    shapes = {
        f"{name}embeddings.token_embedding.weight": (words, width),
        f"{name}embeddings.position_embedding.weight": (77, width),
        **_layer(f"{name}final_layer_norm", width),
    }
    for layer in (f"{name}encoder.layers.{i}" for i in range(layers)):
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            shapes |= _layer(f"{layer}.self_attn.{part}", width, width)
        shapes |= _norms(f"{layer}.layer_norm1", f"{layer}.layer_norm2", width=width)
        shapes |= _layer(f"{layer}.mlp.fc1", 4 * width, width) | _layer(f"{layer}.mlp.fc2", width, 4 * width)
    return shapes


def open_clip(prefix: str, width: int = 1280, layers: int = 32, words: int = 49408) -> Shapes:
    """OpenCLIP's text encoder: ViT-bigG in SDXL and its refiner, ViT-H (1024 wide, 24 layers) in SD2."""
    name = f"{prefix}model."
    shapes: Shapes = {
        f"{name}token_embedding.weight": (words, width),
        f"{name}positional_embedding": (77, width),
        f"{name}text_projection": (width, width),
        f"{name}logit_scale": (),
        **_layer(f"{name}ln_final", width),
    }
    for layer in (f"{name}transformer.resblocks.{i}" for i in range(layers)):
        shapes[f"{layer}.attn.in_proj_weight"] = (3 * width, width)
        shapes[f"{layer}.attn.in_proj_bias"] = (3 * width,)
        shapes |= _layer(f"{layer}.attn.out_proj", width, width)
        shapes |= _norms(f"{layer}.ln_1", f"{layer}.ln_2", width=width)
        shapes |= _layer(f"{layer}.mlp.c_fc", 4 * width, width)
        shapes |= _layer(f"{layer}.mlp.c_proj", width, 4 * width)
    return shapes


def _vae_resnet(name: str, inputs: int, outputs: int) -> Shapes:
    shapes = _layer(f"{name}.norm1", inputs) | _layer(f"{name}.norm2", outputs)
    shapes |= _layer(f"{name}.conv1", outputs, inputs, 3, 3) | _layer(f"{name}.conv2", outputs, outputs, 3, 3)
    if inputs != outputs:
        shapes |= _layer(f"{name}.nin_shortcut", outputs, inputs, 1, 1)
    return shapes


def _vae_ends(name: str, first: tuple[int, int], deep: int, last: tuple[int, int]) -> Shapes:
    """What encoder and decoder share: the outer convolutions and the middle."""
    shapes = _layer(f"{name}.conv_in", *first, 3, 3) | _layer(f"{name}.conv_out", *last, 3, 3)
    shapes |= _layer(f"{name}.norm_out", last[1]) | _layer(f"{name}.mid.attn_1.norm", deep)
    for part in ("q", "k", "v", "proj_out"):
        shapes |= _layer(f"{name}.mid.attn_1.{part}", deep, deep, 1, 1)
    for part in ("block_1", "block_2"):
        shapes |= _vae_resnet(f"{name}.mid.{part}", deep, deep)
    return shapes


def vae(channels: int = 128, prefix: str = "first_stage_model.") -> Shapes:
    """The KL autoencoder all of them use."""
    widths = (channels, 2 * channels, 4 * channels, 4 * channels)
    deep = widths[-1]
    shapes = _vae_ends("encoder", (channels, 3), deep, (8, deep))
    shapes |= _vae_ends("decoder", (deep, 4), deep, (3, channels))
    shapes |= _layer("quant_conv", 8, 8, 1, 1) | _layer("post_quant_conv", 4, 4, 1, 1)
    below = channels
    for level, width in enumerate(widths):
        for i in range(2):
            shapes |= _vae_resnet(f"encoder.down.{level}.block.{i}", below, width)
            below = width
        if level < 3:
            shapes |= _layer(f"encoder.down.{level}.downsample.conv", width, width, 3, 3)
    for level, width in reversed(tuple(enumerate(widths))):
        for i in range(3):
            shapes |= _vae_resnet(f"decoder.up.{level}.block.{i}", below, width)
            below = width
        if level:
            shapes |= _layer(f"decoder.up.{level}.upsample.conv", width, width, 3, 3)
    return {prefix + key: shape for key, shape in shapes.items()}


def text_encoders(
    family: str, width: int | None = None, words: int = 49408, layers: int | None = None
) -> Shapes:
    """The text encoders a single-file checkpoint of this family carries; smaller where sizes are given."""
    if family == "sd1":
        return clip_l("cond_stage_model.", width or 768, layers or 12, words)
    if family == "sd2":
        return open_clip("cond_stage_model.", width or 1024, layers or 24, words)
    big = "conditioner.embedders.1." if family == "sdxl" else "conditioner.embedders.0."
    shapes = open_clip(big, width or 1280, layers or 32, words)
    if family == "sdxl":
        shapes |= clip_l("conditioner.embedders.0.", width or 768, layers or 12, words)
    return shapes


def checkpoint(family: str) -> Shapes:
    """A whole single-file checkpoint at its real size."""
    return unet(UNETS[family]) | text_encoders(family) | vae()


def pico_checkpoint(family: str) -> Shapes:
    """The same names (text encoders two layers deep), under half a million numbers in all."""
    spec = pico(UNETS[family])
    return unet(spec) | text_encoders(family, width=8, words=16, layers=2) | vae(channels=4)
