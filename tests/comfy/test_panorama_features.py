"""What else the panorama nodes make: grids, regions from a painting, tiles, pictures that hold, and canvases all
around."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .graphs import pictures
from .panorama_graphs import SIDE, Scene, close, differs, latents

AROUND = 192


def painting(client, *colours):
    """Upload a picture of columns, each of a colour."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"columns{abs(hash(colours))}.png")
        Image.fromarray(np.array([[colour] * SIDE for colour in colours], dtype=np.uint8).reshape(
            1, -1, 3).repeat(SIDE, 0)).save(path)
        return client.upload_image(path)


def counting(**more):
    return {"weights": "constant", "mask_weight": 1.0, **more}


def test_regions_from_a_painting(client, comfy):
    """Colours that meet at an edge are two regions side by side, and one without a prompt is left to others."""
    graph = Scene()
    base = graph.checkpoint()
    left, right = graph.prompts(base[1])
    image = graph("LoadImage", image=painting(client, (255, 0, 0), (30, 30, 250), (0, 255, 0)))[0]
    end = graph.region(graph.canvas(192), left.positive, x=128)
    regions = graph("DSoupRegionsFromMask", regions=end, image=image, clip=base[1], margin=0, soft=0,
                    prompts="red: hills\n#2020ff: a night at sea", everywhere="", **counting())[0]
    graph.keep(graph.sampled(graph.panorama(base[0], regions, left.negative)))
    regions = graph.region(end, graph.text(base[1], "hills"), x=0)
    graph.keep(graph.sampled(graph.panorama(base[0], graph.region(regions, right.positive, x=64), left.negative)))
    painted, placed = latents(comfy, graph)
    assert close(painted, placed)


