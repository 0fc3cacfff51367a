"""The command line as a user types it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from diffusion_soup import read_recipe
from diffusion_soup.cli import main

from .kitchen import Pantry, fill, tiny_unet


@pytest.fixture
def kitchen(pantry: Pantry, monkeypatch, tmp_path):
    """Two specialists and a recipe of them, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pantry.stock(3)
    (tmp_path / "r.json").write_text(pantry.recipe(a=1, b=1).to_json())
    return tmp_path


def cook(*more):
    return main(["cook", "r.json", "--models", ".", "-o", "out.safetensors", *more])


def refused(capsys, *arguments):
    """Run a command that must fail; returns its one line."""
    capsys.readouterr()
    try:
        status = main(list(arguments))
    except SystemExit as exit:  # argparse
        status = exit.code
    said = capsys.readouterr()
    assert status == 2 and not said.out
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    return said.err


def test_cook_and_show(kitchen, capsys):
    assert cook() == 0
    assert "SD 1.x" in capsys.readouterr().out
    assert main(["recipe", "show", "out.safetensors"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [each["file"] for each in shown["ingredients"]] == ["a.safetensors", "b.safetensors"]
    assert all(len(each["sha256"]) == 64 for each in shown["ingredients"])


def test_a_saved_soup_is_a_recipe(kitchen):
    assert cook() == 0
    assert main(["cook", "out.safetensors", "--models", ".", "-o", "again.safetensors"]) == 0
    assert (kitchen / "out.safetensors").read_bytes() == (kitchen / "again.safetensors").read_bytes()


def test_json_for_machines(kitchen, capsys):
    assert cook("--json", "--dtype", "bfloat16") == 0
    said = capsys.readouterr()
    assert not said.err
    facts = json.loads(said.out)
    assert facts["output"] == "out.safetensors" and facts["recipe"]["dtype"] == "bfloat16"


def test_add_then_remove_is_the_same_soup(kitchen):
    assert main(["recipe", "add", "r.json", "c.safetensors", "--weight", "0.5", "-o", "more.json"]) == 0
    assert read_recipe("more.json").find("c").weight == 0.5
    assert main(["recipe", "remove", "more.json", "c", "-o", "less.json"]) == 0
    assert read_recipe("less.json") == read_recipe("r.json")


def test_nothing_is_overwritten_unasked(kitchen, capsys):
    (kitchen / "out.safetensors").write_text("precious")
    assert "exists already" in refused(capsys, "cook", "r.json", "--models", ".", "-o", "out.safetensors")
    assert (kitchen / "out.safetensors").read_text() == "precious"
    assert cook("--overwrite") == 0
    assert "exists already" in refused(capsys, "recipe", "remove", "r.json", "a", "-o", "r.json")
    assert "ends in .json" in refused(capsys, "recipe", "remove", "r.json", "a", "-o", "a.safetensors", "--overwrite")


def test_inspect(kitchen, capsys, pantry: Pantry):
    pantry.put("ink", fill({"lora_unet_out_2.lora_up.weight": (4, 2), "lora_unet_out_2.lora_down.weight": (2, 4)}))
    assert main(["inspect", "a.safetensors", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["family"] == "sd1"
    assert main(["inspect", "ink.safetensors"]) == 0
    assert "lora" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, words", [
    (("cook", "missing.json", "--models", ".", "-o", "x.safetensors"), "missing.json"),
    (("cook", "r.json", "--models", "nowhere", "-o", "x.safetensors"), "nowhere"),
    (("cook", "r.json", "--models", ".", "-o", "no/folder/x.safetensors"), "no/folder"),
    (("cook", "r.json", "--models", ".", "-o", "a.safetensors", "--overwrite"), "ingredient"),
    (("cook", "r.json", "--models", ".", "-o", "x.safetensors", "--device", "toaster"), "toaster"),
    (("cook", "r.json", "--models", ".", "-o", "x.safetensors", "--device", "cuda:99"), "cuda:99"),
    (("recipe", "show", "a.safetensors"), "no recipe"),
    (("recipe", "remove", "r.json", "z", "-o", "x.json"), "z"),
    (("recipe", "add", "r.json", "../z.safetensors", "-o", "x.json"), ".."),
    (("recipe", "add", "r.json", "z.safetensors", "--weight", "nan", "-o", "x.json"), "weight"),
    (("inspect", "r.json"), "r.json"),
    (("inspect", "."), "folder"),
    (("cook",), "required"),
    (("stir",), "stir"),
])
def test_mistakes_are_one_line_and_leave_nothing(kitchen, capsys, arguments, words):
    before = {path: path.read_bytes() for path in kitchen.iterdir() if path.is_file()}
    assert words in refused(capsys, *arguments)
    assert {path: path.read_bytes() for path in kitchen.iterdir() if path.is_file()} == before


#: The command line with a slow disk, so that no machine is done before it is interrupted.
SLOWLY = """
import signal, time
from diffusion_soup import cli, writer
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell are started deaf to it
write = writer.StreamingWriter.write
writer.StreamingWriter.write = lambda *piece: (time.sleep(0.1), write(*piece))
raise SystemExit(cli.main())
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_leaves_nothing(kitchen, pantry: Pantry):
    big = {key: (64, 1 << 20) if "out.2" in key else shape for key, shape in tiny_unet().items()}
    for name in "ab":
        pantry.put(name, fill(big))
    process = subprocess.Popen([sys.executable, "-c", SLOWLY, "cook", "r.json", "--models", ".", "-o",
                                "out.safetensors"], stderr=subprocess.PIPE, text=True,
                               env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    deadline = time.monotonic() + 60
    while not list(kitchen.glob(".soup-*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and "cancelled" in said
    assert not list(kitchen.glob(".soup-*")) and not (kitchen / "out.safetensors").exists()
