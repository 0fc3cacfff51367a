"""What came out of an experiment, in a sentence: written from its tables, beside what the paper says."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from .experiments import Table


def finding(name: str, tables: Sequence[Table]) -> str:
    """The sentence of one experiment, of means over the seeds' tables."""
    return _FINDINGS[name](tables)


def _union(tables: Sequence[Table]) -> str:
    soup, long, short = (_mean(tables, row, "preference") for row in (
        "uniform soup", "union, as many steps as all", "union, as many steps as one"))
    return (f"Here the uniform soup's preference is {soup:.2f}: {_than(soup, long)} one model trained on the union for "
            f"as many steps as all specialists together ({long:.2f}), and {_than(soup, short)} one trained for as many "
            f"steps as one of them ({short:.2f}).")


def _unlearning(tables: Sequence[Table]) -> str:
    rows = list(tables[0])
    others, forgotten, unlike = (statistics.mean(_mean(tables, row, column) for row in rows) for column in (
        "loss on the others", "of what was learnt of it, forgotten", "tensors unlike never added"))
    return (f"Here leaving one out changes the loss on the others by {others:+.1f} % on average, and {forgotten:.0f} % "
            "of what the soup had learnt of the shard itself is forgotten. A soup from which an ingredient was removed "
            f"and one that never had it differ in {unlike:.0f} tensors.")


def _continual(tables: Sequence[Table]) -> str:
    first, last = list(tables[0])[0], list(tables[0])[-1]
    told = []
    for what in ("all", "the first"):
        start, soup, chain = (_mean(tables, row, f"{name}: loss on {what}") for row, name in (
            (first, "soup"), (last, "soup"), (last, "one after the other")))
        told.append(f"on {what} goes from {start:.4f} to {soup:.4f} in the soup and to {chain:.4f} in the model "
                    "that is fine-tuned on")
    return f"Here, from one shard to all of them, the loss {'; '.join(told)}."


def _memorisation(tables: Sequence[Table]) -> str:
    near = {row: _mean(tables, row, "nearest training picture") for row in tables[0]}
    natural, specialists, soup, union, base = near.values()
    return (f"Here the soup's pictures are {soup:.3f} away from the nearest training picture, a specialist's "
            f"{specialists:.3f}, those of one model trained on all {union:.3f}, the base's {base:.3f}; two drawings of "
            f"one scene are {natural:.3f} apart.")


def _mixing(tables: Sequence[Table]) -> str:
    faithful = {row: _mean(tables, row, "faithfulness") for row in tables[0]}
    base, form, *mixes, style = faithful
    best = max(mixes, key=lambda row: faithful[row])
    return (f"Here the best mix is {best}, with a faithfulness of {faithful[best]:.3f}; the specialist of the style "
            f"alone has {faithful[style]:.3f}, that of the form {faithful[form]:.3f}, the base {faithful[base]:.3f}.")


def _geometry(tables: Sequence[Table]) -> str:
    rows = [row for table in tables for row in table.values()]
    right = sum(row["foretold"] == "yes" for row in rows)
    whole = max((float(row["distance from the base"]) for row in rows if row["breaks"] == "no"), default=None)
    broken = min((float(row["distance from the base"]) for row in rows if row["breaks"] == "yes"), default=None)
    told = ("no soup is worse than its specialists by themselves" if broken is None else
            f"the nearest specialists whose soup is worse than they are by themselves lie {broken:.0f} % of the base's "
            "norm away from it")
    if broken is not None and whole is not None:
        told += f", the farthest whose soup is not lie {whole:.0f} % away"
    return f"Here {told}. Taste was right in {right} of {len(rows)} cases."


def _ensembling(tables: Sequence[Table]) -> str:
    apart = _mean(tables, "soup", "prediction apart from the ensemble's, of the specialists' own")
    soup, ensemble = (_mean(tables, row, "preference") for row in ("soup", "ensemble"))
    calls = _mean(tables, "ensemble", "calls of the network a step")
    return (f"Here the soup's predictions are away from the ensemble's by {apart:.0f} % of what a specialist's are, "
            f"and its preference is {soup:.2f} against {ensemble:.2f}, at one call of the network a step instead of "
            f"{calls:.0f}.")


_FINDINGS: Mapping[str, Callable[[Sequence[Table]], str]] = {
    "union": _union, "unlearning": _unlearning, "continual": _continual, "memorisation": _memorisation,
    "mixing": _mixing, "geometry": _geometry, "ensembling": _ensembling}


def _mean(tables: Sequence[Table], row: str, column: str) -> float:
    return statistics.mean(float(table[row][column]) for table in tables)


def _than(value: float, other: float) -> str:
    """Of scores of which the higher is the better."""
    return "as good as" if round(value, 2) == round(other, 2) else "better than" if value > other else "worse than"
