"""Which rows of the UNet's batch belong to which part of which prompt.

The hosts put the parts of all prompts into one batch, or into several where memory is short or prompts differ in
length; extensions cut pictures into tiles. So a row is told by its prompt's tensor, which is in the call; only between
parts of one wording does the order count in which the host takes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from diffusion_soup.dmm import Style

from .styling import Call

STRANGE = ("cannot be told apart by part: another extension changes the prompts on the way to the model, so all parts "
           "have the style of the whole picture. Turn it off, or name no styles in the prompt.")


@dataclass(frozen=True)
class Picture:
    """The styles of one picture's ``AND`` parts, and of its negative prompt."""

    parts: tuple[Style | None, ...]
    negative: Style | None


@dataclass
class Rows:
    """The pictures of a batch. ``forge``: parts come last first, the negative prompts before them all.

    ``otherwise`` is the style of rows that belong to none.
    """

    pictures: Sequence[Picture]
    forge: bool
    otherwise: Style | None = None
    strange: bool = False
    _prompts: list[torch.Tensor] = field(default_factory=list)
    _used: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        parts = [(number, place) for number, picture in enumerate(self.pictures)
                 for place in range(len(picture.parts))]
        negatives = [(number, -1) for number in range(len(self.pictures))]
        taken = [*negatives, *sorted(parts, key=lambda each: (-each[1], each[0]))] if self.forge else \
            [*parts, *negatives]
        rows = [*parts, *negatives]
        self.styles = [self.pictures[number].negative if place < 0 else self.pictures[number].parts[place]
                       for number, place in rows]
        self._turn = [taken.index(row) for row in rows]

    def step(self, positive: object, negative: object) -> None:
        """The prompts of this step, as the host has them: tensors [rows, tokens, width] or dictionaries of them."""
        self._prompts = [*_tensors(positive), *_tensors(negative)]
        self._used = [0] * len(self._prompts)
        parts = len(self.styles) - len(self.pictures)
        self.strange = len(self._prompts) not in (parts, len(self.styles))

    def choose(self, call: Call) -> list[Style | None]:
        """One style for each row of a call of the UNet."""
        if self.strange or call.context is None:
            self.strange = True
            return [self.otherwise] * call.rows
        found = [self._row(row) for row in call.context]
        if any(place is None for place in found) and call.rows == len(self._prompts):
            return self._by_order(call.rows)
        self.strange |= None in found
        return [self.otherwise if place is None else self.styles[place] for place in found]

    def _by_order(self, rows: int) -> list[Style | None]:
        """A whole batch whose prompts something has changed: still the host's own order."""
        taken = sorted(range(rows), key=lambda place: self._turn[place])
        return [self.styles[place] for place in taken]

    def _row(self, row: torch.Tensor) -> int | None:
        """Whose row this is: of those with its wording the one that was taken least, and comes first."""
        same = [place for place, prompt in enumerate(self._prompts) if _equal(prompt, row)]
        if not same:
            return None
        place = min(same, key=lambda place: (self._used[place], self._turn[place]))
        self._used[place] += 1
        return place


def _tensors(prompts: object) -> list[torch.Tensor]:
    if isinstance(prompts, dict):
        prompts = prompts["crossattn"]
    return list(prompts) if isinstance(prompts, torch.Tensor) else []


def _equal(prompt: torch.Tensor, row: torch.Tensor) -> bool:
    """The same prompt; hosts make it longer where others in the batch are, and change its dtype."""
    tokens = min(len(prompt), len(row))
    return prompt.shape[1] == row.shape[1] and torch.equal(prompt[:tokens].to(row), row[:tokens])
