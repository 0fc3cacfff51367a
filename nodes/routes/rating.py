"""Rating by hand: what is to be rated, its pictures, and the answer."""

from __future__ import annotations

from aiohttp import web

from ...diffusion_soup.errors import RecipeError
from .. import rating
from .recipes import body_of

_PATH = "/diffusion_soup/rating"


async def _waiting(request: web.Request) -> web.Response:
    """The pictures that are waiting now, or null."""
    question = rating.waiting()
    return web.json_response({"question": question.to_dict() if question else None})


async def _picture(request: web.Request) -> web.Response:
    """One of them, as PNG."""
    question, at = rating.waiting(), request.query.get("at", "")
    found = question is not None and question.id == request.query.get("id") and at.isdecimal() and len(at) < 5
    if question is None or not found or int(at) >= len(question.pictures):
        return web.json_response({"error": "This picture is not waiting to be rated any more."}, status=404)
    return web.Response(body=question.pictures[int(at)], content_type="image/png",
                        headers={"Cache-Control": "no-store"})


async def _answer(request: web.Request) -> web.Response:
    """The stars of each picture."""
    try:
        data = await body_of(request)
        rating.answer(str(data.get("id")), data.get("stars"))
    except RecipeError as error:
        return web.json_response({"error": str(error)}, status=400)
    return web.json_response({})


ROUTES = (("GET", _PATH, _waiting), ("GET", f"{_PATH}/picture", _picture), ("POST", _PATH, _answer))
