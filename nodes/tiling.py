"""Panoramas while sampling: each evaluation of all conditionings becomes one per tile, and the results one again.

Three wrappers on the MODEL. One reserves memory for a tile in place of the canvas. One prepares a run: noise of
regions with a seed, models of regions with their own. The third is called wherever ComfyUI evaluates a list of
conditionings over the canvas (in every step of every sampler and guider, and in guidance nodes that make extra calls).
It cuts x and all that belongs to places into tiles, stacks tiles that fit together on the batch axis, has ComfyUI
evaluate positive and negative conditionings of a stack at once, and blends the results over the canvas. So guidance,
samplers and previews see a canvas and know nothing of tiles.

A conditioning marked with a region counts in its tiles; one without a mark counts in every tile.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import comfy.conds
import comfy.model_base
import comfy.model_management
import comfy.samplers
import comfy.utils
import torch
from comfy.patcher_extension import WrappersMP

from ..diffusion_soup.errors import MismatchError, OutOfMemory
from ..diffusion_soup.panorama import GRID, Box, Layout, add, crop, seeded
from . import hints, region_models, styling

KEY = "diffusion_soup_panorama"  # in conditionings, model conds, model options, wrappers, attachments
_REMEMBERED = 8  # different lists of conditionings whose stacks are kept
_SIZES = ("width", "height", "crop_w", "crop_h", "target_width", "target_height")

Conditioning = list[list[Any]]
Cond = dict[str, Any]
#: For each list of conditionings, those that count in a tile; None where there is no list.
Column = list[list[Cond] | None]


class _Unread(comfy.conds.CONDRegular):
    """A region's mark. Where a MODEL without tiles reads it, sampling stops in words."""

    def __init__(self) -> None:
        super().__init__(torch.zeros(1, 1))

    def _copy_with(self, cond: Any) -> _Unread:
        return _Unread()

    def process_cond(self, *args: Any, **kwargs: Any) -> Any:
        raise MismatchError("A conditioning belongs to a region of a panorama, but this MODEL was not prepared for "
                            "panoramas: connect the MODEL of the same Panorama node to the sampler.")


