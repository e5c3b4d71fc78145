"""Which system a checkpoint belongs to, from the names and shapes of its arrays.

Some layouts are shared: MedSAM is a SAM ViT-B, Surgical SAM 2 a SAM 2 small. Then the file's published name decides;
a file named otherwise needs ``--system``.
"""

from __future__ import annotations

from dataclasses import dataclass

from delineate.checkpoints.reading import Weights
from delineate.core.errors import ModelError

VIT_WIDTHS = {768: "sam_vit_b", 1024: "sam_vit_l", 1280: "sam_vit_h"}
HIERA = {(96, 12): "tiny", (96, 16): "small", (112, 24): "base_plus", (144, 48): "large"}


@dataclass(frozen=True)
class Detected:
    """What the arrays say.

    layout      such as "SAM ViT-B" for messages
    candidates  systems with this layout; the first is the one the layout was made for
    """

    layout: str
    candidates: tuple[str, ...]


def detected(weights: Weights) -> Detected:
    """The systems whose published files look like this.

    Raises ModelError for layouts that no system here has.
    """
    keys = set(weights)
    if any(key.startswith("sam_mask_decoder.") for key in keys):
        return _sam2(weights, keys)
    if any(key.startswith("mask_decoder.") for key in keys) and "image_encoder.patch_embed.seq.0.c.weight" in keys:
        kernel = weights["image_encoder.patch_embed.seq.0.c.weight"].shape[-1]
        return Detected("TinyViT", ("mobile_sam",) if kernel == 3 else ("lite_medsam",))
    if any(key.startswith("mask_decoder.") for key in keys) and "image_encoder.pos_embed" in keys:
        return _sam(weights, keys)
    shown = ", ".join(sorted(keys)[:4])
    raise ModelError(
        "E-MODEL-LAYOUT",
        f"No system here has arrays named like these: {shown} ...",
        "See which there are: delineate systems",
    )


def _sam(weights: Weights, keys: set[str]) -> Detected:
    table = weights["image_encoder.pos_embed"]
    width, side = table.shape[-1], 16 * table.shape[1]
    if any(".Adapter." in key for key in keys):
        return Detected("SAM ViT-B with adapters", ("sam_med2d",))
    if any(key.startswith("prompt_encoder.text_encoder.") for key in keys):
        return Detected("MedSAM with a text encoder", ("medsam_text",))
    if side == 256 and width == 768:
        return Detected("SAM ViT-B at 256 px", ("ft_sam",))
    name = VIT_WIDTHS.get(width)
    if name is None or side != 1024:
        raise ModelError("E-MODEL-LAYOUT", f"A SAM of width {width} at {side} px is none of the published ones.")
    return Detected(name, (name, "medsam", "medsam_point") if name == "sam_vit_b" else (name,))


def _sam2(weights: Weights, keys: set[str]) -> Detected:
    if any(key.startswith("spatial_perceiver.") for key in keys):
        return Detected("EdgeTAM", ("edge_tam",))
    if "image_encoder.trunk.blocks.0.attn.qkv.weight" in keys and "sam_mask_decoder.conv_s0.weight" not in keys:
        size = {192: "ti", 384: "s"}.get(weights["image_encoder.trunk.patch_embed.proj.weight"].shape[0])
        if size is not None:
            stem = f"efficient_tam_{size}"
            return Detected("EfficientTAM", (stem, f"{stem}_512", f"{stem}_1", f"{stem}_2"))
    width = weights["image_encoder.trunk.patch_embed.proj.weight"].shape[0]
    blocks = len({key.split(".")[3] for key in keys if key.startswith("image_encoder.trunk.blocks.")})
    size = HIERA.get((width, blocks))
    if size is None:
        raise ModelError("E-MODEL-LAYOUT", f"A SAM 2 of width {width} with {blocks} blocks is none of the published.")
    newer = "no_obj_embed_spatial" in keys
    own = f"sam2.1_{size}" if newer else f"sam2_{size}"
    others = {
        "sam2.1_tiny": ("medsam2",),
        "sam2.1_small": ("surgical_sam2",),
        "sam2_tiny": ("medsam2_benchmark",),
        "sam2_small": ("surgical_sam2_v1", "biosam2"),
    }
    return Detected(own.replace("_", " "), (own, *others.get(own, ())))


# parts of published file names, in the order they are looked for
NAMES = (
    ("medsam_point", "medsam_point"), ("lite_medsam", "lite_medsam"), ("medsam_lite", "lite_medsam"),
    ("medsam2_t_flare", "medsam2_benchmark"), ("medsam2", "medsam2"), ("medsam", "medsam"), ("ft-sam", "ft_sam"),
    ("sam-med2d", "sam_med2d"), ("endo", "surgical_sam2"), ("endo", "surgical_sam2_v1"), ("biosam", "biosam2"),
    ("efficienttam_ti_1", "efficient_tam_ti_1"), ("efficienttam_ti_2", "efficient_tam_ti_2"),
    ("efficienttam_ti_512", "efficient_tam_ti_512"), ("efficienttam_ti", "efficient_tam_ti"),
    ("efficienttam_s_1", "efficient_tam_s_1"), ("efficienttam_s_2", "efficient_tam_s_2"),
    ("efficienttam_s_512", "efficient_tam_s_512"), ("efficienttam_s", "efficient_tam_s"),
    ("sam_vit_", "sam_vit_b"), ("sam2_hiera", "sam2"), ("sam2.1_hiera", "sam2.1"),
)  # fmt: skip


def system_of(weights: Weights, file: str) -> str:
    """The system a file belongs to, its published name deciding where several share the layout.

    Raises ModelError where it does not.
    """
    found = detected(weights)
    if len(found.candidates) == 1:
        return found.candidates[0]
    lower = file.lower()
    for part, system in NAMES:
        if part in lower:
            own = next((c for c in found.candidates if c == system or c.startswith(f"{system}_")), None)
            if own is not None:
                return own
    raise ModelError(
        "E-MODEL-AMBIGUOUS",
        f"{file} has the layout of {found.layout}, which {len(found.candidates)} systems share.",
        f"Say which it is: --system {' | '.join(found.candidates)}",
    )
