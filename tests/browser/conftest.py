"""One Chromium for all tests of this folder, one server for each frontend, one page for each module and rendering.

Every test runs in both renderings on the frontend that ComfyUI pins. Those marked ``newest`` run on the newest frontend
too; there, the others are slow tests. The frontends come one after the other, so that never two servers run.
"""

import tempfile
from pathlib import Path

import pytest

from demo import frontend as frontends

from .pages import CHROMIUM, FRONTEND, MISSING, QUIET, SIZE, serve, stock


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    for item in items:
        shown = getattr(item, "callspec", None) and item.callspec.params.get("frontend")
        if shown == frontends.NEWEST and not item.get_closest_marker("newest"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def browser():
    """One profile of one Chromium, so that the frontend's many files are read once."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip(MISSING)
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser.new_context(viewport=SIZE)
        browser.close()


@pytest.fixture(scope="session", params=[FRONTEND] if FRONTEND else [frontends.PINNED, frontends.NEWEST],
                ids=lambda shown: Path(shown).name)
def frontend(request):
    """The frontend that the server hands out, by name; or the folder that COMFYUI_FRONTEND names."""
    return request.param


@pytest.fixture(scope="session")
def server(frontend):
    with tempfile.TemporaryDirectory(prefix="comfy-", ignore_cleanup_errors=True) as folder:
        stock(Path(folder))
        with serve(Path(folder), frontend) as server:
            yield server


@pytest.fixture(scope="module")
def tab(browser, frontend, server, request):
    """One page of the module's own class ``Page``."""
    tab = request.module.Page(browser.new_page(), server.url)
    tab.pinned = frontend == frontends.PINNED
    yield tab
    tab.page.close()


@pytest.fixture(scope="module", params=[False, True], ids=["litegraph", "nodes 2.0"])
def rendering(tab, request):
    """The module's page in one rendering of nodes."""
    tab.render(request.param)
    return tab


@pytest.fixture
def page(rendering):
    """The module's page with its graph in it, and no errors until the test is over."""
    rendering.errors.clear()
    rendering.load()
    yield rendering
    assert rendering.errors == []


@pytest.fixture
def zoomed(page):
    """The page as at 200% of the browser's own zoom."""
    with page.zoomed():
        yield page
