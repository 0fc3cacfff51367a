"""Panoramas do what the paper says, and what plain sampling does wherever the two must agree.

The cases are in ``panorama_cases``; they run in one process of their own, beside ComfyUI's code.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from demo.comfyui import QUIET_THREADS, install

SCRIPT = Path(__file__).with_name("panorama_reference.py")
CASES = ("whole", "seeds", "formula", "batched", "rolled", "halves", "tiles", "own cfg", "seen", "guiders", "spans",
         "held", "sdxl sizes", "areas", "memory", "refusals")
CLOSE = 1e-5
MATTERS = 1e-3


@pytest.fixture(scope="module")
def found(shelf):
    """What each case found: {case: {name: number, or whether it is so}}."""
    done = subprocess.run([sys.executable, str(SCRIPT), str(install()), str(shelf), *CASES], capture_output=True,
                          text=True, check=False, env=os.environ | QUIET_THREADS, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return Found(json.loads(done.stdout.splitlines()[-1]))


class Found(dict):
    def __getitem__(self, case):
        case = super().__getitem__(case)
        assert "error" not in case, case["error"]
        return case


@pytest.mark.parametrize("case", ["whole", "seeds", "guiders", "sdxl sizes"])
def test_as_plain_sampling_to_the_bit(found, case):
    assert found[case] and all(found[case].values()), found[case]


def test_the_paper_in_float64(found):
    assert found["formula"].keys() == {"gaussian", "quartic", "constant"}
    assert max(found["formula"].values()) <= 1e-4, found["formula"]


def test_batches_and_calls(found):
    """Five tiles of 128 x 128 px and one of 64 x 64 px, in two steps."""
    case = found["batched"]
    assert case["calls"] == {"1": 2 * (5 + 1), "2": 2 * (3 + 1), "0": 2 * (1 + 1)}
    assert case["rows"] == {"1": [2], "2": [2, 4], "0": [2, 10]}
    assert max(case["differences"]) <= CLOSE


def test_a_ring_has_no_seam(found):
    case = dict(found["rolled"])
    assert case.pop("places matter") > MATTERS
    assert len(case) == 4 and max(case.values()) <= CLOSE, case


def test_regions_side_by_side(found):
    """What a region has counts there and nowhere else."""
    assert len(found["halves"]) == 15
    for name, values in found["halves"].items():
        assert values["halves"] <= CLOSE, (name, values)
        assert values["sides differ"] > 0.01, (name, values)
        assert name in ("plain", "sdxl") or values["matters"] > MATTERS, (name, values)


def test_places_are_cut_with_the_tiles(found):
    """ControlNets, adapters, masks and attention, each tile with its own part of them."""
    assert len(found["tiles"]) == 11
    for name, values in found["tiles"].items():
        assert values["tiles"] <= CLOSE and values.get("one by one", 0) <= CLOSE, (name, values)
        assert values["matters"] > MATTERS, (name, values)


def test_a_cfg_of_its_own(found):
    case = dict(found["own cfg"])
    assert case.pop("PAG") is True and case.pop("PAG matters") > MATTERS
    assert case.pop("one of two: rows") == [1, 1, 2, 2]  # the other region has no negative prompt to evaluate
    assert max(case.values()) <= CLOSE, case


def test_guidance_sees_canvases(found):
    case = found["seen"]
    assert case["before"] == case["after"] == [[2, 4, 8, 24]]
    assert case["left of the picture"] < 1e-3  # a function after guidance made it 0


def test_a_background_then_two_details(found):
    """Four steps: the background alone in two, then both details."""
    assert found["spans"] == {"1 at once": [1, 1, 2, 2], "0 at once": [1, 1, 1, 1]}


def test_held_pictures(found):
    case = found["held"]
    assert max(case["over the canvas"], case["in the middle"]) <= 1e-4
    assert case["beside it, as without"] <= CLOSE
    assert min(case["for half the time, from the picture"], case["for half the time, from no picture"]) > 0.01
    assert case["calls"] == [2, 2, 3, 3]  # of three tiles the middle one is skipped while the picture holds it


def test_areas_and_masks_under_tiles(found):
    """They change the third tile, where they are, and no other."""
    assert found["areas"].keys() == {"area", "share", "mask", "mask's bounds"}
    for name, (first, second, third, fourth) in found["areas"].items():
        assert max(first, second, fourth) <= CLOSE and third > MATTERS, (name, found["areas"])


def test_memory(found):
    """Five tiles with two prompts, two steps: as many at once as there is room for."""
    case = found["memory"]
    assert case["asked for a tile"] and case["less than the canvas"] and case["same picture"] <= CLOSE
    assert case["room for 10 rows"] == [10] * 2  # one call a step
    assert case["room for 8 rows"] == case["room for 6 rows"] == [6, 4] * 2  # ceil(5/3) calls
    assert case["room for 4 rows"] == [4, 4, 2] * 2  # ceil(5/2)
    assert case["room for 2 rows"] == [2] * 5 * 2
    assert case["room for 0 rows"] == [1] * 10 * 2  # nor for both prompts


CASTLE = "[Rr]egion 'castle'"


@pytest.mark.parametrize("mistake, sentence", [
    ("conditioning of another panorama", "MismatchError: .* belong to another Panorama node than the MODEL.*"),
    ("model without panorama", "MismatchError: .* connect the MODEL of the same Panorama node to the sampler"),
    ("latent of another size", "MismatchError: The latent to sample is 128 x 64 px, but the canvas is 96 x 64 px.*"),
    ("own cfg without negative", f"MismatchError: {CASTLE} has its own cfg, but this guider has no negative prompt.*"),
    ("own cfg at cfg 0", f"MismatchError: {CASTLE} has its own cfg, but the sampler's cfg is 0.*"),
    ("text box", f"MismatchError: A GLIGEN text box is on {CASTLE}.*"),
    ("hint of another aspect", f"MismatchError: The ControlNet picture of {CASTLE} is 100 x 100 px, .* to 96 x 64 px"),
    ("model of another family", f"MismatchError: The MODEL of {CASTLE} is .*SDXL.*SD15.*"),
    ("text of another family", f"MismatchError: The prompt of {CASTLE} has 2048 numbers a token, .* 768.*"),
    ("picture of another family", f"MismatchError: The picture of {CASTLE} has latents of 16 channels, .* 4.*"),
    ("panorama in a panorama", f"MismatchError: The MODEL of {CASTLE} is itself one of a panorama.*"),
    ("tile too large", f"OutOfMemory: {CASTLE} needs tiles of 96 x 64 px.* Make the canvas's tile size smaller"),
    ("no negative", f"RecipeError: {CASTLE} has no negative prompt; connect one .*"),
    ("evaluated by hand", "MismatchError: This MODEL was prepared for a panorama and can only be sampled by a .*"),
])
def test_refused_in_words(found, mistake, sentence):
    """One line, and never a traceback's."""
    assert re.fullmatch(rf"{sentence}\.", found["refusals"][mistake]), found["refusals"][mistake]


def test_every_case_is_read(found):
    assert [*found] == [*CASES] and len(found["refusals"]) == 14
