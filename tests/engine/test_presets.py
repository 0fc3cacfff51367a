"""Preset files of other tools, and our own presets."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_soup.blocks import DEPTHS, block_names, format_mbw, parse_mbw
from diffusion_soup.errors import RecipeError
from diffusion_soup.presets import FORMATS, Preset, detect_format, house_presets, read_presets

FLAT = ",".join(["0.25"] * 26)
SUPERMERGER = (
    "preset_name\tpreset_weights\r\n"
    f"FLAT\t{FLAT}\r\n"
    f"COLON:{FLAT}\r\n"
    f"A:B\t{FLAT}\r\n"
    "\r\n"
    f"XL\t{','.join(['1.'] * 20)}\r\n"
    f"ALL_R\t{','.join('R' * 26)}\r\n"
    "SHORT\t1,2,3\r\n"
    f"WORD\thalf,{','.join('0' * 25)}\r\n"
    "nothing here\r\n"
    f"\t{FLAT}\r\n"
)
INSPIRE = (
    "SD-MIDD0.2:1,0,0,0,0,0,0.2,0.4,0.4,0.2,0,0,0,0,0,0,0\n"
    "SD-AB:A,B,B,B,B,B,B,B,B,B,B,B,A,a,b,A,A\n"
    "SD-ROUT:1,1,1,1,1,1,1,1,R,R,R,R,u,U,R,R,R\n"
    f"SD-LyC:{','.join(['1'] * 12)},0,0,0,1,{','.join(['0.5'] * 11)}\n"
    "SDXL-MIDALL:1,0,0,0,0,1,0,0,0,0,0,0\n"
    f"FLUX:1,{','.join(['0.5'] * 19)}\n"
    "SPEC:%default=0.5,base=1, in1-3=0,mid=2,out2=0.25\n"
    "@SD-FULL-TEST:17\n"
    "PARTS:1,0 0.5 1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0\n"
)


def test_supermerger_file() -> None:
    presets, skipped = read_presets(SUPERMERGER, "supermerger")
    assert list(presets) == ["FLAT", "COLON", "A:B", "XL", "ALL_R"]
    assert [(bad.line, bad.reason.split(";")[0]) for bad in skipped] == [
        (8, "3 values"),
        (9, "value 1 is 'half'"),
        (10, "no name before the values"),
        (11, "no name before the values"),
    ]
    blocks = presets["FLAT"].blocks("sd1")
    assert blocks == dict.fromkeys(block_names("sd1"), 0.25)
    assert presets["XL"].blocks("sdxl") == dict.fromkeys(block_names("sdxl"), 1)
    with pytest.raises(RecipeError, match="20 block weights"):
        presets["XL"].blocks("sd1")


def test_random_letters_follow_the_seed() -> None:
    preset = read_presets(SUPERMERGER, "supermerger")[0]["ALL_R"]
    assert preset.random
    drawn = preset.blocks("sd1", seed=1)
    assert drawn == preset.blocks("sd1", seed=1) != preset.blocks("sd1", seed=2)
    assert all(0 <= value <= 1 for value in drawn.values()) and len(set(drawn.values())) > 20
    assert (drawn["TIME"], drawn["FINAL"]) == (drawn["IN00"], drawn["OUT11"])


def test_draws_stay_the_same_between_versions() -> None:
    drawn = Preset("luck", ("R", "U", "X", *["0"] * 23), "supermerger").blocks("sd1", seed=7)
    assert [drawn[name] for name in ("BASE", "IN00", "IN01")] == [0.769, 0.22, 0.474]


def test_inspire_attention_only() -> None:
    presets, skipped = read_presets(INSPIRE, "inspire")
    assert [bad.line for bad in skipped] == [9] and "several" in skipped[0].reason
    middle = presets["SD-MIDD0.2"].blocks("sd1")
    assert middle["BASE"] == middle["TIME"] == middle["FINAL"] == 1
    told = ("IN07", "IN08", "M00", "OUT03", "OUT04", "OUT05")
    assert [middle[name] for name in told] == [0, 0.2, 0.4, 0.4, 0.2, 0]
    assert middle.keys().isdisjoint(("IN00", "IN03", "IN06", "IN09", "IN11", "OUT00", "OUT02"))
    assert presets["SD-MIDD0.2"].blocks("sd1", default=0.7)["IN03"] == 0.7
    xl = presets["SDXL-MIDALL"].blocks("sdxl")
    assert [name for name, weight in xl.items() if weight] == ["BASE", "TIME", "FINAL", "M00"]
    assert xl.keys() - {"BASE", "TIME", "FINAL", "M00"} == {
        *("IN04", "IN05", "IN07", "IN08"),
        *(f"OUT0{i}" for i in range(6)),
    }


def test_inspire_letters() -> None:
    presets, _ = read_presets(INSPIRE, "inspire")
    chosen = presets["SD-AB"].blocks("sd1", a=3, b=0.5)
    assert not presets["SD-AB"].random
    assert [chosen[name] for name in ("BASE", "IN01", "OUT07", "OUT08", "OUT09", "OUT11")] == [
        3,
        0.5,
        3,
        1.5,
        0.25,
        3,
    ]
    drawn = presets["SD-ROUT"].blocks("sd1", seed=3)
    assert drawn == presets["SD-ROUT"].blocks("sd1", seed=3) != presets["SD-ROUT"].blocks("sd1", seed=4)
    assert all(0 <= drawn[name] <= 3 for name in ("OUT03", "OUT06", "OUT11"))
    assert all(-1.5 <= drawn[name] <= 1.5 for name in ("OUT07", "OUT08"))


def test_inspire_full_and_flux() -> None:
    presets, _ = read_presets(INSPIRE, "inspire")
    full = presets["SD-LyC"].blocks("sd1")
    assert "IN00" not in full and (full["IN11"], full["M00"], full["OUT00"], full["OUT11"]) == (1, 0, 1, 0.5)
    flux = presets["FLUX"].blocks("unknown")
    assert list(flux) == ["BASE", *(f"double_blocks.{i}" for i in range(19))]
    assert presets["FLUX"].blocks("sdxl").keys() == set(block_names("sdxl"))
    with pytest.raises(
        RecipeError, match="17 LoRA block weights does not fit sdxl; counts that do: 12, 20, 21"
    ):
        presets["SD-AB"].blocks("sdxl")
    split = Preset("split", ("1", *["1"] * 11, "0", "1", "1", *["1"] * 12), "inspire")
    with pytest.raises(RecipeError, match="parts of M00"):
        split.blocks("sd1")


def test_inspire_spec() -> None:
    spec = read_presets(INSPIRE, "inspire")[0]["SPEC"]
    blocks = spec.blocks("sd1")
    expected = {
        "BASE": 1,
        "IN01": 0,
        "IN02": 0,
        "IN04": 0,
        "IN05": 0.5,
        "M00": 2,
        "OUT03": 0.5,
        "OUT04": 0.25,
    }
    assert blocks | expected == blocks
    assert spec.blocks("sdxl") | {"IN04": 0, "IN07": 0, "IN08": 0.5, "OUT01": 0.25} == spec.blocks("sdxl")
    huge, _ = read_presets("X:%in1-9999=0,double3=1", "inspire")
    assert huge["X"].blocks("sd1")["IN08"] == 0 and huge["X"].blocks("flux")["double_blocks.2"] == 1


@pytest.mark.parametrize(
    "spec", ["%default=", "%in1-99999999=0", "%up=1", "%in-3=1", "%default=1,1", "%", "%in1=nan"]
)
def test_bad_specs_are_reported(spec: str) -> None:
    presets, skipped = read_presets(f"X:{spec}", "inspire")
    assert not presets and skipped[0].line == 1


def test_model_mixer_file() -> None:
    text = f"preset_name\tpreset_weights\nG\t{FLAT}\nG\t{','.join(['1'] * 20)}\nN,{','.join(['1'] * 25)}\n"
    presets, skipped = read_presets(text + f"R:{','.join('R' * 26)}\nG:{FLAT}", "model-mixer")
    assert list(presets) == ["G", "G.XL", "N"]
    assert presets["N"].blocks("sd1")["BASE"] == 0 and presets["N"].blocks("sd1")["IN00"] == 1
    assert [bad.line for bad in skipped] == [5, 6]
    ramp = Preset("ramp", tuple(map(str, range(26))), "model-mixer").blocks("sd1")
    assert ramp["TIME"] == ramp["FINAL"] == ramp["OUT11"] == 25


@pytest.mark.parametrize(
    ("name", "text", "format"),
    [
        ("C:\\webui\\scripts\\mbwpresets.txt", INSPIRE, "supermerger"),
        ("/a/mbwpresets.tsv", "", "model-mixer"),
        ("mbwpresets.tsv.in", "", "model-mixer"),
        ("resources/lbw-preset.custom.txt.example", "", "inspire"),
        ("mine.txt", INSPIRE, "inspire"),
        ("mine.txt", SUPERMERGER, "model-mixer"),
        ("mine.txt", f"A\t{FLAT}", "supermerger"),
        ("mine.txt", "", "supermerger"),
    ],
)
def test_detect_format(name: str, text: str, format: str) -> None:
    assert detect_format(name, text) == format


def test_unknown_format() -> None:
    with pytest.raises(RecipeError, match="supermerger, inspire, model-mixer"):
        read_presets("", "excel")


@given(
    st.lists(
        st.one_of(st.text(max_size=80), st.text("RUXAB%,:=@\t0123456789.-in", max_size=120)), max_size=8
    ),
    st.sampled_from(FORMATS),
)
def test_any_file_is_read_or_reported(lines: list[str], format: str) -> None:
    text = "\n".join(lines)
    presets, skipped = read_presets(text, format)
    count = text.count("\n") + text.count("\r") + 1
    assert len(presets) + len(skipped) <= count and all(1 <= bad.line <= count for bad in skipped)
    for preset in presets.values():
        for family in ("sd1", "sdxl", "flux"):
            try:
                preset.blocks(family)
            except RecipeError:
                pass
    assert detect_format("", text) in FORMATS


@given(st.sampled_from(FORMATS), st.sampled_from(["sd1", "sdxl"]), st.data())
def test_good_lines_survive(format: str, family: str, data: st.DataObject) -> None:
    count = {"sd1": 26, "sdxl": 20}[family]
    values = data.draw(st.lists(st.floats(-5, 5).map(lambda v: round(v, 4)), min_size=count, max_size=count))
    presets, skipped = read_presets(f"\ufeffN:{','.join(map(str, values))}", format)
    blocks = next(iter(presets.values())).blocks(family)
    assert not skipped and [blocks[name] for name in block_names(family)[:count]] == values


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("piece", ["9", ",", "0,", ":", "\t", " ", "%", "in1-", "N:1\n", "\n", "R,"])
def test_hostile_files_take_no_time(format: str, piece: str) -> None:
    started = time.perf_counter()
    presets, _ = read_presets("N:%in" + piece * 100_000, format)
    assert len(presets) <= 1 and time.perf_counter() - started < 5


# ---- our own


@pytest.mark.parametrize("family", sorted(DEPTHS))
def test_house_presets_fit_every_string(family: str) -> None:
    presets = house_presets(family)
    assert len(presets) == 9
    for preset in presets.values():
        blocks = preset.blocks(family)
        assert blocks.keys() == set(block_names(family)) and all(
            0 <= weight <= 1 for weight in blocks.values()
        )
        text = format_mbw(blocks, family=family, dialect="supermerger", default=0)
        assert parse_mbw(text, dialect="supermerger", family=family) == blocks


def test_house_presets_by_hand() -> None:
    sd1, sdxl = house_presets("sd1"), house_presets("sdxl")
    assert sd1["Ramp up"].values[:3] == ("0.5", "0", "0.04167") and sd1["Ramp up"].values[13] == "0.5"
    assert [sdxl["Cosine down"].values[i] for i in (1, 10, 19)] == ["1", "0.5", "0"]
    assert [sd1["Hill"].values[i] for i in (1, 13, 25)] == ["0", "1", "0"]
    only = {name: weight for name, weight in sdxl["Composition only"].blocks("sdxl").items() if weight}
    assert list(only) == ["IN07", "IN08", "M00", "OUT00"]
    for family, presets in (("sd1", sd1), ("sdxl", sdxl)):
        style, composition = (presets[f"{name} only"].blocks(family) for name in ("Style", "Composition"))
        assert all(min(style[name], composition[name]) == 0 for name in block_names(family))
    assert house_presets("flux") == {}
