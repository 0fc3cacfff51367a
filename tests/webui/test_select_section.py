"""The section Select of the Soup tab in real gradio, by mouse and keyboard."""

import urllib.request

import pytest

from .pages import SCREENSHOTS, SoupPage


@pytest.fixture
def section(soup):
    """Open, with three ingredients in the table and nothing that a test before has typed."""
    soup.fresh("ember", "lagoon", "meadow")
    soup.pace(0.3)
    open_section(soup)
    soup.page.fill("#dsoup_select_prompts", "")
    soup.page.select_option("#dsoup_select_method", "greedy")
    return soup


def open_section(soup):
    if soup.page.get_attribute("#dsoup_select", "open") is None:
        soup.page.click("#dsoup_select > summary")
    soup.page.wait_for_selector("#dsoup_select_now")


def begin(soup, prompts="a fox\na box"):
    soup.page.fill("#dsoup_select_prompts", prompts)
    soup.page.click("#dsoup_select_now")


def test_it_is_closed_until_somebody_opens_it(chromium, server):
    soup = SoupPage(chromium, server[0])
    soup.page.wait_for_selector("#dsoup_select > summary")
    assert not soup.page.is_visible("#dsoup_select_now") and soup.page.get_attribute("#dsoup_select", "open") is None
    soup.close()


def test_the_table_gets_the_selected_shares(section):
    section.type("ember", "Share", "2")
    section.recipe("recipe => recipe.ingredients[0].weight === 2")
    before = section.page.inner_text("#dsoup_in_use")
    begin(section)
    section.wait("() => document.querySelector('#dsoup_selected img')?.naturalWidth === 1024")
    section.wait("() => document.querySelectorAll('.ds-rows .ds-row.out').length === 1")
    assert section.parts() == {"ember": 66.7, "lagoon": 33.3, "meadow": 0}
    assert [each["file"] for each in section.recipe("recipe => recipe.ingredients.length === 2")["ingredients"]] == [
        "ember.safetensors", "lagoon.safetensors"]
    assert section.page.inner_text("#dsoup_in_use") == before, "the model before is in use"
    assert not section.page.is_visible("#dsoup_selected_load")
    section.said("Selected: made up.", "#dsoup_selected")
    section.page.click("button[title^='Undo the last edit']")
    section.wait("() => !document.querySelector('.ds-rows .ds-row.out')")
    assert section.parts()["meadow"] == 25
    section.page.click("button[title^='Redo']")
    section.page.click("#dsoup_cook_now")
    section.said("ember", "#dsoup_in_use")
    section.said("Cooked.")
    section.page.click("#dsoup_undo_now")
    section.said(before, "#dsoup_in_use")


def test_a_table_that_was_changed_meanwhile_is_left_alone(section):
    section.pace(60)
    begin(section)
    section.page.wait_for_selector("#dsoup_cancel_now")
    section.said("selecting: soup 1")
    section.type("ember", "Share", "5")
    section.pace(0.1)
    section.page.wait_for_selector("#dsoup_selected_load")
    assert section.parts() == {"ember": 71.4, "lagoon": 14.3, "meadow": 14.3}
    section.page.click("#dsoup_selected_load")
    section.wait("() => document.querySelectorAll('.ds-rows .ds-row.out').length === 1")
    assert section.parts() == {"ember": 50, "lagoon": 50, "meadow": 0}


def test_another_page_is_offered_what_was_selected(section):
    begin(section)
    section.wait("() => document.querySelectorAll('.ds-rows .ds-row.out').length === 1")
    other = section.another()
    open_section(other)
    other.page.wait_for_selector("#dsoup_selected_load")
    other.page.close()


