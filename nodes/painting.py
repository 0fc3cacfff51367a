"""Pictures of recipes by ComfyUI's own sampling, and scorers on the devices it gives them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sample
import comfy.utils
import folder_paths
import latent_preview
import torch

from ..diffusion_soup import Recipe, RecipeError, prepare
from ..diffusion_soup.evaluations import Evaluations, Question
from ..diffusion_soup.progress import check
from ..diffusion_soup.score import Scorer, offered, open_scorer
from ..diffusion_soup.score.pictures import to_pil
from . import bridge
from .pantry import cooked, pantry

#: The name of the folders of scorers in extra_model_paths.yaml.
SCORERS = "diffusion_soup_scorers"
_PREVIEW_SIDE = 512

_evaluations: Evaluations | None = None


def evaluations() -> Evaluations:
    """Those kept in the user's folder."""
    global _evaluations
    if _evaluations is None:
        _evaluations = Evaluations(Path(folder_paths.get_user_directory()) / "diffusion_soup" / "evaluations.jsonl")
    return _evaluations


def scorer_folders() -> list[Path]:
    """models/diffusion_soup/scorers, and what the user adds to it."""
    folder_paths.add_model_folder_path(SCORERS, str(Path(folder_paths.models_dir, "diffusion_soup", "scorers")))
    return [Path(path) for path in folder_paths.get_folder_paths(SCORERS)]


def scorers() -> list[str]:
    """The scorers that the folders hold, as NAME:FOLDER."""
    return offered(scorer_folders())


def scorer_stamp(spec: str) -> str:
    """Changes when one of the scorer's files does; reads nothing."""
    name = spec.partition(":")[2]
    files = sorted(path for folder in scorer_folders() if name for path in (folder / name).glob("*") if path.is_file())
    return "|".join(f"{path.name}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in files)


class Judge:
    """A scorer whose module ComfyUI moves to its device and off it, as it does with models."""

    def __init__(self, spec: str) -> None:
        self._scorer: Scorer = open_scorer(spec, scorer_folders(), bridge.model_folders().hashes,
                                            bridge.NodeProgress())
        self.identity = self._scorer.identity
        self._patcher = comfy.model_patcher.ModelPatcher(
            self._scorer.module, load_device=comfy.model_management.get_torch_device(),
            offload_device=torch.device("cpu"))

    def __call__(self, images: torch.Tensor, prompts: Sequence[str]) -> list[float]:
        comfy.model_management.load_models_gpu([self._patcher])
        return self._scorer(images, prompts)


def judge(spec: str) -> Judge:
    """The scorer by its name; the last one stays in memory as long as there are nodes that score."""
    kept = pantry().judges
    stamp = f"{spec}|{scorer_stamp(spec)}"
    if stamp not in kept:
        kept.clear()
        kept[stamp] = Judge(spec)
    return kept[stamp]


class Quiet:
    """Work that is a part of a longer one: it can be stopped, and says nothing."""

    def step(self, done: int, total: int, what: str) -> None:
        pass

    def cancelled(self) -> bool:
        return bool(comfy.model_management.processing_interrupted())


@dataclasses.dataclass(frozen=True)
class Painter:
    """Paints recipes for one node. ``clip`` and ``vae`` are used in place of the soups' own."""

    node_id: str
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str
    clip: Any = None
    vae: Any = None

    @property
    def sampling(self) -> dict[str, Any]:
        """What has a say in pictures, for the key of an evaluation."""
        return {"host": "comfyui", "steps": self.steps, "cfg": self.cfg, "sampler": self.sampler_name,
                "scheduler": self.scheduler}

    def __call__(self, recipe: Recipe, questions: Sequence[Question]) -> Iterator[torch.Tensor]:
        """A picture [3, H, W] in 0..1 for each question."""
        without = {**({"text_encoder": "none"} if self.clip is not None else {}),
                   **({"vae": "none"} if self.vae is not None else {})}
        plan = prepare(dataclasses.replace(recipe, **without), bridge.model_folders(), Quiet())
        try:
            soup = cooked(plan, self.node_id, progress=Quiet())
        finally:
            plan.close()
        clip, vae = self.clip or soup.clip, self.vae or soup.vae
        if clip is None or vae is None:
            raise RecipeError(f"These ingredients have no {'text encoder' if clip is None else 'VAE'}: connect one to "
                              f"{'clip' if clip is None else 'vae'}, or take it from a base.")
        texts: dict[str, Any] = {}
        for question in questions:
            check(Quiet())
            positive, negative = (texts[text] if text in texts else texts.setdefault(text, _encoded(clip, text))
                                  for text in (question.prompt, question.negative))
            yield self._sampled(soup.model, vae, positive, negative, question)

    def _sampled(self, model: Any, vae: Any, positive: Any, negative: Any, question: Question) -> torch.Tensor:
        empty = torch.zeros(1, 4, question.height // 8, question.width // 8,
                            device=comfy.model_management.intermediate_device())
        latent = comfy.sample.fix_empty_latent_channels(model, empty)
        samples = comfy.sample.sample(
            model, comfy.sample.prepare_noise(latent, question.seed), self.steps, self.cfg, self.sampler_name,
            self.scheduler, positive, negative, latent, seed=question.seed,
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED)
        picture: torch.Tensor = vae.decode(samples)[0].movedim(-1, 0)[:3].float().cpu()
        return picture


def _encoded(clip: Any, text: str) -> Any:
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


class PictureProgress(bridge.NodeProgress):
    """The node's bar over a whole search, with the last finished picture as its preview."""

    def show(self, picture: torch.Tensor) -> None:
        small = to_pil(picture)
        small.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
        wanted = latent_preview.args.preview_method != latent_preview.LatentPreviewMethod.NoPreviews
        self._bar.update_absolute(max(self._shown, 0), self._UNITS, ("JPEG", small, _PREVIEW_SIDE) if wanted else None)
