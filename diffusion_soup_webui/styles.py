"""What a person asks of a student's styles, in the words of ComfyUI's Mix Styles and Schedule Styles. No gradio, no
host.

The section says how the whole picture is styled (:class:`StyleSettings`); tags ``<style:NAME:WEIGHT>`` in a prompt say
it for one of its ``AND`` parts, or for the negative prompt. How they come into the UNet is in :mod:`.styling`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffusion_soup.dmm import EASINGS, Codebook, Style, StyleMix
from diffusion_soup.errors import RecipeError, shown

#: The name of the script in the host's API, and of the section in its page.
TITLE = "DMM styles"
#: Field of the settings -> its name in the infotext. Promises: old pictures are pasted.
LABELS = {"weights": TITLE, "mode": "DMM mode", "strength": "DMM strength", "normalise": "DMM normalise",
          "extrapolate": "DMM extrapolate", "schedule": "DMM schedule"}
NOTE = "DMM note"
#: Between the parts of a prompt, as the hosts split it.
AND = re.compile(r"\bAND\b")
_ASKED = "diffusion_soup_styles"  # on a request of the host, in place of what the section says
_FRAME = re.compile(r"\s*(?:at\s+)?([\d.]+)\s*([a-z ]*?)\s*:(.*)", re.DOTALL)
_TAG = re.compile(r"<style:([^<>]+)>")
_WEIGHT = re.compile(r":\s*([-+]?(?:\d+\.?|\d*\.\d+))\s*\Z")

Shares = Mapping[str, float]


@dataclass(frozen=True)
class StyleSettings:
    """How a picture is styled.

    ``weights`` is text like "anime = 0.7, ink = 0.3", the other fields are those of :class:`StyleMix`. ``schedule`` has
    one key frame a line, "0.5 smooth: ink = 1": from what was before, by that easing, to these weights at that share of
    the sampling; without weights, to no style.
    """

    weights: str = ""
    mode: str = "paper"
    strength: float = 1.0
    normalise: bool = True
    extrapolate: bool = False
    schedule: str = ""

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> StyleSettings:
        """From JSON values; weights may be an object, and key frames a list of objects with at, easing and weights.

        Raises :class:`RecipeError`.
        """
        known = {field.name: field.default for field in dataclasses.fields(cls)}
        found = dict(known)
        for name, value in fields.items():
            if name not in known:
                raise RecipeError(f"{TITLE} have no field {shown(name)}; there are {', '.join(known)}.")
            found[name] = _plain(name, value, known[name])
        return cls(**found)

    def with_weights(self, weights: Shares) -> StyleSettings:
        """With other weights of some styles; the rest stays."""
        names = [part.rpartition("=")[0].strip() for part in self.weights.replace("\n", ",").split(",") if "=" in part]
        kept = StyleMix.parse(self.weights, names, extrapolate=True).weights
        return dataclasses.replace(self, weights=_text({**kept, **weights}))

    def style(self, codebook: Codebook) -> Style:
        """What the UNet gets, over the whole sampling. Raises :class:`RecipeError`."""
        frames = _frames(self.schedule)
        begun = self._mixed(self.weights, codebook, none=bool(frames))
        for at, easing, weights in frames:
            begun = begun.then(self._mixed(weights, codebook, none=True), at, easing)
        return begun

    def part(self, shares: Shares, codebook: Codebook) -> Style:
        """The style of one part of a prompt. Shares of more than 1 are scaled to 1; less leaves the rest unstyled."""
        total = math.fsum(shares.values())
        strength = self.strength * (min(total, 1.0) if total > 0 else 1.0)
        return Style.of(codebook, StyleMix(shares, self.mode, True, self.extrapolate, strength))

    def _mixed(self, weights: str, codebook: Codebook, none: bool) -> Style:
        strength = 0.0 if none and not weights.strip() else self.strength
        return Style.of(codebook, StyleMix.parse(weights, codebook.names, mode=self.mode, normalise=self.normalise,
                                                 extrapolate=self.extrapolate, strength=strength))


# -- for other scripts of ours ---------------------------------------------------------------------


def ask(p: Any, settings: StyleSettings | None) -> None:
    """Have a request of the host styled like this, whatever the section says; None: not at all."""
    setattr(p, _ASKED, (settings,))


def asked(p: Any) -> StyleSettings | None:
    """How a request's whole picture is styled: as :func:`ask` said last, or as the section says."""
    given = getattr(p, _ASKED, None)
    if given is not None:
        found: StyleSettings | None = given[0]
        return found
    scripts = getattr(getattr(p, "scripts", None), "alwayson_scripts", ())
    ours = next((each for each in scripts if each.title() == TITLE), None)
    return None if ours is None else read(p.script_args[ours.args_from:ours.args_to])


