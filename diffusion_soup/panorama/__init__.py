"""Panoramas: one canvas, many regions, each with its own prompt (Mixture of Diffusers, arXiv 2302.02412)."""

from .blend import Blend, Layout, add, crop, seeded
from .canvas import GRID, KINDS, Box, Canvas, Region, Tile, grid, place, plan
from .errors import CoverageError

__all__ = ["GRID", "KINDS", "Blend", "Box", "Canvas", "CoverageError", "Layout", "Region", "Tile", "add", "crop",
           "grid", "place", "plan", "seeded"]
