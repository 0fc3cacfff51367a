"""New styles for a student that keeps its old ones."""

from __future__ import annotations

import pytest
import torch

from diffusion_soup.dmm.course import Course
from diffusion_soup.dmm.incremental import Frozen, Together, extended
from diffusion_soup.dmm.network import StudentUNet
from diffusion_soup.dmm.noise import Schedule
from diffusion_soup.dmm.teachers import Resident
from diffusion_soup.dmm.train import Training, rows_of
from diffusion_soup.errors import RecipeError

from .small_unets import asked, unet
from .test_dmm_train import Pictures

SCHEDULE = Schedule.stable_diffusion()


def some_student(styles=2):
    student = StudentUNet(unet(1), styles)
    with torch.no_grad():
        student.linear_2.weight.normal_(std=0.05, generator=torch.Generator().manual_seed(5))
    return student


def test_the_student_as_it_was_answers_for_its_styles():
    student = some_student()
    old = Frozen(student, ["ink", "clay"], SCHEDULE)
    with torch.no_grad():
        wanted = student(*asked(3), torch.tensor([1, 0, 1]))
        for weight in student.parameters():
            weight += 1
    seen = old.see(*asked(3), torch.tensor([1, 0, 1]), features=True)
    assert torch.equal(seen.epsilon, wanted) and len(seen.features) == 5
    assert not old.see(*asked(3), torch.tensor([1, 0, 1])).features


def test_groups_answer_for_their_own_pictures_in_order():
    student, new = some_student(), Resident({"neon": unet(7), "paper": unet(8)}, SCHEDULE)
    old = Frozen(student, ["ink", "clay"], SCHEDULE)
    both = Together(old, new)
    assert both.names == ("ink", "clay", "neon", "paper")
    noisy, times, text = asked(5)
    styles = torch.tensor([3, 0, 2, 1, 3])
    seen = both.see(noisy, times, text, styles, features=True)
    for at, style in enumerate(styles.tolist()):
        only = slice(at, at + 1)
        group, own = (old, style) if style < 2 else (new, style - 2)
        alone = group.see(noisy[only], times[only], text.pick(only), torch.tensor([own]), True)
        torch.testing.assert_close(seen.epsilon[only], alone.epsilon, rtol=1e-4, atol=1e-5)
        for ours, theirs in zip(seen.features, alone.features):
            torch.testing.assert_close(ours[only], theirs, rtol=1e-4, atol=1e-5)
    only_new = both.see(noisy[:1], times[:1], text.pick(slice(0, 1)), styles[:1])
    torch.testing.assert_close(only_new.epsilon, seen.epsilon[:1], rtol=1e-4, atol=1e-5)


def test_without_the_old_student_it_forgets_and_with_it_it_does_not(tmp_path):
    course = Course(steps=50, batch=12, rate=2e-3, feature=0, adversarial=0, untold=0, warm=5)

    def forgotten(regularised):
        student = some_student()
        old = Frozen(student, ["ink", "clay"], SCHEDULE)
        new = Resident({"neon": unet(7)}, SCHEDULE)
        teachers = extended(student, ["ink", "clay"], new, SCHEDULE)
        if not regularised:  # the new teacher answers for every style, as if there were no old ones
            teachers = Resident(dict.fromkeys(("ink", "clay", "neon"), unet(7)), SCHEDULE)
        Training(student, teachers, SCHEDULE, Pictures(), course, tmp_path / str(regularised)).go()
        rows = rows_of(999, course, Pictures(), 2, SCHEDULE)
        with torch.no_grad():
            output = student(rows.noisy, rows.times, rows.text, rows.styles)
        return float((output - old.see(rows.noisy, rows.times, rows.text, rows.styles).epsilon).square().mean())

    assert forgotten(True) < 0.3 * forgotten(False)


def test_names_are_unique_and_complete():
    with pytest.raises(RecipeError, match="a style ink already; give the new one another name"):
        extended(some_student(), ["ink", "clay"], Resident({"ink": unet(7)}, SCHEDULE), SCHEDULE)
    with pytest.raises(RecipeError, match="2 styles and there are 1 names"):
        Frozen(some_student(), ["ink"], SCHEDULE)
