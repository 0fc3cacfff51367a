"""Block-weight presets: the files other tools keep them in, and a few of our own.

* ``supermerger``, ``mbwpresets.txt``: ``NAME<TAB>values`` or ``NAME:values``, 26 of them, SDXL 20. ``R`` and
  ``X`` are drawn between 0 and 1, ``U`` is ``1.5 - 2r`` cut to that range (its default limits).
* ``model-mixer``, ``mbwpresets.tsv``: the same with a header line and no letters. 25 and 19 values get a BASE
  of 0; presets of 20 are called ``NAME.XL``.
* ``inspire``, ``lbw-preset.txt``: weights of a **LoRA's** blocks, ``NAME:values``. The first is for all that has
  no block (text encoder, TIME, FINAL), the rest go to the blocks the LoRA holds, in order: 17 (SDXL 12) for
  one that trains attention alone, 27 (SDXL 21, the middle block three times) for one that trains all but
  IN00, 20 or 58 for Flux. 26 (SDXL 20) are read by name, BASE to the last OUT, as in the A1111 extension such
  lines were copied from; Inspire itself would shift them by one block. ``A``, ``B`` are numbers the user
  picks and ``a``, ``b`` their halves; ``R`` is drawn from 0 to 3, ``U`` from -1.5 to 1.5.
  ``%default=0.5,base=1,in1-3=0,mid=1,out2=0.2`` counts the attention blocks of each side from 1.
  ``@`` lines are settings of its XY plot, not presets.
"""

import io
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, pi

from .blocks import BASE, DEPTHS, FINAL, MIDDLE, TIME, block_names, parse_mbw
from .blocks.mbw import Columns, assign, number
from .errors import RecipeError

FORMATS = ("supermerger", "inspire", "model-mixer")

_LONGEST = 4_000  # characters in a line; Inspire's longest are 150
_COUNTS = {
    "supermerger": (19, 20, 25, 26),
    "model-mixer": (19, 20, 25, 26),
    "inspire": (12, 17, 20, 21, 26, 27, 58),
}
_LETTERS = {"supermerger": "RUX", "model-mixer": "", "inspire": "RrUuAaBb"}
_SPEC = re.compile(r"(?:(default|base)|(in|mid|out|double|single)([0-9]{1,4})?(?:-([0-9]{1,4}))?)=(.+)")


@dataclass(frozen=True)
class Preset:
    """One preset as it was written: numbers, letters, or the items of a ``%`` line."""

    name: str
    values: tuple[str, ...]
    format: str

    @property
    def random(self) -> bool:
        """Whether it has letters that are drawn, so that a seed matters."""
        return any(value in ("R", "r", "U", "u", "X") for value in self.values)

    def blocks(
        self, family: str, *, seed: int = 0, a: float = 4.0, b: float = 1.0, default: float | None = None
    ) -> dict[str, float]:
        """Weight of each block it speaks of; the others get ``default``, or are left out.

        Letters are drawn from ``seed`` and the preset's name, not as the tool would draw them.
        """
        if self.format != "inspire":
            text = ",".join(repr(value) for value in self._numbers(self.values, seed, a, b))
            return parse_mbw(text, dialect=self.format, family=family, default=default)
        spec = self.values[0].startswith("%")
        columns = _lora_columns(family, None if spec else len(self.values))
        values = _expand(self.values, columns) if spec else self.values
        weights = {} if default is None else dict.fromkeys(block_names(family), default)
        return weights | assign(columns, self._numbers(values, seed, a, b), f"Preset {self.name!r}")

    def _numbers(self, values: tuple[str, ...], seed: int, a: float, b: float) -> tuple[float, ...]:
        draw = random.Random(f"{seed}:{self.name}").random
        letters: dict[str, Callable[[], float]] = {
            "R": lambda: round(3 * draw(), 2),
            "U": lambda: round(3 * draw() - 1.5, 2),
            "A": lambda: a,
            "a": lambda: a / 2,
            "B": lambda: b,
            "b": lambda: b / 2,
        }
        letters |= {"r": letters["R"], "u": letters["U"]}
        if self.format == "supermerger":
            even, mirrored = lambda: round(draw(), 3), lambda: round(min(1.0, max(0.0, 1.5 - 2 * draw())), 3)
            letters = {"R": even, "X": even, "U": mirrored}
        return tuple(letters[value]() if value in letters else float(value) for value in values)


