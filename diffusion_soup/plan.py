"""A plan: which tensors are read, with which coefficients, and what comes out.

Plans are made from headers alone (see :mod:`planner`), so everything that can be refused is refused
before a tensor is touched. A plan is also how two cooks are compared: equal steps give equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .architecture import STYLES, Anatomy, Architecture, part_of
from .checkpoint import Checkpoint, TensorInfo
from .lora import LoRAFile, Match
from .recipe import Recipe


@dataclass(frozen=True)
class Source:
    """An opened checkpoint with its anatomy. Two sources are equal if their content is."""

    sha256: str
    file: str = field(compare=False)
    checkpoint: Checkpoint = field(compare=False, repr=False)
    anatomy: Anatomy = field(compare=False, repr=False)


@dataclass(frozen=True)
class Term:
    """``coefficient`` times the tensor ``info`` of ``source``."""

    source: Source
    info: TensorInfo
    coefficient: float


@dataclass(frozen=True)
class Update:
    """``coefficient`` times the low-rank updates that LoRA ``sha256`` makes to tensor ``key``."""

    sha256: str
    coefficient: float
    key: str
    match: Match = field(compare=False, repr=False)
    lora: LoRAFile = field(compare=False, repr=False)


@dataclass(frozen=True)
class Step:
    """One output tensor, ``Σ coefficient · tensor`` over ``terms`` (in order of sha256) and ``updates``.

    ``extra`` terms alone fill the input channels that some of ``terms`` do not have. A step without
    terms is position ids, written as 0, 1, 2, ... ``seed`` is set where rounding is stochastic.
    """

    key: str
    dtype: str
    shape: tuple[int, ...]
    block: str
    terms: tuple[Term, ...]
    updates: tuple[Update, ...] = ()
    extra: tuple[Term, ...] = ()
    seed: int | None = None

    @property
    def info(self) -> TensorInfo:
        return TensorInfo(self.key, self.dtype, self.shape)

    @property
    def copies(self) -> bool:
        """Whether the result is one tensor's bytes, unchanged."""
        return (len(self.terms) == 1 and not self.updates and not self.extra
                and self.terms[0].coefficient == 1.0 and self.terms[0].info.dtype == self.dtype)

    @property
    def read_bytes(self) -> int:
        return sum(term.info.nbytes for term in (*self.terms, *self.extra))


@dataclass(frozen=True)
class Plan:
    """All steps of a recipe in reading order.

    ``recipe`` has every sha256 filled in, ``files`` are the opened checkpoints and LoRAs by sha256, and
    ``notes`` are sentences for the user. If a DMM student is among the ingredients, ``styles`` are the keys of
    its style prompts and style MLP, and ``style_names`` the styles' names as far as the file says them.
    """

    recipe: Recipe
    architecture: Architecture
    steps: tuple[Step, ...]
    files: Mapping[str, Checkpoint]
    notes: tuple[str, ...]
    styles: frozenset[str] = frozenset()
    style_names: tuple[str, ...] = ()

    @property
    def output_bytes(self) -> int:
        return sum(step.info.nbytes for step in self.steps)

    @property
    def read_bytes(self) -> int:
        return sum(step.read_bytes for step in self.steps)

    def part(self, name: str) -> tuple[Step, ...]:
        """The steps of one part of the model (see :mod:`architecture`)."""
        return tuple(step for step in self.steps
                     if (STYLES if step.key in self.styles else part_of(step.key)) == name)

    def close(self) -> None:
        """Release the opened files; they open again by themselves if they are read again."""
        for checkpoint in self.files.values():
            checkpoint.close()
