"""What a study measures with: models by what they are made of, their losses and pictures, kept once measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..cook import cook
from ..errors import FileError
from ..files import replacing
from ..folders import ModelFolders
from ..frechet import fid
from ..hashes import HashCache
from ..planner import resolve
from ..progress import Progress, Silent, check
from ..recipe import Ingredient, ModelFile, Recipe
from .denoiser import Denoiser, schedule
from .presets import Preset
from .render import draw
from .sampling import generate, mean_velocity
from .shards import DOMAINS, WORLD, Shard
from .train_judge import the_judge
from .training import Run, facts, noised, trained
from .world import Scenes


@dataclass(frozen=True)
class Soup:
    """A recipe over the files of runs. Equal recipes are equal models."""

    recipe: Recipe


@dataclass(frozen=True)
class Ensemble:
    """Several models whose scores are averaged at every step."""

    runs: tuple[Run, ...]


Model = Run | Soup | Ensemble


@dataclass(frozen=True)
class Scores:
    """Of a model's pictures of one test set: means of faithfulness and preference, shares of right facts by kind, FID,
    and faithfulness and preference shard by shard."""

    faithfulness: float
    preference: float
    kinds: dict[str, float]
    fid: float
    by_shard: dict[str, list[float]]


class Bench:
    """The models of one seed of a study, and measurements of them. Files lie in ``folder``: weights, and one small
    JSON file for each measurement, so that a study which was cut goes on. Raises :class:`Cancelled`."""

    def __init__(self, preset: Preset, seed: int, folder: Path, progress: Progress | None = None) -> None:
        self.preset, self.seed, self.folder = preset, seed, folder
        self.progress = progress or Silent()
        self.judge = the_judge(preset.judge, folder, self.progress)
        self.models = ModelFolders({"checkpoint": [folder]}, HashCache(folder / "hashes.json"))
        self._used: set[str] = set()
        self.base = preset.base(seed)
        self.specialists = preset.specialists(seed)

    # -- models ----------------------------------------------------------------------------------------

    def soup(self, runs: Sequence[Run], weights: Sequence[float] = ()) -> Soup:
        """The soup of runs, in equal shares unless told otherwise; it is cooked by the engine, as any soup."""
        return Soup(self.recipe(runs, weights))

    def recipe(self, runs: Sequence[Run], weights: Sequence[float] = ()) -> Recipe:
        """Its recipe, with the hashes of the files; the runs are trained if they were not yet."""
        for run in (self.base, *runs):
            self._train(run)
        recipe = Recipe(tuple(Ingredient(run.file, weight=weight) for run, weight in
                              zip(runs, weights or [1.0] * len(runs))), base=ModelFile(self.base.file))
        return resolve(recipe, self.models, self.progress)

    @property
    def training_seconds(self) -> dict[str, float]:
        """How long the training of each file took that was used so far, whenever that was."""
        return {file: facts(self.folder / file)["seconds"] for file in sorted(self._used)}

    def _train(self, run: Run) -> None:
        trained(run, self.folder, self.preset.device, self.progress)
        each: Run | None = run
        while each is not None:
            self._used.add(each.file)
            each = each.start

    def tensors(self, recipe: Recipe) -> dict[str, Tensor]:
        """What the engine makes of a recipe, by key."""
        return dict(cook(recipe, self.models, dtype="float32").items())

    def denoisers(self, model: Model) -> list[Denoiser]:
        """The networks of a model, ready to be asked; several for an ensemble."""
        if isinstance(model, Ensemble):
            return [each for run in model.runs for each in self.denoisers(run)]
        recipe = model.recipe if isinstance(model, Soup) else self.recipe([model])
        return [Denoiser(self.preset.model, device=self.preset.device).load(self.tensors(recipe)).eval()]

    # -- measurements ----------------------------------------------------------------------------------

    def losses(self, model: Model, shards: Sequence[Shard] = DOMAINS) -> list[float]:
        """The mean squared error of the velocity on test pictures of each shard, the same pictures, noise and times for
        every model."""
        def measured() -> list[float]:
            denoisers = self.denoisers(model)
            return [float(self._errors(denoisers, shard).square().mean()) for shard in shards]

        found: list[float] = self._kept(["losses", _key(model), [asdict(shard) for shard in shards]], measured)
        return found

    def scores(self, model: Model, shards: Sequence[Shard] = DOMAINS, split: str = "test", pictures: int = 0) -> Scores:
        """Of pictures made for scenes of these shards."""
        count = pictures or self.preset.pictures

        def measured() -> dict[str, Any]:
            scenes = Scenes.joined([shard.scenes(range(count), split, _VALIDATION) for shard in shards])
            made = generate(self.denoisers(model), scenes, self.preset.sampling, self.preset.guidance, self.seed,
                            self.progress)
            verdict, preferred = self.judge.verdict(made, scenes), self.judge.preference(made, scenes)
            faithful = verdict.faithfulness
            return asdict(Scores(
                float(faithful.mean()), float(preferred.mean()), verdict.by_kind,
                fid(self.judge.features(made), _features(self, tuple(shards))),
                {shard.name: [float(faithful[at * count:(at + 1) * count].mean()),
                              float(preferred[at * count:(at + 1) * count].mean())]
                 for at, shard in enumerate(shards)}))

        return Scores(**self._kept(["scores", _key(model), [asdict(shard) for shard in shards], split, count],
                                   measured))

    def pictures(self, model: Model, scenes: Scenes) -> Tensor:
        """Pictures of these scenes, not kept."""
        return generate(self.denoisers(model), scenes, self.preset.sampling, self.preset.guidance, self.seed,
                        self.progress)

    def apart(self, one: Model, other: Model, shard: Shard = WORLD) -> float:
        """Root mean square of the difference of two models' predictions for the same noisy test pictures."""
        def measured() -> float:
            first, second = (self._errors(self.denoisers(each), shard) for each in (one, other))
            return float((first - second).square().mean().sqrt())

        return float(self._kept(["apart", _key(one), _key(other), asdict(shard)], measured))

    @torch.no_grad()
    def _errors(self, denoisers: Sequence[Denoiser], shard: Shard) -> Tensor:
        check(self.progress)
        first, scheduler = denoisers[0], schedule()
        scenes = shard.scenes(range(self.preset.losses), "test")
        batch = noised(draw(scenes, self.preset.model.size), first.tell(scenes), scheduler,
                       torch.Generator().manual_seed(0), first.device)
        found = [mean_velocity(denoisers, noisy, times, each) - wanted for noisy, times, wanted, each in batch.pieces()]
        return torch.cat(found).cpu()

    def _kept(self, what: list[Any], measure: Callable[[], Any]) -> Any:
        """A measurement as it was kept, or made now and kept."""
        text = json.dumps([_VERSION, self.preset.hash, self.seed, what], sort_keys=True)
        path = self.folder / "measured" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = measure()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as part:
                part.write_text(json.dumps(found), encoding="utf-8")
        except OSError as error:
            raise FileError(f"{path} could not be written: {error.strerror}. Choose another folder for the lab.") \
                from None
        return found


_VERSION = 1
#: The seed of the test scenes; selection looks at scenes of the training split with another one.
_VALIDATION = 7


@lru_cache(maxsize=8)
def _features(bench: Bench, shards: tuple[Shard, ...]) -> Tensor:
    """Features of drawn test pictures of these shards, what FID compares with."""
    count = bench.preset.reference // len(shards)
    scenes = Scenes.joined([shard.scenes(range(count), "test", _VALIDATION + 1) for shard in shards])
    return bench.judge.features(draw(scenes, bench.preset.model.size))


def _key(model: Model) -> list[str]:
    if isinstance(model, Run):
        return [model.hash]
    return ["soup", model.recipe.hash] if isinstance(model, Soup) else ["ensemble", *(run.hash for run in model.runs)]