@dataclass(frozen=True)
class SkippedLine:
    """A line of a preset file that is not one, and why."""

    line: int
    text: str
    reason: str


def read_presets(text: str, format: str) -> tuple[dict[str, Preset], list[SkippedLine]]:
    """All presets of a file, by name, and the lines that could not be read."""
    if format not in FORMATS:
        raise RecipeError(f"No preset format is called {format!r}. Choose one of: {', '.join(FORMATS)}.")
    presets: dict[str, Preset] = {}
    skipped = []
    for line, raw in enumerate(io.StringIO(text.removeprefix("\ufeff"), newline=None), 1):
        try:
            preset = _read_line(raw.strip(), format)
            if preset and preset.name in presets:
                skipped.append(
                    SkippedLine(line, raw.strip()[:60], f"replaces an earlier {preset.name[:40]!r}")
                )
            if preset:
                presets[preset.name] = preset
        except _BadLine as bad:
            skipped.append(SkippedLine(line, raw.strip()[:60], str(bad)))
    return presets, skipped


def detect_format(file_name: str, text: str = "") -> str:
    """Which tool a file is from: by its name, else by what only that tool writes."""
    name = file_name.replace("\\", "/").rpartition("/")[2].lower()
    if ".tsv" in name:
        return "model-mixer"
    if "lbw" in name or name.startswith("lora"):
        return "inspire"
    if "mbw" in name:
        return "supermerger"
    start = text[:100_000]
    inspire, others = (read_presets(start, format)[0] for format in ("inspire", "supermerger"))
    if len(inspire) > len(others):
        return "inspire"
    return "model-mixer" if any(len(each.values) == 20 for each in others.values()) else "supermerger"


class _BadLine(Exception):
    """Why one line is no preset."""


def _read_line(line: str, format: str) -> Preset | None:
    if len(line) > _LONGEST:
        raise _BadLine(f"{len(line):,} characters; at most {_LONGEST:,} are read")
    if not line or line.lower().startswith("preset_name") or (format == "inspire" and line.startswith("@")):
        return None
    name, text = _split(line, format)
    values = tuple(value.strip() for value in text.strip().rstrip(",").split(","))
    if not name:
        raise _BadLine("no name; expected NAME:values")
    if format == "inspire" and values[0].startswith("%"):
        return Preset(name, _checked_spec(values), format)
    if len(values) not in _COUNTS[format]:
        raise _BadLine(f"{len(values)} values; expected one of {', '.join(map(str, _COUNTS[format]))}")
    for position, value in enumerate(values, 1):
        if number(value) is None and value not in (*_LETTERS[format],):
            raise _BadLine(f"value {position} is {value[:20]!r}; expected {_expected(value, format)}")
    if format == "model-mixer":
        values = ("0", *values) if len(values) in (19, 25) else values
        name = f"{name}.XL" if len(values) == 20 else name
    return Preset(name, values, format)


def _split(line: str, format: str) -> tuple[str, str]:
    separators = {"supermerger": "\t:", "model-mixer": ":\t,", "inspire": ":"}[format]
    for separator in separators:
        if separator in line:
            name, _, text = line.partition(separator)
            return name.strip(), text.partition(":")[0] if format == "inspire" else text
    raise _BadLine("no name before the values; expected NAME:values")


def _expected(value: str, format: str) -> str:
    if " " in value and format == "inspire":
        return "one weight for a block (several, for its single tensors, are not read)"
    return f"a number or one of {', '.join(_LETTERS[format])}" if _LETTERS[format] else "a number"


def _checked_spec(values: tuple[str, ...]) -> tuple[str, ...]:
    for item in values:
        match = _SPEC.fullmatch(item.removeprefix("%").strip())
        if not match or number(match[5]) is None or (match[4] and not match[3]):
            raise _BadLine(f"{item[:20]!r}; expected default=, base=, in1-3=, mid=, out2= and a number")
    return values


def _expand(values: tuple[str, ...], columns: Columns) -> tuple[str, ...]:
    """The items of a ``%`` line, laid out over the blocks of the family."""
    items = [match for value in values if (match := _SPEC.fullmatch(value.removeprefix("%").strip()))]
    given = {item[1]: item[5] for item in items if item[1]}
    default = given.get("default", "1")
    starts = {"in": "IN", "mid": MIDDLE, "out": "OUT", "double": "double_blocks.", "single": "single_blocks."}
    laid_out = [given.get("base", default), *[default] * (len(columns) - 1)]
    for item in items:
        if item[2]:
            slots = [i for i, names in enumerate(columns) if i and names[0].startswith(starts[item[2]])]
            first = max(int(item[3] or 1), 1)
            last = int(item[4] or item[3] or len(slots))
            for slot in slots[first - 1 : last]:
                laid_out[slot] = item[5]
    return tuple(laid_out)


