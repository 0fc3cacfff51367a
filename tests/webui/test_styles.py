"""What is asked of styles, whose rows they are, and what the hooks leave behind."""

import pytest
import torch

from diffusion_soup import RecipeError
from diffusion_soup.dmm import Style, StyleMix
from diffusion_soup_webui import styling
from diffusion_soup_webui.style_rows import Picture, Rows
from diffusion_soup_webui.styles import LABELS, Part, StyleSettings, blended, describe, read, take_tags

from ..engine.test_codebook import codebook
from .sampling import Unet, encoded

BOOK = codebook()
ANIME, INK, PHOTO = (Style.of(BOOK, StyleMix({name: 1.0})) for name in BOOK.names)


# -- what is asked -----------------------------------------------------------------------------------


def test_the_section_says_what_the_node_says():
    given = StyleSettings("anime = 3\nink = 1", "after MLP", 0.5)
    wanted = Style.of(BOOK, StyleMix({"anime": 3, "ink": 1}, "after MLP", strength=0.5))
    assert torch.equal(given.style(BOOK).at(0.3), wanted.at(0))


def test_a_schedule_is_a_chain_of_schedule_styles():
    found = StyleSettings("anime = 1", schedule="0.25 smooth: ink = 1\n at 1: ").style(BOOK)
    none = Style.of(BOOK, StyleMix({}, strength=0))
    wanted = ANIME.then(INK, 0.25, "smooth").then(none, 1.0, "linear")
    assert all(torch.equal(found.at(moment), wanted.at(moment)) for moment in (0, 0.1, 0.25, 0.6, 1))
    assert not found.at(1).any()


def test_from_no_style_to_one():
    found = StyleSettings(schedule="0.5 step: ink = 1").style(BOOK)
    assert not found.at(0.4).any() and torch.equal(found.at(0.5), INK.at(0))


@pytest.mark.parametrize("settings, words", [
    (StyleSettings("oil = 1"), "no style called 'oil'; its styles are anime, ink, photo"),
    (StyleSettings("anime = -1"), "Turn on extrapolation"), (StyleSettings(), "sum to 0"),
    (StyleSettings("anime = 1", "loud"), "no way to mix styles called 'loud'"),
    (StyleSettings("anime = 1", schedule="0.5 slow: ink = 1"), "'0.5 slow: ink = 1' is not a key frame"),
    (StyleSettings("anime = 1", schedule="0.5.5: ink = 1"), "is not a key frame"),
    (StyleSettings("anime = 1", schedule="2: ink = 1"), "up to 1"),
    (StyleSettings("anime = 1", schedule="ink"), "is not a key frame"),
])
def test_what_cannot_be_done_is_said(settings, words):
    with pytest.raises(RecipeError, match=words):
        settings.style(BOOK)


def test_by_name_as_clients_send_it():
    found = read([{"weights": {"anime": 0.7, "ink": 0.3}, "strength": 1, "mode": "after MLP",
                   "schedule": [{"at": 0.5, "easing": "step", "weights": {"ink": 1}},
                                {"at": 1, "weights": "photo = 1"}]}])
    assert found == StyleSettings("anime = 0.7, ink = 0.3", "after MLP",
                                  schedule="0.5 step: ink = 1\n1 linear: photo = 1")
    assert read([{"enabled": False, "weights": "anime = 1"}]) is None and read([False, "anime = 1"]) is None
    assert read([True, "anime = 1", "paper", 0.5, False, True, ""]) == \
        StyleSettings("anime = 1", "paper", 0.5, False, True)
    assert read([]) is None


@pytest.mark.parametrize("fields, words", [
    ({"weight": 1}, "no field 'weight'; there are weights, mode"), ({"strength": "1"}, "strength .* expected float"),
    ({"normalise": 1}, "normalise .* expected bool"), ({"weights": 3}, "weights .* expected str"),
    ({"weights": {"anime": "much"}}, "are not weights of styles")])
def test_clients_mistakes(fields, words):
    with pytest.raises(RecipeError, match=words):
        StyleSettings.from_dict(fields)


def test_other_weights_of_some_styles():
    changed = StyleSettings("anime = 1\nink = 0.5", "after MLP").with_weights({"ink": 0, "photo": 2})
    assert changed == StyleSettings("anime = 1, ink = 0, photo = 2", "after MLP")


