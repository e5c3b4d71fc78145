"""Names of MA-SAM's published files, and of those that follow them (MediViSTA 2025): FacT, adapters, decoder.

A file holds ``q_FacTs_000`` and ``v_FacTs_000`` by block, ``FacTu`` and ``FacTv``, the two adapters of a block, and
SAM's own prompt encoder and mask decoder, the latter with two more steps of enlarging.
"""

from __future__ import annotations

import re
from typing import Final

from delineate.checkpoints.key_maps import Rules, renamed, sam_weights
from delineate.checkpoints.reading import Weights

FACTORS: Final[Rules] = (
    (r"^(?:image_encoder\.)?FacTu(?:\.weight)?$", "vision_encoder.factors.down.weight"),
    (r"^(?:image_encoder\.)?FacTv(?:\.weight)?$", "vision_encoder.factors.up.weight"),
    (r"^image_encoder\.blocks\.(\d+)\.adapter1\.", r"vision_encoder.layers.\1.before."),
    (r"^image_encoder\.blocks\.(\d+)\.adapter2\.", r"vision_encoder.layers.\1.between."),
)
ADAPTER: Final[Rules] = (
    (r"(\.(?:before|between))\.(?:norm|adapter_norm)\.", r"\1.norm."),
    (r"(\.(?:before|between))\.(?:linear1|adapter_linear_down)\.", r"\1.down."),
    (r"(\.(?:before|between))\.(?:conv|adapter_conv)\.", r"\1.conv."),
    (r"(\.(?:before|between))\.(?:linear2|adapter_linear_up)\.", r"\1.up."),
)
UPSCALING: Final[Rules] = (
    (r"^mask_decoder\.output_upscaling\.4\.", "mask_decoder.upscale_layer_norm2."),
    (r"^mask_decoder\.output_upscaling\.6\.", "mask_decoder.upscale_conv3."),
    (r"^mask_decoder\.output_upscaling\.7\.", "mask_decoder.upscale_layer_norm3."),
    (r"^mask_decoder\.output_upscaling\.9\.", "mask_decoder.upscale_conv4."),
)


def fact_names(native: Weights) -> Weights:
    """Published names to the network's; numbers of blocks are those of the names' last digits."""
    named: Weights = {}
    for key, value in native.items():
        if found := re.match(r"^([qv])_FacTs_(\d+)(?:\.weight)?$", key):
            part = "query" if found[1] == "q" else "value"
            named[f"vision_encoder.layers.{int(found[2])}.attn.qkv.delta.{part}.core.weight"] = value
        else:
            named[key] = value
    return sam_weights(renamed(named, (*FACTORS, *ADAPTER, *UPSCALING)))
