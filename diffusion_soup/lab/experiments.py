"""The experiments of a study: each takes a :class:`Bench` and returns a table, row by row.

Losses are mean squared errors of the velocity on test pictures; faithfulness is a share from 0 to 1, preference is 0
at best, both by the judge; FID is on the judge's features. Changes are in percent.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..recipe import Recipe
from ..select import search
from ..taste import Taste, taste
from .bench import Bench, Ensemble, Model, Soup
from .presets import CROSSINGS
from .render import draw
from .scores import closest
from .shards import DOMAINS, WORLD
from .training import Run
from .world import Scenes

Value = float | str
Table = dict[str, dict[str, Value]]

_SLIDER = (0.0, 0.25, 0.5, 0.75, 1.0)
_OTHER_SEEDS = 4


@dataclass(frozen=True)
class Experiment:
    """``question`` is what it asks, ``claim`` what the paper says (Biggs et al. 2024, 2406.08431)."""

    name: str
    title: str
    question: str
    claim: str
    measure: Callable[[Bench], Table]


def against_the_union(bench: Bench) -> Table:
    """Specialists, soups of them, and models trained on the union of their pictures ("paragons")."""
    runs, preset, seed = bench.specialists, bench.preset, bench.seed
    everything = bench.recipe(runs)
    greedy, reverse = (search(everything, lambda recipe: _validated(bench, recipe), method, progress=bench.progress)
                       for method in ("greedy", "reverse"))
    models: dict[str, Model] = {
        "base": bench.base, **{f"specialist of {run.name}": run for run in runs},
        "uniform soup": Soup(everything), "greedy soup": Soup(greedy.recipe),
        "reverse greedy soup": Soup(reverse.recipe),
        "union, as many steps as all": preset.tuned("paragon", DOMAINS, seed, preset.steps * len(runs)),
        "union, as many steps as one": preset.tuned("short paragon", DOMAINS, seed)}
    table = {name: _quality(bench, model) for name, model in models.items()}
    names = {run.file: run.name for run in runs}
    for name, path in (("greedy soup", greedy), ("reverse greedy soup", reverse)):
        table[name]["kept"] = ", ".join(names[each.file] for each in path.recipe.ingredients)
    return table


def unlearning(bench: Bench) -> Table:
    """Each specialist left out in turn: what the soup then loses elsewhere, and what it forgets of that shard."""
    everything = bench.recipe(bench.specialists)
    whole, base, faithful = bench.losses(Soup(everything)), bench.losses(bench.base), _faithful(bench, Soup(everything))
    table: Table = {}
    for at, run in enumerate(bench.specialists):
        without = everything.remove(run.file)
        never = bench.recipe([each for each in bench.specialists if each is not run])
        losses, shown = bench.losses(Soup(without)), _faithful(bench, Soup(without))
        others = [other for other in range(len(losses)) if other != at]
        table[f"without {run.name}"] = {
            "loss on the others": _change(_mean(losses, others), _mean(whole, others)),
            "loss on its own": _change(losses[at], whole[at]),
            "of what was learnt of it, forgotten": 100 * (losses[at] - whole[at]) / max(base[at] - whole[at], 1e-9),
            "faithfulness on the others": 100 * (_mean(shown, others) - _mean(faithful, others)),
            "faithfulness on its own": 100 * (shown[at] - faithful[at]),
            "tensors unlike never added": float(_unlike(bench.tensors(without), bench.tensors(never)))}
    return table


def continual_learning(bench: Bench) -> Table:
    """Shards that come one by one: averaged in, or one model fine-tuned on each in turn."""
    runs, chain = bench.specialists, bench.specialists[0]
    table: Table = {}
    for count in range(1, len(runs) + 1):
        if count > 1:
            chain = bench.preset.tuned(f"then {runs[count - 1].name}", runs[count - 1].shards, bench.seed, start=chain)
        soup = bench.soup(runs[:count])
        row: dict[str, Value] = {}
        for name, model in (("soup", soup), ("one after the other", chain)):
            losses = bench.losses(model)
            row |= {f"{name}: loss on all": _mean(losses), f"{name}: loss on the first": losses[0],
                    f"{name}: faithfulness on all": bench.scores(model).faithfulness}
        table[f"{count}: {runs[count - 1].name}"] = row
    return table


def memorisation(bench: Bench) -> Table:
    """Trained for long on few pictures: how near a model's pictures come to the very ones it was trained on."""
    preset, seed = bench.preset, bench.seed
    runs = [replace(preset.tuned(f"few of {shard.name}", (shard,), seed, preset.few_steps), pictures=preset.few)
            for shard in DOMAINS]
    paragon = replace(preset.tuned("few of all", DOMAINS, seed, preset.few_steps * len(runs)), pictures=preset.few)
    known = Scenes.joined([run.training_set() for run in runs])
    others = [draw(Scenes(known.facts, known.seeds + 2 * (1 + other)), preset.model.size)
              for other in range(_OTHER_SEEDS)]
    training = draw(known, preset.model.size)
    natural = torch.cat([_distance(each, training) for each in others])
    line = float(natural.quantile(0.05))

    def row(distances: Tensor) -> dict[str, Value]:
        return {"nearest training picture": float(distances.mean()),
                "copies": 100 * float((distances < line).float().mean())}

    table: Table = {"another drawing of the same scene": row(natural)}
    apart: list[Tensor] = []
    for at, run in enumerate(runs):
        mine = slice(at * preset.few, (at + 1) * preset.few)
        apart.append(_distance(bench.pictures(run, known.pick(mine)), training))
    table["specialists, each of its own shard"] = row(torch.cat(apart))
    for name, model in (("soup of the specialists", bench.soup(runs)), ("trained on all of them", paragon),
                        ("base", bench.base)):
        table[name] = row(_distance(bench.pictures(model, known), training))
    return table


