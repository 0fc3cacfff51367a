"""What a canvas can lack."""

from __future__ import annotations

import torch

from ..errors import RecipeError


class CoverageError(RecipeError):
    """Some of the canvas belongs to no region. ``hole`` [rows, columns] is true there, one element a latent."""

    def __init__(self, message: str, hole: torch.Tensor) -> None:
        super().__init__(message)
        self.hole = hole
