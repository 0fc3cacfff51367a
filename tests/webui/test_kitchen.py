"""The model in memory becomes a soup, and what it was, in both hosts."""

import threading
import time

import pytest
import torch

from diffusion_soup import HashCache, Recipe, SoupError
from diffusion_soup import cook as engine_cook
from diffusion_soup_webui.headers import HeaderHashes

from .conftest import cook, recipe


def agrees(weights, tensors):
    """Whether the model has these weights, in its own dtype."""
    wanted = {key: value for key, value in tensors.items() if key in weights and value.is_floating_point()}
    assert len(wanted) == 14
    return all(torch.equal(weights[key], value.to(weights[key].dtype)) for key, value in wanted.items())


def checkpoint(webui, name):
    from safetensors.torch import load_file
    return load_file(webui.checkpoints / f"{name}.safetensors")


@pytest.fixture
def slow(monkeypatch):
    """``slow.stop(n)``: the next cook halts at its n-th tensor until ``slow.go``; ``slow.there`` says it does."""
    from diffusion_soup_webui.bridge import sink
    write = sink.ModelSink.write

    class Gate:
        there, go, left = threading.Event(), threading.Event(), -1

        @classmethod
        def stop(cls, count):
            cls.there.clear()
            cls.go.clear()
            cls.left = count

    def gated(self, step, start, piece):
        write(self, step, start, piece)
        Gate.left -= 1
        if Gate.left == 0:
            Gate.there.set()
            Gate.go.wait(30)

    monkeypatch.setattr(sink.ModelSink, "write", gated)
    yield Gate
    Gate.go.set()


def test_a_soup_in_memory(webui, kitchen, models):
    wanted = recipe(a=1, b=2)
    status = cook(kitchen, wanted)
    assert agrees(webui.weights(), engine_cook(wanted, models))
    assert webui.loads == ["a.safetensors"]  # by the host, into which the soup was cooked
    assert status.text.startswith("In use: soup a+b [") and kitchen.in_use().hash == status.recipe_hash
    assert sorted(webui.checkpoints.iterdir()) == [webui.checkpoints / f"{name}.safetensors" for name in "abcd"]


def test_the_host_keeps_it_and_shows_its_name(webui, kitchen, script):
    cook(kitchen, recipe(a=1, b=2))
    before = webui.weights()
    made = webui.picture([script])
    assert webui.loads == ["a.safetensors"] and agrees(made.weights, before)
    assert (made.sd_model_name, made.sd_model_hash) == ("soup a+b", kitchen.in_use().hash[:10])
    assert made.extra_generation_params == {"Soup": kitchen.in_use().hash}
    info = webui.sd_models.model_data.sd_model.sd_checkpoint_info
    assert info not in webui.sd_models.checkpoints_list.values() and info.sha256 is None
    assert webui.shared.opts.data == {"sd_model_checkpoint": "a.safetensors", "sd_checkpoint_hash": "x"}


def test_undo_step_by_step(webui, kitchen, models):
    cook(kitchen, recipe(a=1, b=2))
    cook(kitchen, recipe(a=1, c=1))
    kitchen.undo()
    assert kitchen.wait(30).state == "done" and agrees(webui.weights(), engine_cook(recipe(a=1, b=2), models))
    kitchen.undo()
    assert kitchen.wait(30).text == "In use again: a.safetensors."
    assert agrees(webui.weights(), checkpoint(webui, "a")) and kitchen.in_use() is None
    assert webui.loads == ["a.safetensors"]
    kitchen.undo()
    assert "nothing to undo" in kitchen.wait(30).text


def test_only_what_changed_is_cooked_again(webui, kitchen, monkeypatch):
    from diffusion_soup_webui import pot
    cook(kitchen, recipe(a=1, b=2))
    counts = []
    execute = pot.execute
    monkeypatch.setattr(pot, "execute",
                        lambda steps, *args, **kw: counts.append(len(steps)) or execute(steps, *args, **kw))
    cook(kitchen, Recipe((recipe(a=1).ingredients[0], type(recipe(b=2).ingredients[0])(
        "b.safetensors", weight=2, blocks={"IN01": 0.5})), vae="soup"))
    cook(kitchen, recipe(a=1, c=2))
    assert counts == [2, 14]


