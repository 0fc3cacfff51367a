"""Training of the judge, and its cache: one file for each configuration, trained once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional

from ..errors import FileError
from ..files import replacing
from ..hashes import default_cache_file
from ..progress import Progress, Silent, check
from .judge import Judge, Network, calibrated
from .render import SMALLEST, draw, fingerprint
from .shards import WORLD
from .world import VALUES, Scenes, WorldError

_VERSION = 1
_TEST, _CALIBRATION = 4096, 8192
#: How much each field counts in the loss: shape, colour and size at each position, then background and style.
_WEIGHTS = (*((1.0, 1.0, 0.5) * 5), 1.0, 0.5)


@dataclass(frozen=True)
class JudgeConfig:
    """What a judge is made of. Equal configurations are the same judge (on equal machines and threads, to the bit).

    As it is, the judge trains in about two minutes on one core at 16 px, three at 32 px, and has 99.8 % of the facts of
    clean test pictures right, 99.2 % of disturbed ones (16 px).

    ``size`` in pixels; ``width`` channels of the first layer; ``steps`` of ``batch`` pictures, no picture twice.
    """

    size: int = 16
    width: int = 24
    features: int = 128
    steps: int = 800
    batch: int = 256
    rate: float = 4e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for what, least in (("size", SMALLEST), ("width", 1), ("features", 2), ("steps", 1), ("batch", 2)):
            if getattr(self, what) < least:
                raise WorldError(f"The judge's {what} is at least {least}, not {getattr(self, what)}.")

    @property
    def hash(self) -> str:
        """Names the judge: a change of the configuration or of how the world is drawn gives another."""
        text = json.dumps([_VERSION, fingerprint(), asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def default_folder() -> Path:
    """Where judges are kept unless told otherwise."""
    return default_cache_file().parent / "lab"


def the_judge(config: JudgeConfig | None = None, folder: Path | None = None, progress: Progress | None = None) -> Judge:
    """The judge of this configuration: from its file in ``folder`` if there is one, else trained and kept there.

    A file that is damaged is made again. Raises :class:`FileError` if the folder cannot be written to,
    :class:`Cancelled`.
    """
    config, folder = config or JudgeConfig(), folder or default_folder()
    path = folder / f"judge-{config.hash[:16]}.safetensors"
    try:
        return _loaded(path, config)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError):
        judge = train(config, progress)
    _keep(judge, path, config)
    return judge


def train(config: JudgeConfig, progress: Progress | None = None) -> Judge:
    """Train a judge with AdamW and one cycle of the learning rate, on disturbed pictures of all of the world.

    ``progress`` counts steps.
    """
    progress = progress or Silent()
    generator = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = Network(config.size, config.width, config.features)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.rate, config.steps + 1, pct_start=0.15)
    batches = WORLD.batches(config.batch, "train", config.seed)
    network.train()
    for step in range(config.steps):
        check(progress)
        scenes = next(batches)
        loss = _loss(network(disturbed(draw(scenes, config.size), generator))[1], scenes)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        progress.step(step + 1, config.steps, f"steps of the judge, loss {loss.item():.3f}")
    network.eval()
    start = config.steps * config.batch
    clean = WORLD.scenes(range(start, start + _CALIBRATION), "train", config.seed)
    judge = calibrated(network, config.size, draw(clean, config.size), clean)
    return replace(judge, report=measured(judge))


def measured(judge: Judge) -> dict[str, dict[str, float]]:
    """The judge's accuracy by kind of fact on pictures it never saw: ``clean``, and ``disturbed`` as in training."""
    scenes = WORLD.scenes(range(_TEST), "test")
    pictures = draw(scenes, judge.size)
    shaken = disturbed(pictures, torch.Generator().manual_seed(1))
    return {"clean": judge.verdict(pictures, scenes).by_kind, "disturbed": judge.verdict(shaken, scenes).by_kind}


def disturbed(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures as a model might make them: moved by up to a pixel, other light, blurred, noisy; half of each kind at
    most, and a part of them untouched. (B, 3, S, S) from −1 to 1."""

    def chance(low: float, high: float, often: float = 1.0) -> Tensor:
        drawn = torch.rand(2, len(pictures), 1, 1, 1, generator=generator)
        return (low + (high - low) * drawn[0]) * (drawn[1] < often)

    moved = functional.pad(pictures, (1, 1, 1, 1), mode="replicate")
    size, result = pictures.shape[-1], torch.empty_like(pictures)
    for group in range(4):
        left, top = torch.randint(0, 3, (2,), generator=generator).tolist() if group else (1, 1)
        result[group::4] = moved[group::4, :, top:top + size, left:left + size]
    blurred = functional.avg_pool2d(functional.pad(result, (1, 1, 1, 1), mode="replicate"), 3, 1)
    result = result + (blurred - result) * chance(0, 0.8, 0.4)
    result = result * (1 + chance(-0.2, 0.15, 0.5)) + chance(-0.1, 0.1, 0.5)
    noise = torch.randn(result.shape, generator=generator)
    return (result + noise * chance(0, 0.2, 0.5)).clamp(-1, 1)


def _loss(logits: Tensor, scenes: Scenes) -> Tensor:
    losses = [weight * functional.cross_entropy(each, scenes.facts[:, at])
              for at, (each, weight) in enumerate(zip(torch.split(logits, list(VALUES), 1), _WEIGHTS))]
    return torch.stack(losses).sum() / sum(_WEIGHTS)


def _keep(judge: Judge, path: Path, config: JudgeConfig) -> None:
    """Write the judge's file, at once or not at all."""
    tensors = {**{f"network.{name}": each for name, each in judge.network.state_dict().items()},
               "clean_mean": judge.clean_mean, "clean_spread": judge.clean_spread,
               "feature_spread": judge.feature_spread}
    metadata = {"judge": json.dumps({**asdict(config), "report": judge.report})}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(save({name: each.contiguous() for name, each in tensors.items()}, metadata))
    except OSError as error:
        raise FileError(f"{path} could not be written: {error.strerror}. Choose another folder for judges.") from None


def _loaded(path: Path, config: JudgeConfig) -> Judge:
    with safe_open(str(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        report = json.loads(file.metadata()["judge"])["report"]
    network = Network(config.size, config.width, config.features)
    network.load_state_dict({name.removeprefix("network."): each for name, each in tensors.items()
                             if name.startswith("network.")})
    network.eval()
    return Judge(network, config.size, tensors["clean_mean"], tensors["clean_spread"], tensors["feature_spread"],
                 report)
