"""What a SAM 2-shaped network keeps for the way back through a clip: formulas by its shape.

Counted are numbers, not bytes. With maps of N = f² places of 256 channels, for one object on one frame: four layers
of attention to T memories keep 72 N C + 8 T N C, and 2 N C for all objects together; where layers drop out while
training, 84 N C more, and on a CPU, whose attention then writes its softmax out, 12 N² (1 + T).
An answer of the decoder keeps 22 N C and 115 000 of tokens; a memory 40 N C; SAM 2's loss 8 S² at S pixels.

Against what torch keeps on a CPU for whole clips (``kept_bytes``): tests/training/test_clip_memory.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from delineate.models.edge_tam import EdgeTam
from delineate.models.efficient_tam import TAM_SIZES, EfficientTam
from delineate.models.sam2 import HIERA_SIZES, Sam2
from delineate.training.activations import Kept, kept_bytes, of_hiera, of_vit

WIDTH = 256  # channels of the coarse map
LAYERS_OF_SAM2 = 4  # of memory attention, for which the figures below are
ATTENDING, OF_A_MEMORY, SHARED = 72.2, 8.25, 2.0  # maps of C channels: an object; each of its memories; all objects
DROPPED, WRITTEN_OUT = 84.4, 12.0  # of dropout: maps; softmax, its dropout and both multiplied, in four layers
DECODING, TOKENS = 22.1, 115_000.0  # of an answer: maps, numbers
REMEMBERING = 39.7  # maps
LOSS, LOSS_OF_ONE = 8.0, 3.0  # a pixel: SAM 2's loss of an answer at the input's size; losses of one outline
FINE, READY, COARSE = 20.0, 4.0, 1.0  # maps of a frame: fine ones before their projection, or kept behind it; coarse
MEASURED_SIDE = 256  # at which a convolutional encoder is measured


@dataclass(frozen=True)
class SequenceLoad:
    """How much of what a step does with one clip.

    frames    in it · objects on it
    followed  frames on which objects are looked for in memory
    memories  looked at on each of those, at most
    answers   of the decoder an object, corrections counted
    remembered  frames that become memories
    loss      numbers a pixel of the input that the loss of an answer keeps
    ready     embeddings are kept ready, so that nothing before the decoder is computed
    """

    frames: int
    objects: int
    followed: int
    memories: int
    answers: int
    remembered: int
    loss: float = LOSS
    ready: bool = False


@dataclass(frozen=True)
class SequenceActivations:
    """Numbers kept of a clip: in the image encoder, and behind it.

    again  the most that is computed again at a time, where activations are
    """

    encoder: float
    heads: float
    again: float = 0.0


def of_encoder(network: Sam2) -> Kept:
    """Of the image encoder for one frame; one without a formula (RepViT) is measured at a small size."""
    if isinstance(network, EfficientTam):
        return of_vit(network.tam.vit or TAM_SIZES[network.tam.size], network.side, fused=True)
    if isinstance(network, EdgeTam):
        return Kept((), (), _convolutional(network.host.vision_encoder) * network.side**2)
    return of_hiera(network.shape.hiera or HIERA_SIZES[network.shape.size], network.side)


def of_clip(
    network: Sam2, load: SequenceLoad, checkpointing: bool, dropout: bool, written_out: bool
) -> SequenceActivations:
    """Of a clip. ``dropout``: memory attention drops out; ``written_out``: and writes its softmax (on a CPU)."""
    places = float(network.shape.cells**2)
    coarse = places * WIDTH
    share = len(network.host.memory_attention.layers) / LAYERS_OF_SAM2
    memories = load.memories * _share_of_a_map(network)
    attending = ATTENDING + OF_A_MEMORY * memories + (DROPPED if dropout else 0.0)
    softmax = WRITTEN_OUT * places**2 * (1 + memories) if dropout and written_out else 0.0
    attention = (load.objects * (attending * coarse + softmax) + SHARED * coarse) * share
    answer = load.objects * (DECODING * coarse + TOKENS)
    loss = load.objects * network.side**2 * load.loss
    memory = load.objects * REMEMBERING * coarse
    fine = 0.0 if isinstance(network, EfficientTam) else READY if load.ready else FINE
    maps = load.frames * coarse * (COARSE + fine)
    encoder = of_encoder(network)
    if not checkpointing:
        heads = load.followed * attention + load.answers * (answer + loss) + load.remembered * memory
        return SequenceActivations(load.frames * encoder.total(checkpointing=False), maps + heads)
    inputs = load.objects * coarse
    kept = load.followed * inputs * (4 * share + 1 + memories / 4) + load.answers * (
        inputs + load.objects * network.side**2 / 4
    )
    again = max(attention / (4 * share), answer + loss, memory, max(encoder.blocks, default=0.0))
    around = load.frames * (sum(encoder.inputs) + encoder.others)
    return SequenceActivations(around, maps + kept + load.remembered * 2 * inputs, again)


def _share_of_a_map(network: Sam2) -> float:
    """Tokens of a memory in places of a map."""
    return 512 / network.shape.cells**2 if isinstance(network, EdgeTam) else 1.0


def _convolutional(encoder: nn.Module) -> float:
    """Numbers a pixel that an encoder without attention keeps; measured, because they grow with the picture's area."""
    pixels = torch.zeros(1, 3, MEASURED_SIDE, MEASURED_SIDE, device=next(encoder.parameters()).device)
    training = encoder.training
    encoder.eval()

    def maps() -> torch.Tensor:
        return torch.stack([level.mean() for level in encoder(pixels).fpn_hidden_states]).sum()

    with torch.enable_grad():
        kept = kept_bytes(maps, [*encoder.parameters(), *encoder.buffers()]) / 4
    encoder.train(training)
    return kept / MEASURED_SIDE**2