def test_loras_are_taken_off_first(webui, kitchen, models):
    cook(kitchen, recipe(a=1))
    webui.merge_lora()
    cook(kitchen, Recipe(recipe(a=1, b=1).ingredients, text_encoder="a.safetensors", vae="a.safetensors"))
    wanted = engine_cook(kitchen.in_use(), models)
    assert agrees(webui.weights(), wanted)
    webui.merge_lora()
    kitchen.undo()
    kitchen.wait(30)
    assert agrees(webui.weights(), checkpoint(webui, "a"))
    model = webui.sd_models.model_data.sd_model
    if webui.flavour == "a1111":
        assert not any(getattr(module, "network_weights_backup", None) is not None for module in model.modules())
    else:
        assert model.current_lora_hash == "[]" and not model.forge_objects.unet.model.lora_loader._backup


@pytest.mark.parametrize("before", [None, {"a": 1, "d": 3}])
def test_cancelled_in_the_middle(webui, kitchen, models, slow, before):
    cook(kitchen, recipe(a=1))
    expected = checkpoint(webui, "a")
    if before:
        cook(kitchen, recipe(**before))
        expected = engine_cook(recipe(**before), models)
    else:
        kitchen.undo()
        kitchen.wait(30)
    slow.stop(6)
    kitchen.cook(recipe(b=1, c=2))
    assert slow.there.wait(30)
    assert not agrees(webui.weights(), expected)
    begun = time.monotonic()
    assert "cancelling" in kitchen.cancel().text
    slow.go.set()
    assert kitchen.wait(30).state == "cancelled" and time.monotonic() - begun < 5
    assert agrees(webui.weights(), expected)
    assert (kitchen.in_use() is None) == (before is None)


def test_nobody_uses_half_a_soup(webui, kitchen, script, monkeypatch):
    """Should even bringing back fail, the host loads the checkpoint that is chosen."""
    from diffusion_soup_webui import pot
    cook(kitchen, recipe(a=1, b=2))
    execute = pot.execute

    def broken(steps, *args, **kwargs):
        execute(steps[:5], *args, **kwargs)
        raise OSError("the disk is gone")

    monkeypatch.setattr(pot, "execute", broken)
    kitchen.cook(recipe(c=1, d=2))
    status = kitchen.wait(30)
    assert status.state == "failed" and "the disk is gone" in status.text
    made = webui.picture([script])
    assert agrees(made.weights, checkpoint(webui, "a")) and made.extra_generation_params == {}
    assert webui.loads == ["a.safetensors"] * 2


def test_choosing_a_checkpoint_ends_the_soup(webui, kitchen, script):
    cook(kitchen, recipe(a=1, b=2))
    webui.choose("b.safetensors")
    assert kitchen.in_use() is None
    assert agrees(webui.picture([script]).weights, checkpoint(webui, "b"))
    webui.choose("a.safetensors")
    assert agrees(webui.picture([script]).weights, checkpoint(webui, "a"))
    cook(kitchen, recipe(a=1, b=2))
    webui.choose("b.safetensors")
    webui.choose("a.safetensors")  # with no picture between
    made = webui.picture([script])
    assert agrees(made.weights, checkpoint(webui, "a")) and "Soup" not in made.extra_generation_params
    cook(kitchen, recipe(a=1, b=2))
    webui.choose("a")  # the same one by another name
    assert agrees(webui.picture([script]).weights, checkpoint(webui, "a"))


def test_a_request_with_a_checkpoint_of_its_own(webui, kitchen, script, models):
    cook(kitchen, recipe(a=1, b=2))
    for name in "ba":
        made = webui.picture([script], sd_model_checkpoint=f"{name}.safetensors")
        assert agrees(made.weights, checkpoint(webui, name)) and made.extra_generation_params == {}
        made = webui.picture([script])
        assert agrees(made.weights, engine_cook(recipe(a=1, b=2), models))
        assert made.extra_generation_params == {"Soup": kitchen.in_use().hash}


