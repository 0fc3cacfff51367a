"""The one file that touches ComfyUI's internals: folders, progress, and handing out a soup as a MODEL.

How a soup becomes a MODEL: ComfyUI's own loader builds the model from a state dict in which the large
tensors of the diffusion model are placeholders that occupy no memory, so the class, the dtypes, CLIP,
VAE and offloading are all its business. Then the soup is cooked straight into the fresh model's
weights. At no time is there a second copy of the diffusion model.

A soup that differs in some blocks only is a clone of the earlier MODEL with a ("set", ...) patch for each
changed tensor, so whoever still holds the earlier MODEL keeps it as it was.
"""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import logging
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.sd
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import ui
from comfy_execution.utils import get_executing_context
from server import PromptServer

from ..diffusion_soup import HashCache, ModelFile, ModelFolders
from ..diffusion_soup.architecture import DIFFUSION, TEXT, UNET, VAE, part_of
from ..diffusion_soup.checkpoint import DTYPES, TensorInfo
from ..diffusion_soup.cook import execute, require_memory
from ..diffusion_soup.dmm import Student, has_unet
from ..diffusion_soup.errors import Cancelled, FileError, MismatchError
from ..diffusion_soup.jobs import Report
from ..diffusion_soup.memory import Reserve
from ..diffusion_soup.plan import Plan, Step
from ..diffusion_soup.progress import Progress, check
from ..diffusion_soup.sinks import MemorySink, touch_share

log = logging.getLogger("diffusion_soup")

CHECKPOINT_FOLDERS = ("checkpoints", "diffusion_models")
#: Tensors up to this many elements are cooked before loading: ComfyUI looks into some of them.
_SMALL = 1 << 16
#: Bytes from which on large pages are worth having.
_LARGE_PAGES = 4 << 20

_hashes: HashCache | None = None


def model_folders() -> ModelFolders:
    """ComfyUI's model folders, with hashes remembered in its user directory."""
    global _hashes
    if _hashes is None:
        _hashes = HashCache(Path(folder_paths.get_user_directory()) / "diffusion_soup" / "hashes.json")
    checkpoints = [path for name in CHECKPOINT_FOLDERS for path in folder_paths.get_folder_paths(name)]
    return ModelFolders({"checkpoint": checkpoints, "lora": folder_paths.get_folder_paths("loras")}, _hashes)


def checkpoint_files() -> list[str]:
    """Everything that can be an ingredient or a base, as the user's folders have it."""
    return list(dict.fromkeys(file for name in CHECKPOINT_FOLDERS for file in folder_paths.get_filename_list(name)))


def lora_files() -> list[str]:
    return folder_paths.get_filename_list("loras")


def show(node: Any, picture: torch.Tensor) -> str:
    """Show an IMAGE on the node that is running, although it is about to fail; says where the picture is kept."""
    shown = ui.PreviewImage(picture, cls=node).as_dict()
    server, context = PromptServer.instance, get_executing_context()
    if context is not None:
        server.send_sync("executed", {"node": context.node_id, "display_node": context.node_id, "output": shown,
                                      "prompt_id": context.prompt_id}, server.client_id)
    file = shown["images"][0]
    return f"(The picture on the node shows it; {Path(file['type'], file['subfolder'], file['filename'])}.)"


def student_files() -> list[str]:
    """Everything that may be a student: checkpoints, and folders with a UNet (their names end in a slash)."""
    folders = [path.name + "/" for root in folder_paths.get_folder_paths("diffusers") if Path(root).is_dir()
               for path in sorted(Path(root).iterdir()) if path.is_dir() and has_unet(path)]
    return [*checkpoint_files(), *dict.fromkeys(folders)]


def student_path(file: str) -> Path:
    """The path of one of :func:`student_files`."""
    if file.endswith("/"):
        for root in folder_paths.get_folder_paths("diffusers"):
            path = Path(root) / file[:-1]
            if path.name == file[:-1] and path.is_dir():
                return path
        raise FileError(f"The folder {file} is not among the diffusers models; put it there, or choose another one.")
    return model_folders().find(ModelFile(file))


