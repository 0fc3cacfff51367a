"""Pictures with captions, encoded once, whatever is in the folder."""

from __future__ import annotations

import io
import tarfile

import pytest
import torch
from PIL import Image

from diffusion_soup.dmm import data
from diffusion_soup.dmm.data import Captioned, Encoded, PipelineEncoder, encode, in_folder, in_shards
from diffusion_soup.dmm.network import Text
from diffusion_soup.errors import Cancelled, FileError, RecipeError, SoupError

from .test_greedy import kit  # noqa: F401
from .test_score import transformers  # noqa: F401


class Means:
    """Encodes a picture as the means of its cells, and a caption as its length."""

    identity = "means"

    def __init__(self):
        self.seen = 0

    def latents(self, pictures):
        self.seen += len(pictures)
        return torch.nn.functional.avg_pool2d(pictures, 8).repeat(1, 2, 1, 1)[:, :4]

    def text(self, captions):
        return Text(torch.tensor([[[float(len(each))]] for each in captions]),
                    {"time_ids": torch.ones(len(captions), 6)})


def picture(colour, size=(80, 64), suffix="PNG"):
    found = io.BytesIO()
    Image.new("RGB", size, colour).save(found, suffix)
    return found.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Five good pictures, and one of each kind of trouble."""
    root = tmp_path / "pictures"
    (root / "deep").mkdir(parents=True)
    for at in range(4):
        (root / f"{at}.png").write_bytes(picture((40 * at, 0, 0)))
        (root / f"{at}.txt").write_text("x" * (at + 1), encoding="utf-8")
    (root / "deep" / "4.jpg").write_bytes(picture((200, 0, 0), (64, 200), "JPEG"))
    (root / "deep" / "4.txt").write_bytes("\ufeffünf".encode())
    (root / "half.png").write_bytes(picture("red")[:60])
    (root / "half.txt").write_text("half")
    (root / "silent.png").write_bytes(picture("red"))
    (root / "empty.png").write_bytes(picture("red"))
    (root / "empty.txt").write_text(" \n")
    (root / "latin.png").write_bytes(picture("red"))
    (root / "latin.txt").write_bytes("café".encode("latin-1"))
    (root / "notes.md").write_text("no picture")
    return root


def everything(encoded):
    latents, text = encoded.batch(0, len(encoded))
    order = text.tokens[:, 0, 0].argsort()
    return latents[order], text.pick(order)


def test_what_is_good_is_encoded_and_what_is_not_is_named(folder, tmp_path):
    encoded = encode(in_folder(folder), Means(), tmp_path / "cache", 64)
    assert len(encoded) == 5
    assert encoded.skipped == ["empty.png: empty.txt is empty", "half.png: is no picture that can be read",
                               "latin.png: latin.txt is not UTF-8; save it as UTF-8",
                               "silent.png: there is no silent.txt with its caption"]
    latents, text = everything(encoded)
    assert latents.shape == (5, 4, 8, 8) and text.added["time_ids"].shape == (5, 6)
    assert text.tokens[:, 0, 0].tolist() == [1, 2, 3, 3, 4]
    reds = (latents[:, 0, 0, 0] + 1) * 127.5
    assert sorted(reds.round().tolist()) == pytest.approx([0, 40, 80, 120, 200], abs=3)
    assert encoded.nothing(2).tokens.flatten().tolist() == [0, 0]


def test_each_picture_once_before_any_comes_again(folder, tmp_path):
    encoded = encode(in_folder(folder), Means(), tmp_path / "cache", 64)
    reds = [float(encoded.batch(step, 1)[0][0, 0, 0, 0]) for step in range(15)]
    rounds = [tuple(reds[at:at + 5]) for at in (0, 5, 10)]
    assert len(set(rounds[0])) == 5 and set(rounds[0]) == set(rounds[1]) == set(rounds[2])
    assert len(set(rounds)) > 1, "in another order"
    assert torch.equal(encoded.batch(2, 3)[0], Encoded(tmp_path / "cache").batch(2, 3)[0])
    assert torch.equal(torch.cat([encoded.batch(step, 1)[0] for step in (6, 7, 8)]), encoded.batch(2, 3)[0])


def test_what_is_encoded_is_not_encoded_again(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "_SHARD", 2)
    first, second = Means(), Means()

    class After:
        def step(self, done, total, what=""):
            self.done = done

        def cancelled(self):
            return getattr(self, "done", 0) >= 4

    with pytest.raises(Cancelled):
        encode(in_folder(folder), first, tmp_path / "cache", 64, After())
    with pytest.raises(FileError, match="no encoded pictures"):
        Encoded(tmp_path / "cache")
    whole = everything(encode(in_folder(folder), second, tmp_path / "cache", 64))
    fresh = Means()
    assert torch.equal(whole[0], everything(encode(in_folder(folder), fresh, tmp_path / "other", 64))[0])
    assert second.seen < fresh.seen == 5
    again = Means()
    encode(in_folder(folder), again, tmp_path / "cache", 64)
    assert again.seen == 0


def test_more_pictures_later(folder, tmp_path):
    encode(in_folder(folder), Means(), tmp_path / "cache", 64)
    (folder / "new.png").write_bytes(picture("white"))
    (folder / "new.txt").write_text("a new one")
    more = Means()
    encoded = encode(in_folder(folder), more, tmp_path / "cache", 64)
    assert len(encoded) == 6 and more.seen == 1
    assert everything(encoded)[0].amax() == pytest.approx(1, abs=0.01)


def test_a_picture_in_between_moves_the_others(folder, tmp_path):
    encode(in_folder(folder), Means(), tmp_path / "cache", 64)
    (folder / "1a.png").write_bytes(picture("white"))
    (folder / "1a.txt").write_text("in between")
    more = Means()
    encoded = encode(in_folder(folder), more, tmp_path / "cache", 64)
    whole = everything(encode(in_folder(folder), Means(), tmp_path / "fresh", 64))
    assert torch.equal(everything(encoded)[0], whole[0]) and more.seen == 4, "0 and 1 are as they were"
    (folder / "0.txt").write_text("another caption")
    assert everything(encode(in_folder(folder), Means(), tmp_path / "cache", 64))[1].tokens.max() == 15


def test_a_damaged_shard_is_made_again(folder, tmp_path):
    encode(in_folder(folder), Means(), tmp_path / "cache", 64)
    shard = tmp_path / "cache" / "shard-000000.safetensors"
    shard.write_bytes(shard.read_bytes()[:200])
    data._open.cache_clear()
    with pytest.raises(FileError, match="cannot be read .*; remove it and encode again"):
        Encoded(tmp_path / "cache").batch(0, 1)
    assert len(everything(encode(in_folder(folder), Means(), tmp_path / "cache", 64))[0]) == 5


def test_another_base_or_size_has_a_folder_of_its_own(folder, tmp_path):
    encode(in_folder(folder), Means(), tmp_path / "cache", 64)
    other = Means()
    other.identity = "other"
    for encoder, size in ((other, 64), (Means(), 128)):
        with pytest.raises(RecipeError, match="encoded by another base or at another size"):
            encode(in_folder(folder), encoder, tmp_path / "cache", size)


def test_nothing_to_encode(tmp_path):
    with pytest.raises(RecipeError, match="1 were left out, the first: a: is no picture"):
        encode([Captioned("a", b"nothing", "a")], Means(), tmp_path / "cache", 64)
    with pytest.raises(FileError, match="does not exist"):
        encode(in_folder(tmp_path / "nowhere"), Means(), tmp_path / "cache", 64)
    with pytest.raises(RecipeError, match="size of the pictures is 100; expected a multiple of 64"):
        encode([], Means(), tmp_path / "cache", 100)


def test_a_full_disk(folder, tmp_path, monkeypatch):
    from pathlib import Path

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FileError, match="No space left on device. What was encoded before is kept"):
        encode([Captioned("a", picture("red"), "a")], Means(), tmp_path / "cache", 64)
    assert not list((tmp_path / "cache").iterdir())


def test_tar_files(tmp_path):
    pytest.importorskip("webdataset")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, content in {"1.png": picture("red"), "1.txt": b"one", "2.jpg": picture("blue", suffix="JPEG"),
                              "2.txt": "zwölf".encode(), "3.png": picture("red"), "4.txt": b"alone"}.items():
            told = tarfile.TarInfo(name)
            told.size = len(content)
            tar.addfile(told, io.BytesIO(content))
    found = list(in_shards([str(tmp_path / "a.tar")]))
    assert [(each.name, each.caption, bool(each.problem)) for each in found] == [
        ("1", "one", False), ("2", "zwölf", False), ("3", "", True), ("4", "", True)]


def test_tar_files_need_their_library(monkeypatch):
    import sys
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(SoupError, match="pip install webdataset"):
        next(in_shards(["a.tar"]))


def test_a_real_pipeline(kit, tmp_path):  # noqa: F811
    """As the pipeline itself encodes pictures and prompts."""
    from diffusion_soup import Ingredient, ModelFolders, Recipe
    from diffusion_soup.studio import Studio
    studio = Studio(kit / "pipeline", ModelFolders.below(kit / "models"))
    pipeline = studio.loaded(Recipe((Ingredient("ember.safetensors"),)))
    encoder = PipelineEncoder(pipeline, "ember", 64)
    encoded = encode([Captioned("a", picture("red"), "a fox")], encoder, tmp_path / "cache", 64)
    latents, text = encoded.batch(0, 1)
    red = torch.tensor([1.0, -1, -1]).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    with torch.no_grad():
        wanted = pipeline.vae.encode(red).latent_dist.mean * pipeline.vae.config.scaling_factor
        fox, empty = pipeline.encode_prompt("a fox", "cpu", 1, True)
    torch.testing.assert_close(latents, wanted, rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(text.tokens, fox, rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(encoded.nothing(1).tokens, empty, rtol=2e-3, atol=2e-3)
