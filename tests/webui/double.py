"""A small stand-in for ``modules.*`` of A1111 and Forge: the names, signatures and order of events of the real ones.

It loads real safetensors into real torch modules, so what our bridges write can be compared bit by bit. Whatever the
real hosts do that is not about models is left out; they themselves are driven by ``real_host.py``.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import os
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model."


class Leaf(torch.nn.Module):
    """A module with weights. Loading it forgets what LoRAs backed up, as the patched modules of the real hosts do."""

    def _load_from_state_dict(self, *args: Any) -> None:
        self.network_current_names, self.network_weights_backup = (), None
        super()._load_from_state_dict(*args)


def tree(tensors: dict[str, torch.Tensor], dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """Nested modules whose state_dict has these names."""
    root = Leaf()
    for name, value in tensors.items():
        *path, last = name.split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, Leaf())
            module = module._modules[part]  # type: ignore[assignment]
        if value.is_floating_point():
            module.register_parameter(last, torch.nn.Parameter(value.to(dtype), requires_grad=False))
        else:
            module.register_buffer(last, value.clone())
    return root


class Options:
    def __init__(self, **data: Any) -> None:
        self.__dict__["data"] = dict(data)
        self.__dict__["data_labels"] = {key: SimpleNamespace(onchange=None) for key in data}

    def __getattr__(self, key: str) -> Any:
        return self.data[key]

    def __setattr__(self, key: str, value: Any) -> None:
        self.data[key] = value

    def set(self, key: str, value: Any, is_api: bool = False, run_callbacks: bool = True) -> bool:
        if self.data.get(key) == value:
            return False
        self.data[key] = value
        if run_callbacks and self.data_labels[key].onchange is not None:
            self.data_labels[key].onchange()
        return True

    def onchange(self, key: str, func: Any, call: bool = True) -> None:
        self.data_labels[key].onchange = func
        if call:
            func()


class CheckpointInfo:
    def __init__(self, filename: str) -> None:
        self.filename, self.name = filename, Path(filename).name
        self.name_for_extra = self.model_name = Path(filename).stem
        self.title = self.short_title = self.name
        self.hash, self.sha256, self.shorthash, self.metadata = "old", None, None, {}
        self.ids = [self.name, self.name_for_extra]

    def calculate_shorthash(self) -> str:
        self.shorthash = f"{os.path.getsize(self.filename):010d}"
        return self.shorthash


def request(**override: Any) -> SimpleNamespace:
    """What the host calls p."""
    p = SimpleNamespace(override_settings=dict(override), override_settings_restore_afterwards=True, comments=[],
                        extra_generation_params={}, sd_model_name=None, sd_model_hash=None, seed=0)
    p.comment, p.close = p.comments.append, lambda: None
    return p


class WebUI:
    """One fake host in ``sys.modules``. ``folder`` has models/Stable-diffusion and models/Lora."""

    def __init__(self, folder: Path, chosen: str, flavour: str) -> None:
        self.folder, self.flavour = folder, flavour
        self.checkpoints = folder / "models" / "Stable-diffusion"
        self.modules: dict[str, ModuleType] = {}
        self.loads: list[str] = []  # checkpoints the host itself has loaded, in order
        self.callbacks: dict[str, list[Any]] = {}
        self._build(chosen)

    def __enter__(self) -> WebUI:
        self._outside = {name: sys.modules.get(name) for name in self.modules}
        sys.modules.update(self.modules)
        return self

    def __exit__(self, *error: object) -> None:
        for name, module in self._outside.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module

    # -- what tests do ---------------------------------------------------------------------------

    def weights(self) -> dict[str, torch.Tensor]:
        """The model in memory by single-file names."""
        model = self.sd_models.model_data.sd_model
        if self.flavour == "a1111":
            return {name.replace(".wrapped", ""): value.clone() for name, value in model.state_dict().items()}
        objects = model.forge_objects
        parts = {UNET: objects.unet.model.diffusion_model, VAE: objects.vae.first_stage_model}
        return {**_single_file_text_names(objects.clip.cond_stage_model.state_dict()),
                **{prefix + name: value.clone() for prefix, part in parts.items()
                   for name, value in part.state_dict().items()}}

    def choose(self, name: str) -> None:
        """In the dropdown, or by the API's options."""
        self.shared.opts.set("sd_model_checkpoint", name)

    def picture(self, scripts: list[Any], **override: Any) -> SimpleNamespace:
        """The order of events of process_images with AlwaysVisible scripts; the weights are what would be used."""
        with self.queue_lock:
            return self.process(scripts, request(**override))

    def process(self, scripts: list[Any], p: SimpleNamespace) -> SimpleNamespace:
        """process_images, while the lock is held."""
        opts, override = self.shared.opts, p.override_settings
        for script in scripts:
            script.before_process(p)
        stored = {key: opts.data[key] for key in override}
        try:
            for key, value in override.items():
                opts.set(key, value, run_callbacks=self.flavour == "forge")
            self._before_batch()
            info = self.sd_models.model_data.sd_model.sd_checkpoint_info
            p.sd_model_name = info.name_for_extra
            for script in scripts:
                script.before_process_batch(p, batch_number=0, prompts=[], seeds=[], subseeds=[])
            p.weights = self.weights()
            for script in scripts:
                script.postprocess(p, SimpleNamespace(images=[]))
        finally:
            for key, value in stored.items():
                opts.set(key, value, run_callbacks=self.flavour == "forge")
        return p

    def grid(self, scripts: list[Any], *axes: tuple[str, Any], **override: Any) -> Grid:
        """A run of the script X/Y/Z plot with these axes, as pairs of a label and values, inside one request."""
        p, made = request(**override), Grid()
        with self.queue_lock, contextlib.closing(p):
            self.shared.state.interrupted = False
            made.run(self, scripts, p, axes)
        return made

    def merge_lora(self) -> None:
        """What a LoRA in the prompt leaves behind: changed weights, and a backup of what they were."""
        if self.flavour == "a1111":
            for name, module in self.sd_models.model_data.sd_model.named_modules():
                if name.startswith("model.") and "weight" in module._parameters:
                    module.network_weights_backup = module.weight.clone()
                    module.network_current_names = ("lora",)
                    module.weight += 1
        else:
            self.sd_models.model_data.sd_model.forge_objects.unet.model.lora_loader.merge()

    # -- how it is built -------------------------------------------------------------------------

    def _module(self, name: str, **content: Any) -> Any:
        module = self.modules[name] = ModuleType(name)
        vars(module).update(content)
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(self.modules[parent], last, module)
        return module

    def _build(self, chosen: str) -> None:
        self._module("modules")
        self.queue_lock = threading.Lock()
        options = SimpleNamespace(ckpt_dir=None, lora_dir=str(self.folder / "models" / "Lora"), api=True, api_auth=None,
                                  skip_load_model_at_start=True)
        self.shared = self._module("modules.shared", opts=Options(sd_model_checkpoint=chosen, sd_checkpoint_hash="x"),
                                   cmd_opts=options,
                                   state=State())
        self._module("modules.paths", data_path=str(self.folder), models_path=str(self.folder / "models"))
        self._module("modules.call_queue", queue_lock=self.queue_lock)
        self._module("modules.images", read_info_from_image=lambda image: (image.info.get("parameters"), {}))
        nothing = AxisOption("Nothing", str, lambda p, x, xs: None)
        plot = SimpleNamespace(AxisOption=AxisOption, axis_options=[nothing])
        self._module("modules.scripts", Script=object, AlwaysVisible=object(), scripts_data=[
            SimpleNamespace(module=SimpleNamespace()), SimpleNamespace(module=plot)])
        self._module("modules.devices", autocast=contextlib.nullcontext)
        self._module("modules.sd_unet", current_unet=None)
        self._module("modules.extra_networks", extra_network_registry={})
        self._module("modules.script_callbacks", model_loaded_callback=lambda model: None, **{
            f"on_{name}": lambda callback, name=name: self.callbacks.setdefault(name, []).append(callback)
            for name in ("before_ui", "ui_tabs", "ui_settings", "app_started", "before_image_saved", "infotext_pasted",
                         "cfg_denoiser")})
        self.sd_models = self._module("modules.sd_models", CheckpointInfo=CheckpointInfo, checkpoints_list={},
                                      checkpoint_aliases={}, model_path=str(self.checkpoints),
                                      list_models=self._list_models)
        self._list_models()
        (self._a1111 if self.flavour == "a1111" else self._forge)()

    def _list_models(self) -> None:
        lists = self.sd_models.checkpoints_list, self.sd_models.checkpoint_aliases
        for each in lists:
            each.clear()
        for path in sorted(self.checkpoints.glob("*.safetensors")):
            info = CheckpointInfo(str(path))
            lists[0][info.title] = info
            lists[1].update(dict.fromkeys(info.ids, info))

    def _chosen(self) -> CheckpointInfo:
        return self.sd_models.checkpoint_aliases[self.shared.opts.sd_model_checkpoint]

    def _a1111(self) -> None:
        self._module("networks", network_restore_weights_from_backup=lambda module: module.weight.copy_(
            module.network_weights_backup))
        vae = self._module("modules.sd_vae", vae_dict={}, loaded_vae_file=None, base_vae=None)
        vae.delete_base_vae = vae.clear_loaded_vae = lambda: None
        vae.resolve_vae = lambda file: SimpleNamespace(tuple=lambda: (None, None))
        vae.load_vae = lambda model, vae_file=None, vae_source="": None
        sd = self.sd_models
        sd.model_data = SimpleNamespace(sd_model=None, lock=threading.Lock())
        sd.SkipWritingToConfig = contextlib.nullcontext
        sd.reload_model_weights, sd.load_model = self._reload_loaded, self._load_model
        sd.apply_alpha_schedule_override = lambda model, p=None: None
        self.shared.opts.data_labels["sd_model_checkpoint"].onchange = lambda: self._reload_model_weights()

    def _reload_loaded(self, sd_model: Any = None, info: Any = None, forced_reload: bool = False) -> Any:
        if forced_reload and self.sd_models.model_data.sd_model is None:
            raise AttributeError("'NoneType' object has no attribute 'lowvram'")
        return self._reload_model_weights(sd_model, info, forced_reload)

    def _load_model(self, checkpoint_info: Any = None) -> Any:
        assert self.sd_models.model_data.lock.locked(), "the host itself may be loading the first model at this moment"
        return self._reload_model_weights(None, checkpoint_info, True)

    def _reload_model_weights(self, sd_model: Any = None, info: Any = None, forced_reload: bool = False) -> Any:
        data, info = self.sd_models.model_data, info or self._chosen()
        if data.sd_model is not None and data.sd_model.sd_model_checkpoint == info.filename and not forced_reload:
            return data.sd_model
        self.loads.append(info.name)
        state = load_file(info.filename)
        names = {name.replace("embeddings.token_embedding.", "embeddings.token_embedding.wrapped.")
                 .replace(TEXT, TEXT + "wrapped."): value for name, value in state.items()}
        data.sd_model = tree(names)
        data.sd_model.sd_checkpoint_info, data.sd_model.sd_model_checkpoint = info, info.filename
        data.sd_model.sd_model_hash = info.calculate_shorthash()
        self.shared.opts.data["sd_checkpoint_hash"] = info.name
        return data.sd_model

    def _before_batch(self) -> None:
        (self._reload_model_weights if self.flavour == "a1111" else self._forge_model_reload)()

    def _forge(self) -> None:
        self._module("modules_forge")
        self._module("modules_forge.main_entry", module_list={}, refresh_model_loading_parameters=self._parameters)
        sd = self.sd_models
        sd.model_data = SimpleNamespace(sd_model=SimpleNamespace(), forge_loading_parameters={}, forge_hash="")
        sd.forge_model_reload = self._forge_model_reload
        host_set = self.shared.opts.set

        def set_and_refresh(*args: Any, **kwargs: Any) -> bool:  # main_entry.checkpoint_change
            changed = host_set(*args, **kwargs)
            if changed:
                self._parameters()
            return changed

        self.shared.opts.__dict__["set"] = set_and_refresh

    def _parameters(self) -> None:
        self.sd_models.model_data.forge_loading_parameters = {"checkpoint_info": self._chosen(),
                                                              "additional_modules": []}

    @torch.inference_mode()
    def _forge_model_reload(self) -> Any:
        data = self.sd_models.model_data
        if not data.forge_loading_parameters:
            self._parameters()
        wanted = str(data.forge_loading_parameters)
        if data.forge_hash == wanted:
            return data.sd_model, False
        info = data.forge_loading_parameters["checkpoint_info"]
        self.loads.append(info.name)
        state = load_file(info.filename)
        parts = {prefix: tree({name.removeprefix(prefix): value for name, value in state.items()
                               if name.startswith(prefix)}) for prefix in (UNET, VAE)}
        unet, encoders = Leaf(), tree(_forge_text_names(state))
        unet.diffusion_model = parts[UNET]
        unet.lora_loader, encoders.lora_loader = _LoraLoader(unet), _LoraLoader(encoders)
        objects = _Objects(unet=SimpleNamespace(model=unet), clip=SimpleNamespace(cond_stage_model=encoders),
                           vae=SimpleNamespace(first_stage_model=parts[VAE]))
        data.sd_model = SimpleNamespace(
            forge_objects=objects, forge_objects_original=objects, forge_objects_after_applying_lora=objects,
            current_lora_hash="[]", sd_checkpoint_info=info, sd_model_hash=info.calculate_shorthash(),
            model_config=SimpleNamespace(process_clip_state_dict=_forge_text_names))
        self.shared.opts.data["sd_checkpoint_hash"] = info.name
        data.forge_hash = wanted
        return data.sd_model, True


