"""Selection in both hosts: as many pictures as promised, none twice, and the model before is back however it ends."""

import dataclasses
import sys

import pytest

from diffusion_soup import Ingredient, Recipe, RecipeError, SoupError
from diffusion_soup.select import METHODS
from diffusion_soup_webui import selection
from diffusion_soup_webui.pot import Pot
from diffusion_soup_webui.selection import Settings

from ..scorers import clip_folder
from .conftest import cook, recipe
from .pictures_double import Pictures
from .test_kitchen import agrees, checkpoint, engine_cook

ASKED = Settings(prompts="a fox\na box", scorer="clipscore:tiny", steps=2, seed=5, width=64, height=64)


@pytest.fixture
def painted(webui):
    folder = webui.folder / "models" / "diffusion_soup" / "scorers"
    clip_folder(folder / "tiny")
    return Pictures(webui)


@pytest.fixture
def judged(monkeypatch):
    """Scores by what a soup is made of: ``judged[names]``; others have 0. The pictures say which soup it is."""
    worth, names, lend = {}, [], Pot.lend

    class Scorer:
        identity = "names"

        def __call__(self, images, prompts):
            return [worth.get(tuple(names), 0.0) for _ in prompts]

    def lending(self, plan, models, progress):
        names[:] = [each.name for each in plan.recipe.ingredients]
        return lend(self, plan, models, progress)

    monkeypatch.setattr(Pot, "lend", lending)
    monkeypatch.setattr(selection, "open_scorer", lambda *given: Scorer())
    return worth


def select(kitchen, wanted, **more):
    kitchen.selections.begin(wanted, dataclasses.replace(ASKED, **more))
    status = kitchen.wait(60)
    assert status.state == "done", status
    return kitchen.selections.last


def test_greedy(webui, kitchen, painted, judged, models):
    judged |= {("a",): 1.0, ("b",): 3.0, ("c",): 2.0, ("b", "c"): 4.0, ("a", "b", "c"): 3.5}
    cook(kitchen, recipe(c=1, d=1))
    before = webui.weights()
    last = select(kitchen, recipe(a=1, b=1, c=2))
    assert [each.name for each in last.path.recipe.ingredients] == ["b", "c"] and last.path.score == 4.0
    assert [each.weight for each in last.path.recipe.ingredients] == [1, 2], "shares are the table's"
    soups = list(dict.fromkeys(soup for soup, *_ in painted.made))
    assert len(soups) == len(last.path.steps) == 3 + 2 and soups[3:] == ["soup b+c", "soup a+b+c"]
    assert len(painted.made) == last.painted == 2 * (3 + 2), "N alone, N - 1 together, two prompts each"
    assert [made[1:] for made in painted.made[:2]] == [("a fox", "", 5), ("a box", "", 5)]
    assert agrees(webui.weights(), before) and agrees(before, engine_cook(recipe(c=1, d=1), models))
    assert kitchen.in_use().ingredients[0].name == "c" and len(webui.loads) == 1
    assert len(kitchen.log()) == 1, "candidates are no cooks"
    assert painted.closed == len(painted.made) and not (webui.folder / "params.txt").exists()
    kitchen.undo()
    assert kitchen.wait(30).state == "done" and agrees(webui.weights(), checkpoint(webui, "a"))


def test_no_picture_is_made_twice(webui, kitchen, painted, judged):
    judged |= {("a",): 1.0, ("b",): 2.0}
    first = select(kitchen, recipe(a=1, b=1))
    again = select(kitchen, recipe(b=1, a=1))
    assert len(painted.made) == first.painted == 6 and again.painted == 0
    assert again.path.recipe.hash == first.path.recipe.hash and again.report == first.report
    assert select(kitchen, recipe(a=1, b=1), prompts="a fox\na box\nanother").painted == 3, "the new prompt alone"
    assert select(kitchen, recipe(a=1, b=1), pictures=2).painted == 6
    assert select(kitchen, recipe(a=1, b=1), cfg=7).painted == 0, "the page sends 7, and the API 7.0"
    for more in ({"steps": 3}, {"cfg": 6.5}, {"sampler": "DPM++ 2M"}, {"negative": "bad"}, {"seed": 90}):
        assert select(kitchen, recipe(a=1, b=1), **more).painted == 6, more


