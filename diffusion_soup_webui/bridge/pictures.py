"""Pictures by the host's own txt2img, for ourselves: without scripts, and nothing of them is written to disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffusion_soup import Cancelled, SoupError
from diffusion_soup.evaluations import Question
from diffusion_soup.progress import Progress, check

_LOOK = 0.1  # seconds between looks whether to stop
#: Options of the hosts that have a say in a picture, as far as a host has them.
_OPTIONS = ("CLIP_stop_at_last_layers", "sd_vae", "forge_additional_modules", "forge_unet_storage_dtype",
            "eta_noise_seed_delta", "eta_ancestral", "eta_ddim", "ddim_discretize", "s_churn", "s_tmin", "s_tmax",
            "s_noise", "s_min_uncond", "sigma_min", "sigma_max", "rho", "randn_source", "emphasis",
            "comma_padding_backtrack", "always_discard_next_to_last_sigma", "sgm_noise_multiplier",
            "token_merging_ratio", "sd_noise_schedule", "fp8_storage", "skip_early_cond", "beta_dist_alpha",
            "beta_dist_beta")


def samplers() -> list[str]:
    """The host's samplers by name, in its order."""
    from modules import sd_samplers
    return [each.name for each in sd_samplers.samplers]


def schedulers() -> list[str]:
    """The host's noise schedules by name; none where they are a part of the sampler's name (before A1111 1.9)."""
    try:
        from modules import sd_schedulers
    except ImportError:
        return []
    return [each.label for each in sd_schedulers.schedulers]


def scorer_folders() -> list[Path]:
    """Where scorers are looked for: ``diffusion_soup/scorers`` in the folder of models, as in ComfyUI."""
    from modules import paths
    return [Path(paths.models_path, "diffusion_soup", "scorers")]


def options() -> dict[str, str]:
    """What else has a say in the host's pictures, by the names of its options."""
    from modules import shared
    return {name: str(shared.opts.data[name]) for name in _OPTIONS if name in shared.opts.data}


def paint(question: Question, sampling: Mapping[str, Any], progress: Progress) -> torch.Tensor:
    """One picture [3, H, W] in 0..1 by the model in memory. The caller holds the host's lock.

    ``sampling`` are the host's own names: steps, cfg_scale, sampler_name, and scheduler where it has some. Raises
    :class:`Cancelled` at the next step after ``progress`` or the user's own button asks for it.
    """
    from modules import paths, processing, shared
    check(progress)
    state = shared.state
    request = processing.StableDiffusionProcessingTxt2Img(
        sd_model=shared.sd_model, prompt=question.prompt, negative_prompt=question.negative, seed=question.seed,
        width=question.width, height=question.height, batch_size=1, n_iter=1, do_not_save_samples=True,
        do_not_save_grid=True, restore_faces=False, tiling=False, **sampling)
    with closing(request), _as_it_was(Path(paths.data_path, "params.txt")):
        state.begin(job="diffusion_soup_select")
        try:
            with _watched(state, progress):
                made = processing.process_images(request)
        finally:
            state.end()
            shared.total_tqdm.clear()
    if state.interrupted or state.skipped or getattr(state, "stopping_generation", False):
        raise Cancelled("cancelled")
    check(progress)
    if not made.images:
        raise SoupError(f"The WebUI made no picture of {question.prompt!r}; its console may say why.")
    levels = np.asarray(made.images[0].convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(levels).permute(2, 0, 1)


@contextmanager
def _watched(state: Any, progress: Progress) -> Iterator[None]:
    """Tell how far the host is, and have it stop when we are told to."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK):
            if progress.cancelled():
                state.interrupt()
                return
            steps = int(getattr(state, "sampling_steps", 0) or 0)
            progress.step(min(int(state.sampling_step), steps), max(steps, 1), "steps")

    watcher = threading.Thread(target=watch, name="diffusion-soup-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


@contextmanager
def _as_it_was(path: Path) -> Iterator[None]:
    """The host keeps the last picture's parameters in a file, which is the user's picture's and not ours."""
    before = None
    with suppress(OSError):
        before = path.read_bytes()
    try:
        yield
    finally:
        with suppress(OSError):
            if before is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(before)
