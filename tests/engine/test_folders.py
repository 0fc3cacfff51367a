"""Finding files: by name, by hash when they moved, and never outside the folders."""

import os

import pytest

from diffusion_soup import FileError, HashCache, ModelFile, ModelFolders, hashes

from .kitchen import fill, plain_sentence, tiny_unet

NAME = "anime.safetensors"


@pytest.fixture
def sha(pantry):
    pantry.put("anime", fill(tiny_unet(), 1))
    pantry.put("other", fill(tiny_unet(), 2))
    return HashCache().sha256(pantry.root / NAME)


def refused(models, wanted):
    with pytest.raises(FileError) as caught:
        models.find(wanted)
    assert wanted.file in str(caught.value)
    return plain_sentence(caught.value)


def test_by_name(pantry, sha):
    assert pantry.models.find(ModelFile(NAME)) == pantry.root / NAME
    assert pantry.models.find(ModelFile(NAME, sha256=sha)) == pantry.root / NAME


@pytest.mark.parametrize("folder", ["checkpoints", "Stable-diffusion", "diffusion_models", "unet", "deep/er"])
def test_in_the_hosts_subfolders(pantry, sha, folder):
    (pantry.root / folder).mkdir(parents=True)
    moved = (pantry.root / NAME).rename(pantry.root / folder / NAME)
    assert pantry.models.find(ModelFile(f"{folder}/{NAME}")) == moved
    if folder != "deep/er":
        assert pantry.models.find(ModelFile(NAME)) == moved


def test_loras_have_folders_of_their_own(pantry):
    (pantry.root / "loras").mkdir()
    (pantry.root / "loras" / NAME).write_bytes(b"x")
    assert pantry.models.find(ModelFile(NAME, "lora")) == pantry.root / "loras" / NAME
    refused(pantry.models, ModelFile(NAME))


def test_the_first_folder_wins(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / NAME).write_text(name)
    models = ModelFolders({"checkpoint": [tmp_path / "one", tmp_path / "two"]})
    assert models.find(ModelFile(NAME)).read_text() == "one"


# -- by hash ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["renamed.safetensors", "checkpoints/sub/renamed.safetensors"])
@pytest.mark.parametrize("known", [True, False], ids=["hashed before", "never hashed"])
def test_a_file_that_moved_is_found_again(pantry, sha, place, known):
    if known:
        pantry.models.find(ModelFile(NAME, sha256=sha))
    (pantry.root / place).parent.mkdir(parents=True, exist_ok=True)
    moved = (pantry.root / NAME).rename(pantry.root / place)
    assert pantry.models.find(ModelFile(NAME, sha256=sha)) == moved


def test_a_file_replaced_by_another_is_found_where_it_went(pantry, sha):
    moved = (pantry.root / NAME).rename(pantry.root / "old.safetensors")
    pantry.put("anime", fill(tiny_unet(), 3))
    assert pantry.models.find(ModelFile(NAME, sha256=sha)) == moved


def test_a_file_that_changed_and_is_nowhere_else(pantry, sha):
    pantry.put("anime", fill(tiny_unet(), 3))
    text = refused(pantry.models, ModelFile(NAME, sha256=sha))
    assert f"the recipe says {sha[:10]}" in text and "sha256 begins with" in text


def test_a_file_that_is_gone(pantry, sha):
    assert "looked in" in refused(pantry.models, ModelFile("photo.safetensors"))
    photo = ModelFile("photo.safetensors", sha256="0" * 64)
    assert "nor any other file with its sha256" in refused(pantry.models, photo)


def test_likely_files_are_hashed_first(pantry, sha, monkeypatch):
    """After a move, a file of the size it had is hashed; a thousand others are not."""
    pantry.models.find(ModelFile(NAME, sha256=sha))
    for number in range(5):
        (pantry.root / f"{number}.safetensors").write_bytes(b"x" * number)
    moved = (pantry.root / NAME).rename(pantry.root / "zebra.safetensors")
    read, real = [], hashes._digest
    monkeypatch.setattr(hashes, "_digest", lambda path, counter: read.append(path) or real(path, counter))
    assert pantry.models.find(ModelFile(NAME, sha256=sha)) == moved
    assert set(read) <= {moved, pantry.root / "other.safetensors"}


def test_a_candidate_that_cannot_be_read_is_passed_over(pantry, sha, monkeypatch):
    moved = (pantry.root / NAME).rename(pantry.root / "zebra.safetensors")
    real = hashes._digest

    def digest(path, counter):
        if path != moved:
            raise FileError(f"{path.name}: cannot be read (Permission denied).")
        return real(path, counter)

    monkeypatch.setattr(hashes, "_digest", digest)
    assert pantry.models.find(ModelFile(NAME, sha256=sha)) == moved


# -- links -----------------------------------------------------------------------------------------------


def test_links_are_followed(pantry, sha, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "real.safetensors"
    (pantry.root / NAME).rename(elsewhere)
    (pantry.root / NAME).symlink_to(elsewhere)
    assert pantry.models.find(ModelFile(NAME, sha256=sha)) == pantry.root / NAME


def test_links_to_folders_are_searched(pantry, sha, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (pantry.root / NAME).rename(elsewhere / "real.safetensors")
    (pantry.root / "more").symlink_to(elsewhere)
    assert pantry.models.find(ModelFile(NAME, sha256=sha)) == pantry.root / "more" / "real.safetensors"


def test_links_in_circles_end(pantry, sha):
    for name in ("a", "b", "c"):
        (pantry.root / name).mkdir()
        for other in ("x", "y", "z"):
            (pantry.root / name / other).symlink_to(pantry.root)
    refused(pantry.models, ModelFile("photo.safetensors", sha256="0" * 64))


def test_broken_links_and_folders_are_no_files(pantry, sha):
    (pantry.root / "broken.safetensors").symlink_to(pantry.root / "nowhere")
    (pantry.root / "folder.safetensors").mkdir()
    for name in ("broken.safetensors", "folder.safetensors"):
        refused(pantry.models, ModelFile(name, sha256="0" * 64))


def test_a_models_folder_that_is_none(tmp_path):
    for path in (tmp_path / "missing", tmp_path / "file"):
        (tmp_path / "file").touch()
        with pytest.raises(FileError, match="does not exist"):
            ModelFolders.below(path)


def test_kinds_without_folders():
    assert "no folder" in refused(ModelFolders({}), ModelFile(NAME))


def test_only_model_files_are_searched(pantry, sha):
    os.rename(pantry.root / NAME, pantry.root / "anime.txt")
    refused(pantry.models, ModelFile(NAME, sha256=sha))


def test_looking_reads_no_file(pantry, sha, monkeypatch):
    """What is known without hashing: here, moved, changed, missing."""
    models = ModelFolders.below(pantry.root, HashCache())
    models.hashes.sha256(pantry.root / NAME)
    monkeypatch.setattr(hashes, "_digest", None)
    assert models.look(ModelFile(NAME)) == ("here", NAME)
    assert models.look(ModelFile(NAME, sha256=sha)) == ("here", NAME)
    assert models.look(ModelFile(NAME, sha256="0" * 64)) == ("changed", NAME)
    other = "other.safetensors"
    assert models.look(ModelFile(other, sha256="0" * 64)) == ("here", other), "not hashed yet"
    assert models.look(ModelFile("sub/gone.safetensors", sha256=sha)) == ("moved", NAME)
    assert models.look(ModelFile("gone.safetensors")) == ("missing", None)
    assert models.look(ModelFile("gone.safetensors", sha256="0" * 64)) == ("missing", None)
