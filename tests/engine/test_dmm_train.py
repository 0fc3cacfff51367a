"""Training of a student: it learns, it resumes to the same numbers, and one process and two are the same."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from diffusion_soup.dmm.course import Course, told
from diffusion_soup.dmm.discriminator import Discriminator
from diffusion_soup.dmm.network import StudentUNet
from diffusion_soup.dmm.noise import Schedule
from diffusion_soup.dmm.processes import Processes
from diffusion_soup.dmm.teachers import Resident
from diffusion_soup.dmm.train import Losses, Training, mean_losses, rows_of
from diffusion_soup.errors import Cancelled, FileError, RecipeError, SoupError

from .small_unets import CONTEXT, SIZE, unet

SCHEDULE = Schedule.stable_diffusion()
COURSE = Course(steps=6, batch=6, rate=1e-3, feature=0.1, adversarial=0.01, discriminator_rate=1e-3)
NAMES = ("ink", "clay", "neon")


class Pictures:
    """The same ones for the same step."""

    def __init__(self, spoilt=()):
        self.spoilt = set(spoilt)

    def batch(self, step, count):
        from diffusion_soup.dmm.network import Text
        generator = torch.Generator().manual_seed(step)
        clean = torch.randn(count, 4, SIZE, SIZE, generator=generator)
        if step in self.spoilt:
            clean[0] = float("nan")
        return clean, Text(torch.randn(count, 5, CONTEXT, generator=generator))

    def nothing(self, count):
        from diffusion_soup.dmm.network import Text
        return Text(torch.zeros(count, 5, CONTEXT))


def training(folder, course=COURSE, data=None, processes=None, names=NAMES, **more):
    teachers = Resident({name: unet(10 + at) for at, name in enumerate(names)}, SCHEDULE)
    torch.manual_seed(0)
    judge = Discriminator(unet(20), len(names), SCHEDULE, layers=1) if course.adversarial else None
    return Training(StudentUNet(unet(1), len(names)), teachers, SCHEDULE, data or Pictures(), course, Path(folder),
                    discriminator=judge, processes=processes, **more)


def curve(done):
    return torch.tensor([dataclasses.astuple(each) for each in done.losses])


def test_it_learns_to_say_what_each_teacher_says(tmp_path):
    course = Course(steps=80, batch=12, rate=4e-3, feature=0, adversarial=0, untold=0, warm=10, shared=True)
    done = training(tmp_path, course)
    done.go()
    first, last = mean_losses(done.losses[:10]).score, mean_losses(done.losses[-10:]).score
    assert last < 0.5 * first
    # With the styles exchanged it says something else: the styles steer it.
    rows = rows_of(0, course, done.data, 3, SCHEDULE)
    with torch.no_grad():
        right = done.student(rows.noisy, rows.times, rows.text, rows.styles)
        wrong = done.student(rows.noisy, rows.times, rows.text, (rows.styles + 1) % 3)
        wanted = done.teachers.see(rows.noisy, rows.times, rows.text, rows.styles).epsilon
    assert (right - wanted).square().mean() < 0.8 * (wrong - wanted).square().mean()


def test_all_losses_are_told_and_move_everything(tmp_path):
    done = training(tmp_path)
    before = {name: weight.detach().clone() for name, weight in
              (*done.student.named_parameters(), *done.discriminator.named_parameters())}
    done.go()
    assert len(done.losses) == 6 and (curve(done) > 0).all() and torch.isfinite(curve(done)).all()
    after = dict((*done.student.named_parameters(), *done.discriminator.named_parameters()))
    assert [name for name in before if torch.equal(before[name], after[name])] == []


# The pictures of a step


def test_student_and_teacher_are_told_the_same():
    course = dataclasses.replace(COURSE, batch=300, untold=0.5)
    rows = rows_of(3, course, Pictures(), 3, SCHEDULE)
    empty = (rows.text.tokens == 0).all(2).all(1)
    assert 100 < empty.sum() < 200
    assert rows.styles.bincount().tolist() == [100, 100, 100]
    assert all(20 < empty[rows.styles == style].sum() < 80 for style in range(3))


def test_a_step_is_the_same_whenever_it_is_asked_for():
    one, other, next_ = (rows_of(step, COURSE, Pictures(), 3, SCHEDULE) for step in (2, 2, 3))
    assert torch.equal(one.noisy, other.noisy) and torch.equal(one.styles, other.styles)
    assert not torch.equal(one.noisy, next_.noisy)


def test_shared_pictures_are_shown_to_all_teachers():
    rows = rows_of(0, dataclasses.replace(COURSE, shared=True), Pictures(), 3, SCHEDULE)
    assert rows.styles.tolist() == [0, 1, 2, 0, 1, 2]
    for name in ("noisy", "times"):
        values = getattr(rows, name)
        assert torch.equal(values[0], values[1]) and torch.equal(values[1], values[2])
    assert torch.equal(rows.text.tokens[3], rows.text.tokens[5]) and not torch.equal(rows.noisy[2], rows.noisy[3])
    with pytest.raises(RecipeError, match="batch is 7; .* a multiple of 3"):
        rows_of(0, dataclasses.replace(COURSE, batch=7, shared=True), Pictures(), 3, SCHEDULE)


# Going on


class After:
    """Cancels at a step."""

    def __init__(self, step):
        self.last = step

    def step(self, done, total, what=""):
        self.done = done

    def cancelled(self):
        return getattr(self, "done", 0) >= self.last


def test_a_training_that_was_cut_goes_on_with_the_same_losses(tmp_path):
    course = dataclasses.replace(COURSE, average=0.9, warm=3, fall=True)
    whole = training(tmp_path / "whole", course)
    whole.go()
    with pytest.raises(Cancelled):
        training(tmp_path / "cut", course).go(After(4))
    again = training(tmp_path / "cut", course)
    again.go()
    assert again.step == 6 and torch.equal(curve(again), curve(whole))
    for (name, ours), theirs in zip(again.student.named_parameters(), whole.student.parameters()):
        assert torch.equal(ours, theirs), name
    assert all(torch.equal(again.average[name], whole.average[name]) for name in whole.average)


def test_killed_at_any_moment_it_goes_on(tmp_path):
    """A child process is killed while it trains and keeps a state after every step."""
    code = f"""
