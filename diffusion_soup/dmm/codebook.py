"""Style prompts and how they are mixed.

A student's UNet adds MLP(ẽ) to its time embedding, where ẽ is one of N learned style prompts eᵢ or a mix
of them (paper 4.5): ``emb = time_embed(t) + MLP(Σ wᵢ eᵢ)``, Σ wᵢ = 1, MLP = Linear -> SiLU -> Linear.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

import torch
from torch.nn.functional import linear, silu

from ..errors import MismatchError, RecipeError, shown


@dataclass(frozen=True, eq=False)
class StyleMLP:
    """Linear(d, d) -> SiLU -> Linear(d, d), in the dtype of the file: ``weight``s [d, d], ``bias``es [d]."""

    weight1: torch.Tensor
    bias1: torch.Tensor
    weight2: torch.Tensor
    bias2: torch.Tensor

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        return self.weight1, self.bias1, self.weight2, self.bias2

    def __call__(self, codes: torch.Tensor) -> torch.Tensor:
        """MLP(ẽ) for codes [..., d], in float32."""
        weight1, bias1, weight2, bias2 = (tensor.float() for tensor in self.tensors)
        return linear(silu(linear(codes.float(), weight1, bias1)), weight2, bias2)

    @cached_property
    def fingerprint(self) -> str:
        """The same for equal weights alone, whatever their dtype. Students with one MLP share their styles."""
        digest = hashlib.sha256()
        for tensor in self.tensors:
            digest.update(tensor.float().contiguous().numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class StyleMix:
    """What the user asks for: a weight for each named style, and how to mix.

    ``mode`` is a key of :data:`MODES`. With ``normalise`` weights are scaled to sum to 1, as in the paper;
    without it they are taken as they are. Negative weights need ``extrapolate``. ``strength`` scales what is
    added to the time embedding; 0 is the plain UNet.

    Raises :class:`RecipeError`.
    """

    weights: Mapping[str, float]
    mode: str = "paper"
    normalise: bool = True
    extrapolate: bool = False
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise RecipeError(f"There is no way to mix styles called {shown(self.mode)}; "
                              f"choose one of {', '.join(MODES)}.")
        for name, weight in {**self.weights, "strength": self.strength}.items():
            if not math.isfinite(weight):
                raise RecipeError(f"The weight of {shown(name)} is {weight}; give it a number.")
        negative = next((name for name, weight in self.weights.items() if weight < 0), None)
        if negative is not None and not self.extrapolate:
            raise RecipeError(f"The style {shown(negative)} has the negative weight {self.weights[negative]:g}. Turn "
                              "on extrapolation to move away from a style, or give it a weight of 0 or more.")
        object.__setattr__(self, "weights", MappingProxyType(dict(self.weights)))

    @classmethod
    def parse(cls, text: str, names: Sequence[str], **options: object) -> StyleMix:
        """``anime = 0.7, ink = 0.3`` (also one a line), or numbers alone in the order of ``names``."""
        parts = [part.strip() for part in text.replace("\n", ",").split(",")]
        parts = [part for part in parts if part]
        if parts and not any("=" in part for part in parts):
            numbers = [number for part in parts for number in part.split()]
            if len(numbers) > len(names):
                raise RecipeError(f"There are {len(numbers)} weights for {len(names)} styles ({_listed(names)}).")
            parts = [f"{name} = {number}" for name, number in zip(names, numbers)]
        weights: dict[str, float] = {}
        for part in parts:
            name, _, number = (piece.strip() for piece in part.rpartition("="))
            if name in weights:
                raise RecipeError(f"The style {shown(name)} is listed twice; keep one of them.")
            try:
                weights[name] = float(number)
            except ValueError:
                raise RecipeError(f"{shown(part)} is not a style and its weight; write it like "
                                  f"\"{names[0] if names else 'anime'} = 0.5\".") from None
        return cls(weights, **options)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Codebook:
    """N style prompts ``codes`` [N, d] with their names and the MLP that reads them. ``family`` is sd1 or sdxl.

    Raises :class:`MismatchError` if these do not belong together.
    """

    codes: torch.Tensor
    mlp: StyleMLP
    names: tuple[str, ...] = ()
    family: str = "sd1"
    file: str = field(default="the codebook", compare=False)

    def __post_init__(self) -> None:
        if self.codes.dim() != 2 or not len(self.codes):
            raise MismatchError(f"{self.file} has no style prompts: model_embedding.weight has the shape "
                                f"{list(self.codes.shape)}, expected [number of styles, width].")
        width = self.codes.shape[1]
        wanted = ((width, width), (width,), (width, width), (width,))
        for tensor, shape, what in zip(self.mlp.tensors, wanted, ("linear_1.weight", "linear_1.bias",
                                                                  "linear_2.weight", "linear_2.bias")):
            if tensor.shape != shape:
                raise MismatchError(f"{self.file}: the style prompts are {width} wide, but the style MLP's {what} has "
                                    f"the shape {list(tensor.shape)}, expected {list(shape)}. The file is no DMM "
                                    "student, or parts of two were mixed.")
        if not self.names:
            object.__setattr__(self, "names", default_names(len(self.codes)))
        check_names(self.names, len(self.codes), self.file)

    @property
    def width(self) -> int:
        """d, the width of the time embedding."""
        return self.codes.shape[1]

    def __len__(self) -> int:
        return len(self.codes)

    def renamed(self, names: Sequence[str]) -> Codebook:
        return replace(self, names=tuple(names))

    def row(self, mix: StyleMix) -> tuple[float, ...]:
        """The weight of each style in ``mix``, normalised where it asks for it.

        Raises :class:`RecipeError` for unknown names, and for weights that sum to zero and are to sum to 1.
        """
        unknown = next((name for name in mix.weights if name not in self.names), None)
        if unknown is not None:
            raise RecipeError(f"{self.file} has no style called {shown(unknown)}; its styles are "
                              f"{_listed(self.names)}.")
        row = [float(mix.weights.get(name, 0.0)) for name in self.names]
        total = math.fsum(row)
        if mix.normalise:
            if abs(total) < 1e-9 or not any(row):
                raise RecipeError(f"The weights of the styles sum to {total:g}, so they cannot be scaled to sum to 1. "
                                  "Raise one of them, or set strength to 0 for no style.")
            row = [weight / total for weight in row]
        return tuple(row)

    def vector(self, row: Sequence[float], mode: str = "paper") -> torch.Tensor:
        """What is added to the time embedding for the weights ``row`` [N]: float32 [d]."""
        return MODES[mode](self, row)

    def mixed(self, row: Sequence[float]) -> torch.Tensor:
        """ẽ = Σ wᵢ eᵢ, float32 [d]. Styles of weight 0 are left out, so one style at 1 is that style to the bit."""
        used = [weight * code.float() for code, weight in zip(self.codes, row) if weight]
        return sum(used[1:], start=used[0]) if used else torch.zeros(self.width)

    # -- editing (new codebooks; this one never changes) ----------------------------------------

    def take(self, names: Sequence[str]) -> Codebook:
        """The named styles alone, in that order."""
        return replace(self, codes=self.codes[[self.index(name) for name in names]], names=tuple(names))

    def without(self, names: Sequence[str]) -> Codebook:
        dropped = {self.index(name) for name in names}
        kept = [name for position, name in enumerate(self.names) if position not in dropped]
        if not kept:
            raise RecipeError(f"All {len(self)} styles of {self.file} would be dropped; keep at least one.")
        return self.take(kept)

    def appended(self, other: Codebook) -> Codebook:
        """With the styles of another student of the same MLP behind ours."""
        self.require_same_mlp(other)
        return replace(self, codes=torch.cat((self.codes, other.codes.to(self.codes.dtype))),
                       names=tuple(unique((*self.names, *other.names))))

    def replaced(self, name: str, other: Codebook, by: str) -> Codebook:
        """With the code and name of one style taken from another student of the same MLP."""
        self.require_same_mlp(other)
        codes, at = self.codes.clone(), self.index(name)
        codes[at] = other.codes[other.index(by)].to(codes.dtype)
        names = [*self.names[:at], by, *self.names[at + 1:]]
        return replace(self, codes=codes, names=tuple(unique(names)))

    def index(self, name: str) -> int:
        try:
            return self.names.index(name)
        except ValueError:
            raise RecipeError(f"{self.file} has no style called {shown(name)}; its styles are "
                              f"{_listed(self.names)}.") from None

    def require_same_mlp(self, other: Codebook) -> None:
        """Raise :class:`MismatchError` if the other's style prompts mean nothing to our MLP."""
        if (self.family, self.width) != (other.family, other.width):
            raise MismatchError(f"{self.file} is a student of {TITLES[self.family]} and {other.file} one of "
                                f"{TITLES[other.family]}; styles cannot travel between them.")
        if self.mlp.fingerprint != other.mlp.fingerprint:
            raise MismatchError(f"{self.file} and {other.file} were trained apart: their style MLPs differ, so the "
                                "styles of one mean nothing to the other. Take styles from a student that was extended "
                                "from this one.")


