"""Plots of a study, by matplotlib."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..files import replacing

_WIDTH, _HEIGHT = 6.0, 3.6


def plots(found: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Write a PNG for each experiment that has a plot; its name -> the file. None at all without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return {}
    matplotlib.use("Agg")
    from matplotlib import pyplot

    written: dict[str, Path] = {}
    for name, draw in _PLOTS.items():
        tables = list(found["tables"].get(name, {}).values())
        if not tables:
            continue
        figure, axes = pyplot.subplots(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        draw(axes, tables)
        written[name] = folder / f"lab_{name}.png"
        with replacing(written[name]) as part:
            figure.savefig(part, format="png", dpi=110)
        pyplot.close(figure)
    return written


def _union(axes: Any, tables: list[Any]) -> None:
    labels = list(tables[0])
    for at, label in enumerate(labels):
        values = [table[label]["preference"] for table in tables]
        axes.barh(at, statistics.mean(values) - _floor(tables), left=_floor(tables),
                  color="#d9822b" if "soup" in label else "#7f8c9b")
        axes.plot(values, [at] * len(values), "k.", markersize=4)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("preference, by the judge (0 is best)")


def _floor(tables: list[Any]) -> float:
    return float(min(row["preference"] for table in tables for row in table.values())) - 0.05


def _continual(axes: Any, tables: list[Any]) -> None:
    steps = range(1, len(tables[0]) + 1)
    for name, colour in (("soup", "#d9822b"), ("one after the other", "#3465a4")):
        for what, line in (("loss on all", "-"), ("loss on the first", ":")):
            mean = [statistics.mean(list(table.values())[at - 1][f"{name}: {what}"] for table in tables)
                    for at in steps]
            axes.plot(steps, mean, line, color=colour, marker="o", markersize=4, label=f"{name}: {what}")
    axes.set_xticks(list(steps))
    axes.set_xlabel("shards so far")
    axes.set_ylabel("loss")
    axes.legend(fontsize=8)


def _mixing(axes: Any, tables: list[Any]) -> None:
    labels = [label for label in tables[0] if label != "base"]
    for column, colour in (("faithfulness", "black"), ("right style", "#d9822b"), ("right shape", "#3465a4")):
        axes.plot(range(len(labels)), [statistics.mean(table[label][column] for table in tables) for label in labels],
                  marker="o", markersize=4, color=colour, label=column)
    axes.set_xticks(range(len(labels)), [label.split(",")[0] for label in labels], fontsize=8)
    axes.set_ylim(0, 1)
    axes.legend(fontsize=8)


def _geometry(axes: Any, tables: list[Any]) -> None:
    verdicts: dict[str, str] = {}
    palette = ["#4e9a06", "#d9822b", "#cc0000", "#75507b", "#3465a4"]
    for table in tables:
        for row in table.values():
            colour = verdicts.setdefault(row["taste"], palette[len(verdicts) % len(palette)])
            axes.plot(row["distance from the base"], row["soup, of one"], "o", color=colour, markersize=5)
    for word, colour in verdicts.items():
        axes.plot([], [], "o", color=colour, label=f"taste: {word}")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=10)
    axes.set_xlabel("distance from the base, % of its norm")
    axes.set_ylabel("loss of the soup, % above one")
    axes.legend(fontsize=8)


_PLOTS: dict[str, Callable[[Any, list[Any]], None]] = {
    "union": _union, "continual": _continual, "mixing": _mixing, "geometry": _geometry}