@pytest.mark.parametrize("method, soups", [("reverse", 3), ("ordered", 5), ("coordinate", 7), ("cma", 7)])
def test_other_methods(webui, kitchen, painted, judged, method, soups):
    last = select(kitchen, recipe(a=1, b=1), method=method, budget=soups, seed=0)
    assert last.path.method == method and len(painted.made) == 2 * len({step.recipe.hash for step in last.path.steps})
    assert len(painted.made) <= 2 * soups
    assert agrees(webui.weights(), checkpoint(webui, "a"))


def test_a_real_scorer_and_its_report(webui, kitchen, painted):
    last = select(kitchen, recipe(a=1, b=1, c=1))
    assert last.path.score > 0 and last.report.startswith(b"\x89PNG") and "pictures made" in last.text
    assert len(painted.made) == 10


@pytest.mark.parametrize("when", ["painting", "waiting"])
def test_cancel_keeps_what_was_scored(webui, kitchen, painted, judged, when):
    judged |= {("a",): 1.0, ("b",): 2.0}
    cook(kitchen, recipe(c=1, d=1))
    before = webui.weights()
    painted.pause = 0.05
    if when == "waiting":
        webui.queue_lock.acquire()
    kitchen.selections.begin(recipe(a=1, b=1), ASKED)
    if when == "painting":
        while len(painted.made) < 3:
            assert kitchen.wait(0.01).state == "cooking"
    else:
        while "waiting for the WebUI" not in kitchen.status().text:
            kitchen.wait(0.01)
    kitchen.cancel()
    status = kitchen.wait(10)
    if when == "waiting":
        webui.queue_lock.release()
    assert status.state == "cancelled" and status.text == f"Cancelled. {selection.STOPPED}"
    assert agrees(webui.weights(), before) and kitchen.selections.last is None and not webui.queue_lock.locked()
    done = len(painted.made)
    painted.pause = 0
    assert done + select(kitchen, recipe(a=1, b=1)).painted <= 7, "what was scored is not painted again"


def test_cancel_stops_a_long_picture(webui, kitchen, painted):
    painted.pause = 0.05
    kitchen.selections.begin(recipe(a=1, b=1), dataclasses.replace(ASKED, steps=150))
    assert painted.begun.wait(30)
    kitchen.cancel()
    assert kitchen.wait(3).state == "cancelled", "a picture takes 7.5 seconds"


def test_the_hosts_own_button_stops_it(webui, kitchen, painted):
    painted.pause = 0.05
    kitchen.selections.begin(recipe(a=1, b=1), dataclasses.replace(ASKED, steps=150))
    assert painted.begun.wait(30)
    webui.shared.state.interrupt()
    assert kitchen.wait(10).state == "cancelled" and agrees(webui.weights(), checkpoint(webui, "a"))


def test_pictures_of_the_user_come_in_between(webui, kitchen, script, painted, models):
    cook(kitchen, recipe(c=1, d=1))
    painted.pause = 0.02
    kitchen.selections.begin(recipe(a=1, b=1), ASKED)
    assert painted.begun.wait(30)
    made = webui.picture([script])
    assert kitchen.status().state == "cooking", "the selection goes on"
    assert agrees(made.weights, engine_cook(recipe(c=1, d=1), models)), "made with the soup in use"
    assert kitchen.wait(30).state == "done" and len(painted.made) == 6
    assert agrees(webui.weights(), engine_cook(recipe(c=1, d=1), models))


def test_a_checkpoint_chosen_meanwhile_stays_chosen(webui, kitchen, script, painted):
    cook(kitchen, recipe(c=1, d=1))
    painted.pause = 0.02
    kitchen.selections.begin(recipe(a=1, b=1), ASKED)
    assert painted.begun.wait(30)
    webui.choose("d.safetensors")
    assert kitchen.wait(30).state == "done" and kitchen.in_use() is None
    assert agrees(webui.picture([script]).weights, checkpoint(webui, "d"))


def test_a_second_click_is_refused_and_a_cook_is_queued(webui, kitchen, painted):
    painted.pause = 0.02
    kitchen.selections.begin(recipe(a=1, b=1), ASKED)
    with pytest.raises(SoupError, match="under way already"):
        kitchen.selections.begin(recipe(a=1, b=1), ASKED)
    assert kitchen.cook(recipe(a=1, b=1)).state == "queued", "a cook of the same is another thing"
    assert kitchen.wait(30).state == "done" and [each.name for each in kitchen.in_use().ingredients] == ["a", "b"]