TITLES = {"sd1": "SD 1.x", "sdxl": "SDXL"}


def _paper(codebook: Codebook, row: Sequence[float]) -> torch.Tensor:
    """MLP(Σ wᵢ eᵢ), paper 4.5."""
    return codebook.mlp(codebook.mixed(row))


def _norm_preserving(codebook: Codebook, row: Sequence[float]) -> torch.Tensor:
    """MLP(ẽ · Σ|wᵢ|‖eᵢ‖ / ‖ẽ‖): a mix as long as its ingredients; random codes shrink by √N otherwise."""
    if sum(weight != 0 for weight in row) == 1:
        return _paper(codebook, row)
    code = codebook.mixed(row)
    length = code.norm().item()
    if not length:
        raise RecipeError("These weights cancel each other out, so there is no direction to keep the length of. Change "
                          "one of them, or mix as in the paper.")
    wanted = math.fsum(abs(weight) * vector.norm().item() for weight, vector in zip(row, codebook.codes.float()))
    return codebook.mlp(code * (wanted / length))


def _after_mlp(codebook: Codebook, row: Sequence[float]) -> torch.Tensor:
    """Σ wᵢ MLP(eᵢ)."""
    used = [weight * codebook.mlp(code) for code, weight in zip(codebook.codes, row) if weight]
    return sum(used[1:], start=used[0]) if used else torch.zeros(codebook.width)


