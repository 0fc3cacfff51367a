"""Every spelling of every layer of the Stable Diffusion family leads to its own tensor."""

import pytest

from diffusion_soup.lora_names import Directory, Target, address, diffusers_blocks, to_diffusers

from .sd_keys import REFINER, SD15, SDXL, UNETS, pico, text_encoders, unet

UNET = "model.diffusion_model."


def base(family):
    return unet(UNETS[family]) | text_encoders(family)


def key_of(directory, name, parameter="weight"):
    target = directory.find(name, parameter)
    return target and target.key


def diffusers_of(shapes):
    """{LDM module: diffusers modules} of a UNet."""
    paths = [key[len(UNET):] for key in shapes if key.startswith(UNET)]
    blocks = diffusers_blocks(paths)
    return {path.rpartition(".")[0]: to_diffusers(path.rpartition(".")[0], blocks) for path in paths}


#: (family, diffusers name, LDM name), taken from the diffusers conversion tables by hand.
KNOWN = [
    ("sd1", "conv_in", "input_blocks.0.0"),
    ("sd1", "time_embedding.linear_2", "time_embed.2"),
    ("sd1", "down_blocks.0.resnets.0.conv1", "input_blocks.1.0.in_layers.2"),
    ("sd1", "down_blocks.0.attentions.1.proj_in", "input_blocks.2.1.proj_in"),
    ("sd1", "down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op"),
    ("sd1", "down_blocks.1.resnets.0.conv_shortcut", "input_blocks.4.0.skip_connection"),
    ("sd1", "down_blocks.2.attentions.1.transformer_blocks.0.attn2.to_out.0",
     "input_blocks.8.1.transformer_blocks.0.attn2.to_out.0"),
    ("sd1", "down_blocks.3.resnets.1.time_emb_proj", "input_blocks.11.0.emb_layers.1"),
    ("sd1", "mid_block.resnets.0.norm1", "middle_block.0.in_layers.0"),
    ("sd1", "mid_block.attentions.0.proj_out", "middle_block.1.proj_out"),
    ("sd1", "mid_block.resnets.1.conv2", "middle_block.2.out_layers.3"),
    ("sd1", "up_blocks.0.resnets.2.norm2", "output_blocks.2.0.out_layers.0"),
    ("sd1", "up_blocks.0.upsamplers.0.conv", "output_blocks.2.1.conv"),
    ("sd1", "up_blocks.1.attentions.0.norm", "output_blocks.3.1.norm"),
    ("sd1", "up_blocks.1.upsamplers.0.conv", "output_blocks.5.2.conv"),
    ("sd1", "up_blocks.3.attentions.2.transformer_blocks.0.ff.net.0.proj",
     "output_blocks.11.1.transformer_blocks.0.ff.net.0.proj"),
    ("sd1", "conv_out", "out.2"),
    ("sdxl", "add_embedding.linear_1", "label_emb.0.0"),
    ("sdxl", "down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_q",
     "input_blocks.4.1.transformer_blocks.1.attn1.to_q"),
    ("sdxl", "down_blocks.2.attentions.1.transformer_blocks.9.ff.net.2",
     "input_blocks.8.1.transformer_blocks.9.ff.net.2"),
    ("sdxl", "up_blocks.0.attentions.2.transformer_blocks.9.attn2.to_k",
     "output_blocks.2.1.transformer_blocks.9.attn2.to_k"),
    ("sdxl", "up_blocks.1.upsamplers.0.conv", "output_blocks.5.2.conv"),
    ("sdxl", "up_blocks.2.resnets.2.conv1", "output_blocks.8.0.in_layers.2"),
    ("sdxl-refiner", "down_blocks.3.resnets.0.conv1", "input_blocks.10.0.in_layers.2"),
    ("sdxl-refiner", "mid_block.attentions.0.transformer_blocks.3.attn1.to_v",
     "middle_block.1.transformer_blocks.3.attn1.to_v"),
    ("sdxl-refiner", "up_blocks.1.attentions.0.proj_in", "output_blocks.3.1.proj_in"),
]


@pytest.mark.parametrize(("family", "diffusers", "ldm"), KNOWN)
def test_diffusers_names_lead_to_the_ldm_module(family, diffusers, ldm):
    assert diffusers in diffusers_of(unet(UNETS[family]))[ldm]


