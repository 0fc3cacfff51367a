"""The Soup tab in every gradio that a host brings: one server each, one Chromium for all. And a fake A1111 or Forge
with four small checkpoints, and our kitchen in it."""

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from demo import browser
from diffusion_soup import Ingredient, ModelFolders, Recipe

from .. import models as small
from ..engine.kitchen import fill, tiny_unet
from . import venvs
from .double import WebUI
from .pages import ALONE, SoupPage

ROOT = Path(__file__).resolve().parents[2]
QUIETLY = {"OMP_WAIT_POLICY": "PASSIVE", "GRADIO_ANALYTICS_ENABLED": "False"}
SECONDS = 0.3  # that a cook of the fake kitchen takes, unless a test sets another pace


@pytest.fixture(scope="session")
def chromium():
    pytest.importorskip("playwright.sync_api")
    if browser.CHROMIUM is None:
        pytest.skip(browser.MISSING)
    with browser.chromium(ALONE) as opened:
        yield opened


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """The address of each gradio's server, or why there is none. All start at once."""
    running, found = [], {}
    try:
        for version in venvs.PINS:
            try:
                python = venvs.python(version)
            except venvs.Unavailable as error:
                found[version] = error
                continue
            folder = _stock(tmp_path_factory.mktemp("models"))
            port = _free_port()
            log = open(folder / "server.log", "wb")
            running.append(subprocess.Popen(
                [python, "-m", "tests.webui.serve", folder, str(port), str(SECONDS)], cwd=ROOT, stdout=log,
                stderr=subprocess.STDOUT, env=QUIETLY | os.environ))
            found[version] = (f"http://127.0.0.1:{port}", folder, running[-1])
        yield found
    finally:
        for process in running:
            process.kill()
            process.wait()


@pytest.fixture(scope="module", params=list(venvs.PINS))
def server(request, servers):
    found = servers[request.param]
    if isinstance(found, Exception):
        pytest.skip(str(found))
    url, folder, process = found
    for _ in range(600):
        if process.poll() is not None:
            pytest.fail(f"gradio {request.param} ended:\n{(folder / 'server.log').read_text()[-2000:]}")
        try:
            urllib.request.urlopen(f"{url}/asked", timeout=5).read()
            break
        except OSError:
            time.sleep(0.2)
    return url, folder


@pytest.fixture(scope="module")
def soup(chromium, server):
    """A page on the tab, kept for all tests of one gradio; each begins with an empty table."""
    page = SoupPage(chromium, server[0])
    yield page
    page.close()


def _stock(folder: Path) -> Path:
    for name in ("checkpoints/people", "loras"):
        (folder / name).mkdir(parents=True)
    first = small.save(folder / "checkpoints/ember.safetensors", small.sd15(1))
    for name in ("lagoon", "meadow", "people/portrait"):
        shutil.copyfile(first, folder / "checkpoints" / f"{name}.safetensors")
    small.save(folder / "loras/ink.safetensors", small.lora(3))
    return folder


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# -- a fake host ---------------------------------------------------------------------------------

TEXT = "cond_stage_model.transformer.text_model."
SHAPES = tiny_unet() | {TEXT + "embeddings.token_embedding.weight": (16, 8), TEXT + "final_layer_norm.weight": (8,),
                        TEXT + "attn.in_proj_weight": (24, 8), TEXT + "text_projection": (8, 8),
                        "first_stage_model.decoder.conv_in.weight": (4, 4, 3, 3),
                        "first_stage_model.quant_conv.bias": (8,)}


@pytest.fixture(params=["a1111", "forge"])
def webui(request, tmp_path):
    from safetensors.torch import save_file
    folder = tmp_path / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    (tmp_path / "models" / "Lora").mkdir()
    for seed, name in enumerate("abcd"):
        save_file(fill(SHAPES, seed), folder / f"{name}.safetensors")
    with WebUI(tmp_path, "a.safetensors", request.param) as host:
        yield host


@pytest.fixture
def kitchen(webui):
    from diffusion_soup_webui.bridge import connect
    from diffusion_soup_webui.kitchen import Kitchen
    return Kitchen(connect())


@pytest.fixture
def script(webui, kitchen):
    from diffusion_soup_webui.script import script_classes
    return script_classes(kitchen)["DiffusionSoupScript"]()


@pytest.fixture
def models(webui):
    return ModelFolders({"checkpoint": [webui.checkpoints]})


def recipe(**shares):
    return Recipe(tuple(Ingredient(f"{name}.safetensors", weight=share) for name, share in shares.items()), vae="soup")


def cook(kitchen, wanted):
    kitchen.cook(wanted)
    status = kitchen.wait(60)
    assert status.state == "done", status
    return status
