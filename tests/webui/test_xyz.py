"""Grids of soups in both fake hosts: what is cooked, what the pictures say, and what is in memory afterwards."""

import itertools
from types import SimpleNamespace

import pytest

from diffusion_soup import SoupError
from diffusion_soup import cook as engine_cook
from diffusion_soup_webui import infotext, styles, xyz
from diffusion_soup_webui.style_axis import STYLE

from .conftest import cook, recipe
from .double import Grid
from .test_kitchen import agrees, checkpoint

SHARES = (xyz.SHARE, "b: 0.5, 2")
OTHERS = (xyz.SHARE, "c: 0, 1, 3")


@pytest.fixture
def plot(webui, kitchen):
    """The axes of the plot, ours among them."""
    xyz.register(kitchen)
    (before_ui,) = webui.callbacks["before_ui"]
    before_ui()
    before_ui()
    return webui.modules["modules.scripts"].scripts_data[1].module.axis_options


@pytest.fixture
def cooks(kitchen, monkeypatch):
    """The recipes that were lent."""
    found, lend = [], kitchen.lend
    monkeypatch.setattr(kitchen, "lend", lambda recipe, progress: found.append(recipe) or lend(recipe, progress))
    return found


def test_each_axis_is_there_once(plot):
    assert [option.label for option in plot] == ["Nothing", xyz.RECIPE, xyz.SHARE, xyz.BLOCK, STYLE]


def test_a_cell_is_the_soup_it_says(webui, kitchen, script, models, plot, cooks):
    cook(kitchen, recipe(a=1, b=1, c=1))
    before, used = webui.weights(), kitchen.in_use()
    made = webui.grid([script], SHARES, OTHERS)
    assert made.labels == [["b: 0.5", "b: 2"], ["c: 0", "c: 1", "c: 3"], []]
    for (x, b), (y, c) in itertools.product(enumerate((0.5, 2)), enumerate((0, 1, 3))):
        cell = made.cells[x, y, 0]
        assert agrees(cell.weights, engine_cook(recipe(a=1, b=b, c=c), models))
        info = {"parameters": f"a cat\nSteps: 1, Soup: {cell.extra_generation_params['Soup']}, Version: x"}
        infotext.embed(kitchen, info)
        shown = kitchen.read(None, info["diffusion_soup"])
        assert [each.weight for each in shown.ingredients] == [1, b, c] and all(e.sha256 for e in shown.ingredients)
        assert (cell.sd_model_name, cell.sd_model_hash) == ("soup a+b+c", shown.hash[:10])
    assert len(cooks) == 6 and agrees(webui.weights(), before)
    assert kitchen.in_use() == used and webui.picture([script]).extra_generation_params == {"Soup": used.hash}
    assert webui.loads == ["a.safetensors"] and len(kitchen.log()) == 7


@pytest.mark.parametrize("axes", [
    (SHARES, OTHERS, ("Seed", "12")), (SHARES, ("Seed", "12"), OTHERS), (("Seed", "12"), SHARES, OTHERS),
    (("Seed", "12"), (xyz.BLOCK, "b IN01: 0.5, 2, 3"), SHARES)])
def test_one_cook_a_recipe_whatever_the_order(webui, kitchen, script, plot, cooks, axes):
    """Also with an axis that costs nothing, and with the same axis twice."""
    cook(kitchen, recipe(a=1, b=1, c=1))
    made = webui.grid([script], *axes)
    assert len(made.cells) == 12 and len(cooks) == len(set(cooks)) == 6


def test_of_a_plain_checkpoint_and_the_table(webui, kitchen, script, models, plot):
    kitchen.table = recipe(a=1, b=1)
    made = webui.grid([script], (xyz.SHARE, "b: 0%-100% [3]"))
    assert made.labels[0] == ["b: 0 %", "b: 50 %", "b: 100 %"]
    for at, shares in enumerate(({"a": 1, "b": 0}, {"a": 1, "b": 1}, {"a": 0, "b": 1})):
        assert agrees(made.cells[at, 0, 0].weights, engine_cook(recipe(**shares), models))
    assert agrees(webui.weights(), checkpoint(webui, "a")) and kitchen.in_use() is None
    assert webui.picture([script]).extra_generation_params == {}
    assert webui.loads == ["a.safetensors"]


