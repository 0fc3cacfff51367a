"""``diffusion-soup greedy``: candidates painted by diffusers from cooked tensors, and a search that can be stopped."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from diffusion_soup import Ingredient, ModelFolders, Recipe, layout
from diffusion_soup.checkpoint import DTYPE_NAMES, TensorInfo
from diffusion_soup.cli import main
from diffusion_soup.evaluations import Evaluations, Question
from diffusion_soup.studio import Studio

from ..scorers import blip_folder, clip_folder
from .test_score import transformers  # noqa: F401

NAMES = ("ember", "lagoon", "meadow")


def numbers(module, seed):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(tensor.shape, generator=generator) * max(tensor[0].numel(), 1) ** -0.5
            + (tensor.ndim == 1 and name.endswith("weight")) if tensor.ndim else tensor
            for name, tensor in module.state_dict().items()}


def single_file(parts):
    """The state of a single-file checkpoint from modules' states."""
    converters = {"unet": layout.unet, "vae": layout.vae,
                  "text_encoder": lambda described: layout.clip(described, "cond_stage_model.transformer.")}
    state = {}
    for part, tensors in parts.items():
        described = {name: TensorInfo(name, DTYPE_NAMES[tensor.dtype], tuple(tensor.shape))
                     for name, tensor in tensors.items()}
        state |= {key: piece.make(tensors.__getitem__) for key, piece in converters[part](described).pieces.items()}
    return {key: tensor.half() for key, tensor in state.items()}


@pytest.fixture(scope="module")
def kit(transformers, tmp_path_factory):  # noqa: F811
    """Three tiny SD 1.x checkpoints, the pipeline of their family, scorers and prompts."""
    import diffusers

    root = tmp_path_factory.mktemp("kit")
    torch.manual_seed(0)
    modules = {
        "unet": diffusers.UNet2DConditionModel(
            sample_size=8, block_out_channels=(32, 64), layers_per_block=1, cross_attention_dim=768,
            attention_head_dim=8, norm_num_groups=8, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D")),
        "vae": diffusers.AutoencoderKL(
            block_out_channels=(16, 16, 16, 16), layers_per_block=1, norm_num_groups=4, latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4),
        "text_encoder": transformers.CLIPTextModel(transformers.CLIPTextConfig(
            vocab_size=40, hidden_size=768, intermediate_size=64, num_hidden_layers=1, num_attention_heads=12,
            max_position_embeddings=77, bos_token_id=31, eos_token_id=32))}
    folder = root / "scorers" / "tiny"
    clip_folder(folder)
    blip_folder(root / "scorers" / "reward")
    diffusers.StableDiffusionPipeline(
        **modules, tokenizer=transformers.CLIPTokenizer.from_pretrained(folder), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
        scheduler=diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012,
                                                  steps_offset=1),
    ).save_pretrained(root / "pipeline")
    (root / "models").mkdir()
    for seed, name in enumerate(NAMES):
        states = {part: numbers(module, seed) for part, module in modules.items()}
        save_file(single_file(states), root / "models" / f"{name}.safetensors")
    for path in (root / "pipeline").rglob("*.safetensors"):
        path.unlink()  # no weights are needed
    (root / "prompts.txt").write_text("a fox\n# comment\na box\n")
    return root


@pytest.fixture
def command(kit, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*more, scorer="clipscore:tiny", candidates=NAMES):
        kind, _, folder = scorer.partition(":")
        return main(["greedy", *(f"{name}.safetensors" for name in candidates), "--models", str(kit / "models"),
                     "--prompts", str(kit / "prompts.txt"), "--scorer", f"{kind}:{kit / 'scorers' / folder}",
                     "--pipeline", str(kit / "pipeline"), "--out", str(tmp_path / "recipe.json"), "--steps", "2",
                     "--width", "64", "--height", "64", *more])

    return run


def told(capsys):
    return json.loads(capsys.readouterr().out)


def test_greedy(command, tmp_path, capsys):
    assert command("--json", "--report", str(tmp_path / "report.png")) == 0
    first = told(capsys)
    assert first["painted"] == (3 + 2) * 2
    recipe = Recipe.from_json((tmp_path / "recipe.json").read_text())
    assert recipe.to_dict() == first["recipe"] and all(each.sha256 for each in recipe.ingredients)
    assert first["score"] == max(step["score"] for step in first["steps"])
    assert len({step["score"] for step in first["steps"]}) > 2, "candidates look different"
    with Image.open(tmp_path / "report.png") as picture:
        assert picture.width == 1024
    assert command("--json", "--overwrite") == 0
    again = told(capsys)
    assert again["painted"] == 0 and again["steps"] == first["steps"]


