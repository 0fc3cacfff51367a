"""Where cooked tensors go: fresh memory, or a file that is being written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import torch

from .architecture import part_of
from .checkpoint import DTYPES
from .memory import fresh, touch
from .plan import Step
from .writer import StreamingWriter

_ALIGNMENT = 64  # bytes
_LASTING = 1 << 29  # bytes from which on cooking takes long enough for memory to be made ready first


class Sink(Protocol):
    """Where finished chunks go. Called from several threads, for chunks that never overlap."""

    def get_ready(self, part: int, parts: int) -> Iterator[None]:
        """Run through by each of ``parts`` workers before the first chunk of any; it yields every now and then."""

    def place(self, step: Step, start: int, stop: int) -> torch.Tensor | None:
        """Memory for elements [start, stop) in the step's dtype, to be filled; or None to be given a piece."""

    def write(self, step: Step, start: int, piece: torch.Tensor) -> None:
        """Take a piece (1-D, in the step's dtype) that begins at element ``start``; it is valid during the call."""


class MemorySink:
    """Fresh tensors. Those of one block share one allocation, so that large pages can back it."""

    def __init__(self, steps: Sequence[Step], device: str | torch.device = "cpu") -> None:
        self._device = torch.device(device)
        self.tensors: dict[str, torch.Tensor] = {}
        self._arenas: list[torch.Tensor] = []
        groups: dict[tuple[str, str], list[Step]] = {}
        for step in steps:
            groups.setdefault((part_of(step.key), step.block), []).append(step)
        for group in groups.values():
            self._allocate(group)

    def _allocate(self, group: Sequence[Step]) -> None:
        offsets, total = [], 0
        for step in group:
            offsets.append(total)
            total += -(-step.info.nbytes // _ALIGNMENT) * _ALIGNMENT
        arena = self._memory(max(total, _ALIGNMENT))
        self._arenas.append(arena)
        for step, offset in zip(group, offsets):
            flat = arena[offset:offset + step.info.nbytes].view(DTYPES[step.dtype])
            self.tensors[step.key] = flat.view(step.shape)

    def _memory(self, nbytes: int) -> torch.Tensor:
        if self._device.type != "cpu":
            return torch.empty(nbytes, dtype=torch.uint8, device=self._device)
        return fresh((nbytes,), torch.uint8)

    def get_ready(self, part: int, parts: int) -> Iterator[None]:
        return touch_share(self._arenas, part, parts)

    def place(self, step: Step, start: int, stop: int) -> torch.Tensor:
        return self.tensors[step.key].view(-1)[start:stop]

    def write(self, step: Step, start: int, piece: torch.Tensor) -> None:
        self.place(step, start, start + piece.numel()).copy_(piece)


def touch_share(tensors: Iterable[torch.Tensor], part: int, parts: int) -> Iterator[None]:
    """One worker's share of getting uninitialised CPU memory ready to be written; yields after each piece.

    Outputs that are written within a moment anyway are left alone.
    """
    flat = [tensor.view(-1) for tensor in tensors if tensor.device.type == "cpu"]
    if sum(each.numel() * each.itemsize for each in flat) >= _LASTING:
        for each in flat:
            touch(each[each.numel() * part // parts:each.numel() * (part + 1) // parts])
            yield


class FileSink:
    """A streaming writer."""

    def __init__(self, writer: StreamingWriter) -> None:
        self._writer = writer

    def get_ready(self, part: int, parts: int) -> Iterator[None]:
        return iter(())

    def place(self, step: Step, start: int, stop: int) -> None:
        return None

    def write(self, step: Step, start: int, piece: torch.Tensor) -> None:
        self._writer.write(step.key, start, piece)
