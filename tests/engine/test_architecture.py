"""What a file is, told from its header."""

import pytest
import torch

from diffusion_soup.architecture import inspect, part_of, require_same
from diffusion_soup.checkpoint import Checkpoint
from diffusion_soup.errors import FileError, MismatchError

from .kitchen import CONV_IN, UNET, fill, plain_sentence, tiny_unet, whole
from .sd_keys import UNETS, pico, unet

TITLES = {"sd1": "SD 1.x", "sd2": "SD 2.x", "sdxl": "SDXL", "sdxl-refiner": "SDXL refiner"}
TO_K = next(key for key in tiny_unet() if "to_k" in key)


@pytest.fixture
def look(pantry):
    """The anatomy of tensors once they are a file."""
    def of(tensors, **metadata):
        return inspect(Checkpoint(pantry.root / pantry.put("x", tensors, **metadata)))
    return of


@pytest.mark.parametrize("family", UNETS)
def test_families(look, family):
    tensors = fill(whole(family))
    norm = UNET + "output_blocks.11.1.transformer_blocks.0.norm1.bias"
    if norm in tensors:
        tensors[norm] = tensors[norm] * 0.01
    anatomy = look(tensors)
    assert (anatomy.architecture.family, anatomy.architecture.prediction) == (family, "eps")
    assert anatomy.architecture.title == TITLES[family]
    assert anatomy.parts == {"diffusion model", "text encoder", "VAE"}
    assert anatomy.keys.keys() == tensors.keys()


@pytest.mark.parametrize(("channels", "variant"), [(4, ""), (8, "instruct-pix2pix"), (9, "inpainting"),
                                                    (12, "12 channels")])
def test_variants(look, channels, variant):
    assert look(fill(tiny_unet(channels=channels))).architecture.variant == variant


@pytest.mark.parametrize("family", UNETS)
@pytest.mark.parametrize("prefix", ["diffusion_model.", "unet.", "model.", "net.", ""])
def test_bare_diffusion_models_whatever_their_prefix(look, family, prefix):
    shapes = unet(pico(UNETS[family], context=UNETS[family].context))
    anatomy = look(fill({prefix + key.removeprefix(UNET): shape for key, shape in shapes.items()}))
    assert anatomy.keys.keys() == shapes.keys()
    assert (anatomy.architecture.family, anatomy.parts) == (family, {"diffusion model"})


@pytest.mark.parametrize("prefix", [UNET, "", "diffusion_model."])
def test_families_we_do_not_know(look, prefix):
    names = [f"double_blocks.{number}.img_mod.lin.weight" for number in range(12)] + ["img_in.weight"]
    anatomy = look({prefix + name: torch.zeros(2, 2) for name in names})
    assert anatomy.architecture.family == "unknown"
    assert anatomy.architecture.channels is None
    assert set(anatomy.keys) == {UNET + name for name in names}


def test_ema_copies_are_dropped(look):
    tensors = fill(tiny_unet())
    anatomy = look(tensors | {"model_ema.diffusion_modelout2weight": torch.zeros(2), "model_ema.decay": torch.zeros(1)})
    assert anatomy.keys.keys() == tensors.keys()
    assert anatomy.dropped == 2


def test_old_text_encoder_names(look):
    old = "cond_stage_model.transformer.embeddings.token_embedding.weight"
    anatomy = look(fill(tiny_unet()) | {old: torch.zeros(2, 2)})
    assert "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight" in anatomy.keys


# -- prediction ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("marker", "prediction"), [("v_pred", "v"), ("edm_mean", "EDM"),
                                                     ("edm_vpred.sigma_max", "EDM v-prediction")])
@pytest.mark.parametrize("prefix", ["", UNET])
def test_prediction_by_marker(look, marker, prediction, prefix):
    assert look(fill(tiny_unet()) | {prefix + marker: torch.zeros(0)}).architecture.prediction == prediction


def test_ztsnr_by_marker(look):
    architecture = look(fill(tiny_unet()) | {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}).architecture
    assert (architecture.prediction, architecture.ztsnr) == ("v", True)
    assert architecture.title == "SD 1.x, v-prediction, zero terminal SNR"


