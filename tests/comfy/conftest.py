"""One real ComfyUI for all tests of this folder, with the pack and tiny models under the demo's names."""
from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from demo.client import Client
from demo.comfyui import Server, install

from .. import models
from ..scorers import clip_folder

LOG_LINES = 60
PREVIEWS = ("--preview-method", "latent2rgb")  # without, ComfyUI sends none
PACKS = Path(__file__).with_name("packs")


def stock(folder: Path) -> None:
    """The model files of these tests. Those of the demo's names are whole checkpoints."""
    files = {
        "checkpoints/demo-base": lambda: models.sd15(1, text=True),
        "checkpoints/clay": lambda: models.sd15(2, text=True),
        "checkpoints/neon": lambda: models.sd15(3, text=True),
        "checkpoints/watercolour": lambda: models.sd15(4, text=True),
        "checkpoints/student": lambda: models.student(6, text=True),
        "checkpoints/student2": lambda: models.student(7, 2),
        "checkpoints/stranger": lambda: models.student(8, mlp=1),
        "checkpoints/xl-student": lambda: models.sdxl_student(3),
        "checkpoints/inpainting": lambda: models.sd15(5, channels=9),
        "checkpoints/xl1": lambda: models.sdxl(1),
        "checkpoints/xl2": lambda: models.sdxl(2),
        **{f"diffusion_models/renamed{seed}": lambda seed=seed: models.renamed(seed) for seed in (2, 3)},
        **{f"diffusion_models/huge{seed}": lambda seed=seed: models.huge(seed) for seed in range(1, 5)},
        "loras/comic": lambda: models.lora(1),
        "loras/other-base": lambda: models.fill({"lora_unet_nothing_here.lora_up.weight": (4, 4),
                                                 "lora_unet_nothing_here.lora_down.weight": (4, 4)}, 1),
        "controlnet/shapes": lambda: models.controlnet(1),
        "controlnet/sketch": lambda: models.adapter(1),
        "gligen/boxes": lambda: models.gligen(1),
    }
    for name, make in files.items():
        path = folder / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        models.save(path, make())
    styles = {"diffusion_soup.styles": '["clay", "neon", "watercolour", "comic"]'}
    models.save(folder / "checkpoints/demo-student.safetensors", models.student(9, text=True), styles)
    whole = (folder / "checkpoints/clay.safetensors").read_bytes()
    (folder / "checkpoints/truncated.safetensors").write_bytes(whole[:len(whole) // 2])


@pytest.fixture(scope="session")
def shelf() -> Iterator[Path]:
    """A folder with all models, from which servers take theirs by links."""
    with tempfile.TemporaryDirectory(prefix="comfy-models-", ignore_cleanup_errors=True) as folder:
        stock(Path(folder))
        yield Path(folder)


def base_folder(folder: Path, shelf: Path) -> Path:
    """A base folder for a server, with links to the shelf's models and to the tests' own packs."""
    for path in shelf.rglob("*.safetensors"):
        link = folder / "models" / path.relative_to(shelf)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    clip_folder(folder / "models/diffusion_soup/scorers/clip-vit-large-patch14")
    for path in PACKS.iterdir():
        (folder / "custom_nodes").mkdir(exist_ok=True)
        (folder / "custom_nodes" / path.name).symlink_to(path, target_is_directory=True)
    return folder


@pytest.fixture(scope="session")
def comfy(shelf: Path) -> Iterator[Server]:
    """A running server: `comfy.client`, `.models`, `.input`, `.output`, `.restart()`, `.log()`.

    Installs ComfyUI on first use.  Where that or the start fails, so does every test that asks
    for it, with the end of pip's output or of the server's log.
    """
    folder = install()
    scratch = tempfile.TemporaryDirectory(prefix="comfy-", ignore_cleanup_errors=True)
    with scratch as base, Server(folder, base_folder(Path(base), shelf), arguments=PREVIEWS) as server:
        yield server


@pytest.fixture
def client(comfy: Server) -> Client:
    return comfy.client


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of the server's log beside a failure."""
    report = yield
    server = getattr(item, "funcargs", {}).get("comfy")
    if report.failed and isinstance(server, Server):
        report.sections.append(("ComfyUI's log", "\n".join(server.log().splitlines()[-LOG_LINES:])))
    return report