import sys; sys.path[:0] = {sys.path!r}
from tests.engine.test_dmm_train import training
done = training({str(tmp_path)!r})
print("ready", flush=True)
done.go(keep_seconds=0)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    while len(list(tmp_path.glob("state-*.safetensors"))) < 2 and child.poll() is None:
        time.sleep(0.01)
    child.kill()
    child.wait()
    again, whole = training(tmp_path), training(tmp_path / "whole")
    assert again.resume() and again.step >= 1
    again.go()
    whole.go()
    torch.testing.assert_close(curve(again), curve(whole), rtol=1e-4, atol=1e-6)


def test_only_the_last_two_states_are_kept(tmp_path):
    training(tmp_path).go(keep_seconds=0)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["state-000000005.safetensors",
                                                                  "state-000000006.safetensors"]


def test_a_damaged_state_is_passed_over(tmp_path):
    training(tmp_path).go(keep_seconds=0)
    newest = tmp_path / "state-000000006.safetensors"
    newest.write_bytes(newest.read_bytes()[:1000])
    again = training(tmp_path)
    assert again.resume() and again.step == 5


def test_other_settings_are_refused_by_name(tmp_path):
    training(tmp_path).go()
    with pytest.raises(RecipeError, match=r"rate \(0.001 before, 0.002 now\); teachers \(ink, clay, neon before, a, b"):
        training(tmp_path, dataclasses.replace(COURSE, rate=2e-3), names=("a", "b", "c")).go()
    longer = training(tmp_path, dataclasses.replace(COURSE, steps=8))
    longer.go()
    assert longer.step == 8, "but it may be made longer"


def test_a_full_disk_leaves_the_states_before(tmp_path, monkeypatch):
    done = training(tmp_path)
    done.keep()
    done.learn()
    done.step = 1

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FileError, match="No space left on device. The states before it are whole"):
        done.keep()
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["state-000000000.safetensors"]
    assert training(tmp_path).resume()


# Numbers that are none


def test_a_spoilt_step_brings_the_last_good_state_back(tmp_path):
    done = training(tmp_path, data=Pictures(spoilt=[3]))
    done.go(keep_seconds=0)
    assert done.step == 6 and done.spoilt == 1 and torch.isfinite(curve(done)).all()
    plain = training(tmp_path / "plain")
    plain.go()
    assert torch.equal(curve(done)[:3], curve(plain)[:3]) and not torch.equal(curve(done)[3:], curve(plain)[3:])


def test_it_gives_up_in_a_sentence(tmp_path):
    class Always(Pictures):
        def batch(self, step, count):
            clean, text = super().batch(step, count)
            return clean * float("nan"), text

    with pytest.raises(SoupError, match="no numbers any more at step 0, .* 5 times. Train with a smaller rate"):
        training(tmp_path, data=Always()).go()


# Several processes


