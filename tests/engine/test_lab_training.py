"""Training and sampling in the lab: what a step learns from, runs that are cut, soups and ensembles."""

from dataclasses import replace

import pytest
import torch

pytest.importorskip("diffusers", exc_type=ImportError)

from diffusion_soup.errors import Cancelled, FileError, SoupError
from diffusion_soup.lab import denoiser as denoisers
from diffusion_soup.lab import training
from diffusion_soup.lab.denoiser import PREFIX, Denoiser, DenoiserConfig, schedule
from diffusion_soup.lab.sampling import generate, mean_velocity
from diffusion_soup.lab.shards import DOMAINS, WORLD
from diffusion_soup.lab.training import Run, batch_of, facts, read_tensors, trained
from diffusion_soup.lab.world import VALUES, Scenes, WorldError
from diffusion_soup.progress import Silent

MODEL = DenoiserConfig(16, (8, 16), 1, 16, 2)
RUN = Run("tiny", steps=4, batch=6, model=MODEL)


class StopsAt(Silent):
    """Cancels once so many steps are reported."""

    def __init__(self, steps):
        self.left = steps

    def step(self, done, total, what):
        self.left -= 1

    def cancelled(self):
        return self.left <= 0


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


# -- what is learnt from ---------------------------------------------------------------------------------


def test_shards_are_drawn_from_in_turn():
    run = replace(RUN, shards=DOMAINS, batch=6)
    seen = Scenes.joined([run.scenes(step) for step in range(2)])
    wanted = [shard.scenes([index]) for index in range(3) for shard in DOMAINS]
    assert sorted(seen.seeds.tolist()) == sorted(each.seeds.item() for each in wanted)


def test_few_pictures_come_again_and_again():
    run = replace(RUN, shards=DOMAINS[:2], batch=6, pictures=2)
    known = set(run.training_set().seeds.tolist())
    assert len(known) == 4 and all(set(run.scenes(step).seeds.tolist()) == known for step in range(3))
    assert replace(run, seed=5).training_set().seeds.tolist() == run.training_set().seeds.tolist()
    with pytest.raises(WorldError, match="no picture twice"):
        RUN.training_set()


def test_steps_are_the_same_whenever_they_are_asked_for():
    network, scheduler = Denoiser(MODEL), schedule()
    one, again, next_one = (batch_of(RUN, step, network, scheduler) for step in (2, 2, 3))
    assert torch.equal(one.noisy, again.noisy) and torch.equal(one.told.pooled, again.told.pooled)
    assert not torch.equal(one.noisy, next_one.noisy)
    parts = list(one.pieces(4))
    assert [len(part[1]) for part in parts] == [4, 2]
    assert torch.equal(torch.cat([part[2] for part in parts]), one.wanted)


def test_velocity_is_that_of_the_paper():
    scheduler = schedule()
    pictures, noise, times = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4), torch.tensor([10, 900])
    alpha = scheduler.alphas_cumprod[times].reshape(-1, 1, 1, 1)
    wanted = alpha.sqrt() * noise - (1 - alpha).sqrt() * pictures
    assert torch.allclose(scheduler.get_velocity(pictures, noise, times), wanted)


def test_facts_that_are_not_told():
    network, scenes = Denoiser(MODEL), WORLD.scenes(range(3))
    known = torch.zeros(3, len(VALUES))
    known[:, -1] = 1
    told, nothing = network.tell(scenes, known), network.nothing(3)
    assert told.tokens[:, :-1].abs().sum() == 0 and (told.tokens[:, -1].abs().sum(1) > 0).all()
    assert (told.pooled > 0).sum(1).tolist() == [1, 1, 1]
    assert torch.equal(network.tell(scenes, known * 0).pooled, nothing.pooled)
    assert network.tell(scenes).pooled.count_nonzero(1).tolist() == [len(VALUES)] * 3


def test_the_learning_rate_warms_up_and_falls():
    run = replace(RUN, steps=100, rate=1.0)
    assert run._at(0) == pytest.approx(0.02) and run._at(50) == 0.5 and run._at(99) == pytest.approx(0.01)
    assert replace(run, constant=True)._at(99) == 1.0


# -- runs ------------------------------------------------------------------------------------------------


def test_runs_are_named_by_what_they_are():
    assert RUN.hash == replace(RUN, name="another").hash
    others = [replace(RUN, steps=5), replace(RUN, start=RUN), replace(RUN, shards=DOMAINS[:1]), replace(RUN, seed=1),
              replace(RUN, start=replace(RUN, seed=1)), replace(RUN, rough=True)]
    assert len({RUN.hash, *(each.hash for each in others)}) == 7
    for wrong in ({"steps": 0}, {"shards": ()}, {"rate": 0.0}, {"rate": float("nan")}, {"pictures": -1}):
        with pytest.raises(WorldError, match="'tiny'"):
            replace(RUN, **wrong)


