"""A host's sampling of one batch, small: prompts, the UNet and the order in which A1111 and Forge call it."""

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
        for number, time in enumerate(TIMES):
            positive = [text for each in parts for text in each]
            negative = self.negative_prompts
            self._step(SimpleNamespace(text_cond=torch.stack([encoded(text) for text in positive]),
                                       text_uncond=torch.stack([encoded(text) for text in negative])))
            rows = [*positive, *negative]
            if self._forge:
                turned = [each[place] for place in range(min(map(len, parts)) - 1, -1, -1)
                          for each in parts]
                rows = [*negative, *turned]
            size = self._split or len(rows)
            for start in range(0, len(rows), size):
                self._call(number, rows[start:start + size], time)
            if self._change:
                self._change(number)
        return "latents"

    def _call(self, number, texts, time):
        context = torch.stack([encoded(text) for text in texts]).half()
        found, _ = self._unet(torch.zeros(len(texts), 4, 8, 8), torch.full((len(texts),), time), context=context)
        self.calls.append((number, [" ".join(text.split()) for text in texts], found))
