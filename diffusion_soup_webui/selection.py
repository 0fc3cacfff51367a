"""Selection: which of the table's ingredients belong into the soup, by what a scorer says of the host's own pictures.

Each candidate is cooked into the one model in memory and lent for its pictures, as a cell of a grid is, so what is in
use stays in use. The host's lock is held for one picture at a time: whoever waits for a picture gets it in between,
made with what is in use, and the candidate is cooked again.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from diffusion_soup import ModelFolders, Recipe, RecipeError, SoupError, prepare
from diffusion_soup.errors import shown
from diffusion_soup.evaluations import Evaluations, Question
from diffusion_soup.progress import Progress, Silent
from diffusion_soup.report import report
from diffusion_soup.score import offered, open_scorer
from diffusion_soup.score.files import transformers
from diffusion_soup.select import METHODS, Path, search
from diffusion_soup.shares import GROUPINGS, WHOLE, grouped
from diffusion_soup.trial import Prompts, Trial

from . import headers
from .bridge import Host, pictures
from .jobs import Job, Jobs, Status, Turn
from .table import title

if TYPE_CHECKING:
    from .pot import Held, Pot

TWICE = "A selection among these ingredients is under way already."
STOPPED = "The model before is in use; what was scored is kept, and Select goes on there."
SHARED = ("coordinate", "cma")  # methods that search for shares, from those of the recipe
NO_CMA = "CMA search needs the library cma in the WebUI's Python: pip install cma, or choose coordinate."


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is asked beside the candidates. An empty sampler or schedule is the host's first one."""

    prompts: str = ""  # one a line
    negative: str = ""
    scorer: str = ""  # NAME:FOLDER
    method: str = "greedy"
    budget: int = 0  # soups that may be scored; 0: as many as the method needs
    blocks: str = WHOLE  # what coordinate and CMA give shares to
    pictures: int = 1  # of each prompt, with seeds that follow each other
    seed: int = 0
    steps: int = 20
    cfg: float = 7.0
    sampler: str = ""
    scheduler: str = ""
    width: int = 512
    height: int = 512

    #: Numbers from and to, both included.
    LIMITS = {"budget": (0, 10_000), "pictures": (1, 64), "seed": (0, 2**32 - 64), "steps": (1, 150), "cfg": (0, 30),
              "width": (64, 2048), "height": (64, 2048)}

    def __post_init__(self) -> None:
        object.__setattr__(self, "cfg", float(self.cfg))  # 7 and 7.0 are one evaluation
        for name, (least, most) in self.LIMITS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise RecipeError(f"{name} of the selection is {shown(value)}; expected {least} to {most}.")
        for name in ("width", "height"):
            if getattr(self, name) % 8:
                raise RecipeError(f"{name} of the selection is {getattr(self, name)}; expected a multiple of 8.")
        for name, known in (("method", METHODS), ("blocks", GROUPINGS)):
            if getattr(self, name) not in known:
                raise RecipeError(f"{name} of the selection is {shown(getattr(self, name))}; expected one of: "
                                  f"{', '.join(known)}.")

    def read_prompts(self, sampling: dict[str, Any] | None = None) -> Prompts:
        """Raises :class:`RecipeError` where there are none."""
        return Prompts.read(self.prompts, negative=self.negative.strip(), width=self.width, height=self.height,
                            seeds=tuple(range(self.seed, self.seed + self.pictures)), sampling=sampling or {})


@dataclasses.dataclass(frozen=True)
class Selected:
    """How a selection ended. ``report`` is a PNG."""

    job: int
    path: Path
    report: bytes
    painted: int
    text: str


