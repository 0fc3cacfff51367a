"""The names of a student's styles."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ...diffusion_soup.dmm import open_student
from ...diffusion_soup.errors import SoupError, shown
from .. import bridge
from ..style import listed


async def _styles(request: web.Request) -> web.Response:
    """The styles of one of the files Load Student offers, with the user's names for them if there are any."""
    file, names = request.query.get("file", ""), request.query.get("names", "")
    try:
        found = await asyncio.to_thread(_read, file, names)
    except SoupError as error:
        return web.json_response({"error": str(error)}, status=400)
    if found is None:
        return web.json_response({"error": f"Load Student offers no file called {shown(file)}."}, status=404)
    return web.json_response(found)


def _read(file: str, names: str) -> dict[str, object] | None:
    if file not in bridge.student_files():
        return None
    with open_student(bridge.student_path(file), listed(names) or None) as student:
        return {"styles": list(student.codebook.names), "family": student.family}


ROUTES = (("GET", "/diffusion_soup/styles", _styles),)
