"""Keys to blocks, and strings of weights in the dialects of other tools.

Oracles: sd-mecha's own converters; SuperMerger, Model Mixer and ComfyUI as functions written from what
their sources do, on every tensor of a whole checkpoint.
"""

import math
import re

import pytest
import sd_mecha  # noqa: F401  registers its converters
from hypothesis import given
from hypothesis import strategies as st
from sd_mecha.extensions import model_configs
from sd_mecha.extensions.builtin.model_configs.convert_sd1_blocks import convert_sd1_blocks_to_ldm
from sd_mecha.extensions.builtin.model_configs.convert_sdxl_blocks import convert_sdxl_blocks_to_sgm

from diffusion_soup.blocks import (
    DIALECTS,
    ElementRule,
    block_names,
    block_of,
    element_ratio,
    format_mbw,
    parse_elements,
    parse_mbw,
)
from diffusion_soup.errors import RecipeError

from . import sd_keys

FAMILIES = tuple(sd_keys.UNETS)
UNET = "model.diffusion_model."
NUMBERS = st.floats(-10, 10).map(lambda value: round(value, 6))


def distinct(count: int) -> list[float]:
    return [round(0.01 * (i + 1), 2) for i in range(count)]


def text_of(values: list[float]) -> str:
    return ",".join(map(str, values))


# ---- the key lists themselves


@pytest.mark.parametrize(("family", "config"), [("sd1", "sd1-ldm"), ("sdxl", "sdxl-sgm")])
def test_generated_keys_are_the_real_ones(family: str, config: str) -> None:
    theirs = {key: tuple(info.shape) for key, info in model_configs.resolve(config).keys().items()}
    ours = sd_keys.checkpoint(family)
    assert ours == {key: theirs[key] for key in ours}
    parts = ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.", "conditioner.")
    missing = [key for key in theirs if key.startswith(parts) and key not in ours]
    assert all(key.endswith("position_ids") for key in missing)


@pytest.mark.parametrize(
    ("family", "tensors", "numbers"),
    [
        ("sd1", 686, 859_520_964),
        ("sd2", 686, 865_910_724),
        ("sdxl", 1680, 2_567_463_684),
        ("sdxl-refiner", 1220, 2_259_526_660),
    ],
)
def test_unets_have_the_published_size(family: str, tensors: int, numbers: int) -> None:
    shapes = sd_keys.unet(sd_keys.UNETS[family])
    assert (len(shapes), sum(map(math.prod, shapes.values()))) == (tensors, numbers)
    assert sd_keys.unet(sd_keys.pico(sd_keys.UNETS[family])).keys() == shapes.keys()


# ---- tensor -> block


@pytest.mark.parametrize(
    ("key", "family", "block"),
    [
        ("input_blocks.0.0.weight", "sd1", "IN00"),
        ("input_blocks.1.0.in_layers.0.weight", "sd1", "IN01"),
        ("input_blocks.10.0.in_layers.0.weight", "sd1", "IN10"),
        ("input_blocks.8.1.norm.weight", "sdxl", "IN08"),
        ("input_blocks.9.0.op.weight", "sdxl", "BASE"),
        ("input_blocks.12.0.op.weight", "sd1", "BASE"),
        ("input_blocks.01.0.op.weight", "sd1", "BASE"),
        ("input_blocks", "sd1", "BASE"),
        ("middle_block.2.in_layers.0.bias", "sd2", "M00"),
        ("output_blocks.11.1.norm.weight", "sdxl-refiner", "OUT11"),
        ("output_blocks.1.0.out_layers.3.weight", "sd1", "OUT01"),
        ("time_embed.0.weight", "sd1", "TIME"),
        ("label_emb.0.0.weight", "sdxl", "TIME"),
        ("out.2.bias", "sdxl", "FINAL"),
        ("something_new.weight", "sd1", "BASE"),
        ("double_blocks.3.img_attn.qkv.weight", "flux", "double_blocks.3"),
        ("joint_blocks.0.x_block.attn.qkv.weight", "sd3", "joint_blocks.0"),
        ("transformer_blocks.12.img_mod.1.weight", "qwen", "transformer_blocks.12"),
        ("layers.7.attention.out.weight", "z-image", "layers.7"),
        ("blocks.3.modulation", "wan", "blocks.3"),
        ("blocks.block3.blocks.0.block.attn.to_q.0.weight", "cosmos", "blocks.block3"),
        ("time_embedding.0.weight", "wan", "BASE"),
        ("y_embedder.mlp.2.bias", "sd3", "BASE"),
        ("img_in.weight", "flux", "BASE"),
    ],
)
def test_block_of(key: str, family: str, block: str) -> None:
    assert block_of(UNET + key, family) == block


