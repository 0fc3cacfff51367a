"""A panorama as text: a canvas with its regions and their prompts, in JSON or in lines of cells.

    {"panorama": 1, "wrap": true, "regions": [
      {"prompt": "a forest", "x": 0, "y": 0, "width": 640, "height": 512, "cfg": 9},
      {"grid": {"rows": 1, "columns": 3, "prompts": "a lake\\na castle\\na storm"}, "mask_weight": 0.5}]}

    a forest | a lake | a castle

Both are regions of a canvas whose size the host knows. In the second, a line is a row and ``|`` parts its cells.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import RecipeError, shown
from .blend import Layout
from .canvas import GRID, KINDS, Canvas, Region, grid, place

VERSION = 1
MOST_REGIONS = 256
MOST_SIGNS = 1 << 18
_SHORTHAND_OVERLAP = 128  # pixels, of cells given as lines
_TILING = {"tile_width": 1024, "tile_height": 1024, "overlap_x": 256, "overlap_y": 256}
_COUNTING: dict[str, Any] = {"weights": "gaussian", "mask_weight": 1.0, "feather": 64, "start": 0.0, "end": 1.0}
_PLACE = ("x", "y", "width", "height")
_GRID = {"rows": 1, "columns": 1, "overlap_x": 128, "overlap_y": 128}


@dataclass(frozen=True)
class Part:
    """A region and what it is painted with, as text. ``style``: share of each style of a DMM student by its name."""

    region: Region
    prompt: str = ""
    negative: str = ""
    style: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Painting:
    """A canvas of a size with its parts; at least one, as large as the canvas where nothing else is given."""

    canvas: Canvas
    parts: tuple[Part, ...]

    def layout(self) -> Layout:
        """Raises :class:`RecipeError` for regions that cannot be laid out."""
        return Layout(self.canvas, [part.region for part in self.parts])

    def scaled(self, width: int, height: int) -> Painting:
        """The same on a canvas of another size in pixels; tiles keep theirs. Edges that met still meet."""
        if (width, height) == (self.canvas.width, self.canvas.height):
            return self
        wide, high = width / self.canvas.width, height / self.canvas.height

        def fitted(part: Part) -> Part:
            box = place(self.canvas, part.region)
            left, right = (_snapped(edge * GRID * wide) for edge in (box.x, box.right))
            top, bottom = (_snapped(edge * GRID * high) for edge in (box.y, box.bottom))
            feather = round(part.region.feather * math.sqrt(wide * high))
            return replace(part, region=replace(part.region, x=left, y=top, width=right - left, height=bottom - top,
                                                feather=feather))

        return Painting(replace(self.canvas, width=width, height=height), tuple(map(fitted, self.parts)))


@dataclass(frozen=True)
class Document:
    """What was written: settings of the canvas, and regions as they stand. ``at_once``: tiles in a batch, 0: any."""

    wrap: bool = False
    tiling: Mapping[str, int] = field(default_factory=lambda: dict(_TILING))
    at_once: int = 0
    regions: tuple[Mapping[str, Any], ...] = ()
    cells: tuple[tuple[str, ...], ...] = ()

    def on(self, width: int, height: int) -> Painting:
        """The regions on a canvas of this size in pixels. Raises :class:`RecipeError` for those that do not fit."""
        canvas = Canvas(width, height, self.wrap, **self.tiling)
        parts = [part for values in self.regions for part in _parts(canvas, values)] + _from_cells(canvas, self.cells)
        if len(parts) > MOST_REGIONS:
            raise RecipeError(f"The panorama has {len(parts)} regions; {MOST_REGIONS} are the most.")
        named = [replace(part, region=replace(part.region, name=part.region.name or f"region {number}"))
                 for number, part in enumerate(parts, 1)]
        for part in named:
            place(canvas, part.region)
        return Painting(canvas, tuple(named) or (Part(Region("the picture", 0, 0, width, height, "constant")),))

    def to_json(self) -> str:
        """One line of JSON; the lines of cells where it was given as such."""
        if self.cells:
            return "\n".join(" | ".join(row) for row in self.cells)
        values: dict[str, Any] = {"panorama": VERSION}
        values |= {"wrap": True} if self.wrap else {}
        usual = _usual(self.tiling)
        values |= {key: value for key, value in self.tiling.items() if value != usual[key]}
        values |= {"tiles_at_once": self.at_once} if self.at_once else {}
        return json.dumps(values | {"regions": [dict(each) for each in self.regions]}, ensure_ascii=False)


def read(text: object) -> Document:
    """A document from JSON, from values of JSON, or from lines of cells. Raises :class:`RecipeError` in words."""
    values = text
    if isinstance(text, str):
        if len(text) > MOST_SIGNS:
            raise RecipeError(f"The panorama's text has {len(text)} signs; {MOST_SIGNS} are the most.")
        if not text.lstrip().startswith(("{", "[")):
            return Document(cells=read_cells(text))
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RecipeError(f"The panorama's text is not JSON ({str(error)[:100]}); mend it, or write prompts with | "
                              "between those side by side.") from None
    if isinstance(values, list):
        values = {"regions": values}
    if not isinstance(values, dict):
        raise RecipeError(f"A panorama is an object with \"regions\", not {shown(values)}.")
    what = "the panorama"
    _known(what, values, {"panorama", "wrap", "tiles_at_once", "regions", *_TILING})
    if values.get("panorama", VERSION) != VERSION:
        raise RecipeError(f"The panorama is of version {shown(values['panorama'])}, but this extension reads version "
                          f"{VERSION}; update it.")
    regions = values.get("regions", [])
    if not isinstance(regions, list) or not all(isinstance(each, dict) for each in regions):
        raise RecipeError("\"regions\" of the panorama must be a list of objects, one for each region.")
    if not isinstance(values.get("wrap", False), bool):
        raise RecipeError(f"\"wrap\" of the panorama is {shown(values['wrap'])}; write true or false.")
    tiling = {key: _whole(what, values, key, default) for key, default in _usual(values).items()}
    at_once = _whole(what, values, "tiles_at_once", 0)
    if not 0 <= at_once <= 1024:
        raise RecipeError(f"\"tiles_at_once\" of the panorama is {at_once}; give 1 to 1024, or 0 for as many as fit.")
    for number, each in enumerate(regions, 1):
        _check(f"region {number}", each)
    return Document(values.get("wrap", False), tiling, at_once, tuple(regions))


def _usual(values: Mapping[str, Any]) -> dict[str, int]:
    """Tiles as they are unless told otherwise: they overlap by a quarter."""
    usual = dict(_TILING)
    for axis, side in (("x", "width"), ("y", "height")):
        tile = values.get(f"tile_{side}")
        if isinstance(tile, int) and tile > 0:
            usual[f"overlap_{axis}"] = tile // 4 // GRID * GRID
    return usual


def read_cells(text: str) -> tuple[tuple[str, ...], ...]:
    """Rows of cells: a line is a row, and ``|`` outside of brackets parts its cells. Raises :class:`RecipeError`."""
    rows = tuple(tuple(_split(line)) for line in text.splitlines() if line.strip())
    if len({len(row) for row in rows}) > 1:
        counts = ", ".join(str(len(row)) for row in rows)
        raise RecipeError(f"The rows of the panorama have {counts} cells; give each row as many, with | between them.")
    return rows


def _split(line: str) -> list[str]:
    """Cells of a line; the ``|`` of ``[a|b]`` belongs to the prompt."""
    cells, depth = [""], 0
    for sign in line:
        depth = max(depth + {"[": 1, "]": -1}.get(sign, 0), 0)
        if sign == "|" and not depth:
            cells.append("")
        else:
            cells[-1] += sign
    return [cell.strip() for cell in cells]


def _from_cells(canvas: Canvas, cells: Sequence[Sequence[str]]) -> list[Part]:
    if not cells:
        return []
    rows, columns = len(cells), len(cells[0])
    if rows * columns > MOST_REGIONS:
        raise RecipeError(f"The text has {rows} x {columns} cells; {MOST_REGIONS} are the most.")
    x, y = (min(_SHORTHAND_OVERLAP, side // count // 2 // GRID * GRID)
            for side, count in ((canvas.width, columns), (canvas.height, rows)))
    return [Part(Region(_short(prompt), *box), prompt) for prompt, box in
            zip((prompt for row in cells for prompt in row), grid(canvas, rows, columns, x, y))]


def _check(what: str, values: Mapping[str, Any]) -> None:
    """Refuse what can be told to be wrong without the canvas."""
    common = {"negative", "cfg", "style", *_COUNTING}
    if "grid" not in values:
        _known(what, values, {"name", "prompt", *_PLACE, *common})
        _text(what, values, "name")
        _text(what, values, "prompt")
        for key in _PLACE:
            _whole(what, values, key, 0)
    else:
        _known(what, values, {"grid", *common})
        cells = values["grid"]
        if not isinstance(cells, dict):
            raise RecipeError(f"\"grid\" of {what} must be an object with rows, columns and prompts.")
        _known(f"the grid of {what}", cells, {"prompts", *_GRID})
        _text(f"the grid of {what}", cells, "prompts")
        for key, default in _GRID.items():
            _whole(f"the grid of {what}", cells, key, default)
    _text(what, values, "negative")
    _style(what, values)
    _region(what, values, (0, 0, 64, 64))


def _parts(canvas: Canvas, values: Mapping[str, Any]) -> list[Part]:
    negative, style = str(values.get("negative", "")), _style("a region", values)
    if "grid" not in values:
        prompt = str(values.get("prompt", ""))
        box = (values.get("x", 0), values.get("y", 0), values.get("width", canvas.width),
               values.get("height", canvas.height))
        return [Part(_region(str(values.get("name", "")).strip(), values, box), prompt, negative, style)]
    cells = _GRID | values["grid"]
    rows, columns = cells["rows"], cells["columns"]
    if rows * columns > MOST_REGIONS:
        raise RecipeError(f"The grid has {rows} x {columns} cells; {MOST_REGIONS} are the most.")
    boxes = grid(canvas, rows, columns, cells["overlap_x"], cells["overlap_y"])
    lines = [line.strip() for line in str(cells.get("prompts", "")).strip().splitlines()]
    lines = lines * rows * columns if len(lines) == 1 else lines
    if len(lines) != rows * columns:
        raise RecipeError(f"The grid has {rows} x {columns} = {rows * columns} cells, but {len(lines)} lines of "
                          "prompts; write one line for each cell, or a single one for all.")
    return [Part(_region(_short(line), values, box), line, negative, style) for line, box in zip(lines, boxes)]


def _region(name: str, values: Mapping[str, Any], box: tuple[int, int, int, int]) -> Region:
    what = f"region {name!r}"
    found = _COUNTING | {key: values[key] for key in _COUNTING if key in values}
    if found["weights"] not in KINDS:
        raise RecipeError(f"\"weights\" of {what} is {shown(found['weights'])}; choose one of {', '.join(KINDS)}.")
    weight, start, end = (_number(what, found, key) for key in ("mask_weight", "start", "end"))
    cfg = _number(what, values, "cfg") if values.get("cfg") is not None else 0.0
    if not 0 <= cfg <= 100:
        raise RecipeError(f"\"cfg\" of {what} is {cfg:g}; give 0 to 100, where 0 is the sampler's.")
    feather = _whole(what, found, "feather", 64)
    return Region(name, *box, found["weights"], weight, feather, start, end, cfg or None)


def _style(what: str, values: Mapping[str, Any]) -> dict[str, float]:
    style = values.get("style", {})
    if style is None or style == "":
        return {}
    if isinstance(style, str):
        return {style: 1.0}
    if not isinstance(style, dict):
        raise RecipeError(f"\"style\" of {what} is {shown(style)}; write a style's name, or names with their shares.")
    return {str(name): _number(f"the style of {what}", style, name) for name in style}


def _known(what: str, values: Mapping[str, Any], known: set[str]) -> None:
    for key in values:
        if key not in known:
            raise RecipeError(f"{_capital(what)} has a field {shown(key)} that is not known; there are "
                              f"{', '.join(sorted(known))}.")


def _text(what: str, values: Mapping[str, Any], key: str) -> None:
    if not isinstance(values.get(key, ""), str):
        raise RecipeError(f"\"{key}\" of {what} is {shown(values[key])}; write text in quotes.")


def _number(what: str, values: Mapping[str, Any], key: str) -> float:
    value = values[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1e9 < value < 1e9:
        raise RecipeError(f"\"{key}\" of {what} is {shown(value)}; give a number.")
    return float(value)


def _whole(what: str, values: Mapping[str, Any], key: str, default: int) -> int:
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 1 << 20:
        raise RecipeError(f"\"{key}\" of {what} is {shown(value)}; give a whole number.")
    return value


def _snapped(pixels: float) -> int:
    return math.floor(pixels / GRID + 0.5) * GRID


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _short(prompt: str) -> str:
    """A prompt's beginning, as a name."""
    return prompt if len(prompt) <= 24 else prompt[:23].rstrip(" ,") + "…"
