"""The MODEL that Cook Soup hands out is an ordinary model to everything after it."""

import pytest

from .graphs import Graph, pictures, ran, same, shown, soup_picture

SOUP = ("clay", "neon")


@pytest.fixture(scope="module")
def plain(comfy):
    """What the soup shows with nothing on top."""
    return soup_picture(comfy.client, *SOUP)


def check_and_remove(client, plain, graph):
    """The graph's picture differs from the plain soup's, and after it the plain soup is what it was."""
    assert not same(shown(client, graph), plain)
    again = Graph()
    again.picture(*SOUP)
    result = client.run(again)
    assert ran(result, again, "KSampler") and not ran(result, again, "DSoupCook")
    assert same(*pictures(result), plain)


def test_one_ingredient_is_that_checkpoint(client):
    graph = Graph()
    checkpoint = graph.checkpoint("clay")
    graph.sample(checkpoint[0], checkpoint[2])
    assert same(shown(client, graph), soup_picture(client, "clay"))


def test_shares_matter(client, plain):
    assert not same(soup_picture(client, ("clay", 3.0), "neon"), plain)


def test_order_does_not(client, plain):
    assert same(soup_picture(client, *reversed(SOUP)), plain)


def test_lora_on_top(client, plain):
    graph = Graph()
    soup = graph.cook(*SOUP)
    lora = graph("LoraLoaderModelOnly", model=soup[0], lora_name="comic.safetensors", strength_model=1.0)
    graph.sample(lora[0], soup[2])
    check_and_remove(client, plain, graph)


def test_lora_on_text_encoder_too(client):
    """LoraLoader takes MODEL and CLIP of a whole soup; at strength 0 it is off."""
    def run(strength):
        graph = Graph()
        soup = graph.cook(*SOUP, text_encoder="soup")
        lora = graph("LoraLoader", model=soup[0], clip=soup[1], lora_name="comic.safetensors", strength_model=strength,
                     strength_clip=strength)
        graph.sample(lora[0], soup[2], graph.prompts(lora[1]))
        return shown(client, graph)

    graph = Graph()
    soup = graph.cook(*SOUP, text_encoder="soup")
    graph.sample(soup[0], soup[2], graph.prompts(soup[1]))
    without = shown(client, graph)
    assert not same(run(1.0), without)
    assert same(run(0.0), without)


def test_controlnet(client, plain):
    graph = Graph()
    soup = graph.cook(*SOUP)
    hint = graph("EmptyImage", width=64, height=64, batch_size=1, color=0x3366AA)
    positive, negative = graph.prompts()
    net = graph("ControlNetLoader", control_net_name="shapes.safetensors")
    guided = graph("ControlNetApplyAdvanced", positive=positive, negative=negative, control_net=net[0], image=hint[0],
                   strength=1.0, start_percent=0.0, end_percent=1.0)
    graph.sample(soup[0], soup[2], (guided[0], guided[1]))
    check_and_remove(client, plain, graph)


def test_merging_a_soup_with_a_checkpoint(client, plain):
    """ModelMergeSimple of a soup: at 1 it is the soup, in between it is neither."""
    def run(ratio):
        graph = Graph()
        soup = graph.cook(*SOUP)
        merged = graph("ModelMergeSimple", model1=soup[0], model2=graph.checkpoint("watercolour")[0], ratio=ratio)
        graph.sample(merged[0], soup[2])
        return graph

    assert same(shown(client, run(1.0)), plain)
    check_and_remove(client, plain, run(0.5))


def test_checkpoint_save(client, plain, comfy):
    """CheckpointSave and CheckpointLoaderSimple give the soup back."""
    graph = Graph()
    soup = graph.cook(*SOUP)
    graph("CheckpointSave", model=soup[0], clip=graph.checkpoint()[1], vae=soup[2],
          filename_prefix="checkpoints/theirs")
    client.run(graph).succeeded()
    graph = Graph()
    saved = graph.checkpoint("theirs_00001_")
    graph.sample(saved[0], saved[2])
    assert same(shown(client, graph), plain)


def test_hooks(client, plain):
    """A LoRA as a hook on the conditioning, which changes weights while sampling and puts them back."""
    graph = Graph()
    soup = graph.cook(*SOUP)
    hook = graph("CreateHookLora", lora_name="comic.safetensors", strength_model=1.0, strength_clip=0.0)
    clip = graph("SetClipHooks", clip=graph.checkpoint()[1], hooks=hook[0], apply_to_conds=True, schedule_clip=False)
    graph.sample(soup[0], soup[2], graph.prompts(clip[0]))
    check_and_remove(client, plain, graph)


def test_two_soups_in_one_graph(client, plain):
    graph = Graph()
    graph.picture(*SOUP)
    graph.picture("neon", "watercolour")
    one, other = pictures(client.run(graph))
    assert same(one, plain)
    assert same(other, soup_picture(client, "neon", "watercolour"))


def test_soup_sampled_after_another_was_cooked(client, plain):
    """The second soup is cooked before the first is used."""
    graph = Graph()
    second, first = graph.cook("neon", "watercolour"), graph.cook(*SOUP)
    merged = graph("ModelMergeSimple", model1=first[0], model2=second[0], ratio=1.0)
    graph.sample(merged[0], first[2])
    assert same(shown(client, graph), plain)
