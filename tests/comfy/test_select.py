"""Selection in ComfyUI: as many pictures as promised, by any scorer, and it goes on where it was stopped."""

import itertools
import json
import math
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from demo.comfyui import Server, install

from ..scorers import blip_folder, clip_folder
from .conftest import base_folder
from .graphs import Graph, pictures, pixels, same, shown

NAMES = ("clay", "neon", "watercolour")
SAMPLING = {"negative": "", "seed": 3, "steps": 1, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal",
            "width": 64, "height": 64}
_fresh = itertools.count(1000)


@pytest.fixture(scope="module", autouse=True)
def scorers(comfy):
    """Two tiny scorers in the model folder."""
    folder = comfy.models / "diffusion_soup" / "scorers"
    clip_folder(folder / "tiny")
    blip_folder(folder / "reward")
    return folder


def count(comfy, words="tests: sampled"):
    return comfy.log().count(words)


def select(graph, *names, **more):
    """A Select Soup over the text encoder and VAE of the base, so that candidates cook fast. A seed of its own makes
    every picture new."""
    base = graph.checkpoint()
    inputs = {"ingredients": graph.chain(*(names or NAMES)), "prompts": "hills", "scorer": "clipscore:tiny",
              "method": "greedy", "budget": 0, "blocks": "whole model", "base": "none", "pictures": 1, **SAMPLING,
              "seed": next(_fresh), "clip": base[1], "vae": base[2], **more}
    node = graph("DSoupSelect", **{key: value for key, value in inputs.items() if value is not None})
    graph("PreviewAny", source=node[0])
    graph("PreviewAny", source=node[2])
    graph("SaveImage", images=node[1], filename_prefix="report")
    return node


def by_graph(graph, times=1.0):
    """The graph of a user: the mean brightness of the pictures."""
    candidate = graph("DSoupCandidate")
    return graph("TestBrightness", images=candidate[0], times=times)[0]


def told(result, graph):
    """(recipe, score) as the previews say them."""
    found = [output["text"][0] for name, output in result.succeeded().outputs.items() if "text" in output]
    score = next(float(text) for text in found if text.replace(".", "").replace("-", "").replace("e", "").isdigit())
    return next(text for text in found if "Recipe(" in text), score


@pytest.mark.parametrize("scorer", ["clipscore:tiny", "imagereward:reward"])
def test_greedy_with_a_scorer(client, comfy, scorer):
    graph = Graph()
    select(graph, scorer=scorer, prompts="hills, sun\na lake")
    before = count(comfy)
    result = client.run(graph)
    recipe, score = told(result, graph)
    assert count(comfy) - before == (3 + 2) * 2, "N + (N - 1) generations of both prompts"
    assert "sha256='" in recipe and isinstance(score, float)
    (report,) = pictures(result)
    assert report.shape[1] == 1024 and report.shape[0] > 400


def test_greedy_with_any_graph(client, comfy):
    graph = Graph()
    select(graph, scorer="graph", score=by_graph(graph), pictures=2)
    before, measured = count(comfy), count(comfy, "tests: measured 2 pictures")
    result = client.run(graph)
    _, score = told(result, graph)
    assert 0 < score < 1
    assert count(comfy) - before == (3 + 2) * 2
    assert count(comfy, "tests: measured 2 pictures") - measured == 3 + 2


def test_the_graph_that_scores_is_a_part_of_the_score(client, comfy):
    """The same pictures and another graph: scored anew, twice as bright."""
    found = []
    seed = next(_fresh)
    for times in (1.0, 2.0):
        graph = Graph()
        select(graph, "clay", "neon", scorer="graph", score=by_graph(graph, times), seed=seed)
        found.append(told(client.run(graph), graph)[1])
    assert found[1] == pytest.approx(2 * found[0])


def test_a_graph_that_samples_by_itself(client):
    """The candidate's recipe, a Cook Soup, a KSampler, and a score of ours."""
    graph = Graph()
    candidate = graph("DSoupCandidate")
    soup = graph.cook_recipe(candidate[2])
    base = graph.checkpoint()
    positive, negative = graph.prompts(base[1])
    latent = graph("EmptyLatentImage", width=64, height=64, batch_size=1)
    samples = graph("KSampler", model=soup[0], positive=positive, negative=negative, latent_image=latent[0], seed=1,
                    steps=1, cfg=1.0, sampler_name="euler", scheduler="normal", denoise=1.0)
    decoded = graph("VAEDecode", samples=samples[0], vae=base[2])
    score = graph("DSoupScore", images=decoded[0], prompt="hills", scorer="clipscore:tiny")
    select(graph, "clay", "neon", scorer="graph", score=score[0])
    told(client.run(graph), graph)


