"""Train the demo's ControlNet, `ridge`: white in its picture says where the dark land in front shall be.

    python -m demo.controlnet MODELS_DIR    a minute, once the demo's other models are there

A ControlNet (Zhang et al., 2023) is a copy of the way down and of the middle of a UNet that is shown a picture, and
whose findings are added to what the UNet itself keeps for its way up, through convolutions that begin at zero. The
UNet is frozen. The copy here is trained with the base and works with every soup of its specialists.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from . import specialists
from .tiny_sd import COPIES, NARROW, State, UNet, run, sinusoid, text_encoder, widen

COURSE = specialists.Course(150, 1.5e-3)

WIDTHS = (3, 16, 16, 32, 32, 96, 96, 256)  # of the layers that look at the picture, each second one halving it
ONE = 1 / 0.7310586  # a weight that brings silu(1) back to 1; a mask's 0 stays 0


class ControlledUNet(nn.Module):
    """A frozen UNet and the ControlNet that is trained; `hint` is a mask of the latent's size."""

    hint: Tensor

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = copy.deepcopy(unet).requires_grad_(False)
        self.time_embed = copy.deepcopy(unet.time_embed)
        self.input_blocks = copy.deepcopy(unet.input_blocks)
        self.middle_block = copy.deepcopy(unet.middle_block)
        self.zero_convs = nn.ModuleList([zero_convolution() for _ in unet.input_blocks])
        self.middle_block_out = zero_convolution()
        self.see = nn.Conv2d(1, NARROW, 3, padding=1)

    def forward(self, x: Tensor, step: Tensor, context: Tensor) -> Tensor:
        added = self.control(x, step, context)
        unet, time = self.unet, self.unet.time_embed(sinusoid(step))
        x = unet.input_blocks[0][0](x)
        kept = [x]
        for block in unet.input_blocks[1:]:
            kept.append(x := run(block, x, time, context))
        x = run(unet.middle_block, x, time, context) + added.pop()
        for block in unet.output_blocks:
            x = run(block, torch.cat([x, kept.pop() + added.pop()], 1), time, context)
        return unet.out(x)

    def control(self, x: Tensor, step: Tensor, context: Tensor) -> list[Tensor]:
        time = self.time_embed(sinusoid(step))
        x = self.input_blocks[0][0](x) + self.see(self.hint)
        found = [self.zero_convs[0](x)]
        for block, zero in zip(self.input_blocks[1:], self.zero_convs[1:]):
            x = run(block, x, time, context)
            found.append(zero(x))
        return [*found, self.middle_block_out(run(self.middle_block, x, time, context))]


def make(folder: Path, *, seed: int = 0, progress: specialists.Progress = print) -> Path:
    """Write it beside the demo's base, unless it is there already."""
    file = folder / "controlnet" / "ridge.safetensors"
    stamp = f"ridge {specialists.stamp_of(folder / 'checkpoints' / 'demo-base.safetensors')}"
    if specialists.stamp_of(file) != stamp:
        torch.manual_seed(seed)
        model = ControlledUNet(base(folder / "checkpoints" / "demo-base.safetensors"))
        words = specialists.embeddings(text_encoder(seed))
        specialists.train(model.to(memory_format=torch.channels_last), specialists.BASE, words, COURSE, seed + 20,
                          progress, lambda pictures: setattr(model, "hint", land(pictures)))
        specialists.save(file, state(model), stamp)
    return file


def base(file: Path) -> UNet:
    """The demo's base as it was before it was widened."""
    unet = UNet()
    with safe_open(file, "pt") as opened:
        for name, weight in unet.state_dict().items():
            wide = opened.get_tensor(f"model.diffusion_model.{name}").float()
            ones = widen(name, torch.ones_like(weight))  # what widening multiplied each number by
            steps = tuple(slice(None, None, big // small) for big, small in zip(wide.shape, weight.shape))
            weight.copy_((wide / ones)[steps])
    return unet


def zero_convolution() -> nn.Conv2d:
    layer = nn.Conv2d(NARROW, NARROW, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def land(pictures: Tensor) -> Tensor:
    """Where a latent's relief is the dark land in front."""
    return (pictures[:, 3:] < -0.5).float()


def state(model: ControlledUNet) -> State:
    """The file, in the layout of SD1.5's ControlNets."""
    found: State = {}
    for name, weight in model.state_dict().items():
        if name.startswith(("time_embed.", "input_blocks.", "middle_block.")):
            found[f"control_model.{name}"] = widen(name, weight)
        elif name.startswith("zero_convs."):
            number, rest = name.removeprefix("zero_convs.").split(".")
            found[f"control_model.zero_convs.{number}.0.{rest}"] = widen(name, weight)
        elif name.startswith("middle_block_out."):
            found[f"control_model.middle_block_out.0.{name.rpartition('.')[2]}"] = widen(name, weight)
    return found | looking(model.see)


def looking(see: nn.Conv2d) -> State:
    """Layers written by hand that bring every eighth pixel of a mask to the one that is trained, `see`."""
    found: State = {}
    for i, (inside, outside) in enumerate(zip(WIDTHS, WIDTHS[1:])):
        weight = torch.zeros(outside, inside, 3, 3)
        weight[0, 0, 1, 1] = ONE if i else 1.0
        found[f"control_model.input_hint_block.{2 * i}.weight"] = weight
        found[f"control_model.input_hint_block.{2 * i}.bias"] = torch.zeros(outside)
    last = torch.zeros(NARROW * COPIES, WIDTHS[-1], 3, 3)
    last[:, :1] = see.weight.detach().repeat_interleave(COPIES, 0) * ONE
    found["control_model.input_hint_block.14.weight"] = last
    found["control_model.input_hint_block.14.bias"] = see.bias.detach().repeat_interleave(COPIES, 0)
    return found


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
