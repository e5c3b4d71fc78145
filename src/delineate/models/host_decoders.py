"""The two-way mask decoder in place of what ``transformers`` has for SAM, SAM 2 and EdgeTAM."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers.models.edgetam_video import modeling_edgetam_video as edgetam
from transformers.models.sam import modeling_sam as sam
from transformers.models.sam2_video import modeling_sam2_video as sam2

from delineate.models.mask_decoder import (
    Doubling,
    Sam2Heads,
    SamHeads,
    TwoWayAttention,
    TwoWayBlock,
    TwoWayTransformer,
)


class SamTwoWayAttention(TwoWayAttention, sam.SamAttention):  # type: ignore[misc]
    @property
    def output(self) -> Any:
        return self.out_proj


class SamTwoWayBlock(TwoWayBlock, sam.SamTwoWayAttentionBlock): ...  # type: ignore[misc]


class SamTwoWayTransformer(TwoWayTransformer, sam.SamTwoWayTransformer): ...  # type: ignore[misc]


class SamDecoder(SamHeads, sam.SamMaskDecoder): ...  # type: ignore[misc]


class Sam2TwoWayAttention(TwoWayAttention, sam2.Sam2VideoAttention): ...  # type: ignore[misc]


class Sam2TwoWayBlock(TwoWayBlock, sam2.Sam2VideoTwoWayAttentionBlock): ...  # type: ignore[misc]


class Sam2TwoWayTransformer(TwoWayTransformer, sam2.Sam2VideoTwoWayTransformer): ...  # type: ignore[misc]


class Sam2Decoder(Sam2Heads, sam2.Sam2VideoMaskDecoder): ...  # type: ignore[misc]


class EdgeTamTwoWayAttention(TwoWayAttention, edgetam.EdgeTamVideoAttention): ...  # type: ignore[misc]


class EdgeTamTwoWayBlock(TwoWayBlock, edgetam.EdgeTamVideoTwoWayAttentionBlock): ...  # type: ignore[misc]


class EdgeTamTwoWayTransformer(TwoWayTransformer, edgetam.EdgeTamVideoTwoWayTransformer): ...  # type: ignore[misc]


class EdgeTamDecoder(Sam2Heads, edgetam.EdgeTamVideoMaskDecoder): ...  # type: ignore[misc]


DECODERS: dict[type[nn.Module], type[nn.Module]] = {
    nn.ConvTranspose2d: Doubling,
    sam.SamAttention: SamTwoWayAttention,
    sam.SamTwoWayAttentionBlock: SamTwoWayBlock,
    sam.SamTwoWayTransformer: SamTwoWayTransformer,
    sam.SamMaskDecoder: SamDecoder,
    sam2.Sam2VideoAttention: Sam2TwoWayAttention,
    sam2.Sam2VideoTwoWayAttentionBlock: Sam2TwoWayBlock,
    sam2.Sam2VideoTwoWayTransformer: Sam2TwoWayTransformer,
    sam2.Sam2VideoMaskDecoder: Sam2Decoder,
    edgetam.EdgeTamVideoAttention: EdgeTamTwoWayAttention,
    edgetam.EdgeTamVideoTwoWayAttentionBlock: EdgeTamTwoWayBlock,
    edgetam.EdgeTamVideoTwoWayTransformer: EdgeTamTwoWayTransformer,
    edgetam.EdgeTamVideoMaskDecoder: EdgeTamDecoder,
}
