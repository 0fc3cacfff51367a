"""Panoramas with ComfyUI's samplers, guiders and guidance nodes; progress, previews, the cache and interrupts."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from .graphs import ran
from .panorama_graphs import SEEDS, SIDE, Prompts, Scene, assert_halves, close, differs, kept, latents


@pytest.mark.parametrize("sampler, scheduler", [("dpmpp_2m", "karras"), ("euler_ancestral", "normal"),
                                                ("uni_pc", "simple"),
                                                pytest.param("heun", "exponential", marks=pytest.mark.slow)])
def test_samplers(comfy, sampler, scheduler):
    """One region is the plain picture, and halves are theirs where a sampler draws no noise of its own."""
    graph = Scene()
    base = graph.checkpoint()
    prompts = graph.prompts(base[1])
    settings = {"sampler_name": sampler, "scheduler": scheduler, "steps": 3}
    graph.keep(graph.sampled(graph.halves(base[0], prompts), **settings))
    graph.alone([base[0]] * 2, prompts, **settings)
    whole = graph.region(graph.canvas(SIDE, SIDE), prompts[0].positive)
    graph.keep(graph.sampled(graph.panorama(base[0], whole, prompts[0].negative), seed=11, **settings))
    canvas, left, right, one = latents(comfy, graph)
    assert np.array_equal(one, left)
    assert sampler == "euler_ancestral" or close(canvas, np.concatenate([left, right], -1))


def test_guiders(comfy):
    """SamplerCustomAdvanced with CFGGuider and BasicGuider is KSampler with that cfg."""
    graph = Scene()
    base = graph.checkpoint()
    panorama = graph.halves(base[0], graph.prompts(base[1]))
    noise = graph("RandomNoise", noise_seed=1)[0]
    euler = graph("KSamplerSelect", sampler_name="euler")[0]
    sigmas = graph("BasicScheduler", model=panorama[0], scheduler="normal", steps=2, denoise=1.0)[0]
    guiders = [graph("CFGGuider", model=panorama[0], positive=panorama[1], negative=panorama[2], cfg=7.0)[0],
               graph("BasicGuider", model=panorama[0], conditioning=panorama[1])[0]]
    for guider, cfg in zip(guiders, (7.0, 1.0)):
        graph.keep(graph("SamplerCustomAdvanced", noise=noise, guider=guider, sampler=euler, sigmas=sigmas,
                         latent_image=panorama[3])[0])
        graph.keep(graph.sampled(panorama, cfg=cfg))
    guided, sampled, basic, at_one = latents(comfy, graph)
    assert np.array_equal(guided, sampled) and np.array_equal(basic, at_one) and differs(guided, basic)


def test_two_stages(comfy):
    """Sampling that goes on where another node stopped draws no noise again."""
    graph = Scene()
    base = graph.checkpoint()
    prompts = graph.prompts(base[1])

    def stages(model, prompts, latent, seed):
        for start, end, noise in ((0, 2, "enable"), (2, 4, "disable")):
            latent = graph("KSamplerAdvanced", model=model, add_noise=noise, noise_seed=seed, steps=4, cfg=7.0,
                           sampler_name="euler", scheduler="normal", positive=prompts[0], negative=prompts[1],
                           latent_image=latent, start_at_step=start, end_at_step=end,
                           return_with_leftover_noise="enable" if start == 0 else "disable")[0]
        return latent

    panorama = graph.halves(base[0], prompts)
    graph.keep(stages(panorama[0], (panorama[1], panorama[2]), panorama[3], 1))
    graph.alone([base[0]] * 2, prompts, steps=4)
    assert_halves(comfy, graph)


def test_guidance_that_makes_calls_of_its_own(comfy):
    """Perturbed attention runs the model once more, tile by tile too."""
    graph = Scene()
    base = graph.checkpoint()
    model = graph("PerturbedAttentionGuidance", model=base[0], scale=3.0)[0]
    prompts = graph.prompts(base[1])
    graph.keep(graph.sampled(graph.halves(model, prompts)))
    graph.keep(graph.sampled(graph.halves(base[0], prompts)))
    graph.alone([model] * 2, prompts)
    canvas, unguided, left, right = latents(comfy, graph)
    assert close(canvas, np.concatenate([left, right], -1)) and differs(canvas, unguided)


@pytest.mark.parametrize("cfg", (1.0, 7.0))
def test_cfg_of_a_region(comfy, cfg):
    """Also where the sampler's own is 1, at which ComfyUI leaves the negative prompt out."""
    graph = Scene()
    base = graph.checkpoint()
    prompts = graph.prompts(base[1])
    graph.keep(graph.sampled(graph.halves(base[0], prompts, ({}, {"cfg": 3.0})), cfg=cfg))
    for half, own in enumerate((cfg, 3.0)):
        graph.keep(graph.steps(base[0], prompts[half], seed=SEEDS[half], cfg=own))
    assert_halves(comfy, graph)


