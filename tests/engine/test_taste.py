"""Geometry of task vectors: by hand on 4 x 4 tensors, and against everything computed at once."""

import json
import threading

import pytest
import torch

from diffusion_soup import Cancelled, Ingredient, MismatchError, ModelFile, Recipe
from diffusion_soup.cli import main
from diffusion_soup.geometry import measure
from diffusion_soup.taste import judge, percent, taste

from .kitchen import CONV_IN, UNET, fill, plain_sentence, tiny_unet, whole

OUT03, OUT = UNET + "output_blocks.3.0.in_layers.2.weight", UNET + "out.2.weight"
BASE = ModelFile("base.safetensors")
ROWS, ROW = torch.ones(4, 1), torch.ones(1, 4)


def zeros(**tensors):
    """Nothing but zeros, and a 2 in each of the 16 places of OUT03: the norm of such a base is 8."""
    state = {key: torch.zeros(shape) for key, shape in tiny_unet().items()}
    return state | {OUT03: torch.full((4, 4), 2.0)} | tensors


def moved(*rows):
    """OUT03 with these rows added to it, the others as they are."""
    change = torch.zeros(4, 4)
    for at, row in enumerate(rows):
        change[at] = torch.tensor(row, dtype=torch.float32)
    return zeros(**{OUT03: 2 + change})


def tasted(pantry, *names, base=BASE, **options):
    files = [name if isinstance(name, Ingredient) else Ingredient(f"{name}.safetensors") for name in names]
    if any(file.kind == "lora" for file in files) and base is None:
        return judge(measure(None, files, pantry.models, **options))
    return taste(Recipe(tuple(files), base=base), pantry.models, **options)


def lora(name, strength=1.0):
    return Ingredient(f"{name}.safetensors", "lora", strength=strength)


# -- by hand -------------------------------------------------------------------------------------


def test_distances_cosines_and_conflicts(pantry):
    pantry.put("base", zeros())
    pantry.put("a", moved((1, 1, 1, 1)))  # ‖τ‖ = 2, of 8
    pantry.put("b", moved((1, 1, -1, -1)))  # at a right angle to a; two of four signs conflict
    pantry.put("c", moved((-2, -2, -2, -2)))  # against a
    pantry.put("d", moved((0, 0, 0, 0), (4, 0, 0, 0)))  # elsewhere
    found = tasted(pantry, "a", "b", "c", "d")
    a, b, c, d = found.ingredients
    assert [each.distance for each in (a, b, c, d)] == [0.25, 0.25, 0.5, 0.5]
    assert a.blocks == {"IN00": None, "TIME": None, "IN01": None, "IN10": None, "M00": None, "OUT03": 0.25,
                        "FINAL": None}, "zeros have no norm to compare with"
    assert a.cosines == (None, 0.0, -1.0, 0.0) and a.conflicts == (None, 0.5, 1.0, None)
    assert c.cosines == (-1.0, 0.0, None, 0.0) and d.conflicts == (None, None, None, None)
    assert found.base == "base.safetensors" and a.sentence == "a lies 25% from the base."


def test_a_lora_is_measured_on_what_it_touches(pantry):
    """ΔW adds 1 to the 16 numbers of OUT03, whose norm there is 8: 4 of 8."""
    pantry.put("base", zeros(**{OUT: torch.full((4, 4), 100.0)}))
    pantry.put("a", moved((1, 1, 1, 1)) | {OUT: torch.full((4, 4), 100.0)})
    layer = "lora_unet_output_blocks_3_0_in_layers_2"
    pantry.put("ink", {f"{layer}.lora_up.weight": ROWS, f"{layer}.lora_down.weight": ROW})
    whole, half, back = tasted(pantry, "a", lora("ink"), lora("ink", 0.5), lora("ink", -0.25)).ingredients[1:]
    assert [each.distance for each in (whole, half, back)] == [0.5, 0.25, 0.125]
    assert half.cosines == (0.5, 1.0, None, -1.0) and back.conflicts == (1.0, 1.0, 1.0, None)
    assert "lower its strength" in whole.sentence and whole.verdict == "far" and half.verdict == "fits"
    assert half.sentence == ("ink changes the tensors it touches by 25% of their norm; closest to ink (cosine 1.00, "
                             "0% of signs conflict).")


def test_without_a_base_it_is_from_the_mean(pantry):
    """Three copies of a 2, moved by 1, by 1 and by -2 in four places: their mean is not moved at all."""
    pantry.put("a", moved((1, 1, 1, 1)))
    pantry.put("b", moved((1, 1, 1, 1)))
    pantry.put("c", moved((-2, -2, -2, -2)))
    found = tasted(pantry, "a", "b", "c", base=None)
    assert [each.distance for each in found.ingredients] == [0.25, 0.25, 0.5]
    assert found.base is None and found.reference == "the mean of the ingredients"
    assert found.ingredients[0].cosines == (None, None, None), "from a mean, angles say nothing"
    geometry = measure(None, [ModelFile(f"{name}.safetensors") for name in "abc"], pantry.models)
    assert [each.distance for each in judge(geometry, active=[True, True, False]).ingredients][:2] == [0, 0]


