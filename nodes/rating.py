"""Scores by hand: a node waits, and people rate its pictures in any browser that shows this ComfyUI.

One question waits at a time, because ComfyUI runs one prompt at a time. It ends when it is answered, when the prompt is
interrupted, or when no browser has been there for a while, so that a closed browser does not hold up the queue.
"""

from __future__ import annotations

import io
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from server import PromptServer

from ..diffusion_soup import RecipeError
from ..diffusion_soup.score.pictures import to_pil
from . import bridge

BY_HAND = "by hand"
STARS = 5
EVENT = "diffusion_soup.rating"
#: Seconds without a browser after which nobody is waited for any more.
_PATIENCE = 30.0
_LOOK = 0.1  # seconds


@dataclass
class Question:
    """Pictures to rate. ``stars`` are set by the answer."""

    node_id: str
    prompts: tuple[str, ...]
    pictures: tuple[bytes, ...]  # PNG
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    stars: tuple[int, ...] = ()
    answered: threading.Event = field(default_factory=threading.Event)

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.id, "node": self.node_id, "prompts": list(self.prompts), "stars": STARS}


_waiting: Question | None = None
_seen = 0.0


def waiting() -> Question | None:
    """What is to be rated now. Whoever asks is there."""
    global _seen
    _seen = time.monotonic()
    return _waiting


def answer(question_id: str, stars: Any) -> None:
    """The ratings of a question, one for each picture. Raises :class:`RecipeError`."""
    question = waiting()
    if question is None or question.id != question_id:
        raise RecipeError("These pictures are not waiting to be rated any more.")
    whole = isinstance(stars, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in stars)
    if not whole or len(stars) != len(question.pictures) or not all(1 <= each <= STARS for each in stars):
        raise RecipeError(f"Expected {len(question.pictures)} ratings from 1 to {STARS}, one for each picture.")
    question.stars = tuple(stars)
    question.answered.set()


def rate(images: torch.Tensor, prompts: Sequence[str], node_id: str) -> list[float]:
    """Stars for pictures [N, 3, H, W] in 0..1. Raises ComfyUI's interrupt, and :class:`RecipeError`."""
    global _waiting, _seen
    _waiting = question = Question(node_id, tuple(prompts), tuple(map(_png, images)))
    _seen = time.monotonic()
    _tell(question.to_dict())
    try:
        while not question.answered.wait(_LOOK):
            bridge.stop()
            if PromptServer.instance.sockets:
                _seen = time.monotonic()
            if time.monotonic() - _seen > _PATIENCE:
                raise RecipeError("The pictures are waiting to be rated by hand, but no browser is open. Open one and "
                                  "queue again: ratings that were given are kept.")
    finally:
        _waiting = None
        _tell(None)
    return [float(each) for each in question.stars]


def _tell(question: dict[str, Any] | None) -> None:
    """Tell every browser what is to be rated now."""
    PromptServer.instance.send_sync(EVENT, {"question": question})


def _png(image: torch.Tensor) -> bytes:
    file = io.BytesIO()
    to_pil(image).save(file, "png", compress_level=1)
    return file.getvalue()
