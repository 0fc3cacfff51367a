"""Recipes: what is in a soup, as frozen values with a JSON form, a hash and an algebra.

A recipe names its ingredients by file (relative to the host's model folders) and sha256 and holds
every parameter, so cooking it again gives the same bytes. Nothing here touches a file or a tensor.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from . import blocks as block_names
from .errors import RecipeError, shown
from .methods import method as find_method
from .methods import normalised, parameters

VERSION = 1
KINDS = ("checkpoint", "lora")
DTYPES = ("float16", "bfloat16", "float32", "float8_e4m3fn", "float8_e5m2")
MAX_INGREDIENTS = 4096
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class ModelFile:
    """A file in the host's model folders: ``file`` is relative, ``sha256`` is filled in when cooked."""

    file: str
    kind: str = "checkpoint"
    sha256: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", _relative(self.file))
        if self.kind not in KINDS:
            raise RecipeError(f"{self.file}: unknown kind {shown(self.kind)}; expected {' or '.join(KINDS)}.")
        if self.sha256 is not None and not (isinstance(self.sha256, str) and _SHA256.match(self.sha256)):
            raise RecipeError(f"{self.file}: sha256 must be 64 lower-case hex digits.")


@dataclass(frozen=True)
class Ingredient(ModelFile):
    """A specialist and its share of the soup.

    ``weight`` is the share in every block; ``blocks`` replaces it in the blocks it names, and
    ``elements`` rows (``blocks:elements:ratio``) replace both for the tensors they match. ``strength``
    is s in θ₀ + s·ΔW, for LoRAs alone. Weights may be any finite number.
    """

    weight: float = 1.0
    blocks: Mapping[str, float] = dataclasses.field(default_factory=dict)
    elements: tuple[str, ...] = ()
    strength: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "weight", _number(self.weight, f"weight of {self.file}"))
        object.__setattr__(self, "strength", _number(self.strength, f"strength of {self.file}"))
        if any(_UNPRINTABLE.search(str(name)) for name in self.blocks):
            raise RecipeError(f"{self.file} has a weight for a block whose name no model can have.")
        weights = {str(name): _number(value, f"weight of {self.file} in block {shown(name)}")
                   for name, value in sorted(self.blocks.items())}
        object.__setattr__(self, "blocks", MappingProxyType(weights))
        if isinstance(self.elements, str) or not all(isinstance(row, str) for row in self.elements):
            raise RecipeError(f"{self.file}: elements must be a list of rows like \"IN01-IN03:attn1:0.5\".")
        block_names.parse_elements(self.elements)  # or a sentence why not; the family is not known yet
        rows = (row for text in self.elements for row in block_names.split_rows(text))
        object.__setattr__(self, "elements", tuple(rows))
        block_names.parse_elements(self.elements)
        if self.kind == "checkpoint" and self.strength != 1.0:
            raise RecipeError(f"{self.file}: strength is for LoRAs; give a checkpoint's share as its weight.")

    def __reduce__(self) -> Any:  # copies and pickles: a mapping proxy has neither
        return type(self), (self.file, self.kind, self.sha256, self.weight, dict(self.blocks), self.elements,
                            self.strength)

    def __hash__(self) -> int:
        return hash((self.file, self.kind, self.sha256, self.weight, tuple(self.blocks.items()), self.elements))

    @property
    def name(self) -> str:
        """The file's name without folder and suffix: how people call it."""
        return PurePosixPath(self.file).stem


@dataclass(frozen=True)
class BlockWeights:
    """Weights by block, ready for any ingredient: as they are, or ``relative`` to its share."""

    weights: Mapping[str, float]
    relative: bool = False

    def of(self, share: float) -> dict[str, float]:
        """The block weights of an ingredient with that share, without those that equal it."""
        absolute = {name: weight * share if self.relative else weight for name, weight in self.weights.items()}
        return {name: weight for name, weight in absolute.items() if weight != share}


