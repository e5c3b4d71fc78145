"""The authors' names for a SAM-shaped network's weights: the map of ``checkpoints.key_maps``, backwards."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

HEADS = "output_hypernetworks_mlps\\.\\d+|iou_prediction_head"
BACK = (
    (r"^vision_encoder\.layers\.(\d+)\.layer_norm(\d)\.", r"image_encoder.blocks.\1.norm\2."),
    (r"^vision_encoder\.layers\.", "image_encoder.blocks."),
    (r"^vision_encoder\.patch_embed\.projection\.", "image_encoder.patch_embed.proj."),
    (r"^vision_encoder\.neck\.conv1\.", "image_encoder.neck.0."),
    (r"^vision_encoder\.neck\.layer_norm1\.", "image_encoder.neck.1."),
    (r"^vision_encoder\.neck\.conv2\.", "image_encoder.neck.2."),
    (r"^vision_encoder\.neck\.layer_norm2\.", "image_encoder.neck.3."),
    (r"^vision_encoder\.", "image_encoder."),
    (r"^prompt_encoder\.shared_embedding\.positional_embedding",
     "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    (r"^prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
    (r"mask_embed\.conv1\.", "mask_downscaling.0."), (r"mask_embed\.layer_norm1\.", "mask_downscaling.1."),
    (r"mask_embed\.conv2\.", "mask_downscaling.3."), (r"mask_embed\.layer_norm2\.", "mask_downscaling.4."),
    (r"mask_embed\.conv3\.", "mask_downscaling.6."),
    (r"transformer\.layer_norm_final_attn\.", "transformer.norm_final_attn."),
    (r"(transformer\.layers\.\d)\.layer_norm(\d)\.", r"\1.norm\2."),
    (r"mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
    (r"mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
    (r"mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
    (rf"({HEADS})\.layers\.0\.", r"\1.layers.1."), (rf"({HEADS})\.proj_in\.", r"\1.layers.0."),
    (rf"({HEADS})\.proj_out\.", r"\1.layers.2."),
)  # fmt: skip


def native_names(hosted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a SAM with a plain ViT as the authors name them."""
    native = {}
    for key, value in hosted.items():
        if key.startswith("shared_image_embedding"):
            continue
        for pattern, replacement in BACK:
            key = re.sub(pattern, replacement, key)
        native[key] = value
    return native