def student_stamp(file: str) -> str:
    """Changes when one of the student's files does; reads nothing."""
    if not file.endswith("/"):
        return stamp(file)
    try:
        files = sorted(path for path in student_path(file).rglob("*") if path.is_file())
        return "|".join(f"{path}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in files)
    except (FileError, OSError):
        return f"{file}:missing"


def stamp(file: str, kind: str = "checkpoint") -> str:
    """Changes when the file does; reads nothing."""
    for name in CHECKPOINT_FOLDERS if kind == "checkpoint" else ("loras",):
        path = folder_paths.get_full_path(name, file)
        if path is not None:
            stat = Path(path).stat()
            return f"{file}:{stat.st_size}:{stat.st_mtime_ns}"
    return f"{file}:missing"


def executing_node() -> str:
    """The id of the node that is being executed."""
    context = get_executing_context()
    return context.node_id if context is not None else ""


def executing_prompt() -> str:
    """The id of the prompt that is being executed."""
    context = get_executing_context()
    return context.prompt_id if context is not None else ""


class NodeProgress:
    """ComfyUI's progress bar and cancel button as the engine's Progress."""

    _UNITS = 1000

    def __init__(self) -> None:
        self._bar = comfy.utils.ProgressBar(self._UNITS)
        self._shown = -1

    def step(self, done: int, total: int, what: str) -> None:
        units = int(self._UNITS * done / total) if total else self._UNITS
        if units != self._shown:
            self._shown = units
            self._bar.update_absolute(units, self._UNITS)

    def cancelled(self) -> bool:
        return comfy.model_management.processing_interrupted()


def stop() -> None:
    """End the prompt if it was interrupted."""
    comfy.model_management.throw_exception_if_processing_interrupted()


class interruptible:
    """Turns the engine's Cancelled into ComfyUI's own exception, which it shows as a cancelled prompt."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Cancelled):
            comfy.model_management.throw_exception_if_processing_interrupted()


@dataclass
class Cooked:
    """A soup in ComfyUI's hands: what the weights of ``base`` are, and the patches on top of them.

    ``model`` is ``base`` or a clone of it whose patches put ``patched`` tensors in place. ``cooked`` is how many
    tensors were cooked anew for it.
    """

    recipe_hash: str
    base: Any
    base_steps: Mapping[str, Step]
    model: Any
    clip: Any
    vae: Any
    text_steps: Sequence[Step]
    vae_steps: Sequence[Step]
    patched: Mapping[str, tuple[Step, torch.Tensor]] = field(default_factory=dict)
    base_report: Report = field(default_factory=Report)
    report: Report = field(default_factory=Report)
    notes: tuple[str, ...] = ()
    cooked: int = 0


@dataclass(frozen=True)
class Parts:
    """A CLIP and a VAE that need not be cooked again, or None, and what was noticed when they were cooked."""

    clip: Any = None
    vae: Any = None
    report: Report = field(default_factory=Report)


def unchanged_parts(plan: Plan, earlier: Cooked | None) -> Parts:
    """The CLIP and VAE of an earlier soup where the plan would cook the same."""
    if earlier is None:
        return Parts()
    same_text, same_vae = earlier.text_steps == plan.part(TEXT), earlier.vae_steps == plan.part(VAE)
    return Parts(earlier.clip if same_text else None, earlier.vae if same_vae else None, earlier.report)


def memory_of(soup: Cooked) -> Reserve:
    """The memory of a soup's weights, for the next one to be cooked into once this one is dropped."""
    return Reserve(soup.base.model.diffusion_model.parameters())


def make_room(reserve: Reserve) -> None:
    """See that the memory of a dropped soup, if nobody else holds it, is free before the next one needs it."""
    if not reserve.free:
        gc.collect()
    comfy.model_management.cleanup_models()


def cook(plan: Plan, device: str, parts: Parts = Parts(), reserve: Reserve = Reserve(),
         progress: Progress | None = None) -> Cooked:
    """Cook a plan into a fresh MODEL, and a fresh CLIP and VAE unless they are given. The MODEL's weights lie in
    memory of the reserve where it has some."""
    require_memory(_expected_bytes(plan) - reserve.free_bytes)
    progress = progress or NodeProgress()
    diffusion = plan.part(DIFFUSION)
    large = {step.key: step for step in diffusion if step.info.numel > _SMALL}
    given = {TEXT: parts.clip is not None, VAE: parts.vae is not None}
    known = {step.key for step in plan.steps if given.get(part_of(step.key), False)}
    left_out = large.keys() | known | plan.styles
    small = [step for step in plan.steps if step.key not in left_out]
    tensors, report = _in_memory(small, device, progress)
    report = report.joined(parts.report, known)
    wanted = {"output_clip": parts.clip is None, "output_vae": parts.vae is None}
    model, new_clip, new_vae = _load({**tensors, **{key: _placeholder(step) for key, step in large.items()}}, **wanted)
    weights = _own_weights(model.model.diffusion_model, reserve)
    reserve.release()
    names = {key: key.removeprefix(UNET) for key in large}
    if all(names[key] in weights and weights[names[key]].shape == step.shape for key, step in large.items()):
        sink = _WeightSink({key: weights[name] for key, name in names.items()})
        found = execute(tuple(large.values()), sink, device=device, progress=progress)
    else:  # ComfyUI renames or reshapes this family's tensors while loading, so it must see them
        del model, weights
        filled, found = _in_memory(tuple(large.values()), device, progress)
        model, new_clip, new_vae = _load({**tensors, **filled}, **wanted)
    report = found.joined(report, {step.key for step in small} | known)
    notes = (*plan.notes, *report.notes)
    _report(plan, plan.steps, notes)
    weakref.finalize(model.model, _give_memory_back).atexit = False
    return Cooked(plan.recipe.hash, model, {step.key: step for step in diffusion}, model,
                  parts.clip if given[TEXT] else new_clip, parts.vae if given[VAE] else new_vae,
                  plan.part(TEXT), plan.part(VAE), base_report=report, report=report, notes=notes,
                  cooked=len(plan.steps) - len(known))


def load_student(student: Student) -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE of a student; CLIP and VAE are None where it has none."""
    require_memory(sum(info.nbytes for info in student.tensors.values()) + _widened(student.tensors.values()))
    progress = NodeProgress()
    state: dict[str, torch.Tensor] = {}
    for done, key in enumerate(student.tensors):
        check(progress)
        state[key] = student.tensor(key)
        progress.step(done + 1, len(student.tensors), "reading")
    model, clip, vae = _load(state, output_clip=TEXT in student.parts, output_vae=VAE in student.parts)
    weakref.finalize(model.model, _give_memory_back).atexit = False
    return model, clip if TEXT in student.parts else None, vae if VAE in student.parts else None


def recook(plan: Plan, earlier: Cooked, device: str, progress: Progress | None = None) -> Cooked | None:
    """The plan's soup as a clone of an earlier one with the changed tensors patched in.

    None where that is not worth it: other tensors or dtypes, or more than half of them changed.
    """
    steps = {step.key: step for step in plan.part(DIFFUSION)}
    if {key: (step.dtype, step.shape) for key, step in steps.items()} != \
            {key: (step.dtype, step.shape) for key, step in earlier.base_steps.items()}:
        return None
    changed = {key: step for key, step in steps.items() if step != earlier.base_steps[key]}
    if 2 * sum(step.info.nbytes for step in changed.values()) > sum(step.info.nbytes for step in steps.values()):
        return None
    weights = earlier.base.model.state_dict()
    if any(_weight_name(key) not in weights or weights[_weight_name(key)].shape != step.shape
           for key, step in changed.items()):
        return None  # ComfyUI renamed this family's tensors while loading, so they cannot be patched by name
    progress = progress or NodeProgress()
    kept = {key: earlier.patched[key] for key, step in changed.items()
            if key in earlier.patched and earlier.patched[key][0] == step}
    todo = [step for key, step in changed.items() if key not in kept]
    tensors, report = _in_memory(todo, device, progress)
    patched = {**kept, **{step.key: (step, tensors[step.key]) for step in todo}}
    clip, vae, others = _other_parts(plan, earlier, steps, device, progress)
    report = report.joined(earlier.base_report, steps.keys() - changed.keys()).joined(earlier.report, kept)
    report = report.joined(others, {step.key for step in plan.steps} - steps.keys())
    model = earlier.base.clone()
    model.add_patches({_weight_name(key): ("set", (tensor,)) for key, (_, tensor) in patched.items()})
    notes = (*plan.notes, *report.notes)
    _report(plan, todo, notes)
    return dataclasses.replace(earlier, recipe_hash=plan.recipe.hash, model=model, clip=clip, vae=vae,
                               text_steps=plan.part(TEXT), vae_steps=plan.part(VAE), patched=patched, report=report,
                               notes=notes, cooked=len(todo))


def _weight_name(key: str) -> str:
    """A canonical key as ComfyUI's model calls it."""
    return "diffusion_model." + key.removeprefix(UNET)


def has_other_patches(model: Any) -> bool:
    """Whether a MODEL carries more than what :func:`recook` puts there, such as LoRAs on top of the soup."""
    values = (patch[1] for patches in model.patches.values() for patch in patches)
    return any(not isinstance(value, tuple) or value[0] != "set" for value in values)


def _in_memory(steps: Sequence[Step], device: str, progress: Progress
               ) -> tuple[dict[str, torch.Tensor], Report]:
    sink = MemorySink(steps)
    report = execute(steps, sink, device=device, progress=progress)
    return sink.tensors, report


class _Unwritten(torch.Tensor):
    """A tensor of some shape and dtype that occupies one element. Copying it somewhere does nothing, so a loader
    that copies it into a model leaves that memory untouched, which saves gigabytes of zeros."""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.Tensor.copy_:
            return args[0]
        return super().__torch_function__(function, types, args, kwargs or {})


def _placeholder(step: Step) -> torch.Tensor:
    return torch.zeros(1, dtype=DTYPES[step.dtype]).expand(step.shape).as_subclass(_Unwritten)


def _load(state: dict[str, torch.Tensor], **wanted: bool) -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE of a state dict, by ComfyUI's own loader. The dict is emptied."""
    loaded = comfy.sd.load_state_dict_guess_config(
        state, embedding_directory=folder_paths.get_folder_paths("embeddings"), **wanted)
    if loaded is None or (loaded[0] is None and wanted.get("output_model", True)):
        raise MismatchError("This ComfyUI does not know this kind of model. Update ComfyUI, or use Save Soup, which "
                            "does not need to load it.")
    return loaded[:3]


def _own_weights(model: torch.nn.Module, reserve: Reserve) -> dict[str, torch.Tensor]:
    """The model's tensors by name, each with memory of its own: the large ones with memory that is cheap to fill,
    and all that a loader may have replaced by the placeholders."""
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            nbytes = weight.numel() * weight.itemsize
            if weight.device.type == "cpu" and nbytes >= _LARGE_PAGES:
                empty = reserve.fresh(weight.shape, weight.dtype)
            elif weight.untyped_storage().nbytes() < nbytes:
                empty = torch.empty(weight.shape, dtype=weight.dtype, device=weight.device)
            else:
                continue
            module.register_parameter(name, torch.nn.Parameter(empty, requires_grad=False))
    return model.state_dict()


class _WeightSink:
    """Writes into a module's own tensors, converting where ComfyUI keeps them in another dtype."""

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        self._flat = {key: weight.view(-1) for key, weight in weights.items()}

    def get_ready(self, part: int, parts: int) -> Iterator[None]:
        return touch_share(self._flat.values(), part, parts)

    def place(self, step: Step, start: int, stop: int) -> torch.Tensor | None:
        flat = self._flat[step.key]
        if flat.dtype == DTYPES[step.dtype] and flat.device.type == "cpu":
            return flat[start:stop]
        return None

    def write(self, step: Step, start: int, piece: torch.Tensor) -> None:
        self._flat[step.key][start:start + piece.numel()].copy_(piece)


def _other_parts(plan: Plan, earlier: Cooked, diffusion: Mapping[str, Step], device: str, progress: Progress
                 ) -> tuple[Any, Any, Report]:
    """CLIP and VAE, the earlier ones where nothing changed in them, and what was noticed in them."""
    new_text, new_vae = plan.part(TEXT) != earlier.text_steps, plan.part(VAE) != earlier.vae_steps
    if not (new_text or new_vae):
        return earlier.clip, earlier.vae, earlier.report
    small = [step for step in plan.steps if step.key not in plan.styles
             and (step.key not in diffusion or step.info.numel <= _SMALL)]
    tensors, report = _in_memory(small, device, progress)
    state = {**tensors, **{step.key: _placeholder(step) for step in diffusion.values() if step.info.numel > _SMALL}}
    _, clip, vae = _load(state, output_model=False, output_clip=new_text, output_vae=new_vae)
    return clip if new_text else earlier.clip, vae if new_vae else earlier.vae, report


def _give_memory_back() -> None:
    """A second after a soup is dropped, return its memory to the system; glibc alone would keep most of it."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            timer = threading.Timer(1.0, trim, (0,))
            timer.daemon = True
            timer.start()


def _expected_bytes(plan: Plan) -> int:
    """RAM a fresh model takes: on a CPU host ComfyUI widens 16-bit weights to float32."""
    return _widened(step.info for step in plan.steps)


def _widened(infos: Iterable[TensorInfo]) -> int:
    widened = comfy.model_management.get_torch_device().type == "cpu"
    return sum(info.numel * max(info.itemsize, 4 if widened else 0) for info in infos)


def _report(plan: Plan, cooked: Sequence[Step], notes: Sequence[str]) -> None:
    """One line a cook in the server's log, and one for each note."""
    log.info("Diffusion Soup %s: cooked %d of %d tensors, %.0f MB", plan.recipe.hash[:10], len(cooked), len(plan.steps),
             sum(step.info.nbytes for step in cooked) / 1e6)
    for note in notes:
        log.warning("Diffusion Soup: %s", note)