@pytest.mark.parametrize("family", [*FAMILIES, "flux"])
@pytest.mark.parametrize(
    "key",
    [
        "cond_stage_model.transformer.text_model.encoder.layers.3.mlp.fc1.weight",
        "conditioner.embedders.1.model.transformer.resblocks.9.ln_1.weight",
        "first_stage_model.decoder.up.0.block.1.conv1.weight",
        "model_ema.diffusion_modelinput_blocks00weight",
        "input_blocks.1.0.weight",
        "",
    ],
)
def test_outside_the_diffusion_model_is_base(key: str, family: str) -> None:
    assert block_of(key, family) == "BASE"


def test_names_in_string_order() -> None:
    names = block_names("sd1")
    assert names[:3] == ("BASE", "IN00", "IN01") and names[12:16] == ("IN11", "M00", "OUT00", "OUT01")
    assert names[-3:] == ("OUT11", "TIME", "FINAL")
    assert [len(block_names(family)) for family in FAMILIES] == [28, 28, 22, 28]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_name_is_used_and_no_other(family: str) -> None:
    assert {block_of(key, family) for key in sd_keys.checkpoint(family)} == set(block_names(family))


def test_discovered_names_in_natural_order() -> None:
    keys = [f"{UNET}{name}.a.weight" for name in ("single_blocks.10", "double_blocks.2", "single_blocks.9")]
    assert block_names("flux", [*keys, "vae.x"]) == (
        "BASE",
        "double_blocks.2",
        "single_blocks.9",
        "single_blocks.10",
    )
    assert block_names("flux") == ("BASE",)


@given(st.text("abklos.0123456789٣²", max_size=40), st.sampled_from([*FAMILIES, "flux"]))
def test_any_key_has_a_block(rest: str, family: str) -> None:
    name = block_of(UNET + rest, family)
    assert name in block_names(family, [UNET + rest])


def test_hostile_numbers_do_no_harm() -> None:
    huge = "9" * 10_000
    assert block_of(f"{UNET}input_blocks.{huge}.0.weight", "sd1") == "BASE"
    assert len(block_names("flux", [f"{UNET}blocks.{huge}.a.weight", f"{UNET}blocks.2.a.weight"])) == 3


# ---- oracles: the same string means the same weight for every tensor


def sd_mecha_blocks(family: str) -> dict[str, str]:
    """sd-mecha's own block of every tensor."""
    config, method = {
        "sd1": ("sd1-ldm", convert_sd1_blocks_to_ldm),
        "sdxl": ("sdxl-sgm", convert_sdxl_blocks_to_sgm),
    }[family]
    output = model_configs.resolve(config)
    keys, blocks = output.keys(), model_configs.resolve(f"{family}-supermerger_blocks")
    relations = method.build_key_map([blocks], {}, output)
    return {key: relations[key].clauses[0].by_param["blocks"][0] for key in keys}


@pytest.mark.parametrize(("family", "count"), [("sd1", 26), ("sdxl", 20)])
def test_sd_mecha_agrees_on_every_key(family: str, count: int) -> None:
    values = distinct(count)
    theirs = sd_mecha_blocks(family)
    order = block_names(family)[:count]
    ours = parse_mbw(text_of(values), dialect="sd-mecha", family=family)
    keys = sd_keys.checkpoint(family)
    for key in keys:
        if theirs[key] == "VAE":  # SDXL only: a 21st name there, part of BASE here
            assert key.startswith("first_stage_model.") and block_of(key, family) == "BASE"
        else:
            assert values[order.index(theirs[key])] == ours[block_of(key, family)], key
    assert family == "sdxl" or "VAE" not in theirs.values()


