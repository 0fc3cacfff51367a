"""Adding up a chunk: the compiled function, the plain one and any grouping give the same bytes."""

import pytest
import torch

from diffusion_soup import sums

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn)
COUNT = 1000


def terms(dtype: torch.dtype, count: int = 5) -> tuple[list[torch.Tensor], list[float]]:
    draw = torch.Generator().manual_seed(0)
    return ([torch.randn(COUNT, generator=draw).to(dtype) for _ in range(count)],
            torch.rand(count, generator=draw, dtype=torch.float64).tolist())


def added(adder, values, coefficients, dtype, piece, groups=1):
    total = torch.full((COUNT,), float("nan"), dtype=dtype)
    size = -(-len(values) // groups)
    for start in range(0, len(values), size):
        adder(values[start:start + size], coefficients[start:start + size], total,
              torch.empty(min(piece, COUNT), dtype=dtype), start > 0, piece)
    return total


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wide", [torch.float32, torch.float64])
def test_the_same_bytes(dtype, wide):
    values, coefficients = terms(dtype)
    plain = added(sums._add, values, coefficients, wide, COUNT)
    for adder in (sums._add, sums._adder):
        for piece, groups in ((COUNT, 1), (64, 1), (128, 2), (64, 5)):
            assert torch.equal(added(adder, values, coefficients, wide, piece, groups), plain)
    wanted = sum(c * v.double() for c, v in zip(coefficients, values))
    assert torch.allclose(plain.double(), wanted, rtol=1e-5, atol=1e-6)


def test_what_was_there_before_is_overwritten_unless_begun():
    values, coefficients = terms(torch.float16, 1)
    total = torch.full((COUNT,), 7.0)
    sums.add_terms(values, coefficients, total, torch.empty(COUNT), True)
    assert torch.equal(total, torch.full((COUNT,), 7.0).add_(values[0].float(), alpha=coefficients[0]))
    sums.add_terms(values, coefficients, total, torch.empty(COUNT), False)
    assert torch.equal(total, values[0].float().mul_(coefficients[0]))


def test_it_is_compiled_here_and_plain_where_it_cannot_be(monkeypatch):
    assert sums._adder is not sums._add
    monkeypatch.setattr(torch.jit, "script", lambda function: 1 / 0)
    assert sums._compiled(sums._add) is sums._add
