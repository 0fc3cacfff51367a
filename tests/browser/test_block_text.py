"""What the browser reads by itself, it reads as the engine does: js/lib/block_text.js, run by node."""

import json
import random
import subprocess
from pathlib import Path

import pytest

from demo.browser import NODE, node
from diffusion_soup import graph
from diffusion_soup.blocks import DIALECTS, block_names, format_mbw

pytestmark = pytest.mark.skipif(node() is None, reason=f"there is no node {NODE} or newer here: install nodejs")

SD1, SDXL = graph.FAMILIES
ROOT = Path(__file__).resolve().parents[2]
TABLES = {"families": {title: {"names": block_names(family), "presets": {},
                               "layouts": {name: dialect.layouts(family) for name, dialect in DIALECTS.items()}}
                       for title, family in graph.FAMILIES.items()},
          "dialects": {name: dialect.title for name, dialect in DIALECTS.items()}, "files": []}
RUN = """
import { fitNumbers, readWidgets, splitNumbers } from './js/lib/block_text.js';
let given = ''; for await (const part of process.stdin) given += part;
const { tables, cases } = JSON.parse(given);
const plain = weights => weights ? Object.fromEntries(weights) : null;
console.log(JSON.stringify(cases.map(([family, dialect, mbw]) => ({
    weights: plain(readWidgets({ family, dialect, mbw, preset: 'none', sliders: new Map() }, tables)?.weights),
    fit: fitNumbers(splitNumbers(mbw) ?? [], tables, 'SD 1 / SD 2', dialect) }))));"""


def read(cases):
    """What js/lib makes of (family, dialect, text): its weights, and what it would take a pasted text for."""
    done = subprocess.run([node(), "--input-type=module", "--eval", RUN], cwd=ROOT, check=True, capture_output=True,
                          text=True, input=json.dumps({"tables": TABLES, "cases": cases}))
    return json.loads(done.stdout)


def test_every_dialect():
    cases, expected = [], []
    for title, family in graph.FAMILIES.items():
        names = block_names(family)
        for dialect in DIALECTS:
            weights = dict.fromkeys(names, 0.25) if dialect == "comfyui-blocks" else {
                name: n / 64 for n, name in enumerate(names)}
            for folded, of in {"supermerger": {"TIME": "IN00"}, "sd-mecha": {"TIME": "BASE"},
                               "model-mixer": {"TIME": names[-3]}}.get(dialect, {}).items():
                weights[folded] = weights[of]
            if dialect not in ("comfyui", "soup", "comfyui-blocks"):
                weights["FINAL"] = weights[names[-3]]
            if dialect.startswith("comfyui"):
                weights["BASE"] = 1.0
            cases.append((title, dialect, format_mbw(weights, family=family, dialect=dialect, default=1.0)))
            expected.append({name: value for name, value in weights.items()
                             if name != "BASE" or not dialect.startswith("comfyui")})
    for case, weights, found in zip(cases, expected, read(cases), strict=True):
        assert found["weights"] == weights, case
        three = case[1] == "comfyui-blocks"  # three numbers fit both families
        assert found["fit"] == {"family": SD1 if three else case[0], "dialect": case[1]}, case


def test_random_texts():
    draw = random.Random(5)
    pieces = ["IN03", "M00", "OUT11", "=", "=", ",", ", ", " ", "\n", "0.5", ".25", "1e-1", "-1", "2.", "1_0", "nan",
              "[", "é", "\u00a0", "x"]
    texts = ["".join(draw.choices(pieces, k=draw.randint(1, 9))) for _ in range(1500)]
    counts = [3, 25, 26, 26, 27, 28, 30]
    texts += [draw.choice([",", " ", ", ", " , "]).join(draw.choices(pieces[9:16], k=draw.choice(counts)))
              for _ in range(1500)]
    glue = ["", "", "", " ", "\n", "\t"]
    for _ in range(500):
        parts = [f"{draw.choice(glue)}{name}{draw.choice(glue)}={draw.choice(glue)}{draw.choice(pieces[9:16])}"
                 for name in draw.choices(["IN03", "OUT11", "a.7", "", "IN 03", "é"], k=draw.randint(1, 4))]
        texts.append(draw.choice([",", "\n", ",,", ", \n"]).join(parts))
    cases = [(SD1, draw.choice(list(DIALECTS)), text) for text in texts]
    found = [each["weights"] for each in read(cases)]
    assert sum(each is not None for each in found) > 100
    for (_, dialect, text), weights in zip(cases, found, strict=True):
        if weights is not None:
            assert weights == graph.block_weights(SD1, mbw=text, dialect=dialect).weights, (text, dialect)
