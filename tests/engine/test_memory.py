"""Memory that is used again once nobody holds it."""

import torch

from diffusion_soup import sinks
from diffusion_soup.memory import Reserve, fresh

SHAPE, BYTES = (1024, 1024), 1 << 22


def test_memory_is_used_again():
    tensor = fresh(SHAPE, torch.float32).fill_(7)
    address, reserve = tensor.data_ptr(), Reserve([tensor])
    assert not reserve.free and reserve.free_bytes == 0
    del tensor
    assert reserve.free and reserve.free_bytes == BYTES
    again = reserve.fresh((512, 4096), torch.float16)
    assert again.data_ptr() == address and again.shape == (512, 4096)
    assert not reserve.free and reserve.free_bytes == 0


def test_what_somebody_holds_stays_theirs():
    """A view, a parameter, a numpy array: each keeps the memory."""
    for hold in (lambda tensor: tensor[3:5], lambda tensor: torch.nn.Parameter(tensor, requires_grad=False),
                 lambda tensor: tensor.numpy(), lambda tensor: tensor.view(torch.uint8).flatten()):
        tensor = fresh(SHAPE, torch.float32).fill_(7)
        held, reserve = hold(tensor), Reserve([tensor])
        del tensor
        reserve.fresh(SHAPE, torch.float32).fill_(8)
        assert bool((held != 8).all())


def test_other_sizes_and_other_tensors_get_fresh_memory():
    reserve = Reserve([fresh(SHAPE, torch.float32), torch.empty(SHAPE), torch.empty(3)])
    assert reserve.fresh((3, 3), torch.float32).shape == (3, 3)
    assert reserve.free_bytes == BYTES
    reserve.release()
    assert reserve.free_bytes == 0 and not reserve.free


def test_the_same_tensor_twice_is_one_memory():
    tensor = fresh(SHAPE, torch.float32)
    reserve = Reserve([tensor, tensor.view(-1)])
    del tensor
    one, other = (reserve.fresh(SHAPE, torch.float32) for _ in range(2))
    assert one.data_ptr() != other.data_ptr()


def test_memory_is_made_ready_by_all_workers_together(monkeypatch):
    """Every page is written once, whatever the number of workers; small outputs are left alone."""
    tensors = [torch.ones(100_000, dtype=torch.float16), torch.ones(30_000)]
    assert not list(sinks.touch_share(tensors, 0, 2)) and all(bool(tensor.all()) for tensor in tensors)
    monkeypatch.setattr(sinks, "_LASTING", 0)
    for part in range(3):
        list(sinks.touch_share(tensors, part, 3))
    for tensor in tensors:
        pages = tensor.view(torch.uint8)
        assert all(bool((page == 0).any()) for page in pages.split(2 * 4096) if len(page) == 2 * 4096)