@dataclass(frozen=True, eq=False)
class Panorama:
    """What a MODEL for panoramas carries.

    layout: of the latents' shape [B, C, rows, columns], the regions and tiles to sample with. owns: region -> its own
    model. pictures: region -> latents [N, C, h, w] that hold its place, as a VAE encodes them. at_once: how many
    tiles in a batch; 0: as many as memory allows.
    """

    layout: Callable[[Sequence[int]], Layout]
    owns: Mapping[int, region_models.Own] = field(default_factory=dict)
    pictures: Mapping[int, torch.Tensor] = field(default_factory=dict)
    at_once: int = 0

    def install(self, model: Any, additional: Sequence[Any] = ()) -> Any:
        """A clone of a MODEL that samples this panorama; ``additional``: models that regions own."""
        clone = model.clone()
        for kind, wrapper in ((WrappersMP.PREPARE_SAMPLING, self.reserve), (WrappersMP.SAMPLER_SAMPLE, self.sample),
                              (WrappersMP.CALC_COND_BATCH, self.predict)):
            others = {key: value for key, value in clone.wrappers.get(kind, {}).items() if key != KEY}
            clone.wrappers[kind] = {KEY: [wrapper], **others}  # first, so that other wrappers see tiles
        clone.set_attachments(KEY, self)
        clone.set_additional_models(KEY, [*additional])
        return clone

    def mark(self, conditioning: Conditioning, region: int) -> Conditioning:
        """A copy of a CONDITIONING that counts in a region."""
        return [[text, {**values, KEY: (self, region),
                        "model_conds": {**values.get("model_conds", {}), KEY: _Unread()}}]
                for text, values in conditioning]

    # -- wrappers -----------------------------------------------------------------------------

    def reserve(self, executor: Any, model: Any, noise_shape: Sequence[int], conds: Mapping[str, list[Cond]],
                *args: Any, **kwargs: Any) -> Any:
        """Around loading the models: refuse what cannot be tiled, and ask for the memory of one tile."""
        layout = self.layout(noise_shape)
        for cond in (cond for group in conds.values() for cond in group):
            self._check(layout, cond)
        largest = max((tile.box for tile in layout.tiles), key=lambda box: box.width * box.height)
        return executor(model, [*noise_shape[:2], largest.height, largest.width], conds, *args, **kwargs)

    def sample(self, executor: Any, guider: Any, sigmas: torch.Tensor, extra_args: Mapping[str, Any], callback: Any,
               noise: torch.Tensor, latent_image: Any = None, denoise_mask: Any = None, *args: Any, **kwargs: Any
               ) -> Any:
        """Around the sampler: prepare what all its steps need."""
        run = _Run(self, guider, noise, latent_image, denoise_mask, sigmas, extra_args.get("seed"))
        options = extra_args.get("model_options", {})
        options = {**options, "transformer_options": {**options.get("transformer_options", {}), KEY: run}}
        with run:
            return executor(guider, sigmas, {**extra_args, "model_options": options}, callback, run.noise(noise),
                            latent_image, denoise_mask, *args, **kwargs)

    def predict(self, executor: Any, model: Any, conds: Sequence[list[Cond] | None], x: torch.Tensor,
                sigma: torch.Tensor, model_options: Mapping[str, Any]) -> Any:
        """Around the evaluation of all conditionings: the canvas from its tiles."""
        run = model_options.get("transformer_options", {}).get(KEY)
        if not isinstance(run, _Run):
            raise MismatchError("This MODEL was prepared for a panorama and can only be sampled by a sampler node.")
        return run.predict(executor, model, conds, x, sigma, model_options)

    def _check(self, layout: Layout, cond: Cond) -> None:
        owner, region = cond.get(KEY, (self, None))
        name = "the conditioning" if region is None else f"region {layout.regions[region].name!r}" \
            if owner is self else "another panorama"
        if owner is not self:
            raise MismatchError("The conditionings belong to another Panorama node than the MODEL. Connect MODEL, "
                                "POSITIVE and NEGATIVE of one and the same Panorama.")
        if "gligen" in cond:
            raise MismatchError(f"A GLIGEN text box is on {name}. Its place is on the whole picture and cannot be cut "
                                "into tiles; remove it and make the box a region.")
        if "control" in cond:
            boxes = layout.boxes if region is None else [layout.boxes[region]]
            for box in boxes:
                hints.check(cond["control"], hints.Place(layout.canvas, box, box), name)


@dataclass
class _Stack:
    """Tiles that are evaluated at once, with all they need in every step.

    conds: for each list, what ComfyUI gets; sources: the conditionings of the tiles behind each of them.
    """

    tiles: list[int]
    own: region_models.Own | None
    conds: list[list[Cond] | None]
    sources: list[list[list[Cond]]]
    patches: dict[int, Any] = field(default_factory=dict)


