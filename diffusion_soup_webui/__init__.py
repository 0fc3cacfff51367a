"""The WebUI's face of Diffusion Soup (A1111, Forge): a thin adapter over the engine.

``bridge`` is the only part that touches the host's modules. One :class:`~.kitchen.Kitchen` lives as long as the
process, through every "Reload UI".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_kitchen: Any = None


def kitchen() -> Any:
    """The process's kitchen, made when it is first asked for."""
    global _kitchen
    if _kitchen is None:
        from .bridge import connect
        from .kitchen import Kitchen
        _kitchen = Kitchen(connect())
    return _kitchen


def register(show_tab: Callable[[Callable[[], Any]], None]) -> dict[str, type]:
    """Register callbacks, routes and the tab with the host; returns the Script classes by name."""
    cook = kitchen()
    from modules import script_callbacks, shared

    # All of it now: later the extension's folder is no longer on sys.path.
    from . import api, infotext, settings, style_section, tab, xyz
    from .panorama import script as panorama
    from .script import script_classes
    from .style_script import style_script

    script_callbacks.on_ui_settings(lambda: settings.add(shared))
    show_tab(lambda: tab.build(cook, lambda: settings.preset_folders(shared.opts)))
    infotext.register(cook)
    api.register(cook)
    xyz.register(cook)
    return {**script_classes(cook), "DiffusionSoupStyles": style_script(cook, style_section.build),
            **panorama.script_classes(cook)}
