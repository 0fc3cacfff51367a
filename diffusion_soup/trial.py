"""A trial: a recipe's score is the mean over its pictures of some prompts; every picture is made and scored once.

A host gives ``paint``, which makes a recipe's pictures, and ``score``. What was scored is kept at once, so a search
that is stopped goes on with the picture at which it was stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from .errors import RecipeError, SoupError
from .evaluations import Evaluations, Question
from .progress import Progress, Silent, check
from .recipe import Recipe
from .score import Score
from .score.pictures import to_pil

if TYPE_CHECKING:
    from PIL.Image import Image

#: A recipe and the questions that need a picture of it -> one picture [3, H, W] in 0..1 for each, one after the other.
Paint = Callable[[Recipe, Sequence[Question]], Iterator[torch.Tensor]]
MOST_PROMPTS = 1000


@dataclass(frozen=True)
class Prompts:
    """What is painted of every recipe: each prompt once with each seed."""

    prompts: tuple[str, ...]
    negative: str = ""
    seeds: tuple[int, ...] = (0,)
    width: int = 512
    height: int = 512
    sampling: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.prompts or not self.seeds:
            raise RecipeError("There is no prompt to paint; write at least one, each on a line of its own.")
        if len(self.prompts) * len(self.seeds) > MOST_PROMPTS:
            raise RecipeError(f"These are {len(self.prompts) * len(self.seeds)} pictures of every recipe; at most "
                              f"{MOST_PROMPTS} are painted.")

    @classmethod
    def read(cls, text: str, **more: Any) -> Prompts:
        """Prompts written one a line; empty lines and what follows a # at the beginning of a line are left out."""
        lines = (line.strip() for line in text.splitlines())
        return cls(tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#"))), **more)

    def questions(self, recipe: Recipe, scorer: str) -> list[Question]:
        return [Question(recipe.hash, prompt, self.negative, seed, self.width, self.height, scorer, self.sampling)
                for prompt in self.prompts for seed in self.seeds]


class Trial:
    """The ``evaluate`` of a search. ``painted`` counts the pictures that had to be made.

    Each picture is scored as soon as it is painted; with ``together``, all of a recipe's at once.
    """

    def __init__(self, prompts: Prompts, evaluations: Evaluations, scorer: str, paint: Paint, score: Score,
                 progress: Progress | None = None, together: bool = False) -> None:
        self.prompts, self.evaluations, self.scorer = prompts, evaluations, scorer
        self.painted = 0
        self._paint, self._score, self._progress = paint, score, progress or Silent()
        self._together = together

    def __call__(self, recipe: Recipe) -> float:
        """The mean score. Raises :class:`SoupError` and :class:`Cancelled`."""
        questions = self.prompts.questions(recipe, self.scorer)
        known = {question.key: score for question in questions
                 if (score := self.evaluations.get(question)) is not None}
        missing = [question for question in questions if question.key not in known]
        painted = self._painted(recipe, missing) if missing else iter(())
        for pairs in ([list(painted)] if self._together and missing else ([pair] for pair in painted)):
            pictures = torch.stack([picture for _, picture in pairs])
            scores = self._score(pictures, [question.prompt for question, _ in pairs])
            for (question, picture), score in zip(pairs, scores, strict=True):
                known[question.key] = self._kept(question, float(score), picture)
        return math.fsum(known[question.key] for question in questions) / len(questions)

    def _painted(self, recipe: Recipe, missing: Sequence[Question]) -> Iterator[tuple[Question, torch.Tensor]]:
        for question, picture in zip(missing, self._paint(recipe, missing), strict=True):
            check(self._progress)
            self.painted += 1
            yield question, picture

    def _kept(self, question: Question, score: float, picture: torch.Tensor) -> float:
        if not math.isfinite(score):
            raise SoupError(f"The scorer gave {score} for a picture of {question.prompt!r}; if it is black, the soup "
                            "has numbers that its precision cannot hold.")
        self.evaluations.put(question, score, to_pil(picture))
        return score

    def sheet(self, recipe: Recipe) -> list[tuple[str, float | None, Image | None]]:
        """Prompt, score and small picture of every picture of a recipe, as far as they are kept."""
        return [(question.prompt, self.evaluations.get(question), self.evaluations.picture(question))
                for question in self.prompts.questions(recipe, self.scorer)]
