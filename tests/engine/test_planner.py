"""What goes into each tensor: blocks, parts, channels, ids, bases; and what is refused from headers."""

import pytest
import torch

from diffusion_soup import Ingredient, MismatchError, ModelFile, Recipe, RecipeError, cook, prepare
from diffusion_soup.blocks import block_of

from .kitchen import CONV_IN, IDS, UNET, fill, identical, plain_sentence, same, tiny_unet, whole

TEXT = "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight"
VAE = "first_stage_model.decoder.conv_in.weight"
OUT = UNET + "out.2.weight"


def soup(pantry, recipe, **options):
    return dict(cook(recipe, pantry.models, **options))


def refused(kind, pantry, recipe):
    with pytest.raises(kind) as caught:
        prepare(recipe, pantry.models)
    return plain_sentence(caught.value)


def mean(*values):
    return (sum(value.float() for value in values) / len(values)).half()


# -- blocks ----------------------------------------------------------------------------------------------


def test_each_tensor_takes_its_blocks_weight(pantry):
    """a is all 0 and b all 1, so every number is b's share."""
    pantry.put("a", {key: torch.zeros(shape) for key, shape in whole().items()})
    pantry.put("b", {key: torch.ones(shape) for key, shape in whole().items()})
    names = ("BASE", *(f"IN{i:02}" for i in range(12)), "M00", *(f"OUT{i:02}" for i in range(12)), "TIME", "FINAL")
    shares = {name: (number + 1) / 64 for number, name in enumerate(names)}
    b = Ingredient("b.safetensors", blocks=shares)
    a = Ingredient("a.safetensors", blocks={name: 1 - share for name, share in shares.items()})
    for key, value in soup(pantry, Recipe((a, b), vae="soup")).items():
        assert value.unique().tolist() == [shares[block_of(key, "sd1")]], key


def test_element_rows(pantry):
    pantry.put("a", {key: torch.zeros(shape) for key, shape in tiny_unet().items()})
    pantry.put("b", {key: torch.ones(shape) for key, shape in tiny_unet().items()})
    b = Ingredient("b.safetensors", weight=0.5, blocks={"IN01": 0.25}, elements=("IN01:attn2:0.75", "OUT03-FINAL::1"))
    recipe = Recipe((Ingredient("a.safetensors", elements=("::0.5", "OUT03-FINAL::0")), b), normalise=False)
    shares = {"attn2": 0.75, "input_blocks.1.0": 0.25, "input_blocks.10.": 0.5, "output_blocks.3.": 1.0, ".out.": 1.0}
    cooked = soup(pantry, recipe)
    for part, share in shares.items():
        key, = (key for key in cooked if part in key)
        assert cooked[key].unique().tolist() == [share], key


def test_only_changed_blocks_are_cooked_again(pantry):
    pantry.stock(2)
    recipe = pantry.recipe(a=1, b=1)
    first = cook(recipe, pantry.models)
    copy = {key: value.clone() for key, value in first.items()}
    changed = Recipe((recipe.ingredients[0], Ingredient("b.safetensors", blocks={"IN01": 0.2})))
    second = cook(changed, pantry.models, previous=first)
    new = {key for key in second if second[key].data_ptr() != first[key].data_ptr()}
    assert new == {key for key in tiny_unet() if ".input_blocks.1." in key}
    assert all(second[key] is first[key] for key in second.keys() - new)
    assert same(dict(second), soup(pantry, changed))
    assert same(dict(first), copy)


def test_nothing_is_shared_with_a_soup_of_other_files_or_dtype(pantry):
    pantry.stock(2)
    recipe = pantry.recipe(a=1, b=1)
    first = cook(recipe, pantry.models)
    wide = cook(recipe, pantry.models, previous=first, dtype="bfloat16")
    assert same(dict(wide), soup(pantry, recipe, dtype="bfloat16"))
    pantry.put("b", fill(tiny_unet(), 7))
    again = cook(recipe, pantry.models, previous=first)
    assert not any(again[key] is first[key] for key in again)


def test_all_zero_shares_in_one_block(pantry):
    pantry.stock(2)
    zero = {"M00": 0.0}
    recipe = Recipe(tuple(Ingredient(f"{name}.safetensors", blocks=zero) for name in "ab"))
    text = refused(RecipeError, pantry, recipe)
    assert "block M00" in text and "positive share" in text


def test_blocks_the_model_does_not_have(pantry):
    pantry.put("a", fill(tiny_unet(context=2048)))
    text = refused(RecipeError, pantry, Recipe((Ingredient("a.safetensors", blocks={"OUT11": 1}),)))
    assert "'OUT11', which SDXL does not have" in text and "OUT08" in text


