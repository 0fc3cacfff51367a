"""The axis of the host's X/Y/Z plot for the weight of a student's style.

What the section *DMM styles* says stays, but for these weights. Where the section is off, they alone count: as tags in
the prompt do, a sum of more than 1 is scaled to 1, and less leaves the rest unstyled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from diffusion_soup import SoupError
from diffusion_soup.axes import StyleWeight, style_weights
from diffusion_soup.dmm import Codebook, StyleMix
from diffusion_soup.errors import RecipeError, shown

from . import styles
from .bridge.host import grid_names_checkpoint

STYLE = "[Soup] Style weight"
NO_STUDENT = "The model is no DMM student, so it has no styles. Choose a student, or cook a soup with one."
_SECTION, _WEIGHTS, _AXES = "diffusion_soup_section", "diffusion_soup_weights", "diffusion_soup_style_axes"


def build(kitchen: Any, kind: Callable[..., Any]) -> Any:
    """The axis, of the host's own class."""

    def confirm(p: Any, values: Sequence[StyleWeight]) -> None:
        negative = next((each for each in values if each.value < 0), None)
        section = styles.asked(p)
        if negative is not None and not (section is not None and section.extrapolate):
            raise RecipeError(f"The style {shown(negative.style)} has the negative weight {negative.value:g}. Turn on "
                              f"the section {styles.TITLE} with its Extrapolate, or give it a weight of 0 or more.")
        setattr(p, _SECTION, section)
        setattr(p, _AXES, [*getattr(p, _AXES, ()), values])

    def label(p: Any, option: Any, value: StyleWeight) -> str:
        for values in getattr(p, _AXES):  # every axis is read by now, and no cell begun
            _check(kitchen, p, values)
        setattr(p, _AXES, [])
        return value.label()

    def apply(p: Any, value: StyleWeight, values: Sequence[StyleWeight]) -> None:
        codebook = _codebook(kitchen, p)
        weights = {**getattr(p, _WEIGHTS, {}), value.style: value.value}
        setattr(p, _WEIGHTS, weights)
        styles.ask(p, settings(getattr(p, _SECTION), _names(weights, codebook)))

    return kind(STYLE, lambda value: value, apply, format_value=label, confirm=confirm, prepare=style_weights)


def settings(section: styles.StyleSettings | None, weights: styles.Shares) -> styles.StyleSettings | None:
    """What a cell asks for; None for no style at all."""
    if section is None:
        total = math.fsum(weights.values())
        section = styles.StyleSettings(strength=min(total, 1.0))
    found = section.with_weights(weights)
    mix = StyleMix.parse(found.weights, [], extrapolate=True).weights
    return found if any(mix.values()) or found.schedule.strip() else None


def _check(kitchen: Any, p: Any, values: Sequence[StyleWeight]) -> None:
    """Whether every model of the grid has these styles, as far as is known now. Raises :class:`SoupError`."""
    from .xyz import grid_of, has_soups

    if grid_names_checkpoint(kitchen.host, p):
        return
    for codebook in grid_of(kitchen, p).codebooks(p) if has_soups(p) else [kitchen.students.chosen()]:
        if codebook is None:
            raise SoupError(NO_STUDENT)
        for name in {each.style for each in values}:
            _names({name: 0.0}, codebook)


def _codebook(kitchen: Any, p: Any) -> Codebook | None:
    """The styles of this cell's model; None where only the sampling will show. Raises :class:`SoupError`."""
    from .xyz import has_soups, lent

    soup = lent(p)
    if grid_names_checkpoint(kitchen.host, p) or (soup is None and has_soups(p)):
        return None
    found: Codebook | None = kitchen.students.in_memory() if soup is not None else kitchen.students.chosen()
    if found is None:
        raise SoupError(NO_STUDENT)
    return found


def _names(weights: styles.Shares, codebook: Codebook | None) -> styles.Shares:
    """The same with the student's own names. Raises :class:`RecipeError` for a style that it does not have."""
    if codebook is None:
        return weights
    found = styles.named(weights, codebook)
    unknown = next((name for name in found if name not in codebook.names), None)
    if unknown is not None:
        raise RecipeError(f"There is no style {shown(unknown)}; the model has {', '.join(codebook.names)}.")
    return found
