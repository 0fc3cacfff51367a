"""A style of a DMM student for each region. It counts in place of the picture's own, which the other regions have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diffusion_soup.dmm import Style
from diffusion_soup.errors import RecipeError
from diffusion_soup.panorama import Painting

from .. import styles, styling


class RegionStyles:
    """What is to be done around the tiles of a region, in one pass of one picture.

    Raises :class:`RecipeError` in words that name the region, for a model without styles and for a style it lacks.
    """

    def __init__(self, kitchen: Any, painting: Painting) -> None:
        self._kitchen = kitchen
        self._styles: dict[int, Style] = {}
        self._reports: dict[int, styling.Report] = {}
        shares = {index: dict(part.style) for index, part in enumerate(painting.parts) if part.style}
        for index, mine in shares.items():
            region = painting.parts[index].region
            codebook, replaced = kitchen.students.in_memory(), kitchen.host.unet_replaced()
            if codebook is None:
                raise RecipeError(f"{region} has a style, but the model is no DMM student and has none; leave "
                                  "\"style\" out.")
            if replaced:
                raise RecipeError(f"{region} has a style, but {replaced} computes in the UNet's place and takes none. "
                                  "Set SD Unet to None.")
            try:
                self._styles[index] = styles.StyleSettings().part(styles.named(mine, codebook), codebook)
            except RecipeError as error:
                raise RecipeError(f"The style of {region} cannot be used: {error}") from error

    def __bool__(self) -> bool:
        """Whether any region has a style."""
        return bool(self._styles)

    @contextmanager
    def around(self, region: int) -> Iterator[None]:
        """While tiles of this region are evaluated."""
        style = self._styles.get(region)
        if style is None:
            yield
            return
        with styling.styled(self._kitchen.host.unet, lambda call: style) as report:
            yield
        known = self._reports.setdefault(region, report)
        if known is not report:
            known.add(report)

    def say(self, p: Any) -> None:
        """After a pass: what did not come out as it was asked, below the picture and in it."""
        reports = self._reports.values()
        if any(not report.calls for report in reports) and not self._kitchen.host.interrupted():
            styles.say(p, f"of regions {styling.NO_EFFECT}")
        for sentence in dict.fromkeys(each for report in reports for each in report.troubles):
            styles.say(p, f"of regions {sentence}")
