"""SPLAM: the line between two points, the place of γ, and a student that learns few steps."""

from __future__ import annotations

import copy

import pytest
import torch

from diffusion_soup.dmm.course import Course
from diffusion_soup.dmm.incremental import Frozen
from diffusion_soup.dmm.network import StudentUNet, predict
from diffusion_soup.dmm.noise import Schedule
from diffusion_soup.dmm.splam import Splam, add_gamma, consistent, fold, gamma_embedding, on_the_line
from diffusion_soup.dmm.train import mean_losses, rows_of
from diffusion_soup.errors import MismatchError, RecipeError

from .small_unets import asked, unet
from .test_dmm_incremental import some_student
from .test_dmm_train import Pictures

SCHEDULE = Schedule.stable_diffusion()
COURSE = Course(steps=60, batch=8, rate=1e-3, feature=0, adversarial=0, average=0.95)


def with_gamma(styles=2):
    student = some_student(styles)
    add_gamma(student.unet)
    return student


# The line


def test_the_ends_of_the_line():
    clean, noise = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    times, before = torch.tensor([39, 499, 999]), torch.tensor([19, 479, 979])
    late, early = SCHEDULE.noised(clean, noise, times), SCHEDULE.noised(clean, noise, before)
    point, sigma = on_the_line(SCHEDULE, late, early, times, before, torch.ones(3))
    torch.testing.assert_close(point, late)
    torch.testing.assert_close(sigma, SCHEDULE.sigma(times, late), rtol=1e-5, atol=1e-6)
    point, sigma = on_the_line(SCHEDULE, late, early, times, before, torch.zeros(3))
    ratio = SCHEDULE.alpha(times, late) / SCHEDULE.alpha(before, late)
    torch.testing.assert_close(point, ratio * early)
    torch.testing.assert_close(sigma, ratio * SCHEDULE.sigma(before, late), rtol=1e-5, atol=1e-6)


def test_sigma_is_the_noise_of_a_point_on_the_line():
    """x_t is x_s noised on: then x_γ has the variance that is claimed."""
    generator = torch.Generator().manual_seed(0)
    noise, more = (torch.randn(200_000, 1, generator=generator, dtype=torch.float64) for _ in range(2))
    times, before = torch.full((200_000,), 499), torch.full((200_000,), 399)
    early = SCHEDULE.sigma(before, noise) * noise
    ratio = SCHEDULE.alpha(times, noise) / SCHEDULE.alpha(before, noise)
    late = ratio * early + (1 - ratio.square()).sqrt() * more
    for gamma in (0.0, 0.3, 1.0):
        point, sigma = on_the_line(SCHEDULE, late, early, times, before, torch.full((200_000,), gamma))
        assert point.std() == pytest.approx(float(sigma[0]), rel=0.01)


def test_a_right_prediction_gives_the_picture_and_time_zero_the_point():
    clean, noise = torch.randn(2, 4, 2, 2), torch.randn(2, 4, 2, 2)
    times = torch.tensor([0, 999])
    noisy, sigma = SCHEDULE.noised(clean, noise, times), SCHEDULE.sigma(times, clean)
    given = consistent(SCHEDULE, noisy, sigma, noise, times)
    torch.testing.assert_close(given[0], noisy[0])
    torch.testing.assert_close(given[1], clean[1], rtol=1e-3, atol=1e-3)


# γ


def test_gamma_changes_nothing_at_first_and_something_once_learnt():
    plain, student = some_student(), with_gamma()
    noisy, times, text = asked(3)
    styles = torch.tensor([0, 1, 1])
    gamma = gamma_embedding(torch.tensor([0.0, 0.5, 1.0]))
    with torch.no_grad():
        assert torch.equal(student(noisy, times, text, styles, gamma), plain(noisy, times, text, styles))
        student.unet.time_embedding.cond_proj.weight.normal_(std=0.05)
        assert not torch.allclose(student(noisy, times, text, styles, gamma), plain(noisy, times, text, styles),
                                  atol=1e-3)


