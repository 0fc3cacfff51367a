"""The model in memory: what is in it, how it becomes a soup, and how it becomes what it was.

There is one model. A soup is cooked into the weights of the model that the host has loaded (or, where it does not fit,
of the recipe's base or first ingredient, loaded by the host), so nothing is ever there twice. If a cook fails or is
cancelled, the tensors it touched are cooked again as they were before: from the checkpoint, or from the earlier recipe.
Should even that fail, the host loads the user's checkpoint before the next picture, so nobody ever uses half a soup.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from diffusion_soup import Ingredient, ModelFolders, Progress, Recipe, SoupError, inspect, open_checkpoint, prepare
from diffusion_soup.architecture import DIFFUSION, TEXT, VAE, Architecture, is_ids, is_marker, part_of
from diffusion_soup.cook import execute
from diffusion_soup.errors import MismatchError, OutOfMemory
from diffusion_soup.jobs import Tuning
from diffusion_soup.memory import available
from diffusion_soup.plan import Plan, Step
from diffusion_soup.progress import Silent, check

from .bridge import Host, Identity
from .bridge.host import model_file
from .bridge.sink import ModelSink
from .headers import HeaderHashes

log = logging.getLogger("diffusion_soup")

_DEPTH = 20  # soups that can be undone


@dataclasses.dataclass(frozen=True)
class Held:
    """A soup that is, or is to be, the model in memory. ``choices`` counts what the user had chosen until then."""

    recipe: Recipe
    identity: Identity
    plan: Plan
    steps: Mapping[str, Step]
    reference: Path
    choices: int
    notes: tuple[str, ...] = ()


class Pot:
    """All of it is called while the host's lock is held, but :attr:`held` and :meth:`current`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.held: Held | None = None
        self._before: list[Held | None] = []
        self._lent: Held | None = None

    @property
    def current(self) -> Held | None:
        """The soup in use: the one cooked last, unless the user has chosen a checkpoint since."""
        held = self.held
        return held if held is not None and held.choices == self._host.choices else None

    @property
    def intact(self) -> bool:
        """Whether the model in memory is the soup in use at this moment."""
        return self._is_in_memory(self.held)

    @property
    def in_memory(self) -> Held | None:
        """The soup that the model in memory is: the one in use, or one that is lent."""
        return next((soup for soup in (self._lent, self.held) if self._is_in_memory(soup)), None)

    @property
    def lends(self) -> bool:
        """Whether a soup is lent that has not been taken back."""
        return self._lent is not None

    def _is_in_memory(self, soup: Held | None) -> bool:
        return soup is not None and self._host.identity() is soup.identity

    def cook(self, plan: Plan, models: ModelFolders, progress: Progress) -> Held:
        """Make the model in memory this plan's soup."""
        before = self._settle()
        wanted = self._replace(self._wanted(plan, models), before, progress)
        self._before = [*self._before, before][-_DEPTH:]
        self.held = wanted
        return wanted

    def undo(self, progress: Progress) -> Held | None:
        """Make it what it was before; the soup that it is now, or None for a checkpoint."""
        now = self._settle()
        if now is None or not self._before:
            raise SoupError("There is nothing to undo: the model in memory is the checkpoint you chose.")
        wanted = self._before[-1]
        if wanted is not None:
            wanted = dataclasses.replace(wanted, identity=dataclasses.replace(wanted.identity))
        wanted = self._replace(wanted, now, progress)
        self._before.pop()
        self.held = wanted
        return wanted

    def bring_back(self, progress: Progress) -> None:
        """The host has loaded something else for a while (a refiner, a request's own checkpoint): the soup again."""
        held = self._settle()
        if held is not None and not self.intact:
            self.held = self._replace(held, held, progress)

    def drop(self) -> None:
        """The user has chosen a checkpoint: no soup is in use any more, and none comes back."""
        if self.held is not None and self.intact:
            self._host.discard()
        self.held, self._before = None, []

    # -- soups for some pictures -----------------------------------------------------------------

    def lend(self, plan: Plan, models: ModelFolders, progress: Progress) -> Held:
        """Make the model in memory this soup until :meth:`take_back`; what is in use, and what can be undone, stay."""
        wanted = self._wanted(plan, models)
        now = self._lent if self._is_in_memory(self._lent) else self._settle()
        self._lent = self._replace(wanted, now, progress)
        return self._lent

    def lend_again(self, soup: Held, progress: Progress) -> Held:
        """A lent soup for another picture or batch. It is cooked only if the model in memory is another by now."""
        if not self._is_in_memory(soup):
            self._lent = self._replace(soup, self._settle(), progress)
        return soup

    def take_back(self, progress: Progress) -> None:
        """After a soup was lent: what was in use before, unless the host has loaded something else since."""
        lent, self._lent = self._lent, None
        if not self._is_in_memory(lent):
            return
        try:
            self._replace(self._settle(), lent, progress)
        except Exception:
            log.exception("Diffusion Soup: the model before could not be brought back; it is loaded before the next "
                          "picture")
            self._host.discard()

    # -- changing the model ----------------------------------------------------------------------

    def _wanted(self, plan: Plan, models: ModelFolders) -> Held:
        """A plan with all that the model in memory needs of it."""
        reference = _reference(plan, models)
        steps, notes = self._whole(plan, reference)
        return Held(plan.recipe, Identity(soup_name(plan.recipe), plan.recipe.hash), plan, steps, reference,
                    self._host.choices, notes)

    def _settle(self) -> Held | None:
        """The soup in use, after forgetting one that the user has left by choosing a checkpoint."""
        if self.held is not None and self.current is None:
            self.drop()
        return self.held

    def _replace(self, wanted: Held | None, before: Held | None, progress: Progress) -> Held | None:
        """From one to the other; if that fails, back."""
        known = dict(before.steps) if before is not None and self._is_in_memory(before) else {}
        with self._host.begin():
            whole = self._is_in_memory(before) if before is not None else self._is_chosen()
            change = _Change(self._host, known)
            try:
                report = change.to(wanted, progress)
            except BaseException:
                self._go_back(change, before, whole)
                raise
        return wanted and dataclasses.replace(wanted, notes=tuple(dict.fromkeys((*wanted.notes, *report))))

    def _is_chosen(self) -> bool:
        """Whether the model in memory is the checkpoint that the user chose."""
        return self._host.identity() is None and self._host.loaded_from() == self._host.chosen()

    def _go_back(self, change: _Change, before: Held | None, whole: bool) -> None:
        """``whole``: the model in memory was that one, so only what was touched is to be put back."""
        if not change.begun:
            return
        try:
            change.to(before, Silent(), only=change.touched if whole and not change.reloaded else None)
        except Exception:
            log.exception("Diffusion Soup: the model before could not be brought back, so the WebUI loads the "
                          "checkpoint that is chosen")
            self._host.discard()
            self.held, self._before = None, []

    def _whole(self, plan: Plan, reference: Path) -> tuple[dict[str, Step], tuple[str, ...]]:
        """A plan's steps with the parts that a WebUI cannot do without, from the reference where the recipe has none;
        without those that the user gave files of their own for."""
        steps = {step.key: step for step in plan.steps if step.key not in plan.styles}
        notes = list(plan.notes)
        lacking = [part for part in (TEXT, VAE) if not plan.part(part)]
        if lacking:
            spare = _as_it_is(reference, [reference.parent])
            for part in lacking:
                taken = {step.key: step for step in spare.part(part)}
                if taken:
                    steps.update(taken)
                    notes.append(f"The soup has no {part}; that of {reference.name} is used.")
        replaced = self._host.replaced()
        return {key: step for key, step in steps.items() if part_of(key) not in replaced}, tuple(notes)


