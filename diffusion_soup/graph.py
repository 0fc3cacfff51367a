"""Our ComfyUI nodes as plain functions of their inputs, and recipes read out of a graph of them.

The nodes call these functions, and so does :func:`recipes_of_prompt`, which evaluates the graph that
ComfyUI stores in a picture. That way a picture tells its recipe even where nothing else was embedded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from .blocks import block_names, parse_mbw
from .errors import RecipeError, SoupError, shown
from .presets import house_presets
from .recipe import BlockWeights, Ingredient, ModelFile, Recipe

NONE = "none"
AUTO = "auto"
TIMES, INSTEAD = "times the share", "instead of the share"
FAMILIES = {"SD 1 / SD 2": "sd1", "SDXL": "sdxl"}

Ingredients = tuple[Ingredient, ...]
#: The recipe in a picture, or in a saved soup, by the values of Soup Recipe's two widgets.
Reader = Callable[[str, str], Recipe]


def ingredient(file: str, share: float = 1.0, block_weights: BlockWeights | None = None, elements: str = "",
               ingredients: Ingredients = ()) -> Ingredients:
    """A checkpoint appended to the ingredients before it."""
    return (*ingredients, Ingredient(file, "checkpoint", None, share, _weights(block_weights, share), _rows(elements)))


def lora_ingredient(file: str, share: float = 1.0, strength: float = 1.0, block_weights: BlockWeights | None = None,
                    elements: str = "", ingredients: Ingredients = ()) -> Ingredients:
    """A LoRA appended to the ingredients before it."""
    return (*ingredients, Ingredient(file, "lora", None, share, _weights(block_weights, share), _rows(elements),
                                     strength))


def block_weights(family: str, meaning: str = TIMES, preset: str = NONE, mbw: str = "", dialect: str = "supermerger",
                  **sliders: float) -> BlockWeights:
    """Block weights from text, else a preset, else sliders.

    The text is an MBW string, or ``NAME=weight`` pairs (any family). Sliders outside the family are ignored.
    """
    relative = meaning == TIMES
    blocks = FAMILIES[family]
    if mbw.strip():
        weights = _named(mbw) if "=" in mbw else parse_mbw(mbw, dialect=dialect, family=blocks)
    elif preset != NONE:
        weights = house_presets(blocks)[preset].blocks(blocks)
    else:
        weights = {name: float(value) for name, value in sliders.items() if name in block_names(blocks)}
    return BlockWeights(weights, relative)


def recipe(ingredients: Ingredients, method: str = "soup", normalise: bool = True, base: str = NONE,
           text_encoder: str = "soup", vae: str = AUTO, dtype: str = AUTO, scale: float = 1.0,
           rounding_seed: int = 0) -> Recipe:
    """The recipe a DSoupCook with these inputs cooks."""
    return Recipe(tuple(ingredients), method, {"scale": scale} if method == "task_arithmetic" else {}, normalise,
                  rounding_seed, None if base == NONE else ModelFile(base), text_encoder,
                  None if vae == AUTO else vae, None if dtype == AUTO else dtype)


def cook(ingredients: Ingredients | None = None, recipe: Recipe | None = None, **settings: Any) -> Recipe:
    """What DSoupCook cooks: the recipe it is given, or one made of its ingredients and settings."""
    if (ingredients is None) == (recipe is None):
        raise RecipeError("Connect either ingredients or a recipe to Cook Soup, and not both.")
    settings.pop("device", None)
    return recipe if recipe is not None else _make(ingredients or (), settings)


def add(recipe: Recipe, ingredients: Ingredients) -> Recipe:
    """The recipe with more specialists."""
    for each in ingredients:
        recipe = recipe.add(each)
    return recipe


def remove(recipe: Recipe, name: str) -> Recipe:
    """The recipe without a specialist."""
    return recipe.remove(name)


def recipes_of_prompt(prompt: Mapping[str, Any], read: Reader | None = None) -> dict[str, Recipe]:
    """The recipe of every DSoupCook in a graph (ComfyUI's API format), by node id.

    Nodes whose inputs come from other packs, or that cannot be cooked, are left out.
    """
    found = {}
    for node_id, node in prompt.items():
        if isinstance(node, dict) and node.get("class_type") == "DSoupCook":
            with suppress(SoupError):
                found[node_id] = recipe_of_prompt(prompt, node_id, read)
    return found


def recipe_of_prompt(prompt: Mapping[str, Any], node_id: str, read: Reader | None = None) -> Recipe:
    """The recipe of one DSoupCook in a graph, or a sentence why it cannot be told: raises :class:`SoupError`.

    ``read`` reads what Soup Recipe names: a picture and a soup. Without it such graphs are not told.
    """
    try:
        result = _evaluate(prompt, node_id, 0, {}, frozenset(), read)
    except _Unknown:
        raise RecipeError("Only the running graph knows what this Cook Soup is given; cook it once, and take its "
                          "recipe from the log of cooked recipes.") from None
    except (TypeError, LookupError, ValueError, AttributeError, ArithmeticError, RecursionError, OSError):
        raise RecipeError("This Cook Soup, or a node before it, has an input that is missing or that no recipe can "
                          "have; connect and correct it first.") from None
    if not isinstance(result, Recipe):
        raise RecipeError(f"Node {shown(node_id)} of this graph is no Cook Soup.")
    return result


def _recipe_node(json: str = "", recipe: Recipe | None = None, picture: str = NONE, soup: str = NONE,
                 read: Reader | None = None) -> Recipe:
    if recipe is not None:
        return recipe
    if json.strip():
        return Recipe.from_json(json)
    if read is None:
        raise _Unknown
    return read(picture, soup)


class _Unknown(Exception):
    """An input that only the running graph knows."""


#: class -> one function for each of its outputs.
_NODES: dict[str, tuple[Callable[..., Any], ...]] = {
    "DSoupIngredient": (ingredient,),
    "DSoupLoRAIngredient": (lora_ingredient,),
    "DSoupBlockWeights": (block_weights,),
    "DSoupRecipe": (_recipe_node, lambda **inputs: _recipe_node(**inputs).ingredients),
    "DSoupAdd": (add,),
    "DSoupRemove": (remove,),
    "DSoupCook": (cook, cook, cook, cook),
}


def _evaluate(prompt: Mapping[str, Any], node_id: str, output: int, done: dict[str, Any],
              above: frozenset[str], read: Reader | None) -> Any:
    name = f"{node_id}:{output}"
    if name not in done:
        node = prompt.get(node_id)
        functions = _NODES.get(node.get("class_type", "")) if isinstance(node, dict) else None
        if node is None or functions is None or not 0 <= output < len(functions) or node_id in above:
            raise _Unknown
        inputs = {key: _evaluate(prompt, str(value[0]), value[1], done, above | {node_id}, read)
                  if isinstance(value, list) and len(value) == 2 else value
                  for key, value in node.get("inputs", {}).items()}
        if node["class_type"] == "DSoupRecipe":
            inputs["read"] = read
        done[name] = functions[output](**inputs)
    return done[name]


def _make(ingredients: Ingredients, settings: Mapping[str, Any]) -> Recipe:
    return recipe(ingredients, **settings)


def _weights(weights: BlockWeights | None, share: float) -> dict[str, float]:
    return weights.of(share) if weights is not None else {}


def _rows(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _named(text: str) -> dict[str, float]:
    """``OUT03=0.2, double_blocks.7=0.5``: exact names, any family."""
    weights = {}
    for item in text.replace("\n", ",").split(","):
        if not item.strip():
            continue
        name, _, value = item.partition("=")
        try:
            weights[name.strip()] = float(value)
        except ValueError:
            raise RecipeError(f"Block weight {item.strip()[:60]!r} is not NAME=number.") from None
    return weights
