"""ControlNets under the Panorama script: tiles get their part of a hint, and controls are given back as they were."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from . import sampling_double as sampling
from .painting import painter, panorama_script, sampling_host, style_kitchen  # noqa: F401  fixtures

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
        unet = sampling.Patcher()
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
    module, unet = LightModule(RAMP, steps=2), sampling.Patcher()
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
