"""What differs between ComfyUI versions, in one place."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io


def advanced(kind: Any, name: str, **options: Any) -> Any:
    """An input that newer frontends fold away; older ones show it like any other."""
    made = kind.Input(name, **options)
    made.extra_dict = {**(made.extra_dict or {}), "advanced": True}
    return made


def named(kind: Any, name: str, tooltip: str) -> Any:
    """An output that is called by its name; without one ComfyUI shows the type, DSOUP_RECIPE."""
    return kind.Output(name, display_name=name, tooltip=tooltip)


Ingredients = io.Custom("DSOUP_INGREDIENTS")
BlockWeights = io.Custom("DSOUP_BLOCK_WEIGHTS")
Recipe = io.Custom("DSOUP_RECIPE")
Styles = io.Custom("DSOUP_STYLES")
Style = io.Custom("DSOUP_STYLE")
Regions = io.Custom("DSOUP_REGIONS")