class _Run:
    """One sampling of a panorama."""

    def __init__(self, panorama: Panorama, guider: Any, noise: torch.Tensor, latent_image: Any, denoise_mask: Any,
                 sigmas: torch.Tensor, seed: Any) -> None:
        self.panorama, self.guider, self.shape = panorama, guider, noise.shape
        self.layout = panorama.layout(noise.shape)
        self._encoding = {"latent_image": latent_image, "denoise_mask": denoise_mask, "seed": seed}
        self._noise, self._sigmas = noise, sigmas
        self._model = guider.inner_model
        self._stacks: OrderedDict[Any, tuple[list[_Stack], Any]] = OrderedDict()
        self._encoded: dict[tuple[int, int], tuple[Cond, Cond]] = {}
        self._shares: dict[int, tuple[Any, dict[int, torch.Tensor], list[tuple[torch.Tensor, Box]]]] = {}
        self._unguided: tuple[torch.Tensor, float, dict[int, torch.Tensor]] | None = None
        self._holders = [guider.model_patcher, *guider.model_patcher.get_additional_models_with_key(KEY)]
        self._options: dict[int, dict[str, Any]] = {}
        self._pictures = {
            index: self._model.process_latent_in(comfy.utils.repeat_to_batch_size(picture, len(noise)).to(noise))
            for index, picture in panorama.pictures.items()}
        self._check_guidance()

    def __enter__(self) -> _Run:
        """Prepare the models that regions own."""
        for holder in self._holders[1:]:
            holder.pre_run()
        for own in self.panorama.owns.values():
            if id(own) not in self._options:
                conds = {name: [cond for cond in group if self._meets(cond, own.holder)]
                         for name, group in self.guider.conds.items()} if own.holder is not None else {}
                self._options[id(own)] = region_models.options_of(own, self._holder(own), conds, self._sigmas, KEY)
        return self

    def __exit__(self, *exception: Any) -> None:
        for holder in self._holders[1:]:
            holder.cleanup()
            holder.restore_hook_patches()
        self._stacks.clear()
        self._encoded.clear()

    def noise(self, noise: torch.Tensor) -> torch.Tensor:
        """The sampler's noise, with that of regions with a seed; none where the sampler adds none."""
        if not noise.any():
            return noise

        def draw(seed: int, box: Box) -> torch.Tensor:
            shape = (*noise.shape[:2], box.height, box.width)
            return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed)).to(noise)

        return seeded(self.layout, noise, draw)

    # -- one evaluation -------------------------------------------------------------------------

    def predict(self, executor: Any, model: Any, conds: Sequence[list[Cond] | None], x: torch.Tensor,
                sigma: torch.Tensor, options: Mapping[str, Any]) -> list[torch.Tensor]:
        """For each list of conditionings the denoised canvas [B, C, rows, columns]."""
        tiles, pictures = self._now(model, x, sigma)
        lists = [*conds]
        roles = [self._role(group, number) for number, group in enumerate(conds)]
        ratios = self._ratios(tiles)
        given = None if "negative" not in roles or not ratios else lists[roles.index("negative")]
        known: dict[int, torch.Tensor] | None = None
        extra = len(lists)
        now = float(sigma.reshape(-1)[0]) if ratios else 0.0
        if ratios and given is None:
            if self._unguided is not None and self._unguided[0] is x and self._unguided[1] == now:
                known = self._unguided[2]
            else:
                extra = lists.index(None) if None in lists else len(lists)
                lists[extra:extra + 1], roles[extra:extra + 1] = [self.guider.conds["negative"]], ["negative"]
        results = [torch.zeros_like(x) for _ in conds]
        unguided: dict[int, torch.Tensor] = {}
        for stack in self._stacked(model, lists, roles, tiles, x, sigma, extra, ratios):
            comfy.model_management.throw_exception_if_processing_interrupted()
            found = self._evaluate(executor, model, stack, lists, x, sigma, options)
            for place, index in enumerate(stack.tiles):
                rows = slice(place * len(x), (place + 1) * len(x))
                values = [one[rows] for one in found]
                if index in ratios:
                    without = known[index] if known is not None else values[_last(roles, "negative")]
                    unguided[index] = without
                    values = [without + ratios[index] * (value - without) if role != "negative" else value
                              for value, role in zip(values, roles)]  # Cᵣ' = Uᵣ + (sᵣ/s)(Cᵣ − Uᵣ)
                for result, value, group in zip(results, values, conds):
                    if group is not None:
                        add(result, value * tiles[index], self.layout.tiles[index].box)
        if known is None and unguided:
            self._unguided = x, now, unguided
        for result, group in zip(results, conds):
            for value, box in pictures if group is not None else ():
                add(result, value, box)
        return results

    def _evaluate(self, executor: Any, model: Any, stack: _Stack, lists: Sequence[Any], x: torch.Tensor,
                  sigma: torch.Tensor, options: Mapping[str, Any]) -> Sequence[torch.Tensor]:
        """For each list the denoised tiles of a stack, [T·B, C, h, w]."""
        boxes = [self.layout.tiles[index].box for index in stack.tiles]
        tiles = [crop(x, box) for box in boxes]
        rows = tiles[0] if len(tiles) == 1 else torch.cat(tiles)
        sigmas = sigma if len(tiles) == 1 else sigma.repeat(len(tiles))
        mine = model if stack.own is None else stack.own.patcher.model
        if stack.own is not None:
            options = self._options[id(stack.own)]
        conds = self._with_styles(mine, stack, sigma, options, len(x))
        options = hints.cropped_attention(options, self._places(stack.tiles), len(x), stack.patches)
        if stack.own is None:
            return executor(model, conds, rows, sigmas, options)
        return comfy.samplers.calc_cond_batch(mine, conds, rows, sigmas, options)

    def _with_styles(self, model: Any, stack: _Stack, sigma: torch.Tensor, options: Mapping[str, Any], batch: int
                     ) -> list[list[Cond] | None]:
        """The stack's conditionings with the styles of this step, a row for each tile and picture."""
        if not styling.listens(options):
            return stack.conds
        flat = [[source for sources in group for source in sources] for group in stack.sources]
        vectors = styling.vectors(model, flat, sigma, options)
        if vectors is None:
            return stack.conds
        styled: list[list[Cond] | None] = []
        for conds, sources, rows in zip(stack.conds, stack.sources, vectors):
            left = iter(rows)
            mine = [[next(left) for _ in tiles] for tiles in sources]
            styled.append(conds and [styling.styled(cond, None if rows[0] is None else torch.cat(
                [row if len(stack.tiles) == 1 else row.expand(batch, -1) for row in rows]))
                for cond, rows in zip(conds, mine)])
        return styled

    def _now(self, model: Any, x: torch.Tensor, sigma: torch.Tensor
             ) -> tuple[dict[int, torch.Tensor], list[tuple[torch.Tensor, Box]]]:
        """What counts now: tile -> its share [h, w]; the held pictures times their shares, with their boxes."""
        moments = self.layout.moments
        moment = 0.0
        if len(moments) > 1:
            now, begins = float(sigma.reshape(-1)[0]), model.model_sampling.percent_to_sigma
            moment = max(each for each in moments if each == 0 or now <= float(begins(each)))
        blend = self.layout.at(moment)
        if id(blend) not in self._shares:
            self._shares[id(blend)] = (
                blend, {index: share.to(x) for index, share in blend.tiles.items()},
                [(self._pictures[index].to(x) * share.to(x), self.layout.boxes[index]) for index, share in
                 blend.pictures.items()])
        return self._shares[id(blend)][1:]

    # -- guidance -------------------------------------------------------------------------------

    def _check_guidance(self) -> None:
        for region in self.layout.regions:
            if region.cfg is None:
                continue
            if set(self.guider.conds) != {"positive", "negative"}:
                raise MismatchError(f"{region} has its own cfg, but this guider has no negative prompt, or more than "
                                    "one prompt to guide by. Use KSampler or CFGGuider, or set the region's cfg to 0.")
            if self.guider.cfg == 0:
                raise MismatchError(f"{region} has its own cfg, but the sampler's cfg is 0, which has no prompt at "
                                    "all. Set the sampler's cfg to 1 or more.")

    def _ratios(self, tiles: Mapping[int, torch.Tensor]) -> dict[int, float]:
        """Tile -> sᵣ/s, for tiles of regions whose own guidance sᵣ is not the sampler's s."""
        regions = {index: self.layout.regions[self.layout.tiles[index].region] for index in tiles}
        return {index: region.cfg / self.guider.cfg for index, region in regions.items()
                if region.cfg is not None and region.cfg != self.guider.cfg}

    def _role(self, group: Any, number: int) -> str:
        """What a list of conditionings is to the guider; by ComfyUI's order where it is not the guider's own."""
        named = next((name for name, known in self.guider.conds.items() if known is group), None)
        return named or ("negative" if number == 1 else "positive")

    # -- stacks -----------------------------------------------------------------------------------

    def _stacked(self, model: Any, lists: list[Any], roles: list[str], tiles: Mapping[int, Any], x: torch.Tensor,
                 sigma: torch.Tensor, extra: int, ratios: Mapping[int, float]) -> list[_Stack]:
        """The stacks of tiles for these lists, made once for all steps in which the same conditionings count.

        The list number ``extra`` is for the tiles in ``ratios`` alone.
        """
        counting = tuple(tuple(_counts(cond, sigma) for cond in group or ()) for group in lists)
        key = (tuple(map(id, lists)), tuple(tiles), counting, tuple(ratios) if extra < len(lists) else ())
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
                 ) -> list[_Stack]:
        """Tiles whose shapes and conditionings fit share a stack, as many as memory allows."""
        groups: list[list[int]] = []
        own = {index: self.panorama.owns.get(self.layout.tiles[index].region) for index in columns}
        for index in columns:
            def fits(group: list[int], index: int = index) -> bool:
                first, box, other = group[0], self.layout.tiles[index].box, self.layout.tiles[group[0]].box
                return own[index] is own[first] and (box.width, box.height) == (other.width, other.height) and \
                    all(_fit(one, other) for one, other in zip(columns[index], columns[first]))

            group = next(filter(fits, groups), None)
            groups.append([index]) if group is None else group.append(index)
        stacks: list[_Stack] = []
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

    def _stack(self, tiles: list[int], own: Any, columns: list[Column], prepared: list[Column], batch: int) -> _Stack:
        conds: list[list[Cond] | None] = []
        sources: list[list[list[Cond]]] = []
        controls: dict[tuple[int, ...], Any] = {}
        for number, group in enumerate(prepared[0]):
            slots = range(len(group or ()))
            sources.append([[column[number][slot] for column in columns] for slot in slots])
            conds.append(None if group is None else [
                self._joined([column[number][slot] for column in prepared], tiles, batch, controls) for slot in slots])
        return _Stack(tiles, own, conds, sources)

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
        if "control" in first:
            key = tuple(id(cond["control"]) for cond in conds)
            if key not in controls:
                controls[key] = hints.cropped([cond["control"] for cond in conds], self._places(tiles), batch)
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
                                                     latent_shapes=[self.shape], **self._encoding)
            self._encoded[key] = new, cond  # the cond as well, so that its id stays its own
        return self._encoded[key][0]

    def _at_once(self, model: Any, columns: Sequence[Column], tile: int, x: torch.Tensor) -> int:
        """How many tiles fit into free memory with all their conditionings, by ComfyUI's own estimate; at least 1."""
        if self.panorama.at_once:
            return self.panorama.at_once
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

    def _places(self, tiles: Sequence[int]) -> list[hints.Place]:
        chosen = [self.layout.tiles[index] for index in tiles]
        return [hints.Place(self.layout.canvas, tile.box, self.layout.boxes[tile.region]) for tile in chosen]

    def _meets(self, cond: Cond, holder: int) -> bool:
        """Whether an additional model evaluates a conditioning."""
        own = self.panorama.owns.get(cond[KEY][1]) if KEY in cond else None
        return KEY not in cond or own is not None and own.holder == holder

    def _holder(self, own: region_models.Own) -> Any:
        return self._holders[0 if own.holder is None else own.holder + 1]


