"""Pictures with captions, encoded once: latents and what the text encoders make of the captions, in shards on disk.

A training reads nothing else, so neither VAE nor text encoder is in memory then, and which picture comes when follows
from the number of the step alone.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import FileError, RecipeError, SoupError
from ..files import replacing
from ..progress import Progress, Silent, check
from .network import Text

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
_SHARD = 256
_PIECE = 8
_INDEX = "index.json"


@dataclass(frozen=True)
class Captioned:
    """One picture as bytes of a file, with its caption; ``problem`` instead of both where there is one."""

    name: str
    picture: bytes = b""
    caption: str = ""
    problem: str = ""


class Encoder(Protocol):
    """VAE and text encoders of a base. ``identity`` names them, for the cache."""

    identity: str

    def latents(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) from −1 to 1 -> (B, C, H/8, W/8), scaled as the UNet wants them."""
        ...

    def text(self, captions: Sequence[str]) -> Text:
        """What the UNet is told of these; of "" what it is told where a prompt is left out."""
        ...


class PipelineEncoder:
    """The encoders of a pipeline of diffusers, SD 1.x or SDXL, whose weights are loaded."""

    def __init__(self, pipeline: Any, identity: str, size: int) -> None:
        self._pipeline, self.identity, self._size = pipeline, identity, size

    @torch.no_grad()
    def latents(self, pictures: Tensor) -> Tensor:
        vae = self._pipeline.vae
        mean: Tensor = vae.encode(pictures.to(vae.device, vae.dtype)).latent_dist.mean
        return (mean * float(vae.config.scaling_factor)).float().cpu()

    @torch.no_grad()
    def text(self, captions: Sequence[str]) -> Text:
        told = [self._told(caption) for caption in captions]
        return Text.joined(told)

    def _told(self, caption: str) -> Text:
        """As the pipeline would for a picture: SDXL's empty prompt is zeros, SD 1.x's is encoded."""
        device = self._pipeline.text_encoder.device
        found = self._pipeline.encode_prompt(caption, device=device, num_images_per_prompt=1,
                                             do_classifier_free_guidance=True)
        which = 0 if caption else 1
        if len(found) == 2:
            return Text(found[which].float().cpu())
        sizes = torch.tensor([[self._size, self._size, 0, 0, self._size, self._size]]).float()
        return Text(found[which].float().cpu(), {"text_embeds": found[2 + which].float().cpu(), "time_ids": sizes})


def in_folder(folder: Path) -> Iterator[Captioned]:
    """The pictures of a folder and those below it, each with ``NAME.txt`` (UTF-8) beside it, in the order of names."""
    if not folder.is_dir():
        raise FileError(f"The folder of pictures {str(folder)!r} does not exist.")
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in SUFFIXES:
            continue
        name, beside = path.relative_to(folder).as_posix(), path.with_suffix(".txt")
        try:
            caption = beside.read_text(encoding="utf-8-sig").strip()
            yield Captioned(name, path.read_bytes(), caption) if caption else Captioned(
                name, problem=f"{beside.name} is empty")
        except UnicodeDecodeError:
            yield Captioned(name, problem=f"{beside.name} is not UTF-8; save it as UTF-8")
        except FileNotFoundError:
            yield Captioned(name, problem=f"there is no {beside.name} with its caption")
        except OSError as error:
            yield Captioned(name, problem=f"cannot be read ({error.strerror})")


def in_shards(shards: Sequence[str]) -> Iterator[Captioned]:
    """The pictures of webdataset's tar files, each with a member ``KEY.txt``. Needs the library webdataset."""
    try:
        import webdataset
    except ImportError:
        raise SoupError("Tar files of pictures need the library webdataset: pip install webdataset.") from None
    for sample in webdataset.WebDataset(list(shards), shardshuffle=False, handler=webdataset.warn_and_continue):
        name = str(sample["__key__"])
        picture = next((sample[ending] for ending in sample if f".{ending}" in SUFFIXES), None)
        if picture is None or "txt" not in sample:
            yield Captioned(name, problem="has no picture" if picture is None else "has no caption (KEY.txt)")
            continue
        try:
            yield Captioned(name, picture, sample["txt"].decode("utf-8-sig").strip())
        except UnicodeDecodeError:
            yield Captioned(name, problem="has a caption that is not UTF-8")


