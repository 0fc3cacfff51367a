"""LoRAs as ingredients: θ₀ + s·ΔW, with a share like any specialist."""

import pytest
import torch

from diffusion_soup import Ingredient, MismatchError, ModelFile, Recipe, cook
from diffusion_soup.errors import FileError

from .kitchen import IDS, UNET, fill, identical, plain_sentence, same, tiny_unet

OUT = UNET + "out.2.weight"
TO_K = next(key for key in tiny_unet() if "to_k" in key)
UP, DOWN = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([[1.0, 10.0, 100.0, 1000.0]])


def lora(name="ink", weight=1.0, strength=1.0, **options):
    return Ingredient(f"{name}.safetensors", "lora", None, weight, strength=strength, **options)


def put_lora(pantry, name="ink", layer="lora_unet_out_2", up=UP, down=DOWN, **more):
    pantry.put(name, {f"{layer}.lora_up.weight": up, f"{layer}.lora_down.weight": down} | more)


def soup(pantry, *ingredients, **options):
    recipe = Recipe(ingredients, base=ModelFile("base.safetensors"), **options)
    return dict(cook(recipe, pantry.models))


@pytest.fixture
def base(pantry):
    """A base whose OUT is all 1, and a rank-1 LoRA on it."""
    tensors = fill(tiny_unet(), 5, torch.float32) | {OUT: torch.ones(4, 4)}
    pantry.put("base", tensors)
    put_lora(pantry)
    return tensors


@pytest.mark.parametrize("strength", [1.0, 0.5, -2.0])
@pytest.mark.parametrize("weight", [1.0, 0.1])
def test_alone_it_is_base_plus_change(pantry, base, strength, weight):
    expected = base | {OUT: 1 + strength * UP @ DOWN}
    assert same(soup(pantry, lora(weight=weight, strength=strength)), expected)


def test_strength_zero_is_the_base(pantry, base):
    assert same(soup(pantry, lora(strength=0.0)), base)


def test_without_normalising_the_share_scales_base_and_change(pantry, base):
    cooked = soup(pantry, lora(weight=0.5), normalise=False)
    assert torch.equal(cooked[OUT], 0.5 * (1 + UP @ DOWN))


def test_shared_with_a_checkpoint(pantry, base):
    pantry.put("a", base | {OUT: torch.full((4, 4), 5.0)})
    cooked = soup(pantry, lora(weight=1, strength=2), Ingredient("a.safetensors", weight=3))
    assert torch.equal(cooked[OUT], 0.75 * 5 + 0.25 * (1 + 2 * UP @ DOWN))


def test_two_loras_and_the_base_itself(pantry, base):
    put_lora(pantry, "pen", up=UP.flip(0))
    cooked = soup(pantry, lora(weight=1), lora("pen", weight=2, strength=0.5), Ingredient("base.safetensors"))
    assert torch.equal(cooked[OUT], 1 + 0.25 * UP @ DOWN + 0.25 * UP.flip(0) @ DOWN)


def test_task_arithmetic(pantry, base):
    cooked = soup(pantry, lora(weight=3, strength=0.5), method="task_arithmetic", parameters={"scale": 2.0},
                  normalise=False)
    assert torch.equal(cooked[OUT], 1 + 2 * 3 * 0.5 * UP @ DOWN)


def test_given_twice_it_adds_up_in_any_order(pantry):
    """Even with strengths that cancel, so that the order of a sum would show."""
    pantry.put("base", {key: torch.zeros(shape) for key, shape in tiny_unet().items()})
    put_lora(pantry)
    one, other, third = (lora(strength=strength) for strength in (1e6, -1e6, 1e-10))
    expected = soup(pantry, one, other, third)
    for order in ((one, third, other), (third, other, one), (other, third, one)):
        assert same(soup(pantry, *order), expected)


def test_block_weights(pantry, base):
    recipe = (lora(blocks={"FINAL": 0.0}), Ingredient("base.safetensors", weight=0, blocks={"FINAL": 1.0}))
    assert same(soup(pantry, *recipe), base)


