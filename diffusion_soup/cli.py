"""The command line: ``diffusion-soup cook | taste | greedy | recipe | inspect | dmm | lab``.

User errors are one line on stderr beginning with ``error:`` and exit status 2; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import architecture as arch
from . import cli_dmm, cli_select
from .blocks import block_names
from .checkpoint import Checkpoint, open_checkpoint
from .cook import cook_to_file
from .dmm import Student, open_student
from .errors import Cancelled, FileError, RecipeError, SoupError, shown
from .files import replacing
from .folders import ModelFolders
from .hashes import HashCache, default_cache_file
from .lora import LoRAFile
from .recipe import DTYPES, Ingredient, Recipe
from .recipe_file import read_recipe
from .taste import taste


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names the terminal cannot show
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except SoupError as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    except (Cancelled, KeyboardInterrupt):
        print("cancelled; nothing was left behind", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        print(f"error: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="diffusion-soup", description="Average any number of specialists into one model.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    cook = _command(commands, "cook", _cook, "cook a recipe into a safetensors file")
    cook.add_argument("recipe", type=Path, help="recipe.json, a saved soup, or a picture made with one")
    cook.add_argument("--models", type=Path, required=True, metavar="DIR", help="the folder your models are in")
    cook.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.safetensors")
    cook.add_argument("--device", default="cpu", help="where sums are taken: cpu (default) or cuda")
    cook.add_argument("--dtype", choices=DTYPES, help="dtype of the output instead of the recipe's")
    cook.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    cook.add_argument("--json", action="store_true", help="print one JSON object instead of text and progress")

    taste = _command(commands, "taste", _taste, "say whether the ingredients of a recipe fit together, before cooking")
    taste.add_argument("recipe", type=Path, help="recipe.json, a saved soup, or a picture made with one")
    taste.add_argument("--models", type=Path, required=True, metavar="DIR", help="the folder your models are in")
    taste.add_argument("--quick", action="store_true", help="read a sample of some tens of MB of each file")
    taste.add_argument("--json", action="store_true", help="print one JSON object instead of text and progress")

    lab = commands.add_parser("lab", help="measure the papers' claims in a small world of pictures", add_help=False,
                              prefix_chars="\0")  # options are the lab's own
    lab.add_argument("arguments", nargs=argparse.REMAINDER)
    lab.set_defaults(run=_lab)

    greedy = _command(commands, "greedy", _greedy, "select among candidates by what a scorer says of their pictures")
    cli_select.add_arguments(greedy)

    recipe = commands.add_parser("recipe", help="show and change recipes")
    actions = recipe.add_subparsers(required=True, metavar="ACTION", parser_class=_Parser)
    show = _command(actions, "show", _show, "print the recipe in a JSON file, a saved soup or a picture")
    show.add_argument("file", type=Path)
    add = _command(actions, "add", _add, "add an ingredient (continual learning)")
    add.add_argument("recipe", type=Path)
    add.add_argument("file", help="checkpoint or LoRA, relative to the models folder")
    add.add_argument("--weight", type=float, default=1.0, help="its share (1)")
    add.add_argument("--kind", choices=("checkpoint", "lora"), default="checkpoint")
    add.add_argument("--strength", type=float, default=1.0, help="of a LoRA (1)")
    remove = _command(actions, "remove", _remove, "remove an ingredient (unlearning)")
    remove.add_argument("recipe", type=Path)
    remove.add_argument("name", help="file, file name or stem of the ingredient")
    for command in (add, remove):
        command.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.json")
        command.add_argument("--overwrite", action="store_true", help="replace the output if it exists")

    inspect = _command(commands, "inspect", _inspect, "say what a file is")
    inspect.add_argument("file", type=Path)
    inspect.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    _dmm_parser(commands.add_parser("dmm", help="look at and convert DMM students"))
    return parser


def _dmm_parser(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION", parser_class=_Parser)
    inspect = _command(actions, "inspect", _dmm_inspect, "say which styles a student has")
    inspect.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    convert = _command(actions, "convert", _dmm_convert, "write a student of any kind as one safetensors file")
    convert.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.safetensors")
    convert.add_argument("--parts", type=Path, metavar="CHECKPOINT",
                         help="take the text encoders and the VAE from here if the student has none")
    convert.add_argument("--dtype", choices=("float16", "bfloat16", "float32"), help="default: as in the student")
    convert.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    encoding = _command(actions, "encode", lambda options: cli_dmm.run_encode(options, _Bar),
                        "encode the pictures that a student is trained on")
    training = _command(actions, "train", lambda options: cli_dmm.run_train(options, _Bar),
                        "train a student of several checkpoints and LoRAs")
    cli_dmm.add_arguments(encoding, training)
    for command in (inspect, convert):
        command.add_argument("student", type=Path, help="a file, a diffusers folder, or a training folder")
        command.add_argument("--names", help="names of the styles, with commas between: as many as there are styles")


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _cook(options: argparse.Namespace) -> None:
    recipe = read_recipe(options.recipe)
    models = ModelFolders.below(options.models, HashCache(default_cache_file()))
    started = time.perf_counter()
    with _Bar(quiet=options.json) as bar:
        plan, notes = cook_to_file(recipe, models, options.output, device=options.device, dtype=options.dtype,
                                   progress=bar, overwrite=options.overwrite)
    seconds = time.perf_counter() - started
    if options.json:
        print(json.dumps({"output": str(options.output), "recipe_hash": plan.recipe.hash, "seconds": round(seconds, 3),
                          "bytes": plan.output_bytes, "architecture": plan.architecture.title, "notes": list(notes),
                          "recipe": plan.recipe.to_dict()}))
        return
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"{options.output}: {plan.architecture.title}, {len(plan.steps)} tensors, {plan.output_bytes / 1e9:.2f} GB, "
          f"cooked in {seconds:.1f} s")


def _taste(options: argparse.Namespace) -> None:
    models = ModelFolders.below(options.models)
    with _Bar(quiet=options.json) as bar:
        found = taste(read_recipe(options.recipe), models, sampled=options.quick, progress=bar)
    print(json.dumps(found.to_dict()) if options.json else found.report())


def _greedy(options: argparse.Namespace) -> None:
    cli_select.run(options, _Bar)


def _show(options: argparse.Namespace) -> None:
    print(read_recipe(options.file).to_json())


def _add(options: argparse.Namespace) -> None:
    ingredient = Ingredient(options.file, options.kind, weight=options.weight, strength=options.strength)
    _write(options, read_recipe(options.recipe).add(ingredient))


def _remove(options: argparse.Namespace) -> None:
    _write(options, read_recipe(options.recipe).remove(options.name))


def _lab(options: argparse.Namespace) -> None:
    from .lab.commands import run  # its modules are for nothing else

    run(options.arguments, _Parser(prog="diffusion-soup lab", description="The papers' claims, measured here."))


def _write(options: argparse.Namespace, recipe: Recipe) -> None:
    """Write the recipe through a temporary file, so that an interrupted write changes nothing."""
    output: Path = options.output
    if output.suffix.lower() != ".json":
        raise RecipeError(f"{output} is to hold a recipe; give it a name that ends in .json.")
    if output.exists() and not options.overwrite:
        raise FileError(f"{output} exists already and was left as it is; choose another name or give --overwrite.")
    try:
        with replacing(output) as part:
            part.write_text(recipe.to_json() + "\n", encoding="utf-8")
    except OSError as error:
        raise FileError(f"{output} could not be written: {error.strerror}.") from None
    print(f"{output}: {len(recipe.ingredients)} ingredients, recipe {recipe.hash[:10]}")


def _inspect(options: argparse.Namespace) -> None:
    with open_checkpoint(options.file) as checkpoint:
        facts = _lora_facts(checkpoint) if arch.looks_like_lora(checkpoint) else _checkpoint_facts(checkpoint)
    _print_facts(facts, options.json)


def _print_facts(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:{width}}  {', '.join(map(str, value)) if isinstance(value, list) else value}")


def _common_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    dtypes = sorted({info.dtype for info in checkpoint.tensors.values()})
    return {"file": checkpoint.path.name, "tensors": len(checkpoint.tensors), "bytes": checkpoint.nbytes,
            "dtypes": dtypes,
            "metadata": [name if name.isprintable() else shown(name) for name in sorted(checkpoint.metadata)]}


def _checkpoint_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    anatomy = arch.inspect(checkpoint)
    return {"kind": "checkpoint", "architecture": anatomy.architecture.title, "family": anatomy.architecture.family,
            "prediction": anatomy.architecture.prediction, "parts": sorted(anatomy.parts),
            "blocks": list(block_names(anatomy.architecture.family, anatomy.keys)), "dropped": anatomy.dropped,
            **_common_facts(checkpoint)}


def _lora_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    lora = LoRAFile(checkpoint)
    return {"kind": "lora", "layers": len(lora.layers), "unknown tensors": len(lora.unknown),
            **_common_facts(checkpoint)}


def _student(options: argparse.Namespace) -> Student:
    names = [name.strip() for name in options.names.split(",")] if options.names is not None else None
    return open_student(options.student, names)


def _dmm_inspect(options: argparse.Namespace) -> None:
    with _student(options) as student:
        facts = {"file": student.file, "family": student.family, "styles": list(student.codebook.names),
                 "width": student.codebook.width, "style MLP": student.codebook.mlp.fingerprint[:10],
                 "parts": list(student.parts), "tensors": len(student.tensors),
                 "unknown tensors": list(student.unknown)}
    _print_facts(facts, options.json)


def _dmm_convert(options: argparse.Namespace) -> None:
    with _student(options) as student, _Bar(quiet=False) as bar:
        whole = student.with_parts_of(open_checkpoint(options.parts)) if options.parts else student
        for path in (options.student, *([options.parts] if options.parts else [])):
            if options.output.exists() and options.output.samefile(path):
                raise FileError(f"{options.output} is what is to be converted, so it was not overwritten; choose "
                                "another name.")
        whole.save(options.output, dtype=options.dtype, overwrite=options.overwrite, progress=bar)
    for name in whole.unknown:
        print(f"note: {name} has no place in the file and was left out", file=sys.stderr)
    missing = {arch.TEXT, arch.VAE} - set(whole.parts)
    if missing:
        print(f"note: the student has no {' and no '.join(sorted(missing))}; --parts CHECKPOINT would add them",
              file=sys.stderr)
    print(f"{options.output}: a student of {len(whole.codebook)} styles ({', '.join(whole.codebook.names)})")


class _Bar:
    """A tqdm bar on a terminal; silent otherwise."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet or not sys.stderr.isatty()
        self._bar: Any = None
        self._what = ""

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def step(self, done: int, total: int, what: str) -> None:
        if self._quiet:
            return
        if what != self._what:
            from tqdm import tqdm  # only a terminal needs it

            self.__exit__()
            unit = {"unit": " soups"} if what == "soups" else {"unit": "B", "unit_scale": True}
            self._what, self._bar = what, tqdm(total=total, desc=what, leave=False, **unit)
        self._bar.update(done - self._bar.n)

    def cancelled(self) -> bool:
        return False
