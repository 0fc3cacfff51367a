"""Pictures of the lab's world: shapes by their distances, pictures by their pixels, and the same bits every time."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion_soup.cli import main
from diffusion_soup.lab.draws import mixed, uniforms
from diffusion_soup.lab.render import PALETTE, draw, fingerprint, speed
from diffusion_soup.lab.shapes import DISTANCES
from diffusion_soup.lab.shards import WORLD
from diffusion_soup.lab.sheet import enlarged, tiled, world_sheet, write_png
from diffusion_soup.lab.world import BACKGROUNDS, SHAPES, SIZES, STYLES, Scene, Scenes, Thing, WorldError

NEAR = st.floats(-1.5, 1.5, width=32)


def one(shape="circle", colour="red", size="large", position="centre", background="plain", style="flat", seed=0):
    return Scene((Thing(shape, colour, size, position),), background, style, seed)


def test_splitmix_by_hand():
    """The first numbers of SplitMix64 seeded with 0 and with its own step."""
    assert mixed(np.array([0, 0x9E3779B97F4A7C15], dtype=np.uint64)).tolist() == [
        0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


def test_uniform_numbers_are_uniform():
    drawn = uniforms(np.arange(20000, dtype=np.uint64), 4)
    assert drawn.min() >= 0 and drawn.max() < 1
    assert np.abs(drawn.mean(0) - 0.5).max() < 0.01 and np.abs(drawn.var(0) - 1 / 12).max() < 0.003
    assert np.abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 0.03


# -- shapes ----------------------------------------------------------------------------------------------


def test_shapes_are_in_the_order_of_their_words():
    assert tuple(DISTANCES) == SHAPES


@pytest.mark.parametrize(("shape", "x", "y", "wanted"), [
    ("circle", 0, 2, 1.05), ("circle", 0, 0, -0.95), ("square", 2, 0, 1.18), ("square", 0, 0, -0.82),
    ("square", 1.82, 1.82, 2**0.5), ("ring", 0, 0, 0.49), ("ring", 0.74, 0, -0.25), ("cross", 0.98, 0.32, 0),
    ("cross", 0, -1.5, 0.52), ("star", 0, -1.12, 0), ("star", 0, -2.12, 1), ("triangle", 0, -0.9547, 0),
    ("triangle", 0, 1.7774, 1), ("triangle", 1, 0.7774, 0)])
def test_distances_by_hand(shape, x, y, wanted):
    assert DISTANCES[shape](torch.tensor(float(x)), torch.tensor(float(y))).item() == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
@given(NEAR, NEAR, NEAR, NEAR)
def test_a_distance_changes_no_faster_than_one_walks(shape, x, y, u, v):
    points = torch.tensor([[x, y], [u, v]])
    first, second = DISTANCES[shape](points[:, 0], points[:, 1])
    assert abs(first - second) <= (points[0] - points[1]).norm() + 1e-4


@pytest.mark.parametrize("shape", SHAPES)
@given(NEAR, NEAR)
def test_shapes_are_the_same_left_and_right(shape, x, y):
    left, right = (DISTANCES[shape](torch.tensor(each), torch.tensor(y)) for each in (x, -x))
    assert left == right


# -- pictures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 17, 24, 32, 64])
def test_any_size(size):
    pictures = draw(WORLD.scenes(range(40)), size)
    assert pictures.shape == (40, 3, size, size) and pictures.dtype == torch.float32
    assert pictures.isfinite().all() and pictures.min() >= -1 and pictures.max() <= 1
    assert (pictures.flatten(1).std(1) > 0.02).all()


def test_too_small():
    with pytest.raises(WorldError, match="not 15"):
        draw([one()], 15)


def test_no_scenes_no_pictures():
    assert draw([], 16).shape == (0, 3, 16, 16)


@pytest.mark.parametrize("size", [16, 20, 33])
def test_the_same_bits_in_any_batch_and_on_any_threads(size):
    scenes = WORLD.scenes(range(90))
    whole, threads = draw(scenes, size), torch.get_num_threads()
    assert torch.equal(whole, torch.cat([draw([scene], size) for scene in scenes]))
    assert torch.equal(whole.flip(0), draw(list(scenes)[::-1], size))
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        assert torch.equal(whole, draw(scenes, size))
    finally:
        torch.set_num_threads(threads)


def test_the_seed_moves_a_picture_a_little():
    pictures = draw([one(seed=seed) for seed in range(20)], 32)
    apart = [(a - b).abs().mean().item() for a, b in combinations(pictures, 2)]
    assert 0 < min(apart) and max(apart) < 0.2


def test_a_circle_has_its_colour_place_and_size():
    """A radius of 0.5 ± 5 %, of a picture 2 wide: π (0.95 r)² / 4 of the pixels are in its colour."""
    picture = draw([one()], 64)[0]
    red = torch.tensor(PALETTE[0]) * 2 - 1
    inside = ((picture - red[:, None, None]).abs().sum(0) < 0.2).float()
    assert picture[:, 32, 32].tolist() == pytest.approx(red.tolist(), abs=1e-6)
    assert inside.mean().item() == pytest.approx(3.1416 * 0.475**2 / 4, rel=0.15)
    middle = (inside * torch.arange(64)).sum() / inside.sum(), (inside.T * torch.arange(64)).sum() / inside.sum()
    assert max(abs(float(each) - 31.5) for each in middle) < 2


@pytest.mark.parametrize(("position", "row", "column"), [("left", 32, 15), ("right", 32, 48), ("top", 15, 32),
                                                         ("bottom", 48, 32), ("centre", 32, 32)])
def test_where_things_stand(position, row, column):
    blue = torch.tensor(PALETTE[4]) * 2 - 1
    picture = draw([one("square", "blue", "small", position)], 64)[0]
    assert picture[:, row, column].tolist() == pytest.approx(blue.tolist(), abs=1e-6)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("what", "words"), [("shape", SHAPES), ("background", BACKGROUNDS), ("size", SIZES)])
def test_words_can_be_told_apart_at_16_px(style, what, words):
    """The two most alike are still apart, at one seed: what the judge's accuracy shows for all of them."""
    pictures = draw([one(**{"size": "small", what: word, "style": style}) for word in words], 16)
    assert min((a - b).square().mean().sqrt() for a, b in combinations(pictures, 2)) > 0.03


