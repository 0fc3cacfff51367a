"""Run beside ComfyUI's own code: panoramas against plain sampling and against the paper's formula in float64.

    python panorama_reference.py COMFYUI_FOLDER MODELS_FOLDER CASE  ->  JSON of what the case found

A process of its own, because importing ComfyUI changes the process. Everything runs through ComfyUI's samplers with
the MODEL and conditionings that the nodes hand out; ``Probe`` counts the UNet's calls and keeps their batch sizes.
"""

from __future__ import annotations

import importlib
import json
import sys
import types
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]


def main(folder: str, models: str, case: str) -> None:
    sys.argv = [sys.argv[0], "--cpu"]
    sys.path.insert(0, str(ROOT))
    from demo.launch import declare_missing_operators
    declare_missing_operators()
    sys.path.insert(0, folder)
    import comfy.cli_args
    comfy.cli_args.args.cpu = True
    with torch.inference_mode():
        print(json.dumps(CASES[case](Studio(Path(models)))))


class Studio:
    """ComfyUI and our nodes in this process, and small models."""

    def __init__(self, models: Path) -> None:
        self.models = models
        self.panorama, self.tiling, self.regions, self.styling = our_nodes()
        self.generator = torch.Generator().manual_seed(0)

    def load(self, file: str, clip: bool = False):
        import comfy.sd
        return comfy.sd.load_checkpoint_guess_config(str(self.models / file), output_vae=False, output_clip=clip)

    def text(self, width: int = 768, tokens: int = 77, pooled: bool = False):
        """CONDITIONING with random text."""
        values = {"pooled_output": torch.randn(1, 1280, generator=self.generator)} if pooled else {}
        return [[torch.randn(1, tokens, width, generator=self.generator), values]]

    def canvas(self, width: int, height: int, wrap: bool = False, tile: int = 0, overlap: int = 64, batch: int = 1):
        canvas = self.panorama.Canvas(width, height, wrap, tile, tile, overlap, overlap)
        return self.regions.Regions(canvas, batch)

    def part(self, name: str, x: int, y: int, width: int, height: int, positive, negative=None, *, style=None, model=None,
             mask=None, picture=None, **region):
        return self.regions.Part(self.panorama.Region(name, x, y, width, height, **region), positive, negative, style,
                                 model, mask, picture)

    def assembled(self, model, regions, negative=None, at_once: int = 0):
        return self.regions.assemble(model, regions, negative, at_once)

    def noise(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator)

    def sample(self, model, positive, negative, noise, *, cfg=4.0, steps=3, sampler="euler", latent=None, seed=7):
        import comfy.sample
        latent = torch.zeros_like(noise) if latent is None else latent
        return comfy.sample.sample(model, noise, steps, cfg, sampler, "normal", positive, negative, latent, seed=seed,
                                   disable_pbar=True)


class Probe:
    """A clone of a MODEL that notes the batch size of each call of the UNet."""

    def __init__(self, model) -> None:
        self.calls: list[tuple[int, ...]] = []
        self.model = model.clone()
        self.model.add_wrapper_with_key("diffusion_model", "probe", self._note)

    def _note(self, executor, x, *args, **kwargs):
        self.calls.append(tuple(x.shape))
        return executor(x, *args, **kwargs)


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Largest difference over the largest number."""
    assert torch.isfinite(one).all() and other.abs().max() > 1e-3
    return ((one - other).abs().max() / other.abs().max()).item()


def whole(studio: Studio) -> dict[str, bool]:
    """One region over the whole canvas is plain sampling, to the bit: SD 1.5 and SDXL, cfg 1, a batch, a cfg of its own
    that is the sampler's."""
    found = {}
    for file, width, pooled in (("checkpoints/ember.safetensors", 768, False),
                                ("checkpoints/xl1.safetensors", 2048, True)):
        model = studio.load(file)[0]
        for name, options, batch in (("plain", {}, 1), ("batch", {}, 2), ("cfg 1", {"cfg": 1.0}, 1),
                                     ("ancestral", {"sampler": "euler_ancestral"}, 1)):
            positive, negative = studio.text(width, pooled=pooled), studio.text(width, pooled=pooled)
            noise = studio.noise(batch, 4, 8, 12)
            wanted = studio.sample(model, positive, negative, noise, **options)
            regions = studio.canvas(96, 64, batch=batch).plus(studio.part("all", 0, 0, 96, 64, positive, cfg=4.0))
            made, plus, minus, latent, _ = studio.assembled(model, regions, negative)
            assert latent.shape == noise.shape
            got = studio.sample(made, plus, minus, noise, **options)
            if name != "cfg 1":
                found[f"{file} {name}"] = bool(torch.equal(got, wanted))
            tiles = studio.regions.tiled(model, studio.panorama.Canvas(64, 64), 0)
            found[f"{file} {name}, tiles"] = bool(torch.equal(studio.sample(tiles, positive, negative, noise, **options),
                                                              wanted))
    return found


