"""FIDt on pictures whose styles are known."""

from __future__ import annotations

import json

import pytest
import torch

from diffusion_soup.dmm.evaluate import Evaluation, Painted, evaluate, heat_map, timestep_errors
from diffusion_soup.errors import Cancelled, FileError, RecipeError
from diffusion_soup.frechet import fid

NAMES = ("ink", "clay", "neon")
MEANS = torch.tensor([0.3, 0.5, 0.7])


def features(pictures):
    return pictures.flatten(1)


def painter(shift=0.0, order=(0, 1, 2)):
    """Pictures of three grey styles."""
    def paint(style, seed):
        generator = torch.Generator().manual_seed(seed)
        return MEANS[order[style]] + shift + 0.03 * torch.randn(200, 3, 2, 2, generator=generator)
    return paint


def test_a_student_that_is_its_teachers():
    found = evaluate(NAMES, painter(), painter(), features)
    assert found.ratio == 1 and found.same_seed == (0, 0, 0) and found.mixed_up == []
    assert found.pictures == 200 and found.matrix == found.teachers
    far = [found.matrix[i][j] for i in range(3) for j in range(3) if i != j]
    assert min(far) > 10 * max(found.matrix[i][i] for i in range(3))


def test_the_matrix_is_the_fid_of_each_to_each():
    found = evaluate(NAMES, painter(0.01), painter(), features)
    for i in range(3):
        for j in range(3):
            wanted = fid(features(painter(0.01)(i, 0)), features(painter()(j, 1)))
            assert found.matrix[i][j] == pytest.approx(wanted, rel=1e-6)
    assert found.fidt == pytest.approx(sum(found.matrix[i][i] for i in range(3)))
    assert found.reference == pytest.approx(sum(fid(features(painter()(i, 0)), features(painter()(i, 1)))
                                                for i in range(3)))
    assert found.ratio > 1 and found.same_seed == pytest.approx((0.01,) * 3, rel=1e-3)


def test_styles_that_are_mixed_up():
    assert evaluate(NAMES, painter(order=(1, 0, 2)), painter(), features).mixed_up == ["ink", "clay"]


def test_it_is_told_in_words_numbers_and_a_picture():
    found = evaluate(NAMES, painter(0.01), painter(), features)
    told = json.loads(json.dumps(found.told()))
    assert told["ratio"] == found.ratio and told["matrix"][1][2] == found.matrix[1][2]
    rows = found.markdown().splitlines()
    assert rows[0] == "| style | to ink | to clay | to neon | reference | same noise |"
    assert f"**{found.matrix[1][1]:.2f}**" in rows[3] and rows[3].endswith("| 0.0100 |")
    assert f"ratio {found.ratio:.3f}, by 200 pictures a style" in found.markdown()
    picture = heat_map(found)

    def lightness(row, column):
        return sum(picture.getpixel((170 + column * 84 + 6, 44 + row * 84 + 6)))

    assert all(lightness(i, i) < lightness(i, j) for i in range(3) for j in range(3) if i != j)


def test_what_was_painted_is_not_painted_again(tmp_path):
    made = []

    def paint(style, seed):
        made.append((style, seed))
        if len(made) == 3:
            raise Cancelled("cancelled")
        return painter()(style, seed)

    with pytest.raises(Cancelled):
        evaluate(NAMES, Painted(paint, "student", tmp_path), Painted(paint, "teachers", tmp_path), features)
    found = evaluate(NAMES, Painted(paint, "student", tmp_path), Painted(paint, "teachers", tmp_path), features)
    assert len(made) == 10 and found == evaluate(
        NAMES, Painted(paint, "student", tmp_path), Painted(paint, "teachers", tmp_path), features)
    assert len(made) == 10
    damaged = next(tmp_path.iterdir())
    damaged.write_bytes(damaged.read_bytes()[:100])
    evaluate(NAMES, Painted(paint, "student", tmp_path), Painted(paint, "teachers", tmp_path), features)
    assert len(made) == 11
    Painted(paint, "another", tmp_path)(0, 0)
    assert len(made) == 12


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="could not be written: .* Choose another folder for the evaluation"):
        Painted(painter(), "student", tmp_path / "file")(0, 0)


def test_too_few_or_unequal_pictures():
    with pytest.raises(RecipeError, match="There is 1 picture of ink; FID needs at least two"):
        evaluate(NAMES, painter(), lambda style, seed: painter()(style, seed)[:1], features)
    with pytest.raises(RecipeError, match="same prompts and sizes"):
        evaluate(NAMES, lambda style, seed: painter()(style, seed)[:50], painter(), features)


def test_errors_by_time():
    found = timestep_errors({900: torch.full((2, 4), 2.0), 10: torch.tensor([[1.0, 3.0]])})
    assert list(found.items()) == [(10, 2.0), (900, 2.0)]


def test_one_style_alone():
    found = Evaluation(("ink",), 2, ((3.0,),), ((2.0,),), (0.1,))
    assert found.ratio == 1.5 and "ratio 1.500" in found.markdown()
