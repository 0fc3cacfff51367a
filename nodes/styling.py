"""Styles in ComfyUI: how a STYLE gets into the UNet, per conditioning or model-wide.

The stock UNet calls ``emb_patch`` right after its time embedding, which is where a DMM student adds its style,
so no model class is copied and no module is changed. A style travels in the conditioning (or in a clone's model
options). Two wrappers on the MODEL do the rest: one, around each evaluation of all conditionings, turns styles
into a model cond of shape [B, d], zeros where there is none, so that conditionings with different styles and
without one share a batch; the other, around the UNet, adds it.

With no style anywhere both wrappers step aside, and the picture is the plain model's to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import comfy.conds
import comfy.model_base
import torch
from comfy.patcher_extension import WrappersMP

from ..diffusion_soup.dmm import Codebook, Style
from ..diffusion_soup.dmm.codebook import TITLES
from ..diffusion_soup.errors import MismatchError, RecipeError

KEY = "diffusion_soup_style"  # in conditionings, model conds, model options, attachments
_MOMENTS = 1000

Conditioning = list[list[Any]]


@dataclass(frozen=True)
class Span:
    """A style over a part of the sampling, from 0 (its beginning) to 1 (its end)."""

    style: Style
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= 1:
            raise RecipeError(f"The style is to start at {self.start:g} and to end at {self.end:g}; the start must be "
                              "before the end.")

    def __deepcopy__(self, memo: dict[int, Any]) -> Span:
        return self

    @property
    def timeless(self) -> bool:
        """Whether it is the same at every moment."""
        return self.style.constant and (self.start, self.end) == (0.0, 1.0)

    def covers(self, moment: float) -> bool:
        return self.start <= moment < self.end or (self.end == 1.0 and moment >= 1.0)


class _Unread(comfy.conds.CONDRegular):
    """A conditioning's style before our wrapper has read it. Where there is no wrapper, sampling stops in words."""

    def __init__(self, span: Span) -> None:
        super().__init__(torch.zeros(1, span.style.codebook.width))
        self.span = span

    def _copy_with(self, cond: Any) -> _Unread:
        return _Unread(self.span)

    def process_cond(self, *args: Any, **kwargs: Any) -> Any:
        raise MismatchError("A conditioning has a style, but this MODEL cannot take styles: connect the MODEL of Load "
                            "Student, of Cook Soup with a student in it, or of Apply Style; or remove Style on "
                            "Conditioning.")


# -- putting styles on things -------------------------------------------------------------------


def listening(model: Any, codebook: Codebook | None = None) -> Any:
    """A clone of a MODEL that takes styles; with a codebook, styles of that student alone."""
    clone = model.clone()
    for kind, wrapper in ((WrappersMP.CALC_COND_BATCH, _read_styles), (WrappersMP.DIFFUSION_MODEL, _add_styles)):
        if not clone.get_wrappers(kind, KEY):
            clone.add_wrapper_with_key(kind, KEY, wrapper)
    if codebook is not None:
        clone.set_attachments(KEY, codebook)
    return clone


def apply(model: Any, style: Style, start: float, end: float) -> Any:
    """A clone of a MODEL with a style for every conditioning that has none of its own."""
    _check(model.model, model.get_attachment(KEY), style)
    clone = listening(model)
    options = clone.model_options.setdefault("transformer_options", {})
    options[KEY] = [*options.get(KEY, []), Span(style, start, end)]
    return clone


def condition(conditioning: Conditioning, style: Style, start: float, end: float) -> Conditioning:
    """A copy of a CONDITIONING that carries a style in place of the one it had."""
    span = Span(style, start, end)
    return [[tensor, {**values, KEY: span, "model_conds": {**values.get("model_conds", {}), KEY: _Unread(span)}}]
            for tensor, values in conditioning]


# -- while sampling -----------------------------------------------------------------------------


def _read_styles(executor: Any, model: Any, conds: Sequence[Any], x: torch.Tensor, sigma: torch.Tensor,
                 model_options: Mapping[str, Any]) -> Any:
    """Around the evaluation of all conditionings at one step: every one gets a model cond with its style or zeros."""
    rows = vectors(model, conds, sigma, model_options)
    if rows is not None:
        conds = [group and [styled(cond, row) for cond, row in zip(group, mine)] for group, mine in zip(conds, rows)]
    return executor(model, conds, x, sigma, model_options)


def vectors(model: Any, conds: Sequence[Any], sigma: torch.Tensor, model_options: Mapping[str, Any]
            ) -> list[list[torch.Tensor | None]] | None:
    """What is added for each conditioning of each list at this step: [1, d], zeros where others have a style.

    None where there is no style anywhere, or where conditionings carry their vectors already.
    Raises :class:`MismatchError` for a style that was not made for this model.
    """
    everywhere = model_options.get("transformer_options", {}).get(KEY, [])
    spans = [[_span(cond) for cond in group or ()] for group in conds]
    own = [span for group in spans for span in group if span]
    if not everywhere and not own or any(_read(cond) for group in conds for cond in group or ()):
        return None
    student = model.current_patcher.get_attachment(KEY) if model.current_patcher is not None else None
    for span in own:
        _check(model, student, span.style)
    moment = 0.0 if all(span.timeless for span in (*everywhere, *own)) else _moment(model.model_sampling, sigma)
    rows = [[_vector([span] if span else everywhere, moment, sigma.device) for span in group] for group in spans]
    some = next((row for group in rows for row in group if row is not None), None)
    if some is None:
        return rows
    return [[torch.zeros_like(some) if row is None else row for row in group] for group in rows]


