"""The nodes of selection: which ingredients, by which scores, and how a share changes a picture."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

import comfy.samplers
import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..diffusion_soup import Recipe, RecipeError, axes, graph, heat_map, prepare, taste
from ..diffusion_soup.evaluations import Question
from ..diffusion_soup.report import report
from ..diffusion_soup.score.pictures import to_pil
from ..diffusion_soup.select import METHODS, Path, search
from ..diffusion_soup.shares import GROUPINGS, grouped
from ..diffusion_soup.trial import Prompts, Trial
from . import asking, bridge, compat, drawing, painting, rating
from .compat import named
from .pantry import pantry

CATEGORY = "diffusion soup/selection"
GRAPH = "graph"
_MOST_CELLS = 400
#: It stays as it is from one run to the next: with another seed a search would begin anew.
_SEED = dict(default=0, min=0, max=2**64 - 1, control_after_generate=False)
_SIZE = dict(default=512, min=64, max=4096, step=8)


def _sampling() -> list[Any]:
    """The inputs of every node that paints."""
    return [
        io.String.Input("negative", default="", multiline=True, tooltip="The negative prompt of all pictures."),
        io.Int.Input("seed", **_SEED, tooltip="The noise, the same for every recipe."),
        io.Int.Input("steps", default=20, min=1, max=10000, tooltip="Sampling steps of each picture."),
        io.Float.Input("cfg", default=7.0, min=0.0, max=100.0, step=0.1, tooltip="Classifier-free guidance."),
        io.Combo.Input("sampler_name", options=comfy.samplers.KSampler.SAMPLERS, default="dpmpp_2m",
                       tooltip="The sampler."),
        io.Combo.Input("scheduler", options=comfy.samplers.KSampler.SCHEDULERS, default="karras",
                       tooltip="The noise schedule."),
        io.Int.Input("width", **_SIZE, tooltip="Width of the pictures."),
        io.Int.Input("height", **_SIZE, tooltip="Height of the pictures."),
        io.Clip.Input("clip", optional=True, tooltip="A text encoder to use instead of the soups' own."),
        io.Vae.Input("vae", optional=True, tooltip="A VAE to use instead of the soups' own."),
    ]


@dataclasses.dataclass(frozen=True)
class _Settings:
    """What :func:`_sampling` asks for."""

    negative: str
    seed: int
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str
    width: int
    height: int
    clip: Any = None
    vae: Any = None

    def painter(self, node_id: str) -> painting.Painter:
        return painting.Painter(node_id, self.steps, self.cfg, self.sampler_name, self.scheduler, self.clip, self.vae)

    def prompts(self, text: str, pictures: int, sampling: dict[str, Any]) -> Prompts:
        return Prompts.read(text, negative=self.negative.strip(), width=self.width, height=self.height,
                            seeds=tuple((self.seed + at) % 2**64 for at in range(pictures)), sampling=sampling)


class DSoupSelect(io.ComfyNode):
    def __init__(self) -> None:
        super().__init__()
        self.pantry = pantry().held_by(self)

    @classmethod
    def define_schema(cls) -> io.Schema:
        score = io.Float.Input("score", optional=True, tooltip="With scorer graph: a number that nodes make of Soup "
                                                               "Candidate. They run once for each candidate.")
        score.extra_dict = {**(score.extra_dict or {}), "rawLink": True, "lazy": True, "forceInput": True}
        return io.Schema(
            node_id="DSoupSelect", display_name="Select Soup", category=CATEGORY, enable_expand=True,
            description="Find out which ingredients belong into the soup, or which shares they should have: candidates "
                        "paint your prompts, a scorer judges the pictures, and the better ones stay. Everything that "
                        "was scored is kept, so a search that was stopped goes on where it was.",
            inputs=[
                compat.Ingredients.Input("ingredients", optional=True, tooltip="The chain of candidates."),
                compat.Recipe.Input("recipe", optional=True,
                                    tooltip="A recipe to begin with instead of ingredients. It also decides method, "
                                            "base and dtype of the soups."),
                io.String.Input("prompts", default="", multiline=True,
                                tooltip="What every candidate paints, one prompt a line."),
                io.Combo.Input("scorer", options=[*painting.scorers(), rating.BY_HAND, GRAPH],
                               tooltip="Who judges the pictures. by hand: you, with stars in the browser. "
                                       "graph: nodes of yours, from Soup Candidate to score. "
                                       "Others are found in models/diffusion_soup/scorers, see the help."),
                io.Combo.Input("method", options=list(METHODS),
                               tooltip="; ".join(f"{each.name}: {each.title}" for each in METHODS.values()) + "."),
                io.Int.Input("budget", default=0, min=0, max=10000,
                             tooltip="How many soups may be scored. 0: as many as the method needs."),
                io.Combo.Input("blocks", options=list(GROUPINGS),
                               tooltip="What coordinate and cma give shares to: the whole model; parts: its ways down "
                                       "and up and the rest, each; or every block."),
                io.Combo.Input("base", options=[graph.NONE, *bridge.checkpoint_files()],
                               tooltip="The pretrained model the ingredients were fine-tuned from; needed for LoRAs."),
                io.Int.Input("pictures", default=1, min=1, max=64,
                             tooltip="Pictures of each prompt, with seeds that follow each other."),
                *_sampling(),
                score,
            ],
            outputs=[named(compat.Recipe, "RECIPE", "The best soup that was found, for Cook Soup or Save Soup."),
                     named(io.Image, "REPORT", "The path of scores, and contact sheets of the best candidates."),
                     named(io.Float, "SCORE", "The best soup's mean score.")],
            hidden=[io.Hidden.dynprompt])

    @classmethod
    def fingerprint_inputs(cls, scorer: str = GRAPH, base: str = graph.NONE, **rest: Any) -> str:
        return painting.scorer_stamp(scorer) + ("" if base == graph.NONE else bridge.stamp(base))

    @classmethod
    def execute(cls, prompts: str, scorer: str, method: str, budget: int, blocks: str, base: str, pictures: int,
                ingredients: graph.Ingredients | None = None, recipe: Recipe | None = None, score: Any = None,
                answer: float | None = None, **sampling: Any) -> io.NodeOutput:
        settings, dynprompt, node_id = _Settings(**sampling), cls.hidden.dynprompt, bridge.executing_node()
        real_id = dynprompt.get_real_node_id(node_id)
        painter = settings.painter(real_id)
        inputs = dynprompt.get_node(node_id)["inputs"]
        own = {name: asking.signature(dynprompt, inputs[name]) for name in ("clip", "vae") if name in inputs}
        asked = settings.prompts(prompts, pictures, painter.sampling | own)
        with bridge.interruptible():
            whole, groups = _prepared(graph.cook(ingredients, recipe, **({} if recipe else {"base": base})), blocks)
            progress = painting.PictureProgress()
            if scorer == GRAPH:
                trial: Trial = _Asking(asked, painter, asking.scored_by(dynprompt, score), node_id, answer)
            elif scorer == rating.BY_HAND:
                trial = Trial(asked, painting.evaluations(), rating.BY_HAND, _shown(painter, progress),
                              lambda images, texts: rating.rate(images, texts, real_id), painting.Quiet(),
                              together=True)
            else:
                judge = painting.judge(scorer)
                trial = Trial(asked, painting.evaluations(), judge.identity, _shown(painter, progress), judge,
                              painting.Quiet())
            try:
                path = search(whole, trial, method, budget=budget, groups=groups, progress=progress)
            except _Ask as ask:
                return _expansion(dynprompt, node_id, score, ask, progress)
        pantry().drop(real_id)
        return _outcome(path, trial)


def _prepared(recipe: Recipe, blocks: str) -> tuple[Recipe, dict[str, tuple[str, ...]]]:
    """The recipe with its files' hashes, after a look whether they fit together, and its groups of blocks."""
    plan = prepare(recipe, bridge.model_folders(), bridge.NodeProgress())
    plan.close()
    return plan.recipe, grouped(blocks, dict.fromkeys(step.block for step in plan.steps))


