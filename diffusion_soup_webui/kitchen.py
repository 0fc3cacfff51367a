"""What the tab and the API call: cook, undo, save, look at recipes. One request at a time, whoever asks."""

from __future__ import annotations

import dataclasses
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion_soup import (
    FileError,
    HashCache,
    ModelFile,
    ModelFolders,
    Recipe,
    RecipeError,
    SoupError,
    cook_to_file,
    heat_map,
    inspect,
    open_checkpoint,
    prepare,
    read_recipe,
)
from diffusion_soup.cook_log import CookLog
from diffusion_soup.imports import recipe_from_checkpoint, recipe_from_history
from diffusion_soup.progress import Progress, Silent
from diffusion_soup.taste import taste

from . import headers
from .bridge import Host
from .jobs import Job, Jobs, Status, Turn
from .pot import Held, Pot
from .selection import Selections
from .shelf import Shelf, plain_stem
from .students import Students

if TYPE_CHECKING:
    from PIL import Image

    from diffusion_soup.dmm import Codebook

__all__ = ["Kitchen", "Status"]


class Kitchen:
    def __init__(self, host: Host) -> None:
        self.host = host
        self._pot = Pot(host)
        self.students = Students(host, self._pot)
        self._jobs = Jobs()
        self._hashes = HashCache(host.data / "hashes.json")
        self._log = CookLog(host.data / "cooks.jsonl")
        self._seen: dict[str, Recipe] = {}
        self._pasted: Recipe | None = None
        self.shelf = Shelf(host.data / "recipes")
        self.selections = Selections(host, self._pot, self._jobs, self._models)
        self.table: Recipe | None = None  # of the Soup tab, as it was last seen in any browser

    # -- files -----------------------------------------------------------------------------------

    def checkpoints(self) -> list[str]:
        return self.host.checkpoints()

    def loras(self) -> list[str]:
        return self.host.loras()

    def facts(self, kind: str, file: str) -> dict[str, Any]:
        """What a file is, from its header alone."""
        try:
            path = self._models().find(ModelFile(file, kind))
        except SoupError as error:
            return {"family": "", "size": 0, "dtype": "", "sha256": None, "problem": str(error)}
        return headers.facts(path, kind, self._hashes)

    def _models(self) -> ModelFolders:
        return ModelFolders(self.host.folders(), self._hashes)

    # -- recipes ---------------------------------------------------------------------------------

    def check(self, recipe: Recipe) -> Recipe:
        """The recipe with the hashes that are known; raises :class:`SoupError` for what cannot be cooked."""
        return headers.check(recipe, self._models())

    def styles_of(self, recipe: Recipe) -> Codebook | None:
        """The styles that a soup will have; None where it has no DMM student. Raises :class:`SoupError`."""
        return headers.styles(recipe, self._models())

    def read(self, path: str | None, text: str = "") -> Recipe:
        """A recipe out of whatever carries one."""
        if path:
            if path.lower().endswith((".safetensors", ".sft", ".ckpt")):
                return recipe_from_checkpoint(open_checkpoint(path), self._named, self._family)
            if path.lower().endswith(".csv"):
                rows = Path(path).read_text(encoding="utf-8", errors="replace")
                return recipe_from_history(rows[-1 << 20:], self._named, self._family)
            return read_recipe(path)
        if not text.strip():
            raise RecipeError("There is no recipe here; paste its JSON, or a row of supermerger's history.")
        if text.lstrip().startswith("{"):
            return Recipe.from_json(text)
        known = re.search(r"\bSoup: ([0-9a-f]{10,64})\b", text)
        if known:
            found = self.recipe_of(known[1])
            if found is None:
                raise RecipeError(f"The soup {known[1][:10]} was not cooked here; open the picture itself, which "
                                  "carries its recipe.")
            return found
        return recipe_from_history(text, self._named, self._family)

    def read_checkpoint(self, file: str) -> Recipe:
        """The recipe of a checkpoint in the model folders: of a saved soup, or of another tool's merge."""
        return self.read(str(self._models().find(ModelFile(file))))

    def _named(self, name: str) -> ModelFile:
        """A checkpoint by any name or hash that the host or we know."""
        found = self.host.alias(name)
        if found is None and re.fullmatch("[0-9a-f]{64}", name):
            models = self._models()
            for each in self.host.checkpoints():
                with suppress(SoupError):
                    if models.known_sha256(ModelFile(each)) == name:
                        found = each
        return ModelFile(found, sha256=self._models().known_sha256(ModelFile(found))) if found else ModelFile(
            name, sha256=name if re.fullmatch("[0-9a-f]{64}", name) else None)

    def _family(self, file: ModelFile) -> str | None:
        with suppress(SoupError):
            return inspect(open_checkpoint(self._models().find(ModelFile(file.file)))).architecture.family
        return None

    def recipe_of(self, recipe_hash: str) -> Recipe | None:
        """A recipe by its hash or the beginning of it: in use, seen in a picture, or cooked here before."""
        held = self._pot.current
        if held is not None and held.identity.hash.startswith(recipe_hash):
            return held.recipe
        for known, recipe in list(self._seen.items()):
            if known.startswith(recipe_hash):
                return recipe
        for entry in self._log.entries():
            if entry.hash.startswith(recipe_hash):
                with suppress(SoupError):
                    return Recipe.from_dict(entry.recipe)
        return None

    def remember(self, recipe: Recipe) -> None:
        """A recipe that was seen in a picture, in case its infotext is pasted."""
        self._seen.pop(recipe.hash, None)
        self._seen[recipe.hash] = recipe
        while len(self._seen) > 64:
            self._seen.pop(next(iter(self._seen)))

    def paste(self, recipe: Recipe) -> None:
        self._pasted = recipe

    def pasted(self) -> Recipe | None:
        """The recipe of the picture whose parameters were pasted last, for the tab to offer."""
        return self._pasted

    # -- cooking ---------------------------------------------------------------------------------

    def cook(self, recipe: Recipe) -> Status:
        """Make the model in memory this soup. Returns at once; the cook waits for a picture that is being made."""
        return self._jobs.add(lambda job: self._cook(recipe, job), recipe.hash)

    def status(self) -> Status:
        """The one status that every tab and client sees."""
        return self._jobs.status()

    def cancel(self) -> Status:
        self._jobs.cancel()
        return self.status()

    def wait(self, timeout: float | None = None) -> Status:
        return self._jobs.wait(timeout)

    def undo(self) -> Status:
        return self._jobs.add(self._undo)

    def save(self, recipe: Recipe, name: str, overwrite: bool = False) -> Status:
        """Cook straight into a file in the checkpoint folder; the model in memory stays as it is."""
        path = self._save_path(name)
        if path.exists() and not overwrite:
            raise FileError(f"{path.name} exists already and was left as it is; choose another name or allow "
                            "overwriting.")
        return self._jobs.add(lambda job: self._save(recipe, path, overwrite, job))

    def taste(self, recipe: Recipe) -> tuple[str, Image.Image]:
        """The geometry of the ingredients, by a sample of their numbers: a report in Markdown and a heat map."""
        found = taste(recipe, self._models(), sampled=True)
        return heat_map.markdown(found), heat_map.draw(found)

    def in_use(self) -> Recipe | None:
        """The soup that is the current model, None if that is a plain checkpoint."""
        held = self._pot.current
        return held.recipe if held is not None else None

    def style_names(self) -> list[str]:
        """The styles of the DMM student in use, if it is one."""
        codebook = self.students.chosen()
        return list(codebook.names) if codebook is not None else []

    def log(self, search: str = "") -> list[dict[str, Any]]:
        """Cooked recipes that match every word, the last cooked first."""
        words = search.casefold().split()
        return [{"time": entry.last, "hash": entry.hash, "recipe": dict(entry.recipe), "seconds": entry.seconds,
                 "count": entry.count, "notes": list(entry.notes)}
                for entry in self._log.entries() if entry.matches(words)]

    def _cook(self, recipe: Recipe, job: Job) -> str:
        begun = time.perf_counter()
        models = self._models()
        with Turn(self.host.turn, job) as turn:
            headers.require_files(recipe, models, job)
            plan = prepare(recipe, models, job)
            try:
                asked = time.perf_counter()
                turn.come()
                begun += time.perf_counter() - asked  # waiting is not cooking
                held = self._pot.cook(plan, models, job)
            finally:
                plan.close()
        job.status = dataclasses.replace(job.status, recipe_hash=held.identity.hash)
        self._log.add(held.recipe, seconds=time.perf_counter() - begun, notes=held.notes)
        return " ".join([f"In use: {held.identity.name} [{held.identity.hash[:10]}].", *held.notes])

    def _undo(self, job: Job) -> str:
        with Turn(self.host.turn, job) as turn:
            turn.come()
            self._pot.undo(job)
        return self._used()

    def _save(self, recipe: Recipe, path: Path, overwrite: bool, job: Job) -> str:
        models = self._models()
        headers.require_files(recipe, models, job)
        plan, notes = cook_to_file(recipe, models, path, progress=job, overwrite=overwrite)
        self._save_config(plan.recipe, models, path)
        self.host.refresh()
        return " ".join([f"Saved as {path.name}.", *notes])

    def _save_config(self, recipe: Recipe, models: ModelFolders, path: Path) -> None:
        """Copy the file that tells the host how to build the model, as its own merger does."""
        target = path.with_suffix(".yaml")
        for file in headers.files_of(recipe):
            beside = self.host.config_beside(models.find(file)) if file.kind == "checkpoint" else None
            if beside is not None and not target.exists():
                shutil.copyfile(beside, target)

    def _save_path(self, name: str) -> Path:
        return self.host.folders()["checkpoint"][0] / f"{plain_stem(name)}.safetensors"

    def _used(self) -> str:
        held = self._pot.current
        if held is not None:
            return f"In use again: {held.identity.name} [{held.identity.hash[:10]}]."
        chosen = self.host.chosen()
        return f"In use again: {chosen.name if chosen else 'the checkpoint'}."

    # -- pictures --------------------------------------------------------------------------------

    def grid_begins(self) -> Job:
        """What a grid of soups says about itself until :meth:`take_back`."""
        return self._jobs.begin_beside(self.host.stop)

    def lend(self, recipe: Recipe, progress: Progress) -> Held:
        """Make the model in memory a soup for some pictures of a grid. The caller holds the host's lock. What is in use
        comes back with :meth:`take_back`, at the latest before the first picture that is not of this soup."""
        begun = time.perf_counter()
        models = self._models()
        headers.require_files(recipe, models, progress)
        plan = prepare(recipe, models, progress)
        try:
            held = self._pot.lend(plan, models, progress)
        finally:
            plan.close()
        self.remember(held.recipe)
        self._log.add(held.recipe, seconds=time.perf_counter() - begun, notes=held.notes)
        return held

    def take_back(self) -> None:
        """Make the model in memory what is in use, if a soup was lent. The caller holds the host's lock."""
        try:
            self._pot.take_back(Silent())
        finally:
            self._jobs.end_beside(f"The grid has ended. {self._used()}")

    def settle(self, p: Any, overridden: bool, lent: Held | None = None) -> Held | None:
        """Before a picture, or a batch of it, is made: the soup in use, or the one lent for it, is the model in memory,
        unless the request names a checkpoint of its own. The caller holds the host's lock. Returns the soup that the
        picture is made with."""
        if lent is not None and not overridden:
            try:
                return self._pot.lend_again(lent, Silent())
            except Exception as error:
                p.comment(f"Diffusion Soup: the soup of this picture could not be brought back: {error}")
        self.take_back()
        held = self._pot.current
        if held is None:
            self._pot.drop()
            return None
        if overridden:
            if self._pot.intact:
                self.host.discard()
            return None
        if not self._pot.intact:
            try:
                self._pot.bring_back(Silent())
            except Exception as error:
                self._pot.drop()
                p.comment(f"Diffusion Soup: the soup could not be brought back: {error}")
                return None
        return self._pot.current
