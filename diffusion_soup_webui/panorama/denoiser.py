"""One step of a panorama: the host's own denoiser on every tile, with its region's prompts and guidance, then blended.

The host's ``CFGDenoiser.forward`` is called once for each stack of tiles, with all that belongs to places cut to them.
So its prompt editing, ``AND``, inpainting masks, padding, and whatever other scripts add to a step, work in a tile as
they do in a picture. What comes back is guided already: Σ wᵣ xᵣ over the canvas (arXiv 2302.02412, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from diffusion_soup.panorama import GRID, Box, Layout, Painting, add, crop

from .prompts import Spoken
from .region_styles import RegionStyles

_TOGETHER = (1024 // GRID) ** 2  # latents that tiles in one batch have together, unless told otherwise


def together(width: int, height: int, at_once: int = 0) -> int:
    """How many tiles of a size in latents are in one batch."""
    return at_once or max(1, _TOGETHER // (width * height))


class Steps:
    """Stands in for the ``forward`` of a sampler's denoiser.

    around: what is to be done around the evaluation of tiles, by their boxes: ControlNets are cut there, and then
    tiles come one by one (``alone``).
    styled: the styles of regions; where there are any, regions share no batch.
    """

    def __init__(self, sampler: Any, p: Any, painting: Painting, spoken: Sequence[Spoken], at_once: int,
                 around: Callable[[Box], AbstractContextManager[None]] | None = None,
                 styled: RegionStyles | None = None) -> None:
        self.layout: Layout = painting.layout()
        self._sampler, self._denoiser, self._p = sampler, sampler.model_wrap_cfg, p
        self._host = self._denoiser.forward
        self._spoken, self._at_once = spoken, 1 if around else at_once
        self._around, self._styled = around, styled
        self._shares: dict[int, tuple[Any, dict[int, torch.Tensor]]] = {}

    def forward(self, x: torch.Tensor, sigma: torch.Tensor, **asked: Any) -> torch.Tensor:
        """What the host's forward would give for the whole canvas x [B, C, rows, columns]."""
        shares = self._now(x)
        blended = _Blended(self.layout, len(x))
        with self._set_aside() as before:
            for tiles in self._stacks(shares):
                for name, value in before.items():
                    setattr(self._denoiser, name, value)
                found = self._evaluate(tiles, x, sigma, asked)
                for name, value in found.items():
                    blended.add(name, value, tiles, shares)
            step = self._denoiser.step
        self._denoiser.step = step
        self._sampler.last_latent = blended.whole.get("last_latent", self._sampler.last_latent)
        if "last_noise_uncond" in blended.whole:
            self._denoiser.last_noise_uncond = blended.whole["last_noise_uncond"]
        if "preview" in blended.whole:
            _common().store_latent(blended.whole["preview"])
        return blended.whole["denoised"]

    # -- one stack of tiles -------------------------------------------------------------------------

    def _evaluate(self, tiles: Sequence[int], x: torch.Tensor, sigma: torch.Tensor, asked: Mapping[str, Any]
                  ) -> dict[str, torch.Tensor]:
        """[T·B, C, h, w] of each thing that a step leaves."""
        boxes = [self.layout.tiles[index].box for index in tiles]
        region = self.layout.tiles[tiles[0]].region
        spoken = [self._spoken[self.layout.tiles[index].region] for index in tiles]
        cut = _Cut(self.layout, boxes, len(x))
        denoiser = self._denoiser
        for name in ("mask", "nmask", "init_latent"):
            setattr(denoiser, name, cut(getattr(denoiser, name, None)))
        prompts = [each for one in spoken for each in one.positive]
        positive = type(asked["cond"])(shape=(len(prompts),), batch=prompts)
        negative = None if spoken[0].negative is None else [each for one in spoken for each in one.negative or ()]
        here = {**asked, "cond": positive, "uncond": negative, "image_cond": cut(asked.get("image_cond"))}
        own = self.layout.regions[region].cfg
        previews: list[torch.Tensor] = []
        around = self._around(boxes[0]) if self._around else nullcontext()
        styled = self._styled.around(region) if self._styled else nullcontext()
        with around, styled, _guided(self._p, own), _previews(previews):
            if own is not None:
                here["cond_scale"] = own
            denoised = self._host(cut(x), sigma.repeat(len(tiles)) if sigma.ndim else sigma, **here)
        found = {"denoised": denoised, "last_latent": self._sampler.last_latent}
        found |= {"preview": previews[-1]} if previews else {}
        if getattr(denoiser, "need_last_noise_uncond", False):
            found["last_noise_uncond"] = denoiser.last_noise_uncond
        return found

    @contextmanager
    def _set_aside(self) -> Iterator[dict[str, Any]]:
        """Whatever happens, the denoiser and its sampler know nothing of tiles afterwards."""
        denoiser, sampler = self._denoiser, self._sampler
        names = [name for name in ("step", "mask", "nmask", "init_latent") if hasattr(denoiser, name)]
        before = {name: getattr(denoiser, name) for name in names}
        last = sampler.last_latent
        try:
            yield before
        finally:
            for name, value in before.items():
                setattr(denoiser, name, value)
            sampler.last_latent = last

    def _stacks(self, shares: Mapping[int, torch.Tensor]) -> Iterator[list[int]]:
        """Tiles that fit together on the batch axis, as many as may be at once."""
        alike: dict[Any, list[int]] = {}
        for index in shares:
            tile = self.layout.tiles[index]
            region = self.layout.regions[tile.region]
            key = (tile.box.width, tile.box.height, region.cfg, self._spoken[tile.region].alike,
                   tile.region if self._styled else None)
            alike.setdefault(key, []).append(index)
        for (width, height, *_), tiles in alike.items():
            most = together(width, height, self._at_once)
            for start in range(0, len(tiles), most):
                yield tiles[start:start + most]

    def _now(self, x: torch.Tensor) -> dict[int, torch.Tensor]:
        """Tile -> how much it counts now, [h, w]. The share of the sampling is that of the steps, as in prompts."""
        share = self._denoiser.step / max(self._denoiser.total_steps or 1, 1)
        moment = max(each for each in self.layout.moments if each == 0 or each <= share + 1e-9)
        blend = self.layout.at(moment)
        if id(blend) not in self._shares:
            self._shares[id(blend)] = blend, {index: mine.to(x) for index, mine in blend.tiles.items()}
        return self._shares[id(blend)][1]


