"""Blocks of a model: which one a tensor is in, and how other tools write their weights."""

from .elements import ElementRule, element_ratio, parse_elements, split_rows
from .keys import BASE, DEPTHS, FINAL, MIDDLE, TIME, block_names, block_of
from .mbw import DIALECTS, Dialect, format_mbw, parse_mbw

__all__ = [
    "BASE",
    "DEPTHS",
    "DIALECTS",
    "FINAL",
    "MIDDLE",
    "TIME",
    "Dialect",
    "ElementRule",
    "block_names",
    "block_of",
    "element_ratio",
    "format_mbw",
    "parse_elements",
    "parse_mbw",
    "split_rows",
]