@pytest.mark.parametrize("family", UNETS)
def test_every_unet_module_has_a_diffusers_name_of_its_own(family):
    names = diffusers_of(unet(UNETS[family]))
    assert all(names.values())
    flat = [name for several in names.values() for name in several]
    assert len(set(flat)) == len(flat)


@pytest.mark.parametrize("family", UNETS)
@pytest.mark.parametrize("style", [
    "lora_unet_{kohya}", "lycoris_{kohya}", "{dotted}", "unet.{dotted}", "base_model.model.{dotted}",
    "base_model.model.unet.{dotted}", "unet.base_model.model.{dotted}", "transformer.{dotted}",
])
def test_every_unet_layer_is_found_by_its_diffusers_name(family, style):
    shapes = base(family)
    directory = Directory(shapes)
    for ldm, names in diffusers_of(shapes).items():
        for name in names:
            spelled = style.format(dotted=name, kohya=name.replace(".", "_"))
            assert key_of(directory, spelled) == f"{UNET}{ldm}.weight"


@pytest.mark.parametrize("family", UNETS)
@pytest.mark.parametrize("style", ["lora_unet_{kohya}", "diffusion_model.{dotted}", "model.diffusion_model.{dotted}"])
def test_every_unet_layer_is_found_by_its_ldm_name(family, style):
    shapes = base(family)
    directory = Directory(shapes)
    for key in shapes:
        if key.startswith(UNET):
            module, _, parameter = key[len(UNET):].rpartition(".")
            spelled = style.format(dotted=module, kohya=module.replace(".", "_"))
            assert key_of(directory, spelled, parameter) == key


def test_old_attention_processor_names():
    directory = Directory(base("sd1"))
    block, ldm = "down_blocks.1.attentions.0.transformer_blocks.0.attn1", "input_blocks.4.1.transformer_blocks.0.attn1"
    for prefix in ("", "unet."):
        assert key_of(directory, f"{prefix}{block}.processor.to_q") == f"{UNET}{ldm}.to_q.weight"
        assert key_of(directory, f"{prefix}{block}.processor.to_out") == f"{UNET}{ldm}.to_out.0.weight"


@pytest.mark.parametrize(("family", "prefix", "key"), [
    ("sd1", "lora_te_", "cond_stage_model.transformer.text_model."),
    ("sd1", "text_encoder.", "cond_stage_model.transformer.text_model."),
    ("sd1", "text_encoders.clip_l.transformer.", "cond_stage_model.transformer.text_model."),
    ("sd1", "base_model.model.", "cond_stage_model.transformer.text_model."),
    ("sdxl", "lora_te1_", "conditioner.embedders.0.transformer.text_model."),
    ("sdxl", "text_encoder.", "conditioner.embedders.0.transformer.text_model."),
    ("sdxl", "base_model.model.text_encoder.", "conditioner.embedders.0.transformer.text_model."),
])
def test_clip_layers(family, prefix, key):
    directory = Directory(base(family))
    for module in ("self_attn.q_proj", "self_attn.out_proj", "mlp.fc1", "layer_norm2"):
        name = f"text_model.encoder.layers.11.{module}"
        spelled = prefix + (name.replace(".", "_") if prefix.startswith("lora") else name)
        assert key_of(directory, spelled) == f"{key}encoder.layers.11.{module}.weight"
    assert key_of(directory, "text_encoder.text_model.encoder.layers.0.self_attn.to_q") \
        == f"{key}encoder.layers.0.self_attn.q_proj.weight"


