"""What `make demo` runs: from nothing to the first picture of a soup, in a real ComfyUI.

    python -m demo.run                  keeps ComfyUI running until Ctrl-C
    python -m demo.run --headless       stops after the picture
"""
from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from . import specialists
from .client import ComfyUIError, PromptRejected
from .comfyui import PACK, Server, install
from .workflows import workflow_to_prompt

DEMO = PACK / ".demo"
WORKFLOWS = PACK / "example_workflows"
FIRST_SOUP = WORKFLOWS / "first_soup.json"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.run", description="The demo: one soup, one picture.")
    parser.add_argument("--headless", action="store_true", help="stop after the picture")
    parser.add_argument("--port", type=int, default=0, help="where ComfyUI listens (default: any free port)")
    options = parser.parse_args()
    with step("Getting ComfyUI"):
        comfyui = install()
    with step("Making the demo's models (once)"):
        specialists.make(DEMO / "models", progress=ticker)
    server = Server(comfyui, DEMO, port=options.port)
    try:
        with step("Starting ComfyUI"):
            server.start()
            offer_workflows()
        with step("Cooking the first soup and painting with it"):
            picture = paint(server)
        print(f"\nThe picture:  {picture}", flush=True)
        if not options.headless:
            print(f"Your ComfyUI: {server.url}   (Workflows in its sidebar has this one: first_soup)\nCtrl-C ends it.",
                  flush=True)
            wait_for_end(server)
    finally:
        server.stop()


def paint(server: Server) -> Path:
    """Run the first-soup workflow and return where its picture is."""
    workflow = json.loads(FIRST_SOUP.read_text(encoding="utf-8"))
    prompt = workflow_to_prompt(workflow, server.client.object_info())
    result = server.client.run(prompt, extra_pnginfo={"workflow": workflow}).succeeded()
    saved = next((picture for picture in result.pictures if picture.type == "output"), None)
    if saved is None:
        raise ComfyUIError(f"{FIRST_SOUP.name} ran and saved no picture")
    return server.output / saved.subfolder / saved.filename


def offer_workflows() -> None:
    """Put the examples where the editor's sidebar lists a user's own workflows."""
    listed = DEMO / "user" / "default" / "workflows"
    listed.mkdir(parents=True, exist_ok=True)
    for workflow in WORKFLOWS.glob("*.json"):
        if not (listed / workflow.name).exists():
            shutil.copy(workflow, listed)


def wait_for_end(server: Server) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        while server.process is not None and server.process.poll() is None:
            time.sleep(0.5)
        raise ComfyUIError(f"ComfyUI ended by itself; {server.log_file} says why")


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Say what is being done and how long it took."""
    began = time.monotonic()
    print(f"{title} ...", end="", flush=True)
    try:
        yield
    except BaseException:
        print(flush=True)
        raise
    seconds = f"{time.monotonic() - began:.0f} s"
    print(f"\r\033[K{title}: {seconds}" if sys.stdout.isatty() else f" {seconds}", flush=True)


def ticker(news: str) -> None:
    """What goes on within a step, on one line that is written over; nothing where output is not a terminal."""
    if sys.stdout.isatty():
        print(f"\r\033[K{news} ", end="", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (ComfyUIError, PromptRejected, TimeoutError, KeyError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped")
