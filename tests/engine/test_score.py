"""Built-in scorers give what their authors' models give, and say in one sentence what is wrong with a folder."""

import dataclasses
import importlib.util
import json
import pickle
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from demo.launch import declare_missing_operators
from diffusion_soup import Cancelled, SoupError
from diffusion_soup.score import KINDS, offered, open_scorer
from diffusion_soup.score.pictures import MEAN, STD, prepared

from ..scorers import TOKENS, blip_folder, clip_folder, head_shapes, random_weights
from .kitchen import plain_sentence

PROMPTS = ["a fox", "a fox and a box", "fob"]

@pytest.fixture(scope="module")
def transformers():
    """transformers with its model classes, which import a torchvision that may be built for another torch."""
    if importlib.util.find_spec("torchvision"):
        declare_missing_operators()
    import transformers
    import transformers.models.blip.modeling_blip
    import transformers.models.clip.modeling_clip  # noqa: F401
    return transformers


def images(count=3, height=40, width=56):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(5))


# -- references --------------------------------------------------------------------------------------


def seen(pictures, side=24):
    """Pictures as torchvision's Resize, CenterCrop and Normalize leave them."""
    found = []
    for picture in pictures:
        levels = (picture.numpy() * 255).round().astype(np.uint8).transpose(1, 2, 0)
        height, width = levels.shape[:2]
        scaled = Image.fromarray(levels).resize(
            (side, int(side * height / width)) if width < height else (int(side * width / height), side),
            Image.Resampling.BICUBIC)
        left, top = round((scaled.width - side) / 2), round((scaled.height - side) / 2)
        cut = np.asarray(scaled, dtype=np.float32)[top:top + side, left:left + side] / 255
        found.append((cut - np.float32(MEAN)) / np.float32(STD))
    return torch.from_numpy(np.stack(found).transpose(0, 3, 1, 2))


def clip_reference(transformers, folder, weights, config, prompts, pictures):
    """Normalised embeddings by the model class of transformers."""
    model = transformers.CLIPModel(transformers.CLIPConfig.from_dict(config)).eval()
    model.load_state_dict(weights)
    words = transformers.CLIPTokenizer.from_pretrained(folder)
    ids = words(prompts, padding=True, truncation=True, max_length=12, return_tensors="pt")
    with torch.no_grad():
        out = model(pixel_values=seen(pictures), **ids)
    return out.image_embeds, out.text_embeds


def head_reference(x, weights, prefix=""):
    for at in (0, 2, 4, 6, 7):
        x = x @ weights[f"{prefix}layers.{at}.weight"].T + weights[f"{prefix}layers.{at}.bias"]
    return x[:, 0]


