"""Taste before you cook: how far each ingredient lies from the base, which way it went, and what that means.

Averaging works where all ingredients were fine-tuned from one base and moved little. Both can be told from the
weights: the distance ‖θᵢ − θ₀‖/‖θ₀‖ of two trainings of their own is 1 or more, because their weights have nothing to
do with each other, and fine-tunes stay far below that.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .architecture import DIFFUSION
from .folders import ModelFolders
from .geometry import Geometry, Sums, measure
from .progress import Progress
from .recipe import ModelFile, Recipe

#: Of the base's norm. Weights that have nothing to do with it are 1 or more away; half of that is very far.
STRANGE, FAR = 0.9, 0.5
#: Times the distance of the others, for one that lies apart.
APART = 4.0
#: Task vectors of a smaller cosine have nothing in common.
_NOTHING = 0.05

#: Verdicts and the word for each, as a badge shows it.
WORDS = {"fits": "fits", "far": "far", "stranger": "stranger", "equal": "no change", "broken": "broken",
         "unfit": "unfit", "unknown": "alone"}


@dataclass(frozen=True)
class Tasted:
    """One ingredient. ``distance`` is of its task vector in the diffusion model, over the norm of the base, or of
    those tensors of it that a LoRA changes; ``blocks`` the same block by block. ``cosines`` and ``conflicts`` (the
    share of numbers that both change, in opposite directions) are to each ingredient, None where there is none.
    """

    file: str
    kind: str
    verdict: str
    sentence: str
    distance: float | None = None
    blocks: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    cosines: tuple[float | None, ...] = ()
    conflicts: tuple[float | None, ...] = ()

    @property
    def word(self) -> str:
        return WORDS[self.verdict]


@dataclass(frozen=True)
class Taste:
    """What was found. ``base`` is None where distances are from the mean of the ingredients."""

    base: str | None
    ingredients: tuple[Tasted, ...]
    blocks: tuple[str, ...]
    sampled: bool
    read_bytes: int

    @property
    def reference(self) -> str:
        return self.base if self.base is not None else "the mean of the ingredients"

    def to_dict(self) -> dict[str, Any]:
        """JSON values; a number that is not known is null."""
        return {"base": self.base, "reference": self.reference, "sampled": self.sampled, "read_bytes": self.read_bytes,
                "blocks": list(self.blocks),
                "ingredients": [{**dataclasses.asdict(dataclasses.replace(each, blocks=dict(each.blocks))),
                                 "word": each.word} for each in self.ingredients]}

    def report(self) -> str:
        """A few lines for people."""
        how = "a sample of the numbers" if self.sampled else "every number"
        lines = [f"Distances from {self.reference}, by {how} ({self.read_bytes / 1e6:.0f} MB read)"]
        for each in self.ingredients:
            lines += ["", f"[{each.word}] {each.file}", f"  {each.sentence}"]
            known = [(name, value) for name, value in each.blocks.items() if value is not None]
            if known:
                lines.append("  " + ", ".join(f"{name} {percent(value)}" for name, value in known))
        return "\n".join(lines)


def taste(recipe: Recipe, models: ModelFolders, *, sampled: bool = False, progress: Progress | None = None) -> Taste:
    """Taste the ingredients of a recipe; shares do not matter. Reads every file once, or a sample of it.

    Raises :class:`SoupError` if the base cannot be read, and :class:`Cancelled`.
    """
    geometry = measure(recipe.base, recipe.ingredients, models, sampled=sampled, progress=progress)
    return judge(geometry, [each.strength for each in recipe.ingredients])


def judge(geometry: Geometry, strengths: Sequence[float] | None = None, active: Sequence[bool] | None = None) -> Taste:
    """The verdicts on what was measured: LoRAs at these strengths, the ``active`` ingredients in the soup."""
    n = len(geometry.files)
    view = _View(geometry, np.ones(n) if strengths is None else np.asarray(strengths, dtype=float),
                 np.ones(n, bool) if active is None else np.asarray(active, dtype=bool))
    return Taste(geometry.base.file if geometry.base else None, tuple(view.tasted(at) for at in range(n)),
                 view.blocks, geometry.sampled, geometry.read_bytes)


def percent(distance: float | None) -> str:
    """A distance as it is shown: a share of the base's norm."""
    if distance is None:
        return "unknown"
    return f"{100 * distance:.0f}%" if distance >= 0.0995 else f"{100 * distance:.2g}%"


