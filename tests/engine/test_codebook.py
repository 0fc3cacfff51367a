"""Style prompts: neutral cases to the bit, mixes worked by hand, and what is refused."""

import pytest
import torch
from torch.nn.functional import silu

from diffusion_soup.dmm import EASINGS, MODES, Codebook, Style, StyleMix, StyleMLP
from diffusion_soup.errors import MismatchError, RecipeError

NAMES = ("anime", "ink", "photo")


def mlp(width=4, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return StyleMLP(*(torch.randn(*shape, generator=draw) for shape in ((width, width), (width,)) * 2))


def codebook(seed=0, names=NAMES, width=4, mlp_seed=0, family="sd1"):
    codes = torch.randn(len(names), width, generator=torch.Generator().manual_seed(100 + seed))
    return Codebook(codes, mlp(width, mlp_seed), names, family, f"student{seed}.safetensors")


def by_hand(book, code):
    """The equation, written out."""
    layer = book.mlp
    return silu(code @ layer.weight1.T + layer.bias1) @ layer.weight2.T + layer.bias2


def mixed(book, text, **options):
    return Style.of(book, StyleMix.parse(text, book.names, **options)).at(0.0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weight", ["1", "0.3", "7"])
def test_one_style_is_that_style_to_the_bit(mode, name, weight):
    book = codebook()
    alone = book.mlp(book.codes[NAMES.index(name)])
    assert torch.equal(mixed(book, f"{name} = {weight}", mode=mode), alone)
    assert torch.allclose(alone, by_hand(book, book.codes[NAMES.index(name)]), atol=1e-6)


def test_paper_mode_averages_the_prompts():
    book = codebook()
    code = 0.25 * book.codes[0] + 0.75 * book.codes[2]
    assert torch.allclose(mixed(book, "anime = 1, photo = 3"), by_hand(book, code), atol=1e-6)


def test_norm_preserving_keeps_the_length():
    """Two orthogonal prompts of length 5 and 10, half and half: a length of 7.5."""
    book = Codebook(torch.tensor([[3.0, 4, 0, 0], [0, 0, 6, 8]]), mlp(), ("one", "two"))
    code = torch.tensor([1.5, 2, 3, 4])
    code = code * 7.5 / code.norm()
    assert torch.allclose(mixed(book, "one=1 \n two=1", mode="norm-preserving"), by_hand(book, code), atol=1e-5)


def test_after_mlp_averages_what_the_styles_do():
    book = codebook()
    wanted = 0.5 * by_hand(book, book.codes[0]) + 0.5 * by_hand(book, book.codes[1])
    assert torch.allclose(mixed(book, "0.2 0.2", mode="after MLP"), wanted, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_strength(mode):
    book = codebook()
    assert torch.equal(mixed(book, "anime = 1", mode=mode, strength=0.5), mixed(book, "anime = 1", mode=mode) * 0.5)
    nothing = Style.of(book, StyleMix.parse("", NAMES, mode=mode, strength=0.0))
    assert nothing.off and torch.equal(nothing.at(0.3), torch.zeros(4))


def test_extrapolation():
    book = codebook()
    with pytest.raises(RecipeError, match="negative weight"):
        mixed(book, "anime = 2, ink = -1")
    code = 2 * book.codes[0] - book.codes[1]
    assert torch.allclose(mixed(book, "anime = 2, ink = -1", extrapolate=True), by_hand(book, code), atol=1e-5)
    far = mixed(book, "anime = 1.5", normalise=False)
    assert torch.allclose(far, by_hand(book, 1.5 * book.codes[0]), atol=1e-5)


@pytest.mark.parametrize("text, words", [
    ("", "sum to 0"), ("anime = 0", "sum to 0"), ("anime = 1, ink = -1", "sum to 0"),
    ("manga = 1", "anime, ink, photo"),
    ("anime = much", "anime = much"), ("anime = nan", "give it a number"), ("anime = 1, anime = 2", "twice"),
    ("1 2 3 4", "4 weights for 3 styles"), ("= 1", "no style called"),
])
def test_bad_mixes_are_refused_in_words(text, words):
    with pytest.raises(RecipeError, match=words):
        mixed(codebook(), text, extrapolate=True)


def test_unknown_modes_and_easings():
    with pytest.raises(RecipeError, match="norm-preserving"):
        StyleMix({}, mode="average")
    one = Style.of(codebook(), StyleMix({"ink": 1.0}))
    with pytest.raises(RecipeError, match="ease in"):
        one.then(one, 1.0, "bouncy")


@pytest.mark.parametrize("codes, layer, words", [
    (torch.zeros(0, 4), mlp(), "no style prompts"), (torch.zeros(4), mlp(), "no style prompts"),
    (torch.zeros(2, 5), mlp(), "5 wide"),
    (torch.zeros(2, 4), StyleMLP(*mlp().tensors[:3], torch.zeros(5)), "linear_2.bias"),
])
def test_codebooks_that_do_not_fit(codes, layer, words):
    with pytest.raises(MismatchError, match=words):
        Codebook(codes, layer, file="x.safetensors")


@pytest.mark.parametrize("names, words", [
    (("a", "b"), "3 styles, but there are 2 names"), (("a", "b", "a"), "called 'a'"),
    (("a", "b", " "), "cannot be the name"),
    (("a", "b", "c=d"), "cannot be the name"), (("a", "b", "x\n"), "cannot be the name"),
])
def test_names_that_do_not_fit(names, words):
    with pytest.raises(RecipeError, match=words):
        codebook().renamed(names)


def test_default_names():
    assert Codebook(torch.zeros(2, 4), mlp()).names == ("style 1", "style 2")


# -- editing


def test_swapping_styles():
    one, other = codebook(), codebook(1, ("oil", "ink"))
    both = one.appended(other)
    assert both.names == ("anime", "ink", "photo", "oil", "ink 2") and torch.equal(both.codes[3:], other.codes)
    assert one.without(["ink"]).names == ("anime", "photo")
    new = one.replaced("photo", other, "oil")
    assert new.names == ("anime", "ink", "oil") and torch.equal(new.codes[2], other.codes[0])
    assert torch.equal(one.codes, codebook().codes), "nothing is changed in place"
    assert torch.equal(mixed(both, "oil = 1"), mixed(other, "oil = 1"))
    with pytest.raises(RecipeError, match="keep at least one"):
        one.without(NAMES)
    with pytest.raises(RecipeError, match="no style called 'oil'"):
        one.take(["oil"])


def test_styles_of_other_students():
    with pytest.raises(MismatchError, match="trained apart"):
        codebook().appended(codebook(1, mlp_seed=1))
    with pytest.raises(MismatchError, match="SDXL"):
        codebook().appended(codebook(1, family="sdxl"))


def test_fingerprint_is_of_numbers_not_of_dtypes():
    half = StyleMLP(*(tensor.half() for tensor in mlp().tensors))
    assert half.fingerprint == StyleMLP(*(tensor.float() for tensor in half.tensors)).fingerprint != mlp().fingerprint


# -- key frames


def of(book, name, **options):
    return Style.of(book, StyleMix({name: 1.0}, **options))


def test_schedule_is_a_mix_at_each_moment():
    book = codebook()
    style = of(book, "anime").then(of(book, "photo"), 0.5)
    assert torch.equal(style.at(0.0), mixed(book, "anime = 1"))
    assert torch.allclose(style.at(0.125), mixed(book, "anime = 0.75, photo = 0.25"), atol=1e-6)
    for moment in (0.5, 0.7, 1.0):
        assert torch.equal(style.at(moment), mixed(book, "photo = 1"))


def test_three_key_frames_and_a_step():
    book = codebook()
    style = of(book, "anime").then(of(book, "ink"), 0.4, "step").then(of(book, "photo"), 0.8, "smooth")
    assert torch.equal(style.at(0.399), mixed(book, "anime = 1"))
    assert torch.equal(style.at(0.4), mixed(book, "ink = 1"))
    assert torch.allclose(style.at(0.6), mixed(book, "ink = 1, photo = 1"), atol=1e-6)


def test_a_schedule_after_a_style_fits_into_the_time_left():
    book = codebook()
    style = of(book, "anime").then(of(book, "ink").then(of(book, "photo"), 1.0), 0.5)
    assert [frame.at for frame in style.frames] == [0.0, 0.5, 1.0]


def test_fading_a_style_in_and_out():
    book = codebook()
    off = of(book, "ink", strength=0.0)
    assert torch.allclose(off.then(of(book, "ink"), 1.0).at(0.25), mixed(book, "ink = 1") * 0.25, atol=1e-6)
    assert torch.equal(of(book, "ink").then(off, 1.0).at(1.0), torch.zeros(4))


def test_different_codebooks_or_modes_blend_what_they_add():
    book = codebook()
    other = book.appended(codebook(1, ("oil",)))
    style = of(book, "anime").then(of(other, "oil"), 1.0)
    assert torch.allclose(style.at(0.5), (mixed(book, "anime = 1") + mixed(other, "oil = 1")) / 2, atol=1e-6)
    style = of(book, "anime").then(of(book, "ink", mode="after MLP"), 1.0)
    assert torch.allclose(style.at(0.5), (mixed(book, "anime = 1") + mixed(book, "ink = 1")) / 2, atol=1e-6)


@pytest.mark.parametrize("at", [-0.1, 1.1, float("nan"), 0.3])
def test_bad_moments(at):
    book = codebook()
    style = of(book, "anime").then(of(book, "ink"), 0.5)
    with pytest.raises(RecipeError, match="moment"):
        style.then(of(book, "photo"), at)


@pytest.mark.parametrize("easing", EASINGS)
def test_easings_begin_and_end(easing):
    way = EASINGS[easing]
    assert way(0.0) == 0.0 and way(1.0) == pytest.approx(1.0)
    assert all(way(x / 10) <= way((x + 1) / 10) for x in range(10))
