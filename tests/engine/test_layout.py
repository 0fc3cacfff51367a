"""diffusers weights get the names, shapes and values that the LDM layout has for them."""

import importlib.util
import math

import pytest
import torch
from torch import nn

from diffusion_soup import layout
from diffusion_soup.checkpoint import TensorInfo
from diffusion_soup.lora_names import diffusers_blocks, to_diffusers

from . import sd_keys
from .sd_keys import SD15, SDXL, UNETS, UNet, inpainting, pico

UNET = "model.diffusion_model."
CLIP_L, CLIP_G = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
STYLE_MLP = ("linear_1.weight", "linear_1.bias", "linear_2.weight", "linear_2.bias")


def library(name):
    """diffusers or transformers, or a skip. Both import torchvision, which may be built for another torch."""
    if importlib.util.find_spec("torchvision"):
        from demo.launch import declare_missing_operators
        declare_missing_operators()
    return pytest.importorskip(name)


def infos(shapes, dtype="F32"):
    return {name: TensorInfo(name, dtype, tuple(shape)) for name, shape in shapes.items()}


def described(tensors):
    return infos({name: tensor.shape for name, tensor in tensors.items()})


def shapes(converted):
    return {key: piece.shape for key, piece in converted.pieces.items()}


def made(converted, tensors):
    """The tensors themselves; each has the shape it was said to have."""
    result = {key: piece.make(tensors.__getitem__) for key, piece in converted.pieces.items()}
    assert {key: tuple(tensor.shape) for key, tensor in result.items()} == shapes(converted)
    assert all(tensor.is_contiguous() for tensor in result.values())
    return result


def weights(module):
    """Its tensors, all of them different: biases and norms start out as zeros and ones otherwise."""
    torch.manual_seed(3)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.eval().state_dict()


def assert_same(one, other):
    assert set(one) == set(other)
    assert all(torch.equal(one[name], other[name]) for name in one)


# -- UNet ---------------------------------------------------------------------------------------------

SPECS = {
    **{family: pico(spec) for family, spec in UNETS.items()},
    "inpainting": inpainting(pico(SD15)),
    "one level": UNet("tiny", 4, (1,), (1,), 1, 8, linear_projection=False),
    "attention below": UNet("tiny", 4, (1, 2), (0, 2), 2, 8),
    "attention in between": UNet("tiny", 4, (1, 1, 2, 2, 2), (0, 1, 0, 2, 0), 1, 8),
}


def diffusers_unet(spec, layers=2):
    """The diffusers model of a spec."""
    kinds = ["CrossAttn{}Block2D" if depth else "{}Block2D" for depth in spec.depth]
    embedding = {"addition_embed_type": "text_time", "addition_time_embed_dim": 2,
                 "projection_class_embeddings_input_dim": spec.label} if spec.label else {}
    return library("diffusers").UNet2DConditionModel(
        in_channels=spec.in_channels, block_out_channels=[spec.channels * mult for mult in spec.mult],
        down_block_types=[kind.format("Down") for kind in kinds],
        up_block_types=[kind.format("Up") for kind in reversed(kinds)],
        layers_per_block=layers, transformer_layers_per_block=[depth or spec.middle_depth for depth in spec.depth],
        cross_attention_dim=spec.context, attention_head_dim=2, norm_num_groups=2,
        use_linear_projection=spec.linear_projection, **embedding)


def diffusers_names(paths):
    """LDM path of a UNet tensor -> its (first) diffusers name, by the tables for LoRAs."""
    paths = list(paths)
    blocks = diffusers_blocks(paths)
    split = {path: path.rpartition(".") for path in paths}
    return {path: f"{to_diffusers(module, blocks)[0]}.{parameter}" for path, (module, _, parameter) in split.items()}


@pytest.mark.parametrize("name", SPECS)
def test_a_unet_of_diffusers_becomes_one_of_ldm(name):
    spec = SPECS[name]
    tensors = weights(model := diffusers_unet(spec))
    converted = layout.unet(described(tensors))
    assert shapes(converted) == sd_keys.unet(spec)
    assert converted.unknown == ()
    back = library("diffusers.loaders.single_file_utils").convert_ldm_unet_checkpoint(
        made(converted, tensors), dict(model.config))
    assert_same(back, tensors)


@pytest.mark.parametrize("layers", [1, 3, (1, 3, 2, 1)])
def test_any_number_of_layers(layers):
    names = list(diffusers_unet(pico(SD15), layers).state_dict())
    known, unknown = layout.unet_names(names)
    assert unknown == ()
    assert {name: ldm for ldm, name in diffusers_names(known.values()).items()} == known


