"""The soup nodes. Each unpacks its inputs, calls one engine function and wraps the output."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import folder_paths
from comfy.cli_args import args
from comfy_api.latest import io

from ..diffusion_soup import ModelFile, Recipe, RecipeError, cook_to_file, graph, prepare, read_recipe
from ..diffusion_soup.blocks import DIALECTS
from ..diffusion_soup.dmm.student import soup_codebook
from ..diffusion_soup.errors import shown
from ..diffusion_soup.methods import METHODS
from ..diffusion_soup.presets import house_presets
from ..diffusion_soup.recipe import DTYPES
from . import bridge, compat, log, styling
from .compat import advanced, named
from .embed import embed_cooked
from .pantry import cooked, pantry

CATEGORY = "diffusion soup"
_SHARE = dict(default=1.0, min=-10.0, max=10.0, step=0.05)
_METHODS = tuple(METHODS.values())
_ELEMENTS = ("Weights for single kinds of layers, one row each: blocks:elements:ratio, for example "
             "\"IN01-IN05:attn1:0.3\". A row replaces the share where it matches; the last matching row counts.")


def _weights_and_chain() -> list[Any]:
    """The inputs that every kind of ingredient has."""
    return [
        compat.BlockWeights.Input("block_weights", optional=True,
                                  tooltip="Other shares in single blocks of the model."),
        advanced(io.String, "elements", default="", multiline=True, optional=True, tooltip=_ELEMENTS),
        compat.Ingredients.Input("ingredients", optional=True, tooltip="The ingredients before this one."),
    ]


class DSoupIngredient(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupIngredient", display_name="Soup Ingredient (checkpoint)", category=CATEGORY,
            description="A specialist checkpoint and its share of the soup. Chain as many as you like; they are read "
                        "from disk while cooking and never loaded whole.",
            inputs=[
                io.Combo.Input("file", options=bridge.checkpoint_files(),
                               tooltip="A fine-tuned checkpoint, or a UNet file, of the same family as the others."),
                io.Float.Input("share", **_SHARE,
                               tooltip="Share of this ingredient. Shares are scaled to sum to 100% where the soup is "
                                       "normalised: 1, 1, 2 means 25%, 25%, 50%. 0 leaves it out."),
                *_weights_and_chain(),
            ],
            outputs=[named(compat.Ingredients, "INGREDIENTS", "All ingredients up to this one.")])

    @classmethod
    def fingerprint_inputs(cls, file: str = "", **rest: Any) -> str:
        return bridge.stamp(file)

    @classmethod
    def execute(cls, file: str, share: float, block_weights: Any = None, elements: str = "",
                ingredients: graph.Ingredients = ()) -> io.NodeOutput:
        return io.NodeOutput(graph.ingredient(file, share, block_weights, elements, ingredients))


class DSoupLoRAIngredient(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupLoRAIngredient", display_name="Soup Ingredient (LoRA)", category=CATEGORY,
            description="A LoRA as a specialist of the soup's base: the base with the LoRA applied at its strength is "
                        "one ingredient. Needs a base on Cook Soup.",
            inputs=[
                io.Combo.Input("file", options=bridge.lora_files(), tooltip="A LoRA or LoCon made for the base."),
                io.Float.Input("share", **_SHARE, tooltip="Share of this ingredient in the soup, like a checkpoint's."),
                io.Float.Input("strength", default=1.0, min=-10.0, max=10.0, step=0.05,
                               tooltip="Strength of the LoRA on the base, before it is shared out."),
                *_weights_and_chain(),
            ],
            outputs=[named(compat.Ingredients, "INGREDIENTS", "All ingredients up to this one.")])

    @classmethod
    def fingerprint_inputs(cls, file: str = "", **rest: Any) -> str:
        return bridge.stamp(file, "lora")

    @classmethod
    def execute(cls, file: str, share: float, strength: float, block_weights: Any = None, elements: str = "",
                ingredients: graph.Ingredients = ()) -> io.NodeOutput:
        return io.NodeOutput(graph.lora_ingredient(file, share, strength, block_weights, elements, ingredients))


def _block_slider(name: str) -> Any:
    return advanced(io.Float, name, default=1.0, min=-10.0, max=10.0, step=0.05, optional=True,
                    tooltip=f"Block {name}: 1 leaves the share as it is (or is the share itself, see meaning).")


class DSoupBlockWeights(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        names = ["BASE", *(f"IN{n:02}" for n in range(12)), "M00", *(f"OUT{n:02}" for n in range(12)), "TIME", "FINAL"]
        return io.Schema(
            node_id="DSoupBlockWeights", display_name="Soup Block Weights", category=CATEGORY,
            description="Other shares in single blocks: IN is the way down (composition), M00 the middle, OUT the "
                        "way up (details), BASE the text encoder, TIME and FINAL the ends. By text, preset or sliders.",
            inputs=[
                io.Combo.Input("family", options=list(graph.FAMILIES), tooltip="Which blocks there are."),
                io.Combo.Input("meaning", options=[graph.TIMES, graph.INSTEAD],
                               tooltip="Whether the numbers multiply the ingredient's share or replace it."),
                io.Combo.Input("preset", options=[graph.NONE, *house_presets("sd1")],
                               tooltip="Weights to start from; used unless there is text."),
                io.String.Input("mbw", default="", multiline=True,
                                tooltip="26 numbers (SD 1 and 2) or 20 (SDXL), or NAME=weight pairs for any family. "
                                        "Used instead of preset and sliders if not empty."),
                io.Combo.Input("dialect", options=list(DIALECTS),
                               tooltip="Tool the numbers come from; tools put TIME and FINAL into different blocks."),
                *map(_block_slider, names),
            ],
            outputs=[named(compat.BlockWeights, "BLOCK_WEIGHTS", "Connect to an ingredient.")])

    @classmethod
    def execute(cls, family: str, meaning: str, preset: str, mbw: str, dialect: str, **sliders: float) -> io.NodeOutput:
        return io.NodeOutput(graph.block_weights(family, meaning, preset, mbw, dialect, **sliders))


class DSoupCook(io.ComfyNode):
    def __init__(self) -> None:
        super().__init__()
        self.pantry = pantry().held_by(self)  # see pantry.py: what is kept lives as long as node instances do

    @classmethod
    def define_schema(cls) -> io.Schema:
        files = bridge.checkpoint_files()
        return io.Schema(
            node_id="DSoupCook", display_name="Cook Soup", category=CATEGORY,
            description="Average all ingredients in one streamed pass into an ordinary MODEL, CLIP and VAE. Takes the "
                        "memory of one model, however many ingredients there are.",
            inputs=[
                compat.Ingredients.Input("ingredients", optional=True, tooltip="The chain of ingredients to cook."),
                compat.Recipe.Input("recipe", optional=True,
                                    tooltip="A recipe to cook instead of ingredients. It decides everything; the "
                                            "settings below are not used then."),
                io.Combo.Input("method", options=list(METHODS),
                               tooltip="; ".join(f"{row.name}: {row.title}, {row.formula}" for row in _METHODS)),
                io.Boolean.Input("normalise", default=True, tooltip="Scale the shares in each block to sum to 100%."),
                io.Combo.Input("base", options=[graph.NONE, *files],
                               tooltip="The pretrained model the ingredients were fine-tuned from. Needed for LoRAs "
                                       "and task arithmetic."),
                io.Combo.Input("text_encoder", options=["soup", "base", "none", *files],
                               tooltip="Average the text encoders, or take one from the base or an ingredient."),
                io.Combo.Input("vae", options=[graph.AUTO, "soup", "base", "none", *files],
                               tooltip="auto: from the base, or else the ingredient with the largest share. VAEs are "
                                       "better taken whole than averaged."),
                io.Combo.Input("dtype", options=[graph.AUTO, *DTYPES],
                               tooltip="auto keeps the ingredients' dtype where they agree, else float16."),
                advanced(io.Float, "scale", default=1.0, min=-10.0, max=10.0, step=0.05, optional=True,
                         tooltip="λ of task arithmetic: how far to go from the base."),
                advanced(io.Int, "rounding_seed", default=0, min=0, max=2**32 - 1, optional=True,
                         tooltip="Seed of the stochastic rounding to float8."),
                advanced(io.Combo, "device", options=["auto", "cpu", "cuda"], optional=True,
                         tooltip="Where sums are taken; auto is the CPU, which is as fast as the disk."),
            ],
            outputs=[io.Model.Output("MODEL", tooltip="The soup: an ordinary model to everything after it."),
                     io.Clip.Output("CLIP", tooltip="Its text encoder."),
                     io.Vae.Output("VAE", tooltip="Its VAE."),
                     named(compat.Recipe, "RECIPE", "What was cooked, with the hash of every file."),
                     named(compat.Styles, "STYLES", "The styles, if a DMM student is among the ingredients.")],
            hidden=[io.Hidden.extra_pnginfo])  # not unique_id: it would make the node's number part of the cache key

    @classmethod
    def fingerprint_inputs(cls, base: str = graph.NONE, **rest: Any) -> str:
        return "" if base == graph.NONE else bridge.stamp(base)

    @classmethod
    def execute(cls, device: str = "auto", **inputs: Any) -> io.NodeOutput:
        node_id, start = bridge.executing_node(), time.perf_counter()
        with bridge.interruptible():
            plan = prepare(graph.cook(**inputs), bridge.model_folders(), bridge.NodeProgress())
            try:
                soup = cooked(plan, node_id, _device(device))
                codebook = soup_codebook(plan)
            finally:
                plan.close()
        embed_cooked(cls.hidden.extra_pnginfo, node_id, plan.recipe)
        log.record(plan.recipe, time.perf_counter() - start, (soup.cooked, len(plan.steps)), soup.notes)
        model = soup.model if codebook is None else styling.listening(soup.model, codebook)
        return io.NodeOutput(model, soup.clip, soup.vae, plan.recipe, codebook,
                             ui={"diffusion_soup": [{"hash": plan.recipe.hash, "notes": list(soup.notes)}]})


def _device(choice: str) -> str:
    return "cpu" if choice == "auto" else choice


class DSoupRecipe(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        files = folder_paths.filter_files_content_types(_input_files(), ["image"])
        return io.Schema(
            node_id="DSoupRecipe", display_name="Soup Recipe", category=CATEGORY,
            description="Read a recipe from text, a picture or a saved soup, or show a recipe as text.",
            inputs=[
                compat.Recipe.Input("recipe", optional=True, tooltip="A recipe to show; used before the rest."),
                io.String.Input("json", default="", multiline=True, optional=True,
                                tooltip="A recipe as text; used unless a recipe is connected."),
                io.Combo.Input("picture", options=[graph.NONE, *sorted(files)], upload=io.UploadType.image,
                               image_folder=io.FolderType.input, optional=True,
                               tooltip="A picture made with a soup: its recipe is read from the file."),
                io.Combo.Input("soup", options=[graph.NONE, *bridge.checkpoint_files()], optional=True,
                               tooltip="A checkpoint saved by Save Soup: its recipe is read from the file."),
            ],
            outputs=[named(compat.Recipe, "RECIPE", "Connect to Cook Soup, or add and remove ingredients."),
                     named(compat.Ingredients, "INGREDIENTS", "Its ingredients, to chain more onto."),
                     named(io.String, "JSON", "The recipe as text.")])

    @classmethod
    def validate_inputs(cls, picture: str = graph.NONE, **rest: Any) -> bool | str:
        if picture and picture != graph.NONE and not folder_paths.exists_annotated_filepath(picture):
            return f"The picture {picture!r} is not in the input folder; upload it again."
        return True

    @classmethod
    def fingerprint_inputs(cls, json: str = "", picture: str = graph.NONE, soup: str = graph.NONE, **rest: Any) -> str:
        try:
            recipe = _read(json, picture, soup)
        except Exception:  # said in words when the node runs
            return f"{json}|{picture}|{soup}"
        files = [*recipe.ingredients, *([recipe.base] if recipe.base else [])]
        return "|".join([recipe.hash, *(bridge.stamp(each.file, each.kind) for each in files)])

    @classmethod
    def execute(cls, recipe: Recipe | None = None, json: str = "", picture: str = graph.NONE,
                soup: str = graph.NONE) -> io.NodeOutput:
        found = recipe if recipe is not None else _read(json, picture, soup)
        return io.NodeOutput(found, found.ingredients, found.to_json())


def _input_files() -> list[str]:
    folder = Path(folder_paths.get_input_directory())
    return [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


def _picture_file(picture: str) -> Path:
    """The file of a picture, which must lie in one of ComfyUI's own folders."""
    path = Path(folder_paths.get_annotated_filepath(picture)).resolve()
    folders = (folder_paths.get_input_directory(), folder_paths.get_output_directory(),
               folder_paths.get_temp_directory())
    if not any(path.is_relative_to(Path(folder).resolve()) for folder in folders):
        raise RecipeError(f"The picture {shown(picture)} is not in ComfyUI's input folder; upload it.")
    return path