def styled(cond: Mapping[str, Any], rows: torch.Tensor | None) -> dict[str, Any]:
    """A conditioning with what is added, [1 or B, d], in place of its style; None adds nothing."""
    model_conds = {key: value for key, value in cond["model_conds"].items() if key != KEY}
    if rows is not None:
        model_conds[KEY] = comfy.conds.CONDRegular(rows)
    return {**cond, "model_conds": model_conds}


def listens(model_options: Mapping[str, Any]) -> bool:
    """Whether a model with these options takes styles."""
    wrappers = model_options.get("transformer_options", {}).get("wrappers", {})
    return bool(wrappers.get(WrappersMP.DIFFUSION_MODEL, {}).get(KEY))


def _add_styles(executor: Any, x: torch.Tensor, timesteps: Any = None, context: Any = None, y: Any = None,
                control: Any = None, transformer_options: Any = None, **values: Any) -> Any:
    """Around the UNet: emb = time_embed(t) + MLP(ẽ), for each row of the batch its own."""
    options = transformer_options if transformer_options is not None else {}
    vectors = values.pop(KEY, None)
    if vectors is not None:
        def add(emb: torch.Tensor, channels: int, options: Any) -> torch.Tensor:
            return emb + vectors.to(emb)

        patches = options.get("patches", {})
        options = {**options, "patches": {**patches, "emb_patch": [*patches.get("emb_patch", []), add]}}
    return executor(x, timesteps, context, y, control, options, **values)


def _span(cond: Mapping[str, Any]) -> Span | None:
    """A conditioning's own style. Conditionings that ComfyUI makes up as counterparts of others keep one of the two."""
    unread = cond.get("model_conds", {}).get(KEY)
    return cond.get(KEY) or (unread.span if isinstance(unread, _Unread) else None)


def _read(cond: Mapping[str, Any]) -> bool:
    """Whether a conditioning has its vectors in place of its style."""
    found = cond.get("model_conds", {}).get(KEY)
    return found is not None and not isinstance(found, _Unread)


#: The last vector of each style: (moment, device) and the vector on it.
_last: WeakKeyDictionary[Style, tuple[tuple[float, torch.device], torch.Tensor]] = WeakKeyDictionary()


def _vector(spans: Sequence[Span], moment: float, device: torch.device) -> torch.Tensor | None:
    """[1, d]: the style of the last span that covers the moment; None where nothing is added."""
    span = next((span for span in reversed(spans) if span.covers(moment)), None)
    if span is None or span.style.off:
        return None
    wanted = (0.0 if span.style.constant else moment), device
    known = _last.get(span.style)
    if known is None or known[0] != wanted:
        known = _last[span.style] = wanted, span.style.at(wanted[0])[None].to(device)
    return known[1]


_sigmas: WeakKeyDictionary[Any, torch.Tensor] = WeakKeyDictionary()


def _moment(sampling: Any, sigma: torch.Tensor) -> float:
    """How far the sampling is at this sigma: the inverse of ``percent_to_sigma``, in [0, 1]."""
    table = _sigmas.get(sampling)
    if table is None:
        percents = [1 - step / _MOMENTS for step in range(_MOMENTS + 1)]
        percents[0], percents[-1] = 1 - 1e-6, 1e-6  # at 0 and 1 themselves ComfyUI gives sigmas no sampling reaches
        table = torch.tensor([float(sampling.percent_to_sigma(percent)) for percent in percents])
        _sigmas[sampling] = table
    value = sigma.reshape(-1)[:1].to(table)  # the table rises, from the end of the sampling to its beginning
    above = int(torch.searchsorted(table, value).clamp(1, _MOMENTS))
    low, high = table[above - 1].item(), table[above].item()
    share = (value.item() - low) / (high - low) if high > low else 0.0
    return 1 - (above - 1 + min(max(share, 0.0), 1.0)) / _MOMENTS


# -- what fits ------------------------------------------------------------------------------------


def check(model: Any, style: Style, whose: str) -> None:
    """Raise :class:`MismatchError`, which says ``whose`` style it is, unless a MODEL takes it."""
    try:
        _check(model.model, model.get_attachment(KEY), style)
    except MismatchError as error:
        raise MismatchError(f"{whose}: {error}") from None


def _check(model: Any, student: Codebook | None, style: Style) -> None:
    """Raise :class:`MismatchError` unless the style was made for this model."""
    codebook = style.codebook
    family = _family(model)
    if family is None:
        raise MismatchError(f"{codebook.file} is a student of {TITLES[codebook.family]}, and this MODEL is a "
                            f"{type(model).__name__}, which takes no styles of it. Connect a model of "
                            f"{TITLES[codebook.family]}.")
    if (family, model.diffusion_model.time_embed[-1].out_features) != (codebook.family, codebook.width):
        raise MismatchError(f"The style is one of {codebook.file}, a student of {TITLES[codebook.family]}, but this "
                            f"MODEL is {TITLES[family]}. Use a style of a student of {TITLES[family]}.")
    if student is not None and student is not codebook:
        student.require_same_mlp(codebook)


def _family(model: Any) -> str | None:
    if isinstance(model, comfy.model_base.SDXL):
        return "sdxl"
    plain = type(model) is comfy.model_base.BaseModel or isinstance(model, comfy.model_base.SD15_instructpix2pix)
    return "sd1" if plain and model.model_config.unet_config.get("context_dim") == 768 else None


