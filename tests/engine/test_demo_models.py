"""The demo's models: what is kept narrow is the same function when it is written wide, and words keep together."""

from __future__ import annotations

import pytest
import torch

from demo import specialists, tiny_clip, tiny_sd, training
from diffusion_soup.dmm import open_student
from diffusion_soup.lab.shards import WORLD


@pytest.fixture
def narrow() -> tiny_sd.UNet:
    torch.manual_seed(0)
    unet = tiny_sd.UNet()
    with torch.no_grad():
        for weight in unet.parameters():  # no layer begins at zero here, nor norms at one
            weight += 0.02 * torch.randn_like(weight)
    return unet


def wide(state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> tiny_sd.UNet:
    monkeypatch.setattr(tiny_sd, "NARROW", tiny_sd.WIDE)
    unet = tiny_sd.UNet()
    unet.load_state_dict({name: tiny_sd.widen(name, weight) for name, weight in state.items()})
    return unet


def guess(unet: tiny_sd.UNet) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        return unet(torch.randn(2, 4, 16, 16, generator=generator), torch.tensor([20, 900]),
                    torch.randn(2, 77, 768, generator=generator))


def test_a_widened_unet_is_the_same_function(narrow, monkeypatch):
    expected = guess(narrow)
    assert expected.std() > 0.01
    torch.testing.assert_close(guess(wide(narrow.state_dict(), monkeypatch)), expected, rtol=1e-3, atol=1e-4)


def test_so_is_a_widened_change(narrow, monkeypatch):
    change = {}
    for name, layer in training.adapted(narrow):
        change[f"{name}.down"] = 0.05 * torch.randn(4, *layer.weight.shape[1:])
        change[f"{name}.up"] = 0.05 * torch.randn(len(layer.weight), 4)
    expected = guess(training.changed(narrow, change))
    assert not torch.allclose(expected, guess(narrow), atol=1e-2)
    unet = wide(narrow.state_dict(), monkeypatch)
    with torch.no_grad():
        for name, layer in training.adapted(unet):
            down, up = tiny_sd.widen_factors(name, change[f"{name}.down"], change[f"{name}.up"])
            layer.weight += (up @ down.flatten(1)).view_as(layer.weight)
    torch.testing.assert_close(guess(unet), expected, rtol=1e-3, atol=1e-4)


def test_a_word_is_bound_to_those_before_it():
    text = tiny_clip.text_encoder(0)
    one, other = tiny_clip.embed(text, tiny_clip.tokens([
        "a large red star on the left and a small blue circle on the right",
        "a large blue star on the left and a small red circle on the right"]))
    differs = (one - other).norm(dim=1) > 1
    assert not differs[:3].any() and differs[3:15].all() and not differs[30:].any()


def test_captions_leave_parts_out_and_name_no_style():
    scenes = WORLD.scenes(range(50))
    said = training.said(scenes)
    whole, short = (said != tiny_clip.END).sum(2)[:, 0], (said != tiny_clip.END).sum(2)[:, 1:]
    assert (short <= whole[:, None]).all() and (short < whole[:, None]).any(1).float().mean() > 0.5
    assert [training.phrase(scene) for scene in scenes] == [scene.caption.rpartition(",")[0] for scene in scenes]
    assert training.phrase(scenes[0], True, True, True).count(" ") < training.phrase(scenes[0]).count(" ") / 2


def test_what_was_learnt_is_in_the_repository_and_small():
    files = {file.stem: file.stat().st_size for file in specialists.WEIGHTS.glob("*.safetensors")}
    assert files.keys() == {"vae", "base", *specialists.STYLES, "student", "shapes"}
    assert sum(files.values()) <= 60e6


def test_the_demos_files_are_made_from_it_once(tmp_path):
    news = []
    files = specialists.make(tmp_path, progress=news.append)
    assert {file.relative_to(tmp_path).as_posix() for file in files} == {
        *(f"checkpoints/{name}.safetensors" for name in ("demo-base", "demo-student", *specialists.CHECKPOINTS)),
        "loras/comic.safetensors", "controlnet/shapes.safetensors"}
    assert len(news) == len(files) == 7 and all(file.exists() for file in files)
    specialists.make(tmp_path, progress=news.append)
    assert len(news) == 7, "what is there is not made again"
    with open_student(files[5]) as student:
        assert student.codebook.names == specialists.STYLES and student.parts == ("VAE", "diffusion model",
                                                                                  "text encoder")
