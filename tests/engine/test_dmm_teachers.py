"""However teachers are laid out, they say the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from diffusion_soup.dmm.network import predict, tapped
from diffusion_soup.dmm.noise import Schedule
from diffusion_soup.dmm.teachers import LowRank, Resident, Streamed
from diffusion_soup.errors import MismatchError

from .small_unets import asked, unet

SCHEDULE = Schedule.stable_diffusion()
STYLES = torch.tensor([1, 0, 2, 1, 0])


def one_by_one(unets, noisy, times, text, predictions=("epsilon",) * 3):
    """What each teacher says alone about its own pictures."""
    epsilon, features = [], []
    for at, style in enumerate(STYLES.tolist()):
        only = slice(at, at + 1)
        with torch.no_grad(), tapped(unets[style]) as found:
            output = predict(unets[style], noisy[only], times[only], text.pick(only))
        epsilon.append(SCHEDULE.epsilon(output, noisy[only], times[only], predictions[style]))
        features.append(found)
    return torch.cat(epsilon), [torch.cat(each) for each in zip(*features)]


def agrees(seen, wanted, **tolerance):
    torch.testing.assert_close(seen.epsilon, wanted[0], **tolerance)
    assert len(seen.features) == 5 and not seen.epsilon.requires_grad
    for ours, theirs in zip(seen.features, wanted[1]):
        torch.testing.assert_close(ours, theirs, **tolerance)


@pytest.fixture
def teachers():
    return {name: unet(seed) for seed, name in enumerate(("ink", "clay", "neon"))}


def test_resident(teachers):
    wanted = one_by_one(list(teachers.values()), *asked(5))
    agrees(Resident(teachers, SCHEDULE).see(*asked(5), STYLES, features=True), wanted, rtol=1e-4, atol=1e-5)


def test_teachers_of_different_predictions(teachers):
    kinds = ("epsilon", "v_prediction", "sample")
    wanted = one_by_one(list(teachers.values()), *asked(5), kinds)
    agrees(Resident(teachers, SCHEDULE, kinds).see(*asked(5), STYLES, True), wanted, rtol=1e-3, atol=1e-4)


def test_streamed(teachers):
    wanted = one_by_one(list(teachers.values()), *asked(5))
    states = {name: each.state_dict() for name, each in teachers.items()}
    streamed = Streamed(unet(9), states, SCHEDULE)
    for _ in range(2):
        agrees(streamed.see(*asked(5), STYLES, features=True), wanted, rtol=1e-4, atol=1e-5)
        assert len(streamed._here) <= 2
    assert not streamed.see(*asked(5), STYLES).features


def test_streamed_teachers_are_of_one_architecture(teachers):
    other = unet(3, block_out_channels=(16, 16))
    with pytest.raises(MismatchError, match="The teacher big has .* of one architecture"):
        Streamed(unet(9), {"ink": teachers["ink"].state_dict(), "big": other.state_dict()}, SCHEDULE)


def low_rank(base, seed, rank, only=""):
    """Factors for its linear layers and convolutions."""
    generator = torch.Generator().manual_seed(seed)
    factors = {}
    for path, layer in base.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)) and only in path and path:
            shape = layer.weight.shape
            factors[path] = (torch.randn(rank, *shape[1:], generator=generator) * shape[1:].numel() ** -0.5,
                             torch.randn(shape[0], rank, *[1] * (len(shape) - 2), generator=generator) * 0.1)
    return factors


def baked(seed, factors):
    model = unet(seed)
    with torch.no_grad():
        for path, (down, up) in factors.items():
            layer = model.get_submodule(path)
            layer.weight += (up.flatten(1) @ down.flatten(1)).view_as(layer.weight)
    return model


def test_loras_answer_in_one_pass():
    base = unet(4)
    loras = {"ink": low_rank(base, 1, 4), "clay": low_rank(base, 2, 2, only="attn"), "none": {}}
    wanted = one_by_one([baked(4, factors) for factors in loras.values()], *asked(5))
    passes = []
    base.conv_in.register_forward_hook(lambda *_: passes.append(1))
    lazy = LowRank(base, loras, SCHEDULE)
    agrees(lazy.see(*asked(5), STYLES, features=True), wanted, rtol=1e-4, atol=1e-4)
    assert len(passes) == 1
    noisy, times, text = asked(5)
    with torch.no_grad():
        assert torch.equal(predict(base, noisy, times, text), predict(unet(4), noisy, times, text)), "the base is plain"


@pytest.mark.parametrize("path, message", [("nowhere", "changes nowhere, which is no linear layer"),
                                           ("conv_norm_out", "which is no linear layer or convolution")])
def test_a_lora_of_another_base(path, message):
    with pytest.raises(MismatchError, match=message):
        LowRank(unet(4), {"ink": {path: (torch.zeros(2, 4), torch.zeros(4, 2))}}, SCHEDULE)
    with pytest.raises(MismatchError, match="family"):
        LowRank(unet(4), {"ink": {"conv_in": (torch.zeros(2, 5, 3, 3), torch.zeros(16, 2, 1, 1))}}, SCHEDULE)


def test_no_teacher():
    with pytest.raises(MismatchError, match="no teacher"):
        Resident({}, SCHEDULE)
    with pytest.raises(MismatchError, match="ink has none"):
        Resident({"ink": unet(0)}, SCHEDULE, ("flow",))
