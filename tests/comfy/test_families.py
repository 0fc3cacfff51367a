"""Soups of inpainting models, of SDXL, and with LoRAs among the ingredients."""

from itertools import combinations

from .graphs import Graph, same, shown, soup_picture


def test_inpainting_and_normal(client):
    """Loads as an inpainting model: it takes a mask and what is under it, and its picture depends on them."""
    def run(color):
        graph = Graph()
        soup = graph.cook("inpainting", "clay")
        picture = graph("EmptyImage", width=64, height=64, batch_size=1, color=color)
        mask = graph("SolidMask", value=0.5, width=64, height=64)
        positive, negative = graph.prompts()
        filled = graph("InpaintModelConditioning", positive=positive, negative=negative, vae=soup[2], pixels=picture[0],
                       mask=mask[0], noise_mask=False)
        graph.sample(soup[0], soup[2], (filled[0], filled[1]), filled[2])
        return shown(client, graph)

    assert not same(run(0xCC2200), run(0x0022CC))


def test_diffusers_names(client):
    """Same pictures as with LDM names, also after a changed share (then within rounding: the files' hashes differ, and
    with them the order of the sum)."""
    def run(first, second, share):
        graph = Graph()
        soup = graph.cook(first, (second, share), vae="none")
        graph.sample(soup[0], graph.checkpoint()[2])
        return shown(client, graph).astype(int)

    for share, far in ((1.0, 0), (0.25, 2)):  # renamed2 and renamed3 hold the numbers of clay and neon
        assert abs(run("renamed2", "renamed3", share) - run("clay", "neon", share)).max() <= far


def test_sdxl(client):
    graph = Graph()
    soup = graph.cook("xl1", "xl2", text_encoder="soup")
    graph.sample(soup[0], soup[2], graph.prompts(soup[1]))
    shown(client, graph)
    client.free()


def test_lora_as_the_only_ingredient_is_that_lora(client):
    """The base with the LoRA, as the host's LoraLoader makes it (within rounding: it works in float32)."""
    graph = Graph()
    base = graph.checkpoint()
    lora = graph("LoraLoaderModelOnly", model=base[0], lora_name="comic.safetensors", strength_model=0.8)
    graph.sample(lora[0], base[2])
    theirs = shown(client, graph).astype(int)
    ours = soup_picture(client, ("comic", 1.0, {"strength": 0.8}), base="demo-base.safetensors").astype(int)
    assert abs(theirs - ours).max() <= 2
    assert abs(theirs - soup_picture(client, "demo-base").astype(int)).max() > 10


def test_checkpoints_and_a_lora(client):
    with_lora = soup_picture(client, "clay", "neon", "comic", base="demo-base.safetensors")
    assert not same(with_lora, soup_picture(client, "clay", "neon", base="demo-base.safetensors"))
    off = soup_picture(client, "clay", "neon", ("comic", 1.0, {"strength": 0.0}), base="demo-base.safetensors")
    assert same(off, soup_picture(client, "clay", "neon", "demo-base", base="demo-base.safetensors"))


def test_choice_of_vae(client):
    """Two files' VAEs differ, and so does their average."""
    pictures = [soup_picture(client, "clay", "neon", vae=vae)
                for vae in ("clay.safetensors", "neon.safetensors", "soup")]
    assert not any(same(one, other) for one, other in combinations(pictures, 2))