@pytest.mark.parametrize("name", SPECS)
def test_it_is_the_inverse_of_the_names_for_loras(name):
    paths = sd_keys.unet(SPECS[name], prefix="")
    known, unknown = layout.unet_names(diffusers_names(paths).values())
    assert unknown == ()
    assert known == {diffusers: path for path, diffusers in diffusers_names(paths).items()}


@pytest.mark.parametrize(("spec", "mlp"), [(SD15, "add_embedding."), (SDXL, "add_embedding2.")])
def test_a_student_keeps_its_styles_names(spec, mlp):
    spec = pico(spec)
    ldm = sd_keys.unet(spec, prefix="")
    diffusers = {name: ldm[path] for path, name in diffusers_names(ldm).items()}
    styles = {"model_embedding.weight": (3, 16), **{mlp + name: (16, 16)[:2 - name.endswith("bias")]
                                                    for name in STYLE_MLP}}
    converted = layout.unet(infos(diffusers | styles))
    assert converted.unknown == ()
    assert shapes(converted) == sd_keys.unet(spec) | {UNET + name: shape for name, shape in styles.items()}


def test_whose_added_embedding_it_is():
    """SDXL's unless there are style prompts and no second one."""
    def where(*others):
        return layout.unet_names(["add_embedding.linear_1.weight", *others]).known["add_embedding.linear_1.weight"]

    assert where() == where("add_embedding2.linear_1.bias") == "label_emb.0.0.weight"
    assert where("model_embedding.weight", "add_embedding2.linear_1.bias") == "label_emb.0.0.weight"
    assert where("model_embedding.weight") == "add_embedding.linear_1.weight"


UNKNOWN = [
    "", "weight", "conv_in", "conv_in.scale", "lora.conv_in.weight", "time_embedding.cond_proj.weight", "step",
    "add_embedding2.linear_3.weight", "model_embedding.bias", "down_blocks.0.resnets.0.conv3.weight",
    "down_blocks.0.resnets.0.conv1.lora_A.weight", "down_blocks.0.resnets.00.conv1.weight",
    "down_blocks.0.resnets.\u0661.conv1.weight", "down_blocks.0.upsamplers.0.conv.weight",
    "down_blocks.0.downsamplers.1.conv.weight", "up_blocks.0.downsamplers.0.conv.weight",
    "mid_block.0.resnets.0.conv1.weight", "mid_block.downsamplers.0.conv.weight", "down_blocks.resnets.0.conv1.weight",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.up.weight",
    "down_blocks.0.attentions.0.transformer_blocks.x.attn1.to_q.weight",
    "down_blocks.0.resnets.7.conv3.weight", "down_blocks.3.downsamplers.0.norm.weight",
    "down_blocks." + 5000 * "9" + ".resnets.0.a.weight",
]


@pytest.mark.parametrize("name", UNKNOWN, ids=lambda name: name[:40])
def test_an_unknown_name_is_told_and_moves_nothing(name):
    paths = sd_keys.unet(pico(SD15), prefix="")
    names = diffusers_names(paths).values()
    known, unknown = layout.unet_names([name, *names])
    assert unknown == (name,)
    assert known == layout.unet_names(names).known


def test_unknown_names_are_sorted_and_left_out():
    converted = layout.unet(infos({"z": (), "conv_in.weight": (4, 4, 3, 3), "b": ()}))
    assert converted.unknown == ("b", "z")
    assert shapes(converted) == {UNET + "input_blocks.0.0.weight": (4, 4, 3, 3)}
    assert layout.unet({}) == layout.Converted({}, ())


def test_of_two_names_for_one_place_the_second_is_unknown():
    names = ["class_embedding.linear_1.weight", "add_embedding.linear_1.weight"]
    assert layout.unet_names(names) == ({names[1]: "label_emb.0.0.weight"}, (names[0],))


# -- VAE ----------------------------------------------------------------------------------------------


def diffusers_vae():
    """The diffusers model of ``sd_keys.vae(4)``."""
    return library("diffusers").AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[4, 8, 16, 16], layers_per_block=2, latent_channels=4, norm_num_groups=2)


def old_names(tensors):
    """As diffusers used to call the layers of the VAE's attention."""
    for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
        tensors = {name.replace(f".{new}.", f".{old}."): tensor for name, tensor in tensors.items()}
    return tensors


def test_a_vae_of_diffusers_becomes_one_of_ldm():
    tensors = weights(model := diffusers_vae())
    converted = layout.vae(described(tensors))
    assert shapes(converted) == sd_keys.vae(4)
    assert converted.unknown == ()
    back = library("diffusers.loaders.single_file_utils").convert_ldm_vae_checkpoint(
        made(converted, tensors), dict(model.config))
    assert_same(back, tensors)


