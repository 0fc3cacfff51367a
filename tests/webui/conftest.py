"""The Soup tab in every gradio that a host brings: one server each, one Chromium for all."""

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from .. import models
from . import venvs
from .pages import CHROMIUM, QUIET, SoupPage

ROOT = Path(__file__).resolve().parents[2]
QUIETLY = {"OMP_WAIT_POLICY": "PASSIVE", "GRADIO_ANALYTICS_ENABLED": "False"}
SECONDS = 0.3  # that a cook of the fake kitchen takes, unless a test sets another pace


@pytest.fixture(scope="session")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("There is no Chromium here: install it, or name it in CHROMIUM.")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


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
    first = models.save(folder / "checkpoints/ember.safetensors", models.sd15(1))
    for name in ("lagoon", "meadow", "people/portrait"):
        shutil.copyfile(first, folder / "checkpoints" / f"{name}.safetensors")
    models.save(folder / "loras/ink.safetensors", models.lora(3))
    return folder


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