#: How styles are mixed, by the words users see.
MODES: Mapping[str, Callable[[Codebook, Sequence[float]], torch.Tensor]] = MappingProxyType(
    {"paper": _paper, "norm-preserving": _norm_preserving, "after MLP": _after_mlp})


def default_names(count: int) -> tuple[str, ...]:
    return tuple(f"style {number}" for number in range(1, count + 1))


def check_names(names: Sequence[str], count: int, file: str) -> None:
    """Raise :class:`RecipeError` unless there is one usable name for each of ``count`` styles."""
    if len(names) != count:
        raise RecipeError(f"{file} has {count} styles, but there are {len(names)} names ({_listed(names)}). Give one "
                          "name for each style.")
    for name in names:
        if not name.strip() or not name.isprintable() or len(name) > 100 or "," in name or "=" in name:
            raise RecipeError(f"{shown(name)} cannot be the name of a style; use up to 100 printable characters "
                              "without comma and equals sign.")
    twice = next((name for position, name in enumerate(names) if name in names[:position]), None)
    if twice is not None:
        raise RecipeError(f"Two styles of {file} are called {shown(twice)}; give each a name of its own.")


def unique(names: Sequence[str]) -> list[str]:
    """The names, those that are taken already with a number behind them."""
    found: list[str] = []
    for name in names:
        number, tried = 2, name
        while tried in found:
            tried, number = f"{name} {number}", number + 1
        found.append(tried)
    return found


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(names[:20])
    return listed + (f" and {len(names) - 20} more" if len(names) > 20 else "")
