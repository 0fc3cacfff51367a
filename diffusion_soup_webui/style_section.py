"""The section *DMM styles* of txt2img and img2img: a few plain widgets, and a place for the page's own editor.

The widgets' values are all that counts; ``javascript/dsoup/styles.js`` puts the console of ComfyUI's Mix Styles over
them, and without it they work by themselves.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import gradio as gr

from diffusion_soup.dmm import MODES
from diffusion_soup.errors import SoupError

from .gradio_compat import on, volatile
from .styles import LABELS, TITLE, StyleSettings

NONE = ("The model in use is no DMM student, so it has no styles. Choose a student, or a soup with a student among its "
        "ingredients.")

Pasted = tuple[Any, Callable[[Mapping[str, str]], Any]]


def build(kitchen: Any, elem_id: Callable[[str], str]) -> tuple[list[Any], list[Pasted]]:
    """The widgets in the order of :func:`.styles.read`, and how they come out of a pasted infotext.

    Asks the kitchen nothing before somebody looks.
    """
    usual = StyleSettings()
    with gr.Accordion(TITLE, open=False, elem_id=elem_id("section")), gr.Column(elem_classes=["dsoup_styles"]):
        enabled = gr.Checkbox(label="Use styles", value=False, elem_id=elem_id("enabled"))
        gr.HTML(f"<div class='dsoup_styles_place' data-prefix='{html.escape(elem_id(''))}'></div>")
        weights = gr.Textbox(label="Weights", value="", lines=3, elem_id=elem_id("weights"),
                             placeholder="anime = 0.7, ink = 0.3")
        with gr.Row():
            mode = gr.Dropdown(label="Mode", choices=list(MODES), value=usual.mode, elem_id=elem_id("mode"))
            strength = gr.Slider(label="Strength", minimum=-5, maximum=5, step=0.05, value=usual.strength,
                                 elem_id=elem_id("strength"))
        with gr.Row(elem_id=elem_id("switches")):
            normalise = gr.Checkbox(label="Normalise", value=usual.normalise, elem_id=elem_id("normalise"))
            extrapolate = gr.Checkbox(label="Extrapolate", value=usual.extrapolate, elem_id=elem_id("extrapolate"))
        schedule = gr.Textbox(label="Schedule: one key frame a line", value="", lines=2, elem_id=elem_id("schedule"),
                              placeholder="0.5 smooth: ink = 1")
        said = gr.HTML("", elem_id=elem_id("said"))
        look = gr.Button("Which styles?", elem_id=elem_id("look"))
        answer = volatile(gr.Textbox(label="styles", elem_id=elem_id("answer"), elem_classes=["dsoup_wire"]))
    on(look.click, fn=lambda: _looked(kitchen), inputs=[], outputs=[said, answer])
    widgets = [weights, mode, strength, normalise, extrapolate, schedule]
    for widget in (enabled, *widgets):
        volatile(widget)
    pasted = [(widget, _out_of(name)) for name, widget in zip(LABELS, widgets)]
    return [enabled, *widgets], [(enabled, lambda found: TITLE in found), *pasted]


def _out_of(name: str) -> Callable[[Mapping[str, str]], Any]:
    """The value of a field in a pasted infotext; None, which changes nothing, where it tells of no styles."""
    usual = next(field.default for field in fields(StyleSettings) if field.name == name)

    def value(found: Mapping[str, str]) -> Any:
        if TITLE not in found:
            return None
        text = found.get(LABELS[name], usual)
        return text == "True" if isinstance(usual, bool) and isinstance(text, str) else text

    return value


def _looked(kitchen: Any) -> tuple[str, str]:
    """A sentence about the styles of the model in use, and their names for the page's editor."""
    try:
        names = kitchen.style_names()
        sentence = f"Styles: {', '.join(names)}." if names else NONE
    except SoupError as error:
        names, sentence = [], str(error)
    return html.escape(sentence), json.dumps({"styles": names, "said": "" if names else sentence})
