"""Scenes, their captions and their numbers: by hand, and there and back for every scene."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion_soup.lab.world import (
    BACKGROUNDS,
    COLOURS,
    FIELDS,
    POSITIONS,
    SHAPES,
    SIZES,
    STYLES,
    VALUES,
    Scene,
    Scenes,
    Thing,
    WorldError,
    parse,
)

CIRCLE, STAR = Thing("circle", "red", "large", "left"), Thing("star", "blue", "small", "right")
RING = Thing("ring", "green", "small", "centre")


@st.composite
def scenes(draw):
    places = draw(st.lists(st.sampled_from(POSITIONS), min_size=1, max_size=3, unique=True))
    things = [Thing(*(draw(st.sampled_from(words)) for words in (SHAPES, COLOURS, SIZES)), place) for place in places]
    return Scene(tuple(things), draw(st.sampled_from(BACKGROUNDS)), draw(st.sampled_from(STYLES)),
                 draw(st.integers(0, 2**63 - 1)))


def test_captions_by_hand():
    assert Scene((CIRCLE,), "sky", "flat").caption == "a large red circle on the left, in the sky, flat style"
    assert Scene((STAR, CIRCLE), "sunset", "neon").caption == (
        "a large red circle on the left and a small blue star on the right, at sunset, neon style")
    assert Scene((RING, STAR, CIRCLE), "plain", "ink").caption == (
        "a large red circle on the left, a small blue star on the right and a small green ring in the centre, "
        "on plain paper, ink style")


def test_a_row_by_hand():
    assert FIELDS[:4] == (("shape", "left"), ("colour", "left"), ("size", "left"), ("shape", "right"))
    assert Scene((STAR, CIRCLE), "night", "comic").row == [1, 1, 2, 4, 5, 1, *[0] * 9, 3, 1]


@given(scenes())
def test_there_and_back(scene):
    told = parse(scene.caption)
    assert (told.things, told.background, told.style) == (scene.things, scene.background, scene.style)
    assert all(0 <= number < values for number, values in zip(scene.row, VALUES))
    assert Scene.of_row(scene.row, scene.seed) == scene
    assert list(Scenes.of([scene])) == [scene] == [Scenes.of([scene])[0]]


@given(scenes(), scenes())
def test_equal_captions_are_equal_facts(one, other):
    assert (one.caption == other.caption) == (one.row == other.row)


def test_many_scenes():
    many = Scenes.of([Scene((CIRCLE,), "sky", "flat", 7), Scene((CIRCLE, STAR), "sea", "ink", 8)])
    assert many.counts().tolist() == [1, 2] and many.column("background").tolist() == [1, 5]
    assert many.column("colour", "right").tolist() == [0, 5]
    assert list(many[1:]) == [many[1]] == list(many.pick(torch.tensor([False, True])))
    assert many.captions == [scene.caption for scene in many] and Scenes.of(many) is many
    assert list(Scenes.joined([many, many])) == [*many, *many] and len(Scenes.of([])) == 0


@pytest.mark.parametrize(("make", "said"), [
    (lambda: Thing("blob", "red", "small", "left"), "'blob'"), (lambda: Thing("star", "pink", "small", "left"), "pink"),
    (lambda: Scene((CIRCLE,), "moon", "flat"), "moon"), (lambda: Scene((CIRCLE,), "sky", "cubist"), "cubist"),
    (lambda: Scene((), "sky", "flat"), "has 0"), (lambda: Scene((CIRCLE, CIRCLE), "sky", "flat"), "left, left"),
    (lambda: Scene((CIRCLE,), "sky", "flat", -1), "-1"), (lambda: Scene.of_row([1, 0, 1, *[0] * 14]), r"\[1, 0, 1\]"),
    (lambda: Scenes(torch.zeros(2, 16), torch.zeros(2)), "(2, 16)"),
    *((lambda text=text: parse(text), "no caption") for text in (
        "", "a cat", ", in the sky, flat style", "a large red circle on the left", "in the sky, flat style",
        "a large red circle on the left and a large red circle at the top, in the sky, flat",
        "a large red circle on the left a small red star at the top, in the sky, flat style",
        "a large red circle on the left, in the sky, flat style "))])
def test_what_is_refused(make, said):
    with pytest.raises(WorldError, match=said.replace("(", r"\(").replace(")", r"\)") if "(" in said else said):
        make()
