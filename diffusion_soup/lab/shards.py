"""Shards: parts of the world that specialists are trained on, by content (domains) or by drawing style.

A :class:`Shard` names the words its scenes are made of. Scene ``i`` of a shard is the same in every run, alone or in a
batch: so a training run resumes at its index, and a set to be memorised is a range. ``split`` keeps training and test
apart (their seeds never meet), and a test set is drawn from the same words.

The families are those of the paper's experiments: :data:`DOMAINS` (by background, disjoint), :data:`FORMS` and
:data:`HUES` (by shape and by colour), :data:`STYLE_SHARDS`. :meth:`Shard.mixed` lets a part of a shard come from
elsewhere, for shards that overlap; :func:`crossed` pairs the style of one with the content of another, which nobody
trained on if :meth:`Shard.shows` says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from .draws import key_of, seeds, uniforms
from .world import BACKGROUNDS, COLOURS, FIELDS, MOST, POSITIONS, SHAPES, SIZES, STYLES, Scene, Scenes, WorldError

SPLITS = ("train", "test")
#: Which positions two and three things take; one thing may stand at any.
PAIRS = (("left", "right"), ("top", "bottom"))
TRIPLES = (("left", "right", "top"), ("left", "right", "bottom"), ("left", "top", "bottom"), ("right", "top", "bottom"))

#: Background, style, count and positions; shape, colour and size of each thing; whether it comes from elsewhere.
_LANES = 4 + 3 * MOST + 1
_TRIES = 64


@dataclass(frozen=True)
class Shard:
    """The scenes made of these words, all equally likely; ``counts`` are how many things a scene may have.

    ``without`` are pairs of words that never meet in one scene, such as ``("neon", "star")``. A share of ``overlap``
    of the scenes is drawn from all of the world instead (still without those pairs). Two shards of equal fields, their
    name included, are the same scenes.
    """

    name: str
    shapes: tuple[str, ...] = SHAPES
    colours: tuple[str, ...] = COLOURS
    backgrounds: tuple[str, ...] = BACKGROUNDS
    styles: tuple[str, ...] = STYLES
    counts: tuple[int, ...] = (1, 2, 3)
    without: tuple[tuple[str, str], ...] = ()
    overlap: float = 0.0

    def __post_init__(self) -> None:
        for what, words in (("shapes", SHAPES), ("colours", COLOURS), ("backgrounds", BACKGROUNDS), ("styles", STYLES),
                            ("counts", (1, 2, 3))):
            mine = getattr(self, what)
            if not mine or len(set(mine)) < len(mine) or not set(mine) <= set(words):
                raise WorldError(f"The {what} of shard {self.name!r} are {mine}; name some of {words}, each once.")
        for word in {word for pair in self.without for word in pair} - {*SHAPES, *COLOURS, *BACKGROUNDS, *STYLES}:
            raise WorldError(f"Shard {self.name!r} is without {word!r}; name shapes, colours, backgrounds or "
                             "styles.")
        if not 0 <= self.overlap <= 1:
            raise WorldError(f"The overlap of shard {self.name!r} is a share from 0 to 1, not {self.overlap}.")

    def scenes(self, indices: Sequence[int] | NDArray[np.int64], split: str = "train", seed: int = 0) -> Scenes:
        """The scenes at these indices, from 0 on without end. Raises :class:`WorldError` if ``without`` leaves none."""
        if split not in SPLITS:
            raise WorldError(f"There is no split called {split!r}; choose one of {', '.join(SPLITS)}.")
        key = key_of(json.dumps([asdict(self), split, seed], sort_keys=True))
        mine = seeds(key, np.asarray(indices, dtype=np.int64))
        facts = self._facts(mine)
        for _ in range(_TRIES):
            again = self._barred(facts)
            if not again.any():
                last = torch.from_numpy(mine.astype(np.int64))
                return Scenes(torch.from_numpy(facts), (last & ~1) | SPLITS.index(split))
            mine[again] = seeds(key + 1, mine[again].astype(np.int64))
            facts[again] = self._facts(mine[again])
        raise WorldError(f"Shard {self.name!r} has hardly a scene without {self.without}; name fewer pairs.")

    def batches(self, size: int, split: str = "train", seed: int = 0, start: int = 0) -> Iterator[Scenes]:
        """Batches of ``size`` scenes without end, the first at index ``start``: resume by giving where you stopped."""
        while True:
            yield self.scenes(range(start, start + size), split, seed)
            start += size

    def shows(self, scene: Scene) -> bool:
        """Whether this scene could be in the shard."""
        facts = Scenes.of([scene]).facts.numpy()
        if self._barred(facts)[0]:
            return False
        return self.overlap > 0 or (
            scene.background in self.backgrounds and scene.style in self.styles and len(scene.things) in self.counts
            and all(thing.shape in self.shapes and thing.colour in self.colours for thing in scene.things))

    def mixed(self, overlap: float) -> Shard:
        """The same shard, with a share of its scenes from all of the world."""
        return replace(self, overlap=overlap)

    def _facts(self, mine: NDArray[np.uint64]) -> NDArray[np.int64]:
        """(B,) seeds -> (B, 17) facts."""
        chance = uniforms(mine, _LANES)
        facts = self._drawn(chance)
        if self.overlap:
            elsewhere = chance[:, -1] < self.overlap
            facts[elsewhere] = WORLD._drawn(chance[elsewhere])
        return facts

    def _drawn(self, chance: NDArray[np.float64]) -> NDArray[np.int64]:
        facts = np.zeros((len(chance), len(FIELDS)), dtype=np.int64)
        facts[:, -2] = _picked(chance[:, 0], BACKGROUNDS, self.backgrounds)
        facts[:, -1] = _picked(chance[:, 1], STYLES, self.styles)
        counts = np.array(self.counts)[(chance[:, 2] * len(self.counts)).astype(np.int64)]
        for count, groups in ((1, tuple((each,) for each in POSITIONS)), (2, PAIRS), (3, TRIPLES)):
            rows = np.flatnonzero(counts == count)
            where = np.array([[POSITIONS.index(each) for each in group] for group in groups])
            where = where[(chance[rows, 3] * len(groups)).astype(np.int64)]
            for thing in range(count):
                lane, at = 4 + 3 * thing, 3 * where[:, thing]
                facts[rows, at] = 1 + _picked(chance[rows, lane], SHAPES, self.shapes)
                facts[rows, at + 1] = 1 + _picked(chance[rows, lane + 1], COLOURS, self.colours)
                sizes = _picked(chance[rows, lane + 2], SIZES, SIZES if count < MOST else SIZES[:1])
                facts[rows, at + 2] = 1 + sizes
        return facts

    def _barred(self, facts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows have both words of a pair in ``without``."""
        barred = np.zeros(len(facts), dtype=np.bool_)
        for one, other in self.without:
            barred |= _has(facts, one) & _has(facts, other)
        return barred