def test_recipes(webui, kitchen, script, models, plot, cooks):
    kept = kitchen.shelf.keep(recipe(c=1, d=1), "c and d")
    kitchen.save(recipe(a=1, d=1), "saved")
    cook(kitchen, recipe(a=1, c=1))
    (recipes,) = (option for option in plot if option.label == xyz.RECIPE)
    assert recipes.choices() == [kept] == ["c and d.json"]
    names = [kept, "saved.safetensors", kitchen.in_use().hash[:10]]
    made = webui.grid([script], (xyz.SHARE, "1: 1, 4"), (xyz.RECIPE, names))
    assert made.labels[1] == ["c and d", "saved.safetensors", names[2]] and made.labels[0] == ["c: 1", "c: 4"]
    for at, shares in enumerate(({"c": 4, "d": 1}, {"a": 4, "d": 1}, {"a": 4, "c": 1})):
        assert agrees(made.cells[1, at, 0].weights, engine_cook(recipe(**shares), models))
    assert len(cooks) == 6


@pytest.mark.parametrize("axes, sentence", [
    ([(xyz.SHARE, "")], "needs values"), ([(xyz.SHARE, "z: 1")], "'z' is not in this soup, which has 1 a, 2 b"),
    ([(xyz.SHARE, "a: 0"), (xyz.SHARE, "b: 1, 0")], "nothing to cook"), ([(xyz.RECIPE, [])], "needs recipes"),
    ([(xyz.BLOCK, "a IN99: 1")], "IN99"), ([(xyz.BLOCK, "a double_blocks.7: 0.5")], "does not have"),
    ([(xyz.RECIPE, ["none.json"])], "There is no recipe 'none.json'"),
    ([(xyz.RECIPE, ["../../models/Stable-diffusion/a.safetensors"])], "must stay inside"),
    ([(xyz.RECIPE, ["/etc/passwd"])], "must stay inside"), ([(xyz.RECIPE, ["bad.json"])], "not valid JSON"),
    ([(xyz.RECIPE, ["gone.json"])], "x.safetensors was not found"),
    ([(xyz.RECIPE, ["gone.json"]), (xyz.RECIPE, ["gone.json"])], "Two axes are"),
    ([(xyz.SHARE, "a: 1"), ("Checkpoint name", "b")], "takes no other checkpoint"),
])
def test_refused_before_any_cell_begins(webui, kitchen, script, plot, cooks, axes, sentence, monkeypatch):
    monkeypatch.setattr(Grid, "_sorted", lambda *args: pytest.fail("a cell was begun"))
    kitchen.shelf.keep(recipe(x=1), "gone")
    (kitchen.shelf.folder / "bad.json").write_text("{")
    cook(kitchen, recipe(a=1, b=1))
    before = webui.weights()
    with pytest.raises(SoupError, match=sentence.replace("'", ".")):
        webui.grid([script], *axes)
    assert cooks == [] and agrees(webui.weights(), before)


def test_no_soup_and_no_table(webui, script, plot):
    with pytest.raises(SoupError, match="There is no soup whose shares could be changed"):
        webui.grid([script], SHARES)
    assert webui.loads == []


def test_a_request_with_a_checkpoint_of_its_own(webui, kitchen, script, plot):
    kitchen.table = recipe(a=1, b=1)
    with pytest.raises(SoupError, match="takes no other checkpoint"):
        webui.grid([script], SHARES, sd_model_checkpoint="c.safetensors")


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("how", ["stop", "fail"])
def test_the_model_before_comes_back(webui, kitchen, script, models, plot, monkeypatch, held, how):
    """After a stop in the middle of a cook, and after a file that is gone in the middle of a grid."""
    expected = checkpoint(webui, "a")
    if held:
        cook(kitchen, recipe(a=1, b=1, c=1))
        expected = engine_cook(recipe(a=1, b=1, c=1), models)
    else:
        kitchen.table = recipe(a=1, b=1, c=1)
    from diffusion_soup_webui.bridge import sink
    write, left = sink.ModelSink.write, [35]

    def interrupting(self, step, start, piece):
        write(self, step, start, piece)
        left[0] -= 1
        if left[0] == 0:
            if how == "fail":
                raise SoupError("the disk is gone.")
            webui.shared.state.interrupted = True

    monkeypatch.setattr(sink.ModelSink, "write", interrupting)
    if how == "fail":
        with pytest.raises(SoupError, match="the disk is gone"):
            webui.grid([script], OTHERS)
    else:
        assert 1 <= len(webui.grid([script], OTHERS).cells) < 3
    assert left[0] <= 0 and agrees(webui.weights(), expected)
    assert webui.shared.state.textinfo is None and (kitchen.in_use() is not None) == held
    webui.shared.state.interrupted = False
    assert agrees(webui.picture([script]).weights, expected)