def mixing(bench: Bench) -> Table:
    """A specialist of a style with one of a form, along the slider; asked for both, which nobody was shown."""
    crossings = [bench.preset.crossing(at, bench.seed) for at in range(len(CROSSINGS))]

    def row(models: Sequence[Model]) -> dict[str, Value]:
        found = [bench.scores(model, (shard,)) for model, (_, _, shard) in zip(models, crossings)]
        return {"faithfulness": statistics.mean(each.faithfulness for each in found),
                **{f"right {kind}": statistics.mean(each.kinds[kind] for each in found) for kind in ("style", "shape")},
                "preference": statistics.mean(each.preference for each in found)}

    table: Table = {"base": row([bench.base] * len(crossings))}
    for share in _SLIDER:
        models: list[Model] = [
            bench.soup([style, form], [share, 1 - share]) if 0 < share < 1 else style if share else form
            for style, form, _ in crossings]
        table[f"{share:.0%} style, {1 - share:.0%} form"] = row(models)
    return table


def geometry(bench: Bench) -> Table:
    """Specialists trained harder and harder, and some without a common base: where the soup breaks, what taste says."""
    preset, table = bench.preset, Table()
    for rate, steps in itertools.product(preset.rates, preset.looks):
        runs = [replace(run, rate=rate, steps=steps, constant=True) for run in bench.specialists[:2]]
        table[f"rate {rate:g}, {steps} steps"] = _broken(bench, runs)
    table["no common base"] = _broken(bench, [
        replace(run, start=None, seed=1000 * (1 + at) + bench.seed, rate=preset.base_rate, steps=max(preset.looks))
        for at, run in enumerate(bench.specialists[:2])])
    return table


def ensembling(bench: Bench) -> Table:
    """The soup of specialists, and the mean of their scores at every step, which it approximates."""
    soup, ensemble = bench.soup(bench.specialists), Ensemble(bench.specialists)
    spread = statistics.mean(bench.apart(run, ensemble, WORLD) for run in bench.specialists)
    table = {"soup": _quality(bench, soup), "ensemble": _quality(bench, ensemble)}
    table["soup"]["prediction apart from the ensemble's, of the specialists' own"] = \
        100 * bench.apart(soup, ensemble, WORLD) / max(spread, 1e-9)
    table["soup"]["calls of the network a step"] = 1.0
    table["ensemble"]["calls of the network a step"] = float(len(bench.specialists))
    return table


