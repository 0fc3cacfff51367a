"""Rating by hand: stars for pictures in a corner of the page, by pointer and by keyboard."""

import io
import json
import re

import pytest
from PIL import Image

from .pages import CHROMIUM, GraphPage

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

QUESTION = {"id": "abc", "node": "1", "prompts": ["hills, <b>sun</b>", "a lake"], "stars": 5}
PROMPT = {"1": {"class_type": "DSoupIngredient", "inputs": {"file": "ember.safetensors", "share": 1.0, "elements": ""}}}


def png():
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 60, 60)).save(file, "png")
    return file.getvalue()


class Page(GraphPage):
    """A page whose questions to the server are answered here."""

    def load(self):
        self.show(PROMPT)
        self.posts, self.refusal, self.waiting, self.interrupts = [], None, None, []
        self.page.unroute_all()
        self.page.route(re.compile(r"/diffusion_soup/rating"), self._answer)
        self.page.route(re.compile(r"/interrupt$"), lambda route: (self.interrupts.append(1), route.fulfill(body="{}")))
        self.event("diffusion_soup.rating", question=None)
        self.dialog = self.page.locator("dialog.dsoup-rating")

    def _answer(self, route):
        request = route.request
        if "/picture" in request.url:
            route.fulfill(body=png(), content_type="image/png")
        elif request.method == "POST":
            self.posts.append(json.loads(request.post_data))
            route.fulfill(status=400 if self.refusal else 200, json={"error": self.refusal} if self.refusal else {})
        else:
            route.fulfill(json={"question": self.waiting})

    def event(self, kind, **detail):
        self.js("async ([kind, detail]) => { const { api } = await import('/scripts/api.js');"
                " api.dispatchEvent(new CustomEvent(kind, { detail })); }", [kind, detail])

    def ask(self):
        self.event("diffusion_soup.rating", question=QUESTION)
        self.dialog.wait_for()

    def star(self, picture, value):
        return self.dialog.locator("fieldset").nth(picture).get_by_label(f"{value} of 5 stars")

    @property
    def send(self):
        return self.dialog.get_by_role("button", name="Send")


@pytest.mark.newest
def test_by_pointer(page):
    page.ask()
    assert page.dialog.locator("legend").all_inner_texts() == QUESTION["prompts"], "prompts are text"
    page.wait("() => [...document.querySelectorAll('.dsoup-rating img')].every(each => each.naturalWidth === 64)")
    assert page.send.is_disabled()
    page.star(0, 4).locator("..").click()
    assert page.dialog.locator("fieldset").nth(0).locator(".lit").count() == 4
    assert page.send.is_disabled()
    page.picture("rating")
    page.star(1, 2).locator("..").click()
    page.send.click()
    page.dialog.wait_for(state="detached")
    assert page.posts == [{"id": "abc", "stars": [4, 2]}]


def test_by_keyboard(page):
    """Radio buttons: arrows change a rating, and no key reaches the graph."""
    page.ask()
    page.js("() => app.canvas.selectNode(app.graph.getNodeById('1'))")
    for picture in range(2):
        page.star(picture, 3).focus()
        page.page.keyboard.press("Space")
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("Delete")
    page.send.press("Enter")
    page.dialog.wait_for(state="detached")
    assert page.posts == [{"id": "abc", "stars": [3, 4]}]
    assert page.js("() => app.graph.nodes.length") == 1


def test_a_refusal_is_said(page):
    page.refusal = "These pictures are not waiting to be rated any more."
    page.ask()
    for picture in range(2):
        page.star(picture, 5).locator("..").click()
    page.send.click()
    page.dialog.get_by_role("status").get_by_text(page.refusal).wait_for()
    assert page.send.is_enabled()
    page.event("diffusion_soup.rating", question=None)
    page.dialog.wait_for(state="detached")


def test_stop(page):
    page.ask()
    page.dialog.get_by_role("button", name="Stop the run").click()
    for _ in range(100):
        if page.interrupts:
            break
        page.page.wait_for_timeout(50)
    assert page.interrupts and page.posts == []


def test_a_browser_that_comes_later_sees_what_waits(page):
    page.waiting = QUESTION
    page.event("reconnected")
    page.dialog.wait_for()
    page.ask()
    assert page.dialog.count() == 1, "one at a time"
    page.event("diffusion_soup.rating", question=None)
    page.dialog.wait_for(state="detached")


def test_it_fits_on_a_small_page(page):
    with page.zoomed():
        page.ask()
        box = page.dialog.bounding_box()
        assert box["x"] >= 0 and box["y"] >= 0 and box["x"] + box["width"] <= 960 and box["y"] + box["height"] <= 540
        assert page.send.is_visible()
        page.event("diffusion_soup.rating", question=None)


def test_a_graph_that_scores_is_sent_as_it_is_drawn(page):
    """The number that nodes make of Soup Candidate reaches Select Soup as a link."""
    page.show({
        "1": {"class_type": "DSoupCandidate", "inputs": {"prompts": ""}},
        "2": {"class_type": "DSoupScore", "inputs": {"images": ["1", 0], "prompt": "hills", "scorer": ""}},
        "3": {"class_type": "DSoupSelect", "inputs": {"prompts": "hills", "scorer": "graph", "method": "reverse",
                                                      "budget": 3, "score": ["2", 0]}}})
    sent = page.prompt()
    assert sent["3"]["inputs"]["score"] == ["2", 0] and sent["2"]["inputs"]["images"] == ["1", 0]
    assert sent["3"]["inputs"]["method"] == "reverse" and sent["3"]["inputs"]["budget"] == 3
    widgets = page.js("() => app.graph.nodes.find(node => node.type === 'DSoupSelect').widgets.map(each => each.name)")
    assert "seed" in widgets and "control_after_generate" not in widgets, "another seed would begin the search anew"
    page.picture("select")
