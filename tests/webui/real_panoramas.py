"""What panoramas are in a real host; run by ``real_host.py``."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .real_host import Host, Picture

WIDE = {"width": 256, "height": 128, "steps": 3}
HIRES = {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "Latent", "denoising_strength": 0.6, "hr_cfg": 4,
         "hr_additional_modules": ["Use same choices"]}


def painted(host: Host, plan: object, **settings: Any) -> Picture:
    return host.picture(**{**WIDE, **settings}, alwayson_scripts={"diffusion soup panorama": {"args": [True, plan]}})


def _difference(one: Picture, other: Picture, columns: slice = slice(None)) -> float:
    """Mean of 0 to 255 over some columns."""
    return float(np.abs(one.array[:, columns] - other.array[:, columns]).mean())


def one_region_is_the_plain_picture(host: Host) -> str:
    host.plain()
    begun = host.picture(**WIDE)
    for more in ({}, {"sampler_name": "DDIM"}, {"sampler_name": "DPM++ 2M Karras"}, HIRES,
                 {"prompt": "a dog AND a cat :0.5"}, {"prompt": f"a dog <lora:{host.lora}:1>"}):
        settings = {key: value for key, value in {**WIDE, **more}.items()
                    if host.forge or key not in ("hr_cfg", "hr_additional_modules")}
        assert painted(host, "", **settings) == host.picture(**settings), more
    assert painted(host, [{"cfg": 7}]) == host.picture(**WIDE, cfg_scale=7)
    tiled = painted(host, {"tile_width": 128, "overlap_x": 64})
    assert tiled != begun and painted(host, "") == begun == host.picture(**WIDE)
    return f"{begun.pixels}, to the bit; in tiles {_difference(begun, tiled):.1f} of 255 away"


def regions_follow_their_prompts(host: Host) -> str:
    left, both, right = (painted(host, plan) for plan in ("a dog | a dog", "a dog | a cat", "a cat | a cat"))
    inner, outer = _difference(left, both, slice(0, 96)), _difference(left, both, slice(160, 256))
    assert inner < outer / 2 and _difference(right, both, slice(160, 256)) < outer / 2, (inner, outer)
    return f"left {inner:.2f}, right {outer:.2f} of 255 where the right prompt alone changed"


def all_around(host: Host) -> str:
    def seam(made: Picture) -> float:
        inside = np.abs(np.diff(made.array, axis=1)).mean()
        return float(np.abs(made.array[:, 0] - made.array[:, -1]).mean() / inside)

    plain, wrapped = host.picture(**{**WIDE, "steps": 6}), painted(host, {"wrap": True, "tile_width": 128}, steps=6)
    assert seam(wrapped) < 1.2 < seam(plain), (seam(wrapped), seam(plain))
    return f"the step at the seam is {seam(wrapped):.2f} of one inside; without wrap {seam(plain):.2f}"


def interrupted_in_the_middle(host: Host) -> str:
    plain, whole = host.picture(**WIDE), painted(host, "a dog | a cat")
    made: list[Picture] = []
    thread = threading.Thread(target=lambda: made.append(painted(host, "a dog | a cat", steps=60)))
    thread.start()
    while (step := host.get("/sdapi/v1/progress?skip_current_image=true")["state"]["sampling_step"]) < 2:
        time.sleep(0.02)
    host.post("/sdapi/v1/interrupt")
    thread.join()
    assert made[0].array.shape == (128, 256, 3)
    assert host.picture(**WIDE) == plain and painted(host, "a dog | a cat") == whole
    return f"after {step} of 60 steps"


def bad_panoramas(host: Host) -> str:
    plain = host.picture(**WIDE)
    for plan, words in (("{", "not JSON"), ([{"width": 64}], "belongs to no region"), ([{"x": 999}], "reaches from"),
                        ([{"prompt": "<lora:a:1>"}], "LoRA"), ([{"prompt": 3}], "write text")):
        try:
            painted(host, plan)
        except Exception as error:
            assert getattr(error, "status", 0) == 422 and words in str(error), error
        else:
            raise AssertionError(f"{plan} was taken")
    assert host.picture(**WIDE) == plain
    return "each a sentence"


CHECKS = (one_region_is_the_plain_picture, regions_follow_their_prompts, all_around, interrupted_in_the_middle,
          bad_panoramas)
