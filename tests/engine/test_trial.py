"""A search over pictures makes each of them once, keeps what it knows, and shows where it went."""

import math

import pytest
import torch

from diffusion_soup import Cancelled, Ingredient, Recipe, SoupError
from diffusion_soup.evaluations import Evaluations
from diffusion_soup.report import report
from diffusion_soup.select import METHODS, search
from diffusion_soup.trial import Prompts, Trial

from .kitchen import plain_sentence

NAMES = ("ember", "lagoon", "meadow", "ink")
WORTH = {"ember": 0.9, "lagoon": 0.8, "meadow": 0.1, "ink": 0.85}


def soup(*names):
    return Recipe(tuple(Ingredient(f"{name}.safetensors", sha256=f"{at:064x}") for at, name in enumerate(names)))


def paint(recipe, questions):
    """Grey of the mean worth; two pictures of different prompts differ a little."""
    for question in questions:
        value = sum(WORTH[each.name] for each in recipe.ingredients) / len(recipe.ingredients)
        yield torch.full((3, 32, 48), value) - 0.01 * question.prompt.count("c")


def score(images, prompts):
    return [float(image.mean()) for image in images]


def trial(folder, prompts=("a fox", "a cat"), scorer="mean 1", paint=paint, score=score, **settings):
    return Trial(Prompts(prompts, **settings), Evaluations(folder / "evaluations.jsonl"), scorer, paint, score)


def test_n_and_n_less_one_generations_of_the_prompts(tmp_path):
    one = trial(tmp_path)
    path = search(soup(*NAMES), one)
    assert one.painted == (4 + 3) * 2
    assert path.score == pytest.approx(0.895)
    again = trial(tmp_path)
    assert search(soup(*NAMES), again) == path and again.painted == 0
    fewer = trial(tmp_path)
    search(soup(*NAMES[:3]), fewer)
    assert fewer.painted == 0, "what a smaller choice asks for is known"


def test_what_changes_a_picture_is_painted_again(tmp_path):
    search(soup(*NAMES), trial(tmp_path))
    for change in ({"negative": "fog"}, {"seeds": (1,)}, {"width": 64}, {"sampling": {"steps": 3}}, {"scorer": "x"},
                   {"prompts": ("another", "third")}):
        other = trial(tmp_path, **change)
        search(soup(*NAMES), other)
        assert other.painted == 14, change
    more = trial(tmp_path, prompts=("a fox", "a cat", "a dog"))
    search(soup(*NAMES), more)
    assert more.painted == 7, "of a longer list only the new prompt"


@pytest.mark.parametrize("method", METHODS)
def test_stopped_at_any_picture_it_goes_on_there(tmp_path, method):
    whole = trial(tmp_path / "whole")
    path = search(soup(*NAMES), whole, method, budget=9)
    for cut in range(0, whole.painted, 3):
        done = 0

        def stopping(recipe, questions, cut=cut):
            nonlocal done
            for picture in paint(recipe, questions):
                if done == cut:
                    raise Cancelled("stop")
                done += 1
                yield picture

        with pytest.raises(Cancelled):
            search(soup(*NAMES), trial(tmp_path / f"{method}{cut}", paint=stopping), method, budget=9)
        rest = trial(tmp_path / f"{method}{cut}")
        assert search(soup(*NAMES), rest, method, budget=9) == path
        assert rest.painted == whole.painted - cut


def test_all_pictures_of_a_recipe_together(tmp_path):
    """As people rate them."""
    asked = []

    def several(images, prompts):
        asked.append((len(images), list(prompts)))
        return score(images, prompts)

    one = Trial(Prompts(("a fox", "a cat"), seeds=(1, 2)), Evaluations(tmp_path / "e.jsonl"), "x", paint, several,
                together=True)
    path = search(soup(*NAMES[:2]), one)
    assert asked == [(4, ["a fox", "a fox", "a cat", "a cat"])] * 3 and one.painted == 12
    assert search(soup(*NAMES[:2]), one) == path and len(asked) == 3


def test_seeds(tmp_path):
    several = trial(tmp_path, seeds=(3, 4, 5))
    several(soup("ember"))
    assert several.painted == 6 and len(several.sheet(soup("ember"))) == 6


def test_prompts_as_they_are_written():
    read = Prompts.read("a fox\n\n  a cat  \n# not this\na fox\n", seeds=(1, 2), width=64)
    assert read.prompts == ("a fox", "a cat") and read.seeds == (1, 2) and read.width == 64
    for text, seeds, words in (("\n# only this", (0,), "no prompt"), ("a", (), "no prompt"),
                               ("a", tuple(range(1001)), "1001 pictures")):
        with pytest.raises(SoupError) as error:
            Prompts.read(text, seeds=seeds)
        assert words in plain_sentence(error.value)


def test_a_score_that_is_none(tmp_path):
    with pytest.raises(SoupError) as error:
        trial(tmp_path, score=lambda images, prompts: [math.nan])(soup("ember"))
    assert "'a fox'" in plain_sentence(error.value)


@pytest.mark.parametrize("method", METHODS)
def test_report(tmp_path, method):
    tried = trial(tmp_path)
    path = search(soup(*NAMES), tried, method, budget=40)
    picture = report(path, tried.sheet)
    assert picture.width == 1024 and picture.height < 4000
    colours = {colour for _, colour in picture.getcolors(1 << 20)}
    assert (110, 201, 143) in colours, "a bright bar"
    assert len(colours) > 20
    bare = report(path, lambda recipe: [])
    assert bare.height < picture.height, "and contact sheets"
