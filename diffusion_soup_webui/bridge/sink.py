"""Cooked tensors go straight into the weights of the model in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

import torch

from diffusion_soup.checkpoint import DTYPES
from diffusion_soup.plan import Step

from .host import Place


class ModelSink:
    """Writes into a model's own tensors, converting where the host keeps them in another dtype or layout.

    ``touched`` are the keys that are no longer what they were.
    """

    def __init__(self, places: Mapping[str, Place]) -> None:
        self.touched: set[str] = set()
        self._places = places
        self._whole: dict[str, tuple[torch.Tensor, int]] = {}
        self._lock = threading.Lock()

    def get_ready(self, part: int, parts: int) -> Iterator[None]:
        return iter(())

    def place(self, step: Step, start: int, stop: int) -> torch.Tensor | None:
        flat = self._places[step.key].flat
        if len(flat) == 1 and flat[0].device.type == "cpu" and flat[0].dtype == DTYPES[step.dtype]:
            self.touched.add(step.key)
            return flat[0][start:stop]
        return None

    def write(self, step: Step, start: int, piece: torch.Tensor) -> None:
        place = self._places[step.key]
        self.touched.add(step.key)
        if place.deliver is not None:
            self._collect(step, start, piece, place)
            return
        if place.through is not None:
            piece = piece.to(place.through)
        for flat in place.flat:
            flat[start:start + piece.numel()].copy_(piece)

    def _collect(self, step: Step, start: int, piece: torch.Tensor, place: Place) -> None:
        """Put a tensor together that the host takes whole; hand it over when it is complete."""
        assert place.deliver is not None
        with self._lock:
            if step.key not in self._whole:
                self._whole[step.key] = torch.empty(step.shape, dtype=piece.dtype), step.info.numel
        whole, _ = self._whole[step.key]
        whole.view(-1)[start:start + piece.numel()].copy_(piece)
        with self._lock:
            missing = self._whole[step.key][1] - piece.numel()
            self._whole[step.key] = whole, missing
            if not missing:
                del self._whole[step.key]
        if not missing:
            place.deliver(whole)