EXPERIMENTS: Mapping[str, Experiment] = {each.name: each for each in (
    Experiment("union", "Soup against training on the union",
               "Is the average of specialists as good as one model trained on all of their pictures?",
               "The soup is better: Image Reward .44 against .34, TIFA 86.5 against 85.5.", against_the_union),
    Experiment("unlearning", "Unlearning",
               "What does leaving out one shard cost on the others, and how much of it is forgotten?",
               "Leaving out any one domain costs about 1%.", unlearning),
    Experiment("continual", "Continual learning",
               "Shards come one by one: average each in, or go on fine-tuning?",
               "A soup takes in another shard by one more average.", continual_learning),
    Experiment("memorisation", "Memorisation",
               "Specialists that know their few training pictures by heart: does their soup?",
               "What one specialist alone remembers, the geometric mean suppresses.", memorisation),
    Experiment("mixing", "Mixing a style and a form that never met",
               "Does a soup draw what neither specialist was shown?",
               "Styles mix with no training.", mixing),
    Experiment("geometry", "Where the soup breaks",
               "How far may specialists move, and does taste say so before a picture is made?",
               "Averages hold while fine-tuning moves the weights little (figure 7, left).", geometry),
    Experiment("ensembling", "Soup against ensemble",
               "How near is the soup to averaging the specialists' scores at every step, at several times the cost?",
               "The soup samples from about the geometric mean of the specialists (proposition 1).", ensembling),
)}


def _quality(bench: Bench, model: Model) -> dict[str, Value]:
    scores = bench.scores(model)
    return {"faithfulness": scores.faithfulness, "preference": scores.preference, "FID": scores.fid,
            "loss": _mean(bench.losses(model))}


def _validated(bench: Bench, recipe: Recipe) -> float:
    """What selection goes by: the preference of pictures for scenes of the training split."""
    return bench.scores(Soup(recipe), split="train", pictures=max(2, bench.preset.pictures // 2)).preference


def _faithful(bench: Bench, model: Model) -> list[float]:
    scores = bench.scores(model)
    return [scores.by_shard[shard.name][0] for shard in DOMAINS]


def _broken(bench: Bench, runs: Sequence[Run]) -> dict[str, Value]:
    """Whether the soup of these is worse than they are by themselves, and what is told of them beforehand."""
    soup = bench.soup(runs)
    alone = statistics.mean(_mean(bench.losses(run)) for run in runs)
    loss, tasted = _mean(bench.losses(soup)), taste(soup.recipe, bench.models)
    broke, warned = loss > alone, any(each.verdict not in ("fits", "equal") for each in tasted.ingredients)
    return {"distance from the base": 100 * _distance_of(tasted), "loss of one": alone, "loss of the soup": loss,
            "soup, of one": _change(loss, alone),
            "taste": ", ".join(sorted({each.word for each in tasted.ingredients})),
            "breaks": "yes" if broke else "no", "foretold": "yes" if broke == warned else "no"}


def _distance_of(tasted: Taste) -> float:
    return statistics.mean(each.distance or 0.0 for each in tasted.ingredients)


def _distance(pictures: Tensor, training: Tensor) -> Tensor:
    """Root mean square difference of each picture to the nearest training picture."""
    return closest(pictures.flatten(1), training.flatten(1))[0]


def _unlike(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> int:
    """How many tensors differ in a bit, or are in one alone."""
    return sum(key not in one or key not in other or not torch.equal(one[key], other[key]) for key in {*one, *other})


def _mean(values: Sequence[float], which: Sequence[int] = ()) -> float:
    return statistics.mean(values[at] for at in which or range(len(values)))


def _change(value: float, reference: float) -> float:
    """In percent."""
    return 100 * (value / reference - 1)
