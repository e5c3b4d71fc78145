"""EdgeTAM: SAM 2 with RepViT, two layers of memory attention, and memories squeezed into 512 tokens.

Zhou et al., arXiv 2501.07256: the 2D spatial perceiver keeps 256 tokens that see the whole map and 256 that each see
one window of it, so that attention to memories costs an eighth.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import EdgeTamVideoConfig, EdgeTamVideoModel, Sam2VisionConfig
from transformers.models.edgetam_video.configuration_edgetam_video import (
    EdgeTamVideoMaskDecoderConfig,
    EdgeTamVideoPromptEncoderConfig,
)
from transformers.models.sam2.modeling_sam2 import Sam2VisionNeck

from delineate.adapters.slots import NO_CONTEXT, SlotContext
from delineate.models.rep_vit import RepViT, RepViTConfig
from delineate.models.sam2 import HieraSize, Sam2, Sam2Maps, Sam2Shape, Sam2Version, vision_config

PLACEHOLDER = HieraSize(8, 1, (1, 1, 1, 1), (2,), (8, 4, 8, 4))  # built by the host, then replaced


@dataclass(frozen=True)
class EdgeTamShape:
    """side: pixels along a side of the input, a multiple of 256 (each window token needs a whole window)."""

    side: int = 1024
    backbone: RepViTConfig = field(default_factory=RepViTConfig)


@dataclass(frozen=True, eq=False)
class Pyramid:
    """What the host calls the answer of a vision encoder: maps and their positions, fine to coarse."""

    fpn_hidden_states: tuple[Tensor, ...]
    fpn_position_encoding: tuple[Tensor, ...]


class RepViTEncoder(nn.Module):
    """RepViT and SAM 2's feature pyramid: pixels (1, 3, S, S) -> maps at strides 4, 8, 16."""

    def __init__(self, backbone: RepViTConfig, config: Sam2VisionConfig) -> None:
        super().__init__()
        self.backbone = RepViT(backbone)
        self.neck = Sam2VisionNeck(config)

    def forward(self, pixels: Tensor, context: SlotContext = NO_CONTEXT) -> Pyramid:
        """``context`` is for adapters, of which convolutions have none."""
        maps, places = self.neck([m.permute(0, 2, 3, 1) for m in self.backbone(pixels)])
        return Pyramid(tuple(maps[-3:][::-1]), tuple(places[-3:][::-1]))


class EdgeTam(Sam2):
    """A SAM 2 whose memories are 512 tokens."""

    def __init__(self, shape: EdgeTamShape | None = None) -> None:
        shape = shape or EdgeTamShape()
        sam2 = Sam2Shape(version=Sam2Version.V2_0, side=shape.side, hiera=PLACEHOLDER)
        f = sam2.cells
        host = EdgeTamVideoModel(
            EdgeTamVideoConfig(
                vision_config=vision_config(sam2),
                prompt_encoder_config=EdgeTamVideoPromptEncoderConfig(image_size=shape.side),
                mask_decoder_config=EdgeTamVideoMaskDecoderConfig(),
                image_size=shape.side,
                memory_attention_rope_feat_sizes=[f, f],
                memory_attention_rope_k_sizes=[16, 16],
                enable_occlusion_spatial_embedding=False,
                enable_temporal_pos_encoding_for_object_pointers=False,
            )
        )
        neck = vision_config(sam2)
        neck.backbone_channel_list = list(reversed(shape.backbone.widths))
        host.vision_encoder = RepViTEncoder(shape.backbone, neck)
        super().__init__(sam2, host)

    def _attention_options(self, frames: int) -> dict[str, int]:
        return {"num_spatial_memory_tokens": frames}

    def _compressed(self, memory: Tensor) -> Tensor:
        return self._squeezed(memory)[0]

    def memory_places(self, maps: Sam2Maps) -> Tensor:
        f, device = maps.coarse.shape[-1], maps.coarse.device

        def made() -> Tensor:
            return self._squeezed(torch.zeros(1, 64, f, f, device=device))[1][0].clone()

        return self._memory_cells.get(made, *self.host.spatial_perceiver.parameters(), key=(f, device))

    def _squeezed(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (O, 64, f, f) as tokens (O, 512, 64), and their places; the host takes one object at a time."""
        squeezed = [self._squeezed_one(one) for one in memory.split(1)]
        return torch.cat([tokens for tokens, _ in squeezed]), torch.cat([places for _, places in squeezed])

    def _squeezed_one(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        places = self.host.memory_encoder.position_encoding(memory.shape, memory.device, memory.dtype)
        return self.host.spatial_perceiver(memory, places)
