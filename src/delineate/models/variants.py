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
