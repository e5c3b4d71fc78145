"""Names of weights in published checkpoints, as the host library calls them.

Each map is a table of (pattern, replacement), applied in order. Only concatenations and splits that a layout needs
are done beside it; no array is transposed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

    from delineate.checkpoints.reading import Weights
    from delineate.models.deeplab import DeepLabShape
from delineate.core.errors import ModelError

Array = TypeVar("Array")  # a tensor, or numpy's array
Rules = tuple[tuple[str, str], ...]

_MLP_HEADS: Final[Rules] = (
    (r"(output_hypernetworks_mlps\.\d+|iou_prediction_head|pred_obj_score_head)\.layers\.0\.", r"\1.proj_in."),
    (r"(output_hypernetworks_mlps\.\d+|iou_prediction_head|pred_obj_score_head)\.layers\.1\.", r"\1.layers.0."),
    (r"(output_hypernetworks_mlps\.\d+|iou_prediction_head|pred_obj_score_head)\.layers\.2\.", r"\1.proj_out."),
)
_PROMPT_ENCODER: Final[Rules] = (
    (r"prompt_encoder\.mask_downscaling\.0\.", "prompt_encoder.mask_embed.conv1."),
    (r"prompt_encoder\.mask_downscaling\.1\.", "prompt_encoder.mask_embed.layer_norm1."),
    (r"prompt_encoder\.mask_downscaling\.3\.", "prompt_encoder.mask_embed.conv2."),
    (r"prompt_encoder\.mask_downscaling\.4\.", "prompt_encoder.mask_embed.layer_norm2."),
    (r"prompt_encoder\.mask_downscaling\.6\.", "prompt_encoder.mask_embed.conv3."),
)
_DECODER: Final[Rules] = (
    (r"mask_decoder\.transformer\.layers\.(\d+)\.norm(\d)\.", r"mask_decoder.transformer.layers.\1.layer_norm\2."),
    (r"transformer\.norm_final_attn\.", "transformer.layer_norm_final_attn."),
    (r"mask_decoder\.output_upscaling\.0\.", "mask_decoder.upscale_conv1."),
    (r"mask_decoder\.output_upscaling\.1\.", "mask_decoder.upscale_layer_norm."),
    (r"mask_decoder\.output_upscaling\.3\.", "mask_decoder.upscale_conv2."),
    *_MLP_HEADS,
)
TEXT_TOWER: Final = "prompt_encoder.text_encoder.text_model."
_POSITION = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"

VIT: Final[Rules] = (
    (r"^image_encoder\.patch_embed\.proj\.", "vision_encoder.patch_embed.projection."),
    (r"^image_encoder\.pos_embed", "vision_encoder.pos_embed"),
    (r"^image_encoder\.blocks\.(\d+)\.norm(\d)\.", r"vision_encoder.layers.\1.layer_norm\2."),
    (r"^image_encoder\.blocks\.(\d+)\.Adapter\.", r"vision_encoder.layers.\1.mlp_parallel."),
    (r"^image_encoder\.blocks\.", "vision_encoder.layers."),
    (r"^image_encoder\.neck\.0\.", "vision_encoder.neck.conv1."),
    (r"^image_encoder\.neck\.1\.", "vision_encoder.neck.layer_norm1."),
    (r"^image_encoder\.neck\.2\.", "vision_encoder.neck.conv2."),
    (r"^image_encoder\.neck\.3\.", "vision_encoder.neck.layer_norm2."),
)
TINY_VIT: Final[Rules] = ((r"^image_encoder\.", "vision_encoder."),)
SAM_HEADS: Final[Rules] = (
    (r"^prompt_encoder\.point_embeddings\.", "prompt_encoder.point_embed."),
    *_PROMPT_ENCODER,
    *_DECODER,
)
HIERA: Final[Rules] = (
    (r"^image_encoder\.trunk\.patch_embed\.proj\.", "vision_encoder.backbone.patch_embed.projection."),
    (r"^image_encoder\.trunk\.blocks\.(\d+)\.norm(\d)\.", r"vision_encoder.backbone.blocks.\1.layer_norm\2."),
    (r"^image_encoder\.trunk\.blocks\.(\d+)\.mlp\.layers\.0\.", r"vision_encoder.backbone.blocks.\1.mlp.proj_in."),
    (r"^image_encoder\.trunk\.blocks\.(\d+)\.mlp\.layers\.1\.", r"vision_encoder.backbone.blocks.\1.mlp.proj_out."),
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d)\.conv\.", r"vision_encoder.neck.convs.\1."),
)
SAM2_HEADS: Final[Rules] = (
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    *_PROMPT_ENCODER,
    *_DECODER,
    (r"^(mask_decoder\.transformer\..*)\.out_proj\.", r"\1.o_proj."),
    (r"^(mask_decoder\.transformer\.layers\.\d+\.mlp)\.layers\.0\.", r"\1.proj_in."),
    (r"^(mask_decoder\.transformer\.layers\.\d+\.mlp)\.layers\.1\.", r"\1.proj_out."),
)
MEMORY: Final[Rules] = (
    (r"^obj_ptr_proj\.layers\.0\.", "object_pointer_proj.proj_in."),
    (r"^obj_ptr_proj\.layers\.1\.", "object_pointer_proj.layers.0."),
    (r"^obj_ptr_proj\.layers\.2\.", "object_pointer_proj.proj_out."),
    (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
    (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
    (r"^no_obj_ptr$", "no_object_pointer"),
    (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
    (r"^memory_attention\.layers\.(\d+)\.norm(\d)\.", r"memory_attention.layers.\1.layer_norm\2."),
    (r"^(memory_attention\.layers\.\d+\.\w+)\.out_proj\.", r"\1.o_proj."),
    (r"^memory_attention\.norm\.", "memory_attention.layer_norm."),
    (r"^memory_encoder\.pix_feat_proj\.", "memory_encoder.feature_projection."),
    (r"^memory_encoder\.out_proj\.", "memory_encoder.projection."),
    (r"^memory_encoder\.mask_downsampler\.encoder\.12\.", "memory_encoder.mask_downsampler.final_conv."),
    *(
        (rf"^memory_encoder\.mask_downsampler\.encoder\.{3 * k + n}\.",
         f"memory_encoder.mask_downsampler.layers.{k}.{part}.")
        for k in range(4) for n, part in enumerate(("conv", "layer_norm"))
    ),
    (r"^memory_encoder\.fuser\.layers\.(\d)\.dwconv\.", r"memory_encoder.memory_fuser.layers.\1.depthwise_conv."),
    (r"^memory_encoder\.fuser\.layers\.(\d)\.norm\.", r"memory_encoder.memory_fuser.layers.\1.layer_norm."),
    (r"^memory_encoder\.fuser\.layers\.(\d)\.pwconv(\d)\.",
     r"memory_encoder.memory_fuser.layers.\1.pointwise_conv\2."),
    (r"^memory_encoder\.fuser\.layers\.(\d)\.gamma$", r"memory_encoder.memory_fuser.layers.\1.scale"),
)  # fmt: skip
PERCEIVER: Final[Rules] = (  # EdgeTAM's memory compression, on top of SAM 2's names
    (r"^memory_attention\.layers\.(\d+)\.linear1\.", r"memory_attention.layers.\1.mlp.up_proj."),
    (r"^memory_attention\.layers\.(\d+)\.linear2\.", r"memory_attention.layers.\1.mlp.down_proj."),
    (r"^spatial_perceiver\.latents$", "spatial_perceiver.latents_1d"),
    (r"^spatial_perceiver\.norm\.", "spatial_perceiver.layer_norm."),
    (r"^(spatial_perceiver\.layers\.\d+)\.attn\.norm_x\.", r"\1.layer_norm_input."),
    (r"^(spatial_perceiver\.layers\.\d+)\.attn\.norm_latents\.", r"\1.layer_norm_latents."),
    (r"^(spatial_perceiver\.layers\.\d+)\.self_attn\.norm\.", r"\1.layer_norm_self."),
    (r"^(spatial_perceiver\.layers\.\d+)\.attn\.", r"\1.cross_attention."),
    (r"^(spatial_perceiver\.layers\.\d+)\.self_attn\.", r"\1.self_attention."),
    (r"^(spatial_perceiver\.layers\.\d+)\.ff\.0\.", r"\1.mlp.layer_norm."),
    (r"^(spatial_perceiver\.layers\.\d+)\.ff\.1\.", r"\1.mlp.up_proj."),
    (r"^(spatial_perceiver\.layers\.\d+)\.ff\.3\.", r"\1.mlp.down_proj."),
    (r"^(spatial_perceiver\.layers\.\d+)\.self_ff\.0\.", r"\1.self_mlp.layer_norm."),
    (r"^(spatial_perceiver\.layers\.\d+)\.self_ff\.1\.", r"\1.self_mlp.up_proj."),
    (r"^(spatial_perceiver\.layers\.\d+)\.self_ff\.3\.", r"\1.self_mlp.down_proj."),
    (r"\.to_q\.", ".q_proj."),
    (r"\.to_out\.", ".o_proj."),
)
PLAIN_VIT: Final[Rules] = (  # EfficientTAM's trunk and neck
    (r"^image_encoder\.trunk\.patch_embed\.proj\.", "vision_encoder.patch_embed.projection."),
    (r"^image_encoder\.trunk\.blocks\.(\d+)\.norm(\d)\.", r"vision_encoder.layers.\1.layer_norm\2."),
    (r"^image_encoder\.trunk\.blocks\.(\d+)\.mlp\.layers\.0\.", r"vision_encoder.layers.\1.mlp.lin1."),
    (r"^image_encoder\.trunk\.blocks\.(\d+)\.mlp\.layers\.1\.", r"vision_encoder.layers.\1.mlp.lin2."),
    (r"^image_encoder\.trunk\.blocks\.", "vision_encoder.layers."),
    (r"^image_encoder\.trunk\.pos_embed$", "vision_encoder.pos_embed"),
    (r"^image_encoder\.neck\.convs\.0\.conv_1x1\.", "vision_encoder.neck.conv1."),
    (r"^image_encoder\.neck\.convs\.0\.norm_0\.", "vision_encoder.neck.layer_norm1."),
    (r"^image_encoder\.neck\.convs\.0\.conv_3x3\.", "vision_encoder.neck.conv2."),
    (r"^image_encoder\.neck\.convs\.0\.norm_1\.", "vision_encoder.neck.layer_norm2."),
)


def sam_weights(native: Mapping[str, Array]) -> dict[str, Array]:
    """SAM, MedSAM, SAM-Med2D, MobileSAM and LiteMedSAM files, named as the host's."""
    dropped = ("pixel_mean", "pixel_std", "image_encoder.norm_head.", "image_encoder.head.")
    tiny = any(key.startswith("image_encoder.patch_embed.seq.") for key in native)
    named = renamed(native, (*(TINY_VIT if tiny else VIT), *SAM_HEADS), dropped)
    return _with_positions(named)


