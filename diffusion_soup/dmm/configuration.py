"""The file that ``diffusion-soup dmm train`` reads. Every field is checked and named before any model is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import FileError, RecipeError, SoupError, shown
from ..recipe import Ingredient, ModelFile, Recipe
from .codebook import check_names
from .course import Course

INITS = ("soup", "base")
LAYOUTS = ("resident", "streamed")

_TOP = {"models", "base", "pipeline", "init", "teacher", "data", "train", "run"}
_TEACHER = {"name", "checkpoint", "lora", "strength"}
_DATA = {"pictures", "shards", "cache", "size"}
_RUN = {"folder", "student", "layout", "device"}


@dataclass(frozen=True)
class Teacher:
    """A checkpoint, or a LoRA over the base; its name becomes the style's."""

    name: str
    ingredient: Ingredient

    def recipe(self, base: ModelFile) -> Recipe:
        """What the engine cooks to have this teacher's weights."""
        return Recipe((self.ingredient,), base=base if self.ingredient.kind == "lora" else None)


@dataclass(frozen=True)
class Configuration:
    """What is trained from what. Paths are absolute; model files are named as in recipes, below ``models``.

    ``pipeline`` is a folder of diffusers of the base's family, for settings and words alone. ``pictures`` is a folder,
    ``shards`` are tar files, and ``cache`` is where what was encoded of either is kept.
    """

    models: Path
    base: ModelFile
    pipeline: Path
    init: str
    teachers: tuple[Teacher, ...]
    pictures: Path | None
    shards: tuple[str, ...]
    cache: Path
    size: int
    course: Course
    folder: Path
    student: Path
    layout: str
    device: str

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(teacher.name for teacher in self.teachers)

    @property
    def soup(self) -> Recipe:
        """The teachers' uniform soup, which the student starts from."""
        return Recipe(tuple(teacher.ingredient for teacher in self.teachers), base=self.base)

    @property
    def start(self) -> Recipe:
        """What the student's weights are at step 0."""
        return self.soup if self.init == "soup" else Recipe((Ingredient(self.base.file),))


def read_configuration(path: Path) -> Configuration:
    """Raises :class:`FileError` for what is no TOML, and :class:`RecipeError` naming the field."""
    try:
        given = _toml().loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise FileError(f"{path.name} is no TOML: {error}.") from None
    try:
        return _configuration(given, path.resolve().parent)
    except RecipeError as error:
        raise RecipeError(f"{path.name}: {error}") from None


def _configuration(given: Mapping[str, Any], here: Path) -> Configuration:
    _known("the file", given, _TOP)
    data, run = _table(given, "data", _DATA), _table(given, "run", _RUN)
    teachers = given.get("teacher")
    if not isinstance(teachers, list) or not teachers or not all(isinstance(each, dict) for each in teachers):
        raise RecipeError("it needs teachers: a [[teacher]] with name and checkpoint (or lora) for each style.")
    found = tuple(_teacher(each, at) for at, each in enumerate(teachers))
    check_names([each.name for each in found], len(found), "the training")
    if ("pictures" in data) == ("shards" in data):
        raise RecipeError("[data] needs either pictures, a folder with captions beside them, or shards, tar files.")
    shards = data.get("shards", [])
    if not isinstance(shards, list) or not all(isinstance(each, str) for each in shards):
        raise RecipeError("shards in [data] is a list of tar files.")
    train = given.get("train", {})
    if not isinstance(train, dict):
        raise RecipeError("[train] is a table of numbers.")
    return Configuration(
        models=here / _text(given, "models", "the folder your models are in"),
        base=ModelFile(_text(given, "base", "the base checkpoint, below models")),
        pipeline=here / _text(given, "pipeline", "a folder of diffusers of the base's family, for its settings"),
        init=_one_of(given, "init", INITS), teachers=found,
        pictures=here / _text(data, "pictures", "a folder") if "pictures" in data else None,
        shards=tuple(str(here / each) for each in shards),
        cache=here / _text(data, "cache", "where encoded pictures are kept", "encoded"),
        size=_number(data, "size", 512), course=Course.of(train),
        folder=here / _text(run, "folder", "where states are kept", "run"),
        student=here / _text(run, "student", "the file to write", "student.safetensors"),
        layout=_one_of(run, "layout", LAYOUTS), device=_text(run, "device", "cpu or cuda", "cpu"))


def _teacher(given: Mapping[str, Any], at: int) -> Teacher:
    where = f"[[teacher]] number {at + 1}"
    _known(where, given, _TEACHER)
    if ("checkpoint" in given) == ("lora" in given):
        raise RecipeError(f"{where} needs either checkpoint or lora.")
    name = _text(given, "name", f"the name of the style of {where}")
    if "lora" in given:
        strength = given.get("strength", 1.0)
        if isinstance(strength, bool) or not isinstance(strength, (int, float)):
            raise RecipeError(f"strength of {where} is {shown(str(strength))}; expected a number.")
        return Teacher(name, Ingredient(_text(given, "lora", "a LoRA"), "lora", strength=float(strength)))
    if "strength" in given:
        raise RecipeError(f"{where} is a checkpoint, which has no strength; leave it out.")
    return Teacher(name, Ingredient(_text(given, "checkpoint", "a checkpoint")))


def _table(given: Mapping[str, Any], name: str, known: set[str]) -> Mapping[str, Any]:
    found = given.get(name, {})
    if not isinstance(found, dict):
        raise RecipeError(f"[{name}] is a table.")
    _known(f"[{name}]", found, known)
    return found


def _known(where: str, given: Mapping[str, Any], known: set[str]) -> None:
    for name in given:
        if name not in known:
            raise RecipeError(f"there is no {shown(name)} in {where}; known are {', '.join(sorted(known))}.")


def _text(given: Mapping[str, Any], name: str, what: str, default: str | None = None) -> str:
    value = given.get(name, default)
    if not isinstance(value, str) or not value.strip():
        raise RecipeError(f"{name} is missing: {what}." if value is None else
                          f"{name} is {shown(str(value))}; expected text: {what}.")
    return value


def _number(given: Mapping[str, Any], name: str, default: int) -> int:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RecipeError(f"{name} is {shown(str(value))}; expected a whole number.")
    return value


def _one_of(given: Mapping[str, Any], name: str, known: tuple[str, ...]) -> str:
    value = given.get(name, known[0])
    if value not in known:
        raise RecipeError(f"{name} is {shown(str(value))}; expected one of: {', '.join(known)}.")
    return str(value)


def _toml() -> Any:
    for name in ("tomllib", "tomli"):  # the first is there from Python 3.11 on
        try:
            return import_module(name)
        except ImportError:
            continue
    raise SoupError("Reading a configuration needs Python 3.11 or newer, or: pip install tomli.")