def test_even_where_the_host_does_not_close_its_requests(webui, kitchen, script, models, plot, monkeypatch):
    cook(kitchen, recipe(a=1, b=1, c=1))
    monkeypatch.setattr(xyz, "_take_back_at_the_end", lambda kitchen, p: None)
    webui.grid([script], OTHERS)
    assert agrees(webui.weights(), engine_cook(recipe(a=1, b=1, c=3), models))
    made = webui.picture([script])
    assert agrees(made.weights, engine_cook(recipe(a=1, b=1, c=1), models))
    assert made.extra_generation_params == {"Soup": kitchen.in_use().hash}


def test_a_checkpoint_chosen_meanwhile_is_what_comes_back(webui, kitchen, script, plot):
    cook(kitchen, recipe(a=1, b=1, c=1))
    process, count = webui.process, itertools.count()
    webui.process = lambda *args: (next(count) == 1 and webui.choose("d.safetensors"), process(*args))[1]
    webui.grid([script], OTHERS)
    webui.process = process
    assert kitchen.in_use() is None
    assert agrees(webui.picture([script]).weights, checkpoint(webui, "d"))


# -- what the Soup tab says ------------------------------------------------------------------------


def test_a_grid_is_told_as_cooking(webui, kitchen, script, plot, monkeypatch):
    cook(kitchen, recipe(a=1, b=1, c=1))
    said, process, lend = [kitchen.status()], webui.process, kitchen.lend

    def lending(recipe, progress):
        class Told:
            cancelled = progress.cancelled

            def step(self, *args):
                progress.step(*args)
                said.append(kitchen.status())
        return lend(recipe, Told())

    monkeypatch.setattr(kitchen, "lend", lending)
    webui.process = lambda *args: (said.append(kitchen.status()), process(*args))[1]
    webui.grid([script], SHARES, ("Seed", "12"))
    before, *during = said
    assert {each.state for each in during} == {"cooking"} and {each.job for each in during} == {before.job + 1}
    assert {each.fraction for each in during} == {0.0, 0.5}
    texts = list(dict.fromkeys(each.text for each in during))
    assert texts[-1] == "a grid: pictures with soup 2 of 2" and texts.index("a grid: pictures with soup 1 of 2") > 0
    assert "a grid: soup 1 of 2, cooking" in texts
    after = kitchen.status()
    assert (after.state, after.job) == ("done", before.job + 1)
    assert after.text == f"The grid has ended. In use again: soup a+b+c [{kitchen.in_use().hash[:10]}]."


@pytest.mark.parametrize("when", ["cooking", "sampling"])
def test_cancel_in_the_soup_tab_stops_a_grid(webui, kitchen, script, models, plot, monkeypatch, when):
    cook(kitchen, recipe(a=1, b=1, c=1))
    if when == "cooking":
        lend = kitchen.lend
        monkeypatch.setattr(kitchen, "lend", lambda *args: (kitchen.cancel(), lend(*args))[1])
    else:
        process = webui.process
        webui.process = lambda *args: (kitchen.cancel(), process(*args))[1]
    made = webui.grid([script], OTHERS)
    assert len(made.cells) == (when == "sampling")
    assert kitchen.status().state == "cancelled" and kitchen.status().text.startswith("Stopped. The grid has ended. In")
    assert agrees(webui.weights(), engine_cook(recipe(a=1, b=1, c=1), models))


def test_a_request_behind_a_grid_is_told_first(webui, kitchen, script, plot):
    """And Cancel is about it, not about the grid."""
    cook(kitchen, recipe(a=1, b=1, c=1))
    process = webui.process

    def ask(*args):
        first = kitchen.status().job
        kitchen.cook(recipe(a=1))
        assert kitchen.status().job > first
        while "waiting for the WebUI" not in kitchen.status().text:
            pass
        kitchen.cancel()
        kitchen.wait(30)
        return process(*args)

    webui.process = ask
    assert len(webui.grid([script], (xyz.SHARE, "b: 0, 1")).cells) == 2
    webui.process = process
    assert kitchen.status().state == "done" and names_of(kitchen.in_use()) == ["a", "b", "c"]


# -- what stays ------------------------------------------------------------------------------------


def test_undo_knows_nothing_of_grids(webui, kitchen, script, models, plot):
    cook(kitchen, recipe(a=1))
    cook(kitchen, recipe(a=1, b=1, c=1))
    webui.grid([script], OTHERS)
    kitchen.undo()
    assert kitchen.wait(30).state == "done" and agrees(webui.weights(), engine_cook(recipe(a=1), models))


