"""The API, in whatever fastapi and pydantic this Python has."""

import base64
import io
from types import SimpleNamespace

import pytest
from PIL import Image, PngImagePlugin

fastapi = pytest.importorskip("fastapi")
pytest.importorskip("httpx")
from fastapi.testclient import TestClient  # noqa: E402

from diffusion_soup import Recipe  # noqa: E402
from diffusion_soup_webui import api  # noqa: E402

from ..scorers import clip_folder  # noqa: E402
from .conftest import recipe  # noqa: E402
from .pictures_double import Pictures  # noqa: E402

V1 = "/diffusion-soup/v1"
pytestmark = pytest.mark.parametrize("webui", ["a1111"], indirect=True)


@pytest.fixture
def client(webui, kitchen):
    app = fastapi.FastAPI()
    app.openapi()  # as when somebody looked at the docs before
    api.register(kitchen)
    webui.callbacks["app_started"][-1](None, app)
    return TestClient(app)


def body(**shares):
    return {"recipe": recipe(**shares).to_dict()}


def test_cook_undo_and_what_is_in_use(client, kitchen):
    assert client.get(V1 + "/status").json()["state"] == "idle"
    assert client.get(V1 + "/recipe").json() == {"recipe": None, "hash": "", "name": ""}
    started = client.post(V1 + "/cook", json=body(a=1, b=2)).json()
    assert started["job"] == 1 and started["state"] in ("queued", "cooking")
    kitchen.wait(30)
    status, used = client.get(V1 + "/status").json(), client.get(V1 + "/recipe").json()
    assert (status["state"], status["in_use"], used["name"]) == ("done", used["hash"], "soup a+b")
    assert client.get(V1 + "/log", params={"search": used["hash"]}).json()["entries"][0]["hash"] == used["hash"]
    assert client.post(V1 + "/undo").json()["job"] == 2
    assert kitchen.wait(30).state == "done"
    assert client.get(V1 + "/status").json()["in_use"] is None
    assert client.post(V1 + "/cancel").json()["state"] == "done"
    assert client.get(V1 + "/styles").json() == {
        "styles": [], "modes": ["paper", "norm-preserving", "after MLP"], "script": "DMM styles",
        "easings": ["linear", "smooth", "ease in", "ease out", "step"]}


@pytest.mark.parametrize("where, sent, status, sentence", [
    ("cook", {"recipe": {}}, 422, "not a recipe"),
    ("cook", {"recipe": body(x=1)["recipe"]}, 404, "x.safetensors was not"),
    ("save", {"name": "../x", **body(a=1)}, 422, "cannot be a file's name"),
    ("save", {"name": "x"}, 422, "No soup is in use"),
    ("save", {"name": "a", **body(a=1)}, 422, "exists already"), ("taste", {"recipe": {}}, 422, "not a recipe"),
    ("recipe", {"text": "hello"}, 422, "neither a recipe"), ("recipe", {"picture": "??"}, 422, "not base64"),
    ("recipe", {"checkpoint": "../../etc/passwd"}, 422, "stay inside"), ("recipe", {}, 422, "no recipe here"),
    ("recipe", {"checkpoint": "a.safetensors"}, 422, "does not say how it was made"),
])
def test_what_is_wrong_is_said_in_one_sentence(client, where, sent, status, sentence):
    answer = client.post(f"{V1}/{where}", json=sent)
    assert answer.status_code == status and sentence in answer.json()["detail"]


def test_recipes_are_read(client):
    wanted = recipe(a=1, b=2)
    for sent in ({"recipe": wanted.to_dict()}, {"text": wanted.to_json()}, {"picture": picture(wanted)}):
        assert client.post(V1 + "/recipe", json=sent).json()["recipe"] == wanted.to_dict()


def picture(wanted):
    data, info = io.BytesIO(), PngImagePlugin.PngInfo()
    info.add_text("diffusion_soup", wanted.to_json())
    Image.new("RGB", (8, 8)).save(data, "PNG", pnginfo=info)
    return base64.b64encode(data.getvalue()).decode()