def test_what_it_costs_is_said_before(section):
    section.page.fill("#dsoup_select_prompts", "a fox\na box\n# no prompt\na fox")
    section.said("3 candidates: at most 5 soups and 10 pictures", "#dsoup_select_said")
    section.page.select_option("#dsoup_select_method", "reverse")
    section.said("at most 7 soups and 14 pictures", "#dsoup_select_said")
    section.press("meadow", "mute")
    section.said("2 candidates: at most 4 soups and 8 pictures", "#dsoup_select_said")
    section.page.fill("#dsoup_select_budget", "3")
    section.page.press("#dsoup_select_budget", "Enter")
    section.said("at most 3 soups and 6 pictures", "#dsoup_select_said")
    section.page.fill("#dsoup_select_budget", "")
    section.page.press("#dsoup_select_budget", "Enter")
    section.said("at most 4 soups", "#dsoup_select_said")
    section.wait("() => document.querySelector('#dsoup_select_budget').value === '0'")


def test_shares_of_blocks_are_for_searches_of_shares(section):
    assert not section.page.is_visible("#dsoup_select_blocks")
    section.page.select_option("#dsoup_select_method", "coordinate")
    assert section.page.is_visible("#dsoup_select_blocks")
    assert section.page.is_disabled("#dsoup_select_method option[value=cma]"), "it is not installed"


def test_what_is_wrong_is_said_there(section):
    section.page.click("#dsoup_select_now")
    section.said("There is no prompt to paint", "#dsoup_select_said.ds-error")
    section.page.fill("#dsoup_select_prompts", "a fox")
    section.page.fill("#dsoup_select_width", "100")
    section.page.click("#dsoup_select_now")
    section.said("width of the selection is 100; expected a multiple of 8", "#dsoup_select_said.ds-error")
    section.page.fill("#dsoup_select_width", "64")
    section.page.press("#dsoup_select_width", "Enter")
    section.wait("() => !document.querySelector('#dsoup_select_said.ds-error')")


def test_cancel(section):
    section.pace(60)
    begin(section)
    section.page.click("#dsoup_cancel_now")
    section.said("Cancelled")
    assert section.parts()["meadow"] == 33.3 and not section.page.is_visible("#dsoup_cancel_now")
    section.pace(0.3)


def test_scorers_are_looked_for_again(section):
    urllib.request.urlopen(f"{section.url}/scorers/none").read()
    section.page.click("#dsoup_select_refresh")
    section.said("No scorer was found in models/diffusion_soup/scorers", "#dsoup_select_said")
    section.said("none found", "#dsoup_select_scorer")
    urllib.request.urlopen(f"{section.url}/scorers/pickscore:new").read()
    section.page.click("#dsoup_select_refresh")
    section.wait("() => document.querySelector('#dsoup_select_scorer').value === 'pickscore:new'")


def test_what_was_typed_is_there_after_a_reload(section):
    section.page.fill("#dsoup_select_prompts", "kept")
    section.page.fill("#dsoup_select_steps", "33")
    section.page.press("#dsoup_select_steps", "Enter")
    section.page.reload()
    section.page.wait_for_selector("#dsoup_add_checkpoint")
    open_section(section)
    assert section.page.input_value("#dsoup_select_prompts") == "kept"
    assert section.page.input_value("#dsoup_select_steps") == "33"


def test_nothing_went_wrong_in_the_page(soup):
    assert soup.errors == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures_of_the_section(chromium, server, theme, request):
    if not SCREENSHOTS:
        pytest.skip("SCREENSHOTS names no folder for pictures.")
    urllib.request.urlopen(f"{server[0]}/scorers/clipscore:ViT-L-14,aesthetic:ViT-L-14").read()
    soup = SoupPage(chromium, server[0], theme)
    soup.fresh("ember", "lagoon", "meadow")
    soup.pace(0.1)
    open_section(soup)
    begin(soup, "a red fox in the snow\na wooden box on a table")
    soup.wait("() => document.querySelectorAll('.ds-rows .ds-row.out').length === 1")
    soup.wait("() => document.querySelector('#dsoup_selected img')?.naturalWidth === 1024")
    soup.shoot(f"select-{request.node.callspec.params['server']}-{theme}")
    soup.close()
