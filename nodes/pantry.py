"""Soups kept between runs, so that a changed block recooks that block alone.

The pantry lives exactly as long as ComfyUI keeps node instances: they hold it, this module only looks at
it. So ComfyUI's own ``/free``, which drops its instances, frees it, and ``--cache-none`` never fills it.
"""

from __future__ import annotations

import weakref

from .bridge import Cooked


class Pantry:
    """The last soup of each DSoupCook, by node id."""

    def __init__(self) -> None:
        self._soups: dict[str, Cooked] = {}
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
