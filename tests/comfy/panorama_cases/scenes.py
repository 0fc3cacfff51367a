"""Everything that may be on a region, each over a canvas of two pictures, 3 x 64 by 64 px, or over a part of it.

A scene is a function of (side, here, on): side 0 or 1 tells two regions' prompts apart; ``here`` is the slice of the
latents' columns that is seen; without ``on``, the scene lacks what it is about.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from .studio import Studio

COLUMNS, ROWS, BATCH = 24, 8, 2
WHOLE = slice(0, COLUMNS)


@dataclass(frozen=True)
class Shot:
    """What is sampled; ``own``: what a region has besides prompts."""

    model: object
    positive: list
    negative: list
    own: dict = field(default_factory=dict)


Scene = Callable[[int, slice, bool], Shot]


def pixels(here: slice) -> slice:
    return slice(8 * here.start, 8 * here.stop)


def plain(studio: Studio) -> Scene:
    model, texts = studio.load("clay"), [(studio.text(), studio.text()) for _ in range(2)]
    return lambda side, here, on: Shot(model, *texts[side])


def sdxl(studio: Studio) -> Scene:
    model = studio.load("xl1")
    texts = [[studio.text(2048, pooled=True) for _ in range(2)] for _ in range(2)]
    return lambda side, here, on: Shot(model, *texts[side])


def tokens(studio: Studio) -> Scene:
    """One side's text is twice as long."""
    model, texts = studio.load("clay"), [(studio.text(tokens=8 * (side + 1)), studio.text()) for side in range(2)]
    return lambda side, here, on: Shot(model, texts[side][0] if on else [[texts[side][0][0][0][:, :8], {}]],
                                       texts[side][1])


def several(studio: Studio) -> Scene:
    """Three prompts: one with a text for each picture, one masked for each, one for the first part of the sampling."""
    model, texts = studio.load("clay"), [[studio.text() for _ in range(4)] for _ in range(2)]
    mask, others = studio.random(BATCH, ROWS, COLUMNS), [studio.text() for _ in range(2)]

    def scene(side, here, on):
        first, second, third, negative = (text[0][0] for text in texts[side])
        first = torch.cat([first, others[side][0][0]])
        masked = {"mask": mask[..., here], "mask_strength": .7, "strength": .5}
        return Shot(model, [[first, {}], [second, masked], [third, {"start_percent": 0.0, "end_percent": .5}]][
            :3 if on else 1], [[negative, {}]])

    return scene


def default(studio: Studio) -> Scene:
    """A masked prompt, and one that takes what it leaves (Cond Set Default Combine)."""
    import comfy.hooks
    model, texts = studio.load("clay"), [[studio.text() for _ in range(3)] for _ in range(2)]
    mask = studio.random(1, ROWS, COLUMNS)

    def scene(side, here, on):
        first, second, negative = texts[side]
        masked = [[first[0][0], {"mask": mask[..., here], "mask_strength": 1.0}]]
        both = comfy.hooks.set_default_conds_and_combine([masked], [second])[0] if on else masked
        return Shot(model, both, negative)

    return scene


def models(studio: Studio) -> Scene:
    """One side has another checkpoint."""
    texts = [(studio.text(), studio.text()) for _ in range(2)]
    other = {"model": studio.load("neon")}
    return lambda side, here, on: Shot(studio.load("clay"), *texts[side], other if side and on else {})


def _strengths(studio: Studio, model, *strengths: float) -> list:
    """Clones of a MODEL with a LoRA once, twice, ..."""
    import comfy.sd
    lora, made = studio.file("loras/comic"), []
    for strength in strengths:
        model = comfy.sd.load_lora_for_models(model, None, lora, strength, 0)[0]
        made.append(model)
    return made


def loras(studio: Studio) -> Scene:
    """The canvas has a LoRA; one side the same checkpoint without, the other one with a second LoRA."""
    bare, texts = studio.load("clay"), [(studio.text(), studio.text()) for _ in range(2)]
    once, twice = _strengths(studio, bare, .8, -.3)
    return lambda side, here, on: Shot(once, *texts[side], {"model": (bare, twice)[side]} if on else {})


def two_clones(studio: Studio) -> Scene:
    """Both sides have a second checkpoint, with different LoRAs: its weights are loaded once."""
    model, other = studio.load("clay"), studio.load("neon")
    texts = [(studio.text(), studio.text()) for _ in range(2)]
    (one,), (two,) = _strengths(studio, other, .9), _strengths(studio, other, -.7)
    return lambda side, here, on: Shot(model, *texts[side], {"model": (one, two)[side] if on else other})


