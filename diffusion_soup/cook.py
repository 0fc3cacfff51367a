"""Cooking: recipe in, tensors out, reading each needed tensor once.

The recipe becomes a :class:`Plan` from headers alone; the plan's steps are carried out by
:mod:`kitchen` on the CPU or :mod:`cook_device` on an accelerator, into memory or into a file. Terms
are added in order of their sha256 and chunks are padded to whole vector registers, so the bytes that
come out depend neither on the order of ingredients nor on threads or chunk size.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from . import memory
from .cook_device import DeviceKitchen
from .errors import FileError, OutOfMemory, RecipeError, shown
from .folders import ModelFolders
from .jobs import Report, Tuning
from .kitchen import Kitchen
from .metadata import soup_metadata
from .plan import Plan, Step
from .planner import prepare
from .progress import Progress, Silent, check
from .recipe import Recipe
from .sinks import FileSink, MemorySink, Sink
from .writer import StreamingWriter


class Soup(Mapping[str, torch.Tensor]):
    """Cooked tensors by canonical key, with the plan they came from.

    ``notes`` are sentences for the user: what was left out, what is not finite.
    """

    def __init__(self, plan: Plan, tensors: dict[str, torch.Tensor], report: Report) -> None:
        self.plan, self.recipe, self.report = plan, plan.recipe, report
        self.notes = (*plan.notes, *report.notes)
        self._tensors = tensors
        self._steps = {step.key: step for step in plan.steps}

    def __getitem__(self, key: str) -> torch.Tensor:
        return self._tensors[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def has(self, step: Step) -> bool:
        """Whether this soup holds exactly what the step would cook."""
        return self._steps.get(step.key) == step


def cook(recipe: Recipe, models: ModelFolders, *, device: str | torch.device = "cpu", dtype: str | None = None,
         progress: Progress | None = None, previous: Soup | None = None, tuning: Tuning = Tuning()) -> Soup:
    """Cook a recipe into memory.

    ``dtype`` overrides the recipe's. With ``previous``, tensors whose effective weights did not change are
    taken from it (shared, not copied) and only the rest is computed. ``device`` is where the sums are taken
    and the result lies; a CUDA device that is short of memory is given up for the CPU.

    Raises a :class:`SoupError` or :class:`Cancelled`; ``previous`` is never altered.
    """
    device = usable_device(device)
    if dtype is not None:
        recipe = dataclasses.replace(recipe, dtype=dtype)
    plan = prepare(recipe, models, progress)
    try:
        kept = {step.key: previous[step.key] for step in plan.steps if previous is not None and previous.has(step)}
        todo = [step for step in plan.steps if step.key not in kept]
        nbytes = sum(step.info.nbytes for step in todo)
        require_memory(nbytes * (device.type == "cpu") + tuning.buffer_bytes)
        try:
            sink = MemorySink(todo, device)
        except torch.OutOfMemoryError:
            require_memory(nbytes + tuning.buffer_bytes)
            sink = MemorySink(todo)
        report = execute(todo, sink, device=device, progress=progress, tuning=tuning)
        if previous is not None:
            report = report.joined(previous.report, kept)
        return Soup(plan, {step.key: kept[step.key] if step.key in kept else sink.tensors[step.key]
                           for step in plan.steps}, report)
    finally:
        plan.close()


def cook_to_file(recipe: Recipe, models: ModelFolders, path: str | os.PathLike[str], *,
                 device: str | torch.device = "cpu", dtype: str | None = None, progress: Progress | None = None,
                 overwrite: bool = False, metadata: Mapping[str, str] | None = None,
                 tuning: Tuning = Tuning()) -> tuple[Plan, tuple[str, ...]]:
    """Cook a recipe straight into a safetensors file; the output is never whole in memory.

    Returns the plan and the notes. Nothing is left behind if it fails or is cancelled, and an existing file is
    replaced only with ``overwrite`` (and never if it is an ingredient).
    """
    device = usable_device(device)
    if dtype is not None:
        recipe = dataclasses.replace(recipe, dtype=dtype)
    plan = prepare(recipe, models, progress)
    try:
        path = Path(path)
        _refuse_ingredient(plan.recipe, models, path)
        if not path.parent.is_dir():
            raise FileError(f"The folder {str(path.parent)!r} does not exist; make it first.")
        described = {**soup_metadata(plan), **(metadata or {})}
        with StreamingWriter(path, [step.info for step in plan.steps], described, overwrite=overwrite,
                             check=lambda: check(progress or Silent())) as writer:
            report = execute(plan.steps, FileSink(writer), device=device, progress=progress, tuning=tuning)
        return plan, (*plan.notes, *report.notes)
    finally:
        plan.close()


def execute(steps: Sequence[Step], sink: Sink, *, device: str | torch.device = "cpu",
            progress: Progress | None = None, tuning: Tuning = Tuning()) -> Report:
    """Carry out steps into ``sink`` and return what was noticed.

    ``progress`` is called from this thread alone, twenty times a second. Raises the first error of any worker.
    """
    device, progress = usable_device(device), progress or Silent()
    if device.type == "cpu":
        return Kitchen(steps, sink, progress, tuning).run()
    try:
        return DeviceKitchen(steps, sink, device, progress, tuning).run()
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
    report = Kitchen(steps, sink, progress, tuning).run()
    return report.with_remark(f"There was not enough free memory on {device}, so the sums were taken on the CPU.")


def usable_device(device: str | torch.device) -> torch.device:
    """The device, if this machine can cook on it. Raises :class:`RecipeError`."""
    try:
        found = torch.device(device)
    except RuntimeError:
        raise RecipeError(f"Unknown device {shown(device)}; expected cpu or cuda.") from None
    if found.type == "cpu" or (found.type == "cuda" and (found.index or 0) < torch.cuda.device_count()):
        return found
    raise RecipeError(f"This machine cannot cook on {shown(str(device))}; there are {torch.cuda.device_count()} CUDA "
                      "devices. Use cpu.")


def require_memory(nbytes: int) -> None:
    """Raise :class:`OutOfMemory` if ``nbytes`` more are not to be had."""
    free = memory.available()
    if free is not None and nbytes > free:
        raise OutOfMemory(f"This soup needs {nbytes / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free. Close "
                          "other programs, choose a smaller dtype, or cook to a file, which needs almost none.")


def _refuse_ingredient(recipe: Recipe, models: ModelFolders, path: Path) -> None:
    for each in (*recipe.ingredients, *([recipe.base] if recipe.base else [])):
        if path.exists() and os.path.samefile(path, models.find(each)):
            raise FileError(f"{path} is an ingredient of this soup, so it was not overwritten; choose another name.")
