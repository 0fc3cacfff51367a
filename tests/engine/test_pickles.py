""".ckpt files: torch's weights-only loader and nothing else."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from diffusion_soup import Ingredient, Recipe, cook
from diffusion_soup.checkpoint import open_checkpoint
from diffusion_soup.errors import FileError

from .kitchen import IDS, fill, identical, plain_sentence, same, tiny_unet


class Dangerous:
    """Makes a file when it is unpickled."""

    def __init__(self, marker):
        self.command = f"touch {marker}"

    def __reduce__(self):
        return os.system, (self.command,)


def save(value, path, zipped=True):
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def refused(path):
    with pytest.raises(FileError) as caught:
        open_checkpoint(path)
    assert path.name in str(caught.value)
    return plain_sentence(caught.value)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin", ".CKPT"])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_never_runs(tmp_path, suffix, zipped):
    marker = tmp_path / "ran"
    path = save({"x": torch.zeros(2), "evil": Dangerous(marker)}, tmp_path / f"evil{suffix}", zipped)
    assert "Python code" in refused(path)
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_bare_pickle_with_code(tmp_path):
    marker, path = tmp_path / "ran", tmp_path / "evil.ckpt"
    path.write_bytes(pickle.dumps(Dangerous(marker)))
    refused(path)
    assert not marker.exists()


def test_a_pickle_that_calls_itself_safetensors(tmp_path):
    marker, path = tmp_path / "ran", tmp_path / "evil.safetensors"
    save(Dangerous(marker), path)
    assert "not a safetensors file" in refused(path)
    assert not marker.exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"state_dict": x, "epoch": 3}], ids=["bare", "lightning"])
def test_a_good_one_cooks_like_its_safetensors_twin(pantry, zipped, wrap):
    one, two = fill(tiny_unet(), 1), fill(tiny_unet(), 2)
    one[IDS] = torch.arange(77)[None]
    save_file(one, pantry.root / "one.safetensors")
    save_file(two, pantry.root / "two.safetensors")
    save(wrap(one), pantry.root / "one.ckpt", zipped)
    soups = [cook(Recipe((Ingredient(name), Ingredient("two.safetensors"))), pantry.models)
             for name in ("one.safetensors", "one.ckpt")]
    assert same(dict(soups[0]), dict(soups[1]))


def test_views_and_shared_storage(tmp_path):
    whole = torch.arange(16.0).reshape(4, 4)
    path = save({"turned": whole.T, "row": whole[1], "scalar": whole[2, 2], "none": whole[:0]}, tmp_path / "v.ckpt")
    checkpoint = open_checkpoint(path)
    assert identical(checkpoint.tensor("turned"), whole.T.contiguous())
    buffer = bytearray(64)
    assert checkpoint.read("turned", 3, 6, np.frombuffer(buffer, dtype=np.uint8)).tolist() == [12.0, 1.0, 5.0]
    assert checkpoint.tensors["scalar"].shape == () and checkpoint.tensors["none"].numel == 0


def test_what_is_no_tensor_is_left_out(tmp_path):
    path = save({"x": torch.zeros(2), "step": 3, "name": "n", "sparse": torch.eye(2).to_sparse(),
                 "complex": torch.zeros(2, dtype=torch.complex64)}, tmp_path / "mixed.ckpt")
    assert list(open_checkpoint(path).tensors) == ["x"]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("content", [
    b"", b"\0" * 100, b"garbage" * 20, pickle.dumps({}, 2), pickle.dumps([1], 4), b"PK\3\4" + b"\0" * 50,
    b"\x80\x04\x95"])
def test_damaged_ones(tmp_path, content):
    path = tmp_path / "broken.ckpt"
    path.write_bytes(content)
    refused(path)


def test_truncated_ones(tmp_path):
    for zipped in (True, False):
        whole = save({"x": torch.zeros(200)}, tmp_path / "whole.ckpt", zipped).read_bytes()
        path = tmp_path / "cut.ckpt"
        for size in range(0, len(whole), 97):
            path.write_bytes(whole[:size])
            refused(path)


def test_a_list_a_folder_nothing_and_another_zip(tmp_path):
    assert "no named tensors" in refused(save([torch.zeros(2)], tmp_path / "list.ckpt"))
    (tmp_path / "folder.ckpt").mkdir()
    refused(tmp_path / "folder.ckpt")
    refused(tmp_path / "missing.ckpt")
    with zipfile.ZipFile(tmp_path / "other.ckpt", "w") as other:
        other.writestr("readme.txt", "hello")
    refused(tmp_path / "other.ckpt")


def _legacy():
    out = io.BytesIO()
    torch.save({"x": torch.zeros(3), "y": 1}, out, _use_new_zipfile_serialization=False)
    return out.getvalue()


LEGACY = _legacy()


@pytest.mark.filterwarnings("ignore")
@given(position=st.integers(0, len(LEGACY) - 1), byte=st.integers(0, 255))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_wrong_byte_in_a_legacy_file(tmp_path, position, byte):
    path = tmp_path / "fuzz.ckpt"
    path.write_bytes(LEGACY[:position] + bytes([byte]) + LEGACY[position + 1:])
    try:
        open_checkpoint(path)
    except FileError as error:
        plain_sentence(error)


def test_closing_lets_go_of_the_tensors_and_reading_loads_them_again(tmp_path):
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {"x": torch.arange(4.0)}}, path, _use_new_zipfile_serialization=False)
    checkpoint = open_checkpoint(path)
    checkpoint.close()
    assert checkpoint._data is None
    assert torch.equal(checkpoint.tensor("x"), torch.arange(4.0))
