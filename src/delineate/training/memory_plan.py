"""Training within a given memory: ``--memory 8GB`` chooses precision, batch, activation checkpointing and part.

The estimate is the sum of weights, gradients, Adam's two moments, the moving average, activations (``activations.py``,
within 5 % of what torch keeps in the cases measured there) and what a device needs by itself. Of whole runs on a CPU it
was 1 % above the largest resident memory, and 9 % below with activations computed again (ViT of width 384 at 512 px,
batch 3); on a GPU it was not measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from torch import nn

from delineate.core.errors import ModelError
from delineate.models.sam import Sam
from delineate.training.activations import of_decoder, of_shape
from delineate.training.encoder_adapters import AdapterOptions, adapted_layers, decoder_layers
from delineate.training.finetune import Finetune, TrainedPart
from delineate.training.prompt_policies import SIMULATIONS, PromptPolicy

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
OF_A_GPU, OF_A_CPU = 0.9e9, 0.6e9  # bytes: context and kernels; the interpreter and its libraries
ROUNDING = 1.1  # of what an allocator hands out in blocks
FP32, BF16 = 4, 2
HALVED = 0.6  # of fp32's activations in bf16: norms and softmax stay as they are


@dataclass(frozen=True)
class Estimate:
    """Bytes of a run."""

    weights: float
    gradients: float
    moments: float
    average: float
    activations: float
    device: float

    @property
    def total(self) -> float:
        return (self.weights + self.gradients + self.moments + self.average + self.activations) * ROUNDING + self.device

    def lines(self) -> list[str]:
        """A small table for people."""
        rows = {
            "weights": self.weights, "gradients": self.gradients, "Adam": self.moments, "moving average": self.average,
            "activations": self.activations, "device itself": self.device, "together": self.total,
        }  # fmt: skip
        return [f"  {name:<15} {size / 1e9:6.2f} GB" for name, size in rows.items() if size]


R = TypeVar("R")  # a recipe: ``Finetune``, ``Sam2Finetune``


@dataclass(frozen=True)
class Plan(Generic[R]):
    """A recipe that fits, its estimate, and what was changed to make it fit."""

    recipe: R
    estimate: Estimate
    changes: tuple[str, ...]


def bytes_of(text: str) -> float:
    """``8GB``, ``8000 MB`` or ``8G`` in bytes. Raises ModelError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", text.lower())
    if match is None:
        raise ModelError("E-OPTION", f'--memory "{text}" is no size.', "Such as 8GB.")
    return float(match[1]) * UNITS[match[2]]


