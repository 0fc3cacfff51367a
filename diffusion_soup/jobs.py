"""What the executors share: how work is cut into jobs, sums that need a whole tensor, and what was noticed."""

from __future__ import annotations

import math
import threading
from collections.abc import Container, Iterator
from dataclasses import dataclass, field

import torch

from . import memory
from .checkpoint import DTYPES
from .lora import Delta
from .plan import Step

LANES = 64  # elements; a multiple of every vector register's width
FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)


@dataclass(frozen=True)
class Tuning:
    """How the work is cut; no setting changes the result. ``threads=0`` uses every processor, up to 16.

    ``chunk``: elements a worker reads of an ingredient at once. All workers together need 256 MB at most.
    """

    threads: int = 0
    chunk: int = field(default_factory=lambda: 1 << (20 if memory.processors() <= 8 else 19))

    @property
    def workers(self) -> int:
        return self.threads or min(16, max(2, memory.processors()))

    @property
    def buffer_bytes(self) -> int:
        """What cooking needs beside its output."""
        return self.workers * 4 * 8 * (self.chunk + LANES)


@dataclass(frozen=True)
class Job:
    """Elements [start, stop) of one step."""

    step: Step
    start: int
    stop: int


def sum_dtype(step: Step) -> torch.dtype:
    """The dtype sums are taken in: always more digits than the output has."""
    return torch.float64 if step.dtype in ("F32", "F64") else torch.float32


def cut(step: Step, chunk: int) -> Iterator[Job]:
    """Jobs of about ``chunk`` elements: whole rows where LoRAs change them, the whole tensor where channels differ."""
    count = step.info.numel
    if step.extra or not step.terms:
        chunk = max(count, 1)
    elif step.updates:
        row = row_of(step)
        chunk = max(1, chunk // row) * row
    for start in range(0, count, chunk):
        yield Job(step, start, min(start + chunk, count))


def row_of(step: Step) -> int:
    """Elements in one row, as LoRAs count rows."""
    return step.info.numel // (step.shape[0] if step.shape else 1)


def sum_channels(step: Step) -> torch.Tensor:
    """The whole tensor where ingredients differ in input channels: the common ones summed over ``terms``,
    the others over ``extra``. float64, flattened."""
    everything = {term.source: term for term in (*step.terms, *step.extra)}
    read = {source: source.checkpoint.tensor(term.info.name).double() for source, term in everything.items()}
    total = torch.full(step.shape, -0.0, dtype=torch.float64)  # -0.0 + x is x for every x
    common = min(values.shape[1] for values in read.values())
    for term in step.terms:
        total[:, :common].add_(read[term.source][:, :common], alpha=term.coefficient)
    for delta, coefficient in deltas_of(step):
        rows = slice(delta.target.start, delta.target.stop)
        change = delta.rows(delta.target.start, delta.target.stop).view(delta.target.rows, -1, *step.shape[2:])
        total[rows, :common].add_(change[:, :common], alpha=coefficient)
    for term in step.extra:
        total[:, common:].add_(read[term.source][:, common:], alpha=term.coefficient)
    return total.flatten()


def deltas_of(step: Step, device: torch.device | str = "cpu") -> list[tuple[Delta, float]]:
    """The low-rank updates of a step, their factors read, each with its coefficient."""
    return [(Delta(update.lora, target, layer, device), update.coefficient)
            for update in step.updates for target, layer in update.match.targets[update.key]]


class Report:
    """What was noticed while cooking: tensors with bad numbers, and other remarks for the user."""

    def __init__(self, *remarks: str) -> None:
        self._bad: dict[str, str] = {}
        self._remarks = remarks
        self._lock = threading.Lock()

    def joined(self, other: Report, keys: Container[str]) -> Report:
        """This report and what ``other`` says of ``keys``, the tensors that were taken from an earlier soup."""
        both = Report(*self._remarks)
        both._bad = {**{key: what for key, what in other._bad.items() if key in keys}, **self._bad}
        return both

    def with_remark(self, remark: str) -> Report:
        also = Report(*self._remarks, remark)
        also._bad = self._bad
        return also

    @staticmethod
    def harmless(step: Step) -> float:
        """Numbers whose squares sum to less than this need no closer look: as Σx² ≥ max x², all of them are finite and
        fit into the step's dtype."""
        dtype = DTYPES[step.dtype]
        largest = math.inf if dtype in FLOAT8 or not dtype.is_floating_point else torch.finfo(dtype).max
        return largest * largest

    def look(self, step: Step, low: float, high: float) -> None:
        """Note a tensor whose values lie in [low, high] if they are not finite, or not so once rounded."""
        dtype = DTYPES[step.dtype]
        if not (low > float("-inf") and high < float("inf")):
            with self._lock:
                self._bad[step.key] = "NaN or infinity"
        elif dtype.is_floating_point and dtype not in FLOAT8 and max(-low, high) > torch.finfo(dtype).max:
            with self._lock:
                self._bad.setdefault(step.key, f"numbers too large for {step.dtype}")

    @property
    def notes(self) -> tuple[str, ...]:
        if not self._bad:
            return self._remarks
        key = min(self._bad)
        return (*self._remarks,
                f"{len(self._bad)} tensors hold {self._bad[key]} (first: {key}); pictures are likely to be black. "
                "Look for a damaged ingredient, or cook to bfloat16 or float32.",)