def test_a_picture_that_fails(webui, kitchen, painted, monkeypatch):
    def broken(p):
        raise RuntimeError("out of colours")

    monkeypatch.setattr(webui.modules["modules.processing"], "process_images", broken)
    kitchen.selections.begin(recipe(a=1, b=1), ASKED)
    status = kitchen.wait(30)
    assert status.state == "failed" and "out of colours" in status.text and not webui.queue_lock.locked()
    assert agrees(webui.weights(), checkpoint(webui, "a"))


@pytest.mark.parametrize("wanted, more, sentence", [
    (recipe(a=1), {}, "at least two ingredients"), (recipe(a=1, b=1), {"prompts": " \n# none\n"}, "no prompt"),
    (recipe(a=1, b=0), {}, "b.safetensors has a share of 0"), (recipe(a=1, x=1), {}, "x.safetensors was not found"),
    (recipe(a=1, b=1), {"scorer": ""}, "There is no scorer ''"),
    (recipe(a=1, b=1), {"scorer": "clipscore:gone"}, "there are: clipscore:tiny, pickscore:tiny"),
    (recipe(a=1, b=1), {"sampler": "Best"}, "no sampler 'Best'; it has: Euler, DPM"),
])
def test_what_is_refused_at_once(webui, kitchen, painted, wanted, more, sentence):
    with pytest.raises(SoupError, match=sentence):
        kitchen.selections.begin(wanted, dataclasses.replace(ASKED, **more))
    assert kitchen.status().state == "idle" and not painted.made


@pytest.mark.parametrize("more, sentence", [
    ({"method": "luck"}, "one of: greedy"), ({"steps": 0}, "steps of the selection is 0; expected 1 to 150"),
    ({"width": 100}, "multiple of 8"), ({"budget": -1}, "budget"), ({"cfg": float("nan")}, "cfg"),
])
def test_settings_that_cannot_be(more, sentence):
    with pytest.raises(RecipeError, match=sentence):
        dataclasses.replace(ASKED, **more)


def test_no_scorer_at_all(webui, kitchen, painted):
    folder = webui.folder / "models" / "diffusion_soup" / "scorers"
    (folder / "tiny").rename(webui.folder / "elsewhere")
    with pytest.raises(SoupError, match="There is no scorer: put one"):
        kitchen.selections.begin(recipe(a=1, b=1), ASKED)


def test_a_damaged_scorer(webui, kitchen, painted):
    file = webui.folder / "models" / "diffusion_soup" / "scorers" / "tiny" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    kitchen.selections.begin(recipe(a=1, b=1), ASKED)
    status = kitchen.wait(30)
    assert status.state == "failed" and "model.safetensors" in status.text and not painted.made


def test_libraries_that_are_missing(webui, kitchen, painted, monkeypatch):
    monkeypatch.setattr(selection, "_missing", lambda method: "cma" if method == "cma" else "")
    with pytest.raises(SoupError, match="needs the library cma"):
        kitchen.selections.begin(recipe(a=1, b=1), dataclasses.replace(ASKED, method="cma"))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SoupError, match="libraries transformers and Pillow"):
        kitchen.selections.begin(recipe(a=1, b=1), ASKED)


def test_what_is_offered(webui, kitchen, painted):
    known = kitchen.selections.offered()
    assert known["scorers"] == ["clipscore:tiny", "pickscore:tiny"] and known["samplers"] == ["Euler", "DPM++ 2M"]
    assert known["schedulers"] == (["Automatic", "Karras"] if webui.flavour == "forge" else [])
    assert {each["name"]: each["soups"][2] for each in known["methods"]}["greedy"] == METHODS["greedy"].evaluations(3)


def test_a_file_may_be_there_twice(webui, kitchen, painted):
    wanted = Recipe((Ingredient("a.safetensors"), Ingredient("b.safetensors"), Ingredient("b.safetensors", weight=0.5)))
    assert len({step.recipe.hash for step in select(kitchen, wanted).path.steps}) * 2 == len(painted.made)


def test_sampling_steps_are_told(webui, kitchen, painted):
    painted.pause = 0.05
    kitchen.selections.begin(recipe(a=1, b=1), dataclasses.replace(ASKED, steps=60, prompts="a fox"))
    assert painted.begun.wait(30)
    while not 0.05 < kitchen.status().fraction < 0.3:
        assert kitchen.wait(0.02).state == "cooking"
    assert kitchen.status().text == "selecting: soup 1 of 3 at most (a 100 %), picture"
    kitchen.cancel()
    assert kitchen.wait(10).state == "cancelled"