def estimated(network: Sam, recipe: Finetune, gpu: bool) -> Estimate:
    """What a recipe needs with a network that has no adapters yet."""
    host, size = network.host, FP32
    encoder = sum(p.numel() for p in host.vision_encoder.parameters())
    decoder = sum(p.numel() for p in host.mask_decoder.parameters())
    everything = sum(p.numel() for p in host.parameters())
    part = recipe.part
    if recipe.adapter and part is TrainedPart.DECODER:
        trained = low_rank_parameters(host.mask_decoder, decoder_layers(host.mask_decoder), recipe.adapter.rank)
    else:
        learned = adapter_parameters(host.vision_encoder, recipe.adapter) if recipe.adapter else encoder
        trained = (learned if part is not TrainedPart.DECODER else 0) + (
            decoder if part is not TrainedPart.ENCODER else 0
        )
    share = 1.0 if recipe.loop.precision == "fp32" else HALVED
    pictures = max(1, -(-recipe.batch // recipe.of_each))
    kept = of_shape(network.shape)
    shape = network.shape
    rounds = 1 if recipe.prompts is PromptPolicy.SAM_MED2D else SIMULATIONS[recipe.prompts].rounds + 1
    heads = recipe.batch * rounds * of_decoder(shape.side // shape.patch // recipe.stride)
    if recipe.keeps_embeddings:
        around = max(kept.inputs, default=0) * 16  # embedding one picture, nothing kept
        activations = max(heads * size, around * size)
    else:
        one = pictures * kept.total(recipe.checkpointing) + heads
        activations = one * size * share + pictures * kept.largest * size * share
    return Estimate(
        weights=everything * size,
        gradients=trained * size,
        moments=2 * trained * size,
        average=2 * trained * size if recipe.loop.ema else 0,
        activations=activations,
        device=OF_A_GPU if gpu else OF_A_CPU,
    )


def planned(network: Sam, recipe: Finetune, memory: float, gpu: bool) -> Plan[Finetune]:
    """The recipe with as few changes as make it fit into ``memory`` bytes.

    In this order: bf16 (on a GPU), smaller batches gathered over several passes, checkpointing of activations, adapters
    of rank 8 instead of the encoder, the decoder alone. Raises ModelError if nothing fits.
    """
    return first_that_fits(_candidates(recipe, gpu), lambda one: estimated(network, one, gpu), memory)


def first_that_fits(
    candidates: Iterable[tuple[R, tuple[str, ...]]], estimate: Callable[[R], Estimate], memory: float
) -> Plan[R]:
    """The first recipe that fits into ``memory`` bytes. Raises ModelError if none does."""
    smallest = None
    for candidate, changes in candidates:
        found = estimate(candidate)
        if found.total <= memory:
            return Plan(candidate, found, changes)
        smallest = found if smallest is None or found.total < smallest.total else smallest
    least = smallest.total / 1e9 if smallest else 0
    raise ModelError(
        "E-TRAIN-MEMORY",
        f"Nothing of this fits into {memory / 1e9:.1f} GB; the least is {least:.1f} GB.",
        "Choose a smaller system: delineate systems",
    )


def _candidates(recipe: Finetune, gpu: bool) -> Iterator[tuple[Finetune, tuple[str, ...]]]:
    parts: list[tuple[Finetune, tuple[str, ...]]] = [(recipe, ())]
    if recipe.part is not TrainedPart.DECODER and recipe.adapter is None:
        parts.append((replace(recipe, adapter=AdapterOptions()), ("adapters of rank 8 instead of the whole encoder",)))
    if recipe.part is TrainedPart.ALL:
        parts.append(
            (replace(recipe, part=TrainedPart.DECODER, adapter=None), ("the decoder alone, on kept embeddings",))
        )
    for part, changed in parts:
        said = changed
        if gpu and part.loop.precision == "fp32" and not part.keeps_embeddings:
            yield part, said
            part, said = replace(part, loop=replace(part.loop, precision="bf16")), (*said, "bf16")
        yield from smaller(part, said)
        if not part.keeps_embeddings:
            yield from smaller(replace(part, checkpointing=True), (*said, "activations computed again"))


def smaller(recipe: Any, said: tuple[str, ...]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """A recipe, and with batches that get smaller, the structures a step staying about the same."""
    wanted, least = recipe.batch * recipe.loop.accumulate, getattr(recipe, "of_each", 1)
    yield recipe, said
    batch = recipe.batch
    while batch > least:
        batch = max(least, batch // 2)
        passes = -(-wanted // batch)
        fewer = replace(recipe, batch=batch, loop=replace(recipe.loop, accumulate=passes))
        yield fewer, (*said, f"batch {batch} in {passes} passes")


def adapter_parameters(encoder: nn.Module, adapter: AdapterOptions) -> int:
    """How many numbers adapters in an encoder have."""
    return low_rank_parameters(encoder, adapted_layers(encoder, adapter.mlp), adapter.rank)


def low_rank_parameters(module: nn.Module, names: Sequence[str], rank: int) -> int:
    """How many numbers adapters beside some layers have."""
    layers = [module.get_submodule(name) for name in names]
    return sum(rank * sum(layer.weight.shape) for layer in layers if isinstance(layer, nn.Linear))
