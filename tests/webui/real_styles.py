"""What DMM styles do in a real host; run by ``real_host.py``, where the host has a checkpoint called student."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .real_client import Host, Picture

STUDENT, PROMPT, NEGATIVE = "student.safetensors", "a red circle", "blurry"


class Styles:
    """A host with the student chosen."""

    def __init__(self, host: Host) -> None:
        host.choose(STUDENT)
        self.host, self.names = host, host.get("/diffusion-soup/v1/styles")["styles"]
        assert len(self.names) >= 2, self.names

    def picture(self, prompt: str = PROMPT, args: list[Any] | None = None, **settings: Any) -> Picture:
        asked = {} if args is None else {"alwayson_scripts": {"DMM styles": {"args": args}}}
        return self.host.picture(prompt, **{"negative_prompt": NEGATIVE, **asked, **settings})

    def from_picture(self, source: str, prompt: str, args: list[Any] | None) -> Picture:
        """img2img."""
        asked = {} if args is None else {"alwayson_scripts": {"DMM styles": {"args": args}}}
        return self.host.picture(prompt, "img2img", init_images=[source], denoising_strength=0.8, **asked)

    def one(self, number: int = 0, **more: Any) -> list[Any]:
        return [{"weights": {self.names[number]: 1}, **more}]

    def tag(self, number: int = 0) -> str:
        return f"<style:{self.names[number]}>"


def _hires(host: Host) -> dict[str, Any]:
    return {"enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Latent", "denoising_strength": 0.7,
            **({"hr_additional_modules": ["Use same choices"], "hr_cfg": 4} if host.forge else {})}


def styles_off_is_off(host: Host) -> str:
    styles = Styles(host)
    plain = styles.picture()
    off = [False, f"{styles.names[0]} = 1"]
    assert styles.picture(args=off) == plain and "DMM" not in plain.text
    styled = styles.picture(args=styles.one())
    assert styled != plain and f"DMM styles: {styles.names[0]} = 1" in styled.text
    assert styles.picture() == plain, "something stayed behind"
    assert styles.picture(args=styles.one(strength=0)) == plain, "strength 0 is not the plain model"
    return f"{plain.pixels}, styled {styled.pixels}"


def one_style_in_every_way(host: Host) -> str:
    styles = Styles(host)
    wanted, first = styles.picture(args=styles.one()), styles.names[0]
    for args in ([True, f"{first} = 1"], [True, f"{first} = 0.3", "after MLP"], styles.one(weights=f"{first} = 2"),
                 styles.one(schedule=[{"at": 1, "easing": "step", "weights": {first: 1}}])):
        assert styles.picture(args=args) == wanted, args
    assert styles.picture(f"{PROMPT}{styles.tag()}") == wanted, "by a tag"
    found = {styles.picture(args=args).pixels for args in (
        styles.one(), styles.one(1), styles.one(strength=0.5), [{"weights": dict.fromkeys(styles.names[:2], 1)}],
        [{"weights": dict.fromkeys(styles.names[:2], 1), "mode": "after MLP"}],
        styles.one(schedule="0.3 step: " + styles.names[1] + " = 1"))}
    assert len(found) == 6, found
    return f"six mixes, six pictures, of {', '.join(styles.names)}"


def parts_have_their_own(host: Host) -> str:
    styles = Styles(host)
    one, other = styles.tag(0), styles.tag(1)
    same = styles.picture(f"{PROMPT}{one} AND a blue square{one} :0.5")
    assert same == styles.picture(f"{PROMPT} AND a blue square :0.5", styles.one())
    assert same.text.startswith(f"{PROMPT}{one} AND"), "the prompt keeps its tags"
    mixed = [styles.picture(f"{PROMPT}{a} AND a blue square{b} :0.5") for a, b in ((one, other), (other, one))]
    words = [styles.picture(f"{PROMPT}{a} AND {PROMPT}{b} :0.5") for a, b in ((one, other), (other, one))]
    assert len({same.pixels, *(each.pixels for each in (*mixed, *words))}) == 5
    negative = styles.picture(args=styles.one(), negative_prompt=f"{NEGATIVE}{other}")
    assert negative != styles.picture(args=styles.one()) and "DMM note" not in negative.text
    assert styles.picture(args=styles.one(), negative_prompt=f"{NEGATIVE}{one}") == styles.picture(args=styles.one())
    long = styles.picture(f"{PROMPT}{one}" + ", very long" * 60 + f" AND a blue square{other}")
    assert "DMM note" not in long.text, "prompts of two lengths"
    return f"{mixed[0].pixels} and the other way round {mixed[1].pixels}"


def batches_hires_and_img2img(host: Host) -> str:
    styles = Styles(host)
    tagged = f"{PROMPT}{styles.tag()}"
    for settings in ({"batch_size": 2}, {"n_iter": 2}, _hires(host)):
        plain, by_name = styles.picture(**settings), styles.picture(args=styles.one(), **settings)
        assert plain != by_name and by_name == styles.picture(tagged, **settings), settings
    second = styles.picture(hr_prompt=f"{PROMPT}{styles.tag()}", **_hires(host))
    assert second not in (styles.picture(**_hires(host)), styles.picture(tagged, **_hires(host)))
    source = base64.b64encode(styles.picture().data).decode()
    made = [styles.from_picture(source, *asked) for asked in ((PROMPT, None), (PROMPT, styles.one()), (tagged, None))]
    assert made[0] != made[1] == made[2]
    return "by name as by tag, first pass and second apart"


def pasted_parameters(host: Host) -> str:
    styles = Styles(host)
    made = styles.picture(args=[{
        "weights": {styles.names[0]: 0.5, styles.names[1]: 0.7}, "mode": "after MLP", "strength": 0.8,
        "normalise": False, "extrapolate": True, "schedule": f"0.4 smooth: {styles.names[1]} = -1"}])
    named = {"hr_additional_modules": ["Use same choices"], "styles": []} if host.forge else {}  # it cannot read lists
    again = host.post("/sdapi/v1/txt2img", infotext=made.text, **named)
    assert type(made)(base64.b64decode(again["images"][0])) == made, "the pasted parameters make another picture"
    return made.text.splitlines()[-1]


def where_there_are_no_styles(host: Host) -> str:
    styles = Styles(host)
    host.choose(host.models[0])
    assert host.get("/diffusion-soup/v1/styles")["styles"] == []
    plain, asked = styles.picture(), styles.picture(args=styles.one())
    assert plain == asked and "no DMM student" in asked.text and "DMM styles" not in asked.text
    host.ours("cook", recipe={"diffusion_soup": 1, "ingredients": [{"file": STUDENT}, {"file": host.models[0]}]})
    assert host.wait()["state"] == "done", host.status()
    assert host.get("/diffusion-soup/v1/styles")["styles"] == styles.names
    assert styles.picture() != styles.picture(args=styles.one()), "a soup with a student has its styles"
    host.ours("undo")
    host.wait()
    assert styles.picture() == plain
    return asked.text.splitlines()[-1][-120:]


CHECKS = (styles_off_is_off, one_style_in_every_way, parts_have_their_own, batches_hires_and_img2img,
          pasted_parameters, where_there_are_no_styles)
