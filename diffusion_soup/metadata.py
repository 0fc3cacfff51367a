"""What a saved soup says about itself, in the words other tools read.

``diffusion_soup`` holds our recipe. ``sd_merge_recipe`` and ``sd_merge_models`` are A1111's two JSON
strings: the merge, and every parent by its full sha256 with the parent's own entries copied in.
``modelspec.*`` is the model specification 1.0.1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .architecture import Architecture
from .checkpoint import Checkpoint
from .plan import Plan

RECIPE_KEY = "diffusion_soup"
#: A JSON list with the name of each style of a DMM student.
STYLES_KEY = "diffusion_soup.styles"

_ARCHITECTURES = {"sd1": "stable-diffusion-v1", "sdxl": "stable-diffusion-xl-v1-base",
                  "sdxl-refiner": "stable-diffusion-xl-v1-refiner"}
_PREDICT_KEYS = {"eps": "epsilon"}


def soup_metadata(plan: Plan) -> dict[str, str]:
    """The metadata of a plan's soup. The writer adds ``modelspec.hash_sha256``."""
    recipe = plan.recipe
    merged = {"type": "diffusion-soup", "recipe_hash": recipe.hash, **recipe.to_dict()}
    prediction = _PREDICT_KEYS.get(plan.architecture.prediction, plan.architecture.prediction)
    files = [*recipe.ingredients, *([recipe.base] if recipe.base else [])]
    return {
        RECIPE_KEY: recipe.to_json(indent=None),
        "sd_merge_recipe": json.dumps(merged),
        "sd_merge_models": json.dumps(_parents(plan.files, {file.sha256: file.file for file in files})),
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": _architecture(plan.architecture),
        "modelspec.implementation": "sgm",
        "modelspec.title": "Soup of " + ", ".join(dict.fromkeys(each.name for each in recipe.ingredients)),
        "modelspec.merged_from": ", ".join(dict.fromkeys(file.file for file in files)),
        "modelspec.prediction_type": prediction,
        "modelspec.predict_key": prediction,
        **({STYLES_KEY: json.dumps(names, ensure_ascii=False)} if (names := plan.style_names) else {}),
    }


def _architecture(architecture: Architecture) -> str:
    if architecture.family == "sd2":
        return "stable-diffusion-v2-768-v" if architecture.prediction == "v" else "stable-diffusion-v2-512"
    name = _ARCHITECTURES.get(architecture.family, architecture.family)
    return f"{name}-{architecture.variant}" if architecture.variant else name


def _parents(files: Mapping[str, Checkpoint], names: Mapping[str | None, str]) -> dict[str, Any]:
    """A1111's ``sd_merge_models``: sha256 -> name, legacy hash and own recipe, with the grandparents."""
    entries: dict[str, Any] = {}
    for checkpoint in files.values():
        entries.update(json_object(checkpoint.metadata.get("sd_merge_models")) or {})
    for sha, checkpoint in files.items():  # what a file says of another one never comes before the file itself
        entries[sha] = {"name": names.get(sha, checkpoint.path.name), "legacy_hash": _legacy_hash(checkpoint.path),
                        "sd_merge_recipe": json_object(checkpoint.metadata.get("sd_merge_recipe"))}
    return entries


def json_value(text: str | None) -> Any:
    """The JSON value in a text; None where there is none."""
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError):
        return None


def json_object(text: str | None) -> dict[str, Any] | None:
    """The JSON object in a text; None where there is none."""
    value = json_value(text)
    return value if isinstance(value, dict) else None


def style_names(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    """The names of a DMM student's styles that a file's metadata lists; None if it lists none."""
    value = json_value(metadata.get(STYLES_KEY))
    return tuple(value) if isinstance(value, list) and value and all(isinstance(it, str) for it in value) else None


def _legacy_hash(path: Path) -> str:
    """A1111's first model hash: 8 digits of the sha256 of the 64 KB at 1 MB."""
    with open(path, "rb") as file:
        file.seek(0x100000)
        return hashlib.sha256(file.read(0x10000)).hexdigest()[:8]
