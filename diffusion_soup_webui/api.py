"""The API under ``/diffusion-soup/v1``: the same kitchen as the tab's, in the host's ``/docs``.

It is there when the host's own API is (``--api``), behind the same ``--api-auth``.
"""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from secrets import compare_digest
from typing import Any, Dict, Optional  # noqa: UP035  # pydantic 1 evaluates them on every Python it runs on

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from diffusion_soup import FileError, Recipe, SoupError
from diffusion_soup.dmm import EASINGS, MODES

from .bodies import (
    LogAnswer,
    ReadRequest,
    RecipeAnswer,
    RecipeRequest,
    SaveRequest,
    ScorersAnswer,
    SelectionAnswer,
    SelectRequest,
    StatusAnswer,
    StylesAnswer,
    TasteAnswer,
)
from .selection import Selected

PREFIX = "/diffusion-soup/v1"
_MAX_BODY = 32 << 20


def register(kitchen: Any) -> None:
    """Have the routes added when the host's server is up."""
    from modules import script_callbacks

    def app_started(demo: Any, app: Any) -> None:
        if kitchen.host.api:
            app.include_router(router(kitchen))
            app.openapi_schema = None  # made again, with ours, when it is asked for

    script_callbacks.on_app_started(app_started)


def router(kitchen: Any) -> APIRouter:
    """The routes; every one is in the form a person reads in ``/docs``."""
    known = kitchen.host.credentials
    routes = APIRouter(prefix=PREFIX, tags=["Diffusion Soup"], route_class=_Route,
                       dependencies=[Depends(_guard(known))] if known else [])
    get, post = routes.get, routes.post

    @get("/status", response_model=StatusAnswer, summary="What is being done")
    def status() -> Dict[str, Any]:  # noqa: UP006
        return _status(kitchen)

    @get("/recipe", response_model=RecipeAnswer, summary="The recipe of the soup in use")
    def recipe_in_use() -> Dict[str, Any]:  # noqa: UP006
        return _recipe(kitchen.in_use())

    @get("/styles", response_model=StylesAnswer, summary="The styles of the DMM student in use")
    def styles() -> Dict[str, Any]:  # noqa: UP006
        with _sentences():
            return {"styles": kitchen.style_names(), "modes": list(MODES), "easings": list(EASINGS)}

    @get("/log", response_model=LogAnswer, summary="Cooked recipes, newest first")
    def log(search: str = "") -> Dict[str, Any]:  # noqa: UP006
        return {"entries": kitchen.log(search)}

    @post("/recipe", response_model=RecipeAnswer, summary="Check a recipe, or read one out of what carries it")
    def read(request: ReadRequest) -> Dict[str, Any]:  # noqa: UP006
        with _sentences():
            return _recipe(kitchen.check(_read(kitchen, request)))

    @post("/cook", response_model=StatusAnswer, summary="Make the model in memory this soup; returns at once")
    def cook(request: RecipeRequest) -> Dict[str, Any]:  # noqa: UP006
        with _sentences():
            started = kitchen.cook(kitchen.check(Recipe.from_dict(request.recipe)))
        return _status(kitchen, started)

    @post("/cancel", response_model=StatusAnswer, summary="Stop what is running; the model before stays")
    def cancel() -> Dict[str, Any]:  # noqa: UP006
        return _status(kitchen, kitchen.cancel())

    @post("/undo", response_model=StatusAnswer, summary="Make the model in memory what it was before")
    def undo() -> Dict[str, Any]:  # noqa: UP006
        with _sentences():
            return _status(kitchen, kitchen.undo())

    @post("/save", response_model=StatusAnswer, summary="Cook a recipe straight into a file; returns at once")
    def save(request: SaveRequest) -> Dict[str, Any]:  # noqa: UP006
        with _sentences():
            recipe = Recipe.from_dict(request.recipe) if request.recipe is not None else kitchen.in_use()
            if recipe is None:
                raise SoupError("No soup is in use; send the recipe that is to be saved.")
            return _status(kitchen, kitchen.save(kitchen.check(recipe), request.name, request.overwrite))

    @post("/taste", response_model=TasteAnswer, summary="The geometry of the ingredients, before cooking")
    def taste(request: RecipeRequest) -> Dict[str, Any]:  # noqa: UP006
        with _sentences():
            report, picture = kitchen.taste(Recipe.from_dict(request.recipe))
        data = io.BytesIO()
        picture.save(data, "PNG")
        return {"report": report, "heat_map": base64.b64encode(data.getvalue()).decode()}

    @get("/scorers", response_model=ScorersAnswer, summary="The scorers in the folder of models")
    def scorers() -> Dict[str, Any]:  # noqa: UP006
        return kitchen.selections.offered()

    @post("/select", response_model=StatusAnswer, summary="Select among ingredients by a scorer; returns at once")
    def select(request: SelectRequest) -> Dict[str, Any]:  # noqa: UP006
        with _sentences():
            return _status(kitchen, kitchen.selections.begin(request.candidates(), request.settings()))

    @get("/selection", response_model=SelectionAnswer, summary="The recipe that was selected last, and its report")
    def selection() -> Dict[str, Any]:  # noqa: UP006
        return _selection(kitchen.selections.last)

    return routes