class _Blended:
    """Σ wᵣ xᵣ of several things at once."""

    def __init__(self, layout: Layout, batch: int) -> None:
        self._layout, self._batch = layout, batch
        self.whole: dict[str, torch.Tensor] = {}

    def add(self, name: str, rows: torch.Tensor, tiles: Sequence[int], shares: Mapping[int, torch.Tensor]) -> None:
        """Rows [T·B, C, h, w] of these tiles."""
        canvas = self._layout.canvas
        if name not in self.whole:
            self.whole[name] = rows.new_zeros(self._batch, rows.shape[1], canvas.rows, canvas.columns)
        for place, index in enumerate(tiles):
            mine = rows[place * self._batch:(place + 1) * self._batch]
            add(self.whole[name], mine * shares[index].to(mine), self._layout.tiles[index].box)


class _Cut:
    """Cuts what lies over the canvas to tiles and stacks them on the batch axis; leaves everything else."""

    def __init__(self, layout: Layout, boxes: Sequence[Box], batch: int) -> None:
        self._size, self._boxes, self._batch = (layout.canvas.rows, layout.canvas.columns), boxes, batch

    def __call__(self, value: Any) -> Any:
        if not torch.is_tensor(value) or value.ndim < 2:
            return value
        over = tuple(value.shape[-2:]) == self._size
        if not over and value.ndim < 4:
            return value
        pieces = [crop(value, box) if over else value for box in self._boxes]
        if len(pieces) == 1:
            return pieces[0]
        if value.ndim == 3:  # a mask [C, rows, columns] of all pictures
            pieces = [piece.expand(self._batch, *piece.shape) for piece in pieces]
        return torch.cat(pieces) if len(pieces[0]) == self._batch else torch.cat(
            [piece.repeat(self._batch // len(piece), 1, 1, 1) for piece in pieces])


@contextmanager
def _guided(p: Any, cfg: float | None) -> Iterator[None]:
    """In its second pass Forge takes the guidance from the picture, not from the call."""
    before = getattr(p, "hr_cfg", None)
    if cfg is None or before is None:
        yield
        return
    p.hr_cfg = cfg
    try:
        yield
    finally:
        p.hr_cfg = before


@contextmanager
def _previews(held: list[torch.Tensor]) -> Iterator[None]:
    """Nobody shall see a tile where the picture is expected: previews go into a list."""
    common = _common()
    before = common.store_latent
    common.store_latent = held.append
    try:
        yield
    finally:
        common.store_latent = before


def _common() -> Any:
    from modules import sd_samplers_common
    return sd_samplers_common