@pytest.mark.parametrize("scorer", ["clipscore:tiny", "graph"])
def test_interrupted_and_queued_again(client, comfy, scorer):
    """What was scored before the interrupt is not painted again."""
    graph = Graph()
    score = by_graph(graph) if scorer == "graph" else None
    select(graph, scorer=scorer, score=score, steps=4)
    before, kept = count(comfy), comfy.base / "user" / "diffusion_soup" / "evaluations.jsonl"
    lines = len(kept.read_text().splitlines()) if kept.exists() else 0
    watch = client.watch()
    prompt = client.queue(graph)
    while not kept.exists() or len(kept.read_text().splitlines()) < lines + 2:
        assert not watch.of("execution_success"), "it is done already"
        time.sleep(0.02)
    client.interrupt()
    watch.wait("executing", node=None, prompt_id=prompt)
    assert client.result(prompt, watch).status == "interrupted"
    done = len(kept.read_text().splitlines()) - lines
    painted = count(comfy) - before
    result = client.run(graph)
    told(result, graph)
    assert 2 <= done < 5 and count(comfy) - before - painted == 3 + 2 - done, "only what was not scored is painted"
    again = Graph(graph)
    again[next(name for name, node in again.items() if node["class_type"] == "DSoupSelect")]["inputs"]["budget"] = 99
    before = count(comfy)
    assert told(client.run(again), again) == told(result, graph) and count(comfy) == before, "everything is known"


def test_queued_twice(client, comfy):
    graph = Graph()
    select(graph, scorer="graph", score=by_graph(graph))
    before = count(comfy)
    watch = client.watch()
    first, second = client.queue(graph), client.queue(graph)
    for prompt in (first, second):
        watch.wait("executing", 120, node=None, prompt_id=prompt)
    assert client.result(first, watch).status == client.result(second, watch).status == "success"
    assert count(comfy) - before == 5


@pytest.mark.parametrize("method, blocks", [("reverse", "whole model"), ("ordered", "whole model"),
                                            ("coordinate", "parts"), ("cma", "every block")])
def test_methods(client, comfy, method, blocks):
    graph = Graph()
    select(graph, "clay", "neon", method=method, blocks=blocks, budget=3)
    before = count(comfy)
    told(client.run(graph), graph)
    assert 1 <= count(comfy) - before <= 3


def test_the_result_cooks_and_equals_its_pictures(client, comfy):
    """RECIPE gives Cook Soup the soup that was scored."""
    graph = Graph()
    node = select(graph, "clay", "neon", seed=5)
    soup = graph.cook_recipe(node[0])
    graph("PreviewAny", source=soup[3])
    recipe, _ = told(client.run(graph), graph)
    assert "clay" in recipe or "neon" in recipe


def test_own_text_encoder_and_vae(client, comfy):
    """Without clip and vae the candidates' own are used."""
    graph = Graph()
    select(graph, "clay", "neon", clip=None, vae=None)
    told(client.run(graph), graph)


def test_loras_and_a_base(client, comfy):
    graph = Graph()
    select(graph, "clay", "comic", base="demo-base.safetensors")
    told(client.run(graph), graph)


def question(client):
    return json.loads(client.get("/diffusion_soup/rating"))["question"]


def wait_for_question(client, watch, known=""):
    """The next question, as the browser is told of it."""
    while True:
        found = question(client)
        if found and found["id"] != known:
            assert any(event.data["question"]["id"] == found["id"] for event in watch.of("diffusion_soup.rating")
                       if event.data["question"]) or watch.wait("diffusion_soup.rating")
            return found
        assert not watch.of("execution_error") and not watch.of("execution_success")
        time.sleep(0.02)


def rate(client, found, *stars):
    client.post("/diffusion_soup/rating", {"id": found["id"], "stars": list(stars)})


def test_by_hand(client, comfy):
    """neon gets the most stars; pictures come with their prompts and without names."""
    graph = Graph()
    select(graph, "clay", "neon", scorer="by hand", prompts="hills\na lake")
    before = count(comfy)
    watch = client.watch()
    prompt = client.queue(graph)
    known, asked = "", []
    for stars in ((1, 2), (5, 4), (3, 3)):
        found = wait_for_question(client, watch, known)
        known = found["id"]
        assert found["prompts"] == ["hills", "a lake"] and found["stars"] == 5
        asked.append([pixels(client.get(f"/diffusion_soup/rating/picture?id={known}&at={at}")) for at in range(2)])
        rate(client, found, *stars)
    watch.wait("executing", node=None, prompt_id=prompt)
    result = client.result(prompt, watch)
    assert told(result, graph)[1] == 4.5
    assert all(picture.shape == (64, 64, 3) for pair in asked for picture in pair) and not same(*asked[0])
    assert question(client) is None
    assert count(comfy) - before == 6