def test_styles_are_visibly_different():
    for scene in WORLD.scenes(range(8)):
        pictures = draw([Scene(scene.things, scene.background, style) for style in STYLES], 16)
        assert min((a - b).square().mean().sqrt() for a, b in combinations(pictures, 2)) > 0.12


def test_a_larger_picture_shows_the_same():
    """Averaged down, 64 px are about the picture of 16 px; styles of thin lines are left out."""
    scenes = [one(shape, background="sunset", style="flat") for shape in SHAPES]
    small, large = draw(scenes, 16), torch.nn.functional.avg_pool2d(draw(scenes, 64), 4)
    assert (small - large).abs().mean() < 0.02


def test_the_fingerprint_is_of_the_pictures():
    assert fingerprint() == fingerprint() and len(fingerprint()) == 64


def test_speed_is_measured():
    assert speed(WORLD.scenes(range(32)), 16) > 100


# -- sheets ----------------------------------------------------------------------------------------------


def test_tiles_by_hand():
    sheet = tiled(torch.zeros(3, 3, 4, 4), 2, gap=1)
    assert sheet.shape == (3, 11, 11)
    assert sheet[0, 5].tolist() == [1.0] * 11 and sheet[0, 1].tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert sheet[0, 7].tolist() == [1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    assert enlarged(torch.tensor([[[1.0, 0.0]]]), 2).tolist() == [[[1, 1, 0, 0], [1, 1, 0, 0]]]


def test_pictures_are_written_in_eight_bits(tmp_path):
    image = pytest.importorskip("PIL.Image")
    levels = torch.tensor([[[-1.0, 1.0]], [[0.0, 1.0]], [[1.0, -1.0]]])
    for name, picture in (("levels", levels), ("scene", draw([one()], 16)[0])):
        write_png(picture, tmp_path / f"{name}.png")
        with image.open(tmp_path / f"{name}.png") as opened:
            read = torch.from_numpy(np.array(opened)).permute(2, 0, 1)
        assert torch.equal(read, ((picture + 1) * 127.5).round().to(torch.uint8))
    with image.open(tmp_path / "levels.png") as opened:
        assert opened.tobytes() == bytes([0, 128, 255, 255, 255, 0])


def test_the_sheet_has_a_row_for_each_style():
    assert world_sheet(16, columns=9).shape == (3, 8 * 18 + 2, 9 * 18 + 2)


def test_the_command(tmp_path, capsys):
    pytest.importorskip("PIL")
    assert main(["lab", "world", "--size", "16", "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
    assert main(["lab", "world", "--sheet", str(tmp_path / "none" / "sheet.png")]) == 2
    assert "could not be written" in capsys.readouterr().err
    assert main(["lab", "world", "--size", "8", "--sheet", str(tmp_path / "other.png")]) == 2


def test_facts_of_many_are_drawn_as_scenes_are():
    scenes = WORLD.scenes(range(5))
    assert torch.equal(draw(scenes, 16), draw(list(scenes), 16)) and isinstance(scenes, Scenes)