def _outcome(path: Path, trial: Trial) -> io.NodeOutput:
    return io.NodeOutput(path.recipe, drawing.image(report(path, trial.sheet)), path.score)


def _shown(painter: painting.Painter, progress: painting.PictureProgress) -> Any:
    """Paints, and shows each picture on the node."""
    def paint(recipe: Recipe, questions: Sequence[Question]) -> Iterator[torch.Tensor]:
        for picture in painter(recipe, questions):
            progress.show(picture)
            yield picture

    return paint


class _Ask(Exception):
    """A recipe whose score only the graph knows."""

    def __init__(self, question: Question, recipe: Recipe, trial: _Asking) -> None:
        super().__init__(question.key)
        self.question, self.recipe, self.trial = question, recipe, trial


class _Asking(Trial):
    """Scores that a graph gives, of all pictures of a recipe at once."""

    def __init__(self, prompts: Prompts, painter: painting.Painter, scorer: str, node_id: str, answer: float | None
                 ) -> None:
        super().__init__(prompts, painting.evaluations(), scorer, painter, lambda images, prompts: [])
        self.painter = painter
        self._node_id, self._answer = node_id, answer

    def __call__(self, recipe: Recipe) -> float:
        asked = self.prompts
        question = Question(recipe.hash, json.dumps(asked.prompts), asked.negative, asked.seeds[0], asked.width,
                            asked.height, self.scorer, {**asked.sampling, "pictures": len(asked.seeds)})
        known = self.evaluations.get(question)
        if known is None and self._answer is not None and asking.is_answer(self._node_id, question.key):
            if not isinstance(self._answer, (int, float)) or not torch.isfinite(torch.tensor(float(self._answer))):
                raise RecipeError(f"The graph behind score gave {self._answer}; a score must be a finite number.")
            known = float(self._answer)
            self.evaluations.put(question, known)
        if known is None:
            raise _Ask(question, recipe, self)
        return known


