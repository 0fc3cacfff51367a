"""Teachers, and the ways to have many of them on one machine.

All answer the same question: what does teacher ``styles[b]`` say about picture b? So a training step neither knows nor
cares whether teachers stay on the device (:class:`Resident`), take turns there (:class:`Streamed`), or are LoRAs over
one base that answer in one pass (:class:`LowRank`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import MismatchError
from .network import Text, predict, tapped
from .noise import PREDICTIONS, Schedule


@dataclass(frozen=True, eq=False)
class Seen:
    """What a UNet says about B noisy pictures: ``epsilon`` (B, C, H, W), and the features at its taps, (B, ...) each;
    none where nobody asked."""

    epsilon: Tensor
    features: tuple[Tensor, ...] = ()


class Teachers(Protocol):
    """N teachers under their ``names``. Nothing they give carries a gradient."""

    names: tuple[str, ...]

    def see(self, noisy: Tensor, times: Tensor, text: Text, styles: Tensor, features: bool = False) -> Seen:
        """What teacher ``styles[b]``, (B,) int64, says about picture b."""
        ...


class Resident:
    """Teachers that stay where they are: N UNets of diffusers, each with the kind of its prediction."""

    def __init__(self, unets: Mapping[str, Any], schedule: Schedule, predictions: Sequence[str] = ()) -> None:
        self.names = tuple(unets)
        self._unets = [unet.requires_grad_(False).eval() for unet in unets.values()]
        self._schedule, self._predictions = schedule, _predictions(predictions, self.names)

    def see(self, noisy: Tensor, times: Tensor, text: Text, styles: Tensor, features: bool = False) -> Seen:
        def one(style: int, noisy: Tensor, times: Tensor, text: Text) -> tuple[Tensor, list[Tensor]]:
            return _look(self._unets[style], predict, noisy, times, text, features)

        return _by_style(noisy, times, text, styles, one, self._schedule, self._predictions)


class Streamed:
    """Teachers whose weights wait in RAM and take turns in one UNet on the device.

    While a teacher answers, the next one's weights are copied on a stream of their own, so with enough pictures a
    turn the copies cost nothing. On a CPU there is nothing to copy: the weights are used where they lie. ``states`` are
    state dicts of one architecture; those of a CUDA device should be pinned.
    """

    def __init__(self, unet: Any, states: Mapping[str, Mapping[str, Tensor]], schedule: Schedule,
                 predictions: Sequence[str] = ()) -> None:
        self.names = tuple(states)
        self._unet, self._states = unet.requires_grad_(False).eval(), list(states.values())
        for name, state in states.items():
            _same_tensors(unet, state, name)
        self._schedule, self._predictions = schedule, _predictions(predictions, self.names)
        self._device = next(unet.parameters()).device
        self._copies: Any = None
        if self._device.type == "cuda":
            self._copies = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._here: dict[int, tuple[dict[str, Tensor], Any]] = {}

    def see(self, noisy: Tensor, times: Tensor, text: Text, styles: Tensor, features: bool = False) -> Seen:
        turns = _turns(styles)
        self._fetch(turns[0])

        def one(style: int, noisy: Tensor, times: Tensor, text: Text) -> tuple[Tensor, list[Tensor]]:
            weights = self._arrived(style)
            after = turns[turns.index(style) + 1:]
            if after:
                self._fetch(after[0])

            def with_weights(unet: Any, noisy: Tensor, times: Tensor, text: Text) -> Tensor:
                more: dict[str, Any] = {"added_cond_kwargs": text.added} if text.added else {}
                if text.classes is not None:
                    more["class_labels"] = text.classes
                output: Tensor = torch.func.functional_call(
                    unet, weights, (noisy, times, text.tokens), {"return_dict": False, **more})[0]
                return output

            return _look(self._unet, with_weights, noisy, times, text, features)

        return _by_style(noisy, times, text, styles, one, self._schedule, self._predictions)

    def _fetch(self, style: int) -> None:
        """Begin to bring a teacher's weights; at most two are on the device."""
        if style in self._here:
            return
        for other in list(self._here)[:-1]:
            del self._here[other]
        if self._copies is None:
            self._here[style] = dict(self._states[style]), None
            return
        self._copies.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._copies):
            copied = {name: each.to(self._device, non_blocking=True) for name, each in self._states[style].items()}
            self._here[style] = copied, self._copies.record_event()

    def _arrived(self, style: int) -> dict[str, Tensor]:
        self._fetch(style)
        weights, event = self._here[style]
        if event is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_event(event)
            for each in weights.values():
                each.record_stream(current)
        return weights


#: Of one LoRA, for each layer by its name in the UNet: ``down`` (r, in, ...) and ``up`` (out, r, ...), scale included.
Factors = Mapping[str, tuple[Tensor, Tensor]]


