"""Every LoRA ComfyUI can load changes the weights as ComfyUI changes them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo.comfyui import QUIET_THREADS, install

SCRIPT = Path(__file__).with_name("lora_oracle.py")
STYLES = {
    "kohya, LDM names", "kohya, diffusers names", "kohya, text encoders", "kohya, half", "kohya, no alpha", "tucker",
    "lycoris names", "bare names", "bare names, default adapter", "bare names, alpha", "attention processors",
    "diffusers", "diffusers, linear layer", "differences",
}
CASES = [f"{family}/{style}" for family in ("sd1", "sd2", "sdxl", "sdxl-refiner") for style in sorted(STYLES)
         if family in ("sd1", "sdxl") or "kohya" in style]


@pytest.fixture(scope="module")
def reports():
    """What both did to every case, computed by one process that imports ComfyUI."""
    done = subprocess.run([sys.executable, str(SCRIPT), str(install())], capture_output=True, text=True, check=False,
                          env=os.environ | QUIET_THREADS, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_case_was_tried(reports):
    assert sorted(reports) == sorted(CASES)


@pytest.mark.parametrize("case", CASES)
def test_same_weights_as_comfyui(reports, case):
    report = reports[case]
    assert report["ours"] == report["host"] > 0
    assert report["unmatched"] == []
    assert report["error"] < 1e-6
