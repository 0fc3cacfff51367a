"""What the browser may ask for. A GET changes nothing; a POST from another site is refused by ComfyUI itself."""

from __future__ import annotations

from server import PromptServer

from . import blocks, ingredients, rating, recipes, styles


def serve() -> None:
    """Register our routes with the server, once."""
    server = getattr(PromptServer, "instance", None)
    if server is None:
        return
    known = {(getattr(route, "method", None), getattr(route, "path", None)) for route in server.routes}
    for part in (styles, blocks, ingredients, recipes, rating):
        for method, path, handler in part.ROUTES:
            if (method, path) not in known:
                server.routes.route(method, path)(handler)