def check_memory(model: Any, layout: Layout, batch: int) -> None:
    """Raise :class:`OutOfMemory` where one tile alone needs more than the device has."""
    most = comfy.model_management.get_total_memory(model.load_device)
    for tile in layout.tiles:
        needed = model.model.memory_required([batch, 4, tile.box.height, tile.box.width])
        if needed > most:
            raise OutOfMemory(
                f"{layout.regions[tile.region]} needs tiles of {tile.box.width * GRID} x {tile.box.height * GRID} px, "
                f"and one of them about {needed / 2**30:.0f} GB; the device has {most / 2**30:.0f} GB. Make the "
                "canvas's tile size smaller" + (", or its batch." if batch > 1 else "."))


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
    if ("control" in one) != ("control" in other) or "control" in one and \
            hints.signature(one["control"]) != hints.signature(other["control"]):
        return False
    mine, theirs = one["model_conds"], other["model_conds"]
    keys = (mine.keys() | theirs.keys()) - {KEY, styling.KEY}
    return all(key in mine and key in theirs and mine[key].can_concat(theirs[key]) for key in keys)


def _cut(value: Any, box: Box) -> Any:
    """A model cond over a tile: those as large as the canvas are cropped."""
    return value._copy_with(crop(value.cond, box)) if isinstance(value, comfy.conds.CONDNoiseShape) else value


def _last(roles: Sequence[str], role: str) -> int:
    return len(roles) - 1 - [*roles][::-1].index(role)
