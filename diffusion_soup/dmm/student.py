"""Students on disk: the three kinds of files there are, and the one we write.

1. a diffusers folder (``unet/``, ``vae/``, ``text_encoder/``, ...), as the authors publish it;
2. one file with LDM names, ``model.diffusion_model.model_embedding.weight`` among them, or its UNet alone;
3. a training folder of accelerate, or a file from one: the UNet alone, with diffusers names.

All are seen through the canonical keys of the LDM layout. What we write is kind 2, with the names of the
styles in its metadata; a loader that knows nothing of styles takes it for the plain model.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from .. import architecture as arch
from .. import layout
from ..checkpoint import DTYPES, Checkpoint, TensorInfo, open_checkpoint
from ..errors import FileError, MismatchError, RecipeError, shown
from ..metadata import STYLES_KEY, style_names
from ..plan import Plan
from ..progress import Progress, Silent, check
from ..writer import StreamingWriter
from .codebook import TITLES, Codebook, StyleMLP

_CODES = "model_embedding.weight"
_MLP = ("linear_1.weight", "linear_1.bias", "linear_2.weight", "linear_2.bias")
_PREFIXES = (arch.UNET, "diffusion_model.", "module.unet.", "module.", "unet.", "")
_WEIGHT_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors", "model.safetensors",
                 "model.fp16.safetensors", "diffusion_pytorch_model.bin", "pytorch_model.bin", "model.bin")
_SHARD = re.compile(r"(diffusion_pytorch_model|model|pytorch_model)(\.fp16)?-\d+-of-\d+\.(safetensors|bin)")
_ARCHITECTURES = {"sd1": "stable-diffusion-v1", "sdxl": "stable-diffusion-xl-v1-base"}
_CONTEXT = {"sd1": 768, "sdxl": 2048}

_OUTPUTS = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}

Make = Callable[[], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Student:
    """A student, opened lazily: its styles are read, its other tensors are described.

    ``tensors`` maps canonical keys (without the styles') to name, dtype and shape; ``unknown`` are names in the files
    that have no place in this layout.
    """

    file: str
    codebook: Codebook
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    unknown: tuple[str, ...]
    _make: Mapping[str, Make]
    _files: tuple[Checkpoint, ...]

    @property
    def family(self) -> str:
        return self.codebook.family

    @property
    def parts(self) -> tuple[str, ...]:
        """Which parts of a model it has, the styles aside."""
        return tuple(sorted({arch.part_of(key) for key in self.tensors}))

    def tensor(self, key: str) -> torch.Tensor:
        """One tensor, in memory of its own, in the dtype of the file."""
        return self._make[key]()

    def renamed(self, names: Sequence[str]) -> Student:
        """With other names of the styles, one for each. Raises :class:`RecipeError`."""
        return replace(self, codebook=self.codebook.renamed(names))

    def with_parts_of(self, other: Checkpoint) -> Student:
        """With the text encoders and the VAE of a checkpoint where this student has none."""
        anatomy = arch.inspect(other)
        if anatomy.architecture.family != self.family:
            raise MismatchError(f"{other.path.name} is {anatomy.architecture.title}, but {self.file} is a student of "
                                f"{TITLES[self.family]}; take the parts from a checkpoint of the same family.")
        missing = {arch.TEXT, arch.VAE} - set(self.parts)
        found = {key: info for key, info in anatomy.keys.items() if arch.part_of(key) in missing}
        return replace(self, tensors={**self.tensors, **_described(found)},
                       _make={**self._make, **_readers(other, found)}, _files=(*self._files, other))

    def save(self, path: str | os.PathLike[str], *, dtype: str | None = None, overwrite: bool = False,
             progress: Progress | None = None) -> None:
        """Write one safetensors file, tensor by tensor; ``dtype`` is float16, bfloat16, float32, or None for as it is.

        Raises :class:`FileError`, :class:`Cancelled`; nothing is left behind then.
        """
        progress = progress or Silent()
        if dtype is not None and dtype not in _OUTPUTS:
            raise RecipeError(f"A student cannot be written as {shown(dtype)}; choose one of {', '.join(_OUTPUTS)}.")
        wanted = _OUTPUTS[dtype] if dtype else None
        styles = style_tensors(self.codebook)
        infos = {key: _as(info, wanted) for key, info in self.tensors.items()}
        infos |= {key: _as(TensorInfo(key, _name(tensor), tuple(tensor.shape)), wanted)
                  for key, tensor in styles.items()}
        done, total = 0, sum(info.nbytes for info in infos.values())
        with StreamingWriter(path, infos.values(), self._described(), overwrite=overwrite,
                             check=lambda: check(progress)) as writer:
            for key, info in infos.items():
                check(progress)
                tensor = styles[key] if key in styles else self.tensor(key)
                writer.write(key, 0, tensor.to(DTYPES[info.dtype]).reshape(-1))
                done += info.nbytes
                progress.step(done, total, "converting")

    def close(self) -> None:
        for file in self._files:
            file.close()

    def __enter__(self) -> Student:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _described(self) -> dict[str, str]:
        return {"modelspec.sai_model_spec": "1.0.1", "modelspec.architecture": _ARCHITECTURES[self.family],
                "modelspec.implementation": "sgm", "modelspec.title": Path(self.file).stem, **self.metadata,
                STYLES_KEY: json.dumps(self.codebook.names, ensure_ascii=False)}


def open_student(path: str | os.PathLike[str], names: Sequence[str] | None = None) -> Student:
    """Open a student of any kind. ``names`` are used instead of those in the file.

    Raises :class:`FileError`, :class:`MismatchError`, :class:`RecipeError`.
    """
    path = Path(path)
    return _from_folder(path, names) if path.is_dir() else _from_files(path.name, (path,), {}, names)


def read_codebook(checkpoint: Checkpoint, keys: Mapping[str, TensorInfo], family: str, file: str) -> Codebook:
    """The codebook among canonical ``keys`` of a checkpoint."""
    return _codebook(_readers(checkpoint, keys), family, file, style_names(checkpoint.metadata))


def soup_codebook(plan: Plan) -> Codebook | None:
    """The styles of a soup that has a student among its ingredients: whole, as they are in that student."""
    terms = {step.key: step.terms[0] for step in plan.part(arch.STYLES)}
    if not terms:
        return None
    source = next(iter(terms.values())).source
    return read_codebook(source.checkpoint, {key: term.info for key, term in terms.items()},
                         plan.architecture.family, source.file)


def style_tensors(codebook: Codebook) -> dict[str, torch.Tensor]:
    """The style tensors under their canonical keys, in their own dtypes."""
    mlp = "add_embedding2." if codebook.family == "sdxl" else "add_embedding."
    return {arch.UNET + _CODES: codebook.codes,
            **{arch.UNET + mlp + name: tensor for name, tensor in zip(_MLP, codebook.mlp.tensors)}}


# -- folders -----------------------------------------------------------------------------------------


def has_unet(folder: Path) -> bool:
    """Whether there are weights where :func:`open_student` looks for a UNet's."""
    return bool(_weights_in(folder / "unet") or _weights_in(folder))


def _from_folder(folder: Path, names: Sequence[str] | None) -> Student:
    unet = next((found for found in map(_weights_in, (folder / "unet", folder)) if found), None)
    if unet is None:
        raise FileError(f"The folder {folder.name!r} has no UNet: expected unet/diffusion_pytorch_model.safetensors, "
                        "or model.safetensors of a training run.")
    parts = {name: _weights_in(folder / name) for name in ("vae", "text_encoder", "text_encoder_2")}
    return _from_files(folder.name, unet, {name: files for name, files in parts.items() if files}, names)


def _weights_in(folder: Path) -> tuple[Path, ...]:
    """The weight files of one part: one, or the shards of one."""
    for name in _WEIGHT_FILES:
        if (folder / name).is_file():
            return (folder / name,)
    shards = sorted(path for path in folder.glob("*-of-*") if _SHARD.fullmatch(path.name)) if folder.is_dir() else []
    first_kind = [path for path in shards if path.suffix == shards[0].suffix]
    return tuple(first_kind)


# -- any kind ----------------------------------------------------------------------------------------


def _from_files(file: str, unet: Iterable[Path], parts: Mapping[str, Iterable[Path]], names: Sequence[str] | None
                ) -> Student:
    opened = [open_checkpoint(path) for path in unet]
    found = {name: (checkpoint, info) for checkpoint in opened for name, info in checkpoint.tensors.items()}
    prefix = _style_prefix(file, found)
    if prefix + "input_blocks.0.0.weight" in found and len(opened) == 1:
        anatomy = arch.inspect(opened[0])
        tensors = {key: info for key, info in anatomy.keys.items() if key not in anatomy.styles}
        infos, make = _described(tensors), _readers(opened[0], tensors)
        styles = _readers(opened[0], {key: anatomy.keys[key] for key in anatomy.styles})
        unknown: tuple[str, ...] = ()
    else:
        own = {name[len(prefix):]: at for name, at in found.items() if name.startswith(prefix)}
        infos, make, unknown = _converted(own, layout.unet)
        styles = {key: make[key] for key in make if arch.is_style(key, make)}
        make = {key: value for key, value in make.items() if key not in styles}
        infos = {key: info for key, info in infos.items() if key in make}
        for part, paths in parts.items():
            some = [open_checkpoint(path) for path in paths]
            opened += some
            tensors_of = {name: (checkpoint, info) for checkpoint in some for name, info in checkpoint.tensors.items()}
            more_infos, more_make, more_unknown = _converted(tensors_of, _converter(part, parts))
            infos, make, unknown = infos | more_infos, make | more_make, (*unknown, *more_unknown)
    family = "sdxl" if any("add_embedding2." in key for key in styles) else "sd1"
    metadata = opened[0].metadata if len(opened) == 1 else {}
    codebook = _codebook(styles, family, file, tuple(names) if names else style_names(metadata))
    _check_unet(codebook, infos)
    return Student(file, codebook, infos, {key: text for key, text in metadata.items() if not key.endswith("sha256")},
                   unknown, make, tuple(opened))


def _style_prefix(file: str, names: Collection[str]) -> str:
    """What stands before the names of the UNet's tensors."""
    for prefix in _PREFIXES:
        if prefix + _CODES in names:
            return prefix
    raise MismatchError(f"{file} is not a DMM student: it has no style prompts (model_embedding.weight). Load a plain "
                        "checkpoint with Load Checkpoint, or use it as an ingredient of a soup.")


def _converter(part: str, parts: Collection[str]) -> Callable[[Mapping[str, TensorInfo]], layout.Converted]:
    if part == "vae":
        return layout.vae
    if part == "text_encoder_2":
        return lambda tensors: layout.open_clip(tensors, "conditioner.embedders.1.model.")
    prefix = "conditioner.embedders.0.transformer." if "text_encoder_2" in parts else "cond_stage_model.transformer."
    return lambda tensors: layout.clip(tensors, prefix)


def _converted(found: Mapping[str, tuple[Checkpoint, TensorInfo]],
               convert: Callable[[Mapping[str, TensorInfo]], layout.Converted]
               ) -> tuple[dict[str, TensorInfo], dict[str, Make], tuple[str, ...]]:
    """Descriptions and readers of tensors in another layout, by canonical key."""
    result = convert({name: info for name, (_, info) in found.items()})

    def read(name: str) -> torch.Tensor:
        checkpoint, info = found[name]
        return checkpoint.tensor(info.name)

    infos = {key: TensorInfo(key, found[piece.sources[0]][1].dtype, piece.shape)
             for key, piece in result.pieces.items()}
    return infos, {key: partial(piece.make, read) for key, piece in result.pieces.items()}, result.unknown


def _described(keys: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    return {key: TensorInfo(key, info.dtype, info.shape) for key, info in keys.items()}


def _readers(checkpoint: Checkpoint, keys: Mapping[str, TensorInfo]) -> dict[str, Make]:
    return {key: _reader(checkpoint, info) for key, info in keys.items()}


def _reader(checkpoint: Checkpoint, info: TensorInfo) -> Make:
    return lambda: checkpoint.tensor(info.name)


def _codebook(styles: Mapping[str, Make], family: str, file: str, names: tuple[str, ...] | None) -> Codebook:
    mlp = arch.UNET + ("add_embedding2." if family == "sdxl" else "add_embedding.")
    wanted = (arch.UNET + _CODES, *(mlp + name for name in _MLP))
    missing = [key for key in wanted if key not in styles]
    if missing:
        raise MismatchError(f"{file} has style prompts, but no {missing[0].removeprefix(arch.UNET)}: it is a part of a "
                            "DMM student. Get the whole file.")
    codes, *layers = (styles[key]() for key in wanted)
    return Codebook(codes, StyleMLP(*layers), names or (), family, file)


def _check_unet(codebook: Codebook, infos: Mapping[str, TensorInfo]) -> None:
    """Raise :class:`MismatchError` unless the UNet takes these styles."""
    embed = infos.get(arch.UNET + "time_embed.2.weight")
    if embed is None or len(embed.shape) != 2 or embed.shape[0] != codebook.width:
        has = embed.shape[0] if embed is not None and embed.shape else "none"
        raise MismatchError(f"{codebook.file}: the style prompts are {codebook.width} wide, but the UNet's time "
                            f"embedding is {has}; they must be equal. The file is damaged, or parts of two were mixed.")
    contexts = (info.shape[-1] for key, info in infos.items() if key.endswith("attn2.to_k.weight") and info.shape)
    context = next(contexts, None)
    if context is not None and context != _CONTEXT[codebook.family]:
        raise MismatchError(f"{codebook.file} has the style MLP of {TITLES[codebook.family]}, but a UNet whose prompts "
                            f"are {context} wide (expected {_CONTEXT[codebook.family]}); parts of two models were "
                            "mixed.")


def _as(info: TensorInfo, dtype: str | None) -> TensorInfo:
    return replace(info, dtype=dtype) if dtype and info.is_float else info


def _name(tensor: torch.Tensor) -> str:
    return next(name for name, dtype in DTYPES.items() if dtype == tensor.dtype)