def _expansion(dynprompt: Any, node_id: str, score: Any, ask: _Ask, progress: painting.PictureProgress
               ) -> io.NodeOutput:
    """Paint a candidate, and have the graph score its pictures."""
    trial, questions = ask.trial, ask.trial.prompts.questions(ask.recipe, "")
    pictures = []
    for question, picture in zip(questions, trial.painter(ask.recipe, questions)):
        progress.show(picture)
        trial.evaluations.keep(question, to_pil(picture))
        pictures.append(picture.movedim(0, -1))
    made, links = asking.expanded(dynprompt, node_id, score, ask.question.key, torch.stack(pictures),
                                  "\n".join(trial.prompts.prompts), ask.recipe)
    return io.NodeOutput(*links, expand=made)


class DSoupCandidate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupCandidate", display_name="Soup Candidate", category=CATEGORY,
            description="The beginning of a graph that scores: gives the pictures of the candidate that Select Soup is "
                        "asking about. Connect nodes that make a number of them, and that number to Select Soup.",
            inputs=[io.Image.Input("images", optional=True,
                                   tooltip="Pictures to try your graph with; Select Soup puts the candidate's here."),
                    io.String.Input("prompts", default="", multiline=True, optional=True,
                                    tooltip="Prompts to try your graph with; Select Soup puts its own here."),
                    compat.Recipe.Input("recipe", optional=True,
                                        tooltip="A recipe to try your graph with; Select Soup puts the candidate's "
                                                "here.")],
            outputs=[named(io.Image, "IMAGES", "The pictures of all prompts, in their order."),
                     named(io.String, "PROMPTS", "The prompts, one a line."),
                     named(compat.Recipe, "RECIPE", "The candidate, for a Cook Soup and pictures of your own.")])

    @classmethod
    def execute(cls, images: Any = None, prompts: str = "", recipe: Recipe | None = None) -> io.NodeOutput:
        nothing: Any = ExecutionBlocker(None)  # what hangs on it waits for Select Soup
        return io.NodeOutput(nothing if images is None else images, prompts if images is not None else nothing,
                             nothing if recipe is None else recipe)


