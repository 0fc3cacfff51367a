"""A real host's HTTP API, for the checks in real_*.py: its settings, its pictures, and our routes."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

SETTINGS = {"steps": 2, "width": 64, "height": 64, "seed": 1, "sampler_name": "Euler", "cfg_scale": 4}



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

    def plain(self) -> None:
        """The first checkpoint, freshly chosen."""
        self.choose(self.models[1])
        self.picture(steps=1)
        self.choose(self.models[0])


class Peak:
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
