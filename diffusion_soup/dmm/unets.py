"""UNets of checkpoints as modules of diffusers, and trained students back as files.

Which blocks a UNet has is read from its tensors, so whatever ComfyUI takes for SD 1.x or SDXL can teach and learn.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import architecture as arch
from .. import layout
from ..checkpoint import DTYPE_NAMES, TensorInfo, open_checkpoint
from ..errors import FileError, MismatchError, SoupError
from ..progress import Progress
from .network import StudentUNet
from .student import Student

FAMILIES = ("sd1", "sdxl")
_PREDICTIONS = {"eps": "epsilon", "v": "v_prediction"}
_LEVEL = re.compile(r"input_blocks\.(\d+)\.(\d+)\.(op|in_layers\.2|transformer_blocks\.(\d+)\.norm1)\.weight")


@dataclass(frozen=True, eq=False)
class Opened:
    """A UNet as a module, with what its file says: ``prediction`` in diffusers' words, ``family`` sd1 or sdxl."""

    unet: Any
    prediction: str
    family: str
    file: str


def open_unet(path: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> Opened:
    """The UNet of a single file (of any naming) or of a folder of diffusers.

    Raises :class:`FileError`, and :class:`MismatchError` for families without a student.
    """
    path = Path(path)
    return _from_folder(path, dtype) if path.is_dir() else _from_file(path, dtype)


def require_one_family(opened: Sequence[Opened]) -> None:
    """Raise :class:`MismatchError` unless all could be teachers of one student."""
    for other in opened[1:]:
        if other.family != opened[0].family:
            raise MismatchError(f"{other.file} is of the family {other.family}, but {opened[0].file} of "
                                f"{opened[0].family}: teachers of one student are of one family.")


def unet_config(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Settings of UNet2DConditionModel for tensors under LDM names (``input_blocks.0.0.weight``, ...).

    Raises :class:`MismatchError` for UNets with another number of layers on each level.
    """
    first = shapes["input_blocks.0.0.weight"]
    widths: list[int] = []
    layers: list[int] = []
    depths: list[int] = []
    level = 0
    matches = filter(None, map(_LEVEL.fullmatch, shapes))
    found = sorted((int(match[1]), int(match[2]), match[3], match[4]) for match in matches)
    for block, _, what, inner in found:
        if what == "op":
            level += 1
        elif what == "in_layers.2":
            if level == len(widths):
                widths.append(shapes[f"input_blocks.{block}.0.in_layers.2.weight"][0])
                layers.append(0)
                depths.append(0)
            layers[level] += 1
        else:
            depths[level] = max(depths[level], int(inner) + 1)
    if len(set(layers)) != 1:
        raise MismatchError(f"A UNet with {layers} layers on its levels cannot be trained; expected as many on each.")
    context = next(shape[-1] for key, shape in shapes.items() if key.endswith("attn2.to_k.weight"))
    linear = any(key.endswith(".proj_in.weight") and len(shape) == 2 for key, shape in shapes.items())
    middle = sum(1 for key in shapes if re.fullmatch(r"middle_block\.1\.transformer_blocks\.\d+\.norm1\.weight", key))
    config: dict[str, Any] = {
        "in_channels": first[1], "out_channels": shapes["out.2.weight"][0], "block_out_channels": tuple(widths),
        "layers_per_block": layers[0], "cross_attention_dim": context, "use_linear_projection": linear,
        "down_block_types": tuple("CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths),
        "up_block_types": tuple("CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)),
        # The middle takes the last number, also where the last level has no attention.
        "transformer_layers_per_block": (*(depth or 1 for depth in depths[:-1]), middle or depths[-1] or 1),
        # Heads, in truth (diffusers' name is a mistake it keeps): 8 in SD 1.x, of 64 numbers each later.
        "attention_head_dim": tuple(max(1, width // 64) for width in widths) if linear else 8}
    if not middle:
        config["mid_block_type"] = None
    if "label_emb.0.0.weight" in shapes:
        config |= {"addition_embed_type": "text_time", "addition_time_embed_dim": 256,
                   "projection_class_embeddings_input_dim": shapes["label_emb.0.0.weight"][1]}
    return config


def save_student(student: StudentUNet, names: Sequence[str], family: str, path: str | os.PathLike[str], *,
                 base: str | os.PathLike[str] | None = None, dtype: str | None = "float16", overwrite: bool = False,
                 progress: Progress | None = None) -> None:
    """Write a student as one file that the hosts open without conversion; text encoder and VAE are ``base``'s.

    Raises :class:`FileError`, :class:`MismatchError`, :class:`RecipeError`, :class:`Cancelled`; nothing is left then.
    """
    state = {name: weight.detach().float().cpu() for name, weight in student.unet.state_dict().items()}
    pieces = layout.unet(described(state)).pieces
    infos = {key: TensorInfo(key, "F32", piece.shape) for key, piece in pieces.items()}
    make = {key: (lambda piece=piece: piece.make(state.__getitem__)) for key, piece in pieces.items()}
    made = Student(Path(path).name, student.codebook(names, family), infos, {}, (), make, ())
    if base is not None:
        made = made.with_parts_of(open_checkpoint(base))
    with made:
        made.save(path, dtype=dtype, overwrite=overwrite, progress=progress)


def described(state: Mapping[str, Tensor]) -> dict[str, TensorInfo]:
    """Tensors in memory as a header describes them."""
    return {name: TensorInfo(name, DTYPE_NAMES[tensor.dtype], tuple(tensor.shape)) for name, tensor in state.items()}


def unet_of(tensors: Mapping[str, Tensor], architecture: arch.Architecture, file: str,
            dtype: torch.dtype = torch.float32) -> Opened:
    """The UNet among tensors under canonical keys, such as a soup's, which it shares where nothing must change.

    Raises :class:`MismatchError` for families without a student, and where tensors are missing.
    """
    family, prediction = architecture.family, architecture.prediction
    if family not in FAMILIES or prediction not in _PREDICTIONS:
        raise MismatchError(f"{file} is {architecture.title}; students are of SD 1.x or SDXL.")
    keys = {key.removeprefix(arch.UNET): tensor for key, tensor in tensors.items()
            if arch.part_of(key) == arch.DIFFUSION and not arch.is_style(key, tensors)}
    with torch.device("meta"):
        unet = _kind()(**unet_config({key: tuple(tensor.shape) for key, tensor in keys.items()}))
    own = unet.state_dict()
    state: dict[str, Tensor] = {}
    for key, piece in layout.unet(described(own)).pieces.items():
        name, = piece.sources
        tensor = keys.get(key.removeprefix(arch.UNET))
        if tensor is None or tensor.numel() != own[name].numel():
            raise MismatchError(f"{file} has no {key} of {list(own[name].shape)}; the file is incomplete, or no UNet "
                                "of SD 1.x or SDXL.")
        state[name] = tensor.reshape(own[name].shape).to(dtype)
    missing = sorted(own.keys() - state.keys())
    if missing:
        raise MismatchError(f"{file} has no place for {missing[0]} of a UNet; it is of an unknown kind.")
    unet.load_state_dict(state, assign=True)
    return Opened(unet, _PREDICTIONS[prediction], family, file)


def _from_file(path: Path, dtype: torch.dtype) -> Opened:
    with open_checkpoint(path) as checkpoint:
        anatomy = arch.inspect(checkpoint)
        tensors = {key: checkpoint.tensor(info.name) for key, info in anatomy.part(arch.DIFFUSION).items()}
        return unet_of(tensors, anatomy.architecture, path.name, dtype)


def _from_folder(folder: Path, dtype: torch.dtype) -> Opened:
    inside = folder / "unet" if (folder / "unet").is_dir() else folder
    if not (inside / "config.json").is_file():
        raise FileError(f"The folder {folder.name} has no UNet; expected unet/config.json and its weights, as "
                        "diffusers writes them.")
    try:
        unet = _kind().from_pretrained(str(inside), torch_dtype=dtype, local_files_only=True)
    except Exception as error:  # damaged files can raise anything
        raise FileError(f"The UNet in {folder.name} cannot be read ({type(error).__name__}: "
                        f"{str(error).splitlines()[0][:200] if str(error) else 'no details'}).") from None
    context = unet.config.cross_attention_dim
    family = {768: "sd1", 2048: "sdxl"}.get(context if isinstance(context, int) else context[0])
    if family is None:
        raise MismatchError(f"The UNet in {folder.name} reads prompts {context} wide; students are of SD 1.x (768) or "
                            "SDXL (2048).")
    return Opened(unet, _folder_prediction(folder), family, folder.name)


def _folder_prediction(folder: Path) -> str:
    """As the scheduler beside the UNet says; ε where there is none."""
    try:
        told = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "epsilon"
    return str(told.get("prediction_type", "epsilon"))


def _kind() -> Any:
    try:
        from diffusers import UNet2DConditionModel
    except (ImportError, RuntimeError):
        raise SoupError("Training needs the library diffusers: pip install diffusion-soup[train].") from None
    return UNet2DConditionModel
