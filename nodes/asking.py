"""A score by any graph: the part of a graph behind a link, cloned for one candidate after the other.

Select Soup takes the FLOAT of a graph that begins with Soup Candidate as a raw link, which is never executed as it is.
To have a recipe scored it expands into the candidate's pictures, a clone of that graph, and itself once more, which is
given the clone's number and goes on. Its searches are deterministic, so the next one of itself comes to the same place.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from comfy_execution.graph_utils import GraphBuilder, is_link

from ..diffusion_soup import Recipe, RecipeError

CANDIDATE, SELECT = "DSoupCandidate", "DSoupSelect"
_KEY = 32


def signature(dynprompt: Any, link: Any) -> str:
    """Changes with the graph behind a link, but not with the numbers of its nodes. Raises :class:`RecipeError`."""
    return hashlib.sha256(json.dumps(_described(dynprompt, link, {}), sort_keys=True).encode()).hexdigest()


def scored_by(dynprompt: Any, link: Any) -> str:
    """The identity of a graph as a scorer. Raises :class:`RecipeError` if it does not begin with a candidate."""
    if not is_link(link) or not _behind(dynprompt, link[0], {}):
        raise RecipeError("Select Soup is to be told scores by a graph, but none that begins with Soup Candidate is "
                          "connected to score. Connect Soup Candidate to nodes that make a number of pictures, and "
                          "that number to score; or choose a scorer.")
    return f"graph {signature(dynprompt, link)}"


def expanded(dynprompt: Any, node_id: str, link: Any, key: str, pictures: Any, prompts: str, recipe: Recipe
             ) -> tuple[dict[str, Any], list[Any]]:
    """The graph that has a candidate scored, and the links to the next Select Soup's outputs.

    ``key`` is that of the evaluation; the next Select Soup has it in its own id, see :func:`is_answer`.
    """
    built = GraphBuilder(prefix=f"{dynprompt.get_real_node_id(node_id)}.{key[:_KEY]}.")
    inputs = {name: value for name, value in dynprompt.get_node(node_id)["inputs"].items() if name != "answer"}
    found = _cloned(dynprompt, link, built, {"images": pictures, "prompts": prompts, "recipe": recipe}, {})
    after = built.node(SELECT, "select", **inputs, answer=found)
    return built.finalize(), [after.out(output) for output in range(3)]


def is_answer(node_id: str, key: str) -> bool:
    """Whether this Select Soup was made to be given the score of that evaluation."""
    return node_id.endswith(f".{key[:_KEY]}.select")


def _behind(dynprompt: Any, name: str, known: dict[str, bool]) -> bool:
    """Whether a node comes after a candidate, or is one."""
    if name not in known:
        known[name] = False  # in a circle, which ComfyUI refuses anyway
        node = dynprompt.get_node(name)
        known[name] = node["class_type"] == CANDIDATE or any(
            _behind(dynprompt, value[0], known) for value in node["inputs"].values() if is_link(value))
    return known[name]


def _cloned(dynprompt: Any, link: Any, built: GraphBuilder, given: dict[str, Any], behind: dict[str, bool]) -> Any:
    """The link's counterpart in a clone; nodes that no candidate has a say in are used as they are."""
    name, output = link
    if not _behind(dynprompt, name, behind):
        return link
    if built.lookup_node(name) is None:
        node = dynprompt.get_node(name)
        inputs = given if node["class_type"] == CANDIDATE else {
            key: _cloned(dynprompt, value, built, given, behind) if is_link(value) else value
            for key, value in node["inputs"].items()}
        built.node(node["class_type"], name, **inputs)
    return built.lookup_node(name).out(output)


def _described(dynprompt: Any, link: Any, known: dict[str, Any]) -> Any:
    name, output = link
    if name not in known:
        known[name] = None
        node = dynprompt.get_node(name)
        known[name] = hashlib.sha256(json.dumps([node["class_type"], sorted(
            (key, _described(dynprompt, value, known) if is_link(value) else value)
            for key, value in node["inputs"].items())], sort_keys=True, default=str).encode()).hexdigest()
    return [known[name], output]
