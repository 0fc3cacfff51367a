"""The three kinds of student files, the one we write, and files that are none."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from diffusion_soup import Ingredient, ModelFolders, Recipe, cook, cook_to_file, open_checkpoint
from diffusion_soup.architecture import TEXT, VAE, inspect
from diffusion_soup.dmm import open_student
from diffusion_soup.errors import FileError, MismatchError, RecipeError
from diffusion_soup.lora_names import diffusers_blocks, to_diffusers
from diffusion_soup.metadata import STYLES_KEY

from .kitchen import fill, identical, plain_sentence, same
from .sd_keys import SD15, SDXL, clip_l, pico, text_encoders, unet, vae

UNET = "model.diffusion_model."
NAMES = ("anime", "ink")
SPECS = {"sd1": pico(SD15, context=768), "sdxl": pico(SDXL, context=2048)}
WIDTH = 16  # of pico's time embedding
MLP = {"sd1": "add_embedding.", "sdxl": "add_embedding2."}


def styles(family="sd1", width=WIDTH, count=2, seed=1):
    mlp = MLP[family]
    return fill({"model_embedding.weight": (count, width), f"{mlp}linear_1.weight": (width, width),
                 f"{mlp}linear_1.bias": (width,), f"{mlp}linear_2.weight": (width, width),
                 f"{mlp}linear_2.bias": (width,)}, seed)


def ldm(family="sd1", seed=0, **options):
    """The UNet of a student with LDM names, and its styles."""
    return fill(unet(SPECS[family]), seed) | {UNET + name: it for name, it in styles(family, **options).items()}


def diffusers(family="sd1", seed=0, **options):
    """The same with diffusers names."""
    tensors = {name.removeprefix(UNET): it for name, it in fill(unet(SPECS[family]), seed).items()}
    blocks = diffusers_blocks(tensors)
    renamed = {f"{to_diffusers(name.rpartition('.')[0], blocks)[0]}.{name.rpartition('.')[2]}": it
               for name, it in tensors.items()}
    assert len(renamed) == len(tensors)
    return renamed | styles(family, **options)


def put(path, tensors, **metadata):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: it.contiguous() for name, it in tensors.items()}, path, metadata or None)
    return path


def single(folder, family):
    return put(folder / "student.safetensors", ldm(family))


def bare(folder, family):
    return put(folder / "student.safetensors", {name.removeprefix(UNET): it for name, it in ldm(family).items()})


def diffusers_folder(folder, family):
    put(folder / "unet" / "diffusion_pytorch_model.safetensors", diffusers(family))
    return folder


def half_folder(folder, family):
    put(folder / "unet" / "diffusion_pytorch_model.fp16.safetensors", diffusers(family))
    return folder


def training_folder(folder, family):
    put(folder / "model.safetensors", {f"unet.{name}": it for name, it in diffusers(family).items()})
    return folder


def training_file(folder, family):
    return put(folder / "model.safetensors", {f"module.{name}": it for name, it in diffusers(family).items()})


def pickled_folder(folder, family):
    (folder / "unet").mkdir(parents=True)
    torch.save(diffusers(family), folder / "unet" / "diffusion_pytorch_model.bin")
    return folder


def shards(folder, family):
    tensors = diffusers(family)
    for number in range(3):
        put(folder / f"model-0000{number + 1}-of-00003.safetensors", dict(list(tensors.items())[number::3]))
    return folder


KINDS = (single, bare, diffusers_folder, half_folder, training_folder, training_file, pickled_folder, shards)


@pytest.mark.parametrize("family", SPECS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_the_same_student(tmp_path, kind, family):
    with open_student(kind(tmp_path / "it", family), NAMES) as student:
        student.save(tmp_path / "out.safetensors")
        assert student.family == family and student.codebook.names == NAMES and not student.unknown
    assert same(load_file(tmp_path / "out.safetensors"), ldm(family))
    with open_student(tmp_path / "out.safetensors") as again:
        assert again.codebook.names == NAMES
        assert identical(again.codebook.codes, styles(family)["model_embedding.weight"])


def test_a_whole_folder(tmp_path):
    """UNet, VAE (new attention names) and text encoder become one file with every part."""
    diffusers_folder(tmp_path / "it", "sd1")
    put(tmp_path / "it/text_encoder/model.safetensors", fill(
        {key.removeprefix("cond_stage_model.transformer."): shape for key, shape in
         clip_l("cond_stage_model.", 8, 1, 16).items()}, 5))
    put(tmp_path / "it/vae/diffusion_pytorch_model.safetensors", fill(
        {"quant_conv.weight": (8, 8, 1, 1), "quant_conv.bias": (8,),
         "decoder.mid_block.attentions.0.to_q.weight": (4, 4)}))
    with open_student(tmp_path / "it") as student:
        assert student.parts == ("VAE", "diffusion model", "text encoder")
        student.save(tmp_path / "out.safetensors")
    written = load_file(tmp_path / "out.safetensors")
    assert written["first_stage_model.decoder.mid.attn_1.q.weight"].shape == (4, 4, 1, 1)
    assert "cond_stage_model.transformer.text_model.final_layer_norm.weight" in written
    anatomy = inspect(open_checkpoint(tmp_path / "out.safetensors"))
    assert anatomy.architecture.family == "sd1" and len(anatomy.styles) == 5


def test_parts_of_another_checkpoint(tmp_path):
    donor = fill(unet(SPECS["sd1"]) | text_encoders("sd1", 8, 16, 1) | vae(2), 9)
    put(tmp_path / "donor.safetensors", donor)
    with open_student(single(tmp_path, "sd1")) as student:
        whole = student.with_parts_of(open_checkpoint(tmp_path / "donor.safetensors"))
        assert set(whole.parts) == {"diffusion model", TEXT, VAE}
        whole.save(tmp_path / "out.safetensors", dtype="float32")
    written = load_file(tmp_path / "out.safetensors")
    assert written[UNET + "out.2.weight"].dtype == torch.float32
    assert torch.equal(written[UNET + "out.2.weight"], ldm()[UNET + "out.2.weight"].float())
    assert torch.equal(written["first_stage_model.quant_conv.bias"], donor["first_stage_model.quant_conv.bias"].float())
    with open_student(single(tmp_path / "xl", "sdxl")) as other, pytest.raises(MismatchError, match="SDXL"):
        other.with_parts_of(open_checkpoint(tmp_path / "donor.safetensors"))


def test_metadata(tmp_path):
    path = put(tmp_path / "a.safetensors", ldm(), **{STYLES_KEY: '["größe", "b"]', "author": "someone"})
    with open_student(path) as student:
        assert student.codebook.names == ("größe", "b")
        student.renamed(("c", "d")).save(tmp_path / "out.safetensors")
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata[STYLES_KEY]) == ["c", "d"] and metadata["author"] == "someone"
    assert metadata["modelspec.architecture"] == "stable-diffusion-v1"


# -- what is refused


def plain(folder):
    return put(folder / "x.safetensors", fill(unet(SPECS["sd1"]))), "not a DMM student"


def no_mlp(folder):
    tensors = {name: it for name, it in ldm().items() if "linear_2" not in name}
    return put(folder / "x.safetensors", tensors), "no add_embedding.linear_2.weight"


def wrong_width(folder):
    return put(folder / "x.safetensors", ldm(width=12)), "12 wide, but the UNet's time embedding is 16"


def no_styles(folder):
    return put(folder / "x.safetensors", ldm(count=0)), "no style prompts"


def two_families(folder):
    return put(folder / "x.safetensors", fill(unet(SPECS["sd1"])) | {
        UNET + name: it for name, it in styles("sdxl").items()}), "parts of two models"


def codebook_alone(folder):
    return put(folder / "x.safetensors", {UNET + name: it for name, it in styles().items()}), "time embedding is none"


def empty_folder(folder):
    folder.mkdir(exist_ok=True)
    return folder, "has no UNet"


def half_a_file(folder):
    path = single(folder, "sd1")
    path.write_bytes(path.read_bytes()[:2000])
    return path, "only its beginning"


def missing(folder):
    return folder / "nowhere.safetensors", "nowhere.safetensors"


def names_in_the_file_that_do_not_fit(folder):
    return put(folder / "x.safetensors", ldm(), **{STYLES_KEY: '["one"]'}), "2 styles, but there are 1 names"


CASES = (plain, no_mlp, wrong_width, no_styles, two_families, codebook_alone, empty_folder, half_a_file, missing,
         names_in_the_file_that_do_not_fit)


@pytest.mark.parametrize("case", CASES)
def test_no_student(tmp_path, case):
    path, words = case(tmp_path)
    with pytest.raises((FileError, MismatchError, RecipeError)) as error:
        open_student(path)
    assert words in plain_sentence(error.value)


def test_a_full_disk_or_a_cancel_leaves_nothing(tmp_path):
    class Stop:
        def step(self, done, total, what):
            raise KeyboardInterrupt

        def cancelled(self):
            return False

    with open_student(single(tmp_path, "sd1")) as student:
        with pytest.raises(KeyboardInterrupt):
            student.save(tmp_path / "out.safetensors", progress=Stop())
        with pytest.raises(FileError, match="exists already"):
            student.save(tmp_path / "student.safetensors")
        with pytest.raises(RecipeError, match="float8"):
            student.save(tmp_path / "out.safetensors", dtype="float8_e4m3fn")
    assert [path.name for path in tmp_path.iterdir()] == ["student.safetensors"]


# -- students as ingredients


def kitchen(tmp_path, **files):
    for name, tensors in files.items():
        metadata = {STYLES_KEY: '["anime", "ink"]'} if name == "student" else {}
        put(tmp_path / f"{name}.safetensors", tensors, **metadata)
    return ModelFolders.below(tmp_path)


def soup(*names, **options):
    return Recipe(tuple(Ingredient(f"{name}.safetensors") for name in names), **options)


@pytest.mark.parametrize("family", SPECS)
def test_a_soup_of_a_student_and_a_specialist(tmp_path, family):
    """The UNets are averaged, the styles carried as they are, also where the output is float8."""
    models = kitchen(tmp_path, student=ldm(family), other=fill(unet(SPECS[family]), 3))
    cooked = cook(soup("student", "other"), models)
    for name, it in styles(family).items():
        assert identical(cooked[UNET + name], it)
    key = UNET + "out.2.weight"
    assert torch.equal(cooked[key], ((ldm(family)[key].float() + fill(unet(SPECS[family]), 3)[key].float()) / 2).half())
    assert len(cooked) == len(ldm(family))
    small = cook(soup("student", "other"), models, dtype="float8_e4m3fn")
    assert identical(small[UNET + "model_embedding.weight"], styles(family)["model_embedding.weight"])


def test_the_soup_is_a_student(tmp_path):
    models = kitchen(tmp_path, student=ldm(), other=fill(unet(SPECS["sd1"]), 3))
    cook_to_file(soup("student", "other"), models, tmp_path / "soup.safetensors")
    with open_student(tmp_path / "soup.safetensors") as student:
        assert student.codebook.names == NAMES


def test_students_of_one_codebook(tmp_path):
    """Also where one of them keeps it in another dtype; different codebooks are refused."""
    wide = {name: it.float() for name, it in ldm(seed=2).items()}
    models = kitchen(tmp_path, student=ldm(), wide=wide, stranger=ldm(seed=3) | {
        UNET + name: it for name, it in styles(seed=4).items()})
    assert cook(soup("student", "wide"), models).plan.style_names == NAMES
    with pytest.raises(MismatchError, match="different style prompts"):
        cook(soup("student", "stranger"), models)


def test_sdxl_in_diffusers_names_is_no_student(tmp_path):
    """SDXL's own add_embedding is its label embedding, and averaged like any other tensor."""
    tensors = {name: it for name, it in diffusers("sdxl").items() if name not in styles("sdxl")}
    models = kitchen(tmp_path, a=tensors, b={name: it * 2 for name, it in tensors.items()})
    cooked = cook(soup("a", "b"), models)
    assert not cooked.plan.styles
    assert cooked.plan.architecture.family == "sdxl"
    assert torch.equal(cooked[UNET + "label_emb.0.0.weight"],
                       (tensors["add_embedding.linear_1.weight"].float() * 1.5).half())