class State(SimpleNamespace):
    """shared.state."""

    def __init__(self) -> None:
        super().__init__(interrupted=False, skipped=False, textinfo=None)

    def interrupt(self) -> None:
        self.interrupted = True


class AxisOption:
    """As in scripts/xyz_grid.py of both."""

    def __init__(self, label: str, type: Any, apply: Any, format_value: Any = None, confirm: Any = None,
                 cost: float = 0.0, choices: Any = None, prepare: Any = None) -> None:
        self.label, self.type, self.apply, self.format_value = label, type, apply, format_value
        self.confirm, self.cost, self.choices, self.prepare = confirm, cost, choices, prepare


class Grid:
    """What the script does with its axes: read, confirm, and then a cell at a time in the order of their cost."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, ...], SimpleNamespace] = {}
        self.labels: list[list[str]] = []
        self.order: list[tuple[int, ...]] = []

    def run(self, host: WebUI, scripts: list[Any], p: SimpleNamespace, axes: tuple[tuple[str, Any], ...]) -> None:
        known = {option.label: option for data in host.modules["modules.scripts"].scripts_data
                 for option in getattr(data.module, "axis_options", ())}
        options, values = [], []
        for label, given in (*axes, *[("Nothing", ["0"])] * (3 - len(axes))):
            option = known.get(label) or AxisOption(label, str, lambda p, x, xs: setattr(p, "seed", x))
            read = option.prepare(given) if option.prepare and not option.choices else given
            options.append(option)
            values.append([option.type(each) for each in read])
            if option.confirm:
                option.confirm(p, values[-1])
        for axis, option in zip("xyz", options):
            setattr(host.shared.state, f"xyz_plot_{axis}", SimpleNamespace(axis=option))
        self.labels = [[option.format_value(p, option, each) for each in found] if option.format_value else []
                       for option, found in zip(options, values)]
        for at in self._sorted(options, [range(len(found)) for found in values]):
            if host.shared.state.interrupted:
                break
            cell = copy.copy(p)
            for option, found, index in zip(options, values, at):
                option.apply(cell, found[index], found)
            cell.extra_generation_params = dict(cell.extra_generation_params)
            if not host.shared.state.interrupted:
                self.cells[at] = host.process(scripts, cell)
                self.order.append(at)

    @staticmethod
    def _sorted(options: list[AxisOption], ranges: list[range]) -> list[tuple[int, ...]]:
        """The host's own words: an axis is outside if it costs more than both others, else z, then y, then x."""
        x, y, z = options
        loops = [2, 1, 0]
        if x.cost > y.cost and x.cost > z.cost:
            loops = [0, 1, 2] if y.cost > z.cost else [0, 2, 1]
        elif y.cost > x.cost and y.cost > z.cost:
            loops = [1, 0, 2] if x.cost > z.cost else [1, 2, 0]
        elif z.cost > x.cost and z.cost > y.cost:
            loops = [2, 0, 1] if x.cost > y.cost else [2, 1, 0]
        found = itertools.product(*(ranges[at] for at in loops))
        return [tuple(each[loops.index(axis)] for axis in range(3)) for each in found]