class LowRank:
    """LoRAs over one base: one pass of the base for all pictures, in which each layer adds to each picture the
    low-rank branch of its own teacher: W x + up_i (down_i x).

    Linear layers and convolutions (of any stride, without groups) can be changed; ranks may differ.
    Raises :class:`MismatchError` for a layer that the base does not have.
    """

    def __init__(self, unet: Any, loras: Mapping[str, Factors], schedule: Schedule, prediction: str = "epsilon"
                 ) -> None:
        self.names = tuple(loras)
        self._unet, self._schedule = unet.requires_grad_(False).eval(), schedule
        self._predictions = _predictions((prediction,) * len(loras), self.names)
        self._styles: Tensor | None = None
        layers = dict(unet.named_modules())
        for path in sorted({path for factors in loras.values() for path in factors}):
            layer = layers.get(path)
            if not isinstance(layer, (nn.Linear, nn.Conv2d)) or getattr(layer, "groups", 1) != 1:
                owner = next(name for name, factors in loras.items() if path in factors)
                raise MismatchError(f"The LoRA {owner} changes {path}, which is no linear layer or convolution of this "
                                    "base; take a LoRA of the same family.")
            layer.register_forward_hook(self._branch(*_stacked(layer, [each.get(path) for each in loras.values()])))

    def see(self, noisy: Tensor, times: Tensor, text: Text, styles: Tensor, features: bool = False) -> Seen:
        self._styles = styles
        try:
            output, found = _look(self._unet, predict, noisy, times, text, features)
        finally:
            self._styles = None
        return Seen(self._schedule.epsilon(output, noisy, times, self._predictions[0]), tuple(found))

    def _branch(self, downs: Tensor, ups: Tensor) -> Callable[[nn.Module, Any, Tensor], Tensor | None]:
        def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            if self._styles is None:
                return None
            x = inputs[0]
            down, up = (each.to(x.device, x.dtype)[self._styles.to(x.device)] for each in (downs, ups))
            if isinstance(layer, nn.Linear):
                flat = x.reshape(len(x), -1, x.shape[-1])
                return output + (flat @ down.transpose(1, 2) @ up.transpose(1, 2)).reshape(output.shape)
            assert isinstance(layer, nn.Conv2d)
            count, rank = down.shape[:2]
            # Each picture has kernels of its own: all pictures are the groups of one convolution.
            inside = functional.conv2d(x.reshape(1, -1, *x.shape[2:]), down.flatten(0, 1), None, layer.stride,
                                       layer.padding, layer.dilation, groups=count)
            inside = inside.reshape(count, rank, -1)
            return output + (up.flatten(2) @ inside).reshape(output.shape)

        return add


def _stacked(layer: nn.Module, factors: Sequence[tuple[Tensor, Tensor] | None]) -> tuple[Tensor, Tensor]:
    """``down`` (N, r, in, ...) and ``up`` (N, out, r) of all LoRAs, filled up with zeros."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    rank = max(each[0].shape[0] for each in factors if each)
    downs = torch.zeros(len(factors), rank, *weight.shape[1:])
    ups = torch.zeros(len(factors), weight.shape[0], rank)
    for at, each in enumerate(factors):
        if each:
            down, up = each
            if down[0].numel() != weight[0].numel() or up.shape[0] != weight.shape[0]:
                raise MismatchError(f"A LoRA changes a layer of {list(weight.shape)} with factors of "
                                    f"{list(down.shape)} and {list(up.shape)}; take a LoRA of the same family.")
            downs[at, :len(down)] = down.float().reshape(len(down), *weight.shape[1:])
            ups[at, :, :len(down)] = up.float().flatten(1)
    return downs, ups


def _look(unet: Any, call: Callable[..., Tensor], noisy: Tensor, times: Tensor, text: Text, features: bool
          ) -> tuple[Tensor, list[Tensor]]:
    with torch.no_grad():
        if not features:
            return call(unet, noisy, times, text), []
        with tapped(unet) as found:
            return call(unet, noisy, times, text), found


def _by_style(noisy: Tensor, times: Tensor, text: Text, styles: Tensor,
              one: Callable[..., tuple[Tensor, list[Tensor]]], schedule: Schedule, predictions: Sequence[str]) -> Seen:
    """Each teacher on the pictures that are its own, and the answers back in the order of the pictures."""
    turns = _turns(styles)
    rows = [torch.nonzero(styles == style).flatten().to(noisy.device) for style in turns]
    parts: list[Seen] = []
    for style, which in zip(turns, rows):
        x, at, told = noisy[which], times[which], text.pick(which)
        output, found = one(style, x, at, told)
        parts.append(Seen(schedule.epsilon(output, x, at, predictions[style]), tuple(found)))
    order = torch.cat(rows).argsort()
    features = tuple(torch.cat(each)[order] for each in zip(*(part.features for part in parts)))
    return Seen(torch.cat([part.epsilon for part in parts])[order], features)


def _turns(styles: Tensor) -> list[int]:
    """The styles that are asked for, each once, in order."""
    return sorted({int(style) for style in styles.tolist()})


def _predictions(kinds: Sequence[str], names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise MismatchError("There is no teacher; name at least one.")
    found = tuple(kinds) or ("epsilon",) * len(names)
    wrong = next((name for name, kind in zip(names, found) if kind not in PREDICTIONS), None)
    if wrong is not None or len(found) != len(names):
        raise MismatchError(f"Every teacher needs the kind of its prediction, one of {', '.join(PREDICTIONS)}; "
                            f"{wrong or 'one of them'} has none.")
    return found


def _same_tensors(unet: Any, state: Mapping[str, Tensor], name: str) -> None:
    own = unet.state_dict()
    off = next((key for key in own if key not in state or state[key].shape != own[key].shape), None)
    if off is not None:
        has = list(state[off].shape) if off in state else "nothing"
        raise MismatchError(f"The teacher {name} has {has} for {off}, expected {list(own[off].shape)}: teachers of one "
                            "student are of one architecture.")
