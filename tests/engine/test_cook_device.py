"""The accelerator's executor, run on the CPU device: the same bytes as the workers', whatever the piece size."""

import threading

import pytest
import torch

from diffusion_soup import Cancelled, FileError, Ingredient, ModelFile, Recipe, cook, prepare
from diffusion_soup.cook_device import DeviceKitchen
from diffusion_soup.jobs import Tuning
from diffusion_soup.progress import Silent
from diffusion_soup.sinks import MemorySink

from .kitchen import CONV_IN, IDS, Pantry, fill, same, tiny_unet, whole


class ElsewhereSink(MemorySink):
    """Memory that is not on the device, so that every piece is sent back."""

    def place(self, step, start, stop):
        return None

    def write(self, step, start, piece):
        self.tensors[step.key].view(-1)[start:start + piece.numel()].copy_(piece)


def on_device(recipe, pantry, piece, sink_class=MemorySink, progress=None):
    plan = prepare(recipe, pantry.models)
    sink = sink_class(plan.steps)
    kitchen = DeviceKitchen(plan.steps, sink, torch.device("cpu"), progress or Silent(), Tuning(threads=3), piece)
    return sink.tensors, kitchen.run()


@pytest.mark.parametrize("sink_class", [MemorySink, ElsewhereSink])
@pytest.mark.parametrize("piece", [64, 1000, 1 << 20])
@pytest.mark.parametrize("dtype", [None, "float32", "bfloat16", "float8_e4m3fn"])
def test_equals_the_workers(pantry: Pantry, piece, dtype, sink_class):
    pantry.stock(3, whole() | {IDS: (1, 77)})
    recipe = Recipe((Ingredient("a.safetensors", weight=1, blocks={"OUT03": 0.2}), Ingredient("b.safetensors"),
                     Ingredient("c.safetensors", weight=2)), dtype=dtype, seed=7)
    assert same(on_device(recipe, pantry, piece, sink_class)[0], dict(cook(recipe, pantry.models)))


@pytest.mark.parametrize("piece", [64, 1 << 20])
def test_equals_the_workers_with_loras_and_extra_channels(pantry: Pantry, piece):
    pantry.put("base", fill(tiny_unet(), 1))
    pantry.put("inpaint", fill(tiny_unet(channels=9), 2))
    pantry.put("ink", fill({"lora_unet_out_2.lora_up.weight": (4, 2), "lora_unet_out_2.lora_down.weight": (2, 4)}, 3))
    recipe = Recipe((Ingredient("inpaint.safetensors"), Ingredient("ink.safetensors", "lora", weight=0.5)),
                    base=ModelFile("base.safetensors"))
    tensors, _ = on_device(recipe, pantry, piece, ElsewhereSink)
    assert tensors[CONV_IN].shape[1] == 9
    assert same(tensors, dict(cook(recipe, pantry.models)))


def test_numbers_that_are_not_finite_are_noticed(pantry: Pantry):
    tensors = fill(tiny_unet(), 1)
    tensors[CONV_IN][0, 0, 0, 0] = float("nan")
    pantry.put("a", tensors)
    pantry.stock(0)
    pantry.put("b", fill(tiny_unet(), 2))
    _, report = on_device(pantry.recipe(a=1, b=1), pantry, 1 << 20)
    assert any(CONV_IN in note for note in report.notes)


def test_a_file_truncated_meanwhile_is_an_error_and_no_thread_stays(pantry: Pantry):
    pantry.stock(2)
    plan = prepare(pantry.recipe(a=1, b=1), pantry.models)
    path = pantry.root / "b.safetensors"
    path.write_bytes(path.read_bytes()[:-64])
    before = threading.active_count()
    with pytest.raises(FileError, match=r"b\.safetensors"):
        DeviceKitchen(plan.steps, MemorySink(plan.steps), torch.device("cpu"), Silent(), Tuning(2), 64).run()
    assert threading.active_count() == before


def test_cancelled(pantry: Pantry):
    class Stop(Silent):
        def cancelled(self):
            return True

    pantry.stock(2)
    with pytest.raises(Cancelled):
        on_device(pantry.recipe(a=1, b=1), pantry, 64, progress=Stop())