def read_widgets(picture: str, soup: str) -> Recipe:
    """The recipe that the widgets of Soup Recipe name. Raises :class:`SoupError`."""
    return _read("", picture, soup)


def _read(text: str, picture: str, soup: str) -> Recipe:
    if text and text.strip():
        return Recipe.from_json(text)
    if picture and picture != graph.NONE:
        return read_recipe(_picture_file(picture))
    if soup and soup != graph.NONE:
        return read_recipe(bridge.model_folders().find(ModelFile(soup)))
    raise RecipeError("Soup Recipe has nothing to read: connect a recipe, paste one, or choose a picture or a saved "
                      "soup.")


class DSoupAdd(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupAdd", display_name="Add to Soup", category=CATEGORY,
            description="Continual learning: one more specialist in a recipe, without training.",
            inputs=[compat.Recipe.Input("recipe", tooltip="The soup as it is."),
                    compat.Ingredients.Input("ingredients", tooltip="What to add; every ingredient of the chain.")],
            outputs=[named(compat.Recipe, "RECIPE", "The soup with the new ingredients.")])

    @classmethod
    def execute(cls, recipe: Recipe, ingredients: graph.Ingredients) -> io.NodeOutput:
        return io.NodeOutput(graph.add(recipe, ingredients))


class DSoupRemove(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupRemove", display_name="Remove from Soup", category=CATEGORY,
            description="Unlearning: a recipe without one specialist. The result equals, bit for bit, a soup that "
                        "never had it. It forgets that specialist's data only if no other ingredient saw them.",
            inputs=[compat.Recipe.Input("recipe", tooltip="The soup as it is."),
                    io.String.Input("name", default="", tooltip="File name of the ingredient, with or without folder "
                                                                "and suffix.")],
            outputs=[named(compat.Recipe, "RECIPE", "The soup without it.")])

    @classmethod
    def execute(cls, recipe: Recipe, name: str) -> io.NodeOutput:
        return io.NodeOutput(graph.remove(recipe, name))