def hooks(studio: Studio) -> Scene:
    """One side's prompts carry a LoRA."""
    import comfy.hooks
    model, texts = studio.load("clay"), [(studio.text(), studio.text()) for _ in range(2)]
    hooked = comfy.hooks.create_hook_lora(studio.file("loras/comic"), .9, 0.0)
    return lambda side, here, on: Shot(model, *(
        comfy.hooks.set_hooks_for_conditioning(text, hooked) if side and on else text for text in texts[side]))


def styles(studio: Studio) -> Scene:
    """Each side has a style of a student."""
    dmm = importlib.import_module("pack.diffusion_soup.dmm")
    with dmm.open_student(studio.models / "checkpoints/demo-student.safetensors") as student:
        codebook = student.codebook
    model, texts = studio.load("demo-student"), [(studio.text(), studio.text()) for _ in range(2)]
    mixed = [dmm.Style.of(codebook, dmm.StyleMix({name: 1.0}, "paper")) for name in ("clay", "comic")]
    return lambda side, here, on: Shot(model, *texts[side], {"style": mixed[side]} if on else {})


def inpainting(studio: Studio) -> Scene:
    """A model with nine channels sees a picture and a mask."""
    model, texts = studio.load("inpainting"), [(studio.text(), studio.text()) for _ in range(2)]
    picture, mask = studio.noise(1, 4, ROWS, COLUMNS), studio.random(1, 1, 8 * ROWS, 8 * COLUMNS).round()

    def scene(side, here, on):
        seen = {"concat_latent_image": picture[..., here] * on, "concat_mask": mask[..., pixels(here)] * on}
        return Shot(model, *([[text, seen] for text, _ in each] for each in texts[side]))

    return scene


# -- ControlNets ----------------------------------------------------------------------------------


def _controlled(studio: Studio, make: Callable[[int, slice], object]) -> Scene:
    """``make``: the ControlNet of a side over a part of the canvas."""
    model, texts = studio.load("clay"), [(studio.text(), studio.text()) for _ in range(2)]

    def scene(side, here, on):
        values = {"control": make(side, here), "control_apply_to_uncond": False} if on else {}
        return Shot(model, *([[text, values] for text, _ in each] for each in texts[side]))

    return scene


def ridge(studio: Studio):
    import comfy.controlnet
    return comfy.controlnet.load_controlnet(str(studio.models / "controlnet/shapes.safetensors"))


def _hint(studio: Studio) -> torch.Tensor:
    """A picture over the canvas for each picture that is made."""
    return studio.random(BATCH, 3, 8 * ROWS, 8 * COLUMNS)


def control(studio: Studio) -> Scene:
    network, hint = ridge(studio), _hint(studio)
    return _controlled(studio, lambda side, here: network.copy().set_cond_hint(hint[..., pixels(here)], 1.0, (0.0, .8)))


def region_control(studio: Studio) -> Scene:
    """Each side has a picture of its own, as large as that side."""
    network, hint = ridge(studio), _hint(studio)
    return _controlled(studio, lambda side, here: network.copy().set_cond_hint(
        hint[..., 4 * COLUMNS * side:4 * COLUMNS * (side + 1)]))


def chained(studio: Studio) -> Scene:
    """Two ControlNets, one after the other."""
    network, hints = ridge(studio), [_hint(studio) for _ in range(2)]

    def make(side, here):
        one, two = (network.copy().set_cond_hint(hint[..., pixels(here)], strength)
                    for hint, strength in zip(hints, (1.0, .6)))
        return two.set_previous_controlnet(one)

    return _controlled(studio, make)


def control_lora(studio: Studio) -> Scene:
    """A ControlNet made of the UNet's own weights and a few more."""
    from comfy.controlnet import ControlLora
    weights = {key.removeprefix("control_model."): tensor for key, tensor in studio.file("controlnet/shapes").items()
               if any(part in key for part in ("input_hint", "zero_conv", "middle_block_out"))}
    hint = _hint(studio)
    scene = _controlled(studio, lambda side, here: ControlLora(weights).set_cond_hint(hint[..., pixels(here)]))

    def of_its_model(side, here, on):
        """The other side's checkpoint is another one, and its weights make the ControlNet."""
        shot = scene(side, here, on)
        return Shot(shot.model, shot.positive, shot.negative, {"model": studio.load("neon")} if side else {})

    return of_its_model


def t2i_adapter(studio: Studio) -> Scene:
    from comfy.controlnet import T2IAdapter
    from comfy.t2i_adapter.adapter import Adapter
    network, hint = Adapter([320], 2, 3 * 64, ksize=1, sk=True, use_conv=False, xl=False), _hint(studio)
    for weight in network.parameters():
        weight.copy_(studio.noise(*weight.shape) * weight[0].numel() ** -.5)
    return _controlled(studio, lambda side, here: T2IAdapter(network, 3, 8, "nearest-exact").set_cond_hint(
        hint[..., pixels(here)]))


