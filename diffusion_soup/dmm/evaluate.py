"""How well a student paints like each of its teachers: FIDt and its proxies (DMM, 2504.12364, section 5.2).

``M(i, j)`` is the FID of pictures in the student's style i to those of teacher j; FIDt = Σ M(i, i). A teacher compared
with itself, from other noise, is not at 0 either, with so few pictures; the sum of these is the reference, and
FIDt / reference says how far a student is from being as good as its teachers are like themselves: 1 is the best.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import FileError, RecipeError
from ..files import replacing
from ..frechet import Gaussian, frechet
from ..progress import Progress, Silent, check

#: (B, 3, H, W) pictures from 0 to 1 -> (B, D) features. FID is theirs: compare values of one extractor only.
Features = Callable[[Tensor], Tensor]
#: (style, seed) -> (B, 3, H, W) pictures from 0 to 1 of the same prompts in the same order.
Paint = Callable[[int, int], Tensor]


@dataclass(frozen=True)
class Evaluation:
    """``matrix[i][j]`` is M(i, j); ``teachers[i][j]`` the FID of teacher i to teacher j with another seed, whose trace
    is the reference. ``same_seed[i]`` is the root mean square difference of pictures of style i and teacher i from the
    same noise, pixels from 0 to 1."""

    names: tuple[str, ...]
    pictures: int
    matrix: tuple[tuple[float, ...], ...]
    teachers: tuple[tuple[float, ...], ...]
    same_seed: tuple[float, ...]

    @property
    def fidt(self) -> float:
        """FIDt = tr M."""
        return sum(row[at] for at, row in enumerate(self.matrix))

    @property
    def reference(self) -> float:
        """The same of the teachers themselves."""
        return sum(row[at] for at, row in enumerate(self.teachers))

    @property
    def ratio(self) -> float:
        """FIDt / reference; the paper's best is 1.035."""
        return self.fidt / self.reference

    @property
    def mixed_up(self) -> list[str]:
        """The styles that are closer to another teacher than to their own."""
        return [name for at, (name, row) in enumerate(zip(self.names, self.matrix)) if min(row) < row[at]]

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"names": list(self.names), "pictures": self.pictures, "fidt": self.fidt, "reference": self.reference,
                "ratio": self.ratio, "matrix": [list(row) for row in self.matrix],
                "teachers": [list(row) for row in self.teachers], "same_seed": list(self.same_seed)}

    def markdown(self) -> str:
        """A row for each style: its FID to each teacher, its teacher's to itself, and the distance from one noise."""
        lines = ["| style | " + " | ".join(f"to {name}" for name in self.names) + " | reference | same noise |",
                 "|---" * (len(self.names) + 3) + "|"]
        for at, name in enumerate(self.names):
            values = [f"**{value:.2f}**" if at == other else f"{value:.2f}" for other, value in
                      enumerate(self.matrix[at])]
            lines.append(f"| {name} | {' | '.join(values)} | {self.teachers[at][at]:.2f} | {self.same_seed[at]:.4f} |")
        return "\n".join([*lines, "", f"FIDt {self.fidt:.2f}, reference {self.reference:.2f}, ratio "
                          f"{self.ratio:.3f}, by {self.pictures} pictures a style.", ""])


class Painted:
    """Pictures of student and teachers, made once and kept in ``folder``: an evaluation that was stopped goes on.

    ``who`` names what paints, such as the hash of its weights: another one has other files.
    """

    def __init__(self, paint: Paint, who: str, folder: Path, progress: Progress | None = None) -> None:
        self._paint, self._who, self._folder = paint, who, folder
        self._progress = progress or Silent()

    def __call__(self, style: int, seed: int) -> Tensor:
        """The pictures, rounded to 8 bits as files would have them."""
        name = hashlib.sha256(json.dumps([self._who, style, seed]).encode()).hexdigest()[:20]
        path = self._folder / f"pictures-{name}.safetensors"
        try:
            with safe_open(str(path), framework="pt") as file:
                whole: Tensor = file.get_tensor("pictures")
        except (OSError, SafetensorError):
            check(self._progress)
            whole = (self._paint(style, seed).clamp(0, 1) * 255).round().to(torch.uint8).cpu().contiguous()
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                with replacing(path) as part:
                    part.write_bytes(save({"pictures": whole}))
            except OSError as error:
                raise FileError(f"{path} could not be written: {error.strerror}. Choose another folder for the "
                                "evaluation.") from None
        return whole.float() / 255


