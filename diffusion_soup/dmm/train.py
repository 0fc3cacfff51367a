"""The training of a student: scores, features and a multi-class GAN (DMM, 2504.12364, Algorithm 1).

Everything random is drawn by the number of the step and for the batch of all processes together. So a training that
was killed goes on with the same losses, and one process and two give the same ones: each takes the rows of its own
teachers.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..errors import Cancelled, FileError, RecipeError, SoupError
from ..files import replacing
from ..progress import Progress, Silent, check
from .course import Course, told
from .discriminator import Discriminator, renoising_times
from .losses import discriminator_loss, feature_loss, generator_loss, score_loss
from .network import StudentUNet, Text, tapped
from .noise import Schedule
from .processes import Processes
from .teachers import Teachers

_KEPT = 2
_KEEP_SECONDS = 600.0
_PATIENCE = 5


class Data(Protocol):
    """Where pictures come from. Both methods give the same for the same arguments, whatever was asked before."""

    def batch(self, step: int, count: int) -> tuple[Tensor, Text]:
        """Latents x_0 (count, C, H, W) and what is told of them, on the CPU."""
        ...

    def nothing(self, count: int) -> Text:
        """The empty prompt, ``count`` times."""
        ...


@dataclass(frozen=True, eq=False)
class Rows:
    """One step's pictures: noisy at ``times``, each with a prompt, and the style it is for."""

    noisy: Tensor
    times: Tensor
    text: Text
    styles: Tensor

    def __len__(self) -> int:
        return len(self.times)

    def pick(self, which: Tensor) -> Rows:
        return Rows(self.noisy[which], self.times[which], self.text.pick(which), self.styles[which])

    def to(self, device: torch.device) -> Rows:
        return Rows(self.noisy.to(device), self.times.to(device), self.text.to(device), self.styles.to(device))


@dataclass(frozen=True)
class Losses:
    """Of one step, means over all processes; ``discriminator`` and ``adversarial`` are 0 without a discriminator."""

    score: float
    feature: float = 0.0
    adversarial: float = 0.0
    discriminator: float = 0.0


@dataclass(frozen=True, eq=False)
class Objective:
    """Of one step: the ``loss`` of the student, its parts, and what gives the discriminator's once the student has
    learnt."""

    loss: Tensor
    score: Tensor
    feature: Tensor
    adversarial: Tensor
    judge: Callable[[], Tensor] | None = None


