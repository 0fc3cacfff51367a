"""The section DMM styles in real gradio, by mouse and keyboard: sliders for whatever styles there are."""

import json
import urllib.request
from urllib.parse import quote

import pytest

from .pages import SoupPage

FIELD = "#script_txt2img_dmm_styles_"
PASTED = {"DMM styles": "oil = 0.5, anime = 0.25", "DMM mode": "after MLP", "DMM strength": "0.8",
          "DMM normalise": False, "DMM extrapolate": True, "DMM schedule": "0.5 smooth: ink = 1\n1 linear: oil = 1"}


def turn_to_it(soup):
    """gradio 6 has each tab's button twice, one to measure it."""
    soup.wait("""() => { for (const tab of document.querySelectorAll('button'))
        if (tab.textContent.trim() === 'txt2img') tab.click();
        return document.querySelector('#generate')?.offsetParent; }""")


class Section:
    def __init__(self, soup):
        self.soup, self.page = soup, soup.page
        self.root = self.page.locator(f"{FIELD}section")

    def open(self, names="anime,ink,oil,photo"):
        """The section opened on a fresh page, with a student of these styles in use."""
        urllib.request.urlopen(f"{self.soup.url}/student/{quote(names)}").read()
        self.page.reload()
        turn_to_it(self.soup)
        self.root.get_by_text("DMM styles", exact=True).first.click()
        self.page.wait_for_selector(".dsoup_styles.live")
        if names != "none":
            self.page.wait_for_selector(".dsoup_styles.known .dsoup-style")

    def slide(self, name, share):
        self.soup.page.locator(f".dsoup-style[title='{name}']").scroll_into_view_if_needed()
        box = self.page.locator(f".dsoup-style[title='{name}']").bounding_box()
        self.page.mouse.click(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)

    def sliders(self):
        return self.page.evaluate("""() => Object.fromEntries([...document.querySelectorAll('.dsoup-style')]
            .map(row => [row.title, Number(row.querySelector('output').textContent)]))""")

    def generated(self, ready="found => true"):
        """What Python gets."""
        self.page.fill("#infotext textarea", "")
        self.page.click("#generate")
        self.soup.wait("""ready => { const text = document.querySelector('#infotext textarea').value;
            return text && eval(ready)(JSON.parse(text)); }""", ready)
        return json.loads(self.page.input_value("#infotext textarea"))

    def paste(self, params):
        self.page.fill("#infotext textarea", json.dumps(params))
        self.page.click("#paste")


@pytest.fixture
def section(chromium, server):
    page = SoupPage(chromium, server[0])
    yield Section(page)
    assert not page.errors
    page.close()


def test_sliders_reach_python(section):
    section.open()
    assert section.sliders() == {"anime": 0, "ink": 0, "oil": 0, "photo": 0}
    assert section.generated() == {}, "off until a style is raised"
    section.slide("anime", 0.7)
    section.slide("oil", 0.3)
    found = section.sliders()
    assert found["anime"] == pytest.approx(0.7, abs=0.02) and found["oil"] == pytest.approx(0.3, abs=0.02)
    text = f"anime = {found['anime']:g}, oil = {found['oil']:g}"
    assert section.generated() == {"DMM styles": text}
    section.page.get_by_label("Use styles").uncheck()
    section.slide("ink", 0.5)
    assert section.generated() == {}, "off stays off"


def test_pads_switches_and_key_frames(section):
    section.open()
    section.page.click(".dsoup-console button[title^='Pad: between four']")
    section.page.click("button[title='To the middle']")
    section.page.click("button[title^='Extrapolate is off']")
    section.page.select_option("select[aria-label='The way there']", "ease in")
    section.page.get_by_label("Share of the sampling at which it is reached").fill("0.5")
    section.page.keyboard.press("Enter")
    section.page.click("button:has-text('Add to the schedule')")
    mix = "anime = 0.25, ink = 0.25, oil = 0.25, photo = 0.25"
    assert section.generated("found => 'DMM schedule' in found") == {
        "DMM styles": mix, "DMM extrapolate": True, "DMM schedule": f"0.5 ease in: {mix}"}
    section.page.click(".dsoup-console button[title^='Undo']")
    section.soup.wait("() => document.querySelector('button[title^=\"Extrapolate is off\"]')")


def test_a_pasted_picture(section):
    section.open()
    section.paste(PASTED)
    section.soup.wait("""() => document.querySelector('.dsoup-style[title=oil] output').textContent === '0.50'""")
    assert section.sliders() == {"anime": 0.25, "ink": 0, "oil": 0.5, "photo": 0}
    found = section.generated()
    assert found.pop("DMM strength") == "0.8"
    assert found == {name: value for name, value in PASTED.items() if name != "DMM strength"}
    section.soup.shoot("styles-pasted")
    section.paste({"Steps": 4})
    assert section.generated("found => !Object.keys(found).length") == {}
    section.paste({"DMM styles": "watercolour = 1"})
    section.page.wait_for_selector(f"{FIELD}weights textarea", state="visible")
    assert "There is no style called" in section.page.locator(".dsoup-console .dsoup-say").inner_text()


def test_a_model_without_styles_says_so(section):
    section.open("none")
    section.soup.wait("() => document.querySelector('.dsoup_styles_place p').textContent.includes('no DMM student')")
    assert not section.page.is_visible(f"{FIELD}enabled") and not section.page.is_visible(".dsoup-console")
    urllib.request.urlopen(f"{section.soup.url}/student/a,b").read()
    section.page.mouse.move(0, 0)
    section.soup.wait("""() => { document.querySelector('.dsoup_styles').dispatchEvent(new Event('pointerenter'));
        return document.querySelectorAll('.dsoup-style').length === 2; }""")


def test_thirty_styles(section):
    section.open(",".join(f"style {number}" for number in range(30)))
    assert len(section.sliders()) == 30 and section.page.is_visible(".dsoup-filter")
    section.slide("style 27", 0.9)
    assert set(section.generated()) == {"DMM styles"}


def test_without_our_scripts(chromium, server):
    url, _ = server
    page = SoupPage(chromium, url, live=False)
    urllib.request.urlopen(f"{url}/student/anime,ink").read()
    turn_to_it(page)
    section = Section(page)
    section.root.get_by_text("DMM styles", exact=True).first.click()
    page.page.click(f"{FIELD}look")
    page.said("Styles: anime, ink.", f"{FIELD}said")
    page.page.get_by_label("Use styles").check()
    page.page.fill(f"{FIELD}weights textarea", "ink = 1")
    assert section.generated("found => 'DMM styles' in found") == {"DMM styles": "ink = 1"}
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_looks_like_the_host(chromium, server, theme):
    page = SoupPage(chromium, server[0], theme=theme, width=800)
    section = Section(page)
    section.open()
    section.slide("ink", 0.6)
    colours = page.page.evaluate("""() => [getComputedStyle(document.querySelector('.dsoup-style')).color,
        getComputedStyle(document.querySelector('#infotext textarea')).color]""")
    assert colours[0] == colours[1]
    page.shoot(f"styles-{server[0].rpartition(':')[2]}-{theme}")
    page.close()