@pytest.mark.parametrize("end", [2, "the last word"])
@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_clip_scores(transformers, tmp_path, end, act):
    part = {"hidden_act": act}
    weights, config = clip_folder(tmp_path / "clip", end)
    config = {**config, "text_config": {**config["text_config"], **part},
              "vision_config": {**config["vision_config"], **part}}
    (tmp_path / "clip/config.json").write_text(json.dumps(config))
    pictures, above = images(), []
    for sign in (1, -1):  # CLIPScore cuts off what is below 0
        weights["visual_projection.weight"] *= sign
        save_file(weights, tmp_path / "clip/model.safetensors")
        look, _ = clip_reference(transformers, tmp_path / "clip", weights, config, PROMPTS, pictures)
        _, read = clip_reference(transformers, tmp_path / "clip", weights, config,
                                 [f"A photo depicts {prompt}" for prompt in PROMPTS], pictures)
        found = open_scorer("clipscore:clip", [tmp_path])(pictures, PROMPTS)
        assert np.allclose(found, 2.5 * (look * read).sum(-1).clamp(min=0), atol=1e-5)
        above += [score for score in found if score > 0]
        _, read = clip_reference(transformers, tmp_path / "clip", weights, config, PROMPTS, pictures)
        wanted = weights["logit_scale"].exp() * (look * read).sum(-1)
        assert np.allclose(open_scorer("pickscore:clip", [tmp_path])(pictures, PROMPTS), wanted, atol=1e-5)
        assert len({round(float(each), 3) for each in wanted}) == 3, "pictures and prompts have a say"
    assert len({round(score, 3) for score in above}) >= 3


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_aesthetic(transformers, tmp_path, suffix):
    weights, config = clip_folder(tmp_path / "clip")
    head = random_weights(head_shapes(20), 3)
    file = tmp_path / "clip" / f"sac+logos+ava1-l14-linearMSE{suffix}"
    torch.save(head, file) if suffix == ".pth" else save_file(head, file)
    pictures = images()
    embeddings, _ = clip_reference(transformers, tmp_path / "clip", weights, config, PROMPTS, pictures)
    found = open_scorer("aesthetic:clip", [tmp_path])(pictures, PROMPTS)
    assert np.allclose(found, head_reference(embeddings, head), rtol=1e-4) and np.std(found) > 0.01
    assert open_scorer("aesthetic:clip", [tmp_path])(pictures, ["x"] * 3) == found, "prompts have no say"


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_image_reward(transformers, tmp_path, suffix):
    weights = blip_folder(tmp_path / "reward", suffix)
    pictures = images()
    blip = transformers.models.blip
    vision = blip.modeling_blip.BlipVisionModel(transformers.BlipVisionConfig(
        hidden_size=128, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2, image_size=24, patch_size=8,
        layer_norm_eps=1e-6)).eval()
    names = {"cls_token": "embeddings.class_embedding", "pos_embed": "embeddings.position_embedding",
             "patch_embed.proj": "embeddings.patch_embedding", "blocks": "encoder.layers",
             ".attn.qkv": ".self_attn.qkv", ".attn.proj": ".self_attn.projection", ".norm1": ".layer_norm1",
             ".norm2": ".layer_norm2"}
    state = {}
    for name, tensor in weights.items():
        if name.startswith("blip.visual_encoder."):
            name = name.removeprefix("blip.visual_encoder.")
            name = name.replace("norm.", "post_layernorm.") if name.startswith("norm.") else name
            for ours, theirs in names.items():
                name = name.replace(ours, theirs)
            state[name] = tensor
    vision.load_state_dict(state)
    from transformers.models.blip.modeling_blip_text import BlipTextModel
    text = BlipTextModel(transformers.BlipTextConfig(
        vocab_size=len(TOKENS) + 2, hidden_size=64, encoder_hidden_size=128, intermediate_size=80, num_hidden_layers=2,
        num_attention_heads=1, max_position_embeddings=40, is_decoder=True), add_pooling_layer=False).eval()
    text.load_state_dict({name.removeprefix("blip.text_encoder."): tensor for name, tensor in weights.items()
                          if name.startswith("blip.text_encoder.")})
    table = {token: at for at, token in enumerate(TOKENS)}
    ids = torch.zeros(3, 35, dtype=torch.long)
    for row, words in enumerate((["a", "fox"], ["a", "fox", "and", "a", "box"], ["fo", "##b"])):
        ids[row, :len(words) + 2] = torch.tensor([table["[CLS]"], *(table[word] for word in words), table["[SEP]"]])
    with torch.no_grad():
        picture = vision(pixel_values=seen(pictures)).last_hidden_state
        read = text(input_ids=ids, attention_mask=(ids > 0).long(), encoder_hidden_states=picture,
                    encoder_attention_mask=torch.ones(picture.shape[:2])).last_hidden_state
    wanted = (head_reference(read[:, 0], weights, "mlp.") - 0.16717362830052426) / 1.0333394966554072
    found = open_scorer("imagereward:reward", [tmp_path])(pictures, PROMPTS)
    assert np.allclose(found, wanted, rtol=1e-4, atol=1e-4) and np.std(found) > 0.01


@pytest.mark.parametrize("height, width", [(24, 24), (40, 56), (57, 24), (25, 30), (8, 9)])
def test_pictures_are_seen_as_by_torchvision(height, width):
    assert torch.allclose(prepared(images(2, height, width), 24), seen(images(2, height, width)), atol=1e-6)


def test_many_pictures_are_scored_as_each_alone(tmp_path):
    clip_folder(tmp_path / "clip")
    blip_folder(tmp_path / "reward")
    pictures, prompts = images(19), ["a fox", "box"] * 9 + ["a"]
    for spec in ("clipscore:clip", "pickscore:clip", "imagereward:reward"):
        scorer = open_scorer(spec, [tmp_path])
        alone = [scorer(pictures[at:at + 1], prompts[at:at + 1])[0] for at in range(19)]
        assert np.allclose(scorer(pictures, prompts), alone, atol=1e-4)


def test_identity_is_that_of_the_files(tmp_path):
    clip_folder(tmp_path / "clip")
    first = open_scorer("clipscore:clip", [tmp_path]).identity
    assert open_scorer("clipscore:clip", [tmp_path]).identity == first != \
        open_scorer("pickscore:clip", [tmp_path]).identity
    weights, _ = clip_folder(tmp_path / "other")
    save_file({**weights, "logit_scale": torch.tensor(3.0)}, tmp_path / "other/model.safetensors")
    assert open_scorer("clipscore:other", [tmp_path]).identity != first


def test_opening_can_be_stopped(tmp_path):
    """While weights are read, and while they are hashed."""
    class Stop:
        def __init__(self, after):
            self.after = after

        def step(self, done, total, what):
            pass

        def cancelled(self):
            self.after -= 1
            return self.after < 0

    clip_folder(tmp_path / "clip")
    blip_folder(tmp_path / "reward")
    for spec in ("clipscore:clip", "imagereward:reward"):
        for after in (0, 5):
            with pytest.raises(Cancelled):
                open_scorer(spec, [tmp_path], progress=Stop(after))
        assert open_scorer(spec, [tmp_path], progress=Stop(10_000)).identity


