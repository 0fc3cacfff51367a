"""Cooking is exact: every check here is equality, or a bound that follows from the formats."""

import threading

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from diffusion_soup import Ingredient, ModelFile, ModelFolders, Recipe, Tuning, cook, cook_to_file, prepare
from diffusion_soup.checkpoint import Checkpoint
from diffusion_soup.cook import execute
from diffusion_soup.sinks import MemorySink

from .kitchen import CONV_IN, UNET, Pantry, fill, identical, same, tiny_unet, whole

OUT = UNET + "out.2.weight"
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64,
          "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}
TUNINGS = [Tuning(threads, chunk) for threads, chunk in ((1, 1 << 18), (2, 64), (3, 100), (5, 1000), (2, 7))]
LORA = Ingredient("ink.safetensors", "lora", weight=0.4, strength=0.7)


def soup(pantry, recipe, **options):
    return dict(cook(recipe, pantry.models, **options))


def awkward(dtype):
    """-0.0, the smallest numbers, the largest, and everything between that fits in 16 bits."""
    if dtype.itemsize == 1:
        bits = torch.arange(256, dtype=torch.uint8).view(dtype)
    elif dtype.itemsize == 2:
        bits = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int16).view(dtype)
    else:
        tiny = torch.tensor([-0.0, 0.0, torch.finfo(dtype).smallest_normal, torch.finfo(dtype).max], dtype=dtype)
        bits = torch.cat([tiny, -tiny, tiny / 3, tiny / 1e5, torch.randn(4000, dtype=dtype)])
    return bits[bits.float().isfinite() | (bits.float().abs() > 1e30)]


# -- endpoints -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("rest", [{}, {"b": 0.0}, {"b": 0.0, "c": 0.0}], ids=["alone", "and one 0", "and two 0"])
@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_one_ingredient_gives_its_bytes(pantry, dtype, rest, weight):
    shapes = tiny_unet() | {OUT: awkward(dtype).shape}
    a = pantry.stock(3, shapes, dtype)[0] | {OUT: awkward(dtype)}
    pantry.put("a", a)
    for tuning in (Tuning(), Tuning(2, 1000)):
        assert same(soup(pantry, pantry.recipe(a=weight, **rest), tuning=tuning), a)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_one_ingredient_in_one_block(pantry, dtype):
    a, b = pantry.stock(2, dtype=dtype)
    a[OUT][0, 0] = -0.0
    pantry.put("a", a)
    recipe = pantry.recipe(Ingredient("b.safetensors", blocks={"FINAL": 0.0, "IN00": 0.0}), a=1)
    cooked = soup(pantry, recipe)
    assert identical(cooked[OUT], a[OUT]) and identical(cooked[CONV_IN], a[CONV_IN])
    assert not identical(cooked[UNET + "time_embed.0.weight"], a[UNET + "time_embed.0.weight"])


def test_equal_ingredients_give_themselves(pantry):
    a = pantry.stock(1)[0]
    pantry.put("b", a)
    assert same(soup(pantry, pantry.recipe(a=0.25, b=0.75)), a)


