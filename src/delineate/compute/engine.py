"""Where and how precisely torch computes."""

from __future__ import annotations

import time
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import torch
from torch import nn

from delineate.compute.device import device_name
from delineate.core.errors import DelineateWarning, ModelError
from delineate.core.terminal_text import excerpt
from delineate.models.conv_norm import ConvNorm

WORTH_IT = 1.5  # how much faster bf16 products must be before a CPU uses them


class Precision(StrEnum):
    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


@dataclass(frozen=True)
class Engine:
    """A device, and the precision of image encoders and memories on it; prompts and masks are always fp32.

    device     cpu, cuda, cuda:1, mps
    precision  fp32, bf16 or fp16
    """

    device: torch.device
    precision: Precision

    @classmethod
    def chosen(cls, device: str = "auto", precision: str = "auto", threads: int = 0) -> Engine:
        """The engine for a person's choice. ``auto``: a GPU if one can be used; bf16 where it is measured to be fast.

        Raises ModelError for devices that are not there and for precisions a device cannot do.
        """
        if threads:
            torch.set_num_threads(threads)
        if precision not in list(Precision):
            raise ModelError("E-OPTION", f'There is no precision "{precision}".', f"One of {', '.join(Precision)}.")
        device = device_name(device)
        place = _found() if device == "auto" else torch.device(device)
        if (reason := _unusable(place)) is not None:
            raise ModelError("E-DEVICE", f'"{device}" cannot be used: {reason}', "Use --device cpu.")
        wanted = Precision(precision)
        if wanted is Precision.AUTO:
            fast = (place.type == "cuda" and torch.cuda.is_bf16_supported()) or (
                place.type == "cpu" and _bf16_is_fast()
            )
            wanted = Precision.BF16 if fast else Precision.FP32
        if wanted is Precision.FP16 and place.type == "cpu":
            raise ModelError("E-PRECISION", "fp16 gains nothing on a CPU.", "Use --precision bf16 or fp32.")
        return cls(place, wanted)

    def encoding(self) -> AbstractContextManager[object]:
        """The context image encoders, memory attention and memory encoders run in."""
        if self.precision is Precision.FP32:
            return nullcontext()
        return torch.autocast(self.device.type, self._lower)

    def cast_weights(self, *parts: nn.Module | None) -> None:
        """Convert the weights of parts that run ``encoding`` once, instead of on every call; the same answers."""
        if self.precision is Precision.FP32:
            return
        for part in (p for p in parts if p is not None):
            folded = {id(m.c) for m in part.modules() if isinstance(m, ConvNorm)}  # convert what they are folded into
            for module in part.modules():
                if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and id(module) not in folded:
                    module.to(self._lower)

    @property
    def _lower(self) -> torch.dtype:
        return torch.bfloat16 if self.precision is Precision.BF16 else torch.float16

    @property
    def summary(self) -> str:
        return f"{self.device}, encoder and memory in {self.precision}"


def _found() -> torch.device:
    """A GPU that can be used, or the CPU; a person whose GPU cannot be used is told why."""
    with warnings.catch_warnings(record=True) as said:  # of a driver that does not fit
        warnings.simplefilter("always")
        there = torch.cuda.is_available()
    reason = _unusable(torch.device("cuda")) if there else next((str(one.message).split("\n")[0] for one in said), None)
    if there and reason is None:
        return torch.device("cuda")
    if reason is not None:
        text = f"The GPU cannot be used ({excerpt(reason, 200)}): the CPU computes. What there is: delineate doctor"
        warnings.warn(text, DelineateWarning, stacklevel=4)
    return torch.device("cpu")


def _unusable(place: torch.device) -> str | None:
    """Why nothing can be computed on a device: busy, missing, or this torch was built for another one."""
    try:
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError) as error:
        return str(error).split("\n")[0]
    return None


@cache
def _bf16_is_fast() -> bool:
    """Whether bf16 matrix products are much faster than fp32 here, measured (some 20 ms)."""
    spent = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(1024, 768, dtype=dtype)
        b = torch.ones(768, 1024, dtype=dtype)
        times = []
        for _ in range(6):
            began = time.perf_counter()
            a @ b
            times.append(time.perf_counter() - began)
        spent[dtype] = min(times[1:])
    return spent[torch.float32] > WORTH_IT * spent[torch.bfloat16]
