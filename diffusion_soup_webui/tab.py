"""The Soup tab. A placeholder: the tab itself comes with another branch."""

from __future__ import annotations

from typing import Any


def build(kitchen: Any) -> Any:
    import gradio

    with gradio.Blocks(analytics_enabled=False) as blocks:
        gradio.Markdown("Diffusion Soup", elem_id="diffusion_soup_tab")
    return blocks