def test_folding_is_the_same_function_and_a_plain_unet():
    student = with_gamma()
    with torch.no_grad():
        student.unet.time_embedding.cond_proj.weight.normal_(std=0.05, generator=torch.Generator().manual_seed(2))
    noisy, times, text = asked(3)
    styles = torch.tensor([0, 1, 1])
    with torch.no_grad():
        wanted = student(noisy, times, text, styles, gamma_embedding(torch.ones(3)))
        fold(student.unet)
        torch.testing.assert_close(student(noisy, times, text, styles), wanted, rtol=1e-4, atol=1e-5)
    assert student.unet.state_dict().keys() == unet(1).state_dict().keys()
    plain = unet(1)
    plain.load_state_dict(student.unet.state_dict())
    with torch.no_grad():
        assert torch.equal(predict(plain, noisy, times, text), predict(student.unet, noisy, times, text))
    with pytest.raises(MismatchError, match="nothing to fold"):
        fold(student.unet)


def test_lcm_has_the_same_embedding():
    from diffusers import LatentConsistencyModelPipeline
    gamma = torch.tensor([0.0, 0.25, 1.0])
    theirs = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, 10 - 10 * gamma, 256)
    torch.testing.assert_close(gamma_embedding(gamma), theirs, rtol=1e-4, atol=1e-4)


def test_one_place_for_one_thing():
    student = with_gamma()
    with pytest.raises(MismatchError, match="told something beside the time already"):
        add_gamma(student.unet)


# Training


def training(folder, course=COURSE, prediction="epsilon"):
    teacher, student = some_student(), with_gamma()
    frozen = Frozen(teacher, ["ink", "clay"], SCHEDULE, prediction)
    return Splam(student, frozen, SCHEDULE, Pictures(), course, folder, guidance=2.0, prediction=prediction)


def test_pictures_are_on_the_grid():
    rows = rows_of(0, Course(batch=500), Pictures(), 2, SCHEDULE, 50)
    assert set((rows.times % 20).tolist()) == {19} and rows.times.min() == 19 and rows.times.max() == 999


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_it_learns_to_agree_with_itself_along_the_path(tmp_path, prediction):
    done = training(tmp_path, prediction=prediction)
    done.go()
    assert mean_losses(done.losses[-10:]).score < 0.8 * mean_losses(done.losses[:10]).score
    assert done.student.unet.time_embedding.cond_proj.weight.abs().sum() > 0


def test_it_goes_on_to_the_same_losses(tmp_path):
    course = Course(**{**vars(COURSE), "steps": 4})
    whole = training(tmp_path / "whole", course)
    whole.go()
    first = training(tmp_path / "cut", course)
    for first.step in range(2):
        first.losses.append(first.learn())
    first.step = 2
    first.keep()
    again = training(tmp_path / "cut", course)
    again.go()
    assert again.losses == whole.losses


def test_what_it_needs(tmp_path):
    teacher = Frozen(some_student(), ["ink", "clay"], SCHEDULE)
    with pytest.raises(RecipeError, match="no place for γ; call add_gamma"):
        Splam(some_student(), teacher, SCHEDULE, Pictures(), COURSE, tmp_path)
    with pytest.raises(RecipeError, match="set average to 0.95"):
        Splam(with_gamma(), teacher, SCHEDULE, Pictures(), Course(**{**vars(COURSE), "average": 0.0}), tmp_path)


def test_the_teacher_is_not_touched(tmp_path):
    done = training(tmp_path, Course(**{**vars(COURSE), "steps": 2}))
    before = copy.deepcopy(done.teachers._student.state_dict())
    done.go()
    assert all(torch.equal(each, before[name]) for name, each in done.teachers._student.state_dict().items())
    assert isinstance(done.student, StudentUNet)
