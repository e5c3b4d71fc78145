"""``--memory 8GB`` for systems of SAM 2's shape: what a clip keeps, and what is changed to make it fit.

What a clip keeps is in ``sequence_activations``; the rest is as for SAM's shape (``memory_plan``). Only the image
encoder is computed in half precision; attention to memories and answers stay in fp32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from delineate.memory.policies import FrameWindow
from delineate.models.sam2 import Sam2
from delineate.training.encoder_adapters import AdapterOptions
from delineate.training.layer_rates import Sam2Part, part_of
from delineate.training.losses import DecodingLoss
from delineate.training.memory_plan import (
    FP32,
    HALVED,
    OF_A_CPU,
    OF_A_GPU,
    Estimate,
    Plan,
    adapter_parameters,
    first_that_fits,
)
from delineate.training.sam2_objective import Compared, Sam2Finetune
from delineate.training.sequence_activations import LOSS, LOSS_OF_ONE, SequenceActivations, SequenceLoad, of_clip

SHORTEST = 4  # frames of a clip, when it is made shorter
Changed = tuple[Sam2Finetune, tuple[str, ...]]


def load_of(recipe: Sam2Finetune) -> SequenceLoad:
    """The most that a step does with one clip."""
    frames, prompting = recipe.clips.frames, recipe.prompting
    corrections = min(prompting.corrected, frames) * prompting.clicks
    loss = LOSS if recipe.loss is DecodingLoss.SAM2 else LOSS_OF_ONE
    if recipe.loss is not DecodingLoss.SAM2 and recipe.compared is Compared.LOGITS:
        loss /= 16  # a quarter of the input along a side
    if recipe.others:
        return SequenceLoad(1, recipe.clips.objects, 1, recipe.others, 1 + corrections, 0, loss, recipe.keep)
    policy = recipe.policy
    most = policy.length if isinstance(policy, FrameWindow) else frames
    seen = [min(n, most) for n in range(1, frames)]
    mean = -(-sum(seen) // len(seen)) if seen else 0
    return SequenceLoad(
        frames, recipe.clips.objects, frames - 1, mean, frames + corrections, frames - 1, loss, recipe.keep
    )


def estimated_sequences(network: Sam2, recipe: Sam2Finetune, gpu: bool) -> Estimate:
    """What a recipe needs with a network that has no adapters yet."""
    sizes: dict[Sam2Part, int] = dict.fromkeys(Sam2Part, 0)
    for name, parameter in network.host.named_parameters():
        sizes[part_of(name)] += parameter.numel()
    everything = sum(sizes.values())
    if recipe.adapter is not None:
        sizes[Sam2Part.ENCODER] = adapter_parameters(network.host.vision_encoder, recipe.adapter)
    trained = sum(sizes[part] for part in recipe.parts)
    return Estimate(
        weights=everything * FP32,
        gradients=trained * FP32,
        moments=2 * trained * FP32,
        average=2 * trained * FP32 if recipe.loop.ema else 0,
        activations=activations(network, recipe, written_out=not gpu),
        device=OF_A_GPU if gpu else OF_A_CPU,
    )


def activations(network: Sam2, recipe: Sam2Finetune, written_out: bool) -> float:
    """Bytes that a step keeps for the way back; ``written_out``: attention that drops out keeps its softmax (CPU)."""
    kept: SequenceActivations = of_clip(
        network, load_of(recipe), recipe.checkpointing, dropout=True, written_out=written_out
    )
    share = 1.0 if recipe.loop.precision == "fp32" else HALVED
    encoder = kept.encoder * share if Sam2Part.ENCODER in recipe.parts else 0.0
    return (recipe.batch * (encoder + kept.heads) + kept.again) * FP32


def planned_sequences(network: Sam2, recipe: Sam2Finetune, memory: float, gpu: bool) -> Plan[Sam2Finetune]:
    """The recipe with as few changes as make it fit into ``memory`` bytes.

    In this order: bf16 (on a GPU), smaller batches gathered over several passes, activations computed again, fewer
    objects, clips of four frames, adapters of rank 8 instead of the image encoder, the mask decoder alone. Raises
    ModelError if nothing fits.
    """
    return first_that_fits(_candidates(recipe, gpu), lambda one: estimated_sequences(network, one, gpu), memory)


def _candidates(recipe: Sam2Finetune, gpu: bool) -> Iterator[Changed]:
    learning: list[Changed] = [(recipe, ())]
    if Sam2Part.ENCODER in recipe.parts and recipe.adapter is None:
        adapted = replace(recipe, adapter=AdapterOptions())
        learning.append((adapted, ("adapters of rank 8 instead of the whole encoder",)))
    if recipe.parts != (Sam2Part.DECODER,):
        learning.append((replace(recipe, adapter=None, parts=(Sam2Part.DECODER,)), ("the mask decoder alone",)))
    for part, said in learning:
        for lighter, changes in _lighter(part, said, gpu):
            yield from _fewer(lighter, changes)
        yield from _shorter(lighter, changes)


def _lighter(recipe: Sam2Finetune, said: tuple[str, ...], gpu: bool) -> Iterator[Changed]:
    """As it is; in bf16; with activations computed again."""
    if gpu and recipe.loop.precision == "fp32" and Sam2Part.ENCODER in recipe.parts:
        yield recipe, said
        recipe, said = replace(recipe, loop=replace(recipe.loop, precision="bf16")), (*said, "bf16")
    yield recipe, said
    if not recipe.checkpointing:
        yield replace(recipe, checkpointing=True), (*said, "activations computed again")


def _fewer(recipe: Sam2Finetune, said: tuple[str, ...]) -> Iterator[Changed]:
    """With batches that get smaller, the clips a step staying about the same."""
    wanted = recipe.batch * recipe.loop.accumulate
    yield recipe, said
    batch = recipe.batch
    while batch > 1:
        batch //= 2
        passes = -(-wanted // batch)
        loop = replace(recipe.loop, accumulate=passes)
        yield replace(recipe, batch=batch, loop=loop), (*said, f"batch {batch} in {passes} passes")


def _shorter(recipe: Sam2Finetune, said: tuple[str, ...]) -> Iterator[Changed]:
    """With one clip at a time, fewer objects in it, and then fewer frames."""
    *_, (fewest, changes) = _fewer(recipe, said)
    clips = recipe.clips
    for objects in range(clips.objects - 1, 0, -1):
        least = replace(clips, objects=objects)
        yield replace(fewest, clips=least), (*changes, f"objects {objects} of {clips.objects}")
    if clips.frames > SHORTEST:
        short = replace(clips, objects=1, frames=SHORTEST)
        fewer = f"objects 1 of {clips.objects}, frames {SHORTEST} of {clips.frames}"
        yield replace(fewest, clips=short), (*changes, fewer)
