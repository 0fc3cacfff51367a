"""How a style gets into the UNet of A1111 and Forge: ``emb = time_embed(t) + MLP(ẽ)``, each row of the batch its own.

Two hooks on the model in memory while pictures are sampled, and none at any other time: one before the UNet, which
asks whose rows they are, and one after its ``time_embed``, which adds. Where nothing is to be added the tensor is the
model's own, so off is off to the bit.

    with styled(unet, lambda call: style) as report:            # one style for every row
        ...sample...
    with styled(unet, choose) as report:                        # choose(call) -> one Style or None for each row
        ...sample...

The innermost ``styled`` counts, so a script that calls the UNet by itself puts one around its own calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch

from diffusion_soup.dmm import Style

NO_EFFECT = ("had no effect, because the model in memory was not asked. Another extension computes in its place; turn "
             "that off.")
_STEPS = 999  # the timestep at which sampling begins


@dataclass(frozen=True)
class Call:
    """One call of the UNet: how many ``rows`` its batch has, the prompts' tensor ``context`` [rows, tokens, width], and
    the ``moment`` from 0 (the beginning of the sampling) to 1 (its end), as ComfyUI counts it."""

    rows: int
    context: torch.Tensor | None
    moment: float


#: One style for all rows, or one for each; None adds nothing.
Choose = Callable[[Call], "Style | Sequence[Style | None] | None"]
Unet = Callable[[], "torch.nn.Module | None"]


@dataclass
class Report:
    """What came of it: how often the UNet was called inside, and sentences for the user."""

    calls: int = 0
    troubles: list[str] = field(default_factory=list)

    def trouble(self, sentence: str) -> None:
        if sentence not in self.troubles:
            self.troubles.append(sentence)

    def add(self, other: Report) -> None:
        self.calls += other.calls
        for sentence in other.troubles:
            self.trouble(sentence)


@contextmanager
def styled(unet: Unet, choose: Choose) -> Iterator[Report]:
    """Style the calls of ``unet()`` inside, which is asked again by :func:`follow`, as hosts change models while they
    sample. None for a model that takes no styles."""
    layer = _Layer(choose, Report())
    if not _layers:
        _hooks.unet = unet
    _layers.append(layer)
    try:
        follow()
        yield layer.report
    finally:
        _layers.remove(layer)
        if not _layers:
            _hooks.detach()


def follow() -> None:
    """Move the hooks to the model that is in memory now. Does nothing outside of :func:`styled`."""
    if _layers:
        _hooks.attach(_hooks.unet())


@dataclass(eq=False)
class _Layer:
    choose: Choose
    report: Report


class _Hooks:
    """The hooks on one UNet, or on none."""

    def __init__(self) -> None:
        self.unet: Unet = lambda: None
        self._on: torch.nn.Module | None = None
        self._handles: list[Any] = []
        self._vectors: torch.Tensor | None = None

    def attach(self, unet: torch.nn.Module | None) -> None:
        if unet is self._on:
            return
        self.detach()
        if unet is not None:
            self._handles = [unet.register_forward_pre_hook(self._begin, with_kwargs=True),
                             unet.register_forward_hook(self._end),
                             unet.time_embed.register_forward_hook(self._add)]  # type: ignore[union-attr, arg-type]
            self._on = unet

    def detach(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._on, self._handles, self._vectors = None, [], None

    def _begin(self, unet: Any, args: tuple[Any, ...], values: dict[str, Any]) -> None:
        named = dict(zip(("x", "timesteps", "context"), args)) | values
        x, timesteps = named["x"], named.get("timesteps")
        layer = _layers[-1]
        call = Call(x.shape[0], named.get("context"), _moment(timesteps))
        chosen = layer.choose(call)
        styles = [chosen] if chosen is None or isinstance(chosen, Style) else list(chosen)
        if len(styles) not in (1, call.rows):
            raise AssertionError(f"{len(styles)} styles for {call.rows} rows")
        self._vectors = _vectors(styles, call.moment, x.device)
        for each in _layers:
            each.report.calls += 1

    def _end(self, *_: Any) -> None:
        self._vectors = None

    def _add(self, module: Any, args: Any, embedding: torch.Tensor) -> torch.Tensor | None:
        vectors = self._vectors
        if vectors is None:
            return None
        if len(vectors) not in (1, len(embedding)):
            _layers[-1].report.trouble("cannot be told apart by part: another extension changes the batch inside the "
                                       "UNet, so all have the first one's style. Turn it off, or name one style.")
            vectors = vectors[:1]
        return embedding + vectors.to(embedding)


_layers: list[_Layer] = []
_hooks = _Hooks()
#: The last vector of each style: (moment, device) and the vector on it.
_last: WeakKeyDictionary[Style, tuple[tuple[float, torch.device], torch.Tensor]] = WeakKeyDictionary()


def _moment(timesteps: torch.Tensor | None) -> float:
    """How far the sampling is: the share of the model's timesteps that are behind it."""
    if timesteps is None:
        return 0.0
    return min(max(1 - float(timesteps.reshape(-1)[0]) / _STEPS, 0.0), 1.0)


def _vectors(styles: Sequence[Style | None], moment: float, device: torch.device) -> torch.Tensor | None:
    """[1 or rows, d], zeros for rows without a style; None where no row has one."""
    found = [None if style is None or style.off else _vector(style, moment, device) for style in styles]
    some = next((vector for vector in found if vector is not None), None)
    if some is None:
        return None
    return torch.stack([torch.zeros_like(some) if vector is None else vector for vector in found])


def _vector(style: Style, moment: float, device: torch.device) -> torch.Tensor:
    """[d]"""
    wanted = (0.0 if style.constant else moment), device
    known = _last.get(style)
    if known is None or known[0] != wanted:
        known = _last[style] = wanted, style.at(wanted[0]).to(device)
    return known[1]
