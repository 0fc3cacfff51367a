"""The study: a tiny one from end to end, what it keeps, how it is written down."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

pytest.importorskip("diffusers", exc_type=ImportError)

from diffusion_soup.cli import main
from diffusion_soup.errors import Cancelled, FileError, SoupError
from diffusion_soup.lab import bench as benches
from diffusion_soup.lab import plots, presets
from diffusion_soup.lab.bench import Bench, Ensemble
from diffusion_soup.lab.denoiser import DenoiserConfig
from diffusion_soup.lab.experiments import EXPERIMENTS, _broken
from diffusion_soup.lab.findings import finding
from diffusion_soup.lab.presets import CROSSINGS, PRESETS, Preset
from diffusion_soup.lab.render import draw
from diffusion_soup.lab.shards import DOMAINS
from diffusion_soup.lab.study import cell, markdown, rows, study, write
from diffusion_soup.lab.train_judge import JudgeConfig
from diffusion_soup.lab.training import read_tensors, trained
from diffusion_soup.lab.world import WorldError
from diffusion_soup.progress import Silent

TINY = Preset("tiny", DenoiserConfig(16, (8, 16), 1, 16, 2), batch=8, base_steps=4, steps=3, few=2, few_steps=3,
              rates=(1e-3, 1.0), looks=(2,), pictures=2, reference=64, losses=4, sampling=1,
              judge=JudgeConfig(width=2, features=4, steps=2, batch=4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def found(folder):
    return study(TINY, [0], folder)


@pytest.fixture(scope="module")
def bench(folder, found):
    return Bench(TINY, 0, folder)


# -- what is compared ------------------------------------------------------------------------------------


def test_every_experiment_has_its_rows(found):
    assert list(found["tables"]) == list(EXPERIMENTS) and all(list(each) == ["0"] for each in found["tables"].values())
    tables = {name: each["0"] for name, each in found["tables"].items()}
    assert list(tables["union"]) == [
        "base", *(f"specialist of {shard.name}" for shard in DOMAINS), "uniform soup", "greedy soup",
        "reverse greedy soup", "union, as many steps as all", "union, as many steps as one"]
    assert len(tables["unlearning"]) == len(tables["continual"]) == len(DOMAINS)
    assert len(tables["memorisation"]) == 5 and len(tables["mixing"]) == 6 and len(tables["geometry"]) == 3
    assert tables["ensembling"]["ensemble"]["calls of the network a step"] == 4
    assert json.loads(json.dumps(found)) == found


def test_a_soup_without_a_shard_is_to_the_bit_the_one_that_never_had_it(found):
    assert [row["tensors unlike never added"] for row in found["tables"]["unlearning"]["0"].values()] == [0.0] * 4


def test_the_seconds_of_every_training_are_told(folder, found):
    told = found["training"]["0"]
    assert set(told) == {path.name for path in folder.glob("model-*")} and all(each > 0 for each in told.values())


def test_specialists_of_a_crossing_never_saw_it():
    for at, (style, form) in enumerate(CROSSINGS):
        hand, body, both = TINY.crossing(at, 0)
        asked = both.scenes(range(8))
        assert all(scene.style == style and {thing.shape for thing in scene.things} == {form} for scene in asked)
        for run in (hand, body, TINY.base(0)):
            seen = run.shards[0].scenes(range(400))
            assert not any(scene.style == style and form in {thing.shape for thing in scene.things} for scene in seen)
        assert {scene.style for scene in hand.shards[0].scenes(range(50))} == {style}
        assert {thing.shape for scene in body.shards[0].scenes(range(50)) for thing in scene.things} == {form}


def test_the_union_is_trained_for_as_long(bench):
    paragon = TINY.tuned("paragon", DOMAINS, 0, 4 * TINY.steps)
    assert (bench.folder / paragon.file).exists() and paragon.steps == sum(run.steps for run in bench.specialists)


def test_the_soup_is_the_mean(bench):
    runs = bench.specialists[:2]
    one, other = (read_tensors(trained(run, bench.folder)) for run in runs)
    soup = bench.tensors(bench.recipe(runs))
    assert soup.keys() == one.keys()
    assert all(torch.allclose(soup[key], (one[key] + other[key]) / 2, atol=1e-6) for key in soup)
    alone = bench.tensors(bench.recipe(runs, [1.0, 0.0]))
    assert all(torch.equal(alone[key], one[key]) for key in alone)


def test_losses_are_compared_on_the_same_noise(bench):
    base, twice = bench.losses(bench.base), bench.losses(Ensemble((bench.base, bench.base)))
    assert base == pytest.approx(twice, rel=1e-5) and bench.apart(bench.base, bench.base) == 0
    assert bench.losses(bench.base, DOMAINS[1:2]) == pytest.approx(base[1:2])


def test_a_break_is_worse_than_one_and_foretold_by_taste(bench, monkeypatch):
    runs = bench.specialists[:2]
    for soup_loss, alone, broke in ((2.0, 1.0, "yes"), (1.0, 2.0, "no")):
        told = {run: [alone] for run in runs}
        monkeypatch.setattr(bench, "losses", lambda model, told=told, loss=soup_loss: told.get(model, [loss]))
        row = _broken(bench, runs)
        assert row["breaks"] == broke and row["taste"] == "fits"
        assert row["foretold"] == ("no" if broke == "yes" else "yes")
        assert row["soup, of one"] == pytest.approx(100.0 if broke == "yes" else -50.0)
    monkeypatch.undo()


def test_models_without_a_common_base_are_strangers(found):
    assert found["tables"]["geometry"]["0"]["no common base"]["taste"] == "stranger"


# -- what is kept ----------------------------------------------------------------------------------------


def test_nothing_is_measured_twice(folder, found, monkeypatch):
    monkeypatch.setattr(benches, "generate", None)
    monkeypatch.setattr(benches, "mean_velocity", None)
    monkeypatch.setattr(benches, "trained", lambda run, *rest: folder / run.file)
    again = study(TINY, [0], folder, [name for name in EXPERIMENTS if name != "memorisation"])
    assert again["tables"] == {name: each for name, each in found["tables"].items() if name != "memorisation"}


def test_damaged_measurements_are_made_again(folder, found, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    bench = Bench(TINY, 0, tmp_path / "copy")
    wanted = bench.losses(bench.base)
    for path in (bench.folder / "measured").iterdir():
        text = path.read_text(encoding="utf-8")
        path.write_text(text[:len(text) // 2], encoding="utf-8")
    assert bench.losses(bench.base) == pytest.approx(wanted)


def test_a_study_can_be_cancelled(tmp_path):
    class Stop(Silent):
        def cancelled(self):
            return True

    with pytest.raises(Cancelled):
        study(TINY, [0], tmp_path, progress=Stop())


def test_an_experiment_that_is_not_there(tmp_path):
    with pytest.raises(SoupError, match="called tables; there are union, unlearning"):
        study(TINY, [0], tmp_path, ["tables"])


# -- how it is written down ------------------------------------------------------------------------------


def test_cells_by_hand():
    assert cell([1.0, 2.0, 3.0], "FID") == "2.00 ± 1.00" and cell([1.23456], "loss") == "1.2346"
    assert cell([1.5], "loss on the others") == "1.50" and cell([], "kept") == ""
    assert cell(["yes", "yes"], "breaks") == "yes" and cell(["yes", "no", "yes"], "breaks") == "yes (2); no (1)"


def test_findings_by_hand():
    rows = {"uniform soup": {"preference": -1.0}, "union, as many steps as all": {"preference": -0.5},
            "union, as many steps as one": {"preference": -1.004}}
    assert finding("union", [rows]) == (
        "Here the uniform soup's preference is -1.00: worse than one model trained on the union for as many steps as "
        "all specialists together (-0.50), and as good as one trained for as many steps as one of them (-1.00).")
    labels, seeds = ("base", "form", "half", "most", "style"), ((0, 0.5, 0.8, 0.6, 0.2), (0, 0.5, 0.6, 1, 0))
    mixes = [{label: {"faithfulness": value} for label, value in zip(labels, values)} for values in seeds]
    assert finding("mixing", mixes) == (
        "Here the best mix is most, with a faithfulness of 0.800; the specialist of the style alone has 0.100, that of "
        "the form 0.500, the base 0.000.")
    far = {"distance from the base": 40.0, "breaks": "yes", "foretold": "no"}
    near = {"distance from the base": 5.0, "breaks": "no", "foretold": "yes"}
    assert finding("geometry", [{"a": near, "b": far}]).endswith(
        "lie 40 % of the base's norm away from it, the farthest whose soup is not lie 5 % away. "
        "Taste was right in 1 of 2 cases.")
    assert "no soup is worse" in finding("geometry", [{"a": near}])


def test_rows_by_hand():
    tables = {0: {"a": {"FID": 1.0}, "b": {"FID": 2.0, "kept": "x"}}, 1: {"a": {"FID": 3.0}, "b": {"FID": 2.0}}}
    assert rows(tables) == ["| | FID | kept |", "|---|---|---|", "| a | 2.00 ± 1.41 |  |", "| b | 2.00 ± 0.00 | x |"]


def test_what_is_written(found, tmp_path):
    pytest.importorskip("matplotlib")
    written = write(found, tmp_path / "out")
    assert sorted(path.name for path in written) == sorted(path.name for path in (tmp_path / "out").iterdir())
    assert {path.name for path in written} == {
        "lab.json", "lab.md", *(f"lab_{name}.png" for name in ("union", "continual", "mixing", "geometry"))}
    assert json.loads((tmp_path / "out" / "lab.json").read_text(encoding="utf-8")) == found
    text = (tmp_path / "out" / "lab.md").read_text(encoding="utf-8")
    assert text == markdown(found, {path.stem.removeprefix("lab_"): path for path in written[2:]})
    assert text.count("\nHere") == len(EXPERIMENTS)
    assert all(f"## {each.title}" in text for each in EXPERIMENTS.values()) and "(lab_union.png)" in text
    for path in written[2:]:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_there_are_tables(found, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert plots.plots(found, tmp_path) == {}
    assert [path.name for path in write(found, tmp_path)] == ["lab.json", "lab.md"]
    assert "![" not in (tmp_path / "lab.md").read_text(encoding="utf-8")


def test_the_sheet_has_a_row_for_each_model(folder, bench, tmp_path):
    from diffusion_soup.lab.study import _COLUMNS, ROWS
    from diffusion_soup.lab.study import sheet as sheet_of
    pictures = sheet_of(TINY, 0, folder)
    assert pictures.shape == (3, 3 * (18 * len(ROWS) + 2), 3 * (18 * _COLUMNS + 2))
    first = DOMAINS[0].scenes([0], "test")
    assert torch.equal(pictures[:, 6:54:3, 6:54:3], draw(first, 16)[0])
    soup = bench.pictures(bench.soup(bench.specialists), first)[0]
    row = 3 * (2 + 18 * ROWS.index("their soup"))
    assert torch.allclose(pictures[:, row:row + 48:3, 6:54:3], soup, atol=1e-4)


def test_a_folder_that_cannot_be_written(found, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="could not be written"):
        write(found, tmp_path / "file")


def test_the_command(folder, found, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(PRESETS, "cpu", TINY)
    command = ["lab", "study", "--seeds", "1", "--only", "ensembling", "--folder", str(folder), "--out", str(tmp_path)]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / name)
                                                    for name in ("lab.json", "lab.md", "lab_pictures.png")]
    written = json.loads((tmp_path / "lab.json").read_text(encoding="utf-8"))
    assert written["tables"]["ensembling"] == found["tables"]["ensembling"]
    assert main(["lab", "study", "--seeds", "0", "--out", str(tmp_path)]) == 2
    assert "at least 1" in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert main(["lab", "study", "--preset", "gpu", "--out", str(tmp_path)]) == 2
        assert "choose --preset cpu" in capsys.readouterr().err


def test_presets_are_named_by_what_they_measure():
    assert TINY.hash == replace(TINY, name="other").hash != replace(TINY, losses=8).hash
    assert set(presets.PRESETS) == {"cpu", "gpu"}
    with pytest.raises(WorldError):
        replace(TINY, steps=-1).specialists(0)
