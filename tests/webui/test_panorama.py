"""The Panorama script against a host that samples as A1111 and Forge do."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from diffusion_soup.dmm import Style, StyleMix

from ..engine.test_codebook import codebook
from . import sampling_double as sampling
from .sampling import Unet

OFF = (False, "")


@pytest.fixture
def host(webui):
    return sampling.add_to(webui)


class Students:
    """Of the kitchen; which styles the model in memory has."""

    codebook = None

    def in_memory(self):
        return self.codebook

    def key(self):
        return "the model"


@pytest.fixture
def kitchen_of_styles(webui):
    """As much of a kitchen as styles ask."""
    host = SimpleNamespace(name="Forge" if webui.flavour == "forge" else "A1111", unet=lambda: None,
                           unet_replaced=lambda: "", interrupted=lambda: False)
    return SimpleNamespace(host=host, students=Students())


@pytest.fixture
def panorama(host, kitchen_of_styles, monkeypatch):
    fake = ModuleType("gradio")
    fake.__version__ = "4.40.0"
    monkeypatch.setitem(sys.modules, "gradio", fake)
    from diffusion_soup_webui.panorama.script import script_classes
    yield script_classes(kitchen_of_styles)["DiffusionSoupPanorama"]()
    for name in ("gradio_compat", "panorama.ui"):
        sys.modules.pop(f"diffusion_soup_webui.{name}", None)


@pytest.fixture
def paint(host, panorama):
    def painted(plan=None, **more):
        args = OFF if plan is None else (True, plan if isinstance(plan, str) else json.dumps(plan))
        return sampling.paint(host, panorama, args, **more)
    return painted


def clean(host, p):
    """Nothing of ours is left on the host, its sampler or the picture."""
    common, samplers = (host.modules[f"modules.{name}"] for name in ("sd_samplers_common", "sd_samplers"))
    return (common.store_latent == host.previews.append and samplers.create_sampler.__module__ == sampling.__name__
            and host.modules["modules.processing"].decode_latent_batch is sampling.decode_latent_batch
            and not {"sample", "init"} & set(vars(p)) and not {"sample", "sample_img2img"} & set(vars(p.sampler))
            and "forward" not in vars(p.sampler.model_wrap_cfg))


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


# -- regions ---------------------------------------------------------------------------------------


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


# -- ControlNets -------------------------------------------------------------------------------------

RAMP = (torch.arange(256.0) / 256).expand(1, 3, 128, 256)  # says how far to the right it is


def read_hint(hint, x):
    """A ControlNet that adds its hint's picture, latent by latent; one that is not of x's size is told."""
    assert tuple(hint.shape[-2:]) == (x.shape[-2] * 8, x.shape[-1] * 8), (hint.shape, x.shape)
    return torch.nn.functional.avg_pool2d(hint, 8)[:, :1] * 2


class Network(torch.nn.Module):
    """PlugableControlModel of sd-webui-controlnet: it keeps nothing."""

    def forward(self, hint, x):
        return read_hint(hint, x)


class Adapter(torch.nn.Module):
    """PlugableAdapter: made once of the first hint, and kept."""

    def __init__(self):
        super().__init__()
        self.control = self.hint_cond = None

    def forward(self, hint, x):
        if self.control is None:
            self.hint_cond, self.control = hint, read_hint(hint, x)
        return self.control


class LightModule(torch.nn.Module):
    """LLLiteModule of both: the whole picture is given before sampling. sd-webui-controlnet fits it to whatever x comes
    first; Forge's does not, and counts its calls to know the step."""

    def __init__(self, picture, steps=0):
        super().__init__()
        self.cond_image, self.cond_emb, self.steps = picture, None, steps
        if steps:
            self.current_step = 0

    def forward(self, x):
        if self.steps:
            assert self.current_step < self.steps
            self.current_step += 1
        if self.cond_emb is None:
            made = torch.nn.functional.avg_pool2d(self.cond_image, 8)[:, :1] * 2
            self.cond_emb = made if self.steps else torch.nn.functional.interpolate(
                made, tuple(x.shape[-2:]), mode="nearest-exact")
        return self.cond_emb


class Light(torch.nn.Module):
    """PlugableControlLLLite: ``modules`` is a dict, no method. It reads none of the unit's hints."""

    def __init__(self, picture):
        super().__init__()
        self.lllite_unet_input = LightModule(picture)
        self.modules = {"lllite_unet_input": self.lllite_unet_input}

    def forward(self, hint, x):
        return self.lllite_unet_input(x)


