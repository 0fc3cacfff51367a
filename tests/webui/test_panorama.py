"""The Panorama script against a host that samples as A1111 and Forge do."""

import json

import pytest
import torch

from . import sampling_double as sampling
from .painting import OFF, clean, painter, panorama_script, sampling_host, style_kitchen  # noqa: F401  fixtures

# -- equal to the plain picture ----------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"batch_size": 2}, {"enable_hr": True}, {"init_image": torch.ones(1, 4, 16, 32)},
                                  {"prompt": "a AND b"}, {"steps": 1}])
@pytest.mark.parametrize("plan", ["", {"regions": [{}]}, [{"weights": "quartic"}, {"mask_weight": 3}]])
def test_one_prompt_everywhere_is_the_plain_picture(host, paint, plan, more):
    plain, ours = paint(**more), paint(plan, **more)
    exact = plan == "" or len(plan) == 1
    torch.testing.assert_close(ours.samples, plain.samples, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-5)
    assert clean(host, ours)


def test_off_is_off(host, panorama, paint):
    plain = paint()
    assert "Panorama" not in plain.extra_generation_params and clean(host, plain)
    for args in (OFF, (), (None, "a|b"), (False, "not {")):
        p = sampling.paint(host, panorama, args)
        assert torch.equal(p.samples, plain.samples) and p.extra_generation_params == {}


def test_a_region_says_its_prompt_and_the_tabs(paint):
    p = paint([{"prompt": "a lake", "negative": "fog"}, {"prompt": "", "mask_weight": 1e-6}])
    assert [each[0] for each in p.sd_model.encoded] == [["a lake, everything"], ["fog, nothing"], ["everything"],
                                                        ["nothing"]]
    alone = paint(prompt="a lake, everything", negative_prompt="fog, nothing")
    assert torch.allclose(p.samples, alone.samples, atol=1e-2)
    both = paint("a lake", prompt="one AND two").sd_model.encoded
    assert both[0][0] == ["a lake, one AND a lake, two"]
    own = paint("a AND b").sd_model.encoded
    assert own[0][0] == ["everything, a AND everything, b"]


def test_the_host_is_told_the_size_of_tiles(paint):
    p = paint({"tile_width": 128, "overlap_x": 64, "regions": [{"prompt": "a", "width": 192}, {"x": 192, "width": 64}]})
    assert [each[1:3] for each in p.sd_model.encoded] == [(128, 128)] * 2 + [(64, 128)] * 2
    p = paint("", enable_hr=True)
    assert [each[1:3] for each in p.sd_model.encoded] == [(256, 128)] * 2 + [(384, 192)] * 2


# -- regions -----------------------------------------------------------------------------------------


def test_left_and_right_are_painted_as_their_prompts(paint):
    p = paint([{"prompt": "aaa", "width": 128, "weights": "constant"}, {"prompt": "zzzz", "x": 128, "width": 128,
                                                                      "weights": "constant"}])
    left, right = (paint(prompt=f"{each}, everything") for each in ("aaa", "zzzz"))
    assert torch.allclose(p.samples[..., :10], left.samples[..., :10], atol=1e-4)
    assert torch.allclose(p.samples[..., -10:], right.samples[..., -10:], atol=1e-4)
    assert (p.samples[..., :10] - right.samples[..., :10]).abs().min() > 0.1


def test_a_region_has_its_own_guidance(host, paint):
    for hires in (False, True):
        high = {"cfg_scale": 9.0, "enable_hr": hires} | ({"hr_cfg": 9.0} if host.forge else {})
        assert torch.equal(paint([{"cfg": 9}], enable_hr=hires).samples, paint(**high).samples)


def test_a_region_counts_for_its_share_of_the_steps(paint):
    plain = paint("a lake", steps=4)
    late = paint([{"prompt": "a lake", "end": 0.5}, {"prompt": "a castle", "start": 0.5}], steps=4)
    assert not torch.allclose(late.samples, plain.samples, atol=1e-3)
    assert torch.equal(paint([{"prompt": "a lake"}, {"prompt": "a castle", "start": 0.99, "mask_weight": 1e6}],
                             steps=4).samples, plain.samples)


def test_tiles_come_together_only_where_they_fit(host, paint):
    four = {"tile_width": 64, "overlap_x": 0, "tiles_at_once": 3}
    one, many = paint({**four, "tiles_at_once": 1}), paint(four)
    assert torch.allclose(one.samples, many.samples, atol=1e-6)
    assert host.calls == [(1, 4, 16, 8)] * 12 + [(3, 4, 16, 8), (1, 4, 16, 8)] * 3
    host.calls.clear()
    paint([{"prompt": "a", "width": 128}, {"prompt": "b" * 60, "x": 128, "width": 128}], steps=1)
    assert host.calls == [(1, 4, 16, 16)] * 2, "prompts of different lengths are no rows of one batch"


