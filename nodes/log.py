"""Which recipes were cooked, when, and which pictures they made: the engine's log, fed from ComfyUI's history.

ComfyUI tells nobody that a picture was saved, but it keeps a history of prompts with their outputs. It is
looked through whenever a prompt is queued, a soup is cooked, the browser says that a prompt is done, and when
the server ends; only references to the pictures are kept.
"""

from __future__ import annotations

import atexit
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import folder_paths
from server import PromptServer

from ..diffusion_soup import Recipe, SoupError
from ..diffusion_soup.cook_log import CookLog, Entry, Picture, picture_of
from ..diffusion_soup.metadata import RECIPE_KEY
from ..diffusion_soup.planner import resolve_known
from . import bridge

log = logging.getLogger("diffusion_soup")

#: Prompts of the history that are looked at, the newest ones.
_PROMPTS = 64

_log: CookLog | None = None


def cook_log() -> CookLog:
    """The log in the user's folder."""
    global _log
    if _log is None:
        _log = CookLog(Path(folder_paths.get_user_directory()) / "diffusion_soup" / "log.jsonl")
        atexit.register(gather)
    return _log


def record(recipe: Recipe, seconds: float, tensors: tuple[int, int], notes: tuple[str, ...]) -> None:
    """A soup was cooked: so many of its tensors anew. Whatever goes wrong here is no reason to fail."""
    try:
        cook_log().add(recipe, seconds=seconds, cooked=tensors[0], tensors=tensors[1], notes=notes,
                       prompt=bridge.executing_prompt())
        gather()
    except Exception:
        log.warning("Diffusion Soup: a cook is missing in the log.", exc_info=True)


def gather() -> None:
    """Keep what the history knows of pictures now, because it does not outlive the server."""
    try:
        cook_log().add_pictures(_pictures(cook_log().entries()))
    except Exception:
        log.warning("Diffusion Soup: the log misses pictures.", exc_info=True)


def entries() -> list[Entry]:
    """All entries, the last cooked first, with the pictures the history knows. Writes nothing."""
    found = cook_log().entries()
    pictures = _pictures(found)
    return [entry.with_pictures(pictures.get(entry.hash, ())) for entry in found]


# -- ComfyUI's history ---------------------------------------------------------------------------


def _pictures(known: list[Entry]) -> dict[str, list[Picture]]:
    """The pictures in the history by the recipe they were made with, the newest first."""
    by_prompt = defaultdict(list)
    for entry in known:
        for prompt in entry.prompts:
            by_prompt[prompt].append(entry.hash)
    found: dict[str, list[Picture]] = defaultdict(list)
    for name, item in _history():
        outputs, prompt = item.get("outputs") or {}, item["prompt"]
        if not any(isinstance(output, Mapping) and output.get("images") for output in outputs.values()):
            continue
        soups = _embedded(prompt[3])
        cooks = [node_id for node_id, node in prompt[2].items() if node.get("class_type") == "DSoupCook"]
        for node_id, output in outputs.items():
            pictures = [picture for picture in map(picture_of, output.get("images", ())) if picture is not None]
            above = _above(prompt[2], node_id)
            hashes = {soups[cook] for cook in cooks if cook in above and cook in soups}
            if len(cooks) == 1 and cooks[0] in above:
                hashes.update(by_prompt.get(name, ()))
            for recipe_hash in hashes:
                found[recipe_hash] += pictures
    # a saved picture is there after a restart, a previewed one is not
    return {name: sorted(dict.fromkeys(pictures), key=lambda each: each.type != "output")
            for name, pictures in found.items()}


def _history() -> Iterator[tuple[str, Any]]:
    """Prompts that are done, the newest first; those that are not as we know them are left out."""
    server = getattr(PromptServer, "instance", None)
    queue = getattr(server, "prompt_queue", None)
    kept = queue.get_history(max_items=_PROMPTS) if queue is not None else {}
    for name, item in reversed(kept.items()):
        prompt = item.get("prompt")
        if isinstance(prompt, (tuple, list)) and len(prompt) >= 4 and isinstance(prompt[2], dict) and \
                any(isinstance(node, dict) and node.get("class_type") == "DSoupCook" for node in prompt[2].values()):
            yield name, item


def _embedded(extra: Any) -> dict[str, str]:
    """The hashes of the recipes that went into a prompt's pictures, by node; see embed.py."""
    soups = ((extra.get("extra_pnginfo") or {}).get(RECIPE_KEY) or {}) if isinstance(extra, Mapping) else {}
    hashes = {}
    for node_id, data in soups.items():
        with suppress(SoupError):
            hashes[node_id] = resolve_known(Recipe.from_dict(data), bridge.model_folders()).hash
    return hashes


def _above(prompt: Mapping[str, Any], node_id: str) -> set[str]:
    """The nodes that a node's inputs come from, however far up, and itself."""
    found, todo = set(), [node_id]
    while todo:
        name = todo.pop()
        if name in found or not isinstance(prompt.get(name), Mapping):
            continue
        found.add(name)
        todo += [str(value[0]) for value in prompt[name].get("inputs", {}).values()
                 if isinstance(value, list) and len(value) == 2]
    return found
