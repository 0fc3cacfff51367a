"""How good the demo's pictures are, in numbers and to look at: docs/demo.

    python -m demo.quality docs/demo    some minutes, and three more where the judge is not trained yet

Each model paints the same captions of test scenes with the same noise. A judge that knows the world (see the lab) says
which of a caption's facts it sees, and whether the style is the model's own; the drawn pictures, put through the VAE
and back, say what it would see in a model without fault.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from diffusion_soup.fonts import font
from diffusion_soup.lab.judge import Judge
from diffusion_soup.lab.render import draw
from diffusion_soup.lab.shards import Shard
from diffusion_soup.lab.train_judge import the_judge
from diffusion_soup.lab.world import STYLES as HANDS
from diffusion_soup.lab.world import Scenes

from . import specialists, tiny_clip
from .specialists import BASE_STYLE, CHECKPOINTS, STYLES
from .student import Student, average
from .tiny_vae import VAE
from .training import SIDE, Words, phrase, sample

SEED, STEPS, GUIDANCE = 7, 20, 4.0
KINDS = ("count", "position", "shape", "colour", "size", "background")
UNet = Callable[[Tensor, Tensor, Tensor], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.quality", description="How good the demo's pictures are.")
    parser.add_argument("folder", type=Path, help="where demo.json, demo.md and the pictures are written")
    parser.add_argument("--pictures", type=int, default=96, help="of each model")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    results, sheet = measure(options.pictures, the_judge())
    (options.folder / "demo.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (options.folder / "demo.md").write_text(markdown(results), encoding="utf-8")
    sheet.save(options.folder / "demo.jpg", quality=90)
    print(markdown(results))


def models() -> dict[str, tuple[UNet, str]]:
    """By title, what guesses the noise, and the style it is asked for ("" where there is no right one)."""
    base, each = specialists.base(), {style: specialists.specialist(style) for style in STYLES}
    painter, learnt = specialists.painter(), specialists.read("student")
    student = Student(painter, len(STYLES))
    student.prompts.weight.data.copy_(learnt["prompts"])
    student.mlp.load_state_dict({name: learnt[f"mlp.{name}"] for name in student.mlp.state_dict()})
    return {"base": (base, BASE_STYLE), **{style: (each[style], style) for style in STYLES},
            f"soup of {', '.join(CHECKPOINTS)}": (average([each[style] for style in CHECKPOINTS]), ""),
            **{f"student, {style}": (steered(student, at), style) for at, style in enumerate(STYLES)}}


def steered(student: Student, style: int) -> UNet:
    return lambda x, step, context: student(x, step, context, torch.full((len(x),), style))


@torch.no_grad()
def measure(count: int, judge: Judge) -> tuple[dict[str, dict[str, float]], Image.Image]:
    """What the judge sees of each model's pictures, and the first of them."""
    words, vae = Words(specialists.text_encoder()), VAE()
    vae.load_state_dict(specialists.read("vae"))
    scenes = Shard("asked").scenes(range(count), split="test")
    tokens = tiny_clip.tokens([phrase(scene) for scene in scenes])
    results: dict[str, dict[str, float]] = {}
    rows: dict[str, Tensor] = {}
    for style in (BASE_STYLE, *STYLES):
        drawn = in_style(scenes, style)
        rows[f"drawn, {style}"] = vae.decode(vae.encode((draw(drawn, SIDE) + 1) / 2)).clamp(0, 1)
        results[f"drawn, {style}"] = seen(judge, rows[f"drawn, {style}"], drawn, style)
    for title, (unet, style) in models().items():
        latents = sample(unet, words, tokens, SEED, steps=STEPS, guidance=GUIDANCE)
        rows[title] = vae.decode(latents).clamp(0, 1)
        results[title] = seen(judge, rows[title], in_style(scenes, style or BASE_STYLE), style)
    return results, sheet({title: row[:8] for title, row in rows.items() if "drawn" not in title},
                          [phrase(scene) for scene in scenes][:8])


def in_style(scenes: Scenes, style: str) -> Scenes:
    facts = scenes.facts.clone()
    facts[:, -1] = HANDS.index(style)
    return replace(scenes, facts=facts)


def seen(judge: Judge, pictures: Tensor, scenes: Scenes, style: str) -> dict[str, float]:
    """The share of right facts of each kind; "style" where one was asked for; "caption" of all that it tells."""
    verdict = judge.verdict(pictures * 2 - 1, scenes)
    told = verdict.asked[:, :-1]  # the caption does not tell the style
    found = {kind: verdict.by_kind[kind] for kind in (*KINDS, *(("style",) if style else ()))}
    return {"caption": float(verdict.right[:, :-1][told].float().mean()), **found}


def markdown(results: dict[str, dict[str, float]]) -> str:
    names = ("caption", *KINDS, "style")
    lines = ["# The demo's pictures", "", "![The first captions, painted by each model](demo.jpg)", "",
             "How much of its caption each model's pictures show, and whether they are in its style, by a judge that",
             "knows the world; *drawn* pictures went through the VAE and back. Guessing gets 17% of the shapes and of "
             "the colours.", "", "| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {title} | " + " | ".join(f"{row[name]:.0%}" if name in row else "" for name in names) + " |"
              for title, row in results.items()]
    return "\n".join(lines) + "\n"


def sheet(rows: dict[str, Tensor], captions: list[str]) -> Image.Image:
    """Rows of pictures with their titles."""
    left, gap = 250, 6
    result = Image.new("RGB", (left + len(captions) * (SIDE + gap), len(rows) * (SIDE + gap) + gap), "white")
    pen = ImageDraw.Draw(result)
    for y, (title, pictures) in enumerate(rows.items()):
        top = gap + y * (SIDE + gap)
        pen.text((left - 14, top + SIDE / 2), title, "#222222", font(20), anchor="rm")
        for x, picture in enumerate((pictures * 255).round().byte().permute(0, 2, 3, 1).numpy()):
            result.paste(Image.fromarray(picture), (left + x * (SIDE + gap), top))
    return result


if __name__ == "__main__":
    main()
