"""Around the host's sampling of one batch: every sampler it makes paints the panorama, and is itself again after.

Nothing of the host is changed for longer than its ``p.sample`` takes, whether it ends, fails or is interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from fastapi import HTTPException

from diffusion_soup.errors import SoupError
from diffusion_soup.panorama import GRID, Layout, Painting

from .. import sampling
from . import controls, wrap
from .denoiser import Steps, together
from .prompts import Speaker, Spoken
from .region_styles import RegionStyles


class Refused(HTTPException):
    """What the user got wrong: a 422 with this sentence by the host's API, the sentence in its page."""

    def __init__(self, sentence: str) -> None:
        super().__init__(422, sentence)

    def __str__(self) -> str:
        return str(self.detail)


def refuse(p: Any, sentence: str) -> None:
    """Have the picture fail with this sentence. What a script raises itself is printed only, and the host goes on."""
    def init(*args: Any, **kwargs: Any) -> None:
        vars(p).pop("init", None)
        raise Refused(sentence)

    p.init = init


class Run:
    """One picture's panorama, for all its batches and passes."""

    def __init__(self, p: Any, painting: Painting, at_once: int, kitchen: Any = None) -> None:
        self._p, self._painting, self._at_once, self._kitchen = p, painting, at_once, kitchen
        self._speaker = Speaker(p)

    def paints(self, p: Any) -> bool:
        """Whether it is this picture's; copies of a picture's settings carry the original's."""
        return p is self._p

    def attach(self) -> None:
        """Before the host samples a batch."""
        def painted(sample: Callable[[], Any]) -> Any:
            with ExitStack() as stack:
                if self._painting.canvas.wrap:
                    stack.enter_context(wrap.decoding())
                stack.enter_context(self._samplers())
                try:
                    return sample()
                except SoupError as error:
                    raise Refused(str(error)) from error

        sampling.around(self._p, self, painted)

    def decoded(self, samples: Any) -> Any:
        """The host's decoded pictures of latents that go all around; what it was given, where that needs nothing."""
        if not self._painting.canvas.wrap or getattr(samples, "already_decoded", False):
            return samples
        from modules import devices
        return wrap.decoded(self._p.sd_model, samples, target_device=devices.cpu, check_for_nans=True)

    # -- samplers -------------------------------------------------------------------------------

    @contextmanager
    def _samplers(self) -> Iterator[None]:
        """The sampler that is there already, and those that the host makes."""
        from modules import sd_samplers

        made: list[Any] = []
        create = sd_samplers.create_sampler

        def created(*args: Any, **kwargs: Any) -> Any:
            made.append(create(*args, **kwargs))
            self._hook(made[-1])
            return made[-1]

        if getattr(self._p, "sampler", None) is not None:
            made.append(self._p.sampler)
            self._hook(self._p.sampler)
        sd_samplers.create_sampler = created
        try:
            yield
        finally:
            sd_samplers.create_sampler = create
            for sampler in made:
                for name in ("sample", "sample_img2img"):
                    vars(sampler).pop(name, None)

    def _hook(self, sampler: Any) -> None:
        if not hasattr(getattr(sampler, "model_wrap_cfg", None), "forward"):
            raise Refused(f"The sampler {self._p.sampler_name} cannot paint a panorama; choose another one.")
        for name in ("sample", "sample_img2img"):
            setattr(sampler, name, self._around(sampler, getattr(sampler, name)))

    def _around(self, sampler: Any, host: Callable[..., Any]) -> Callable[..., Any]:
        def sample(p: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
            styled = RegionStyles(self._kitchen, painting := self._painting_of(x))
            steps = self._steps(sampler, painting, styled)
            denoiser = sampler.model_wrap_cfg
            own = vars(denoiser).get("forward")
            denoiser.forward = steps.forward
            try:
                found = host(p, x, *args, **kwargs)
                styled.say(p)
                return found
            finally:
                if own is None:
                    del denoiser.forward
                else:
                    denoiser.forward = own
        return sample

    def _painting_of(self, x: Any) -> Painting:
        """The panorama in the size of latents [B, C, rows, columns]."""
        if x.ndim != 4:
            raise Refused("A panorama needs latents of pictures; this model has others.")
        return self._painting.scaled(x.shape[-1] * GRID, x.shape[-2] * GRID)

    def _steps(self, sampler: Any, painting: Painting, styled: RegionStyles) -> Steps:
        """What a pass needs."""
        p = self._p
        layout = painting.layout()
        sizes = {tile.region: (tile.box.width * GRID, tile.box.height * GRID) for tile in layout.tiles}
        cfg = getattr(p, "hr_cfg", p.cfg_scale) if p.is_hr_pass else p.cfg_scale
        always = not hasattr(p, "distilled_cfg_scale")  # Forge leaves the negative prompt out at a cfg of 1
        spoken = [self._speaker.spoken(part, sizes[index], always or (part.region.cfg or cfg) != 1)
                  for index, part in enumerate(painting.parts)]
        return Steps(sampler, p, painting, spoken, self._at_once, self._controls(painting, layout, spoken),
                     styled)

    def _controls(self, painting: Painting, layout: Layout, spoken: Sequence[Spoken]) -> controls.Cuts | None:
        p = self._p
        objects = getattr(p.sd_model, "forge_objects", None)
        if objects is not None:
            objects.unet = _for_tiles(objects.unet, layout, self._at_once)
            return controls.chain(objects.unet, painting.canvas)
        network = controls.network_of(p)
        if network is None:
            return None
        for each in spoken:
            controls.mark(network, each.positive, positive=True)
            controls.mark(network, each.negative, positive=False)
        return controls.units(network, painting.canvas, p.is_hr_pass)


def _for_tiles(unet: Any, layout: Layout, at_once: int) -> Any:
    """A clone of Forge's UNet that asks for the memory of a batch of its largest tiles, not of the canvas."""
    clone = unet.clone()
    box = max((tile.box for tile in layout.tiles), key=lambda each: each.width * each.height)
    tiles = min(together(box.width, box.height, at_once), len(layout.tiles))
    asked = clone.model_options.get("memory_peak_estimation_modifier", clone.memory_required)
    clone.model_options["memory_peak_estimation_modifier"] = lambda shape: asked(
        [shape[0] * tiles, shape[1], box.height, box.width])
    return clone
