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

    ``otherwise`` is the style of rows that belong to none. ``strange``: such rows were there.
    """

    pictures: Sequence[Picture]
    forge: bool
    otherwise: Style | None = None
    strange: bool = False
    _lost: bool = False
    _prompts: list[torch.Tensor] = field(default_factory=list)
    _used: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lay(self.pictures)

    def _lay(self, pictures: Sequence[Picture]) -> None:
        """The rows of these pictures: their styles, and the order in which the host takes them."""
        parts = [(number, place) for number, picture in enumerate(pictures) for place in range(len(picture.parts))]
        negatives = [(number, -1) for number in range(len(pictures))]
        taken = [*negatives, *sorted(parts, key=lambda each: (-each[1], each[0]))] if self.forge else \
            [*parts, *negatives]
        rows = [*parts, *negatives]
        self.styles = [pictures[number].negative if place < 0 else pictures[number].parts[place]
                       for number, place in rows]
        self._turn = [taken.index(row) for row in rows]

    def step(self, positive: object, negative: object) -> None:
        """The prompts of this step, as the host has them: tensors [rows, tokens, width] or dictionaries of them."""
        ours, against = _tensors(positive), _tensors(negative)
        self._prompts = [*ours, *against]
        self._used = [0] * len(self._prompts)
        pictures = self._in_tiles(len(ours), len(against))
        self._lost = pictures is None
        self._lay(pictures or self.pictures)

    def _in_tiles(self, parts: int, negatives: int) -> Sequence[Picture] | None:
        """The pictures as often as a panorama has tiles of them in this batch; where its region's prompt has AND and a
        picture's has none, the picture's style is in all of them. None where the numbers do not fit."""
        ours, pictures = sum(len(each.parts) for each in self.pictures), self.pictures
        times = max(negatives // len(pictures) if negatives else parts // ours, 1)
        if parts != ours * times and all(len(each.parts) == 1 for each in pictures):
            pictures = [Picture(each.parts * (parts // (ours * times)), each.negative) for each in pictures]
        found = [*pictures] * times
        fits = parts == sum(len(each.parts) for each in found) and negatives in (0, len(found))
        return found if fits else None

    def choose(self, call: Call) -> list[Style | None]:
        """One style for each row of a call of the UNet."""
        if self._lost or call.context is None:
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