class _Change:
    """One change of the model in memory. ``known`` are the steps that its weights are results of."""

    def __init__(self, host: Host, known: dict[str, Step]) -> None:
        self._host, self._known = host, known
        self.begun = self.reloaded = False
        self.touched: set[str] = set()

    def to(self, wanted: Held | None, progress: Progress, only: set[str] | None = None) -> tuple[str, ...]:
        """Make it this soup or the checkpoint that the user chose, and have the host keep it; returns notes.

        ``only``: the tensors that are not as they should be, where it was that model before.
        """
        notes = self._to_checkpoint(progress, only) if wanted is None else self._to_soup(wanted, progress, only)
        check(progress)
        self._host.keep(wanted.identity if wanted else None)
        return notes

    def _to_soup(self, wanted: Held, progress: Progress, only: set[str] | None) -> tuple[str, ...]:
        if not self._fits(wanted.steps, wanted.plan.architecture, wanted.reference):
            self._load(wanted.reference)
            odd = self._misfits(wanted.steps)
            if odd:
                raise MismatchError(f"{self._host.name} builds this kind of model in a way into which a soup cannot be "
                                    f"cooked: {len(odd)} tensors are others (first: {odd[0]}). Save the soup as a "
                                    "file, and load that.")
        return self._write(wanted.steps, progress, only)

    def _to_checkpoint(self, progress: Progress, only: set[str] | None) -> tuple[str, ...]:
        chosen = self._host.chosen()
        if chosen is None:
            raise SoupError("The WebUI has no checkpoint to go back to.")
        try:
            folders = self._host.folders()["checkpoint"]
            plan = _as_it_is(chosen, folders)
            replaced = self._host.replaced()
            steps = {step.key: step for step in plan.steps
                     if step.key not in plan.styles and part_of(step.key) not in replaced}
            fits = self._fits(steps, plan.architecture, chosen)
        except SoupError:
            fits = False  # a kind of file that the host alone can read
        if not fits:
            self._load(chosen)
            return ()
        self._write(steps, progress, only)
        return ()

    def _load(self, path: Path) -> None:
        self.begun = self.reloaded = True
        self._known = {}
        self._host.load(path)

    def _write(self, steps: Mapping[str, Step], progress: Progress, only: set[str] | None) -> tuple[str, ...]:
        self.begun = True
        stale = self._host.open()
        places = self._host.places(steps)
        known = {key: step for key, step in self._known.items()
                 if part_of(key) not in stale and key not in self.touched}
        todo = [step for key, step in steps.items() if key in places and known.get(key) != step
                and (only is None or key in only or part_of(key) in stale)]
        _require_buffer()
        sink = ModelSink(places)
        try:
            return execute(todo, sink, device=self._host.device(), progress=progress).notes
        finally:
            self.touched |= sink.touched
            self._known = known

    def _fits(self, steps: Mapping[str, Step], architecture: Architecture, reference: Path) -> bool:
        """Whether the model in memory is of the kind these steps make, and they overwrite all of it."""
        source = self._host.loaded_from()
        if source is None:
            return False
        try:
            anatomy = inspect(open_checkpoint(source))
        except SoupError:
            return False
        replaced = self._host.replaced()
        own = {key for key in anatomy.keys if part_of(key) in (DIFFUSION, TEXT, VAE) and key not in anatomy.styles
               and part_of(key) not in replaced and not is_ids(key) and not is_marker(key)}
        return anatomy.architecture == architecture and _diffusion(own) == _diffusion(steps) and own <= steps.keys() \
            and self._host.same_config(source, reference) and not self._misfits(steps)

    def _misfits(self, steps: Mapping[str, Step]) -> list[str]:
        """Tensors of the diffusion model in memory that these steps do not make. Those that they make and it does not
        have are left out, as the host does when it loads a file."""
        return sorted(self._host.diffusion_keys() - self._host.places(steps).keys())


