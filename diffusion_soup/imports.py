"""Recipes out of what other tools write: A1111's merge metadata and supermerger's history.

Only what can be said exactly becomes a recipe; for anything else one sentence lists what stands in the way.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .blocks import parse_elements, parse_mbw
from .checkpoint import Checkpoint
from .errors import RecipeError, shown
from .metadata import RECIPE_KEY, json_object
from .recipe import Ingredient, ModelFile, Recipe

#: The model file that is meant by a name, title or hash.
Named = Callable[[str], ModelFile]
#: The family of a model file ("sd1", "sdxl", ...), None if it cannot be told.
FamilyOf = Callable[[ModelFile], "str | None"]

#: Columns of a row of mergehistory.csv. The header's names are shifted in some versions; the order is the same in all.
_COLUMNS = ("ID", "time", "name", "weights_alpha", "weights_beta", "model_a", "model_b", "model_c", "base_alpha",
            "base_beta", "mode", "mbw", "custom_name", "save_sets", "id_sets", "elemental_merge", "calcmode", "seed",
            "adjust")


def recipe_from_checkpoint(checkpoint: Checkpoint, named: Named, family: FamilyOf = lambda file: None) -> Recipe:
    """The recipe a checkpoint's metadata holds: our own, A1111's or supermerger's. Raises :class:`RecipeError`."""
    name = checkpoint.path.name
    if RECIPE_KEY in checkpoint.metadata:
        return Recipe.from_json(checkpoint.metadata[RECIPE_KEY])
    merge = json_object(checkpoint.metadata.get("sd_merge_recipe"))
    if merge is None:
        raise RecipeError(f"{name} does not say how it was made: it was saved neither by Diffusion Soup nor by a "
                          "merger that writes its recipe.")
    parents = json_object(checkpoint.metadata.get("sd_merge_models")) or {}

    def parent(sha256: str) -> ModelFile:
        found = named(sha256)
        if found.file != sha256:
            return found
        entry = parents.get(sha256)
        called = entry.get("name") if isinstance(entry, dict) else None
        known = sha256 if re.fullmatch("[0-9a-f]{64}", sha256) else None
        return ModelFile(called.replace("\\", "/"), sha256=known) if isinstance(called, str) and called else found

    kind = merge.get("type")
    if kind == "webui":
        return _from_webui(name, merge, parent)
    if kind == "sd-webui-supermerger":
        return _Merge.of(merge, parent, family).recipe()
    raise RecipeError(f"{name} was merged by {shown(kind)}, whose recipes are not known here.")


def recipe_from_history(text: str, named: Named, family: FamilyOf = lambda file: None) -> Recipe:
    """The recipe of a row of supermerger's mergehistory.csv (of several, the last one). Raises :class:`RecipeError`."""
    delimiter = "\t" if "\t" in text else ","
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(cell.strip() for cell in row)]
    rows = [row for row in rows if row[0].strip().strip('"') != "ID"]
    if not rows or len(rows[-1]) < 12:
        raise RecipeError("This is neither a recipe nor a row of supermerger's history; expected JSON, or a line of "
                          "mergehistory.csv with at least 12 values.")
    return _Merge.of(dict(zip(_COLUMNS, (cell.strip() for cell in rows[-1]))), named, family).recipe()


def _from_webui(name: str, merge: Mapping[str, Any], parent: Named) -> Recipe:
    """A1111's checkpoint merger: A(1 − m) + Bm, or A + m(B − C), for every part of the model."""
    method, multiplier = merge.get("interp_method"), merge.get("multiplier")
    hashes = [merge.get(f"{place}_model_hash") for place in ("primary", "secondary", "tertiary")]
    needed = {"No interpolation": 1, "Weighted sum": 2, "Add difference": 3}.get(str(method), 0)
    reasons = [f"its method {shown(method)} is not known"] if not needed else []
    if merge.get("bake_in_vae") not in (None, "", "None"):
        reasons.append(f"the VAE {merge['bake_in_vae']} was baked in, which is no ingredient")
    if merge.get("discard_weights"):
        reasons.append(f"tensors that match {shown(merge['discard_weights'])} were discarded")
    if any(not isinstance(each, str) or not each for each in hashes[:needed]):
        reasons.append("it does not say which models were merged")
    if needed > 1 and (isinstance(multiplier, bool) or not isinstance(multiplier, (int, float))):
        reasons.append(f"its multiplier is {shown(multiplier)}")
    _refuse(name, reasons)
    files = [parent(str(each)) for each in hashes[:needed]]
    amount = float(multiplier or 0.0)
    if needed == 3:
        return _difference(files, _same(amount), merge.get("save_as_half"))
    shares = [_same(1.0 - amount), _same(amount)] if needed == 2 else [_same(1.0)]
    return _sum(files, shares, merge.get("save_as_half"))


