"""Styles in a UNet of diffusers, its taps, schedules, losses and the discriminator."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from diffusion_soup.dmm.codebook import StyleMix
from diffusion_soup.dmm.discriminator import Discriminator, Head, renoising_times
from diffusion_soup.dmm.losses import discriminator_loss, feature_loss, generator_loss, pseudo_huber, score_loss
from diffusion_soup.dmm.network import StudentUNet, Text, predict, tapped, taps
from diffusion_soup.dmm.noise import PREDICTIONS, Schedule
from diffusion_soup.errors import MismatchError

from .small_unets import asked, sdxl_text, sdxl_unet, unet

SCHEDULE = Schedule.stable_diffusion()


def trained(student: StudentUNet) -> StudentUNet:
    """As after some training: the styles differ."""
    with torch.no_grad():
        student.linear_2.weight.normal_(std=0.05, generator=torch.Generator().manual_seed(5))
    return student


# Styles


def test_a_student_begins_as_the_plain_unet():
    plain = unet(1)
    student = StudentUNet(unet(1), 3)
    noisy, times, text = asked(4)
    with torch.no_grad():
        assert torch.equal(student(noisy, times, text, torch.tensor([0, 1, 2, 0])), predict(plain, noisy, times, text))


def test_each_picture_has_its_own_style():
    student = trained(StudentUNet(unet(1), 3))
    noisy, times, text = asked(3)
    with torch.no_grad():
        together = student(noisy, times, text, torch.tensor([2, 0, 1]))
        for at, style in enumerate((2, 0, 1)):
            alone = student(noisy[at:at + 1], times[at:at + 1], text.pick(slice(at, at + 1)), torch.tensor([style]))
            torch.testing.assert_close(together[at:at + 1], alone, rtol=1e-4, atol=1e-5)
        other = student(noisy, times, text, torch.tensor([0, 0, 1]))
    assert not torch.allclose(other[0], together[0], atol=1e-3) and torch.allclose(other[1:], together[1:], atol=1e-5)


def test_a_mix_is_what_the_codebook_says():
    student = trained(StudentUNet(unet(1), 3))
    codebook = student.codebook(["ink", "clay", "neon"], "sd1")
    row = codebook.row(StyleMix({"ink": 0.25, "neon": 0.75}))
    noisy, times, text = asked(1)
    added = codebook.vector(row)
    plain = unet(1)
    plain.time_embedding.register_forward_hook(lambda module, inputs, out: out + added)
    with torch.no_grad():
        torch.testing.assert_close(student(noisy, times, text, torch.tensor([row])), predict(plain, noisy, times, text),
                                   rtol=1e-4, atol=1e-5)


def test_without_a_call_nothing_is_added():
    student = trained(StudentUNet(unet(1), 2))
    noisy, times, text = asked(2)
    with torch.no_grad():
        student(noisy, times, text, torch.tensor([0, 1]))
        assert torch.equal(predict(student.unet, noisy, times, text), predict(unet(1), noisy, times, text))


def test_extending_leaves_what_was_there():
    student = trained(StudentUNet(unet(1), 2))
    noisy, times, text = asked(2)
    before = student(noisy, times, text, torch.tensor([0, 1])).detach()
    codes = student.codes.detach().clone()
    student.extend(2, seed=3)
    assert student.codes.shape == (4, codes.shape[1]) and torch.equal(student.codes[:2], codes)
    assert torch.equal(student(noisy, times, text, torch.tensor([0, 1])), before)


def test_a_codebook_comes_back():
    student, other = trained(StudentUNet(unet(1), 2)), StudentUNet(unet(1), 2, seed=9)
    other.load_codebook(student.codebook(["a", "b"], "sd1"))
    noisy, times, text = asked(2)
    styles = torch.tensor([1, 0])
    assert torch.equal(other(noisy, times, text, styles), student(noisy, times, text, styles))
    with pytest.raises(MismatchError, match="one family"):
        StudentUNet(unet(1, block_out_channels=(8, 16)), 2).load_codebook(student.codebook(["a", "b"], "sd1"))


def test_gradients_reach_styles_and_unet():
    student = StudentUNet(unet(1), 2)
    noisy, times, text = asked(2)
    student(noisy, times, text, torch.tensor([0, 0])).square().mean().backward()
    assert student.linear_2.weight.grad.abs().sum() > 0 and student.unet.conv_in.weight.grad.abs().sum() > 0


def test_sdxl():
    student, plain = StudentUNet(sdxl_unet(2), 2), sdxl_unet(2)
    noisy, times, _ = asked(3)
    text = sdxl_text(3)
    with torch.no_grad():
        assert torch.equal(student(noisy, times, text, torch.tensor([0, 1, 1])), predict(plain, noisy, times, text))
    assert Text.joined([text.pick(slice(0, 1)), text.pick(slice(1, 3))]).added["time_ids"].shape == (3, 6)


def test_at_least_one_style():
    with pytest.raises(MismatchError, match="at least one style"):
        StudentUNet(unet(1), 0)


# Taps


def test_taps_are_read_from_the_model():
    model = unet(1)
    assert len(taps(model)) == 5
    noisy, times, text = asked(2)
    with torch.no_grad(), tapped(model) as found:
        predict(model, noisy, times, text)
    assert [tuple(each.shape[1:]) for each in found] == [(16, 4, 4), (32, 4, 4), (32, 4, 4), (32, 8, 8), (16, 8, 8)]
    with torch.no_grad():
        predict(model, noisy, times, text)
    assert len(found) == 5, "nothing is kept afterwards"


# Schedules


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_every_prediction_says_the_same(prediction):
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(6, 4, 4, 4, generator=generator) for _ in range(2))
    times = torch.tensor([0, 10, 300, 600, 900, 999])
    alpha, sigma = SCHEDULE.alpha(times, clean), SCHEDULE.sigma(times, clean)
    output = {"epsilon": noise, "sample": clean, "v_prediction": alpha * noise - sigma * clean}[prediction]
    noisy = SCHEDULE.noised(clean, noise, times)
    torch.testing.assert_close(SCHEDULE.epsilon(output, noisy, times, prediction), noise, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(SCHEDULE.clean(output, noisy, times, prediction), clean, rtol=1e-3, atol=1e-3)


def test_the_schedule_is_stable_diffusions():
    from diffusers import DDIMScheduler
    theirs = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    torch.testing.assert_close(SCHEDULE.kept.float(), theirs.alphas_cumprod, rtol=1e-5, atol=1e-7)
    clean, noise, times = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2), torch.tensor([5, 500, 950])
    torch.testing.assert_close(SCHEDULE.noised(clean, noise, times), theirs.add_noise(clean, noise, times))
    torch.testing.assert_close(Schedule.of(theirs).kept.float(), theirs.alphas_cumprod)


def test_min_snr():
    kept = SCHEDULE.kept[torch.tensor([3, 700])]
    ratio = kept / (1 - kept)
    assert ratio[0] > 5 > ratio[1]
    torch.testing.assert_close(SCHEDULE.min_snr(torch.tensor([3, 700])), torch.tensor([5 / ratio[0], 1.0]).float())


@pytest.mark.parametrize("kept", [torch.tensor([0.9, 0.9]), torch.tensor([0.9, 0.0]), torch.tensor([1.2, 0.5]),
                                  torch.ones(1), torch.tensor([0.5, math.nan])])
def test_no_schedule(kept):
    with pytest.raises(MismatchError, match="at least two numbers that fall"):
        Schedule(kept)


def test_an_unknown_prediction():
    with pytest.raises(MismatchError, match="predict 'flow' here; known are epsilon, v_prediction, sample"):
        SCHEDULE.epsilon(torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 2), torch.zeros(1).long(), "flow")


# Losses


def test_score_loss_is_a_weighted_mean():
    ours, theirs = torch.zeros(2, 1, 1, 2), torch.tensor([[[[1.0, 3.0]]], [[[2.0, 2.0]]]])
    assert score_loss(ours, theirs) == pytest.approx((5 + 4) / 2)
    assert score_loss(ours, theirs, torch.tensor([1.0, 0.5])) == pytest.approx((5 + 2) / 2)
    with pytest.raises(MismatchError, match="same architecture"):
        score_loss(ours, theirs[:1])


def test_feature_loss_is_the_mean_over_taps():
    ours = [torch.zeros(1, 2, 2, 2), torch.zeros(1, 4, 1, 1)]
    theirs = [torch.ones(1, 2, 2, 2), torch.full((1, 4, 1, 1), 2.0)]
    assert feature_loss(ours, theirs) == pytest.approx((1 + 4) / 2)
    with pytest.raises(MismatchError, match="2 taps and the teacher 1"):
        feature_loss(ours, theirs[:1])


def test_gan_losses_are_those_of_the_algorithm():
    styles = torch.tensor([0, 2])
    sure = torch.full((2, 6), -20.0)
    teacher, student = sure.clone(), sure.clone()
    teacher[torch.arange(2), styles] = 20
    student[torch.arange(2), styles + 3] = 20
    assert generator_loss(teacher, styles) < 1e-6 < 10 < generator_loss(student, styles)
    assert discriminator_loss(student, teacher, styles) < 1e-6
    assert discriminator_loss(teacher, teacher, styles) > 10
    even = torch.zeros(2, 6)
    assert discriminator_loss(even, even, styles) == pytest.approx(2 * math.log(6))
    with pytest.raises(MismatchError, match="twice as many logits"):
        generator_loss(torch.zeros(2, 4), styles)


def test_pseudo_huber():
    assert pseudo_huber(torch.zeros(3), torch.zeros(3)) == 0
    assert pseudo_huber(torch.zeros(2), torch.tensor([3.0, 4.0])) == pytest.approx(3.5, abs=2e-3)


# The discriminator


def test_the_discriminator_takes_any_size_and_lets_gradients_through():
    judge = Discriminator(unet(3), 3, SCHEDULE)
    noisy, times, text = asked(2)
    for size in (8, 16):
        clean = torch.randn(2, 4, size, size, requires_grad=True)
        logits = judge(clean, torch.randn(2, 4, size, size), times, text)
        assert logits.shape == (2, 6)
        generator_loss(logits, torch.tensor([0, 2])).backward()
        assert clean.grad.abs().sum() > 0
    assert {name.split(".")[0] for name, _ in judge.named_parameters()} == {"head"}
    assert all(not weight.requires_grad and weight.grad is None for weight in judge._unet[0].parameters())


def test_it_learns_to_tell_styles_and_students_apart():
    torch.manual_seed(0)
    judge = Discriminator(unet(3), 2, SCHEDULE, layers=2)
    optimiser = torch.optim.Adam(judge.parameters(), 1e-2)
    looks = torch.randn(4, 4, 8, 8)  # of teacher 1, teacher 2, student in 1, student in 2
    times, (_, _, text) = torch.full((8,), 100), asked(8)

    def logits(classes):
        return judge(looks[classes] + 0.1 * torch.randn(8, 4, 8, 8), torch.randn(8, 4, 8, 8), times, text)

    for _ in range(120):
        styles = torch.randint(2, (8,))
        loss = discriminator_loss(logits(styles + 2), logits(styles), styles)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 2 * math.log(4) / 2, "guessing has 2 log 4"


def test_renoising_times_stay_off_the_ends():
    times = renoising_times(2000, SCHEDULE, torch.Generator().manual_seed(0))
    assert times.min() >= 20 and times.max() < 980 and times.float().mean() == pytest.approx(500, abs=30)


def test_a_head_of_any_width():
    assert Head(20, 2, width=12)(torch.randn(1, 20, 2, 2)).shape == (1, 4)
    assert isinstance(Head(64, 2).body[1], nn.GroupNorm)
