"""The executor on the CPU: workers that read, add and round chunk after chunk.

A worker reads a chunk of each ingredient, of as many as fit into a buffer of its own, and adds them, times their
coefficients, to a float32 sum (float64 where the output is float32); the sum is rounded once and put where
it belongs. While one worker waits for bytes another one adds, so reading and arithmetic overlap, and
what is being added stays in cache.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch

from . import memory
from .checkpoint import DTYPES
from .errors import Cancelled
from .jobs import FLOAT8, LANES, Job, Report, Tuning, cut, deltas_of, row_of, sum_channels, sum_dtype
from .lora import Delta
from .plan import Step
from .progress import Progress, check
from .rounding import key_seed, to_float8, uniform
from .sinks import Sink
from .sums import add_terms


class Kitchen:
    """One run of the executor on the CPU: jobs, workers, and the thread that watches them."""

    def __init__(self, steps: Sequence[Step], sink: Sink, progress: Progress, tuning: Tuning) -> None:
        self.sink, self.progress, self.tuning = sink, progress, tuning
        self.report = Report()
        self.total = sum(step.read_bytes for step in steps)
        self.done = 0
        self._jobs = iter([job for step in steps for job in cut(step, tuning.chunk)])
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._idle = threading.Event()
        self._begin = threading.Barrier(tuning.workers)
        self._running = tuning.workers
        self._error: BaseException | None = None

    def run(self) -> Report:
        check(self.progress)
        intraop = torch.get_num_threads()
        ready = threading.Barrier(self.tuning.workers + 1)
        workers = [threading.Thread(target=self._work, args=(number, ready), name=f"soup-{number}", daemon=True)
                   for number in range(self.tuning.workers)]
        for worker in workers:
            worker.start()
        ready.wait()
        torch.set_num_threads(intraop)  # workers set theirs to 1, which new threads of the host must not inherit
        try:
            while not self._idle.wait(0.05):
                self.progress.step(self.done, self.total, "cooking")
                if self.progress.cancelled():
                    raise Cancelled("cancelled")
        finally:
            self._stop.set()
            for worker in workers:
                worker.join()
        if self._error is not None:
            raise self._error
        self.progress.step(self.total, self.total, "cooking")
        return self.report

    def _work(self, number: int, ready: threading.Barrier) -> None:
        torch.get_num_threads()  # a thread takes the host's number when it is first asked, so ask before changing it
        torch.set_num_threads(1)  # of this thread alone: each worker works alone on its chunk
        ready.wait()
        try:
            with torch.inference_mode():
                for _ in self.sink.get_ready(number, self.tuning.workers):
                    if self._stop.is_set():
                        break
                self._begin.wait()  # nobody writes while somebody still gets memory ready
                cook = _Worker(self.sink, self.report, self.tuning.chunk)
                while not self._stop.is_set():
                    with self._lock:
                        job = next(self._jobs, None)
                    if job is None:
                        break
                    cook.do(job)
                    with self._lock:
                        self.done += sum((job.stop - job.start) * term.info.itemsize for term in job.step.terms)
        except BaseException as error:  # handed to the thread that waits
            self._error = self._error or error
            self._stop.set()
            self._begin.abort()
        finally:
            with self._lock:
                self._running -= 1
                if not self._running:
                    self._idle.set()


class _Worker:
    """A worker's hands: its buffers and what it does with one job."""

    def __init__(self, sink: Sink, report: Report, chunk: int) -> None:
        self._sink, self._report = sink, report
        self._size = 0
        self._grow(chunk)
        self._factors: tuple[str, list[tuple[Delta, float]]] = ("", [])

    def _grow(self, count: int) -> None:
        """Make room for ``count`` elements, padded to whole registers."""
        padded = -(-count // LANES) * LANES
        if padded > self._size:
            self._size = padded
            raw, self._scratch, self._sum = (memory.fresh((padded * 8,), torch.uint8).zero_() for _ in range(3))
            self._raw = raw.numpy()  # mapped memory, which is given back when the cook is done

    def do(self, job: Job) -> None:
        step, start, stop = job.step, job.start, job.stop
        if not step.terms:
            self._put(step, 0, torch.arange(step.shape[-1]).expand(step.shape).reshape(-1))
        elif step.copies:
            self._copy(step, start, stop)
        elif step.extra:
            self._grow(stop)
            self._finish(step, 0, stop, sum_channels(step))
        else:
            self._grow(stop - start)
            total = self._add(step, start, stop)
            if step.updates:
                self._update(total, step, start, stop)
            self._finish(step, start, stop, total)

    def _copy(self, step: Step, start: int, stop: int) -> None:
        term, count = step.terms[0], stop - start
        place = self._sink.place(step, start, stop)
        if place is not None and place.device.type != "cpu":
            place = None  # memory on an accelerator, which was too full to cook there
        buffer = self._raw if place is None else place.view(torch.uint8).numpy()
        piece = term.source.checkpoint.read(term.info.name, start, stop, buffer)
        if piece.dtype.is_floating_point and count:
            wide = self._scratch[:count * 8].view(torch.float64) if piece.dtype == torch.float64 else \
                self._scratch[:count * 4].view(torch.float32)
            self._look(step, wide.copy_(piece))
        if place is None:
            self._sink.write(step, start, piece)

    def _add(self, step: Step, start: int, stop: int) -> torch.Tensor:
        """Σ c·θ over the step's terms for one chunk, in float32 or float64."""
        padded = -(-(stop - start) // LANES) * LANES
        dtype = sum_dtype(step)
        total = self._sum[:padded * dtype.itemsize].view(dtype)
        scratch = self._scratch[:padded * dtype.itemsize].view(dtype)
        values: list[torch.Tensor] = []
        coefficients: list[float] = []
        used, begun = 0, False
        for term in step.terms:
            nbytes = padded * term.info.itemsize
            if used + nbytes > len(self._raw):
                add_terms(values, coefficients, total, scratch, begun)
                values, coefficients, used, begun = [], [], 0, True
            raw = self._raw[used:used + nbytes]
            term.source.checkpoint.read(term.info.name, start, stop, raw)
            values.append(torch.from_numpy(raw).view(term.info.torch_dtype))
            coefficients.append(term.coefficient)
            used += nbytes
        add_terms(values, coefficients, total, scratch, begun)
        return total[:stop - start]

    def _update(self, total: torch.Tensor, step: Step, start: int, stop: int) -> None:
        """Add each LoRA's ``coefficient · ΔW`` to the rows that elements [start, stop) make up."""
        if self._factors[0] != step.key:
            self._factors = step.key, deltas_of(step)
        row = row_of(step)
        first, last = start // row, stop // row
        for delta, coefficient in self._factors[1]:
            begin, end = delta.target.clip(first, last)
            if begin < end:
                rows = total.view(-1, row)[begin - first:end - first]
                rows.add_(delta.rows(begin, end).mul_(coefficient))  # add_(alpha) rounds otherwise at a slice's ends

    def _finish(self, step: Step, start: int, stop: int, total: torch.Tensor) -> None:
        """Look at the sum, round it once and put it away."""
        if total.numel():
            self._look(step, total)
        dtype = DTYPES[step.dtype]
        if dtype in FLOAT8:
            draws = uniform(key_seed(step.seed or 0, step.key), start, stop)
            self._put(step, start, to_float8(total.float(), dtype, draws))
            return
        place = self._sink.place(step, start, stop)
        if place is not None:
            place.copy_(total)
        else:
            count = total.numel()
            self._sink.write(step, start, self._scratch[:count * dtype.itemsize].view(dtype).copy_(total))

    def _look(self, step: Step, values: torch.Tensor) -> None:
        if torch.dot(values, values).item() < self._report.harmless(step):  # a quarter of aminmax's time
            return
        low, high = torch.aminmax(values)
        self._report.look(step, low.item(), high.item())

    def _put(self, step: Step, start: int, piece: torch.Tensor) -> None:
        place = self._sink.place(step, start, start + piece.numel())
        if place is not None:
            place.copy_(piece)
        else:
            self._sink.write(step, start, piece)
