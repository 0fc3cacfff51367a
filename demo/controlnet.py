"""The demo's ControlNet, `shapes`: white in its picture says where things shall stand.

A ControlNet (Zhang et al., 2023) is a copy of the way down and of the middle of a UNet that is shown a picture, and
whose findings are added to what the UNet itself keeps for its way up, through convolutions that begin at zero. The
UNet is frozen. The copy here is trained with the base, by a low-rank change, and works with every soup of its
specialists.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from diffusion_soup.lab.render import draw
from diffusion_soup.lab.world import Scenes

from .tiny_sd import COPIES, NARROW, State, UNet, run, sinusoid, widen
from .training import SIDE, Course, Pictures, Progress, Words, changed, factors, learn, low_rank, noised

COURSE = Course(200, 1e-3, rank=16)

WIDTHS = (3, 16, 16, 32, 32, 96, 96, 256)  # of the layers that look at the picture, each second one halving it
ONE = 1 / 0.7310586  # a weight that brings silu(1) back to 1; a mask's 0 stays 0


class Control(nn.Module):
    """The ControlNet alone; ``unet`` is the copy, of which the way up is not used."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet
        self.zero_convs = nn.ModuleList([zero_convolution() for _ in unet.input_blocks])
        self.middle_block_out = zero_convolution()
        self.see = nn.Conv2d(1, NARROW, 3, padding=1)

    def forward(self, x: Tensor, step: Tensor, context: Tensor, hint: Tensor) -> list[Tensor]:
        time = self.unet.time_embed(sinusoid(step))
        x = self.unet.input_blocks[0][0](x) + self.see(hint)
        found = [self.zero_convs[0](x)]
        for block, zero in zip(self.unet.input_blocks[1:], self.zero_convs[1:]):
            x = run(block, x, time, context)
            found.append(zero(x))
        return [*found, self.middle_block_out(run(self.unet.middle_block, x, time, context))]


def controlled(unet: UNet, added: list[Tensor], x: Tensor, step: Tensor, context: Tensor) -> Tensor:
    """What a UNet says when a ControlNet's findings are added."""
    added = list(added)
    time = unet.time_embed(sinusoid(step))
    x = unet.input_blocks[0][0](x)
    kept = [x]
    for block in unet.input_blocks[1:]:
        kept.append(x := run(block, x, time, context))
    x = run(unet.middle_block, x, time, context) + added.pop()
    for block in unet.output_blocks:
        x = run(block, torch.cat([x, kept.pop() + added.pop()], 1), time, context)
    return unet.out(x)


def train(base: UNet, scenes: Scenes, pictures: Pictures, words: Words, seed: int, progress: Progress,
          kept: Path | None = None) -> dict[str, Tensor]:
    """The low-rank change of the copy, and a ControlNet's other layers; ``pictures`` are those of the scenes."""
    torch.manual_seed(seed)
    frozen = copy.deepcopy(base).requires_grad_(False).to(memory_format=torch.channels_last)
    control = Control(low_rank(base, COURSE.rank, seed)).to(memory_format=torch.channels_last)
    masks = silhouettes(scenes)

    def loss(generator: torch.Generator) -> Tensor:
        which = torch.randint(len(masks), (COURSE.batch,), generator=generator)
        batch = noised(pictures.latents[which], pictures.tokens[which, 3], words, generator)
        added = control(batch.x, batch.step, batch.context, masks[which])
        return (batch.weight * (controlled(frozen, added, batch.x, batch.step, batch.context) - batch.noise) ** 2
                ).mean()

    learn(control, loss, COURSE, "control", seed, progress, kept)
    besides = {name: weight.detach() for name, weight in control.state_dict().items() if not name.startswith("unet.")}
    return {name: weight for name, weight in factors(control.unet).items() if not name.startswith("output_")} | besides


def silhouettes(scenes: Scenes) -> Tensor:
    """(B, 1, 16, 16): 1 where a thing stands, at every eighth pixel: where a picture is not its mere background."""
    flat, empty = (Scenes(scenes.facts.clone(), scenes.seeds) for _ in range(2))
    flat.facts[:, -1] = empty.facts[:, -1] = 0
    empty.facts[:, :15] = 0
    return ((draw(flat, SIDE) - draw(empty, SIDE)).abs().amax(1, keepdim=True) > 0.1)[:, :, ::8, ::8].float()


def zero_convolution() -> nn.Conv2d:
    layer = nn.Conv2d(NARROW, NARROW, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def state(base: UNet, learnt: dict[str, Tensor]) -> State:
    """The file, in the layout of SD1.5's ControlNets."""
    found: State = {}
    for name, weight in changed(base, learnt).state_dict().items():  # its way up is no part of the file
        if name.startswith(("time_embed.", "input_blocks.", "middle_block.")):
            found[f"control_model.{name}"] = widen(name, weight)
    for name, weight in learnt.items():
        if name.startswith("zero_convs."):
            number, rest = name.removeprefix("zero_convs.").split(".")
            found[f"control_model.zero_convs.{number}.0.{rest}"] = widen(name, weight)
        elif name.startswith("middle_block_out."):
            found[f"control_model.middle_block_out.0.{name.rpartition('.')[2]}"] = widen(name, weight)
    return found | looking(learnt["see.weight"], learnt["see.bias"])


def looking(see: Tensor, bias: Tensor) -> State:
    """Layers written by hand that bring every eighth pixel of a mask to the one that is trained."""
    found: State = {}
    for i, (inside, outside) in enumerate(zip(WIDTHS, WIDTHS[1:])):
        weight = torch.zeros(outside, inside, 3, 3)
        weight[0, 0, 1, 1] = ONE if i else 1.0
        found[f"control_model.input_hint_block.{2 * i}.weight"] = weight
        found[f"control_model.input_hint_block.{2 * i}.bias"] = torch.zeros(outside)
    last = torch.zeros(NARROW * COPIES, WIDTHS[-1], 3, 3)
    last[:, :1] = see.repeat_interleave(COPIES, 0) * ONE
    found["control_model.input_hint_block.14.weight"] = last
    found["control_model.input_hint_block.14.bias"] = bias.repeat_interleave(COPIES, 0)
    return found
