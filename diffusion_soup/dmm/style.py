"""A style as it travels through a graph: what to add to the time embedding, at each moment of the sampling."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from ..errors import RecipeError, shown
from .codebook import Codebook, StyleMix

#: Share of the way from one key frame to the next, by the share of the time between them.
EASINGS: Mapping[str, Callable[[float], float]] = MappingProxyType({
    "linear": lambda x: x,
    "smooth": lambda x: (1 - math.cos(math.pi * x)) / 2,
    "ease in": lambda x: x * x,
    "ease out": lambda x: x * (2 - x),
    "step": lambda x: 0.0 if x < 1 else 1.0,
})


@dataclass(frozen=True)
class KeyFrame:
    """A mix at ``at`` (0 is the beginning of the sampling, 1 its end); ``easing`` is the way that leads here.

    ``row`` holds one weight for each style of ``codebook``.
    """

    codebook: Codebook
    row: tuple[float, ...]
    mode: str = "paper"
    strength: float = 1.0
    at: float = 0.0
    easing: str = "linear"

    def __post_init__(self) -> None:
        if self.easing not in EASINGS:
            raise RecipeError(f"There is no easing called {shown(self.easing)}; choose one of {', '.join(EASINGS)}.")
        if not (math.isfinite(self.at) and 0 <= self.at <= 1):
            raise RecipeError(f"A key frame is at {self.at:g}; expected a number from 0 (beginning) to 1 (end).")

    def vector(self) -> torch.Tensor:
        """float32 [d]; exactly zero at strength 0."""
        if self.strength == 0:
            return torch.zeros(self.codebook.width)
        vector = self.codebook.vector(self.row, self.mode)
        return vector if self.strength == 1 else vector * self.strength


@dataclass(frozen=True, eq=False)
class Style:
    """Key frames in order of time, at least one; all of one student. Before the first and after the last the style
    stays as it is there."""

    frames: tuple[KeyFrame, ...]

    @classmethod
    def of(cls, codebook: Codebook, mix: StyleMix) -> Style:
        """A style that stays the same. Raises :class:`RecipeError`."""
        row = codebook.row(mix) if mix.strength else (0.0,) * len(codebook)
        return cls((KeyFrame(codebook, row, mix.mode, mix.strength),))

    def __deepcopy__(self, memo: dict[int, Any]) -> Style:
        return self  # never changes, and hosts copy model options deeply with every clone

    @property
    def codebook(self) -> Codebook:
        return self.frames[0].codebook

    @property
    def constant(self) -> bool:
        return len(self.frames) == 1

    @property
    def off(self) -> bool:
        """Whether nothing is ever added."""
        return all(frame.strength == 0 for frame in self.frames)

    def then(self, other: Style, at: float, easing: str = "linear") -> Style:
        """This style, becoming ``other`` at ``at``: its key frames, if it has several, follow in the time left.

        Raises :class:`RecipeError` if ``at`` is not after our last key frame, :class:`MismatchError` if the other is
        of another student.
        """
        self.codebook.require_same_mlp(other.codebook)
        last = self.frames[-1].at
        if not last <= at <= 1 or (at == last and len(self.frames) > 1):
            raise RecipeError(f"The next style is to be reached at {at:g}, but the one before it is at {last:g}; give "
                              "a later moment, up to 1 (the end).")
        following = [KeyFrame(frame.codebook, frame.row, frame.mode, frame.strength, at + frame.at * (1 - at),
                              frame.easing if position else easing)
                     for position, frame in enumerate(other.frames)]
        return Style((*self.frames, *following))

    def at(self, moment: float) -> torch.Tensor:
        """What to add to the time embedding at ``moment`` in [0, 1]: float32 [d]."""
        later = next((position for position, frame in enumerate(self.frames) if frame.at > moment), len(self.frames))
        if later == 0:
            return self.frames[0].vector()
        before = self.frames[later - 1]
        if later == len(self.frames):
            return before.vector()
        after = self.frames[later]
        share = EASINGS[after.easing]((moment - before.at) / (after.at - before.at))
        return _between(before, after, share)


def _between(before: KeyFrame, after: KeyFrame, share: float) -> torch.Tensor:
    """The style between two key frames: mixed like any other mix where both are mixes of one codebook in one mode, else
    a straight line between what they add."""
    if share == 0:
        return before.vector()
    if share == 1:
        return after.vector()
    strength = (1 - share) * before.strength + share * after.strength
    if not before.strength or not after.strength:  # to and from no style: the one there is, fading
        shown_frame = before if before.strength else after
        return shown_frame.codebook.vector(shown_frame.row, shown_frame.mode) * strength
    if before.codebook is after.codebook and before.mode == after.mode:
        row = [(1 - share) * one + share * other for one, other in zip(before.row, after.row)]
        vector = before.codebook.vector(row, before.mode)
        return vector if strength == 1 else vector * strength
    return torch.lerp(before.vector(), after.vector(), share)
