"""UNets of files as modules of diffusers, and students as files."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from diffusion_soup import architecture as arch
from diffusion_soup import layout
from diffusion_soup.checkpoint import open_checkpoint
from diffusion_soup.dmm import open_student
from diffusion_soup.dmm.network import StudentUNet, Text, predict
from diffusion_soup.dmm.unets import Opened, described, open_unet, require_one_family, save_student, unet_config
from diffusion_soup.errors import FileError, MismatchError
from diffusion_soup.lab.denoiser import library

from .. import models
from .sd_keys import SD15, SDXL, unet


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unets")
    models.save(folder / "a.safetensors", models.sd15(2, dtype=torch.float16))
    return folder


def asked(context=768):
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(2, 4, 8, 8, generator=generator), torch.tensor([10, 800]),
            Text(torch.randn(2, 7, context, generator=generator)))


@pytest.mark.parametrize("spec, like", [(SD15, {"attention_head_dim": 8, "cross_attention_dim": 768}), (SDXL, {
    "attention_head_dim": (5, 10, 20), "transformer_layers_per_block": (1, 2, 10), "cross_attention_dim": 2048,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")})])
def test_the_settings_of_whole_models(spec, like):
    shapes = {key.removeprefix(arch.UNET): shape for key, shape in unet(spec).items()}
    config = unet_config(shapes)
    assert like.items() <= config.items() and config["layers_per_block"] == 2
    with torch.device("meta"):
        made = library()[0](**config)
    pieces = layout.unet(described(made.state_dict())).pieces
    assert {key.removeprefix(arch.UNET): piece.shape for key, piece in pieces.items()} == shapes


def test_settings_of_diffusers_own_models():
    """SD 1.5's are those of diffusers' class as it is."""
    config = unet_config({key.removeprefix(arch.UNET): shape for key, shape in unet(SD15).items()})
    with torch.device("meta"):
        ours, theirs = library()[0](**config), library()[0](cross_attention_dim=768)
    differs = {name: (value, theirs.config[name]) for name, value in ours.config.items()
               if theirs.config[name] != value and not name.startswith("_") and name != "transformer_layers_per_block"}
    assert differs == {}


def test_a_unet_comes_from_a_file_and_goes_back_as_a_student(folder, tmp_path):
    opened = open_unet(folder / "a.safetensors")
    assert (opened.family, opened.prediction, opened.file) == ("sd1", "epsilon", "a.safetensors")
    student = StudentUNet(opened.unet, 3)
    with torch.no_grad():
        student.linear_2.weight.normal_(std=0.01)
    file = tmp_path / "student.safetensors"
    save_student(student, ["ink", "clay", "ink"], "sd1", file, base=folder / "a.safetensors", dtype="float32")
    with open_student(file) as saved:
        assert saved.codebook.names == ("ink", "clay", "ink 2") and saved.parts == ("VAE", "diffusion model")
        assert torch.equal(saved.codebook.codes, student.codes.detach())
    again = StudentUNet(open_unet(file).unet, 3)
    with open_student(file) as saved:
        again.load_codebook(saved.codebook)
    noisy, times, text = asked()
    styles = torch.tensor([1, 2])
    with torch.no_grad():
        torch.testing.assert_close(again(noisy, times, text, styles), student(noisy, times, text, styles))
        plain = predict(open_unet(folder / "a.safetensors").unet, noisy, times, text)
        assert not torch.allclose(student(noisy, times, text, styles), plain, atol=1e-3)


def test_the_tensors_are_the_files(folder):
    with open_checkpoint(folder / "a.safetensors") as checkpoint:
        wanted = {key: checkpoint.tensor(info.name) for key, info in arch.inspect(checkpoint).keys.items()
                  if key.startswith(arch.UNET)}
    state = open_unet(folder / "a.safetensors").unet.state_dict()
    pieces = layout.unet(described(state)).pieces
    assert pieces.keys() == wanted.keys()
    assert all(torch.equal(piece.make(state.__getitem__).half(), wanted[key]) for key, piece in pieces.items())


def test_diffusers_naming_and_folders(folder, tmp_path):
    noisy, times, text = asked()
    opened = open_unet(folder / "a.safetensors").unet
    models.save(tmp_path / "renamed.safetensors", models.renamed(2))
    opened.save_pretrained(tmp_path / "pipeline" / "unet")
    (tmp_path / "pipeline" / "scheduler").mkdir()
    (tmp_path / "pipeline" / "scheduler" / "scheduler_config.json").write_text('{"prediction_type": "v_prediction"}')
    with torch.no_grad():
        wanted = predict(opened, noisy, times, text)
        for path in (tmp_path / "renamed.safetensors", tmp_path / "pipeline"):
            torch.testing.assert_close(predict(open_unet(path).unet, noisy, times, text), wanted)
    assert open_unet(tmp_path / "pipeline").prediction == "v_prediction"


def test_what_cannot_teach(folder, tmp_path):
    models.save(tmp_path / "lora.safetensors", models.lora(1))
    with pytest.raises(MismatchError, match="is a LoRA"):
        open_unet(tmp_path / "lora.safetensors")
    with pytest.raises(FileError, match="has no UNet; expected unet/config.json"):
        open_unet(tmp_path)
    short = models.sd15(2)
    del short["model.diffusion_model.middle_block.0.in_layers.2.weight"]
    models.save(tmp_path / "short.safetensors", short)
    with pytest.raises(MismatchError, match="short.safetensors has no .*middle_block.0.in_layers.2.weight of"):
        open_unet(tmp_path / "short.safetensors")
    one = Opened(None, "epsilon", "sd1", "a.safetensors")
    with pytest.raises(MismatchError, match="b.safetensors is of the family sdxl, but a.safetensors of sd1"):
        require_one_family([one, dataclasses.replace(one, family="sdxl", file="b.safetensors")])
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text("{")
    with pytest.raises(FileError, match="cannot be read"):
        open_unet(tmp_path)
