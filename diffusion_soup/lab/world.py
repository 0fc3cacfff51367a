"""What can be seen in the lab's world: scenes of one to three things, their captions, and their facts as numbers.

A picture is a :class:`Scene`: things (shape, colour, size, position), a background, a drawing style, and a seed for
what the caption does not tell (small shifts, turns, phases). No two things share a position, so every scene is one row
of :data:`FIELDS`: for each of the five positions the shape, colour and size of what stands there (0 for nothing), then
background and style. The same row is what a judge answers and what a model can be conditioned on.

The grammar of captions, which does not change::

    caption  = things ", " background ", " style " style"
    things   = thing | thing " and " thing | thing ", " thing " and " thing
    thing    = ("a small " | "a large ") colour " " shape " " position
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ..errors import SoupError, shown

SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
SIZES = ("small", "large")
POSITIONS = ("left", "right", "top", "bottom", "centre")
BACKGROUNDS = ("plain", "sky", "sunset", "night", "meadow", "sea", "stripes", "checks")
STYLES = ("flat", "comic", "ink", "pastel", "pixel", "neon", "clay", "watercolour")
#: The most things in one scene.
MOST = 3

#: (what, position or "") of each number in a row of facts, and how many values it has. 0 means nothing stands there.
FIELDS: tuple[tuple[str, str], ...] = (
    *((what, position) for position in POSITIONS for what in ("shape", "colour", "size")),
    ("background", ""), ("style", ""))
CHOICES = {"shape": len(SHAPES) + 1, "colour": len(COLOURS) + 1, "size": len(SIZES) + 1,
           "background": len(BACKGROUNDS), "style": len(STYLES)}
VALUES = tuple(CHOICES[what] for what, _ in FIELDS)

_PLACES = {"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom",
           "centre": "in the centre"}
_GROUNDS = {"plain": "on plain paper", "sky": "in the sky", "sunset": "at sunset", "night": "at night",
            "meadow": "in a meadow", "sea": "on the sea", "stripes": "on stripes", "checks": "on checks"}
_THING = re.compile(f"a ({'|'.join(SIZES)}) ({'|'.join(COLOURS)}) ({'|'.join(SHAPES)}) ({'|'.join(_PLACES.values())})")


class WorldError(SoupError):
    """A scene or a caption that cannot be in this world."""


@dataclass(frozen=True)
class Thing:
    """One thing: a word of :data:`SHAPES`, :data:`COLOURS`, :data:`SIZES` and :data:`POSITIONS` each."""

    shape: str
    colour: str
    size: str
    position: str

    def __post_init__(self) -> None:
        for what, words in (("shape", SHAPES), ("colour", COLOURS), ("size", SIZES), ("position", POSITIONS)):
            _known(what, getattr(self, what), words)

    @property
    def caption(self) -> str:
        return f"a {self.size} {self.colour} {self.shape} {_PLACES[self.position]}"


@dataclass(frozen=True)
class Scene:
    """What a picture shows. Things are kept in the order of :data:`POSITIONS`; ``seed`` is from 0 to 2^63 − 1.

    Equal scenes are equal pictures. Raises :class:`WorldError` for what cannot be drawn.
    """

    things: tuple[Thing, ...]
    background: str
    style: str
    seed: int = 0

    def __post_init__(self) -> None:
        _known("background", self.background, BACKGROUNDS)
        _known("style", self.style, STYLES)
        places = [thing.position for thing in self.things]
        if not 1 <= len(places) <= MOST:
            raise WorldError(f"A scene has one to {MOST} things, and this one has {len(places)}.")
        if len(set(places)) < len(places):
            raise WorldError(f"Two things stand at one position ({', '.join(places)}); give each its own.")
        if not 0 <= self.seed < 2**63:
            raise WorldError(f"The seed of a scene is a whole number from 0 to 2^63 - 1, not {self.seed}.")
        object.__setattr__(self, "things", tuple(sorted(self.things, key=lambda each: POSITIONS.index(each.position))))

    @property
    def caption(self) -> str:
        *others, last = (thing.caption for thing in self.things)
        things = f"{', '.join(others)} and {last}" if others else last
        return f"{things}, {_GROUNDS[self.background]}, {self.style} style"

    @property
    def row(self) -> list[int]:
        """The facts as numbers, one for each of :data:`FIELDS`."""
        numbers = [0] * len(FIELDS)
        for thing in self.things:
            start = 3 * POSITIONS.index(thing.position)
            numbers[start:start + 3] = (1 + SHAPES.index(thing.shape), 1 + COLOURS.index(thing.colour),
                                        1 + SIZES.index(thing.size))
        numbers[-2:] = BACKGROUNDS.index(self.background), STYLES.index(self.style)
        return numbers

    @staticmethod
    def of_row(row: Sequence[int], seed: int = 0) -> Scene:
        """The scene with these facts; the reverse of :attr:`row`. Raises :class:`WorldError` for half a thing."""
        for position, at in zip(POSITIONS, range(0, 15, 3)):
            if any(row[at:at + 3]) and not all(row[at:at + 3]):
                raise WorldError(f"What stands at {position} has shape, colour and size {list(row[at:at + 3])}; give "
                                 "all three, or 0 for all three.")
        things = tuple(Thing(SHAPES[row[at] - 1], COLOURS[row[at + 1] - 1], SIZES[row[at + 2] - 1], position)
                       for position, at in zip(POSITIONS, range(0, 15, 3)) if row[at])
        return Scene(things, BACKGROUNDS[row[-2]], STYLES[row[-1]], seed)


def parse(caption: str) -> Scene:
    """The scene a caption tells of, with seed 0. Raises :class:`WorldError` unless it is a caption of this world."""
    things = tuple(Thing(shape, colour, size, _name(_PLACES, place))
                   for size, colour, shape, place in _THING.findall(caption))
    *_, ground, style = ("", "", *caption.split(", "))
    if things and ground in _GROUNDS.values() and style.removesuffix(" style") in STYLES:
        scene = Scene(things, _name(_GROUNDS, ground), style.removesuffix(" style"))
        if scene.caption == caption:
            return scene
    raise WorldError(f"{shown(caption)} is no caption of this world; one is "
                     f"{Scene((Thing('star', 'red', 'large', 'left'),), 'sky', 'flat').caption!r}.")


@dataclass(frozen=True, eq=False)
class Scenes(Sequence[Scene]):
    """Many scenes as numbers: ``facts`` (B, 17) int64, a column for each of :data:`FIELDS`; ``seeds`` (B,) int64."""

    facts: torch.Tensor
    seeds: torch.Tensor

    def __post_init__(self) -> None:
        if self.facts.shape != (len(self.seeds), len(FIELDS)):
            raise WorldError(f"Facts of {len(self.seeds)} scenes have the shape {(len(self.seeds), len(FIELDS))}, not "
                             f"{tuple(self.facts.shape)}.")

    @staticmethod
    def of(scenes: Sequence[Scene]) -> Scenes:
        if isinstance(scenes, Scenes):
            return scenes
        return Scenes(torch.tensor([scene.row for scene in scenes], dtype=torch.int64).reshape(-1, len(FIELDS)),
                      torch.tensor([scene.seed for scene in scenes], dtype=torch.int64))

    @staticmethod
    def joined(parts: Sequence[Scenes]) -> Scenes:
        """All of these, one after the other."""
        return Scenes(torch.cat([part.facts for part in parts]), torch.cat([part.seeds for part in parts]))

    @property
    def captions(self) -> list[str]:
        return [scene.caption for scene in self]

    def column(self, what: str, position: str = "") -> torch.Tensor:
        """One column of the facts, (B,) int64."""
        return self.facts[:, FIELDS.index((what, position))]

    def counts(self) -> torch.Tensor:
        """How many things each scene has, (B,) int64."""
        return (self.facts[:, 0:15:3] > 0).sum(1)

    def pick(self, which: torch.Tensor | slice) -> Scenes:
        """The scenes at these indices, or where a mask is true."""
        return Scenes(self.facts[which], self.seeds[which])

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, at: int | slice) -> Scene | Scenes:  # type: ignore[override]
        if isinstance(at, slice):
            return self.pick(at)
        return Scene.of_row(self.facts[at].tolist(), int(self.seeds[at]))

    def __iter__(self) -> Iterator[Scene]:
        return (Scene.of_row(row, seed) for row, seed in zip(self.facts.tolist(), self.seeds.tolist()))


def _known(what: str, word: str, words: tuple[str, ...]) -> None:
    if word not in words:
        raise WorldError(f"There is no {what} called {shown(word)}; choose one of {', '.join(words)}.")


def _name(phrases: dict[str, str], phrase: str) -> str:
    return next(name for name, each in phrases.items() if each == phrase)
