"""``diffusion-soup dmm encode | train``: from a configuration to a student that the hosts open."""

from __future__ import annotations

import argparse
import copy
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from .cook import cook
from .dmm.configuration import Configuration, read_configuration
from .dmm.data import Captioned, Encoded, PipelineEncoder, encode, in_folder, in_shards
from .dmm.discriminator import Discriminator
from .dmm.network import StudentUNet
from .dmm.noise import Schedule
from .dmm.processes import Processes
from .dmm.teachers import Resident, Streamed, Teachers
from .dmm.train import Training, mean_losses
from .dmm.unets import Opened, require_one_family, save_student, unet_of
from .errors import Cancelled, FileError, SoupError
from .folders import ModelFolders
from .hashes import HashCache, default_cache_file
from .planner import prepare
from .progress import Progress
from .recipe import Ingredient, Recipe
from .studio import Studio


def add_arguments(encoding: argparse.ArgumentParser, training: argparse.ArgumentParser) -> None:
    """The arguments of both commands."""
    for command in (encoding, training):
        command.add_argument("configuration", type=Path, metavar="CONFIG.toml")
    training.add_argument("--overwrite", action="store_true", help="replace the student's file if it exists")
    training.add_argument("--plan", action="store_true", help="say what it will take, and stop")


def run_encode(options: argparse.Namespace, bar: Callable[..., Any]) -> None:
    """Encode the pictures of a configuration. Raises :class:`SoupError`."""
    configuration = read_configuration(options.configuration)
    with bar(quiet=False) as progress:
        models = _models(configuration)
        studio = Studio(configuration.pipeline, models, device=configuration.device, progress=progress)
        pipeline = studio.loaded(Recipe((Ingredient(configuration.base.file),)))
        encoder = PipelineEncoder(pipeline, models.hashes.sha256(models.find(configuration.base)), configuration.size)
        encoded = encode(_source(configuration), encoder, configuration.cache, configuration.size, progress)
    print(f"{configuration.cache}: {len(encoded)} pictures encoded", end="")
    skipped = encoded.skipped
    print(f", {len(skipped)} left out ({configuration.cache / 'skipped.txt'}):" if skipped else "")
    for line in itertools.islice(skipped, 5):
        print(f"  {line}")


def run_train(options: argparse.Namespace, bar: Callable[..., Any]) -> None:
    """Train a student, from the newest state there is, and write its file. Raises :class:`SoupError`."""
    configuration = read_configuration(options.configuration)
    if configuration.student.exists() and not options.overwrite:
        raise FileError(f"{configuration.student} exists already and was left as it is; choose another name or give "
                        "--overwrite.")
    processes = Processes.from_environment()
    device = _device(configuration, processes)
    with bar(quiet=not processes.first) as progress:
        data = Encoded(configuration.cache, configuration.course.seed)
        models = _models(configuration)
        opened = [_opened(teacher.recipe(configuration.base), teacher.name, models, progress)
                  for teacher in configuration.teachers]
        start = _opened(configuration.start, "the student", models, progress)
        require_one_family([start, *opened])
        plan = _Plan.of(configuration, start.unet, processes)
        if processes.first:
            print(plan, file=sys.stderr)
        if options.plan:
            return
        plan.check(device)
        training = _training(configuration, start, opened, data, device, processes)
        try:
            training.go(progress)
        except (KeyboardInterrupt, Cancelled):
            training.keep()
            print(f"stopped at step {training.step}; the same command goes on there", file=sys.stderr)
            raise SystemExit(130) from None
        if processes.first:
            with training.averaged() as student:
                save_student(student, configuration.names, start.family, configuration.student,
                             base=models.find(configuration.base), overwrite=options.overwrite, progress=progress)
    if processes.first:
        last = mean_losses(training.losses[-100:])
        print(f"{configuration.student}: a student of {len(configuration.names)} styles "
              f"({', '.join(configuration.names)}), {training.step} steps in {training.seconds:.0f} s, score "
              f"{last.score:.4g}")


