"""What the rest of the extension asks of a host, and what both hosts share."""

from __future__ import annotations

import copy
import dataclasses
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import torch

from diffusion_soup import ModelFile, SoupError
from diffusion_soup.plan import Step

SUFFIXES = (".safetensors", ".ckpt")
#: Bytes at the front of LoRA and VAE lists are not read; files are told by their suffix.
LORA_SUFFIXES = (".safetensors",)


@dataclasses.dataclass(frozen=True)
class Identity:
    """A soup's name and hash, as the host shows them. Two are the same only if they are one object."""

    name: str
    hash: str


@dataclasses.dataclass(frozen=True)
class Place:
    """Where one tensor of the model in memory lives.

    ``flat`` are 1-D views that are written piece by piece. Where the host keeps the tensor in another layout there are
    none, and ``deliver`` takes it whole. ``through`` is the dtype the host rounds to on the way, if any.
    """

    flat: tuple[torch.Tensor, ...] = ()
    deliver: Callable[[torch.Tensor], None] | None = None
    through: torch.dtype | None = None


class Host(Protocol):
    """A WebUI. Whatever changes the model is called while ``turn`` is held."""

    name: str
    data: Path  # where the WebUI keeps the user's data
    turn: Any  # the WebUI's own queue lock: acquire(), release()
    choices: int  # rises whenever the user chooses a checkpoint
    credentials: Mapping[str, str] | None  # of --api-auth
    api: bool  # whether the WebUI offers its API

    def checkpoints(self) -> list[str]:
        """Names relative to the model folders, with forward slashes."""

    def loras(self) -> list[str]: ...

    def folders(self) -> dict[str, list[Path]]:
        """The model folders by kind, checkpoints' first one is where new ones are saved."""

    def alias(self, text: str) -> str | None:
        """The checkpoint that the host knows by this name, title or hash."""

    def chosen(self) -> Path | None:
        """The checkpoint that the user's settings name."""

    def loaded_from(self) -> Path | None:
        """The file from which the model in memory was built, whatever its weights are now; None if there is none."""

    def identity(self) -> Identity | None:
        """The soup that the model in memory is; None for a checkpoint."""

    def same_config(self, one: Path, other: Path) -> bool:
        """Whether the host would build the same model from both, as far as files beside them say."""

    def config_beside(self, path: Path) -> Path | None:
        """The file beside a checkpoint that tells the host how to build it, if there is one."""

    def begin(self) -> AbstractContextManager[None]:
        """Around everything that changes the model. What the user chose last is what :meth:`keep` keeps."""

    def load(self, path: Path) -> None:
        """Load a checkpoint by the host's own loader, without changing the user's settings."""

    def open(self) -> frozenset[str]:
        """Take LoRAs and the like off the model, and have it loaded anew before it is used unless :meth:`keep` follows.
        Returns the parts whose weights are not what was last written there."""

    def places(self, steps: Mapping[str, Step]) -> dict[str, Place]:
        """Where these tensors are in the model in memory; without those it does not have in this shape."""

    def diffusion_keys(self) -> set[str]:
        """The canonical names of all weights of the diffusion model in memory."""

    def device(self) -> str:
        """Where to take sums."""

    def unet(self) -> torch.nn.Module | None:
        """The diffusion model in memory; None where there is none, or it has no time embedding."""

    def unet_replaced(self) -> str:
        """What computes in the UNet's place, in words; "" where it is the UNet itself."""

    def interrupted(self) -> bool:
        """Whether the user has stopped, or skipped, what is being made."""

    def replaced(self) -> frozenset[str]:
        """Parts for which the user chose files of their own, which stay."""

    def keep(self, identity: Identity | None) -> None:
        """The model in memory is complete: this soup, or the checkpoint that the user chose."""

    def discard(self) -> None:
        """Have the host load what the user chose before the next picture."""

    def stopping(self) -> bool:
        """Whether the user has asked to stop what makes pictures, now or after this one."""

    def stop(self) -> None:
        """Stop what makes pictures, as the host's own button does."""

    def say(self, text: str) -> None:
        """Show this beside the progress of the pictures that are being made; nothing where it is empty."""

    def grid_axes(self) -> list[str]:
        """The axes of the X/Y/Z plot that is being made, by their labels."""

    def generation_begins(self, p: Any) -> None: ...

    def generation_ends(self, p: Any) -> None: ...

    def refresh(self) -> None:
        """Look for new checkpoints."""


def names_checkpoint(host: Host, settings: Mapping[str, Any] | None) -> bool:
    """Whether a request's ``override_settings`` name a checkpoint that the host has."""
    wanted = (settings or {}).get("sd_model_checkpoint")
    return isinstance(wanted, str) and host.alias(wanted) is not None


