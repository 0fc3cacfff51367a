"""Styles of students in the real server: neutral to the bit, per prompt and over time, and nothing disturbed."""

import numpy as np
import pytest

from demo.client import PromptRejected

from .graphs import Graph, pictures, same, shown

STYLES = ("style 1", "style 2", "style 3", "style 4")


class Styled(Graph):
    """A graph around one student."""

    def student(self, file="student", **options):
        return self("DSoupStudent", file=f"{file}.safetensors", **options)

    def style(self, styles, weights, **options):
        return self("DSoupStyleMix", **{"styles": styles, "weights": weights, "mode": "paper", "strength": 1.0,
                                        **options})[0]

    def applied(self, model, style, **options):
        return self("DSoupStyleApply", model=model, style=style, **options)[0]

    def styled(self, weights, **options):
        """The picture of one style, model-wide."""
        student = self.student()
        model = student[0] if weights is None else self.applied(student[0], self.style(student[3], weights), **options)
        return self.sample(model, student[2], self.prompts(student[1]))


def picture(client, weights, **options):
    graph = Styled()
    graph.styled(weights, **options)
    return shown(client, graph)


@pytest.fixture(scope="module")
def plain(comfy):
    """The student without a style."""
    return picture(comfy.client, None)


def test_without_a_style_it_is_the_plain_model(client, plain):
    """As ComfyUI's own loader gives it, to the bit; also at strength 0 and outside the style's time."""
    graph = Graph()
    loaded = graph.checkpoint("student")
    graph.sample(loaded[0], loaded[2], graph.prompts(loaded[1]))
    assert same(shown(client, graph), plain)
    graph = Styled()
    student = graph.student()
    off = graph.applied(student[0], graph.style(student[3], "", strength=0.0))
    graph.sample(off, student[2], graph.prompts(student[1]))
    assert same(shown(client, graph), plain)


def test_each_style_is_its_own(client, plain):
    found = [plain, *(picture(client, f"{name} = 1") for name in STYLES)]
    for position, one in enumerate(found):
        for other in found[position + 1:]:
            assert np.abs(one.astype(int) - other).mean() > 1


def test_model_wide_and_on_every_conditioning_are_the_same(client):
    graph = Styled()
    student = graph.student()
    positive, negative = graph.prompts(student[1])
    both = graph("DSoupStyleCondition", conditioning=positive, negative=negative,
                 style=graph.style(student[3], "style 2 = 1"))
    graph.sample(student[0], student[2], (both[0], both[1]))
    assert same(shown(client, graph), picture(client, "style 2 = 1"))


def test_two_branches_do_not_disturb_each_other(client, plain):
    """Plain, style 1, style 2 and a mix in one graph, each as if it were alone."""
    graph = Styled()
    student = graph.student()
    prompts = graph.prompts(student[1])
    for weights in (None, "style 1 = 1", "style 2 = 1", "style 1 = 1, style 2 = 1"):
        model = student[0] if weights is None else graph.applied(student[0], graph.style(student[3], weights))
        graph.sample(model, student[2], prompts)
    found = pictures(client.run(graph))
    assert same(found[0], plain)
    for one, weights in zip(found[1:], ("style 1 = 1", "style 2 = 1", "style 1 = 1, style 2 = 1")):
        assert same(one, picture(client, weights))


def test_two_styles_and_none_in_one_batch(client, comfy):
    """Three prompts combined, two with styles of their own, with a ControlNet on all: close to each alone."""
    graph = Styled()
    student = graph.student()
    positive, negative = graph.prompts(student[1])
    control = graph("ControlNetLoader", control_net_name="shapes.safetensors")
    hint = graph("EmptyImage", width=64, height=64, batch_size=1, color=0x808080)
    one, two = (graph("DSoupStyleCondition", conditioning=positive, style=graph.style(student[3], f"style {n} = 1"))[0]
                for n in (1, 2))
    three = graph("ConditioningCombine", conditioning_1=graph("ConditioningCombine", conditioning_1=one,
                                                              conditioning_2=two)[0], conditioning_2=positive)[0]
    held = graph("ControlNetApplyAdvanced", positive=three, negative=negative, control_net=control[0], image=hint[0],
                 strength=0.5, start_percent=0.0, end_percent=1.0)
    graph.sample(student[0], student[2], (held[0], held[1]))
    assert not same(shown(client, graph), picture(client, None))