@pytest.mark.parametrize("wanted", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("stored", DTYPES.values(), ids=DTYPES)
def test_conversion_is_torchs(pantry, stored, wanted):
    a = pantry.stock(1, dtype=stored)[0]
    expected = {key: value.to(getattr(torch, wanted)) for key, value in a.items()}
    assert same(soup(pantry, pantry.recipe(a=1), dtype=wanted), expected)


def test_mixed_dtypes_become_float16_unless_asked(pantry):
    pantry.put("a", fill(tiny_unet(), 0, torch.float32))
    pantry.put("b", fill(tiny_unet(), 1, torch.bfloat16))
    recipe = pantry.recipe(a=1, b=1)
    assert {value.dtype for value in soup(pantry, recipe).values()} == {torch.float16}
    assert {value.dtype for value in soup(pantry, recipe, dtype="float32").values()} == {torch.float32}


# -- averages --------------------------------------------------------------------------------------------


def test_worked_by_hand(pantry):
    values = [torch.full((4, 4), number) for number in (1.0, 2.0, 6.0)]
    for name, value in zip("abc", values):
        pantry.put(name, fill(tiny_unet()) | {OUT: value.half()})
    assert soup(pantry, pantry.recipe(a=1, b=1, c=1))[OUT].unique().tolist() == [3.0]
    assert soup(pantry, pantry.recipe(a=1, b=2, c=1))[OUT].unique().tolist() == [2.75]
    assert soup(pantry, pantry.recipe(a=4, b=1, c=-1))[OUT].unique().tolist() == [0.0]
    loose = Recipe(pantry.recipe(a=1, b=2, c=0.5).ingredients, normalise=False)
    assert soup(pantry, loose)[OUT].unique().tolist() == [8.0]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_a_uniform_soup_is_within_half_a_unit_in_the_last_place(pantry, dtype, count):
    """Of the exact mean, plus what count + 2 roundings in the float32 sum (float64 for float32 output) can add:
    each is at most 2^-24 (2^-53) of the sum of magnitudes, against the final rounding's 2^-11, 2^-8 or 2^-24."""
    wanted = getattr(torch, dtype)
    parts = pantry.stock(count, tiny_unet() | {OUT: (300, 300)}, wanted)
    cooked = soup(pantry, pantry.recipe(**dict.fromkeys("abcdefghij"[:count], 1.0)))[OUT]
    exact = torch.stack([part[OUT].double() for part in parts]).sum(0) / count
    largest = torch.stack([part[OUT].double().abs() for part in parts]).sum(0)
    ulp = _ulp(exact, wanted)
    sums = (count + 2) * 2.0 ** (-53 if wanted == torch.float32 else -24) * largest
    error = (cooked.double() - exact).abs()
    assert (error <= 0.5 * ulp + sums).all()
    assert (cooked == exact.to(wanted)).double().mean() > 0.99


def _ulp(value, dtype):
    """Distance of neighbouring numbers of a format around ``value``."""
    digits = {torch.float16: 11, torch.bfloat16: 8, torch.float32: 24}[dtype]
    exponent = torch.frexp(value).exponent
    smallest = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    return torch.ldexp(torch.ones_like(value), exponent - digits).clamp(min=smallest)


# -- what must not matter --------------------------------------------------------------------------------


def stock_with_lora(pantry, channels=4):
    """Three checkpoints with text encoders, a base and a LoRA of rank 3 on two layers."""
    for seed, name in enumerate(("base", "a", "b", "c")):
        pantry.put(name, fill(tiny_unet(channels=channels if name == "b" else 4) | {OUT: (40, 33)}, seed))
    generator = torch.Generator().manual_seed(9)
    pantry.put("ink", {
        "lora_unet_out_2.lora_up.weight": torch.randn(40, 3, generator=generator),
        "lora_unet_out_2.lora_down.weight": torch.randn(3, 33, generator=generator),
        "lora_unet_middle_block_0_in_layers_0.diff_b": torch.randn(4, generator=generator)})
    return Recipe((*pantry.recipe(a=0.3, b=1.7, c=0.9).ingredients, LORA), base=ModelFile("base.safetensors"))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize("channels", [4, 9])
def test_order_threads_and_chunks_do_not_matter(pantry, tmp_path_factory, dtype, channels):
    recipe = stock_with_lora(pantry, channels)
    expected = soup(pantry, recipe, dtype=dtype)
    backwards = Recipe(recipe.ingredients[::-1], base=recipe.base)
    out = tmp_path_factory.mktemp("out") / "soup.safetensors"
    for tuning in TUNINGS:
        assert same(soup(pantry, backwards, dtype=dtype, tuning=tuning), expected)
        cook_to_file(backwards, pantry.models, out, dtype=dtype, tuning=tuning, overwrite=True)
        assert same(load_file(out), expected)


@given(weights=st.lists(st.floats(0, 10), min_size=3, max_size=3).filter(lambda w: max(w) > 0.1),
       order=st.permutations("abc"), tuning=st.builds(Tuning, st.integers(1, 4), st.integers(1, 200)))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nor_for_any_weights(shelf, weights, order, tuning):
    shares = dict(zip("abc", weights))
    expected = soup(shelf, shelf.recipe(**shares))
    assert same(soup(shelf, shelf.recipe(**{name: shares[name] for name in order}), tuning=tuning), expected)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A pantry of three specialists nobody changes."""
    pantry = Pantry(tmp_path_factory.mktemp("shelf"))
    pantry.stock(3)
    return pantry


def test_torchs_threads_are_left_as_they_were(shelf):
    def seen():
        found = [torch.get_num_threads()]
        thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        return found

    before = torch.get_num_threads()
    try:
        for count in (2, 3):
            torch.set_num_threads(count)
            soup(shelf, shelf.recipe(a=1, b=1), tuning=Tuning(3, 16))
            assert seen() == [count, count]
    finally:
        torch.set_num_threads(before)


def test_the_result_is_an_ordinary_tensor(shelf):
    value = soup(shelf, shelf.recipe(a=1, b=1))[OUT]
    assert not value.is_inference() and not value.requires_grad and value.is_contiguous()
    value.float().requires_grad_().sum().backward()
    value.add_(1)


# -- unlearning ------------------------------------------------------------------------------------------


def test_removed_is_never_added_to_the_byte(shelf, tmp_path):
    never = shelf.recipe(a=0.3, b=0.7)
    removed = never.add(Ingredient("c.safetensors", weight=2.0)).remove("c")
    assert removed == never
    assert same(soup(shelf, removed), soup(shelf, never))
    for name, recipe in (("never", never), ("removed", removed)):
        cook_to_file(recipe, shelf.models, tmp_path / name)
    assert (tmp_path / "never").read_bytes() == (tmp_path / "removed").read_bytes()


def test_a_share_of_zero_is_never_added(shelf):
    assert same(soup(shelf, shelf.recipe(a=0.3, b=0.7, c=0)), soup(shelf, shelf.recipe(a=0.3, b=0.7)))


def test_after_an_edit_and_back_it_is_the_same(shelf):
    recipe = shelf.recipe(a=0.3, b=0.7)
    first = cook(recipe, shelf.models)
    second = cook(recipe.add(Ingredient("c.safetensors")), shelf.models, previous=first)
    assert not same(dict(first), dict(second))
    assert same(soup(shelf, recipe, previous=second), dict(first))


# -- float8 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_float8_is_for_matrices_of_the_diffusion_model(pantry, dtype):
    pantry.put("a", fill(whole()))
    for key, value in soup(pantry, pantry.recipe(a=1), dtype=dtype).items():
        matrix = key.startswith(UNET) and value.dim() > 1
        assert value.dtype == (getattr(torch, dtype) if matrix else torch.float16)


def test_float8_seeds(shelf):
    one, again, other = (soup(shelf, Recipe(shelf.recipe(a=1, b=1).ingredients, seed=seed, dtype="float8_e4m3fn"))
                         for seed in (1, 1, 2))
    assert same(one, again)
    assert not same(one, other)


def test_float8_is_unbiased(pantry):
    a, b = pantry.stock(2, tiny_unet() | {OUT: (500, 500)})
    cooked = soup(pantry, pantry.recipe(a=1, b=1), dtype="float8_e4m3fn")[OUT].double()
    exact = (a[OUT].double() + b[OUT].double()) / 2
    error = (cooked - exact).mean().item()
    assert abs(error) < 5 * (cooked - exact).std().item() / 500


# -- sources are only read when they must be -------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch):
    """(file, tensor) -> elements read."""
    counts, real = {}, Checkpoint.read

    def read(self, name, start, stop, buffer):
        place = self.path.stem, name
        counts[place] = counts.get(place, 0) + stop - start
        return real(self, name, start, stop, buffer)

    monkeypatch.setattr(Checkpoint, "read", read)
    return counts


def expected_reads(*names, shapes=None):
    sizes = {key: torch.Size(shape).numel() for key, shape in (shapes or tiny_unet()).items()}
    return {(name, key): size for name in names for key, size in sizes.items()}


def test_each_tensor_is_read_once(pantry, reads):
    pantry.stock(3)
    soup(pantry, pantry.recipe(a=1, b=1, c=1), tuning=Tuning(2, 100))
    assert reads == expected_reads("a", "b", "c")


def test_zero_shares_are_not_read(pantry, reads):
    pantry.stock(2)
    soup(pantry, pantry.recipe(Ingredient("b.safetensors", weight=0, blocks={"M00": 1}), a=1))
    assert reads == expected_reads("a") | {("b", UNET + "middle_block.0.in_layers.0.bias"): 4}


def test_one_file_given_twice_is_read_once(pantry, reads):
    pantry.stock(2)
    pantry.put("twin", load_file(pantry.root / "a.safetensors"))
    cooked = soup(pantry, pantry.recipe(a=1, b=2, twin=1))
    assert len(reads) == 2 * len(tiny_unet())
    assert set(reads.values()) == set(expected_reads("a").values())
    assert same(cooked, soup(pantry, pantry.recipe(a=2, b=2)))


def test_a_base_that_is_an_ingredient_is_read_once(pantry, reads):
    pantry.stock(2)
    recipe = Recipe(pantry.recipe(a=1, b=1).ingredients, "task_arithmetic", {"scale": 0.5},
                    base=ModelFile("a.safetensors"))
    soup(pantry, recipe)
    assert reads == expected_reads("a", "b")


def test_inpainting_is_read_once_too(pantry, reads):
    pantry.put("a", fill(tiny_unet()))
    pantry.put("b", fill(tiny_unet(channels=9), 1))
    soup(pantry, pantry.recipe(a=1, b=1))
    assert reads == expected_reads("a") | expected_reads("b", shapes=tiny_unet(channels=9))


def test_models_folders_are_all_it_needs(pantry):
    pantry.stock(1)
    assert soup(pantry, pantry.recipe(a=1)).keys() == cook(
        pantry.recipe(a=1), ModelFolders({"checkpoint": [pantry.root]})).keys()


def test_memory_elsewhere_is_filled_through_write(pantry):
    """What happens when an accelerator has room for the soup, but none to cook: its memory cannot be read into."""
    class Elsewhere(MemorySink):
        written = 0

        def place(self, step, start, stop):
            return torch.empty(stop - start, dtype=torch.float16, device="meta")

        def write(self, step, start, piece):
            self.written += piece.numel()

    pantry.stock(1)
    plan = prepare(pantry.recipe(a=1), pantry.models)
    sink = Elsewhere(plan.steps)
    execute(plan.steps, sink)
    assert sink.written == sum(step.info.numel for step in plan.steps)
