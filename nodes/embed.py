"""Recipes travel in pictures: every prompt that cooks a soup gets its recipe into the saved PNG.

ComfyUI's savers write each entry of ``extra_pnginfo`` as a text chunk. The entry is made when a prompt
is queued (so that it is there although the soup comes from the cache), and completed with hashes by
the node that cooks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from server import PromptServer

from ..diffusion_soup import Recipe, SoupError
from ..diffusion_soup.graph import recipes_of_prompt
from ..diffusion_soup.metadata import RECIPE_KEY
from ..diffusion_soup.planner import resolve_known
from . import log
from .bridge import model_folders


def embed_recipes_in_pictures() -> None:
    """Register with the server, once."""
    server = getattr(PromptServer, "instance", None)
    if server is not None and _on_prompt not in server.on_prompt_handlers:
        server.add_on_prompt_handler(_on_prompt)


#: The last recipe each node cooked, for graphs that do not say it themselves (it may be read from a picture).
_cooked: dict[str, Recipe] = {}
#: Queued prompts whose files were not all hashed yet: completed after the next cook.
_incomplete: deque[tuple[Any, str, Recipe]] = deque(maxlen=256)


def embed_cooked(extra_pnginfo: Any, node_id: str, recipe: Recipe) -> None:
    """Write a cooked recipe into what pictures of this prompt will carry, and hashes into what is queued."""
    _cooked[node_id] = recipe
    embed(extra_pnginfo, node_id, recipe)
    for _ in range(len(_incomplete)):
        _embed_known(*_incomplete.popleft())


def embed(extra_pnginfo: Any, node_id: str, recipe: Recipe) -> None:
    """Write one recipe into a prompt's ``extra_pnginfo``."""
    if isinstance(extra_pnginfo, dict):
        soups = extra_pnginfo.setdefault(RECIPE_KEY, {})
        if isinstance(soups, dict):
            soups[str(node_id)] = recipe.to_dict()


def _embed_known(information: Any, node_id: str, recipe: Recipe) -> None:
    """Write a recipe with the hashes that are known; remember it if some are not."""
    try:
        known = resolve_known(recipe, model_folders())
    except SoupError:
        return  # the node will say what is wrong when it cooks
    embed(information, node_id, known)
    if any(each.sha256 is None for each in (*known.ingredients, *([known.base] if known.base else []))):
        _incomplete.append((information, node_id, known))


def _on_prompt(json_data: dict[str, Any]) -> dict[str, Any]:
    prompt = json_data.get("prompt")
    cooks = [node_id for node_id, node in prompt.items() if isinstance(node, Mapping)
             and node.get("class_type") == "DSoupCook"] if isinstance(prompt, Mapping) else []
    if cooks:
        log.gather()  # what was made since the last prompt
    extra = json_data.setdefault("extra_data", {}) if cooks else None
    if isinstance(extra, dict):
        if extra.get("extra_pnginfo") is None:
            extra["extra_pnginfo"] = {}
        told = recipes_of_prompt(prompt)
        for node_id in cooks:
            recipe = told.get(node_id, _cooked.get(node_id))
            if recipe is not None:
                _embed_known(extra["extra_pnginfo"], node_id, recipe)
    return json_data