class Unit:
    """ControlParams of sd-webui-controlnet 1.1.455: hint_cond is a property, and setting it forgets what was made."""

    def __init__(self, hint, hr_hint=None, model=None):
        self._hint_cond, self.hr_hint_cond = hint, hr_hint
        self.used_hint_cond = self.used_hint_cond_latent = self.used_hint_inpaint_hijack = None
        self.effective_region_mask, self.control_model, self.chosen = None, model or Network(), []

    @property
    def hint_cond(self):
        return self._hint_cond

    @hint_cond.setter
    def hint_cond(self, hint):
        self._hint_cond = hint
        self.used_hint_cond = self.used_hint_cond_latent = self.used_hint_inpaint_hijack = None

    def apply(self, x):
        """What UnetHook's forward does to choose a hint, and what it makes of it."""
        if self.used_hint_cond is None:
            self.used_hint_cond, self.used_hint_cond_latent = self.hint_cond, None
        if isinstance(self.hr_hint_cond, torch.Tensor):
            height = x.shape[-2] * 8
            low, high = (abs(height - each.shape[-2]) for each in (self.hint_cond, self.hr_hint_cond))
            chosen = self.hint_cond if low < high else self.hr_hint_cond
            if self.used_hint_cond is not chosen:
                self.used_hint_cond, self.used_hint_cond_latent = chosen, None
            self.chosen.append("low" if low < high else "high")
        if self.used_hint_cond_latent is None:  # as Reference and inpaint have it
            self.used_hint_cond_latent = torch.nn.functional.avg_pool2d(self.used_hint_cond, 8)
        assert self.used_hint_cond_latent.shape[-2:] == x.shape[-2:]
        return self.control_model(self.used_hint_cond, x)


class Control:
    """Forge's ControlBase: the hint is fitted to x where it is not of its size."""

    def __init__(self, hint):
        self.cond_hint_original, self.cond_hint = hint, None

    def apply(self, x):
        if self.cond_hint is None or self.cond_hint.shape[-1] != x.shape[-1] * 8 \
                or self.cond_hint.shape[-2] != x.shape[-2] * 8:
            size = (x.shape[-2] * 8, x.shape[-1] * 8)
            self.cond_hint = torch.nn.functional.interpolate(self.cond_hint_original, size)
        return read_hint(self.cond_hint, x)


def controlled(host, hint, hr_hint=None, model=None):
    """What a picture is made with, and the control on it."""
    if host.forge:
        control = Control(hint)
        unet = sampling.Unet()
        unet.controls = [control]
        more = {"sd_model": SimpleNamespace(encoded=[], forge_objects=SimpleNamespace(unet=unet))}
    else:
        control = Unit(hint, hr_hint, model)
        network = type("UnetHook", (), {"control_params": [control]})()
        more = {"scripts": SimpleNamespace(alwayson_scripts=[SimpleNamespace(latest_network=network)])}
    host.control = control.apply
    return control, more


@pytest.mark.parametrize("plan", ["a | b", {"tile_width": 64, "wrap": True}, {"tile_width": 128, "tiles_at_once": 4}])
def test_controlnets_are_cut_to_tiles(host, paint, plan):
    control, more = controlled(host, RAMP)
    before = dict(vars(control))
    with_it = paint(plan, steps=1, cfg_scale=1.0, **more)
    host.control = None
    without = paint(plan, steps=1, cfg_scale=1.0)
    there = (with_it.samples - without.samples)[0, 0] / 0.4
    expected = read_hint(RAMP, torch.zeros(1, 4, 16, 32))[0, 0]
    assert torch.allclose(there, expected, atol=1e-4)
    assert vars(control) == before


@pytest.mark.parametrize("kind", [Adapter, Light])
def test_what_a_units_model_keeps_is_each_tiles_own(host, paint, kind):
    if host.forge:
        pytest.skip("Forge has these in its chain")
    model = kind(RAMP) if kind is Light else kind()
    keeper = model.lllite_unet_input if kind is Light else model
    before = dict(vars(keeper))
    for plan in ("a | b", {"tile_width": 64, "wrap": True}):
        _, more = controlled(host, RAMP, model=model)
        with_it = paint(plan, steps=2, cfg_scale=1.0, **more)
        assert vars(keeper) == before
        _, more = controlled(host, RAMP)
        assert torch.equal(with_it.samples, paint(plan, steps=2, cfg_scale=1.0, **more).samples)


