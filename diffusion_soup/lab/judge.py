"""The judge: a small network that says what a picture shows, and what is measured with it.

It answers every number of :data:`~.world.FIELDS`: for each position which shape, colour and size stand there (or
nothing), the background, and the style. :mod:`.train_judge` trains it on the world; its own accuracy on pictures it
never saw is in :attr:`Judge.report`, and no score of a model can mean more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from .scores import closest
from .world import BACKGROUNDS, POSITIONS, STYLES, VALUES, Scene, Scenes, WorldError

#: The kinds of facts a caption tells.
KINDS = ("count", "position", "shape", "colour", "size", "background", "style")
#: The lowest log probability that counts in :meth:`Judge.preference`: one in a hundred.
FLOOR = -4.605170186
#: How much cleanliness counts in :meth:`Judge.preference`.
CLEAN = 0.25

_PIECE = 512
_MOST_Z = 9.0


class Network(nn.Module):
    """(B, 3, S, S) pictures -> (B, features) and one logit for every value of every field, (B, sum of values)."""

    def __init__(self, size: int, width: int, features: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, side = 3, size
        for wanted, stride in ((width, 1), (2 * width, 2), (3 * width, 1), (4 * width, 2), (4 * width, 1)):
            layers += [nn.Conv2d(channels, wanted, 3, stride, 1, bias=False), nn.BatchNorm2d(wanted), nn.SiLU()]
            channels, side = wanted, -(-side // stride)
        if side > 4:
            layers.append(nn.AdaptiveAvgPool2d(4))
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * channels, features), nn.BatchNorm1d(features),
                                  nn.SiLU())
        self.heads = nn.Linear(features, sum(VALUES))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(pictures)
        return features, self.heads(features)


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the captions asked, and what the pictures show.

    ``asked`` and ``right`` are (B, 23) bool: the count; for each position whether something stands there, its shape,
    colour and size; the background; the style. A thing that is missing has none of its four facts right.
    """

    asked: Tensor
    right: Tensor

    @property
    def faithfulness(self) -> Tensor:
        """The share of each caption's facts that its picture shows, (B,) float32."""
        return (self.asked & self.right).sum(1) / self.asked.sum(1)

    @property
    def by_kind(self) -> dict[str, float]:
        """The share of right facts of each kind that was asked, over all pictures, and of all facts (``all``)."""
        found = {}
        for kind in KINDS:
            columns = [at for at, each in enumerate(_ASKED) if each == kind]
            asked, right = self.asked[:, columns], self.right[:, columns]
            if asked.any():
                found[kind] = float(right[asked].float().mean())
        return {**found, "all": float(self.right[self.asked].float().mean())}