def rows_of(step: int, course: Course, data: Data, styles: int, schedule: Schedule, grid: int = 0) -> Rows:
    """The pictures of a step, all processes' together, on the CPU; their times anywhere, or on a grid of so many."""
    generator = torch.Generator().manual_seed((course.seed << 32) + step)
    times_over = styles if course.shared else 1
    if course.batch % times_over:
        raise RecipeError(f"batch is {course.batch}; where all {styles} teachers share the pictures of a step it is a "
                          f"multiple of {styles}.")
    count = course.batch // times_over
    clean, text = data.batch(step, count)
    untold = torch.rand(count, generator=generator) < course.untold
    stride = len(schedule) // grid if grid else 1
    times = (torch.randint(0, len(schedule) // stride, (count,), generator=generator) + 1) * stride - 1
    noise = torch.randn(clean.shape, generator=generator)
    text = _where(untold, data.nothing(count), text)
    noisy = schedule.noised(clean, noise, times)
    if course.shared:
        which = torch.arange(count).repeat_interleave(styles)
        return Rows(noisy[which], times[which], text.pick(which), torch.arange(styles).repeat(count))
    # As even as it can be: every teacher has batch / N pictures, and which ones is random.
    order = torch.randperm(count, generator=generator)
    first = int(torch.randint(styles, (), generator=generator))
    return Rows(noisy, times, text, (order + first) % styles)


class Training:
    """A student under way. ``prediction`` is what the student's UNet predicts; ``folder`` keeps its states."""

    #: On how many times pictures are shown; 0 for all.
    grid = 0

    def __init__(self, student: StudentUNet, teachers: Teachers, schedule: Schedule, data: Data, course: Course,
                 folder: Path, *, prediction: str = "epsilon", discriminator: Discriminator | None = None,
                 processes: Processes | None = None, optimiser: Callable[..., Any] = torch.optim.AdamW) -> None:
        if len(student.codes) != len(teachers.names):
            raise RecipeError(f"The student has {len(student.codes)} styles for {len(teachers.names)} teachers; it "
                              "needs one for each.")
        processes = processes or Processes()
        if course.batch // len(teachers.names) < -(-processes.count // len(teachers.names)):
            raise RecipeError(f"batch is {course.batch}, too few for {processes.count} processes and "
                              f"{len(teachers.names)} teachers: each process needs a picture in every step.")
        if bool(course.adversarial) != (discriminator is not None):
            raise RecipeError("adversarial is above 0, so the training needs a discriminator." if course.adversarial
                              else "adversarial is 0, so the training needs no discriminator.")
        self.student, self.teachers, self.schedule, self.data = student, teachers, schedule, data
        self.course, self.folder, self.prediction = course, folder, prediction
        self.discriminator, self.processes = discriminator, processes
        self.device = next(student.parameters()).device
        self.step, self.seconds, self.spoilt = 0, 0.0, 0
        self.losses: list[Losses] = []
        self._trained = {name: weight for name, weight in student.named_parameters() if weight.requires_grad}
        self._optimisers = [optimiser(self._trained.values(), lr=course.rate, betas=course.betas,
                                      weight_decay=course.decay)]
        if discriminator is not None:
            self._optimisers.append(optimiser(discriminator.parameters(), lr=course.discriminator_rate,
                                              betas=course.betas, weight_decay=course.decay))
        self.average = {name: weight.detach().clone() for name, weight in self._trained.items()} if course.average \
            else None

    # -- running --------------------------------------------------------------------------------

    def go(self, progress: Progress | None = None, keep_seconds: float = _KEEP_SECONDS) -> None:
        """Train to the end of the course, from the newest state in the folder.

        States are kept every ``keep_seconds``, at the end and when it is cancelled; the last two are there. Raises
        :class:`Cancelled`, :class:`FileError`, :class:`RecipeError` for a state of another course, and
        :class:`SoupError` when the losses are no numbers any more however often the last good state is brought back.
        """
        progress = progress or Silent()
        self.resume()
        if not self._states():
            self.keep()
        kept, begun, failures = time.monotonic(), time.monotonic() - self.seconds, 0
        while self.step < self.course.steps:
            try:
                check(progress)
            except Cancelled:
                self.keep()
                raise
            losses = self.learn()
            if losses is None:
                failures += 1
                if failures == _PATIENCE:
                    raise SoupError(f"The losses are no numbers any more at step {self.step}, although the last good "
                                    f"state was brought back {failures} times. Train with a smaller rate than "
                                    f"{self.course.rate:g}, or in float32.")
                spoilt = self.spoilt + 1
                self.resume()
                self.spoilt = spoilt
                continue
            failures = 0
            self.step += 1
            self.losses.append(losses)
            self.seconds = time.monotonic() - begun
            progress.step(self.step, self.course.steps, f"steps, score {losses.score:.4g}")
            if time.monotonic() - kept > keep_seconds:
                self.keep()
                kept = time.monotonic()
        self.keep()

    def learn(self) -> Losses | None:
        """One step of student and discriminator. None where a gradient is no number: then :meth:`go` brings the last
        good state back, from which other pictures are drawn."""
        course, ours = self.course, self.processes
        draw = self.step + self.spoilt * course.steps
        whole = rows_of(draw, course, self.data, len(self.teachers.names), self.schedule, self.grid)
        mine = ours.rows(whole.styles, len(self.teachers.names))
        share = len(mine) / len(whole)
        rows = whole.pick(mine).to(self.device)
        for group in (group for each in self._optimisers for group in each.param_groups):
            group.setdefault("initial_lr", group["lr"])
            group["lr"] = group["initial_lr"] * course.at(self.step)

        found = self._objective(draw, whole, mine, rows)
        if not self._descend(0, found.loss * share, self._trained.values()):
            return None
        judged = found.loss.new_zeros(())
        if self.discriminator is not None and found.judge is not None:
            judged = found.judge()
            if not self._descend(1, judged * share, list(self.discriminator.parameters())):
                return None
        self._remember()
        parts = torch.stack([found.score, found.feature, found.adversarial, judged]).detach()
        return Losses(*ours.sum(parts * share).tolist())

    def _objective(self, draw: int, whole: Rows, mine: Tensor, rows: Rows) -> Objective:
        """What the student is to lower on ``rows``, which are ``whole.pick(mine)`` on the device."""
        course = self.course
        seen = self.teachers.see(rows.noisy, rows.times, rows.text, rows.styles, features=bool(course.feature))
        with self._precision(), tapped(self.student.unet, None if course.feature else ()) as features:
            output = self.student(rows.noisy, rows.times, rows.text, rows.styles)
        epsilon = self.schedule.epsilon(output.float(), rows.noisy, rows.times, self.prediction)
        weights = self.schedule.min_snr(rows.times, course.min_snr) if course.min_snr else None
        loss = score = score_loss(epsilon, seen.epsilon, weights)
        feature = adversarial = score.new_zeros(())
        if course.feature:
            feature = feature_loss(features, seen.features)
            loss = loss + course.feature * feature
        discriminator = self.discriminator
        if discriminator is None:
            return Objective(loss, score, feature, adversarial)
        fakes, reals = (_clean(self.schedule, each, rows) for each in (epsilon, seen.epsilon))
        noise, times = self._looking_again(draw, whole, mine)
        adversarial = generator_loss(discriminator(fakes, noise, times, rows.text), rows.styles)

        def judge() -> Tensor:
            return discriminator_loss(discriminator(fakes.detach(), noise, times, rows.text),
                                      discriminator(reals, noise, times, rows.text), rows.styles)

        return Objective(loss + course.adversarial * adversarial, score, feature, adversarial, judge)

    def _descend(self, which: int, loss: Tensor, weights: Any) -> bool:
        """One step of an optimiser, with the gradients of all processes; False, and none, where one is no number."""
        optimiser, weights = self._optimisers[which], list(weights)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.processes.add_up([weight.grad for weight in weights if weight.grad is not None])
        norm = nn.utils.clip_grad_norm_(weights, self.course.clip or math.inf)
        if not bool(torch.isfinite(norm)):
            optimiser.zero_grad()
            return False
        optimiser.step()
        return True

    def _looking_again(self, draw: int, whole: Rows, mine: Tensor) -> tuple[Tensor, Tensor]:
        """Noise and times for the discriminator, the same for student and teacher."""
        generator = torch.Generator().manual_seed((self.course.seed << 32) + 2**31 + draw)
        times = renoising_times(len(whole), self.schedule, generator)
        noise = torch.randn(whole.noisy.shape, generator=generator)
        return noise[mine].to(self.device), times[mine].to(self.device)

    @contextmanager
    def _precision(self) -> Iterator[None]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.course.precision == "bfloat16"):
            yield

    @torch.no_grad()
    def _remember(self) -> None:
        if self.average is not None:
            decay = min(self.course.average, (self.step + 1) / (self.step + 10))
            for name, weight in self._trained.items():
                self.average[name].lerp_(weight, 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[StudentUNet]:
        """Within, the student has the average of its weights (EMA), where there is one."""
        if self.average is None:
            yield self.student
            return
        now = {name: weight.detach().clone() for name, weight in self._trained.items()}
        self._put(self.average)
        try:
            yield self.student
        finally:
            self._put(now)

    @torch.no_grad()
    def _put(self, tensors: dict[str, Tensor]) -> None:
        for name, weight in self._trained.items():
            weight.copy_(tensors[name])

    # -- states ---------------------------------------------------------------------------------

    def keep(self) -> None:
        """Write the state, at once or not at all, and remove all but the last two. Only the first process writes."""
        if not self.processes.first:
            return
        tensors: dict[str, Tensor] = {f"student.{name}": weight for name, weight in self._trained.items()}
        if self.average is not None:
            tensors |= {f"average.{name}": weight for name, weight in self.average.items()}
        if self.discriminator is not None:
            tensors |= {f"discriminator.{name}": each for name, each in self.discriminator.state_dict().items()}
        for which, optimiser in enumerate(self._optimisers):
            for at, state in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{which}.{at}.{name}": each for name, each in state.items()}
        noted = {"step": self.step, "seconds": self.seconds, "spoilt": self.spoilt, "course": told(self.course),
                 "teachers": list(self.teachers.names)}
        tensors["losses"] = torch.tensor([list(vars(each).values()) for each in self.losses]).reshape(-1, 4)
        path = self.folder / f"state-{self.step:09d}.safetensors"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as part:
                part.write_bytes(save({name: each.detach().cpu().contiguous() for name, each in tensors.items()},
                                      {"dmm_training": json.dumps(noted)}))
        except OSError as error:
            raise FileError(f"{path} could not be written: {error.strerror}. The states before it are whole; make "
                            "room, or choose another folder, and start again: it goes on from there.") from None
        for old in self._states()[:-_KEPT]:
            old.unlink(missing_ok=True)

    def resume(self) -> bool:
        """Go on from the newest state that is whole; False where there is none.

        Raises :class:`RecipeError` where it is of another course or of other teachers, with what differs.
        """
        for path in reversed(self._states()):
            try:
                with safe_open(str(path), framework="pt") as file:
                    noted = json.loads(file.metadata()["dmm_training"])
                    tensors = {name: file.get_tensor(name) for name in file.keys()}
            except (OSError, SafetensorError, KeyError, TypeError, ValueError):
                continue
            differs = self.course.differences(noted["course"])
            if noted["teachers"] != list(self.teachers.names):
                differs.append(f"teachers ({', '.join(noted['teachers'])} before, {', '.join(self.teachers.names)} "
                               "now)")
            if differs:
                raise RecipeError(f"{self.folder} holds a training with other settings: {'; '.join(differs)}. Bring "
                                  "them back, or choose another folder.")
            self._load(tensors)
            self.step, self.seconds, self.spoilt = noted["step"], noted["seconds"], noted["spoilt"]
            self.losses = [Losses(*each) for each in tensors["losses"].tolist()]
            return True
        return False

    def _load(self, tensors: dict[str, Tensor]) -> None:
        def part(name: str) -> dict[str, Tensor]:
            return {key.removeprefix(name): each for key, each in tensors.items() if key.startswith(name)}

        self._put({name: each.to(self.device) for name, each in part("student.").items()})
        if self.average is not None:
            self.average = {name: each.to(self.device) for name, each in part("average.").items()}
        if self.discriminator is not None:
            self.discriminator.load_state_dict(part("discriminator."))
        for which, optimiser in enumerate(self._optimisers):
            states: dict[int, dict[str, Tensor]] = {}
            for key, each in part(f"optimiser.{which}.").items():
                at, _, name = key.partition(".")
                states.setdefault(int(at), {})[name] = each
            optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})

    def _states(self) -> list[Path]:
        return sorted(self.folder.glob("state-*.safetensors"))


def _clean(schedule: Schedule, epsilon: Tensor, rows: Rows) -> Tensor:
    """x̂_0 by a prediction of ε."""
    return schedule.clean(epsilon, rows.noisy, rows.times, "epsilon")


def _where(untold: Tensor, nothing: Text, text: Text) -> Text:
    """The empty prompt where a prompt is not told."""
    def chosen(empty: Tensor, full: Tensor) -> Tensor:
        return torch.where(untold.reshape(-1, *[1] * (full.dim() - 1)), empty, full)

    return replace(text, tokens=chosen(nothing.tokens, text.tokens),
                   added={name: chosen(nothing.added[name], each) for name, each in text.added.items()},
                   classes=chosen(nothing.classes, text.classes)
                   if text.classes is not None and nothing.classes is not None else None)


def mean_losses(losses: Sequence[Losses]) -> Losses:
    """The mean of several steps."""
    count = max(1, len(losses))
    return Losses(*(sum(getattr(each, name) for each in losses) / count
                    for name in ("score", "feature", "adversarial", "discriminator")))