@pytest.mark.parametrize("family", SPECS)
def test_diffusers_names_and_ldm_names_in_one_soup(tmp_path, family):
    models = kitchen(tmp_path, student=diffusers(family), same=ldm(family), other=fill(unet(SPECS[family]), 3))
    assert same(dict(cook(soup("student", "other"), models)), dict(cook(soup("same", "other"), models)))


# -- the command line


def run(*arguments):
    done = subprocess.run([sys.executable, "-m", "diffusion_soup", "dmm", *map(str, arguments)], capture_output=True,
                          text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_command_line(tmp_path):
    diffusers_folder(tmp_path / "it", "sd1")
    code, text, _ = run("inspect", tmp_path / "it", "--json")
    assert code == 0 and json.loads(text)["styles"] == ["style 1", "style 2"]
    code, text, errors = run("convert", tmp_path / "it", "-o", tmp_path / "out.safetensors", "--names", "anime, ink")
    assert code == 0 and "2 styles (anime, ink)" in text and "no VAE and no text encoder" in errors.replace(
        "no text encoder and no VAE", "no VAE and no text encoder")
    code, text, _ = run("inspect", tmp_path / "out.safetensors")
    assert code == 0 and "anime, ink" in text
    for arguments in (("inspect", tmp_path / "nowhere"),
                      ("convert", tmp_path / "it", "-o", tmp_path / "out.safetensors"),
                      ("convert", tmp_path / "it", "-o", tmp_path / "o.safetensors", "--names", "one"),
                      ("convert", tmp_path / "out.safetensors", "-o", tmp_path / "out.safetensors", "--overwrite")):
        code, text, errors = run(*arguments)
        assert code == 2 and errors.startswith("error: ") and errors.count("\n") == 1, errors
    assert not (tmp_path / "o.safetensors").exists()