class DSoupSave(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupSave", display_name="Save Soup", category=CATEGORY, is_output_node=True,
            description="Cook a recipe straight into a safetensors file, which gives the same pictures as the MODEL. "
                        "It is recomputed from the ingredients, needs almost no memory, and carries its recipe.",
            inputs=[compat.Recipe.Input("recipe", tooltip="From Cook Soup."),
                    io.String.Input("filename_prefix", default="checkpoints/soup",
                                    tooltip="Where below the output folder; a number is appended."),
                    io.Model.Input("model", optional=True,
                                   tooltip="The soup's MODEL: saving is refused if LoRAs were put on top of it, which "
                                           "the recipe does not hold.")],
            outputs=[named(io.String, "PATH", "The file that was written.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo])

    @classmethod
    def execute(cls, recipe: Recipe, filename_prefix: str, model: Any = None) -> io.NodeOutput:
        if model is not None and bridge.has_other_patches(model):
            raise RecipeError("This MODEL has LoRAs or other patches on top of the soup, which its recipe does not "
                              "hold. Save it with CheckpointSave, or make the LoRAs ingredients.")
        folder, name, counter, _, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory())
        path = Path(folder) / f"{name}_{counter:05}_.safetensors"
        with bridge.interruptible():
            _, notes = cook_to_file(recipe, bridge.model_folders(), path, progress=bridge.NodeProgress(),
                                    metadata=cls._workflow())
        return io.NodeOutput(str(path), ui={"text": [str(path), *notes]})

    @classmethod
    def _workflow(cls) -> dict[str, str]:
        """The graph, as CheckpointSave embeds it; the recipe's own entry stays the soup's."""
        if args.disable_metadata:
            return {}
        extra = cls.hidden.extra_pnginfo
        entries = {"prompt": cls.hidden.prompt, **(extra if isinstance(extra, dict) else {})}
        return {name: json.dumps(value) for name, value in entries.items()
                if value is not None and name != "diffusion_soup"}


NODES: list[type[io.ComfyNode]] = [
    DSoupIngredient, DSoupLoRAIngredient, DSoupBlockWeights, DSoupCook, DSoupRecipe, DSoupAdd, DSoupRemove, DSoupSave]
