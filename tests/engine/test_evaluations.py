"""Evaluations survive kills, strange lines and other processes, and stay bounded."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from diffusion_soup import FileError, evaluations
from diffusion_soup.evaluations import Evaluations, Question

from .kitchen import plain_sentence

QUESTION = Question("a" * 64, "a fox", "", 7, 512, 512, "clipscore 1234", {"steps": 20, "cfg": 7.0})
OTHERS = [dataclasses.replace(QUESTION, **change) for change in (
    {"recipe": "b" * 64}, {"prompt": "a cat"}, {"negative": "fog"}, {"seed": 8}, {"width": 256}, {"height": 256},
    {"scorer": "pickscore 1234"}, {"sampling": {"steps": 21, "cfg": 7.0}})]


@pytest.fixture
def kept(tmp_path):
    return Evaluations(tmp_path / "user" / "evaluations.jsonl")


def test_what_is_put_is_there_for_everyone(kept):
    assert kept.get(QUESTION) is None
    kept.put(QUESTION, 0.25)
    for number, question in enumerate(OTHERS):
        assert kept.get(question) is None, "anything else is another evaluation"
        kept.put(question, float(number))
    for found in (kept, Evaluations(kept.file)):
        assert [found.get(question) for question in (QUESTION, *OTHERS)] == [0.25, *map(float, range(len(OTHERS)))]
    kept.put(QUESTION, 0.5)
    assert Evaluations(kept.file).get(QUESTION) == 0.5, "the last one counts"


def test_the_order_of_settings_is_no_difference():
    assert QUESTION.key == dataclasses.replace(QUESTION, sampling={"cfg": 7.0, "steps": 20}).key
    assert QUESTION.picture_key == dataclasses.replace(QUESTION, scorer="another").picture_key != QUESTION.key


def test_half_a_line_costs_itself_alone(kept):
    kept.put(QUESTION, 0.5)
    whole = kept.file.read_bytes()
    for cut in range(1, len(whole)):
        kept.file.write_bytes(whole + whole[:cut].replace(b"0.5", b"0.9"))
        again = Evaluations(kept.file)
        assert again.get(QUESTION) == (0.9 if cut >= len(whole) - 1 else 0.5)
        again.put(OTHERS[0], 0.75)
        again = Evaluations(kept.file)
        assert again.get(OTHERS[0]) == 0.75 and again.get(QUESTION) in (0.5, 0.9)


@pytest.mark.parametrize("line", [b"\xff\xfe", b"[]", b"7", b"{}", b'{"key": 1, "score": 1}', b"[" * 100_000,
                                  b'{"key": "x", "score": "many"}', b'{"key": "x", "score": NaN}',
                                  b'{"key": "x", "score": 1e999}', b'{"key": "x"}'])
def test_strange_lines_are_skipped(kept, line):
    kept.put(QUESTION, 0.5)
    kept.file.write_bytes(line + b"\n" + kept.file.read_bytes() + line)
    assert Evaluations(kept.file).get(QUESTION) == 0.5


def test_a_kill_loses_nothing_that_was_put(kept):
    """A process that puts as fast as it can is killed; everything it said was kept is there."""
    script = (f"from diffusion_soup.evaluations import Evaluations, Question\nfrom pathlib import Path\n"
              f"kept = Evaluations(Path({str(kept.file)!r}))\n"
              "for seed in range(100000):\n"
              "    kept.put(Question('a', 'p', '', seed, 1, 1, 's'), float(seed))\n"
              "    print(seed, flush=True)\n")
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True) as process:
        said = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        said += [int(line) for line in process.stdout.read().splitlines() if line]
    found = Evaluations(kept.file)
    assert said == list(range(len(said))) and len(said) >= 20
    assert all(found.get(Question("a", "p", "", seed, 1, 1, "s")) == seed for seed in said)


def test_pictures_are_small(kept):
    assert kept.picture(QUESTION) is None
    kept.put(QUESTION, 0.5, Image.new("RGB", (1024, 512), (250, 20, 20)))
    found = kept.picture(dataclasses.replace(QUESTION, scorer="another"))
    assert found.size == (256, 128) and found.getpixel((9, 9)) == (250, 20, 20)
    next(kept.pictures.iterdir()).write_bytes(b"\x89PNG half")
    assert kept.picture(QUESTION) is None


def test_bounded(kept, monkeypatch):
    monkeypatch.setattr(evaluations, "MOST_LINES", 8)
    monkeypatch.setattr(evaluations, "MOST_PICTURES", 4)
    questions = [dataclasses.replace(QUESTION, seed=seed) for seed in range(40)]
    for at, question in enumerate(questions):
        kept.put(question, float(at), Image.new("RGB", (8, 8)))
        assert kept.get(question) == at and kept.picture(question) is not None
        assert len(kept.file.read_text().splitlines()) <= 10 and len(list(kept.pictures.iterdir())) <= 5
    assert [Evaluations(kept.file).get(question) for question in questions[-8:]] == list(range(32, 40))
    assert kept.get(questions[0]) is None


def test_what_cannot_be_written_is_said(kept):
    kept.file.parent.mkdir()
    kept.file.mkdir()
    with pytest.raises(FileError) as error:
        kept.put(QUESTION, 0.5)
    assert "evaluations.jsonl could not be written" in plain_sentence(error.value)
    with pytest.raises(ValueError):
        kept.put(QUESTION, float("nan"))


def test_another_process_is_seen(kept):
    other = Evaluations(kept.file)
    kept.put(QUESTION, 0.5)
    assert other.get(QUESTION) == 0.5
    os.remove(kept.file)
    assert kept.get(QUESTION) is None