def test_by_hand_interrupted(client, comfy):
    """Cancelled while it waits, at once; what was rated is not asked again, and the queue goes on."""
    graph = Graph()
    select(graph, "clay", "neon", scorer="by hand")
    watch = client.watch()
    prompt = client.queue(graph)
    first = wait_for_question(client, watch)
    rate(client, first, 2)
    wait_for_question(client, watch, first["id"])
    sent = time.perf_counter()
    client.interrupt()
    watch.wait("executing", node=None, prompt_id=prompt)
    assert client.result(prompt, watch).status == "interrupted" and time.perf_counter() - sent < 2
    assert question(client) is None
    watch = client.watch()
    prompt = client.queue(graph)
    known = ""
    for stars in (1, 1):
        found = wait_for_question(client, watch, known)
        known = found["id"]
        rate(client, found, stars)
    watch.wait("executing", node=None, prompt_id=prompt)
    assert told(client.result(prompt, watch), graph)[1] == 2, "one alone and the soup are left to rate"


def test_ratings_that_are_none(client):
    graph = Graph()
    select(graph, "clay", "neon", scorer="by hand")
    watch = client.watch()
    prompt = client.queue(graph)
    found = wait_for_question(client, watch)
    for body, words in (({"id": "x", "stars": [3]}, "not waiting"), ({"id": found["id"], "stars": [6]}, "from 1 to 5"),
                        ({"id": found["id"], "stars": [3, 3]}, "Expected 1 ratings"), ({"id": found["id"]}, "from 1"),
                        ({"id": found["id"], "stars": [True]}, "from 1 to 5"), ([], "JSON object")):
        with pytest.raises(urllib.error.HTTPError) as error:
            client.post("/diffusion_soup/rating", body)
        assert error.value.code == 400 and words in json.load(error.value)["error"]
    for wrong in (f"id={found['id']}&at=1", f"id={found['id']}&at=-1", "id=x&at=0", "", f"id={found['id']}&at=²"):
        with pytest.raises(urllib.error.HTTPError) as error:
            client.get(f"/diffusion_soup/rating/picture?{urllib.parse.quote(wrong, safe='=&')}")
        assert error.value.code == 404
    client.interrupt()
    watch.wait("executing", node=None, prompt_id=prompt)


@pytest.mark.slow
def test_by_hand_without_a_browser(shelf, monkeypatch):
    """Nobody is waited for long: the queue is free again, and the run says why."""
    monkeypatch.setattr("demo.comfyui.Client", lambda url: None)  # it listens as a browser does
    with tempfile.TemporaryDirectory(prefix="comfy-", ignore_cleanup_errors=True) as base, \
            Server(install(), base_folder(Path(base), shelf)) as server:
        graph = Graph()
        select(graph, "clay", "neon", scorer="by hand")
        local = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(f"{server.url}/prompt", json.dumps({"prompt": graph}).encode(),
                                         {"Content-Type": "application/json"})
        prompt = json.load(local.open(request))["prompt_id"]
        end = time.monotonic() + 150
        while not (history := json.load(local.open(f"{server.url}/history/{prompt}"))):
            assert time.monotonic() < end
            time.sleep(0.5)
        messages = dict(history[prompt]["status"]["messages"])
        assert "no browser is open" in messages["execution_error"]["exception_message"]


def test_score_node(client):
    graph = Graph()
    images = graph("ImageBatch", image1=graph("TestPicture", width=64, height=64, seed=1)[0],
                   image2=graph("TestPicture", width=64, height=64, seed=2)[0])
    score = graph("DSoupScore", images=images[0], prompt="a fox", scorer="imagereward:reward")
    graph("PreviewAny", source=score[0])
    graph("PreviewAny", source=score[1])
    texts = [output["text"] for output in client.run(graph).succeeded().outputs.values()]
    mean = next(float(text[0]) for text in texts if len(text) == 1)
    each = next([float(value) for value in text] for text in texts if len(text) == 2)
    assert mean == pytest.approx(sum(each) / 2) and each[0] != each[1]


def test_candidate_alone_gives_what_it_is_given(client):
    """To try a graph; and with nothing, what hangs on it waits."""
    graph = Graph()
    candidate = graph("DSoupCandidate", images=graph("TestPicture", width=64, height=64, seed=1)[0], prompts="hills")
    graph("PreviewAny", source=graph("TestBrightness", images=candidate[0], times=1.0)[0])
    (output,) = client.run(graph).succeeded().outputs.values()
    assert 0 < float(output["text"][0]) < 1
    graph = Graph()
    graph("PreviewAny", source=graph("DSoupCandidate")[0])
    assert client.run(graph).succeeded().outputs == {}


