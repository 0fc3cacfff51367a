"""The README's pictures of the Soup tab and the scripts' sections, in the gradio that Forge brings, with the demo's
models.

    python -m demo.screenshots_webui              all of them, into docs/
    python -m demo.screenshots_webui NAME ...     some, by the names in SHOTS

The page is the real one, on the tests' stand-in for Forge: soups are really tasted and cooked. The demo's models are
made where they are missing, as `make demo` does.
"""
from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.webui import venvs
from tests.webui.pages import SoupPage

from . import shots, specialists
from .browser import chromium
from .client import ComfyUIError
from .comfyui import PACK
from .run import DEMO, step, ticker

GRADIO, STYLES, PANORAMA = "4.40.0", "#script_txt2img_dmm_styles_", "#dsoup_panorama_txt2img"
CHECKPOINTS = ("demo-base", "neon", "watercolour", "clay", "demo-student")
RECIPE = {"diffusion_soup": 1, "base": {"file": "demo-base.safetensors"}, "ingredients": [
    {"file": "neon.safetensors", "weight": 2}, {"file": "watercolour.safetensors", "weight": 1},
    {"file": "clay.safetensors", "weight": 1},
    {"kind": "lora", "file": "comic.safetensors", "weight": 0.6}]}
REGIONS = [{"name": "forest", "prompt": "a dark forest, tall pines", "width": 416, "height": 512},
           {"name": "lake", "prompt": "a lake at dawn, mist on the water", "x": 304, "width": 416, "height": 512,
            "cfg": 6, "style": {"watercolour": 0.8}},
           {"name": "castle", "prompt": "a castle on a rock", "x": 608, "width": 416, "height": 512}]


@dataclass(frozen=True)
class Shot:
    """One picture: what is done on the page, and what is cut out of it."""

    prepare: Callable[[SoupPage], object]
    element: str = "#dsoup_tab .ds"
    theme: str = "light"
    chosen: str = "demo-base"  # the checkpoint


def whole(soup: SoupPage) -> None:
    """A soup of three checkpoints and a LoRA, tasted and cooked, and the one before it."""
    _load(soup, {**RECIPE, "ingredients": RECIPE["ingredients"][:3]})
    _cook(soup)
    _load(soup, RECIPE)
    soup.press("clay", "lock")
    soup.page.click("#dsoup_taste")
    soup.page.wait_for_selector(".ds-taste img")
    _cook(soup)


def blocks(soup: SoupPage) -> None:
    """The block weights of one row."""
    _load(soup, RECIPE)
    soup.press("watercolour", "blocks")
    soup.page.select_option("select[aria-label='Source of the weights']", label="Ramp up")
    soup.page.wait_for_selector(".dsoup-bar")


def styles(soup: SoupPage) -> None:
    """The section of txt2img, with a student in use."""
    soup.page.get_by_role("tab", name="txt2img").click()
    soup.page.locator(f"{STYLES}section").get_by_text("DMM styles", exact=True).first.click()
    soup.page.wait_for_selector(".dsoup_styles.known .dsoup-style")
    for name, share in (("neon", 0.7), ("watercolour", 0.25)):
        box = soup.page.locator(f".dsoup-style[title='{name}']").bounding_box()
        soup.page.mouse.click(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)


def panorama(soup: SoupPage) -> None:
    """The section of txt2img: three regions that overlap, one of them chosen."""
    soup.page.get_by_role("tab", name="txt2img").click()
    soup.page.click(f"{PANORAMA} .label-wrap")
    soup.page.check(f"{PANORAMA}_enabled input")
    soup.page.fill(f"{PANORAMA}_text textarea", json.dumps(REGIONS))
    soup.wait("() => document.querySelectorAll('.dsoup-label').length === 3")
    box = soup.page.locator(".dsoup-frame").bounding_box()
    soup.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    soup.page.wait_for_selector("textarea[aria-label='Prompt of this region']")


# One row for each picture in docs/.
SHOTS = {
    "webui_tab": Shot(whole),
    "webui_tab_dark": Shot(whole, theme="dark"),
    "webui_blocks": Shot(blocks, ".ds-table"),
    "webui_panorama": Shot(panorama, PANORAMA, chosen="demo-student"),
    "webui_styles": Shot(styles, f"{STYLES}section", chosen="demo-student"),
}


def main() -> None:
    parser = shots.parser("demo.screenshots_webui", __doc__, SHOTS)
    parser.add_argument("--gradio", choices=list(venvs.PINS), default=GRADIO, help=f"which one ({GRADIO})")
    options = shots.read(parser, SHOTS)
    with step("Making the demo's models (once)"):
        specialists.make(DEMO / "models", progress=ticker)
    with tempfile.TemporaryDirectory(prefix="webui-", ignore_cleanup_errors=True) as folder, \
            chromium() as opened:
        for name in options.names:
            path = options.folder / f"{name}.jpg"
            with step(f"Taking {path}"), serve(Path(folder, name), options.gradio, SHOTS[name].chosen) as url:
                take(opened, url, SHOTS[name], path)


@contextmanager
def serve(folder: Path, gradio: str, chosen: str) -> Iterator[str]:
    """The address of a page with the demo's models and nobody's history."""
    for kind, names in (("Stable-diffusion", CHECKPOINTS), ("Lora", ("comic",))):
        (folder / "models" / kind).mkdir(parents=True)
        source = DEMO / "models" / ("loras" if kind == "Lora" else "checkpoints")
        for name in names:
            (folder / "models" / kind / f"{name}.safetensors").symlink_to(source / f"{name}.safetensors")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "server.log"
    with log.open("wb") as file:
        command = [venvs.python(gradio), "-m", "tests.webui.serve", folder, str(port), f"{chosen}.safetensors"]
        process = subprocess.Popen(command, cwd=PACK, stdout=file, stderr=subprocess.STDOUT,
                                   env=os.environ | {"GRADIO_ANALYTICS_ENABLED": "False"})
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, process, log)
            yield url
        finally:
            process.kill()
            process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=5).read()
            return
        except OSError:
            time.sleep(0.2)
    raise ComfyUIError(f"the page did not come up: {log.read_text()[-1000:].strip()}")


def take(opened: Any, url: str, shot: Shot, path: Path) -> None:
    """Open the page, prepare it and cut the picture out."""
    soup = SoupPage(opened, url, shot.theme, scale=1.5)
    shot.prepare(soup)
    soup.page.mouse.move(5, 5)
    soup.page.wait_for_timeout(1000)  # requests, and whatever is animated
    shots.shoot(soup.page.locator(shot.element).first, path, quality=86)
    soup.close()


def _load(soup: SoupPage, recipe: dict[str, Any]) -> None:
    soup.load(json.dumps(recipe))
    rows = len(recipe["ingredients"])
    soup.wait("rows => document.querySelectorAll('.ds-rows .ds-row').length === rows", rows)
    soup.recipe(f"recipe => recipe.ingredients.length === {rows}")


def _cook(soup: SoupPage) -> None:
    """Until the soup of the table is the one in use, and is in the list of those that were cooked."""
    before = soup.page.locator("#dsoup_log .ds-entry").count()
    soup.page.click("#dsoup_cook_now")
    soup.wait("before => document.querySelectorAll('#dsoup_log .ds-entry').length > before", before)
    soup.page.wait_for_selector("#dsoup_cancel_now", state="hidden")


if __name__ == "__main__":
    try:
        main()
    except (ComfyUIError, OSError, venvs.Unavailable) as error:
        sys.exit(f"error: {error}")
