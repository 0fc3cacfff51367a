"""The engine knows no host, imports itself relatively, and is cheap to import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import diffusion_soup

ENGINE = Path(diffusion_soup.__file__).parent
FILES = sorted(ENGINE.rglob("*.py"))
HOSTS = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "nodes", "server", "folder_paths", "aiohttp",
         "modules", "modules_forge", "backend", "gradio", "diffusion_soup_webui", "scripts"}
#: Beside the standard library. The last three are asked for where they are used, and may be missing.
ALLOWED = {"torch", "numpy", "safetensors", "psutil", "tqdm", "PIL"}
#: Libraries of the extras, each in its one place, imported where they are used.
OPTIONAL = {"dmm/data.py": {"webdataset"}, "dmm/unets.py": {"diffusers"},
            "score/files.py": {"transformers"}, "studio.py": {"diffusers", "transformers"}, "select.py": {"cma"},
            "lab/denoiser.py": {"diffusers", "torchvision"}, "lab/plots.py": {"matplotlib"}}
TRAINING = {"diffusers", "transformers", "accelerate", "torchvision", "sd_mecha", "scipy", "PIL", "cma", "matplotlib"}


def imports(path):
    """(module, level of relative import) of every import statement, wherever it stands."""
    for each in ast.walk(ast.parse(path.read_text())):
        if isinstance(each, ast.Import):
            yield from ((alias.name.split(".")[0], 0) for alias in each.names)
        elif isinstance(each, ast.ImportFrom):
            yield (each.module or "").split(".")[0], each.level


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ENGINE)))
def test_what_a_module_imports(path):
    for module, level in imports(path):
        if level:
            assert level <= len(path.relative_to(ENGINE).parts), f"{module} lies outside the engine"
        else:
            optional = OPTIONAL.get(path.relative_to(ENGINE).as_posix(), set())
            assert module in ALLOWED | optional | sys.stdlib_module_names


@pytest.mark.parametrize("path", [path for path in FILES if path.name not in ("cli.py", "__main__.py")],
                         ids=lambda path: str(path.relative_to(ENGINE)))
def test_nothing_imports_the_command_line(path):
    assert ("cli", 1) not in set(imports(path))


PROBE = """
import sys
class Fence:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {forbidden}:
            raise AssertionError("imported " + name)
sys.meta_path.insert(0, Fence())
import {package}
for name in {modules}:
    __import__("{package}." + name)
assert "nodes" not in sys.modules
print("fine")
"""


def probe(package, folder):
    modules = [".".join(path.relative_to(ENGINE).with_suffix("").parts) for path in FILES if path.name[:2] != "__"]
    code = PROBE.format(forbidden=HOSTS | TRAINING, package=package, modules=modules)
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


def test_it_runs_without_any_host():
    run = probe("diffusion_soup", ENGINE.parent)
    assert run.stdout == "fine\n", run.stderr


def test_it_runs_under_any_name(tmp_path):
    """As in ComfyUI, where the pack's folder may be called anything."""
    (tmp_path / "some_pack").mkdir()
    (tmp_path / "some_pack" / "__init__.py").touch()
    (tmp_path / "some_pack" / "diffusion_soup").symlink_to(ENGINE)
    run = probe("some_pack.diffusion_soup", tmp_path)
    assert run.stdout == "fine\n", run.stderr


def test_the_public_names_exist():
    assert len(diffusion_soup.__all__) == len(set(diffusion_soup.__all__))
    for name in diffusion_soup.__all__:
        assert hasattr(diffusion_soup, name)
