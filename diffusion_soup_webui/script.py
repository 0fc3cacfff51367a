"""The script that always runs: it sees to it that pictures are made with the soup in use, and says so in them."""

from __future__ import annotations

from typing import Any

from . import infotext
from .bridge.host import names_checkpoint


def script_classes(kitchen: Any) -> dict[str, type]:
    """The Script classes by name. Made anew whenever the host loads its scripts, as ``modules.scripts`` may be new."""
    from modules import scripts

    class DiffusionSoupScript(scripts.Script):
        create_group = False

        def title(self) -> str:
            return "Diffusion Soup"

        def show(self, is_img2img: bool) -> Any:
            return scripts.AlwaysVisible

        def ui(self, is_img2img: bool) -> list[Any]:
            return []

        def before_process(self, p: Any, *args: Any) -> None:
            kitchen.host.generation_begins(p)
            kitchen.settle(p, names_checkpoint(kitchen.host, getattr(p, "override_settings", None)))

        def before_process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
            held = kitchen.settle(p, names_checkpoint(kitchen.host, getattr(p, "override_settings", None)))
            infotext.name_soup(p, held)

        def postprocess(self, p: Any, processed: Any, *args: Any) -> None:
            infotext.embed_in_images(kitchen, getattr(processed, "images", ()))
            kitchen.host.generation_ends(p)

    return {"DiffusionSoupScript": DiffusionSoupScript}