@pytest.mark.parametrize("count, teachers, wanted", [(2, 3, [[0, 2], [1]]), (3, 3, [[0], [1], [2]]),
                                                     (4, 2, [[0], [1], [0], [1]])])
def test_rows_of_processes(count, teachers, wanted):
    ranks = [Processes(rank, count) for rank in range(count)]
    assert [each.teachers(teachers) for each in ranks] == wanted
    styles = torch.arange(teachers).repeat(6)
    rows = [each.rows(styles, teachers) for each in ranks]
    assert torch.cat(rows).sort().values.tolist() == list(range(len(styles)))
    assert all(set(styles[mine].tolist()) == set(own) for mine, own in zip(rows, wanted))


def test_two_processes_have_the_losses_of_one(tmp_path):
    alone = training(tmp_path / "one")
    alone.go()
    code = f"""
import sys; sys.path[:0] = {sys.path!r}
import torch
torch.set_num_threads(1)
from tests.engine.test_dmm_train import training, curve
from diffusion_soup.dmm.processes import Processes
ours = Processes.from_environment("gloo")
done = training({str(tmp_path / "two")!r}, processes=ours)
done.go()
weights = [weight.detach() for weight in done.student.parameters()]
torch.save((curve(done), weights), {str(tmp_path)!r} + f"/{{ours.rank}}")
torch.distributed.destroy_process_group()
"""
    told_ = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    children = [subprocess.Popen([sys.executable, "-c", code], env={**told_, "RANK": str(rank)}) for rank in range(2)]
    assert [child.wait(400) for child in children] == [0, 0]
    (losses, weights), (same, equal) = (torch.load(tmp_path / str(rank)) for rank in range(2))
    assert torch.equal(losses, same) and all(map(torch.equal, weights, equal))
    torch.testing.assert_close(losses, curve(alone), rtol=1e-4, atol=1e-4)


def free_port():
    import socket
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_too_few_pictures_for_the_processes(tmp_path):
    with pytest.raises(RecipeError, match="batch is 6, too few for 9 processes and 3 teachers"):
        training(tmp_path, processes=Processes(0, 9))


# Courses


def test_courses_come_from_tables():
    course = Course.of({"steps": 10, "betas": [0.5, 0.9], "shared": True, "rate": 1})
    assert course == Course(steps=10, betas=(0.5, 0.9), shared=True, rate=1)
    assert told(course)["betas"] == [0.5, 0.9] and course.differences(told(course)) == []


@pytest.mark.parametrize("given, message", [
    ({"stepps": 3}, "no 'stepps' in .train.; known are steps, batch"),
    ({"steps": 0}, "steps of the training is '0'; expected a number from 1"),
    ({"steps": 1.5}, "steps of the training is '1.5'; expected a whole number"),
    ({"batch": "many"}, "batch of the training is 'many'; expected a whole number"),
    ({"rate": 0}, "rate of the training is 0"), ({"rate": float("nan")}, "rate of the training is 'nan'"),
    ({"shared": 1}, "shared of the training is '1'; expected true or false"),
    ({"betas": [0.9]}, "betas of the training are two numbers"), ({"betas": [0.9, 1]}, "betas of the training"),
    ({"precision": "int4"}, "precision of the training is 'int4'; expected one of: float32, bfloat16")])
def test_wrong_tables(given, message):
    with pytest.raises(RecipeError, match=message):
        Course.of(given)


def test_the_rate_warms_up_and_falls():
    course = Course(steps=100, warm=9, fall=True)
    assert course.at(0) == pytest.approx(0.1, abs=0.01) and course.at(50) == pytest.approx(0.5)
    assert course.at(99) < 0.01 and Course(steps=100).at(99) == 1


def test_a_discriminator_where_it_is_needed_only(tmp_path):
    teachers = Resident({"ink": unet(1)}, SCHEDULE)
    with pytest.raises(RecipeError, match="needs a discriminator"):
        Training(StudentUNet(unet(1), 1), teachers, SCHEDULE, Pictures(), COURSE, tmp_path)
    with pytest.raises(RecipeError, match="2 styles for 1 teachers"):
        Training(StudentUNet(unet(1), 2), teachers, SCHEDULE, Pictures(), COURSE, tmp_path)


def test_bfloat16_learns_too(tmp_path):
    course = Course(steps=40, batch=9, rate=3e-3, feature=0.01, adversarial=0, precision="bfloat16", min_snr=5)
    done = training(tmp_path, course)
    done.go()
    assert mean_losses(done.losses[-10:]).score < 0.8 * mean_losses(done.losses[:10]).score
    assert mean_losses([]) == Losses(0, 0, 0, 0)
