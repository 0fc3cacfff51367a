"""Take the figures this project promises.

    python -m benchmarks                 all of them; results/*.json and RESULTS.md
    python -m benchmarks cook_memory     one
    python -m benchmarks --table         only write RESULTS.md again

The checkpoints (2.1 GB each, random numbers in the true shapes) are made on first use and kept in .bench.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from diffusion_soup import SoupError, __version__

from . import table
from .measure import ROOT, BenchmarkError, load, machine, say

NAMES = ("cook_memory", "memory", "recook", "fifty", "comfyui_first_step", "style_overhead", "panorama",
         "editors")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--runs", type=int, default=5, help="how often each measurement is repeated (5)")
    parser.add_argument("--data", type=Path, default=ROOT / ".bench", help="where checkpoints are kept (.bench)")
    parser.add_argument("--table", action="store_true", help="only write RESULTS.md again")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in NAMES]
    if unknown or options.runs < 1:
        parser.error(f"there is no benchmark {unknown[0]!r}" if unknown else "--runs must be at least 1")
    for name in () if options.table else options.names or NAMES:
        report = take(name, options.data.resolve(), options.runs)
        table.RESULTS.mkdir(exist_ok=True)
        (table.RESULTS / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(report["goals"], indent=1))
    say(f"Wrote {table.write()}")


def take(name: str, data: Path, runs: int) -> dict[str, Any]:
    """One benchmark's report: what it found, on which machine, and how busy that was."""
    module = importlib.import_module(f"benchmarks.{name}")
    title = (module.__doc__ or "").splitlines()[0].rstrip(".")
    say(f"{name}: {title}")
    before = load()
    found = module.run(data, runs)
    return {"name": name, "title": title, **found, "runs": runs, "machine": machine(), "load": [before, load()],
            "version": __version__, "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat()}


if __name__ == "__main__":
    try:
        main()
    except (BenchmarkError, SoupError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped")
