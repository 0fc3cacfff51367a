"""Cooking to a file, stopping in the middle, and everything that must be left as it was."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from diffusion_soup import Cancelled, FileError, Ingredient, OutOfMemory, Recipe, Tuning, cook, cook_to_file
from diffusion_soup import memory as memory_module
from diffusion_soup.checkpoint import Checkpoint

from .kitchen import UNET, Pantry, fill, plain_sentence, same, tiny_unet

OUT = UNET + "out.2.weight"


@pytest.fixture
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("out") / "soup.safetensors"


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def refused(pantry, path, recipe, kind=FileError, **options):
    """The sentence of a cook that fails; models and output folders stay as they are."""
    before = contents(pantry.root), contents(path.parent) if path.parent.is_dir() else None
    with pytest.raises(kind) as caught:
        cook_to_file(recipe, pantry.models, path, **options)
    assert (contents(pantry.root), contents(path.parent) if path.parent.is_dir() else None) == before
    return plain_sentence(caught.value)


def test_the_file_is_what_memory_holds(pantry, out):
    pantry.stock(2)
    cooked = cook(pantry.recipe(a=1, b=2), pantry.models)
    plan, notes = cook_to_file(pantry.recipe(a=1, b=2), pantry.models, out)
    assert same(load_file(out), dict(cooked))
    assert (plan.steps, notes) == (cooked.plan.steps, cooked.notes)
    assert os.listdir(out.parent) == [out.name]


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_ingredient_is_never_overwritten(pantry, tmp_path, overwrite):
    pantry.stock(3)
    a = pantry.root / "a.safetensors"
    (pantry.root / "link.safetensors").symlink_to(a)
    os.link(a, pantry.root / "twin.safetensors")
    for name in ("a", "link", "twin", "../" + pantry.root.name + "/a"):
        path = pantry.root / f"{name}.safetensors"
        refused(pantry, path, pantry.recipe(a=1, b=1), overwrite=overwrite)
    assert "is an ingredient" in refused(pantry, a, pantry.recipe(a=0, b=1), overwrite=True)


def test_an_existing_file_is_left_unless_asked(pantry, out):
    pantry.stock(2)
    out.write_text("earlier")
    assert "exists already" in refused(pantry, out, pantry.recipe(a=1))
    cook_to_file(pantry.recipe(a=1), pantry.models, out, overwrite=True)
    assert same(load_file(out), load_file(pantry.root / "a.safetensors"))


def test_a_soup_can_be_cooked_over_an_earlier_one(pantry):
    pantry.stock(2)
    out = pantry.root / "soup.safetensors"
    cook_to_file(pantry.recipe(a=1, b=1), pantry.models, out)
    cook_to_file(pantry.recipe(a=1), pantry.models, out, overwrite=True)
    assert same(load_file(out), load_file(pantry.root / "a.safetensors"))


def test_a_folder_that_does_not_exist(pantry, out):
    pantry.stock(1)
    assert "does not exist" in refused(pantry, out.parent / "missing" / "soup.safetensors", pantry.recipe(a=1))


def test_an_ingredient_damaged_in_the_middle(pantry, out, monkeypatch):
    pantry.stock(2)
    real, calls = Checkpoint._read_at, iter(range(1000))
    monkeypatch.setattr(Checkpoint, "_read_at", lambda *given: 0 if next(calls) == 9 else real(*given))
    assert "truncated meanwhile" in refused(pantry, out, pantry.recipe(a=1, b=1), tuning=Tuning(2, 64))


@pytest.mark.parametrize("threads", [1, 3])
def test_a_disk_that_breaks_while_reading(pantry, out, monkeypatch, threads):
    pantry.stock(2)

    def broken(*arguments):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", broken)
    assert "reading failed" in refused(pantry, out, pantry.recipe(a=1, b=1), tuning=Tuning(threads))


LIMITED = """
    import resource, sys
    from diffusion_soup import Ingredient, ModelFolders, Recipe, SoupError, cook_to_file
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    recipe = Recipe((Ingredient("a.safetensors"),))
    try:
        cook_to_file(recipe, ModelFolders.below(sys.argv[1]), sys.argv[2], overwrite=True)
    except SoupError as error:
        print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a system that limits file sizes")
def test_a_real_limit_of_the_disk(pantry, out):
    pantry.stock(1, tiny_unet() | {OUT: (100, 200)})
    out.write_text("earlier")
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(LIMITED), str(pantry.root), str(out)],
                         capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert "disk is full" in run.stdout and not run.stderr, run
    assert contents(out.parent) == {out.name: b"earlier"}


# -- cancelling ------------------------------------------------------------------------------------------


class Impatient:
    """Cancels when told to; notes who calls."""

    def __init__(self, after):
        self.after, self.steps, self.threads = after, [], set()

    def step(self, done, total, what):
        self.steps.append((done, total, what))
        self.threads.add(threading.current_thread())

    def cancelled(self):
        return sum(what == "cooking" for _, _, what in self.steps) > self.after


@pytest.fixture
def slow(pantry, monkeypatch):
    """Two ingredients on a disk that needs 5 ms for every piece."""
    pantry.stock(2, tiny_unet() | {OUT: (100, 1000)})
    real = Checkpoint._read_at
    monkeypatch.setattr(Checkpoint, "_read_at", lambda *given: time.sleep(0.005) or real(*given))
    return pantry


