"""The log of cooked recipes and what a recipe says of itself, in the real server."""

import json
import urllib.error
import urllib.parse
import urllib.request

import pytest

from .graphs import SETTINGS, Graph

_local = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def post(comfy, path, body):
    """Status and JSON of an answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{comfy.url}/diffusion_soup/{path}", data, {"Content-Type": "application/json"})
    try:
        return 200, json.loads(_local.open(request, timeout=60).read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def log(client, **query):
    return json.loads(client.get(f"/diffusion_soup/log?{urllib.parse.urlencode(query)}"))


@pytest.fixture
def empty(comfy):
    assert post(comfy, "log", {"clear": True})[0] == 200
    comfy.client.free()
    yield comfy.base / "user/diffusion_soup/log.jsonl"


def cook(client, *ingredients, seed=1):
    graph = Graph()
    soup = graph.picture(*ingredients, seed=seed)
    result = client.run(graph).succeeded()
    told = result.outputs.get(soup.id, {}).get("diffusion_soup", [{"hash": None}])  # nothing of a cached node
    return soup, result, told[0]["hash"]


def test_a_cook_and_its_picture(client, comfy, empty):
    soup, result, recipe_hash = cook(client, "clay", ("neon", 0.5))
    told = log(client)
    (entry,) = told["entries"]
    assert (told["found"], told["all"], entry["hash"], entry["count"]) == (1, 1, recipe_hash, 1)
    assert [each["file"] for each in entry["recipe"]["ingredients"]] == ["clay.safetensors", "neon.safetensors"]
    assert all(each["sha256"] for each in entry["recipe"]["ingredients"])
    assert entry["shares"] == [pytest.approx(2 / 3), pytest.approx(1 / 3)]
    assert 0 < entry["cooked"] <= entry["tensors"] and 0 < entry["seconds"] < 60
    (picture,) = result.pictures
    assert entry["pictures"] == [picture._asdict()]
    kept = empty.read_bytes()
    assert log(client) == told and empty.read_bytes() == kept, "looking changes nothing"


def test_a_soup_from_the_cache_counts_once_and_has_both_pictures(client, empty):
    _, one, recipe_hash = cook(client, "clay", "neon", seed=1)
    _, other, _ = cook(client, "clay", "neon", seed=2)
    (entry,) = log(client)["entries"]
    assert (entry["hash"], entry["count"]) == (recipe_hash, 1)
    newest = [each["filename"] for each in entry["pictures"]][:2]  # other tests may have painted with this soup too
    assert newest == [other.pictures[0].filename, one.pictures[0].filename]


def test_each_soup_of_a_graph_has_its_own_picture(client, empty):
    graph = Graph()
    soups = [graph.picture("clay", "neon"), graph.picture("neon", "watercolour")]
    result = client.run(graph).succeeded()
    pictures = {}
    for soup in soups:
        (saver,) = [node for node in graph if graph[node]["class_type"] == "SaveImage"
                    and graph[graph[node]["inputs"]["images"][0]]["inputs"]["vae"][0] == soup.id]
        told = result.outputs[soup.id]["diffusion_soup"][0]["hash"]
        pictures[told] = result.outputs[saver]["images"][0]["filename"]
    assert {each["hash"]: each["pictures"][0]["filename"] for each in log(client)["entries"]} == pictures


def test_pictures_are_kept_beyond_the_history(client, comfy, empty):
    _, result, recipe_hash = cook(client, "clay", "watercolour")
    assert post(comfy, "log", {"gather": True}) == (200, {})
    client.post("/history", {"clear": True})
    (entry,) = log(client)["entries"]
    assert entry["pictures"] == [result.pictures[0]._asdict()]


def test_search_pages_and_deleting(client, comfy, empty):
    for name in ("clay", "neon", "watercolour"):
        cook(client, name)
    assert [each["recipe"]["ingredients"][0]["file"][:6] for each in log(client)["entries"]] == [
        "waterc", "neon.s", "clay.s"]
    found = log(client, search="NEO soup")
    assert (found["found"], found["all"]) == (1, 3)
    assert log(client, search="neon watercolour")["entries"] == []
    assert [len(log(client, limit=2, offset=at)["entries"]) for at in (0, 2, 9)] == [2, 1, 0]
    assert len(log(client, limit="x", offset="-1")["entries"]) == 3
    assert post(comfy, "log", {"delete": found["entries"][0]["hash"]}) == (200, {})
    assert log(client)["all"] == 2
    assert post(comfy, "log", {"delete": 3})[0] == 400


def test_a_failed_cook_is_not_listed(client, empty):
    graph = Graph()
    graph.picture("truncated")
    assert client.run(graph).status == "error"
    assert log(client)["entries"] == []


def test_an_unwritable_log_does_not_fail_a_cook(client, comfy, empty):
    empty.unlink(missing_ok=True)
    empty.mkdir()
    try:
        cook(client, "clay", "neon", "watercolour")
        assert log(client)["entries"] == []
    finally:
        empty.rmdir()


# -- a recipe ------------------------------------------------------------------------------------


def minimal(*files, **more):
    return {"diffusion_soup": 1, "ingredients": [{"file": file} for file in files], **more}


def test_a_recipe_and_its_files(comfy):
    status, told = post(comfy, "recipe", {"recipe": minimal("clay.safetensors", "gone.safetensors")})
    assert status == 200 and told["shares"] == [0.5, 0.5] and len(told["hash"]) == 64
    assert told["files"] == [
        {"kind": "checkpoint", "file": "clay.safetensors", "state": "here", "name": "clay.safetensors"},
        {"kind": "checkpoint", "file": "gone.safetensors", "state": "missing", "name": None}]
    assert told["family"] == "SD 1 / SD 2"
    assert post(comfy, "recipe", {"recipe": json.dumps(minimal("xl1.safetensors"))})[1]["family"] == "SDXL"


def test_a_moved_and_a_changed_file(client, comfy):
    _, _, recipe_hash = cook(client, "clay", "neon", seed=9)
    clay = log(client, search=recipe_hash)["entries"][0]["recipe"]["ingredients"][0]
    recipe = {"diffusion_soup": 1, "ingredients": [{"file": "elsewhere.safetensors", "sha256": clay["sha256"]},
                                                   {"file": "neon.safetensors", "sha256": "0" * 64}]}
    files = post(comfy, "recipe", {"recipe": recipe})[1]["files"]
    assert [(each["state"], each["name"]) for each in files] == [
        ("moved", "clay.safetensors"), ("changed", "neon.safetensors")]


def test_the_recipes_of_a_graph(comfy):
    graph = Graph()
    soup = graph.cook("clay", ("comic", 0.5), base="demo-base.safetensors")
    graph("DSoupCook", **SETTINGS)  # connected to nothing
    status, told = post(comfy, "recipe", {"prompt": graph})
    assert status == 200 and list(told["recipes"]) == [soup.id]
    assert post(comfy, "recipe", {"prompt": graph, "node": soup.id}) == (200, told["recipes"][soup.id])


@pytest.mark.parametrize("body, words", [
    (b"", "not valid JSON"), (b"[" * 200_000, "not valid JSON"), (b"[]", "a JSON object"), (b"{}", '"recipe"'),
    ({"recipe": {}}, "This is not a recipe"), ({"recipe": "{"}, "not valid JSON"), ({"recipe": None}, "not a recipe"),
    ({"recipe": minimal("../x")}, "must stay inside"), ({"recipe": minimal("/etc/passwd")}, "must be relative"),
    ({"recipe": minimal("a", surprise=1)}, "Unknown field"), ({"recipe": minimal()}, "1 to 4096"),
    ({"prompt": [], "node": "1"}, '"prompt"'), ({"prompt": {}, "node": "1"}, "Only the running graph"),
    ({"prompt": {"1": {"class_type": "DSoupCook", "inputs": {}}}, "node": "1"}, "Connect either"),
    ({"prompt": {"1": {"class_type": "DSoupCook", "inputs": {"ingredients": ["1", 0]}}}, "node": "1"}, "Only the"),
    ({"prompt": {"1": {"class_type": "DSoupCook", "inputs": 7}}, "node": "1"}, "cannot have|no recipe can have"),
], ids=str)
def test_what_is_wrong_is_said_in_one_sentence(comfy, body, words):
    status, told = post(comfy, "recipe", body)
    assert status == 400 and told.keys() == {"error"}
    assert any(word in told["error"] for word in words.split("|"))
    assert "\n" not in told["error"] and len(told["error"]) < 500


def test_too_large(comfy):
    assert "larger than" in post(comfy, "recipe", b"[" + b" " * (17 << 20) + b"]")[1]["error"]