class DSoupScore(io.ComfyNode):
    def __init__(self) -> None:
        super().__init__()
        self.pantry = pantry().held_by(self)

    @classmethod
    def define_schema(cls) -> io.Schema:
        found = painting.scorers()
        return io.Schema(
            node_id="DSoupScore", display_name="Score Pictures", category=CATEGORY,
            description="What a scorer says of pictures and their prompt, the higher the better. Scorers are models of "
                        "yours in models/diffusion_soup/scorers; nothing is downloaded.",
            inputs=[io.Image.Input("images", tooltip="The pictures to score."),
                    io.String.Input("prompt", default="", multiline=True,
                                    tooltip="What they should show: one prompt for all, or as many lines as pictures."),
                    io.Combo.Input("scorer", options=found or [""], tooltip="Which scorer judges them, see the help.")],
            outputs=[named(io.Float, "SCORE", "The mean of all pictures."),
                     io.Float.Output("SCORES", display_name="SCORES", tooltip="Each picture's score, as a list.",
                                     is_output_list=True)])

    @classmethod
    def fingerprint_inputs(cls, scorer: str = "", **rest: Any) -> str:
        return painting.scorer_stamp(scorer)

    @classmethod
    def execute(cls, images: torch.Tensor, prompt: str, scorer: str) -> io.NodeOutput:
        if not scorer:
            raise RecipeError("There is no scorer to choose: put one into models/diffusion_soup/scorers, in a folder "
                              "of its own, see the help of this node.")
        lines = [line.strip() for line in prompt.splitlines() if line.strip()] or [""]
        if len(lines) == 1 or len(images) % len(lines):
            lines = [" ".join(lines)]
        prompts = [line for line in lines for _ in range(len(images) // len(lines))]
        with bridge.interruptible():
            judge = painting.judge(scorer)
            scores: list[float] = []
            progress = bridge.NodeProgress()
            for at, text in enumerate(prompts):
                bridge.stop()
                progress.step(at, len(prompts), "pictures")
                scores += judge(images[at:at + 1, ..., :3].movedim(-1, 1), [text])
        return io.NodeOutput(sum(scores) / len(scores), scores)


class DSoupGrid(io.ComfyNode):
    def __init__(self) -> None:
        super().__init__()
        self.pantry = pantry().held_by(self)

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupGrid", display_name="Soup Grid", category=CATEGORY,
            description="How a share changes the picture: one sheet with a column for each share, and a row for each "
                        "prompt, all with the same noise.",
            inputs=[
                compat.Recipe.Input("recipe", tooltip="The soup whose shares are changed."),
                io.String.Input("shares", default="1: 0-100% [5]", multiline=True,
                                tooltip="An ingredient by name or number, and its shares: \"ember: 0, 0.5, 1\" or "
                                        "\"2: 0-100% [5]\". With a block after the name: \"ember OUT03: 0-1 [3]\"."),
                io.Boolean.Input("in_blocks", default=False,
                                 tooltip="Whether the names are followed by the blocks whose share is meant."),
                io.String.Input("prompts", default="", multiline=True, tooltip="What is painted, one prompt a line."),
                *_sampling(),
            ],
            outputs=[named(io.Image, "SHEET", "One picture with all of them and their labels."),
                     named(io.Image, "IMAGES", "The pictures one by one, row by row.")],
            hidden=[io.Hidden.dynprompt])

    @classmethod
    def execute(cls, recipe: Recipe, shares: str, in_blocks: bool, prompts: str, **sampling: Any) -> io.NodeOutput:
        settings = _Settings(**sampling)
        asked = settings.prompts(prompts, 1, {})
        values = axes.shares(shares, in_blocks)
        if len(values) * len(asked.prompts) > _MOST_CELLS:
            raise RecipeError(f"This sheet would have {len(values) * len(asked.prompts)} pictures; at most "
                              f"{_MOST_CELLS} are painted. Take fewer shares or prompts.")
        recipes = [axes.changed(recipe, [value]) for value in values]
        labels = [value.label(recipe.ingredients[axes.position(recipe, value.ingredient)].name) for value in values]
        node_id = cls.hidden.dynprompt.get_real_node_id(bridge.executing_node())
        painter, progress = settings.painter(node_id), painting.PictureProgress()
        columns: list[list[torch.Tensor]] = []
        with bridge.interruptible():
            for at, each in enumerate(recipes):
                columns.append([])
                for picture in painter(each, asked.questions(each, "")):
                    columns[-1].append(picture.movedim(0, -1))
                    progress.step(at * len(asked.prompts) + len(columns[-1]), len(values) * len(asked.prompts), "")
                    progress.show(picture)
        pantry().drop(node_id)
        rows = [[(label, column[row]) for label, column in zip(labels, columns)] for row in range(len(asked.prompts))]
        return io.NodeOutput(drawing.sheet(rows), torch.stack([picture for row in rows for _, picture in row]))


class DSoupTaste(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupTaste", display_name="Taste Soup", category=CATEGORY,
            description="Whether ingredients fit together, before anything is cooked: how far each lies from the base, "
                        "which way it went, and what that means.",
            inputs=[compat.Ingredients.Input("ingredients", tooltip="The chain to taste; shares have no say in it."),
                    io.Combo.Input("base", options=[graph.NONE, *bridge.checkpoint_files()],
                                   tooltip="The pretrained model they were fine-tuned from. Without it distances are "
                                           "from their mean."),
                    io.Boolean.Input("quick", default=True,
                                     tooltip="Read a sample of some tens of MB of each file instead of all of it.")],
            outputs=[named(io.String, "REPORT", "A verdict on each ingredient, in words."),
                     named(io.Image, "HEAT_MAP", "A row for each ingredient, a column for each block: dark is near the "
                                                 "base, bright is far.")])

    @classmethod
    def fingerprint_inputs(cls, base: str = graph.NONE, **rest: Any) -> str:
        return "" if base == graph.NONE else bridge.stamp(base)

    @classmethod
    def execute(cls, ingredients: graph.Ingredients, base: str, quick: bool) -> io.NodeOutput:
        with bridge.interruptible():
            found = taste(graph.recipe(ingredients, base=base), bridge.model_folders(), sampled=quick,
                          progress=bridge.NodeProgress())
        return io.NodeOutput(found.report(), drawing.image(heat_map.draw(found)))


NODES: list[type[io.ComfyNode]] = [DSoupTaste, DSoupSelect, DSoupCandidate, DSoupScore, DSoupGrid]
