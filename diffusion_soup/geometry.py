"""Inner products of task vectors, streamed from files: what distances, cosines and sign conflicts are made of.

The task vector of an ingredient is τᵢ = θᵢ − θ₀; of a LoRA it is ΔW. With the sums ‖θ₀‖², ⟨θ₀, τᵢ⟩ and ⟨τᵢ, τⱼ⟩ of
each block, every distance and angle between the files follows without reading them again, also those from the mean
of any of them: where there is no base, θ₀ is just the first checkpoint, and a point to count from.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
import torch

from . import architecture as arch
from .blocks import block_of
from .checkpoint import open_checkpoint
from .errors import Cancelled, MismatchError, SoupError
from .folders import ModelFolders
from .jobs import Tuning
from .lora import Delta, LoRAFile, Match, match
from .plan import Source
from .planner import require_same_tensors
from .progress import Progress, Silent, check
from .recipe import ModelFile

#: Numbers of all files together that a worker looks at, at once.
_AT_ONCE = 1 << 19
#: A sample is runs of so many numbers, one for each so many of a tensor, evenly strided.
_RUN, _EVERY = 1 << 12, 1 << 21


@dataclass(frozen=True, eq=False)
class Sums:
    """What is summed over the tensors of one block; ``n`` ingredients. Estimates, where only a sample was read.

    ``norm`` is ‖θ₀‖²; ``norms`` the same over the tensors that ingredient i changes, or for a checkpoint has;
    ``along`` ⟨θ₀, τᵢ⟩; ``gram`` ⟨τᵢ, τⱼ⟩; ``compared`` counts the numbers that both i and j change, ``opposed``
    those they change in opposite directions.
    """

    norm: float
    norms: np.ndarray
    along: np.ndarray
    gram: np.ndarray
    compared: np.ndarray
    opposed: np.ndarray

    @classmethod
    def none(cls, n: int) -> Sums:
        return cls(0.0, np.zeros(n), np.zeros(n), np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n)))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.norm + other.norm, self.norms + other.norms, self.along + other.along,
                    self.gram + other.gram, self.compared + other.compared, self.opposed + other.opposed)


@dataclass(frozen=True, eq=False)
class Geometry:
    """The sums of every (part, block), in order; and why some of ``files`` are not in them, by their index."""

    base: ModelFile | None
    files: tuple[ModelFile, ...]
    blocks: Mapping[tuple[str, str], Sums]
    problems: Mapping[int, str]
    sampled: bool
    read_bytes: int
    title: str


def measure(base: ModelFile | None, files: Sequence[ModelFile], models: ModelFolders, *, sampled: bool = False,
            progress: Progress | None = None) -> Geometry:
    """Read the files side by side and sum up; a ``sampled`` measure reads some tens of MB of each.

    A file that does not belong to the others is left out with a sentence why. Raises :class:`SoupError` if the base
    cannot be read, and :class:`Cancelled`.
    """
    reader = _Reader(base, files, models, sampled)
    try:
        return reader.measure(progress or Silent())
    finally:
        reader.close()


class _Reader:
    """The opened files of one measure, and what its workers share."""

    def __init__(self, base: ModelFile | None, files: Sequence[ModelFile], models: ModelFolders,
                 sampled: bool) -> None:
        self.base, self.files, self.models, self.sampled = base, tuple(files), models, sampled
        self.problems: dict[int, str] = {}
        self.sources: dict[int, Source] = {}
        self.loras: dict[int, tuple[LoRAFile, Match]] = {}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.done = 0
        self.origin = self._open(base) if base else None
        self._open_checkpoints()
        if self.origin is not None:
            self._open_loras(self.origin)

    def close(self) -> None:
        for source in (*self.sources.values(), *([self.origin] if self.origin else [])):
            source.checkpoint.close()
        for lora, _ in self.loras.values():
            lora.checkpoint.close()

    # -- opening ---------------------------------------------------------------------------------

    def _open(self, file: ModelFile) -> Source:
        checkpoint = open_checkpoint(self.models.find(file))
        return Source("", file.file, checkpoint, arch.inspect(checkpoint))

    def _open_checkpoints(self) -> None:
        opened: dict[int, Source] = {}
        for at, file in enumerate(self.files):
            if file.kind == "checkpoint":
                try:
                    opened[at] = self._open(file)
                except SoupError as error:
                    self.problems[at] = str(error)
        if self.origin is None:
            self.origin = _usual(list(opened.values()))
        for at, source in opened.items():
            assert self.origin is not None
            try:
                arch.require_same(self.origin.file, self.origin.anatomy.architecture,
                                  source.file, source.anatomy.architecture)
                require_same_tensors(self.origin, source)
                self.sources[at] = source
            except MismatchError as error:
                self.problems[at] = str(error)

    def _open_loras(self, origin: Source) -> None:
        shapes = {key: info.shape for key, info in origin.anatomy.keys.items()}
        for at, file in enumerate(self.files):
            if file.kind != "lora":
                continue
            try:
                if self.base is None:
                    raise MismatchError(f"{file.file} is a LoRA, a change of a base: choose the base it was made for.")
                lora = LoRAFile(open_checkpoint(self.models.find(file)))
                self.loras[at] = lora, match(lora, shapes, origin.anatomy.architecture.family)
            except SoupError as error:
                self.problems[at] = str(error)

    # -- reading ---------------------------------------------------------------------------------

    def measure(self, progress: Progress) -> Geometry:
        if self.origin is None:
            for at, file in enumerate(self.files):
                self.problems.setdefault(at, f"{file.file} is a LoRA, a change of a base: choose the base it was made "
                                             "for.")
            return Geometry(self.base, self.files, {}, self.problems, self.sampled, 0, "")
        check(progress)
        family = self.origin.anatomy.architecture.family
        keys = sorted(self._keys(), key=lambda key: self.origin.anatomy.keys[key].begin)  # type: ignore[union-attr]
        total = sum(self._cost(key) for key in keys)
        blocks: dict[tuple[str, str], Sums] = {}
        tuning, intraop = Tuning(), torch.get_num_threads()
        pool = ThreadPoolExecutor(tuning.workers, "taste", initializer=_one_thread)
        try:
            pending = [(key, pool.submit(self._tensor, key)) for key in keys]
            for key, future in pending:
                while not future.done():
                    progress.step(min(self.done, total), total, "tasting")
                    check(progress)
                    wait([future], timeout=0.05)
                name = arch.part_of(key), block_of(key, family)
                blocks[name] = blocks.get(name, Sums.none(len(self.files))) + future.result()
        finally:
            self._stop.set()
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(intraop)
        progress.step(total, total, "tasting")
        return Geometry(self.base, self.files, blocks, self.problems, self.sampled, self.done,
                        self.origin.anatomy.architecture.title)

    def _keys(self) -> Iterator[str]:
        """What is averaged: the diffusion model and the text encoder; without a base what all checkpoints have."""
        assert self.origin is not None
        for key, info in self.origin.anatomy.keys.items():
            averaged = arch.part_of(key) in (arch.DIFFUSION, arch.TEXT) and key not in self.origin.anatomy.styles
            if averaged and info.is_float and info.numel and not arch.is_marker(key) and not arch.is_ids(key) \
                    and (self.base or all(self._has(source, key) for source in self.sources.values())):
                yield key

    def _has(self, source: Source, key: str) -> bool:
        assert self.origin is not None
        info, own = source.anatomy.keys.get(key), self.origin.anatomy.keys[key]
        return info is not None and info.is_float and (info.shape == own.shape or key == arch.CONV_IN)

    def _cost(self, key: str) -> int:
        assert self.origin is not None
        info = self.origin.anatomy.keys[key]
        count = sum(stop - start for group in self._groups(key) for start, stop in group)
        return count * info.itemsize * (1 + len(self.sources))

    def _groups(self, key: str) -> Iterator[list[tuple[int, int]]]:
        """Which numbers of a tensor are read, some of them at a time. The same ones in every file."""
        assert self.origin is not None
        count = self.origin.anatomy.keys[key].numel
        if key == arch.CONV_IN:
            yield [(0, count)]
        elif self.sampled and count > 2 * _RUN:
            runs = -(-count // _EVERY)
            gap = (count - _RUN) / (runs + 1)
            yield [(start, start + _RUN) for start in (round(gap * (at + 1)) for at in range(runs))]
        else:
            chunk = max(_RUN, _AT_ONCE // (1 + len(self.files)))
            yield from ([(start, min(start + chunk, count))] for start in range(0, count, chunk))

    def _tensor(self, key: str) -> Sums:
        """The sums over one tensor, scaled up to all of its numbers."""
        with torch.inference_mode():
            n = len(self.files)
            deltas = {at: [Delta(lora, target, layer) for target, layer in matched.targets.get(key, ())]
                      for at, (lora, matched) in self.loras.items() if key in matched.targets}
            sums, seen = Sums.none(n), 0
            for group in self._groups(key):
                if self._stop.is_set():
                    raise Cancelled("cancelled")
                origin, vectors = self._vectors(key, group, deltas)
                seen += len(origin)
                sums = sums + _summed(origin, vectors)
            assert self.origin is not None
            own = self.origin.anatomy.keys[key].numel
            having = np.array([at in deltas or (at in self.sources and self._has(self.sources[at], key))
                               for at in range(n)])
            scale = own / seen if key != arch.CONV_IN else 1.0
            return Sums(sums.norm * scale, sums.norm * scale * having, sums.along * scale, sums.gram * scale,
                        sums.compared * scale, sums.opposed * scale)

    def _vectors(self, key: str, group: list[tuple[int, int]], deltas: Mapping[int, list[Delta]]
                 ) -> tuple[torch.Tensor, torch.Tensor]:
        """Numbers of θ₀, and of every τᵢ in a row of its own."""
        assert self.origin is not None
        if key == arch.CONV_IN:
            return self._channels(key, deltas)
        origin = self._read(self.origin, key, group)
        vectors = torch.zeros(len(self.files), len(origin))
        for at, source in self.sources.items():
            if self._has(source, key) and source.checkpoint.path != self.origin.checkpoint.path:
                torch.sub(self._read(source, key, group), origin, out=vectors[at])
        info = self.origin.anatomy.keys[key]
        row = info.numel // (info.shape[0] if info.shape else 1)
        for at, changes in deltas.items():
            place = 0
            for start, stop in group:
                for delta in changes:
                    _add_delta(vectors[at, place:place + stop - start], delta, start, stop, row)
                place += stop - start
        return origin, vectors

    def _channels(self, key: str, deltas: Mapping[int, list[Delta]]) -> tuple[torch.Tensor, torch.Tensor]:
        """The first convolution, of which inpainting models have more channels: those that all have."""
        assert self.origin is not None
        own = self.origin.anatomy.keys[key]
        found = {at: source.checkpoint.tensor(source.anatomy.keys[key].name).float()
                 for at, source in self.sources.items()}
        origin = self.origin.checkpoint.tensor(own.name).float()
        with self._lock:
            self.done += own.nbytes * (1 + len(found))
        vectors = torch.zeros(len(self.files), *origin.shape)
        for at, changes in deltas.items():
            for delta in changes:
                rows = slice(delta.target.start, delta.target.stop)
                vectors[at, rows] += delta.rows(delta.target.start, delta.target.stop).view_as(vectors[at, rows])
        common = min(tensor.shape[1] for tensor in (origin, *found.values())) if origin.dim() > 1 else None
        origin, vectors = origin[:, :common], vectors[:, :, :common]
        for at, tensor in found.items():
            vectors[at] = tensor[:, :common] - origin
        return origin.reshape(-1), vectors.reshape(len(vectors), -1)

    def _read(self, source: Source, key: str, group: list[tuple[int, int]]) -> torch.Tensor:
        info = source.anatomy.keys[key]
        count = sum(stop - start for start, stop in group)
        buffer = np.empty(max(stop - start for start, stop in group) * info.itemsize, dtype=np.uint8)
        out, place = torch.empty(count), 0
        for start, stop in group:
            out[place:place + stop - start] = source.checkpoint.read(info.name, start, stop, buffer)
            place += stop - start
        with self._lock:
            self.done += count * info.itemsize
        return out


def _usual(sources: Sequence[Source]) -> Source | None:
    """The first checkpoint of the family that most have: without a base the others are looked at from there."""
    families = [source.anatomy.architecture.family for source in sources]
    return max(sources, key=lambda source: families.count(source.anatomy.architecture.family), default=None)


def _add_delta(out: torch.Tensor, delta: Delta, start: int, stop: int, row: int) -> None:
    """Add the numbers [start, stop) of a LoRA's change; they need not begin or end with a row."""
    first, last = delta.target.clip(start // row, -(-stop // row))
    if first < last:
        change = delta.rows(first, last).reshape(-1)
        begin, end = max(start, first * row), min(stop, last * row)
        out[begin - start:end - start] += change[begin - first * row:end - first * row]


def _summed(origin: torch.Tensor, vectors: torch.Tensor) -> Sums:
    signs = vectors.sign()
    agreed, compared = (signs @ signs.T).double().numpy(), (signs.abs() @ signs.abs().T).double().numpy()
    along, gram = (vectors @ origin).double().numpy(), (vectors @ vectors.T).double().numpy()
    return Sums(float(origin.double().square().sum()), np.zeros(len(vectors)), along, gram, compared,
                (compared - agreed) / 2)


def _one_thread() -> None:
    torch.get_num_threads()  # a thread takes the host's number when it is first asked, so ask before changing it
    torch.set_num_threads(1)
