"""Products as they are made in use, against the plain ones in fp64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("transformers")

from delineate.models.attention import MANY, by_products
from delineate.models.linear import FEW, Linear, fed_forward, linear
from delineate.models.windows import cut, joined
from host_cases import drawn
from tiny_networks import tiny_sam, tiny_sam2

ROUNDING = 1e-5  # of the largest value


def away(one: Tensor, other: Tensor) -> float:
    return float((one.detach().double() - other.detach()).abs().max() / other.detach().abs().max())


WEIGHTS = {
    "as kept": lambda w: w,
    "turned": lambda w: w.T.contiguous().T,
    "of others": lambda w: w.repeat(1, 3)[:, :96],
}


@pytest.mark.parametrize("rows", [1, FEW - 1, FEW, 300])
@pytest.mark.parametrize("layout", WEIGHTS)
def test_tokens_times_a_matrix(rows: int, layout: str) -> None:
    x, weight, bias = drawn(1, 2, rows, 96), WEIGHTS[layout](drawn(2, 40, 96)), drawn(3, 40)
    with torch.inference_mode():
        found = linear(x, weight, bias)
    assert found.shape == (2, rows, 40)
    assert away(found, x.double() @ weight.T.double() + bias) < ROUNDING


SIZES = {"one head at a time": (1 + MANY // 900, 900), "many heads at a time": (196, 196)}


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_attention_by_products(size: str, grid: bool) -> None:
    """Keys lie as a view of the projected; with and without a bias of rows and columns."""
    tokens, seen = SIZES[size]
    q, v = drawn(1, 3, tokens, 32), drawn(3, 3, seen, 16)
    k = drawn(2, 3, seen, 2, 32)[:, :, 1]
    h = w = int(seen**0.5)
    rows, columns = (drawn(4, 3, tokens, h, 1), drawn(5, 3, tokens, 1, w)) if grid else (None, None)
    scores = q.double() @ k.double().transpose(1, 2) * 0.2
    if rows is not None and columns is not None:
        scores = scores + (rows + columns).flatten(2)
    with torch.inference_mode():
        found = by_products(q, k, v, rows, columns, scale=0.2)
    assert away(found, scores.softmax(-1) @ v.double()) < ROUNDING


def test_layers_fed_some_tokens_at_a_time() -> None:
    first, second = Linear(32, 8192), Linear(8192, 8)
    x = drawn(1, 2, 20, 10, 32)
    whole = second(first(x).relu())
    counts: list[int] = []

    def between(hidden: Tensor) -> Tensor:
        counts.append(len(hidden))
        return hidden.relu()

    with torch.inference_mode():
        found = fed_forward(x, first, between, second)
    assert len(counts) > 1 and sum(counts) == 400, counts
    assert found.shape == whole.shape and away(found, whole.double()) < ROUNDING


@pytest.mark.parametrize("sides", [(8, 8), (9, 5), (4, 4), (3, 2)])
def test_windows_are_put_together_again(sides: tuple[int, int]) -> None:
    x, filling = drawn(1, 2, *sides, 3), drawn(2, 3)
    windows = cut(x, 4, filling)
    assert torch.equal(joined(windows, sides), x)
    last = windows[-1]
    beyond = last[sides[0] - 1 & 3 :][1:].reshape(-1, 3)
    assert torch.equal(beyond, filling.expand_as(beyond))
    with torch.inference_mode():
        assert torch.equal(cut(x, 4, filling), windows)


def embedded(network: nn.Module, side: int) -> Tensor:
    found = network.embed(drawn(1, 1, 3, side, side))  # type: ignore[operator]
    return found if isinstance(found, Tensor) else found.coarse


@pytest.mark.parametrize("make", [tiny_sam, tiny_sam2], ids=["SAM", "SAM 2"])
def test_what_fills_windows_up_counts_though_it_is_not_projected(make: type) -> None:
    """A hook on attention wants whole windows, filled up before they are projected: the other way to the same."""
    network = make()
    whole = embedded(network, 256)
    seen: list[int] = []
    for module in network.host.vision_encoder.modules():
        if hasattr(module, "qkv"):
            module.register_forward_hook(lambda *_: seen.append(1))
    hooked = embedded(network, 256)
    assert seen and away(hooked, whole.double()) < 1e-4