def test_a_picture_says_what_differs_from_the_usual():
    params = {}
    describe(StyleSettings("anime = 1"), params)
    assert params == {"DMM styles": "anime = 1"}
    describe(StyleSettings("anime = 1\nink = 2", "after MLP", 0.5, False, True, "1 linear: ink = 1"), params)
    assert list(params) == list(LABELS.values()) and params["DMM styles"] == "anime = 1, ink = 2"


# -- tags --------------------------------------------------------------------------------------------


def test_tags_belong_to_parts():
    text, parts = take_tags("a cat <style:anime:0.7><style:my: ink>:0.5 AND a <lora:x:1> dog <style:ink> ANDY")
    assert text == "a cat :0.5 AND a <lora:x:1> dog  ANDY"
    assert parts == [Part(0.5, {"anime": 0.7, "my: ink": 1.0}), Part(1.0, {"ink": 1.0})]
    assert take_tags("plain (words:1.2)") == ("plain (words:1.2)", [Part(1.0, {})])


@pytest.mark.parametrize("shares, weights, strength", [
    ({"anime": 1.0}, {"anime": 1}, 1), ({"anime": 0.5}, {"anime": 1}, 0.5), ({"anime": 2.0, "ink": 2.0},
                                                                             {"anime": 1, "ink": 1}, 1),
    ({"anime": 0.3, "ink": 0.3}, {"anime": 1, "ink": 1}, 0.6)])
def test_shares_below_one_leave_the_rest_unstyled(shares, weights, strength):
    wanted = Style.of(BOOK, StyleMix(weights, strength=strength))
    assert torch.allclose(StyleSettings().part(shares, BOOK).at(0), wanted.at(0))


def test_the_negative_prompt_has_all_parts_together():
    assert blended([Part(1, {"anime": 1.0}), Part(3, {"ink": 2.0}), Part(-1, {"photo": 1.0})]) == {
        "anime": 0.25, "ink": 0.75, "photo": 0}
    assert blended([Part(1, {}), Part(1, {"ink": 1.0})]) == {"ink": 0.5} and blended([Part(1, {})]) == {}


# -- whose rows --------------------------------------------------------------------------------------


def rows(texts, styles, forge=False, negative=PHOTO, pictures=1):
    found = Rows([Picture(tuple(styles), negative)] * pictures, forge)
    found.step(torch.stack([encoded(text) for text in texts] * pictures),
               {"crossattn": torch.stack([encoded("bad")] * pictures)})
    return found


def chosen(found, *texts, longer=0):
    context = torch.stack([torch.cat([encoded(text), torch.zeros(longer, 4)]) for text in texts])
    return found.choose(styling.Call(len(texts), context, 0.0))


def test_rows_are_told_by_their_prompts():
    found = rows(["cat", "dog"], [ANIME, INK])
    assert chosen(found, "cat", "dog", "bad") == [ANIME, INK, PHOTO]
    assert chosen(found, "dog") + chosen(found, "bad", "cat", longer=2) == [INK, PHOTO, ANIME], "split, and made longer"
    assert chosen(found, "bad", "dog", "cat", "bad", "dog", "cat") == [PHOTO, INK, ANIME] * 2, "two tiles"
    assert not found.strange


@pytest.mark.parametrize("forge", [False, True])
def test_one_wording_twice_goes_by_the_hosts_order(forge):
    found = rows(["cat", "cat"], [ANIME, INK], forge)
    expected = [PHOTO, INK, ANIME] if forge else [ANIME, INK, PHOTO]
    texts = ["bad", "cat", "cat"] if forge else ["cat", "cat", "bad"]
    for _ in range(2):
        assert chosen(found, *texts) == expected
    assert chosen(found, texts[0]) + chosen(found, *texts[1:]) == expected
    both = rows(["cat", "cat"], [ANIME, INK], forge, pictures=2)
    if forge:
        assert chosen(both, "bad", "bad", *["cat"] * 4) == [PHOTO, PHOTO, INK, INK, ANIME, ANIME]
    else:
        assert chosen(both, *["cat"] * 4, "bad", "bad") == [ANIME, INK, ANIME, INK, PHOTO, PHOTO]