@pytest.mark.parametrize("start, end", [(0.0, 0.5), (0.5, 1.0)])
def test_part_of_the_time(client, plain, start, end):
    half = picture(client, "style 1 = 1", start=start, end=end)
    assert not same(half, plain) and not same(half, picture(client, "style 1 = 1"))


def test_schedule(client):
    """A step at the very beginning is the second style; a slow change is neither."""
    def scheduled(at, easing):
        graph = Styled()
        student = graph.student()
        first, then = (graph.style(student[3], f"style {n} = 1") for n in (1, 2))
        style = graph("DSoupStyleSchedule", style=first, then=then, at=at, easing=easing)[0]
        graph.sample(graph.applied(student[0], style), student[2], graph.prompts(student[1]))
        return shown(client, graph)

    first, second = (picture(client, f"style {n} = 1") for n in (1, 2))
    assert same(scheduled(0.0, "step"), second)
    graph = Styled()
    student = graph.student()
    model = student[0]
    for number, (start, end) in ((1, (0.0, 0.6)), (2, (0.6, 1.0))):
        model = graph.applied(model, graph.style(student[3], f"style {number} = 1"), start=start, end=end)
    graph.sample(model, student[2], graph.prompts(student[1]))
    assert same(scheduled(0.6, "step"), shown(client, graph))
    assert not any(same(scheduled(0.9, easing), other) for other in (first, second) for easing in ("linear", "step"))


def test_areas_keep_each_its_style(client):
    """Left and right half with a style each: every half changes when its style does, and the other hardly."""
    def halves(left, right):
        graph = Styled()
        student = graph.student()
        positive, negative = graph.prompts(student[1])
        parts = []
        for x, number in ((0, left), (64, right)):
            style = graph.style(student[3], f"style {number} = 1")
            styled = graph("DSoupStyleCondition", conditioning=positive, style=style)[0]
            parts.append(graph("ConditioningSetArea", conditioning=styled, width=64, height=64, x=x, y=0,
                               strength=1.0)[0])
        both = graph("ConditioningCombine", conditioning_1=parts[0], conditioning_2=parts[1])[0]
        latent = graph("EmptyLatentImage", width=128, height=64, batch_size=1)[0]
        graph.sample(student[0], student[2], (both, negative), latent)
        return shown(client, graph).astype(int)

    before, after = halves(1, 2), halves(1, 3)
    changed = np.abs(before - after).mean(axis=(0, 2))
    assert changed[96:].mean() > 3 * changed[:32].mean()


def test_timestep_ranges_and_loras(client, plain):
    graph = Styled()
    student = graph.student()
    model = graph("LoraLoaderModelOnly", model=student[0], lora_name="comic.safetensors", strength_model=0.7)[0]
    positive, negative = graph.prompts(student[1])
    style = graph.style(student[3], "style 1 = 1")
    early = graph("ConditioningSetTimestepRange", conditioning=graph("DSoupStyleCondition", conditioning=positive,
                                                                     style=style)[0], start=0.0, end=0.5)[0]
    late = graph("ConditioningSetTimestepRange", conditioning=positive, start=0.5, end=1.0)[0]
    both = graph("ConditioningCombine", conditioning_1=early, conditioning_2=late)[0]
    graph.sample(model, student[2], (both, negative))
    assert not same(shown(client, graph), plain)