def test_older_names_in_the_vae_lead_to_the_same():
    tensors = weights(diffusers_vae())
    old = old_names(tensors)
    assert sum(name not in tensors for name in old) == 16
    assert_same(made(layout.vae(described(old)), old), made(layout.vae(described(tensors)), tensors))


@pytest.mark.parametrize(("name", "ldm"), [
    ("encoder.conv_in.weight", "encoder.conv_in.weight"),
    ("decoder.conv_norm_out.bias", "decoder.norm_out.bias"),
    ("encoder.down_blocks.1.resnets.0.conv_shortcut.weight", "encoder.down.1.block.0.nin_shortcut.weight"),
    ("encoder.down_blocks.0.downsamplers.0.conv.bias", "encoder.down.0.downsample.conv.bias"),
    ("decoder.up_blocks.0.resnets.2.norm1.weight", "decoder.up.3.block.2.norm1.weight"),
    ("decoder.up_blocks.2.upsamplers.0.conv.weight", "decoder.up.1.upsample.conv.weight"),
    ("decoder.mid_block.resnets.1.conv2.weight", "decoder.mid.block_2.conv2.weight"),
    ("encoder.mid_block.attentions.0.group_norm.weight", "encoder.mid.attn_1.norm.weight"),
    ("encoder.mid_block.attentions.0.proj_attn.weight", "encoder.mid.attn_1.proj_out.weight"),
    ("post_quant_conv.bias", "post_quant_conv.bias"),
    ("encoder.up_blocks.0.resnets.0.norm1.weight", None),
    ("encoder.mid_block.attentions.1.to_q.weight", None),
    ("encoder.down_blocks.0.attentions.0.to_q.weight", None),
    ("decoder.quant_conv.weight", None),
    ("decoder.up_blocks.7.resnets.0.conv3.weight", None),
    ("down_blocks.0.resnets.0.norm1.weight", None),
])
def test_names_in_the_vae(name, ldm):
    deepest = "decoder.up_blocks.3.resnets.0.conv1.weight"
    known, unknown = layout.vae_names([deepest, name])
    assert known == {deepest: "decoder.up.0.block.0.conv1.weight"} | ({name: ldm} if ldm else {})
    assert unknown == (() if ldm else (name,))


def test_attention_weights_that_are_convolutions_stay_so():
    name = "encoder.mid_block.attentions.0.query.weight"
    for shape in ((16, 16), (16, 16, 1, 1)):
        assert shapes(layout.vae(infos({name: shape}))) \
            == {"first_stage_model.encoder.mid.attn_1.q.weight": (16, 16, 1, 1)}


# -- text encoders ------------------------------------------------------------------------------------


def text_model(kind, projection=8):
    transformers = library("transformers")
    config = transformers.CLIPTextConfig(
        vocab_size=16, hidden_size=8, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        projection_dim=projection, hidden_act="gelu", bos_token_id=14, eos_token_id=15)
    return getattr(transformers, kind)(config)


def bare(tensors):
    """As some versions of transformers save them."""
    return {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}


def full(tensors):
    """As the others do."""
    return {name if name == "text_projection.weight" else f"text_model.{name}": tensor
            for name, tensor in bare(tensors).items()}


def with_ids(tensors):
    """As they did before they left the ids out."""
    return full(tensors) | {"text_model.embeddings.position_ids": torch.arange(77)[None]}


SPELLINGS = pytest.mark.parametrize("spelled", [bare, full, with_ids])


@SPELLINGS
@pytest.mark.parametrize("part", ["cond_stage_model.", "conditioner.embedders.0."])
def test_the_first_text_encoder_gets_a_prefix(spelled, part):
    tensors = spelled(weights(text_model("CLIPTextModel")))
    converted = layout.clip(described(tensors), f"{part}transformer.")
    assert shapes(converted) == sd_keys.clip_l(part, width=8, layers=2, words=16)
    assert converted.unknown == ()
    assert_same(made(converted, tensors), {f"{part}transformer.text_model.{name}": tensor
                                           for name, tensor in bare(tensors).items() if "position_ids" not in name})


@SPELLINGS
def test_the_second_text_encoder_becomes_openclip(spelled):
    original = weights(model := text_model("CLIPTextModelWithProjection"))
    tensors = spelled(original)
    converted = layout.open_clip(described(tensors), CLIP_G)
    expected = sd_keys.open_clip("conditioner.embedders.1.", width=8, layers=2, words=16)
    assert expected.pop(CLIP_G + "logit_scale") == ()  # CLIP's, not its text encoder's
    assert shapes(converted) == expected
    assert converted.unknown == ()
    back = library("diffusers.loaders.single_file_utils").convert_open_clip_checkpoint(
        model, made(converted, tensors), prefix=CLIP_G)
    assert_same(back, full(original))


