"""Which class of ``transformers`` becomes which of ours: lean, open to adapters, and with one forward.

An object's class is changed in place, so that parameters and their names stay. Our classes compute the same, up to
rounding, in training, in use and when traced, and call every module of the host that holds weights; so what is put into
a slot, put in a module's place or hooked onto one is there in all three. tests/models compares each with its host.
"""

from __future__ import annotations

from torch import nn
from transformers.models.sam import modeling_sam as sam
from transformers.models.sam2 import modeling_sam2 as sam2

from delineate.models.derived import Derived
from delineate.models.hiera import (
    HieraAttention,
    HieraBlock,
    HieraEncoder,
    HieraFeedForward,
    HieraNeck,
    HieraStages,
)
from delineate.models.host_decoders import DECODERS
from delineate.models.linear import Linear
from delineate.models.memory_attention import MEMORIES
from delineate.models.vit import VitBlock, VitEncoder, VitFeedForward
from delineate.models.vit_attention import VitAttention

HOSTS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: Linear,
    sam.SamMLPBlock: VitFeedForward,
    sam.SamVisionAttention: VitAttention,
    sam.SamVisionSdpaAttention: VitAttention,
    sam.SamVisionLayer: VitBlock,
    sam.SamVisionEncoder: VitEncoder,
    sam2.Sam2MultiScaleAttention: HieraAttention,
    sam2.Sam2FeedForward: HieraFeedForward,
    sam2.Sam2MultiScaleBlock: HieraBlock,
    sam2.Sam2HieraDetModel: HieraStages,
    sam2.Sam2VisionNeck: HieraNeck,
    sam2.Sam2VisionModel: HieraEncoder,
    **DECODERS,
    **MEMORIES,
}


def open_host(network: nn.Module) -> None:
    """Give every module of a network that is in the table its class of ours."""
    for module in network.modules():
        ours = HOSTS.get(type(module))
        if ours is not None:
            module.__class__ = ours
            module.kept = Derived()  # type: ignore[assignment]
