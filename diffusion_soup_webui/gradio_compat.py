"""What differs between gradio 3.41 (A1111), 4.40 (Forge) and 6, in one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

MAJOR = int(gr.__version__.partition(".")[0])


#: Our events are for our page: they are not in the list of the host's API.
_UNLISTED: dict[str, Any] = {"api_name": False} if MAJOR < 6 else {"api_visibility": "undocumented"}
#: Later ones drop an event that comes while the one before is being handled, unless told otherwise.
_NONE_DROPPED: dict[str, Any] = {} if MAJOR < 4 else {"trigger_mode": "multiple"}


def on(event: Callable[..., Any], *, js: str | None = None, **settings: Any) -> Any:
    """Listen to an event; ``js`` runs in the page before the function and gives it its inputs.

    Nothing waits in gradio's queue: a cook has a queue of its own, and Cancel must be heard at once.
    """
    name = "_js" if MAJOR < 4 else "js"
    settings = {"queue": False, "show_progress": "hidden"} | _UNLISTED | _NONE_DROPPED | settings
    return event(**({name: js} if js else {}), **settings)


def upload(label: str, elem_id: str, kinds: Sequence[str]) -> Any:
    """A file to drop; :func:`path_of` says where it is."""
    kind = "file" if MAJOR < 4 else "filepath"
    return volatile(gr.File(label=label, elem_id=elem_id, type=kind, file_types=list(kinds)))


def path_of(uploaded: Any) -> str | None:
    """Where an uploaded file lies: 3.41 gives an object, later ones the path."""
    return None if uploaded is None else str(getattr(uploaded, "name", uploaded))


def volatile(component: Any) -> Any:
    """A widget whose value the hosts shall not keep in ui-config.json."""
    component.do_not_save_to_config = True
    return component
