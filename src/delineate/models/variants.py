"""Names of the published sizes and variants of the networks. Free of torch, so that tables can use them."""

from __future__ import annotations

from enum import StrEnum


class SamEncoder(StrEnum):
    """Image encoders of SAM's shape."""

    VIT_B = "vit_b"
    VIT_L = "vit_l"
    VIT_H = "vit_h"
    TINY_VIT = "tiny_vit"  # of MobileSAM
    TINY_VIT_LITE = "tiny_vit_lite"  # of LiteMedSAM
    TINY_VIT_NARROW = "tiny_vit_narrow"  # the same of half the width, to be distilled into


class Sam2Family(StrEnum):
    """Networks with SAM 2's memory."""

    SAM2 = "sam2"
    EFFICIENT_TAM = "efficient_tam"
    EDGE_TAM = "edge_tam"


class Sam2Size(StrEnum):
    """Hiera image encoders of SAM 2."""

    TINY = "tiny"
    SMALL = "small"
    BASE_PLUS = "base_plus"
    LARGE = "large"


class Sam2Version(StrEnum):
    """Releases of SAM 2."""

    V2_0 = "2.0"
    V2_1 = "2.1"  # adds an embedding for hidden objects and times for object pointers


class TamSize(StrEnum):
    """ViT image encoders of EfficientTAM."""

    TINY = "ti"
    SMALL = "s"


class CrossAttention(StrEnum):
    """EfficientTAM's attention to memories."""

    FULL = "full"
    POOLED_1 = "1"  # scores of pooled positions are raised
    POOLED_2 = "2"  # pooled keys are raised


class Pruning(StrEnum):
    """Surgical SAM 2's rules of efficient frame pruning."""

    V1 = "v1"  # the 2024 snapshot, on SAM 2.0
    V2 = "v2"  # the 2025 release, on SAM 2.1


class DinoVariant(StrEnum):
    """Published DINOv2 and DINOv3 vision transformers, named as their authors' hub names them."""

    V2_S = "dinov2_vits14"
    V2_B = "dinov2_vitb14"
    V2_L = "dinov2_vitl14"
    V2_G = "dinov2_vitg14"
    V2_S_REG = "dinov2_vits14_reg"  # with four register tokens
    V2_B_REG = "dinov2_vitb14_reg"
    V2_L_REG = "dinov2_vitl14_reg"
    V2_G_REG = "dinov2_vitg14_reg"
    V3_S = "dinov3_vits16"
    V3_S_PLUS = "dinov3_vits16plus"
    V3_B = "dinov3_vitb16"
    V3_L = "dinov3_vitl16"
    V3_H_PLUS = "dinov3_vith16plus"


class PositionInterpolation(StrEnum):
    """How DINOv2's table of positions is resized to a picture's grid."""

    OFFSET = "offset_0.1"  # by the factor (cells + 0.1) / 37, as its authors do where there are no registers
    EXACT = "exact_size"  # to the grid's size, as ``transformers`` does
