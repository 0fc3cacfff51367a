"""What cannot be sampled is said in a sentence, with the region's name, before anything is sampled."""

from __future__ import annotations

from unittest import mock

import torch

from .studio import Studio


def refusals(studio: Studio) -> dict[str, str]:
    """Kind and message of what is raised, for each mistake."""
    found = {}
    for name, mistake in MISTAKES.items():
        try:
            mistake(studio)
            found[name] = "nothing"
        except Exception as problem:  # whatever it is, the test reads it
            found[name] = f"{type(problem).__name__}: {problem}"
    return found


def _regions(studio: Studio, positive=None, **part):
    return studio.canvas(96, 64).plus(studio.part("castle", 0, 0, 96, 64, positive or studio.text(), **part))


def _paint(studio: Studio, positive=None, *, own: float | None = None, sampler_cfg=4.0, columns=12, **part) -> None:
    """One region, the castle, assembled and sampled."""
    studio.painted(studio.load("clay"), _regions(studio, positive, cfg=own, **part), studio.text(),
                   studio.noise(1, 4, 8, columns), cfg=sampler_cfg, steps=1)


def _two(studio: Studio):
    """Two panoramas."""
    for _ in range(2):
        yield studio.assembled(studio.load("clay"), _regions(studio), studio.text())


def another_panorama(studio: Studio) -> None:
    (made, plus, _, latent, _), (_, _, minus, _, _) = _two(studio)
    studio.sample(made, plus, minus, latent + 1, steps=1)


def no_panorama(studio: Studio) -> None:
    (_, plus, minus, latent, _), _ = _two(studio)
    studio.sample(studio.load("clay"), plus, minus, latent + 1, steps=1)


def no_negative(studio: Studio) -> None:
    import comfy.samplers
    import comfy_extras.nodes_custom_sampler as nodes
    made, plus, _, latent, _ = studio.assembled(studio.load("clay"), _regions(studio, cfg=3.0), studio.text())
    guider = nodes.BasicGuider.execute(made, plus).result[0]
    guider.sample(latent + 1, latent, comfy.samplers.sampler_object("euler"), torch.tensor([1.0, 0.0]), seed=1)


def text_box(studio: Studio) -> None:
    _paint(studio, studio.text(gligen=("position", None, [])))


def hint_of_another_aspect(studio: Studio) -> None:
    from .scenes import ridge
    hinted = ridge(studio).set_cond_hint(torch.zeros(1, 3, 100, 100))
    _paint(studio, studio.text(control=hinted, control_apply_to_uncond=True))


def too_large(studio: Studio) -> None:
    import comfy.model_management as management
    with mock.patch.object(management, "get_total_memory", lambda *args, **kwargs: 2**20):
        _paint(studio)


def nested(studio: Studio) -> None:
    _paint(studio, model=studio.regions.tiled(studio.load("clay"), studio.panorama.Canvas(64, 64), 0))


def evaluated_by_hand(studio: Studio) -> None:
    """A node that evaluates conditionings outside of any sampling."""
    import comfy.sampler_helpers
    import comfy.samplers
    (made, *_), _ = _two(studio)
    options = {"transformer_options": {}}
    comfy.sampler_helpers.prepare_model_patcher(made, {}, options)
    comfy.samplers.calc_cond_batch(made.model, [[]], torch.ones(1, 4, 8, 12), torch.ones(1), options)


MISTAKES = {
    "conditioning of another panorama": another_panorama, "model without panorama": no_panorama,
    "latent of another size": lambda studio: _paint(studio, columns=16), "own cfg without negative": no_negative,
    "own cfg at cfg 0": lambda studio: _paint(studio, own=3.0, sampler_cfg=0.0), "text box": text_box,
    "hint of another aspect": hint_of_another_aspect, "tile too large": too_large, "panorama in a panorama": nested,
    "model of another family": lambda studio: _paint(studio, model=studio.load("xl1")),
    "text of another family": lambda studio: _paint(studio, studio.text(2048, pooled=True)),
    "picture of another family": lambda studio: _paint(studio, picture=torch.zeros(1, 16, 8, 12), hold=.5),
    "no negative": lambda studio: studio.assembled(studio.load("clay"), _regions(studio)),
    "evaluated by hand": evaluated_by_hand,
}

CASES = {"refusals": refusals}
