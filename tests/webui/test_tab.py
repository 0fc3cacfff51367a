"""The Soup tab in real gradio, by mouse and keyboard: from an empty table to a soup in use."""

import json
import re
import struct
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from diffusion_soup import Ingredient, ModelFile, Recipe
from diffusion_soup.blocks import parse_mbw

from .pages import SCREENSHOTS, SoupPage

ROOT = Path(__file__).resolve().parents[2]
MIXED = Recipe((Ingredient("ember.safetensors", weight=0.7, blocks={"OUT03": 0.25, "IN00": 0.7}),
                Ingredient("people/portrait.safetensors", weight=0.3, elements=("OUT03-OUT05:attn2:0.5",)),
                Ingredient("ink.safetensors", "lora", weight=0.1, strength=0.6)),
               "task_arithmetic", {"scale": 0.9}, False, 7, ModelFile("meadow.safetensors"), "base",
               "ember.safetensors", "bfloat16")


def test_shares_are_dragged_and_make_room(soup):
    soup.fresh("ember", "lagoon", "meadow")
    assert soup.parts() == {"ember": 33.4, "lagoon": 33.3, "meadow": 33.3}
    soup.press("meadow", "lock")
    soup.drag(soup.row("ember").locator(".ds-bar"), 1 / 3, 0.5)
    parts = soup.parts()
    assert parts["meadow"] == pytest.approx(33.3, abs=0.11) and parts["ember"] == pytest.approx(50, abs=1.1)
    assert sum(parts.values()) == pytest.approx(100, abs=1e-6)
    recipe = soup.recipe("recipe => recipe.ingredients[0].weight > 1.4")
    shares = {each["file"]: each["weight"] for each in recipe["ingredients"]}
    assert shares["meadow.safetensors"] == 1 and sum(shares.values()) == pytest.approx(3, abs=1e-3)
    soup.page.click("button[title^='Undo the last edit']")
    soup.wait("() => document.querySelector('.ds-rows .locked')")
    assert soup.parts()["ember"] == 33.4, "one drag is one step"


def test_numbers_are_typed(soup):
    soup.fresh("ember", "lagoon")
    soup.type("ember", "Share", "0,3")
    soup.type("lagoon", "Share", "0.7")
    assert soup.parts() == {"ember": 30, "lagoon": 70}
    soup.type("ember", "Percent", "25 %")
    assert soup.parts() == {"ember": 25, "lagoon": 75}
    soup.type("ember", "Share", "nonsense")
    assert soup.field("ember", "Share").input_value() == "0.25"
    soup.row("ember").locator("input[type=range]").press("ArrowRight")
    assert soup.parts() == {"ember": 26, "lagoon": 74}


def test_the_border_of_two_parts_is_dragged(soup):
    soup.fresh("ember", "lagoon", "meadow")
    box = soup.page.locator(".ds-stack").bounding_box()
    soup.page.mouse.move(box["x"] + box["width"] / 3, box["y"] + 10)
    soup.page.mouse.down()
    soup.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 10, steps=4)
    soup.page.mouse.up()
    parts = soup.parts()
    assert parts["meadow"] == pytest.approx(33.3, abs=0.11) and parts["ember"] == pytest.approx(50, abs=0.6)


def test_mute_and_solo(soup):
    soup.fresh("ember", "lagoon", "meadow")
    soup.press("ember", "mute")
    assert soup.parts() == {"ember": 0, "lagoon": 50, "meadow": 50}
    assert len(soup.recipe("recipe => recipe.ingredients.length === 2")["ingredients"]) == 2
    soup.press("ember", "solo")
    assert soup.parts() == {"ember": 100, "lagoon": 0, "meadow": 0}
    assert soup.recipe("recipe => recipe.ingredients.length === 1")["ingredients"][0]["file"] == "ember.safetensors"