def test_lora_hooks_on_a_styled_prompt(client):
    def run(hooked):
        graph = Styled()
        student = graph.student()
        positive, negative = graph.prompts(student[1])
        styled = graph("DSoupStyleCondition", conditioning=positive, negative=negative,
                       style=graph.style(student[3], "style 1 = 1"))
        if hooked:
            hooks = graph("CreateHookLoraModelOnly", lora_name="comic.safetensors", strength_model=0.7)
            styled = graph("PairConditioningSetProperties", positive_NEW=styled[0], negative_NEW=styled[1],
                           strength=1.0, set_cond_area="default", hooks=hooks[0])
        graph.sample(student[0], student[2], (styled[0], styled[1]))
        return shown(client, graph)

    assert not same(run(True), run(False))


def test_a_soup_of_a_student_keeps_its_styles(client, plain):
    """Student and specialist averaged; alone at share 1 it is the student, and its styles work the same."""
    def soup(weights, *ingredients):
        graph = Styled()
        cooked = graph.cook(*ingredients, text_encoder="soup", vae="student.safetensors")
        model = cooked[0] if weights is None else graph.applied(cooked[0], graph.style(cooked[4], weights))
        graph.sample(model, cooked[2], graph.prompts(cooked[1]))
        return shown(client, graph)

    assert same(soup(None, "student"), plain)
    assert same(soup("style 2 = 1", "student"), picture(client, "style 2 = 1"))
    mixed = soup("style 2 = 1", "student", "clay")
    assert not same(mixed, soup(None, "student", "clay")) and not same(mixed, picture(client, "style 2 = 1"))


def test_sdxl_student(client):
    def run(weights):
        graph = Styled()
        student = graph.student("xl-student")
        model = graph.applied(student[0], graph.style(student[3], weights)) if weights else student[0]
        graph.sample(model, student[2], graph.prompts(student[1]))
        return shown(client, graph)

    assert not same(run("style 1 = 1"), run(None))
    client.free()


def test_swapped_styles(client):
    """A style taken from a student with the same MLP is that student's style."""
    graph = Styled()
    student, other = graph.student(), graph.student("student2")
    styles = graph("DSoupStyleSwap", styles=student[3], action="append", names="", other=other[3],
                   other_names="style 2")[0]
    graph.sample(graph.applied(student[0], graph.style(styles, "style 2 2 = 1")), student[2], graph.prompts(student[1]))
    swapped = shown(client, graph)
    graph = Styled()
    student, other = graph.student(), graph.student("student2")
    graph.sample(graph.applied(student[0], graph.style(other[3], "style 2 = 1")), student[2], graph.prompts(student[1]))
    assert same(shown(client, graph), swapped)


@pytest.mark.parametrize("kind, cells", [("every style", 5), ("pairs, step by step", 10), ("four corners", 5)])
def test_sheet(client, kind, cells):
    graph = Styled()
    student = graph.student()
    names = "style 1\nstyle 2\nstyle 3" if kind.startswith("pairs") else ""
    positive, negative = graph.prompts(student[1])
    sheet = graph("DSoupStyleSheet", model=student[0], styles=student[3], positive=positive, negative=negative,
                  latent_image=graph("EmptyLatentImage", width=64, height=64, batch_size=1)[0], vae=student[2],
                  kind=kind, names=names, between=3 if kind.startswith("pairs") else 2, mode="paper",
                  plain=True, seed=1, steps=1, cfg=2.0, sampler_name="euler", scheduler="normal")
    graph("SaveImage", images=sheet[0], filename_prefix="sheet")
    graph("SaveImage", images=sheet[1], filename_prefix="cells")
    found = pictures(client.run(graph))
    assert len(found) == 1 + cells and found[0].shape[0] > 64


# -- what is refused, in one sentence and before the first step


def plain_file(graph):
    return graph.student("clay"), "clay.safetensors is not a DMM student"


def too_few_names(graph):
    return graph.student(names="only\ntwo"), "4 styles, but there are 2 names"


def missing_folder(graph):
    return graph("DSoupStudent", file="nowhere/"), "nowhere/"


def unknown_style(graph):
    student = graph.student()
    return applied_to(graph, student, graph.style(student[3], "style 9 = 1")), "style 1, style 2, style 3, style 4"


def no_weights(graph):
    student = graph.student()
    return applied_to(graph, student, graph.style(student[3], "style 1 = 0")), "sum to 0"