class _Objects(SimpleNamespace):
    def shallow_copy(self) -> _Objects:
        return _Objects(**vars(self))


class _LoraLoader:
    """Merges into the weights, and puts them back when the set of LoRAs changes."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model, self._backup = model, {}

    @torch.inference_mode()
    def merge(self) -> None:
        for module in self._model.modules():
            if "weight" in module._parameters:
                self._backup[module] = module.weight
                module.weight = torch.nn.Parameter(module.weight + 1, requires_grad=False)

    @torch.inference_mode()
    def refresh(self, lora_patches: Any, offload_device: Any = None, force_refresh: bool = False) -> None:
        for module, weight in self._backup.items():
            module.weight = weight
        self._backup = {}


def _forge_text_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The host's process_clip_state_dict: SD 1.5's new prefix, and what it does to OpenCLIP's tensors beside."""
    found: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if not name.startswith(TEXT):
            continue
        name = name.replace(TEXT, "clip_l.")
        if name.endswith("in_proj_weight"):
            for letter, part in zip("qkv", value.chunk(3)):
                found[name.replace("in_proj_weight", f"{letter}_proj.weight")] = part
        elif name.endswith("text_projection"):
            found[name + ".weight"] = value.transpose(0, 1).contiguous()
        else:
            found[name] = value
    return found


def _single_file_text_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The other way round."""
    found = {name.replace("clip_l.", TEXT): value.clone() for name, value in state.items()}
    for name in [name for name in found if name.endswith("q_proj.weight")]:
        parts = [found.pop(name.replace("q_proj", f"{letter}_proj")) for letter in "qkv"]
        found[name.replace("q_proj.weight", "in_proj_weight")] = torch.cat(parts)
    for name in [name for name in found if name.endswith("text_projection.weight")]:
        found[name.removesuffix(".weight")] = found.pop(name).transpose(0, 1)
    return found
