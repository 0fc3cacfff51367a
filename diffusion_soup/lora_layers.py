"""What a layer of a LoRA file is, and how its change ΔW of a weight is computed.

A kind of layer is a subclass of :class:`Layer` and an entry of ``KINDS``. Kinds we know by name but
cannot cook yet are rows of ``REFUSED``, so that no layer of a file is left out in silence.

ΔW does not depend on how its rows are sliced, on threads, or on the BLAS: both factors are rounded to
a grid about as fine as float32 and so chosen that every sum of their products is exact in float64
(:func:`product`). Then the order of summation cannot matter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch

from .checkpoint import TensorInfo
from .errors import FileError

#: Reads a tensor of the file, whole, as float64.
Read = Callable[[str], torch.Tensor]
#: Computes rows [start, stop) of a layer's ΔW, in float32.
Rows = Callable[[int, int], torch.Tensor]


class Source(Protocol):
    """What a layer asks of its file while it is built."""

    name: str

    def alpha(self, layer: str, stored: TensorInfo | None, rank: int) -> float:
        """The alpha of a layer, from its own tensor, the file's metadata, or its rank."""


# -- exact products -------------------------------------------------------------------------------------


def on_grid(x: torch.Tensor, dim: int, bits: int) -> torch.Tensor:
    """``x`` rounded to multiples of 2^(e - bits), where 2^e bounds the magnitudes along ``dim``."""
    exponent = torch.frexp(x.abs().amax(dim, keepdim=True))[1].clamp(-900, 900)
    step = ((exponent.long() - bits + 1023) << 52).view(torch.float64)  # 2^(exponent - bits), to the bit
    return torch.round(x / step) * step


def grid_bits(terms: int) -> int:
    """b with terms · 2^(2b) <= 2^53: sums of that many products of b-bit numbers are exact in float64."""
    return (53 - (terms - 1).bit_length()) // 2


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """``left @ right``, exact once each row of ``left`` and column of ``right`` is on its grid."""
    bits = grid_bits(left.shape[1])
    return on_grid(left, 1, bits) @ on_grid(right, 0, bits)


# -- kinds of layers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """One layer of one file: changes ``parameter`` of module ``name``, seen as a [rows, columns] matrix."""

    name: str
    parameter: str
    rows: int
    columns: int

    #: What its tensors are called after the layer's name.
    roles: ClassVar[Mapping[str, re.Pattern[str]]] = {}

    @classmethod
    def build(cls, name: str, found: Mapping[str, TensorInfo], source: Source) -> list[Layer]:
        """The layers made of the tensors ``found``, by role. Raises FileError if they do not fit together."""
        raise NotImplementedError

    def load(self, read: Read, transposed: bool) -> Rows:
        """Read the factors once; what is returned computes rows of ΔW, or of its transpose."""
        raise NotImplementedError

    @property
    def nbytes(self) -> int:
        """Bytes held after :meth:`load`, at the peak while loading."""
        raise NotImplementedError


@dataclass(frozen=True)
class LowRank(Layer):
    """LoRA and LoCon: ΔW = alpha/rank · up @ down, or with the Tucker core ``mid`` in between."""

    up: str
    down: str
    mid: str | None
    alpha: float
    rank: int

    roles: ClassVar[Mapping[str, re.Pattern[str]]] = {
        "up": re.compile(r"\.lora_up\.weight$|\.lora_B(\.[^.]+)?\.weight$|\.lora_B$|[._]lora\.up\.weight$"
                         r"|\.lora_linear_layer\.up\.weight$"),
        "down": re.compile(r"\.lora_down\.weight$|\.lora_A(\.[^.]+)?\.weight$|\.lora_A$|[._]lora\.down\.weight$"
                           r"|\.lora_linear_layer\.down\.weight$"),
        "mid": re.compile(r"\.lora_mid\.weight$"),
        "alpha": re.compile(r"\.alpha$"),
    }

    @classmethod
    def build(cls, name: str, found: Mapping[str, TensorInfo], source: Source) -> list[Layer]:
        up, down, mid = found.get("up"), found.get("down"), found.get("mid")
        if up is None or down is None:
            missing = "up" if up is None else "down"
            raise FileError(f"{source.name}: layer {name!r} has no {missing} matrix, the file is incomplete. "
                            "Fix: download or save it again.")
        core = mid.shape if mid else (*down.shape[:1], *down.shape[:1])
        matrices = (up, down, mid) if mid else (up, down)
        rank = down.shape[0] if down.shape else 0
        if (len(core) < 2 or core[1] != rank or not all(m.numel and m.is_float for m in matrices)
                or up.numel != up.shape[0] * core[0]):
            shapes = ", ".join(f"{role} {list(info.shape)}" for role, info in found.items() if role != "alpha")
            raise FileError(f"{source.name}: the matrices of layer {name!r} cannot be multiplied ({shapes}), the "
                            "file is damaged. Fix: download or save it again.")
        columns = down.numel // rank * math.prod(core[2:])
        return [cls(name, "weight", up.shape[0], columns, up.name, down.name, mid.name if mid else None,
                    source.alpha(name, found.get("alpha"), rank), rank)]

    def load(self, read: Read, transposed: bool) -> Rows:
        left, right = read(self.up).reshape(self.rows, -1), read(self.down).reshape(self.rank, -1)
        if self.mid:
            right = _through_core(read(self.mid), right)
        if transposed:
            left, right = right.T, left.T
        bits, scale = grid_bits(left.shape[1]), self.alpha / self.rank
        left, right = on_grid(left, 1, bits), on_grid(right, 0, bits)
        return lambda start, stop: (left[start:stop] @ right).mul_(scale).float()

    @property
    def nbytes(self) -> int:
        return 3 * 8 * self.rank * (self.rows + self.columns)