def test_cancel_leaves_nothing_and_takes_no_second(slow, out):
    out.write_text("earlier")
    progress, began = Impatient(after=2), time.monotonic()
    with pytest.raises(Cancelled):
        cook_to_file(slow.recipe(a=1, b=1), slow.models, out, overwrite=True, progress=progress, tuning=Tuning(2, 100))
    assert time.monotonic() - began < 1
    assert contents(out.parent) == {out.name: b"earlier"}
    assert 0 < progress.steps[-1][0] < progress.steps[-1][1]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("soup-")]


def test_cancel_keeps_the_earlier_soup(slow):
    first = cook(slow.recipe(a=1), slow.models)
    copy = {key: value.clone() for key, value in first.items()}
    with pytest.raises(Cancelled):
        cook(slow.recipe(a=1, b=1), slow.models, previous=first, progress=Impatient(after=1), tuning=Tuning(2, 100))
    assert same(dict(first), copy)


def test_cancelled_before_it_begins(slow, out):
    with pytest.raises(Cancelled):
        cook_to_file(slow.recipe(a=1), slow.models, out, progress=Impatient(after=-1))
    assert not contents(out.parent)


def test_progress_goes_forward_to_the_end_and_comes_from_one_thread(slow):
    progress = Impatient(after=10**9)
    cook(slow.recipe(a=1, b=1), slow.models, progress=progress, tuning=Tuning(2, 10_000))
    cooking = [(done, total) for done, total, what in progress.steps if what == "cooking"]
    assert cooking == sorted(cooking) and cooking[-1][0] == cooking[-1][1] > 0
    assert len({total for _, total in cooking}) == 1


def test_a_progress_bar_that_breaks_stops_the_cook(slow, out):
    class Broken(Impatient):
        def step(self, done, total, what):
            if what == "cooking":
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cook_to_file(slow.recipe(a=1), slow.models, out, progress=Broken(0))
    assert not contents(out.parent)


# -- memory and numbers ----------------------------------------------------------------------------------


def test_too_little_memory_is_noticed_before_reading(pantry, monkeypatch):
    pantry.stock(1)
    monkeypatch.setattr(memory_module, "available", lambda: 1000)
    monkeypatch.setattr(Checkpoint, "read", lambda *_: pytest.fail("nothing may be read"))
    with pytest.raises(OutOfMemory, match="GB are free") as caught:
        cook(pantry.recipe(a=1), pantry.models)
    plain_sentence(caught.value)


def test_a_file_needs_no_memory_for_its_tensors(pantry, out, monkeypatch):
    """No piece that is written is larger than a chunk, and little memory is no obstacle."""
    from diffusion_soup.writer import StreamingWriter

    shapes = tiny_unet() | {OUT: (300, 300)}
    pantry.stock(2, shapes)
    monkeypatch.setattr(memory_module, "available", lambda: 1000)
    sizes, real = [], StreamingWriter.write

    def write(self, name, start, piece):
        sizes.append(piece.numel())
        real(self, name, start, piece)

    monkeypatch.setattr(StreamingWriter, "write", write)
    cook_to_file(pantry.recipe(a=1, b=1), pantry.models, out, tuning=Tuning(2, 5000))
    assert max(sizes) == 5000 and sum(sizes) == sum(torch.Size(shape).numel() for shape in shapes.values())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("shares", [{"a": 1}, {"a": 1, "b": 1}], ids=["copied", "averaged"])
def test_numbers_that_are_none_are_told(pantry, value, shares):
    a = pantry.stock(2)[0]
    assert not cook(pantry.recipe(**shares), pantry.models).notes
    a[OUT][1, 2] = value
    pantry.put("a", a)
    note, = cook(pantry.recipe(**shares), pantry.models).notes
    assert OUT in note and "NaN or infinity" in note


def test_a_recook_still_tells_of_the_tensors_it_took_over(pantry):
    a = pantry.stock(2)[0]
    a[OUT][1, 2] = float("nan")
    pantry.put("a", a)
    first = cook(pantry.recipe(a=1, b=1), pantry.models)
    elsewhere = cook(pantry.recipe(Ingredient("b.safetensors", blocks={"IN00": 0.5}), a=1), pantry.models,
                     previous=first)
    assert elsewhere[OUT] is first[OUT]
    assert elsewhere.notes == first.notes != ()


def test_numbers_too_large_for_the_output_are_told(pantry):
    pantry.put("a", fill(tiny_unet()) | {OUT: torch.full((4, 4), 1e6)})
    note, = cook(pantry.recipe(a=1), pantry.models, dtype="float16").notes
    assert "too large for F16" in note and OUT in note


def test_the_sdxl_vae_in_float16_is_told(pantry):
    vae = {"first_stage_model.x.weight": (2, 2)}
    pantry.put("a", fill(tiny_unet(context=2048)) | fill(vae, 1, torch.float32))
    assert any("black" in note for note in cook(pantry.recipe(a=1), pantry.models, dtype="float16").notes)
    assert not cook(pantry.recipe(a=1), pantry.models).notes


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")
def test_memory_stays_flat(tmp_path):
    """Fifty cooks of 4 MB leave less than 50 MB behind."""
    pantry = Pantry(tmp_path)
    pantry.stock(2, tiny_unet() | {OUT: (1000, 2000)})
    recipe = Recipe((Ingredient("a.safetensors"), Ingredient("b.safetensors")))
    previous = cook(recipe, pantry.models)
    before = resident()
    for number in range(50):
        previous = cook(recipe.reweighted("b", 1 + number), pantry.models, previous=previous)
    assert resident() - before < 50e6


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