def test_taste(client):
    graph = Graph()
    found = graph("DSoupTaste", ingredients=graph.chain("clay", "neon"), base="demo-base.safetensors", quick=True)
    graph("PreviewAny", source=found[0])
    graph("SaveImage", images=found[1], filename_prefix="heat")
    result = client.run(graph)
    (text,) = [output["text"][0] for output in result.succeeded().outputs.values() if "text" in output]
    assert "[stranger] clay.safetensors" in text and "is not a fine-tune of this base" in text
    (picture,) = pictures(result)
    assert picture.shape[1] > 300


def grid(graph, **more):
    base = graph.checkpoint()
    recipe = graph("DSoupRecipe", json=json.dumps({"diffusion_soup": 1, "ingredients": [
        {"file": "clay.safetensors"}, {"file": "neon.safetensors"}]}))
    inputs = {"shares": "clay: 0-100% [3]", "in_blocks": False, "prompts": "hills\na lake", **SAMPLING,
              "clip": base[1], "vae": base[2], **more}
    return graph("DSoupGrid", recipe=recipe[0], **inputs)


def test_grid(client, comfy):
    graph = Graph()
    node = grid(graph)
    graph("SaveImage", images=node[1], filename_prefix="cells")
    cells = pictures(client.run(graph))
    assert len(cells) == 6 and not same(cells[0], cells[2]) and not same(cells[0], cells[3])
    sheet = Graph()
    sheet("SaveImage", images=grid(sheet)[0], filename_prefix="sheet")
    picture = shown(client, sheet)
    assert picture.shape[0] > 2 * 64 and picture.shape[1] > 3 * 64
    alone = Graph()
    soup, base = alone.cook("neon"), alone.checkpoint()
    prompts = [alone("CLIPTextEncode", clip=base[1], text=text)[0] for text in ("hills", "")]
    alone.sample(soup[0], base[2], prompts, seed=3, steps=1)
    assert same(cells[0], shown(client, alone)), "clay at 0% is neon alone, as KSampler paints it"


def test_grid_of_blocks(client):
    graph = Graph()
    graph("SaveImage", images=grid(graph, shares="clay OUT01: 0, 1", in_blocks=True, prompts="hills")[1],
          filename_prefix="cells")
    assert len(pictures(client.run(graph))) == 2


# -- what goes wrong -----------------------------------------------------------------------------------


def no_prompts(graph):
    select(graph, prompts="# nothing\n")
    return "no prompt"


def nothing_connected(graph):
    select(graph, ingredients=None)
    return "Connect either ingredients or a recipe"


def two_families(graph):
    select(graph, "clay", "xl1")
    return "SDXL"


def no_graph(graph):
    select(graph, scorer="graph")
    return "begins with Soup Candidate"


def another_graph(graph):
    picture = graph("TestPicture", width=64, height=64, seed=1)
    select(graph, scorer="graph", score=graph("TestBrightness", images=picture[0], times=1.0)[0])
    return "begins with Soup Candidate"


def endless_score(graph):
    select(graph, "clay", "neon", scorer="graph", score=by_graph(graph, math.inf))
    return "a score must be a finite number"


def no_text_encoder(graph):
    select(graph, "renamed2", "renamed3", clip=None)
    return "connect one to clip"


def unknown_share(graph):
    graph("SaveImage", images=grid(graph, shares="watercolour: 0, 1")[0], filename_prefix="x")
    return "'watercolour' is not in this soup"


def too_many_cells(graph):
    graph("SaveImage", images=grid(graph, shares="clay: 0-1 [300]")[0], filename_prefix="x")
    return "600 pictures"


@pytest.mark.parametrize("case", [no_prompts, nothing_connected, two_families, no_graph, another_graph, endless_score,
                                  no_text_encoder, unknown_share, too_many_cells])
def test_one_sentence(client, case):
    graph = Graph()
    words = case(graph)
    result = client.run(graph)
    assert result.status == "error"
    message = result.failure.message
    assert words in message and "\n" not in message and 20 < len(message) < 1000
    assert not any(sign in message for sign in ("Traceback", "Error(", "<class", "object at 0x"))


def test_a_damaged_scorer(client, scorers):
    clip_folder(scorers / "half")
    file = scorers / "half" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    graph = Graph()
    select(graph, scorer="clipscore:half")
    result = client.run(graph)
    assert result.status == "error" and "model.safetensors" in result.failure.message
