"""A kitchen without a host: real recipes over small files, and a cook that only takes its time.

It has the interface of ``diffusion_soup_webui.kitchen``, answers as that does, and can be cancelled.
"""

from __future__ import annotations

import io
import json
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace

from PIL import Image, ImageDraw

from diffusion_soup import FileError, ModelFolders, Recipe, RecipeError, inspect, open_checkpoint, read_recipe, resolve
from diffusion_soup.report import report
from diffusion_soup.select import METHODS, search
from diffusion_soup.shares import GROUPINGS
from diffusion_soup_webui.selection import Settings
from diffusion_soup_webui.shelf import Shelf


@dataclass(frozen=True)
class Status:
    state: str
    fraction: float = 0.0
    text: str = ""
    job: int = 0
    recipe_hash: str = ""
    seconds_left: float | None = None


class FakeKitchen:
    """Models lie in ``root/checkpoints`` and ``root/loras``; a cook takes ``seconds``."""

    def __init__(self, root: Path, seconds: float = 2.0) -> None:
        self.root, self.seconds = root, seconds
        self.folders = ModelFolders.below(root)
        self.lock, self.stop = threading.Lock(), threading.Event()
        self.now = Status("idle", text="No soup is in use.")
        self.used: list[Recipe | None] = [None]
        self.cooked: list[dict] = []
        self.asked = 0
        self.shelf, self.table = Shelf(root / "recipes"), None
        self.selections = FakeSelections(self)
        self.styles: list[str] = []

    def checkpoints(self) -> list[str]:
        return self._files("checkpoints")

    def loras(self) -> list[str]:
        return self._files("loras")

    def facts(self, kind: str, file: str) -> dict:
        path = self.root / ("loras" if kind == "lora" else "checkpoints") / file
        if not path.is_file():
            return {"problem": f"{file} is not in the model folders any more. Refresh the lists or choose another."}
        family = "SD 1.5" if kind == "lora" else inspect(open_checkpoint(path)).architecture.title
        return {"family": family, "size": path.stat().st_size, "dtype": "float16", "sha256": None, "problem": None}

    def check(self, recipe: Recipe) -> Recipe:
        return resolve(recipe, self.folders)

    def read(self, path: str | None, text: str) -> Recipe:
        return Recipe.from_json(text) if path is None else read_recipe(path)

    def read_checkpoint(self, file: str) -> Recipe:
        return read_recipe(self.root / "checkpoints" / file)

    def pasted(self) -> Recipe | None:
        return None

    def cook(self, recipe: Recipe) -> Status:
        self._missing(recipe)
        return self._begin("mixing", recipe, lambda: self.used.append(recipe), "Cooked.")

    def save(self, recipe: Recipe, name: str, overwrite: bool = False) -> Status:
        path = self.root / "checkpoints" / name
        if path.exists() and not overwrite:
            raise FileError(f"{name} exists already. Choose another name, or say that it may be overwritten.")
        return self._begin(f"saving {name}", recipe, lambda: path.write_bytes(b"soup"), f"Saved as {name}.")

    def status(self) -> Status:
        self.asked += 1
        return self.now

    def cancel(self) -> Status:
        self.stop.set()
        for _ in range(100):
            if self.now.state != "cooking":
                break
            time.sleep(0.01)
        return self.now

    def undo(self) -> Status:
        with self.lock:
            if self.now.state == "cooking":
                raise RecipeError("Something is being cooked. Wait for it, or cancel it first.")
            if len(self.used) < 2:
                raise RecipeError("There is no model before this one to go back to.")
            self.used.pop()
            self.now = Status("idle", text="The model before is in use again.", job=self.now.job + 1)
            return self.now

    def taste(self, recipe: Recipe) -> tuple[str, Image.Image]:
        self._missing(recipe)
        names = [each.name for each in recipe.ingredients]
        picture = Image.new("RGB", (90 * len(names), 60 * len(names)), "#30405f")
        draw = ImageDraw.Draw(picture)
        for at in range(len(names)):
            draw.rectangle((at * 90, at * 60, at * 90 + 88, at * 60 + 58), fill="#f2a33a")
        return f"**{names[0]}** and the others lie in one basin.\n\n- cosine 0.42\n- nothing speaks against it", picture

    def in_use(self) -> Recipe | None:
        return self.used[-1]

    def style_names(self) -> list[str]:
        return self.styles

    def log(self, search: str = "") -> list[dict]:
        return [each for each in reversed(self.cooked) if search.lower() in json.dumps(each["recipe"]).lower()]

    # -- how it pretends -------------------------------------------------------------------------

    def _files(self, kind: str) -> list[str]:
        folder = self.root / kind
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors"))

    def _missing(self, recipe: Recipe) -> None:
        for each in recipe.ingredients:
            self.folders.find(each)

    def _begin(self, what: str, recipe: Recipe, done, said: str) -> Status:
        with self.lock:
            if self.now.state == "cooking":
                raise RecipeError("Something is being cooked already. Wait for it, or cancel it first.")
            self.stop.clear()
            self.now = Status("cooking", 0.0, what, self.now.job + 1, recipe.hash, self.seconds)
        threading.Thread(target=self._work, args=(recipe, done, said), daemon=True).start()
        return self.now

    def _work(self, recipe: Recipe, done, said: str) -> None:
        start = time.monotonic()
        while (passed := time.monotonic() - start) < self.seconds:
            self.now = replace(self.now, fraction=passed / self.seconds, seconds_left=self.seconds - passed)
            if self.stop.wait(0.05):
                self.now = replace(self.now, state="cancelled", text="Cancelled; the model is what it was.")
                return
        done()
        if said == "Cooked.":
            self.cooked.append({"time": time.time(), "hash": recipe.hash, "recipe": recipe.to_dict(),
                                "seconds": self.seconds, "notes": []})
        self.now = Status("done", 1.0, said, self.now.job, recipe.hash)


