"""Over the sampling: prompts that start and end, and pictures that hold their place for a while."""

from __future__ import annotations

import torch

from .studio import Probe, Studio, difference

STEPS = 4  # at timesteps 999, 666, 333 and 0: two in the first half of the sampling, two in the second


def spans(studio: Studio) -> dict[str, list[int]]:
    """How often the UNet is called in each step: a background in the first half, two details in the second."""
    found = {}
    for at_once in (1, 0):
        probe = Probe(studio.load("clay"))
        regions = studio.canvas(160, 64).plus(studio.part("background", 0, 0, 160, 64, studio.text(), end=.5),
                                              studio.part("left", 0, 0, 96, 64, studio.text(), start=.5),
                                              studio.part("right", 64, 0, 96, 64, studio.text(), start=.5))
        got = studio.painted(probe.model, regions, studio.text(), studio.noise(1, 4, 8, 20), at_once, steps=STEPS)
        assert torch.isfinite(got).all()
        found[f"{at_once} at once"] = probe.per_step
    return found


def held(studio: Studio) -> dict[str, object]:
    """A picture that holds its place is there at the end, or is painted over from its moment on; and no tile that lies
    wholly under it is evaluated."""
    model, texts, noise = studio.load("clay"), [studio.text() for _ in range(2)], studio.noise(1, 4, 8, 24)
    picture, small = studio.noise(1, 4, 8, 24), studio.noise(1, 4, 8, 8)

    def painted(*parts, model=model, **options):
        return studio.painted(model, studio.canvas(192, 64, tile=64, overlap=0).plus(*parts), texts[1], noise, 1,
                              steps=STEPS, **options)

    back = studio.part("back", 0, 0, 192, 64, texts[0])
    whole = painted(studio.part("picture", 0, 0, 192, 64, picture=picture, hold=1.0))
    middle = painted(back, studio.part("picture", 64, 0, 64, 64, picture=small, hold=1.0, kind="constant"))
    soft = painted(back, studio.part("picture", 48, 0, 96, 64, picture=picture[..., :12], hold=.5, kind="feathered box",
                                     feather=24))
    plain, probe = painted(back), Probe(model)
    painted(back, studio.part("picture", 64, 0, 64, 64, picture=small, hold=.5, kind="constant"), model=probe.model)
    return {"over the canvas": difference(whole, picture), "in the middle": difference(middle[..., 8:16], small),
            "beside it, as without": difference(torch.cat([middle[..., :8], middle[..., 16:]], -1),
                                                torch.cat([plain[..., :8], plain[..., 16:]], -1)),
            "for half the time, from the picture": difference(soft[..., 9:15], picture[..., 3:9]),
            "for half the time, from no picture": difference(soft[..., 6:18], plain[..., 6:18]),
            "calls": probe.per_step}


CASES = {"spans": spans, "held": held}