# -- channels --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
def test_inpainting_keeps_its_extra_channels(pantry, order):
    normal, inpainting = fill(tiny_unet(), 1), fill(tiny_unet(channels=9), 2)
    pantry.put("a", normal)
    pantry.put("b", inpainting)
    recipe = Recipe(pantry.recipe(a=1, b=1).ingredients[::order])
    cooked = cook(recipe, pantry.models)
    conv = cooked[CONV_IN]
    assert torch.equal(conv[:, :4], mean(normal[CONV_IN], inpainting[CONV_IN][:, :4]))
    assert identical(conv[:, 4:], inpainting[CONV_IN][:, 4:])
    assert cooked.plan.architecture.variant == "inpainting"
    assert cooked.plan.architecture.title == "SD 1.x, inpainting"


def test_extra_channels_are_averaged_among_those_that_have_them(pantry):
    files = [fill(tiny_unet(channels=channels), seed) for seed, channels in enumerate((4, 9, 9))]
    for name, tensors in zip("abc", files):
        pantry.put(name, tensors)
    conv = soup(pantry, pantry.recipe(a=2, b=1, c=1))[CONV_IN]
    assert torch.equal(conv[:, 4:], mean(files[1][CONV_IN][:, 4:], files[2][CONV_IN][:, 4:]))


def test_extra_channels_survive_a_share_of_zero_in_their_block(pantry):
    a, b = fill(tiny_unet(), 1), fill(tiny_unet(channels=9), 2)
    a[CONV_IN][0, 0, 0, 0] = -0.0
    pantry.put("a", a)
    pantry.put("b", b)
    recipe = pantry.recipe(Ingredient("b.safetensors", blocks={"IN00": 0}), a=1)
    conv = soup(pantry, recipe)[CONV_IN]
    assert identical(conv[:, 4:], b[CONV_IN][:, 4:])
    assert identical(conv[:, :4], a[CONV_IN])


def test_pix2pix_and_inpainting_are_refused(pantry):
    for name, channels in (("a", 4), ("b", 8), ("c", 9)):
        pantry.put(name, fill(tiny_unet(channels=channels)))
    assert "instruct-pix2pix" in refused(MismatchError, pantry, pantry.recipe(a=1, b=1, c=1))


# -- refused from headers --------------------------------------------------------------------------------


def test_another_family(pantry):
    pantry.put("a", fill(whole("sd1")))
    pantry.put("b", fill(whole("sdxl")))
    text = refused(MismatchError, pantry, pantry.recipe(a=1, b=1))
    assert "b.safetensors is SDXL, but a.safetensors is SD 1.x" in text


def test_other_tensors_are_counted(pantry):
    pantry.put("a", fill(tiny_unet()))
    pantry.put("b", fill(tiny_unet() | {OUT: (4, 5), UNET + "extra.weight": (1,)}))
    text = refused(MismatchError, pantry, pantry.recipe(a=1, b=1))
    assert "of 8 tensors" in text and "1 exist in one file alone and 1 differ in shape" in text
    pantry.put("b", fill(tiny_unet() | {CONV_IN: (5, 4, 3, 3)}))
    assert "0 exist in one file alone and 1 differ" in refused(MismatchError, pantry, pantry.recipe(a=1, b=1))


def test_text_encoders_of_different_size(pantry):
    pantry.put("a", fill(tiny_unet() | {TEXT: (4, 4)}))
    pantry.put("b", fill(tiny_unet() | {TEXT: (4, 8)}))
    assert TEXT in refused(MismatchError, pantry, pantry.recipe(a=1, b=1))
    assert soup(pantry, Recipe(pantry.recipe(a=1, b=1).ingredients, text_encoder="b.safetensors"))[TEXT].shape == (4, 8)


def test_predictions(pantry):
    pantry.put("a", fill(tiny_unet()))
    pantry.put("b", fill(tiny_unet()) | {"v_pred": torch.zeros(0)})
    assert "prediction types" in refused(MismatchError, pantry, pantry.recipe(a=1, b=1))


def test_a_lora_given_as_checkpoint_and_the_reverse(pantry):
    pantry.stock(1)
    pantry.put("ink", {"lora_unet_x.lora_up.weight": torch.zeros(2, 1),
                       "lora_unet_x.lora_down.weight": torch.zeros(1, 2)})
    assert "is a LoRA, not a checkpoint" in refused(MismatchError, pantry, pantry.recipe(ink=1))
    recipe = Recipe((Ingredient("a.safetensors", "lora"),), base=ModelFile("a.safetensors"))
    with pytest.raises(Exception, match="a.safetensors is not a LoRA") as caught:
        prepare(recipe, pantry.models)
    plain_sentence(caught.value)


