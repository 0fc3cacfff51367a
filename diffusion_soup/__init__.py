"""Diffusion Soup: average any number of specialists into one model.

The engine. It knows no host: ComfyUI's nodes and the WebUI's extension sit on top of it, and
``python -m diffusion_soup`` is its command line.
"""

from .architecture import Architecture, inspect
from .checkpoint import Checkpoint, open_checkpoint
from .cook import Soup, cook, cook_to_file
from .errors import Cancelled, FileError, MismatchError, OutOfMemory, RecipeError, SoupError
from .folders import ModelFolders
from .hashes import HashCache
from .jobs import Tuning
from .planner import prepare, resolve
from .progress import Progress
from .recipe import BlockWeights, Ingredient, ModelFile, Recipe
from .recipe_file import read_recipe
from .taste import Taste, taste

__version__ = "0.1.0"

__all__ = [
    "Architecture", "BlockWeights", "Cancelled", "Checkpoint", "FileError", "HashCache", "Ingredient",
    "MismatchError", "ModelFile", "ModelFolders", "OutOfMemory", "Progress", "Recipe", "RecipeError", "Soup",
    "SoupError", "Taste", "Tuning", "cook", "cook_to_file", "inspect", "open_checkpoint", "prepare", "read_recipe",
    "resolve", "taste",
]
