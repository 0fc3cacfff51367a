"""What was tasted, as a picture and in words."""

from diffusion_soup import heat_map

from .conftest import recipe


def test_a_row_an_ingredient_and_its_verdict(kitchen):
    told, picture = kitchen.taste(recipe(a=1, b=1, c=1))
    assert all(f"**{name}**" in told for name in "abc")
    fewer = kitchen.taste(recipe(a=1, b=1))[1]
    assert picture.width == fewer.width and picture.height > fewer.height


def test_colours_are_of_the_logarithm():
    assert heat_map.colour(0.001) == heat_map.colour(1e-9) == (0, 34, 78)
    assert heat_map.colour(1.0) == heat_map.colour(40.0) == (254, 232, 56)
    assert heat_map.colour(10**-1.5) == (124, 123, 120)
    assert heat_map.colour(None) == heat_map.colour(float("nan")) not in (heat_map.colour(0.001), heat_map.colour(1.0))