# -- what is not averaged --------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [torch.arange(77) * 0.5, torch.arange(77) + 0.9, torch.full((77,), torch.nan)])
def test_ids_are_rebuilt(pantry, broken):
    pantry.put("a", fill(tiny_unet()) | {IDS: broken[None].half(), TEXT: torch.ones(4, 4)})
    pantry.put("b", fill(tiny_unet()) | {IDS: torch.arange(77)[None], TEXT: torch.ones(4, 4)})
    for recipe in (pantry.recipe(a=1, b=1), pantry.recipe(a=1), pantry.recipe(b=1, a=1),
                   Recipe(pantry.recipe(a=1, b=1).ingredients, text_encoder="a.safetensors")):
        assert identical(soup(pantry, recipe)[IDS], torch.arange(77)[None])


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (1, 1, 4)])
def test_ids_of_any_shape(pantry, shape):
    pantry.put("a", fill(tiny_unet()) | {IDS: torch.zeros(shape)})
    ids = soup(pantry, pantry.recipe(a=1))[IDS]
    assert ids.numel() == torch.Size(shape).numel()
    assert ids.reshape(-1).tolist() == [number % (shape[-1] if shape else 1) for number in range(ids.numel())]


def test_schedules_and_markers_are_carried_and_ema_dropped(pantry):
    extras = {"alphas_cumprod": torch.rand(1000, dtype=torch.float64), "v_pred": torch.zeros(0),
              "ztsnr": torch.zeros(0), UNET + "v_pred": torch.zeros(0), "num_timesteps": torch.tensor(1000)}
    pantry.put("a", fill(tiny_unet(), 1) | extras | {"model_ema.decay": torch.zeros(1)})
    pantry.put("b", fill(tiny_unet(), 2) | {key: value + 1 for key, value in extras.items()})
    cooked = soup(pantry, pantry.recipe(a=2, b=1), dtype="bfloat16")
    assert cooked.keys() == tiny_unet().keys() | extras.keys()
    for key in ("alphas_cumprod", "num_timesteps", "v_pred", "ztsnr"):
        assert identical(cooked[key], extras[key])
    assert cooked[UNET + "v_pred"].shape == (0,)


def test_integers_are_never_averaged(pantry):
    key = UNET + "counter"
    for name, number in (("a", 3), ("b", 8)):
        pantry.put(name, fill(tiny_unet()) | {key: torch.tensor([number])})
    one, other = (soup(pantry, pantry.recipe(**dict.fromkeys(names, 1.0)))[key] for names in ("ab", "ba"))
    assert identical(one, other) and one.dtype == torch.int64 and one.item() in (3, 8)


# -- parts -----------------------------------------------------------------------------------------------


@pytest.fixture
def parts(pantry):
    """base, a, b with a text encoder and a VAE each; bare without."""
    shapes = tiny_unet() | {TEXT: (4, 4), VAE: (4, 4)}
    made = {name: fill(shapes, seed) for seed, name in enumerate(("base", "a", "b"))}
    for name, tensors in made.items():
        pantry.put(name, tensors)
    pantry.put("bare", fill(tiny_unet(), 8))
    return made


def test_by_default_text_is_averaged_and_the_vae_taken_whole(pantry, parts):
    cooked = soup(pantry, pantry.recipe(a=1, b=2))
    assert torch.equal(cooked[TEXT], ((parts["a"][TEXT].float() + 2 * parts["b"][TEXT].float()) / 3).half())
    assert identical(cooked[VAE], parts["b"][VAE])
    recipe = Recipe(pantry.recipe(a=1, b=2).ingredients, base=ModelFile("base.safetensors"))
    assert identical(soup(pantry, recipe)[VAE], parts["base"][VAE])


@pytest.mark.parametrize(("field", "key"), [("text_encoder", TEXT), ("vae", VAE)])
def test_parts_of_choice(pantry, parts, field, key):
    ingredients = pantry.recipe(a=1, b=1).ingredients

    def cooked(choice):
        return soup(pantry, Recipe(ingredients, base=ModelFile("base.safetensors"), **{field: choice})).get(key)

    assert torch.equal(cooked("soup"), mean(parts["a"][key], parts["b"][key]))
    assert identical(cooked("base"), parts["base"][key])
    assert identical(cooked("base.safetensors"), parts["base"][key])
    assert identical(cooked("b.safetensors"), parts["b"][key])
    assert cooked("none") is None


