"""SHA-256 of files, computed once."""

import hashlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_soup import hashes
from diffusion_soup.errors import Cancelled, FileError
from diffusion_soup.hashes import HashCache

CONTENT = b"soup" * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "anime.safetensors"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def reads(monkeypatch):
    """Paths that were really hashed."""
    seen, real = [], hashes._digest
    monkeypatch.setattr(hashes, "_digest", lambda path, counter: seen.append(path) or real(path, counter))
    return seen


def test_it_is_the_sha256(file):
    assert HashCache().sha256(file) == SHA


def test_known_files_are_not_read_again(file, reads):
    cache = HashCache()
    assert cache.peek(file) is None
    assert cache.sha256(file) == cache.sha256(file) == cache.peek(file) == SHA
    assert reads == [file]


def test_changed_files_are(file, reads):
    cache = HashCache()
    cache.sha256(file)
    stamp = file.stat()
    file.write_bytes(CONTENT[::-1])
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert cache.peek(file) is None
    assert cache.sha256(file) == hashlib.sha256(CONTENT[::-1]).hexdigest()


def test_several_at_once(tmp_path):
    paths = [tmp_path / str(number) for number in range(5)]
    for path in paths:
        path.write_text(path.name)
    assert HashCache().sha256_many(paths) == {
        path: hashlib.sha256(path.name.encode()).hexdigest() for path in paths}


def test_the_cache_file_outlives_the_process(file, tmp_path, reads):
    store = tmp_path / "cache" / "hashes.json"
    HashCache(store).sha256(file)
    assert HashCache(store).sha256(file) == SHA
    assert len(reads) == 1
    assert HashCache(store).sizes_of(SHA) == {len(CONTENT)}


def test_two_processes_do_not_lose_each_others_hashes(file, tmp_path):
    store, other = tmp_path / "hashes.json", tmp_path / "ink.safetensors"
    other.write_bytes(b"ink")
    first, second = HashCache(store), HashCache(store)
    first.sha256(file)
    second.sha256(other)
    assert set(json.loads(store.read_text())) == {str(file), str(other)}


@given(content=st.binary(max_size=60) | st.recursive(
    st.none() | st.floats() | st.text(max_size=3), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6).map(lambda value: json.dumps(value).encode()))
def test_a_damaged_cache_file_is_no_matter(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "hashes.json").write_bytes(content)
    (folder / "x").write_bytes(CONTENT)
    assert HashCache(folder / "hashes.json").sha256(folder / "x") == SHA


@pytest.mark.parametrize("content", [f'{{"a": [1e999, 2, "{SHA}"]}}', "[" * 5000])
def test_cache_files_made_to_break(tmp_path, file, content):
    store = tmp_path / "hashes.json"
    store.write_text(content)
    assert HashCache(store).sha256(file) == SHA


def test_a_cache_that_cannot_be_written_is_no_matter(file, tmp_path):
    (tmp_path / "notafolder").write_text("")
    assert HashCache(tmp_path / "notafolder" / "hashes.json").sha256(file) == SHA


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(FileError, match=path.name):
            HashCache().sha256(path)
        assert HashCache().peek(path) is None


def test_progress_and_cancel(file):
    class Watch:
        def __init__(self, stop):
            self.stop, self.steps = stop, []

        def step(self, done, total, what):
            self.steps.append((done, total, what))

        def cancelled(self):
            return self.stop

    cache, watch = HashCache(), Watch(stop=True)
    with pytest.raises(Cancelled):
        cache.sha256(file, watch)
    assert cache.peek(file) is None
    watch.stop = False
    cache.sha256(file, watch)
    assert watch.steps == [(len(CONTENT), len(CONTENT), "hashing")]