def test_a_batch_is_the_single_pictures(paint):
    two = paint({"tile_width": 128, "regions": [{"prompt": "a"}, {"prompt": "b", "width": 128}]}, batch_size=2)
    assert two.samples.shape == (2, 4, 16, 32)
    one = paint({"tile_width": 128, "regions": [{"prompt": "a"}, {"prompt": "b", "width": 128}]})
    assert torch.allclose(two.samples[:1], one.samples, atol=1e-6)


def test_hires_fix_scales_the_regions(host, paint):
    p = paint([{"prompt": "a", "width": 128}, {"prompt": "b", "x": 128, "width": 128}], enable_hr=True, steps=1)
    assert p.samples.shape == (1, 4, 24, 48)
    assert host.calls == [(2, 4, 16, 16), (2, 4, 24, 24)]


def test_inpainting_keeps_what_is_masked(paint):
    mask = torch.zeros(4, 16, 32)
    mask[..., :8] = 1
    more = {"init_image": torch.full((1, 4, 16, 32), 0.25), "mask": mask, "nmask": 1 - mask}
    assert torch.equal(paint("", **more).samples, paint(**more).samples)
    tiled = paint({"tile_width": 128, "tiles_at_once": 2}, **more)
    plain = paint(**more)
    assert torch.allclose(tiled.samples[..., :4], plain.samples[..., :4], atol=1e-5)


# -- all around --------------------------------------------------------------------------------------


def test_all_around_the_ends_meet(paint):
    def jump(pictures):
        steps = torch.stack([*pictures]).diff(dim=-1).abs().mean((0, 1, 2))
        seam = (pictures[0][..., -1] - pictures[0][..., 0]).abs().mean()
        return float(seam / steps[steps > 0].mean())

    wrapped, plain = paint({"wrap": True, "tile_width": 128}, steps=6), paint(steps=6)
    assert wrapped.pictures[0].shape == (3, 128, 256)
    assert jump(wrapped.pictures) < 2 < jump(plain.pictures)


# -- in the middle -----------------------------------------------------------------------------------


def test_previews_show_the_canvas_and_an_interrupt_leaves_it(host, paint):
    plan = {"tile_width": 64, "tiles_at_once": 1}
    whole = paint(plan)
    assert {tuple(each.shape) for each in host.previews} == {(1, 4, 16, 32)} and len(host.previews) == 3
    assert whole.sampler.model_wrap_cfg.step == 3
    calls = len(host.calls)
    host.interrupt_at = calls + calls // 3 + 2  # in the middle of the second step
    p = paint(plan)
    assert p.samples.shape == (1, 4, 16, 32) and clean(host, p)
    assert len(host.previews) == 4
    host.interrupt_at = -1
    assert torch.equal(paint(plan).samples, whole.samples)


def test_a_failure_leaves_the_host_as_it_was(host, panorama):
    whole = sampling.paint(host, panorama, (True, "a | b"))
    host.fail_at = len(host.calls) + 2
    p = sampling.Picture(host)
    panorama.before_process(p, True, "a | b")
    panorama.process_batch(p)
    with pytest.raises(RuntimeError, match="out of memory"):
        p.sample(conditioning=sampling.Multicond((1,), []), unconditional_conditioning=[])
    assert clean(host, p)
    host.fail_at = -1
    assert torch.equal(sampling.paint(host, panorama, (True, "a | b")).samples, whole.samples)


def test_another_picture_with_the_same_settings_is_itself(host, panorama):
    """X/Y/Z plots copy a picture's settings, ours with them."""
    import copy
    p = sampling.Picture(host)
    panorama.before_process(p, True, "a | b")
    other = copy.copy(p)
    panorama.process_batch(other)
    assert "sample" not in vars(other)


# -- what is wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize("plan, more, words", [
    ("{", {}, "not JSON"), ([{"width": 128}], {}, "belongs to no region"), ([{"x": 9999}], {}, "reaches from"),
    ("<lora:ink:1> a | b", {}, "LoRA counts in the whole"), ("a AND b", {"prompt": "c AND d"}, "both have AND"),
    ("a | b", {"refiner_checkpoint": "other"}, "refiner"), ("a | b", {"width": 20000}, "canvas's width")])
def test_bad_input_stops_the_picture_with_a_sentence(host, panorama, plan, more, words):
    p = sampling.Picture(host, **more)
    panorama.before_process(p, True, plan if isinstance(plan, str) else json.dumps(plan))
    panorama.process_batch(p)
    with pytest.raises(Exception) as refused:
        p.init([], [], [])
    assert words in str(refused.value) and refused.value.status_code == 422
    assert refused.value.detail == str(refused.value) and "init" not in vars(p)


def test_infotext_and_back(panorama, paint):
    plan = {"panorama": 1, "wrap": True, "tile_width": 128, "regions": [{"prompt": "a"}]}
    text = paint(plan).extra_generation_params["Panorama"]
    assert json.loads(text) == plan
    assert paint("a | b\nc | d").extra_generation_params["Panorama"] == "a | b\nc | d"
    assert torch.equal(paint(text).samples, paint(plan).samples)
