"""How large a study is: two presets, one for two CPU cores and one for a GPU."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace

from .denoiser import DenoiserConfig
from .shards import DOMAINS, WORLD, Shard
from .train_judge import JudgeConfig
from .training import Run

#: A drawing style and a form that met neither in the base's pictures nor in a specialist's: what mixing is asked for.
CROSSINGS = (("neon", "star"), ("ink", "ring"))


@dataclass(frozen=True)
class Preset:
    """The sizes of everything in a study of one seed.

    Steps are of ``batch`` pictures: ``base_steps`` of the base, ``steps`` of each specialist, ``few_steps`` on
    ``few`` pictures of each shard for memorisation. ``rates`` and ``looks`` are the learning rates and steps of the
    geometry. ``pictures`` are made for each shard and model, with ``sampling`` steps and ``guidance``; losses are
    means over ``losses`` pictures a shard.
    """

    name: str
    model: DenoiserConfig = field(default_factory=DenoiserConfig)
    device: str = "cpu"
    batch: int = 64
    base_steps: int = 900
    base_rate: float = 2e-3
    steps: int = 150
    rate: float = 5e-4
    few: int = 16
    few_steps: int = 150
    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2)
    looks: tuple[int, ...] = (30, 120)
    pictures: int = 96
    reference: int = 2000
    losses: int = 256
    sampling: int = 15
    guidance: float = 2.0
    judge: JudgeConfig = field(default_factory=JudgeConfig)

    @property
    def hash(self) -> str:
        """Names what is measured; the preset's own name is no part of it."""
        text = json.dumps([asdict(replace(self, name="")), self.judge.hash], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def base(self, seed: int) -> Run:
        """The base: rough data of all of the world but the crossings."""
        return Run("base", (replace(WORLD, name="base world", without=CROSSINGS),), self.base_steps, self.batch,
                   self.base_rate, seed, rough=True, model=self.model)

    def tuned(self, name: str, shards: tuple[Shard, ...], seed: int, steps: int = 0, start: Run | None = None) -> Run:
        """A fine-tuning on shards, from the base unless told otherwise."""
        return Run(name, shards, steps or self.steps, self.batch, self.rate, seed, start or self.base(seed),
                   model=self.model)

    def specialists(self, seed: int) -> tuple[Run, ...]:
        """One for each domain."""
        return tuple(self.tuned(shard.name, (shard,), seed) for shard in DOMAINS)

    def crossing(self, at: int, seed: int) -> tuple[Run, Run, Shard]:
        """The specialist of a style, that of a form, and the shard that shows both, which neither was shown."""
        style, form = CROSSINGS[at]
        apart = (CROSSINGS[at],)
        hand = Shard(f"{style} without {form}", styles=(style,), without=apart)
        body = Shard(f"{form} without {style}", shapes=(form,), without=apart)
        return (self.tuned(hand.name, (hand,), seed), self.tuned(body.name, (body,), seed),
                Shard(f"{style} {form}", shapes=(form,), styles=(style,)))


#: ``cpu``: one seed in less than 90 minutes on two cores. ``gpu``: larger pictures, in minutes on one card.
PRESETS = {each.name: each for each in (
    Preset("cpu"),
    Preset("gpu", DenoiserConfig(32, (64, 128, 192), 1, 128, 4), "cuda", batch=128, base_steps=12_000, base_rate=1e-3,
           steps=2_000, rate=3e-4, few=32, few_steps=2_000, rates=(1e-4, 3e-4, 1e-3, 3e-3), looks=(200, 800),
           pictures=256, reference=4000, losses=512, sampling=25, judge=JudgeConfig(size=32)),
)}
