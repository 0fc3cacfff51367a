"""Whatever fails in the extension, the WebUI starts, and the tab says what failed."""

import builtins
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def gradio(monkeypatch):
    """Just enough of gradio to see what would be shown."""
    shown = []

    class Blocks:
        def __init__(self, **settings):
            pass

        __enter__ = __exit__ = lambda self, *error: None

    fake = ModuleType("gradio")
    fake.Blocks, fake.Markdown = Blocks, lambda text, **settings: shown.append(text)
    monkeypatch.setitem(sys.modules, "gradio", fake)
    return shown


@pytest.fixture
def load(webui, gradio, monkeypatch):
    """Load the script as the WebUI does; returns its names, and the tabs when they are asked for."""
    before = _package()
    for name in before:
        del sys.modules[name]

    def load():
        path = ROOT / "scripts" / "diffusion_soup.py"
        spec = importlib.util.spec_from_file_location(path.name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module, [tab for callback in webui.callbacks["ui_tabs"] for tab in callback()]

    yield load
    for name in _package():  # a second copy, which other tests would mix with theirs
        del sys.modules[name]
    sys.modules.update(before)


def _package():
    return {name: module for name, module in sys.modules.items() if name.startswith("diffusion_soup_webui")}


@pytest.mark.parametrize("webui", ["a1111"], indirect=True)
class TestLoader:
    @pytest.mark.parametrize("error, sentence", [
        (ModuleNotFoundError("no", name="safetensors"), "the Python module safetensors is missing"),
        (SyntaxError("bad"), "SyntaxError: bad"), (RuntimeError("It is dark."), "It is dark. The console"),
    ])
    def test_a_broken_import(self, load, gradio, monkeypatch, error, sentence):
        real = builtins.__import__

        def broken(name, *args, **kwargs):
            if name == "diffusion_soup_webui":
                raise error
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", broken)
        _, tabs = load()
        assert [tab[1:] for tab in tabs] == [("Soup", "diffusion_soup")]
        assert gradio[0].startswith("Diffusion Soup could not start: ") and sentence in gradio[0]

    def test_an_old_python(self, load, gradio, monkeypatch):
        class Version(tuple):
            major, minor = 3, 8
        monkeypatch.setattr(sys, "version_info", Version((3, 8, 1)))
        load()
        assert "needs Python 3.10 or newer, and this WebUI runs 3.8" in gradio[0]

    def test_an_unknown_webui(self, load, gradio, webui):
        del webui.sd_models.reload_model_weights
        load()
        assert "this WebUI loads models in a way it does not know" in gradio[0]

    def test_a_tab_that_cannot_be_built(self, load, gradio, webui, monkeypatch):
        fake = ModuleType("diffusion_soup_webui.tab")
        fake.build = lambda *needed: 1 / 0
        pytest.importorskip("fastapi")
        import diffusion_soup_webui  # noqa: F401
        for name in ("tab", "style_section"):
            monkeypatch.setitem(sys.modules, f"diffusion_soup_webui.{name}", fake)
        load()
        assert "ZeroDivisionError" in gradio[0]


def test_the_entry_is_readable_for_old_pythons():
    """No syntax newer than Python 3.7, in what runs before the version is looked at."""
    import ast
    for name in ("extension.py", "scripts/diffusion_soup.py", "install.py"):
        ast.parse((ROOT / name).read_text(), feature_version=(3, 7))


def test_install_is_silent_where_nothing_is_missing(tmp_path):
    run = subprocess.run([sys.executable, ROOT / "install.py"], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_install_asks_the_host(monkeypatch):
    asked = []
    monkeypatch.setitem(sys.modules, "launch", SimpleNamespace(run_pip=lambda *args: asked.append(args)))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tqdm" else object())
    exec(compile((ROOT / "install.py").read_text(), "install.py", "exec"), {})  # noqa: S102
    assert asked == [("install tqdm", "tqdm for Diffusion Soup")]
