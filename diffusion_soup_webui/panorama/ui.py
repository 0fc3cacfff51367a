"""The Panorama script's part of the page: a switch, the regions as text, and the plan. Our editor writes the text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import gradio as gr

from diffusion_soup.errors import SoupError
from diffusion_soup.panorama import GRID, CoverageError, drawing, read

from ..gradio_compat import on, volatile

_HINT = ("Prompts with | between those side by side, a line for each row; or JSON. What the prompt of the tab says "
         "counts everywhere, LoRAs too.")


def build(tab: str, sides: Sequence[Any]) -> tuple[Any, Any]:
    """(switch, text). ``tab``: txt2img or img2img; ``sides``: its widgets of width and height, if they are known."""
    with gr.Accordion("Panorama", open=False, elem_id=f"dsoup_panorama_{tab}"):
        enabled = gr.Checkbox(label="Enable panorama", value=False, elem_id=f"dsoup_panorama_{tab}_enabled")
        gr.HTML(f"<div class='dsoup-panorama-place' data-tab='{tab}'></div>")
        with gr.Column(elem_id=f"dsoup_panorama_{tab}_plain", elem_classes=["dsoup-panorama-plain"]):
            text = gr.Textbox(label="Regions", info=_HINT, lines=4, max_lines=16, value="",
                              placeholder="a forest | a lake | a castle", elem_id=f"dsoup_panorama_{tab}_text")
        show = gr.Button("Show the plan", elem_id=f"dsoup_panorama_{tab}_show")
        said = gr.Markdown("", elem_id=f"dsoup_panorama_{tab}_said")
        picture = volatile(gr.Image(show_label=False, interactive=False, visible=False,
                                    elem_id=f"dsoup_panorama_{tab}_plan"))
    on(show.click, fn=shown_plan, inputs=[text, *sides], outputs=[said, picture])
    return enabled, text


def shown_plan(text: str, width: float | None = None, height: float | None = None) -> tuple[str, Any]:
    """What is said of the plan, and its picture; a plan with a hole shows where."""
    if width is None or height is None:
        return "**The plan needs the size of the picture, which this page does not tell.**", gr.update(visible=False)
    canvas = regions = None
    try:
        painting = read(text).on(int(width) // GRID * GRID, int(height) // GRID * GRID)
        canvas, regions = painting.canvas, [part.region for part in painting.parts]
        owns = [[what for what, there in (("prompt", part.prompt), ("negative prompt", part.negative),
                                          ("style", part.style), ("cfg", part.region.cfg)) if there]
                for part in painting.parts]
        layout = painting.layout()
        return (drawing.report(layout, owns).replace("\n", "\n\n"),
                gr.update(value=drawing.plan(layout, _typeface()), visible=True))
    except CoverageError as error:
        return f"**{error}**", gr.update(value=drawing.hole(canvas, regions, error.hole, _typeface()), visible=True)
    except SoupError as error:
        return f"**{error}**", gr.update(visible=False)


def _typeface() -> str | None:
    """The host's own letters, where there is a host."""
    try:
        from modules.paths_internal import roboto_ttf_file
    except ImportError:
        return None
    return roboto_ttf_file if os.path.isfile(roboto_ttf_file) else None
