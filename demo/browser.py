"""Chromium and node, for the browser tests and for screenshots: find them, or install them from Debian's packages.

    python -m demo.browser              install what is missing, or say in a sentence what to install

Users of the pack need neither. Another Chromium than the one on the PATH is named by the variable CHROMIUM.
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")
NODE = 18  # the first that brings a test runner
MISSING = "there is no Chromium here: install the package chromium, or name one by CHROMIUM=/path/to/chromium"


@contextmanager
def chromium(*arguments: str) -> Iterator[Any]:
    """Chromium without a window, by Playwright. ``arguments``: more of them for its command line."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *arguments])
        yield opened
        opened.close()


def install() -> str:
    """Install what is missing. Returns a sentence about what still is, empty where nothing is."""
    wanted = _missing()
    if wanted and shutil.which("apt-get"):
        names = " and ".join(wanted)
        as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        print(f"Installing {names} from this system's packages, for the browser tests (once)", file=sys.stderr)
        if not (_run(*as_root, "apt-get", "update") and
                _run(*as_root, "apt-get", "install", "--yes", "--no-install-recommends", *wanted)):
            print(f"apt-get could not install {names}", file=sys.stderr)
        wanted = _missing()
    if not wanted:
        return ""
    without = {"chromium": "browser tests", "nodejs": "unit tests of js/lib"}
    return "" if not wanted else (
        f"Left out are the {' and the '.join(without[name] for name in wanted)}, because there is no "
        f"{' and no '.join(wanted)} here. Fix: apt-get install {' '.join(wanted)}.")


def _missing() -> list[str]:
    found = {"chromium": CHROMIUM or shutil.which("chromium"), "nodejs": node()}
    return [package for package, program in found.items() if not program]


def node() -> str | None:
    """Where node is, if it is new enough."""
    program = shutil.which("node") or shutil.which("nodejs")
    if program is None:
        return None
    said = subprocess.run([program, "--version"], check=False, capture_output=True, text=True).stdout
    version = re.match(r"v(\d+)\.", said)
    return program if version and int(version[1]) >= NODE else None


def _run(*command: str) -> bool:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        return subprocess.run(command, check=False, env=environment, stdout=subprocess.DEVNULL).returncode == 0
    except OSError:  # no sudo
        return False


def unit_tests(tests: Sequence[str]) -> int:
    """Run unit tests of js/lib by node's own runner."""
    program = node()
    if program is None:
        print(f"The unit tests of js/lib are left out: there is no node {NODE} or newer here. "
              "Fix: apt-get install nodejs.")
        return 0
    return subprocess.run([program, "--test", "--test-reporter=spec", *tests], check=False).returncode


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(unit_tests(sys.argv[1:]))
    print(install() or "Chromium and node are here")