def _number(cosine: float) -> str:
    return f"{cosine + 0.0:.2f}".replace("-0.00", "0.00")


class _View:
    """Sums as seen from the base, or from the mean of the active ingredients."""

    def __init__(self, geometry: Geometry, strengths: np.ndarray, active: np.ndarray) -> None:
        self.geometry, self.files = geometry, geometry.files
        loras = np.array([file.kind == "lora" for file in self.files], dtype=bool)
        self._scale = np.where(loras, strengths, 1.0) if len(loras) else np.ones(0)
        finite = self._finite()
        self.usable = [at for at in range(len(self.files)) if at not in geometry.problems and finite[at]]
        self.mean = np.array([float(at in self.usable and bool(active[at])) for at in range(len(self.files))])
        if not self.mean.any():
            self.mean = np.array([float(at in self.usable) for at in range(len(self.files))])
        self.mean /= max(self.mean.sum(), 1.0)
        self.others = [at for at in self.usable if active[at]]
        self.sums = {name: self._seen(sums) for name, sums in geometry.blocks.items()}
        self.blocks = tuple(dict.fromkeys(block for _, block in self.sums))
        whole = [sums for (part, _), sums in self.sums.items() if part == DIFFUSION]
        self.whole = self._total(whole)
        self.everything = self._total(list(self.sums.values()))
        self.distances = [self._distance(self.everything if self.whole.norms[at] == 0 else self.whole, at)
                          for at in range(len(self.files))]  # some LoRAs change the text encoder alone

    def _finite(self) -> list[bool]:
        return [all(np.isfinite(sums.gram[at, at]) for sums in self.geometry.blocks.values())
                for at in range(len(self.files))]

    def _total(self, parts: Sequence[Sums]) -> Sums:
        return sum(parts, Sums.none(len(self.files)))

    def _seen(self, sums: Sums) -> Sums:
        """The sums with LoRAs at their strengths; without a base, counted from the mean."""
        scale = self._scale
        signs = np.sign(scale)
        flipped = np.outer(signs, signs) < 0
        seen = dataclasses.replace(
            sums, along=sums.along * scale, gram=sums.gram * np.outer(scale, scale),
            opposed=np.where(flipped, sums.compared - sums.opposed, sums.opposed))
        if self.geometry.base is not None:
            return seen
        w = self.mean
        gram, along = np.where(w[:, None] * w > 0, seen.gram, 0.0), np.where(w > 0, seen.along, 0.0)
        between = np.where(w > 0, seen.gram, 0.0) @ w  # ⟨τᵢ, τ̄⟩
        norm = sums.norm + 2 * float(along @ w) + float(w @ gram @ w)  # ‖θ₀ + τ̄‖²
        centred = seen.gram - between[:, None] - between[None, :] + float(w @ gram @ w)
        return dataclasses.replace(seen, norm=norm, norms=np.where(sums.norms > 0, norm, 0.0), gram=centred)

    @staticmethod
    def _distance(sums: Sums, at: int) -> float | None:
        norm, square = float(sums.norms[at]), float(sums.gram[at, at])
        return (max(square, 0.0) / norm) ** 0.5 if norm > 0 and np.isfinite(square) else None

    def _cosine(self, at: int, other: int) -> float | None:
        lengths = float(self.everything.gram[at, at] * self.everything.gram[other, other])
        both = at != other and at in self.usable and other in self.usable and self.geometry.base is not None
        if not both or not lengths > 0:
            return None
        return float(np.clip(self.everything.gram[at, other] / lengths ** 0.5, -1, 1))

    def _conflict(self, at: int, other: int) -> float | None:
        compared = float(self.everything.compared[at, other])
        both = at != other and at in self.usable and other in self.usable and self.geometry.base is not None
        return float(self.everything.opposed[at, other]) / compared if both and compared > 0 else None

    def _between(self, at: int, other: int) -> float:
        """‖θᵢ − θⱼ‖, over the norm of what is between them."""
        gram = self.whole.gram
        square = float(gram[at, at] + gram[other, other] - 2 * gram[at, other])
        return (max(square, 0.0) / self.whole.norm) ** 0.5 if self.whole.norm > 0 else 0.0

    # -- verdicts --------------------------------------------------------------------------------

    def tasted(self, at: int) -> Tasted:
        file = self.files[at]
        if at in self.geometry.problems:
            return Tasted(file.file, file.kind, "unfit", self.geometry.problems[at])
        if at not in self.usable:
            return Tasted(file.file, file.kind, "broken", f"{name_of(file)} or the base holds NaN or infinity; "
                          "pictures would be black. Download or save it again.")
        everyone = range(len(self.files))
        verdict, sentence = self._verdict(at)
        return Tasted(file.file, file.kind, verdict, sentence, self.distances[at],
                      {block: self._in_block(block, at) for block in self.blocks},
                      tuple(self._cosine(at, other) for other in everyone),
                      tuple(self._conflict(at, other) for other in everyone))

    def _in_block(self, block: str, at: int) -> float | None:
        return self._distance(self._total([sums for (_, name), sums in self.sums.items() if name == block]), at)

    def _verdict(self, at: int) -> tuple[str, str]:
        if self.geometry.base is None:
            return self._without_base(at)
        name, distance = name_of(self.files[at]), self.distances[at] or 0.0
        if not distance:
            where = " wherever it was looked at" if self.geometry.sampled else ""
            return "equal", f"{name} equals the base{where}: it adds nothing."
        others = [other for other in self.others if other != at]
        cosines = [(cosine, other) for other in others if (cosine := self._cosine(at, other)) is not None]
        nearest = max(cosines, default=None)
        said = f"cosine {_number(nearest[0])}, " if nearest else ""
        usual = statistics.median([self.distances[other] or 0.0 for other in others]) if others else 0.0
        times = distance / usual if usual else 0.0
        apart = f", {times:.0f}x the others" if times >= APART else ""
        if self.files[at].kind == "lora":
            if distance >= FAR:
                return "far", (f"{name} changes the tensors it touches by {percent(distance)} of their norm, which is "
                               "very much: lower its strength.")
            touched = f"{name} changes the tensors it touches by {percent(distance)} of their norm"
            return "fits", f"{touched}{self._closest(at, nearest)}."
        if distance >= STRANGE:
            return "stranger", (f"{name} is not a fine-tune of this base ({said}distance {percent(distance)}{apart}): "
                                "the average is likely noise.")
        if distance >= FAR or (times >= APART and len(others) > 1 and (not nearest or nearest[0] < 0.1)):
            return "far", (f"{name} went far from this base ({said}distance {percent(distance)}{apart}): the average "
                           "may be blurred.")
        return "fits", f"{name} lies {percent(distance)} from the base{self._closest(at, nearest)}."

    def _closest(self, at: int, nearest: tuple[float, int] | None) -> str:
        if nearest is None or nearest[0] < _NOTHING:
            return ""
        cosine, other = nearest
        conflict = self._conflict(at, other)
        signs = f", {100 * conflict:.0f}% of signs conflict" if conflict is not None else ""
        return f"; closest to {name_of(self.files[other])} (cosine {_number(cosine)}{signs})"

    def _without_base(self, at: int) -> tuple[str, str]:
        name, distance = name_of(self.files[at]), self.distances[at] or 0.0
        others = [other for other in self.others if other != at]
        if not others:
            return "unknown", f"There is nothing to compare {name} with: choose a base, or add another ingredient."
        between = sorted(self._between(at, other) for other in others)
        usual = between[(len(between) - 1) // 2]  # of two halves that do not fit, neither is right
        rest = [self._between(one, two) for one in others for two in others if one < two]
        if not between[0] and len(others) == 1:
            return "equal", f"{name} equals {name_of(self.files[others[0]])}: choose a base to see more."
        if usual >= STRANGE:
            return "stranger", (f"{name} has no base in common with {self._whom(others)} (distance {percent(usual)}): "
                                "the average is likely noise.")
        apart = usual / statistics.median(rest) if rest and statistics.median(rest) else 0.0
        if usual >= FAR or apart >= APART:
            return "far", (f"{name} lies far from {self._whom(others)} ({percent(usual)}"
                           f"{f', {apart:.0f}x their distance from each other' if apart >= APART else ''}).")
        return "fits", f"{name} lies {percent(distance)} from the mean of the ingredients."

    def _whom(self, others: Sequence[int]) -> str:
        return name_of(self.files[others[0]]) if len(others) == 1 else "the others"


def name_of(file: ModelFile) -> str:
    """How people call a file: its name without folder and suffix."""
    return file.file.rsplit("/", 1)[-1].rsplit(".", 1)[0]
