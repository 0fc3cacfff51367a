"""The letters of drawn labels, with Pillow as it is and as it was before 10.1."""

import pytest

from diffusion_soup import fonts

ImageFont = pytest.importorskip("PIL.ImageFont")


def test_letters_have_the_size_that_is_asked_for():
    small, large = (fonts.font(size).getbbox("H") for size in (10, 40))
    assert large[3] > 3 * small[3]


def test_an_old_pillow_has_matplotlibs_letters_where_there_are_some(monkeypatch):
    own = ImageFont.load_default(10)
    monkeypatch.setattr(ImageFont, "load_default", lambda: own)  # has but one size
    monkeypatch.setattr(ImageFont, "truetype", lambda file, size: (file, size))
    monkeypatch.setattr(fonts, "dejavu", lambda: "DejaVuSans.ttf")
    assert fonts.font(40) == ("DejaVuSans.ttf", 40)
    monkeypatch.setattr(fonts, "dejavu", lambda: None)
    assert fonts.font(40) is own
    assert fonts.font(40, "mine.ttf") == ("mine.ttf", 40)