class Selections:
    """One at a time, in the same queue as cooks. ``last`` is how the last one that ended well did."""

    def __init__(self, host: Host, pot: Pot, jobs: Jobs, models: Callable[[], ModelFolders]) -> None:
        self._host, self._pot, self._jobs, self._models = host, pot, jobs, models
        self._evaluations = Evaluations(host.data / "evaluations.jsonl")
        self.last: Selected | None = None

    def offered(self) -> dict[str, Any]:
        """What can be chosen: scorers that are there now, methods with the soups they score, samplers, schedules."""
        folders = pictures.scorer_folders()
        return {"scorers": offered(folders), "folder": str(folders[0]), "blocks": list(GROUPINGS),
                "methods": [{"name": each.name, "title": each.title, "missing": _missing(each.name),
                             "soups": [each.evaluations(n) for n in range(1, 65)]} for each in METHODS.values()],
                "samplers": pictures.samplers(), "schedulers": pictures.schedulers(),
                "usual": dataclasses.asdict(Settings())}

    def begin(self, recipe: Recipe, settings: Settings) -> Status:
        """Select among a recipe's ingredients; returns at once. Raises :class:`SoupError` for what cannot be."""
        settings = self._check(recipe, settings)
        return self._jobs.add(lambda job: self._select(recipe, settings, job), recipe.hash, TWICE)

    def _check(self, recipe: Recipe, settings: Settings) -> Settings:
        if len(recipe.ingredients) < 2:
            raise RecipeError("Selection needs at least two ingredients to choose among. Add another one.")
        silent = next((each for each in recipe.ingredients if settings.method not in SHARED and not any(
            (each.weight, *each.blocks.values(), *each.elements))), None)
        if silent is not None:
            raise RecipeError(f"{silent.file} has a share of 0, so it cannot be tried alone. Give it a share, or leave "
                              "it out.")
        settings.read_prompts()
        known = self.offered()
        if not known["scorers"]:
            raise RecipeError(f"There is no scorer: put one, such as a CLIP with its tokenizer, into a folder of its "
                              f"own in {known['folder']}, and refresh.")
        if settings.scorer not in known["scorers"]:
            raise RecipeError(f"There is no scorer {shown(settings.scorer)} in {known['folder']}; there are: "
                              f"{', '.join(known['scorers'])}.")
        transformers()
        if _missing(settings.method):
            raise SoupError(NO_CMA)
        first: dict[str, str] = {}
        for name in ("sampler", "scheduler"):
            names, asked = known[f"{name}s"], getattr(settings, name)
            if asked and asked not in names:
                raise RecipeError(f"The WebUI has no {name} {shown(asked)}; it has: {', '.join(names) or 'none'}.")
            first[name] = asked or next(iter(names), "")
        headers.check(recipe, self._models())
        return dataclasses.replace(settings, **first)

    def _select(self, recipe: Recipe, settings: Settings, job: Job) -> str:
        job.after_cancel = STOPPED
        models = self._models()
        plan = prepare(recipe, models, job)
        plan.close()
        groups = grouped(settings.blocks, dict.fromkeys(step.block for step in plan.steps))
        job.say("reading the scorer")
        scorer = open_scorer(settings.scorer, pictures.scorer_folders(), models.hashes)
        sampling = {"steps": settings.steps, "cfg_scale": settings.cfg, "sampler_name": settings.sampler,
                    **({"scheduler": settings.scheduler} if settings.scheduler else {})}
        prompts = settings.read_prompts({"host": self._host.name, **sampling, "options": pictures.options()})
        bar = _Bar(job, len(prompts.prompts) * len(prompts.seeds))
        easel = _Easel(self._host, self._pot, models, sampling, bar)
        trial = Trial(prompts, self._evaluations, scorer.identity, easel, scorer, bar)
        try:
            path = search(plan.recipe, trial, settings.method, budget=settings.budget, groups=groups,
                          seed=settings.seed, progress=bar)
        finally:
            easel.close()
        soup = title(path.recipe)
        text = f"Selected {soup}: {path.score:.4g} ({trial.painted} pictures made). Cook uses it."
        self.last = Selected(job.number, path, _png(report(path, trial.sheet)), trial.painted, text)
        return text


class _Easel:
    """The ``paint`` of a trial: each picture is made in a turn of its own, for which the candidate is lent."""

    def __init__(self, host: Host, pot: Pot, models: ModelFolders, sampling: dict[str, Any], bar: _Bar) -> None:
        self._host, self._pot, self._models, self._sampling, self._bar = host, pot, models, sampling, bar

    def __call__(self, recipe: Recipe, questions: Sequence[Question]) -> Iterator[torch.Tensor]:
        self._bar.soup = title(recipe)
        soup: Held | None = None
        for at, question in enumerate(questions):
            with Turn(self._host.turn, self._bar.job) as turn:
                turn.come()
                self._bar.picture(at, len(questions), "cooking for picture")
                soup = self._lent(recipe, soup)
                self._bar.picture(at, len(questions))
                picture = pictures.paint(question, self._sampling, self._bar.quiet)
            yield picture

    def _lent(self, recipe: Recipe, soup: Held | None) -> Held:
        """The candidate is the model in memory: cooked, unless nobody had another one since its last picture."""
        if soup is not None:
            return self._pot.lend_again(soup, self._bar.quiet)
        plan = prepare(recipe, self._models, self._bar.quiet)
        try:
            return self._pot.lend(plan, self._models, self._bar.quiet)
        finally:
            plan.close()

    def close(self) -> None:
        """The end: what is in use is the model in memory again, unless somebody's picture has had it so already."""
        if not self._pot.lends:
            return
        self._host.turn.acquire()
        try:
            self._pot.take_back(Silent())
        finally:
            self._host.turn.release()


class _Quiet:
    """The engine's and the host's own work for one candidate: it can be stopped, and tells only sampling steps."""

    def __init__(self, bar: _Bar) -> None:
        self._bar = bar

    def step(self, done: int, total: int, what: str) -> None:
        if what == "steps":
            self._bar.sampled(done / total)

    def cancelled(self) -> bool:
        return self._bar.cancelled()


class _Bar:
    """The progress of a search, in soups; between them in pictures and in sampling steps."""

    def __init__(self, job: Job, pictures_of_each: int) -> None:
        self.job, self.soup = job, ""
        self.quiet: Progress = _Quiet(self)
        self._each, self._begun = pictures_of_each, time.monotonic()
        self._done, self._total, self._part, self._what = 0, 1, 0.0, ""

    def step(self, done: int, total: int, what: str) -> None:
        self._done, self._total, self._part = done, total, 0.0

    def cancelled(self) -> bool:
        return self.job.cancelled()

    def picture(self, at: int, missing: int, what: str = "picture") -> None:
        """The at-th of the pictures that a soup still needs is next."""
        self._part = (self._each - missing + at) / self._each
        self._what = f"{what} {self._each - missing + at + 1} of {self._each}" if self._each > 1 else what
        self._tell(self._part)

    def sampled(self, part: float) -> None:
        self._tell(self._part + part / self._each)

    def _tell(self, part: float) -> None:
        if self.job.cancelled():
            return
        fraction, spent = min((self._done + part) / self._total, 1.0), time.monotonic() - self._begun
        left = spent / fraction - spent if fraction > 0.02 else None
        self.job.say(f"selecting: soup {self._done + 1} of {self._total} at most ({self.soup}), {self._what}", fraction,
                     left)


def _missing(method: str) -> str:
    """What has to be installed for a method; "" where it is there."""
    return "cma" if method == "cma" and importlib.util.find_spec("cma") is None else ""


def _png(picture: Any) -> bytes:
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()