def test_save_uses_the_soup_in_use(client, kitchen, webui):
    client.post(V1 + "/cook", json=body(a=1, b=2))
    kitchen.wait(30)
    client.post(V1 + "/save", json={"name": "kept"})
    assert kitchen.wait(30).state == "done" and (webui.checkpoints / "kept.safetensors").exists()


def test_select(client, kitchen, webui):
    painted = Pictures(webui)
    clip_folder(webui.folder / "models" / "diffusion_soup" / "scorers" / "tiny")
    asked = {"ingredients": ["a.safetensors", "b.safetensors", "c.safetensors"], "prompts": ["a fox", "a  box\n"],
             "scorer": client.get(V1 + "/scorers").json()["scorers"][0], "steps": 2, "width": 64, "height": 64}
    assert client.get(V1 + "/selection").json()["recipe"] is None
    assert client.post(V1 + "/select", json=asked).json()["state"] in ("queued", "cooking")
    assert kitchen.wait(30).state == "done" and client.get(V1 + "/status").json()["in_use"] is None
    found = client.get(V1 + "/selection").json()
    assert found["painted"] == len(painted.made) == 10 and {made[1] for made in painted.made} == {"a fox", "a box"}
    assert len(found["path"]) == 5 and found["path"][0]["kept"]
    assert Recipe.from_dict(found["recipe"]).hash == found["hash"]
    assert Image.open(io.BytesIO(base64.b64decode(found["report"]))).width == 1024
    again = {**asked, "recipe": recipe(a=1, b=2).to_dict(), "ingredients": [], "negative_prompt": "bad"}
    client.post(V1 + "/select", json=again)
    assert kitchen.wait(30).state == "done" and len(painted.made) == 16 and painted.made[-1][2] == "bad"


@pytest.mark.parametrize("more, sentence", [
    ({"prompts": []}, "no prompt to paint"), ({"ingredients": ["a.safetensors"]}, "at least two ingredients"),
    ({"ingredients": []}, "either a recipe or ingredients"), ({"recipe": {}}, "either a recipe or ingredients"),
    ({}, "There is no scorer: put one"), ({"method": "luck"}, "one of: greedy"), ({"steps": 0}, "expected 1 to 150"),
])
def test_what_cannot_be_selected(client, webui, more, sentence):
    Pictures(webui)
    answer = client.post(V1 + "/select", json={"ingredients": ["a.safetensors", "b.safetensors"], "prompts": ["a fox"],
                                               "scorer": "clipscore:tiny", **more})
    assert answer.status_code == 422 and sentence in answer.json()["detail"]


def test_huge_bodies_are_refused_before_they_are_read(client):
    headers = {"Content-Length": str(1 << 40), "Content-Type": "application/json"}
    assert client.post(V1 + "/recipe", content=b"{}", headers=headers).status_code == 413
    assert client.post(V1 + "/recipe", content=iter([b"{}"]), headers={"Content-Type": "application/json"}
                       ).status_code == 411


def test_a_get_changes_nothing(client):
    for path in ("cook", "cancel", "undo", "save", "taste", "select"):
        assert client.get(f"{V1}/{path}").status_code == 405


def test_it_stands_in_the_docs(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert {path for path in paths if path.startswith(V1)} == {f"{V1}/{name}" for name in (
        "status", "recipe", "styles", "log", "cook", "cancel", "undo", "save", "taste", "select", "selection",
        "scorers")}
    assert all(method["summary"] for path in paths.values() for method in path.values())


def test_api_auth(webui, kitchen):
    webui.shared.cmd_opts.api_auth = "ann:secret,bob:pass:word"
    app = fastapi.FastAPI()
    app.include_router(api.router(kitchen))
    client = TestClient(app)
    assert client.get(V1 + "/status").status_code == 401
    assert client.get(V1 + "/status", auth=("ann", "wrong")).status_code == 401
    assert client.post(V1 + "/cancel", auth=("eve", "secret")).status_code == 401
    for auth in (("ann", "secret"), ("bob", "pass:word")):
        assert client.get(V1 + "/status", auth=auth).status_code == 200


def test_no_routes_without_the_hosts_api(webui, kitchen):
    webui.shared.cmd_opts.api = False
    added = []
    api.register(kitchen)
    webui.callbacks["app_started"][-1](None, SimpleNamespace(include_router=added.append))
    assert added == []
