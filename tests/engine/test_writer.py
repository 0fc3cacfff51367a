"""Writing safetensors: readable by others, all or nothing, never over an earlier file unasked."""

import errno
import hashlib
import os
import random
import threading

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from diffusion_soup import writer as writer_module
from diffusion_soup.checkpoint import DTYPE_NAMES, Checkpoint, TensorInfo
from diffusion_soup.errors import Cancelled, FileError
from diffusion_soup.writer import StreamingWriter

from .kitchen import plain_sentence, same

TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(5, dtype=torch.float16), "none": torch.zeros(0, 3),
           "ids": torch.arange(4), "flag": torch.tensor(True), "tiny": torch.ones(3).to(torch.float8_e4m3fn)}


def infos(tensors):
    return [TensorInfo(name, DTYPE_NAMES[value.dtype], tuple(value.shape)) for name, value in tensors.items()]


def write(path, tensors=TENSORS, metadata=None, **options):
    with StreamingWriter(path, infos(tensors), metadata, **options) as writer:
        for name, value in tensors.items():
            writer.write(name, 0, value.reshape(-1))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "soup.safetensors"


def test_others_can_read_it(path):
    write(path, metadata={"modelspec.title": "Suppe «1»"})
    assert same(load_file(path), TENSORS)
    assert same({name: Checkpoint(path).tensor(name) for name in TENSORS}, TENSORS)
    with safe_open(path, "pt") as file:
        assert file.metadata()["modelspec.title"] == "Suppe «1»"


def test_the_order_of_tensors_is_that_of_the_reference(path, tmp_path):
    tensors = {name: torch.full((2,), 1.0) for name in ("z", "a", "M", "a.b")} | {"wide": torch.zeros(2).double()}
    write(path, tensors)
    save_file(tensors, tmp_path / "reference.safetensors")
    assert list(Checkpoint(path).tensors) == list(Checkpoint(tmp_path / "reference.safetensors").tensors)


def test_data_begins_where_numbers_are_aligned(path):
    for length in range(8):
        write(path, metadata={"x": "y" * length}, overwrite=True)
        assert min(info.begin for info in Checkpoint(path).tensors.values()) % 8 == 0


def test_the_hash_is_that_of_the_tensor_bytes(path):
    write(path)
    checkpoint = Checkpoint(path)
    begin = min(info.begin for info in checkpoint.tensors.values())
    assert checkpoint.metadata["modelspec.hash_sha256"] == "0x" + hashlib.sha256(path.read_bytes()[begin:]).hexdigest()


def test_pieces_in_any_order_from_any_thread(path):
    value = torch.arange(1000.0)
    pieces = [(start, value[start:start + 7]) for start in range(0, 1000, 7)]
    random.Random(0).shuffle(pieces)
    with StreamingWriter(path, infos({"x": value})) as writer:
        threads = [threading.Thread(target=lambda share: [writer.write("x", *piece) for piece in share],
                                    args=(pieces[number::3],)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert torch.equal(load_file(path)["x"], value)


def test_equal_tensors_and_metadata_give_equal_files(path, tmp_path):
    write(path, metadata={"a": "1", "b": "2"})
    write(tmp_path / "other.safetensors", dict(reversed(TENSORS.items())), {"b": "2", "a": "1"})
    assert path.read_bytes() == (tmp_path / "other.safetensors").read_bytes()


# -- all or nothing --------------------------------------------------------------------------------------


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def refused(path, **options):
    """The sentence of a write that fails; the folder is as it was before."""
    before = contents(path.parent)
    with pytest.raises(FileError) as caught:
        write(path, **options)
    assert contents(path.parent) == before
    return plain_sentence(caught.value)


def test_an_existing_file_is_left_alone(path):
    path.write_text("earlier")
    assert "exists already" in refused(path)
    assert path.read_text() == "earlier"


def test_overwriting_when_asked(path):
    path.write_text("earlier")
    write(path, overwrite=True)
    assert same(load_file(path), TENSORS)


def test_a_file_that_appears_meanwhile_is_left_alone(path):
    with pytest.raises(FileError, match="appeared"), StreamingWriter(path, infos(TENSORS)):
        path.write_text("another program")
    assert contents(path.parent) == {path.name: b"another program"}


@pytest.mark.parametrize("error", [Cancelled("cancelled"), KeyboardInterrupt(), ValueError("bug")])
def test_an_exception_leaves_nothing(path, error):
    path.write_text("earlier")
    with pytest.raises(type(error)), StreamingWriter(path, infos(TENSORS), overwrite=True) as writer:
        writer.write("b", 0, TENSORS["b"].reshape(-1))
        assert path.read_text() == "earlier"
        raise error
    assert contents(path.parent) == {path.name: b"earlier"}


def failing(number, after=0):
    """A system call that fails with ``number`` once it was called ``after`` times."""
    calls = iter(range(1000))
    real = os.pwrite

    def call(*arguments):
        if next(calls) >= after:
            raise OSError(number, os.strerror(number))
        return real(*arguments)
    return call


@pytest.mark.parametrize("after", range(7))
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_that_fills_up_in_the_middle(path, monkeypatch, number, after):
    path.write_text("earlier")
    monkeypatch.setattr(os, "pwrite", failing(number, after))
    assert "disk is full" in refused(path, overwrite=True)


def test_a_disk_too_small_is_noticed_before_the_work(path, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.ENOSPC))
    with pytest.raises(FileError, match=r"disk is full; 0\.00 GB are needed"), StreamingWriter(path, infos(TENSORS)):
        pytest.fail("the body must not run")
    assert not contents(path.parent)


def test_a_file_system_that_cannot_reserve_is_used_all_the_same(path, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.EOPNOTSUPP))
    write(path)
    assert same(load_file(path), TENSORS)


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_disk_that_breaks_at_the_end(path, monkeypatch, name):
    path.write_text("earlier")
    monkeypatch.setattr(writer_module.os, name, failing(errno.EIO))
    assert "Input/output error" in refused(path, overwrite=True)


def test_short_writes_are_continued(path, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: real(file, data[:5], offset))
    write(path)
    assert same(load_file(path), TENSORS)


def test_a_system_without_positioned_writes(path, monkeypatch):
    monkeypatch.delattr(os, "pwrite")
    monkeypatch.delattr(os, "posix_fallocate")
    write(path)
    assert same(load_file(path), TENSORS)


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "taken.safetensors").mkdir()
    with pytest.raises(FileError):
        write(tmp_path / "taken.safetensors", overwrite=True)
    with pytest.raises(FileError, match="could not be written"):
        write(tmp_path / "missing" / "soup.safetensors")
    with pytest.raises(FileError, match="could not be written"):
        write(tmp_path / ("n" * 300 + ".safetensors"))
    assert {file.name for file in tmp_path.iterdir()} == {"taken.safetensors"}


def test_a_name_as_long_as_names_can_be(tmp_path):
    path = tmp_path / ("n" * 243 + ".safetensors")
    write(path)
    assert same(load_file(path), TENSORS)