def alpnet_weights(native: Weights) -> Weights:
    """SSL-ALPNet's files; what its encoder has of DeepLab's pooling pyramid and classifiers is not used."""
    unused = ("asppconv.", "aspp_out.", "classifier.", "aux_classifier.")
    return renamed({key.removeprefix("encoder."): value for key, value in native.items()}, (), unused)


def deeplab_shape(native: Weights) -> DeepLabShape:
    """The size of the trunk that a file's arrays are of. Raises ModelError where they are of none."""
    from delineate.models.deeplab import DeepLabShape

    named = {key.removeprefix("vision_encoder."): value for key, value in alpnet_weights(native).items()}
    found = [re.match(r"backbone\.layer(\d)\.(\d+)\.conv1\.weight$", key) for key in named]
    depths = [max((int(m[2]) + 1 for m in found if m and int(m[1]) == stage), default=0) for stage in range(1, 5)]
    stem, last = named.get("backbone.conv1.weight"), named.get("localconv.weight")
    if stem is None or last is None or not all(depths):
        raise ModelError("E-MODEL-KEYS", "The file holds no encoder of SSL-ALPNet.", "Is it this system's?")
    return DeepLabShape((depths[0], depths[1], depths[2], depths[3]), len(stem), len(last))


def medsam_text_weights(native: Weights) -> Weights:
    """Files of MedSAM's text-prompt extension. Left out: mask prompts, saved with no channel, and counted positions."""
    unused = ("prompt_encoder.mask_downscaling.", f"{TEXT_TOWER}embeddings.position_ids")
    return renamed(
        sam_weights({key: value for key, value in native.items() if not key.startswith(unused)}),
        ((rf"^{re.escape(TEXT_TOWER)}", "prompt_encoder.text_encoder."),),
    )


