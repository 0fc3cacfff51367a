"""The style nodes: load a DMM student, mix its styles, and put them on a model or a conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import comfy.samplers
import torch
from comfy_api.latest import io
from comfy_execution.graph import ExecutionBlocker

from nodes import common_ksampler

from ..diffusion_soup.dmm import EASINGS, MODES, Codebook, Style, StyleMix, open_student
from ..diffusion_soup.dmm.sheet import KINDS, plan_sheet
from ..diffusion_soup.errors import RecipeError
from . import bridge, compat, drawing, styling
from .compat import advanced, named

CATEGORY = "diffusion soup/styles"
_NO_NEGATIVE = ExecutionBlocker("Style on Conditioning has no negative prompt to put the style on; connect one to its "
                                "input negative.")
_APPEND, _REPLACE, _DROP, _KEEP = "append", "replace", "drop", "keep only"
_MIXING = ("How several styles become one. paper: average the style prompts (their length shrinks); norm-preserving: "
           "the same at full length, for stronger mixes; after MLP: average what the styles do.")


def listed(text: str) -> list[str]:
    """Names in a text, one a line or with commas between."""
    return [name.strip() for name in text.replace(",", "\n").splitlines() if name.strip()]


def _there(styles: Codebook | None) -> Codebook:
    """The styles, which Cook Soup has none of if no student is among its ingredients."""
    if styles is None:
        raise RecipeError("These STYLES are empty: the soup has no DMM student among its ingredients. Connect the "
                          "STYLES of Load Student, or add a student to the soup.")
    return styles


def _when() -> list[Any]:
    return [advanced(io.Float, "start", default=0.0, min=0.0, max=1.0, step=0.01, optional=True,
                     tooltip="Share of the sampling after which the style begins; 0 is the start."),
            advanced(io.Float, "end", default=1.0, min=0.0, max=1.0, step=0.01, optional=True,
                     tooltip="Share of the sampling after which the style ends; 1 is the end.")]


class DSoupStudent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupStudent", display_name="Load Student (DMM)", category=CATEGORY,
            description="Load a DMM student: one model that learned several styles. Without a style it is a plain "
                        "model; mix its styles with Mix Styles.",
            inputs=[
                io.Combo.Input("file", options=bridge.student_files(),
                               tooltip="A student: one file, a diffusers folder, or a training folder (ending in /)."),
                advanced(io.String, "names", default="", multiline=True, optional=True,
                         tooltip="Other names for the styles, one a line, one for each style. Empty: as in the file."),
            ],
            outputs=[io.Model.Output("MODEL", tooltip="The student: an ordinary model that also takes styles."),
                     io.Clip.Output("CLIP", tooltip="Its text encoder, if the file has one."),
                     io.Vae.Output("VAE", tooltip="Its VAE, if the file has one."),
                     named(compat.Styles, "STYLES", "Its styles, for Mix Styles.")])

    @classmethod
    def fingerprint_inputs(cls, file: str = "", names: str = "", **rest: Any) -> str:
        return f"{bridge.student_stamp(file)}|{names}"

    @classmethod
    def execute(cls, file: str, names: str = "") -> io.NodeOutput:
        with bridge.interruptible(), open_student(bridge.student_path(file), listed(names) or None) as student:
            model, clip, vae = bridge.load_student(student)
            return io.NodeOutput(styling.listening(model, student.codebook), clip, vae, student.codebook,
                                 ui={"diffusion_soup_styles": list(student.codebook.names)})


class DSoupStyleMix(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupStyleMix", display_name="Mix Styles", category=CATEGORY,
            description="A style of a student, or a mix of several, by weights.",
            inputs=[
                compat.Styles.Input("styles", tooltip="From Load Student, or from Cook Soup with a student in it."),
                io.String.Input("weights", default="", multiline=True,
                                tooltip="The weight of each style, one a line: \"anime = 0.7\". Numbers alone count in "
                                        "the order of the styles. Styles that are not named have none."),
                io.Combo.Input("mode", options=list(MODES), tooltip=_MIXING),
                io.Float.Input("strength", default=1.0, min=-5.0, max=5.0, step=0.05,
                               tooltip="How much of the style: 0 is the plain model, more than 1 exaggerates."),
                advanced(io.Boolean, "normalise", default=True, optional=True,
                         tooltip="Scale the weights to sum to 1, as the student was trained."),
                advanced(io.Boolean, "extrapolate", default=False, optional=True,
                         tooltip="Allow negative weights: away from a style."),
            ],
            outputs=[named(compat.Style, "STYLE", "To Apply Style, Style on Conditioning or Schedule Styles.")])

    @classmethod
    def execute(cls, styles: Codebook | None, weights: str, mode: str, strength: float, normalise: bool = True,
                extrapolate: bool = False) -> io.NodeOutput:
        styles = _there(styles)
        mix = StyleMix.parse(weights, styles.names, mode=mode, normalise=normalise, extrapolate=extrapolate,
                             strength=strength)
        return io.NodeOutput(Style.of(styles, mix))


class DSoupStyleApply(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupStyleApply", display_name="Apply Style", category=CATEGORY,
            description="Give a model a style, for every prompt that has no style of its own. Apply several with start "
                        "and end to change style on the way; where two overlap the later node counts.",
            inputs=[io.Model.Input("model", tooltip="The student, or a soup or merge of it; with LoRAs or not."),
                    compat.Style.Input("style", tooltip="From Mix Styles or Schedule Styles."), *_when()],
            outputs=[io.Model.Output("MODEL", tooltip="The model in that style. The model before stays as it was.")])

    @classmethod
    def execute(cls, model: Any, style: Style, start: float = 0.0, end: float = 1.0) -> io.NodeOutput:
        return io.NodeOutput(styling.apply(model, style, start, end))


class DSoupStyleCondition(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupStyleCondition", display_name="Style on Conditioning", category=CATEGORY,
            description="Give a prompt a style of its own. Prompts with different styles are computed in one batch, "
                        "and may be combined, masked, given areas, ControlNets or moments like any others.",
            inputs=[io.Conditioning.Input("conditioning", tooltip="The prompt."),
                    compat.Style.Input("style", tooltip="From Mix Styles or Schedule Styles."),
                    io.Conditioning.Input("negative", optional=True,
                                          tooltip="The negative prompt that goes with it. It should have the same "
                                                  "style; without, CFG exaggerates the style."), *_when()],
            outputs=[named(io.Conditioning, "CONDITIONING", "The prompt with its style."),
                     named(io.Conditioning, "NEGATIVE", "The negative prompt with the same style.")])

    @classmethod
    def execute(cls, conditioning: Any, style: Style, negative: Any = None, start: float = 0.0, end: float = 1.0
                ) -> io.NodeOutput:
        return io.NodeOutput(styling.condition(conditioning, style, start, end),
                             _NO_NEGATIVE if negative is None else styling.condition(negative, style, start, end))


class DSoupStyleSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupStyleSchedule", display_name="Schedule Styles", category=CATEGORY,
            description="A style that becomes another one while the picture is sampled: early steps decide the "
                        "composition, late ones the details. Chain several for more key frames.",
            inputs=[compat.Style.Input("style", tooltip="The style at the beginning, or the key frames so far."),
                    compat.Style.Input("then", tooltip="The style it becomes."),
                    io.Float.Input("at", default=1.0, min=0.0, max=1.0, step=0.01,
                                   tooltip="Share of the sampling at which it is reached; 1 is the end."),
                    io.Combo.Input("easing", options=list(EASINGS),
                                   tooltip="The way there: linear; smooth (slow, fast, slow); ease in (late); ease out "
                                           "(early); step (all at once, at that moment).")],
            outputs=[named(compat.Style, "STYLE", "All key frames, to Apply Style or Style on Conditioning.")])

    @classmethod
    def execute(cls, style: Style, then: Style, at: float, easing: str) -> io.NodeOutput:
        return io.NodeOutput(style.then(then, at, easing))


class DSoupStyleSheet(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupStyleSheet", display_name="Style Sheet", category=CATEGORY,
            description="One picture of all styles, or of the ways between them, with the same prompt and seed.",
            inputs=[
                io.Model.Input("model", tooltip="The student, or a soup of it."),
                compat.Styles.Input("styles", tooltip="From Load Student."),
                io.Conditioning.Input("positive", tooltip="The prompt of all pictures."),
                io.Conditioning.Input("negative", tooltip="The negative prompt of all pictures."),
                io.Latent.Input("latent_image", tooltip="One latent: the size of the pictures."),
                io.Vae.Input("vae", tooltip="Turns latents into pictures."),
                io.Combo.Input("kind", options=list(KINDS),
                               tooltip="Each style alone; a row for each pair from one to the other; a square of all "
                                       "pairs; or a square between four styles."),
                io.String.Input("names", default="", multiline=True,
                                tooltip="Which styles, one a line. Empty: all of them."),
                io.Int.Input("between", default=5, min=2, max=20,
                             tooltip="Pictures from one style to the next, both included."),
                io.Combo.Input("mode", options=list(MODES), tooltip=_MIXING),
                io.Boolean.Input("plain", default=False, tooltip="Begin with the model without a style."),
                io.Int.Input("seed", default=0, min=0, max=2**64 - 1, control_after_generate=True,
                             tooltip="The noise, the same for all pictures."),
                io.Int.Input("steps", default=20, min=1, max=10000, tooltip="Sampling steps of each picture."),
                io.Float.Input("cfg", default=7.0, min=0.0, max=100.0, step=0.1, tooltip="Classifier-free guidance."),
                io.Combo.Input("sampler_name", options=comfy.samplers.KSampler.SAMPLERS, default="dpmpp_2m",
                               tooltip="The sampler; the paper uses DPM-Solver++."),
                io.Combo.Input("scheduler", options=comfy.samplers.KSampler.SCHEDULERS, default="karras",
                               tooltip="The noise schedule."),
            ],
            outputs=[named(io.Image, "SHEET", "One picture with all of them and their labels."),
                     named(io.Image, "IMAGES", "The pictures one by one.")])

    @classmethod
    def execute(cls, model: Any, styles: Codebook, positive: Any, negative: Any, latent_image: Any, vae: Any, kind: str,
                names: str, between: int, mode: str, plain: bool, seed: int, steps: int, cfg: float, sampler_name: str,
                scheduler: str) -> io.NodeOutput:
        chosen = listed(names) or list(_there(styles).names)
        for name in chosen:
            styles.index(name)
        plan = plan_sheet(kind, chosen, between, plain)
        latent = {**latent_image, "samples": latent_image["samples"][:1]}
        pictures: dict[int, torch.Tensor] = {}
        for cell in plan.cells:
            styled = model if cell.weights is None else \
                styling.apply(model, Style.of(styles, StyleMix(cell.weights, mode)), 0.0, 1.0)
            sampled, = common_ksampler(styled, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent)
            pictures[id(cell)] = vae.decode(sampled["samples"])[0].cpu()
        rows = [[cell and (cell.label, pictures[id(cell)]) for cell in row] for row in plan.rows]
        return io.NodeOutput(drawing.sheet(rows), torch.stack(list(pictures.values())))


class DSoupStyleSwap(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DSoupStyleSwap", display_name="Swap Styles", category=CATEGORY,
            description="Replace, append, drop or reorder styles of a student, with styles of another student that has "
                        "the same style MLP (one that was extended from it).",
            inputs=[compat.Styles.Input("styles", tooltip="The styles to change; the student itself stays as it is."),
                    io.Combo.Input("action", options=[_APPEND, _REPLACE, _DROP, _KEEP],
                                   tooltip="append: the other's styles behind ours; replace: ours by the other's, in "
                                           "order; drop: the named ones; keep only: the named ones, in that order."),
                    io.String.Input("names", default="", multiline=True,
                                    tooltip="Our styles to replace, drop or keep, one a line."),
                    compat.Styles.Input("other", optional=True,
                                        tooltip="Another student's styles, to append or replace."),
                    io.String.Input("other_names", default="", multiline=True, optional=True,
                                    tooltip="The other's styles to take, one a line. Empty: all of them.")],
            outputs=[named(compat.Styles, "STYLES", "The changed styles, for Mix Styles.")])

    @classmethod
    def execute(cls, styles: Codebook, action: str, names: str, other: Codebook | None = None, other_names: str = ""
                ) -> io.NodeOutput:
        return io.NodeOutput(_swapped(_there(styles), action, listed(names), other, listed(other_names)))


def _swapped(styles: Codebook, action: str, names: Sequence[str], other: Codebook | None, theirs: Sequence[str]
             ) -> Codebook:
    if action in (_DROP, _KEEP):
        if not names:
            raise RecipeError(f"Swap Styles is to {action} styles, but none is named; its styles are "
                              f"{', '.join(styles.names)}.")
        return styles.without(names) if action == _DROP else styles.take(names)
    if other is None:
        raise RecipeError(f"Swap Styles is to {action} styles of another student, but none is connected to other.")
    taken = other.take(theirs) if theirs else other
    if action == _APPEND:
        return styles.appended(taken)
    if len(names) != len(taken):
        raise RecipeError(f"Swap Styles is to replace {len(names)} styles by {len(taken)}; name as many of ours as of "
                          "theirs.")
    for name, by in zip(names, taken.names):
        styles = styles.replaced(name, taken, by)
    return styles


NODES: list[type[io.ComfyNode]] = [
    DSoupStudent, DSoupStyleMix, DSoupStyleApply, DSoupStyleCondition, DSoupStyleSchedule, DSoupStyleSheet,
    DSoupStyleSwap]
