"""The log of cooked recipes survives kills, full disks and strange lines, and stays small."""

import json
import logging
import threading

import pytest

from diffusion_soup import Ingredient, Recipe, cook_log
from diffusion_soup.cook_log import CookLog, Picture, picture_of


def soup(*names, **settings):
    return Recipe(tuple(Ingredient(f"{name}.safetensors") for name in names), **settings)


def cook(log, recipe, **more):
    log.add(recipe, **{"seconds": 1.5, "cooked": 3, "tensors": 9, **more})


@pytest.fixture
def log(tmp_path):
    return CookLog(tmp_path / "user" / "log.jsonl")


def test_one_entry_a_recipe_the_last_cooked_first(log):
    cook(log, soup("ember"), prompt="a")
    cook(log, soup("lagoon"), notes=["a note"], cooked=1)
    cook(log, soup("ember"), prompt="b", seconds=0.25)
    ember, lagoon = log.entries()
    assert (ember.count, ember.seconds, ember.prompts) == (2, 0.25, ("b", "a"))
    assert ember.recipe == soup("ember").to_dict() and ember.first < ember.last
    assert (lagoon.hash, lagoon.count, lagoon.notes, lagoon.cooked) == (soup("lagoon").hash, 1, ("a note",), 1)
    assert CookLog(log.file).entries() == [ember, lagoon], "as another process reads it"


def test_half_a_line_costs_itself_alone(log):
    cook(log, soup("ember"))
    cook(log, soup("lagoon"))
    log.file.write_bytes(log.file.read_bytes()[:-40])
    assert [entry.hash for entry in log.entries()] == [soup("ember").hash]
    cook(log, soup("meadow"))
    assert [entry.hash for entry in log.entries()] == [soup("meadow").hash, soup("ember").hash]


@pytest.mark.parametrize("line", [b"\xff\xfe", b"[]", b"7", b"{}", b'{"hash": 1}', b"[" * 100_000,
                                  b'{"hash": "x", "recipe": {"diffusion_soup": 1, "ingredients": []}, "time": 1}',
                                  b'{"hash": "x", "pictures": [{"filename": 3}]}'])
def test_strange_lines_are_skipped(log, line):
    cook(log, soup("ember"))
    log.file.write_bytes(line + b"\n" + log.file.read_bytes())
    assert [entry.hash for entry in log.entries()] == [soup("ember").hash]


def test_pictures(log):
    recipe, found = soup("ember"), [Picture(f"{n}.png", "", "output") for n in range(6)]
    log.add_pictures({recipe.hash: found[:1]})
    assert not log.file.exists(), "nothing is known of this recipe"
    cook(log, recipe)
    log.add_pictures({recipe.hash: found[:1], "another": found})
    size = log.file.stat().st_size
    log.add_pictures({recipe.hash: found[:1]})
    assert log.file.stat().st_size == size, "they are kept once"
    log.add_pictures({recipe.hash: found[1:]})
    assert log.entries()[0].pictures == tuple(found[1:1 + cook_log.MOST_PICTURES])


@pytest.mark.parametrize("data", [None, 3, {}, {"filename": ""}, {"filename": 3}, {"filename": "a" * 2000},
                                  {"filename": "a.png", "subfolder": []}])
def test_what_is_no_picture(data):
    assert picture_of(data) is None


def test_bounded(log, monkeypatch):
    monkeypatch.setattr(cook_log, "MOST_ENTRIES", 5)
    picture = Picture("a.png", "b", "output")
    for number in range(40):
        cook(log, soup(f"m{number % 8}"), prompt=str(number))
        log.add_pictures({soup(f"m{number % 8}").hash: [picture]})
    assert len(log.file.read_bytes().splitlines()) <= 16
    entries = log.entries()
    assert [entry.hash for entry in entries] == [soup(f"m{n}").hash for n in (7, 6, 5, 4, 3)]
    assert all(entry.pictures == (picture,) for entry in entries) and entries[0].count >= 2
    assert [path.name for path in log.file.parent.iterdir()] == ["log.jsonl"]


def test_large_recipes_are_bounded_too(log, monkeypatch):
    monkeypatch.setattr(cook_log, "MOST_BYTES", 20_000)
    for number in range(30):
        cook(log, soup(*(f"{number}-{n}" for n in range(20))))
        assert log.file.stat().st_size <= 25_000
    assert log.entries()[0].recipe["ingredients"][0]["file"] == "29-0.safetensors"


def test_forgotten_and_cleared(log):
    cook(log, soup("ember"))
    cook(log, soup("lagoon"))
    log.forget(soup("ember").hash)
    assert [entry.hash for entry in log.entries()] == [soup("lagoon").hash]
    cook(log, soup("ember"))
    assert log.entries()[0].count == 1
    log.clear()
    assert log.entries() == [] and not log.file.exists()
    log.clear()


def test_a_log_that_cannot_be_written_is_no_reason_to_fail(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    log = CookLog(tmp_path / "file" / "log.jsonl")
    with caplog.at_level(logging.WARNING):
        cook(log, soup("ember"))
        cook(log, soup("ember"))
        log.add_pictures({soup("ember").hash: [Picture("a.png", "", "output")]})
    assert log.entries() == [] and len(caplog.records) == 1


def test_search(log):
    cook(log, soup("styles/Ember", "lagoon"))
    (entry,) = log.entries()
    for words in (["ember"], ["lag", "styles"], [entry.hash[:8]], ["soup"], []):
        assert entry.matches(words), words
    assert not entry.matches(["ember", "meadow"])


def test_the_lines_are_plain_json(log):
    cook(log, soup("墨"))
    (line,) = log.file.read_bytes().splitlines()
    assert line.isascii() and json.loads(line)["recipe"]["ingredients"][0]["file"] == "墨.safetensors"


def test_lines_of_many_writers_do_not_mix(log):
    """Each with a file of its own, as processes have, and lines that no buffer holds."""
    recipe = Recipe(tuple(Ingredient(f"{number}-{'x' * 60}.safetensors") for number in range(200)))
    writers = [threading.Thread(target=lambda each=each: [cook(each, recipe) for _ in range(10)])
               for each in (log, CookLog(log.file), CookLog(log.file), CookLog(log.file))]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    (entry,) = log.entries()
    assert entry.count == 40
