"""A search drawn for people: the path of scores, and contact sheets of the recipes it went through. Needs Pillow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import fonts
from .panorama.drawing import INK, PAPER, fitted
from .recipe import Recipe
from .select import Path, Step

if TYPE_CHECKING:
    from PIL.Image import Image

#: Prompt, score and small picture of each picture of a recipe.
Sheet = Sequence[tuple[str, "float | None", "Image | None"]]

_WIDTH = 1024
_KEPT, _LEFT, _LINE = (110, 201, 143), (113, 113, 122), (63, 63, 70)
_MOST_COLUMNS, _MOST_ROWS = 8, 12


def report(path: Path, sheet: Callable[[Recipe], Sheet]) -> Image:
    """The whole report as one picture. ``sheet`` gives the pictures of a recipe."""
    parts = [_heading(path), _scores(path)]
    chosen = [step for step in path.steps if step.kept and step.recipe.hash != path.recipe.hash]
    best = next(step for step in path.steps if step.kept and step.recipe.hash == path.recipe.hash)
    others = sorted((step for step in path.steps if not step.kept), key=lambda step: -step.score)
    rows = [("result", best), *((step.change, step) for step in reversed(chosen)),
            *((step.change, step) for step in others)]
    seen: set[str] = set()
    for title, step in rows:
        if step.recipe.hash not in seen and len(seen) < _MOST_ROWS:
            seen.add(step.recipe.hash)
            row = _contact(title, step, sheet(step.recipe))
            if row is not None:
                parts.append(row)
    return _stacked(parts)


def _fonts() -> tuple[Any, Any]:
    return fonts.font(20), fonts.font(14)


def _paper(height: int) -> tuple[Image, Any]:
    from PIL import Image, ImageDraw

    paper = Image.new("RGB", (_WIDTH, height), PAPER)
    return paper, ImageDraw.Draw(paper)


def _heading(path: Path) -> Image:
    large, small = _fonts()
    shares = path.recipe.shares()
    lines = [f"{each.name}  {100 * share:.3g}%" if path.recipe.normalise else f"{each.name}  {share:.3g}"
             for each, share in zip(path.recipe.ingredients, shares)]
    paper, draw = _paper(58 + 22 * len(lines) + (22 if path.note else 0))
    draw.text((16, 12), f"{path.method}: {path.score:.4g} after {len(path.steps)} steps", INK, large)
    for at, line in enumerate([*lines, *([path.note] if path.note else [])]):
        draw.text((16, 46 + 22 * at), fitted(draw, line, small, _WIDTH - 32), INK, small)
    return paper


def _scores(path: Path) -> Image:
    """A bar for each step, from the lowest score to the highest; what was kept is bright."""
    _, small = _fonts()
    steps = path.steps if len(path.steps) <= 60 else _thinned(path.steps)
    height = 22
    paper, draw = _paper(height * len(steps) + 24)
    low, high = min(step.score for step in path.steps), max(step.score for step in path.steps)
    left, right = 360, _WIDTH - 110
    for at, step in enumerate(steps):
        top = 12 + height * at
        share = (step.score - low) / (high - low) if high > low else 1.0
        colour = _KEPT if step.kept else _LEFT
        draw.line((left, top + height // 2, right, top + height // 2), _LINE)
        draw.rectangle((left, top + 5, left + 2 + share * (right - left - 2), top + height - 6), colour)
        draw.text((16, top + height / 2), fitted(draw, step.change, small, left - 32), colour if step.kept else INK,
                  small, anchor="lm")
        draw.text((right + 12, top + height / 2), f"{step.score:.4g}", INK, small, anchor="lm")
    return paper


def _thinned(steps: Sequence[Step]) -> list[Step]:
    """All that was kept, and the last ones of the rest, in their order."""
    kept = {at for at, step in enumerate(steps) if step.kept}
    rest = [at for at in range(len(steps)) if at not in kept]
    chosen = kept | set(rest[-max(0, 60 - len(kept)):])
    return [steps[at] for at in sorted(chosen)[-60:]]


def _contact(title: str, step: Step, sheet: Sheet) -> Image | None:
    pictures = [(prompt, score, picture) for prompt, score, picture in sheet if picture is not None][:_MOST_COLUMNS]
    if not pictures:
        return None
    _, small = _fonts()
    side = (_WIDTH - 16) // max(4, min(_MOST_COLUMNS, len(pictures))) - 8
    scaled = []
    for prompt, score, picture in pictures:
        copy = picture.copy()
        copy.thumbnail((side, side))
        scaled.append((prompt, score, copy))
    tall = max(copy.height for _, _, copy in scaled)
    paper, draw = _paper(tall + 56)
    draw.text((16, 6), fitted(draw, f"{title}: {step.score:.4g} ({step.why})", small, _WIDTH - 32), INK, small)
    for at, (prompt, score, copy) in enumerate(scaled):
        left = 16 + at * (side + 8)
        paper.paste(copy, (left, 28))
        label = prompt if score is None else f"{score:.3g}  {prompt}"
        draw.text((left, 32 + tall), fitted(draw, label, small, side), INK, small)
    return paper


def _stacked(parts: Sequence[Image]) -> Image:
    paper, _ = _paper(sum(part.height for part in parts) + 12)
    top = 0
    for part in parts:
        paper.paste(part, (0, top))
        top += part.height
    return paper
