"""Teaching a student new styles without losing the old ones (DMM, 2504.12364, section 4.4).

Fine-tuned on a new teacher alone, a student forgets. So the student as it was stays, frozen, as one more teacher that
answers for all old styles; the new teachers answer for theirs. To a training they are teachers like any others.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import RecipeError
from .network import StudentUNet, Text, tapped
from .noise import Schedule
from .teachers import Seen, Teachers


class Frozen:
    """A student as the teacher of its own styles, as it is now: what becomes of it later changes nothing here."""

    def __init__(self, student: StudentUNet, names: Sequence[str], schedule: Schedule, prediction: str = "epsilon"
                 ) -> None:
        if len(names) != len(student.codes):
            raise RecipeError(f"The student has {len(student.codes)} styles and there are {len(names)} names; give one "
                              "for each.")
        self.names = tuple(names)
        self._student = copy.deepcopy(student).requires_grad_(False).eval()
        self._schedule, self._prediction = schedule, prediction

    @torch.no_grad()
    def see(self, noisy: Tensor, times: Tensor, text: Text, styles: Tensor, features: bool = False) -> Seen:
        with tapped(self._student.unet, None if features else ()) as found:
            output = self._student(noisy, times, text, styles)
        return Seen(self._schedule.epsilon(output, noisy, times, self._prediction), tuple(found))


class Together:
    """The teachers of several groups, one group's styles behind the other's."""

    def __init__(self, *groups: Teachers) -> None:
        self.names = tuple(name for group in groups for name in group.names)
        twice = next((name for at, name in enumerate(self.names) if name in self.names[:at]), None)
        if twice is not None:
            raise RecipeError(f"There is a style {twice} already; give the new one another name.")
        self._groups = groups

    def see(self, noisy: Tensor, times: Tensor, text: Text, styles: Tensor, features: bool = False) -> Seen:
        parts: list[Seen] = []
        rows: list[Tensor] = []
        first = 0
        for group in self._groups:
            own = torch.nonzero((styles >= first) & (styles < first + len(group.names))).flatten().to(noisy.device)
            if len(own):
                rows.append(own)
                parts.append(group.see(noisy[own], times[own], text.pick(own), styles[own.to(styles.device)] - first,
                                       features))
            first += len(group.names)
        order = torch.cat(rows).argsort()
        return Seen(torch.cat([part.epsilon for part in parts])[order],
                    tuple(torch.cat(each)[order] for each in zip(*(part.features for part in parts))))


def extended(student: StudentUNet, names: Sequence[str], new: Teachers, schedule: Schedule, *,
             prediction: str = "epsilon", seed: int = 0) -> Together:
    """Give a student a style for each new teacher, and return the teachers for its training: itself as it was, and
    the new ones. With :class:`~.train.Training`, old and new styles come equally often."""
    teachers = Together(Frozen(student, names, schedule, prediction), new)
    student.extend(len(new.names), seed=seed)
    return teachers
