"""A study: every experiment for several seeds, and what came out as JSON, Markdown and plots."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import FileError, SoupError
from ..files import replacing
from ..progress import Progress
from .bench import Bench, Model
from .experiments import EXPERIMENTS, Table, Value
from .findings import finding
from .presets import Preset
from .render import draw
from .shards import DOMAINS
from .sheet import enlarged, tiled, write_png
from .train_judge import the_judge
from .world import Scenes

#: seed -> its table, of one experiment.
Tables = Mapping[int, Table]
#: What the rows of :func:`sheet` are.
ROWS = ("as the world draws it", "the base", *(f"the specialist of {shard.name}" for shard in DOMAINS), "their soup",
        "one model trained on all for as long")
_COLUMNS, _PIXELS = 16, 48
_DIGITS = {"loss": 4, "faithfulness": 3, "preference": 3, "nearest": 3, "right": 3}


def study(preset: Preset, seeds: Sequence[int], folder: Path, names: Sequence[str] = (),
          progress: Progress | None = None) -> dict[str, Any]:
    """Run the experiments (all of them, unless named) for each seed; what was trained or measured before is kept in
    ``folder`` and not made again. Returns what :func:`write` writes: JSON values. Raises :class:`Cancelled`."""
    chosen = list(names) or list(EXPERIMENTS)
    unknown = [name for name in chosen if name not in EXPERIMENTS]
    if unknown:
        raise SoupError(f"There is no experiment called {unknown[0]}; there are {', '.join(EXPERIMENTS)}.")
    tables: dict[str, dict[str, Table]] = {name: {} for name in chosen}
    seconds: dict[str, float] = {}
    training: dict[str, dict[str, float]] = {}
    for seed in seeds:
        started, bench = time.monotonic(), Bench(preset, seed, folder, progress)
        for name in chosen:
            tables[name][str(seed)] = EXPERIMENTS[name].measure(bench)
        seconds[str(seed)] = round(time.monotonic() - started, 1)
        training[str(seed)] = bench.training_seconds
    judge = the_judge(preset.judge, folder, progress)
    return {"preset": preset.name, "seeds": list(seeds), "seconds": seconds, "training": training,
            "threads": torch.get_num_threads(),
            "machine": machine(preset.device), "judge": {kind: dict(found) for kind, found in judge.report.items()},
            "tables": tables}


def sheet(preset: Preset, seed: int, folder: Path, progress: Progress | None = None) -> Tensor:
    """(3, height, width) pictures of one seed's models for the same captions and noise; the rows are :data:`ROWS`."""
    bench = Bench(preset, seed, folder, progress)
    scenes = Scenes.joined([shard.scenes(range(_COLUMNS // len(DOMAINS)), "test") for shard in DOMAINS])
    union = preset.tuned("paragon", DOMAINS, seed, preset.steps * len(bench.specialists))
    models: tuple[Model, ...] = (bench.base, *bench.specialists, bench.soup(bench.specialists), union)
    pictures = [draw(scenes, preset.model.size), *(bench.pictures(model, scenes) for model in models)]
    return enlarged(tiled(torch.cat(pictures), _COLUMNS), max(1, _PIXELS // preset.model.size))


def machine(device: str) -> str:
    """The machine by its figures."""
    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name())
    return f"{torch.get_num_threads()} threads of {platform.machine()}, torch {torch.__version__}"


def write(found: Mapping[str, Any], folder: Path, pictures: Tensor | None = None) -> list[Path]:
    """Write ``lab.json``, ``lab.md``, the ``pictures`` of :func:`sheet` as ``lab_pictures.png`` and, where matplotlib
    is installed, a plot for each experiment that has one. Raises :class:`FileError`."""
    from .plots import plots

    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "lab.json", folder / "lab.md"]
        drawn = plots(found, folder)
        if pictures is not None:
            drawn["pictures"] = folder / "lab_pictures.png"
            write_png(pictures, drawn["pictures"])
        for path, text in zip(written, (json.dumps(found, indent=1) + "\n", markdown(found, drawn))):
            with replacing(path) as part:
                part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileError(f"{folder} could not be written to: {error.strerror}. Choose another folder.") from None
    return [*written, *drawn.values()]


def markdown(found: Mapping[str, Any], pictures: Mapping[str, Path] | None = None) -> str:
    """The tables of a study for people: mean over the seeds, and ± the standard deviation where there are several."""
    seeds, judge, seconds = found["seeds"], found["judge"], found["seconds"].values()
    training = [sum(each.values()) for each in found["training"].values()]
    lines = ["# The lab's study", "",
             f"Preset `{found['preset']}`, {len(seeds)} seed{'s' * (len(seeds) > 1)} "
             f"({', '.join(map(str, seeds))}), on {found['machine']}.",
             f"The judge has {judge['clean']['all']:.1%} of the facts of drawn pictures right, and "
             f"{judge['disturbed']['all']:.1%} of disturbed ones: no score can mean more than that.",
             f"The {len(next(iter(found['training'].values())))} models of a seed were trained in "
             f"{statistics.mean(training) / 60:.0f} minutes; this run took {statistics.mean(seconds) / 60:.1f} minutes "
             "a seed, without what was there already.", ""]
    if pictures and "pictures" in pictures:
        lines += [f"![Pictures of the study]({pictures['pictures'].name})", "",
                  f"One caption a column, the same noise in every row: {', '.join(ROWS)}.", ""]
    for name, tables in found["tables"].items():
        experiment = EXPERIMENTS[name]
        lines += [f"## {experiment.title}", "", experiment.question + "  ", f"The paper: {experiment.claim}  ",
                  finding(name, list(tables.values())), ""]
        lines += rows({int(seed): table for seed, table in tables.items()})
        if pictures and name in pictures:
            lines += ["", f"![{experiment.title}]({pictures[name].name})"]
        lines.append("")
    return "\n".join(lines)


def rows(tables: Tables) -> list[str]:
    """One Markdown table of several seeds' tables."""
    first = next(iter(tables.values()))
    columns = list(dict.fromkeys(column for row in first.values() for column in row))
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for label in first:
        cells = [cell([table[label][column] for table in tables.values() if column in table.get(label, {})], column)
                 for column in columns]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def cell(values: Sequence[Value], column: str) -> str:
    """Mean ± standard deviation of numbers; words with how often each was found, if they differ."""
    numbers = [each for each in values if isinstance(each, float | int)]
    if not values:
        return ""
    if len(numbers) < len(values):
        words = [str(each) for each in values]
        counts = {word: words.count(word) for word in dict.fromkeys(words)}
        return words[0] if len(counts) == 1 else "; ".join(f"{word} ({count})" for word, count in counts.items())
    digits = next((digits for word, digits in _DIGITS.items() if word in column and "on the others" not in column
                   and "on its own" not in column), 2)
    spread = f" ± {statistics.stdev(numbers):.{digits}f}" if len(numbers) > 1 else ""
    return f"{statistics.mean(numbers):.{digits}f}{spread}"