@pytest.mark.parametrize("prompts", ("hills\na night at sea", "hills\n\n", "hills\nsea \nmoon\nsun"))
def test_grid(comfy, prompts):
    """A line for each cell in reading order, or one for all; and text for all of them."""
    rows = 2 if prompts.count("\n") == 3 else 1
    graph = Scene()
    base = graph.checkpoint()
    negative = graph.text(base[1], "blurred")
    canvas = graph.canvas(2 * SIDE, rows * SIDE)
    regions = graph("DSoupRegionGrid", regions=canvas, clip=base[1], prompts=prompts, everywhere=" at noon", rows=rows,
                    columns=2, grid_overlap_x=0, grid_overlap_y=0, **counting())[0]
    graph.keep(graph.sampled(graph.panorama(base[0], regions, negative)))
    lines = prompts.split() if rows == 2 else (prompts.strip().splitlines() * 2)[:2]
    for cell, line in enumerate(lines):
        canvas = graph.region(canvas, graph.text(base[1], f"{line}, at noon"), x=cell % 2 * SIDE, y=cell // 2 * SIDE)
    graph.keep(graph.sampled(graph.panorama(base[0], canvas, negative)))
    grid, placed = latents(comfy, graph)
    assert grid.shape == (1, 4, 8 * rows, 16) and close(grid, placed)


def test_report_and_plan(client):
    graph = Scene()
    base = graph.checkpoint()
    left, right = graph.prompts(base[1])
    regions = graph.region(graph.canvas(192, wrap=True), left.positive, width=131, name="the hills")
    panorama = graph.panorama(base[0], graph.region(regions, right.positive, x=128, width=128, cfg=3.0), left.negative)
    shown = graph("PreviewAny", source=panorama[5])
    graph("SaveImage", images=panorama[4], filename_prefix="plan")
    result = client.run(graph)
    text = result.succeeded().outputs[shown.id]["text"][0]
    assert "192 x 64 px, all around: 2 regions" in text and "1 the hills: x 0, y 0, 128 x 64 px" in text
    assert "asked for 0, 0, 131 x 64" in text and "own cfg" in text
    assert all(picture.shape[1] == 1024 for picture in pictures(result))


def test_tiles_of_a_plain_prompt(comfy):
    """Tiles side by side are two pictures, with the part of a ControlNet's hint that is theirs."""
    graph = Scene()
    base, hint = graph.checkpoint(), graph.picture()[0]
    prompt = graph.prompts(base[1])[0]
    tiles = graph("DSoupPanoramaTile", model=base[0], tile_width=SIDE, tile_height=SIDE, overlap_x=0, overlap_y=0)[0]
    latent = graph("VAEEncode", pixels=graph.picture(seed=3)[0], vae=base[2])[0]

    def steps(model, prompts, latent):
        return graph("KSamplerAdvanced", model=model, add_noise="disable", noise_seed=1, steps=3, cfg=7.0,
                     sampler_name="euler", scheduler="normal", positive=prompts[0], negative=prompts[1],
                     latent_image=latent, start_at_step=1, end_at_step=3, return_with_leftover_noise="disable")[0]

    graph.keep(steps(tiles, graph.controlled(prompt, hint), latent))
    for half in (0, 1):
        part = graph("LatentCrop", samples=latent, width=SIDE, height=SIDE, x=half * SIDE, y=0)[0]
        graph.keep(steps(base[0], graph.controlled(prompt, graph.cropped(hint, half)), part))
    canvas, left, right = latents(comfy, graph)
    assert close(canvas, np.concatenate([left, right], -1), 5e-5)


@pytest.mark.parametrize("tile", (64, 96))
def test_tiles_of_many_sizes(comfy, tile):
    """One MODEL tiles any latent, also one smaller than a tile, which is the plain picture."""
    graph = Scene()
    base = graph.checkpoint()
    prompt = graph.prompts(base[1])[0]
    tiles = graph("DSoupPanoramaTile", model=base[0], tile_width=tile, tile_height=tile, overlap_x=32, overlap_y=16)[0]
    for width, height in ((64, 64), (320, 64), (64, 136)):
        empty = graph("EmptyLatentImage", width=width, height=height, batch_size=1)[0]
        graph.keep(graph.steps(tiles, prompt, empty))
        graph.keep(graph.steps(base[0], prompt, empty))
    found = latents(comfy, graph)
    assert np.array_equal(found[0], found[1])
    assert found[2].shape == found[3].shape and differs(found[2], found[3]) and differs(found[4], found[5])


@pytest.mark.parametrize("prompted", (True, False))
def test_picture_that_holds_its_place(comfy, prompted):
    """Held to the end, a region is its picture; held for a part, its prompt changes it."""
    graph = Scene()
    base, image = graph.checkpoint(), graph.picture(SIDE, SIDE)[0]
    left, right = graph.prompts(base[1])
    for hold in (1.0, 0.5) if prompted else (1.0,):
        regions = graph.region(graph.canvas(), left.positive)
        regions = graph.region(regions, right.positive if prompted else None, x=SIDE, picture=image, vae=base[2],
                               hold=hold)
        graph.keep(graph.sampled(graph.panorama(base[0], regions, left.negative), steps=6))
    graph.keep(graph("VAEEncode", pixels=image, vae=base[2])[0])
    held, *half, encoded = latents(comfy, graph)
    assert close(held[..., 8:], encoded)
    assert not half or differs(half[0][..., 8:], encoded)


@pytest.mark.parametrize("batch", (1, 2, 3))
def test_two_pictures_that_hold_their_place(comfy, batch):
    """One for each picture of the batch, over and over again."""
    graph = Scene()
    base = graph.checkpoint()
    image = graph("ImageBatch", image1=graph.picture(SIDE, SIDE)[0], image2=graph.picture(SIDE, SIDE, 9)[0])[0]
    prompt = graph.prompts(base[1])[0]
    regions = graph.region(graph.canvas(batch_size=batch), prompt.positive)
    regions = graph.region(regions, None, x=SIDE, picture=image, vae=base[2], hold=1.0)
    graph.keep(graph.sampled(graph.panorama(base[0], regions, prompt.negative)))
    graph.keep(graph("VAEEncode", pixels=image, vae=base[2])[0])
    held, encoded = latents(comfy, graph)
    assert close(held[..., 8:], encoded[[0, 1, 0][:batch]])


def around(graph, shift=0, **settings):
    """A canvas all around with three regions that overlap, one of them itself all around, and a ControlNet; moved by
    some pixels."""
    base = graph.checkpoint()
    left, right = graph.prompts(base[1])
    regions = graph.canvas(AROUND, wrap=True, tile_width=128, overlap_x=32)
    for number, (prompt, x, width) in enumerate(((left, 0, AROUND), (right, 16, 96), (left, 120, 128))):
        regions = graph.region(regions, prompt.positive, x=(x + shift) % AROUND, width=width, noise_seed=number,
                               weights="quartic")
    panorama = graph.panorama(base[0], regions, left.negative)
    hint = graph.picture(AROUND)[0]
    if shift:
        ends = [graph("ImageCrop", image=hint, width=width, height=SIDE, x=x, y=0)[0]
                for x, width in ((AROUND - shift, shift), (0, AROUND - shift))]
        hint = graph("ImageStitch", image1=ends[0], image2=ends[1], direction="right", match_image_size=False,
                     spacing_width=0, spacing_color="white")[0]
    prompts = graph.controlled((panorama[1], panorama[2]), hint)
    return graph.steps(panorama[0], prompts, panorama[3], **settings), base[2]


@pytest.mark.parametrize("shift", (8, pytest.param(64, marks=pytest.mark.slow), 136))
def test_all_around_has_no_first_column(comfy, shift):
    """With all regions and a ControlNet's hint moved, the canvas is the same, moved."""
    graph = Scene()
    graph.keep(around(graph)[0])
    graph.keep(around(graph, shift)[0])
    still, moved = latents(comfy, graph)
    assert close(moved, np.roll(still, shift // 8, -1))


def test_decoding_all_around(client):
    """The ends meet as neighbours elsewhere do, and turning the latent turns the picture."""
    graph = Scene()
    latent, vae = around(graph)
    turned = graph("TestLatentRoll", samples=latent, columns=7)[0]
    decoded = [graph("DSoupVAEDecodeWrap", samples=each, vae=vae)[0] for each in (latent, turned)]
    decoded.append(graph("DSoupVAEDecodeWrap", samples=latent, vae=vae, padding=8)[0])
    decoded.append(graph("VAEDecode", samples=latent, vae=vae)[0])
    for each in decoded:
        graph("SaveImage", images=each, filename_prefix="around")
    found = [each.astype(float) for each in pictures(client.run(graph))]
    wrapped, moved, narrow, plain = (each for each in found if each.shape == (SIDE, AROUND, 3))
    assert np.abs(moved - np.roll(wrapped, 7 * 8, 1)).max() <= 2
    assert np.abs(narrow - wrapped).mean() < 1
    assert seam(wrapped) <= 1.25 < seam(plain)


def seam(picture):
    """The difference across the ends, in mean differences of neighbouring columns."""
    inside = np.abs(np.diff(picture, axis=1)).mean()
    return np.abs(picture[:, 0] - picture[:, -1]).mean() / inside