def test_a_request_for_a_checkpoint_that_is_not_here_gets_the_soup(webui, kitchen, script):
    cook(kitchen, recipe(a=1, b=2))
    from diffusion_soup_webui.bridge.host import names_checkpoint
    assert not names_checkpoint(kitchen.host, {"sd_model_checkpoint": "0123456789"})
    assert names_checkpoint(kitchen.host, {"sd_model_checkpoint": "b"})


def test_pictures_and_cooks_take_turns(webui, kitchen):
    with webui.queue_lock:
        assert kitchen.cook(recipe(a=1)).state == "queued"
        deadline = time.monotonic() + 20
        while "waiting for the WebUI" not in kitchen.status().text and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "waiting for the WebUI" in kitchen.status().text and webui.loads == []
        begun = time.monotonic()
        kitchen.cancel()
        assert kitchen.wait(10).state == "cancelled" and time.monotonic() - begun < 1
    assert webui.queue_lock.acquire(timeout=5)  # the turn that came too late was passed on
    webui.queue_lock.release()
    cook(kitchen, recipe(a=1))


def test_a_picture_asked_for_after_a_cook_is_of_the_soup(webui, kitchen, script, monkeypatch):
    """Even while the cook still looks at its files."""
    from diffusion_soup_webui import headers
    looked = headers.require_files
    monkeypatch.setattr(headers, "require_files", lambda *args: (time.sleep(0.3), looked(*args)))
    kitchen.cook(recipe(a=1, b=2))
    while not webui.queue_lock.locked():
        time.sleep(0.001)
    assert webui.picture([script]).extra_generation_params == {"Soup": kitchen.in_use().hash}


def test_one_at_a_time(webui, kitchen):
    with webui.queue_lock:
        first = kitchen.cook(recipe(a=1))
        with pytest.raises(SoupError, match="being cooked already"):
            kitchen.cook(recipe(a=1))
        second = kitchen.cook(recipe(a=1, b=1))
        assert second.job == first.job + 1 and "waiting behind" in second.text
    assert kitchen.wait(60).state == "done"
    assert [len(entry["recipe"]["ingredients"]) for entry in kitchen.log()] == [2, 1]


def test_the_log(webui, kitchen):
    """One entry a recipe, found by its words and, after a restart, by the hash in a picture's parameters."""
    for names in ({"a": 1}, {"a": 1, "b": 2}, {"a": 1}):
        cook(kitchen, recipe(**names))
    assert [(len(entry["recipe"]["ingredients"]), entry["count"]) for entry in kitchen.log()] == [(1, 2), (2, 1)]
    (found,) = kitchen.log("B.safe soup")
    assert kitchen.log("no such name") == []
    again = type(kitchen)(kitchen.host)
    assert again.log() == kitchen.log() and again.recipe_of(found["hash"][:10]).to_dict() == found["recipe"]


def test_save_and_names(webui, kitchen, models):
    from safetensors.torch import load_file
    (webui.checkpoints / "a.yaml").write_text("model: x")
    kitchen.save(recipe(a=1, b=2), "my soup")
    assert kitchen.wait(30).text.startswith("Saved as my soup.safetensors.")
    saved = load_file(webui.checkpoints / "my soup.safetensors")
    assert all(torch.equal(saved[key], value) for key, value in engine_cook(recipe(a=1, b=2), models).items())
    assert (webui.checkpoints / "my soup.yaml").read_text() == "model: x"
    assert "my soup.safetensors" in kitchen.checkpoints() and webui.loads == []
    for name in ("my soup", "../x", "a/b", "", "con", ".hidden", "x\ny", "C:\\x", "x" * 300):
        with pytest.raises(SoupError, match="exists already" if name == "my soup" else "cannot be a file's name"):
            kitchen.save(recipe(a=1), name)
    kitchen.save(recipe(a=1), "my soup", overwrite=True)
    assert kitchen.wait(30).state == "done"


def test_files_that_are_not_there(webui, kitchen):
    with pytest.raises(SoupError, match="2 files of this recipe were not found.*x.safetensors, y.safetensors"):
        kitchen.check(recipe(a=1, x=1, y=1))
    (webui.checkpoints / "d.safetensors").unlink()  # between choosing and cooking
    kitchen.cook(recipe(a=1, d=1))
    status = kitchen.wait(30)
    assert status.state == "failed" and "d.safetensors was not found" in status.text and webui.loads == []


