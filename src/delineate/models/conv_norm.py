"""Convolutions with batch norms, computed as one convolution where nothing is learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.models.derived import Derived, recorded, untouched


class ConvNorm(nn.Module):
    """A convolution without bias and a batch norm, named ``c`` and ``bn`` as published."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self._one = Derived()

    def forward(self, x: Tensor) -> Tensor:
        if not self.folds():
            return self.bn(self.c(x))
        weight, bias = self._one.get(lambda: packed(*self.folded(), x), *self.sources, key=computed_in(x))
        return F.conv2d(x, weight, bias, self.c.stride, self.c.padding, 1, self.c.groups)

    def folds(self) -> bool:
        """Whether both may be computed as one: in use, nothing recorded, and neither replaced nor hooked."""
        plain = untouched(nn.Conv2d, self.c) and untouched(nn.BatchNorm2d, self.bn)
        return plain and not (self.training or recorded())

    @property
    def sources(self) -> tuple[Tensor, ...]:
        """What the folded weights follow from."""
        mean, variance = self.bn.running_mean, self.bn.running_var
        assert mean is not None and variance is not None
        return self.c.weight, self.bn.weight, self.bn.bias, mean, variance

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of one convolution that gives the same."""
        weight, gain, shift, mean, variance = self.sources
        scale = gain * torch.rsqrt(variance + self.bn.eps)
        return weight * scale[:, None, None, None], shift - mean * scale


def packed(weight: Tensor, bias: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Weights in the type a map is computed in, channels last."""
    dtype = computed_in(x)
    return weight.to(dtype).contiguous(memory_format=torch.channels_last), bias.to(dtype)


def computed_in(x: Tensor) -> torch.dtype:
    """The type convolutions of a map are computed in."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