def test_a_run_that_was_cut_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_MEAN_OF", 3)
    whole = trained(RUN, tmp_path / "whole")
    for cut in (1, 2, 3):
        folder = tmp_path / str(cut)
        with pytest.raises(Cancelled):
            trained(replace(RUN, steps=4), folder, progress=StopsAt(cut))
        assert [path.name.startswith(".training-") for path in folder.iterdir()] == [True]
        again = trained(RUN, folder)
        assert [path.name for path in folder.iterdir()] == [RUN.file]
        assert same(read_tensors(again), read_tensors(whole)) and facts(again)["losses"] == facts(whole)["losses"]
    assert len(facts(whole)["losses"]) == 2


def test_damaged_files_are_made_again(tmp_path):
    path = trained(RUN, tmp_path)
    tensors = {key: each.clone() for key, each in read_tensors(path).items()}  # they are views of the file
    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 2])
    (tmp_path / f".training-{RUN.hash[:16]}.safetensors").write_bytes(b"half")
    assert same(read_tensors(trained(RUN, tmp_path)), tensors)


def test_what_a_run_starts_from_is_trained_first(tmp_path):
    tuned = replace(RUN, name="tuned", start=RUN, shards=DOMAINS[:1], rate=1e-9)
    moved = read_tensors(trained(tuned, tmp_path))
    base = read_tensors(tmp_path / RUN.file)
    assert max((moved[key] - base[key]).abs().max() for key in base) < 1e-6
    assert not same(moved, base) and all(key.startswith(PREFIX) for key in base)


def test_training_learns(tmp_path):
    run = replace(RUN, steps=60, batch=16, rate=5e-3)
    losses = facts(trained(run, tmp_path))["losses"]
    assert losses[-1] < 0.8 * losses[0]


def test_a_loss_that_is_no_number_is_told(tmp_path):
    with pytest.raises(WorldError, match="smaller learning rate"):
        trained(replace(RUN, steps=200, rate=1e30), tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="could not be written"):
        trained(RUN, tmp_path / "file")


def test_weights_of_another_network(tmp_path):
    with pytest.raises(WorldError, match="another network"):
        Denoiser(DenoiserConfig(16, (8, 8), 1, 16, 2)).load(Denoiser(MODEL).tensors())


def test_diffusers_that_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    denoisers.library.cache_clear()
    with pytest.raises(SoupError, match=r"pip install diffusion-soup\[lab\]"):
        denoisers.library()
    denoisers.library.cache_clear()


# -- pictures --------------------------------------------------------------------------------------------


def test_a_picture_does_not_depend_on_the_others():
    network, scenes = [Denoiser(MODEL).eval()], WORLD.scenes(range(5))
    many, few = generate(network, scenes, 2), generate(network, scenes.pick(slice(0, 2)), 2)
    assert many.shape == (5, 3, 16, 16) and many.abs().max() <= 1
    assert torch.allclose(many[:2], few, atol=1e-5)
    assert not torch.allclose(many[:2], generate(network, scenes, 2, seed=1)[:2])


def test_an_ensemble_is_the_mean_of_its_scores():
    one, other = Denoiser(MODEL, 0).eval(), Denoiser(MODEL, 1).eval()
    scenes = WORLD.scenes(range(3))
    noisy, times, told = torch.randn(3, 3, 16, 16), torch.tensor([1, 500, 999]), one.tell(scenes)
    with torch.no_grad():
        mean = (one.velocity(noisy, times, told) + other.velocity(noisy, times, told)) / 2
    assert torch.allclose(mean_velocity([one, other], noisy, times, told), mean, atol=1e-6)
    assert torch.allclose(generate([one, one], scenes, 2), generate([one], scenes, 2), atol=1e-5)


def test_guidance_by_hand():
    """One step of DDIM from the last time step, done here by its formula."""
    network, scenes, guidance = Denoiser(MODEL).eval(), WORLD.scenes(range(2)), 3.0
    made = generate([network], scenes, 1, guidance)
    scheduler = schedule()
    scheduler.set_timesteps(1)
    time = scheduler.timesteps
    from diffusion_soup.lab.sampling import _noise
    noise = torch.stack([_noise(0, at, 16) for at in range(2)])
    with torch.no_grad():
        wanted, plain = (network.velocity(noise, time.expand(2), told)
                         for told in (network.tell(scenes), network.nothing(2)))
    alpha = scheduler.alphas_cumprod[time]
    clean = (alpha.sqrt() * noise - (1 - alpha).sqrt() * (plain + guidance * (wanted - plain))).clamp(-1, 1)
    final = scheduler.final_alpha_cumprod
    velocity = plain + guidance * (wanted - plain)
    epsilon = alpha.sqrt() * velocity + (1 - alpha).sqrt() * noise
    expected = final.sqrt() * clean + (1 - final).sqrt() * epsilon
    assert torch.allclose(made, expected.clamp(-1, 1), atol=1e-4), (made - expected).abs().max()


def test_pictures_can_be_cancelled():
    with pytest.raises(Cancelled):
        generate([Denoiser(MODEL)], WORLD.scenes(range(2)), 2, progress=StopsAt(0))
