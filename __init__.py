"""Diffusion Soup as a ComfyUI node pack. Nothing is imported until ComfyUI asks for the nodes."""

WEB_DIRECTORY = "./js"


async def comfy_entrypoint():
    from .nodes import SoupExtension

    return SoupExtension()
