"""What panoramas are in a real host; run by ``real_host.py``."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from .real_styles import Styles

if TYPE_CHECKING:
    from .real_client import Host, Picture

WIDE = {"width": 256, "height": 128, "steps": 3}
HIRES = {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "Latent", "denoising_strength": 0.6, "hr_cfg": 4,
         "hr_additional_modules": ["Use same choices"]}


def painted(host: Host, plan: object, scripts: dict[str, Any] | None = None, **settings: Any) -> Picture:
    ours = {"diffusion soup panorama": {"args": [True, plan]}}
    return host.picture(**{**WIDE, **settings}, alwayson_scripts={**ours, **(scripts or {})})


def section(name: str) -> dict[str, Any]:
    """The whole picture in a style, by the styles script."""
    return {"scripts": {"DMM styles": {"args": [{"weights": {name: 1}}]}}}


def difference(one: Picture, other: Picture, columns: slice = slice(None)) -> float:
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
    return f"{begun.pixels}, to the bit; in tiles {difference(begun, tiled):.1f} of 255 away"


def regions_follow_their_prompts(host: Host) -> str:
    left, both, right = (painted(host, plan) for plan in ("a dog | a dog", "a dog | a cat", "a cat | a cat"))
    inner, outer = difference(left, both, slice(0, 96)), difference(left, both, slice(160, 256))
    assert inner < outer / 2 and difference(right, both, slice(160, 256)) < outer / 2, (inner, outer)
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
        _refused(host, plan, words)
    assert host.picture(**WIDE) == plain
    return "each a sentence"


def _refused(host: Host, plan: object, words: str) -> None:
    try:
        painted(host, plan)
    except Exception as error:
        assert getattr(error, "status", 0) == 422 and words in str(error), error
    else:
        raise AssertionError(f"{plan} was taken")


def regions_in_their_styles(host: Host) -> str:
    """Where the host has a student."""
    styles = Styles(host)
    names = styles.names[:2]
    left, right = {"name": "left", "width": 128}, {"name": "right", "x": 128, "width": 128}
    one, other = ([{**side, "style": {name: 1}} for side in (left, right)] for name in names)
    both, turned, plain, *whole = [painted(host, plan) for plan in (
        [one[0], other[1]], [other[0], one[1]], [left, right], one, other)]
    found = []
    for made, (first, second) in ((both, whole), (turned, whole[::-1])):
        near, far = slice(0, 96), slice(160, 256)
        for side, same, another in ((near, first, second), (far, second, first)):
            found.append((difference(made, same, side), difference(made, another, side)))
            assert found[-1][0] < found[-1][1] / 2, found  # the VAE sees both sides
    assert plain not in (*whole, both, turned) and both != turned
    assert painted(host, [left, {**right, "style": {names[0]: 1}}], **section(names[1])) == turned, "innermost counts"
    assert painted(host, [left, right], **section(names[0])) == whole[0], "the picture's own, in each region"
    host.choose(host.models[0])
    for plan, words in ((one, "no DMM student"), ([{"prompt": "a <style:ink>"}], "a field of its own")):
        _refused(host, plan, words)
    return ", ".join(f"{same:.2f}" for same, _ in found) + " of 255 from a panorama wholly in that style, from the " \
        "other " + ", ".join(f"{another:.2f}" for _, another in found)


def one_style_over_all_is_the_plain_picture_in_it(host: Host) -> str:
    """Where the host has a student: by a region, by the section and by tags, in one tile and in many."""
    styles = Styles(host)
    name, another = styles.names[:2]
    wanted = host.picture(**WIDE, **_by_section(name))
    assert wanted != host.picture(**WIDE)
    made = painted(host, [{"style": {name: 1}}])
    assert made == wanted == painted(host, "", **section(name))
    assert made.text.count("DMM") == 0 and '"style"' in made.text.replace("\\", ""), made.text
    assert painted(host, [{"style": {name: 1}}], **section(another)) == wanted
    tag, more = styles.tag(0), {key: HIRES[key] for key in HIRES if host.forge or key not in (
        "hr_cfg", "hr_additional_modules")}
    for settings in (more, {"batch_size": 2}, {"sampler_name": "DPM++ 2M Karras"}):
        assert painted(host, [{"style": {name: 1}}], **settings) == \
            host.picture(**{**WIDE, **settings}, **_by_section(name)), settings
    for settings in ({"prompt": f"a dog{tag}"}, {"prompt": f"a dog{tag} AND a cat{styles.tag(1)} :0.5"}):
        by_tag = painted(host, "", **settings)
        assert by_tag == host.picture(**WIDE, **settings) and "DMM note" not in by_tag.text, by_tag.text
    tiled = {"tile_width": 128, "overlap_x": 64}
    assert painted(host, tiled, prompt=f"a dog{tag}") == painted(host, tiled, prompt="a dog", **section(name))
    parts = painted(host, tiled, prompt=f"a dog{tag} AND a cat{styles.tag(1)}")
    assert "DMM note" not in parts.text and parts != painted(host, tiled, prompt="a dog AND a cat")
    return f"{wanted.pixels}, to the bit"


def _by_section(name: str) -> dict[str, Any]:
    return {"alwayson_scripts": section(name)["scripts"]}


CHECKS = (one_region_is_the_plain_picture, regions_follow_their_prompts, all_around, interrupted_in_the_middle,
          bad_panoramas)
STYLED = (regions_in_their_styles, one_style_over_all_is_the_plain_picture_in_it)
