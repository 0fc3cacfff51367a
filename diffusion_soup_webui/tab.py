"""The Soup tab: a place for the page's own editor, the wires to it, and plain widgets that work without it.

``javascript/diffusion_soup.js`` builds the editor. It asks over hidden widgets, so that logins, queues and
tunnels of the host hold for it as for everything else in the page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gradio as gr

from diffusion_soup.errors import SoupError

from .desk import Desk
from .gradio_compat import on, path_of, upload, volatile

if TYPE_CHECKING:
    from .kitchen import Kitchen, Status

#: Questions that may take long have a wire of their own, so that Cancel is heard meanwhile.
WIRES = ("quick", "slow")
READS = (".json", ".txt", ".png", ".csv", ".safetensors")

_PLACE = "<div id='dsoup_editor'></div>"


def build(kitchen: Kitchen, preset_folders: Callable[[], list[Any]] = list) -> gr.Blocks:
    """The tab's contents, for ``on_ui_tabs``. Asks the kitchen nothing before somebody looks."""
    desk = Desk(kitchen, preset_folders)
    with gr.Blocks(analytics_enabled=False) as tab:
        with gr.Column(elem_id="dsoup_tab"):
            gr.HTML(_PLACE, elem_id="dsoup_place")
            with gr.Column(elem_id="dsoup_plain"):
                _plain(kitchen)
            with gr.Column(elem_id="dsoup_wires"):
                for name in WIRES:
                    _wire(desk, name)
    return tab


def _wire(desk: Desk, name: str) -> None:
    """A question that the page's code puts in, and the answer for it to read."""
    question = volatile(gr.Textbox(label=f"dsoup {name} question", elem_id=f"dsoup_{name}_question"))
    answer = volatile(gr.Textbox(label=f"dsoup {name} answer", elem_id=f"dsoup_{name}_answer"))
    send = gr.Button("send", elem_id=f"dsoup_{name}_send")
    on(send.click, js=f"() => window.dsoup.take('{name}')", fn=desk.answer, inputs=[question], outputs=[answer])


# -- without our JavaScript ------------------------------------------------------------------------


def _plain(kitchen: Kitchen) -> None:
    gr.Markdown("The editor of the Soup tab is not there (yet). Recipes can be cooked as text.")
    recipe = volatile(gr.Textbox(label="Recipe (JSON)", lines=12, elem_id="dsoup_recipe"))
    picked = upload("Recipe file, picture or saved soup", "dsoup_recipe_file", READS)
    with gr.Row():
        name = volatile(gr.Textbox(label="Name to save under", elem_id="dsoup_name"))
        overwrite = volatile(gr.Checkbox(label="Overwrite", value=False, elem_id="dsoup_overwrite"))
    with gr.Row():
        cook, cancel, undo, save, look = (
            gr.Button(text, elem_id=f"dsoup_{text.lower()}", variant="primary" if text == "Cook" else "secondary")
            for text in ("Cook", "Cancel", "Undo", "Save", "Status"))
    status = gr.Markdown("", elem_id="dsoup_plain_status")

    on(picked.upload, fn=lambda file: _text_of(kitchen, file), inputs=[picked], outputs=[recipe, status])
    on(cook.click, fn=_said(lambda text: kitchen.cook(kitchen.read(None, text))), inputs=[recipe], outputs=[status])
    on(cancel.click, fn=_said(kitchen.cancel), inputs=[], outputs=[status])
    on(undo.click, fn=_said(kitchen.undo), inputs=[], outputs=[status])
    on(look.click, fn=_said(kitchen.status), inputs=[], outputs=[status])
    on(save.click, fn=_said(lambda text, *how: kitchen.save(kitchen.read(None, text), *how)),
       inputs=[recipe, name, overwrite], outputs=[status])


def _said(work: Callable[..., Status]) -> Callable[..., str]:
    """The same work with its status, or what is wrong, as a sentence."""
    def say(*values: Any) -> str:
        try:
            status = work(*values)
        except SoupError as error:
            return f"**{error}**"
        return f"{status.state}: {status.text} ({status.fraction:.0%})" if status.text else status.state
    return say


def _text_of(kitchen: Kitchen, file: Any) -> tuple[str, str]:
    path = path_of(file)
    try:
        return ("", "") if path is None else (kitchen.read(path, "").to_json(), "")
    except SoupError as error:
        return "", f"**{error}**"
