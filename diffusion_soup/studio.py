"""Pictures of recipes by diffusers, without a host: soups are cooked in memory and put into one pipeline's modules.

The pipeline comes from a folder as diffusers writes it, of which only settings and words are read: every weight is the
soup's. Needs diffusers and transformers (``pip install diffusion-soup[select]``).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from . import layout
from .checkpoint import DTYPE_NAMES, TensorInfo
from .cook import cook
from .errors import FileError, MismatchError, SoupError
from .evaluations import Question
from .folders import ModelFolders
from .progress import Progress, Silent, check
from .recipe import Recipe

_PIPELINES = {"StableDiffusionPipeline": ("text_encoder",),
              "StableDiffusionXLPipeline": ("text_encoder", "text_encoder_2")}
#: Where text encoders lie in single files, by their first tensor: CLIP's own names, or OpenCLIP's.
_CLIPS = ("cond_stage_model.transformer.", "conditioner.embedders.0.transformer.")
_OPEN_CLIPS = ("cond_stage_model.model.", "conditioner.embedders.1.model.")


class Studio:
    """The ``paint`` of a :class:`Trial`. ``steps`` and ``cfg`` are the sampler's."""

    def __init__(self, folder: Path, models: ModelFolders, *, steps: int = 20, cfg: float = 7.0, device: str = "cpu",
                 progress: Progress | None = None) -> None:
        self._models, self._steps, self._cfg = models, steps, cfg
        self._device, self._dtype = torch.device(device), torch.float32 if device == "cpu" else torch.float16
        self._progress = progress or Silent()
        self._folder = folder
        self._pipeline, self._texts = _pipeline(folder)
        self._pipeline.set_progress_bar_config(disable=True)

    @property
    def sampling(self) -> dict[str, Any]:
        """What has a say in pictures, for the key of an evaluation."""
        scheduler = {name: str(value) for name, value in sorted(self._pipeline.scheduler.config.items())}
        return {"host": "diffusers", "steps": self._steps, "cfg": self._cfg, "dtype": str(self._dtype),
                "scheduler": scheduler}

    def __call__(self, recipe: Recipe, questions: Sequence[Question]) -> Iterator[torch.Tensor]:
        """A picture [3, H, W] in 0..1 for each question."""
        self.loaded(recipe)
        for question in questions:
            check(self._progress)
            with torch.inference_mode():
                made = self._pipeline(
                    question.prompt, negative_prompt=question.negative, width=question.width, height=question.height,
                    num_inference_steps=self._steps, guidance_scale=self._cfg, output_type="pt",
                    generator=torch.Generator().manual_seed(question.seed), callback_on_step_end=self._stepped)
            yield made.images[0].float().cpu()

    def loaded(self, recipe: Recipe) -> Any:
        """The pipeline, with the soup of this recipe in all of its modules, until the next one is."""
        self._put(cook(recipe, self._models, progress=self._progress))
        return self._pipeline

    def _stepped(self, pipeline: Any, step: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        check(self._progress)
        return values

    def _put(self, soup: Mapping[str, torch.Tensor]) -> None:
        """Give the pipeline's modules the soup's weights; what needs no other dtype or device is not copied."""
        parts = {"unet": layout.unet, "vae": layout.vae}
        for name, convert in parts.items():
            module = getattr(self._pipeline, name)
            self._fill(module, convert(_described(module)), soup, name)
        for name in self._texts:
            module = getattr(self._pipeline, name)
            described = _described(module)
            second = name == "text_encoder_2"
            found = [layout.clip(described, prefix) for prefix in _CLIPS if not second]
            found += [layout.open_clip(described, prefix) for prefix in _OPEN_CLIPS]
            best = max(found, key=lambda each: sum(key in soup for key in each.pieces))
            self._fill(module, best, soup, name)

    def _fill(self, module: torch.nn.Module, converted: layout.Converted, soup: Mapping[str, torch.Tensor], name: str
              ) -> None:
        own = module.state_dict()
        state: dict[str, torch.Tensor] = {}
        for key, piece in converted.pieces.items():
            if key not in soup:
                continue
            tensor = soup[key].t() if piece.transposed else soup[key]
            sizes = [own[source].shape[0] if own[source].ndim else 1 for source in piece.sources]
            for source, part in zip(piece.sources, torch.split(tensor, sizes) if len(sizes) > 1 else (tensor,)):
                if part.numel() != own[source].numel():
                    raise MismatchError(f"The pipeline in {self._folder.name} is not of this family of models: its "
                                        f"{name} has {source} of {list(own[source].shape)}, the soup of "
                                        f"{list(part.shape)}.")
                state[source] = part.reshape(own[source].shape).to(self._device, self._dtype)
        missing = sorted(own.keys() - state.keys() - {each for each in own if each.endswith("position_ids")})
        if missing:
            raise MismatchError(f"The pipeline in {self._folder.name} does not fit these models: they have nothing for "
                                f"{len(missing)} tensors of its {name} (first: {missing[0]}). Choose a pipeline of "
                                "their family, and whole checkpoints or a base with text encoder and VAE.")
        module.load_state_dict(state, strict=False, assign=True)
        module.requires_grad_(False).eval()
        for buffer_name, buffer in module.named_buffers():
            if buffer.device != self._device:
                owner = module.get_submodule(buffer_name.rpartition(".")[0])
                setattr(owner, buffer_name.rpartition(".")[2], buffer.to(self._device))


def _described(module: torch.nn.Module) -> dict[str, TensorInfo]:
    return {name: TensorInfo(name, DTYPE_NAMES[tensor.dtype], tuple(tensor.shape))
            for name, tensor in module.state_dict().items()}


def _pipeline(folder: Path) -> tuple[Any, tuple[str, ...]]:
    """A pipeline without weights by the settings in a folder, and the names of its text encoders."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import diffusers
            import transformers
            kinds = {name: getattr(diffusers, name) for name in _PIPELINES}
            text = {"text_encoder": transformers.CLIPTextModel,
                    "text_encoder_2": transformers.CLIPTextModelWithProjection}
    except (ImportError, RuntimeError):
        raise SoupError("Pictures on the command line need the libraries diffusers and transformers: pip install "
                        "diffusion-soup[select].") from None
    if not (folder / "model_index.json").is_file():
        raise FileError(f"{folder} is no pipeline; expected a folder as diffusers writes it, with model_index.json, of "
                        "the family of your models. Its weights are not needed.")
    diffusers.utils.logging.set_verbosity_error()
    name = str(diffusers.DiffusionPipeline.load_config(str(folder), local_files_only=True).get("_class_name"))
    if name not in kinds:
        raise MismatchError(f"The pipeline in {folder.name} is a {name}; known are {' and '.join(kinds)}.")
    texts = _PIPELINES[name]
    models: list[tuple[str, Any]] = [("unet", diffusers.UNet2DConditionModel), ("vae", diffusers.AutoencoderKL)]
    try:
        parts: dict[str, Any] = {}
        with torch.device("meta"):
            for part, kind in models:
                parts[part] = kind.from_config(kind.load_config(str(folder / part), local_files_only=True))
        for part in texts:
            config = transformers.CLIPTextConfig.from_pretrained(str(folder / part), local_files_only=True)
            parts[part] = text[part](config)
            words = part.replace("text_encoder", "tokenizer")
            parts[words] = transformers.CLIPTokenizer.from_pretrained(str(folder / words), local_files_only=True)
            parts[words].model_max_length = min(parts[words].model_max_length, config.max_position_embeddings)
        settings = diffusers.DiffusionPipeline.load_config(str(folder), local_files_only=True)
        scheduler = getattr(diffusers, settings["scheduler"][1])
        numbers = scheduler.load_config(str(folder / "scheduler"), local_files_only=True)
        parts["scheduler"] = scheduler.from_config(numbers)
        if name == "StableDiffusionPipeline":
            parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        return kinds[name](**parts), texts
    except Exception as error:  # damaged settings can raise anything
        raise FileError(f"The pipeline in {folder.name} cannot be read ({type(error).__name__}: "
                        f"{str(error).splitlines()[0][:200] if str(error) else 'no details'}); download it "
                        "again.") from None
