"""Drives an installed A1111 or Forge with this extension, through HTTP alone, and says what it found.

    python -m tests.webui.real_host --webui PATH --port N [--models a,b,c] [--lora NAME] [CHECK ...]

The WebUI must be running (with --api) and have three checkpoints of one family and a LoRA for it; for styles, a DMM
student called student.safetensors too. Files are made in and removed from its checkpoint folder.
Prints a line a check, and exits with the number of checks that failed.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import io
import json
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from . import real_panoramas, real_styles

SETTINGS = {"steps": 2, "width": 64, "height": 64, "seed": 1, "sampler_name": "Euler", "cfg_scale": 4}
SAVED, SHARE, STYLE = "real host soup", "[Soup] Share", "[Soup] Style weight"


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status, self.detail = status, detail


class Picture:
    """A picture's pixels by their hash, and what it says about itself."""

    def __init__(self, data: bytes) -> None:
        with Image.open(io.BytesIO(data)) as image:
            self.info = dict(image.info)
            image = image.convert("RGB")
            self.array = np.asarray(image).astype(int)
            self.pixels = hashlib.sha256(image.tobytes()).hexdigest()[:12]
            self.flat = len(set(image.resize((16, 16)).tobytes())) < 4
        self.text = self.info.get("parameters", "")
        self.data = data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Picture) and self.pixels == other.pixels