def test_percent():
    assert [percent(each) for each in (0.0314, 0.25, 1.4, 0.0995, 0.00012, 0.0, None)] == [
        "3.1%", "25%", "140%", "10%", "0.012%", "0%", "unknown"]


# -- against everything computed at once ---------------------------------------------------------


def flat(tensors, keys):
    return torch.cat([tensors[key].double().reshape(-1) for key in keys])


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("based", [True, False])
def test_as_computed_at_once(pantry, sampled, based):
    shapes = whole()
    base = fill(shapes, 1, torch.float32)
    specialists = [{key: base[key] + 0.1 * (at + 1) * change for key, change in fill(shapes, at + 2).items()}
                   for at in range(3)]
    pantry.put("base", base)
    for name, tensors in zip("abc", specialists):
        pantry.put(name, tensors)
    found = tasted(pantry, "a", "b", "c", base=BASE if based else None, sampled=sampled)
    keys = [key for key in shapes if key.startswith(UNET)]
    origin = flat(base, keys) if based else torch.stack([flat(each, keys) for each in specialists]).mean(0)
    text = [key for key in shapes if key.startswith("cond_stage_model.") and not key.endswith("position_ids")]
    vectors = [flat(each, keys + text) - flat(base, keys + text) for each in specialists]
    for at, each in enumerate(found.ingredients):
        expected = (flat(specialists[at], keys) - origin).norm() / origin.norm()
        assert each.distance == pytest.approx(float(expected), rel=1e-5)
        if based:
            for other in {0, 1, 2} - {at}:
                cosine = torch.cosine_similarity(vectors[at], vectors[other], dim=0)
                conflict = (vectors[at] * vectors[other] < 0).double().mean()
                assert each.cosines[other] == pytest.approx(float(cosine), abs=1e-5)
                assert each.conflicts[other] == pytest.approx(float(conflict), abs=1e-5)
    assert set(found.blocks) >= {"BASE", "IN00", "M00", "OUT11", "TIME", "FINAL"}


def test_a_sample_is_small_and_near(pantry):
    shapes = tiny_unet() | {OUT03: (4, 2_000_000), OUT: (4, 1500)}  # the second one is read whole, and counts as little
    base = fill(shapes, 1)
    pantry.put("base", base)
    pantry.put("a", base | {OUT03: base[OUT03] + 0.1 * fill(shapes, 2)[OUT03]})
    full, sample = (tasted(pantry, "a", sampled=sampled) for sampled in (False, True))
    assert sample.ingredients[0].distance == pytest.approx(full.ingredients[0].distance, rel=0.02)
    assert sample.ingredients[0].distance != full.ingredients[0].distance
    assert sample.read_bytes < full.read_bytes / 100 and sample.sampled and not full.sampled
    assert tasted(pantry, "a", sampled=True) == sample, "the same numbers each time"


def test_samples_of_a_lora_are_of_the_same_places(pantry):
    """A LoRA and the checkpoint it was merged into go the same way."""
    up, down = torch.randn(64, 2), torch.randn(2, 20_011)
    base = fill(tiny_unet() | {OUT: (64, 20_011)}, 1, torch.float32)
    pantry.put("base", base)
    pantry.put("merged", base | {OUT: base[OUT] + up @ down})
    pantry.put("ink", {"lora_unet_out_2.lora_up.weight": up, "lora_unet_out_2.lora_down.weight": down})
    merged, ink = tasted(pantry, "merged", lora("ink"), sampled=True).ingredients
    assert ink.cosines[0] == pytest.approx(1, abs=1e-4) and ink.conflicts[0] < 0.001
    assert ink.distance == pytest.approx(merged.blocks["FINAL"], rel=1e-4)


def test_other_input_channels(pantry):
    base = fill(tiny_unet(), 1, torch.float32)
    wide = fill(tiny_unet(channels=9), 2, torch.float32)
    wide = base | {CONV_IN: wide[CONV_IN]}
    pantry.put("base", base)
    pantry.put("inpainting", wide)
    (found,) = tasted(pantry, "inpainting").ingredients
    expected = (wide[CONV_IN][:, :4] - base[CONV_IN]).norm() / base[CONV_IN].norm()
    assert found.blocks["IN00"] == pytest.approx(float(expected), rel=1e-5) and found.blocks["OUT03"] == 0


# -- verdicts ------------------------------------------------------------------------------------