@dataclass(frozen=True)
class Recipe:
    """A soup. ``text_encoder`` and ``vae`` are "soup" (averaged), "base", "none" or an ingredient's file;
    ``vae=None`` takes it whole from the base, or else from the ingredient with the largest share.
    ``dtype=None`` keeps each tensor's dtype where its sources agree, and is float16 where they don't.
    """

    ingredients: tuple[Ingredient, ...]
    method: str = "soup"
    parameters: Mapping[str, float] = dataclasses.field(default_factory=dict)
    normalise: bool = True
    seed: int = 0
    base: ModelFile | None = None
    text_encoder: str = "soup"
    vae: str | None = None
    dtype: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ingredients", tuple(self.ingredients))
        if not 1 <= len(self.ingredients) <= MAX_INGREDIENTS:
            raise RecipeError(f"A recipe needs 1 to {MAX_INGREDIENTS} ingredients; this one has "
                              f"{len(self.ingredients)}.")
        chosen = find_method(self.method)
        numbers = {name: _number(value, f"parameter {name}") for name, value in self.parameters.items()}
        object.__setattr__(self, "parameters", MappingProxyType(parameters(chosen, numbers)))
        if self.base is not None and self.base.kind != "checkpoint":
            raise RecipeError(f"The base must be a checkpoint; {self.base.file} is given as {self.base.kind}.")
        if self.base is None and chosen.needs_base:
            raise RecipeError(f"{chosen.title} works on differences from a base; name the base checkpoint.")
        if self.base is None and any(each.kind == "lora" for each in self.ingredients):
            lora = next(each for each in self.ingredients if each.kind == "lora")
            raise RecipeError(f"{lora.file} is a LoRA, which is a specialist of its base; name the base checkpoint.")
        if self.dtype is not None and self.dtype not in DTYPES:
            raise RecipeError(f"dtype is {shown(self.dtype)}; expected one of {', '.join(DTYPES)}, or nothing.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 1 << 64:
            raise RecipeError(f"seed is {shown(self.seed)}; expected a whole number from 0 to 2^64-1.")
        if not isinstance(self.normalise, bool):
            raise RecipeError(f"normalise is {shown(self.normalise)}; expected true or false.")
        for field in ("text_encoder", "vae"):
            object.__setattr__(self, field, self._owner(field, getattr(self, field)))
        self._check_shares()

    def __reduce__(self) -> Any:
        return type(self).from_dict, (self.to_dict(),)

    def __hash__(self) -> int:
        return hash(self.canonical())

    # -- algebra ---------------------------------------------------------------------------------

    def add(self, ingredient: Ingredient) -> Recipe:
        """The soup with one more specialist (continual learning)."""
        return dataclasses.replace(self, ingredients=(*self.ingredients, ingredient))

    def remove(self, name: str) -> Recipe:
        """The soup without a specialist (unlearning), named by file, file name or stem.

        Cooked, it equals a soup that never had it, bit for bit. Raises :class:`RecipeError` if the name
        fits none or several, or if that ingredient also gives the text encoder or the VAE.
        """
        victim = self.find(name)
        if len(self.ingredients) == 1:
            raise RecipeError(f"{victim.file} is the only ingredient; a soup without it would be empty.")
        for field in ("text_encoder", "vae"):
            if getattr(self, field) == victim.file:
                raise RecipeError(f"{victim.file} also gives this soup its {field.replace('_', ' ')}; "
                                  f"choose another {field} first, or its training would stay in the soup.")
        rest = list(self.ingredients)
        rest.remove(victim)
        return dataclasses.replace(self, ingredients=tuple(rest))

    def find(self, name: str) -> Ingredient:
        """The ingredient called ``name`` (file, file name or stem). Raises :class:`RecipeError`."""
        exact = name.replace("\\", "/")
        wanted = exact.strip()
        for test in (lambda each: each.file == exact,
                     lambda each: each.file == wanted,
                     lambda each: PurePosixPath(each.file).name == wanted,
                     lambda each: each.name == wanted):
            found = [each for each in self.ingredients if test(each)]
            if len(found) == 1:
                return found[0]
            if len(found) > 1:
                raise RecipeError(f"{shown(name)} is in this soup {len(found)} times "
                                  f"({', '.join(each.file for each in found)}); remove one by editing the recipe.")
        raise RecipeError(f"{shown(name)} is not in this soup; its ingredients are "
                          f"{', '.join(each.file for each in self.ingredients)}.")

    def reweighted(self, name: str, weight: float) -> Recipe:
        """The soup with another share of one ingredient; its block weights stay."""
        target = self.find(name)
        changed = dataclasses.replace(target, weight=weight)
        return dataclasses.replace(self, ingredients=tuple(
            changed if each is target else each for each in self.ingredients))

    def scaled(self, factor: float) -> Recipe:
        """All weights multiplied by ``factor``: the same soup where it is normalised."""
        return dataclasses.replace(self, ingredients=tuple(
            dataclasses.replace(each, weight=each.weight * factor,
                                blocks={name: value * factor for name, value in each.blocks.items()},
                                elements=tuple(_scaled_row(row, factor) for row in each.elements))
            for each in self.ingredients))

    def shares(self, block: str | None = None) -> tuple[float, ...]:
        """Each ingredient's share in ``block`` (in blocks without weights of their own if None)."""
        weights = [each.weight if block is None else each.blocks.get(block, each.weight)
                   for each in self.ingredients]
        return normalised(weights, f"block {block}" if block else "this recipe") if self.normalise else tuple(weights)

    def normalised(self) -> Recipe:
        """Plain weights rewritten to sum to 1; block weights scaled alike."""
        weights = [each.weight for each in self.ingredients]
        normalised(weights, "this recipe")  # or a sentence why not
        return self.scaled(1.0 / math.fsum(weights))

    # -- JSON ------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON values, ingredients in the user's order."""
        return {
            "diffusion_soup": VERSION,
            "method": self.method, "parameters": dict(self.parameters),
            "normalise": self.normalise, "seed": self.seed,
            "base": None if self.base is None else _file_dict(self.base),
            "ingredients": [_ingredient_dict(each) for each in self.ingredients],
            "text_encoder": self.text_encoder, "vae": self.vae, "dtype": self.dtype,
        }

    def to_json(self, indent: int | None = 1) -> str:
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    def canonical(self) -> str:
        """The JSON that is hashed: sorted keys and ingredients, no spaces. Equal for every order of the same soup."""
        data = self.to_dict()
        data["ingredients"].sort(key=lambda each: (each["sha256"] or "", _compact(each)))
        return _compact(data)

    @property
    def hash(self) -> str:
        """sha256 of the canonical JSON: the key of caches and logs."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str | bytes) -> Recipe:
        """Parse a recipe. Raises :class:`RecipeError` naming the field that is wrong."""
        try:
            data = json.loads(text, object_pairs_hook=_no_duplicates)
        except (ValueError, RecursionError) as error:
            where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
            raise RecipeError(f"This is not a recipe: it is not valid JSON{where}.") from None
        return cls.from_dict(data)

    @classmethod
    def from_dict(cls, data: Any) -> Recipe:
        """Build a recipe from JSON values. Raises :class:`RecipeError`."""
        if not isinstance(data, dict) or "diffusion_soup" not in data:
            raise RecipeError('This is not a recipe: expected a JSON object with "diffusion_soup": 1.')
        version = data["diffusion_soup"]
        if version != VERSION or isinstance(version, bool):
            raise RecipeError(f"This recipe has format version {shown(version)}, this program knows {VERSION}. "
                              "Update Diffusion Soup to read it.")
        fields = _fields(data, "the recipe", required=("diffusion_soup", "ingredients"),
                         optional=("method", "parameters", "normalise", "seed", "base", "text_encoder", "vae",
                                   "dtype"))
        del fields["diffusion_soup"]
        if not isinstance(fields["ingredients"], list):
            raise RecipeError("ingredients must be a list.")
        fields["ingredients"] = tuple(_read_ingredient(each, at) for at, each in enumerate(fields["ingredients"], 1))
        if fields.get("base") is not None:
            fields["base"] = ModelFile(**_strings(_fields(fields["base"], "base", required=("file",),
                                                          optional=("kind", "sha256")), "base"))
        if not isinstance(fields.get("parameters", {}), dict):
            raise RecipeError("parameters must be an object of numbers.")
        for field in ("method", "text_encoder", "vae", "dtype"):
            if not isinstance(fields.get(field, ""), (str, type(None))):
                raise RecipeError(f"{field} must be a string.")
        return cls(**{name: value for name, value in fields.items()
                      if value is not None or name in ("base", "vae", "dtype")})

    # -- checks ----------------------------------------------------------------------------------

    def _owner(self, field: str, value: str | None) -> str | None:
        """Check the owner of a part: a word, or the file of an ingredient or of the base."""
        if value is None or value in ("soup", "none"):
            return value if value or field == "vae" else "soup"
        if value == "base":
            if self.base is None:
                raise RecipeError(f"{field} is to come from the base, but this recipe names no base.")
            return value
        wanted = value.replace("\\", "/")
        files = {each.file for each in self.ingredients if each.kind == "checkpoint"}
        if self.base is not None and wanted == self.base.file:
            return wanted
        if wanted not in files:
            raise RecipeError(f"{field} is {shown(value)}; expected \"soup\", \"base\", \"none\" or a checkpoint of "
                              f"this recipe ({', '.join(sorted(files)) or 'none'}).")
        return wanted

    def _check_shares(self) -> None:
        if not any(each.weight or any(each.blocks.values()) or each.elements for each in self.ingredients):
            raise RecipeError("Every ingredient has a share of 0, so there is nothing to cook. "
                              "Give at least one a positive share.")


def _relative(file: Any) -> str:
    """A safe path relative to a model folder, with forward slashes."""
    if not isinstance(file, str) or not file.strip():
        raise RecipeError("file is empty; expected the name of a file in the model folders.")
    path = file.replace("\\", "/")
    if path.startswith("/") or re.match(r"[A-Za-z]:", path) or len(path) > 1024:
        raise RecipeError(f"file {shown(file)} must be relative to the model folders, not absolute.")
    if _UNPRINTABLE.search(path):
        raise RecipeError(f"file {shown(file)} has characters that no file name should have.")
    if any(part in ("..", ".", "") for part in path.split("/")):
        raise RecipeError(f"file {shown(file)} must stay inside the model folders (no '..').")
    return path


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RecipeError(f"The {what} is {shown(value)}; expected a number.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or abs(number) > 1e6:
        raise RecipeError(f"The {what} is {number:g}; expected a finite number of at most a million.")
    return number + 0.0  # -0.0 and 0.0 are one weight, with one hash


def _scaled_row(row: str, factor: float) -> str:
    places, _, ratio = row.rpartition(":")
    return f"{places}:{float(ratio) * factor!r}"


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _file_dict(file: ModelFile) -> dict[str, Any]:
    return {"kind": file.kind, "file": file.file, "sha256": file.sha256}


def _ingredient_dict(each: Ingredient) -> dict[str, Any]:
    result = _file_dict(each) | {"weight": each.weight, "blocks": dict(each.blocks), "elements": list(each.elements)}
    if each.kind == "lora":
        result["strength"] = each.strength
    return result


def _no_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise RecipeError(f"The field {shown(twice)} is given twice; give it once.")
    return result


def _fields(data: Any, where: str, required: Sequence[str], optional: Sequence[str]) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise RecipeError(f"{where} must be a JSON object.")
    for name in data:
        if name not in required and name not in optional:
            raise RecipeError(f"Unknown field {shown(name)} in {where}; known are "
                              f"{', '.join([*required, *optional])}.")
    for name in required:
        if name not in data:
            raise RecipeError(f"The field {name!r} is missing in {where}.")
    return dict(data)


def _strings(fields: dict[str, Any], where: str) -> dict[str, Any]:
    for name in ("kind", "file", "sha256"):
        if not isinstance(fields.get(name, ""), (str, type(None))):
            raise RecipeError(f"{name} in {where} must be a string.")
    return fields


def _read_ingredient(data: Any, position: int) -> Ingredient:
    where = f"ingredient {position}"
    fields = _strings(_fields(data, where, required=("file",), optional=(
        "kind", "sha256", "weight", "blocks", "elements", "strength")), where)
    fields["blocks"] = _read_blocks(fields.get("blocks") or {}, where)
    if not isinstance(fields.get("elements") or [], list):
        raise RecipeError(f"elements in {where} must be a list of rows.")
    fields["elements"] = tuple(fields.get("elements") or ())
    return Ingredient(**fields)


def _read_blocks(data: Any, where: str) -> dict[str, float]:
    """Weights by block name, or ``{"mbw": "26 or 20 numbers", "dialect": name}`` written out."""
    if not isinstance(data, dict):
        raise RecipeError(f"blocks in {where} must be an object of block names and weights.")
    if "mbw" not in data:
        return data
    fields = _fields(data, f"blocks of {where}", required=("mbw", "dialect"), optional=())
    if not isinstance(fields["mbw"], str) or not isinstance(fields["dialect"], str):
        raise RecipeError(f"mbw and dialect in the blocks of {where} must be strings.")
    return block_names.parse_mbw(fields["mbw"], dialect=fields["dialect"])