def test_rows_change_places(soup):
    soup.fresh("ember", "lagoon", "meadow")
    soup.row("ember").locator(".ds-name").press("Alt+ArrowDown")
    assert list(soup.parts()) == ["lagoon", "ember", "meadow"]
    grip, below = soup.row("lagoon").locator(".grip").bounding_box(), soup.row("meadow").bounding_box()
    soup.page.mouse.move(grip["x"] + 8, grip["y"] + 10)
    soup.page.mouse.down()
    soup.page.mouse.move(grip["x"] + 8, below["y"] + below["height"] - 2, steps=8)
    soup.page.mouse.up()
    assert list(soup.parts()) == ["ember", "meadow", "lagoon"]
    recipe = soup.recipe("recipe => recipe.ingredients[2].file.startsWith('lagoon')")
    assert [each["file"].partition(".")[0] for each in recipe["ingredients"]] == ["ember", "meadow", "lagoon"]


def test_files_are_found_by_the_keyboard(soup):
    soup.empty()
    soup.page.click("#dsoup_add_checkpoint")
    soup.page.keyboard.type("port PEOPLE")
    soup.page.keyboard.press("Enter")
    assert list(soup.parts()) == ["people/portrait"]


def test_block_weights_reach_the_recipe(soup):
    soup.fresh("ember", "lagoon")
    soup.press("lagoon", "blocks")
    soup.wait("() => document.querySelectorAll('.dsoup-bars.u .dsoup-bar').length === 28")
    text = ",".join(["0.5", *[f"0.{at % 10}" for at in range(25)]])
    soup.page.get_by_label("Block weights as text").fill(text)
    soup.page.keyboard.press("Enter")
    blocks = soup.recipe("recipe => Object.keys(recipe.ingredients[1].blocks).length > 20")["ingredients"][1]["blocks"]
    assert blocks == {name: weight for name, weight in parse_mbw(text, dialect="supermerger").items() if weight != 1}
    bar = soup.page.locator(".dsoup-bar[data-block=M00] .dsoup-track").bounding_box()
    soup.page.mouse.click(bar["x"] + bar["width"] / 2, bar["y"] + bar["height"] - 1)
    soup.recipe("recipe => recipe.ingredients[1].blocks.M00 === 0")
    soup.page.select_option("select[aria-label='What a block weight means']", "instead of the share")
    soup.page.get_by_label("Elements", exact=True).fill("OUT03:attn2:0.5")
    soup.page.get_by_label("Elements", exact=True).blur()
    soup.recipe("recipe => recipe.ingredients[1].elements[0] === 'OUT03:attn2:0.5'")
    soup.page.click(".ds-blocks button:has-text('Clear')")
    recipe = soup.recipe("recipe => !Object.keys(recipe.ingredients[1].blocks).length")
    assert recipe["ingredients"][1]["elements"] == []


def test_a_recipe_goes_in_and_comes_out_the_same(soup):
    soup.empty()
    soup.load(MIXED.to_json())
    soup.said("Loaded ember", "#dsoup_recipe_status")
    assert soup.recipe("recipe => recipe.ingredients.length === 3") == MIXED.to_dict()
    soup.page.click("#dsoup_copy")
    soup.said("Copied", "#dsoup_recipe_status")
    assert json.loads(soup.page.evaluate("() => navigator.clipboard.readText()")) == MIXED.to_dict()
    with soup.page.expect_download() as download:
        soup.page.click("#dsoup_download")
    assert json.loads(Path(download.value.path()).read_text()) == MIXED.to_dict()
    assert download.value.suggested_filename.endswith(".json")


def test_a_recipe_is_kept_on_the_server(soup, server):
    soup.fresh("ember", "lagoon")
    soup.page.click("#dsoup_keep")
    soup.said("Kept as ember 50 % + lagoon 50 %.json", "#dsoup_recipe_status")
    kept = server[1] / "recipes/ember 50 % + lagoon 50 %.json"
    assert [each.name for each in Recipe.from_json(kept.read_text()).ingredients] == ["ember", "lagoon"]
    soup.empty()
    soup.page.click("#dsoup_keep")
    soup.said("The table is empty", "#dsoup_recipe_status")


