"""``diffusion-soup lab study | world | judge``: the study, and a look at the lab's world and its judge."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from ..errors import SoupError
from ..progress import Silent
from .experiments import EXPERIMENTS
from .presets import PRESETS
from .render import speed
from .shards import WORLD
from .sheet import enlarged, world_sheet, write_png
from .study import sheet, write
from .study import study as study_of
from .train_judge import JudgeConfig, default_folder, the_judge


def run(arguments: Sequence[str], parser: argparse.ArgumentParser) -> None:
    """Run one command of the lab; ``parser`` is filled with what there is. Raises :class:`SoupError`."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=type(parser))
    study = commands.add_parser("study", help="train, measure, and write the tables; goes on where it was stopped")
    study.add_argument("--preset", choices=PRESETS, default="cpu", help="how large (cpu)")
    study.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N - 1 (3)")
    study.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=[], metavar="NAME",
                       help=f"only some of {', '.join(EXPERIMENTS)}")
    study.add_argument("--folder", type=Path, metavar="DIR", help="where weights and measurements are kept")
    study.add_argument("--out", type=Path, required=True, metavar="DIR", help="for lab.json, lab.md and the plots")
    study.set_defaults(run=_study)
    world = commands.add_parser("world", help="draw a contact sheet, measure the speed of drawing")
    world.add_argument("--sheet", type=Path, metavar="OUT.png", help="a row for each drawing style")
    world.add_argument("--size", type=int, default=64, help="of one picture, in pixels (64)")
    world.add_argument("--times", type=int, default=1, help="enlarge each pixel (1)")
    world.add_argument("--seed", type=int, default=0, help="of the scenes (0)")
    world.add_argument("--speed", action="store_true", help="pictures a second at 16, 32 and 64 px on one thread")
    world.set_defaults(run=_world)
    judge = commands.add_parser("judge", help="train the judge, or read it from its folder, and show its accuracy")
    judge.add_argument("--size", type=int, default=16, help="of the pictures it looks at, in pixels (16)")
    judge.add_argument("--folder", type=Path, metavar="DIR", help="where judges are kept")
    judge.set_defaults(run=_judge)
    options = parser.parse_args(arguments)
    options.run(options)


def _study(options: argparse.Namespace) -> None:
    if options.seeds < 1:
        raise SoupError(f"--seeds is at least 1, not {options.seeds}.")
    preset = PRESETS[options.preset]
    if preset.device == "cuda" and not torch.cuda.is_available():
        raise SoupError("The preset gpu needs a CUDA device, and torch sees none; choose --preset cpu.")
    folder = options.folder or default_folder() / preset.name
    found = study_of(preset, range(options.seeds), folder, options.only, _Line())
    for path in write(found, options.out, sheet(preset, 0, folder, _Line())):
        print(path)


def _world(options: argparse.Namespace) -> None:
    if options.sheet:
        write_png(enlarged(world_sheet(options.size, seed=options.seed), options.times), options.sheet)
        print(f"{options.sheet} written")
    if options.speed:
        torch.set_num_threads(1)
        for size in (16, 32, 64):
            print(f"{size} px: {speed(WORLD.scenes(range(4096)), size):,.0f} pictures a second on one thread")


def _judge(options: argparse.Namespace) -> None:
    judge = the_judge(JudgeConfig(size=options.size), options.folder, _Line())
    print(f"{'':12}" + "".join(f"{name:>12}" for name in judge.report))
    for kind in judge.report["clean"]:
        print(f"{kind:12}" + "".join(f"{each[kind]:12.1%}" for each in judge.report.values()))


class _Line(Silent):
    """Progress on one line of stderr, where that is a terminal."""

    def step(self, done: int, total: int, what: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{done} of {total} {what}", end="\n" if done == total else "", file=sys.stderr, flush=True)