@pytest.mark.parametrize("forge", [False, True])
def test_a_whole_batch_of_changed_prompts_goes_by_order(forge):
    found = rows(["cat", "dog"], [ANIME, INK], forge)
    expected = [PHOTO, INK, ANIME] if forge else [ANIME, INK, PHOTO]
    assert chosen(found, "x", "y", "z") == expected and not found.strange


def test_tiles_of_a_panorama_are_the_pictures_again():
    found = Rows([Picture((ANIME, INK), PHOTO)], False)
    bad = torch.stack([encoded("bad")] * 2)
    found.step(torch.stack([encoded(text) for text in ("cat", "cat", "cat", "cat")]), bad)
    assert chosen(found, *["cat"] * 4, "bad", "bad") == [ANIME, INK, ANIME, INK, PHOTO, PHOTO]
    found.step(torch.stack([encoded(text) for text in ("cat", "dog")]), bad[:1])
    assert chosen(found, "cat", "dog", "bad") == [ANIME, INK, PHOTO] and not found.strange
    single = Rows([Picture((ANIME,), PHOTO)], False)
    single.step(torch.stack([encoded(text) for text in ("cat", "dog")]), bad[:1])
    assert chosen(single, "cat", "dog", "bad") == [ANIME, ANIME, PHOTO], "AND is in the region's prompt"
    found.step(torch.stack([encoded("cat")] * 3), bad[:1])
    assert chosen(found, "cat") == [None] and found.strange
    found.step(torch.stack([encoded("cat"), encoded("dog")]), bad[:1])
    assert chosen(found, "dog") == [INK] and found.strange, "said even if later steps are right"


def test_rows_of_nobody_are_said_and_not_left_out():
    found = rows(["cat", "dog"], [ANIME, INK])
    found.otherwise = PHOTO
    assert chosen(found, "x", "cat") == [PHOTO, ANIME] and found.strange
    other = rows(["cat", "dog", "more"], [ANIME, INK])
    other.otherwise = PHOTO
    assert chosen(other, "cat", "dog") == [PHOTO, PHOTO] and other.strange, "another number of parts"


# -- hooks -------------------------------------------------------------------------------------------


def call(unet, time, *texts):
    return unet(torch.zeros(len(texts), 4, 8, 8), torch.full((len(texts),), time),
                context=torch.stack([encoded(text) for text in texts]))[0]


def test_each_row_gets_its_own_and_nothing_stays():
    unet = Unet()
    plain = call(unet, 500.0, "a", "b", "c")
    with styling.styled(lambda: unet, lambda call: [ANIME, None, INK]) as report:
        found = call(unet, 500.0, "a", "b", "c")
        assert torch.equal(found, torch.stack([plain[0] + ANIME.at(0), plain[1], plain[2] + INK.at(0)]))
    assert report.calls == 1 and not report.troubles and not unet.hooks
    assert torch.equal(call(unet, 500.0, "a", "b", "c"), plain)


def test_no_style_is_the_models_own_tensor():
    unet, off = Unet(), Style.of(BOOK, StyleMix({}, strength=0))
    plain = call(unet, 10.0, "a")
    for nothing in (None, off, [None], [off]):
        with styling.styled(lambda: unet, lambda call, nothing=nothing: nothing):
            assert torch.equal(call(unet, 10.0, "a"), plain)


def test_the_moment_is_comfyuis():
    unet, seen = Unet(), []
    with styling.styled(lambda: unet, lambda call: seen.append(call.moment)):
        for time in (999, 749.25, 0, 1200):
            call(unet, float(time), "a")
    assert seen == [0, 0.25, 1, 0]


def test_the_innermost_counts_and_an_error_leaves_nothing():
    unet = Unet()
    plain = call(unet, 500.0, "a")
    with pytest.raises(ZeroDivisionError), styling.styled(lambda: unet, lambda call: ANIME):
        with styling.styled(lambda: unet, lambda call: INK):
            assert torch.equal(call(unet, 500.0, "a"), plain + INK.at(0))
        assert torch.equal(call(unet, 500.0, "a"), plain + ANIME.at(0))
        _ = 1 / 0
    assert not unet.hooks


def test_the_hooks_follow_the_model():
    first, second, now = Unet(), Unet(), []
    now.append(first)
    with styling.styled(lambda: now[-1], lambda call: ANIME):
        assert first.hooks and not second.hooks
        now.append(second)
        styling.follow()
        assert second.hooks and not first.hooks
        now.append(None)
        styling.follow()
        assert not second.hooks