def masked_control(studio: Studio) -> Scene:
    """Advanced-ControlNet: a mask on the ControlNet and one on a keyframe, one of them coarse."""
    from .stand_ins import MaskedControl
    network, hint = ridge(studio), _hint(studio)
    own, frame = studio.random(BATCH, 8 * ROWS, 8 * COLUMNS), studio.random(1, 8 * ROWS, 8 * COLUMNS)
    return _controlled(studio, lambda side, here: MaskedControl(
        network.copy().set_cond_hint(hint[..., pixels(here)]), own[..., pixels(here)], [frame[..., pixels(here)]]))


def control_mask_alone(studio: Studio) -> Scene:
    """What the masks of Advanced-ControlNet change: without, the ControlNet counts everywhere."""
    from .stand_ins import MaskedControl
    model, texts = studio.load("clay"), [(studio.text(), studio.text()) for _ in range(2)]
    network, hint, mask = ridge(studio), _hint(studio), studio.random(1, 8 * ROWS, 8 * COLUMNS).round()

    def scene(side, here, on):
        made = MaskedControl(network.copy().set_cond_hint(hint[..., pixels(here)]),
                             mask[..., pixels(here)] if on else None)
        return Shot(model, *([[text, {"control": made, "control_apply_to_uncond": False}] for text, _ in each]
                             for each in texts[side]))

    return scene


# -- attention ------------------------------------------------------------------------------------


def _attending(studio: Studio, made: Callable[[slice, bool], dict]) -> Scene:
    """``made``: what else the picture's attention takes over a part of the canvas; without ``on`` no mask."""
    from .stand_ins import attending
    bare, texts = studio.load("clay"), [(studio.text(), studio.text()) for _ in range(2)]

    def scene(side, here, on):
        picture = made(here, on)
        masks = picture.pop("masks", ())
        return Shot(attending(bare, picture, masks=masks), *texts[side])

    return scene


def attention(studio: Studio) -> Scene:
    """IP-Adapter with a mask for each picture."""
    cond, uncond = studio.noise(1, 4, 768), studio.noise(1, 4, 768)
    mask = studio.random(BATCH, 8 * ROWS, 8 * COLUMNS)
    return _attending(studio, lambda here, on: {"cond": cond, "uncond": uncond, "weight": .8,
                                                "mask": mask[..., pixels(here)] if on else None})


def unfolded_attention(studio: Studio) -> Scene:
    """IP-Adapter with another picture and weight for each picture of the batch."""
    cond, uncond, mask = studio.noise(2, 4, 768), studio.noise(2, 4, 768), studio.random(1, 8 * ROWS, 8 * COLUMNS)
    weight = torch.tensor([.4, 1.2])
    return _attending(studio, lambda here, on: {"cond": cond if on else cond[:1], "uncond": uncond, "weight": weight,
                                                "mask": mask[..., pixels(here)], "unfold_batch": True})


def own_attention(studio: Studio) -> Scene:
    """One side's MODEL looks at a picture; it is a clone of the canvas's, so nothing but its patches differ."""
    from .stand_ins import attending
    model, texts = studio.load("clay"), [(studio.text(), studio.text()) for _ in range(2)]
    picture, mask = {"cond": studio.noise(1, 4, 768), "uncond": studio.noise(1, 4, 768)}, studio.random(
        1, 8 * ROWS, 8 * COLUMNS)
    return lambda side, here, on: Shot(model, *texts[side], {
        "model": attending(model, {**picture, "mask": mask[..., pixels(here)]})} if side and on else {})


def older_attention(studio: Studio) -> Scene:
    """IP-Adapter as it was: masks apart."""
    cond, uncond, mask = studio.noise(1, 4, 768), studio.noise(1, 4, 768), studio.random(1, 8 * ROWS, 8 * COLUMNS)
    return _attending(studio, lambda here, on: {
        "cond": cond, "uncond": uncond, "masks": [mask[..., pixels(here)] if on else torch.ones_like(mask[:, :8, :8])]})


#: Of these, each side is a region of its own.
SIDES = {"plain": plain, "sdxl": sdxl, "tokens": tokens, "several prompts": several, "models": models, "loras": loras,
         "two clones of a second checkpoint": two_clones, "hooks": hooks, "styles": styles, "control": control,
         "control lora": control_lora, "control over the region": region_control,
         "mask of a control": control_mask_alone, "attention": attention, "attention of its own": own_attention}
#: Of these, one region is cut into tiles.
TILED = {"several prompts": several, "default prompt": default, "inpainting": inpainting, "control": control,
         "chained controls": chained, "control lora": control_lora, "t2i adapter": t2i_adapter,
         "masked control": masked_control, "attention": attention, "unfolded attention": unfolded_attention,
         "older attention": older_attention}