class FakeSelections:
    """The engine's search over scores that are made up: ember is good, lagoon helps, everything else harms."""

    worth = {"ember": 0.3, "lagoon": 0.2}

    def __init__(self, kitchen: FakeKitchen) -> None:
        self.kitchen, self.last = kitchen, None
        self.scorers = ["clipscore:ViT-L-14", "aesthetic:ViT-L-14"]
        self.asked: list[Settings] = []

    def offered(self) -> dict:
        return {"scorers": self.scorers, "folder": "models/diffusion_soup/scorers", "blocks": list(GROUPINGS),
                "methods": [{"name": each.name, "title": each.title, "missing": "cma" if each.name == "cma" else "",
                             "soups": [each.evaluations(n) for n in range(1, 65)]} for each in METHODS.values()],
                "samplers": ["DPM++ 2M", "Euler"], "schedulers": ["Automatic", "Karras"],
                "usual": asdict(Settings())}

    def begin(self, recipe: Recipe, settings: Settings) -> Status:
        settings.read_prompts()
        self.asked.append(settings)
        return self.kitchen._begin("selecting: soup 1", recipe, lambda: self._done(recipe, settings), "Selected.")

    def _done(self, recipe: Recipe, settings: Settings) -> None:
        def score(tried: Recipe) -> float:
            return sum(share * self.worth.get(each.name, -0.5) for each, share in zip(tried.ingredients, tried.shares())
                       ) + 0.1 * len(tried.ingredients)

        path = search(recipe, score, settings.method)
        data = io.BytesIO()
        report(path, lambda each: [(prompt, score(each), Image.new("RGB", (96, 96), "#30405f"))
                                   for prompt in settings.read_prompts().prompts]).save(data, "PNG")
        job = self.kitchen.now.job
        self.last = SimpleNamespace(job=job, path=path, report=data.getvalue(), painted=5, text="Selected: made up.")
