"""A host's sampling of one batch, small: prompts, a UNet, and the order in which A1111 and Forge call it."""

from __future__ import annotations

import re
import zlib
from types import SimpleNamespace

import torch

WIDTH, TOKENS = 4, 3
TIMES = (999.0, 749.25, 249.75, 0.0)  # of the steps: at 0, 1/4, 3/4 and 1 of the sampling


class Embed(torch.nn.Module):
    """Row by row, so that a row is the same to the bit in whatever batch it is."""

    def forward(self, times):
        return torch.sin(times * torch.arange(1.0, WIDTH + 1))


class Unet(torch.nn.Module):
    """What it gives for a row is its time embedding, and which prompt it was."""

    def __init__(self):
        super().__init__()
        self.time_embed = Embed()

    def forward(self, x, timesteps=None, context=None):
        return self.time_embed(timesteps[:, None].expand(-1, WIDTH) / 1000), context

    @property
    def hooks(self):
        return [*self._forward_pre_hooks, *self._forward_hooks, *self.time_embed._forward_hooks]


def encoded(text):
    """A prompt's tensor [tokens, width]; the same for the same words."""
    draw = torch.Generator().manual_seed(zlib.crc32(" ".join(text.split()).encode()))
    return torch.randn(TOKENS, WIDTH, generator=draw)


def calls(unet, told, forge, conds, x, time, split=0):
    """One step of the hosts: whom it is told, and the calls of the UNet with their rows, in the hosts' order.

    ``conds``: by picture and place in its prompt, or -1 for the negative prompt. ``x``: a row for each picture.
    ``split``: how many rows fit into a call, 0: all.
    """
    parts, negatives = ([row for row in conds if (row[1] < 0) == negative] for negative in (False, True))
    for step in told:
        step(SimpleNamespace(text_cond=torch.stack([conds[row] for row in parts]),
                             text_uncond=torch.stack([conds[row] for row in negatives]) if negatives else None))
    rows = [*parts, *negatives]
    if forge:  # the last parts first; and where prompts have more of them than others, those are left out
        everywhere = [row for row in parts if all((number, row[1]) in conds for number in range(len(x)))]
        rows = [*negatives, *sorted(everywhere, key=lambda row: (-row[1], row[0]))]
    for start in range(0, len(rows), split or len(rows)):
        some = rows[start:start + (split or len(rows))]
        context = torch.stack([conds[row] for row in some]).half()
        found, _ = unet(x[[number for number, _ in some]], torch.full((len(some),), time), context=context)
        yield some, found


class Request(SimpleNamespace):
    """``p``, as far as styles touch it. ``calls`` are the UNet's answers: step, rows, texts and embeddings."""

    def __init__(self, unet, step, prompts, negatives=None, forge=False, split=0, change=None, **more):
        super().__init__(prompts=list(prompts), negative_prompts=list(negatives or [""] * len(prompts)),
                         extra_generation_params={}, comments=[], scripts=None, calls=[], **more)
        self._unet, self._step, self._forge, self._split, self._change = unet, step, forge, split, change

    def comment(self, text):
        self.comments = [*self.comments, text] if text not in self.comments else self.comments

    def sample(self):
        parts = [[re.sub(r":\s*-?[\d.]+\s*$", "", part) for part in re.split(r"\bAND\b", text)]
                 for text in self.prompts]
        words = {(number, place): text for number, each in enumerate(parts) for place, text in enumerate(each)}
        words |= {(number, -1): text for number, text in enumerate(self.negative_prompts)}
        conds = {row: encoded(text) for row, text in words.items()}
        for number, time in enumerate(TIMES):
            for rows, found in calls(self._unet, [self._step], self._forge, conds,
                                     torch.zeros(len(parts), 4, 8, 8), time, self._split):
                self.calls.append((number, [" ".join(words[row].split()) for row in rows], found))
            if self._change:
                self._change(number)
        return "latents"
