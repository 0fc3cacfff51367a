"""What the page may ask of the kitchen: one JSON object in, one out. No gradio, no host.

Every answer to a question that cannot be served is ``{"error": one sentence}``.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import io
import json
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion_soup import graph
from diffusion_soup.errors import Cancelled, RecipeError, SoupError, shown
from diffusion_soup.methods import METHODS
from diffusion_soup.recipe import DTYPES, Recipe

from . import presets, table
from .selection import Settings

if TYPE_CHECKING:
    from .kitchen import Kitchen, Status

Question = dict[str, Any]
MOST_UPLOAD = 64 << 20
BUSY = ("queued", "cooking")


class Desk:
    """Serves the page. Holds nothing of its own: all pages see the same kitchen."""

    def __init__(self, kitchen: Kitchen, preset_folders: Callable[[], list[Path]] = list) -> None:
        self.kitchen, self.preset_folders = kitchen, preset_folders
        self.verbs: dict[str, Callable[[Question], dict[str, Any]]] = {
            "hello": self._hello, "files": self._files, "facts": self._facts, "status": self._status,
            "recipe": self._recipe, "check": self._check, "cook": self._cook, "cancel": self._cancel,
            "undo": self._undo, "save": self._save, "keep": self._keep, "taste": self._taste, "read": self._read,
            "selecting": self._selecting, "select": self._select, "selected": self._selected,
            "log": self._log, "blocks": self._blocks, "block_weights": self._block_weights,
        }

    def answer(self, text: str) -> str:
        """The answer to a question in JSON, as JSON; it carries the question's id."""
        question: Any = None
        try:
            question = json.loads(text)
            verb = self.verbs.get(question.get("verb", "")) if isinstance(question, dict) else None
            if verb is None:
                raise RecipeError(f"The Soup tab does not know the request {shown(text)}. Reload the page.")
            found = verb(question)
        except SoupError as error:
            found = {"error": str(error)}
        except Cancelled:
            found = {"error": "Cancelled."}
        except Exception as error:  # the page must say something, whatever it is
            traceback.print_exc()
            found = {"error": f"Diffusion Soup failed in a way it does not know ({type(error).__name__}: "
                              f"{str(error)[:200]}). The WebUI's console has the details."}
        return json.dumps({"id": question.get("id") if isinstance(question, dict) else None} | found)

    # -- looking ---------------------------------------------------------------------------------

    def _hello(self, question: Question) -> dict[str, Any]:
        return {"methods": [_method(each) for each in METHODS.values()], "dtypes": DTYPES,
                "families": list(graph.FAMILIES)} | self._files(question) | self._status(question)

    def _files(self, question: Question) -> dict[str, Any]:
        kitchen = self.kitchen
        return {"checkpoints": kitchen.checkpoints(), "loras": kitchen.loras()}

    def _facts(self, question: Question) -> dict[str, Any]:
        files = question.get("files", [])[:table.MOST_ROWS + 1]
        return {"facts": [self._fact(str(kind), str(file)) for kind, file in files]}

    def _fact(self, kind: str, file: str) -> dict[str, Any]:
        try:
            return self.kitchen.facts(kind, file)
        except SoupError as error:
            return {"problem": str(error)}

    def _status(self, question: Question) -> dict[str, Any]:
        return self._told(self.kitchen.status())

    def _told(self, status: Status) -> dict[str, Any]:
        in_use, pasted = self.kitchen.in_use(), self.kitchen.pasted()
        last = self.kitchen.selections.last
        return {"status": dataclasses.asdict(status), "in_use": None if in_use is None else _shown(in_use),
                "pasted": None if pasted is None else _shown(pasted), "selected": 0 if last is None else last.job}

    def _log(self, question: Question) -> dict[str, Any]:
        return {"log": [_line(each) for each in self.kitchen.log(str(question.get("search", "")))[:100]]}

    def _blocks(self, question: Question) -> dict[str, Any]:
        return presets.tables(self.preset_folders())

    def _block_weights(self, question: Question) -> dict[str, Any]:
        return {"weights": presets.weights(question.get("widgets", {}))}

    # -- recipes ---------------------------------------------------------------------------------

    def _recipe(self, question: Question) -> dict[str, Any]:
        """The table as a recipe, whether or not its files are here."""
        return _shown(_of(question))

    def _check(self, question: Question) -> dict[str, Any]:
        """The same, with what is wrong with its files in words. A grid is of this table where no soup is in use."""
        self.kitchen.table = None
        recipe = self.kitchen.table = _of(question)
        try:
            self.kitchen.check(recipe)
        except SoupError as error:
            return _shown(recipe) | {"problem": str(error)}
        return _shown(recipe) | {"problem": ""}

    def _read(self, question: Question) -> dict[str, Any]:
        if "checkpoint" in question:
            return _shown(self.kitchen.read_checkpoint(str(question["checkpoint"])))
        if "data" not in question:
            text = str(question.get("text", ""))
            if not text.strip():
                raise RecipeError("There is no text to read. Paste a recipe, or drop a file.")
            return _shown(self.kitchen.read(None, text))
        name = Path(str(question.get("name", "file")).replace("\\", "/")).name or "file"
        try:
            data = base64.b64decode(question["data"], validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise RecipeError(f"{name} did not arrive whole. Drop it again.") from None
        with tempfile.TemporaryDirectory(prefix="dsoup-") as folder:
            path = Path(folder, name)
            path.write_bytes(data[:MOST_UPLOAD])
            return _shown(self.kitchen.read(str(path), ""))

    # -- cooking ---------------------------------------------------------------------------------

    def _cook(self, question: Question) -> dict[str, Any]:
        return self._told(self.kitchen.cook(_of(question)))

    def _cancel(self, question: Question) -> dict[str, Any]:
        return self._told(self.kitchen.cancel())

    def _undo(self, question: Question) -> dict[str, Any]:
        return self._told(self.kitchen.undo())

    def _save(self, question: Question) -> dict[str, Any]:
        name, overwrite = str(question.get("name", "")).strip(), question.get("overwrite") is True
        if not name:
            raise RecipeError("The soup needs a name to be saved under.")
        name = name if name.lower().endswith((".safetensors", ".sft")) else f"{name}.safetensors"
        recipe = _of(question)
        if not overwrite and name.replace("\\", "/") in self.kitchen.checkpoints():
            return {"ask": f"{name} is there already. Overwrite it?"}
        return self._told(self.kitchen.save(recipe, name, overwrite))

    def _keep(self, question: Question) -> dict[str, Any]:
        recipe = _of(question)
        return {"kept": self.kitchen.shelf.keep(recipe, table.title(recipe))}

    def _taste(self, question: Question) -> dict[str, Any]:
        recipe = _of(question)
        report, picture = self.kitchen.taste(recipe)
        data = io.BytesIO()
        picture.save(data, format="PNG")
        return {"hash": recipe.hash, "report": report, "picture": _png(data.getvalue())}

    # -- selecting -------------------------------------------------------------------------------

    def _selecting(self, question: Question) -> dict[str, Any]:
        """What can be chosen in the section Select."""
        return self.kitchen.selections.offered()

    def _select(self, question: Question) -> dict[str, Any]:
        settings = Settings(**table.known_fields(question.get("settings", {}), Settings, "the selection"))
        return self._told(self.kitchen.selections.begin(_of(question), settings))

    def _selected(self, question: Question) -> dict[str, Any]:
        """How the last selection ended, with the asking page's table as it would be with the selected shares."""
        last = self.kitchen.selections.last
        if last is None:
            return {"selected": 0}
        draft = table.selected(table.read(question.get("draft")), last.path.recipe)
        return {"selected": last.job, "text": last.text, "note": last.path.note, "picture": _png(last.report),
                "draft": draft.to_dict()}


def _of(question: Question) -> Recipe:
    """The recipe in question: of a table, or as it stands."""
    if "recipe" in question:
        return Recipe.from_dict(question["recipe"])
    return table.to_recipe(table.read(question.get("draft")))


def _shown(recipe: Recipe) -> dict[str, Any]:
    return {"recipe": recipe.to_dict(), "text": recipe.to_json(), "hash": recipe.hash, "title": table.title(recipe),
            "draft": table.from_recipe(recipe).to_dict()}


def _png(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def _line(entry: dict[str, Any]) -> dict[str, Any]:
    """One line of the log; its recipe may be a Recipe, JSON values or text."""
    recipe = entry.get("recipe")
    recipe = Recipe.from_json(recipe) if isinstance(recipe, str) else recipe
    recipe = Recipe.from_dict(recipe) if isinstance(recipe, dict) else recipe
    return {name: entry.get(name) for name in ("time", "hash", "seconds", "notes")} | {"soup": _shown(recipe)}


def _method(each: Any) -> dict[str, Any]:
    return {"name": each.name, "title": each.title, "formula": each.formula, "paper": each.paper,
            "needs_base": each.needs_base,
            "parameters": [dataclasses.asdict(parameter) for parameter in each.parameters]}