def grid_names_checkpoint(host: Host, p: Any) -> bool:
    """Whether a cell of a grid is of a checkpoint of its own: one that the request names, or another axis."""
    return names_checkpoint(host, getattr(p, "override_settings", None)) or "Checkpoint name" in host.grid_axes()


def soup_info(info: Any, identity: Identity, loaded_from: Path) -> Any:
    """A CheckpointInfo for a soup: the host shows its name and hash, and finds it under no file, list or cache."""
    soup = copy.copy(info)
    short = identity.hash[:10]
    fake = Path(loaded_from).parent / f"soup {short}.safetensors"
    soup.filename, soup.name, soup.name_for_extra = str(fake), f"{identity.name}.safetensors", identity.name
    soup.model_name, soup.hash, soup.sha256, soup.shorthash = identity.name, short, None, short
    soup.title, soup.short_title, soup.ids, soup.metadata = f"{identity.name} [{short}]", identity.name, [], {}
    soup.calculate_shorthash = lambda: short
    soup.diffusion_soup, soup.diffusion_soup_from = identity, Path(loaded_from)
    return soup


def relative(path: str | Path, folders: Iterable[Path]) -> str | None:
    """A file's name relative to the folder it is in, with forward slashes."""
    path = Path(path)
    for folder in folders:
        try:
            return path.relative_to(folder).as_posix()
        except ValueError:
            continue
    return None


def listed(folders: Iterable[Path], suffixes: tuple[str, ...]) -> list[str]:
    """All files of some kind, relative to their folder, sorted; links are followed, as the hosts do."""
    found: set[str] = set()
    for folder in folders:
        seen: set[str] = set()
        for where, below, names in os.walk(folder, followlinks=True):
            real = os.path.realpath(where)
            if real in seen:
                below.clear()
                continue
            seen.add(real)
            found.update((Path(where) / name).relative_to(folder).as_posix() for name in names
                         if name.lower().endswith(suffixes))
    return sorted(found, key=str.lower)


