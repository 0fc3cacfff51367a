"""The lab: a small world of pictures in which the papers' claims are measured, with exact ground truth.

- The **world** (:mod:`.world`, :mod:`.render`) is made of scenes: one to three things with shape, colour, size and
  position, a background, and a drawing style, all told by one caption. Everything else in a picture (small shifts,
  turns, phases) comes from the scene's seed. A picture is drawn from its scene at any size from 16 px on, thousands a
  second, the same bits each time.
- A **shard** (:mod:`.shards`) is a part of the world that one specialist is trained on: a domain (by background, shape
  or colour) or a style. Its scene ``i`` is fixed, so a run resumes anywhere and a set to be memorised has a name.
- The **judge** (:mod:`.judge`, :mod:`.train_judge`) is a small network trained on the world, which answers what a
  picture shows. From its answers come caption faithfulness (for TIFA), a preference (for ImageReward), features for
  FID, and the nearest training picture (:mod:`.scores`, for memorisation). Its accuracy stands beside every score.
- A **run** (:mod:`.training`) trains a small diffusion model (:mod:`.denoiser`) on shards; soups of runs are cooked by
  the engine, as any soup is (:mod:`.bench`).
- The **study** (:mod:`.experiments`, :mod:`.study`, :mod:`.plots`) measures what the papers say, for several seeds.

World and judge need torch alone, training needs diffusers, sheets Pillow, plots matplotlib:
``pip install diffusion-soup[lab]``. ``diffusion-soup lab study --out DIR`` runs the study; ``diffusion-soup lab world
--sheet OUT.png`` shows the world, ``diffusion-soup lab judge`` the judge.
"""

from .judge import Judge, Nearest, Verdict
from .render import draw
from .shards import DOMAINS, FAMILIES, FORMS, HUES, STYLE_SHARDS, WORLD, Shard, crossed
from .train_judge import JudgeConfig, the_judge
from .world import BACKGROUNDS, COLOURS, FIELDS, POSITIONS, SHAPES, SIZES, STYLES, VALUES, Scene, Scenes, Thing, parse

__all__ = ["BACKGROUNDS", "COLOURS", "DOMAINS", "FAMILIES", "FIELDS", "FORMS", "HUES", "POSITIONS", "SHAPES", "SIZES",
           "STYLES", "STYLE_SHARDS", "VALUES", "WORLD", "Judge", "JudgeConfig", "Nearest", "Scene", "Scenes", "Shard",
           "Thing", "Verdict", "crossed", "draw", "parse", "the_judge"]
