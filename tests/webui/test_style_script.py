"""The script DMM styles in both hosts: what a batch is sampled with, what is said, and what is left behind."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from diffusion_soup import Ingredient, Recipe
from diffusion_soup.dmm import Style, StyleMix, open_student
from diffusion_soup_webui.style_script import style_script
from diffusion_soup_webui.styles import StyleSettings, ask

from .. import models as small
from ..engine.kitchen import fill
from .conftest import SHAPES, cook
from .sampling import TIMES, Request, Unet

ON = [True, "style 1 = 1"]
BUILD = object()


class Studio:
    """A host with a student chosen and loaded, our script, and a UNet that tells what it was asked."""

    def __init__(self, webui, kitchen, monkeypatch):
        self.webui, self.kitchen, self.unet = webui, kitchen, Unet()
        self.script = style_script(kitchen, BUILD)()
        self.step, = webui.callbacks["cfg_denoiser"]
        monkeypatch.setattr(type(kitchen.host), "unet", lambda host: self.unet)
        self.choose("student")
        with open_student(webui.checkpoints / "student.safetensors") as student:
            self.book = student.codebook

    def choose(self, name):
        self.webui.choose(f"{name}.safetensors")
        self.webui._before_batch()

    def request(self, *prompts, **more):
        return Request(self.unet, self.step, prompts or ["cat"], forge=self.webui.flavour == "forge", **more)

    def sample(self, p, args=(False,)):
        """One batch, in the host's order of events; the embeddings of each step by the rows' words."""
        p.scripts = SimpleNamespace(alwayson_scripts=[self.script])
        p.script_args, self.script.args_from, self.script.args_to = list(args), 0, len(args)
        self.script.before_process_batch(p, *args, prompts=p.prompts)
        self.asked, before = list(p.prompts), vars(p).get("sample")
        self.script.process_batch(p, *args, prompts=p.prompts)
        assert not self.unet.hooks, "before it is sampled"
        assert p.sample() == "latents" and vars(p).get("sample") is before and not self.unet.hooks
        return p.calls

    def plain(self, number):
        return self.unet.time_embed(torch.full((1, 4), TIMES[number] / 1000))[0]

    def added(self, calls, number=0):
        """What each prompt's rows got beside the model's own, at a step."""
        return {text: row - self.plain(step) for step, texts, rows in calls if step == number
                for text, row in zip(texts, rows)}

    def style(self, moment=0.0, strength=1.0, **weights):
        return Style.of(self.book, StyleMix({name.replace("_", " "): weight for name, weight in weights.items()},
                                            strength=strength)).at(moment)


@pytest.fixture
def studio(webui, kitchen, monkeypatch):
    shapes = SHAPES | {"model.diffusion_model.time_embed.2.weight": (4, 4)}
    save_file(fill(shapes, 9) | small.style_tensors(9, 3, 0, width=4), webui.checkpoints / "student.safetensors")
    save_file(fill(shapes, 8), webui.checkpoints / "plain.safetensors")
    webui._list_models()
    return Studio(webui, kitchen, monkeypatch)


def close(found, wanted):
    return torch.allclose(found, wanted, atol=1e-5)


def test_off_does_nothing(studio):
    p = studio.request("a cat AND a dog")
    calls = studio.sample(p, [False, "style 1 = 1"])
    assert not p.extra_generation_params and not p.comments
    assert all(torch.equal(row, studio.plain(step)) for step, _, rows in calls for row in rows)


def test_one_style_for_every_row(studio):
    p = studio.request("cat", "dog", negatives=["bad", "bad"])
    for number in range(len(TIMES)):
        found = studio.added(studio.sample(p, ON), number)
        assert set(found) == {"cat", "dog", "bad"}
        assert all(close(each, studio.style(style_1=1)) for each in found.values())
    assert p.extra_generation_params == {"DMM styles": "style 1 = 1"} and not p.comments


def test_a_schedule_over_the_steps(studio):
    p = studio.request()
    calls = studio.sample(p, [{"weights": {"style 1": 1}, "schedule": "0.75 linear: style 2 = 1"}])
    wanted = [(1, 0), (2 / 3, 1 / 3), (0, 1), (0, 1)]
    for number, (one, two) in enumerate(wanted):
        assert close(studio.added(calls, number)["cat"], studio.style(style_1=one, style_2=two))
    assert p.extra_generation_params["DMM schedule"] == "0.75 linear: style 2 = 1"


@pytest.mark.parametrize("split", [0, 1, 2, 3])
def test_each_part_its_own(studio, split):
    p = studio.request("a cat <style:Style 1>:0.5 AND a dog <style:style 2:0.5> AND a bird", split=split)
    found = studio.added(studio.sample(p, [True, "style 3 = 1"]))
    assert close(found["a cat"], studio.style(style_1=1))
    assert close(found["a dog"], studio.style(style_2=1, strength=0.5))
    assert close(found["a bird"], studio.style(style_3=1)) and close(found[""], studio.style(style_3=1))
    assert studio.asked == ["a cat :0.5 AND a dog  AND a bird"] and not p.comments


def test_tags_without_the_section(studio):
    p = studio.request("a cat <style:style 1> AND a dog", "a bird AND a fish", negatives=["bad", "<style:style 3> bad"])
    found = studio.added(studio.sample(p))
    assert close(found["a cat"], studio.style(style_1=1)) and not found["a dog"].any() and not found["a bird"].any()
    assert "DMM styles" not in p.extra_generation_params and not p.comments
    halves = [row - studio.plain(0) for step, texts, rows in p.calls if step == 0
              for text, row in zip(texts, rows) if text == "bad"]
    assert close(halves[0], studio.style(style_1=1, strength=0.5)), "all parts together"
    assert close(halves[1], studio.style(style_3=1)), "its own"


def test_the_hires_pass_has_the_hires_prompts(studio):
    prompt = "a cat <style:style 1>"
    p = studio.request(prompt, enable_hr=True, iteration=0, batch_size=1, all_hr_prompts=["a dog <style:style 2>"],
                       all_hr_negative_prompts=[""], hr_prompts=["a dog "], hr_negative_prompts=[""],
                       hr_extra_network_data={"style": [], "lora": []}, is_hr_pass=False)
    first = p.sample

    def both():
        first()
        p.is_hr_pass, p.prompts = True, p.hr_prompts
        return first()

    p.sample = both
    studio.sample(p)
    assert close(studio.added(p.calls)["a cat"], studio.style(style_1=1))
    assert close(studio.added(p.calls)["a dog"], studio.style(style_2=1)) and not p.comments
    assert p.hr_extra_network_data == {"lora": []}


def test_other_scripts_ask(studio):
    p = studio.request()
    ask(p, StyleSettings("style 2 = 1"))
    assert close(studio.added(studio.sample(p))["cat"], studio.style(style_2=1))
    ask(p, None)
    p.calls.clear()
    assert not studio.added(studio.sample(p, ON))["cat"].any()


@pytest.mark.parametrize("args, prompt, words", [
    ([True, "oil = 1"], "cat", "no style called 'oil'"), ([True, ""], "cat", "sum to 0"),
    ([False], "cat <style:oil>", "no style called 'oil'"), ([False], "cat <style:style 1:nan>", "the weight nan"),
    ([{"weight": {}}], "cat", "no field 'weight'")])
def test_mistakes_are_said_and_nothing_is_styled(studio, args, prompt, words):
    p = studio.request(prompt)
    calls = studio.sample(p, args)
    assert all(torch.equal(row, studio.plain(step)) for step, _, rows in calls for row in rows)
    assert words in p.comments[0] and words in p.extra_generation_params["DMM note"]
    assert "DMM styles" not in p.extra_generation_params


def test_a_model_without_styles(studio):
    studio.choose("plain")
    p = studio.request("cat <style:style 1>")
    studio.sample(p, ON)
    assert p.comments == ["DMM styles were not used: the model is no DMM student, so it has no styles."]
    assert studio.kitchen.style_names() == []


def test_a_soup_with_a_student_has_its_styles(studio):
    cook(studio.kitchen, Recipe((Ingredient("plain.safetensors"), Ingredient("student.safetensors")), vae="soup"))
    assert studio.kitchen.style_names() == ["style 1", "style 2", "style 3"]
    assert close(studio.added(studio.sample(studio.request(), ON))["cat"], studio.style(style_1=1))
    studio.choose("plain")
    assert studio.kitchen.style_names() == []


def test_something_in_the_unets_place(studio, webui):
    webui.modules["modules.sd_unet"].current_unet = SimpleNamespace(option=SimpleNamespace(label="[TRT] student"))
    p = studio.request()
    studio.sample(p, ON)
    assert "[TRT] student computes in the UNet's place" in p.comments[0]


def test_a_model_that_is_not_asked(studio, webui):
    p, mine = studio.request(), studio.unet
    studio.unet = Unet()
    calls = studio.sample(p, ON)
    assert calls and not mine.hooks
    assert "had no effect" in p.comments[0] and "DMM styles" not in p.extra_generation_params
    webui.shared.state.interrupted = True
    p = studio.request()
    p.sample = lambda: "latents"
    studio.script.before_process_batch(p)
    studio.script.process_batch(p, *ON)
    p.sample()
    assert not p.comments, "stopped before the first step"


def test_another_model_in_the_middle(studio):
    """A refiner, or a hires checkpoint."""
    p = studio.request(change=lambda number: studio.choose("plain") if number == 1 else None)
    calls = studio.sample(p, ON)
    assert [bool((row - studio.plain(step)).abs().max() > 1e-3) for step, _, (row, _) in calls] == [
        True, True, False, False]
    assert p.comments == ["DMM styles are those of the chosen model alone: the refiner or the hires checkpoint is "
                          "another one, and its steps have no styles."]


def test_a_failure_leaves_nothing(studio):
    def fail(number):
        raise ZeroDivisionError

    p = studio.request(change=fail)
    with pytest.raises(ZeroDivisionError):
        studio.sample(p, ON)
    assert not studio.unet.hooks and "sample" not in vars(p)


def test_prompts_changed_by_others_are_said(studio):
    p = studio.request("a cat <style:style 1> AND a dog", split=2)
    p.prompts.append("a bird")
    studio.script.before_process_batch(p)
    studio.script.process_batch(p, True, "style 3 = 1")
    p.prompts[:] = ["a cat AND a dog AND more", "a bird"]
    p.sample()
    assert "cannot be told apart by part" in p.comments[0]


def test_tags_of_somebody_else(studio, webui):
    webui.modules["modules.extra_networks"].extra_network_registry["style"] = object()
    p = studio.request("a cat <style:style 1>")
    assert not any(each.any() for each in studio.added(studio.sample(p)).values())
    assert studio.asked == ["a cat <style:style 1>"]