def test_a_light_control_in_forge_is_cut_and_counts_the_steps_of_each_tile(host, paint):
    if not host.forge:
        pytest.skip("sd-webui-controlnet has units")
    module, unet = LightModule(RAMP, steps=2), sampling.Unet()
    patch = SimpleNamespace(modules={"lllite_unet_input": module})
    unet.model_options = {"transformer_options": {"patches": {"attn1_patch": [patch], "attn2_patch": [patch, len]}}}
    model = SimpleNamespace(encoded=[], forge_objects=SimpleNamespace(unet=unet))
    host.control = module
    made = paint({"tile_width": 64, "wrap": True}, steps=2, sd_model=model)
    assert module.cond_emb is None and module.current_step == 0 and module.cond_image is RAMP
    _, more = controlled(host, RAMP)
    assert torch.equal(made.samples, paint({"tile_width": 64, "wrap": True}, steps=2, **more).samples)


def test_a_hint_of_another_size_lies_over_the_canvas(host, paint):
    control, more = controlled(host, RAMP[..., ::2, ::2])
    paint("a | b", steps=2, **more)
    assert control.cond_hint_original.shape[-1] == 128 if host.forge else control.hint_cond.shape[-1] == 128


def test_a_tile_over_everything_is_left_to_the_controls(host, paint):
    """sd-webui-controlnet's adapter keeps its answer of the first pass in the second: so be it."""
    if host.forge:
        pytest.skip("Forge sets the hint anew before each pass")
    made = []
    for plan in (None, ""):
        control, more = controlled(host, RAMP, torch.nn.functional.interpolate(RAMP, (192, 384)), Adapter())
        host.control = lambda x, it=control: torch.nn.functional.interpolate(it.apply(x), tuple(x.shape[-2:]))
        made.append(paint(plan, enable_hr=True, steps=1, **more).samples)
        assert control.chosen == ["low", "high"]
    assert torch.equal(*made)


def test_hires_fix_takes_its_own_hint(host, paint):
    if host.forge:
        pytest.skip("Forge sets the hint anew before each pass")
    large = torch.nn.functional.interpolate(RAMP, (192, 384))
    control, more = controlled(host, RAMP, large)
    paint({"tile_width": 128, "tile_height": 64, "overlap_y": 32}, enable_hr=True, steps=1, **more)
    assert set(control.chosen) == {"high"}, "in the first pass there is but one hint, and it asks for none"
    assert control.hr_hint_cond is large and control.used_hint_cond is None


def test_a_failing_tile_gives_controls_back(host, panorama):
    control, more = controlled(host, RAMP)
    before = dict(vars(control))
    host.fail_at = 2
    with pytest.raises(RuntimeError):
        sampling.paint(host, panorama, (True, "a | b"), **more)
    assert vars(control) == before


def test_controlnet_is_told_which_are_prompts(host, paint, monkeypatch):
    if host.forge:
        pytest.skip("Forge knows by itself")
    marked = []
    hook = ModuleType("scripts.hook")
    hook.mark_prompt_context = lambda conds, positive: marked.append(positive)
    monkeypatch.setitem(sys.modules, "scripts.hook", hook)
    _, more = controlled(host, RAMP)
    type(more["scripts"].alwayson_scripts[0].latest_network).__module__ = "scripts.hook"
    paint("a | b", steps=1, **more)
    assert marked == [True, False, True, False]


def test_forge_reserves_the_memory_of_tiles(host, paint):
    if not host.forge:
        pytest.skip("A1111 reserves none")
    p = paint({"tile_width": 64, "tile_height": 64, "overlap_x": 0, "overlap_y": 0, "tiles_at_once": 3})
    unet = p.sd_model.forge_objects.unet
    assert unet.model_options["memory_peak_estimation_modifier"]([2, 4, 16, 32]) == 2 * 3 * 8 * 8


# -- styles ------------------------------------------------------------------------------------------


class Studio:
    """A host whose model has styles, and its script DMM styles."""

    def __init__(self, host, panorama, kitchen, monkeypatch):
        from diffusion_soup_webui.style_script import style_script
        self.host, self.panorama, self.unet = host, panorama, Unet()
        monkeypatch.setattr(Students, "codebook", codebook())
        kitchen.host.unet, host.unet = lambda: self.unet, self.unet
        self.script = style_script(kitchen, object())()
        self.plain = float(self.added({})[0][0])

    def paint(self, plan, section=None, **more):
        """One picture; ``section``: what the section DMM styles says, None where it is off."""
        self.host.added.clear()
        values = [False] if section is None else [section]
        self.script.args_from, self.script.args_to = 0, len(values)
        more["scripts"] = SimpleNamespace(alwayson_scripts=[self.script])
        p = sampling.paint(self.host, self.panorama, (True, json.dumps(plan)), self.script, script_args=values,
                           **{"steps": 1, **more})
        assert not self.unet.hooks and clean(self.host, p)
        return p

    def added(self, plan, section=None, **more):
        """What the UNet's calls got for their rows: positive, then negative."""
        self.paint(plan, section, **more)
        return list(self.host.added)

    def style(self, **weights):
        """What a row with this style gets."""
        mix = StyleMix(weights, strength=min(sum(weights.values()), 1))
        return pytest.approx(self.plain + float(Style.of(codebook(), mix).at(0).mean()), abs=1e-5)


