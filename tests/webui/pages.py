"""A page on the Soup tab, and what hands do there."""

import json
import os
import urllib.request
from pathlib import Path

SCREENSHOTS = os.environ.get("SCREENSHOTS")
ALONE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
STEPS = {"solo": "Solo", "mute": "Mute", "lock": "Lock", "blocks": "Block weights", "remove": "Remove"}


class SoupPage:
    def __init__(self, chromium, url, theme="light", width=1400, live=True, scale=1):
        self.url, self.errors = url, []
        self.context = chromium.new_context(viewport={"width": width, "height": 950}, accept_downloads=True,
                                            device_scale_factor=scale)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        if not live:
            self.page.route("**/javascript/**", lambda route: route.abort())
        self.page.goto(f"{url}/?__theme={theme}")
        if live:
            self.page.wait_for_selector("#dsoup_add_checkpoint")

    def close(self):
        self.context.close()

    def another(self):
        """A second page of the same browser on the same server."""
        page = object.__new__(SoupPage)
        page.__dict__ |= self.__dict__ | {"page": self.context.new_page(), "errors": []}
        page.page.set_default_timeout(20_000)
        page.page.goto(self.url)
        page.page.wait_for_selector("#dsoup_add_checkpoint")
        return page

    def wait(self, condition, value=None):
        self.page.wait_for_function(condition, arg=value)

    def empty(self):
        for close in self.page.query_selector_all(".ds-dialog"):
            close.press("Escape")
        if self.page.is_visible("#dsoup_cancel_now"):
            self.page.click("#dsoup_cancel_now")
            self.page.wait_for_selector("#dsoup_cancel_now", state="hidden")
        if self.page.is_enabled("button[title='Empty the table']"):
            self.page.click("button[title='Empty the table']")
        self.wait("() => !document.querySelector('.ds-rows .ds-row')")

    # -- the table -------------------------------------------------------------------------------

    def add(self, *names, kind="checkpoint"):
        self.page.click(f"#dsoup_add_{kind}")
        for name in names:
            self.page.click(f".ds-file[title$='{name}.safetensors']")
        self.page.click(".ds-dialog .primary")

    def fresh(self, *names):
        self.empty()
        self.add(*names)

    def row(self, name):
        return self.page.locator(f".ds-rows .ds-row[data-file='{name}.safetensors']")

    def press(self, name, what):
        self.row(name).locator(f".ds-toggles button[title^='{STEPS[what]}']").click()

    def field(self, name, label):
        return self.row(name).get_by_label(label, exact=True)

    def type(self, name, label, text):
        self.field(name, label).fill(text)
        self.field(name, label).press("Enter")

    def drag(self, locator, start, end):
        """From one part of an element's width to another."""
        box = locator.bounding_box()
        y = box["y"] + box["height"] / 2
        self.page.mouse.move(box["x"] + box["width"] * start, y)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + box["width"] * end, y, steps=6)
        self.page.mouse.up()

    def parts(self):
        """Percents as the rows show them, by name."""
        return self.page.evaluate("""() => Object.fromEntries(
            [...document.querySelectorAll('.ds-rows .ds-row')].map(row => [row.dataset.file.replace('.safetensors', ''),
             Number.parseFloat(row.querySelector('input[aria-label=Percent]').value) || 0]))""")

    def recipe(self, ready="recipe => true"):
        """The recipe of the table once the server has made it."""
        self.wait("""ready => { const text = document.getElementById('dsoup_recipe_text').value;
            try { return text && eval(ready)(JSON.parse(text)); } catch { return false; } }""", ready)
        return json.loads(self.page.input_value("#dsoup_recipe_text"))

    # -- the rest --------------------------------------------------------------------------------

    def load(self, text):
        self.page.fill("#dsoup_recipe_text", text)
        self.page.click("#dsoup_load")

    def drop(self, name, data):
        """A file from the desktop onto the tab."""
        self.page.evaluate("""([name, numbers]) => { const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(numbers)], name));
            const over = document.querySelector('.ds-table');
            for (const kind of ['dragenter', 'dragover', 'drop'])
              over.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true })); }""",
                           [name, list(data)])

    def said(self, text, where="#dsoup_status"):
        self.wait("([where, text]) => document.querySelector(where)?.textContent.includes(text)", [where, text])

    def asked(self):
        """How often any page asked this server for its status."""
        return json.loads(urllib.request.urlopen(f"{self.url}/asked").read())["status"]

    def pace(self, seconds):
        """How long a cook takes from now on, the one that is under way too."""
        urllib.request.urlopen(f"{self.url}/pace/{seconds}").read()

    def shoot(self, name):
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SCREENSHOTS, f"{name}.png"), full_page=True)
