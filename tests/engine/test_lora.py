"""LoRA files: what they hold, where it lands, and ΔW to the bit."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from diffusion_soup.checkpoint import Checkpoint
from diffusion_soup.errors import FileError, MismatchError
from diffusion_soup.lora import Delta, LoRAFile, Target, delta_rows, match
from diffusion_soup.lora_layers import REFUSED, Difference, LowRank, grid_bits, product

from .sd_keys import UNETS, pico, pico_checkpoint, text_encoders, unet

KEY = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"
NAME = "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q"
CONV = "model.diffusion_model.input_blocks.0.0.weight"


@pytest.fixture
def lora(tmp_path):
    """Write tensors to a LoRA file and open it."""
    def write(tensors, **metadata):
        path = tmp_path / "ink.safetensors"
        own = {key: value.clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
        save_file(own, path, metadata or None)
        return LoRAFile(Checkpoint(path))
    return write


def kohya(up, down, name=NAME, alpha=None, mid=None):
    tensors = {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down}
    if alpha is not None:
        tensors[f"{name}.alpha"] = torch.tensor(alpha)
    if mid is not None:
        tensors[f"{name}.lora_mid.weight"] = mid
    return tensors


def change(file, shapes):
    """{key: ΔW} of all keys the file changes, assembled from its targets."""
    deltas = {}
    for key, places in match(file, shapes, "SD 1.x").targets.items():
        whole = deltas[key] = torch.zeros(shapes[key][0], max(1, torch.Size(shapes[key][1:]).numel()))
        for target, layer in places:
            whole[target.start:target.stop] = delta_rows(file, target, layer, target.start, target.stop)
        deltas[key] = whole.reshape(shapes[key])
    return deltas


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# -- worked by hand ------------------------------------------------------------------------------------


UP, DOWN = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0, -4.0]])
UP_DOWN = torch.tensor([[3.0, -4.0], [6.0, -8.0]])


def test_rank_one(lora):
    assert torch.equal(change(lora(kohya(UP, DOWN)), {KEY: (2, 2)})[KEY], UP_DOWN)


@pytest.mark.parametrize(("alpha", "scale"), [(1.0, 0.5), (2.0, 1.0), (3.0, 1.5), (0.0, 0.0), (-2.0, -1.0)])
def test_alpha_over_rank(lora, alpha, scale):
    up, down = torch.tensor([[1.0, 5.0], [2.0, 6.0]]), torch.tensor([[3.0, 4.0], [7.0, 8.0]])
    expected = scale * torch.tensor([[38.0, 44.0], [48.0, 56.0]])
    assert torch.equal(change(lora(kohya(up, down, alpha=alpha)), {KEY: (2, 2)})[KEY], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_any_float_dtype(lora, dtype):
    assert torch.equal(change(lora(kohya(UP.to(dtype), DOWN.to(dtype), alpha=1.0)), {KEY: (2, 2)})[KEY], UP_DOWN)


def test_convolution(lora):
    up, down = random(4, 2, 1, 1), random(2, 3, 3, 3, seed=1)
    actual = change(lora(kohya(up, down, "lora_unet_conv_in")), {CONV: (4, 3, 3, 3)})[CONV]
    torch.testing.assert_close(actual, torch.einsum("or,rikl->oikl", up[:, :, 0, 0], down))


def test_linear_layer_on_a_one_by_one_convolution(lora):
    key = "model.diffusion_model.input_blocks.1.1.proj_in.weight"
    actual = change(lora(kohya(UP, DOWN, "lora_unet_input_blocks_1_1_proj_in")), {key: (2, 2, 1, 1)})[key]
    assert torch.equal(actual, UP_DOWN.reshape(2, 2, 1, 1))


def test_tucker(lora):
    up, down, mid = random(4, 3, 1, 1), random(2, 5, 1, 1, seed=1), random(3, 2, 3, 3, seed=2)
    file = lora(kohya(up, down, "lora_unet_conv_in", 4.0, mid))
    actual = change(file, {CONV: (4, 5, 3, 3)})[CONV]
    expected = 4 / 2 * torch.einsum("om,mnkl,ni->oikl", up[:, :, 0, 0], mid, down[:, :, 0, 0])
    torch.testing.assert_close(actual, expected)


def test_fused_query_key_value(lora):
    root, name = "conditioner.embedders.1.model.", "lora_te2_text_model_encoder_layers_0_self_attn_"
    key = f"{root}transformer.resblocks.0.attn.in_proj_weight"
    file = lora(kohya(UP, DOWN, f"{name}q_proj") | kohya(2 * UP, DOWN, f"{name}v_proj"))
    actual = change(file, {key: (6, 2)})[key]
    assert torch.equal(actual, torch.cat([UP_DOWN, torch.zeros(2, 2), 2 * UP_DOWN]))


def test_text_projection_is_transposed_in_open_clip(lora):
    key = "conditioner.embedders.1.model.text_projection"
    actual = change(lora(kohya(UP, torch.tensor([[3.0, 4.0, 5.0]]), "lora_te2_text_projection")), {key: (3, 2)})[key]
    assert torch.equal(actual, torch.tensor([[3.0, 6.0], [4.0, 8.0], [5.0, 10.0]]))


def test_full_differences_of_weight_and_bias(lora):
    bias, norm = KEY.replace("weight", "bias"), "model.diffusion_model.out.0"
    shapes = {KEY: (2, 2), bias: (2,), f"{norm}.weight": (3,), f"{norm}.bias": (3,)}
    diffs = [random(*shape, seed=seed) for seed, shape in enumerate(shapes.values())]
    names = (f"{NAME}.diff", f"{NAME}.diff_b", "lora_unet_out_0.w_norm", "lora_unet_out_0.b_norm")
    actual = change(lora(dict(zip(names, diffs, strict=True))), shapes)
    for key, diff in zip(shapes, diffs, strict=True):
        assert torch.equal(actual[key], diff)


def test_low_rank_weight_beside_a_bias_difference(lora):
    bias = KEY.replace("weight", "bias")
    file = lora(kohya(UP, DOWN, alpha=1.0) | {f"{NAME}.diff_b": torch.tensor([5.0, 6.0])})
    actual = change(file, {KEY: (2, 2), bias: (2,)})
    assert torch.equal(actual[KEY], UP_DOWN)
    assert torch.equal(actual[bias], torch.tensor([5.0, 6.0]))
    assert sorted(file.layers) == [NAME, f"{NAME}.bias"]


# -- spellings -------------------------------------------------------------------------------------------

DOTTED = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


@pytest.mark.parametrize(("up", "down"), [
    (f"{NAME}.lora_up.weight", f"{NAME}.lora_down.weight"),
    (f"unet.{DOTTED}.lora_B.weight", f"unet.{DOTTED}.lora_A.weight"),
    (f"base_model.model.{DOTTED}.lora_B.default.weight", f"base_model.model.{DOTTED}.lora_A.default.weight"),
    (f"{DOTTED}.lora.up.weight", f"{DOTTED}.lora.down.weight"),
    (f"unet.{DOTTED}.lora_linear_layer.up.weight", f"unet.{DOTTED}.lora_linear_layer.down.weight"),
    (f"{DOTTED.replace('to_q', 'processor.to_q')}_lora.up.weight",
     f"{DOTTED.replace('to_q', 'processor.to_q')}_lora.down.weight"),
    (f"{KEY.removesuffix('.weight')}.lora_up.weight", f"{KEY.removesuffix('.weight')}.lora_down.weight"),
    (f"diffusion_model.{DOTTED}.lora_B", f"diffusion_model.{DOTTED}.lora_A"),
])
def test_every_spelling_gives_the_same_change(lora, up, down):
    shapes = unet(pico(UNETS["sd1"], 2))
    file = lora({up: UP, down: DOWN})
    assert list(change(file, shapes)) == [KEY]
    assert torch.equal(change(file, shapes)[KEY], UP_DOWN)


@pytest.mark.parametrize(("metadata", "scale"), [
    ({}, 1), ({"unet.lora_alpha": 8}, 4), ({"lora_alpha": 8}, 4), ({"text_encoder.lora_alpha": 8}, 1),
    ({"unet.lora_alpha": 8, "unet.alpha_pattern": {"attn1.to_q": 6}}, 3),
    ({"unet.lora_alpha": 8, "unet.alpha_pattern": {f"^{DOTTED}": 6, "to_k": 2}}, 3),
    ({"unet.lora_alpha": 8, "unet.alpha_pattern": {"1.to_q": 6}}, 4),
    ({"unet.lora_alpha": 8, "unet.use_rslora": True}, 8 / 2 ** 0.5),
])
def test_alpha_from_diffusers_metadata(lora, metadata, scale):
    tensors = {f"unet.{DOTTED}.lora_B.weight": UP.repeat(1, 2), f"unet.{DOTTED}.lora_A.weight": DOWN.repeat(2, 1)}
    file = lora(tensors, lora_adapter_metadata=json.dumps(metadata))
    (layer,) = file.layers.values()
    assert isinstance(layer, LowRank)
    assert layer.rank == 2
    torch.testing.assert_close(layer.alpha / layer.rank, scale, check_dtype=False)


def test_a_stored_alpha_wins_over_metadata(lora):
    (layer,) = lora(kohya(UP, DOWN, alpha=3.0), lora_adapter_metadata='{"unet.lora_alpha": 8}').layers.values()
    assert isinstance(layer, LowRank)
    assert layer.alpha == 3


# -- whole bases -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", UNETS)
def test_every_matrix_of_a_base_can_be_trained(lora, family):
    """A LoRA of all weights in LDM and CLIP names matches all of them, each once."""
    shapes = {key: shape for key, shape in pico_checkpoint(family).items()
              if key.startswith("model.") and len(shape) > 1}
    tensors = {}
    for key, shape in shapes.items():
        tensors |= kohya(torch.ones(shape[0], 1), torch.ones(1, *shape[1:]),
                         key.removesuffix(".weight").replace(".", "_").replace("model_diffusion_model", "lora_unet"))
    found = match(lora(tensors), shapes, family)
    assert found.targets.keys() == shapes.keys()
    assert found.matched == len(shapes)
    assert found.unmatched == ()


def test_unmatched_layers_and_unknown_tensors_are_listed(lora):
    stray = kohya(UP, DOWN, "lora_te_text_model_encoder_layers_0_mlp_fc1")
    file = lora(kohya(UP, DOWN) | stray | {"bundle_emb.ink.string_to_param.*": UP, "orphan.alpha": torch.tensor(1.0)})
    found = match(file, {KEY: (2, 2)}, "SD 1.x")
    assert found.matched == 1
    assert set(found.unmatched) == {"lora_te_text_model_encoder_layers_0_mlp_fc1", "bundle_emb.ink.string_to_param.*",
                                    "orphan.alpha"}


def real(family):
    return unet(UNETS[family]) | text_encoders(family)


def sdxl_layer(**kwargs):
    return kohya(torch.ones(640, 1), torch.ones(1, 2048),
                 "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k", **kwargs)


def test_another_family_is_refused_by_its_cross_attention(lora):
    with pytest.raises(MismatchError, match=r"ink.safetensors looks like SDXL .*2048 wide.*SD 1.x .768 wide.*Fix:"):
        match(lora(sdxl_layer()), real("sd1"), "SD 1.x")


def test_nothing_matched_is_refused(lora):
    file = lora(kohya(UP, DOWN, "lora_te2_text_model_encoder_layers_31_mlp_fc1"))
    with pytest.raises(MismatchError, match=r"none of its 1 layers .*te2.*base.* SD 1.x.*looks like SDXL.*Fix:"):
        match(file, real("sd1"), "SD 1.x")
    file = lora(kohya(UP, DOWN, "transformer.single_transformer_blocks.0.attn.to_q"))
    with pytest.raises(MismatchError, match="looks like Flux"):
        match(file, real("sd1"), "SD 1.x")


@pytest.mark.parametrize(("up", "down"), [(torch.ones(3, 1), DOWN), (UP, torch.ones(1, 3)), (DOWN.T, torch.ones(1, 4))])
def test_a_layer_that_does_not_fit_is_refused(lora, up, down):
    with pytest.raises(MismatchError, match=rf"layer '{NAME}' is \dx\d, but '{KEY}' in the base is 2x2.*Fix:"):
        match(lora(kohya(up, down)), {KEY: (2, 2)}, "SD 1.x")


def test_two_names_of_one_weight_are_refused(lora):
    file = lora(kohya(UP, DOWN) | kohya(UP, DOWN, f"lora_unet_{DOTTED.replace('.', '_')}"))
    with pytest.raises(FileError, match="both change"):
        match(file, unet(pico(UNETS["sd1"], 2)), "SD 1.x")


# -- files we do not take ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "title"), [
    ("hada_w1_a", "a LoHa"), ("lokr_w1", "a LoKr"), ("lokr_t2", "a LoKr"), ("dora_scale", "a DoRA"),
    ("lora_magnitude_vector.weight", "a DoRA"), ("oft_blocks", "an OFT or BOFT"), ("boft_R", "an OFT or BOFT"),
    ("a1.weight", "a GLoRA"), ("on_input", "an .IA."), ("lora_B.bias", "a LoRA with biases"),
    ("set_weight", "a LoRA that replaces"),
])
def test_other_kinds_are_refused_in_a_sentence(lora, key, title):
    with pytest.raises(FileError, match=rf"^ink.safetensors is {title}.*{key}.*cannot be cooked yet.*leave it out\.$"):
        lora(kohya(UP, DOWN) | {f"{NAME}.{key}": UP})


def test_every_refused_kind_is_disjoint_from_plain_lora():
    plain = [*kohya(UP, DOWN, alpha=1.0, mid=UP), f"{KEY}.diff", f"{KEY}.diff_b", f"{KEY}.w_norm"]
    assert not any(pattern.search(key) for _, pattern in REFUSED for key in plain)


@pytest.mark.parametrize(("tensors", "message"), [
    ({KEY: UP}, "is not a LoRA: none of its 1 tensors"),
    ({f"{NAME}.lora_up.weight": UP}, "has no down matrix"),
    ({f"{NAME}.lora_down.weight": UP}, "has no up matrix"),
    (kohya(UP, torch.ones(2, 2)), r"cannot be multiplied .*up \[2, 1\]"),
    (kohya(torch.ones(2, 0), torch.ones(0, 2)), "cannot be multiplied"),
    (kohya(torch.ones(2), torch.tensor(1.0)), "cannot be multiplied"),
    (kohya(UP.int(), DOWN), "cannot be multiplied"),
    (kohya(UP, DOWN, mid=torch.ones(2, 2, 3, 3)), "cannot be multiplied"),
    (kohya(UP, DOWN, alpha=float("nan")), "alpha of layer .* is not a number"),
    (kohya(UP, DOWN, alpha=[1.0, 2.0]), "alpha of layer .* is not a number"),
    (kohya(UP, DOWN) | {f"{NAME}.diff": UP_DOWN}, "stored in two ways"),
    (kohya(UP, DOWN) | {f"{NAME}.lora_A.weight": DOWN}, "two tensors for one role"),
    ({f"{NAME}.diff": torch.ones(0, 2)}, "no difference of weights"),
])
def test_damaged_files_are_refused(lora, tensors, message):
    with pytest.raises(FileError, match=f"ink.safetensors.*{message}"):
        lora(tensors)


@pytest.mark.parametrize("text", ["[]", "{", '{"unet.lora_alpha": "8"}', '{"lora_alpha": true}'])
def test_unreadable_settings_are_refused(lora, text):
    with pytest.raises(FileError, match="alpha"):
        lora(kohya(UP, DOWN), lora_adapter_metadata=text)


# -- the same bits, whatever the slices ----------------------------------------------------------------------


@pytest.fixture
def big(lora):
    """A layer of awkward size, its target in the middle of a fused tensor."""
    file = lora(kohya(random(301, 37), random(37, 1283, seed=1), alpha=5.0))
    return file, Target(KEY, 100, 301), file.layers[NAME]


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 16, 64, 100, 301])
def test_slices_are_the_same_bits(big, step):
    whole = delta_rows(*big, 100, 401)
    delta = Delta(*big)
    panels = [delta.rows(row, min(row + step, 401)) for row in range(100, 401, step)]
    assert torch.equal(torch.cat(panels), whole)


def test_threads_make_no_difference(big):
    whole, threads = delta_rows(*big, 100, 401), torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert torch.equal(delta_rows(*big, 100, 401), whole)
    finally:
        torch.set_num_threads(threads)


def test_empty_slice_and_foreign_rows(big):
    assert delta_rows(*big, 200, 200).shape == (0, 1283)
    for start, stop in ((99, 101), (400, 402), (200, 199)):
        with pytest.raises(AssertionError):
            delta_rows(*big, start, stop)


def test_as_accurate_as_float32(big, tmp_path):
    up, down = random(301, 37).double(), random(37, 1283, seed=1).double()
    exact = 5 / 37 * up @ down
    ours = (delta_rows(*big, 100, 401).double() - exact).norm() / exact.norm()
    float32 = ((5 / 37 * (up.float() @ down.float())).double() - exact).norm() / exact.norm()
    assert ours < 2 * float32


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 1000), st.sampled_from([1e-30, 1e-6, 1.0, 1e5]))
def test_products_do_not_depend_on_the_order_of_summation(rank, seed, size):
    left, right = random(3, rank, seed=seed).double() * size, random(rank, 4, seed=seed + 1).double()
    order = torch.randperm(rank, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(product(left, right), product(left[:, order], right[order]))


@pytest.mark.parametrize("terms", [1, 2, 3, 4, 5, 128, 129, 1 << 20])
def test_grid_bits_keep_sums_exact(terms):
    assert terms * 4 ** grid_bits(terms) <= 2 ** 53 < terms * 2 * 4 ** (grid_bits(terms) + 1)


def test_not_a_number_stays_visible(lora):
    file = lora(kohya(torch.tensor([[float("inf")], [1.0]]), DOWN))
    delta = change(file, {KEY: (2, 2)})[KEY]
    assert not torch.isfinite(delta[0]).any()
    assert torch.equal(delta[1], DOWN[0])


def test_nbytes_covers_what_is_held(lora):
    (layer,) = lora(kohya(random(300, 20), random(20, 100))).layers.values()
    assert layer.nbytes >= 8 * 20 * (300 + 100)
    assert isinstance(next(iter(lora({"x.diff": UP}).layers.values())), Difference)