def crossed(style: Shard, content: Shard) -> Shard:
    """The styles of one shard with the content of another: what their soup should draw though neither was shown it."""
    return replace(content, name=f"{style.name} x {content.name}", styles=style.styles,
                   without=(), overlap=0.0)


#: All of the world.
WORLD = Shard("world")
#: By background; disjoint, and together all of the world.
DOMAINS = (Shard("day", backgrounds=("sky", "meadow")), Shard("dusk", backgrounds=("sunset", "night")),
           Shard("water and paper", backgrounds=("sea", "plain")), Shard("patterns", backgrounds=("stripes", "checks")))
#: By shape.
FORMS = (Shard("round", shapes=("circle", "ring")), Shard("straight", shapes=("square", "cross")),
         Shard("pointed", shapes=("triangle", "star")))
#: By colour.
HUES = (Shard("warm", colours=("red", "orange")), Shard("fresh", colours=("yellow", "green")),
        Shard("cool", colours=("blue", "purple")))
#: One for each drawing style.
STYLE_SHARDS = tuple(Shard(style, styles=(style,)) for style in STYLES)
FAMILIES = {"domains": DOMAINS, "forms": FORMS, "hues": HUES, "styles": STYLE_SHARDS}


def _picked(chance: NDArray[np.float64], words: tuple[str, ...], mine: tuple[str, ...]) -> NDArray[np.int64]:
    table = np.array([words.index(word) for word in mine])
    picked: NDArray[np.int64] = table[(chance * len(mine)).astype(np.int64)]
    return picked


def _has(facts: NDArray[np.int64], word: str) -> NDArray[np.bool_]:
    """Which rows have this word anywhere."""
    has = np.zeros(len(facts), dtype=np.bool_)
    for column, (what, _) in enumerate(FIELDS):
        words: tuple[str | None, ...] = {"shape": (None, *SHAPES), "colour": (None, *COLOURS), "size": (),
                                         "background": BACKGROUNDS, "style": STYLES}[what]
        if word in words:
            has |= facts[:, column] == words.index(word)
    return has
