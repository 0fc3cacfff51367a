"""A graph of thirty of our nodes moves freely: what our own code takes of it while a node is dragged.

Counts and shares, which a busy machine does not change; frames a second are measured by the benchmark ``editors``.
"""

import pytest

from .frames import EDITORS
from .frames import ManyNodes as Page  # noqa: F401  the fixtures take the module's own


@pytest.mark.newest
def test_dragging_and_panning(page):
    dragged, panned = page.drag_node("9", 1, profile=True), page.pan(1, profile=True)
    for seen in (dragged, panned):
        print(f"{seen.per_second:.0f} frames a second, {seen.layouts:.2f} layouts and {seen.busy:.1f} ms of work a "
              f"frame, {seen.ours:.1f} of {seen.script:.0f} ms of script ours")
        assert seen.share < 0.1, "our code has nothing to do while nodes move"
    assert dragged.layouts < 4, "a frame is not laid out again and again"


@pytest.mark.parametrize("editor", EDITORS)
def test_an_editor_is_quick(page, editor):
    """Milliseconds of our script for each movement of the pointer."""
    seen = page.edit(editor, 1)
    print(f"{editor}: {seen.ours / seen.moves:.2f} ms for each of {seen.moves} movements")
    assert 0 < seen.ours / seen.moves < 50