class Host:
    def __init__(self, folder: Path, port: int, models: list[str], lora: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.folder = folder / "models" / "Stable-diffusion"
        self.process = next(psutil.Process(each.pid) for each in psutil.net_connections("tcp")
                            if each.laddr.port == port and each.status == psutil.CONN_LISTEN)
        self.models = models or [each["filename"] for each in self.get("/sdapi/v1/sd-models")][:3]
        self.models = [Path(each).name for each in self.models]
        self.lora = lora or self.get("/sdapi/v1/loras")[0]["name"]
        self.forge = "forge_preset" in self.get("/sdapi/v1/options")

    def get(self, path: str) -> Any:
        return self._ask(urllib.request.Request(self.url + path))

    def post(self, path: str, **body: Any) -> Any:
        return self._ask(urllib.request.Request(self.url + path, json.dumps(body).encode(),
                                                {"Content-Type": "application/json"}))

    def _ask(self, request: urllib.request.Request) -> Any:
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            with contextlib.suppress(ValueError):
                answer = json.loads(text)
                text = answer.get("detail") or answer.get("errors") or text
            raise Refused(error.code, str(text)) from None

    def ours(self, verb: str, **body: Any) -> Any:
        return self.post(f"/diffusion-soup/v1/{verb}", **body)

    def status(self) -> Any:
        return self.get("/diffusion-soup/v1/status")

    def picture(self, prompt: str = "a red circle", verb: str = "txt2img", **settings: Any) -> Picture:
        answer = self.post(f"/sdapi/v1/{verb}", prompt=prompt, **{**SETTINGS, **settings})
        made = Picture(base64.b64decode(answer["images"][0]))
        assert not made.flat, "the picture is uniform; nothing can be told from it"
        return made

    def pictures(self) -> list[Picture]:
        """Without and with a LoRA, and without again: a LoRA that stays shows in the last."""
        return [self.picture(), self.picture(f"a red circle <lora:{self.lora}:1>"), self.picture()]

    def titles(self) -> dict[str, str]:
        return {Path(each["filename"]).name: each["title"] for each in self.get("/sdapi/v1/sd-models")}

    def choose(self, name: str) -> None:
        self.post("/sdapi/v1/options", sd_model_checkpoint=self.titles()[name])

    def wait(self) -> Any:
        while (status := self.status())["state"] in ("queued", "cooking"):
            time.sleep(0.05)
        return status

    def cook(self, *shares: float, **more: Any) -> Any:
        self.ours("cook", recipe=self.recipe(*shares, **more))
        status = self.wait()
        assert status["state"] == "done", status
        return status

    def recipe(self, *shares: float, **more: Any) -> dict[str, Any]:
        return {"diffusion_soup": 1, "ingredients": [{"file": file, "weight": share} for file, share
                                                     in zip(self.models, shares)], "text_encoder": "soup",
                "vae": "soup", **more}

    def cooks(self) -> int:
        """How many cooks the log counts."""
        return sum(entry["count"] for entry in self.get("/diffusion-soup/v1/log")["entries"])

    def grid(self, *axes: tuple[str, str], **settings: Any) -> list[Picture]:
        """The single pictures of a grid with these axes; the whole stays in ``sheet``."""
        info = next(each for each in self.get("/sdapi/v1/script-info") if each["name"] == "x/y/z plot"
                    and not each["is_img2img"])
        labels = info["args"][0]["choices"]
        axes = (*axes, *[("Nothing", "")] * (3 - len(axes)))
        args = [part for label, values in axes for part in (labels.index(label), values, [])]
        answer = self.post("/sdapi/v1/txt2img", prompt="a red circle", script_name="x/y/z plot", script_args=[
            *args, True, True, False, False, False, False, False, 0, True], **{**SETTINGS, **settings})
        self.sheet, *images = [Picture(base64.b64decode(each)) for each in answer["images"]]
        return images

    def plain(self) -> None:
        """The first checkpoint, freshly chosen."""
        self.choose(self.models[1])
        self.picture(steps=1)
        self.choose(self.models[0])


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
    sampler = _Peak(host.process)
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


def grids(host: Host) -> str:
    """Every cell is the soup that it says, cooked once; the model before is back, and memory as it was."""
    host.plain()
    checkpoint = host.picture()
    host.cook(1, 1, 1)
    soup = host.picture()
    first, second = (Path(name).stem for name in host.models[1:])
    axes = (SHARE, f"{first}: 0, 0.5, 2"), (SHARE, f"{second}: 25%, 60%"), ("Seed", "1, 2")
    host.grid(*axes[:2])  # all is in memory that stays there
    before, cooks = host.process.memory_info().rss, host.cooks()
    sampler = _Peak(host.process)
    with sampler:
        images = host.grid(*axes)
    cooked = host.cooks() - cooks
    assert host.picture() == soup and host.status()["in_use"] in soup.text, "the soup in use is another after a grid"
    after = host.process.memory_info().rss
    assert cooked == 6 and len(images) == 12, (cooked, len(images))
    assert len({image.pixels for image in images}) == 12
    for at, image in enumerate(images):
        recipe = json.loads(image.info["diffusion_soup"])
        share = (0, 0.5, 2)[at % 3]
        part = (0.25, 0.6)[at // 3 % 2]
        wanted = [1, share, part * (1 + share) / (1 - part)]
        found = [each["weight"] for each in recipe["ingredients"]]
        assert all(abs(one - other) < 1e-9 for one, other in zip(found, wanted)), (at, found, wanted)
        if at % 4 == 1:
            host.ours("cook", recipe=recipe)
            assert host.wait()["state"] == "done", host.status()
            again = host.picture(seed=1 + at // 6)
            assert again == image, f"cell {at} is not the picture of its recipe"
            assert f"Soup: {host.status()['in_use']}" in image.text, image.text
            host.ours("undo")
            assert host.wait()["state"] == "done", host.status()
    host.ours("undo")
    host.wait()
    assert host.picture() == checkpoint
    for axis, sentence in (((SHARE, "ghost: 1"), "is not in this soup"), ((SHARE, f"{first}: x"), "is not a value"),
                           ((SHARE, ""), "needs values")):
        host.cook(1, 1, 1)
        try:
            host.grid(axis)
            raise AssertionError(f"{axis} was taken")
        except Refused as error:
            # With a newer server than its own, the host's API tells of the group of errors, not of the one in it.
            assert sentence in error.detail or "TaskGroup" in error.detail, error.detail
    assert host.picture() == soup
    thread = threading.Thread(target=lambda: host.grid(*axes, steps=30))
    thread.start()
    while host.get("/sdapi/v1/progress?skip_current_image=true")["state"]["job_no"] < 2:
        time.sleep(0.05)
    host.post("/sdapi/v1/interrupt")
    thread.join()
    assert host.picture() == soup, "the soup in use is another after a grid that was stopped"
    host.plain()
    assert host.picture() == checkpoint
    assert after <= 1.05 * before, f"{before / 1e6:.0f} MB before, {after / 1e6:.0f} MB after"
    return (f"{cooked} cooks for {len(images)} pictures, {before / 1e6:.0f} MB before, {after / 1e6:.0f} MB after, "
            f"{(sampler.peak - before) / 1e6:+.0f} MB at the peak")


def grid_of_styles(host: Host) -> str:
    """A student among the checkpoints: each cell is the picture of its style alone."""
    student = next((name for name in sorted(host.titles()) if "student" in name), None)
    if student is None:
        return "left out: no checkpoint is called student"
    host.choose(student)
    plain = host.picture()
    first, second, *_ = host.get("/diffusion-soup/v1/styles")["styles"]
    images = host.grid((STYLE, f"{first}: 0, 0.5, 1"), (STYLE, f"{second}: 0, 100%"))
    assert len({image.pixels for image in images}) == 6 and images[0] == plain
    both = f"{first} = 1, {second} = 1"
    for at, weights, strength in ((1, f"{first} = 0.5", 0.5), (3, f"{second} = 1", 1), (5, both, 1)):
        styled = host.picture(alwayson_scripts={"DMM styles": {"args": [{"weights": weights, "strength": strength}]}})
        assert styled == images[at] and f"{second} = " in images[at].text, (at, weights, images[at].text)
    host.plain()
    return images[1].text.splitlines()[-1][-140:]


class _Peak:
    """The largest resident size while inside."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.peak = 0

    def __enter__(self) -> None:
        self.peak, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.peak = max(self.peak, self._process.memory_info().rss)


CHECKS = (equals_the_saved_soup, loras_before_and_after, undo_gives_the_same_pictures, switching_and_back,
          cancel_in_the_middle, second_cook_is_queued, pictures_and_cooks_wait_for_each_other, recipe_in_the_picture,
          missing_files, other_kinds, grids, grid_of_styles, memory)


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
    for check in (*CHECKS, *real_panoramas.CHECKS, *(styled if student else ())):
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
