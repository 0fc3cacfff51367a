"""``python -m diffusion_soup.lab world | judge``: look at the lab's world, measure it, train its judge."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from ..errors import SoupError
from ..progress import Silent
from .render import speed
from .shards import WORLD
from .sheet import enlarged, world_sheet, write_png
from .train_judge import JudgeConfig, the_judge


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 2 after an error of the user's."""
    parser = argparse.ArgumentParser(prog="diffusion_soup.lab", description="The lab's world and its judge.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
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
    try:
        options.run(options)
    except SoupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("cancelled; nothing was left behind", file=sys.stderr)
        return 130
    return 0


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
            print(f"\r{done} of {total} {what}  ", end="\n" if done == total else "", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
