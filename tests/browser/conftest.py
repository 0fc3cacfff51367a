"""One Chromium for all tests of this folder, one server for each frontend, one page for each module and rendering.

There are four combinations: the frontend that ComfyUI pins and the newest one, each with nodes as HTML or drawn on the
canvas. Tests marked ``newest``, some of each editor, run in all four. Of the others each runs in one rendering of the
pinned frontend, so that half of an editor's tests see the one and half the other; ``make test-slow`` runs the rest.
The frontends come one after the other, so that never two servers run.
"""

import tempfile
import zlib
from pathlib import Path

import pytest

from demo import frontend as frontends
from demo.browser import CHROMIUM, MISSING, chromium

from .pages import FRONTEND, SIZE, serve, stock


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    for item in items:
        combination = item.callspec.params if hasattr(item, "callspec") else {}
        if item.get_closest_marker("newest") or "frontend" not in combination:
            continue
        usual = bool(zlib.crc32(item.originalname.encode()) % 2)
        if combination["frontend"] == frontends.NEWEST or combination.get("rendering", usual) != usual:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def browser():
    """One profile of one Chromium, so that the frontend's many files are read once."""
    pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip(MISSING)
    with chromium() as opened:
        yield opened.new_context(viewport=SIZE)


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
