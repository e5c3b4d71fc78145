"""Names of weights in published DINOv2 and DINOv3 checkpoints, as the host library calls them in memory.

Known are the layouts of the authors' hub and training code, and those of files for ``transformers``. Fused projections
are split; what was learned by LoRA beside a layer (DINOv2-SSL) is added to the layer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from delineate.checkpoints.key_maps import Rules, renamed
from delineate.core.errors import ModelError
from delineate.models.dino_shapes import DinoShape

if TYPE_CHECKING:
    from torch import Tensor

    from delineate.checkpoints.reading import Weights

_WRAPPERS: Final = (
    "vision_encoder.",
    "host.",
    "teacher.",
    "student.",
    "backbone.",
    "encoder.",
)  # of training code and of systems built on top
_DROPPED: Final = ("dino_head.", "ibot_head.", "rope_embed.", "local_cls_norm.")
DINOV2: Final[Rules] = (
    (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),  # blocks in chunks, as they are trained
    (r"^(cls_token|mask_token|register_tokens)$", r"embeddings.\1"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^blocks\.(\d+)\.attn\.proj\.", r"encoder.layer.\1.attention.o_proj."),
    (r"^blocks\.(\d+)\.attn\.", r"encoder.layer.\1.attention."),
    (r"^blocks\.(\d+)\.ls(\d)\.gamma$", r"encoder.layer.\1.layer_scale\2.lambda1"),
    (r"^blocks\.(\d+)\.mlp\.w3\.", r"encoder.layer.\1.mlp.down_proj."),
    (r"^blocks\.", "encoder.layer."),
    (r"^norm\.", "layernorm."),
    (r"\.attention\.attention\.(q|k|v)(?:uery|ey|alue)\.", r".attention.\1_proj."),  # files for transformers
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.mlp\.weights_in\.", ".mlp.w12."),
    (r"\.mlp\.weights_out\.", ".mlp.down_proj."),
)
DINOV3: Final[Rules] = (
    (r"^(cls_token|mask_token)$", r"embeddings.\1"),
    (r"^storage_tokens$", "embeddings.register_tokens"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings."),
    (r"^blocks\.(\d+)\.attn\.proj\.", r"model.layer.\1.attention.o_proj."),
    (r"^blocks\.(\d+)\.attn\.", r"model.layer.\1.attention."),
    (r"^blocks\.(\d+)\.ls(\d)\.gamma$", r"model.layer.\1.layer_scale\2.lambda1"),
    (r"^blocks\.(\d+)\.mlp\.(?:fc1|w2)\.", r"model.layer.\1.mlp.up_proj."),
    (r"^blocks\.(\d+)\.mlp\.(?:fc2|w3)\.", r"model.layer.\1.mlp.down_proj."),
    (r"^blocks\.(\d+)\.mlp\.w1\.", r"model.layer.\1.mlp.gate_proj."),
    (r"^blocks\.", "model.layer."),
    (r"^layer\.", "model.layer."),  # files for transformers
)
_PATCHES: Final = "embeddings.patch_embeddings.projection.weight"
HEAD: Final = 64  # channels of a head in all published sizes
_FUSED: Final = {
    ".attention.qkv.": (".attention.q_proj.", ".attention.k_proj.", ".attention.v_proj."),
    ".mlp.w12.": (".mlp.gate_proj.", ".mlp.up_proj."),
}


def dinov2_weights(native: Weights) -> Weights:
    """DINOv2 files, with or without registers, of the hub, of training, of DINOv2-SSL or of ``transformers``."""
    return _split(renamed(_unwrapped(native), DINOV2, _DROPPED))


def dinov3_weights(native: Weights) -> Weights:
    """DINOv3 files of the authors or of ``transformers``; keys have no bias."""
    named = _split(renamed(_unwrapped(native), DINOV3, _DROPPED))
    token = named.get("embeddings.mask_token")
    if token is not None and token.ndim == 2:
        named["embeddings.mask_token"] = token[None]
    return {
        k: v for k, v in named.items() if not k.endswith((".k_proj.bias", ".bias_mask", "rope_embeddings.inv_freq"))
    }


def dino_weights(native: Weights, rotary: bool) -> Weights:
    """Files of DINOv2, or of DINOv3, whose positions are rotary."""
    return dinov3_weights(native) if rotary else dinov2_weights(native)


def dino_shape(native: Weights) -> DinoShape:
    """The size of the network that a file's arrays are of.

    Raises ModelError where they are no DINOv2's and no DINOv3's.
    """
    from delineate.models.dino import DINO_SHAPES

    rotary = not any(key.endswith(("pos_embed", "position_embeddings")) for key in native)
    named = dino_weights(native, rotary)
    sizes = {key: tuple(value.shape) for key, value in named.items()}
    patches = sizes.get("embeddings.patch_embeddings.weight" if rotary else _PATCHES, ())
    token = sizes.get("embeddings.cls_token", ())
    blocks = {int(found[1]) for key in sizes if (found := re.match(r"(?:encoder|model)\.layer\.(\d+)\.", key))}
    if len(patches) != 4 or len(token) != 3 or not blocks:
        raise ModelError("E-MODEL-KEYS", "The file holds no DINOv2 and no DINOv3.", "Is it this system's?")
    width, depth = token[-1], max(blocks) + 1
    heads = next((one.heads for one in DINO_SHAPES.values() if (one.width, one.depth) == (width, depth)), 0)
    table = sizes.get("embeddings.position_embeddings", (1, 1, 0))
    cells = round((table[1] - 1) ** 0.5) if len(table) == 3 else 0
    block = "model.layer.0.mlp" if rotary else "encoder.layer.0.mlp"
    return DinoShape(
        width,
        depth,
        heads or max(width // HEAD, 1),
        patches[-1],
        sizes.get("embeddings.register_tokens", (1, 0, 0))[1],
        f"{block}.gate_proj.weight" in sizes,
        rotary,
        sizes.get(f"{block}.up_proj.weight", (0,))[0] if rotary else 0,
        cells * patches[-1],
    )


def _unwrapped(native: Weights) -> Weights:
    """Without the names of what the encoder was part of, and with low-rank matrices added to their layers."""
    found = native
    for wrapper in _WRAPPERS:
        inner = {key.removeprefix(wrapper): value for key, value in found.items() if key.startswith(wrapper)}
        if not any(key.startswith("layer.") for key in inner):  # transformers calls a part of it encoder, too
            found = inner or found
    return with_lora(found)


def with_lora(weights: Weights, scale: float = 1.0) -> Weights:
    """Layers with what LoRA learned beside them: ``NAME.linear`` + scale x ``NAME.lora_up`` x ``NAME.lora_down``.

    Raises ModelError where one of the two matrices is missing or does not fit.
    """
    merged: Weights = {}
    for key, value in weights.items():
        if re.search(r"\.lora_(up|down)\.", key):
            continue
        layer, inner, kind = key.rpartition(".linear.")
        if not inner:
            merged[key] = value
            continue
        matrices = [weights.get(f"{layer}.lora_{part}.weight") for part in ("up", "down")]
        merged[f"{layer}.{kind}"] = value if kind == "bias" else _added(layer, value, matrices, scale)
    return merged


def _added(layer: str, weight: Tensor, matrices: list[Tensor | None], scale: float) -> Tensor:
    up, down = matrices
    fits = up is not None and down is not None and up.ndim == down.ndim == 2 and up.shape[1] == down.shape[0]
    if not fits or (up.shape[0], down.shape[1]) != tuple(weight.shape):  # type: ignore[union-attr]
        raise ModelError(
            "E-MODEL-KEYS", f"The low-rank matrices of {layer} are missing or do not fit.", "Is the file complete?"
        )
    return weight + scale * (up @ down)  # type: ignore[operator]


def _split(named: Weights) -> Weights:
    """Fused projections as the host has them, one a name; what cannot be split keeps its name, and is told so."""
    split: Weights = {}
    for key, value in named.items():
        fused, parts = next(((f, p) for f, p in _FUSED.items() if f in key), ("", ()))
        if parts and value.ndim and len(value) % len(parts) == 0:
            split |= {
                key.replace(fused, part): piece for part, piece in zip(parts, value.chunk(len(parts)), strict=True)
            }
        else:
            split[key] = value
    return split