def supermerger_sd1(key: str, values: list[float]) -> float:
    """Substrings first, then numbered blocks, then BASE: 26 values."""
    if "time_embed" in key:
        return values[1]
    if ".out." in key:
        return values[25]
    for start, pattern in ((1, r"\.input_blocks\.(\d+)\."), (14, r"\.output_blocks\.(\d+)\.")):
        if found := re.search(pattern, key):
            return values[start + int(found[1])]
    return values[13] if ".middle_block." in key else values[0]


def supermerger_sdxl(key: str, values: list[float]) -> float | None:
    """20 values; a tensor called neither weight nor bias is not merged. The first digit is the block."""
    if "weight" not in key and "bias" not in key:
        return None
    if "label_emb" in key or "time_embed" in key:
        return values[1]
    if not key.startswith(UNET):
        return values[0]
    if key.startswith(UNET + "out."):
        return values[19]
    found = re.search(r"(input|mid|output)\D*(\d)", key)
    assert found
    side, digit = found.groups()
    return {"input": values[1 + int(digit)], "mid": values[10], "output": values[min(11 + int(digit), 19)]}[
        side
    ]


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_supermerger_agrees_on_every_key(family: str) -> None:
    values = distinct(20 if family == "sdxl" else 26)
    theirs = supermerger_sdxl if family == "sdxl" else supermerger_sd1
    ours = parse_mbw(text_of(values), dialect="supermerger", family=family)
    unmerged = set()
    for key in sd_keys.checkpoint(family):
        expected = theirs(key, values)
        if expected is None:
            unmerged.add(key.rpartition(".")[2])
        else:
            assert expected == ours[block_of(key, family)], key
    assert unmerged == (
        {"text_projection", "positional_embedding", "logit_scale"} if family == "sdxl" else set()
    )


def test_supermerger_reads_the_refiner_as_sd1() -> None:
    values = distinct(26)
    ours = parse_mbw(text_of(values), dialect="supermerger", family="sdxl-refiner")
    keys = sd_keys.checkpoint("sdxl-refiner")
    differ = [key for key in keys if supermerger_sd1(key, values) != ours[block_of(key, "sdxl-refiner")]]
    assert len(differ) == 4 and all("label_emb" in key for key in differ)


def test_supermerger_shrinks_26_values_for_sdxl() -> None:
    values = distinct(26)
    kept = values[:10] + values[13:23]  # without IN09-IN11 and OUT09-OUT11
    assert parse_mbw(text_of(values), dialect="supermerger", family="sdxl") == parse_mbw(
        text_of(kept), dialect="supermerger"
    )
    assert "IN09" in parse_mbw(text_of(values), dialect="supermerger")


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_model_mixer_agrees_on_every_key(family: str) -> None:
    """Numbered blocks and text encoders by name; other UNet tensors take the last value; VAE is model A's."""
    values = distinct(20 if family == "sdxl" else 26)
    half = (len(values) - 2) // 2
    ours = parse_mbw(text_of(values), dialect="model-mixer", family=family)
    for key in sd_keys.checkpoint(family):
        if "label_emb" in key or key.startswith("first_stage_model."):
            continue
        if not key.startswith(UNET):
            expected = values[0]
        elif found := re.match(UNET.replace(".", r"\.") + r"(input|output)_blocks\.(\d+)\.", key):
            expected = values[int(found[2]) + (1 if found[1] == "input" else half + 2)]
        else:
            expected = values[half + 1] if "middle_block." in key else values[-1]
        assert expected == ours[block_of(key, family)], key


def comfyui_sliders(family: str) -> list[str]:
    count, dot = (9, "") if family == "sdxl" else (12, ".")
    names = ["time_embed.", "label_emb.", *(f"input_blocks.{i}{dot}" for i in range(count))]
    names += [f"middle_block.{i}{dot}" for i in range(3)]
    return [*names, *(f"output_blocks.{i}{dot}" for i in range(count)), "out."]