@pytest.fixture
def studio(host, panorama, kitchen_of_styles, monkeypatch):
    return Studio(host, panorama, kitchen_of_styles, monkeypatch)


THREE = {"tile_width": 64, "overlap_x": 0, "regions": [
    {"width": 128, "style": {"Ink": 1.0}}, {"x": 128, "width": 64, "style": {"photo": 0.5}}, {"x": 192, "width": 64}]}


def test_tiles_are_made_in_their_regions_style(studio):
    ink, photo = studio.style(ink=1), studio.style(photo=0.5)
    assert studio.added(THREE) == [[ink] * 4, [photo] * 2, [studio.plain] * 2]
    p = studio.paint(THREE)
    assert not p.comments and set(p.extra_generation_params) == {"Panorama"}


def test_the_pictures_own_style_is_that_of_the_other_regions(studio):
    section = {"weights": {"anime": 1}}
    ink, photo, anime = studio.style(ink=1), studio.style(photo=0.5), studio.style(anime=1)
    assert studio.added(THREE, section) == [[ink] * 4, [photo] * 2, [anime] * 2]
    p = studio.paint([{"style": "ink"}], section)
    assert not p.comments and p.extra_generation_params["DMM styles"] == "anime = 1", "asked for, in no tile"


def test_a_style_over_all_is_the_plain_picture_in_it(studio):
    for more in ({}, {"batch_size": 2}, {"enable_hr": True}):
        wanted = studio.paint({}, {"weights": {"ink": 1}}, **more)
        assert torch.equal(studio.paint([{"style": "ink"}], **more).samples, wanted.samples)
        assert not torch.equal(studio.paint({}, **more).samples, wanted.samples)


@pytest.mark.parametrize("at_once", [1, 3])
def test_tags_in_the_tabs_prompt_count_in_every_tile(studio, at_once):
    plan = {"tile_width": 64, "overlap_x": 0, "tiles_at_once": at_once}
    ink, anime = studio.style(ink=1), studio.style(anime=1)
    p = studio.paint(plan, prompt="cat <style:ink>")
    assert not p.comments and all(row == ink for rows in studio.host.added for row in rows)
    p = studio.paint(plan, prompt="cat <style:ink> AND dog<style:anime>", batch_size=2)
    assert not p.comments
    for rows in studio.host.added:
        negatives = rows[len(rows) * 2 // 3:]
        assert rows[:len(rows) - len(negatives):2] == [ink] * len(negatives)
        assert rows[1:len(rows) - len(negatives):2] == [anime] * len(negatives)
        assert negatives[0] != ink and negatives == [negatives[0]] * len(negatives)
    p = studio.paint([{"prompt": "a AND b", "width": 128}, {"x": 128, "width": 128, "style": "anime"}],
                     prompt="cat <style:ink>")
    assert not p.comments and studio.host.added == [[ink] * 3, [anime] * 2]


def test_what_a_region_cannot_have_is_said(studio, kitchen_of_styles, monkeypatch):
    def refused(plan, **more):
        with pytest.raises(Exception) as error:
            studio.paint(plan, **more)
        assert error.value.status_code == 422 and not studio.unet.hooks
        return str(error.value)

    assert refused([{"name": "sky", "style": "oil"}]).startswith(
        "The style of Region 'sky' cannot be used: student0.safetensors has no style called 'oil'")
    for field in ("prompt", "negative"):
        assert "a region's style is a field of its own" in refused([{field: "a fox <style:ink:0.5>"}])
    monkeypatch.setattr(kitchen_of_styles.host, "unet_replaced", lambda: "[TRT] student")
    assert "Region 'region 1' has a style, but [TRT] student computes in" in refused([{"style": "ink"}])
    monkeypatch.setattr(Students, "codebook", None)
    assert "Region 'region 1' has a style, but the model is no DMM student" in refused([{"style": "ink"}])


def test_troubles_of_regions_are_said(studio, kitchen_of_styles, monkeypatch):
    kitchen_of_styles.host.unet = lambda: None
    p = studio.paint([{"style": "ink"}], {"weights": {"anime": 1}})
    assert [each.split(",")[0] for each in p.comments] == ["DMM styles of regions had no effect",
                                                           "DMM styles had no effect"]
    assert p.extra_generation_params["DMM note"].count("had no effect") == 2
    monkeypatch.setattr(kitchen_of_styles.host, "interrupted", lambda: True)
    assert not studio.paint([{"style": "ink"}]).comments, "stopped before it was asked"


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
