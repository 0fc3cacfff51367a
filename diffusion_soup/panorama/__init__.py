"""Panoramas: one canvas, many regions, each with its own prompt (Mixture of Diffusers, arXiv 2302.02412)."""

from .blend import Blend, Layout, add, crop, seeded
from .canvas import GRID, KINDS, Box, Canvas, Region, Tile, grid, place, plan
from .document import Document, Painting, Part, read
from .errors import CoverageError

__all__ = ["GRID", "KINDS", "Blend", "Box", "Canvas", "CoverageError", "Document", "Layout", "Painting", "Part",
           "Region", "Tile", "add", "crop", "grid", "place", "plan", "read", "seeded"]
