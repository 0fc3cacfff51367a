"""Several processes train one student: each has the rows of its own teachers, and gradients are added up.

Started by ``torchrun`` or ``accelerate launch``, which say through the environment who is who. With k N processes for N
teachers, k share each teacher's rows; with fewer, teachers take turns: process r has the teachers r, r + W, r + 2W, ...
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Processes:
    """How many there are (``count``), and which one this is (``rank``)."""

    rank: int = 0
    count: int = 1

    @staticmethod
    def from_environment(backend: str | None = None) -> Processes:
        """Join the others where the environment tells of any; nccl with CUDA, else gloo."""
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return Processes()
        if not dist.is_initialized():
            dist.init_process_group(backend or ("nccl" if torch.cuda.is_available() else "gloo"))
        return Processes(dist.get_rank(), dist.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def teachers(self, count: int) -> list[int]:
        """Which of N teachers this process needs."""
        if self.count >= count:
            return [self.rank % count]
        return list(range(self.rank, count, self.count))

    def rows(self, styles: Tensor, teachers: int) -> Tensor:
        """Which rows of a batch are this process's, int64; together all processes have each row once."""
        if self.count == 1:
            return torch.arange(len(styles))
        if self.count < teachers:
            return torch.nonzero(styles % self.count == self.rank).flatten()
        sharing = [rank for rank in range(self.count) if rank % teachers == self.rank % teachers]
        own = torch.nonzero(styles == self.rank % teachers).flatten()
        return own[sharing.index(self.rank)::len(sharing)]

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Add each tensor over all processes, in place, in pieces of some megabytes."""
        if self.count == 1 or not tensors:
            return
        piece: list[Tensor] = []
        size = 0
        for tensor in (*tensors, None):
            if tensor is not None:
                piece.append(tensor)
                size += tensor.numel() * tensor.element_size()
            if piece and (tensor is None or size > 32 << 20):
                flat = torch.cat([each.flatten() for each in piece])
                dist.all_reduce(flat)
                for each, part in zip(piece, torch.split(flat, [each.numel() for each in piece])):
                    each.copy_(part.view_as(each))
                piece, size = [], 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.count > 1:
            dist.all_reduce(values)
        return values
