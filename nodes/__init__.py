"""The ComfyUI adapter: thin nodes over the engine."""

from comfy_api.latest import ComfyExtension, io

from . import panorama, select, soup, style
from .embed import embed_recipes_in_pictures
from .routes import serve


class SoupExtension(ComfyExtension):
    """Registers the nodes, and sees to it that pictures carry their recipe."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        embed_recipes_in_pictures()  # here, because ComfyUI 0.3 never calls on_load
        serve()
        return [*soup.NODES, *style.NODES, *panorama.NODES, *select.NODES]
