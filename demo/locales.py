"""The English that ComfyUI shows of our nodes and editors, and what of it is still to be translated.

    python -m demo.locales              write locales/en from the nodes of a running ComfyUI; list what is missing

Translations are written by hand, see locales/README.md.
"""
from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .comfyui import PACK, Server, install

LOCALES = PACK / "locales"
SCRIPTS = PACK / "js"
TRANSLATED = ("zh", "ja", "ru")
FILES = ("nodeDefs", "main")
# Templates are listed under the name of the pack's folder, which may be any of these.
TEMPLATES = ("diffusion-soup", "diffusion_soup")

Words = dict[str, Any]

# word("text", ...), where a long text may be several in a row: word("a long " + "text", ...)
_TEXT = r'"(?:[^"\\\n]|\\.)*"'
_CALL = re.compile(rf"(?<![\w$.])word\(\s*({_TEXT}(?:\s*\+\s*{_TEXT})*)?\s*([,)]?)")
_COMMENT = re.compile(r"/\*.*?\*/|^\s*//.*?$", re.DOTALL | re.MULTILINE)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="comfy-") as base, Server(install(), Path(base)) as server:
        for name, words in english(server.client.object_info()).items():
            path = LOCALES / "en" / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(words, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    found = list(gaps())
    print("\n".join(found) or "Everything is translated.")
    sys.exit(bool(found))


def gaps() -> Iterator[str]:
    """A line for each text that a translation lacks, or has although there is no such text any more."""
    texts = set(used())
    for language in TRANSLATED:
        for name in FILES:
            wanted, there = (set(leaves(load(LOCALES / each / f"{name}.json"))) for each in ("en", language))
            yield from _compared(f"locales/{language}/{name}.json", wanted, there)
        yield from _compared(f"js/words/{language}.json", texts, set(load(SCRIPTS / "words" / f"{language}.json")))


def _compared(file: str, wanted: set[str], there: set[str]) -> Iterator[str]:
    yield from (f"{file}: {key!r} is missing" for key in sorted(wanted - there))
    yield from (f"{file}: {key!r} is no longer used" for key in sorted(there - wanted))


def load(path: Path) -> Words:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def leaves(words: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The keys of all texts: DSoupCook.inputs.base.tooltip."""
    for key, value in words.items():
        yield from leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]


# -- nodes ---------------------------------------------------------------------------------------


def english(object_info: Mapping[str, Any]) -> dict[str, Words]:
    """What is in `locales/en`, file by file: the words of our nodes as the server tells them."""
    ours = {name: info for name, info in sorted(object_info.items()) if name.startswith("DSoup")}
    categories = sorted({part for info in ours.values() for part in info["category"].split("/")})
    return {"nodeDefs": {name: _node(info) for name, info in ours.items()},
            "main": {"nodeCategories": {name: name for name in categories},
                     "templateWorkflows": {"category": dict.fromkeys(TEMPLATES, "Diffusion Soup")}}}


def _node(info: Mapping[str, Any]) -> Words:
    inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    outputs = zip(info["output_name"], info["output_tooltips"], strict=True)
    return {"display_name": info["display_name"], "description": info["description"],
            "inputs": {name: {"name": spec[1].get("display_name") or name, "tooltip": spec[1].get("tooltip") or ""}
                       for name, spec in inputs.items()},
            "outputs": {str(at): {"name": name, "tooltip": tooltip or ""}
                        for at, (name, tooltip) in enumerate(outputs)}}


# -- editors -------------------------------------------------------------------------------------


def used(folder: Path = SCRIPTS) -> dict[str, str]:
    """The texts that the browser's code says by `word("...")`, each with a file that does.

    Raises ValueError for a call in which the text cannot be read.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*.js")):
        code = _COMMENT.sub("", path.read_text(encoding="utf-8"))
        if path.name == "words.js":
            continue
        for call in _CALL.finditer(code):
            if not call[1] or not call[2]:
                raise ValueError(f"{path.name}: {code[call.start():call.start() + 60]!r} has to begin with its whole "
                                 'text in double quotes, as in word("{0} bars", count)')
            found["".join(map(json.loads, re.findall(_TEXT, call[1])))] = path.name
    return found


if __name__ == "__main__":
    main()