def test_found_by_hash(webui, kitchen):
    cook(kitchen, recipe(a=1, b=1))
    used = kitchen.in_use()
    (webui.checkpoints / "b.safetensors").rename(webui.checkpoints / "moved.safetensors")
    assert kitchen.check(used) == used
    cook(kitchen, Recipe((*used.ingredients, *recipe(c=1).ingredients), vae="soup"))


def test_check_reads_no_tensors(webui, kitchen):
    checked = kitchen.check(recipe(a=1, b=1))
    assert all(each.sha256 is None for each in checked.ingredients)
    cook(kitchen, recipe(a=1, b=1))
    assert kitchen.check(recipe(a=1, b=1)).hash == kitchen.in_use().hash
    with pytest.raises(SoupError, match="does not have"):
        kitchen.check(Recipe((type(recipe(a=1).ingredients[0])("a.safetensors", blocks={"IN77": 1.0}),)))


def test_facts(webui, kitchen):
    facts = kitchen.facts("checkpoint", "a.safetensors")
    assert facts["family"] == "SD 1.x" and facts["dtype"] == "float16" and facts["problem"] is None
    assert facts["size"] == (webui.checkpoints / "a.safetensors").stat().st_size
    assert "not found" in kitchen.facts("checkpoint", "x.safetensors")["problem"]
    (webui.checkpoints / "bad.safetensors").write_bytes(b"rubbish")
    assert kitchen.facts("checkpoint", "bad.safetensors")["problem"]


def test_reading_recipes(webui, kitchen, tmp_path):
    cook(kitchen, recipe(a=1, b=2))
    used = kitchen.in_use()
    assert kitchen.read(None, used.to_json()) == used
    assert kitchen.read(None, f"a cat\nSteps: 1, Soup: {used.hash}, Version: x") == used
    kitchen.save(used, "kept")
    kitchen.wait(30)
    assert kitchen.read_checkpoint("kept.safetensors") == used
    row = '"1","t","n","","","a","b","","0.25","0","Weight sum","False","","","","","normal"'
    assert [each.file for each in kitchen.read(None, row).ingredients] == ["a.safetensors", "b.safetensors"]
    for text in ("", "hello", "Soup: " + "0" * 64):
        with pytest.raises(SoupError):
            kitchen.read(None, text)


def test_a_soup_without_text_encoder_takes_that_of_its_first_checkpoint(webui, kitchen):
    cook(kitchen, recipe(c=1, d=1))
    cook(kitchen, Recipe(recipe(b=1, c=1).ingredients, text_encoder="none", vae="none"))
    weights, expected = webui.weights(), checkpoint(webui, "b")
    assert "has no text encoder; that of b.safetensors is used" in kitchen.status().text
    assert all(torch.equal(weights[key], value.float()) for key, value in expected.items()
               if not key.startswith("model.") and value.is_floating_point())


def test_choosing_while_it_cooks(webui, kitchen, script, slow):
    """What the user did last counts."""
    slow.stop(3)
    kitchen.cook(recipe(b=1, c=2))
    assert slow.there.wait(30)
    choice = threading.Thread(target=webui.choose, args=("d.safetensors",))
    choice.start()
    time.sleep(0.1)
    slow.go.set()
    kitchen.wait(30)
    choice.join()
    assert agrees(webui.picture([script]).weights, checkpoint(webui, "d"))


@pytest.mark.parametrize("webui", ["a1111"], indirect=True)
def test_an_sd_unet_would_hide_the_soup(webui, kitchen):
    webui.modules["modules.sd_unet"].current_unet = object()
    kitchen.cook(recipe(a=1))
    assert "An SD Unet replaces" in kitchen.wait(30).text


def test_a_file_hashed_by_another_thread_meanwhile_keeps_the_name_it_was_given(tmp_path):
    file = tmp_path / "a.safetensors"
    file.write_bytes(b"a")
    real = HashCache()
    seen, later = HeaderHashes(real), HeaderHashes(real)
    first = seen.sha256(file)
    assert real.sha256(file) != first and seen.sha256(file) == first and seen.peek(file) is None
    assert later.sha256(file) == real.sha256(file)
