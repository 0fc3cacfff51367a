"""Weights of single elements: SuperMerger's rows ``blocks:elements:ratio``."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import RecipeError
from .keys import BASE, DEPTHS, FINAL, TIME, block_names
from .mbw import dialect_named, number

_COUNTED = re.compile(r"([^-]*\.(?:block)?)([0-9]{1,3})(?:-\1([0-9]{1,3}))?")


@dataclass(frozen=True)
class ElementRule:
    """One row ``blocks:elements:ratio``. No blocks, or no elements: all of them."""

    ratio: float
    blocks: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()
    not_blocks: bool = False
    not_elements: bool = False

    def matches(self, block: str, key: str) -> bool:
        """Whether a tensor falls under this row. An element is any part of the tensor's full name."""
        if self.blocks and (block in self.blocks) == self.not_blocks:
            return False
        return not self.elements or any(part in key for part in self.elements) != self.not_elements

    def __str__(self) -> str:
        fields = ((self.blocks, self.not_blocks), (self.elements, self.not_elements))
        texts = ["NOT " * negated + " ".join(names) for names, negated in fields]
        return f"{texts[0]}:{texts[1]}:{self.ratio!r}"


def element_ratio(rules: Iterable[ElementRule], block: str, key: str) -> float | None:
    """Ratio of the last row that matches, or None."""
    found = None
    for rule in rules:
        if rule.matches(block, key):
            found = rule.ratio
    return found


def parse_elements(
    rows: Iterable[str], family: str | None = None, dialect: str | None = None
) -> tuple[ElementRule, ...]:
    """SuperMerger's element rows, as ``OUT03-OUT05:attn2 attn1.to_out:0.5`` or ``NOT IN00:NOT norm:1``.

    Rows are separated by newlines or commas; names by spaces, and by commas too where no row can end.
    Without a family, the names of any family pass: a check for when the model is not known yet.

    With a ``dialect``, a block name includes what that tool folds into it (SuperMerger's IN00 has
    TIME). SuperMerger itself skips bad rows without a word, and on SDXL reads the names in SD1's order
    (its M00 there is the row's IN09): here bad rows are refused, and names mean what they say.
    """
    folded = _folded(family, dialect)
    return tuple(_rule(row, family, folded) for text in rows for row in split_rows(text))


def _folded(family: str | None, dialect: str | None) -> dict[str, tuple[str, ...]]:
    if dialect is None or family is None or family not in DEPTHS:
        return {}
    columns = dialect_named(dialect).layouts(family)[0]
    return {column[0]: column for column in columns if column and {TIME, FINAL}.issuperset(column[1:])}


def split_rows(text: str) -> list[str]:
    """The rows of a text, separated by newlines or by commas."""
    rows = []
    for line in text.splitlines():
        pending: list[str] = []
        colons = 0
        for piece in line.split(","):
            pending.append(piece)
            colons += piece.count(":")
            if colons >= 2:
                rows.append(" ".join(pending))
                pending, colons = [], 0
        if "".join(pending).strip():
            rows.append(" ".join(pending))
    return [row.strip() for row in rows]


def _rule(row: str, family: str | None, folded: Mapping[str, tuple[str, ...]]) -> ElementRule:
    fields = row.split(":")
    if len(fields) != 3:
        raise RecipeError(
            f"Element row {row[:80]!r} has {len(fields) - 1} colons; expected blocks:elements:ratio."
        )
    ratio = number(fields[2].strip())
    if ratio is None:
        raise RecipeError(
            f"Element row {row[:80]!r} ends in {fields[2][:40]!r}; expected a number such as 0.5."
        )
    not_blocks, spans = _negated(fields[0])
    not_elements, elements = _negated(fields[1])
    names = [name for span in spans for name in _span(span, family, row)]
    names = [each for name in names for each in folded.get(name, (name,))]
    return ElementRule(ratio, tuple(dict.fromkeys(names)), elements, not_blocks, not_elements)


def _negated(field: str) -> tuple[bool, tuple[str, ...]]:
    words = field.split()
    negated = bool(words) and words[0].upper() == "NOT"
    words = words[negated:]
    return negated and bool(words), tuple(words)


def _span(span: str, family: str | None, row: str) -> tuple[str, ...]:
    """``IN01-IN03`` -> all three, in either direction."""
    found: tuple[str, ...] = ()
    if family is None or family in DEPTHS:
        found = _ordered(span.upper(), family or "sd1")
    if family not in DEPTHS:
        found = found or _counted(span)
    if not found:
        example = "IN00, M00, IN01-IN03" if family in DEPTHS else "double_blocks.0-double_blocks.3"
        raise RecipeError(
            f"Element row {row[:80]!r}: {span[:40]!r} is no block of {family or 'any model'} (such as {example})."
        )
    return found


def _ordered(span: str, family: str) -> tuple[str, ...]:
    names, ends = block_names(family), span.split("-")
    if len(ends) > 2 or not set(ends).issubset(names):
        return ()
    start, *_, end = sorted(names.index(name) for name in (*ends, ends[-1]))
    return names[start : end + 1]


def _counted(span: str) -> tuple[str, ...]:
    """Where blocks are known only from a file: one name, or one repeat counted up."""
    if span == BASE:
        return (BASE,)
    if not (found := _COUNTED.fullmatch(span)):
        return ()
    stem, start, end = found[1], int(found[2]), int(found[3] or found[2])
    return tuple(f"{stem}{i}" for i in range(min(start, end), max(start, end) + 1))
