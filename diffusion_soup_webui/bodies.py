"""What the API takes and gives, as FastAPI shows it in the host's ``/docs``."""

from __future__ import annotations

from typing import Any, Dict, List, Optional  # noqa: UP035  # pydantic 1 evaluates them on every Python it runs on

from pydantic import BaseModel, Field

from diffusion_soup import Ingredient, Recipe, SoupError
from diffusion_soup.select import METHODS
from diffusion_soup.shares import GROUPINGS, WHOLE

from .selection import Settings
from .styles import TITLE

_RECIPE = "A recipe: the JSON object that the tab exports."


class StatusAnswer(BaseModel):
    """What is being done, or how the last request ended."""

    state: str = Field(description="idle, queued, cooking, done, failed or cancelled")
    fraction: float = Field(description="of the work, 0 to 1")
    text: str = Field(description="what is being done, what went wrong, or what is in use")
    job: int = Field(description="number of the request; rises with every one")
    recipe_hash: str = ""
    seconds_left: Optional[float] = None  # noqa: UP045
    in_use: Optional[str] = Field(None, description="hash of the soup in use; null for a checkpoint")  # noqa: UP045


class RecipeRequest(BaseModel):
    recipe: Dict[str, Any] = Field(description=_RECIPE)  # noqa: UP006


class SaveRequest(BaseModel):
    name: str = Field(description="of the new file in the checkpoint folder")
    recipe: Optional[Dict[str, Any]] = Field(None, description=_RECIPE + " The soup in use if left out.")  # noqa: UP006,UP045
    overwrite: bool = False


class ReadRequest(BaseModel):
    recipe: Optional[Dict[str, Any]] = Field(None, description=_RECIPE)  # noqa: UP006,UP045
    text: str = Field("", description="JSON, a row of supermerger's history, or an infotext of a soup cooked here")
    picture: str = Field("", description="a PNG that carries a recipe, in base64")
    checkpoint: str = Field("", description="a checkpoint that says how it was made: a saved soup, or A1111's merge")


class RecipeAnswer(BaseModel):
    recipe: Optional[Dict[str, Any]] = None  # noqa: UP006,UP045
    hash: str = ""
    name: str = ""


class StylesAnswer(BaseModel):
    styles: List[str] = Field(description="of the DMM student in use, in order; empty for any other model")  # noqa: UP006
    modes: List[str] = Field(description="how several styles become one")  # noqa: UP006
    easings: List[str] = Field(description="ways from one key frame of a schedule to the next")  # noqa: UP006
    script: str = Field(TITLE, description="in alwayson_scripts, with args [{\"weights\": {\"anime\": 0.7}}] and, "
                        "where wanted, mode, strength, normalise, extrapolate, schedule")


class TasteAnswer(BaseModel):
    report: str = Field(description="Markdown")
    heat_map: str = Field(description="PNG in base64")


class SelectRequest(BaseModel):
    """Candidates and what judges them; the sampling is as in ``/sdapi/v1/txt2img``."""

    recipe: Optional[Dict[str, Any]] = Field(None, description=_RECIPE + " Its ingredients are the candidates.")  # noqa: UP006,UP045
    ingredients: List[str] = Field([], description="instead of a recipe: checkpoints, with equal shares")  # noqa: UP006
    prompts: List[str] = Field(description="what every candidate paints")  # noqa: UP006
    scorer: str = Field(description="who judges, as GET /scorers names it")
    negative_prompt: str = ""
    method: str = Field("greedy", description=", ".join(METHODS))
    budget: int = Field(0, description="soups that may be scored; 0: as many as the method needs")
    blocks: str = Field(WHOLE, description="what coordinate and cma give shares to: " + ", ".join(GROUPINGS))
    pictures: int = Field(1, description="of each prompt, with seeds that follow each other")
    seed: int = 0
    steps: int = 20
    cfg_scale: float = 7.0
    sampler_name: str = Field("", description="the WebUI's first one if left out")
    scheduler: str = Field("", description="the WebUI's first one if left out")
    width: int = 512
    height: int = 512

    def candidates(self) -> Recipe:
        """The recipe to select among. Raises :class:`SoupError`."""
        if (self.recipe is None) == (not self.ingredients):
            raise SoupError("Send either a recipe or ingredients to select among.")
        if self.recipe is not None:
            return Recipe.from_dict(self.recipe)
        return Recipe(tuple(Ingredient(file) for file in self.ingredients))

    def settings(self) -> Settings:
        """What is asked beside the candidates. Raises :class:`SoupError`."""
        same = ("scorer", "method", "budget", "blocks", "pictures", "seed", "steps", "scheduler", "width", "height")
        lines = (" ".join(prompt.split()) for prompt in self.prompts)
        return Settings(prompts="\n".join(lines), negative=self.negative_prompt, cfg=self.cfg_scale,
                        sampler=self.sampler_name, **{name: getattr(self, name) for name in same})


class SelectionAnswer(RecipeAnswer):
    """How the last selection ended; the recipe is null where none has."""

    score: Optional[float] = None  # noqa: UP045
    note: str = Field("", description="why it ended early, if it did")
    painted: int = Field(0, description="pictures that had to be made")
    path: List[Dict[str, Any]] = Field([], description="all that was scored: change, score, kept, why, recipe_hash")  # noqa: UP006
    report: str = Field("", description="PNG in base64")


class ScorersAnswer(BaseModel):
    scorers: List[str]  # noqa: UP006
    folder: str = Field(description="where they are looked for")


class LogAnswer(BaseModel):
    entries: List[Dict[str, Any]]  # noqa: UP006