def test_recipes_are_kept_once(kitchen, webui):
    shelf = kitchen.shelf
    assert shelf.names() == []
    title = 'a: "b" / ../c? 60 % + d'
    names = [shelf.keep(recipe(a=share), title) for share in (1, 1, 2)]
    assert names == ["a b .. c 60 % + d.json"] * 2 + ["a b .. c 60 % + d 2.json"]
    assert shelf.names() == sorted(set(names), key=str.lower) and shelf.read(names[2]) == recipe(a=2)
    (shelf.folder / "more").mkdir()
    (shelf.folder / names[0]).rename(shelf.folder / "more/first.json")
    assert shelf.names()[1] == "more/first.json" and shelf.read("more\\first.json") == recipe(a=1)


# -- styles ----------------------------------------------------------------------------------------


def names_of(recipe):
    return [each.name for each in recipe.ingredients]


@pytest.fixture
def student(kitchen, monkeypatch):
    """The model in memory has two styles, and so has every soup with a in it."""
    codebook = SimpleNamespace(names=("Ink", "ember"))
    monkeypatch.setattr(kitchen.students, "chosen", lambda: codebook)
    monkeypatch.setattr(kitchen.students, "in_memory", lambda: codebook)
    monkeypatch.setattr(kitchen, "styles_of", lambda recipe: codebook if "a" in names_of(recipe) else None)


def asked(made):
    return {at[:2]: styles.asked(cell) for at, cell in made.cells.items()}


def test_style_weights(webui, kitchen, script, plot, student):
    made = webui.grid([script], (STYLE, "ink: 0-1 [3]"), (STYLE, "Ember: 0, 100%"))
    assert made.labels[:2] == [["ink: 0", "ink: 0.5", "ink: 1"], ["Ember: 0", "Ember: 1"]]
    found = asked(made)
    assert found[0, 0] is None, "no style at all"
    assert (found[1, 0].weights, found[1, 0].strength) == ("Ink = 0.5, ember = 0", 0.5)
    assert (found[1, 1].weights, found[1, 1].strength) == ("Ink = 0.5, ember = 1", 1)
    assert webui.loads == ["a.safetensors"]


def test_style_weights_beside_the_section(webui, kitchen, script, plot, student, monkeypatch):
    section = styles.StyleSettings("Ink = 0.2, ember = 0.3", strength=0.7, normalise=False)
    before = styles.asked
    monkeypatch.setattr(styles, "asked", lambda p: before(p) or section)
    found = asked(webui.grid([script], (STYLE, "ink: 0, 2")))
    assert [found[at, 0].weights for at in (0, 1)] == ["Ink = 0, ember = 0.3", "Ink = 2, ember = 0.3"]
    assert all(each.strength == 0.7 and not each.normalise for each in found.values())


def test_style_weights_of_soups(webui, kitchen, script, plot, student, cooks):
    cook(kitchen, recipe(a=1, b=1))
    for axes in ((STYLE, "ink: 0, 1"), (xyz.SHARE, "b: 1, 2")), ((xyz.SHARE, "b: 1, 2"), (STYLE, "ink: 0, 1")):
        cooks.clear()
        made = webui.grid([script], *axes)
        assert len(made.cells) == 4 and len(cooks) == 2
        assert sum(each is not None for each in asked(made).values()) == 2


@pytest.mark.parametrize("axis, sentence", [
    ("ghost: 1", "There is no style .ghost.; the model has Ink, ember"), ("ink: 0, ghost: 1", "There is no style"),
    ("ink: -1", "negative weight -1"), ("ink", "does not say which"), ("ink: x", "is not a value")])
def test_styles_that_cannot_be(webui, script, plot, student, axis, sentence, monkeypatch):
    monkeypatch.setattr(Grid, "_sorted", lambda *args: pytest.fail("a cell was begun"))
    with pytest.raises(SoupError, match=sentence):
        webui.grid([script], (STYLE, axis))
    assert webui.loads == []


@pytest.mark.parametrize("styled, sentence", [("ghost: 1", "There is no style"), ("ink: 1", "is no DMM student")])
def test_styles_that_a_soup_of_the_grid_does_not_have(webui, kitchen, script, plot, student, cooks, styled, sentence,
                                                      monkeypatch):
    """Told before the first soup is cooked, not when the one without them is there."""
    monkeypatch.setattr(Grid, "_sorted", lambda *args: pytest.fail("a cell was begun"))
    names = [kitchen.shelf.keep(recipe(**shares), "".join(shares)) for shares in ({"a": 1, "b": 1}, {"b": 1, "c": 1})]
    names = names[:1] if "ghost" in styled else names
    with pytest.raises(SoupError, match=sentence):
        webui.grid([script], (STYLE, styled), (xyz.RECIPE, names))
    assert cooks == [] and webui.loads == []


def test_styles_of_a_model_that_has_none(webui, script, plot):
    with pytest.raises(SoupError, match="The model is no DMM student"):
        webui.grid([script], (STYLE, "ink: 1"))