def _through_core(mid: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """Σ_n mid[m, n, k] · down[n, i] as [m, i·k]: the right factor of a Tucker layer with kernel k."""
    outer, inner = mid.shape[:2]
    core = mid.reshape(outer, inner, -1).transpose(1, 2)  # m, k, n
    right = product(core.reshape(-1, inner), down).reshape(outer, core.shape[1], -1)  # m, k, i
    return right.transpose(1, 2).reshape(outer, -1)


@dataclass(frozen=True)
class Difference(Layer):
    """The difference itself, as LyCORIS's "full" and "norm" layers store it: ΔW = diff."""

    diff: str

    roles: ClassVar[Mapping[str, re.Pattern[str]]] = {
        "weight": re.compile(r"\.diff$|\.w_norm$"),
        "bias": re.compile(r"\.diff_b$|\.b_norm$"),
    }

    @classmethod
    def build(cls, name: str, found: Mapping[str, TensorInfo], source: Source) -> list[Layer]:
        layers: list[Layer] = []
        for parameter, info in found.items():
            if not info.numel or not info.is_float:
                raise FileError(f"{source.name}: tensor {info.name!r} ({info.dtype}, {list(info.shape)}) is no "
                                "difference of weights, the file is damaged. Fix: download or save it again.")
            rows = info.shape[0] if info.shape else 1
            layers.append(cls(name, parameter, rows, info.numel // rows, info.name))
        return layers

    def load(self, read: Read, transposed: bool) -> Rows:
        diff = read(self.diff).reshape(self.rows, self.columns)
        diff = diff.T if transposed else diff
        return lambda start, stop: diff[start:stop].float()

    @property
    def nbytes(self) -> int:
        return 2 * 8 * self.rows * self.columns


KINDS: tuple[type[Layer], ...] = (LowRank, Difference)

#: Kinds that are recognised by the names of their tensors, and not cooked yet.
REFUSED = (
    ("a LoHa", re.compile(r"\.hada_")),
    ("a LoKr", re.compile(r"\.lokr_")),
    ("a DoRA", re.compile(r"\.dora_scale$|\.lora_magnitude_vector")),
    ("an OFT or BOFT", re.compile(r"\.b?oft_")),
    ("a GLoRA", re.compile(r"\.[ab][12]\.weight$")),
    ("an (IA)³", re.compile(r"\.on_input$|\.ia3_l")),
    ("a LoRA with biases of its own (PEFT's lora_bias)", re.compile(r"\.lora_B(\.[^.]+)?\.bias$")),
    ("a LoRA that replaces or reshapes whole weights", re.compile(r"\.(set_weight|reshape_weight)$")),
)

#: (kind, layer name) -> role -> tensor
Found = dict[tuple[type[Layer], str], dict[str, TensorInfo]]


def sort_tensors(file: str, tensors: Mapping[str, TensorInfo]) -> tuple[Found, list[str]]:
    """Group tensors by (kind, layer name) and role; what belongs to no layer comes second."""
    found: Found = {}
    unknown: list[str] = []
    for key, info in tensors.items():
        for title, pattern in REFUSED:
            if pattern.search(key):
                raise FileError(f"{file} is {title} file (it has {key!r}), which cannot be cooked yet: convert it to a "
                                "plain LoRA or leave it out.")
        place = _role(key)
        if place is None:
            unknown.append(key)
            continue
        kind, name, role = place
        if role in (roles := found.setdefault((kind, name), {})):
            raise FileError(f"{file}: layer {name!r} has two tensors for one role, {roles[role].name!r} and {key!r}. "
                            "Fix: save the LoRA again with one of them.")
        roles[role] = info
    named = {name for (_, name), roles in found.items() if roles.keys() != {"alpha"}}
    for entry in [entry for entry, roles in found.items() if roles.keys() == {"alpha"}]:
        alone = found.pop(entry)  # beside a difference, an alpha says nothing
        if entry[1] not in named:
            unknown.append(alone["alpha"].name)
    return found, unknown


def _role(key: str) -> tuple[type[Layer], str, str] | None:
    for kind in KINDS:
        for role, pattern in kind.roles.items():
            if suffix := pattern.search(key):
                return kind, key[:suffix.start()], role
    return None
