"""Tiles' own sizes: SDXL's size conditioning, areas of core, and memory."""

from __future__ import annotations

from unittest import mock

import torch

from .studio import Probe, Studio, difference


def sdxl_sizes(studio: Studio) -> dict[str, bool]:
    """A region is a picture to SDXL, and a tile is a crop of it; sizes that a prompt gives itself stay."""
    probe = Probe(studio.load("xl1"))
    own = dict(width=1000, height=900, crop_w=8, crop_h=4, target_width=700, target_height=600)
    texts = [studio.text(2048, pooled=True) for _ in range(2)]
    given = [[texts[0][0][0], {**texts[0][0][1], **own}]]

    def labels(positive, at_once):
        probe.labels.clear()
        regions = studio.canvas(192, 128, tile=64, overlap=0).plus(
            studio.part("back", 0, 0, 192, 128, positive), studio.part("wide", 64, 64, 128, 64, positive))
        studio.painted(probe.model, regions, texts[1], studio.noise(1, 4, 16, 24), at_once, steps=1)
        return torch.cat([label.reshape(2, -1, label.shape[-1]) for label in probe.labels], 1)  # [2, tiles, numbers]

    def wanted(positive, boxes):
        rows = []
        for values in (texts[1][0][1], positive[0][1]):
            rows.append(torch.cat([studio.load("xl1").model.encode_adm(
                **{**values, **({} if "width" in values else box)}, device="cpu") for box in boxes]))
        return torch.stack(rows)

    boxes = [dict(width=192, height=128, crop_w=x, crop_h=y, target_width=64, target_height=64)
             for y in (0, 64) for x in (0, 64, 128)]
    boxes += [dict(width=128, height=64, crop_w=x, crop_h=0, target_width=64, target_height=64) for x in (0, 64)]
    return {"at once": _either_order(labels(texts[0], 0), wanted(texts[0], boxes)),
            "one by one": _either_order(labels(texts[0], 1), wanted(texts[0], boxes)),
            "given": _either_order(labels(given, 0), wanted(given, boxes))}


def _either_order(labels: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Positive first or negative first: ComfyUI's own choice."""
    return any(torch.allclose(each, wanted, atol=1e-5) for each in (labels, labels.flip(0)))


def areas(studio: Studio) -> dict[str, object]:
    """Panorama Tiles with an area and a mask of core's: a tile outside is as it is without."""
    model, first, second, negative = studio.load("clay"), *(studio.text() for _ in range(3))
    noise = studio.noise(1, 4, 8, 32)
    tiles = studio.regions.tiled(model, studio.panorama.Canvas(64, 64, False, 64, 64, 0, 0), 0)
    without = studio.sample(tiles, first, negative, noise)
    mask = torch.zeros(1, 64, 256)
    mask[..., 128:192] = 1
    found = {}
    for name, values in {"area": {"area": (8, 8, 0, 16), "strength": .8},
                         "share": {"area": ("percentage", 1.0, .25, 0.0, .5), "strength": .8},
                         "mask": {"mask": mask, "set_area_to_bounds": False, "mask_strength": .8},
                         "mask's bounds": {"mask": mask, "set_area_to_bounds": True, "mask_strength": .8}}.items():
        got = studio.sample(tiles, [*first, [second[0][0], values]], negative, noise)
        found[name] = [difference(got[..., start:start + 8], without[..., start:start + 8])
                       for start in range(0, 32, 8)]
    return found


def memory(studio: Studio) -> dict[str, object]:
    """ComfyUI is asked to make room for a tile, not for the canvas; and as many tiles are sampled at once as fit."""
    import comfy.model_management as management
    model, texts, found = studio.load("clay"), [studio.text() for _ in range(2)], {}
    asked, load = [], management.load_models_gpu

    def spy(models, memory_required=0, *args, **kwargs):
        asked.append(memory_required)
        return load(models, memory_required, *args, **kwargs)

    def painted(probe):
        regions = studio.canvas(320, 64, tile=64, overlap=0).plus(studio.part("all", 0, 0, 320, 64, texts[0]))
        return studio.painted(probe.model, regions, texts[1], noise)

    noise = studio.noise(1, 4, 8, 40)
    with mock.patch.object(management, "load_models_gpu", spy):
        results = [painted(Probe(model))]
        for width in (8, 40):
            studio.sample(model, *texts, noise[..., :width], steps=1)
    found["asked for a tile"], found["less than the canvas"] = asked[0] == asked[1], asked[0] < asked[2]
    text = tuple(texts[0][0][0].shape)
    for rows in (0, 2, 4, 6, 8, 10):
        free = model.model.memory_required([rows, 4, 8, 8], cond_shapes={"c_crossattn": [text] * rows}) * 1.5 + 1
        probe = Probe(model)

        def room(device=None, torch_free_too=False, free=free):
            return (free, free) if torch_free_too else free

        with mock.patch.object(management, "get_free_memory", room):
            results.append(painted(probe))
        found[f"room for {rows} rows"] = [shape[0] for shape in probe.shapes]
    found["same picture"] = max(difference(each, results[0]) for each in results[1:])
    return found


CASES = {"sdxl sizes": sdxl_sizes, "areas": areas, "memory": memory}