def encode(source: Iterable[Captioned], encoder: Encoder, folder: Path, size: int, progress: Progress | None = None
           ) -> Encoded:
    """Encode pictures into ``folder``; shards that are there already are passed over.

    Pictures are scaled so that they fill ``size`` x ``size`` px, and cut in the middle. What cannot be read is left
    out, counted and named in ``skipped.txt``. Raises :class:`RecipeError` for a folder of another encoder or size and
    where nothing is left, :class:`FileError`, :class:`Cancelled`; what is whole stays, and the next call goes on.
    """
    progress = progress or Silent()
    if size % 64 or not 64 <= size <= 2048:
        raise RecipeError(f"size of the pictures is {size}; expected a multiple of 64 from 64 to 2048.")
    folder.mkdir(parents=True, exist_ok=True)
    made_by = hashlib.sha256(json.dumps([1, encoder.identity, size]).encode()).hexdigest()
    known = _index(folder)
    if known and known["made_by"] != made_by:
        raise RecipeError(f"{folder} has pictures encoded by another base or at another size; choose another folder.")
    skipped: list[str] = []
    sizes: list[int] = []
    shard = _Shard(_shard(folder, 0), encoder, made_by)
    for count, each in enumerate(source):
        check(progress)
        picture = None if each.problem else _picture(each.picture, size)
        if picture is None:
            skipped.append(f"{each.name}: {each.problem or 'is no picture that can be read'}")
        else:
            shard.add(each, picture)
            if len(shard) == _SHARD:
                shard.close()
                sizes.append(_SHARD)
                shard = _Shard(_shard(folder, len(sizes)), encoder, made_by)
        progress.step(count + 1, max(count + 1, known["pictures"] if known else 0), "pictures encoded")
    if len(shard):
        shard.close()
        sizes.append(len(shard))
    if not sizes:
        raise RecipeError("No picture with a caption was found" + (f"; {len(skipped)} were left out, the first: "
                                                                   f"{skipped[0]}" if skipped else "") + ".")
    _write(folder / "nothing.safetensors", _tensors([(torch.zeros(1), encoder.text([""]))]), made_by)
    try:
        (folder / "skipped.txt").write_text("".join(f"{line}\n" for line in skipped), encoding="utf-8")
        with replacing(folder / _INDEX) as part:
            part.write_text(json.dumps({"made_by": made_by, "sizes": sizes, "pictures": sum(sizes),
                                        "skipped": len(skipped)}), encoding="utf-8")
    except OSError as error:
        raise FileError(f"{folder} cannot be written to: {error.strerror}.") from None
    return Encoded(folder)


class _Shard:
    """A file of encoded pictures while it grows; where it is there already, pictures are only counted."""

    def __init__(self, path: Path, encoder: Encoder, made_by: str) -> None:
        self._path, self._encoder, self._made_by = path, encoder, made_by
        self._before = _pictures_in(path, made_by)
        self._there = len(self._before)
        self._marks: list[str] = []
        self._rows: list[tuple[Tensor, Text]] = []
        self._waiting: list[tuple[Tensor, str]] = []

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, each: Captioned, picture: Tensor) -> None:
        at = len(self._marks)
        self._marks.append(hashlib.sha256(json.dumps([each.name, each.caption]).encode()).hexdigest()[:16])
        if at < self._there and self._before[at] != self._marks[at]:
            self._there = at  # from here on the source is another one
        if at >= self._there:
            self._waiting.append((picture, each.caption))
            if len(self._waiting) == _PIECE:
                self._encode()

    def close(self) -> None:
        """Write what was added."""
        if self._marks == self._before:
            return
        if self._there:
            tensors = _open(self._path)
            before = [(tensors["latents"][at:at + 1], _text(tensors, at)) for at in range(self._there)]
            self._rows = before + self._rows
        self._encode()
        _write(self._path, _tensors(self._rows), self._made_by, self._marks)
        _open.cache_clear()

    def _encode(self) -> None:
        if self._waiting:
            latents = self._encoder.latents(torch.stack([picture for picture, _ in self._waiting]))
            text = self._encoder.text([caption for _, caption in self._waiting])
            self._rows += [(latents[at:at + 1], text.pick(slice(at, at + 1))) for at in range(len(latents))]
            self._waiting = []


