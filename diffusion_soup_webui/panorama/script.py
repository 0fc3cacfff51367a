"""The Panorama script: what the host calls, in txt2img and img2img, by its page and by its API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffusion_soup.errors import RecipeError, SoupError
from diffusion_soup.panorama import GRID, Document, read

from . import prompts
from .run import Run, refuse

TITLE = "Diffusion Soup Panorama"  # its name in the API's alwayson_scripts
LABEL = "Panorama"  # in infotexts
_KEY = "diffusion_soup_panorama"


def script_classes(kitchen: Any) -> dict[str, type]:
    """The Script class by its name. Made anew whenever the host loads its scripts."""
    from modules import scripts

    from . import ui

    class DiffusionSoupPanorama(scripts.Script):
        create_group = False

        def title(self) -> str:
            return TITLE

        def show(self, is_img2img: bool) -> Any:
            return scripts.AlwaysVisible

        def after_component(self, component: Any, **kwargs: Any) -> None:
            for side in ("width", "height"):
                if kwargs.get("elem_id") in (f"txt2img_{side}", f"img2img_{side}"):
                    vars(self).setdefault("sides", {})[kwargs["elem_id"]] = component

        def ui(self, is_img2img: bool) -> list[Any]:
            tab = "img2img" if is_img2img else "txt2img"
            found = getattr(self, "sides", {})
            sides = [found[name] for name in (f"{tab}_width", f"{tab}_height") if name in found]
            enabled, text = ui.build(tab, sides)
            self.infotext_fields = [(enabled, lambda params: LABEL in params), (text, LABEL)]
            self.paste_field_names = [LABEL]
            return [enabled, text]

        def before_process(self, p: Any, enabled: Any = False, text: Any = "", *args: Any) -> None:
            vars(p).pop(_KEY, None)
            if enabled is not True:
                return
            try:
                document = read(text or "")
                setattr(p, _KEY, _prepared(p, document, kitchen))
            except SoupError as error:
                refuse(p, str(error))
                return
            p.extra_generation_params[LABEL] = document.to_json()

        def process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
            run = _run_of(p)
            if run is not None:
                run.attach()

        def post_sample(self, p: Any, ps: Any, *args: Any) -> None:
            run = _run_of(p)
            if run is not None:
                ps.samples = run.decoded(ps.samples)

    return {"DiffusionSoupPanorama": DiffusionSoupPanorama}


def _prepared(p: Any, document: Document, kitchen: Any) -> Run:
    """Raises :class:`SoupError` for all that can be told before the host begins."""
    painting = document.on(p.width // GRID * GRID, p.height // GRID * GRID)
    painting.layout()
    prompts.check(painting, _texts(p.prompt))
    if str(getattr(p, "refiner_checkpoint", None) or "None").lower() != "none":
        raise RecipeError("A panorama cannot change to a refiner in the middle; set Refiner to None.")
    return Run(p, painting, document.at_once, kitchen)


def _run_of(p: Any) -> Run | None:
    run = vars(p).get(_KEY)
    return run if isinstance(run, Run) and run.paints(p) else None


def _texts(prompt: Any) -> Sequence[str]:
    return [str(each) for each in prompt] if isinstance(prompt, list) else [str(prompt or "")]
