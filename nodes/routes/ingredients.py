"""For the table of ingredients: what a file is, its hash, whether ingredients fit together, what a graph cooks."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiohttp import web

from ...diffusion_soup import Checkpoint, FileError, ModelFile, Recipe, RecipeError, SoupError, inspect, open_checkpoint
from ...diffusion_soup.architecture import looks_like_lora
from ...diffusion_soup.errors import Cancelled, shown
from ...diffusion_soup.geometry import Geometry, measure
from ...diffusion_soup.graph import recipes_of_prompt
from ...diffusion_soup.lora import LoRAFile
from ...diffusion_soup.taste import judge
from .. import bridge

_MOST_FILES = 64
_MOST_PROMPT_BYTES = 4 << 20
_KEPT = 16  # measures, which take some hundred KB each


def _offered(kind: str, file: str) -> ModelFile:
    """A file that an ingredient node offers. Raises :class:`FileError` for any other."""
    offered = {"checkpoint": bridge.checkpoint_files, "lora": bridge.lora_files}.get(kind)
    if offered is None:
        raise RecipeError(f"There is no kind {shown(kind)}; expected checkpoint or lora.")
    if file not in offered():
        raise FileError(f"{shown(file)} is not in the {kind} folders; choose another file, or refresh the page.")
    return ModelFile(file, kind)


def _refused(error: SoupError) -> web.Response:
    return web.json_response({"error": str(error)}, status=404 if isinstance(error, FileError) else 400)


# -- what a file is ------------------------------------------------------------------------------


async def _ingredient(request: web.Request) -> web.Response:
    """Facts about one file, from its header, and its sha256 if that is known."""
    try:
        file = _offered(request.query.get("kind", "checkpoint"), request.query.get("file", ""))
        return web.json_response(await asyncio.to_thread(_facts, file))
    except SoupError as error:
        return _refused(error)


def _facts(file: ModelFile) -> dict[str, Any]:
    models = bridge.model_folders()
    path = models.find(file)
    facts: dict[str, Any] = {"kind": file.kind, "file": file.file, "bytes": path.stat().st_size,
                             "sha256": models.known_sha256(file), "hashing": _hashing.state(file)}
    with open_checkpoint(path) as checkpoint:
        facts["dtype"] = _dtypes(checkpoint)
        if file.kind == "lora":
            lora = LoRAFile(checkpoint)
            return {**facts, "title": lora.title or "LoRA", "parts": list(lora.parts), "layers": len(lora.layers),
                    "ranks": list(lora.ranks)}
        if looks_like_lora(checkpoint):
            raise RecipeError(f"{file.file} is a LoRA, not a checkpoint. Add it as a LoRA ingredient.")
        anatomy = inspect(checkpoint)
        return {**facts, "title": anatomy.architecture.title, "family": anatomy.architecture.family,
                "parts": sorted(anatomy.parts - {"other"}), "styles": bool(anatomy.styles)}


def _dtypes(checkpoint: Checkpoint) -> str:
    """What most of its bytes are; a few numbers of another kind, such as a LoRA's alphas, are not worth a word."""
    found: Counter[str] = Counter()
    for info in checkpoint.tensors.values():
        found[info.dtype] += info.nbytes if info.is_float else 0
    return " + ".join(dtype for dtype, count in found.most_common() if count * 20 > found.total())


# -- its hash ------------------------------------------------------------------------------------


class _Hashing:
    """Files that are being hashed because somebody asked, one task for each, and how far each is."""

    def __init__(self) -> None:
        self._running: dict[ModelFile, _Share] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def state(self, file: ModelFile) -> float | None:
        """How much of a file is hashed; None for one that nobody is hashing."""
        running = self._running.get(file)
        return running.done if running else None

    def start(self, file: ModelFile) -> None:
        if file not in self._running:
            share = self._running[file] = _Share()
            task = asyncio.get_running_loop().create_task(self._hash(file, share))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def stop(self, file: ModelFile) -> None:
        if file in self._running:
            self._running[file].stopped = True

    async def _hash(self, file: ModelFile, share: _Share) -> None:
        models = bridge.model_folders()
        try:
            with suppress(SoupError, Cancelled):  # the facts say what is wrong with the file
                await asyncio.to_thread(lambda: models.hashes.sha256(models.find(file), share))
        finally:
            del self._running[file]