_ASKED = ("count", *("position", "shape", "colour", "size") * len(POSITIONS), "background", "style")


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest training picture of each picture: root mean square difference and index, by pixels and by features.

    Pixels run from −1 to 1; features are those of :meth:`Judge.features`.
    """

    pixel: Tensor
    pixel_index: Tensor
    feature: Tensor
    feature_index: Tensor


@dataclass(frozen=True, eq=False)
class Judge:
    """A trained network for pictures of ``size`` px; larger ones are averaged down to it.

    ``clean_mean`` and ``clean_spread`` (8, 8, 2) are mean and standard deviation of :func:`roughness` over clean
    pictures of each style and background; ``feature_spread`` (features,) that of each feature. ``report`` is the
    accuracy by kind on clean test pictures (``clean``) and on disturbed ones (``disturbed``).
    """

    network: Network
    size: int
    clean_mean: Tensor
    clean_spread: Tensor
    feature_spread: Tensor
    report: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def features(self, pictures: Tensor) -> Tensor:
        """(B, 3, S, S) pictures -> (B, features) float32, for FID: see :func:`~diffusion_soup.frechet.fid`.

        Each is in units of its own standard deviation over the world, so that FIDs of two judges are of one scale.
        They are about content: the judge is trained to overlook slight noise and blur, which :meth:`dirt` sees. At
        16 px, FID to 2,000 pictures of the world: 2.3 of 2,000 others, 9 if blurred, 18 of one domain, 170 of grey.
        """
        return self._ask(pictures, lambda features, logits: features) / self.feature_spread

    def answers(self, pictures: Tensor) -> Tensor:
        """(B, 3, S, S) pictures -> (B, 17) int64, the likeliest value of each of the fields."""
        return self._ask(pictures, lambda features, logits: torch.stack(
            [each.argmax(1) for each in torch.split(logits, list(VALUES), 1)], dim=1))

    def log_probabilities(self, pictures: Tensor) -> list[Tensor]:
        """For each field, (B, values) log probabilities."""
        logits = self._ask(pictures, lambda features, logits: logits)
        return [each.log_softmax(1) for each in torch.split(logits, list(VALUES), 1)]

    def verdict(self, pictures: Tensor, scenes: Sequence[Scene]) -> Verdict:
        """Compare what pictures show with what was asked, scene by scene."""
        wanted, seen = _paired(pictures, scenes).facts, self.answers(pictures)
        return compared(wanted, seen)

    def faithfulness(self, pictures: Tensor, scenes: Sequence[Scene]) -> Tensor:
        """The share of the caption's facts each picture shows, (B,) from 0 to 1: the lab's stand-in for TIFA
        (Hu et al. 2023, arXiv 2303.11897), which asks a model about each fact of a prompt."""
        return self.verdict(pictures, scenes).faithfulness

    def preference(self, pictures: Tensor, scenes: Sequence[Scene]) -> Tensor:
        """How much a picture is to be preferred, (B,) float32: a stand-in for ImageReward, with ground truth. ::

            preference = mean over the caption's facts of max(log p(fact), FLOOR) − CLEAN · dirt

        The facts are, for each thing, its shape, colour and size, then background, style, and, as one fact, that
        things stand at the asked positions and nowhere else (the sum of five log probabilities). ``dirt`` is
        :meth:`dirt`. 0 is best. Seen at 16 px: clean and right pictures −0.3, with noise of 0.3 −1.9, blurred −2.3, of
        another scene −5.4. Larger pictures are smoother when averaged down, so compare pictures of one size.
        """
        whole = _paired(pictures, scenes)
        logs = self.log_probabilities(pictures)
        chances = torch.stack([log.gather(1, whole.facts[:, at, None])[:, 0] for at, log in enumerate(logs)], dim=1)
        there = whole.facts[:, 0:15:3] > 0
        layout = torch.zeros(len(whole))
        for slot in range(len(POSITIONS)):
            empty = logs[3 * slot][:, 0]
            full = torch.log1p(-empty.exp().clamp(max=1 - 1e-6))
            layout = layout + full.where(there[:, slot], empty)
        asked = torch.cat([there.repeat_interleave(3, 1), torch.ones(len(whole), 3, dtype=torch.bool)], dim=1)
        terms = torch.cat([chances, layout[:, None]], dim=1).clamp(min=FLOOR)
        return (terms * asked).sum(1) / asked.sum(1) - CLEAN * self.dirt(pictures, whole)

    def dirt(self, pictures: Tensor, scenes: Sequence[Scene]) -> Tensor:
        """How unlike a clean picture's the roughness is, (B,) from 0 to 9: half the squared z of both measures of
        :func:`roughness`, each z at most 3, among clean pictures of the asked style and background. Noise, blur and
        mush all raise it."""
        whole = _paired(pictures, scenes)
        cell = whole.column("style"), whole.column("background")
        z = (roughness(self._fitted(pictures)) - self.clean_mean[cell]) / self.clean_spread[cell]
        return z.square().clamp(max=_MOST_Z).sum(1) / 2

    def nearest(self, pictures: Tensor, training: Tensor) -> Nearest:
        """The nearest of (N, 3, S, S) training pictures for each of (B, 3, S, S), both of one size."""
        if pictures.shape[1:] != training.shape[1:]:
            raise WorldError(f"Pictures of {tuple(pictures.shape[1:])} are compared with training pictures of "
                             f"{tuple(training.shape[1:])}; draw both at one size.")
        by_pixel = closest(pictures.flatten(1), training.flatten(1))
        return Nearest(*by_pixel, *closest(self.features(pictures), self.features(training)))

    def _fitted(self, pictures: Tensor) -> Tensor:
        if pictures.ndim != 4 or pictures.shape[1] != 3 or min(pictures.shape[2:]) < self.size:
            raise WorldError(f"The judge looks at pictures of (B, 3, S, S) with S from {self.size} px on, not "
                             f"{tuple(pictures.shape)}.")
        pictures = pictures.to("cpu", torch.float32).clamp(-1, 1)
        if pictures.shape[2:] == (self.size, self.size):
            return pictures
        return functional.adaptive_avg_pool2d(pictures, self.size)

    @torch.no_grad()
    def _ask(self, pictures: Tensor, wanted: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        self.network.eval()
        fitted = self._fitted(pictures)
        return torch.cat([wanted(*self.network(piece)) for piece in torch.split(fitted, _PIECE)])


def compared(wanted: Tensor, seen: Tensor) -> Verdict:
    """The verdict on answers ``seen`` where ``wanted`` was asked, both (B, 17) int64."""
    there, shown = wanted[:, 0:15:3] > 0, seen[:, 0:15:3] > 0
    asked, right = [torch.ones(len(wanted), dtype=torch.bool)], [there.sum(1) == shown.sum(1)]
    for slot in range(len(POSITIONS)):
        asked += [there[:, slot]] * 4
        right += [shown[:, slot], *((wanted[:, at] == seen[:, at]) & shown[:, slot]
                                    for at in range(3 * slot, 3 * slot + 3))]
    asked += [asked[0]] * 2
    right += [wanted[:, at] == seen[:, at] for at in (-2, -1)]
    return Verdict(torch.stack(asked, 1), torch.stack(right, 1))


def roughness(pictures: Tensor) -> Tensor:
    """(B, 3, S, S) -> (B, 2): the logarithms of the mean squared first and second differences of neighbouring pixels.

    Noise raises the second most, blur lowers both.
    """
    found = []
    for order in (1, 2):
        across, down = pictures.diff(order, dim=-1).square(), pictures.diff(order, dim=-2).square()
        found.append((across.mean((1, 2, 3)) + down.mean((1, 2, 3)) + 1e-5).log())
    return torch.stack(found, dim=1)


def calibrated(network: Network, size: int, pictures: Tensor, scenes: Scenes) -> Judge:
    """The judge around a trained network, with its measures of clean pictures taken on these (without a report).

    A cell of style and background with fewer than two pictures takes the measures of all.
    """
    rough = roughness(pictures)
    mean = rough.mean(0).repeat(len(STYLES), len(BACKGROUNDS), 1)
    spread = rough.std(0).repeat(len(STYLES), len(BACKGROUNDS), 1)
    for style in range(len(STYLES)):
        for background in range(len(BACKGROUNDS)):
            cell = rough[(scenes.column("style") == style) & (scenes.column("background") == background)]
            if len(cell) > 1:
                mean[style, background], spread[style, background] = cell.mean(0), cell.std(0)
    bare = Judge(network, size, mean, spread.clamp(min=0.02), torch.ones(1))
    return Judge(network, size, mean, spread.clamp(min=0.02), bare.features(pictures).std(0).clamp(min=1e-3))


def _paired(pictures: Tensor, scenes: Sequence[Scene]) -> Scenes:
    if len(pictures) != len(scenes):
        raise WorldError(f"{len(pictures)} pictures were to be judged by {len(scenes)} scenes; give one scene each.")
    return Scenes.of(scenes)