def test_what_is_offered(tmp_path):
    clip_folder(tmp_path / "clip")
    clip_folder(tmp_path / "looks")
    torch.save({}, tmp_path / "looks/sac+logos+ava1-l14-linearMSE.pth")
    blip_folder(tmp_path / "reward")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "a file").write_text("")
    assert offered([tmp_path, tmp_path / "missing"]) == [
        "clipscore:clip", "pickscore:clip", "clipscore:looks", "pickscore:looks", "aesthetic:looks",
        "imagereward:reward"]


# -- what goes wrong ---------------------------------------------------------------------------------


def half(path):
    path.write_bytes(path.read_bytes()[:-1000])


def without(path, name):
    from safetensors.torch import load_file
    tensors = load_file(path)
    del tensors[name]
    save_file(tensors, path)


def broken_clip(change):
    def make(folder):
        clip_folder(folder)
        change(folder)

    return make


def write_config(**changes):
    def change(folder):
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**settings, **changes}))

    return change


def nan_weights(folder):
    weights, _ = clip_folder(folder)
    save_file({**weights, "logit_scale": torch.tensor(float("nan"))}, folder / "model.safetensors")


class Evil:
    def __reduce__(self):
        return print, ("code ran",)


def evil(folder):
    blip_folder(folder)
    with open(folder / "ImageReward.pt", "wb") as file:
        pickle.dump(Evil(), file)


def wide_head(folder):
    clip_folder(folder)
    torch.save(random_weights(head_shapes(768)), folder / "sac+logos+ava1-l14-linearMSE.pth")


def no_words(folder):
    blip_folder(folder)
    (folder / "vocab.txt").unlink()


CASES = {
    "nothing": ("clipscore", lambda folder: folder.mkdir(), ["is no CLIP", "config.json", "model.safetensors"]),
    "bert": ("clipscore", broken_clip(write_config(model_type="bert")), ["is a bert model", "config.json"]),
    "half": ("pickscore", broken_clip(lambda folder: half(folder / "model.safetensors")), ["model.safetensors"]),
    "missing": ("clipscore", broken_clip(lambda folder: without(folder / "model.safetensors", "logit_scale")),
                ["1 of its", "logit_scale", "model.safetensors"]),
    "shape": ("clipscore", broken_clip(write_config(projection_dim=21)), ["[20, 32], expected [21, 32]"]),
    "settings": ("clipscore", broken_clip(write_config(text_config={"hidden_size": "many"})),
                 ["does not describe a CLIP"]),
    "nan": ("clipscore", nan_weights, ["logit_scale holds NaN"]),
    "no head": ("aesthetic", clip_folder, ["sac+logos+ava1-l14-linearMSE.pth, beside the CLIP"]),
    "head of another": ("aesthetic", wide_head, ["[1024, 768], expected [1024, 20]"]),
    "not a reward": ("imagereward", clip_folder, ["is not an ImageReward", "blip.visual_encoder.patch_embed"]),
    "half a reward": ("imagereward", lambda folder: (blip_folder(folder), half(folder / "ImageReward.pt")),
                      ["ImageReward.pt"]),
    "code": ("imagereward", evil, ["ImageReward.pt was not opened"]),
    "no words": ("imagereward", no_words, ["has no tokenizer", "vocab.txt"]),
    "no weights": ("imagereward", lambda folder: folder.mkdir(), ["expected ImageReward.pt"]),
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_folders(tmp_path, capfd, name):
    kind, make, words = CASES[name]
    make(tmp_path / "chosen")
    with pytest.raises(SoupError) as error:
        open_scorer(f"{kind}:chosen", [tmp_path])
    text = plain_sentence(error.value)
    assert all(word in text for word in words), text
    assert "code ran" not in capfd.readouterr().out


def test_words_of_a_clip_are_asked_for_when_they_are_needed(tmp_path):
    """The aesthetic predictor reads none."""
    clip_folder(tmp_path / "clip")
    (tmp_path / "clip/vocab.json").unlink()
    with pytest.raises(SoupError) as error:
        open_scorer("clipscore:clip", [tmp_path])(images(1), ["a"])
    assert "vocab.json" in plain_sentence(error.value)


@pytest.mark.parametrize("spec, words", [("clipscore", "expected NAME:FOLDER"), ("beauty:x", "'beauty:x'"),
                                         ("clipscore:gone", "The folder gone of the scorer clipscore was not found")])
def test_specs(tmp_path, spec, words):
    with pytest.raises(SoupError) as error:
        open_scorer(spec, [tmp_path])
    assert words in plain_sentence(error.value)


@pytest.mark.parametrize("library", ["transformers", "PIL"])
def test_without_the_libraries(tmp_path, monkeypatch, library):
    clip_folder(tmp_path / "clip")
    blip_folder(tmp_path / "reward")
    monkeypatch.setitem(sys.modules, library, None)
    for spec in ("clipscore:clip", "imagereward:reward"):
        with pytest.raises(SoupError) as error:
            open_scorer(spec, [tmp_path])
        assert "pip install diffusion-soup[score]" in plain_sentence(error.value)


def test_kinds_say_where_they_come_from():
    assert set(KINDS) == {"clipscore", "pickscore", "aesthetic", "imagereward"}
    assert all(dataclasses.is_dataclass(kind) and kind.title for kind in KINDS.values())