def _training(configuration: Configuration, start: Opened, opened: list[Opened], data: Encoded, device: torch.device,
              processes: Processes) -> Training:
    schedule, course = Schedule.stable_diffusion(), configuration.course
    discriminator = None
    if course.adversarial:
        base = opened[0].unet  # of the same family; only its middle is looked at
        discriminator = Discriminator(copy.deepcopy(base).to(device), len(opened), schedule, seed=course.seed)
        discriminator.to(device)
    student = StudentUNet(start.unet, len(opened), seed=course.seed).to(device)
    student.unet.enable_gradient_checkpointing()
    return Training(student, _teachers(configuration, opened, schedule, device, processes), schedule, data, course,
                    configuration.folder, prediction=start.prediction, discriminator=discriminator,
                    processes=processes)


def _teachers(configuration: Configuration, opened: list[Opened], schedule: Schedule, device: torch.device,
              processes: Processes) -> Teachers:
    predictions = [each.prediction for each in opened]
    dtype = torch.bfloat16 if configuration.course.precision == "bfloat16" else torch.float32
    if configuration.layout == "streamed":
        pinned = device.type == "cuda"
        states = {name: {key: weight.to(dtype).pin_memory() if pinned else weight.to(dtype)
                         for key, weight in each.unet.state_dict().items()}
                  for name, each in zip(configuration.names, opened)}
        return Streamed(copy.deepcopy(opened[0].unet).to(device, dtype), states, schedule, predictions)
    own = processes.teachers(len(opened))  # the others are answered for by other processes, and stay where they are
    unets = {name: each.unet.to(device, dtype) if at in own else each.unet
             for at, (name, each) in enumerate(zip(configuration.names, opened))}
    return Resident(unets, schedule, predictions)


class _Plan:
    """What a training takes of memory on a device, in bytes, and what to lower where that is too much."""

    def __init__(self, weights: int, teachers: int, average: bool, adversarial: bool, teacher_bytes: int, text: str
                 ) -> None:
        self.student = weights * 4 * (4 + average)  # weight, gradient, two moments of Adam, EMA
        self.teachers = weights * teacher_bytes * teachers
        self.discriminator = weights * 4 * adversarial
        self.text = text

    @staticmethod
    def of(configuration: Configuration, unet: Any, processes: Processes) -> _Plan:
        weights = sum(each.numel() for each in unet.parameters())
        course = configuration.course
        here = 2 if configuration.layout == "streamed" else len(processes.teachers(len(configuration.teachers)))
        return _Plan(weights, here, bool(course.average), bool(course.adversarial),
                     2 if course.precision == "bfloat16" else 4,
                     f"{course.batch // processes.count} pictures a step for each of {processes.count} processes, "
                     f"{course.steps} steps")

    @property
    def total(self) -> int:
        return self.student + self.teachers + self.discriminator

    def check(self, device: torch.device) -> None:
        """Raise :class:`SoupError` where this cannot fit, before anything is moved."""
        if device.type == "cuda":
            free = torch.cuda.mem_get_info(device)[0]
            if self.total > free:
                raise SoupError(f"{self} The device has {free / 1e9:.1f} GB free. Lower it: layout = \"streamed\", "
                                "precision = \"bfloat16\", average = 0, adversarial = 0.")

    def __str__(self) -> str:
        return (f"The weights take {self.total / 1e9:.1f} GB: student {self.student / 1e9:.1f}, teachers "
                f"{self.teachers / 1e9:.1f}, discriminator {self.discriminator / 1e9:.1f}; {self.text}.")


def _opened(recipe: Recipe, name: str, models: ModelFolders, progress: Progress) -> Opened:
    """The UNet of a recipe, as a module."""
    plan = prepare(recipe, models, progress)
    architecture = plan.architecture
    plan.close()
    return unet_of(cook(recipe, models, dtype="float32", progress=progress), architecture, name)


def _models(configuration: Configuration) -> ModelFolders:
    return ModelFolders.below(configuration.models, HashCache(default_cache_file()))


def _source(configuration: Configuration) -> Iterator[Captioned]:
    return in_folder(configuration.pictures) if configuration.pictures else in_shards(configuration.shards)


def _device(configuration: Configuration, processes: Processes) -> torch.device:
    if configuration.device == "cpu":
        return torch.device("cpu")
    if configuration.device != "cuda" or not torch.cuda.is_available():
        raise SoupError(f"device is {configuration.device!r}, which this machine does not have; expected cpu" +
                        (" or cuda." if torch.cuda.is_available() else "."))
    at = int(os.environ.get("LOCAL_RANK", processes.rank % max(1, torch.cuda.device_count())))
    torch.cuda.set_device(at)
    return torch.device("cuda", at)
