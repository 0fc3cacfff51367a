"""What regions say, joined with the tab's own prompts and encoded by the host."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from diffusion_soup.errors import RecipeError
from diffusion_soup.panorama import Painting, Part

from ..styles import AND

_EXTRA = re.compile(r"<(\w+):[^>]*>")


@dataclass(frozen=True)
class Spoken:
    """A region's conditionings as the host's samplers take them, a row for each picture of the batch.

    ``alike``: spoken with the same ``alike`` may be rows of one batch.
    """

    positive: Sequence[Any]  # of ComposableScheduledPromptConditioning, a list for each picture
    negative: Sequence[Any] | None  # of ScheduledPromptConditioning, a list for each picture; None as the host's own
    alike: tuple[Any, ...]


def check(painting: Painting, prompts: Sequence[str]) -> None:
    """Raise :class:`RecipeError` for what a region's text cannot have, in words."""
    for part in painting.parts:
        for what, text in (("prompt", part.prompt), ("negative prompt", part.negative)):
            found = _EXTRA.search(text)
            if found and found[1] == "style":
                raise RecipeError(f"The {what} of {part.region} has {found[0]}. Tags are for the prompt of the tab; a "
                                  "region's style is a field of its own: \"style\": {\"NAME\": 1}.")
            if found:
                raise RecipeError(f"The {what} of {part.region} has {found[0]}, but a LoRA counts in the whole "
                                  "picture; write it into the prompt of the tab.")
        for everywhere in prompts:
            joined(part, everywhere)


def joined(part: Part, everywhere: str) -> str:
    """A region's prompt with the text for all regions; each part between ANDs has both."""
    own = part.prompt.strip(" ,\n")
    if not own or not everywhere.strip(" ,\n"):
        return own or everywhere
    if not AND.search(own):
        return " AND ".join(f"{own}, {each.strip()}" for each in AND.split(everywhere))
    if AND.search(everywhere):
        raise RecipeError(f"The prompt of {part.region} and that of the tab both have AND; use it in one of them.")
    return " AND ".join(f"{everywhere.strip(' ,')}, {each.strip()}" for each in AND.split(own))


def negative(part: Part, everywhere: str) -> str:
    """A region's negative prompt with the tab's."""
    return ", ".join(filter(None, (text.strip(" ,\n") for text in (part.negative, everywhere))))


class Speaker:
    """Has the host encode what regions say. What was encoded is kept for further batches of the same picture."""

    def __init__(self, p: Any) -> None:
        self._p = p
        self._caches: dict[Any, list[Any]] = {}

    def spoken(self, part: Part, size: tuple[int, int], with_negative: bool) -> Spoken:
        """Of a region whose tiles are ``size`` (width, height) in pixels, for the pass that comes."""
        from modules import prompt_parser, sd_samplers

        p, hires = self._p, self._p.is_hr_pass
        prompts, against = (p.hr_prompts, p.hr_negative_prompts) if hires else (p.prompts, p.negative_prompts)
        options: dict[str, Any] = {"width": size[0], "height": size[1]}
        if hasattr(p, "distilled_cfg_scale"):
            options["distilled_cfg_scale"] = p.hr_distilled_cfg if hires else p.distilled_cfg_scale
        config = sd_samplers.find_sampler_config((hires and p.hr_sampler_name) or p.sampler_name)
        steps = (hires and p.hr_second_pass_steps) or p.steps
        steps = config.total_steps(steps) if config else steps
        passes = (getattr(p, "firstpass_steps", None) or steps, steps) if hires else (steps, None)

        def encoded(function: Any, texts: list[str], **more: Any) -> Any:
            cache = self._caches.setdefault((function.__name__, tuple(texts), size, hires), [None, None])
            wanted = prompt_parser.SdConditioning(texts, **options, **more)
            data = p.hr_extra_network_data if hires else p.extra_network_data
            return p.get_conds_with_caching(function, wanted, passes[0], [cache], data, passes[1])

        positive = encoded(prompt_parser.get_multicond_learned_conditioning,
                           [joined(part, each) for each in prompts]).batch
        if not with_negative:
            return Spoken(positive, None, (_sizes(positive), None))
        without = encoded(prompt_parser.get_learned_conditioning, [negative(part, each) for each in against],
                          is_negative_prompt=True)
        return Spoken(positive, without, (_sizes(positive), _schedules(without)))


def _sizes(positive: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(tuple((each.weight, _schedules([each.schedules])) for each in prompts) for prompts in positive)


def _schedules(schedules: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(tuple((each.end_at_step, _shape(each.cond)) for each in schedule) for schedule in schedules)


def _shape(cond: Any) -> Any:
    return tuple((key, tuple(value.shape)) for key, value in cond.items()) if isinstance(cond, dict) \
        else tuple(cond.shape)