class WebUIHost:
    """What A1111 and Forge have in common."""

    name = "WebUI"

    def __init__(self) -> None:
        from modules import call_queue, paths, shared
        self._shared = shared
        self.turn = call_queue.queue_lock
        self.data = Path(paths.data_path) / "diffusion_soup"
        self.choices = 0
        self._generation: tuple[int, bool] | None = None
        self._watch_choices()

    # -- what there is ---------------------------------------------------------------------------

    @property
    def api(self) -> bool:
        options = self._shared.cmd_opts
        return bool(getattr(options, "api", False) or getattr(options, "nowebui", False))

    @property
    def credentials(self) -> dict[str, str] | None:
        text = getattr(self._shared.cmd_opts, "api_auth", None)
        return dict(pair.split(":", 1) for pair in text.split(",")) if text else None

    def folders(self) -> dict[str, list[Path]]:
        from modules import sd_models
        options = self._shared.cmd_opts
        return {"checkpoint": _paths(getattr(options, "ckpt_dir", None), sd_models.model_path),
                "lora": _paths(getattr(options, "lora_dir", None), getattr(options, "lyco_dir_backcompat", None))}

    def checkpoints(self) -> list[str]:
        from modules import sd_models
        folders = self.folders()["checkpoint"]
        names = (relative(info.filename, folders) for info in sd_models.checkpoints_list.values())
        return sorted({name for name in names if name and name.lower().endswith(SUFFIXES)}, key=str.lower)

    def loras(self) -> list[str]:
        return listed(self.folders()["lora"], LORA_SUFFIXES)

    def alias(self, text: str) -> str | None:
        from modules import sd_models
        info = sd_models.checkpoint_aliases.get(text)
        return relative(info.filename, self.folders()["checkpoint"]) or info.name if info else None

    def chosen(self) -> Path | None:
        info = self._chosen_info()
        return Path(info.filename) if info else None

    def refresh(self) -> None:
        from modules import sd_models
        sd_models.list_models()

    def config_beside(self, path: Path) -> Path | None:
        found = path.with_suffix(".yaml")
        return found if found.is_file() else None

    def same_config(self, one: Path, other: Path) -> bool:
        first, second = self.config_beside(one), self.config_beside(other)
        if first is None or second is None:
            return first is second
        return first.read_bytes() == second.read_bytes()

    def _chosen_info(self) -> Any:
        from modules import sd_models
        info = sd_models.checkpoint_aliases.get(self._shared.opts.sd_model_checkpoint)
        return info or next(iter(sd_models.checkpoints_list.values()), None)

    def _info_of(self, path: Path) -> Any:
        from modules import sd_models
        found = (info for info in sd_models.checkpoints_list.values() if os.path.samefile(info.filename, path))
        return next(found, None) or sd_models.CheckpointInfo(str(path))

    # -- the model in memory ---------------------------------------------------------------------

    def _model(self) -> Any:
        raise NotImplementedError

    def identity(self) -> Identity | None:
        info = getattr(self._model(), "sd_checkpoint_info", None)
        return getattr(info, "diffusion_soup", None)

    def loaded_from(self) -> Path | None:
        info = getattr(self._model(), "sd_checkpoint_info", None)
        if info is None:
            return None
        return getattr(info, "diffusion_soup_from", None) or Path(info.filename)

    def device(self) -> str:
        weight = next(iter(self._diffusion_model().parameters()), None)
        return str(weight.device) if weight is not None and weight.device.type == "cuda" else "cpu"

    def _diffusion_model(self) -> torch.nn.Module:
        raise NotImplementedError

    # -- pictures --------------------------------------------------------------------------------

    def stopping(self) -> bool:
        state = self._shared.state
        return bool(state.interrupted or getattr(state, "stopping_generation", False))

    def stop(self) -> None:
        self._shared.state.interrupt()

    def say(self, text: str) -> None:
        self._shared.state.textinfo = text or None

    def grid_axes(self) -> list[str]:
        plots = (getattr(self._shared.state, f"xyz_plot_{axis}", None) for axis in "xyz")
        return [plot.axis.label for plot in plots if plot is not None]

    def unet(self) -> torch.nn.Module | None:
        try:
            found = self._diffusion_model()
        except AttributeError:
            return None  # nothing is loaded yet
        return found if hasattr(found, "time_embed") else None

    def unet_replaced(self) -> str:
        from modules import sd_unet
        current = getattr(sd_unet, "current_unet", None)
        return "" if current is None else str(getattr(getattr(current, "option", None), "label", "an SD Unet"))

    def interrupted(self) -> bool:
        state = self._shared.state
        return bool(state.interrupted or state.skipped)

    # -- the user's choices ----------------------------------------------------------------------

    def _watch_choices(self) -> None:
        """Count how often the user chooses a checkpoint, beside what the host does then."""
        option = self._shared.opts.data_labels["sd_model_checkpoint"]
        before = option.onchange

        def onchange() -> None:
            if not self._in_generation():
                self.choices += 1
            if before is not None:
                before()

        self._shared.opts.onchange("sd_model_checkpoint", onchange, call=False)

    def generation_begins(self, p: Any) -> None:
        restored = "sd_model_checkpoint" in (getattr(p, "override_settings", None) or {}) and \
            bool(getattr(p, "override_settings_restore_afterwards", True))
        self._generation = threading.get_ident(), restored

    def generation_ends(self, p: Any) -> None:
        if self._generation is not None and not self._generation[1]:
            self._generation = None

    def _in_generation(self) -> bool:
        """Whether this very thread makes a picture now: what it sets is for that picture, not the user's choice."""
        return self._generation is not None and self._generation[0] == threading.get_ident()


def flat_place(tensors: Iterable[torch.Tensor], step: Step, through: torch.dtype | None = None) -> Place | None:
    """The place of a tensor that the model keeps as it is; None where shapes differ."""
    found = tuple(tensors)
    if not all(tuple(tensor.shape) == tuple(step.shape) for tensor in found):
        return None
    if all(tensor.is_contiguous() for tensor in found):
        return Place(tuple(tensor.view(-1) for tensor in found), through=through)

    def deliver(value: torch.Tensor) -> None:
        for tensor in found:
            tensor.copy_(value)

    return Place(deliver=deliver)


def require_plain(weights: Mapping[str, torch.Tensor], how: str) -> None:
    """Refuse models whose weights are packed: writing single tensors into them is impossible."""
    packed = next((name for name, weight in weights.items() if not weight.is_floating_point()
                   and not name.endswith("position_ids")), None)
    if packed is not None:
        raise SoupError(f"The model in memory is kept in a packed format ({packed}), into which a soup cannot be "
                        f"cooked. {how}")


def model_file(path: Path, folders: Iterable[Path]) -> tuple[ModelFile, Path]:
    """A path as a recipe names it, and the folder it is relative to."""
    for folder in folders:
        name = relative(path, [folder])
        if name is not None:
            return ModelFile(name), folder
    return ModelFile(path.name), path.parent


def _paths(*given: Any) -> list[Path]:
    """Folders named by options: a path, several, or none."""
    flat = (each for value in given for each in (value if isinstance(value, (list, tuple)) else [value]))
    return list(dict.fromkeys(Path(os.path.abspath(each)) for each in flat if each))
