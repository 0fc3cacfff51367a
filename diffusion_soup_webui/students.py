"""The styles of the model in use: of a student's file, read once, or of a soup with a student among its ingredients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion_soup import SoupError, inspect, open_checkpoint
from diffusion_soup.dmm import Codebook, open_student
from diffusion_soup.dmm.student import soup_codebook

if TYPE_CHECKING:
    from .bridge import Host
    from .pot import Pot


class Students:
    def __init__(self, host: Host, pot: Pot) -> None:
        self._host, self._pot = host, pot
        self._known: dict[Any, Codebook | None] = {}

    def chosen(self) -> Codebook | None:
        """Of the model that pictures are made with if nothing else is asked for; None where it is no student.

        Raises :class:`SoupError` for a student that cannot be read.
        """
        held = self._pot.current
        if held is not None:
            return self._of(held.identity.hash, lambda: soup_codebook(held.plan))
        return self._of_file(self._host.chosen())

    def in_memory(self) -> Codebook | None:
        """Of the model that is in memory at this moment. Raises :class:`SoupError`."""
        held = self._pot.in_memory
        if held is not None:
            return self._of(held.identity.hash, lambda: soup_codebook(held.plan))
        return self._of_file(self._host.loaded_from()) if self._host.identity() is None else None

    def key(self) -> object:
        """The same as long as the same model is in memory."""
        return self._host.identity() or self._host.loaded_from()

    def _of_file(self, path: Path | None) -> Codebook | None:
        try:
            stamp = path.stat() if path is not None else None
        except OSError:
            stamp = None
        if path is None or stamp is None:
            return None
        return self._of((path, stamp.st_mtime_ns, stamp.st_size), lambda: _read(path))

    def _of(self, key: Any, read: Any) -> Codebook | None:
        if key not in self._known:
            found = read()
            while len(self._known) > 15:
                self._known.pop(next(iter(self._known)))
            self._known[key] = found
        return self._known[key]


def _read(path: Path) -> Codebook | None:
    """The styles of a checkpoint; None where it has none. Raises :class:`SoupError` for a damaged student."""
    try:
        with open_checkpoint(path) as checkpoint:
            styles = inspect(checkpoint).styles
    except SoupError:
        return None  # a kind of file that the host alone can read
    if not styles:
        return None
    with open_student(path) as student:
        return student.codebook
