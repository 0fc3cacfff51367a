"""The script that always runs: it sees to it that pictures are made with the soup in use, and says so in them."""

from __future__ import annotations

from typing import Any

from . import infotext, xyz
from .bridge.host import names_checkpoint
from .pot import Held


def script_classes(kitchen: Any) -> dict[str, type]:
    """The Script classes by name. Made anew whenever the host loads its scripts, as ``modules.scripts`` may be new."""
    from modules import scripts

    def settle(p: Any) -> Held | None:
        overridden = names_checkpoint(kitchen.host, getattr(p, "override_settings", None))
        held: Held | None = kitchen.settle(p, overridden, xyz.lent(p))
        return held

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
            settle(p)

        def before_process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
            infotext.name_soup(p, settle(p))

        def postprocess(self, p: Any, processed: Any, *args: Any) -> None:
            infotext.embed_in_images(kitchen, getattr(processed, "images", ()))
            kitchen.host.generation_ends(p)

    return {"DiffusionSoupScript": DiffusionSoupScript}
