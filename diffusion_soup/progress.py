"""How long work reports itself, and how it is told to stop."""

from __future__ import annotations

from typing import Protocol

from .errors import Cancelled


class Progress(Protocol):
    """Passed to everything that may take longer than a second.

    ``step`` is called from one thread at a time; ``cancelled`` may be called from any thread, many
    times a second, and must be cheap.
    """

    def step(self, done: int, total: int, what: str) -> None:
        """Say that ``done`` of ``total`` units (bytes, unless ``what`` says otherwise) are finished."""

    def cancelled(self) -> bool:
        """Whether to stop as soon as possible; the work then raises :class:`Cancelled`."""


class Silent:
    """Reports nothing and is never cancelled."""

    def step(self, done: int, total: int, what: str) -> None:
        pass

    def cancelled(self) -> bool:
        return False


def check(progress: Progress) -> None:
    """Raise :class:`Cancelled` if the user asked to stop."""
    if progress.cancelled():
        raise Cancelled("cancelled")