def comfyui_ratio(key: str, sliders: dict[str, float]) -> float:
    """The longest slider name the key starts with; the first slider for a key that matches none."""
    matching = [name for name in sliders if key.removeprefix(UNET).startswith(name)]
    return sliders[max(matching, key=len) if matching else next(iter(sliders))]


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_comfyui_sliders_agree_on_every_key(family: str) -> None:
    names = comfyui_sliders(family)
    sliders = dict(zip(names, distinct(len(names)), strict=True))
    for name in names:
        if name.startswith("middle_block."):
            sliders[name] = 0.77
    if family == "sdxl":
        sliders["label_emb."] = sliders["time_embed."]
    ours = parse_mbw(text_of(list(sliders.values())), dialect="comfyui", family=family)
    assert "BASE" not in ours
    for key in sd_keys.unet(sd_keys.UNETS[family]):
        assert comfyui_ratio(key, sliders) == ours[block_of(key, family)], key


@pytest.mark.parametrize("family", FAMILIES)
def test_comfyui_three_sliders_agree_on_every_key(family: str) -> None:
    sliders = {"input": 0.1, "middle": 0.2, "out": 0.3}
    ours = parse_mbw("0.1, 0.2, 0.3", dialect="comfyui-blocks", family=family)
    for key in sd_keys.unet(sd_keys.UNETS[family]):
        assert comfyui_ratio(key, sliders) == ours[block_of(key, family)], key


# ---- strings


def test_worked_by_hand() -> None:
    twenty = "0.9,0,1,2,3,4,5,6,7,8,100,10,11,12,13,14,15,16,17,18"
    supermerger = parse_mbw(twenty, dialect="supermerger")
    assert supermerger["BASE"] == 0.9 and supermerger["IN00"] == 0 and supermerger["M00"] == 100
    assert (supermerger["TIME"], supermerger["FINAL"]) == (0, 18)
    mecha = parse_mbw(twenty, dialect="sd-mecha")
    assert (mecha["TIME"], mecha["FINAL"]) == (0.9, 18)
    mixer = parse_mbw(twenty, dialect="model-mixer")
    assert (mixer["TIME"], mixer["FINAL"]) == (18, 18)
    without_base = twenty.split(",", 1)[1]
    assert "BASE" not in parse_mbw(without_base, dialect="supermerger")
    assert parse_mbw(without_base, dialect="supermerger", default=0.25) == supermerger | {"BASE": 0.25}


@pytest.mark.parametrize("separator", [",", ", ", " ,  ", "\n", " ", "\t", ",\r\n"])
@pytest.mark.parametrize("around", ["{}", "[{}]", " ({}) \n", "{},", '"{}"'])
def test_how_people_paste(separator: str, around: str) -> None:
    pasted = around.format(separator.join(map(str, distinct(26))))
    expected = parse_mbw(text_of(distinct(26)), dialect="supermerger")
    assert parse_mbw(pasted, dialect="supermerger") == expected


@pytest.mark.parametrize("count", [0, 1, 3, 17, 18, 21, 24, 27, 28, 61, 110])
def test_wrong_count_says_both(count: int) -> None:
    with pytest.raises(RecipeError, match=rf"^{count} block weights.*26 or 25 for SD1, 20 or 19"):
        parse_mbw(",".join("0" * count), dialect="supermerger")


@pytest.mark.parametrize("bad", ["nan", "inf", "1e999", "0x1", "1_0", "٣", "", "half", "-", "1" * 1000])
def test_not_a_number(bad: str) -> None:
    with pytest.raises(RecipeError, match="Value 2"):
        parse_mbw(f"0,{bad},0", dialect="supermerger")


def test_refusals_name_the_fix() -> None:
    with pytest.raises(RecipeError, match="seed"):
        parse_mbw(",".join("R" * 26), dialect="supermerger")
    with pytest.raises(RecipeError, match="supermerger, sd-mecha"):
        parse_mbw("0", dialect="automatic")
    with pytest.raises(RecipeError, match="double_blocks"):
        parse_mbw("0", dialect="supermerger", family="flux")
    with pytest.raises(RecipeError, match="say the family"):
        parse_mbw("0,0,0", dialect="comfyui-blocks")
    with pytest.raises(RecipeError, match="M00 different weights"):
        parse_mbw(text_of(distinct(30)), dialect="comfyui")
    with pytest.raises(RecipeError, match="characters"):
        parse_mbw(" " * 1_000_000, dialect="supermerger")


