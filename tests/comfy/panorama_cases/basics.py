"""One region is plain sampling; two are the paper's formula; tiles at once are tiles one by one; a ring has no seam."""

from __future__ import annotations

import math

import torch

from .studio import Probe, Studio, difference

ANCESTRAL = {"sampler": "euler_ancestral"}


def whole(studio: Studio) -> dict[str, bool]:
    """One region over the whole canvas is plain sampling, to the bit: SD 1.5 and SDXL, a batch, cfg 1, a cfg of its own
    that is the sampler's, a picture that is painted over in a mask; and so is any latent no larger than a tile."""
    found = {}
    picture, mask = studio.noise(1, 4, 8, 12), studio.random(1, 1, 64, 96).round()
    over = {"latent": picture, "noise_mask": mask, "denoise": .6}
    for file, width, pooled in (("clay", 768, False), ("xl1", 2048, True)):
        model = studio.load(file)
        for name, options, batch in (("plain", {}, 1), ("batch", {}, 2), ("cfg 1", {"cfg": 1.0}, 1),
                                     ("over a picture", over, 1), ("ancestral", ANCESTRAL, 1)):
            if file == "xl1" and name not in ("plain", "batch"):
                continue  # it is ten blocks deep
            positive, negative = studio.text(width, pooled=pooled), studio.text(width, pooled=pooled)
            noise = studio.noise(batch, 4, 8, 12)
            wanted = studio.sample(model, positive, negative, noise, **options)
            own = {} if name == "cfg 1" else {"cfg": 4.0}
            regions = studio.canvas(96, 64, batch=batch).plus(studio.part("all", 0, 0, 96, 64, positive, **own))
            made, plus, minus, latent, _ = studio.assembled(model, regions, negative)
            assert latent.shape == noise.shape
            found[f"{file} {name}"] = torch.equal(studio.sample(made, plus, minus, noise, **options), wanted)
            tiles = studio.regions.tiled(model, studio.panorama.Canvas(64, 64), 0)
            found[f"{file} {name}, tiles"] = torch.equal(studio.sample(tiles, positive, negative, noise, **options),
                                                         wanted)
    return found


def seeds(studio: Studio) -> dict[str, bool]:
    """A region with a seed over the whole canvas is plain sampling with ComfyUI's noise of that seed, whatever the
    sampler's; with no noise at all, a seed adds none."""
    import comfy.sample
    model, found = studio.load("clay"), {}
    positive, negative = studio.text(), studio.text()
    for batch in (1, 2):
        noise = comfy.sample.prepare_noise(torch.zeros(batch, 4, 8, 12), 1234)
        wanted = studio.sample(model, positive, negative, noise)
        regions = studio.canvas(96, 64, batch=batch).plus(studio.part("all", 0, 0, 96, 64, positive, seed=1234))
        found[f"batch {batch}"] = torch.equal(studio.painted(model, regions, negative, studio.noise(batch, 4, 8, 12)),
                                              wanted)
    none = torch.zeros(2, 4, 8, 12)
    found["no noise"] = torch.equal(studio.painted(model, regions, negative, none),
                                    studio.sample(model, positive, negative, none))
    return found


