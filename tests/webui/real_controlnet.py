"""ControlNets under a panorama, in a real host; run by ``real_host.py``.

In A1111 they are sd-webui-controlnet's, in Forge its own. Each model in the host's list is tried with the first of the
checkpoints; one whose name begins with *wide* with the checkpoint called wide.safetensors, of SD 1.5's full width,
which sd-webui-controlnet takes ControlNets for alone.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from .real_panoramas import HIRES, WIDE, difference, painted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .real_client import Host

WIDE_CHECKPOINT = "wide.safetensors"
SIDES = [{"prompt": "a dog", "width": 128}, {"prompt": "a dog", "x": 128, "width": 128}]
NEAR, FAR = slice(0, 96), slice(160, 256)  # the VAE sees across the middle


def hint(left: int, right: int) -> str:
    """A picture of two halves, each a pattern of its own for each number."""
    halves = [np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8) for seed in (left, right)]
    picture = Image.fromarray(np.concatenate(halves, 1)).resize((256, 128), Image.Resampling.NEAREST)
    data = io.BytesIO()
    picture.save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


def unit(host: Host, model: str, picture: str, **more: Any) -> dict[str, Any]:
    """The scripts of a request with one unit. ``model``: of the list, or the name of a preprocessor without one."""
    alone = model.startswith("reference")
    one = {"enabled": True, "module": model if alone else "None" if host.forge else "none",
           "model": "None" if alone else model, "weight": 1.0, "image": picture,
           "resize_mode": "Just Resize", "control_mode": "Balanced", "pixel_perfect": False, "processor_res": 64,
           "guidance_start": 0.0, "guidance_end": 1.0, **more}
    return {"ControlNet": {"args": [one]}}


def kinds(host: Host) -> Iterator[str]:
    """Models and what needs none, each with its checkpoint chosen."""
    for model in sorted(host.get("/controlnet/model_list")["model_list"]):
        if model.casefold() == "none":
            continue
        wide = slow(model)
        if wide and WIDE_CHECKPOINT not in host.titles():
            continue
        host.choose(WIDE_CHECKPOINT if wide else host.models[0])
        yield model
    if WIDE_CHECKPOINT in host.titles() and not host.forge:
        host.choose(WIDE_CHECKPOINT)
        yield "reference_only"
    host.choose(host.models[0])


def each_tile_gets_its_part_of_the_hint(host: Host) -> str:
    """Each half of the canvas follows its own half of the hint, whatever the other is."""
    found = []
    for model in kinds(host):
        plans: list[Any] = [SIDES] if slow(model) else [SIDES, {"tile_width": 128, "overlap_x": 64}]
        for plan in plans:
            # No hint has two equal halves: Reference encodes those once, and has other random numbers from then on.
            both, left, right = (painted(host, plan, unit(host, model, hint(*sides)), **quick(model))
                                 for sides in ((1, 2), (1, 3), (3, 2)))
            pairs = [(difference(both, same, side), difference(both, other, side))
                     for side, same, other in ((NEAR, left, right), (FAR, right, left))]
            assert all(same < other / 2 and other > 0.02 for same, other in pairs), (model, plan, pairs)
            found.append(f"{model.split(' ')[0]}: right hint {max(same for same, _ in pairs):.2f}, wrong hint "
                         f"{min(other for _, other in pairs):.2f}")
    return "; ".join(found) + " (of 255)"


def one_tile_is_the_plain_picture_with_a_hint(host: Host) -> str:
    """Also with hires fix and with a batch; and off leaves nothing behind."""
    found = []
    for model in kinds(host):
        common = {**WIDE, **quick(model)}
        common |= {"width": 128, "height": 64} if slow(model) else {}
        hires = {key: HIRES[key] for key in HIRES if host.forge or key not in ("hr_cfg", "hr_additional_modules")}
        scripts, before = unit(host, model, hint(1, 2)), host.picture(**common)
        for more in ({}, hires) if slow(model) else ({}, hires, {"batch_size": 2}, {"sampler_name": "DPM++ 2M"}):
            settings = {**common, **more}
            plain = host.picture(**settings, alwayson_scripts=scripts)
            assert painted(host, "", scripts, **settings) == plain, (model, more)
            assert plain != before
        assert host.picture(**common) == before, f"{model} stays after it is off"
        found.append(f"{model.split(' ')[0]} {plain.pixels}")
    return ", ".join(found) + ", to the bit"


def slow(model: str) -> bool:
    """Whether it is tried on a checkpoint of full width."""
    return model.startswith(("wide", "reference"))


def quick(model: str) -> dict[str, Any]:
    return {"steps": 1} if slow(model) else {}


CHECKS = (each_tile_gets_its_part_of_the_hint, one_tile_is_the_plain_picture_with_a_hint)


def there(host: Host) -> bool:
    """Whether the host has ControlNets to try."""
    try:
        models = host.get("/controlnet/model_list")["model_list"]
    except Exception:  # no such route
        return False
    return any(each.casefold() != "none" for each in models)
