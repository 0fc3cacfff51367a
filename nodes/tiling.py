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
from .stacks import KEY, Cond, Stack, Stacks

Conditioning = list[list[Any]]


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
        if len(layout.tiles) > 1:
            hints.check_patches(model.model_options)
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


@dataclass(frozen=True)
class _Asked:
    """Lists of conditionings to evaluate, and what each is to the guider.

    extra: the number of a list that is for tiles with their own guidance alone; without: their Uᵣ, where it is known.
    """

    lists: list[list[Cond] | None]
    roles: list[str]
    extra: int | None = None
    without: Mapping[int, torch.Tensor] | None = None

    @property
    def negative(self) -> int:
        """The number of the negative list."""
        return next(number for number, (group, role) in enumerate(zip(self.lists, self.roles))
                    if role == "negative" and group is not None)


class _Run:
    """One sampling of a panorama."""

    def __init__(self, panorama: Panorama, guider: Any, noise: torch.Tensor, latent_image: Any, denoise_mask: Any,
                 sigmas: torch.Tensor, seed: Any) -> None:
        self.panorama, self.guider = panorama, guider
        self.layout = panorama.layout(noise.shape)
        self._stacks = Stacks(self.layout, panorama.owns, panorama.at_once, noise,
                              {"latent_image": latent_image, "denoise_mask": denoise_mask, "seed": seed})
        self._sigmas = sigmas
        self._model = guider.inner_model
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
        ratios = self._ratios(tiles)
        asked = self._asked(conds, x, sigma, ratios)
        results = [torch.zeros_like(x) for _ in conds]
        unguided: dict[int, torch.Tensor] = {}
        for stack in self._stacks.of(model, asked.lists, asked.roles, tiles, x, sigma, asked.extra, ratios):
            comfy.model_management.throw_exception_if_processing_interrupted()
            found = self._evaluate(executor, model, stack, x, sigma, options)
            for place, index in enumerate(stack.tiles):
                values = [one[place * len(x):(place + 1) * len(x)] for one in found]
                if index in ratios:
                    unguided[index] = without = asked.without[index] if asked.without else values[asked.negative]
                    values = [value if role == "negative" else without + ratios[index] * (value - without)
                              for value, role in zip(values, asked.roles)]  # Cᵣ' = Uᵣ + (sᵣ/s)(Cᵣ − Uᵣ)
                for result, value, group in zip(results, values, conds):
                    if group is not None:
                        add(result, value * tiles[index], self.layout.tiles[index].box)
        if ratios:
            self._unguided = x, float(sigma.reshape(-1)[0]), unguided
        for result, group in zip(results, conds):
            for value, box in pictures if group is not None else ():
                add(result, value, box)
        return results

    def _evaluate(self, executor: Any, model: Any, stack: Stack, x: torch.Tensor, sigma: torch.Tensor,
                  options: Mapping[str, Any]) -> Sequence[torch.Tensor]:
        """For each list the denoised tiles of a stack, [T·B, C, h, w]."""
        boxes = [self.layout.tiles[index].box for index in stack.tiles]
        tiles = [crop(x, box) for box in boxes]
        rows = tiles[0] if len(tiles) == 1 else torch.cat(tiles)
        sigmas = sigma if len(tiles) == 1 else sigma.repeat(len(tiles))
        mine = model if stack.own is None else stack.own.patcher.model
        if stack.own is not None:
            options = self._options[id(stack.own)]
        conds = self._with_styles(mine, stack, sigma, options, len(x))
        options = hints.cropped_attention(options, self._stacks.places(stack.tiles), len(x), stack.patches)
        if stack.own is None:
            return executor(model, conds, rows, sigmas, options)
        return comfy.samplers.calc_cond_batch(mine, conds, rows, sigmas, options)

    def _with_styles(self, model: Any, stack: Stack, sigma: torch.Tensor, options: Mapping[str, Any], batch: int
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

    def _asked(self, conds: Sequence[list[Cond] | None], x: torch.Tensor, sigma: torch.Tensor,
               ratios: Mapping[int, float]) -> _Asked:
        """What to evaluate so that regions with their own guidance have their Uᵣ, which ComfyUI may not ask for.

        At a cfg of 1 the negative list is None, and guidance nodes make calls for the positive list alone. Then Uᵣ is
        taken from the call before, or the guider's negative list is evaluated for these tiles.
        """
        roles = [self._role(group, number) for number, group in enumerate(conds)]
        asked = _Asked([*conds], roles)
        if not ratios or any(group is not None and role == "negative" for group, role in zip(conds, roles)):
            return asked
        if self._unguided is not None and self._unguided[0] is x and \
                self._unguided[1] == float(sigma.reshape(-1)[0]):
            return _Asked(asked.lists, roles, without=self._unguided[2])
        place = asked.lists.index(None) if None in asked.lists else len(asked.lists)
        asked.lists[place:place + 1], roles[place:place + 1] = [self.guider.conds["negative"]], ["negative"]
        return _Asked(asked.lists, roles, extra=place)

    def _role(self, group: Any, number: int) -> str:
        """What a list of conditionings is to the guider; by ComfyUI's order where it is not the guider's own."""
        named = next((name for name, known in self.guider.conds.items() if known is group), None)
        return named or ("negative" if number == 1 else "positive")

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
