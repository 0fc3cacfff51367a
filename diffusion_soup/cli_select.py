"""``diffusion-soup greedy``: select among candidates by what a scorer says of their pictures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import Cancelled, FileError, RecipeError
from .evaluations import Evaluations
from .files import replacing
from .folders import ModelFolders
from .hashes import HashCache, default_cache_file
from .planner import prepare
from .progress import Progress
from .recipe import Ingredient, ModelFile, Recipe
from .report import report
from .score import KINDS, open_scorer
from .select import METHODS, search
from .select import Path as SearchPath
from .shares import GROUPINGS, WHOLE, grouped
from .studio import Studio
from .trial import Prompts, Trial


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("candidates", nargs="+", metavar="CANDIDATE", help="checkpoints, relative to the models folder")
    parser.add_argument("--lora", action="append", default=[], metavar="FILE", help="a LoRA to try too, with --base")
    parser.add_argument("--base", metavar="FILE", help="the pretrained checkpoint they were fine-tuned from")
    parser.add_argument("--models", type=Path, required=True, metavar="DIR", help="the folder your models are in")
    parser.add_argument("--prompts", type=Path, required=True, metavar="FILE", help="prompts, one a line")
    parser.add_argument("--scorer", required=True, metavar="NAME:DIR", help=f"who judges: {', '.join(KINDS)}, with the "
                                                                            "folder of its files")
    parser.add_argument("--pipeline", type=Path, required=True, metavar="DIR",
                        help="a diffusers pipeline of their family, for its settings and words (no weights are read)")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.json", help="where the recipe is written")
    parser.add_argument("--report", type=Path, metavar="OUT.png", help="the path of scores and contact sheets")
    parser.add_argument("--method", choices=METHODS, default="greedy",
                        help="; ".join(f"{each.name}: {each.title}" for each in METHODS.values()))
    parser.add_argument("--budget", type=int, default=0, metavar="N", help="soups that may be scored (0: as needed)")
    parser.add_argument("--blocks", choices=GROUPINGS, default=WHOLE, help="what coordinate and cma give shares to")
    parser.add_argument("--negative", default="", metavar="TEXT", help="the negative prompt")
    parser.add_argument("--seed", type=int, default=0, help="the noise, the same for every candidate (0)")
    parser.add_argument("--pictures", type=int, default=1, metavar="N", help="pictures of each prompt (1)")
    parser.add_argument("--steps", type=int, default=20, help="sampling steps (20)")
    parser.add_argument("--cfg", type=float, default=7.0, help="classifier-free guidance (7)")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--device", default="cpu", help="where pictures are painted: cpu (default) or cuda")
    parser.add_argument("--evaluations", type=Path, metavar="FILE",
                        help="where scores are kept (default: beside OUT.json); a stopped search goes on there")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT.json and OUT.png if they exist")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text and progress")


def run(options: argparse.Namespace, bar: Callable[..., Any]) -> None:
    """Search, and write the recipe and the report. Raises :class:`SoupError`."""
    for path, suffix in ((options.out, ".json"), (options.report, ".png")):
        _check_output(path, suffix, options.overwrite)
    evaluations = Evaluations(options.evaluations or options.out.with_name(f"{options.out.stem}.evaluations.jsonl"))
    with bar(quiet=options.json) as progress:
        try:
            trial, path = _search(options, evaluations, progress)
        except (KeyboardInterrupt, Cancelled):
            print(f"stopped; {evaluations.file} holds what was scored, and the same command goes on there",
                  file=sys.stderr)
            raise SystemExit(130) from None
    _write(options.out, lambda part: part.write_text(path.recipe.to_json() + "\n", encoding="utf-8"))
    if options.report:
        _write(options.report, lambda part: report(path, trial.sheet).save(part, "png"))
    if options.json:
        print(json.dumps({"output": str(options.out), "recipe": path.recipe.to_dict(), "score": path.score,
                          "painted": trial.painted, "note": path.note, "steps": [
                              {"change": step.change, "score": step.score, "kept": step.kept, "why": step.why,
                               "recipe_hash": step.recipe.hash} for step in path.steps]}))
        return
    for step in path.steps:
        print(f"{'*' if step.kept else ' '} {step.score:10.4f}  {step.change} ({step.why})")
    print(f"{options.out}: {', '.join(each.name for each in path.recipe.ingredients)}, score {path.score:.4f}, "
          f"{trial.painted} pictures painted{'. ' + path.note if path.note else ''}")


def _search(options: argparse.Namespace, evaluations: Evaluations, progress: Progress) -> tuple[Trial, SearchPath]:
    models = ModelFolders.below(options.models, HashCache(default_cache_file()))
    candidates = [Ingredient(file) for file in options.candidates] + [Ingredient(file, "lora") for file in options.lora]
    plan = prepare(Recipe(tuple(candidates), base=ModelFile(options.base) if options.base else None), models, progress)
    plan.close()
    scorer = open_scorer(options.scorer, [], models.hashes, progress)
    studio = Studio(options.pipeline, models, steps=options.steps, cfg=options.cfg, device=options.device,
                    progress=_Inner(progress))
    try:
        text = options.prompts.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError):
        raise FileError(f"{options.prompts} cannot be read; expected a text file with one prompt a line.") from None
    prompts = Prompts.read(text, negative=options.negative, width=options.width, height=options.height,
                           seeds=tuple(range(options.seed, options.seed + options.pictures)), sampling=studio.sampling)
    trial = Trial(prompts, evaluations, scorer.identity, studio, scorer, progress)
    groups = grouped(options.blocks, dict.fromkeys(step.block for step in plan.steps))
    return trial, search(plan.recipe, trial, options.method, budget=options.budget, groups=groups, progress=progress)


class _Inner:
    """Work that is a part of a longer one: it can be stopped, and says nothing."""

    def __init__(self, outer: Progress) -> None:
        self._outer = outer

    def step(self, done: int, total: int, what: str) -> None:
        pass

    def cancelled(self) -> bool:
        return self._outer.cancelled()


def _check_output(path: Path | None, suffix: str, overwrite: bool) -> None:
    if path is None:
        return
    if path.suffix.lower() != suffix:
        raise RecipeError(f"{path} needs a name that ends in {suffix}.")
    if not path.parent.is_dir():
        raise FileError(f"The folder {path.parent} does not exist; make it first.")
    if path.exists() and not overwrite:
        raise FileError(f"{path} exists already and was left as it is; choose another name or give --overwrite.")


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    try:
        with replacing(path) as part:
            write(part)
    except OSError as error:
        raise FileError(f"{path} could not be written: {error.strerror}.") from None