def test_files_are_dropped(soup, tmp_path):
    soup.fresh("lagoon")
    soup.recipe("recipe => recipe.ingredients.length === 1")
    info = PngInfo()
    info.add_text("diffusion_soup", MIXED.to_json())
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png", pnginfo=info)
    soup.drop("picture.png", (tmp_path / "picture.png").read_bytes())
    assert soup.recipe("recipe => recipe.ingredients.length === 3") == MIXED.to_dict()
    soup.fresh("lagoon")
    soup.recipe("recipe => recipe.ingredients.length === 1")
    header = json.dumps({"__metadata__": {"diffusion_soup": MIXED.to_json()},
                         "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    soup.drop("saved.safetensors", struct.pack("<Q", len(header)) + header + bytes(8))
    assert soup.recipe("recipe => recipe.ingredients.length === 3") == MIXED.to_dict()
    soup.drop("broken.safetensors", b"\xff" * 20)
    soup.said("broken.safetensors is damaged", "#dsoup_recipe_status")
    Image.new("RGB", (8, 8)).save(tmp_path / "bare.png")
    soup.drop("bare.png", (tmp_path / "bare.png").read_bytes())
    soup.said("bare.png holds no recipe", "#dsoup_recipe_status")


def test_what_is_wrong_is_said_where_one_looks(soup):
    soup.empty()
    soup.page.click("#dsoup_cook_now")
    soup.said("The table is empty.")
    soup.load("{")
    soup.said("This is not a recipe: it is not valid JSON", "#dsoup_recipe_status")
    soup.add("ink", kind="lora")
    soup.said("name the base checkpoint", "#dsoup_problem")
    soup.page.click("#dsoup_base")
    soup.page.click(".ds-file[title^='ember']")
    soup.wait("() => !document.querySelector('#dsoup_problem').textContent")
    soup.load(MIXED.to_json().replace("people/portrait", "gone<img src=x onerror=alert(1)>"))
    soup.said("was not found", "#dsoup_problem")
    assert soup.row("gone<img src=x onerror=alert(1)>").locator("small").inner_text() == "not found"
    assert soup.page.locator(".ds img[src=x]").count() == 0


def test_two_pages_see_one_cook(soup):
    """And go back to the model before."""
    soup.fresh("ember", "lagoon")
    soup.recipe()
    soup.pace(60)
    soup.page.click("#dsoup_cook_now")
    soup.said("s left")
    assert 0 <= int(soup.page.get_attribute(".ds-progress", "aria-valuenow")) < 100
    other = soup.another()
    other.said("Cooking")
    soup.pace(0.3)
    for page in (soup, other):
        page.said("Done")
        page.said("lagoon", "#dsoup_in_use")
    soup.page.click("#dsoup_undo_now")
    soup.said("a plain checkpoint", "#dsoup_in_use")
    for at in range(100):  # a hand that was on the page all the time moves
        other.page.mouse.move(300 + at, 300)
        if "a plain checkpoint" in other.page.inner_text("#dsoup_in_use"):
            break
        other.page.wait_for_timeout(100)
    other.said("a plain checkpoint", "#dsoup_in_use")
    other.page.close()
    soup.said("ember 50 % + lagoon 50 %", "#dsoup_log")


def test_two_clicks_on_cook_are_one_cook(soup):
    soup.fresh("ember", "lagoon")
    soup.pace(60)
    soup.page.dblclick("#dsoup_cook_now")
    soup.said("cooked already")
    soup.pace(0.3)
    soup.said("lagoon", "#dsoup_in_use")


def test_cancel(soup):
    soup.fresh("ember", "meadow")
    soup.pace(60)
    before = soup.page.inner_text("#dsoup_in_use")
    soup.page.click("#dsoup_cook_now")
    soup.page.click("#dsoup_cancel_now")
    soup.said("Cancelled")
    assert soup.page.inner_text("#dsoup_in_use") == before
    assert not soup.page.is_visible("#dsoup_cancel_now")
    soup.pace(0.3)


def test_the_soup_in_use_is_changed(soup):
    soup.fresh("ember", "lagoon", "meadow")
    soup.page.click("#dsoup_cook_now")
    soup.said("meadow", "#dsoup_in_use")
    soup.empty()
    soup.page.click("#dsoup_load_used")
    assert list(soup.parts()) == ["ember", "lagoon", "meadow"]
    soup.page.click("button[title^='Take lagoon out']")
    assert list(soup.parts()) == ["ember", "meadow"]
    soup.page.click("text=+ Add")
    soup.page.click(".ds-file[title='people/portrait.safetensors']")
    soup.page.click(".ds-dialog .primary")
    assert list(soup.parts()) == ["ember", "lagoon", "meadow", "people/portrait"]


def test_save_asks_before_it_overwrites(soup, server):
    target = server[1] / "checkpoints/my soup.safetensors"
    soup.fresh("ember", "lagoon")
    soup.page.click("#dsoup_save_now")
    soup.said("needs a name")
    soup.page.fill("#dsoup_save_name", "my soup")
    soup.page.click("#dsoup_save_now")
    soup.said("Saved as my soup.safetensors")
    assert target.exists()
    target.write_bytes(b"mine")
    soup.page.click("#dsoup_save_now")
    soup.said("is there already", ".ds-asked")
    soup.page.click("text=Keep it")
    assert target.read_bytes() == b"mine"
    soup.page.click("#dsoup_save_now")
    soup.page.click("#dsoup_overwrite_now")
    soup.page.wait_for_selector(".ds-asked", state="hidden")
    soup.said("Saved as")
    for _ in range(100):
        if target.read_bytes() != b"mine":
            break
        soup.page.wait_for_timeout(50)
    assert target.read_bytes() != b"mine"
    target.unlink()


def test_taste(soup):
    soup.fresh("ember", "lagoon")
    soup.page.click("#dsoup_taste")
    soup.wait("() => document.querySelector('.ds-taste img')?.naturalWidth === 180")
    soup.said("cosine 0.42", "#dsoup_taste_result li")
    soup.recipe("recipe => recipe.ingredients.length === 2")
    soup.wait("() => !document.querySelector('.ds-taste.old')")
    soup.type("ember", "Share", "0.5")
    soup.wait("() => document.querySelector('.ds-taste.old')")


def test_the_log_is_searched_and_loaded(soup):
    soup.fresh("ember", "people/portrait")
    soup.page.click("#dsoup_cook_now")
    soup.said("portrait", "#dsoup_log")
    soup.page.fill("#dsoup_log_search", "no such name")
    soup.said("No cook has these words", "#dsoup_log")
    soup.page.fill("#dsoup_log_search", "portrait")
    soup.said("portrait", "#dsoup_log")
    soup.empty()
    soup.page.locator("#dsoup_log button").first.click()
    assert list(soup.parts()) == ["ember", "people/portrait"]


def test_a_reload_brings_the_table_and_what_the_server_knows(soup):
    soup.fresh("ember", "lagoon")
    soup.type("ember", "Share", "0.25")
    soup.recipe("recipe => recipe.ingredients[0].weight === 0.25")
    soup.pace(60)
    soup.page.click("#dsoup_cook_now")
    soup.said("Cooking")
    soup.page.reload()
    soup.page.wait_for_selector("#dsoup_add_checkpoint")
    assert soup.parts() == {"ember": 20, "lagoon": 80}
    soup.said("Cooking")
    soup.pace(0.3)
    soup.said("Done")
    soup.said("ember", "#dsoup_in_use")
    soup.page.evaluate("() => localStorage.removeItem('dsoup_draft')")
    soup.page.reload()
    soup.page.wait_for_selector(".ds-rows .ds-row")
    assert soup.parts() == {"ember": 20, "lagoon": 80}, "the soup in use where this browser knows no table"


def test_a_page_that_waits_asks_nothing(soup):
    soup.page.mouse.move(5, 5)
    soup.page.wait_for_timeout(500)
    before = soup.asked()
    soup.page.wait_for_timeout(2500)
    assert soup.asked() == before


def test_the_lists_are_refreshed(soup, server):
    new = server[1] / "checkpoints/brand new.safetensors"
    soup.empty()
    new.write_bytes((server[1] / "checkpoints/ember.safetensors").read_bytes())
    soup.page.click("#dsoup_refresh")
    soup.wait("() => true")
    soup.page.wait_for_timeout(500)
    soup.add("brand new")
    new.unlink()
    soup.page.click("#dsoup_cook_now")
    soup.said("brand new.safetensors was not found")


def test_without_our_javascript_recipes_are_cooked_as_text(chromium, server):
    soup = SoupPage(chromium, server[0], live=False)
    field = soup.page.locator("#dsoup_recipe textarea")
    field.fill(Recipe((Ingredient("ember.safetensors"),)).to_json())
    soup.page.click("button#dsoup_cook")
    soup.said("cooking", "#dsoup_plain_status")
    field.fill("{")
    soup.page.click("button#dsoup_cook")
    soup.said("This is not a recipe", "#dsoup_plain_status")
    soup.close()


def test_nothing_went_wrong_in_the_page(soup):
    assert soup.errors == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures_of_the_tab(chromium, server, theme, request):
    if not SCREENSHOTS:
        pytest.skip("SCREENSHOTS names no folder for pictures.")
    soup = SoupPage(chromium, server[0], theme)
    version = request.node.callspec.params["server"]
    soup.fresh("ember", "lagoon", "meadow")
    soup.add("ink", kind="lora")
    soup.page.click("#dsoup_base")
    soup.page.click(".ds-file[title^='ember']")
    soup.press("lagoon", "blocks")
    soup.press("meadow", "lock")
    soup.page.select_option("select[aria-label='Source of the weights']", label="Ramp up")
    soup.page.click("#dsoup_taste")
    soup.page.wait_for_selector(".ds-taste img")
    soup.page.click("#dsoup_cook_now")
    soup.said("Done")
    soup.shoot(f"soup-{version}-{theme}")
    soup.close()


# -- what needs no browser ---------------------------------------------------------------------------


def test_styles_stay_in_the_tab_and_the_sections():
    text = re.sub(r"/\*.*?\*/", "", (ROOT / "style.css").read_text(), flags=re.S)
    text = re.sub(r"@keyframes dsoup-\w+ \{.*?\}\s*\}", "", text, flags=re.S)
    text = re.sub(r"@media[^{]*\{", "", text)
    text = re.sub(r":is\((\.dsoup[\w-]*(?:, \.dsoup[\w-]*)*)\)", r"\1", text)
    for selectors in re.findall(r"([^{}]+)\{", text):
        for selector in re.sub(r"\([^()]*(\([^()]*\))?[^()]*\)", "", selectors).split(","):
            ours = selector.strip().removeprefix(".dark ")
            assert ours.startswith(("#dsoup_tab", ".dsoup")), selector


def test_the_loader_knows_all_modules():
    loader = (ROOT / "javascript/diffusion_soup.js").read_text()
    lists = [re.findall(r'"(\w+)"', names) for names in re.findall(r'\.\.\.\[(.*?)\]', loader, re.S)]
    listed = {folder / f"{name}.js" for folder, names in zip((ROOT / "javascript/dsoup", ROOT / "js/lib"), lists)
              for name in names}
    editors = re.findall(r': "(\w+)"', re.search(r"EDITORS = \{(.*?)\}", loader, re.S)[1])
    found, waiting = set(), [ROOT / f"javascript/dsoup/{name}.js" for name in editors]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [(path.parent / name).resolve() for name in re.findall(r'from "(\..*?)"', path.read_text())]
    assert found == listed