def formula(studio: Studio) -> dict[str, float]:
    """Two regions that overlap against ε = Σ wᵣ εᵣ / Σ wᵣ with region guidance, Euler steps, all in float64."""
    model = studio.load("checkpoints/ember.safetensors")[0]
    model.model.diffusion_model.double()
    model.model.diffusion_model.dtype = torch.float64
    found = {}
    for kind in ("gaussian", "quartic", "constant"):
        texts = [studio.text() for _ in range(4)]
        boxes, strengths, cfgs, cfg = [(0, 0, 80, 64), (40, 0, 88, 64)], [1.0, 3.0], [None, 7.0], 4.0
        regions = studio.canvas(128, 64)
        for number, (box, weight, own) in enumerate(zip(boxes, strengths, cfgs)):
            regions = regions.plus(studio.part(f"r{number}", *box, texts[2 * number], texts[2 * number + 1], kind=kind,
                                               weight=weight, cfg=own))
        made, plus, minus, _, _ = studio.assembled(model, regions)
        noise = studio.noise(1, 4, 8, 16).double()
        got = studio.sample(made, plus, minus, noise, cfg=cfg)
        wanted = paper(model, [[column // 8 for column in box] for box in boxes], texts, strengths,
                       [own or cfg for own in cfgs], KERNELS[kind], noise)
        found[kind] = difference(got.double(), wanted)
    return found


KERNELS = {
    "gaussian": lambda n: [math_exp(-(x - (n - 1) / 2) ** 2 / (2 * 0.01 * n**2)) / (2 * 3.141592653589793 * 0.01) ** .5
                           for x in range(n)],
    "quartic": lambda n: [15 / 16 * (1 - (-0.995 + 1.99 * x / (n - 1)) ** 2) ** 2 for x in range(n)],
    "constant": lambda n: [1.0] * n,
}


def math_exp(value: float) -> float:
    import math
    return math.exp(value)


def paper(model, boxes, texts, strengths, cfgs, kernel, noise, steps: int = 3) -> torch.Tensor:
    """Mixture of Diffusers, section 3: each step all regions, guided alone, mixed by weights; then one Euler step."""
    import comfy.samplers
    sampling, unet = model.model.model_sampling, model.model.diffusion_model
    sigmas = comfy.samplers.calculate_sigmas(sampling, "normal", steps).double()
    x = noise * (sigmas[0] ** 2 + 1) ** 0.5  # as ComfyUI scales noise where sampling begins at the largest sigma
    for sigma, following in zip(sigmas, sigmas[1:]):
        top, bottom = torch.zeros_like(x), torch.zeros_like(x)
        for number, ((left, up, width, height), strength, cfg) in enumerate(zip(boxes, strengths, cfgs)):
            part = x[:, :, up:up + height, left:left + width] / (sigma**2 + 1) ** 0.5
            time = sampling.timestep(sigma[None].float()).float()
            with_text, without = (unet(part, time, text[0][0].double()) for text in texts[2 * number:2 * number + 2])
            guided = without + cfg * (with_text - without)
            weight = strength * torch.outer(torch.tensor(kernel(height), dtype=torch.float64),
                                            torch.tensor(kernel(width), dtype=torch.float64))
            top[:, :, up:up + height, left:left + width] += weight * guided
            bottom[:, :, up:up + height, left:left + width] += weight
        x = x + (following - sigma) * (top / bottom)
    return x / 0.18215


def batched(studio: Studio) -> dict[str, object]:
    """T tiles at once against one by one, and how often the UNet is called."""
    model = studio.load("checkpoints/ember.safetensors")[0]
    noise, results, calls = studio.noise(1, 4, 16, 40), {}, {}
    texts = [studio.text() for _ in range(3)]
    for at_once in (1, 2, 0):
        regions = studio.canvas(320, 128, tile=128, overlap=64)
        regions = regions.plus(studio.part("all", 0, 0, 320, 128, texts[0]),
                               studio.part("left", 0, 0, 128, 128, texts[1], weight=.5),
                               studio.part("small", 200, 32, 64, 64, texts[1]))
        probe = Probe(model)
        made, plus, minus, _, layout = studio.assembled(probe.model, regions, texts[2], at_once)
        results[at_once] = studio.sample(made, plus, minus, noise, steps=2)
        calls[at_once] = len(probe.calls)
    return {"tiles": len(layout.tiles), "calls": calls, "rows": sorted({call[0] for call in probe.calls}),
            "differences": [difference(results[0], results[number]) for number in (1, 2)]}


def rolled(studio: Studio) -> dict[str, object]:
    """A wrapped panorama, its regions and noise rolled by any number of latents: the same picture, rolled."""
    model = studio.load("checkpoints/ember.safetensors")[0]
    noise = studio.noise(1, 4, 8, 40)
    texts = [studio.text() for _ in range(3)]

    def run(shift: int, tile: int) -> torch.Tensor:
        regions = studio.canvas(320, 64, wrap=True, tile=tile, overlap=64)
        regions = regions.plus(studio.part("around", 8 * shift, 0, 320, 64, texts[0]),
                               studio.part("one", 240 + 8 * shift, 0, 128, 64, texts[1]))
        made, plus, minus, _, _ = studio.assembled(model, regions, texts[2])
        return studio.sample(made, plus, minus, noise.roll(shift, -1), steps=2)

    return {f"tile {tile}, by {shift}": difference(run(shift, tile).roll(-shift, -1), run(0, tile))
            for tile in (128, 320) for shift in (1, 13, 39)}


def halves(studio: Studio) -> dict[str, float]:
    """Two regions side by side, each with its own noise, are the pictures they would be alone: with a time range, masks,
    a batch and another number of tokens, ControlNets, hooks, styles, models, an inpainting model, SDXL."""
    found = {}
    for name, make in HALVES.items():
        model, sides = make(studio)
        regions = studio.canvas(160, 64, batch=2)
        alone = []
        for number, (text, negative, more) in enumerate(sides):
            own = more.get("model") or model
            regions = regions.plus(studio.part(f"side {number}", 80 * number, 0, 80, 64, text, negative, kind="constant",
                                               seed=number, **{key: more[key] for key in more if key != "alone"}))
            noise = torch.randn(2, 4, 8, 10, generator=torch.Generator().manual_seed(number))
            text, negative = more.get("alone", lambda each: each)(text), more.get("alone", lambda each: each)(negative)
            if "style" in more:
                own = studio.styling.listening(own)
                text, negative = (studio.styling.condition(each, more["style"], 0.0, 1.0) for each in (text, negative))
            alone.append(studio.sample(own, text, negative, noise))
        made, plus, minus, _, _ = studio.assembled(model, regions)
        got = studio.sample(made, plus, minus, studio.noise(2, 4, 8, 20))
        found[name] = difference(got, torch.cat(alone, -1))
        found[f"{name}: sides differ"] = difference(alone[0], alone[1])
    return found


def _plain(studio):
    return studio.load("checkpoints/ember.safetensors")[0], [(studio.text(), studio.text(), {}),
                                                             (studio.text(), studio.text(), {})]


def _tokens(studio):
    return studio.load("checkpoints/ember.safetensors")[0], [(studio.text(tokens=77), studio.text(), {}),
                                                             (studio.text(tokens=154), studio.text(), {})]


def _several(studio):
    """Each side two prompts, one of them masked, one for the first part of the sampling only."""
    model, sides = _plain(studio)
    masks = [torch.rand(1, 8, 20, generator=studio.generator) for _ in sides]
    out = []
    for number, ((text, negative, _), mask) in enumerate(zip(sides, masks)):
        both = [*text, [studio.text()[0][0], {"mask": mask, "mask_strength": .7, "strength": .5}],
                [studio.text()[0][0], {"start_percent": 0.0, "end_percent": .5}]]

        def alone(conditioning, number=number):
            return [[text, {**values, "mask": values["mask"][..., 10 * number:10 * number + 10]} if "mask" in values
                     else values] for text, values in conditioning]

        out.append((both, negative, {"alone": alone}))
    return model, out


def _own_models(studio):
    model = studio.load("checkpoints/ember.safetensors")[0]
    other = studio.load("checkpoints/lagoon.safetensors")[0]
    return model, [(studio.text(), studio.text(), {}), (studio.text(), studio.text(), {"model": other})]


def _loras(studio):
    """The plain checkpoint, and the same with one and with two LoRAs."""
    import comfy.sd
    import comfy.utils
    model = studio.load("checkpoints/ember.safetensors")[0]
    lora = comfy.utils.load_torch_file(str(studio.models / "loras/ink.safetensors"))
    once, _ = comfy.sd.load_lora_for_models(model, None, lora, .8, 0)
    twice, _ = comfy.sd.load_lora_for_models(once, None, lora, -.3, 0)
    return once, [(studio.text(), studio.text(), {"model": model}), (studio.text(), studio.text(), {"model": twice})]


def _hooks(studio):
    import comfy.hooks
    import comfy.utils
    model, sides = _plain(studio)
    lora = comfy.utils.load_torch_file(str(studio.models / "loras/ink.safetensors"))
    hooks = comfy.hooks.create_hook_lora(lora, .9, 0.0)
    text, negative, more = sides[1]
    return model, [sides[0], (comfy.hooks.set_hooks_for_conditioning(text, hooks),
                              comfy.hooks.set_hooks_for_conditioning(negative, hooks), more)]


def _control(studio, region_hint: bool):
    """A ControlNet, its hint over the canvas or over the region."""
    import comfy.controlnet
    model, sides = _plain(studio)
    network = comfy.controlnet.load_controlnet(str(studio.models / "controlnet/ridge.safetensors"))
    hint = torch.rand(1, 3, 64, 160, generator=studio.generator)
    out = []
    for number, (text, negative, more) in enumerate(sides):
        part = hint[..., 80 * number:80 * number + 80]
        given = part if region_hint else hint

        def on(conditioning, image):
            control = network.copy().set_cond_hint(image, 1.0, (0.0, 0.8))
            return [[text, {**values, "control": control, "control_apply_to_uncond": False}]
                    for text, values in conditioning]

        def alone(conditioning, part=part):
            return on([[text, {key: value for key, value in values.items() if "control" not in key}]
                       for text, values in conditioning], part)

        out.append((on(text, given), on(negative, given), {**more, "alone": alone}))
    return model, out


def _inpainting(studio):
    """A model with nine channels: what it sees of the picture is cut to the tiles."""
    model = studio.load("checkpoints/inpainting.safetensors")[0]
    picture, mask = studio.noise(1, 4, 8, 20), torch.rand(1, 1, 64, 160, generator=studio.generator).round()
    out = []
    for number in range(2):
        def on(conditioning, number=None):
            here = slice(None) if number is None else slice(10 * number, 10 * number + 10)
            pixels = slice(None) if number is None else slice(80 * number, 80 * number + 80)
            return [[text, {**values, "concat_latent_image": picture[..., here], "concat_mask": mask[..., pixels]}]
                    for text, values in conditioning]

        out.append((on(studio.text()), on(studio.text()), {"alone": lambda each, on=on, number=number: on(each, number)}))
    return model, out


def _sdxl(studio):
    model = studio.load("checkpoints/xl1.safetensors")[0]
    return model, [(studio.text(2048, pooled=True), studio.text(2048, pooled=True), {}) for _ in range(2)]


def _styles(studio):
    dmm = importlib.import_module("pack.diffusion_soup.dmm")
    with dmm.open_student(studio.models / "checkpoints/demo-student.safetensors") as student:
        codebook = student.codebook
    model = studio.load("checkpoints/demo-student.safetensors")[0]
    styles = [dmm.Style.of(codebook, dmm.StyleMix({name: 1.0}, "paper")) for name in ("ember", "ink")]
    return model, [(studio.text(), studio.text(), {"style": style}) for style in styles]


HALVES = {"plain": _plain, "tokens": _tokens, "several prompts": _several, "models": _own_models, "loras": _loras,
          "hooks": _hooks, "control over the canvas": lambda studio: _control(studio, False),
          "control over the region": lambda studio: _control(studio, True), "inpainting": _inpainting, "sdxl": _sdxl,
          "styles": _styles}

CASES = {"whole": whole, "formula": formula, "batched": batched, "rolled": rolled, "halves": halves}


def our_nodes():
    """The pack's nodes and the engine beneath them, as ComfyUI imports them: as parts of one package."""
    for name, path in (("pack", ROOT), ("pack.nodes", ROOT / "nodes")):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    return (importlib.import_module("pack.diffusion_soup.panorama"),
            *(importlib.import_module(f"pack.nodes.{name}") for name in ("tiling", "regions", "styling")))


if __name__ == "__main__":
    main(*sys.argv[1:])