def test_bare_diffusion_models_take_part_in_what_they_have(pantry, parts):
    cooked = cook(pantry.recipe(a=1, bare=1), pantry.models)
    assert identical(cooked[TEXT], parts["a"][TEXT])
    assert torch.equal(cooked[OUT], mean(parts["a"][OUT], fill(tiny_unet(), 8)[OUT]))
    assert soup(pantry, pantry.recipe(bare=1)).keys() == tiny_unet().keys()


def test_parts_that_only_the_base_has(pantry, parts):
    recipe = Recipe(pantry.recipe(bare=1).ingredients, base=ModelFile("base.safetensors"))
    cooked = soup(pantry, recipe)
    assert identical(cooked[TEXT], parts["base"][TEXT]) and identical(cooked[VAE], parts["base"][VAE])


def test_a_part_from_a_file_that_has_none(pantry, parts):
    recipe = Recipe(pantry.recipe(a=1, bare=1).ingredients, vae="bare.safetensors")
    assert "has none" in refused(MismatchError, pantry, recipe)


def test_a_part_from_an_ingredient_with_a_share_of_zero(pantry, parts):
    recipe = Recipe(pantry.recipe(a=1, b=0).ingredients, vae="b.safetensors", text_encoder="b.safetensors")
    cooked = soup(pantry, recipe)
    assert identical(cooked[VAE], parts["b"][VAE]) and identical(cooked[OUT], parts["a"][OUT])


def test_tensors_some_lack_are_averaged_over_the_rest_and_told(pantry, parts):
    extra = "cond_stage_model.transformer.text_model.text_projection.weight"
    pantry.put("a", parts["a"] | {extra: torch.full((2, 2), 3.0)})
    cooked = cook(pantry.recipe(a=1, b=1), pantry.models)
    assert cooked[extra].unique().tolist() == [3.0]
    assert any(extra in note for note in cooked.notes)


# -- task arithmetic -------------------------------------------------------------------------------------


def task(pantry, scale, **shares):
    return Recipe(pantry.recipe(**shares).ingredients, "task_arithmetic", {"scale": scale},
                  base=ModelFile("base.safetensors"))


def test_task_arithmetic_is_its_formula(pantry):
    for name, number in (("base", 1.0), ("a", 3.0), ("b", -2.0)):
        pantry.put(name, {key: torch.full(shape, number) for key, shape in tiny_unet().items()})
    loose = Recipe(task(pantry, 0.5, a=1, b=2).ingredients, "task_arithmetic", {"scale": 0.5}, False,
                   base=ModelFile("base.safetensors"))
    assert soup(pantry, loose)[OUT].unique().tolist() == [1 + 0.5 * ((3 - 1) + 2 * (-2 - 1))]
    assert soup(pantry, task(pantry, 0.5, a=1, b=3))[OUT].unique().tolist() == [1 + 0.5 * (0.25 * 2 + 0.75 * -3)]


def test_task_arithmetic_of_scale_0_is_the_base(pantry, parts):
    assert same(soup(pantry, task(pantry, 0, a=1, b=2)), parts["base"])


def test_task_arithmetic_of_scale_1_is_the_soup(pantry, parts):
    recipe = task(pantry, 1, a=1, b=3)
    assert same(soup(pantry, recipe), soup(pantry, Recipe(recipe.ingredients, base=recipe.base)))


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_task_arithmetic_where_one_side_lacks_a_part(pantry, parts, scale):
    pantry.put("base", {key: value for key, value in parts["base"].items() if key != TEXT})
    assert torch.equal(soup(pantry, task(pantry, scale, a=1, b=1))[TEXT], mean(parts["a"][TEXT], parts["b"][TEXT]))
    pantry.put("base", parts["base"])
    assert identical(soup(pantry, task(pantry, scale, bare=1))[TEXT], parts["base"][TEXT])


def test_without_normalising_a_missing_part_is_not_scaled_down(pantry):
    full = fill(whole(), 1)
    text = next(key for key in full if key.startswith("cond_stage_model") and full[key].ndim == 2)
    pantry.put("a", full)
    pantry.put("b", {key: tensor for key, tensor in full.items() if key.startswith(UNET)})
    recipe = Recipe((Ingredient("a.safetensors", weight=0.5), Ingredient("b.safetensors", weight=0.5)),
                    normalise=False)
    assert torch.equal(cook(recipe, pantry.models)[text], full[text])


def test_every_share_zero_in_a_block_is_refused_without_normalising_too(pantry):
    pantry.stock(1)
    recipe = Recipe((Ingredient("a.safetensors", blocks={"OUT03": 0.0}),), normalise=False)
    with pytest.raises(RecipeError, match="OUT03"):
        prepare(recipe, pantry.models)
