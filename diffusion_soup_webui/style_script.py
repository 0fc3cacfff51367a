"""The script *DMM styles*: the section in txt2img and img2img, and what it does to a picture.

Everything is decided before a batch is sampled. The hooks are on the model only while the host's own ``p.sample`` runs,
which is the first pass and the hires pass; where styles are off, nothing at all is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffusion_soup import SoupError
from diffusion_soup.dmm import Codebook, Style

from . import sampling, styling
from .style_rows import STRANGE, Picture, Rows
from .styles import LABELS, NOTE, TITLE, Part, StyleSettings, asked, blended, describe, forget, named, say, take_tags

_TAGS = "diffusion_soup_style_tags"  # on a request: what was in the prompts of this batch
Parts = Sequence[Sequence[Part]]


def style_script(kitchen: Any, build: Callable[..., Any]) -> type:
    """The Script class; ``build`` makes its section. Made anew whenever the host loads its scripts."""
    from modules import script_callbacks, scripts

    stylist = Stylist(kitchen)
    script_callbacks.on_cfg_denoiser(stylist.step)

    class DiffusionSoupStyles(scripts.Script):
        def title(self) -> str:
            return TITLE

        def show(self, is_img2img: bool) -> Any:
            return scripts.AlwaysVisible

        def ui(self, is_img2img: bool) -> list[Any]:
            widgets, self.infotext_fields = build(kitchen, self.elem_id)
            self.paste_field_names = list(LABELS.values())
            return widgets

        def before_process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
            stylist.read(p)

        def process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
            stylist.prepare(p)

    return DiffusionSoupStyles


@dataclass(frozen=True)
class Tags:
    """What the prompts of a batch named, by picture; and a sentence about what could not be read."""

    prompts: Parts
    negatives: Parts
    trouble: str = ""

    @property
    def any(self) -> bool:
        return any(part.shares for parts in (*self.prompts, *self.negatives) for part in parts)


class Stylist:
    """Styles the pictures of one host, one batch at a time; all of it is called while the host's lock is held."""

    def __init__(self, kitchen: Any) -> None:
        self._kitchen = kitchen
        self._rows: Callable[[], Rows] | None = None

    def read(self, p: Any) -> None:
        """Take the tags out of a batch's prompts, before the host looks for networks in them."""
        sampling.unwrap(p, self)
        forget(p.extra_generation_params)
        p.extra_generation_params.pop(NOTE, None)
        if _is_taken():
            setattr(p, _TAGS, Tags((), ()))
            return
        tags = _tags(p.prompts, p.negative_prompts)
        setattr(p, _TAGS, tags)
        if tags.any:
            p.prompts[:], p.negative_prompts[:] = _without(p.prompts), _without(p.negative_prompts)

    def prepare(self, p: Any) -> None:
        """Have this batch sampled with its styles, or say in one sentence why it is not."""
        tags, hires = getattr(p, _TAGS, Tags((), ())), _hires_tags(p)
        try:
            settings = asked(p)
            if settings is None and not (tags.any or hires.any or tags.trouble):
                return
            self._wrap(p, settings, tags, hires)
        except SoupError as error:
            say(p, f"were not used: {error}")

    def step(self, params: Any) -> None:
        """Before each step of any sampler: the host may have changed the model, and the prompts are those in params."""
        styling.follow()
        if self._rows is not None:
            self._rows().step(params.text_cond, params.text_uncond)

    def _wrap(self, p: Any, settings: StyleSettings | None, tags: Tags, hires: Tags) -> None:
        for trouble in (tags.trouble, hires.trouble):
            if trouble:
                raise SoupError(trouble)
        codebook = self._codebook()
        whole = settings.style(codebook) if settings is not None else None
        if settings is not None:
            describe(settings, p.extra_generation_params)
        if not (tags.any or hires.any):
            assert whole is not None
            sampling.around(p, self, lambda sample: self._sample(p, sample, lambda call: whole, None))
            return
        made = _Pictures(settings or StyleSettings(), whole, codebook, self._kitchen.host.name == "Forge")
        first, second = made.rows(tags), made.rows(hires) if hires.prompts else None

        def rows() -> Rows:
            return second if second is not None and getattr(p, "is_hr_pass", False) else first

        sampling.around(p, self, lambda sample: self._sample(p, sample, lambda call: rows().choose(call), rows))

    def _codebook(self) -> Codebook:
        codebook = self._kitchen.students.in_memory()
        if codebook is None:
            raise SoupError("the model is no DMM student, so it has no styles.")
        replaced = self._kitchen.host.unet_replaced()
        if replaced:
            raise SoupError(f"{replaced} computes in the UNet's place and takes no styles. Set SD Unet to None.")
        return codebook

    def _sample(self, p: Any, sample: Callable[[], Any], choose: styling.Choose, rows: Callable[[], Rows] | None
                ) -> Any:
        """The host's own sampling, with the hooks on the student, and off any other model that the host takes for a
        part of it."""
        student = self._kitchen.students.key()

        def unet() -> Any:
            if self._kitchen.students.key() == student:
                return self._kitchen.host.unet()
            say(p, "are those of the chosen model alone: the refiner or the hires checkpoint is another one, and its "
                   "steps have no styles.")
            return None

        self._rows = rows
        try:
            with styling.styled(unet, choose) as report:
                found = sample()
        finally:
            self._rows = None
        if rows is not None and rows().strange:
            report.trouble(STRANGE)
        if not report.calls and not self._kitchen.host.interrupted():
            forget(p.extra_generation_params)
            report.trouble(styling.NO_EFFECT)
        for sentence in report.troubles:
            say(p, sentence)
        return found


