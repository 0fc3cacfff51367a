"""Styles do what the paper says: a student in diffusers and the same student through our file and nodes agree."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo.comfyui import QUIET_THREADS, install

SCRIPT = Path(__file__).with_name("dmm_reference.py")


@pytest.mark.skipif(importlib.util.find_spec("diffusers") is None, reason="needs diffusers")
@pytest.mark.parametrize("family", ["sd1", pytest.param("sdxl", marks=pytest.mark.slow)])
def test_agrees_with_diffusers(family):
    """Single styles, mixes in every mode and no style, model-wide and per conditioning, in float32."""
    done = subprocess.run([sys.executable, str(SCRIPT), str(install()), family], capture_output=True, text=True,
                          check=False, env=os.environ | QUIET_THREADS, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 16
    assert max(found.values()) < 1e-4, found
    assert found["no style"] == found["no style listening"]