def _diffusion(keys: Iterable[str]) -> set[str]:
    return {key for key in keys if part_of(key) == DIFFUSION and not is_marker(key)}


def soup_name(recipe: Recipe) -> str:
    """How a soup is called: "soup a+b+2 more"."""
    names = list(dict.fromkeys(each.name for each in recipe.ingredients))
    shown = names if len(names) <= 3 else [*names[:2], f"{len(names) - 2} more"]
    return ("soup " + "+".join(shown).replace(",", " ").replace(":", " "))[:80]


def _reference(plan: Plan, models: ModelFolders) -> Path:
    """The file whose model the host builds for this soup: the base or a checkpoint, of the soup's own architecture."""
    recipe = plan.recipe
    files = [file for file in (recipe.base, *recipe.ingredients) if file is not None and file.kind == "checkpoint"]
    paths = [models.find(file) for file in files]
    return next((path for path in paths if inspect(open_checkpoint(path)).architecture == plan.architecture), paths[0])


def _as_it_is(path: Path, folders: list[Path]) -> Plan:
    """A checkpoint as a plan that copies it. Its hash is not needed, so it is not computed."""
    file, folder = model_file(path, folders)
    models = ModelFolders({"checkpoint": [folder]}, HeaderHashes())
    return prepare(Recipe((Ingredient(file.file),)), models)


def _require_buffer() -> None:
    """Cooking into the model in memory needs buffers and nothing else."""
    needed, free = Tuning().buffer_bytes, available()
    if free is not None and needed > free:
        raise OutOfMemory(f"Cooking needs {needed / 1e6:.0f} MB of memory and {free / 1e6:.0f} MB are free. Close "
                          "other programs, and cook again.")
