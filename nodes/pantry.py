"""Soups kept between runs, so that a changed block recooks that block alone.

The pantry lives exactly as long as ComfyUI keeps node instances: they hold it, this module only looks at
it. So ComfyUI's own ``/free``, which drops its instances, frees it, and ``--cache-none`` never fills it.
"""

from __future__ import annotations

import weakref
from typing import Any

from ..diffusion_soup.memory import Reserve
from ..diffusion_soup.plan import Plan
from ..diffusion_soup.progress import Progress
from . import bridge
from .bridge import Cooked


class Pantry:
    """The last soup of each DSoupCook, by node id."""

    def __init__(self) -> None:
        self._soups: dict[str, Cooked] = {}
        self.judges: dict[str, Any] = {}  # scorers by name, see painting.py
        self._holders: weakref.WeakSet[object] = weakref.WeakSet()

    def get(self, node_id: str, recipe_hash: str) -> Cooked | None:
        """What a node can build on: another node's soup of the same recipe, or its own last one."""
        same = next((soup for soup in self._soups.values() if soup.recipe_hash == recipe_hash), None)
        return same or self._soups.get(node_id)

    def put(self, node_id: str, soup: Cooked) -> None:
        """Keep a soup; no more soups are kept than there are nodes, the oldest go first."""
        self._soups.pop(node_id, None)
        self._soups[node_id] = soup
        while len(self._soups) > max(1, len(self._holders)):
            self._soups.pop(next(iter(self._soups)))

    def drop(self, node_id: str) -> None:
        self._soups.pop(node_id, None)

    def held_by(self, holder: object) -> Pantry:
        self._holders.add(holder)
        return self


_current: weakref.ref[Pantry] | None = None


def pantry() -> Pantry:
    """The pantry of the living nodes; a new one if there are none."""
    global _current
    found = _current() if _current is not None else None
    if found is None:
        found = Pantry()
        _current = weakref.ref(found)
    return found


def cooked(plan: Plan, node_id: str, device: str = "cpu", progress: Progress | None = None) -> Cooked:
    """A node's next soup: what it can of its last one, and the memory of that one for the rest. The pantry keeps it."""
    kept = pantry()
    earlier = kept.get(node_id, plan.recipe.hash)
    soup = bridge.recook(plan, earlier, device, progress) if earlier is not None else None
    if soup is None:
        parts, reserve = bridge.unchanged_parts(plan, earlier), Reserve()
        if earlier is not None:
            reserve = bridge.memory_of(earlier)
            del earlier
            kept.drop(node_id)  # so that the new soup finds the memory of the old one
            bridge.make_room(reserve)
        soup = bridge.cook(plan, device, parts, reserve, progress)
    kept.put(node_id, soup)
    return soup
