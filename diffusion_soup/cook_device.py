"""Cooking on an accelerator: reading, copying and adding at the same time.

Threads read pieces of ingredients into a ring of pinned staging buffers; a stream of its own copies each
to the device as soon as it is full; the sums are taken there and finished pieces come back through
pinned buffers the same way (or stay, where the soup itself lies on the device). The ring holds a fixed
number of pieces, so memory beside the output does not depend on the number of ingredients.

The arithmetic is that of :mod:`kitchen`, term by term in the same order.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from .checkpoint import DTYPES
from .jobs import FLOAT8, Job, Report, Tuning, cut, deltas_of, row_of, sum_channels, sum_dtype
from .lora import Delta
from .plan import Step, Term
from .progress import Progress, check
from .rounding import key_seed, to_float8, uniform
from .sinks import Sink

#: Elements of a piece, and how many pieces are on their way: 6 x 4M x 4 bytes = 100 MB pinned.
_PIECE = 1 << 22
_SLOTS = 6


class DeviceKitchen:
    """One run of the executor on ``device``. Raises torch.OutOfMemoryError if the device is too full.

    With a CPU device it does the same without streams, which is how it is tested where there is no GPU.
    """

    def __init__(self, steps: Sequence[Step], sink: Sink, device: torch.device, progress: Progress,
                 tuning: Tuning, piece: int = _PIECE) -> None:
        self._sink, self._device, self._progress = sink, device, progress
        self._report = Report()
        self._jobs = [job for step in steps for job in cut(step, piece)]
        self._total = sum(step.read_bytes for step in steps)
        self._free = deque(_Slot(piece, device) for _ in range(_SLOTS))
        self._returns = deque(_Return(piece, device) for _ in range(2))
        self._pool = ThreadPoolExecutor(max_workers=tuning.workers, thread_name_prefix="soup-read")
        self._reads: Iterator[tuple[Job, Term]] = (
            (job, term) for job in self._jobs if not job.step.extra for term in job.step.terms)
        self._ahead: deque[tuple[_Slot, Future[torch.Tensor]]] = deque()
        self._ranges: list[tuple[Step, torch.Tensor]] = []
        self._factors: tuple[str, list[tuple[Delta, float]]] = ("", [])

    def run(self) -> Report:
        """Carry out the steps; returns what was noticed."""
        done, shown = 0, 0.0
        try:
            with torch.inference_mode():
                for job in self._jobs:
                    check(self._progress)
                    self._do(job)
                    done += sum((job.stop - job.start) * term.info.itemsize for term in job.step.terms)
                    if time.monotonic() - shown > 0.05:
                        shown = time.monotonic()
                        self._progress.step(done, self._total, "cooking")
                for returned in self._returns:
                    returned.finish()
                for step, extent in self._ranges:
                    low, high = extent.tolist()
                    self._report.look(step, low, high)
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
        self._progress.step(self._total, self._total, "cooking")
        return self._report

    def _do(self, job: Job) -> None:
        step, start, stop = job.step, job.start, job.stop
        if not step.terms:
            result = torch.arange(step.shape[-1]).expand(step.shape).reshape(-1).to(self._device)
        elif step.extra:
            result = self._rounded(step, 0, sum_channels(step).to(self._device))
        elif step.copies:
            slot, result = self._next()
            self._note(step, result)
            result = result.clone()
            self._release(slot)
        else:
            result = self._rounded(step, start, self._sum(step, start, stop))
        self._put(step, start, result)

    def _sum(self, step: Step, start: int, stop: int) -> torch.Tensor:
        total: torch.Tensor | None = None
        for term in step.terms:
            slot, values = self._next()
            values = values.to(sum_dtype(step))
            if total is None:
                total = values * term.coefficient
            else:
                total.add_(values, alpha=term.coefficient)
            self._release(slot)
        assert total is not None
        if step.updates:
            if self._factors[0] != step.key:
                self._factors = step.key, deltas_of(step, self._device)
            row = row_of(step)
            for delta, coefficient in self._factors[1]:
                begin, end = delta.target.clip(start // row, stop // row)
                if begin < end:
                    rows = total.view(-1, row)[begin - start // row:end - start // row]
                    rows.add_(delta.rows(begin, end).mul_(coefficient))
        return total

    def _rounded(self, step: Step, start: int, total: torch.Tensor) -> torch.Tensor:
        self._note(step, total)
        dtype = DTYPES[step.dtype]
        if dtype in FLOAT8:
            draws = uniform(key_seed(step.seed or 0, step.key), start, start + total.numel(), self._device)
            return to_float8(total.float(), dtype, draws)
        return total.to(dtype)

    def _note(self, step: Step, values: torch.Tensor) -> None:
        """Remember the range of the values; looked at in the end, so that nothing waits for it."""
        if values.numel() and values.dtype.is_floating_point:
            wide = values if values.itemsize >= 4 else values.float()
            self._ranges.append((step, torch.stack(torch.aminmax(wide))))

    # -- staging ---------------------------------------------------------------------------------

    def _next(self) -> tuple[_Slot, torch.Tensor]:
        """The next term's piece on the device, in the order of the jobs; keeps the readers ahead."""
        while self._free and (upcoming := next(self._reads, None)) is not None:
            slot = self._free.popleft()
            self._ahead.append((slot, self._pool.submit(slot.read, *upcoming)))
        slot, reading = self._ahead.popleft()
        return slot, slot.upload(reading.result())

    def _release(self, slot: _Slot) -> None:
        slot.used()
        self._free.append(slot)

    def _put(self, step: Step, start: int, result: torch.Tensor) -> None:
        place = self._sink.place(step, start, start + result.numel())
        if place is not None and place.device == result.device:
            place.copy_(result)
            return
        returned = self._returns.popleft()
        returned.finish()
        returned.begin(result, lambda piece: self._sink.write(step, start, piece), self._pool)
        self._returns.append(returned)


