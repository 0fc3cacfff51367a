"""One virtual environment for each gradio that a host brings, made on demand under .gradio.

    python -m tests.webui.venvs         make them all (once, some minutes)

Torch and the engine's other needs come from the environment that runs this, behind gradio's own pins.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".gradio"
PINS = {
    "3.41.2": ("fastapi==0.94.0", "pydantic==1.10.27", "httpx==0.24.1", "huggingface_hub==0.36.2", "numpy==1.26.2",
               "Pillow==9.5.0"),  # as in A1111 1.10.1
    "4.40.0": ("fastapi==0.104.1", "pydantic==2.8.2", "httpx==0.24.1", "huggingface_hub==0.26.2", "numpy==1.26.2",
               "Pillow==9.5.0"),  # as in Forge
    "6.31.0": (),  # the newest there was
}


class Unavailable(Exception):
    """One sentence why this gradio cannot be had here."""


def python(version: str) -> Path:
    """The Python that has this gradio; installed first where it is not there yet."""
    folder = FOLDER / version
    wanted = "\n".join((f"gradio=={version}", *PINS[version]))
    stamp = folder / "ready.stamp"
    found = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"\nInstalling gradio {version} into {folder} (once, some minutes)", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        _install(found, wanted.split("\n"))
        _lend(folder)
        stamp.write_text(wanted)
    return found


def _install(found: Path, wanted: list[str]) -> None:
    command = [str(found), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["no output"])[-1]
        raise Unavailable(f"pip cannot install {wanted[0]} with {sys.executable}: {last[:300]}")


def _lend(folder: Path) -> None:
    """What the environment lacks is looked for in ours, last."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / ("Lib/site-packages" if sys.platform == "win32" else f"lib/{version}/site-packages")
    (packages / "zz_lent.pth").write_text(sysconfig.get_path("purelib") + "\n")


if __name__ == "__main__":
    for each in PINS:
        try:
            python(each)
        except Unavailable as error:
            print(error, file=sys.stderr)
