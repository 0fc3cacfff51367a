"""Two regions side by side are what two pictures of their own are: with whatever regions and prompts may have."""

import numpy as np
import pytest

from .panorama_graphs import SEEDS, SIDE, Prompts, Scene, assert_halves, close, differs, latents


@pytest.fixture(scope="module")
def plain(comfy):
    """The canvas with plain prompts, against which others are seen to differ."""
    graph = Scene()
    base = graph.checkpoint()
    prompts = graph.prompts(base[1])
    graph.keep(graph.sampled(graph.halves(base[0], prompts)))
    graph.alone([base[0]] * 2, prompts)
    return assert_halves(comfy, graph)


def test_prompts(plain):
    assert plain.shape == (1, 4, SIDE // 8, SIDE // 4)


def test_one_region_is_the_plain_picture(comfy):
    """A region over the whole canvas changes nothing, to the bit; nor does tiling what is one tile."""
    graph = Scene()
    base = graph.checkpoint()
    prompt = graph.prompts(base[1])[0]
    panorama = graph.panorama(base[0], graph.region(graph.canvas(SIDE, SIDE), prompt.positive), prompt.negative)
    graph.keep(graph.sampled(panorama))
    graph.keep(graph.steps(base[0], prompt))
    graph.keep(graph.steps(graph("DSoupPanoramaTile", model=base[0])[0], prompt))
    one, alone, tiled = latents(comfy, graph)
    assert np.array_equal(one, alone) and np.array_equal(tiled, alone)


@pytest.mark.parametrize("file", ("shapes", "sketch"))
def test_controlnet_over_the_canvas(comfy, plain, file):
    """A ControlNet or T2I adapter on what Panorama hands out: each half sees its part of the hint."""
    graph = Scene()
    base, hint = graph.checkpoint(), graph.picture()[0]
    prompts = graph.prompts(base[1])
    panorama = graph.halves(base[0], prompts)
    graph.keep(graph.steps(panorama[0], graph.controlled((panorama[1], panorama[2]), hint, file), panorama[3]))
    graph.alone([base[0]] * 2, [graph.controlled(prompts[half], graph.cropped(hint, half), file) for half in (0, 1)])
    assert differs(assert_halves(comfy, graph), plain)


def test_controlnet_on_each_region(comfy, plain):
    """One region has its part of the hint, the other has it as large as the canvas."""
    graph = Scene()
    base, hint = graph.checkpoint(), graph.picture()[0]
    prompts = graph.prompts(base[1])
    cut = [graph.controlled(prompts[half], graph.cropped(hint, half)) for half in (0, 1)]
    graph.keep(graph.sampled(graph.halves(base[0], (cut[0], graph.controlled(prompts[1], hint)))))
    graph.alone([base[0]] * 2, cut)
    assert differs(assert_halves(comfy, graph), plain)


@pytest.mark.parametrize("regions", ((1,), (0, 1)))
def test_old_controlnet_node(comfy, plain, regions):
    """On the positive prompt of one region or of both, it counts for the negative prompt of that region alone."""
    graph = Scene()
    base, hint = graph.checkpoint(), graph.picture()[0]
    network = graph("ControlNetLoader", control_net_name="shapes.safetensors")[0]
    prompts = [Prompts(graph("ControlNetApply", conditioning=prompt.positive, control_net=network,
                             image=graph.cropped(hint, half), strength=1.0)[0], prompt.negative)
               if half in regions else prompt for half, prompt in enumerate(graph.prompts(base[1]))]
    graph.keep(graph.sampled(graph.halves(base[0], prompts)))
    graph.alone([base[0]] * 2, prompts)
    assert differs(assert_halves(comfy, graph), plain)


def test_old_controlnet_node_over_the_canvas(comfy, plain):
    graph = Scene()
    base, hint = graph.checkpoint(), graph.picture()[0]
    network = graph("ControlNetLoader", control_net_name="shapes.safetensors")[0]

    def held(positive, image):
        return graph("ControlNetApply", conditioning=positive, control_net=network, image=image, strength=1.0)[0]

    prompts = graph.prompts(base[1])
    panorama = graph.halves(base[0], prompts)
    graph.keep(graph.steps(panorama[0], (held(panorama[1], hint), panorama[2]), panorama[3]))
    graph.alone([base[0]] * 2, [(held(prompts[half].positive, graph.cropped(hint, half)), prompts[half].negative)
                                for half in (0, 1)])
    assert differs(assert_halves(comfy, graph), plain)


@pytest.mark.parametrize("way", ("text encoder", "conditioning", "pair"))
def test_lora_hooks(comfy, plain, way):
    """A LoRA on the right half alone, by each of ComfyUI's ways to put a hook on prompts."""
    graph = Scene()
    base = graph.checkpoint()
    hooks = graph("CreateHookLora", lora_name="comic.safetensors", strength_model=0.8, strength_clip=0.8)[0]
    left, right = graph.prompts(base[1])
    more = {"strength": 1.0, "set_cond_area": "default", "hooks": hooks}
    if way == "text encoder":
        clip = graph("SetClipHooks", clip=base[1], apply_to_conds=True, schedule_clip=False, hooks=hooks)[0]
        right = Prompts(graph.text(clip, "a night at sea"), right.negative)
    elif way == "conditioning":
        hooked = graph("ConditioningSetProperties", cond_NEW=right.positive, **more)[0]
        right = Prompts(hooked, right.negative)
    else:
        pair = graph("PairConditioningSetProperties", positive_NEW=right.positive, negative_NEW=right.negative, **more)
        right = Prompts(pair[0], pair[1])
    graph.keep(graph.sampled(graph.halves(base[0], (left, right))))
    graph.alone([base[0]] * 2, (left, right))
    canvas = assert_halves(comfy, graph)
    assert close(canvas[..., :8], plain[..., :8]) and differs(canvas[..., 8:], plain[..., 8:])


@pytest.mark.parametrize("left, right", [
    ("demo-base", "clay"), ("demo-base", "a soup"), ("clay", "clay with a LoRA"),
    pytest.param("demo-base", "demo-base with a LoRA", marks=pytest.mark.slow),
    pytest.param("clay", "demo-base with a LoRA", marks=pytest.mark.slow)])
def test_model_of_a_region(comfy, plain, left, right):
    """One that Panorama has or another, as it is loaded or with a LoRA; a ControlNet over all."""
    def model(graph, name):
        if name == "a soup":
            return graph.cook("clay", "neon")[0]
        loaded = graph.checkpoint(name.split()[0])[0]
        return loaded if " " not in name else graph("LoraLoaderModelOnly", model=loaded, lora_name="comic.safetensors",
                                                    strength_model=0.8)[0]

    graph = Scene()
    base, hint = graph.checkpoint(), graph.picture()[0]
    models = [model(graph, name) for name in (left, right)]
    prompts = graph.prompts(base[1])
    panorama = graph.halves(base[0], prompts, [{} if name == "demo-base" else {"model": own}
                                               for name, own in zip((left, right), models)])
    graph.keep(graph.sampled(panorama))
    graph.alone(models, prompts)
    graph.keep(graph.steps(panorama[0], graph.controlled((panorama[1], panorama[2]), hint), panorama[3]))
    graph.alone(models, [graph.controlled(prompts[half], graph.cropped(hint, half)) for half in (0, 1)])
    found = latents(comfy, graph)
    for canvas, *halves in (found[:3], found[3:]):
        assert close(canvas, np.concatenate(halves, -1)) and differs(canvas[..., 8:], plain[..., 8:])
    assert differs(found[0], found[3])


def test_style_of_a_region(comfy):
    """A style for each half, and one without."""
    graph = Scene()
    student = graph("DSoupStudent", file="demo-student.safetensors")
    prompts = graph.prompts(student[1])
    for weights in (("clay = 1", "comic = 1"), (None, "watercolour = 1, clay = 1")):
        styles = [text and graph("DSoupStyleMix", styles=student[3], weights=text, mode="paper", strength=1.0)[0]
                  for text in weights]
        graph.keep(graph.sampled(graph.halves(student[0], prompts, [{"style": style} if style else {}
                                                                    for style in styles])))
        for half, style in enumerate(styles):
            styled = style and graph("DSoupStyleCondition", conditioning=prompts[half].positive,
                                     negative=prompts[half].negative, style=style)
            graph.keep(graph.steps(student[0], (styled[0], styled[1]) if style else prompts[half], seed=SEEDS[half]))
    found = latents(comfy, graph)
    for canvas, left, right in (found[:3], found[3:]):
        assert close(canvas, np.concatenate([left, right], -1))
    assert differs(found[1], found[4]) and differs(found[2], found[5])


def test_style_and_model_of_a_region(comfy):
    """A soup of the student is another student, with the same styles."""
    graph = Scene()
    base = graph.checkpoint()
    soup = graph.cook("student", "clay")
    style = graph("DSoupStyleMix", styles=soup[4], weights="style 2 = 1", mode="paper", strength=1.0)[0]
    prompts = graph.prompts(base[1])
    graph.keep(graph.sampled(graph.halves(base[0], prompts, ({}, {"model": soup[0], "style": style}))))
    styled = graph("DSoupStyleCondition", conditioning=prompts[1].positive, negative=prompts[1].negative, style=style)
    graph.alone((base[0], soup[0]), (prompts[0], (styled[0], styled[1])))
    assert_halves(comfy, graph)


def test_inpainting_model(comfy):
    """The mask and what is under it are cut to the tiles."""
    graph = Scene()
    model, base = graph.checkpoint("inpainting")[0], graph.checkpoint()
    prompts = graph.prompts(base[1])
    panorama = graph.halves(model, prompts)
    filled = graph("InpaintModelConditioning", positive=panorama[1], negative=panorama[2], vae=base[2],
                   pixels=graph.picture()[0], mask=graph.mask()[0], noise_mask=False)
    graph.keep(graph.steps(panorama[0], (filled[0], filled[1]), panorama[3]))
    alone = [graph("InpaintModelConditioning", positive=prompt.positive, negative=prompt.negative, vae=base[2],
                   pixels=graph.picture()[0], mask=graph.mask()[0], noise_mask=False) for prompt in prompts]
    graph.alone([model] * 2, [[graph("TestCropInpainting", conditioning=alone[half][sign], x=half * 8, width=8)[0]
                               for sign in (0, 1)] for half in (0, 1)])
    assert_halves(comfy, graph)


@pytest.mark.parametrize("denoise", (1.0, 0.6))
def test_inpainting_by_a_mask_on_the_latent(comfy, denoise):
    graph = Scene()
    base = graph.checkpoint()
    prompts = graph.prompts(base[1])
    latent = graph("VAEEncode", pixels=graph.picture()[0], vae=base[2])[0]
    mask = graph("SolidMask", value=0.0, width=2 * SIDE, height=SIDE)[0]
    mask = graph("MaskComposite", destination=mask, source=graph("SolidMask", value=1.0, width=SIDE, height=32)[0],
                 x=32, y=16, operation="add")[0]
    whole = graph("SetLatentNoiseMask", samples=latent, mask=mask)[0]
    graph.keep(graph.sampled(graph.halves(base[0], prompts), latent=whole, denoise=denoise))
    parts = [graph("SetLatentNoiseMask", samples=graph("LatentCrop", samples=latent, width=SIDE, height=SIDE,
                                                       x=half * SIDE, y=0)[0],
                   mask=graph("CropMask", mask=mask, x=half * SIDE, y=0, width=SIDE, height=SIDE)[0])[0]
             for half in (0, 1)]
    graph.alone([base[0]] * 2, prompts, parts, denoise=denoise)
    graph.keep(latent)
    *found, before = latents(comfy, graph)
    assert close(found[0], np.concatenate(found[1:], -1))
    kept = np.abs(found[0] - before).max((0, 1, 2)) < 1e-3
    assert kept[:4].all() and kept[12:].all() and not kept[4:12].any()


@pytest.mark.slow
def test_sdxl(comfy):
    """A region is a picture of its own size to a model that is told sizes."""
    graph = Scene()
    base = graph.checkpoint("xl1")
    prompts = graph.prompts(base[1])
    graph.keep(graph.sampled(graph.halves(base[0], prompts), steps=1))
    graph.alone([base[0]] * 2, prompts, steps=1)
    assert_halves(comfy, graph)
    comfy.client.free()
