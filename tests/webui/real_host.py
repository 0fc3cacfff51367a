"""Drives an installed A1111 or Forge with this extension, through HTTP alone, and says what it found.

    python -m tests.webui.real_host --webui PATH --port N [--models a,b,c] [--lora NAME] [CHECK ...]

The WebUI must be running (with --api) and have three checkpoints of one family and a LoRA for it; for styles, a DMM
student called student.safetensors too. ControlNets that it lists are tried under panoramas, see ``real_controlnet``.
Files are made in and removed from its checkpoint folder.
Prints a line a check, and exits with the number of checks that failed.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import threading
import time
import traceback
from pathlib import Path

from . import real_controlnet, real_grids, real_panoramas, real_styles
from .real_client import SETTINGS, Host, Peak, Picture, Refused

SAVED = "real host soup"


def equals_the_saved_soup(host: Host) -> str:
    host.plain()
    host.cook(1, 2, 0.5)
    soup = host.pictures()
    host.ours("save", name=SAVED, overwrite=True)
    assert host.wait()["state"] == "done", host.status()
    host.post("/sdapi/v1/refresh-checkpoints")
    host.choose(f"{SAVED}.safetensors")
    saved = host.pictures()
    host.choose(host.models[0])
    assert soup == saved, ([each.pixels for each in soup], [each.pixels for each in saved])
    assert soup[0] != soup[1] and soup[0] == soup[2]
    return f"with and without LoRA: {soup[0].pixels}, {soup[1].pixels}"


def loras_before_and_after(host: Host) -> str:
    host.plain()
    before = host.pictures()
    host.picture(f"a red circle <lora:{host.lora}:1>")  # merged while the cook begins
    host.cook(1, 1)
    merged = host.pictures()
    host.plain()
    host.cook(1, 1)
    clean = host.pictures()
    host.picture(f"a red circle <lora:{host.lora}:1>")
    host.ours("undo")
    assert host.wait()["state"] == "done", host.status()
    after = host.pictures()
    assert merged == clean, "the LoRA in use when the cook began is in the soup"
    assert before == after, "the LoRA in use at the undo stayed"
    assert merged[0] != before[0]
    return "not baked in, not twice"


def undo_gives_the_same_pictures(host: Host) -> str:
    host.plain()
    checkpoint = host.picture()
    host.cook(1, 1)
    first = host.picture()
    host.cook(1, 3)
    second = host.picture()
    for expected in (first, checkpoint):
        host.ours("undo")
        assert host.wait()["state"] == "done", host.status()
        assert host.picture() == expected
    host.ours("undo")
    status = host.wait()
    assert status["state"] == "failed" and "nothing to undo" in status["text"], status
    assert len({each.pixels for each in (checkpoint, first, second)}) == 3
    return "two soups back to the checkpoint"


def switching_and_back(host: Host) -> str:
    host.plain()
    first, recipe = host.picture(), host.recipe(1, 1)
    host.choose(host.models[1])
    second = host.picture()
    host.choose(host.models[0])
    host.cook(1, 1)
    soup = host.picture()
    named = {"override_settings": {"sd_model_checkpoint": host.models[0]}}
    assert host.picture(**named) == first, "a request that names the checkpoint gets the soup"
    assert host.picture() == soup, "the soup is gone after a request's own checkpoint"
    assert host.picture(override_settings={"sd_model_checkpoint": host.models[1]}) == second
    assert host.picture() == soup
    host.choose(host.models[1])
    assert host.picture() == second
    host.choose(host.models[0])
    assert host.picture() == first and host.status()["in_use"] is None
    host.cook(1, 1)
    host.choose(host.models[1])
    host.choose(host.models[0])  # with no picture between
    assert host.picture() == first, "the soup is still there after choosing another checkpoint and back"
    options = json.dumps(host.get("/sdapi/v1/options")["sd_model_checkpoint"])
    assert "soup" not in options, options
    return f"{len(recipe['ingredients'])} ingredients"


def cancel_in_the_middle(host: Host) -> str:
    host.plain()
    checkpoint = host.picture()
    took, cancelled = [], 0
    for soup_before in (False, True):
        if soup_before:
            host.cook(1, 1)
            checkpoint = host.picture()
        for attempt in range(6):
            host.ours("cook", recipe=host.recipe(1, 2 + attempt, 3))
            while (status := host.status())["state"] != "cooking" or status["text"] != "cooking" or \
                    status["fraction"] < 0.1 + attempt * 0.12:
                if status["state"] in ("done", "failed"):
                    break
            begun = time.monotonic()
            host.ours("cancel")
            status = host.wait()
            if status["state"] == "cancelled":
                cancelled += 1
                took.append(time.monotonic() - begun)
            else:
                host.ours("undo")
                host.wait()
            made = host.picture()
            assert made == checkpoint, (soup_before, attempt, status, made.pixels, checkpoint.pixels)
    assert cancelled >= 4, f"only {cancelled} of 12 came in time"
    return f"{cancelled} cancelled in the middle, the model before back after {max(took):.2f} s at most"


def second_cook_is_queued(host: Host) -> str:
    host.plain()
    host.cook(1, 5)
    wanted = host.picture()
    first = host.ours("cook", recipe=host.recipe(1, 4, 1))
    try:
        host.ours("cook", recipe=host.recipe(1, 4, 1))
        raise AssertionError("the same recipe twice was taken")
    except Refused as error:
        assert "being cooked already" in error.detail, error.detail
    second = host.ours("cook", recipe=host.recipe(1, 5))
    assert second["state"] == "queued" and second["job"] > first["job"], second
    assert host.wait()["state"] == "done" and host.picture() == wanted
    return second["text"]


def pictures_and_cooks_wait_for_each_other(host: Host) -> str:
    host.plain()
    checkpoint = host.picture(steps=20)
    host.cook(2, 1)
    soup = host.picture(steps=20)
    host.ours("undo")
    host.wait()
    made: list[Picture] = []
    thread = threading.Thread(target=lambda: made.append(host.picture(steps=20)))
    thread.start()
    while host.get("/sdapi/v1/progress?skip_current_image=true")["state"]["sampling_step"] < 2:
        time.sleep(0.02)
    host.ours("cook", recipe=host.recipe(2, 1))
    waited = set()
    while thread.is_alive():
        waited.add(host.status()["text"])
        time.sleep(0.05)
    assert made == [checkpoint], "a cook changed the model under a picture"
    assert host.wait()["state"] == "done" and host.picture(steps=20) == soup
    host.ours("cook", recipe=host.recipe(3, 1, 1))
    late = host.picture(steps=20)
    assert late != soup and host.wait()["state"] == "done" and host.picture(steps=20) == late
    assert "waiting for the WebUI to finish what it is doing" in waited, waited
    return "a cook waits for a picture, a picture for a cook"


def recipe_in_the_picture(host: Host) -> str:
    host.plain()
    plain = host.picture()
    assert "Soup:" not in plain.text and "diffusion_soup" not in plain.info
    host.cook(1, 3)
    made = host.picture()
    recipe = host.get("/diffusion-soup/v1/recipe")
    assert f"Soup: {recipe['hash']}" in made.text and f"Model hash: {recipe['hash'][:10]}" in made.text, made.text
    assert json.loads(made.info["diffusion_soup"]) == recipe["recipe"]
    assert f"Model: {recipe['name']}" in made.text, made.text
    read = host.ours("recipe", picture=base64.b64encode(made.data).decode())
    assert read["hash"] == recipe["hash"]
    assert host.ours("recipe", text=made.text)["hash"] == recipe["hash"]
    saved = host.post("/sdapi/v1/txt2img", prompt="a red circle", save_images=True, **SETTINGS)
    pictures = (path for folder in host.folder.parents[1].glob("output*") for path in folder.rglob("*.png"))
    newest = max(pictures, key=lambda path: path.stat().st_mtime)
    assert json.loads(Picture(newest.read_bytes()).info["diffusion_soup"]) == recipe["recipe"], (newest, saved["info"])
    host.ours("undo")
    host.wait()
    assert "Soup:" not in host.picture().text
    return made.text.splitlines()[-1][-140:]


def missing_files(host: Host) -> str:
    host.plain()
    host.cook(1, 1)
    soup, recipe = host.picture(), host.get("/diffusion-soup/v1/recipe")["recipe"]
    host.choose(host.models[1])
    host.picture(steps=1)
    recipe["ingredients"][1]["file"] = "another/place.safetensors"
    host.ours("cook", recipe=recipe)
    assert host.wait()["state"] == "done", host.status()
    assert host.picture() == soup
    for each in recipe["ingredients"]:
        each.update(file="gone " + each["file"], sha256="0" * 64)
    try:
        host.ours("cook", recipe=recipe)
        raise AssertionError("missing files were taken")
    except Refused as error:
        assert error.status in (404, 422) and "gone" in error.detail, error
        return error.detail[:150]


def other_kinds(host: Host) -> str:
    """A base and a LoRA as an ingredient, block weights, float32, float8."""
    host.plain()
    base = {"file": host.models[0]}
    found = set()
    lora = {"kind": "lora", "file": f"{host.lora}.safetensors", "weight": 1.0, "strength": 0.7}
    for more in ({"dtype": "float32"}, {"dtype": "bfloat16"}, {"vae": "base", "base": base, "text_encoder": "base"},
                 {"text_encoder": "none", "vae": "none"},
                 {"base": base, "method": "task_arithmetic", "normalise": False, "ingredients": [
                     lora, {"file": host.models[1], "weight": 0.5, "blocks": {"IN01": 0.0}}]}):
        host.cook(1, 2, 0.5, **more)
        made = host.picture()
        host.ours("save", name=SAVED, overwrite=True)
        assert host.wait()["state"] == "done", host.status()
        host.post("/sdapi/v1/refresh-checkpoints")
        if more.get("text_encoder") != "none":
            host.choose(f"{SAVED}.safetensors")
            assert host.picture() == made, more
            host.choose(host.models[0])
        found.add(made.pixels)
    host.plain()
    return f"{len(found)} different soups, each as its saved file"


def memory(host: Host) -> str:
    host.plain()
    for number in range(2):
        host.cook(1, 1 + number)
        host.picture(steps=1)
    sampler = Peak(host.process)
    before = host.process.memory_info().rss
    peaks = []
    for number in range(10):
        with sampler:
            host.cook(1, 2 + number, 1 + number % 3)
        peaks.append(sampler.peak - before)
        host.picture(steps=1)
    after = host.process.memory_info().rss
    assert after <= 1.05 * before, f"{before / 1e6:.0f} MB before, {after / 1e6:.0f} MB after"
    assert max(peaks) <= 300e6, f"{max(peaks) / 1e6:.0f} MB above during a cook"
    return f"{before / 1e6:.0f} MB before, {after / 1e6:.0f} MB after ten cooks, {max(peaks) / 1e6:+.0f} MB at the peak"


CHECKS = (equals_the_saved_soup, loras_before_and_after, undo_gives_the_same_pictures, switching_and_back,
          cancel_in_the_middle, second_cook_is_queued, pictures_and_cooks_wait_for_each_other, recipe_in_the_picture,
          missing_files, other_kinds, memory)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--webui", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--models", default="", help="three checkpoints of one family, by comma")
    parser.add_argument("--lora", default="")
    parser.add_argument("checks", nargs="*")
    given = parser.parse_args()
    host = Host(given.webui, given.port, [each for each in given.models.split(",") if each], given.lora)
    failed = 0
    chosen = host.get("/sdapi/v1/options")["sd_model_checkpoint"]
    student = any(Path(each["filename"]).name == real_styles.STUDENT for each in host.get("/sdapi/v1/sd-models"))
    styled = (*real_styles.CHECKS, *real_panoramas.STYLED)
    controlled = real_controlnet.CHECKS if real_controlnet.there(host) else ()
    for check in (*CHECKS, *real_grids.CHECKS, *real_panoramas.CHECKS, *(styled if student else ()), *controlled):
        if given.checks and check.__name__ not in given.checks:
            continue
        begun = time.monotonic()
        try:
            found = f"ok    {check(host)}"
        except Exception as error:
            failed += 1
            found = f"FAIL  {error}"
            traceback.print_exc()
        print(f"{check.__name__:42} {time.monotonic() - begun:6.1f} s  {found}", flush=True)
        for path in host.folder.glob(f"{SAVED}.*"):
            path.unlink()
    host.post("/sdapi/v1/options", sd_model_checkpoint=chosen)
    return failed


if __name__ == "__main__":
    sys.exit(main())
