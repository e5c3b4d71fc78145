"""The trunk of SSL-ALPNet: another writing of it from its table of layers, and the published layout."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.checkpoints.loading import load_all
from delineate.models.deeplab import DeepLabEncoder, DeepLabShape
from references.weights import seeded_state

TINY = DeepLabShape((1, 2, 3, 2), 8, 16)


def published_layout(shape: DeepLabShape) -> dict[str, tuple[int, ...]]:
    """Names and shapes as torchvision has them, without the counters of batch norms."""
    found: dict[str, tuple[int, ...]] = {}

    def conv(name: str, outputs: int, inputs: int, kernel: int) -> None:
        found[f"{name}.weight"] = (outputs, inputs, kernel, kernel)

    def norm(name: str, width: int) -> None:
        found.update({f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")})

    conv("backbone.conv1", shape.width, 3, 7)
    norm("backbone.bn1", shape.width)
    inputs = shape.width
    for stage, depth in enumerate(shape.depths):
        inner = shape.width * 2**stage
        for n in range(depth):
            block = f"backbone.layer{stage + 1}.{n}"
            sizes = ((inner, inputs, 1), (inner, inner, 3), (4 * inner, inner, 1))
            for k, (outputs, given, kernel) in enumerate(sizes):
                conv(f"{block}.conv{k + 1}", outputs, given, kernel)
                norm(f"{block}.bn{k + 1}", outputs)
            if n == 0:
                conv(f"{block}.downsample.0", 4 * inner, inputs, 1)
                norm(f"{block}.downsample.1", 4 * inner)
            inputs = 4 * inner
    conv("localconv", shape.channels, inputs, 1)
    return found


def written_again(native: dict[str, Tensor], shape: DeepLabShape, x: Tensor) -> Tensor:
    """Every 3 x 3 kernel by hand: stages at strides 4, 8, 8, 8 with kernels 1, 1, 1 then 2, 2 then 4 apart."""

    def layer(name: str, bn: str, x: Tensor, **how: int) -> Tensor:
        y = F.conv2d(x, native[f"{name}.weight"], None, **how)
        mean, var = native[f"{bn}.running_mean"], native[f"{bn}.running_var"]
        scale = native[f"{bn}.weight"] / (var + 1e-5).sqrt()
        return y * scale[:, None, None] + (native[f"{bn}.bias"] - mean * scale)[:, None, None]

    x = F.relu(layer("backbone.conv1", "backbone.bn1", x, stride=2, padding=3))
    x = F.max_pool2d(x, 3, 2, 1)
    apart = {1: (1, 1), 2: (1, 1), 3: (1, 2), 4: (2, 4)}
    for stage, depth in enumerate(shape.depths, 1):
        for n in range(depth):
            block, d = f"backbone.layer{stage}.{n}", apart[stage][min(n, 1)]
            stride = 2 if stage == 2 and n == 0 else 1
            y = F.relu(layer(f"{block}.conv1", f"{block}.bn1", x))
            y = F.relu(layer(f"{block}.conv2", f"{block}.bn2", y, stride=stride, padding=d, dilation=d))
            y = layer(f"{block}.conv3", f"{block}.bn3", y)
            if n == 0:
                x = layer(f"{block}.downsample.0", f"{block}.downsample.1", x, stride=stride)
            x = F.relu(x + y)
    return F.conv2d(x, native["localconv.weight"])


@torch.inference_mode()
def test_features_are_those_of_the_table_of_layers() -> None:
    native = seeded_state(published_layout(TINY))
    encoder = DeepLabEncoder(TINY).eval()
    load_all(encoder, native, "tiny")
    pixels = torch.randn(2, 3, 64, 72, generator=torch.Generator().manual_seed(0))
    found, wanted = encoder(pixels), written_again(native, TINY, pixels)
    assert found.shape == (2, 16, 8, 9)
    difference = float((found - wanted).abs().max() / wanted.abs().max())
    print(f"DeepLab trunk: largest difference {difference:.1e} of the largest number")
    assert difference <= 1e-5


def test_the_published_size_loads_without_a_missing_key() -> None:
    with torch.device("meta"):
        encoder = DeepLabEncoder()
        native = {name: torch.empty(size) for name, size in published_layout(DeepLabShape()).items()}
        load_all(encoder, native, "resnet101")
        features = encoder(torch.empty(1, 3, 256, 256))
    assert sum(p.numel() for p in encoder.backbone.parameters()) == 42_500_160  # ResNet-101 without its classifier
    assert features.shape == (1, 256, 32, 32)


@pytest.mark.parametrize("side", [250, 256])
def test_odd_sides_are_rounded_up(side: int) -> None:
    with torch.device("meta"):
        assert DeepLabEncoder(TINY)(torch.empty(1, 3, side, side)).shape[-1] == 32