def read(values: Sequence[Any]) -> StyleSettings | None:
    """What the section's widgets say, in their order; or one object with the same names, as an API's client sends it.
    None: off. Raises :class:`RecipeError`."""
    if values and isinstance(values[0], Mapping):
        fields = dict(values[0])
        return StyleSettings.from_dict(fields) if fields.pop("enabled", True) else None
    if not values or not values[0]:
        return None
    names = [field.name for field in dataclasses.fields(StyleSettings)]
    return StyleSettings.from_dict(dict(zip(names, values[1:])))


# -- what pictures say ----------------------------------------------------------------------------


def describe(settings: StyleSettings, params: MutableMapping[str, Any]) -> None:
    """Put what differs from the usual into a picture's parameters."""
    params[LABELS["weights"]] = ", ".join(line for line in settings.weights.splitlines() if line.strip())
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name != "weights" and value != field.default:
            params[LABELS[field.name]] = f"{value:g}" if isinstance(value, float) else value


def forget(params: MutableMapping[str, Any]) -> None:
    """Take it out again; what was said stays."""
    for label in LABELS.values():
        params.pop(label, None)


def say(p: Any, sentence: str) -> None:
    """Tell the user below the picture; and in it, as clients of the API see nothing else."""
    p.comment(f"{TITLE} {sentence}")
    known, note = p.extra_generation_params.get(NOTE), f"styles {sentence}"
    if note not in (known or ""):
        p.extra_generation_params[NOTE] = f"{known} {note}" if known else note


# -- tags ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """One ``AND`` part of a prompt: its share in the guidance, and the styles that it names."""

    weight: float
    shares: Shares


def take_tags(prompt: str) -> tuple[str, list[Part]]:
    """A prompt without its tags, and its parts. Tags that cannot be read raise :class:`RecipeError`."""
    parts = []
    for text in AND.split(prompt):
        weight = _WEIGHT.search(_TAG.sub("", text))
        parts.append(Part(float(weight[1]) if weight else 1.0, _shares(_TAG.findall(text))))
    return _TAG.sub("", prompt), parts


def named(shares: Shares, codebook: Codebook) -> dict[str, float]:
    """The same with the codebook's own names, which a tag may write in other letters, upper or lower.

    Raises :class:`RecipeError`.
    """
    folded = {name.casefold(): name for name in codebook.names}
    return {name if name in codebook.names else folded.get(name.casefold(), name): share
            for name, share in shares.items()}


def blended(parts: Iterable[Part]) -> dict[str, float]:
    """All parts of a prompt as one mix, by their share in the guidance."""
    counted = [(max(part.weight, 0.0), part.shares) for part in parts]
    total = math.fsum(weight for weight, _ in counted)
    found: dict[str, float] = {}
    for weight, shares in counted:
        scale = weight / total / max(math.fsum(shares.values()), 1.0) if total else 0.0
        for name, share in shares.items():
            found[name] = found.get(name, 0.0) + share * scale
    return found if any(found.values()) else {}


def _shares(tags: Sequence[str]) -> Shares:
    found: dict[str, float] = {}
    for tag in tags:
        name, colon, number = tag.rpartition(":")
        try:
            name, share = (name, float(number)) if colon else (tag, 1.0)
        except ValueError:
            name, share = tag, 1.0
        if not math.isfinite(share):
            raise RecipeError(f"The style {shown(name)} has the weight {number}; give it a number.")
        found[name.strip()] = found.get(name.strip(), 0.0) + share
    return found


# -- text ------------------------------------------------------------------------------------------


def _frames(schedule: str) -> list[tuple[float, str, str]]:
    """Moment, easing and weights of each key frame."""
    found = []
    for line in filter(str.strip, schedule.replace(";", "\n").splitlines()):
        read = _FRAME.fullmatch(line)
        try:
            at = float(read[1]) if read else math.nan
        except ValueError:
            at = math.nan
        easing = (read[2] if read else "") or "linear"
        if read is None or math.isnan(at) or easing not in EASINGS:
            raise RecipeError(f"{shown(line.strip())} is not a key frame; write \"0.5 smooth: ink = 1\", with a moment "
                              f"from 0 to 1 and one of {', '.join(EASINGS)}.")
        found.append((at, easing, read[3]))
    return found


def _plain(name: str, value: Any, default: Any) -> Any:
    """A field's value in the type of its default."""
    if name == "weights" and isinstance(value, Mapping):
        return _text(value)
    if name == "schedule" and isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
        return "\n".join(f"{each.get('at', 1.0)} {each.get('easing', 'linear')}: "
                         f"{_plain('weights', each.get('weights', ''), '')}" for each in value)
    if isinstance(default, bool):
        if isinstance(value, bool):
            return value
    elif isinstance(default, float):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif isinstance(value, str) or value is None:
        return value or default
    raise RecipeError(f"{name} of {TITLE} is {shown(value)}; expected {type(default).__name__}.")


def _text(weights: Mapping[Any, Any]) -> str:
    try:
        return ", ".join(f"{name} = {float(weight):g}" for name, weight in weights.items())
    except (TypeError, ValueError):
        raise RecipeError(f"{shown(dict(weights))} are not weights of styles; write {{\"anime\": 0.7}}.") from None