def _cuda() -> Any:
    """torch.cuda, whose streams and events carry no types."""
    return torch.cuda


class _Slot:
    """One piece on its way to the device: a pinned buffer, its twin on the device, and who waits for whom."""

    def __init__(self, piece: int, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._device = device
        self._host = torch.empty(piece * 8, dtype=torch.uint8, pin_memory=self._cuda)
        self._twin = torch.empty(piece * 8, dtype=torch.uint8, device=device)
        self._stream: Any = _cuda().Stream(device) if self._cuda else None
        self._copied: Any = _cuda().Event() if self._cuda else None
        self._done: Any = _cuda().Event() if self._cuda else None

    def _buffer(self, nbytes: int) -> np.ndarray:
        """The pinned buffer, grown if a job is larger than a piece (rows that LoRAs change are never split)."""
        if self._host.numel() < nbytes:
            self._host = torch.empty(nbytes, dtype=torch.uint8, pin_memory=self._cuda)
            self._twin = torch.empty(nbytes, dtype=torch.uint8, device=self._device)
        return self._host.numpy()

    def read(self, job: Job, term: Term) -> torch.Tensor:
        """Fill the pinned buffer; called by a reading thread, once the last copy out of it has ended."""
        if self._cuda:
            self._copied.synchronize()
        buffer = self._buffer((job.stop - job.start) * term.info.itemsize)
        return term.source.checkpoint.read(term.info.name, job.start, job.stop, buffer)

    def upload(self, piece: torch.Tensor) -> torch.Tensor:
        """The piece on the device, for work on the current stream."""
        nbytes = piece.numel() * piece.itemsize
        if not self._cuda:
            self._twin[:nbytes].copy_(self._host[:nbytes])
            return self._twin[:nbytes].view(piece.dtype)
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._done)
            self._twin[:nbytes].copy_(self._host[:nbytes], non_blocking=True)
            self._copied.record()
        torch.cuda.current_stream(self._device).wait_event(self._copied)
        return self._twin[:nbytes].view(piece.dtype)

    def used(self) -> None:
        """The current stream has been given all work on this piece."""
        if self._cuda:
            self._done.record()


class _Return:
    """One finished piece on its way back to host memory."""

    def __init__(self, piece: int, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._host = torch.empty(piece * 8, dtype=torch.uint8, pin_memory=self._cuda)
        self._ready: Any = _cuda().Event() if self._cuda else None
        self._writing: Future[None] | None = None

    def begin(self, result: torch.Tensor, write: Any, pool: ThreadPoolExecutor) -> None:
        nbytes = result.numel() * result.itemsize
        if self._host.numel() < nbytes:
            self._host = torch.empty(nbytes, dtype=torch.uint8, pin_memory=self._cuda)
        piece = self._host[:nbytes].view(result.dtype)
        piece.copy_(result, non_blocking=self._cuda)
        if self._cuda:
            self._ready.record()
        self._writing = pool.submit(self._write, piece, write)

    def finish(self) -> None:
        """Wait until the piece before is where it belongs."""
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _write(self, piece: torch.Tensor, write: Any) -> None:
        if self._cuda:
            self._ready.synchronize()
        with torch.inference_mode():
            write(piece)
