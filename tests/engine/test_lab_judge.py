"""The judge: verdicts by hand, scores with a judge that knows everything, and the file it is kept in."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from diffusion_soup.cli import main
from diffusion_soup.errors import Cancelled, FileError
from diffusion_soup.frechet import fid
from diffusion_soup.lab import commands, train_judge
from diffusion_soup.lab.judge import FLOOR, KINDS, Network, calibrated, compared
from diffusion_soup.lab.render import draw
from diffusion_soup.lab.shards import WORLD
from diffusion_soup.lab.train_judge import JudgeConfig, disturbed, measured, the_judge, train
from diffusion_soup.lab.world import VALUES, Scene, Scenes, Thing, WorldError
from diffusion_soup.progress import Silent

CIRCLE, STAR = Thing("circle", "red", "large", "left"), Thing("star", "blue", "small", "right")
TINY = JudgeConfig(width=2, features=4, steps=2, batch=4)


class Oracle(nn.Module):
    """Answers with the facts of the scenes it was told, each with probability ``sure``, in the order it is asked."""

    def __init__(self, scenes, sure=0.9):
        super().__init__()
        self.scenes, self.sure, self.at = scenes, sure, 0

    def forward(self, pictures):
        rows = self.scenes.facts[self.at:self.at + len(pictures)]
        self.at = (self.at + len(pictures)) % len(self.scenes)
        columns = []
        for at, values in enumerate(VALUES):
            chances = torch.full((len(rows), values), (1 - self.sure) / (values - 1))
            columns.append(chances.scatter(1, rows[:, at, None], self.sure).log())
        return pictures.flatten(1)[:, ::64], torch.cat(columns, 1)


@pytest.fixture(scope="module")
def prepared():
    scenes = WORLD.scenes(range(640))
    pictures = draw(scenes, 16)
    return calibrated(Oracle(scenes), 16, pictures, scenes), pictures, scenes


@pytest.fixture
def known(prepared):
    """(judge, pictures, scenes) of a judge that is right with 90 % certainty."""
    prepared[0].network.at = 0
    return prepared


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(train_judge, "_TEST", 64)
    monkeypatch.setattr(train_judge, "_CALIBRATION", 64)


# -- verdicts --------------------------------------------------------------------------------------------


def rows(*scenes):
    return Scenes.of(scenes).facts


def test_a_verdict_by_hand():
    """Asked: count, circle (4 facts), star (4), background, style. Shown: a green star, no circle."""
    seen = rows(Scene((Thing("star", "green", "small", "right"),), "sky", "ink"))
    verdict = compared(rows(Scene((CIRCLE, STAR), "sky", "flat")), seen)
    assert verdict.asked.sum() == 11 and verdict.faithfulness.item() == pytest.approx(4 / 11)
    assert verdict.by_kind == pytest.approx({"count": 0, "position": 0.5, "shape": 0.5, "colour": 0, "size": 0.5,
                                             "background": 1, "style": 0, "all": 4 / 11})


def test_one_thing_too_many_costs_the_count_alone():
    verdict = compared(rows(Scene((CIRCLE,), "sky", "flat")), rows(Scene((CIRCLE, STAR), "sky", "flat")))
    assert verdict.faithfulness.item() == pytest.approx(6 / 7) and verdict.by_kind["count"] == 0


def test_right_is_right():
    scenes = WORLD.scenes(range(200))
    verdict = compared(scenes.facts, scenes.facts)
    assert verdict.faithfulness.tolist() == [1] * 200 and verdict.by_kind == dict.fromkeys((*KINDS, "all"), 1)


def test_a_thing_without_a_shape_is_no_thing():
    seen = rows(Scene((CIRCLE,), "sky", "flat"))
    seen[0, 0] = 0
    verdict = compared(rows(Scene((CIRCLE,), "sky", "flat")), seen)
    assert verdict.faithfulness.item() == pytest.approx(2 / 7)


# -- scores ----------------------------------------------------------------------------------------------


def test_a_judge_that_knows(known):
    judge, pictures, scenes = known
    assert judge.faithfulness(pictures, scenes).tolist() == [1] * 640
    assert torch.equal(judge.answers(pictures), scenes.facts)


def test_preference_by_hand(known):
    """One thing: shape, colour, size, background and style at log 0.9; the layout is that for each empty place
    and log (1 − 0.1 / 6) where something stands."""
    judge, pictures, scenes = known
    logs = judge.preference(pictures, scenes) + 0.25 * judge.dirt(pictures, scenes)
    sure, there = math.log(0.9), math.log(1 - 0.1 / 6)
    for count, wanted in ((1, (5 * sure + 4 * sure + there) / 6), (2, (8 * sure + 3 * sure + 2 * there) / 9)):
        found = logs[scenes.counts() == count]
        assert found.tolist() == pytest.approx([wanted] * len(found), rel=1e-4)


def test_wrong_pictures_are_liked_less(known):
    judge, pictures, scenes = known
    others = scenes.pick(torch.arange(640).roll(1))
    assert (judge.preference(pictures, others) < judge.preference(pictures, scenes)).float().mean() > 0.98
    assert judge.preference(pictures, others).min() >= FLOOR - 0.25 * 9


def test_noise_blur_and_mush_are_dirt(known):
    judge, pictures, scenes = known
    clean = judge.dirt(pictures, scenes)
    assert 0.5 < clean.mean() < 1.5  # two measures, each with half a squared z of about a half
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    blurred = nn.functional.avg_pool2d(nn.functional.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
    for dirty in ((pictures + 0.3 * noise).clamp(-1, 1), blurred, torch.zeros_like(pictures)):
        assert (judge.dirt(dirty, scenes) > clean).float().mean() > 0.85


def test_features_and_fid(known):
    judge, pictures, _ = known
    features = judge.features(pictures)
    assert features.shape == (640, 12) and fid(features, features) < 1e-6 < fid(features, features + 1)


def test_the_nearest(known):
    judge, pictures, _ = known
    training = pictures[:50]
    found = judge.nearest(training[[7, 3]], training)
    assert found.pixel_index.tolist() == [7, 3] == found.feature_index.tolist()
    assert found.pixel.tolist() == [0, 0] and found.feature.tolist() == [0, 0]
    moved = judge.nearest((training[[7]] + 0.01), training)
    assert moved.pixel.item() == pytest.approx(0.01, rel=1e-3) and moved.pixel_index.item() == 7
    with pytest.raises(WorldError, match=r"\(3, 32, 32\)"):
        judge.nearest(pictures, torch.zeros(1, 3, 32, 32))


def test_larger_pictures_are_averaged_down(known):
    judge, pictures, _ = known
    large = pictures.repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert torch.allclose(judge.features(large), judge.features(pictures), atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 1, 16, 16), (2, 3, 8, 8)])
def test_pictures_that_cannot_be_judged(known, shape):
    with pytest.raises(WorldError, match="looks at pictures"):
        known[0].features(torch.zeros(shape))


def test_as_many_scenes_as_pictures(known):
    judge, pictures, scenes = known
    with pytest.raises(WorldError, match="640 pictures"):
        judge.faithfulness(pictures, scenes[:3])


# -- training and the file -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 24, 32])
def test_the_network_takes_any_size(size):
    network = Network(size, 2, 6)
    features, logits = network(torch.zeros(3, 3, size, size))
    assert features.shape == (3, 6) and logits.shape == (3, sum(VALUES))


def test_disturbed_pictures_stay_pictures():
    pictures = draw(WORLD.scenes(range(640)), 16)
    shaken = disturbed(pictures, torch.Generator().manual_seed(0))
    assert shaken.shape == pictures.shape and shaken.abs().max() <= 1
    same = (shaken - pictures).flatten(1).abs().amax(1) == 0
    assert 0 < same.sum() < 100
    assert torch.equal(shaken, disturbed(pictures, torch.Generator().manual_seed(0)))


def test_training_is_the_same_each_time_and_leaves_torch_alone(quick):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, other = train(TINY), train(TINY)
    assert torch.equal(before, torch.random.get_rng_state())
    for name, tensor in one.network.state_dict().items():
        assert torch.equal(tensor, other.network.state_dict()[name]), name
    assert set(one.report) == {"clean", "disturbed"} and set(one.report["clean"]) == {*KINDS, "all"}


def test_a_judge_is_trained_once(quick, tmp_path, monkeypatch):
    judge = the_judge(TINY, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"judge-{TINY.hash[:16]}.safetensors"]
    monkeypatch.setattr(train_judge, "train", None)
    again = the_judge(TINY, tmp_path)
    pictures = draw(WORLD.scenes(range(20)), 16)
    assert torch.equal(judge.features(pictures), again.features(pictures)) and judge.report == again.report
    assert torch.equal(judge.clean_mean, again.clean_mean) and torch.equal(judge.feature_spread, again.feature_spread)


@pytest.mark.parametrize("damage", [lambda data: data[:100], lambda data: b"", lambda data: b"no" * 999])
def test_a_damaged_file_is_made_again(quick, tmp_path, damage):
    the_judge(TINY, tmp_path)
    path = next(tmp_path.iterdir())
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    the_judge(TINY, tmp_path)
    assert path.read_bytes() == whole


def test_a_folder_that_is_none(quick, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="could not be written"):
        the_judge(TINY, tmp_path / "file")


def test_cancelled_training_leaves_nothing(tmp_path):
    class Stop(Silent):
        def cancelled(self):
            return True

    with pytest.raises(Cancelled):
        the_judge(TINY, tmp_path / "judges", Stop())
    assert not list(tmp_path.iterdir())


def test_the_command(quick, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(commands, "JudgeConfig", lambda size: replace(TINY, size=size))
    assert main(["lab", "judge", "--size", "20", "--folder", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["clean", "disturbed"] and [line.split()[0] for line in lines[1:]] == [*KINDS, "all"]
    assert main(["lab", "judge", "--size", "8"]) == 2


def test_the_hash_tells_configurations_apart():
    assert len({JudgeConfig().hash, JudgeConfig(seed=1).hash, JudgeConfig(size=32).hash, TINY.hash}) == 4
    with pytest.raises(WorldError, match="size is at least 16, not 8"):
        JudgeConfig(size=8)


@pytest.mark.slow
def test_the_judge_is_right(tmp_path):
    judge = the_judge(folder=tmp_path)
    report = measured(judge)
    assert report == judge.report
    assert report["clean"]["all"] > 0.99 and min(report["disturbed"].values()) > 0.95
    scenes = WORLD.scenes(range(2000), "test")
    pictures = draw(scenes, 16)
    assert judge.faithfulness(pictures, scenes).mean() > 2 * judge.faithfulness(pictures.roll(1, 0), scenes).mean()
    assert judge.preference(pictures, scenes).mean() > judge.preference(pictures.roll(1, 0), scenes).mean() + 1
    other, domain = draw(WORLD.scenes(range(2000, 4000), "test"), 16), draw(scenes.pick(slice(0, 1)), 16)
    mush = (pictures + pictures.roll(1, 0)) / 2
    same, worse = (fid(judge.features(each), judge.features(pictures)) for each in (other, mush))
    assert same < worse / 3 and judge.nearest(domain, pictures).pixel.item() == 0