class _Route(APIRoute):
    """Looks at a body's size before it is read."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Any:
            if request.method != "GET":
                unknown = "" if "transfer-encoding" in request.headers else "0"
                length = request.headers.get("content-length", unknown)
                if not length.isdecimal():
                    return _refusal(411, "Say how long the body is (Content-Length).")
                if int(length) > _MAX_BODY:
                    return _refusal(413, f"The body has {length} bytes; at most {_MAX_BODY} are taken.")
            return await handle(request)

        return handler


def _refusal(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status, headers={"Connection": "close"})


def _guard(known: Dict[str, str]) -> Callable[..., bool]:  # noqa: UP006
    """The host's own check of ``--api-auth``."""

    def guard(credentials: HTTPBasicCredentials = Depends(HTTPBasic())) -> bool:
        expected = known.get(credentials.username)
        if expected is not None and compare_digest(credentials.password.encode(), expected.encode()):
            return True
        raise HTTPException(401, "Incorrect username or password", {"WWW-Authenticate": "Basic"})

    return guard


@contextmanager
def _sentences() -> Any:
    """What the user got wrong becomes a 4xx with the one sentence."""
    try:
        yield
    except FileError as error:
        raise HTTPException(404 if "not found" in str(error) else 422, str(error)) from None
    except SoupError as error:
        raise HTTPException(422, str(error)) from None


def _status(kitchen: Any, status: Any = None) -> Dict[str, Any]:  # noqa: UP006
    recipe = kitchen.in_use()
    return {**vars(status or kitchen.status()), "in_use": recipe.hash if recipe else None}


def _recipe(recipe: Optional[Recipe]) -> Dict[str, Any]:  # noqa: UP006,UP045
    if recipe is None:
        return {"recipe": None, "hash": "", "name": ""}
    from .pot import soup_name
    return {"recipe": recipe.to_dict(), "hash": recipe.hash, "name": soup_name(recipe)}


def _selection(last: Optional[Selected]) -> Dict[str, Any]:  # noqa: UP006,UP045
    if last is None:
        return {}
    steps = [{"change": step.change, "score": step.score, "kept": step.kept, "why": step.why,
              "recipe_hash": step.recipe.hash} for step in last.path.steps]
    return {**_recipe(last.path.recipe), "score": last.path.score, "note": last.path.note, "painted": last.painted,
            "path": steps, "report": base64.b64encode(last.report).decode()}


def _read(kitchen: Any, request: ReadRequest) -> Recipe:
    if request.recipe is not None:
        return Recipe.from_dict(request.recipe)
    if request.checkpoint:
        found: Recipe = kitchen.read_checkpoint(request.checkpoint)
        return found
    if not request.picture:
        read: Recipe = kitchen.read(None, request.text)
        return read
    try:
        data = base64.b64decode(request.picture.split(",", 1)[-1], validate=True)
    except ValueError:
        raise SoupError("picture is not base64; send the bytes of a PNG.") from None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        path.write_bytes(data)
        pictured: Recipe = kitchen.read(str(path), "")
        return pictured