def sam2_weights(native: Weights) -> Weights:
    """SAM 2 and 2.1 files, and those fine-tuned from them, named as the host's."""
    return _with_point_table(_with_positions(renamed(native, (*HIERA, *SAM2_HEADS, *MEMORY))))


def efficient_tam_weights(native: Weights, cells: int) -> Weights:
    """EfficientTAM files; the table of positions is resized to ``cells`` x ``cells``, its class token dropped."""
    from torch.nn import functional as F

    named = _with_point_table(_with_positions(renamed(native, (*PLAIN_VIT, *SAM2_HEADS, *MEMORY))))
    table = named.get("vision_encoder.pos_embed")
    side = 0 if table is None or table.ndim != 3 else round(max(0, table.shape[1] - 1) ** 0.5)
    if table is not None and side and table.shape[1] == side * side + 1:
        _require_floats("vision_encoder.pos_embed", table)
        grid = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        if side != cells:
            grid = F.interpolate(grid, size=(cells, cells), mode="bicubic", align_corners=False)
        named["vision_encoder.pos_embed"] = grid.permute(0, 2, 3, 1)
    return named


def edge_tam_weights(native: Weights) -> Weights:
    """EdgeTAM files, named as the host's; RepViT's names stay."""
    named = renamed(native, (*HIERA, *SAM2_HEADS, *MEMORY, *PERCEIVER))
    split: Weights = {}
    for key, value in _with_point_table(_with_positions(named)).items():
        if ".to_kv." in key and value.ndim and len(value) % 2 == 0:
            split[key.replace(".to_kv.", ".k_proj.")], split[key.replace(".to_kv.", ".v_proj.")] = value.chunk(2)
        else:
            split[re.sub(r"^vision_encoder\.backbone\.body\.", "vision_encoder.backbone.", key)] = value
    return split