class _Share:
    """A Progress that only remembers how far it is."""

    def __init__(self) -> None:
        self.done, self.stopped = 0.0, False

    def step(self, done: int, total: int, what: str) -> None:
        self.done = done / total if total else 1.0

    def cancelled(self) -> bool:
        return self.stopped


_hashing = _Hashing()


async def _hash(request: web.Request) -> web.Response:
    """Begin to hash a file, or with ``cancel`` stop that. How far it is, its facts tell."""
    try:
        asked = await _json(request)
        file = _offered(str(asked.get("kind", "checkpoint")), str(asked.get("file", "")))
        if asked.get("cancel"):
            _hashing.stop(file)
        elif bridge.model_folders().known_sha256(file) is None:
            _hashing.start(file)
        return web.json_response({"hashing": _hashing.state(file)})
    except SoupError as error:
        return _refused(error)


async def _json(request: web.Request) -> dict[str, Any]:
    if (request.content_length or 0) > _MOST_PROMPT_BYTES:
        raise RecipeError(f"This question is larger than {_MOST_PROMPT_BYTES >> 20} MB.")
    try:
        found = json.loads(await request.text())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RecipeError("Expected a JSON object.")
    return found


# -- taste ---------------------------------------------------------------------------------------


class _Measures:
    """The last measures, by the files they are of; a file that changes is measured again."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, ...], Geometry] = OrderedDict()
        self._locks: dict[tuple[str, ...], asyncio.Lock] = {}

    async def of(self, base: ModelFile | None, files: Sequence[ModelFile]) -> Geometry:
        key = tuple("" if file is None else f"{file.kind} {bridge.stamp(file.file, file.kind)}"
                    for file in (base, *files))
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:  # two pages that ask the same at once are answered by one measure
                if key not in self._kept:
                    self._kept[key] = await asyncio.to_thread(measure, base, files, bridge.model_folders(),
                                                              sampled=True)
                self._kept.move_to_end(key)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
                return self._kept[key]
        finally:
            if not lock.locked():
                self._locks.pop(key, None)


_measures = _Measures()


async def _taste(request: web.Request) -> web.Response:
    """The verdicts on ``ingredient``s of ``kind``s with ``strength``s, those of them that count having ``active`` 1."""
    try:
        query = request.query
        base = query.get("base") or None
        names, kinds = query.getall("ingredient", []), query.getall("kind", [])
        if not 1 <= len(names) <= _MOST_FILES or len(kinds) != len(names):
            raise RecipeError(f"Expected 1 to {_MOST_FILES} ingredients and as many kinds, got {len(names)} and "
                              f"{len(kinds)}.")
        files = [_offered(kind, name) for kind, name in zip(kinds, names)]
        strengths = _numbers(query.getall("strength", []), len(files))
        active = [number != 0 for number in _numbers(query.getall("active", []), len(files))]
        geometry = await _measures.of(_offered("checkpoint", base) if base else None, files)
        return web.json_response(judge(geometry, strengths, active).to_dict())
    except SoupError as error:
        return _refused(error)


def _numbers(texts: Sequence[str], count: int) -> list[float]:
    """As many finite numbers as there are ingredients; 1 each where none are given."""
    try:
        found = [float(text) for text in texts] or [1.0] * count
    except ValueError:
        found = []
    if len(found) != count or not all(map(math.isfinite, found)):
        raise RecipeError(f"Expected {count} numbers, one for each ingredient, got {shown(list(texts))}.")
    return found


# -- what a graph cooks --------------------------------------------------------------------------


async def _cooked(request: web.Request) -> web.Response:
    """The recipe that one Cook Soup of a prompt would cook, as far as that is known before it runs. Changes nothing."""
    try:
        asked = await _json(request)
        prompt, node = asked.get("prompt"), str(asked.get("node", ""))
        if not isinstance(prompt, Mapping):
            raise RecipeError("Expected a prompt.")
        recipe: Recipe | None = (await asyncio.to_thread(recipes_of_prompt, prompt)).get(node)
        return web.json_response({"recipe": recipe.to_dict() if recipe else None})
    except SoupError as error:
        return _refused(error)


ROUTES = (("GET", "/diffusion_soup/ingredient", _ingredient), ("POST", "/diffusion_soup/hash", _hash),
          ("GET", "/diffusion_soup/taste", _taste), ("POST", "/diffusion_soup/cooked", _cooked))