def evaluate(names: tuple[str, ...], student: Paint, teachers: Paint, features: Features, *, seeds: tuple[int, int]
             = (0, 1), progress: Progress | None = None) -> Evaluation:
    """Compare every style with every teacher.

    Student and teachers paint with the first seed, for the same-seed distance from the same noise; the teachers once
    more with the second, and it is those pictures that student and teachers are compared with. Raises
    :class:`RecipeError` for less than two pictures, and :class:`Cancelled`.
    """
    progress = progress or Silent()
    count = len(names)
    done, total = 0, 3 * count

    def step(what: str) -> None:
        nonlocal done
        done += 1
        progress.step(done, total, what)
        check(progress)

    against, ours, theirs = [], [], []
    same: list[float] = []
    pictures = 0
    for at, name in enumerate(names):
        against.append(_gaussian(features(teachers(at, seeds[1])), name))
        step(f"pictures of {name}")
        original = teachers(at, seeds[0])
        theirs.append(_gaussian(features(original), name))
        step(f"pictures of {name}")
        copy = student(at, seeds[0])
        if copy.shape != original.shape:
            raise RecipeError(f"Student and teacher {name} painted {list(copy.shape)} and {list(original.shape)}; both "
                              "need the same prompts and sizes.")
        ours.append(_gaussian(features(copy), name))
        same.append(float((copy - original).square().mean().sqrt()))
        pictures = len(copy)
        step(f"the student's pictures of {name}")

    def matrix(rows: list[Gaussian]) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(frechet(row, column) for column in against) for row in rows)

    return Evaluation(names, pictures, matrix(ours), matrix(theirs), tuple(same))


def heat_map(evaluation: Evaluation, cell: int = 84) -> Any:
    """The matrix as a PIL picture: a row for each style, a column for each teacher, dark where they are close."""
    from PIL import Image, ImageDraw

    from ..fonts import font
    left, top, count = 170, 44, len(evaluation.names)
    picture = Image.new("RGB", (left + count * cell + 12, top + count * cell + 12), "white")
    pen = ImageDraw.Draw(picture)
    most = max(max(row) for row in evaluation.matrix) or 1.0
    for at, name in enumerate(evaluation.names):
        pen.text((left - 10, top + (at + 0.5) * cell), name[:18], "#222222", font(15), anchor="rm")
        pen.text((left + (at + 0.5) * cell, top / 2), name[:11], "#222222", font(15), anchor="mm")
        for other, value in enumerate(evaluation.matrix[at]):
            near = 1 - (value / most) ** 0.5
            box = (left + other * cell, top + at * cell, left + (other + 1) * cell - 2, top + (at + 1) * cell - 2)
            pen.rectangle(box, fill=tuple(round(245 - near * (245 - low)) for low in (30, 80, 140)))
            pen.text((left + (other + 0.5) * cell, top + (at + 0.5) * cell), f"{value:.3g}",
                     "white" if near > 0.5 else "#222222", font(15), anchor="mm")
    return picture


def timestep_errors(errors: Mapping[int, Tensor]) -> dict[int, float]:
    """Mean |ε_stu − ε_tea|² at each time, from the squared errors (B, ...) there: where a student is wrong."""
    return {time: float(each.float().mean()) for time, each in sorted(errors.items())}


def _gaussian(features: Tensor, name: str) -> Gaussian:
    if len(features) < 2:
        raise RecipeError(f"There is {len(features)} picture of {name}; FID needs at least two, and thousands to mean "
                          "much.")
    return Gaussian.of(features)
