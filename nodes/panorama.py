"""The panorama nodes: a canvas, its regions, and the MODEL that samples them."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io, ui

from ..diffusion_soup.errors import RecipeError
from ..diffusion_soup.panorama import GRID, KINDS, Canvas, CoverageError, Region, grid
from ..diffusion_soup.panorama.canvas import CONSTANT, GAUSSIAN, LARGEST, SMALLEST
from ..diffusion_soup.panorama.colours import read_colours
from . import bridge, compat, drawing
from .compat import advanced, named
from .regions import Part, Regions, assemble, encoded, report, tiled

CATEGORY = "diffusion soup/panorama"
_KIND = ("How much the region counts from its middle to its edges. gaussian: strong in the middle, with a quick change "
         "from one region to the next, as in Mixture of Diffusers; quartic: a slower change; constant: the same "
         "everywhere, as in MultiDiffusion; feathered box: constant with ramps at the edges.")


def _size(name: str, default: int, tooltip: str, **options: Any) -> Any:
    return io.Int.Input(name, default=default, **{"min": SMALLEST, "max": LARGEST, "step": GRID, **options},
                        tooltip=tooltip)


def _tiles() -> list[Any]:
    """How large tiles are."""
    sizes = dict(min=0, max=LARGEST, step=GRID, optional=True)
    return [
        advanced(io.Int, "tile_width", default=1024, **sizes,
                 tooltip="Regions wider than this are cut into tiles, in pixels. 0: never; the UNet then sees a region "
                         "in one piece."),
        advanced(io.Int, "tile_height", default=1024, **sizes,
                 tooltip="Regions higher than this are cut into tiles. 0: never."),
        advanced(io.Int, "overlap_x", default=256, **sizes,
                 tooltip="By how many pixels tiles side by side overlap at least."),
        advanced(io.Int, "overlap_y", default=256, **sizes,
                 tooltip="By how many pixels tiles one below the other overlap at least."),
    ]


def _at_once() -> Any:
    return advanced(io.Int, "tiles_at_once", default=0, min=0, max=1024, optional=True,
                    tooltip="Tiles in one batch. 0: as many as free memory allows.")


def _counting(kind: str = GAUSSIAN) -> list[Any]:
    """How much a region counts, and when."""
    return [io.Combo.Input("weights", options=list(KINDS), default=kind, tooltip=_KIND),
            io.Float.Input("mask_weight", default=1.0, min=0.001, max=1000.0, step=0.05,
                           tooltip="How much the region counts where others overlap it: 2 is twice as much."),
            advanced(io.Int, "feather", default=64, min=0, max=LARGEST, step=GRID, optional=True,
                     tooltip="Width of the ramps of a feathered box, in pixels."),
            advanced(io.Float, "cfg", default=0.0, min=0.0, max=100.0, step=0.1, optional=True,
                     tooltip="Guidance of this region alone. 0: the sampler's."),
            advanced(io.Float, "start", default=0.0, min=0.0, max=1.0, step=0.01, optional=True,
                     tooltip="Share of the sampling after which the region begins to count; 0 is the start."),
            advanced(io.Float, "end", default=1.0, min=0.0, max=1.0, step=0.01, optional=True,
                     tooltip="Share of the sampling after which it no longer counts; 1 is the end.")]


def _own() -> list[Any]:
    """What a region may have of its own."""
    return [io.Conditioning.Input("negative", optional=True,
                                  tooltip="Negative prompt of this region; without, Panorama's."),
            compat.Style.Input("style", optional=True, tooltip="A DMM style for this region."),
            io.Model.Input("model", optional=True,
                           tooltip="A model for this region: a soup, another checkpoint, or the same with other LoRAs. "
                                   "Without, Panorama's.")]


_REGIONS = compat.Regions.Input("regions", tooltip="The canvas, and the regions before this one.")


class DSoupCanvas(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupCanvas", display_name="Canvas", category=CATEGORY,
            description="The canvas of a panorama. Put regions on it, then connect them to Panorama.",
            inputs=[
                _size("width", 2048, "Width of the whole picture in pixels."),
                _size("height", 512, "Height of the whole picture in pixels."),
                io.Boolean.Input("wrap", default=False,
                                 tooltip="All around (360°): the right edge meets the left one. Regions may reach past "
                                         "the right edge. Decode with VAE Decode (wrap)."),
                io.Int.Input("batch_size", default=1, min=1, max=64, tooltip="How many pictures at once."), *_tiles()],
            outputs=[named(compat.Regions, "REGIONS", "To Region, Region Grid or Regions from Mask.")])

    @classmethod
    def execute(cls, width: int, height: int, wrap: bool, batch_size: int, tile_width: int = 1024,
                tile_height: int = 1024, overlap_x: int = 256, overlap_y: int = 256) -> io.NodeOutput:
        return io.NodeOutput(Regions(Canvas(width, height, wrap, tile_width, tile_height, overlap_x, overlap_y),
                                     batch_size))


class DSoupRegion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        place = dict(min=-LARGEST, max=LARGEST, step=GRID)
        return io.Schema(
            node_id="DSoupRegion", display_name="Region", category=CATEGORY,
            description="A rectangle of the canvas with a prompt of its own, and if you like a style, a model, a "
                        "ControlNet, a mask or a picture of its own. Where regions overlap they mix by their weights; "
                        "later ones do not hide earlier ones.",
            inputs=[
                _REGIONS,
                io.Conditioning.Input("positive", optional=True,
                                      tooltip="What to paint here. May be left out for a picture alone."),
                *_own(),
                io.String.Input("name", default="", tooltip="A name, for messages and the plan."),
                io.Int.Input("x", default=0, **place, tooltip="Left edge in pixels; snapped to the grid of 8."),
                io.Int.Input("y", default=0, **place, tooltip="Upper edge in pixels; snapped to the grid of 8."),
                _size("width", 640, "Width in pixels; 512 to 768 suit SD 1.5, about 1024 SDXL."),
                _size("height", 512, "Height in pixels."),
                *_counting(),
                advanced(io.Int, "noise_seed", default=-1, min=-1, max=2**63 - 1, optional=True,
                         control_after_generate=False,  # else the editor changes it after every run, from -1 as well
                         tooltip="Seed of noise for this region alone, to keep its content while others change. "
                                 "-1: the sampler's noise."),
                io.Mask.Input("mask", optional=True,
                              tooltip="Where in its rectangle the region counts; laid over the whole canvas."),
                io.Image.Input("picture", optional=True,
                               tooltip="A picture that holds this place until a share of the sampling; cropped to the "
                                       "region. Needs vae."),
                io.Vae.Input("vae", optional=True, tooltip="Encodes the picture."),
                advanced(io.Float, "hold", default=0.4, min=0.0, max=1.0, step=0.01, optional=True,
                         tooltip="Until which share of the sampling the picture holds its place; then the prompts "
                                 "change it. 1: to the end."),
            ],
            outputs=[named(compat.Regions, "REGIONS", "All regions up to this one.")])

    @classmethod
    def execute(cls, regions: Regions, name: str, x: int, y: int, width: int, height: int, weights: str,
                mask_weight: float, positive: Any = None, negative: Any = None, style: Any = None, model: Any = None,
                feather: int = 64, cfg: float = 0.0, start: float = 0.0, end: float = 1.0, noise_seed: int = -1,
                mask: Any = None, picture: Any = None, vae: Any = None, hold: float = 0.4) -> io.NodeOutput:
        region = Region(regions.named(name), x, y, width, height, weights, mask_weight, feather, start, end,
                        cfg or None, None if noise_seed < 0 else noise_seed, 0.0 if picture is None else hold,
                        positive is not None)
        if positive is None and picture is None:
            raise RecipeError(f"{region} has neither a prompt nor a picture; connect positive, or picture and vae.")
        if picture is not None and vae is None:
            raise RecipeError(f"{region} has a picture but no VAE to encode it; connect vae.")
        regions.plus(Part(region))  # before a picture is encoded
        latents = None if picture is None else encoded(regions.canvas, region, picture, vae)
        return io.NodeOutput(regions.plus(Part(region, positive, negative, style, model, mask, latents)))


class DSoupRegionGrid(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupRegionGrid", display_name="Region Grid", category=CATEGORY,
            description="Rows and columns of regions that overlap, a prompt for each in one text box.",
            inputs=[
                _REGIONS,
                io.Clip.Input("clip", tooltip="Encodes the prompts."),
                io.String.Input("prompts", default="", multiline=True,
                                tooltip="One line a cell, in reading order. A single line counts for all cells."),
                io.String.Input("everywhere", default="", multiline=True,
                                tooltip="Text that is added to every prompt: the style, the light."),
                io.Int.Input("rows", default=1, min=1, max=64, tooltip="Cells one below the other."),
                io.Int.Input("columns", default=3, min=1, max=64, tooltip="Cells side by side."),
                _size("grid_overlap_x", 128, "By how many pixels cells side by side overlap.", min=0),
                _size("grid_overlap_y", 128, "By how many pixels cells one below the other overlap.", min=0),
                *_counting(), *_own(),
            ],
            outputs=[named(compat.Regions, "REGIONS", "All regions up to these.")])

    @classmethod
    def execute(cls, regions: Regions, clip: Any, prompts: str, everywhere: str, rows: int, columns: int,
                grid_overlap_x: int, grid_overlap_y: int, weights: str, mask_weight: float, feather: int = 64,
                cfg: float = 0.0, start: float = 0.0, end: float = 1.0, negative: Any = None, style: Any = None,
                model: Any = None) -> io.NodeOutput:
        lines = [line.strip() for line in prompts.strip().splitlines()]
        lines = lines * rows * columns if len(lines) == 1 else lines
        if len(lines) != rows * columns:
            raise RecipeError(f"Region Grid has {rows} x {columns} = {rows * columns} cells, but {len(lines)} lines of "
                              "prompts; write one line for each cell, or a single one for all.")
        parts = []
        for line, rectangle in zip(lines, grid(regions.canvas, rows, columns, grid_overlap_x, grid_overlap_y)):
            region = Region(_short(line) or f"cell {len(parts) + 1}", *rectangle, weights, mask_weight, feather, start,
                            end, cfg or None)
            parts.append(Part(region, _text(clip, line, everywhere), negative, style, model))
        return io.NodeOutput(regions.plus(*parts))


class DSoupRegionsFromMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupRegionsFromMask", display_name="Regions from Mask", category=CATEGORY,
            description="Regions from a picture in which every colour is one: paint where things are to be, and give "
                        "each colour a prompt.",
            inputs=[
                _REGIONS,
                io.Image.Input("image", tooltip="The painted picture; it is laid over the whole canvas."),
                io.Clip.Input("clip", tooltip="Encodes the prompts."),
                io.String.Input("prompts", default="", multiline=True,
                                tooltip="One line a colour: \"red: a castle\" or \"#2040ff: the sea\". Colours "
                                        "without a line are left to other regions."),
                io.String.Input("everywhere", default="", multiline=True,
                                tooltip="Text that is added to every prompt."),
                _size("margin", 128, "By how many pixels a region's rectangle is larger than its colour on each side, "
                      "so that the UNet sees what is around.", min=0),
                _size("soft", 64, "Over how many pixels a region fades out beyond its colour.", min=0),
                *_counting(CONSTANT), *_own(),
            ],
            outputs=[named(compat.Regions, "REGIONS", "All regions up to these.")])

    @classmethod
    def execute(cls, regions: Regions, image: torch.Tensor, clip: Any, prompts: str, everywhere: str, margin: int,
                soft: int, weights: str, mask_weight: float, feather: int = 64, cfg: float = 0.0, start: float = 0.0,
                end: float = 1.0, negative: Any = None, style: Any = None, model: Any = None) -> io.NodeOutput:
        parts = []
        for patch in read_colours(regions.canvas, image[0], prompts, margin, soft):
            region = Region(patch.colour, *patch.rectangle, weights, mask_weight, feather, start, end, cfg or None)
            prompt = _text(clip, patch.prompt, everywhere)
            parts.append(Part(region, prompt, negative, style, model, patch.mask[None]))
        return io.NodeOutput(regions.plus(*parts))


class DSoupPanorama(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupPanorama", display_name="Panorama", category=CATEGORY,
            description="Everything a sampler needs to paint all regions as one picture (Mixture of Diffusers). "
                        "Works with any sampler, scheduler and guider; ControlNets, masks and hooks on the prompts are "
                        "cut to the tiles. Shows its plan.",
            inputs=[
                io.Model.Input("model", tooltip="The model of all regions that have none of their own."),
                compat.Regions.Input("regions", tooltip="From Region, Region Grid or Regions from Mask."),
                io.Conditioning.Input("negative", optional=True,
                                      tooltip="Negative prompt of all regions that have none of their own."),
                _at_once()],
            outputs=[io.Model.Output("MODEL", tooltip="The model, prepared for this canvas: to the sampler."),
                     named(io.Conditioning, "POSITIVE", "The prompts of all regions: to the sampler."),
                     named(io.Conditioning, "NEGATIVE", "The negative prompts of all regions: to the sampler."),
                     io.Latent.Output("LATENT", tooltip="An empty latent of the canvas's size: to the sampler."),
                     named(io.Image, "PLAN", "The plan as a picture: regions in colours, and where they mix."),
                     named(io.String, "REPORT", "Sizes, tiles, and what was snapped to the grid, as text.")],
            hidden=[io.Hidden.unique_id])

    @classmethod
    def execute(cls, model: Any, regions: Regions, negative: Any = None, tiles_at_once: int = 0) -> io.NodeOutput:
        try:
            made, positive, against, latents, layout = assemble(model, regions, negative, tiles_at_once)
        except CoverageError as error:
            picture = drawing.hole(regions.canvas, [part.region for part in regions.parts], error.hole)
            raise RecipeError(f"{error} {bridge.show(cls, picture)}") from None
        plan = drawing.plan(layout)
        return io.NodeOutput(made, positive, against, {"samples": latents}, plan, report(layout, regions),
                             ui=ui.PreviewImage(plan, cls=cls))


class DSoupPanoramaTile(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupPanoramaTile", display_name="Panorama Tiles", category=CATEGORY,
            description="Cut a large latent into tiles with the prompts you already have, to upscale beyond what the "
                        "model knows. ControlNets and masks are cut with it.",
            inputs=[
                io.Model.Input("model", tooltip="The model to sample with."), *_tiles(),
                advanced(io.Boolean, "wrap", default=False, optional=True,
                         tooltip="The right edge meets the left one (360°)."),
                _at_once()],
            outputs=[io.Model.Output("MODEL", tooltip="Samples any latent tile by tile.")])

    @classmethod
    def execute(cls, model: Any, tile_width: int = 1024, tile_height: int = 1024, overlap_x: int = 256,
                overlap_y: int = 256, wrap: bool = False, tiles_at_once: int = 0) -> io.NodeOutput:
        tiles = Canvas(SMALLEST, SMALLEST, wrap, tile_width, tile_height, overlap_x, overlap_y)
        return io.NodeOutput(tiled(model, tiles, tiles_at_once))


class DSoupVAEDecodeWrap(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupVAEDecodeWrap", display_name="VAE Decode (wrap)", category=CATEGORY,
            description="Decode a picture that goes all around: no seam where its right edge meets its left one.",
            inputs=[io.Latent.Input("samples", tooltip="The latent of a canvas with wrap."),
                    io.Vae.Input("vae", tooltip="Turns latents into pictures."),
                    advanced(io.Int, "padding", default=16, min=8, max=128, optional=True,
                             tooltip="Latents repeated beyond each end while decoding. More if a seam shows.")],
            outputs=[io.Image.Output("IMAGE", tooltip="The picture; its ends fit together.")])

    @classmethod
    def execute(cls, samples: dict[str, Any], vae: Any, padding: int = 16) -> io.NodeOutput:
        latents = samples["samples"]
        wide = latents[..., torch.arange(-padding, latents.shape[-1] + padding) % latents.shape[-1]]
        image = vae.decode(wide)
        scale = image.shape[-2] // wide.shape[-1]
        return io.NodeOutput(image[..., padding * scale:-padding * scale, :])


def _text(clip: Any, prompt: str, everywhere: str) -> Any:
    """CONDITIONING of a prompt and the text for all prompts."""
    text = ", ".join(filter(None, (part.strip(" ,\n") for part in (prompt, everywhere))))
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def _short(prompt: str) -> str:
    """A prompt's beginning, as a name."""
    return prompt if len(prompt) <= 24 else prompt[:23].rstrip(" ,") + "…"


NODES: list[type[io.ComfyNode]] = [
    DSoupCanvas, DSoupRegion, DSoupRegionGrid, DSoupRegionsFromMask, DSoupPanorama, DSoupPanoramaTile,
    DSoupVAEDecodeWrap]
