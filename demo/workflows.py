"""Workflows as the editor saves them, turned into prompts as the API takes them."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

Prompt = dict[str, dict[str, Any]]

WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
SEED_MODES = {"fixed", "increment", "decrement", "randomize"}
NOTES = {"Note", "MarkdownNote"}
MUTED, BYPASSED = 2, 4


def workflow_to_prompt(workflow: dict[str, Any], object_info: dict[str, Any]) -> Prompt:
    """Turn a saved workflow (nodes and links) into a prompt for the API.

    Muted nodes fall away, links pass through reroutes and bypassed nodes; subgraphs are not read.
    """
    nodes = {node["id"]: node for node in workflow["nodes"]}
    sources = {link[0]: (link[1], link[2]) for link in workflow["links"]}
    prompt: Prompt = {}
    for node in nodes.values():
        kind = node["type"]
        if kind in NOTES or kind in ("Reroute", "PrimitiveNode") or node.get("mode") in (MUTED, BYPASSED):
            continue
        if kind not in object_info:
            raise KeyError(f"node {node['id']} is a {kind!r}, which this ComfyUI does not have")
        inputs = dict(_widget_values(node, object_info[kind]))
        for slot in node.get("inputs", []):
            source = _follow(slot.get("link"), nodes, sources)
            if source is not None:
                origin, output = source
                is_primitive = nodes[origin]["type"] == "PrimitiveNode"
                inputs[slot["name"]] = nodes[origin]["widgets_values"][0] if is_primitive else [str(origin), output]
        prompt[str(node["id"])] = {"class_type": kind, "inputs": inputs}
    return prompt


def _widget_values(node: dict[str, Any], info: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Pair a node's saved widget values with its inputs, in the order the node declares them."""
    saved = node.get("widgets_values") or []
    shown = {slot["name"] for slot in node.get("inputs", []) if "widget" in slot}
    names = [(name, spec) for part in ("required", "optional")
             for name, spec in info["input"].get(part, {}).items() if name in shown or _is_widget(spec)]
    if isinstance(saved, dict):
        yield from ((name, saved[name]) for name, _ in names if name in saved)
        return
    values = list(saved)
    for name, spec in names:
        if not values:
            return
        yield name, values.pop(0)
        options = spec[1] if len(spec) > 1 else {}
        has_mode = options.get("control_after_generate") or name in ("seed", "noise_seed")
        if has_mode and values and values[0] in SEED_MODES:
            values.pop(0)


def _is_widget(spec: Sequence[Any]) -> bool:
    options = spec[1] if len(spec) > 1 else {}
    return not options.get("forceInput") and (isinstance(spec[0], list) or spec[0] in WIDGET_TYPES)


def _follow(link: int | None, nodes: dict[Any, Any], sources: dict[Any, tuple[Any, int]]) -> tuple[Any, int] | None:
    """The node and output a link really comes from; None where it leads nowhere."""
    while link is not None and link in sources:
        origin, output = sources[link]
        node = nodes[origin]
        if node["type"] == "Reroute":
            link = node["inputs"][0].get("link")
        elif node.get("mode") == BYPASSED:
            kind = node["outputs"][output]["type"]
            link = next((i.get("link") for i in node.get("inputs", []) if i["type"] == kind), None)
        else:
            return None if node.get("mode") == MUTED else (origin, output)
    return None
