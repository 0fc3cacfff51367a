"""A style of a DMM student for each region, by the modules ``styles`` and ``styling``, which mix styles and bring them
into the UNet."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from diffusion_soup.errors import RecipeError
from diffusion_soup.panorama import Painting

from .. import styles, styling

#: What is to be done around the tiles of a region.
Styled = Callable[[int], AbstractContextManager[Any]]


def styler(kitchen: Any, painting: Painting) -> Styled | None:
    """None where no region has a style; such regions have the picture's. Raises :class:`RecipeError` in words."""
    shares = {index: dict(part.style) for index, part in enumerate(painting.parts) if part.style}
    if not shares:
        return None
    codebook = kitchen.students.in_memory()
    if codebook is None:
        first = painting.parts[next(iter(shares))].region
        raise RecipeError(f"{first} has a style, but the model is no DMM student and has none; leave \"style\" out.")
    plain = styles.StyleSettings()
    found = {index: plain.part(styles.named(mine, codebook), codebook) for index, mine in shares.items()}

    def styled(region: int) -> AbstractContextManager[Any]:
        if region not in found:
            return nullcontext()
        made: AbstractContextManager[Any] = styling.styled(kitchen.host.unet, lambda call: found[region])
        return made

    return styled