_ATTENTION: Mapping[str, str] = {
    "sd1": "IN01 IN02 IN04 IN05 IN07 IN08 M00 OUT03 OUT04 OUT05 OUT06 OUT07 OUT08 OUT09 OUT10 OUT11",
    "sd2": "IN01 IN02 IN04 IN05 IN07 IN08 M00 OUT03 OUT04 OUT05 OUT06 OUT07 OUT08 OUT09 OUT10 OUT11",
    "sdxl": "IN04 IN05 IN07 IN08 M00 OUT00 OUT01 OUT02 OUT03 OUT04 OUT05",
    "sdxl-refiner": "IN04 IN05 IN07 IN08 M00 OUT03 OUT04 OUT05 OUT06 OUT07 OUT08",
}
"""The blocks that have attention, which is all a plain LoRA trains."""


def _lora_columns(family: str, count: int | None) -> Columns:
    """The blocks each weight of a LoRA goes to; without a count, those of a plain LoRA."""
    layouts = _sd_lora_layouts(family) if family in DEPTHS else _flux_layouts()
    count = count or next(iter(layouts))
    if count not in layouts:
        fits = ", ".join(map(str, sorted(layouts)))
        raise RecipeError(
            f"A preset of {count} LoRA block weights does not fit {family}; counts that do: {fits}."
        )
    rest = (TIME, FINAL) if family in DEPTHS else ()
    return ((BASE, *rest), *((name,) for name in layouts[count][1:]))


def _sd_lora_layouts(family: str) -> dict[int, tuple[str, ...]]:
    names = block_names(family)[:-2]
    middle = names.index(MIDDLE)
    everything = (BASE, *names[2:middle], MIDDLE, MIDDLE, *names[middle:])
    return {len(layout): layout for layout in ((BASE, *_ATTENTION[family].split()), everything, names)}


def _flux_layouts() -> dict[int, tuple[str, ...]]:
    double = (BASE, *(f"double_blocks.{i}" for i in range(19)))
    return {58: (*double, *(f"single_blocks.{i}" for i in range(38))), 20: double}


# ---- our own

_CURVES: tuple[tuple[str, Callable[[float], float]], ...] = (
    ("Half of everything", lambda t: 0.5),
    ("Ramp up: more of it towards the picture", lambda t: t),
    ("Ramp down: more of it towards the input", lambda t: 1 - t),
    ("Cosine up: as ramp up, with soft ends", lambda t: (1 - cos(pi * t)) / 2),
    ("Cosine down: as ramp down, with soft ends", lambda t: (1 + cos(pi * t)) / 2),
    ("Hill: most in the deep blocks", lambda t: 1 - abs(2 * t - 1)),
    ("Valley: most in the outer blocks", lambda t: abs(2 * t - 1)),
)
"""Weight along the diffusion model, from 0 (IN00) over 0.5 (M00) to 1 (the last OUT); BASE takes a half."""

_ONLY: Mapping[str, tuple[str, str]] = {
    "Composition only: the deep blocks": ("IN07 OUT03", "IN07 OUT00"),
    "Style only: the late blocks": ("OUT04 OUT11", "OUT01 OUT08"),
}
"""First and last block that get it all, in SD1 and SD2, and in SDXL (where OUT00 holds content and OUT01
style, as B-LoRA and InstantStyle found). Rules of thumb."""


def house_presets(family: str) -> dict[str, Preset]:
    """Our own presets for a family whose blocks are fixed; none for the others."""
    if family not in DEPTHS:
        return {}
    names = block_names(family)[1:-2]
    rows = {
        title: [0.5, *(curve(i / (len(names) - 1)) for i in range(len(names)))] for title, curve in _CURVES
    }
    for title, spans in _ONLY.items():
        first, last = map(names.index, spans[family == "sdxl"].split())
        rows[title] = [0.0, *(float(first <= i <= last) for i in range(len(names)))]
    return {
        name: Preset(name, tuple(f"{value:.4g}" for value in row), "supermerger")
        for name, row in ((title.partition(":")[0], row) for title, row in rows.items())
    }