@pytest.fixture
def family(pantry):
    """A base, three fine-tunes of it, one that went farther, a training of its own and the base again."""
    shapes = tiny_unet()
    base = fill(shapes, 1, torch.float32)

    def tuned(seed, amount):
        return {key: base[key] + amount * change for key, change in fill(shapes, seed).items()}

    tunings = {"a": tuned(2, 0.03), "b": tuned(3, 0.04), "c": tuned(4, 0.03), "apart": tuned(5, 0.4),
               "far": tuned(6, 0.6)}
    for name, tensors in {"base": base, **tunings, "alien": fill(shapes, 9), "again": base}.items():
        pantry.put(name, tensors)
    return pantry


def verdicts(found):
    return [each.verdict for each in found.ingredients]


def test_verdicts_with_a_base(family):
    found = tasted(family, "a", "b", "c", "apart", "far", "alien", "again")
    assert verdicts(found) == ["fits", "fits", "fits", "far", "far", "stranger", "equal"]
    alien = found.ingredients[5].sentence
    assert alien.startswith("alien is not a fine-tune of this base (cosine ") and "x the others" in alien
    assert alien.endswith("the average is likely noise.")
    assert found.ingredients[6].sentence == "again equals the base: it adds nothing."
    assert verdicts(tasted(family, "a", "apart")) == ["fits", "fits"], "one other is no measure"


@pytest.mark.parametrize("names, expected", [
    ("a", "unknown"), ("a b", "fits fits"), ("a alien", "stranger stranger"), ("a b alien", "fits fits stranger"),
    ("a b c far", "fits fits fits far"), ("base again", "equal equal"),
])
def test_verdicts_without_a_base(family, names, expected):
    assert verdicts(tasted(family, *names.split(), base=None)) == expected.split()


def test_what_does_not_belong_is_told_and_left_out(family):
    family.put("xl", fill(tiny_unet(context=2048), 1))
    family.put("other", {key: value for key, value in fill(tiny_unet(), 1).items() if key != OUT})
    family.put("nan", fill(tiny_unet(), 1) | {OUT: torch.full((4, 4), float("nan"))})
    family.put("ink", {"lora_unet_nothing.lora_up.weight": ROWS, "lora_unet_nothing.lora_down.weight": ROW})
    found = tasted(family, "a", "b", "xl", "other", "nan", lora("ink"), "missing")
    assert verdicts(found) == ["fits", "fits", "unfit", "unfit", "broken", "unfit", "unfit"]
    told = [plain_sentence(MismatchError(each.sentence)) for each in found.ingredients]
    assert "xl.safetensors is SDXL" in told[2] and "are not the same model" in told[3]
    assert "NaN or infinity" in told[4] and "none of its 1 layers" in told[5] and "was not found" in told[6]
    assert found.ingredients[0].distance == pytest.approx(tasted(family, "a").ingredients[0].distance)
    json.dumps(found.to_dict(), allow_nan=False)
    report = found.report()
    assert "[fits] a.safetensors" in report and "OUT03" in report


def test_without_a_base_the_family_most_have_counts(family):
    family.put("xl", fill(tiny_unet(context=2048), 1))
    family.put("ink", {"lora_unet_out_2.lora_up.weight": ROWS, "lora_unet_out_2.lora_down.weight": ROW})
    found = tasted(family, "xl", "a", "b", lora("ink"), base=None)
    assert verdicts(found) == ["unfit", "fits", "fits", "unfit"]
    assert "choose the base it was made for" in found.ingredients[3].sentence
    assert verdicts(tasted(family, lora("ink"), base=None)) == ["unfit"]


# -- long work -----------------------------------------------------------------------------------


class Watched:
    def __init__(self, stop_after=10**9):
        self.steps, self.stop_after, self.threads = [], stop_after, set()

    def step(self, done, total, what):
        self.steps.append((done, total, what))
        self.threads.add(threading.get_ident())

    def cancelled(self):
        return len(self.steps) >= self.stop_after


def test_progress_and_cancelling(family):
    watched = Watched()
    found = tasted(family, "a", "b", progress=watched)
    done, total, what = watched.steps[-1]
    assert done == total == found.read_bytes and what == "tasting" and len(watched.threads) == 1
    with pytest.raises(Cancelled):
        tasted(family, "a", progress=Watched(0))


def test_threads_are_given_back(family):
    before = torch.get_num_threads()
    tasted(family, "a", "b")
    assert torch.get_num_threads() == before and not [each for each in threading.enumerate() if "taste" in each.name]


def test_the_command(family, capsys, monkeypatch):
    monkeypatch.chdir(family.root)
    recipe = Recipe((Ingredient("a.safetensors"), Ingredient("alien.safetensors")), base=BASE)
    (family.root / "r.json").write_text(recipe.to_json())
    assert main(["taste", "r.json", "--models", "."]) == 0
    assert "[stranger] alien.safetensors" in capsys.readouterr().out
    assert main(["taste", "r.json", "--models", ".", "--quick", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sampled"] and [each["word"] for each in told["ingredients"]] == ["fits", "stranger"]
