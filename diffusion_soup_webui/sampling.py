"""Ours around the host's sampling of one batch: its ``p.sample``, which is the first pass and the hires pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def around(p: Any, owner: object, ours: Callable[[Callable[[], Any]], Any]) -> None:
    """Have ``p.sample`` called by ``ours``, once; by then it is as it was. ``owner``: whom :func:`unwrap` asks for."""
    before = vars(p).get("sample")
    original = p.sample

    def sample(*args: Any, **kwargs: Any) -> Any:
        if not sample.waiting:  # type: ignore[attr-defined]
            return original(*args, **kwargs)  # somebody kept us
        unwrap(p, owner)
        sample.waiting = False  # type: ignore[attr-defined]
        return ours(lambda: original(*args, **kwargs))

    sample.waiting, sample.before, sample.owner = True, before, owner  # type: ignore[attr-defined]
    p.sample = sample


def unwrap(p: Any, owner: object) -> None:
    """Take the owner's off again, if it is still there."""
    sample = vars(p).get("sample")
    if getattr(sample, "owner", None) is not owner:
        return
    sample.waiting = False
    if sample.before is None:
        del p.sample
    else:
        p.sample = sample.before