@given(
    st.sampled_from(FAMILIES).flatmap(
        lambda family: st.tuples(st.just(family), st.lists(NUMBERS, min_size=28, max_size=28))
    )
)
def test_our_own_dialect_keeps_everything(case: tuple[str, list[float]]) -> None:
    family, values = case
    blocks = dict(zip(block_names(family), values, strict=False))
    text = format_mbw(blocks, family=family, dialect="soup", default=1.0)
    assert parse_mbw(text, dialect="soup", family=family) == blocks


@given(st.sampled_from(sorted(DIALECTS)), st.sampled_from(FAMILIES), st.data())
def test_read_then_written_then_read(dialect: str, family: str, data: st.DataObject) -> None:
    columns = DIALECTS[dialect].layouts(family)[0]
    values = data.draw(st.lists(NUMBERS, min_size=len(columns), max_size=len(columns)))
    if dialect == "comfyui":
        middle = columns.index(("M00",))
        values[1], values[middle : middle + 3] = values[0], [0.5] * 3
    blocks = parse_mbw(text_of(values), dialect=dialect, family=family, default=1.0)
    text = format_mbw(blocks, family=family, dialect=dialect, default=1.0)
    assert [float(value) for value in text.split(",")] == values
    assert parse_mbw(text, dialect=dialect, family=family, default=1.0) == blocks


@pytest.mark.parametrize(
    ("dialect", "blocks"),
    [
        ("supermerger", {"TIME": 0.2}),
        ("supermerger", {"IN00": 0.2}),
        ("supermerger", {"FINAL": 0.2}),
        ("sd-mecha", {"BASE": 0.2}),
        ("model-mixer", {"OUT11": 0.2}),
        ("comfyui", {"BASE": 0.2}),
        ("comfyui-blocks", {"IN03": 0.2}),
    ],
)
def test_a_string_that_would_lie_is_refused(dialect: str, blocks: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match="dialect 'soup'"):
        format_mbw(blocks, family="sd1", dialect=dialect, default=1.0)
    assert format_mbw(blocks, family="sd1", dialect="soup", default=1.0).count("0.2") == 1


def test_unknown_block_in_a_string() -> None:
    with pytest.raises(RecipeError, match="no block 'IN09'"):
        format_mbw({"IN09": 1}, family="sdxl", dialect="soup", default=1.0)


# ---- elements

ATTN = f"{UNET}output_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"


def test_the_last_matching_row_wins() -> None:
    rules = parse_elements(["OUT04:attn:0.5,OUT04:attn2.to_k:0.2", "OUT05::1"], "sd1")
    assert [element_ratio(rules, "OUT04", key) for key in (ATTN, ATTN.replace("to_k", "to_v"))] == [0.2, 0.5]
    assert element_ratio(rules, "OUT03", ATTN) is None
    assert element_ratio(rules, "OUT05", ATTN) == 1


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("IN01-IN03:attn1:0.5", ElementRule(0.5, ("IN01", "IN02", "IN03"), ("attn1",))),
        ("IN03-IN01::1", ElementRule(1, ("IN01", "IN02", "IN03"))),
        ("IN11-OUT00 OUT02:a b:0", ElementRule(0, ("IN11", "M00", "OUT00", "OUT02"), ("a", "b"))),
        ("OUT03,OUT04:attn,ff:.5", ElementRule(0.5, ("OUT03", "OUT04"), ("attn", "ff"))),
        ("NOT OUT04:attn:1", ElementRule(1, ("OUT04",), ("attn",), not_blocks=True)),
        ("out05:not attn proj:0.2", ElementRule(0.2, ("OUT05",), ("attn", "proj"), not_elements=True)),
        ("::0.5", ElementRule(0.5)),
        ("NOT:NOT:0.5", ElementRule(0.5)),
        ("TIME FINAL BASE::1", ElementRule(1, ("TIME", "FINAL", "BASE"))),
    ],
)
def test_rows(row: str, expected: ElementRule) -> None:
    assert parse_elements([row], "sd1") == (expected,)
    assert parse_elements([str(expected)], "sd1") == (expected,)