def resized_sam(weights: Weights, cells: int, global_blocks: Iterable[int]) -> Weights:
    """A 1024 px SAM for ``cells`` x ``cells`` tokens: positions and global relative positions resized bilinearly.

    As SAM-Med2D starts from SAM (sec. 3.2 of arXiv 2308.16184 and its code).
    """
    out = dict(weights)
    key = "vision_encoder.pos_embed"
    out[key] = _resized(_required(out, key, 4).permute(0, 3, 1, 2), (cells, cells)).permute(0, 2, 3, 1)
    for block in global_blocks:
        for axis in "hw":
            key = f"vision_encoder.layers.{block}.attn.rel_pos_{axis}"
            table = _required(out, key, 2)
            out[key] = _resized(table[None, None], (2 * cells - 1, table.shape[1]))[0, 0]
    return out


def _required(weights: Weights, key: str, axes: int) -> Tensor:
    """The array of that name, which has to have so many axes. Raises ModelError where it is another."""
    found = weights.get(key)
    if found is None or found.ndim != axes or not found.numel():
        shape = "missing" if found is None else f"of the shape {tuple(found.shape)}"
        raise ModelError("E-MODEL-KEYS", f"{key} is {shape}; a table of {axes} axes is needed.", "Is it this system's?")
    _require_floats(key, found)
    return found


def _require_floats(key: str, value: Tensor) -> None:
    if not value.is_floating_point():
        raise ModelError("E-MODEL-KEYS", f"{key} holds {value.dtype}, not weights.", "Is it a checkpoint?")


def _resized(grid: Tensor, size: tuple[int, int]) -> Tensor:
    from torch.nn import functional as F

    return grid if grid.shape[-2:] == size else F.interpolate(grid, size=size, mode="bilinear", align_corners=False)


def renamed(native: Mapping[str, Array], rules: Rules, dropped: tuple[str, ...] = ()) -> dict[str, Array]:
    """Arrays by the names that ``rules`` make of theirs, without those whose names begin as one of ``dropped``."""
    named: dict[str, Array] = {}
    for key, value in native.items():
        if key.startswith(dropped) and dropped:
            continue
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        named[key] = value
    return named


def _with_positions(named: dict[str, Array]) -> dict[str, Array]:
    """The host keeps the random frequencies twice."""
    if _POSITION in named:
        matrix = named.pop(_POSITION)
        named["prompt_encoder.shared_embedding.positional_embedding"] = matrix
        named["shared_image_embedding.positional_embedding"] = matrix
    return named


def _with_point_table(named: Weights) -> Weights:
    """The host keeps the four point types in one table."""
    import torch

    keys = [f"prompt_encoder.point_embeddings.{n}.weight" for n in range(4)]
    rows = [named[key] for key in keys if key in named and named[key].ndim == 2]
    if len(rows) == len(keys) and len({row.shape[1] for row in rows}) == 1:  # else their names are told as they are
        named["prompt_encoder.point_embed.weight"] = torch.cat([named.pop(key) for key in keys])
    return named
