"""Tiles whose conditionings fit, stacked on the batch axis.

A stack is made once for all steps in which the same conditionings count: texts, hints and masks of its tiles are cut,
encoded and joined here, so that a step only cuts x.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import comfy.conds
import comfy.model_base
import comfy.model_management
import comfy.samplers
import comfy.utils
import torch

from ..diffusion_soup.panorama import GRID, Box, Layout, crop
from . import hints, styling
from .region_models import Own

KEY = "diffusion_soup_panorama"  # in conditionings, model conds, model options, wrappers, attachments
_REMEMBERED = 8  # different lists of conditionings whose stacks are kept
_SIZES = ("width", "height", "crop_w", "crop_h", "target_width", "target_height")

Cond = dict[str, Any]
#: For each list of conditionings, those that count in a tile; None where there is no list.
Column = list[list[Cond] | None]


@dataclass
class Stack:
    """Tiles that are evaluated at once, with all they need in every step.

    conds: for each list, what ComfyUI gets; sources: the conditionings of the tiles behind each of them.
    """

    tiles: list[int]
    own: Own | None
    conds: list[list[Cond] | None]
    sources: list[list[list[Cond]]]
    patches: dict[int, Any] = field(default_factory=dict)


class Stacks:
    """Stacks of one sampling.

    ``owns``: region -> its own model. ``at_once``: how many tiles in a stack; 0: as many as memory allows.
    ``encoding``: what ComfyUI encodes conditionings with, beside the noise.
    """

    def __init__(self, layout: Layout, owns: Mapping[int, Own], at_once: int, noise: torch.Tensor,
                 encoding: Mapping[str, Any]) -> None:
        self.layout, self.owns, self.at_once = layout, owns, at_once
        self._noise, self._encoding = noise, encoding
        self._stacks: OrderedDict[Any, tuple[list[Stack], Any]] = OrderedDict()
        self._encoded: dict[tuple[int, int], tuple[Cond, Cond]] = {}
        self._controls: dict[tuple[int, int], Any] = {}

    def of(self, model: Any, lists: list[Any], roles: list[str], tiles: Mapping[int, Any], x: torch.Tensor,
           sigma: torch.Tensor, extra: int | None, ratios: Mapping[int, float]) -> list[Stack]:
        """The stacks of tiles for these lists, made once for all steps in which the same conditionings count.

        The list number ``extra`` is for the tiles in ``ratios`` alone.
        """
        counting = tuple(tuple(_counts(cond, sigma) for cond in group or ()) for group in lists)
        key = (tuple(map(id, lists)), tuple(tiles), counting, tuple(ratios) if extra is not None else ())
        if key not in self._stacks:
            columns = {index: [None if group is None else [] if number == extra and index not in ratios else
                               [cond for cond, counts in zip(group, flags) if counts and self._in(cond, index)]
                               for number, (group, flags) in enumerate(zip(lists, counting))] for index in tiles}
            self._stacks[key] = self._grouped(model, columns, roles, x), lists  # lists too: their ids stay theirs
            if len(self._stacks) > _REMEMBERED:
                self._stacks.popitem(last=False)
        return self._stacks[key][0]

    def _in(self, cond: Cond, tile: int) -> bool:
        mark = cond.get(KEY)
        return mark is None or mark[1] == self.layout.tiles[tile].region

    def _grouped(self, model: Any, columns: Mapping[int, Column], roles: Sequence[str], x: torch.Tensor
                 ) -> list[Stack]:
        """Tiles whose shapes and conditionings fit share a stack, as many as memory allows."""
        groups: list[list[int]] = []
        own = {index: self.owns.get(self.layout.tiles[index].region) for index in columns}
        for index in columns:
            def fits(group: list[int], index: int = index) -> bool:
                first, box, other = group[0], self.layout.tiles[index].box, self.layout.tiles[group[0]].box
                return own[index] is own[first] and (box.width, box.height) == (other.width, other.height) and \
                    all(_fit(one, other) for one, other in zip(columns[index], columns[first]))

            group = next(filter(fits, groups), None)
            groups.append([index]) if group is None else group.append(index)
        stacks: list[Stack] = []
        for group in groups:
            mine = model if own[group[0]] is None else own[group[0]].patcher.model
            prepared = {index: [conds and [self._placed(mine, own[index], cond, index, role) for cond in conds]
                                for conds, role in zip(columns[index], roles)] for index in group}
            count = self._at_once(mine, [prepared[index] for index in group], group[0], x)
            size = -(-len(group) // -(-len(group) // count))  # as few stacks as that allows, of one size
            for start in range(0, len(group), size):
                indices = group[start:start + size]
                stacks.append(self._stack(indices, own[indices[0]], [columns[index] for index in indices],
                                          [prepared[index] for index in indices], len(x)))
        return stacks

    def _stack(self, tiles: list[int], own: Any, columns: list[Column], prepared: list[Column], batch: int) -> Stack:
        conds: list[list[Cond] | None] = []
        sources: list[list[list[Cond]]] = []
        controls: dict[tuple[int, ...], Any] = {}
        for number, group in enumerate(prepared[0]):
            slots = range(len(group or ()))
            sources.append([[column[number][slot] for column in columns] for slot in slots])
            conds.append(None if group is None else [
                self._joined([column[number][slot] for column in prepared], tiles, batch, controls) for slot in slots])
        return Stack(tiles, own, conds, sources)

    def _joined(self, conds: Sequence[Cond], tiles: Sequence[int], batch: int, controls: dict[tuple[int, ...], Any]
                ) -> Cond:
        """One conditioning for a stack: the rows of its tiles' one after the other."""
        first, alone = conds[0], len(conds) == 1
        joined = {**first, "uuid": first["uuid"] if alone else uuid.uuid4()}
        boxes = [self.layout.tiles[index].box for index in tiles]
        # Styles are read in every step, by ``styling``; one that is left here stops a MODEL that takes none in words.
        joined["model_conds"] = next(({styling.KEY: cond["model_conds"][styling.KEY]} for cond in conds
                                      if styling.KEY in cond["model_conds"]), {})
        for key in first["model_conds"].keys() - {styling.KEY}:
            parts = [_cut(cond["model_conds"][key], box) for cond, box in zip(conds, boxes)]
            if not alone:
                parts = [part.process_cond(batch_size=batch, area=None) for part in parts]
            joined["model_conds"][key] = parts[0] if alone else parts[0]._copy_with(parts[0].concat(parts[1:]))
        if "mask" in first:
            masks = [crop(cond["mask"], box) for cond, box in zip(conds, boxes)]
            joined["mask"] = masks[0] if alone else torch.cat(
                [comfy.utils.repeat_to_batch_size(mask, batch) for mask in masks])
        if first.get("control") is not None:
            key = tuple(id(cond["control"]) for cond in conds)
            if key not in controls:
                controls[key] = hints.cropped([cond["control"] for cond in conds], self.places(tiles), batch)
            joined["control"] = controls[key]
        return joined

    def _placed(self, model: Any, own: Any, cond: Cond, tile: int, role: str) -> Cond:
        """A conditioning as a tile's model reads it: encoded by that model, with the tile's size, without area."""
        if own is not None and own.holder is not None:
            cond = self._encoded_by(model, cond, role)
        cond = {**cond, "model_conds": {key: value for key, value in cond["model_conds"].items() if key != KEY}}
        box = self.layout.tiles[tile].box
        if "area" in cond:
            cond["mask"] = _area_as_mask(cond, self.layout.canvas.rows, self.layout.canvas.columns, self._noise)
            del cond["area"]
        if box != self.layout.canvas.box and isinstance(model, comfy.model_base.SDXL | comfy.model_base.SDXLRefiner) \
                and not any(key in cond for key in _SIZES):
            sizes = self._sizes(tile)
            adm = model.encode_adm(**{**cond, **sizes, "noise": self._noise, "device": self._noise.device,
                                      "prompt_type": role})
            cond["model_conds"]["y"] = comfy.conds.CONDRegular(adm)
        return cond

    def _sizes(self, tile: int) -> dict[str, int]:
        """SDXL's size conditioning: a region is a picture, a tile is a crop of it (arXiv 2307.01952, section 2.2)."""
        box, region = self.layout.tiles[tile].box, self.layout.boxes[self.layout.tiles[tile].region]
        x = (box.x - region.x) % self.layout.canvas.columns
        latents = (region.width, region.height, x, box.y - region.y, box.width, box.height)
        return {name: size * GRID for name, size in zip(_SIZES, latents)}

    def _encoded_by(self, model: Any, cond: Cond, role: str) -> Cond:
        """A conditioning as an additional model encodes it; kept for all its tiles."""
        key = id(model), id(cond)
        if key not in self._encoded:
            plain = {**cond, "model_conds": {name: value for name, value in cond["model_conds"].items()
                                             if name not in ("c_concat", "y")}}
            new, = comfy.samplers.encode_model_conds(model.extra_conds, [plain], self._noise, self._noise.device, role,
                                                     latent_shapes=[self._noise.shape], **self._encoding)
            if cond.get("control") is not None:
                control = id(model), id(cond["control"])
                if control not in self._controls:
                    self._controls[control] = hints.prepared(cond["control"], model)
                new["control"] = self._controls[control]
            self._encoded[key] = new, cond  # the cond as well, so that its id stays its own
        return self._encoded[key][0]

    def _at_once(self, model: Any, columns: Sequence[Column], tile: int, x: torch.Tensor) -> int:
        """How many tiles fit into free memory with all their conditionings, by ComfyUI's own estimate; at least 1."""
        if self.at_once:
            return self.at_once
        box = self.layout.tiles[tile].box
        free = comfy.model_management.get_free_memory(x.device)
        for parts in range(1, len(columns) + 1):
            count = -(-len(columns) // parts)
            conds = [cond for column in columns[:count] for group in column for cond in group or ()]
            shapes: dict[str, list[Any]] = {}
            for cond in conds:
                for key, value in cond["model_conds"].items():
                    shapes.setdefault(key, []).append(value.size())
            shape = [len(conds) * len(x), x.shape[1], box.height, box.width]
            if model.memory_required(shape, cond_shapes=shapes) * 1.5 < free:
                return count
        return 1

    def places(self, tiles: Sequence[int]) -> list[hints.Place]:
        chosen = [self.layout.tiles[index] for index in tiles]
        return [hints.Place(self.layout.canvas, tile.box, self.layout.boxes[tile.region]) for tile in chosen]


def area_to_mask(values: Mapping[str, Any], canvas_rows: int, canvas_columns: int) -> dict[str, Any]:
    """A conditioning's values with its area (in latents or shares of the canvas) as a mask, as tiles need it."""
    if "area" not in values:
        return dict(values)
    area = values["area"]
    if area[0] == "percentage":
        height, width, y, x = (share * size for share, size in zip(area[1:], (canvas_rows, canvas_columns) * 2))
        area = (max(1, round(height)), max(1, round(width)), round(y), round(x))
    made = {key: value for key, value in values.items() if key != "area"}
    made["mask"] = _area_as_mask({**values, "area": area}, canvas_rows, canvas_columns, torch.zeros(1))
    return made


def _area_as_mask(cond: Mapping[str, Any], rows: int, columns: int, like: torch.Tensor) -> torch.Tensor:
    """[1 or B, rows, columns]: what ComfyUI's area means as weights: 1 inside, ramps of 8 latents inside its edges."""
    height, width, y, x = cond["area"]
    height, width = min(height, rows - y), min(width, columns - x)
    mask = torch.zeros(1, rows, columns, dtype=like.dtype, device=like.device)
    inside = mask[:, y:y + height, x:x + width]
    inside.fill_(1)
    if "mask" in cond:
        return mask * comfy.utils.common_upscale(cond["mask"].to(mask)[:, None], columns, rows, "bilinear",
                                                 "disabled")[:, 0]
    for size, start, whole, axis in ((height, y, rows, 1), (width, x, columns, 2)):
        ramp = min(8, size // 4)
        for step in range(ramp):
            if start:
                inside.narrow(axis, step, 1).mul_((step + 1) / ramp)
            if start + size < whole:
                inside.narrow(axis, size - 1 - step, 1).mul_((step + 1) / ramp)
    return mask


def _counts(cond: Cond, sigma: torch.Tensor) -> bool:
    """Whether a conditioning takes part at this step, by ComfyUI's own rule."""
    if "timestep_start" not in cond and "timestep_end" not in cond:
        return True
    now = float(sigma.reshape(-1)[0])
    return cond.get("timestep_end", float("-inf")) <= now <= cond.get("timestep_start", float("inf"))


def _fit(one: list[Cond] | None, other: list[Cond] | None) -> bool:
    """Whether two tiles' conditionings in a list can be stacked."""
    if one is None or other is None:
        return one is other
    return len(one) == len(other) and all(map(_alike, one, other))


def _alike(one: Cond, other: Cond) -> bool:
    if one is other:
        return True
    for key in ("hooks", "default", "strength", "mask_strength"):
        if one.get(key) != other.get(key):
            return False
    if ("mask" in one or "area" in one) != ("mask" in other or "area" in other):
        return False
    if hints.signature(one.get("control")) != hints.signature(other.get("control")):
        return False
    mine, theirs = one["model_conds"], other["model_conds"]
    keys = (mine.keys() | theirs.keys()) - {KEY, styling.KEY}
    return all(key in mine and key in theirs and mine[key].can_concat(theirs[key]) for key in keys)


def _cut(value: Any, box: Box) -> Any:
    """A model cond over a tile: those as large as the canvas are cropped."""
    return value._copy_with(crop(value.cond, box)) if isinstance(value, comfy.conds.CONDNoiseShape) else value