def test_a_dialect_folds_time_into_its_block() -> None:
    assert parse_elements(["IN00::1"], "sd1")[0].blocks == ("IN00",)
    assert parse_elements(["IN00 OUT11::1"], "sd1", "supermerger")[0].blocks == (
        "IN00",
        "TIME",
        "OUT11",
        "FINAL",
    )
    assert not parse_elements(["NOT IN00::1"], "sd1", "supermerger")[0].matches("TIME", "time_embed.0.weight")


def test_rows_where_blocks_are_discovered() -> None:
    rules = parse_elements(["double_blocks.9-double_blocks.11:img:0.5"], "flux")
    assert rules[0].blocks == ("double_blocks.9", "double_blocks.10", "double_blocks.11")
    assert parse_elements(["IN01 double_blocks.3 BASE::1"])[0].blocks == ("IN01", "double_blocks.3", "BASE")


@pytest.mark.parametrize(
    "row",
    [
        "IN01:0.5",
        "a:b:c:1",
        "IN01::half",
        "IN01::nan",
        "IN09::1",
        "IN01-::1",
        "IN01-IN02-IN03::1",
        "x-y::1",
        "R::R",
    ],
)
def test_bad_rows_are_named(row: str) -> None:
    with pytest.raises(RecipeError, match="lement row"):
        parse_elements([row], "sdxl")
    with pytest.raises(RecipeError, match="is no block"):
        parse_elements(["IN01::1"], "flux")


def supermerger_row(row: str, block: str, key: str, names: list[str]) -> float | None:
    """How SuperMerger reads one row, on SD1."""
    blocks, elements, ratio = (field.split(" ") for field in row.split(":"))
    if blocks[:1] == ["NOT"]:
        inside = block not in blocks[1:]
    else:
        inside = blocks == [""] or block in blocks
    if elements[:1] == ["NOT"]:
        chosen = not any(part in key for part in elements[1:])
    else:
        chosen = any(part in key for part in elements)
    return float(ratio[0]) if inside and chosen and block in names else None


@given(st.data())
def test_rows_mean_what_supermerger_means(data: st.DataObject) -> None:
    names = list(block_names("sd1")[:26])
    parts = [
        "attn",
        "attn1",
        "attn2.to_k",
        "ff",
        "norm",
        "proj",
        "emb_layers",
        "skip",
        "out",
        "0",
        "in_layers",
    ]
    keys = list(sd_keys.unet(sd_keys.SD15))
    rows = []
    for _ in range(data.draw(st.integers(1, 4))):
        fields = [data.draw(st.lists(st.sampled_from(some), max_size=3)) for some in (names, parts)]
        starts = ["NOT " * (bool(field) and data.draw(st.integers(0, 1))) for field in fields]
        texts = [start + " ".join(field) for start, field in zip(starts, fields, strict=True)]
        rows.append(f"{texts[0]}:{texts[1]}:{data.draw(st.integers(0, 9))}")
    rules = parse_elements(rows, "sd1", "supermerger")
    order = {"TIME": "IN00", "FINAL": "OUT11"}
    for key in data.draw(st.lists(st.sampled_from(keys), min_size=5, max_size=20)):
        block = block_of(key, "sd1")
        theirs = [supermerger_row(row, order.get(block, block), key, names) for row in rows]
        expected = next((ratio for ratio in reversed(theirs) if ratio is not None), None)
        assert element_ratio(rules, block, key) == expected


@given(
    st.lists(st.text("INOUT0123456789 :,-\nxR.", max_size=60), max_size=5),
    st.sampled_from(["sd1", "flux", None]),
)
def test_any_rows_are_read_or_refused(rows: list[str], family: str | None) -> None:
    try:
        rules = parse_elements(rows, family)
    except RecipeError:
        return
    assert parse_elements(map(str, rules), family) == rules


@given(st.text(max_size=200), st.sampled_from(sorted(DIALECTS)), st.sampled_from([*FAMILIES, None]))
def test_any_string_is_read_or_refused(text: str, dialect: str, family: str | None) -> None:
    try:
        assert parse_mbw(text, dialect=dialect, family=family)
    except RecipeError:
        pass