@pytest.mark.parametrize(("stated", "prediction"), [("epsilon", "eps"), ("v", "v"), ("v_prediction", "v")])
@pytest.mark.parametrize("field", ["modelspec.prediction_type", "modelspec.predict_key"])
def test_prediction_by_metadata(look, field, stated, prediction):
    assert look(fill(tiny_unet()), **{field: stated}).architecture.prediction == prediction


@pytest.mark.parametrize(("spread", "prediction"), [(0.02, "eps"), (0.5, "v")])
def test_prediction_of_sd2_by_the_spread_of_one_bias(look, spread, prediction):
    norm = UNET + "output_blocks.11.1.transformer_blocks.0.norm1.bias"
    tensors = fill(tiny_unet(context=1024)) | {norm: torch.tensor([spread, -spread] * 8)}
    assert look(tensors).architecture.prediction == prediction
    assert look(tensors | fill({CONV_IN: (4, 9, 3, 3)})).architecture.prediction == "eps"


# -- refusals --------------------------------------------------------------------------------------------


def sentence(kind, act):
    with pytest.raises(kind) as caught:
        act()
    return plain_sentence(caught.value)


@pytest.mark.parametrize("key", ["lora_unet_mid_block_x.lora_up.weight", "unet.x.lora_A.weight", "x.hada_w1_a",
                                 "unet.x.processor.to_q_lora.up.weight"])
def test_a_lora_is_no_checkpoint(look, key):
    assert "x.safetensors is a LoRA" in sentence(MismatchError, lambda: look({key: torch.zeros(2, 2)}))


def test_files_without_a_diffusion_model(look):
    assert "found: VAE" in sentence(FileError, lambda: look({"first_stage_model.x": torch.zeros(1)}))
    assert "no tensors" in sentence(FileError, lambda: look({}))


@pytest.mark.parametrize("key", ["scaled_fp8", UNET + "scaled_fp8", UNET + "out.2.scale_weight",
                                 UNET + "out.2.weight_scale", UNET + "out.2.comfy_quant", UNET + "out.2.weight.absmax",
                                 UNET + "out.2.weight.quant_state.bitsandbytes__nf4"])
def test_numbers_that_need_scales_are_not_averaged(look, key):
    text = sentence(MismatchError, lambda: look(fill(tiny_unet()) | {key: torch.ones(1)}))
    assert "quantised" in text and key in text


@pytest.mark.parametrize("change", [{TO_K: ()}, {CONV_IN: (4,)}, {CONV_IN: ()}, {CONV_IN: (0, 0, 0, 0)}])
def test_odd_shapes_are_an_unknown_family_not_a_crash(look, change):
    anatomy = look(fill(tiny_unet() | change))
    assert anatomy.architecture.family in ("unknown", "sd1")


@pytest.fixture
def architecture(look):
    def of(*markers, **shape):
        return look(fill(tiny_unet(**shape)) | {marker: torch.zeros(0) for marker in markers}).architecture
    return of


def test_what_may_share_a_soup(architecture):
    normal, inpainting, v = architecture(), architecture(channels=9), architecture("v_pred")
    for one, other in ((normal, normal), (normal, inpainting), (inpainting, normal), (v, v)):
        require_same("a", one, "b", other)


@pytest.mark.parametrize(("one", "other", "words"), [
    ({}, {"context": 2048}, "b is SDXL, but a is SD 1.x"),
    ({}, {"context": 1024}, "b is SD 2.x, but a is SD 1.x"),
    ({"context": 2048}, {"context": 1280}, "b is SDXL refiner, but a is SDXL"),
    ({"channels": 9}, {"channels": 8}, "b is SD 1.x, instruct-pix2pix, but a is SD 1.x, inpainting")])
def test_what_may_not(architecture, one, other, words):
    assert words in sentence(MismatchError, lambda: require_same("a", architecture(**one), "b", architecture(**other)))


@pytest.mark.parametrize(("one", "other"), [((), ("v_pred",)), (("v_pred",), ("v_pred", "ztsnr"))])
def test_predictions_must_agree(architecture, one, other):
    text = sentence(MismatchError, lambda: require_same("a", architecture(*one), "b", architecture(*other)))
    assert "prediction types" in text and "v-prediction" in text


def test_parts():
    assert [part_of(key) for key in (UNET + "x", "conditioner.x", "cond_stage_model.x", "vae.x", "alphas_cumprod")] \
        == ["diffusion model", "text encoder", "text encoder", "VAE", "other"]
