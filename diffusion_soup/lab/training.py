"""Training in the lab: a run is a configuration, its result a file named by the configuration's hash.

A run that was cut goes on where it last was kept, with the same losses as one that was not: its pictures, noise and
dropped facts are drawn by step, not by what was drawn before.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import Cancelled, FileError
from ..files import replacing
from ..progress import Progress, Silent, check
from .denoiser import Denoiser, DenoiserConfig, Told, schedule
from .draws import key_of
from .render import draw, fingerprint
from .shards import WORLD, Shard
from .train_judge import disturbed
from .world import Scenes, WorldError

_VERSION = 1
_KEEP_SECONDS = 30.0
_WARM, _MEAN_OF = 50, 20
#: How often a caption is not told at all, for guidance (Ho and Salimans 2022, 2207.12598), and, in rough data, a fact.
_UNTOLD, _FORGOTTEN = 0.1, 0.15


@dataclass(frozen=True)
class Run:
    """One training. Equal runs are the same weights (on equal machines and threads, to the bit).

    ``shards`` are drawn from in turn; of each only the first ``pictures`` scenes, over and over, unless that is 0.
    ``start`` is the run whose weights it starts from; without one it starts from a network of its own, made from
    ``seed``. ``rough`` is data as the web has it: disturbed pictures, captions with facts left out. The learning rate
    warms up over 50 steps and falls linearly to 0, or stays if ``constant``; then runs that differ in ``steps`` alone
    are one run, looked at several times.
    """

    name: str
    shards: tuple[Shard, ...] = (WORLD,)
    steps: int = 1000
    batch: int = 64
    rate: float = 2e-3
    seed: int = 0
    start: Run | None = None
    pictures: int = 0
    rough: bool = False
    constant: bool = False
    model: DenoiserConfig = field(default_factory=DenoiserConfig)

    def __post_init__(self) -> None:
        if min(self.steps, self.batch) < 1 or self.pictures < 0 or not self.shards or not self.rate > 0:
            raise WorldError(f"Run {self.name!r} needs shards, at least one step and one picture a step, and a "
                             "learning rate above 0.")

    @property
    def hash(self) -> str:
        """Names the result; the run's own name is no part of it."""
        text = json.dumps([_VERSION, fingerprint(), self._told()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def file(self) -> str:
        return f"model-{self.hash[:16]}.safetensors"

    def scenes(self, step: int) -> Scenes:
        """The scenes of one step, (batch,): the shards by turns, each at its own next indices."""
        first = step * self.batch
        parts = []
        for at, shard in enumerate(self.shards):
            count = len(self.shards)
            indices = torch.arange(first + (at - first) % count, first + self.batch, count) // count
            parts.append(shard.scenes((indices % self.pictures if self.pictures else indices).numpy(),
                                      seed=self.seed if not self.pictures else 0))
        return Scenes.joined([part for part in parts if len(part)])

    def training_set(self) -> Scenes:
        """The pictures of a run that has only few. Raises :class:`WorldError` for one without end."""
        if not self.pictures:
            raise WorldError(f"Run {self.name!r} sees no picture twice; its training set has no end.")
        return Scenes.joined([shard.scenes(range(self.pictures)) for shard in self.shards])

    def _told(self) -> dict[str, Any]:
        told = asdict(replace(self, start=None, name=""))
        told["start"] = self.start._told() if self.start else None
        told["shards"] = [asdict(shard) for shard in self.shards]
        return told

    def _at(self, step: int) -> float:
        """The learning rate of a step."""
        fall = 1.0 if self.constant else 1 - step / self.steps
        return self.rate * min(1.0, (step + 1) / _WARM) * fall


@dataclass(frozen=True, eq=False)
class Batch:
    """One step's work: noisy pictures (B, 3, S, S) at ``times`` (B,), the velocities wanted, and what is told."""

    noisy: Tensor
    times: Tensor
    wanted: Tensor
    told: Told

    def pieces(self, size: int = 128) -> Iterator[tuple[Tensor, Tensor, Tensor, Told]]:
        """The same in parts of at most ``size`` pictures."""
        for at in range(0, len(self.times), size):
            part = slice(at, at + size)
            yield (self.noisy[part], self.times[part], self.wanted[part],
                   Told(self.told.tokens[part], self.told.pooled[part]))


def batch_of(run: Run, step: int, denoiser: Denoiser, scheduler: Any) -> Batch:
    """What step ``step`` of a run learns from, always the same."""
    generator = torch.Generator().manual_seed(key_of(f"{run.seed} {step}"))
    scenes = run.scenes(step)
    pictures = draw(scenes, run.model.size)
    known = torch.rand(scenes.facts.shape, generator=generator) >= (_FORGOTTEN if run.rough else 0.0)
    known &= torch.rand(len(scenes), 1, generator=generator) >= _UNTOLD
    if run.rough:
        pictures = disturbed(pictures, generator)
    return noised(pictures, denoiser.tell(scenes, known), scheduler, generator, denoiser.device)


def noised(pictures: Tensor, told: Told, scheduler: Any, generator: torch.Generator, device: torch.device) -> Batch:
    """Pictures with noise of any strength, all time steps equally likely."""
    noise = torch.randn(pictures.shape, generator=generator)
    times = torch.randint(0, scheduler.config.num_train_timesteps, (len(pictures),), generator=generator)
    noisy, wanted = scheduler.add_noise(pictures, noise, times), scheduler.get_velocity(pictures, noise, times)
    return Batch(noisy.to(device), times.to(device), wanted.to(device), told)


def trained(run: Run, folder: Path, device: str = "cpu", progress: Progress | None = None) -> Path:
    """The file with the weights of a run: as it is in ``folder``, or trained now, with what it starts from.

    Raises :class:`FileError` if the folder cannot be written to, and :class:`Cancelled`; then the run goes on from
    there the next time.
    """
    path = folder / run.file
    if _whole(path):
        return path
    progress = progress or Silent()
    started = read_tensors(trained(run.start, folder, device, progress)) if run.start else None
    training = _Training(run, folder, device, started)
    training.go(progress)
    _write(path, training.denoiser.tensors(), {
        "modelspec.prediction_type": "v", "lab": json.dumps(
            {"name": run.name, "losses": [round(each, 5) for each in training.losses],
             "seconds": round(training.seconds, 1)})})
    training.kept.unlink(missing_ok=True)
    return path


def facts(path: Path) -> dict[str, Any]:
    """What is noted in the file of a run: its ``name``, its ``losses`` (means of 20 steps each), its ``seconds``."""
    with safe_open(str(path), framework="pt") as file:
        found: dict[str, Any] = json.loads(file.metadata()["lab"])
    return found


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The weights in a file."""
    with safe_open(str(path), framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


class _Training:
    """A run under way: the network, its optimiser, the step it is at."""

    def __init__(self, run: Run, folder: Path, device: str, started: dict[str, Tensor] | None) -> None:
        self.run, self.kept = run, folder / f".training-{run.hash[:16]}.safetensors"
        self.denoiser = Denoiser(run.model, run.seed, device)
        if started is not None:
            self.denoiser.load(started)
        self.optimiser = torch.optim.AdamW(self.denoiser.network.parameters(), lr=run.rate, betas=(0.9, 0.99),
                                           weight_decay=0.01)
        self.step, self.seconds = 0, 0.0
        self.losses: list[float] = []
        self._sum: list[float] = []
        if self.kept.exists():
            self._resume()

    def go(self, progress: Progress) -> None:
        run, scheduler = self.run, schedule()
        self.denoiser.network.train()
        kept, begun = time.monotonic(), time.monotonic() - self.seconds
        try:
            while self.step < run.steps:
                check(progress)
                self._learn(batch_of(run, self.step, self.denoiser, scheduler))
                self.step += 1
                self.seconds = time.monotonic() - begun
                progress.step(self.step, run.steps, f"steps of {run.name}, loss {self._sum[-1]:.3f}")
                if len(self._sum) == _MEAN_OF or self.step == run.steps:
                    self.losses.append(sum(self._sum) / len(self._sum))
                    self._sum = []
                if time.monotonic() - kept > _KEEP_SECONDS:
                    self._keep()
                    kept = time.monotonic()
        except Cancelled:
            self._keep()
            raise
        self.denoiser.network.eval()

    def _learn(self, batch: Batch) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.run._at(self.step)
        loss = (self.denoiser.velocity(batch.noisy, batch.times, batch.told) - batch.wanted).square().mean()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.denoiser.network.parameters(), 1.0)
        self.optimiser.step()
        self._sum.append(loss.item())
        if not self._sum[-1] < float("inf"):
            raise WorldError(f"The loss of {self.run.name!r} is no number any more at step {self.step}; train it with "
                             f"a smaller learning rate than {self.run.rate:g}.")

    def _keep(self) -> None:
        """Write where it is, at once or not at all."""
        tensors = {f"network.{name}": each for name, each in self.denoiser.tensors().items()}
        for at, state in enumerate(self.optimiser.state.values()):
            tensors |= {f"optimiser.{at}.{name}": each.detach().to("cpu", copy=True) for name, each in state.items()}
        _write(self.kept, tensors, {"lab": json.dumps(
            {"step": self.step, "losses": self.losses, "sum": self._sum, "seconds": self.seconds})})

    def _resume(self) -> None:
        """Go on where the file says; a file that is damaged is passed over."""
        try:
            tensors, noted = read_tensors(self.kept), facts(self.kept)
            states: dict[int, dict[str, Tensor]] = {}
            for name, each in tensors.items():
                if name.startswith("optimiser."):
                    _, at, what = name.split(".")
                    states.setdefault(int(at), {})[what] = each
            groups = self.optimiser.state_dict()["param_groups"]
            self.optimiser.load_state_dict({"state": states, "param_groups": groups})
            self.denoiser.load({name.removeprefix("network."): each for name, each in tensors.items()
                                if name.startswith("network.")})
            self.step, self.seconds = noted["step"], noted["seconds"]
            self.losses, self._sum = noted["losses"], noted["sum"]
        except (OSError, SafetensorError, KeyError, ValueError):
            return


def _whole(path: Path) -> bool:
    try:
        facts(path)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return False
    return True


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(save(tensors, metadata))
    except OSError as error:
        raise FileError(f"{path} could not be written: {error.strerror}. Choose another folder for the lab.") from None