@dataclass(frozen=True)
class _Share:
    """A share by block, and element rows that replace it."""

    weight: float
    blocks: Mapping[str, float]
    elements: tuple[str, ...] = ()

    def map(self, change: Callable[[float], float]) -> _Share:
        return _Share(change(self.weight), {block: change(value) for block, value in self.blocks.items()},
                      tuple(_row(row, change) for row in self.elements))

    def with_other(self, other: _Share, change: Callable[[float, float], float]) -> _Share:
        blocks = {block: change(self.blocks.get(block, self.weight), other.blocks.get(block, other.weight))
                  for block in {*self.blocks, *other.blocks}}
        return _Share(change(self.weight, other.weight), blocks)

    def of(self, file: ModelFile) -> Ingredient:
        blocks = {block: value for block, value in self.blocks.items() if value != self.weight}
        return Ingredient(file.file, sha256=file.sha256, weight=self.weight, blocks=blocks, elements=self.elements)


@dataclass(frozen=True)
class _Merge:
    """supermerger's settings. α and β are its two sliders, or strings of block weights."""

    name: str
    mode: str
    files: tuple[ModelFile, ...]
    alpha: _Share
    beta: _Share

    @classmethod
    def of(cls, said: Mapping[str, Any], named: Named, family: FamilyOf) -> _Merge:
        mode, calculation = str(said.get("mode") or ""), str(said.get("calcmode") or "normal")
        kind = next((word for word in ("Weight", "Add", "Triple", "Twice") if word in mode), "")
        elements = _rows(said.get("elemental_merge"))
        reasons = [] if kind else [f"its mode {shown(mode)} is not known"]
        if calculation != "normal":
            reasons.append(f"its calculation mode is {shown(calculation)}")
        if elements and kind in ("Triple", "Twice"):
            reasons.append("it has elemental merges of three models")
        if re.search("[1-9]", str(said.get("adjust") or "")):
            reasons.append(f"it adjusts details ({said['adjust']})")
        names = [str(said.get(f"model_{letter}") or "") for letter in ("abc" if kind != "Weight" else "ab")]
        if not all(names):
            reasons.append("it does not say which models were merged")
        called = f"The merge {shown(said.get('name') or said.get('custom_name') or 'in this row')}"
        _refuse(called, reasons)
        files = tuple(named(each) for each in names)
        blocks = str(said.get("mbw")).lower() == "true"
        told = next((found for found in map(family, files) if found), None)
        alpha = _share(called, "alpha", said, blocks, told)
        beta = _share(called, "beta", said, blocks, told) if kind in ("Triple", "Twice") else _same(0.0)
        rules = tuple(str(rule) for rule in parse_elements(elements, told, "supermerger"))
        return cls(called, kind, files, _Share(alpha.weight, alpha.blocks, rules), beta)

    def recipe(self) -> Recipe:
        alpha, beta = self.alpha, self.beta
        if self.mode == "Add":
            return _difference(self.files, alpha, None)
        if self.mode == "Weight":
            shares = [alpha.map(lambda a: 1.0 - a), alpha]
        elif self.mode == "Triple":
            shares = [alpha.with_other(beta, lambda a, b: 1.0 - a - b), alpha, beta]
        else:
            shares = [alpha.with_other(beta, lambda a, b: (1.0 - a) * (1.0 - b)),
                      alpha.with_other(beta, lambda a, b: a * (1.0 - b)), beta]
        return _sum(self.files, shares, None)


def _sum(files: Sequence[ModelFile], shares: Sequence[_Share], half: Any) -> Recipe:
    """Σ w θ with shares that sum to 1, in every part of the model."""
    return Recipe(tuple(share.of(file) for share, file in zip(shares, files)), text_encoder="soup", vae="soup",
                  dtype="float16" if half else None)


def _difference(files: Sequence[ModelFile], amount: _Share, half: Any) -> Recipe:
    """A + m(B − C) = C + 1·(A − C) + m(B − C)."""
    first, second, base = files
    return Recipe((_same(1.0).of(first), amount.of(second)), method="task_arithmetic", normalise=False,
                  base=ModelFile(base.file, sha256=base.sha256), text_encoder="soup", vae="soup",
                  dtype="float16" if half else None)


def _same(weight: float) -> _Share:
    return _Share(weight, {})


def _share(called: str, which: str, said: Mapping[str, Any], by_block: bool, family: str | None) -> _Share:
    if by_block:
        text = said.get(f"weights_{which}") or ""
        blocks = parse_mbw(str(text), dialect="supermerger", family=family)
        return _Share(blocks.get("BASE", 0.0), blocks)
    text = said.get(f"base_{which}")
    try:
        return _same(float(text))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise RecipeError(f"{called}: {which} is {shown(text)}; expected a number.") from None


def _rows(said: Any) -> list[str]:
    text = ",".join(map(str, said)) if isinstance(said, list) else str(said or "")
    return [text] if ":" in text else []


def _row(row: str, change: Callable[[float], float]) -> str:
    places, _, ratio = row.rpartition(":")
    return f"{places}:{change(float(ratio))!r}"


def _refuse(called: str, reasons: Sequence[str]) -> None:
    if reasons:
        raise RecipeError(f"{called} cannot be written as a recipe: {'; '.join(reasons)}.")
