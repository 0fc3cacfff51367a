"""One Chromium and one server for all tests of this folder."""

import tempfile
from pathlib import Path

import pytest

from .pages import CHROMIUM, QUIET, serve, stock


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server():
    with tempfile.TemporaryDirectory(prefix="comfy-", ignore_cleanup_errors=True) as folder:
        stock(Path(folder))
        with serve(Path(folder)) as server:
            yield server


@pytest.fixture(scope="module", params=[False, True], ids=["litegraph", "nodes 2.0"])
def rendering(browser, server, request):
    """One page in one rendering of nodes, of the module's own class ``Page``."""
    page = request.module.Page(browser.new_page(viewport={"width": 1500, "height": 900}), server.url)
    page.render(request.param)
    yield page
    page.page.close()
