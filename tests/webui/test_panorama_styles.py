"""Styles of a student for the regions of a panorama, against hosts that sample as A1111 and Forge do."""

import json
from types import SimpleNamespace

import pytest
import torch

from diffusion_soup.dmm import Style, StyleMix

from ..engine.test_codebook import codebook
from . import sampling_double as sampling
from .painting import Students, clean, painter, panorama_script, sampling_host, style_kitchen  # noqa: F401  fixtures
from .sampling import Unet


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
