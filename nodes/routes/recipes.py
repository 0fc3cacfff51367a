"""What a recipe says and which of its files are here; and the log of cooked recipes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from ...diffusion_soup import Recipe, inspect, open_checkpoint
from ...diffusion_soup.errors import RecipeError, SoupError
from ...diffusion_soup.graph import FAMILIES, recipe_of_prompt, recipes_of_prompt
from ...diffusion_soup.recipe import ModelFile
from .. import bridge
from .. import log as cooked
from ..soup import read_widgets

#: Bytes of a request: a graph may be large, a recipe is not.
_MOST_BYTES = 16 << 20
_PAGE, _LARGEST_PAGE = 40, 200


async def _recipe(request: web.Request) -> web.Response:
    """A recipe as it was understood, or those of a graph: hash, shares, and where its files are. Changes nothing."""
    try:
        data = await body_of(request)
        return web.json_response(await asyncio.to_thread(_answer, data))
    except SoupError as error:
        return web.json_response({"error": str(error)}, status=400)


async def body_of(request: web.Request) -> dict[str, Any]:
    if (request.content_length or 0) > _MOST_BYTES:
        raise RecipeError(f"This is larger than {_MOST_BYTES >> 20} MB, which no recipe is.")
    text = bytearray()
    async for piece in request.content.iter_chunked(1 << 16):
        text += piece
        if len(text) > _MOST_BYTES:
            raise RecipeError(f"This is larger than {_MOST_BYTES >> 20} MB, which no recipe is.")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise RecipeError("This is not a recipe: it is not valid JSON.") from None
    if not isinstance(data, dict):
        raise RecipeError("Expected a JSON object.")
    return data


def _answer(data: Mapping[str, Any]) -> dict[str, Any]:
    if "recipe" in data:
        given = data["recipe"]
        return told(Recipe.from_json(given) if isinstance(given, str) else Recipe.from_dict(given))
    prompt = data.get("prompt")
    if not isinstance(prompt, dict):
        raise RecipeError('Expected "recipe", or "prompt" with a graph in ComfyUI\'s API format.')
    if "node" in data:
        return told(recipe_of_prompt(prompt, str(data["node"]), read_widgets))
    return {"recipes": {node_id: told(recipe) for node_id, recipe in recipes_of_prompt(prompt).items()}}


def told(recipe: Recipe) -> dict[str, Any]:
    """What the browser shows of a recipe."""
    files = [*recipe.ingredients, *([recipe.base] if recipe.base else [])]
    try:
        shares = list(recipe.shares())
    except SoupError:  # they sum to 0: only its blocks have shares
        shares = None
    offered = {"checkpoint": bridge.checkpoint_files(), "lora": bridge.lora_files()}
    names = {kind: {name.replace("\\", "/"): name for name in found} for kind, found in offered.items()}
    known = {(each.kind, each.file): _known(each, names[each.kind]) for each in dict.fromkeys(files)}
    return {"recipe": recipe.to_dict(), "hash": recipe.hash, "shares": shares, "files": list(known.values()),
            "family": _family(recipe, known)}


def _known(file: ModelFile, names: Mapping[str, str]) -> dict[str, Any]:
    """Where a file is, and what a node's widget calls it."""
    state, name = bridge.model_folders().look(file)
    return {"kind": file.kind, "file": file.file, "state": state, "name": names.get(name or file.file, name)}


def _family(recipe: Recipe, known: Mapping[tuple[str, str], Mapping[str, Any]]) -> str | None:
    """What Soup Block Weights calls the models' family, by the header of one that is here."""
    families = {family: title for title, family in FAMILIES.items()} | {"sd2": next(iter(FAMILIES))}
    for each in (*([recipe.base] if recipe.base else []), *recipe.ingredients):
        name = known[each.kind, each.file]["name"]
        if each.kind == "checkpoint" and name and known[each.kind, each.file]["state"] in ("here", "moved"):
            try:
                path = bridge.model_folders().find(ModelFile(name))
                return families.get(inspect(open_checkpoint(path)).architecture.family)
            except SoupError:
                continue
    return None


# -- the log -------------------------------------------------------------------------------------


async def _log(request: web.Request) -> web.Response:
    """Cooked recipes that match the words of ``search``, the last cooked first: ``limit`` of them from ``offset``."""
    words = request.query.get("search", "")[:200].casefold().split()
    limit = min(_whole(request.query.get("limit"), _PAGE), _LARGEST_PAGE)
    offset = _whole(request.query.get("offset"), 0)
    entries = await asyncio.to_thread(cooked.entries)
    found = [entry for entry in entries if entry.matches(words)]
    return web.json_response({"entries": [_shown(entry) for entry in found[offset:offset + limit]],
                              "found": len(found), "all": len(entries)})


def _shown(entry: Any) -> dict[str, Any]:
    shares: list[float] | None = None
    try:
        shares = list(Recipe.from_dict(entry.recipe).shares())
    except SoupError:
        pass
    shown = entry.to_dict() | {"shares": shares}
    del shown["prompts"]
    return shown


def _whole(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 10 else otherwise


async def _change_log(request: web.Request) -> web.Response:
    """``{"delete": hash}``, ``{"clear": true}``, or ``{"gather": true}``: a prompt is done, keep its pictures."""
    try:
        data = await body_of(request)
    except SoupError as error:
        return web.json_response({"error": str(error)}, status=400)
    try:
        if isinstance(data.get("delete"), str):
            await asyncio.to_thread(cooked.cook_log().forget, data["delete"])
        elif data.get("clear") is True:
            await asyncio.to_thread(cooked.cook_log().clear)
        elif data.get("gather") is True:
            await asyncio.to_thread(cooked.gather)
        else:
            return web.json_response({"error": 'Expected "delete" with a hash, "clear" or "gather".'}, status=400)
    except OSError as error:
        return web.json_response({"error": f"The log cannot be changed ({error.strerror})."}, status=500)
    return web.json_response({})


ROUTES = (("POST", "/diffusion_soup/recipe", _recipe), ("GET", "/diffusion_soup/log", _log),
          ("POST", "/diffusion_soup/log", _change_log))