def open_clip_text(tensors, words, heads=2):
    """OpenCLIP's text transformer, by torch's own attention: the pooled text embedding of each row of words."""
    at = {key.removeprefix(CLIP_G): tensor for key, tensor in tensors.items()}

    def norm(name, x):
        return nn.functional.layer_norm(x, x.shape[-1:], at[f"{name}.weight"], at[f"{name}.bias"])

    def linear(name, x):
        return nn.functional.linear(x, at[f"{name}.weight"], at[f"{name}.bias"])

    x = at["token_embedding.weight"][words] + at["positional_embedding"][:words.shape[1]]
    mask = torch.full((words.shape[1],) * 2, -math.inf).triu(1)
    for block in ("transformer.resblocks.0", "transformer.resblocks.1"):
        attention = nn.MultiheadAttention(x.shape[-1], heads, batch_first=True).eval()
        attention.load_state_dict({key.removeprefix(f"{block}.attn."): tensor for key, tensor in at.items()
                                   if key.startswith(f"{block}.attn.")})
        inside = norm(f"{block}.ln_1", x)
        x = x + attention(inside, inside, inside, attn_mask=mask, need_weights=False)[0]
        x = x + linear(f"{block}.mlp.c_proj", nn.functional.gelu(linear(f"{block}.mlp.c_fc", norm(f"{block}.ln_2", x))))
    return norm("ln_final", x)[torch.arange(len(words)), words.argmax(-1)] @ at["text_projection"]


@torch.no_grad()
def test_openclip_computes_the_same_with_it():
    tensors = weights(model := text_model("CLIPTextModelWithProjection", projection=6))
    words = torch.tensor([[14, 3, 1, 4, 15, 0], [14, 9, 15, 0, 0, 0]])
    ours = open_clip_text(made(layout.open_clip(described(tensors), CLIP_G), tensors), words)
    torch.testing.assert_close(ours, model(words).text_embeds)


LAYER = "encoder.layers.0."
QKV = [f"{LAYER}self_attn.{letter}_proj.weight" for letter in "qkv"]


def test_q_k_v_are_stacked_in_this_order_whatever_the_files():
    tensors = {name: torch.full((2, 2), float(number)) for number, name in enumerate(QKV)}
    backwards = dict(reversed(list(tensors.items())))
    result = made(layout.open_clip(described(backwards), ""), backwards)
    assert result["transformer.resblocks.0.attn.in_proj_weight"].tolist() == [[n, n] for n in (0, 0, 1, 1, 2, 2)]


def test_the_projection_is_transposed():
    tensors = {"text_projection.weight": torch.arange(6).reshape(2, 3)}
    result = made(layout.open_clip(described(tensors), ""), tensors)
    assert result["text_projection"].tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("found", [
    infos(dict.fromkeys(QKV[1:], (2, 2))),
    infos({QKV[0]: (2, 2), QKV[1]: (3, 2), QKV[2]: (2, 2)}),
    infos({QKV[0]: (2, 2)}, "F16") | infos(dict.fromkeys(QKV[1:], (2, 2))),
    infos(dict.fromkeys(QKV, ())),
    infos({"text_projection.weight": (2,)}),
    infos({"text_projection.bias": (2,), f"{LAYER}mlp.fc3.weight": (2, 2), "logit_scale": ()}),
], ids=["missing", "other shape", "other dtype", "no shape", "a row", "no such layer"])
def test_what_cannot_be_joined_or_placed_is_unknown(found):
    assert layout.open_clip(found, CLIP_G) == layout.Converted({}, tuple(sorted(found)))


def test_the_first_text_encoder_has_no_projection():
    assert layout.clip(infos({"text_projection.weight": (2, 2)}), CLIP_L) \
        == layout.Converted({}, ("text_projection.weight",))


# -- reading ------------------------------------------------------------------------------------------


def test_only_what_is_asked_for_is_read_and_once():
    converted = layout.open_clip(infos({**dict.fromkeys(QKV, (2, 2)), "final_layer_norm.bias": (2,)}), "")
    read = []
    piece = converted.pieces["transformer.resblocks.0.attn.in_proj_weight"]
    piece.make(lambda name: read.append(name) or torch.ones(2, 2))
    assert read == QKV


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_dtypes_are_kept(dtype):
    tensors = {name: torch.ones(2, 2).to(dtype) for name in [*QKV, "text_projection.weight"]}
    assert {tensor.dtype for tensor in made(layout.open_clip(described(tensors), ""), tensors).values()} == {dtype}


def test_what_does_not_change_is_not_copied():
    tensor = torch.ones(4, 4, 3, 3)
    piece, = layout.unet(infos({"conv_in.weight": tensor.shape})).pieces.values()
    assert piece.make(lambda _: tensor).data_ptr() == tensor.data_ptr()