def sdxl_style_on_sd15(graph):
    style = graph.style(graph.student("xl-student")[3], "style 1 = 1")
    return applied_to(graph, graph.student(), style), "SDXL"


def sdxl_style_on_an_sd15_prompt(graph):
    student = graph.student()
    style = graph.style(graph.student("xl-student")[3], "style 1 = 1")
    return on_prompt(graph, student, style), "SDXL"


def style_of_another_student(graph):
    style = graph.style(graph.student("stranger")[3], "style 1 = 1")
    return applied_to(graph, graph.student(), style), "trained apart"


def style_of_another_student_on_a_prompt(graph):
    style = graph.style(graph.student("stranger")[3], "style 1 = 1")
    return on_prompt(graph, graph.student(), style), "trained apart"


def model_that_takes_no_styles(graph):
    """As ComfyUI's own loader gives it: a style on a prompt would be ignored without a word."""
    style = graph.style(graph.student()[3], "style 1 = 1")
    return on_prompt(graph, graph.checkpoint(), style), "cannot take styles"


def end_before_start(graph):
    student = graph.student()
    return applied_to(graph, student, graph.style(student[3], "style 1 = 1"), start=0.5, end=0.5), "before the end"


def soup_of_two_students(graph):
    return graph.cook("student", "stranger"), "different style prompts"


def student_beside_another_family(graph):
    return graph.cook("student", "xl1"), "SDXL"


def styles_of_a_plain_soup(graph):
    cooked = graph.cook("clay", "neon")
    return applied_to(graph, cooked, graph.style(cooked[4], "style 1 = 1")), "no DMM student"


def nothing_to_append(graph):
    student = graph.student()
    styles = graph("DSoupStyleSwap", styles=student[3], action="append", names="")
    return applied_to(graph, student, graph.style(styles[0], "1")), "none is connected"


CASES = (plain_file, too_few_names, missing_folder, unknown_style, no_weights,
         pytest.param(sdxl_style_on_sd15, marks=pytest.mark.slow),
         pytest.param(sdxl_style_on_an_sd15_prompt, marks=pytest.mark.slow), style_of_another_student,
         style_of_another_student_on_a_prompt, model_that_takes_no_styles, end_before_start, soup_of_two_students,
         student_beside_another_family, styles_of_a_plain_soup, nothing_to_append)


def applied_to(graph, student, style, **options):
    return [graph.applied(student[0], style, **options), None, student[2]]


def on_prompt(graph, student, style):
    positive, negative = graph.prompts()
    styled = graph("DSoupStyleCondition", conditioning=positive, negative=negative, style=style)
    return [student[0], (styled[0], styled[1]), student[2]]


@pytest.mark.parametrize("case", CASES)
def test_one_sentence(client, plain, case):
    graph = Styled()
    found, words = case(graph)
    model, prompts, vae = found if isinstance(found, list) else (found[0], None, found[2])
    graph.sample(model, vae, prompts)
    watch = client.watch()
    try:
        result = client.run(graph)
        message = result.failure.message
    except PromptRejected as rejected:  # a file that is not in the list
        message = " ".join(str(rejected).split())
    assert words in message and "\n" not in message and 20 < len(message) < 1000
    assert not any(sign in message for sign in ("Traceback", "Error(", "<class", "object at 0x"))
    sampler = next(name for name, node in graph.items() if node["class_type"] == "KSampler")
    assert not [event for event in watch.of("progress") if event.data["node"] == sampler and event.data["value"] > 0]
    assert same(picture(client, None), plain)


def test_no_negative_to_style(client):
    """The output is blocked with a sentence only if something wants it."""
    graph = Styled()
    student = graph.student()
    positive, _ = graph.prompts(student[1])
    styled = graph("DSoupStyleCondition", conditioning=positive, style=graph.style(student[3], "1"))
    graph.sample(student[0], student[2], (styled[0], styled[1]))
    watch = client.watch()
    client.run(graph)
    event, = watch.of("execution_error")
    assert "no negative prompt" in event.data["exception_message"]
