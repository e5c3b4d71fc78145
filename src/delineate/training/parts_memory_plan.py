"""``--memory 8GB`` for systems whose own parts learn, as their table says: batch, precision, checkpointing remain.

What a network with such parts keeps for the way back follows no formula of its host. It is counted instead, on
a copy without numbers (torch's meta device): the tensors torch would save, with what is frozen frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.adapters.freeze import FreezePolicy
from delineate.adapters.slots import SlotContext
from delineate.models.sam import SamPrompts
from delineate.models.sam2_pictures import on_pictures
from delineate.predictors.clip_classes import ClipClassPredictor, prepared_gray_clip
from delineate.predictors.clip_volume import ClipVolumePredictor
from delineate.predictors.sam import SamPredictor
from delineate.training.activations import BLOCKS, forget_activations, kept_bytes
from delineate.training.class_finetune import ClassFinetune, policy_of
from delineate.training.finetune import Finetune, TrainedPart
from delineate.training.memory_plan import FP32, HALVED, OF_A_CPU, OF_A_GPU, Estimate, Plan, first_that_fits, smaller
from delineate.training.prompt_policies import SIMULATIONS

Unit = Callable[[Any], Tensor]  # a network's answer to one picture or clip of a batch
LOSSES = 4  # copies of the answer that losses keep


def planned_classes(predictor: ClipClassPredictor, recipe: ClassFinetune, memory: float) -> Plan[ClassFinetune]:
    """A recipe for systems that name what they see, fitted. Raises ModelError if nothing fits."""
    side, depth = predictor.network.shape.side, predictor.depth
    channels = 1 if predictor.prepare is prepared_gray_clip else 3

    def unit(network: Any) -> Tensor:
        logits = network.classify(torch.empty(depth, channels, side, side, device="meta"), depth)
        return F.interpolate(logits, size=(side, side), mode="bilinear")

    return _planned(predictor, recipe, recipe.whole, unit, memory)


def planned_pictures(predictor: SamPredictor, recipe: Finetune, memory: float) -> Plan[Finetune]:
    """The same for prompted systems, structures of one picture at a time."""
    answers = SIMULATIONS[recipe.prompts].rounds + 1
    return _planned(predictor, recipe, recipe.part is TrainedPart.ALL, _decoding(1, recipe.of_each, answers), memory)


def planned_slices(predictor: ClipVolumePredictor, recipe: Finetune, memory: float) -> Plan[Finetune]:
    """The same for clips of slices, all of which show the structure at most."""
    whole = recipe.part is TrainedPart.ALL
    return _planned(predictor.frames, recipe, whole, _decoding(predictor.depth, predictor.depth), memory)


def _decoding(depth: int, structures: int, answers: int = 1) -> Unit:
    def unit(network: Any) -> Tensor:
        side = network.shape.side
        embedding = network.embed(torch.empty(depth, 3, side, side, device="meta"), SlotContext(depth=depth))
        embedding = embedding[torch.arange(depth).repeat_interleave(structures // depth)]
        prompts = SamPrompts(boxes=torch.empty(structures, 4, device="meta"))
        logits = torch.cat([network.decode(embedding, prompts, False)[0] for _ in range(answers)])
        return F.interpolate(logits, size=(side, side), mode="bilinear")

    return unit


def _planned(predictor: Any, recipe: Any, whole: bool, unit: Unit, memory: float) -> Plan[Any]:
    policy = policy_of(predictor.record, whole)
    network, gpu = on_pictures(predictor.network), predictor.engine.device.type == "cuda"
    kept = kept_for(network, policy, unit)
    numbers = {name: p.numel() for name, p in network.host.named_parameters()}
    trained = sum(count for name, count in numbers.items() if policy.learns(name))

    def estimate(one: Any) -> Estimate:
        share = 1.0 if one.loop.precision == "fp32" else HALVED
        units = -(-one.batch // getattr(one, "of_each", 1))
        return Estimate(
            weights=FP32 * sum(numbers.values()),
            gradients=FP32 * trained,
            moments=2 * FP32 * trained,
            average=2 * FP32 * trained if one.loop.ema else 0,
            activations=units * kept[one.checkpointing] * share,
            device=OF_A_GPU if gpu else OF_A_CPU,
        )

    return first_that_fits(_candidates(recipe, gpu), estimate, memory)


def kept_for(network: nn.Module, policy: FreezePolicy, unit: Unit) -> dict[bool, float]:
    """Bytes a picture or clip keeps for the way back; under True with checkpointing: one block's, and inputs of all."""
    empty: Any = deepcopy(network).to("meta").train()
    policy.apply(empty.host)
    weights, answers = [*empty.parameters(), *empty.buffers()], list[Tensor]()

    def answer() -> Tensor:
        answers.append(unit(empty))
        return answers[-1]

    plain = kept_bytes(answer, weights)
    blocks = sum(isinstance(one, BLOCKS) for one in empty.host.vision_encoder.modules())
    forget_activations(empty.host.vision_encoder)
    again = kept_bytes(answer, weights)
    losses = LOSSES * FP32 * answers[0].numel()
    return {False: plain + losses, True: again + (plain - again) / max(1, blocks) + losses}


def _candidates(recipe: Any, gpu: bool) -> Iterator[tuple[Any, tuple[str, ...]]]:
    said: tuple[str, ...] = ()
    if gpu and recipe.loop.precision == "fp32":
        yield recipe, said
        recipe, said = replace(recipe, loop=replace(recipe.loop, precision="bf16")), ("bf16",)
    yield from smaller(recipe, said)
    yield from smaller(replace(recipe, checkpointing=True), (*said, "activations computed again"))
