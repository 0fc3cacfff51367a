"""One job at a time: a worker thread, a queue, and what there is to say about it."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from diffusion_soup import Cancelled, SoupError

log = logging.getLogger("diffusion_soup")

_WAITING = 8


@dataclasses.dataclass(frozen=True)
class Status:
    """What is being done, or how the last job ended."""

    state: str  # "idle" | "queued" | "cooking" | "done" | "failed" | "cancelled"
    fraction: float = 0.0  # of the work
    text: str = ""  # what is being done, or the one sentence of the error, or what is in use now
    job: int = 0  # rises with every request
    recipe_hash: str = ""
    seconds_left: float | None = None


class Job:
    """A request: its progress, and whether it was cancelled. It is the engine's Progress. ``after_cancel``: what there
    is to say then."""

    after_cancel = "The model before is in use."

    def __init__(self, number: int, work: Callable[[Job], str], recipe_hash: str = "", twice: str = "") -> None:
        self.number, self.work, self.recipe_hash, self.twice = number, work, recipe_hash, twice
        self.stop = threading.Event()
        self.status = Status("queued", 0.0, "waiting for its turn", number, recipe_hash)
        self._phase, self._begun = "", 0.0

    def step(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        if what != self._phase:
            self._phase, self._begun = what, now
        fraction = done / total if total else 1.0
        spent = now - self._begun
        left = spent / fraction - spent if fraction > 0.02 and spent > 0.5 else None
        if not self.stop.is_set():
            self.say(what, fraction, left)

    def say(self, text: str, fraction: float = 0.0, seconds_left: float | None = None) -> None:
        self.status = dataclasses.replace(self.status, state="cooking", text=text, fraction=fraction,
                                          seconds_left=seconds_left)

    def cancelled(self) -> bool:
        return self.stop.is_set()

    def end(self, state: str, text: str) -> None:
        self.status = dataclasses.replace(self.status, state=state, text=text, seconds_left=None,
                                          fraction=1.0 if state == "done" else self.status.fraction)


class Beside(Job):
    """What another part of the host does, and what stops it there."""

    def __init__(self, number: int, ask_to_stop: Callable[[], None]) -> None:
        super().__init__(number, lambda job: "")
        self.ask_to_stop = ask_to_stop


class Jobs:
    """Runs requests one after the other, in a thread that ends when there are none."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._last: Job | None = None
        self._beside: Beside | None = None
        self._number = 0
        self._thread: threading.Thread | None = None

    def add(self, work: Callable[[Job], str], recipe_hash: str = "", twice: str = "This very recipe is being cooked "
            "already.") -> Status:
        """Raises :class:`SoupError` saying ``twice`` if work for this hash that would say the same is under way."""
        with self._lock:
            busy = [job for job in (self._running, *self._waiting) if job is not None]
            if recipe_hash and any((job.recipe_hash, job.twice) == (recipe_hash, twice) and not job.stop.is_set()
                                   for job in busy):
                raise SoupError(twice)
            if len(self._waiting) >= _WAITING:
                raise SoupError(f"{_WAITING} requests are waiting already; cancel, or wait until one is done.")
            self._number += 1
            job = Job(self._number, work, recipe_hash, twice)
            self._waiting.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="diffusion-soup", daemon=True)
                self._thread.start()
            if busy:
                job.status = dataclasses.replace(job.status, text=f"waiting behind {len(busy)} other"
                                                                  f"{'s' if len(busy) > 1 else ''}")
            return job.status

    def status(self) -> Status:
        """Of the job that is running, else of the one that waits, else of what is done beside them, else of the one
        that ended last."""
        with self._lock:
            job = self._running or (self._waiting[0] if self._waiting else None) or self._beside or self._last
            return job.status if job is not None else Status("idle")

    def cancel(self) -> Status:
        """Stop what is running and drop what waits; where there is neither, stop what is done beside them."""
        with self._lock:
            beside = None if self._running or self._waiting else self._beside
            for job in self._waiting:
                job.stop.set()
                job.end("cancelled", "Cancelled before it began.")
                self._last = job
            self._waiting.clear()
            if self._running is not None:
                self._running.stop.set()
                self._running.say("cancelling; the model before stays", self._running.status.fraction)
        if beside is not None:
            beside.stop.set()
            beside.say("stopping", beside.status.fraction)
            beside.ask_to_stop()
        return self.status()

    def begin_beside(self, ask_to_stop: Callable[[], None]) -> Beside:
        """Something that is done elsewhere and ends with :meth:`end_beside`. Requests need not wait for it here."""
        with self._lock:
            self._number += 1
            self._beside = Beside(self._number, ask_to_stop)
            return self._beside

    def end_beside(self, text: str) -> None:
        """``text``: what there is to say now, unless it was stopped. Nothing happens where nothing is done beside."""
        with self._lock:
            if self._beside is not None:
                stopped = self._beside.stop.is_set()
                self._beside.end(*("cancelled", "Stopped. " + text) if stopped else ("done", text))
                if self._running is None:
                    self._last = self._beside
                self._beside = None

    def wait(self, timeout: float | None = None) -> Status:
        """Wait until nothing is running or waiting."""
        with self._lock:
            self._lock.wait_for(lambda: self._running is None and not self._waiting, timeout)
        return self.status()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                job = self._running = self._waiting.popleft()
            self._do(job)
            with self._lock:
                self._running, self._last = None, job
                self._lock.notify_all()

    def _do(self, job: Job) -> None:
        job.say("looking at the files")
        try:
            job.end("done", job.work(job))
        except Cancelled:
            job.end("cancelled", f"Cancelled. {job.after_cancel}")
        except SoupError as error:
            job.end("failed", str(error))
        except Exception as error:
            log.exception("Diffusion Soup: a request failed")
            job.end("failed", f"This failed unexpectedly ({type(error).__name__}: {error}). The model before is in "
                              "use; the console has the details.")


class Turn:
    """The host's queue lock: in line for it from the beginning, so that whoever asks for a picture after a cook gets
    one of the soup. The wait can be cancelled; a turn that comes too late is passed on."""

    def __init__(self, lock: Any, job: Job) -> None:
        self._lock, self._job = lock, job
        self._guard = threading.Lock()
        self._got, self._left = threading.Event(), False

    def __enter__(self) -> Turn:
        threading.Thread(target=self._acquire, name="diffusion-soup-turn", daemon=True).start()
        self._got.wait(0.1)
        return self

    def __exit__(self, *error: object) -> None:
        with self._guard:
            self._left = True
            if self._got.is_set():
                self._lock.release()

    def come(self) -> None:
        """Wait until it is our turn. Raises :class:`Cancelled`."""
        if not self._got.is_set():
            self._job.say("waiting for the WebUI to finish what it is doing")
        while not self._got.wait(0.05):
            if self._job.cancelled():
                raise Cancelled("cancelled")

    def _acquire(self) -> None:
        self._lock.acquire()
        with self._guard:
            if self._left:
                self._lock.release()
            else:
                self._got.set()
