"""GET /diffusion_soup/styles in the real server: the names of a student's styles, and nothing else."""

import json
import urllib.error
import urllib.parse

import pytest

STYLES = ["style 1", "style 2", "style 3", "style 4"]


def ask(client, **query):
    """Status and JSON of an answer."""
    try:
        return 200, json.loads(client.get("/diffusion_soup/styles?" + urllib.parse.urlencode(query)))
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize("file, styles, family", [
    ("student.safetensors", STYLES, "sd1"),
    ("student2.safetensors", STYLES[:2], "sd1"),
    ("xl-student.safetensors", STYLES[:3], "sdxl"),
])
def test_the_styles_of_a_student(client, file, styles, family):
    assert ask(client, file=file) == (200, {"styles": styles, "family": family})


@pytest.mark.parametrize("names", ["comic\nanime\nphoto\nclay", "comic, anime, photo, clay\n\n"])
def test_names_of_ones_own(client, names):
    assert ask(client, file="student.safetensors", names=names) == \
        (200, {"styles": ["comic", "anime", "photo", "clay"], "family": "sd1"})


def test_the_same_under_api(client):
    """The browser asks below /api."""
    assert json.loads(client.get("/api/diffusion_soup/styles?file=student.safetensors"))["styles"] == STYLES


@pytest.mark.parametrize("file", ["nowhere.safetensors", "", "../student.safetensors",
                                  "../checkpoints/student.safetensors", "/etc/passwd", "student", "comic.safetensors"])
def test_a_file_that_is_not_offered(client, file):
    status, answer = ask(client, file=file)
    assert status == 404
    assert answer.keys() == {"error"} and answer["error"].startswith("Load Student offers no file called ")


def test_no_file_at_all(client):
    assert ask(client)[0] == 404


@pytest.mark.parametrize("file, names, told", [
    ("clay.safetensors", "", "is not a DMM student"),
    ("truncated.safetensors", "", "truncated.safetensors"),
    ("student.safetensors", "comic\nanime", "has 4 styles, but there are 2 names"),
    ("student.safetensors", "a\na\nb\nc", "are called 'a'"),
    ("student.safetensors", "a\nb=1\nc\nd", "cannot be the name of a style"),
])
def test_what_is_wrong_is_said(client, comfy, file, names, told):
    status, answer = ask(client, file=file, names=names)
    assert status == 400
    assert answer.keys() == {"error"} and told in answer["error"]
    assert str(comfy.base) not in answer["error"], "where the models lie is nobody's business"


def test_nothing_is_changed(client, comfy):
    def files():
        return {path: path.stat().st_mtime_ns for path in comfy.base.rglob("*") if path.is_file()
                and not path.name.endswith(".log")}

    before = files()
    assert ask(client, file="student.safetensors")[0] == 200
    assert files() == before


def test_the_browser_part_and_the_help_are_served(client):
    """ComfyUI imports every script of the pack, and shows the help of each node."""
    scripts = json.loads(client.get("/extensions"))
    folder = "/extensions/diffusion_soup"
    assert {f"{folder}/style_console.js", f"{folder}/lib/style_sliders.js"} <= set(scripts)
    for node in client.object_info():
        if node.startswith("DSoup"):
            assert client.get(f"{folder}/docs/{node}.md").startswith(b"# "), f"{node} has no help"