def test_removed_is_never_added(pantry, base):
    pantry.stock(1)
    never = Recipe((Ingredient("a.safetensors"), lora()), base=ModelFile("base.safetensors"))
    put_lora(pantry, "pen")
    removed = never.add(lora("pen", weight=0.3)).remove("pen")
    assert same(dict(cook(removed, pantry.models)), dict(cook(never, pantry.models)))


def test_a_changed_strength_recooks_only_what_the_lora_touches(pantry, base):
    first = cook(Recipe((lora(),), base=ModelFile("base.safetensors")), pantry.models)
    second = cook(Recipe((lora(strength=0.5),), base=ModelFile("base.safetensors")), pantry.models, previous=first)
    assert [key for key in second if second[key] is not first[key]] == [OUT]


def test_layers_without_a_place_are_told(pantry, base):
    put_lora(pantry, **{"lora_unet_nowhere.lora_up.weight": torch.ones(2, 1),
                        "lora_unet_nowhere.lora_down.weight": torch.ones(1, 2)})
    cooked = cook(Recipe((lora(),), base=ModelFile("base.safetensors")), pantry.models)
    assert any("1 layers used, 1 have no place" in note and "lora_unet_nowhere" in note for note in cooked.notes)


def refused(pantry, *ingredients):
    with pytest.raises((FileError, MismatchError)) as caught:
        soup(pantry, *ingredients)
    text = plain_sentence(caught.value)
    assert "ink.safetensors" in text
    return text


def test_none_of_its_layers_has_a_place(pantry, base):
    put_lora(pantry, layer="lora_unet_nowhere")
    assert "none of its 1 layers" in refused(pantry, lora())


def test_for_another_base(pantry, base):
    layer = "lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_k"
    put_lora(pantry, layer=layer, up=torch.ones(2, 1), down=torch.ones(1, 2048))
    assert "SDXL" in refused(pantry, lora())
    put_lora(pantry, up=torch.ones(7, 1))
    assert "7x4" in refused(pantry, lora())


def test_a_checkpoint_with_tensors_the_base_lacks(pantry, base):
    """The LoRA has no share in them: it is a change of its base."""
    extra = "cond_stage_model.transformer.text_model.text_projection.weight"
    shared = "cond_stage_model.transformer.text_model.final_layer_norm.weight"
    pantry.put("base", base | {shared: torch.ones(4)})
    pantry.put("a", base | {shared: torch.full((4,), 3.0), extra: torch.full((2, 2), 3.0)})
    cooked = soup(pantry, lora(), Ingredient("a.safetensors"))
    assert cooked[extra].unique().tolist() == [3.0]
    assert cooked[shared].unique().tolist() == [2.0]


def test_odd_targets(pantry, base):
    """Norms, biases and single numbers can be changed too; ids and integers stay."""
    extra = {UNET + "middle_block.1.gain.weight": torch.tensor(2.0), IDS: torch.arange(77)[None]}
    pantry.put("base", base | extra)
    pantry.put("ink", {"lora_unet_middle_block_0_in_layers_0.diff_b": torch.ones(4),
                       f"{UNET}middle_block.1.gain.diff": torch.tensor([0.5])})
    cooked = soup(pantry, lora())
    bias = UNET + "middle_block.0.in_layers.0.bias"
    assert torch.equal(cooked[bias], base[bias] + 1)
    assert cooked[UNET + "middle_block.1.gain.weight"].item() == 2.5
    assert identical(cooked[IDS], extra[IDS])


def test_with_inpainting(pantry, base):
    conv = UNET + "input_blocks.0.0.weight"
    a = fill(tiny_unet(channels=9), 2, torch.float32)
    pantry.put("a", a)
    put_lora(pantry, layer="lora_unet_input_blocks_0_0", up=UP[..., None, None],
             down=torch.arange(36.0).reshape(1, 4, 3, 3))
    cooked = soup(pantry, lora(), Ingredient("a.safetensors"))[conv]
    change = (UP @ torch.arange(36.0)[None]).reshape(4, 4, 3, 3)
    exact = 0.5 * a[conv][:, :4].double() + 0.5 * (base[conv].double() + change)
    assert torch.equal(cooked[:, :4], exact.float())
    assert identical(cooked[:, 4:], a[conv][:, 4:])
