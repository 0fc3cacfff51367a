"""What pictures say: the soup's name and hash in the infotext, its recipe in the PNG, and the way back.

A picture gets the recipe of the soup that its own infotext names, whenever and by whatever part of the WebUI it is
saved.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, MutableMapping
from typing import Any

from diffusion_soup import Recipe, SoupError
from diffusion_soup.metadata import RECIPE_KEY

from .pot import Held

LABEL = "Soup"
_SOUP = re.compile(rf"(?:^|, ){LABEL}: ([0-9a-f]{{64}})(?=,|\s|$)", re.MULTILINE)


def register(kitchen: Any) -> None:
    """Register with the host's callbacks; again after each reload of its scripts."""
    from modules import images, script_callbacks

    def before_image_saved(params: Any) -> None:
        embed(kitchen, params.pnginfo)

    def infotext_pasted(text: str, params: MutableMapping[str, Any]) -> None:
        paste(kitchen, params)

    script_callbacks.on_before_image_saved(before_image_saved)
    script_callbacks.on_infotext_pasted(infotext_pasted)
    _watch_pictures(kitchen, images)


def name_soup(p: Any, held: Held | None) -> None:
    """Have the picture that is about to be made name its model."""
    if held is None:
        p.extra_generation_params.pop(LABEL, None)
        return
    p.extra_generation_params[LABEL] = held.identity.hash
    p.sd_model_name, p.sd_model_hash = held.identity.name, held.identity.hash[:10]


def named_soup(text: object) -> str | None:
    """The hash of the soup that an infotext names."""
    found = _SOUP.search(text) if isinstance(text, str) else None
    return found[1] if found else None


def embed(kitchen: Any, pnginfo: MutableMapping[str, Any] | None) -> None:
    """Put the recipe beside the infotext that names it."""
    if not isinstance(pnginfo, MutableMapping):
        return
    wanted = named_soup(pnginfo.get("parameters"))
    recipe = kitchen.recipe_of(wanted) if wanted else None
    if recipe is not None:
        pnginfo[RECIPE_KEY] = recipe.to_json(indent=None)


def embed_in_images(kitchen: Any, pictures: Iterable[Any]) -> None:
    """For pictures that go out by the API or into the gallery without being saved."""
    for picture in pictures:
        embed(kitchen, getattr(picture, "info", None))


def paste(kitchen: Any, params: MutableMapping[str, Any]) -> None:
    """Pasted parameters of a soup's picture: the tab offers its recipe, and the host looks for no such checkpoint."""
    wanted = named_soup(f"{LABEL}: {params.get(LABEL, '')}")
    if wanted is None:
        return
    for field in ("Model", "Model hash"):
        params.pop(field, None)
    recipe = kitchen.recipe_of(wanted)
    if recipe is not None:
        kitchen.paste(recipe)


def _watch_pictures(kitchen: Any, images: Any) -> None:
    """Remember the recipes of pictures that the host reads (PNG Info, dropped on a prompt): what it hands on when their
    parameters are sent to a tab is the infotext alone."""
    original = getattr(images.read_info_from_image, "diffusion_soup_original", images.read_info_from_image)

    def read_info_from_image(image: Any, *args: Any, **kwargs: Any) -> Any:
        text = (getattr(image, "info", None) or {}).get(RECIPE_KEY)
        if isinstance(text, str) and len(text) < 1 << 20:
            try:
                kitchen.remember(Recipe.from_json(text))
            except SoupError:
                pass  # ComfyUI's pictures have several; the tab reads those
        return original(image, *args, **kwargs)

    read_info_from_image.diffusion_soup_original = original  # type: ignore[attr-defined]
    images.read_info_from_image = read_info_from_image
