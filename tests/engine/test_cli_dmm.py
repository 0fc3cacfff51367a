"""``diffusion-soup dmm encode`` and ``train``: from checkpoints and pictures to a student that opens."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from diffusion_soup.cli import main
from diffusion_soup.dmm import open_student
from diffusion_soup.dmm.configuration import read_configuration
from diffusion_soup.dmm.unets import open_unet

from .test_greedy import kit  # noqa: F401
from .test_score import transformers  # noqa: F401

CONFIGURATION = """
models = "{kit}/models"
base = "ember.safetensors"
pipeline = "{kit}/pipeline"

[[teacher]]
name = "lagoon"
checkpoint = "lagoon.safetensors"

[[teacher]]
name = "meadow"
checkpoint = "meadow.safetensors"

[data]
pictures = "pictures"
size = 64

[train]
steps = 4
batch = 4
rate = 0.001
adversarial = 0.01
"""


@pytest.fixture
def folder(kit, tmp_path):  # noqa: F811
    (tmp_path / "pictures").mkdir()
    for name in ("fox", "box"):
        Image.new("RGB", (64, 64), {"fox": "red", "box": "blue"}[name]).save(tmp_path / "pictures" / f"{name}.png")
        (tmp_path / "pictures" / f"{name}.txt").write_text(f"a {name}")
    Image.new("RGB", (64, 64)).save(tmp_path / "pictures" / "silent.png")
    (tmp_path / "train.toml").write_text(CONFIGURATION.format(kit=kit))
    return tmp_path


def run(*arguments):
    return main(["dmm", *map(str, arguments)])


def test_from_pictures_to_a_student(folder, kit, capsys):  # noqa: F811
    assert run("encode", folder / "train.toml") == 0
    told = capsys.readouterr().out
    assert "2 pictures encoded, 1 left out" in told and "silent.png: there is no silent.txt" in told
    assert run("train", folder / "train.toml") == 0
    told = capsys.readouterr()
    assert "a student of 2 styles (lagoon, meadow), 4 steps" in told.out and "The weights take" in told.err
    with open_student(folder / "student.safetensors") as student:
        assert student.codebook.names == ("lagoon", "meadow")
        assert student.parts == ("VAE", "diffusion model", "text encoder")
    # It began as the soup of both, and 4 small steps are not far.
    ours = open_unet(folder / "student.safetensors").unet.state_dict()
    theirs = [open_unet(kit / "models" / f"{name}.safetensors").unet.state_dict() for name in ("lagoon", "meadow")]
    for name, tensor in ours.items():
        soup = (theirs[0][name] + theirs[1][name]) / 2
        assert (tensor - soup).abs().max() < 0.02 and not torch.equal(ours["conv_in.weight"], theirs[0]
                                                                      ["conv_in.weight"])


def test_it_goes_on_and_overwrites_nothing_unasked(folder, capsys):
    assert run("encode", folder / "train.toml") == 0 and run("train", folder / "train.toml") == 0
    before = (folder / "student.safetensors").read_bytes()
    assert run("train", folder / "train.toml") == 2
    assert "exists already and was left as it is" in capsys.readouterr().err
    assert (folder / "student.safetensors").read_bytes() == before
    longer = (folder / "train.toml").read_text().replace("steps = 4", "steps = 6")
    (folder / "train.toml").write_text(longer)
    assert run("train", folder / "train.toml", "--overwrite") == 0
    assert "6 steps" in capsys.readouterr().out
    (folder / "train.toml").write_text(longer.replace("rate = 0.001", "rate = 0.01"))
    assert run("train", folder / "train.toml", "--overwrite") == 2
    assert "rate (0.001 before, 0.01 now)" in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["resident", "streamed"])
def test_layouts_learn_the_same(folder, layout):
    assert run("encode", folder / "train.toml") == 0
    text = (folder / "train.toml").read_text() + f'[run]\nlayout = "{layout}"\nfolder = "{layout}"\n'
    (folder / "train.toml").write_text(text)
    assert run("train", folder / "train.toml") == 0
    weights = open_unet(folder / "student.safetensors").unet.conv_in.weight
    if layout == "streamed":
        (folder / "train.toml").write_text(text.replace("streamed", "resident"))
        assert run("train", folder / "train.toml", "--overwrite") == 0
        torch.testing.assert_close(open_unet(folder / "student.safetensors").unet.conv_in.weight, weights,
                                   rtol=1e-3, atol=1e-4)


def test_the_plan_alone(folder, capsys):
    assert run("encode", folder / "train.toml") == 0
    assert run("train", folder / "train.toml", "--plan") == 0
    told = capsys.readouterr().err
    assert "student" in told and "teachers" in told and "4 pictures a step for each of 1 processes" in told
    assert not (folder / "run").exists() and not (folder / "student.safetensors").exists()


@pytest.mark.parametrize("old, new, message", [
    ("steps = 4", "stepps = 4", "train.toml: There is no 'stepps' in"),
    ("size = 64", "size = 65", "size of the pictures is 65; expected a multiple of 64"),
    ("size = 64", 'colour = "red"', "there is no 'colour' in .data.; known are cache, pictures, shards, size"),
    ('base = "ember.safetensors"', "", "base is missing: the base checkpoint"),
    ('base = "ember.safetensors"', 'base = "../ember.safetensors"', "ember.safetensors"),
    ('base = "ember.safetensors"', 'base = "ember.safetensors"\ninit = "zero"', "init is 'zero'; expected one of"),
    ('checkpoint = "lagoon.safetensors"', "", "number 1 needs either checkpoint or lora"),
    ('checkpoint = "lagoon.safetensors"', 'checkpoint = "lagoon.safetensors"\nstrength = 2', "has no strength"),
    ('checkpoint = "lagoon.safetensors"', 'lora = "a.safetensors"\nstrength = "much"', "strength of .* is 'much'"),
    ('name = "meadow"', 'name = "lagoon"', "Two styles of the training are called 'lagoon'"),
    ('pictures = "pictures"', "", "needs either pictures, a folder with captions"),
    ("[[teacher]]", "[[teachers]]", "there is no 'teachers' in the file"),
    ("models =", "models", "train.toml is no TOML"),
    ('name = "meadow"', 'name = "a = b"', "cannot be the name of a style")])
def test_mistakes_are_named(folder, capsys, old, new, message):
    import re
    text = (folder / "train.toml").read_text()
    assert old in text
    (folder / "train.toml").write_text(text.replace(old, new))
    assert run("encode", folder / "train.toml") == 2
    assert re.search(message, capsys.readouterr().err)


def test_what_is_missing(folder, tmp_path, capsys):
    assert run("train", folder / "train.toml") == 2
    assert "no encoded pictures; make them with diffusion-soup dmm encode" in capsys.readouterr().err
    assert run("encode", tmp_path / "nowhere.toml") == 2
    assert "cannot be read" in capsys.readouterr().err
    assert run("encode", folder / "train.toml") == 0
    (folder / "train.toml").write_text((folder / "train.toml").read_text() + '[run]\ndevice = "tpu"\n')
    assert run("train", folder / "train.toml") == 2
    assert "device is 'tpu', which this machine does not have" in capsys.readouterr().err


def test_a_lora_is_a_teacher_over_the_base(folder):
    text = (folder / "train.toml").read_text().replace('checkpoint = "lagoon.safetensors"',
                                                       'lora = "ink.safetensors"\nstrength = 0.5')
    (folder / "train.toml").write_text(text)
    found = read_configuration(folder / "train.toml")
    ink, meadow = found.teachers
    assert ink.recipe(found.base).base == found.base and ink.ingredient.strength == 0.5
    assert meadow.recipe(found.base).base is None and found.names == ("lagoon", "meadow")
    assert len(found.soup.ingredients) == 2 and found.start == found.soup
