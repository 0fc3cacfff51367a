"""Merge methods as data: a name, a title, a paper, parameters and the formula.

The methods here are *linear*: for every tensor the result is ``c₀ θ₀ + Σᵢ cᵢ θᵢ``, and a method is
fully described by how it turns shares into the coefficients ``cᵢ`` and ``c₀``. That lets the executor
stream any number of ingredients through one accumulator, and lets LoRAs, being ``θ₀ + s ΔW``, take part
without ever being materialised.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .errors import RecipeError, shown


@dataclass(frozen=True)
class Parameter:
    """One number a method takes beside the shares."""

    name: str
    default: float
    minimum: float
    maximum: float
    meaning: str


Coefficients = tuple[tuple[float, ...], float]
Formula = Callable[[Sequence[float], Mapping[str, float]], Coefficients]


@dataclass(frozen=True)
class Method:
    """One row of the registry. ``coefficients(shares, parameters)`` returns ``(c₁..cₙ), c₀``."""

    name: str
    title: str
    paper: str
    formula: str
    coefficients: Formula
    needs_base: bool = False
    parameters: tuple[Parameter, ...] = ()


def _soup(shares: Sequence[float], parameters: Mapping[str, float]) -> Coefficients:
    """θ = Σ wᵢ θᵢ (Diffusion Soup, eq. 2; Model soups)."""
    return tuple(shares), 0.0


def _task_arithmetic(shares: Sequence[float], parameters: Mapping[str, float]) -> Coefficients:
    """θ = θ₀ + λ Σ wᵢ (θᵢ − θ₀) (Ilharco et al., sec. 2)."""
    scaled = tuple(parameters["scale"] * share for share in shares)
    return scaled, 1.0 - math.fsum(scaled)


METHODS: dict[str, Method] = {method.name: method for method in (
    Method("soup", "Soup (weighted average)", "Diffusion Soup, arXiv 2406.08431", "θ = Σ wᵢ θᵢ", _soup),
    Method("task_arithmetic", "Task arithmetic", "Editing Models with Task Arithmetic, arXiv 2212.04089",
           "θ = θ₀ + λ Σ wᵢ (θᵢ − θ₀)", _task_arithmetic, needs_base=True,
           parameters=(Parameter("scale", 1.0, -10.0, 10.0, "λ, by which the sum of task vectors is scaled"),)),
)}


def method(name: str) -> Method:
    """The registry's row of that name. Raises :class:`RecipeError`."""
    try:
        return METHODS[name]
    except KeyError:
        raise RecipeError(f"Unknown method {shown(name)}; known are {', '.join(METHODS)}.") from None


def parameters(chosen: Method, given: Mapping[str, float]) -> dict[str, float]:
    """The method's parameters, defaults filled in. Raises :class:`RecipeError` for unknown or wild ones."""
    known = {parameter.name: parameter for parameter in chosen.parameters}
    for name, value in given.items():
        if name not in known:
            raise RecipeError(f"Method {chosen.name!r} has no parameter {shown(name)}; "
                              f"it takes {', '.join(known) or 'none'}.")
        if not known[name].minimum <= value <= known[name].maximum:
            raise RecipeError(f"Parameter {name!r} of {chosen.name!r} is {value}; expected "
                              f"{known[name].minimum} to {known[name].maximum}.")
    return {name: given.get(name, parameter.default) for name, parameter in known.items()}


def normalised(shares: Sequence[float], where: str) -> tuple[float, ...]:
    """ŵᵢ = wᵢ / Σⱼ wⱼ, the same for every order of the shares. Raises :class:`RecipeError` if Σ is not positive."""
    total = math.fsum(shares)
    if not total > 0:
        raise RecipeError(f"The shares in {where} add up to {total:g}, so they cannot be normalised to 1. "
                          "Give at least one ingredient a positive share there.")
    return tuple(share / total for share in shares)
