"""How a student is trained: every number of it, in one place that can be compared, kept and refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import RecipeError, shown

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Course:
    """One training. The defaults are the paper's where it tells them (section 5.1), for losses that are means.

    ``batch`` pictures a step over all processes. With ``shared``, every picture of a step is shown to all teachers, so
    there are batch / N of them; without it each picture has one teacher. ``feature`` and ``adversarial`` are the
    weights λ of those losses (the score's is 1), 0 for none. ``min_snr`` is γ of Min-SNR weighting, 0 for none.
    ``untold`` is how often a prompt is left out, for student and teacher alike. ``average`` is the decay of the EMA, 0
    for none. The learning rate warms up over ``warm`` steps and then stays, or falls to 0 along a cosine where ``fall``
    is on. Raises :class:`RecipeError` naming the field.
    """

    steps: int = 100_000
    batch: int = 320
    rate: float = 1e-5
    feature: float = 2e-3
    adversarial: float = 1e-2
    discriminator_rate: float = 1e-5
    shared: bool = False
    min_snr: float = 0.0
    untold: float = 0.1
    average: float = 0.0
    warm: int = 0
    fall: bool = False
    clip: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    decay: float = 1e-2
    precision: str = "float32"
    seed: int = 0

    #: The least and the most of each number.
    LIMITS = {"steps": (1, 10**9), "batch": (1, 10**6), "rate": (0, 1), "feature": (0, 1e6), "adversarial": (0, 1e6),
              "discriminator_rate": (0, 1), "min_snr": (0, 1e6), "untold": (0, 1), "average": (0, 1),
              "warm": (0, 10**9), "clip": (0, 1e9), "decay": (0, 1), "seed": (0, 2**31 - 1)}

    def __post_init__(self) -> None:
        for name, (least, most) in self.LIMITS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or \
                    not least <= value <= most:
                raise RecipeError(f"{name} of the training is {shown(str(value))}; expected a number from {least:g} to "
                                  f"{most:g}.")
        if self.rate == 0:
            raise RecipeError("rate of the training is 0, so nothing would be learnt; the paper's is 1e-05.")
        if self.precision not in PRECISIONS:
            raise RecipeError(f"precision of the training is {shown(self.precision)}; expected one of: "
                              f"{', '.join(PRECISIONS)}.")

    @staticmethod
    def of(given: Mapping[str, Any]) -> Course:
        """From the table ``[train]`` of a configuration. Unknown fields are refused by name."""
        known = {each.name: each for each in fields(Course)}
        for name, value in given.items():
            if name not in known:
                raise RecipeError(f"There is no {shown(name)} in [train]; known are {', '.join(known)}.")
            default = known[name].default
            if isinstance(default, int) and not isinstance(default, bool) and not isinstance(value, int):
                raise RecipeError(f"{name} of the training is {shown(str(value))}; expected a whole number.")
            if isinstance(default, bool) and not isinstance(value, bool):
                raise RecipeError(f"{name} of the training is {shown(str(value))}; expected true or false.")
        betas = given.get("betas")
        if betas is not None and not (isinstance(betas, (list, tuple)) and len(betas) == 2 and all(
                isinstance(each, (int, float)) and 0 <= each < 1 for each in betas)):
            raise RecipeError("betas of the training are two numbers from 0 to below 1, such as [0.9, 0.999].")
        return Course(**{**given, **({"betas": tuple(betas)} if betas is not None else {})})

    def at(self, step: int) -> float:
        """The factor of both learning rates at a step."""
        rise = min(1.0, (step + 1) / (self.warm + 1))
        return rise * (0.5 + 0.5 * math.cos(math.pi * step / self.steps)) if self.fall else rise

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """What another course, as :func:`told` gave it, has different, but for its length."""
        mine = told(self)
        return [f"{name} ({other.get(name)} before, {mine[name]} now)" for name in mine
                if name != "steps" and other.get(name) != mine[name]]


def told(course: Course) -> dict[str, Any]:
    """As JSON has it."""
    return {**asdict(course), "betas": list(course.betas)}