@dataclass(frozen=True)
class _Pictures:
    """From tags to styles. ``whole`` is the section's style, for parts that name none."""

    settings: StyleSettings
    whole: Style | None
    codebook: Codebook
    forge: bool

    def rows(self, tags: Tags) -> Rows:
        pictures = [self._picture(parts, negatives) for parts, negatives in zip(tags.prompts, tags.negatives)]
        return Rows(pictures, self.forge, self.whole)

    def _picture(self, parts: Sequence[Part], negatives: Sequence[Part]) -> Picture:
        """The negative prompt has the style it names; else the picture's own; else that of all parts together."""
        negative = blended(negatives) or (blended(parts) if self.whole is None else {})
        return Picture(tuple(self._style(part.shares) for part in parts), self._style(negative))

    def _style(self, shares: Mapping[str, float]) -> Style | None:
        return self.settings.part(named(shares, self.codebook), self.codebook) if shares else self.whole


def _tags(prompts: Sequence[str], negatives: Sequence[str]) -> Tags:
    try:
        return Tags([take_tags(text)[1] for text in prompts], [take_tags(text)[1] for text in negatives])
    except SoupError as error:
        return Tags((), (), str(error))


def _without(prompts: Sequence[str]) -> list[str]:
    return [take_tags(text)[0] for text in prompts]


def _hires_tags(p: Any) -> Tags:
    """Of the hires prompts, which the host has made its own by now: what it took out of them is still in the list of
    all pictures."""
    if not getattr(p, "enable_hr", False) or _is_taken():
        return Tags((), ())
    batch = slice(p.iteration * p.batch_size, (p.iteration + 1) * p.batch_size)
    tags = _tags(p.all_hr_prompts[batch], p.all_hr_negative_prompts[batch])
    if tags.any:
        p.hr_prompts, p.hr_negative_prompts = _without(p.hr_prompts), _without(p.hr_negative_prompts)
        if p.hr_extra_network_data:
            p.hr_extra_network_data.pop("style", None)
    return tags


def _is_taken() -> bool:
    """Whether another extension has networks called "style": then the tags are its own."""
    from modules import extra_networks
    return "style" in extra_networks.extra_network_registry
