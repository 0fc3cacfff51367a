"""Guidance: a region's own cfg, guiders, and what guidance nodes see."""

from __future__ import annotations

import torch

from .studio import Probe, Studio, difference


def own_cfg(studio: Studio) -> dict[str, object]:
    """A region's own cfg is the sampler's cfg, also where ComfyUI evaluates no negative prompt, and with guidance nodes
    that evaluate more: all of what is added to the prediction without a prompt grows alike."""
    model, noise, texts = studio.load("clay"), studio.noise(1, 4, 8, 12), [studio.text() for _ in range(3)]

    def painted(cfg: float, own: float | None, model=model):
        regions = studio.canvas(96, 64).plus(studio.part("all", 0, 0, 96, 64, texts[0], cfg=own))
        return studio.painted(model, regions, texts[1], noise, cfg=cfg)

    def plain(cfg: float, model=model):
        return studio.sample(model, texts[0], texts[1], noise, cfg=cfg)

    probe = Probe(model)
    regions = studio.canvas(192, 64).plus(studio.part("left", 0, 0, 96, 64, texts[0], cfg=4.0, kind="constant", seed=1),
                                          studio.part("right", 96, 0, 96, 64, texts[2], kind="constant", seed=2))
    both = studio.painted(probe.model, regions, texts[1], studio.noise(1, 4, 8, 24), cfg=1.0)
    draws = [torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    apart = [studio.sample(model, text, texts[1], draw, cfg=cfg)
             for text, draw, cfg in zip((texts[0], texts[2]), draws, (4.0, 1.0))]
    return {"4 at 1": difference(painted(1.0, 4.0), plain(4.0)), "7 at 4": difference(painted(4.0, 7.0), plain(7.0)),
            "1 at 4": difference(painted(4.0, 1.0), plain(1.0)),
            "0.5 at 7.5": difference(painted(7.5, .5), plain(.5)),
            "PAG": torch.equal(painted(4.0, None, _pag(model, 3.0)), plain(4.0, _pag(model, 3.0))),
            "7 at 4 with PAG": difference(painted(4.0, 7.0, _pag(model, 2.0)), plain(7.0, _pag(model, 3.5))),
            "4 at 1 with PAG": difference(painted(1.0, 4.0, _pag(model, 2.0)), plain(4.0, _pag(model, 8.0))),
            "PAG matters": difference(plain(4.0, _pag(model, 3.0)), plain(4.0)),
            "one of two": difference(both, torch.cat(apart, -1)), "one of two: rows": sorted(
                shape[0] for shape in probe.shapes)}


def _pag(model, scale: float):
    from comfy_extras.nodes_pag import PerturbedAttentionGuidance
    return PerturbedAttentionGuidance.execute(model, scale).result[0]


def seen(studio: Studio) -> dict[str, object]:
    """Functions before and after guidance see canvases, whatever the tiles, and may change them."""
    shapes: dict[str, set] = {"before": set(), "after": set()}
    model = studio.load("clay").clone()

    def before(args):
        shapes["before"] |= {tuple(each.shape) for each in (*args["conds_out"], args["input"])}
        return args["conds_out"]

    def after(args):
        shapes["after"] |= {tuple(args[name].shape) for name in ("cond_denoised", "uncond_denoised", "denoised")}
        return args["denoised"] * 0

    model.set_model_sampler_pre_cfg_function(before)
    model.set_model_sampler_post_cfg_function(after)
    texts = [studio.text() for _ in range(2)]
    for cfg in (4.0, 1.0):
        regions = studio.canvas(192, 64, tile=64, overlap=0, batch=2).plus(
            studio.part("all", 0, 0, 192, 64, texts[0], cfg=2.0))
        got = studio.painted(model, regions, texts[1], studio.noise(2, 4, 8, 24), cfg=cfg, steps=1)
    return {**{name: [list(shape) for shape in found] for name, found in shapes.items()},
            "left of the picture": got.abs().max().item()}


def guiders(studio: Studio) -> dict[str, bool]:
    """Guiders of custom sampling: one region over the whole canvas is plain sampling, to the bit."""
    import comfy_extras.nodes_custom_sampler as nodes
    model, noise, texts = studio.load("clay"), studio.noise(1, 4, 8, 12), [studio.text() for _ in range(3)]
    regions = studio.canvas(96, 64).plus(studio.part("all", 0, 0, 96, 64, texts[0]))
    made, plus, minus, _, _ = studio.assembled(model, regions, texts[1])
    sampler = nodes.KSamplerSelect.execute("euler").result[0]
    sigmas = nodes.BasicScheduler.execute(model, "normal", 2, 1.0).result[0]

    def run(node, *inputs):
        return node.execute(*inputs).result[0].sample(noise, torch.zeros_like(noise), sampler, sigmas,
                                                      disable_pbar=True, seed=1)

    middle = texts[2]  # a prompt without a region counts in all of them
    dual = nodes.DualCFGGuider
    return {"BasicGuider": torch.equal(run(nodes.BasicGuider, made, plus), run(nodes.BasicGuider, model, texts[0])),
            "CFGGuider": torch.equal(run(nodes.CFGGuider, made, plus, minus, 5.0),
                                     run(nodes.CFGGuider, model, texts[0], texts[1], 5.0)),
            **{f"DualCFGGuider {style}": torch.equal(
                run(dual, made, plus, middle, minus, 5.0, 3.0, style),
                run(dual, model, texts[0], middle, texts[1], 5.0, 3.0, style)) for style in ("regular", "nested")}}


CASES = {"own cfg": own_cfg, "seen": seen, "guiders": guiders}