def test_stopped_and_run_again(command, tmp_path, capsys, monkeypatch):
    """Ctrl+C while painting: everything scored before stays."""
    paint, done = Studio._stepped, []

    def stopping(self, *values):
        done.append(values)
        if len(done) == 2 * 2 * 2 + 1:  # in the third candidate's first picture
            raise KeyboardInterrupt
        return paint(self, *values)

    monkeypatch.setattr(Studio, "_stepped", stopping)
    with pytest.raises(SystemExit) as stop:
        command()
    assert stop.value.code == 130 and "goes on there" in capsys.readouterr().err
    assert not (tmp_path / "recipe.json").exists()
    assert len((tmp_path / "recipe.evaluations.jsonl").read_text().splitlines()) == 4
    assert command("--json") == 0
    assert told(capsys)["painted"] == 10 - 4


def test_text(command, capsys):
    assert command("--method", "coordinate", "--budget", "3", scorer="imagereward:reward",
                   candidates=("ember", "lagoon")) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("* ") and "all 2 (the beginning)" in out[0]
    assert "Stopped after 3 evaluations" in out[-1]


def test_pictures_are_the_pipelines_own(kit, transformers):  # noqa: F811
    """As the pipeline paints with the checkpoint loaded from a file, and differently with another one."""
    import diffusers

    models = ModelFolders.below(kit / "models")
    painter = Studio(kit / "pipeline", models, steps=2)
    question = Question("", "a fox", "box", 3, 64, 64, "")
    painted = [next(painter(Recipe((Ingredient(f"{name}.safetensors"),)), [question])) for name in ("ember", "lagoon")]
    assert not torch.allclose(painted[0], painted[1], atol=0.02)
    from safetensors.torch import load_file
    state = load_file(kit / "models/ember.safetensors")
    unet = diffusers.UNet2DConditionModel.from_config(
        diffusers.UNet2DConditionModel.load_config(kit / "pipeline/unet"))
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
    unet.load_state_dict({key: value.float() for key, value in convert_ldm_unet_checkpoint(
        dict(state), dict(unet.config)).items()})
    pipeline = painter._pipeline
    pipeline.unet = unet.eval()
    painter._put({key: value for key, value in state.items()})
    with torch.no_grad():
        wanted = pipeline("a fox", negative_prompt="box", width=64, height=64, num_inference_steps=2, output_type="np",
                          guidance_scale=7.0, generator=torch.Generator().manual_seed(3)).images[0]
    assert np.allclose(painted[0].permute(1, 2, 0).numpy(), wanted, atol=1e-4)


def test_nothing_is_written(kit, transformers, tmp_path):  # noqa: F811
    """No temporary checkpoints: nothing is written among the models."""
    models = ModelFolders.below(kit / "models")
    before = {path: path.stat().st_mtime_ns for path in kit.rglob("*")}
    painter = Studio(kit / "pipeline", models, steps=1)
    next(painter(Recipe((Ingredient("ember.safetensors"),)), [Question("", "a", "", 0, 64, 64, "")]))
    assert {path: path.stat().st_mtime_ns for path in kit.rglob("*")} == before


@pytest.mark.parametrize("change, words", [
    (["--pipeline", "{kit}/models"], "is no pipeline"),
    (["--scorer", "beauty:x"], "'beauty:x'"),
    (["--prompts", "{kit}/gone.txt"], "gone.txt cannot be read"),
    (["--out", "{kit}/recipe.txt"], "recipe.txt needs a name that ends in .json"),
    (["--out", "{kit}/gone/recipe.json"], "does not exist"),
    (["--lora", "ink.safetensors"], "name the base checkpoint"),
])
def test_mistakes(command, kit, capsys, change, words):
    assert command(*(each.format(kit=kit) for each in change)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and words in error and error.count("\n") == 1


def test_a_pipeline_of_another_family(command, kit, tmp_path, capsys):
    for part, change, words in (("unet", {"layers_per_block": 2}, "is not of this family of models: its unet has"),
                                ("text_encoder", {"num_hidden_layers": 2}, "does not fit these models")):
        shutil.rmtree(tmp_path / "other", ignore_errors=True)
        shutil.copytree(kit / "pipeline", tmp_path / "other")
        settings = json.loads((tmp_path / "other" / part / "config.json").read_text())
        (tmp_path / "other" / part / "config.json").write_text(json.dumps({**settings, **change}))
        assert command("--pipeline", str(tmp_path / "other")) == 2
        assert words in capsys.readouterr().err
    (tmp_path / "other/model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    assert command("--pipeline", str(tmp_path / "other")) == 2
    assert "is a FluxPipeline" in capsys.readouterr().err


def test_without_diffusers(command, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    assert command() == 2
    assert "pip install diffusion-soup[select]" in capsys.readouterr().err


def test_evaluations_elsewhere(command, tmp_path, capsys):
    assert command("--evaluations", str(tmp_path / "kept.jsonl"), "--json") == 0
    assert Evaluations(tmp_path / "kept.jsonl").file.exists() and told(capsys)["painted"] == 10