@pytest.mark.parametrize(("family", "prefix", "root", "width"), [
    ("sd2", "lora_te_", "cond_stage_model.model.", 1024),
    ("sd2", "text_encoder.", "cond_stage_model.model.", 1024),
    ("sdxl", "lora_te2_", "conditioner.embedders.1.model.", 1280),
    ("sdxl", "text_encoder_2.", "conditioner.embedders.1.model.", 1280),
    ("sdxl", "text_encoders.clip_g.transformer.", "conditioner.embedders.1.model.", 1280),
    ("sdxl-refiner", "lora_te_", "conditioner.embedders.0.model.", 1280),
    ("sdxl-refiner", "text_encoders.clip_g.transformer.", "conditioner.embedders.0.model.", 1280),
])
def test_open_clip_layers(family, prefix, root, width):
    directory = Directory(base(family))

    def find(module, parameter="weight"):
        return directory.find(prefix + (module.replace(".", "_") if prefix.startswith("lora") else module), parameter)

    layer, block = "text_model.encoder.layers.7", f"{root}transformer.resblocks.7"
    for place, letter in enumerate("qkv"):
        assert find(f"{layer}.self_attn.{letter}_proj") == Target(f"{block}.attn.in_proj_weight", place * width, width)
        assert find(f"{layer}.self_attn.{letter}_proj", "bias") == \
            Target(f"{block}.attn.in_proj_bias", place * width, width)
    assert find(f"{layer}.self_attn.out_proj") == Target(f"{block}.attn.out_proj.weight", 0, width)
    assert find(f"{layer}.mlp.fc1") == Target(f"{block}.mlp.c_fc.weight", 0, 4 * width)
    assert find(f"{layer}.mlp.fc2", "bias") == Target(f"{block}.mlp.c_proj.bias", 0, width)
    assert find(f"{layer}.layer_norm1") == Target(f"{block}.ln_1.weight", 0, width)
    assert find("text_model.final_layer_norm") == Target(f"{root}ln_final.weight", 0, width)
    assert find("text_projection") == Target(f"{root}text_projection", 0, width, transposed=True)


def test_what_the_base_lacks_is_not_found():
    directory = Directory(base("sd1"))
    for name in ("lora_te2_text_model_encoder_layers_0_mlp_fc1", "lora_te_text_model_encoder_layers_12_mlp_fc1",
                 "lora_unet_input_blocks_9_1_proj_in", "transformer.double_blocks.0.img_attn.qkv", "", "lora_unet_"):
        assert directory.find(name, "weight") is None


def test_a_canonical_name_is_found_as_it_is():
    directory = Directory(base("sd1") | {"first_stage_model.conv.weight": (4, 4)})
    assert key_of(directory, "first_stage_model.conv") == "first_stage_model.conv.weight"


def test_addresses_of_all_spellings_agree():
    assert address("lora_unet_down_blocks_0_attentions_0_proj_in") \
        == address("unet.down_blocks.0.attentions.0.proj_in") \
        == ("unet", "down_blocks_0_attentions_0_proj_in")
    assert address("lora_te1_text_model_encoder_layers_0_mlp_fc1") == ("te1", "encoder_layers_0_mlp_fc1")
    assert address("text_model.encoder.layers.0.mlp.fc1") == ("te1", "encoder_layers_0_mlp_fc1")


def test_the_map_follows_the_structure_not_the_size():
    """A UNet with two levels, one of them without attention: the same rules, other numbers."""
    small = diffusers_of(unet(pico(SD15).__class__("tiny", 4, (1, 2), (0, 1), 1, 8)))
    assert small["input_blocks.2.0.in_layers.2"] == ("down_blocks.0.resnets.1.conv1",)
    assert small["input_blocks.3.0.op"] == ("down_blocks.0.downsamplers.0.conv",)
    assert small["input_blocks.5.1.proj_in"] == ("down_blocks.1.attentions.1.proj_in",)
    assert small["output_blocks.2.2.conv"] == ("up_blocks.0.upsamplers.0.conv",)
    assert small["output_blocks.3.0.out_layers.3"] == ("up_blocks.1.resnets.0.conv2",)


def test_pico_names_are_the_real_ones():
    for spec in (SD15, SDXL, REFINER):
        assert diffusers_of(unet(pico(spec))) == diffusers_of(unet(spec))


@pytest.mark.parametrize(("rows", "inside"), [((0, 4), (4, 4)), ((2, 6), (4, 6)), ((5, 6), (5, 6)), ((6, 99), (6, 8)),
                                              ((8, 9), (8, 8)), ((0, 99), (4, 8))])
def test_clip_gives_the_rows_of_a_target_in_a_slice(rows, inside):
    assert Target("k", 4, 4).clip(*rows) == inside
