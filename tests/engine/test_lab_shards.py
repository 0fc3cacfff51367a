"""Shards: the same scene at an index in any run, and nothing in them that does not belong."""

from itertools import combinations, islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion_soup.lab.shards import DOMAINS, FAMILIES, FORMS, STYLE_SHARDS, WORLD, Shard, crossed
from diffusion_soup.lab.world import BACKGROUNDS, COLOURS, SHAPES, STYLES, VALUES, Scene, Thing, WorldError

EVERY = [shard for family in FAMILIES.values() for shard in family]


@given(st.lists(st.integers(0, 2**40), max_size=20), st.sampled_from(EVERY), st.sampled_from(["train", "test"]))
def test_a_scene_does_not_depend_on_its_batch(indices, shard, split):
    whole = shard.scenes(indices, split, seed=3)
    assert list(whole) == [shard.scenes([index], split, seed=3)[0] for index in indices]
    assert all(shard.shows(scene) for scene in whole)


def test_scenes_stay_what_they_are():
    """Training runs resume, and memorised sets are named, by these indices."""
    assert WORLD.scenes([0, 1]).captions == [
        "a large orange triangle at the top and a large orange square at the bottom, at night, neon style",
        "a small yellow circle on the left, a small red ring at the top and a small purple cross at the bottom, "
        "on plain paper, pastel style"]


def test_a_run_resumes():
    first = list(islice(WORLD.batches(4), 3))
    resumed = next(WORLD.batches(4, start=8))
    assert torch.equal(first[2].facts, resumed.facts) and torch.equal(first[2].seeds, resumed.seeds)


def test_shards_splits_and_seeds_have_scenes_of_their_own():
    kinds = [WORLD.scenes(range(100)), WORLD.scenes(range(100), seed=1), WORLD.scenes(range(100), "test"),
             Shard("other").scenes(range(100))]
    for one, other in combinations(kinds, 2):
        assert not set(one.seeds.tolist()) & set(other.seeds.tolist())


def test_training_and_test_never_meet():
    """Whatever the shard: their seeds end on another bit."""
    for shard in (WORLD, *DOMAINS):
        assert {seed % 2 for seed in shard.scenes(range(50)).seeds.tolist()} == {0}
        assert {seed % 2 for seed in shard.scenes(range(50), "test").seeds.tolist()} == {1}


def test_families_share_the_world_out():
    for name, words in (("domains", BACKGROUNDS), ("forms", SHAPES), ("hues", COLOURS), ("styles", STYLES)):
        field = {"domains": "backgrounds", "forms": "shapes", "hues": "colours", "styles": "styles"}[name]
        parts = [word for shard in FAMILIES[name] for word in getattr(shard, field)]
        assert sorted(parts) == sorted(words)


def test_words_are_equally_likely():
    scenes = WORLD.scenes(range(24000))
    for what in ("background", "style"):
        assert np.bincount(scenes.column(what).numpy()) == pytest.approx([3000] * 8, rel=0.1)
    assert np.bincount(scenes.counts().numpy()) == pytest.approx([0, 8000, 8000, 8000], rel=0.05)
    things = scenes.facts[:, :15].reshape(-1, 3)
    things = things[things[:, 0] > 0]
    assert len(things) == int(scenes.counts().sum()) and (things > 0).all()
    assert np.bincount(things[:, 0].numpy())[1:] == pytest.approx([len(things) / 6] * 6, rel=0.05)
    assert all(int(scenes.facts[:, at].max()) == values - 1 for at, values in enumerate(VALUES))


def test_pairs_that_never_meet():
    shard = Shard("held out", without=(("neon", "star"), ("sky", "red")))
    scenes = shard.scenes(range(3000))
    for scene in scenes:
        assert not (scene.style == "neon" and "star" in {thing.shape for thing in scene.things})
        assert not (scene.background == "sky" and "red" in {thing.colour for thing in scene.things})
    assert {"neon", "ink"} <= {scene.style for scene in scenes}
    assert not shard.shows(Scene((Thing("star", "red", "small", "left"),), "sea", "neon"))
    assert list(scenes[5:9]) == list(shard.scenes(range(5, 9)))


def test_a_shard_that_leaves_nothing():
    shard = Shard("nothing", styles=("ink",), shapes=("star",), without=(("ink", "star"),))
    with pytest.raises(WorldError, match="hardly a scene"):
        shard.scenes([0])


def test_overlap():
    day = DOMAINS[0].mixed(0.25)
    inside = [scene.background in day.backgrounds for scene in day.scenes(range(4000))]
    assert np.mean(inside) == pytest.approx(0.75 + 0.25 * 2 / 8, abs=0.03)


def test_crossed_shards_show_what_neither_does():
    neon = Shard("neon", styles=("neon",), shapes=FORMS[0].shapes)
    pointed = Shard("pointed", styles=("flat",), shapes=FORMS[2].shapes)
    both = crossed(neon, pointed)
    assert both.styles == ("neon",) and both.shapes == ("triangle", "star")
    for scene in both.scenes(range(50), "test"):
        assert both.shows(scene) and not neon.shows(scene) and not pointed.shows(scene)
    assert crossed(STYLE_SHARDS[2], DOMAINS[0]).styles == ("ink",)


@pytest.mark.parametrize(("fields", "said"), [
    ({"shapes": ("blob",)}, "shapes"), ({"shapes": ()}, "shapes"), ({"styles": ("ink", "ink")}, "styles"),
    ({"counts": (4,)}, "counts"), ({"without": (("ink", "cat"),)}, "'cat'"), ({"overlap": 1.5}, "1.5")])
def test_what_is_refused(fields, said):
    with pytest.raises(WorldError, match=said):
        Shard("wrong", **fields)


def test_splits_are_two():
    with pytest.raises(WorldError, match="'validation'"):
        WORLD.scenes([0], "validation")
