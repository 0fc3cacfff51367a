"""Reading safetensors: exact bytes, and every damaged header refused in one sentence."""

import json
import os
import struct

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from diffusion_soup.checkpoint import DTYPES, Checkpoint, open_checkpoint
from diffusion_soup.errors import FileError, SoupError

from .kitchen import identical, plain_sentence, raw_safetensors


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def refused(path, content=None):
    """The sentence with which a file is refused."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        Checkpoint(path)
    text = plain_sentence(caught.value)
    assert path.name in text
    return text


@pytest.fixture
def file(tmp_path):
    return tmp_path / "anime.safetensors"


# -- reading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_every_dtype_is_read_to_the_bit(file, dtype):
    bytes_ = torch.arange(96, dtype=torch.uint8)
    value = (bytes_ % 2).bool() if dtype == torch.bool else bytes_.view(dtype)
    save_file({"x": value.reshape(2, 2, -1), "scalar": value[0].clone(), "empty": value[:0]}, file)
    with Checkpoint(file) as checkpoint:
        assert {info.dtype for info in checkpoint.tensors.values()} == {
            name for name, known in DTYPES.items() if known == dtype}
        for name, expected in load_file(file).items():
            assert identical(checkpoint.tensor(name), expected)


def test_slices_go_into_the_buffer_given(file):
    save_file({"x": torch.arange(12.0).reshape(3, 4)}, file)
    buffer = np.zeros(64, dtype=np.uint8)
    with Checkpoint(file) as checkpoint:
        piece = checkpoint.read("x", 5, 9, buffer)
    assert piece.tolist() == [5.0, 6.0, 7.0, 8.0]
    assert piece.data_ptr() == buffer.ctypes.data
    assert not buffer[16:].any()


def test_metadata_and_sizes(file):
    save_file({"x": torch.zeros(3, 4)}, file, {"modelspec.title": "Anime"})
    checkpoint = Checkpoint(file)
    assert checkpoint.metadata == {"modelspec.title": "Anime"}
    assert checkpoint.nbytes == 48


def test_numbers_we_cannot_average_are_refused_when_read_not_before(file):
    file.write_bytes(raw_safetensors({"x": entry("U32", (2,), (0, 8))}, bytes(8)))
    checkpoint = Checkpoint(file)
    with pytest.raises(FileError, match="'x' has dtype U32"):
        checkpoint.tensor("x")


def test_a_file_that_shrinks_while_it_is_read(file):
    save_file({"x": torch.zeros(1000)}, file)
    with Checkpoint(file) as checkpoint:
        checkpoint.tensor("x")
        os.truncate(file, 2000)
        with pytest.raises(FileError, match="truncated meanwhile") as caught:
            checkpoint.tensor("x")
    plain_sentence(caught.value)


def test_a_file_replaced_between_header_and_data(file):
    save_file({"x": torch.zeros(4)}, file)
    checkpoint = Checkpoint(file)
    save_file({"x": torch.zeros(5)}, file)
    with pytest.raises(FileError, match="was changed"):
        checkpoint.tensor("x")


def test_a_file_deleted_between_header_and_data(file):
    save_file({"x": torch.zeros(4)}, file)
    checkpoint = Checkpoint(file)
    file.unlink()
    with pytest.raises(FileError, match="cannot be opened"):
        checkpoint.tensor("x")


# -- damaged files ---------------------------------------------------------------------------------------

GOOD = raw_safetensors({"x": entry()}, bytes(8))


@pytest.mark.parametrize("size", range(len(GOOD)))
def test_every_truncation_is_refused(file, size):
    refused(file, GOOD[:size])


def test_the_untruncated_file_is_not_refused(file):
    file.write_bytes(GOOD)
    assert list(Checkpoint(file).tensors) == ["x"]


@pytest.mark.parametrize("length", [0, 1, 10_000, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_wild_header_lengths(file, length):
    refused(file, raw_safetensors({"x": entry()}, bytes(8), length))


PAIR = {"a": entry(offsets=(0, 8)), "b": entry(offsets=(8, 16))}


@pytest.mark.parametrize(("change", "words"), [
    ({"b": entry(offsets=(4, 12))}, "overlap"),
    ({"b": entry(offsets=(0, 8))}, "overlap"),
    ({"b": entry(offsets=(12, 20))}, "belong to no tensor"),
    ({"b": entry(offsets=(1 << 40, (1 << 40) + 8))}, "belong to no tensor"),
    ({"b": entry(offsets=(8, 16), shape=(3,))}, "needs 12 bytes"),
    ({"b": entry(offsets=(8, 16), dtype="F64")}, "needs 16 bytes"),
    ({"b": entry(offsets=(8, 16), dtype="F16")}, "needs 4 bytes"),
    ({"b": entry(offsets=(16, 8))}, "needs 8 bytes"),
    ({"b": entry(offsets=(8, 16), dtype="F33")}, "unknown dtype 'F33'"),
    ({"b": entry(dtype=["F32"])}, "unknown dtype"),
    ({"b": entry(shape=(-2,))}, "impossible shape"),
    ({"b": entry(shape=(2.0,))}, "impossible shape"),
    ({"b": entry(shape=(True, 2))}, "impossible shape"),
    ({"b": entry(shape=(1,) * 17)}, "impossible shape"),
    ({"b": entry(shape=((1 << 62),) * 4)}, "needs"),
    ({"b": entry(offsets=(-8, 0))}, "impossible data_offsets"),
    ({"b": entry(offsets=(8, 12, 16))}, "impossible data_offsets"),
    ({"b": entry(offsets=(8, 1 << 80))}, "impossible data_offsets"),
    ({"b": entry(offsets=(8.0, 16.0))}, "impossible data_offsets"),
    ({"b": {"dtype": "F32", "shape": [2]}}, "must have dtype, shape and data_offsets"),
    ({"b": entry() | {"extra": 1}}, "must have dtype, shape and data_offsets"),
    ({"b": None}, "must have dtype, shape and data_offsets"),
    ({"__metadata__": {"a": 1}}, "__metadata__"),
    ({"__metadata__": ["a"]}, "__metadata__"),
    ({"c": entry(offsets=(16, 24))}, "truncated"),
])
def test_headers_that_do_not_hold_together(file, change, words):
    assert words in refused(file, raw_safetensors(PAIR | change, bytes(16)))


def test_bytes_after_the_last_tensor(file):
    assert "5 bytes after its last tensor" in refused(file, raw_safetensors(PAIR, bytes(21)))


@pytest.mark.parametrize(("header", "words"), [
    ('{"a":%s,"a":%s}' % ((json.dumps(entry()),) * 2), "'a' twice"),
    ('{"a":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}}', "'dtype' twice"),
    ("[" * 100_000, "not valid JSON"),
    ('{"a":' * 100_000, "not valid JSON"),
    ("[1, 2]", "not a JSON object"),
    ("null", "not a JSON object"),
    (b'{"\xff\xfe": 1}', "not valid JSON"),
    ('{"a": 1' + "0" * 10_000 + "}", "not valid JSON"),
    ('{"a": NaN}', "must have dtype"),
    ("{}trailing", "not valid JSON"),
], ids=range(10))
def test_headers_that_are_not_the_json_expected(file, header, words):
    assert words in refused(file, raw_safetensors(header))


def test_no_file_a_folder_and_an_empty_file(tmp_path, file):
    assert "cannot be read" in refused(file)
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    assert "is a folder" in refused(folder)
    assert "not a safetensors file" in refused(file, b"")


def test_a_file_without_permission(file, monkeypatch):
    file.write_bytes(GOOD)

    def denied(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)
    assert "Permission denied" in refused(file)


def test_nothing_of_a_foreign_file_is_shown(tmp_path, file):
    secret = tmp_path / "passwords"
    secret.write_bytes(b"hunter2!{'swordfish': 1}" * 20)
    file.symlink_to(secret)
    text = refused(file)
    number = str(struct.unpack("<Q", b"hunter2!")[0])
    assert all(word not in text for word in ("hunter2", "swordfish", number))


# -- fuzz ------------------------------------------------------------------------------------------------

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
                    max_leaves=12)
ENTRY = st.fixed_dictionaries({
    "dtype": st.sampled_from([*DTYPES, "U16", "?"]) | JSON,
    "shape": st.lists(st.integers(-1, 4) | st.integers(), max_size=4) | JSON,
    "data_offsets": st.lists(st.integers(0, 32) | st.integers(), min_size=2, max_size=2) | JSON})
HEADER = st.dictionaries(st.text(max_size=8) | st.just("__metadata__"), ENTRY | JSON, max_size=4)
quick = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def only_soup_errors(path):
    """Opening and reading works or raises a SoupError."""
    try:
        checkpoint = open_checkpoint(path)
        for name in checkpoint.tensors:
            checkpoint.tensor(name)
    except SoupError as error:
        plain_sentence(error)


@given(header=HEADER | JSON, data=st.binary(max_size=40), length=st.none() | st.integers(0, (1 << 64) - 1))
@quick
def test_fuzzed_headers(file, header, data, length):
    file.write_bytes(raw_safetensors(header, data, length))
    only_soup_errors(file)


@given(content=st.binary(max_size=200))
@quick
def test_fuzzed_bytes(file, content):
    file.write_bytes(content)
    only_soup_errors(file)


@given(position=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255))
@quick
def test_one_wrong_byte(file, position, byte):
    file.write_bytes(GOOD[:position] + bytes([byte]) + GOOD[position + 1:])
    only_soup_errors(file)
