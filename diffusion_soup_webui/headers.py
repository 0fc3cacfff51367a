"""Looking at recipes and files without reading more than headers."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from diffusion_soup import (
    FileError,
    HashCache,
    ModelFile,
    ModelFolders,
    Progress,
    Recipe,
    SoupError,
    inspect,
    open_checkpoint,
    prepare,
)
from diffusion_soup.architecture import looks_like_lora
from diffusion_soup.dmm import Codebook
from diffusion_soup.dmm.student import soup_codebook
from diffusion_soup.plan import Plan
from diffusion_soup.planner import resolve_known


class HeaderHashes(HashCache):
    """Hashes that were computed before; for other files something that is as unique, made of the path alone.

    What it said once of a file it says again, although that may be hashed by another thread meanwhile.
    """

    def __init__(self, known: HashCache | None = None) -> None:
        super().__init__()
        self._real, self._seen = known, dict[Path, str | None]()

    def sha256_many(self, paths: list[Path], progress: Progress | None = None) -> dict[Path, str]:
        return {path: self.peek(path) or hashlib.sha256(str(path).encode()).hexdigest() for path in paths}

    def peek(self, path: Path) -> str | None:
        if path not in self._seen:
            self._seen[path] = self._real.peek(path) if self._real is not None else None
        return self._seen[path]


def files_of(recipe: Recipe) -> list[ModelFile]:
    return [*recipe.ingredients, *([recipe.base] if recipe.base else [])]


def require_files(recipe: Recipe, models: ModelFolders, progress: Progress | None = None) -> None:
    """See that every file is there, by name or by hash; one sentence names all that are not."""
    missing: list[str] = []
    first: FileError | None = None
    for file in {(file.kind, file.file): file for file in files_of(recipe)}.values():
        try:
            known = models.known_sha256(file) is not None
            models.find(ModelFile(file.file, file.kind, file.sha256 if known else _sought(file, models)), progress)
        except FileError as error:
            first = first or error
            missing.append(file.file)
    if first is not None:
        if len(missing) == 1:
            raise first
        raise FileError(f"{len(missing)} files of this recipe were not found, by name or by hash: "
                        f"{', '.join(missing)}. Put them into the model folders, or change the recipe.")


def _sought(file: ModelFile, models: ModelFolders) -> str | None:
    """The hash to look for: none where a file of that name is there and has not been hashed yet."""
    try:
        models.find(ModelFile(file.file, file.kind))
    except FileError:
        return file.sha256
    return None


def check(recipe: Recipe, models: ModelFolders) -> Recipe:
    """The recipe with the hashes that are known, after everything that headers tell was checked.

    Raises :class:`SoupError`. Only a file that is missing by name has others hashed in search of it.
    """
    _plan(recipe, models).close()
    return resolve_known(recipe, models)


def styles(recipe: Recipe, models: ModelFolders) -> Codebook | None:
    """The styles that a soup will have; None where it has no DMM student. Raises :class:`SoupError`."""
    plan = _plan(recipe, models)
    try:
        return soup_codebook(plan)
    finally:
        plan.close()


def _plan(recipe: Recipe, models: ModelFolders) -> Plan:
    """What is to be done, with files that may have no hash yet."""
    require_files(recipe, models)
    by_name = ModelFolders(models.folders, HeaderHashes(models.hashes))
    here = {file.file for file in files_of(recipe)
            if models.known_sha256(file) is None and _sought(file, models) is None}

    def plain(file: Any) -> Any:
        return dataclasses.replace(file, sha256=None) if file.file in here else file

    headers = dataclasses.replace(recipe, ingredients=tuple(map(plain, recipe.ingredients)),
                                  base=plain(recipe.base) if recipe.base else None)
    return prepare(headers, by_name)


def facts(path: Path, kind: str, hashes: HashCache) -> dict[str, Any]:
    """What a file is, told from its header: family, size in bytes, dtype, sha256 if it is known, and what is wrong."""
    found: dict[str, Any] = {"family": "", "size": 0, "dtype": "", "sha256": hashes.peek(path), "problem": None}
    try:
        found["size"] = path.stat().st_size
        checkpoint = open_checkpoint(path)
        sizes: Counter[str] = Counter()
        for info in checkpoint.tensors.values():
            sizes[str(info.torch_dtype).removeprefix("torch.")] += info.nbytes
        found["dtype"] = sizes.most_common(1)[0][0] if sizes else ""
        if kind == "checkpoint":
            found["family"] = inspect(checkpoint).architecture.title
        elif kind == "lora":
            found["family"] = "LoRA"
            if not looks_like_lora(checkpoint):
                found["problem"] = f"{path.name} is not a LoRA that can be read; its tensors have no LoRA's names."
    except SoupError as error:
        found["problem"] = str(error)
    except OSError as error:
        found["problem"] = f"{path.name}: cannot be read ({error.strerror})."
    return found