def formula(studio: Studio) -> dict[str, float]:
    """Two regions that overlap, one of them masked, against ε = Σ wᵣ εᵣ / Σ wᵣ with region guidance, in float64."""
    model = studio.load("clay", fresh=True)
    model.model.diffusion_model.double()
    model.model.diffusion_model.dtype = torch.float64
    found = {}
    for kind in KERNELS:
        texts = [studio.text() for _ in range(4)]
        boxes, strengths, cfgs, cfg = [(0, 0, 80, 64), (40, 0, 88, 64)], [1.0, 3.0], [None, 7.0], 4.0
        regions, mask = studio.canvas(128, 64), studio.random(1, 8, 16)
        mask[..., 10:] = 1  # where no other region is
        for number, (box, weight, own) in enumerate(zip(boxes, strengths, cfgs)):
            regions = regions.plus(studio.part(f"r{number}", *box, texts[2 * number], texts[2 * number + 1], kind=kind,
                                               weight=weight, cfg=own, mask=mask if number else None))
        noise = studio.noise(1, 4, 8, 16).double()
        got = studio.painted(model, regions, None, noise, cfg=cfg)
        wanted = paper(model, [[column // 8 for column in box] for box in boxes], texts, strengths,
                       [own or cfg for own in cfgs], KERNELS[kind], [torch.ones(8, 16), mask[0]], noise)
        found[kind] = difference(got.double(), wanted)
    return found


KERNELS = {
    "gaussian": lambda n: [math.exp(-(x - (n - 1) / 2) ** 2 / (2 * 0.01 * n**2)) / math.sqrt(2 * math.pi * 0.01)
                           for x in range(n)],
    "quartic": lambda n: [15 / 16 * (1 - (-0.995 + 1.99 * x / (n - 1)) ** 2) ** 2 for x in range(n)],
    "constant": lambda n: [1.0] * n,
}


def paper(model, boxes, texts, strengths, cfgs, kernel, masks, noise, steps: int = 2) -> torch.Tensor:
    """Mixture of Diffusers, section 3: each step all regions, guided alone, mixed by weights; then one Euler step."""
    import comfy.samplers
    sampling, unet = model.model.model_sampling, model.model.diffusion_model
    sigmas = comfy.samplers.calculate_sigmas(sampling, "normal", steps).double()
    x = noise * (sigmas[0] ** 2 + 1) ** 0.5  # as ComfyUI scales noise where sampling begins at the largest sigma
    for sigma, following in zip(sigmas, sigmas[1:]):
        top, bottom = torch.zeros_like(x), torch.zeros_like(x)
        for number, ((left, up, width, height), strength, cfg, mask) in enumerate(zip(boxes, strengths, cfgs, masks)):
            part = x[:, :, up:up + height, left:left + width] / (sigma**2 + 1) ** 0.5
            time = sampling.timestep(sigma[None].float()).float()
            with_text, without = (unet(part, time, text[0][0].double()) for text in texts[2 * number:2 * number + 2])
            guided = without + cfg * (with_text - without)
            weight = strength * torch.outer(torch.tensor(kernel(height), dtype=torch.float64),
                                            torch.tensor(kernel(width), dtype=torch.float64))
            weight *= mask[up:up + height, left:left + width]
            top[:, :, up:up + height, left:left + width] += weight * guided
            bottom[:, :, up:up + height, left:left + width] += weight
        x = x + (following - sigma) * (top / bottom)
    return x / 0.18215


def batched(studio: Studio) -> dict[str, object]:
    """T tiles at once against one by one, and how often the UNet is called."""
    model = studio.load("clay")
    noise, results, calls, rows = studio.noise(1, 4, 16, 40), {}, {}, {}
    texts = [studio.text() for _ in range(3)]
    for at_once in (1, 2, 0):
        regions = studio.canvas(320, 128, tile=128, overlap=64)
        regions = regions.plus(studio.part("all", 0, 0, 320, 128, texts[0]),
                               studio.part("left", 0, 0, 128, 128, texts[1], weight=.5),
                               studio.part("small", 200, 32, 64, 64, texts[1]))
        probe = Probe(model)
        results[at_once] = studio.painted(probe.model, regions, texts[2], noise, at_once)
        calls[at_once], rows[at_once] = probe.calls, sorted({shape[0] for shape in probe.shapes})
    return {"calls": calls, "rows": rows, "differences": [difference(results[0], results[number]) for number in (1, 2)]}


def rolled(studio: Studio) -> dict[str, float]:
    """A wrapped panorama with all that belongs to places, rolled by any number of latents: the same picture, rolled."""
    from .scenes import ridge
    from .stand_ins import attending
    network, texts, noise = ridge(studio), [studio.text() for _ in range(3)], studio.noise(1, 4, 8, 24)
    hint, mask, where = studio.random(1, 3, 64, 192), studio.random(1, 8, 24), studio.random(1, 64, 192)
    picture = {"cond": studio.noise(1, 4, 768), "uncond": studio.noise(1, 4, 768)}

    def run(shift: int, tile: int, places: bool = False) -> torch.Tensor:
        regions, model, values = studio.canvas(192, 64, wrap=True, tile=tile, overlap=64), studio.load("clay"), {}
        if places:
            model = attending(model, {**picture, "mask": where.roll(8 * shift, -1)})
            values = {"control": network.copy().set_cond_hint(hint.roll(8 * shift, -1)), "mask": mask.roll(shift, -1),
                      "control_apply_to_uncond": True}
        around = [*texts[1], [texts[0][0][0], values]]
        regions = regions.plus(studio.part("around", 8 * shift, 0, 192, 64, around),
                               studio.part("one", 144 + 8 * shift, 0, 96, 64, texts[1]))
        return studio.painted(model, regions, texts[2], noise.roll(shift, -1))

    def moved(shift: int, *args) -> float:
        return difference(run(shift, *args).roll(-shift, -1), run(0, *args))

    return {**{f"tile {tile}, by {shift}": moved(shift, tile) for tile, shift in ((128, 1), (128, 13), (192, 23))},
            "places, by 13": moved(13, 128, True), "places matter": difference(run(0, 128, True), run(0, 128))}


CASES = {"whole": whole, "seeds": seeds, "formula": formula, "batched": batched, "rolled": rolled}