@dataclass(frozen=True)
class Encoded:
    """Pictures that were encoded, as the ``Data`` of a training. Raises :class:`FileError` if the folder has none."""

    folder: Path
    seed: int = 0
    _sizes: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        known = _index(self.folder)
        if not known:
            raise FileError(f"{self.folder} has no encoded pictures; make them with diffusion-soup dmm encode.")
        object.__setattr__(self, "_sizes", tuple(known["sizes"]))

    def __len__(self) -> int:
        return sum(self._sizes)

    @property
    def skipped(self) -> list[str]:
        """What was left out, and why."""
        return (self.folder / "skipped.txt").read_text(encoding="utf-8").splitlines()

    def batch(self, step: int, count: int) -> tuple[Tensor, Text]:
        """Each picture once before any comes again, in an order that is new each time around."""
        first = step * count
        order = [self._at(first + at) for at in range(count)]
        rows = [self._row(*each) for each in order]
        return torch.cat([latents for latents, _ in rows]), Text.joined([text for _, text in rows])

    def nothing(self, count: int) -> Text:
        text = _text(_open(self.folder / "nothing.safetensors"), 0)
        return Text.joined([text] * count)

    def _at(self, number: int) -> tuple[int, int]:
        """(shard, row) of the picture that comes ``number``-th."""
        around, place = divmod(number, len(self))
        at = int(_order(len(self), self.seed, around)[place])
        for shard, size in enumerate(self._sizes):
            if at < size:
                return shard, at
            at -= size
        raise AssertionError

    def _row(self, shard: int, row: int) -> tuple[Tensor, Text]:
        path = _shard(self.folder, shard)
        try:
            tensors = _open(path)
            return tensors["latents"][row:row + 1].float(), _text(tensors, row)
        except (OSError, SafetensorError, KeyError) as error:
            raise FileError(f"{path} cannot be read ({error}); remove it and encode again.") from None


@lru_cache(maxsize=4)
def _order(count: int, seed: int, around: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed((seed << 20) + around))


@lru_cache(maxsize=16)
def _open(path: Path) -> dict[str, Tensor]:
    with safe_open(str(path), framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def _text(tensors: dict[str, Tensor], row: int) -> Text:
    return Text(tensors["tokens"][row:row + 1].float(), {
        name.removeprefix("added."): each[row:row + 1].float() for name, each in tensors.items()
        if name.startswith("added.")})


def _tensors(rows: Sequence[tuple[Tensor, Text]]) -> dict[str, Tensor]:
    text = Text.joined([told for _, told in rows])
    return {"latents": torch.cat([latents for latents, _ in rows]).half(), "tokens": text.tokens.half(),
            **{f"added.{name}": each for name, each in text.added.items()}}


def _picture(data: bytes, size: int) -> Tensor | None:
    """(3, size, size) from −1 to 1; None where it is no picture."""
    from PIL import Image, ImageOps
    try:
        with Image.open(io.BytesIO(data)) as opened:
            whole = ImageOps.exif_transpose(opened).convert("RGB")
            cut = ImageOps.fit(whole, (size, size), Image.Resampling.LANCZOS)
    except Exception:  # damaged pictures raise anything
        return None
    numbers = torch.frombuffer(bytearray(cut.tobytes()), dtype=torch.uint8).reshape(size, size, 3)
    return numbers.permute(2, 0, 1).float() / 127.5 - 1


def _shard(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:06d}.safetensors"


def _pictures_in(path: Path, made_by: str) -> list[str]:
    """The marks of the pictures of this encoder in a shard; none where it is not whole, or another's."""
    try:
        with safe_open(str(path), framework="pt") as file:
            told = file.metadata() or {}
            return list(json.loads(told["marks"])) if told.get("made_by") == made_by else []
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return []


def _index(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        return found if {"made_by", "sizes", "pictures"} <= found.keys() else {}
    except (OSError, ValueError, AttributeError):
        return {}


def _write(path: Path, tensors: dict[str, Tensor], made_by: str, marks: Sequence[str] = ()) -> None:
    try:
        with replacing(path) as part:
            part.write_bytes(save({name: each.contiguous() for name, each in tensors.items()},
                                  {"made_by": made_by, "marks": json.dumps(list(marks))}))
    except OSError as error:
        raise FileError(f"{path} could not be written: {error.strerror}. What was encoded before is kept; make room "
                        "and start again.") from None