@pytest.mark.parametrize("batch", (1, 2))
def test_attention_masks(comfy, batch):
    """What an attention patch like IP-Adapter's adds by a mask over the canvas, cut to the tiles."""
    graph = Scene()
    base, mask = graph.checkpoint(), graph.mask()[0]

    def patched(mask):
        return graph("TestMaskedAttention", model=base[0], mask=mask, weight=2.0, seed=5)[0]

    prompts = graph.prompts(base[1])
    graph.keep(graph.sampled(graph.halves(patched(mask), prompts, batch_size=batch)))
    halves = [graph("CropMask", mask=mask, x=half * SIDE, y=0, width=SIDE, height=SIDE)[0] for half in (0, 1)]
    empty = graph("EmptyLatentImage", width=SIDE, height=SIDE, batch_size=batch)[0]
    graph.alone([patched(half) for half in halves], prompts, (empty, empty))
    canvas = assert_halves(comfy, graph)
    assert len(canvas) == batch
    graph = Scene()
    base = graph.checkpoint()
    graph.keep(graph.sampled(graph.halves(base[0], graph.prompts(base[1]), batch_size=batch)))
    assert differs(canvas, *latents(comfy, graph))


def test_parts_of_the_time(comfy):
    """Prompts of a region that count one after the other, by ComfyUI's own node."""
    graph = Scene()
    base = graph.checkpoint()
    left, right = graph.prompts(base[1])
    early = graph("ConditioningSetTimestepRange", conditioning=left.positive, start=0.0, end=0.4)[0]
    late = graph("ConditioningSetTimestepRange", conditioning=right.positive, start=0.4, end=1.0)[0]
    both = Prompts(graph("ConditioningCombine", conditioning_1=early, conditioning_2=late)[0], left.negative)
    graph.keep(graph.sampled(graph.halves(base[0], (both, right)), steps=4))
    graph.alone([base[0]] * 2, (both, right), steps=4)
    assert_halves(comfy, graph)


# -- the queue


def scene(seed=1, steps=2, **settings):
    """A canvas of 192 x 64 with two regions that overlap; returns the graph, its Panorama and its KSampler."""
    graph = Scene()
    base = graph.checkpoint()
    left, right = graph.prompts(base[1])
    regions = graph.region(graph.canvas(192), left.positive, width=128, weights="gaussian", **settings)
    regions = graph.region(regions, right.positive, x=64, width=128, weights="gaussian")
    panorama = graph.panorama(base[0], regions, left.negative)
    latent = graph.sampled(panorama, seed=seed, steps=steps)
    graph.keep(latent)
    return graph, panorama.id, latent[0]


def test_progress_and_previews(client):
    """A step is a step and not a tile, and a preview shows the whole canvas."""
    graph, panorama, sampler = scene(steps=4, mask_weight=3.0)
    watch = client.watch()
    result = client.run(graph).succeeded()
    events = [event for event in watch.of("progress") if event.data["node"] == sampler]
    assert [event.data["value"] for event in events][-4:] == [1, 2, 3, 4]
    assert {event.data["max"] for event in events} == {4}
    previews = [event.data["bytes"] for event in watch.of("preview")]
    assert len(previews) >= 4
    jpeg = previews[-1][previews[-1].index(b"\xff\xd8"):]
    width, height = Image.open(io.BytesIO(jpeg)).size
    assert round(width / height) == 3
    picture, = result.outputs[panorama]["images"]
    assert Image.open(io.BytesIO(result.view(picture["filename"], picture["subfolder"], picture["type"]))).width == 1024


def test_cache(client, comfy):
    """Nothing runs again for an unchanged prompt; another seed runs the sampler alone, another region the rest."""
    graph, panorama, sampler = scene(seed=22)
    first = kept(comfy, client.run(graph))
    assert not client.run(graph).executed
    for settings, again in (({"seed": 23}, False), ({"seed": 22, "mask_weight": 2.0}, True)):
        other, *_ = scene(**settings)
        result = client.run(other)
        assert ran(result, other, "KSampler") and ran(result, other, "DSoupPanorama") == again
        assert differs(kept(comfy, result)[0], first[0])
    assert np.array_equal(kept(comfy, client.run(graph)), first)


def test_queue_twice(client, comfy):
    watch = client.watch()
    queued = [client.queue(scene(seed)[0]) for seed in (24, 25, 24)]
    for prompt in queued:
        watch.wait("executing", 120, node=None, prompt_id=prompt)
    one, two, _ = (client.result(prompt, watch) for prompt in queued)
    assert differs(kept(comfy, one)[0], kept(comfy, two)[0])


def test_interrupt(client, comfy):
    """It stops within a moment, and the next prompt is what it was."""
    graph, *_ = scene(seed=26)
    before = kept(comfy, client.run(graph))
    long, _, sampler = scene(seed=27, steps=1000)
    watch = client.watch()
    prompt = client.queue(long)
    watch.wait("progress", node=sampler)
    sent = time.perf_counter()
    client.interrupt()
    end = watch.wait("executing", node=None, prompt_id=prompt)
    assert client.result(prompt, watch).status == "interrupted" and end.time - sent < 5
    other, *_ = scene(seed=28)
    client.run(other).succeeded()
    assert np.array_equal(kept(comfy, client.run(graph)), before)
